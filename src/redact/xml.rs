//! XML in text bodies: what stands in an element or attribute with a secret name is masked.
//!
//! Strict about what it reads: balanced tags, quoted attributes, no document type (its entities could
//! spell a secret elsewhere). Anything else is refused as a whole.

use std::ops::Range;

use super::edit::{Edit, apply};
use super::markup::remember_content;
use super::pair::{self, Part};
use super::pass::Pass;
use super::rules::Verdict;
use super::text::remember_what_is_dropped;
use super::values::Traits;
use crate::record::Reason;

const MAX_DEPTH: usize = 64;

/// Redacts a document that is inside of so many strings; with `cut`, what could be read before the cut, its open elements
/// left open.
pub(super) fn redact(pass: &mut Pass<'_>, text: &str, cut: bool, level: u8) -> Result<String, Reason> {
    let mut reader =
        Reader { pass, text, level, at: 0, open: Vec::new(), hidden: None, edits: Vec::new(), elements: 0 };
    let kept = match reader.read() {
        Ok(()) => text.len(),
        // Up to the last tag that is complete, but not into a secret element.
        Err(Stop::End) if cut => reader.certain_end(),
        Err(Stop::TooDeep) => return Err(Reason::TooDeep),
        Err(Stop::End | Stop::Wrong) => return Err(Reason::Invalid),
    };
    let mut edits = reader.edits;
    edits.retain(|edit| edit.place.end <= kept);
    if kept < text.len() {
        remember_what_is_dropped(pass, text, kept);
    }
    let text = &text[..kept];
    let named = edits.len();
    pass.find_values(text, Traits::of(text), &mut edits);
    pass.note_values(edits.len() - named);
    Ok(apply(pass, text, edits).unwrap_or_else(|| text.to_owned()))
}

enum Stop {
    End,
    Wrong,
    TooDeep,
}

/// The secret element that the reader is in.
struct Hidden {
    /// How many elements were open around it.
    depth: usize,
    /// Where its content begins.
    content: usize,
}

/// An open element.
struct Element<'r> {
    name: &'r str,
    content: usize,
    /// Whether the last element in it that names its neighbours, as in `<key>DB_PASSWORD</key><value>x</value>`, named a
    /// secret.
    named: Option<bool>,
    /// Neighbours that no element before them has named.
    unnamed: Vec<Range<usize>>,
}

struct Reader<'r, 'a> {
    pass: &'r mut Pass<'a>,
    text: &'r str,
    level: u8,
    at: usize,
    open: Vec<Element<'r>>,
    hidden: Option<Hidden>,
    edits: Vec<Edit>,
    elements: usize,
}

