//! Route templates: one text for both spellings, and the ranges of a path that their parameters cover.

use std::ops::Range;

use memchr::memchr;

/// matchit names parameters by a letter each and panics beyond them, so a template may not get there.
const MAX_PARAMS: usize = 25;

/// How many parameters a match holds without allocating.
const INLINE_PARAMS: usize = 8;

/// A checked route template in the `{name}` spelling, which is also how axum reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: Box<str>,
    names: Box<[Box<str>]>,
    /// For each name the bytes of a path that stand between the parameter before it, or the beginning, and its own.
    gaps: Box<[usize]>,
    tail: Tail,
}

/// What stands at the end of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// A literal.
    Literal,
    /// A parameter: it takes what is left of the path, which is one segment.
    Param,
    /// `{*rest}`: the last parameter takes what is left of the path.
    CatchAll,
}

impl Template {
    /// Parses a template in either spelling.
    pub(crate) fn parse(template: &str) -> Result<Self, String> {
        let Some(inner) = template.strip_prefix('/') else {
            return Err(format!("route `{template}` has to begin with `/`"));
        };
        if template.contains(['?', '#']) {
            return Err(format!("route `{template}` is a path: it cannot hold `?` or `#`"));
        }
        let mut text = String::with_capacity(template.len() + 4);
        let mut names: Vec<Box<str>> = Vec::new();
        let (mut gaps, mut gap) = (Vec::new(), 0);
        let mut tail = Tail::Literal;
        for segment in inner.split('/') {
            let segment = Segment::parse(segment).map_err(|problem| format!("route `{template}`: {problem}"))?;
            if tail == Tail::CatchAll {
                return Err(format!("route `{template}`: only the last segment can take the rest of the path"));
            }
            tail = match segment.kind {
                SegmentKind::Literal => Tail::Literal,
                SegmentKind::Param => Tail::Param,
                SegmentKind::CatchAll => Tail::CatchAll,
            };
            gap += 1 + unescaped_len(segment.literal);
            if segment.kind != SegmentKind::Literal {
                if names.iter().any(|name| **name == *segment.name) {
                    return Err(format!("route `{template}` has two parameters named `{}`", segment.name));
                }
                names.push(segment.name.into());
                gaps.push(std::mem::take(&mut gap));
            }
            text.push('/');
            segment.write(&mut text, segment.name);
        }
        if names.len() > MAX_PARAMS {
            return Err(format!(
                "route `{template}` has {} parameters; at most {MAX_PARAMS} are possible",
                names.len()
            ));
        }
        Ok(Self { text: text.into(), names: names.into(), gaps: gaps.into(), tail })
    }

    /// The template in the `{name}` spelling.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The names of its parameters, in the order of the path.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Adds the ranges that its parameters cover in a path that the router matched with it. The router has them too, but makes
    /// text of each name and value on the way out. What a `{*rest}` takes reaches to `end`.
    pub(super) fn ranges(&self, path: &str, end: usize, params: &mut Params) {
        let mut from = 0;
        for (index, gap) in self.gaps.iter().enumerate() {
            from += gap;
            let is_last = index + 1 == self.gaps.len();
            let to = match self.tail {
                Tail::CatchAll if is_last => end,
                Tail::Param if is_last => path.len(),
                _ => {
                    let Some(rest) = path.as_bytes().get(from..) else { break };
                    memchr(b'/', rest).map_or(path.len(), |slash| from + slash)
                }
            };
            params.push(from..to);
            from = to;
        }
    }
}

/// Bytes of a path that a literal stands for: its braces are doubled.
fn unescaped_len(literal: &str) -> usize {
    literal.len() - literal.bytes().filter(|byte| matches!(byte, b'{' | b'}')).count() / 2
}

/// The template with its parameters' names left out, so that `/a/:id` and `/a/{key}` are the same.
///
/// What is no template comes back as it is: it is only ever looked up.
pub(super) fn shape(template: &str) -> String {
    let mut shape = String::with_capacity(template.len());
    for (index, segment) in template.split('/').enumerate() {
        if index > 0 {
            shape.push('/');
        }
        match Segment::parse(segment) {
            Ok(parsed) => parsed.write(&mut shape, ""),
            Err(_) => shape.push_str(segment),
        }
    }
    shape
}

/// The names of an axum template's parameters, in its order.
pub(crate) fn param_names(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(|segment| {
        let name = segment.rsplit_once('{').filter(|(before, _)| !before.ends_with('{'))?.1.strip_suffix('}')?;
        Some(name.strip_prefix('*').unwrap_or(name))
    })
}

