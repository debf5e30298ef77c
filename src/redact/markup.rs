//! Markup in free text: what stands in an element or attribute with a secret name, whether or not the whole is XML.
//!
//! An element that is never closed goes on to the end of the text. Each tag is read once, and what is masked is not read
//! again: linear.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::Edit;
use super::pair::Part;
use super::pass::Pass;
use super::rules::Verdict;
use super::xml::{name_len, part};

/// Elements of HTML that have no content.
const VOID: &[&str] = &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source"];
/// Attributes that say what the element is for.
const LABELS: &[&str] = &["name", "key", "id", "type", "n"];
/// How often the whole text may be read in tags: tags in the values of tags are read again.
const READINGS: usize = 4;
/// The longest reference to a character that is read.
const MAX_REFERENCE: usize = 10;

/// Finds what stands in elements and attributes with a secret name.
pub(super) fn find_elements(pass: &mut Pass<'_>, text: &str, edits: &mut Vec<Edit>) {
    let mut at = 0;
    let mut reading = Reading { left: text.len() * READINGS, ..Reading::default() };
    let mut named = false;
    // Asked once, so that types in a text without markup cost no search each.
    let closes_any =
        ["</", "<\\"].iter().any(|closing| memchr::memmem::find(text.as_bytes(), closing.as_bytes()).is_some());
    while let Some(open) = memchr::memchr(b'<', &text.as_bytes()[at..]).map(|len| at + len) {
        at = open + 1;
        let Some(tag) = Tag::read(pass, text, at, &mut reading, edits) else { continue };
        if reading.left == 0 {
            edits.push(Edit::mask(open..text.len()));
            return;
        }
        // Values of attributes may hold elements.
        at += tag.name.len();
        let is_secret = is_secret(pass, tag.name) || tag.names_a_secret;
        let is_named = named && part(tag.name) == Some(Part::Value);
        if part(tag.name) == Some(Part::Name) {
            let said = &text[tag.end..];
            let said = &said[..memchr::memchr(b'<', said.as_bytes()).unwrap_or(said.len())];
            named = self::is_secret(pass, entities_decoded(said.trim_ascii()).as_ref());
        }
        if tag.is_empty || !(is_secret || is_named) {
            continue;
        }
        if !closes_any && is_type(text, open, &tag) {
            continue;
        }
        let closed = end_of_content(text, tag.end, tag.name);
        let content = tag.end..closed.unwrap_or(text.len());
        at = content.end;
        let said = &text[content.clone()];
        if !said.trim_ascii().is_empty() && !pass.is_mask(said.trim_ascii()) {
            pass.note_name(tag.name);
            remember_content(pass, said);
            edits.push(Edit::mask(content));
        }
    }
}

/// The verdict on a name without its namespace.
fn is_secret(pass: &mut Pass<'_>, name: &str) -> bool {
    pass.verdict(name.rsplit(':').next().unwrap_or(name)) != Verdict::Plain
}

/// Whether it is the parameter of a type, as in `Option<Token>`.
fn is_type(text: &str, open: usize, tag: &Tag<'_>) -> bool {
    let before = open.checked_sub(1).map(|at| text.as_bytes()[at]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b':')
        && tag.name.starts_with(|char: char| char.is_ascii_uppercase())
        && tag.end == open + tag.name.len() + 2
        && text.as_bytes().get(tag.end).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// What bounds the reading of tags.
#[derive(Default)]
struct Reading {
    /// How many bytes may still be read in tags: what is left when there are none is masked.
    left: usize,
    /// Which quotes close nowhere any more.
    no_double: bool,
    no_single: bool,
}

impl Reading {
    fn end_of_quotes(&mut self, bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
        let none = if quote == b'"' { &mut self.no_double } else { &mut self.no_single };
        if *none {
            return None;
        }
        let end = memchr::memchr(quote, &bytes[start..]).map(|len| start + len);
        *none = end.is_none();
        end
    }
}

struct Tag<'t> {
    name: &'t str,
    /// Behind it.
    end: usize,
    is_empty: bool,
    names_a_secret: bool,
}