impl<'r> Reader<'r, '_> {
    fn read(&mut self) -> Result<(), Stop> {
        loop {
            let rest = &self.text[self.at..];
            let Some(tag) = memchr::memchr(b'<', rest.as_bytes()) else { return self.end(rest) };
            let between = &rest[..tag];
            if self.open.is_empty() && !between.trim_ascii().is_empty() {
                return Err(Stop::Wrong);
            }
            self.text_between(self.at..self.at + tag);
            self.at += tag;
            self.tag(&rest[tag..])?;
        }
    }

    fn end(&mut self, rest: &str) -> Result<(), Stop> {
        if !self.open.is_empty() || self.elements == 0 {
            return Err(Stop::End);
        }
        if rest.trim_ascii().is_empty() { Ok(()) } else { Err(Stop::Wrong) }
    }

    /// Text that shows may hold a secret inside.
    fn text_between(&mut self, place: Range<usize>) {
        if self.hidden.is_none()
            && let Some(redacted) = self.pass.inspect(&self.text[place.clone()], self.level)
        {
            self.edits.push(Edit { place, redacted: Some(redacted) });
        }
    }

    fn tag(&mut self, rest: &'r str) -> Result<(), Stop> {
        if rest.starts_with("<!--") {
            return self.skip(rest, "-->");
        }
        if rest.starts_with("<![CDATA[") && !self.open.is_empty() {
            let end = memchr::memmem::find(rest.as_bytes(), b"]]>").ok_or(Stop::End)?;
            self.text_between(self.at + 9..self.at + end);
            self.at += end + 3;
            return Ok(());
        }
        if rest.starts_with("<?") {
            return self.skip(rest, "?>");
        }
        if rest.starts_with("<!") {
            let partial = "<![CDATA[".starts_with(rest) || "<!--".starts_with(rest);
            return Err(if partial { Stop::End } else { Stop::Wrong });
        }
        if rest.starts_with("</") { self.closing_tag(rest) } else { self.opening_tag(rest) }
    }

    /// A comment or an instruction: it may say anything, so it goes.
    fn skip(&mut self, rest: &str, end: &str) -> Result<(), Stop> {
        let len = memchr::memmem::find(rest.as_bytes(), end.as_bytes()).ok_or(Stop::End)? + end.len();
        let is_declaration = self.at == 0 && rest.starts_with("<?xml ");
        if self.hidden.is_none() && !is_declaration {
            self.edits.push(Edit { place: self.at..self.at + len, redacted: Some(String::new()) });
        }
        self.at += len;
        Ok(())
    }

    fn closing_tag(&mut self, rest: &str) -> Result<(), Stop> {
        let end = memchr::memchr(b'>', rest.as_bytes()).ok_or(Stop::End)?;
        let Some(element) = self.open.pop().filter(|element| element.name == rest[2..end].trim_ascii_end()) else {
            return Err(Stop::Wrong);
        };
        // A secret element may name others itself, as `key` does.
        if self.hidden.as_ref().is_none_or(|hidden| hidden.depth == self.open.len()) {
            self.pair(&element);
        }
        if let Some(hidden) = self.hidden.take_if(|hidden| hidden.depth == self.open.len())
            && hidden.content < self.at
        {
            self.mask(hidden.content..self.at);
        }
        self.at += end + 1;
        Ok(())
    }

    fn opening_tag(&mut self, rest: &'r str) -> Result<(), Stop> {
        let name_len = name_len(&rest[1..]);
        if name_len == 0 {
            return Err(if rest.len() == 1 { Stop::End } else { Stop::Wrong });
        }
        if self.open.is_empty() && self.elements > 0 {
            return Err(Stop::Wrong);
        }
        self.elements += 1;
        let name = &rest[1..=name_len];
        let (end, names_a_secret) = self.attributes(rest, 1 + name_len)?;
        let is_empty = rest.as_bytes()[end] == b'/';
        self.at += end + if is_empty { 2 } else { 1 };
        if is_empty {
            return Ok(());
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        if self.hidden.is_none() && (names_a_secret || self.is_secret(name)) {
            self.pass.note_name(name);
            self.hidden = Some(Hidden { depth: self.open.len(), content: self.at });
        }
        self.open.push(Element { name, content: self.at, named: None, unnamed: Vec::new() });
        Ok(())
    }

    fn mask(&mut self, place: Range<usize>) {
        remember_content(self.pass, &self.text[place.clone()]);
        self.edits.push(Edit::mask(place));
    }

    /// Masks what an element names, or what names it.
    fn pair(&mut self, element: &Element<'r>) {
        let content = element.content..self.at;
        match part(element.name) {
            None => {}
            Some(Part::Name) => {
                let said = &self.text[content];
                // An escaped name is read as the worst that it could say.
                let is_secret = said.contains(['&', '<']) || self.is_secret(said.trim_ascii());
                let Some(parent) = self.open.last_mut() else { return };
                parent.named = Some(is_secret);
                let unnamed = std::mem::take(&mut parent.unnamed);
                if is_secret {
                    unnamed.iter().for_each(|_| self.pass.note_name("value"));
                    unnamed.into_iter().for_each(|value| self.mask(value));
                }
            }
            Some(Part::Value) if content.is_empty() => {}
            Some(Part::Value) => match self.open.last_mut() {
                Some(Element { named: Some(true), .. }) => {
                    self.pass.note_name(element.name);
                    self.mask(content);
                }
                Some(parent) if parent.named.is_none() => parent.unnamed.push(content),
                _ => {}
            },
        }
    }

    /// Up to where a cut document is certain: not into a secret element, nor into one whose name may come behind the cut.
    fn certain_end(&mut self) -> usize {
        let mut end = self.hidden.as_ref().map_or(self.at, |hidden| hidden.content);
        for at in 0..self.open.len() {
            let unnamed = std::mem::take(&mut self.open[at].unnamed);
            unnamed.into_iter().for_each(|value| self.mask(value));
            let is_value = part(self.open[at].name) == Some(Part::Value);
            if is_value && at > 0 && self.open[at - 1].named != Some(false) {
                end = end.min(self.open[at].content);
            }
        }
        end
    }

    /// Reads attributes up to `>` or `/>`; whether one of them names a secret, as `name="password"` does.
    fn attributes(&mut self, rest: &str, mut at: usize) -> Result<(usize, bool), Stop> {
        let mut values = Vec::new();
        let mut names_a_secret = false;
        loop {
            let spaces = rest[at..].len() - rest[at..].trim_ascii_start().len();
            at += spaces;
            match rest.as_bytes().get(at) {
                None => return Err(Stop::End),
                Some(b'>') => break,
                Some(b'/') if rest[at..].starts_with("/>") => break,
                Some(b'/') if rest.len() == at + 1 => return Err(Stop::End),
                Some(_) if spaces == 0 => return Err(if at == rest.len() { Stop::End } else { Stop::Wrong }),
                Some(_) => {}
            }
            let name = &rest[at..at + name_len(&rest[at..])];
            at += name.len();
            let value = attribute_value(rest, at)?;
            if name.is_empty() {
                return Err(Stop::Wrong);
            }
            at = value.end + 1;
            let said = &rest[value.clone()];
            // An escaped name is read as the worst that it could say.
            names_a_secret |=
                matches!(name, "name" | "key" | "id" | "n") && (said.contains('&') || self.is_secret(said));
            let is_label = matches!(name, "name" | "key" | "id" | "type" | "n");
            values.push((name, value, is_label, !is_label && self.is_secret(name)));
        }
        if self.hidden.is_none() {
            for (name, value, is_label, is_secret) in values {
                let place = self.at + value.start..self.at + value.end;
                if is_secret || names_a_secret && !is_label {
                    self.pass.note_name(name);
                    self.mask(place);
                } else {
                    self.text_between(place);
                }
            }
        }
        Ok((at, names_a_secret))
    }

    /// The verdict on a name without its namespace.
    fn is_secret(&mut self, name: &str) -> bool {
        let local = name.rsplit(':').next().unwrap_or(name);
        self.pass.verdict(local) != Verdict::Plain
    }
}