/// Binds an axum template (`/api/{kind}/x/{*rest}`) to the raw path that it matched, segment by segment.
///
/// `None` if the path is not one of the template, which happens when something between rewrote it.
/// Nothing is decoded, and a parameter is empty only where a slash follows: both as the router does it.
pub(crate) fn bind(template: &str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut segments = template.strip_prefix('/')?.split('/');
    let mut rest = path.strip_prefix('/')?;
    loop {
        let segment = Segment::parse_braces(segments.next()?).ok()?;
        let start = path.len() - rest.len();
        let end = rest.find('/').map_or(path.len(), |slash| start + slash);
        let literal = start + literal_len(segment.literal, &path[start..end])?;
        match segment.kind {
            SegmentKind::CatchAll => {
                params.push((literal < path.len()).then_some(literal..path.len())?);
                return segments.next().is_none().then_some(params);
            }
            SegmentKind::Param => params.push((literal < path.len()).then_some(literal..end)?),
            SegmentKind::Literal if literal == end => {}
            SegmentKind::Literal => return None,
        }
        if end == path.len() {
            return segments.next().is_none().then_some(params);
        }
        rest = &path[end + 1..];
    }
}

/// How many bytes of `text` the literal covers, whose braces are doubled; `None` if it is no prefix of it.
fn literal_len(literal: &str, text: &str) -> Option<usize> {
    let mut literal = literal.bytes();
    let mut len = 0;
    while let Some(byte) = literal.next() {
        if matches!(byte, b'{' | b'}') {
            literal.next();
        }
        if text.as_bytes().get(len) != Some(&byte) {
            return None;
        }
        len += 1;
    }
    Some(len)
}

/// One segment of a template: a literal, which may be followed by one parameter.
struct Segment<'t> {
    literal: &'t str,
    name: &'t str,
    kind: SegmentKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SegmentKind {
    Literal,
    Param,
    CatchAll,
}

impl<'t> Segment<'t> {
    fn parse(segment: &'t str) -> Result<Self, String> {
        let (kind, name) = match segment.as_bytes().first() {
            Some(b':') => (SegmentKind::Param, &segment[1..]),
            Some(b'*') => (SegmentKind::CatchAll, &segment[1..]),
            _ => return Self::parse_braces(segment),
        };
        check_name(name)?;
        Ok(Self { literal: "", name, kind })
    }

    fn parse_braces(segment: &'t str) -> Result<Self, String> {
        let bytes = segment.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match (bytes[at], bytes.get(at + 1)) {
                (b'{', Some(b'{')) | (b'}', Some(b'}')) => at += 2,
                (b'{', _) => return Self::parse_param(&segment[..at], &segment[at + 1..]),
                (b'}', _) => return Err("a `}` without its `{`; `}}` stands for the character".to_owned()),
                _ => at += 1,
            }
        }
        Ok(Self { literal: segment, name: "", kind: SegmentKind::Literal })
    }

    fn parse_param(literal: &'t str, rest: &'t str) -> Result<Self, String> {
        let Some((name, behind)) = rest.split_once('}') else {
            return Err("a `{` without its `}`; `{{` stands for the character".to_owned());
        };
        if !behind.is_empty() {
            return Err(format!("nothing can follow the parameter `{name}` in its segment"));
        }
        let (kind, name) = match name.strip_prefix('*') {
            Some(name) => (SegmentKind::CatchAll, name),
            None => (SegmentKind::Param, name),
        };
        check_name(name)?;
        Ok(Self { literal, name, kind })
    }

    fn write(&self, text: &mut String, name: &str) {
        text.push_str(self.literal);
        match self.kind {
            SegmentKind::Literal => return,
            SegmentKind::Param => text.push('{'),
            SegmentKind::CatchAll => text.push_str("{*"),
        }
        text.push_str(name);
        text.push('}');
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a parameter needs a name".to_owned());
    }
    // A colon would be the pattern of another router's syntax, and would silently be part of the name.
    match name.find(['{', '}', '*', ':']) {
        Some(_) => Err(format!("`{name}` is no parameter's name: it cannot hold braces, `*` or `:`")),
        None => Ok(()),
    }
}

/// The ranges of a path that a template's parameters cover; the n-th belongs to the n-th name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    inline: [Span; INLINE_PARAMS],
    len: usize,
    more: Vec<Span>,
}

/// Offsets fit: a longer path is never matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Params {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of the path that belong to the parameter with this index among the template's names.
    pub(crate) fn range(&self, index: usize) -> Option<Range<usize>> {
        if index >= self.len {
            return None;
        }
        let span = match self.inline.get(index) {
            Some(span) => span,
            None => self.more.get(index - INLINE_PARAMS)?,
        };
        Some(span.start as usize..span.end as usize)
    }

    /// All ranges, in the order of the template's names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len).filter_map(|index| self.range(index))
    }

    pub(super) fn push(&mut self, range: Range<usize>) {
        let span = Span::new(&range);
        match self.inline.get_mut(self.len) {
            Some(slot) => *slot = span,
            None => self.more.push(span),
        }
        self.len += 1;
    }
}