impl<'t> Tag<'t> {
    /// The opening tag whose name begins at `start`, with edits of its attributes.
    fn read(
        pass: &mut Pass<'_>,
        text: &'t str,
        start: usize,
        reading: &mut Reading,
        edits: &mut Vec<Edit>,
    ) -> Option<Self> {
        let bytes = text.as_bytes();
        let name = &text[start..start + name_len(&text[start..])];
        let mut at = start + name.len();
        if name.is_empty() || !matches!(bytes.get(at), None | Some(b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n' | b'\\'))
        {
            return None;
        }
        let mut tag = Self {
            name,
            end: at,
            is_empty: VOID.iter().any(|one| one.eq_ignore_ascii_case(name)),
            names_a_secret: false,
        };
        let mut values = Vec::new();
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'<' => break,
                b'>' => {
                    tag.is_empty |= bytes[at - 1] == b'/';
                    // One that is not closed has its content behind its name.
                    tag.end = at + 1;
                    break;
                }
                _ => {}
            }
            let len = name_len(&text[at..]);
            if len == 0 {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            let attribute = &text[at..at + len];
            at += len;
            let Some(value) = value_after(bytes, at, reading) else { continue };
            at = value.end;
            let Some(said) = text.get(value.clone()) else { continue };
            let said = entities_decoded(said);
            let is_label = LABELS.contains(&attribute.to_ascii_lowercase().as_str());
            tag.names_a_secret |= is_label && is_secret(pass, said.as_ref());
            values.push((value, is_label, !is_label && is_secret(pass, attribute)));
        }
        reading.left = reading.left.saturating_sub(at - start);
        for (value, is_label, is_secret) in values {
            let said = &text[value.clone()];
            if (is_secret || tag.names_a_secret && !is_label) && !said.is_empty() && !pass.is_mask(said) {
                pass.note_name(name);
                remember_content(pass, said);
                edits.push(Edit::mask(value));
            }
        }
        Some(tag)
    }
}

/// The value after an equals sign: in quotes, perhaps escaped ones, or up to white space or the end of the tag.
fn value_after(bytes: &[u8], at: usize, reading: &mut Reading) -> Option<Range<usize>> {
    let blanks = |at: usize| at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let equals = blanks(at);
    if bytes.get(equals) != Some(&b'=') {
        return None;
    }
    let start = blanks(equals + 1);
    let slashes = bytes[start..].iter().take_while(|byte| **byte == b'\\').count();
    match bytes.get(start + slashes) {
        Some(quote @ (b'"' | b'\'')) => {
            let start = start + slashes + 1;
            let end = reading.end_of_quotes(bytes, start, *quote)?;
            let closing = bytes[start..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            Some(start..end - closing.min(slashes))
        }
        _ => {
            let len = bytes[start..].iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>'));
            Some(start..len.map_or(bytes.len(), |len| start + len))
        }
    }
}

/// Where an element's closing tag begins, past elements of the same name within.
fn end_of_content(text: &str, from: usize, name: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0;
    let mut at = from;
    while let Some(open) = memchr::memchr(b'<', &bytes[at..]).map(|len| at + len) {
        let rest = &bytes[open..];
        at = open + 1;
        let hides = [(&b"<![CDATA["[..], &b"]]>"[..]), (b"<!--", b"-->")];
        if let Some((_, end)) = hides.into_iter().find(|(begin, _)| rest.starts_with(begin)) {
            at = open + memchr::memmem::find(rest, end)?;
            continue;
        }
        // A slash may be escaped, as in JSON.
        let lead = rest[1..].iter().take(2).take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        let is_closing = rest[1..=lead].ends_with(b"/");
        let there = rest.get(1 + lead..1 + lead + name.len()).unwrap_or_default();
        let after = rest.get(1 + lead + name.len());
        let is_same = there.eq_ignore_ascii_case(name.as_bytes())
            && after.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
        match (is_same, is_closing) {
            (true, true) if depth == 0 => return Some(open),
            (true, true) => depth -= 1,
            (true, false) => {
                let tag = memchr::memchr(b'>', rest)?;
                depth += usize::from(rest[tag - 1] != b'/');
                at = open + tag;
            }
            (false, _) => {}
        }
    }
    None
}

/// Remembers what may stand elsewhere without tags around it.
pub(super) fn remember_content(pass: &mut Pass<'_>, content: &str) {
    for piece in content.split(['<', '>']) {
        let said = piece.strip_prefix("![CDATA[").unwrap_or(piece).trim_end_matches("]]");
        if said.len() < content.len() {
            pass.remember(said);
        }
        if let Cow::Owned(said) = entities_decoded(said) {
            pass.remember(&said);
        }
    }
}

/// What a text says once references to characters are read, as in `&lt;a&gt;`.
pub(super) fn entities_decoded(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, reference) = rest.split_at(at);
        let bytes = reference.as_bytes();
        let end = memchr::memchr(b';', &bytes[..bytes.len().min(MAX_REFERENCE)]);
        let said = end.and_then(|end| character(&reference[1..end]));
        out.push_str(before);
        let len = match (said, end) {
            (Some(said), Some(end)) => {
                out.push(said);
                end + 1
            }
            _ => {
                out.push('&');
                1
            }
        };
        rest = &reference[len..];
    }
    if out.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

fn character(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "colon" => Some(':'),
        "equals" => Some('='),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Redactor;
    use super::*;

    fn shown(text: &str) -> String {
        Pass::new(&Redactor::default(), None).string(text)
    }

    #[test]
    fn secret_elements_and_attributes_are_masked() {
        for (given, expected) in [
            ("<password>x</password>", "<password>***</password>"),
            ("got <password>x</password>, bob", "got <password>***</password>, bob"),
            ("<a><password>x</a>", "<a><password>***"),
            ("got <ns:Password a='b'><c>x</c> y", "got <ns:Password a='***'>***"),
            ("see <PASSWORD>x</password > y", "see <PASSWORD>***</password > y"),
            ("see <a b=\"<pin>1</pin>\" c", "see <a b=\"<pin>***</pin>\" c"),
            ("see <pin a=\"b", "see <pin***"),
            ("see <pin>1<pin>2</pin>3</pin>4", "see <pin>***</pin>4"),
            ("see <pin><![CDATA[</pin>x]]></pin>4", "see <pin>***</pin>4"),
            ("see <pin><!-- </pin> -->x</pin>4", "see <pin>***</pin>4"),
            ("see <a token=\"x y\" b='c'/>", "see <a token=\"***\" b='c'/>"),
            ("see <a token=x b=c>d", "see <a token=*** b=c>d"),
            ("<br><input type=\"password\" value=\"x\">y", "<br><input type=\"password\" value=\"***\">y"),
            ("see <p name=\"pass&#119;ord\">x</p> y", "see <p name=\"pass&#119;ord\">***</p> y"),
            ("see <name>DB_PASSWORD</name><value>x</value>", "see <name>DB_PASSWORD</name><value>***</value>"),
            ("&lt;password&gt;x&lt;/password&gt;", "<password>***</password>"),
            ("&amp;lt;password&amp;gt;x", "<password>***"),
            ("see &#60;password&#x3e;x", "see <password>***"),
            ("pass&#119;ord: x", "password: ***"),
            ("\\u003cpassword\\u003ex\\u003c/password\\u003e", "<password>***</password>"),
            ("{\\u0022pin\\u0022: 1}", "{\"pin\":\"***\"}"),
            ("see %3Cpassword%3Ex y%3C/password%3E", "see%20%3Cpassword%3E***%3C%2Fpassword%3E"),
            ("<a>&lt;pin&gt;1&lt;/pin&gt;</a>", "<a><pin>***</pin></a>"),
            ("<a>\\\"<pin>1<\\/pin>\\\" x", "<a>\\\"<pin>***<\\/pin>\\\" x"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
        let deep = format!("{}cAnArY", "<a>".repeat(70));
        assert_eq!(shown(&deep), "***");
    }

    #[test]
    fn what_is_no_secret_element_shows() {
        for text in [
            "a < b > c",
            "expected Option<Token>, found Vec<Key>",
            "<user>bob</user> & <a b=\"c\">",
            "mail <bob@example.com>",
            "<password></password>",
            "<password>***</password>",
            "<a b=\"c\"><br></a>",
            "fish &amp; chips",
            "C:\\users\\u00e9",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_an_element_says_is_remembered_without_tags() {
        for (given, echo) in [
            ("x <password><a>hunter22</a></password>", "hunter22"),
            ("<password><a>hunter22</a></password>", "hunter22"),
            ("x <password>hun&lt;ter22</password>", "hun<ter22"),
            ("x <password><![CDATA[hunter22]]></password>", "hunter22"),
        ] {
            let redactor = Redactor::default();
            let mut pass = Pass::new(&redactor, None);
            pass.string(given);
            let mut text = format!("is {echo}!");
            pass.scrub_text(&mut text);
            assert_eq!(text, "is ***!", "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_canary_in_a_secret_element_appears(
            before in "(x |<b>|<a c=\"d\">|</b>|\"|< |<!-- e -->){0,4}",
            name in prop::sample::select(vec!["password", "ns:Token", "API-Key"]),
            attributes in prop::sample::select(vec!["", " a=\"b\"", " a='>'", " a=b", " secret=\"cAnArY\"", "\n"]),
            content in prop::sample::select(vec!["cAnArY", "<a>cAnArY</a>", "<![CDATA[</password>cAnArY]]>", "\n cAnArY\n", "<b>cAnArY", "&lt;cAnArY"]),
            closed in any::<bool>(),
            encoding in 0..6,
        ) {
            let end = if closed { format!("</{name}>z") } else { String::new() };
            let text = format!("{before}<{name}{attributes}>{content}{end}");
            let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let text = match encoding {
                0 => text,
                1 => escaped(&text),
                2 => escaped(&escaped(&text)),
                3 => text.replace('<', "\\u003c").replace('>', "\\u003E"),
                4 => text.replace('%', "%25").replace('<', "%3C"),
                _ => escaped(&text).replace('&', "%26").replace(';', "%3b"),
            };
            let shown = shown(&text);
            prop_assert!(!shown.contains("cAnArY"), "{} became {}", text, shown);
        }

        #[test]
        fn nothing_panics(text in "(<|>|</|/>|password|a|=|\"|'| |<!--|-->|<!\\[CDATA\\[|\\]\\]>|é|&lt;|&#60;|&|;|\\\\u003c|\\\\|%3C){0,24}") {
            let _ = shown(&text);
        }
    }
}