/// Which half of a pair stands in an element; property lists name a value's type.
pub(super) fn part(name: &str) -> Option<Part> {
    let local = name.rsplit(':').next().unwrap_or(name);
    match local {
        "string" | "integer" | "real" | "data" => Some(Part::Value),
        other => pair::part(other),
    }
}

/// The place of a quoted value after an equals sign.
fn attribute_value(rest: &str, at: usize) -> Result<Range<usize>, Stop> {
    let bytes = rest.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let equals = skip(at);
    match bytes.get(equals) {
        None => return Err(Stop::End),
        Some(b'=') => {}
        Some(_) => return Err(Stop::Wrong),
    }
    let quote = skip(equals + 1);
    let start = quote + 1;
    let end = match bytes.get(quote) {
        None => return Err(Stop::End),
        Some(mark @ (b'"' | b'\'')) => memchr::memchr(*mark, &bytes[start..]).ok_or(Stop::End)?,
        Some(_) => return Err(Stop::Wrong),
    };
    Ok(start..start + end)
}

pub(super) fn name_len(text: &str) -> usize {
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'_' | b'-' | b'.' | b':');
    text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::*;
    use proptest::prelude::*;

    fn redacted(text: &str, cut: bool) -> Result<String, Reason> {
        redact(&mut Pass::new(&Redactor::default(), None), text, cut, 0)
    }

    #[test]
    fn a_value_beside_a_secret_name_is_masked() {
        for (given, shown) in [
            ("<e><key>DB_PASSWORD</key><value>x</value></e>", "<e><key>***</key><value>***</value></e>"),
            (
                "<e><name>DB_PASSWORD</name><value>x<b/>y</value></e>",
                "<e><name>DB_PASSWORD</name><value>***</value></e>",
            ),
            ("<e><value>x</value><c/><name> pin </name></e>", "<e><value>***</value><c/><name> pin </name></e>"),
            ("<e><name>p&#97;ss</name><value>x</value></e>", "<e><name>p&#97;ss</name><value>***</value></e>"),
            ("<e><name>a</name><value>x</value></e>", "<e><name>a</name><value>x</value></e>"),
            ("<e><f><name>pin</name></f><value>x</value></e>", "<e><f><name>pin</name></f><value>x</value></e>"),
            (
                "<d><name>a</name><string>x</string><name>pin</name><string>y</string></d>",
                "<d><name>a</name><string>x</string><name>pin</name><string>***</string></d>",
            ),
            ("<e><value>pw=1</value><name>pin</name></e>", "<e><value>***</value><name>pin</name></e>"),
        ] {
            assert_eq!(redacted(given, false).as_deref(), Ok(shown), "{given}");
        }
        assert_eq!(redacted("<e><value>x</value><na", true).as_deref(), Ok("<e><value>***</value>"));
        assert_eq!(redacted("<e><value><a>x</a>", true).as_deref(), Ok("<e><value>"));
    }

    #[test]
    fn secret_elements_and_attributes_are_masked() {
        for (given, expected) in [
            ("<?xml version=\"1.0\"?>\n<a b=\"c\">d</a>\n", "<?xml version=\"1.0\"?>\n<a b=\"c\">d</a>\n"),
            ("<a><password>x</password><b/></a>", "<a><password>***</password><b/></a>"),
            ("<a><ns:Password><b>x</b><![CDATA[y]]></ns:Password></a>", "<a><ns:Password>***</ns:Password></a>"),
            ("<a token='x' b='y'/>", "<a token='***' b='y'/>"),
            ("<p name=\"password\" value=\"x\">y</p>", "<p name=\"password\" value=\"***\">***</p>"),
            ("<p name=\"pass&#119;ord\" value=\"x\"/>", "<p name=\"pass&#119;ord\" value=\"***\"/>"),
            ("<a><!-- password: x -->b</a>", "<a>b</a>"),
            ("<a>AKIAIOSFODNN7EXAMPLE token=x</a>", "<a>*** token=***</a>"),
            ("<token></token>", "<token></token>"),
        ] {
            assert_eq!(redacted(given, false).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for text in [
            "<",
            "<a",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a b=c/>",
            "<a b/>",
            "<!DOCTYPE a><a/>",
            "</a>",
            "<a b=\"c\"d=\"e\"/>",
            "<!-- x -->",
            "< a/>",
        ] {
            assert_eq!(redacted(text, false), Err(Reason::Invalid), "{text}");
        }
        assert_eq!(redacted(&"<a>".repeat(65), false), Err(Reason::TooDeep));
    }

    #[test]
    fn a_cut_document_shows_what_is_certain() {
        assert_eq!(redacted("<a><b>c</b><password>hun", true).as_deref(), Ok("<a><b>c</b><password>"));
        assert_eq!(redacted("<a><b>c</b><d e=\"f", true).as_deref(), Ok("<a><b>c</b>"));
        assert_eq!(redacted("<a>text of c", true).as_deref(), Ok("<a>"));
    }

    proptest! {
        #[test]
        fn no_canary_appears(before in "(<b>x</b>|y|<!-- z -->){0,3}", name in "(password|ns:token|Api-Key)", after in "(<b>x</b>|y| ){0,3}", cut in any::<prop::sample::Index>(), is_cut in any::<bool>()) {
            let text = format!("<a>{before}<{name} c=\"d\"><e>cAnArY</e>cAnArY<![CDATA[cAnArY]]></{name}>{after}</a>");
            let text = if is_cut { &text[..cut.index(text.len())] } else { &text };
            match redacted(text, is_cut) {
                Ok(shown) => prop_assert!(!shown.contains("cAnAr"), "{} became {}", text, shown),
                Err(_) => prop_assert!(is_cut),
            }
        }

        #[test]
        fn nothing_panics(text in "(<|>|</|/>|a|b|=|\"|'| |<!--|-->|<\\?|\\?>|<!\\[CDATA\\[|\\]\\]>|é|password|&){0,20}", cut in any::<bool>()) {
            let _ = redacted(&text, cut);
            let _ = Pass::new(&Redactor::default(), None).text(text.as_bytes(), cut);
        }
    }
}
