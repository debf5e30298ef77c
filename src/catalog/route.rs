//! Route templates: one text for both spellings, and the ranges of a path that their parameters cover.

use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;

use crate::record::RouteLabel;

/// matchit names parameters by a letter each and panics beyond them, so a template may not get there.
const MAX_PARAMS: usize = 25;

/// How many parameters a match holds without allocating.
const INLINE_PARAMS: usize = 8;

/// A checked route template in the `{name}` spelling, which is also how axum reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    label: Arc<RouteLabel>,
    names: Box<[Box<str>]>,
    /// For each name what a path has between the parameter before it, or the beginning, and its own.
    gaps: Box<[Box<str>]>,
    /// What a path has after the last parameter.
    end: Box<str>,
    tail: Tail,
}

/// How a template ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With a literal or a parameter of one segment.
    Segment,
    /// With `{*rest}`: the last parameter takes what is left of the path.
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
        if template.contains([' ', '<', '>']) || template.contains(char::is_control) {
            return Err(format!(
                "route `{}` can match no request: in the path of a URL, spaces, `<`, `>` and control characters are percent-encoded",
                template.escape_debug()
            ));
        }
        let mut text = String::with_capacity(template.len() + 4);
        let mut names: Vec<Box<str>> = Vec::new();
        let (mut gaps, mut gap) = (Vec::new(), String::new());
        let mut tail = Tail::Segment;
        for segment in inner.split('/') {
            let segment = Segment::parse(segment).map_err(|problem| format!("route `{template}`: {problem}"))?;
            if tail == Tail::CatchAll {
                return Err(format!("route `{template}`: only the last segment can take the rest of the path"));
            }
            tail = match segment.kind {
                SegmentKind::Literal | SegmentKind::Param => Tail::Segment,
                SegmentKind::CatchAll => Tail::CatchAll,
            };
            gap.push('/');
            gap.push_str(&segment.literal.replace("{{", "{").replace("}}", "}"));
            if segment.kind != SegmentKind::Literal {
                if names.iter().any(|name| **name == *segment.name) {
                    return Err(format!("route `{template}` has two parameters named `{}`", segment.name));
                }
                names.push(segment.name.into());
                gaps.push(std::mem::take(&mut gap).into());
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
        Ok(Self {
            label: Arc::new(RouteLabel::new(&text)),
            names: names.into(),
            gaps: gaps.into(),
            end: gap.into(),
            tail,
        })
    }

    /// The template in the `{name}` spelling.
    pub(crate) fn text(&self) -> &str {
        self.label.text()
    }

    /// The template as records show it.
    pub(crate) fn label(&self) -> &Arc<RouteLabel> {
        &self.label
    }

    /// The names of its parameters, in the order of the path.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Adds the ranges of its parameters in a raw path; false if the path is not one of the template, which happens when
    /// something between rewrote it. What was added then means nothing.
    ///
    /// Nothing is decoded, and a parameter is empty only where a slash follows: both as the router does it. A `{*rest}`
    /// reaches to `end`: past a slash that the matcher trimmed from the path.
    pub(crate) fn bind(&self, path: &str, end: usize, params: &mut Params) -> bool {
        let bytes = path.as_bytes();
        let mut from = 0;
        for (index, gap) in self.gaps.iter().enumerate() {
            let Some(rest) = bytes[from..].strip_prefix(gap.as_bytes()).filter(|rest| !rest.is_empty()) else {
                return false;
            };
            from += gap.len();
            if self.tail == Tail::CatchAll && index + 1 == self.gaps.len() {
                params.push(from..end);
                return true;
            }
            let to = memchr(b'/', rest).map_or(bytes.len(), |slash| from + slash);
            params.push(from..to);
            from = to;
        }
        bytes[from..] == *self.end.as_bytes()
    }
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
        let mut params = Params::default();
        Template::parse(template).ok().filter(|template| template.bind(path, path.len(), &mut params))?;
        Some(params.iter().map(|range| &path[range]).collect())
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
        let path = "/1/2/3/4/5/6/7/8/9/10";
        let mut params = Params::default();
        assert!(Template::parse(template).unwrap().bind(path, path.len(), &mut params));
        assert_eq!((params.len(), params.range(9), params.range(10)), (10, Some(19..21), None));
        assert_eq!(bound(template, path).unwrap()[8..], ["9", "10"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(template in "[/{}*:aé]{0,24}", path in any::<String>()) {
            let _ = (shape(&template), bound(&template, &path), bound(&path, &path));
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
            prop_assert_eq!(ours, theirs);
        }
    }
}