impl Span {
    fn new(range: &Range<usize>) -> Self {
        let offset = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: offset(range.start), end: offset(range.end) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound<'p>(template: &str, path: &'p str) -> Option<Vec<&'p str>> {
        bind(template, path).map(|params| params.iter().map(|range| &path[range]).collect())
    }

    #[test]
    fn both_spellings_are_the_same_template() {
        let colon = Template::parse("/v2/tasks/:taskId/*rest").unwrap();
        assert_eq!(colon, Template::parse("/v2/tasks/{taskId}/{*rest}").unwrap());
        assert_eq!(colon.text(), "/v2/tasks/{taskId}/{*rest}");
        assert_eq!(colon.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["taskId", "rest"]);
        assert_eq!(colon.tail, Tail::CatchAll);
    }

    #[test]
    fn templates_keep_literals_prefixes_and_doubled_braces() {
        for text in ["/", "/a//b/", "/v-{id}", "/{{x}}/{id}", "/tasks:cancel", "/file-{*rest}"] {
            assert_eq!(Template::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn malformed_templates_are_refused_with_their_reason() {
        for (template, reason) in [
            ("tasks", "begin with `/`"),
            ("", "begin with `/`"),
            ("/a?b", "`?`"),
            ("/{}", "needs a name"),
            ("/:", "needs a name"),
            ("/*", "needs a name"),
            ("/{*}", "needs a name"),
            ("/{a", "without its `}`"),
            ("/a}", "without its `{`"),
            ("/{a}b", "nothing can follow"),
            ("/{a}{b}", "nothing can follow"),
            ("/{*a}/b", "only the last segment"),
            ("/*a/b", "only the last segment"),
            ("/{a}/{a}", "two parameters named `a`"),
            ("/{id:[0-9]+}", "no parameter's name"),
        ] {
            let problem = Template::parse(template).unwrap_err();
            assert!(problem.contains(reason), "{template}: {problem}");
        }
    }

    #[test]
    fn a_template_with_more_parameters_than_the_router_can_hold_is_refused() {
        let template = |count: usize| (0..count).map(|i| format!("/{{p{i}}}")).collect::<String>();
        assert!(Template::parse(&template(25)).is_ok());
        assert!(Template::parse(&template(26)).unwrap_err().contains("at most 25"));
    }

    #[test]
    fn shapes_forget_names_and_spellings() {
        assert_eq!(shape("/a/:id/x"), "/a/{}/x");
        assert_eq!(shape("/a/{key}/x"), "/a/{}/x");
        assert_eq!(shape("/a/*rest"), shape("/a/{*path}"));
        assert_ne!(shape("/a/{rest}"), shape("/a/{*rest}"));
    }

    #[test]
    fn binding_walks_segments() {
        assert_eq!(bound("/api/{kind}/x/{*rest}", "/api/a/x/b/c").unwrap(), ["a", "b/c"]);
        assert_eq!(bound("/{{x}}/v-{id}", "/{x}/v-%20").unwrap(), ["%20"]);
        assert_eq!(bound("/a", "/a").unwrap(), [""; 0]);
        assert_eq!(bound("/{a}/", "/1/").unwrap(), ["1"]);
        assert_eq!(bound("/{a}/{b}", "//2").unwrap(), ["", "2"]);
        for (template, path) in [
            ("/a", "/b"),
            ("/a", "/a/"),
            ("/a/", "/a"),
            ("/{a}", "/"),
            ("/{a}", "/1/2"),
            ("/{*a}", "/"),
            ("/a/{*rest}", "/a"),
            ("/v-{id}", "/v-"),
            ("/abc", "/ab"),
            ("/ab", "/abc"),
            ("a", "a"),
            ("/a", ""),
        ] {
            assert_eq!(bound(template, path), None, "{template} {path}");
        }
    }

    #[test]
    fn a_ninth_parameter_is_kept_too() {
        let template = "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{*j}";
        let params = bind(template, "/1/2/3/4/5/6/7/8/9/10").unwrap();
        assert_eq!((params.len(), params.range(9), params.range(10)), (10, Some(19..21), None));
        assert_eq!(bound(template, "/1/2/3/4/5/6/7/8/9/10").unwrap()[8..], ["9", "10"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(template in "[/{}*:aé]{0,24}", path in any::<String>()) {
            let _ = (Template::parse(&template), shape(&template), bind(&template, &path), bind(&path, &path));
        }

        #[test]
        fn what_the_router_binds_is_what_we_bind(
            template in "(/(a|ab|:x|\\{y\\}|v-\\{z\\}|é\\{\\{\\{w\\}|)){1,3}(/\\*rest|/é-\\{\\*rest\\})?",
            path in "(/(a|ab|v-1|é|v-|é\\{x|é\\{|é-é|)){0,5}",
        ) {
            let Ok(template) = Template::parse(&template) else { return Ok(()) };
            let mut router = matchit::Router::new();
            router.insert(template.text(), ()).unwrap();
            let theirs = router.at(&path).ok().map(|found| found.params.iter().map(|(_, v)| v.to_owned()).collect());
            let ours: Option<Vec<_>> = bound(template.text(), &path).map(|v| v.into_iter().map(str::to_owned).collect());
            if theirs.is_some() {
                let mut ranges = Params::default();
                template.ranges(&path, path.len(), &mut ranges);
                prop_assert_eq!(&Some(ranges.iter().map(|range| path[range].to_owned()).collect::<Vec<_>>()), &theirs);
            }
            prop_assert_eq!(ours, theirs);
        }
    }
}
