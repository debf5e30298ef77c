//! Text bodies: `name=value`, `name: value`, `"name":"value"` and `<name>value` with secret names are
//! masked; what begins like JSON, XML or a form is left out unless it is one.

use std::ops::Range;

use super::edit::{Edit, apply};
use super::extent::{Around, extent};
use super::frame::Fate;
use super::json;
use super::markup::find_elements;
use super::names::find_named;
use super::pair::{self, Part};
use super::pass::Pass;
use super::query::is_well_formed;
use super::rules::Verdict;
use super::strings::{find_pairs, name_before};
use super::values::Traits;
use super::xml;
use crate::record::Reason;

/// Redacts a text. With `cut`, the end that the cut may have gone through is dropped.
pub(super) fn text(pass: &mut Pass<'_>, text: &str, cut: bool) -> Result<String, Reason> {
    let trimmed = text.trim_ascii();
    match trimmed.as_bytes().first() {
        Some(b'{' | b'[' | b'"') => json::walk(pass, text, cut, Fate::Show, 1).map(|walked| walked.json),
        Some(b'<') => xml::redact(pass, text, cut, 0),
        _ if looks_like_a_form(trimmed) && !trimmed.split('&').all(|pair| is_well_formed(pair.as_bytes())) => {
            Err(Reason::Invalid)
        }
        _ if cut => {
            let certain = without_open_end(text);
            remember_what_is_dropped(pass, text, certain.len());
            Ok(plain(pass, certain))
        }
        _ => Ok(plain(pass, text)),
    }
}

/// One long word with the signs of a form in it.
fn looks_like_a_form(text: &str) -> bool {
    text.contains('=') && text.contains('&') && !text.bytes().any(|byte| byte.is_ascii_whitespace())
}

fn plain(pass: &mut Pass<'_>, text: &str) -> String {
    let mut edits = Vec::new();
    find_lines(pass, text, &mut edits);
    let named = edits.len();
    pass.find_values(text, Traits::of(text), &mut edits);
    pass.note_values(edits.len() - named);
    let redacted = apply(pass, text, edits).unwrap_or_else(|| text.to_owned());
    // Whatever else has a name in it, or is encoded.
    pass.inspect_rest(&redacted).unwrap_or(redacted)
}

/// Finds `name: value` with a secret name: the rest of the line, and the lines below it that are
/// indented deeper, as in YAML and in folded headers.
fn find_lines(pass: &mut Pass<'_>, text: &str, edits: &mut Vec<Edit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut outer = indent(bytes, 0);
    let mut named: Option<usize> = None;
    let mut unnamed = Unnamed::default();
    let mut around = Around::default();
    let mut line = 0;
    while let Some(colon) = memchr::memchr(b':', &bytes[at..]).map(|len| at + len) {
        let name = name_before(bytes, at, colon);
        if let Some(newline) = memchr::memrchr(b'\n', &bytes[at..colon]) {
            line = at + newline + 1;
            outer = indent(bytes, line);
        }
        at = colon + 1;
        let ends_there = bytes.get(at).is_none_or(u8::is_ascii_whitespace) || bytes.get(at) == Some(&b'"');
        let name_start = name.start;
        let Some(name) = text.get(name).filter(|name| !name.is_empty() && ends_there) else { continue };
        let part = pair::part(name);
        let key = unnamed.go_to(bytes, line, outer, name_start);
        // A name holds for its own element only.
        named = named.filter(|named| !key.is_element || key.column > *named);
        if part == Some(Part::Name) {
            named = names_a_secret(pass, &bytes[at..], text, at).then_some(key.column);
            if named.is_some() {
                unnamed.mask(pass, text, key, edits);
            }
        } else if part == Some(Part::Value) && named.is_none() {
            unnamed.push(key, at);
        }
        if pass.verdict(name) == Verdict::Plain && !(named.is_some() && part == Some(Part::Value)) {
            continue;
        }
        let mut end = end_of_block(bytes, at, outer);
        if matches!(bytes[at..end].trim_ascii_start().first(), Some(b'"' | b'\'' | b'[' | b'{')) {
            // What is in quotes or brackets ends with them, on whatever line.
            around.advance(bytes, name_start);
            end = end.max(extent(bytes, at, &around).end);
            around.skip(bytes, end);
        }
        let value = &text[at..end];
        let lead = value.len() - value.trim_ascii_start().len();
        let value = at + lead..at + lead + value.trim_ascii().len();
        // The newline is read again, for it begins the next line.
        at = value.end.max(at);
        if !value.is_empty() {
            // Its first line alone may stand elsewhere.
            let first = text[value.clone()].lines().next().unwrap_or_default();
            pass.remember(first.trim_matches(['"', '\'', ',']));
            pass.note_name(name);
            edits.push(Edit::mask(value));
        }
    }
}

/// A value that nothing before it has named.
struct Waiting {
    /// Of its key.
    column: usize,
    /// Its key stands in braces, behind something else on its line.
    is_inline: bool,
    /// Where it stands; empty until its end has been seen.
    place: Range<usize>,
}

/// Such values, by column.
#[derive(Default)]
struct Unnamed {
    values: Vec<Waiting>,
    /// The column behind the dashes of a line, which its keys share.
    known: Option<(usize, usize)>,
}

/// Where a key stands.
#[derive(Clone, Copy)]
struct Place {
    /// Behind the dashes of lists before it.
    column: usize,
    is_element: bool,
    is_inline: bool,
}

impl Unnamed {
    /// Goes on to a key.
    fn go_to(&mut self, bytes: &[u8], line: usize, outer: usize, name: usize) -> Place {
        let known = self.known.filter(|known| known.0 == line);
        let mut column = known.map_or(outer, |known| known.1);
        while known.is_none()
            && bytes.get(line + column) == Some(&b'-')
            && matches!(bytes.get(line + column + 1), Some(b' ' | b'\t'))
        {
            column += 1 + indent(bytes, line + column + 1);
        }
        self.known = Some((line, column));
        let before = &bytes[(line + column).min(name)..name];
        let is_inline = !before.iter().all(|byte| matches!(byte, b'"' | b'\''));
        let is_element = !is_inline && column > outer;
        let is_open = |value: &Waiting| value.place.start == value.place.end;
        if is_inline {
            let ended = self.values.iter_mut().rev().take_while(|value| value.is_inline && is_open(value));
            ended.for_each(|value| value.place.end = name);
        } else {
            let is_over = |value: &mut Waiting| value.is_inline || value.column > column - usize::from(is_element);
            while self.values.pop_if(is_over).is_some() {}
            let ended = self.values.iter_mut().rev().take_while(|value| value.column == column && is_open(value));
            ended.for_each(|value| value.place.end = line.max(value.place.start));
        }
        Place { column, is_element, is_inline }
    }

    fn push(&mut self, key: Place, at: usize) {
        self.values.push(Waiting { column: key.column, is_inline: key.is_inline, place: at..at });
    }

    /// Masks those beside a key that names a secret.
    fn mask(&mut self, pass: &mut Pass<'_>, text: &str, key: Place, edits: &mut Vec<Edit>) {
        let is_beside = |value: &mut Waiting| value.column >= key.column && value.is_inline == key.is_inline;
        while let Some(Waiting { place, .. }) = self.values.pop_if(is_beside) {
            let said = &text[place.clone()];
            let lead = said.len() - said.trim_ascii_start().len();
            let said = said.trim_ascii().trim_end_matches(['"', '\'', ',', ' ', '{', '-']).trim_ascii_end();
            if !said.is_empty() && !pass.is_mask(said) {
                pass.note_name("value");
                pass.remember(said.lines().next().unwrap_or_default().trim_matches(['"', '\'']));
                edits.push(Edit::mask(place.start + lead..place.start + lead + said.len()));
            }
        }
    }
}

/// Whether the rest of a line, as in `name: DB_PASSWORD`, names the value on the next ones.
fn names_a_secret(pass: &mut Pass<'_>, rest: &[u8], text: &str, at: usize) -> bool {
    let end = memchr::memchr3(b'\n', b'\r', b',', rest).unwrap_or(rest.len());
    let name = text[at..at + end].trim_ascii().trim_matches(['"', '\'', '}']);
    pass.verdict(name) != Verdict::Plain
}

fn indent(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The end of a line and of the lines below it that are indented deeper.
fn end_of_block(bytes: &[u8], at: usize, outer: usize) -> usize {
    let mut end = at;
    let mut in_list = false;
    loop {
        let Some(newline) = memchr::memchr(b'\n', &bytes[end..]).map(|len| end + len) else { return bytes.len() };
        // Empty lines belong to what is around them.
        let blank = bytes[newline..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = newline + memchr::memrchr(b'\n', &bytes[newline..newline + blank]).unwrap_or(0) + 1;
        let deeper = newline + blank - start;
        let rest = &bytes[newline + blank..];
        // A list may stand as deep as the key that it belongs to.
        let is_element = deeper == outer && rest.starts_with(b"- ") && bytes[at..newline].trim_ascii().is_empty();
        if rest.is_empty() || deeper <= outer && !is_element && !(in_list && deeper == outer && rest.starts_with(b"- "))
        {
            return newline;
        }
        in_list |= is_element;
        end = newline + blank;
    }
}

/// Remembers the secrets that end where nothing shows any more: of the last one, which the cut may have gone through, the
/// beginning.
pub(super) fn remember_what_is_dropped(pass: &mut Pass<'_>, text: &str, kept: usize) {
    let mut edits = Vec::new();
    find_lines(pass, text, &mut edits);
    let traits = Traits::of(text);
    pass.find_values(text, traits, &mut edits);
    find_pairs(pass, text, traits, 0, &mut edits);
    find_named(pass, text, &mut edits);
    find_elements(pass, text, &mut edits);
    for place in edits.into_iter().map(|edit| edit.place).filter(|place| place.end > kept) {
        let said = &text[place.clone()];
        pass.remember(said);
        if text[place.end..].trim_matches(['"', '\'', ' ', '\t', '\r', '\n']).is_empty() {
            pass.remember_beginning(said);
        }
    }
}

/// Without the last line, or in a single line without the last word and the digits before it: the cut
/// may have gone through a secret there.
fn without_open_end(text: &str) -> &str {
    if let Some(newline) = text.rfind('\n') {
        return &text[..newline];
    }
    let words = text.rfind(|char: char| char.is_ascii_whitespace()).map_or("", |space| &text[..space]);
    words.trim_end_matches(|char: char| char.is_ascii_digit() || matches!(char, ' ' | '-' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Redactor};
    use super::*;

    fn redacted(text: &str, cut: bool) -> Body {
        Pass::new(&Redactor::default(), None).text(text.as_bytes(), cut)
    }

    fn shown(text: &str) -> String {
        match redacted(text, false) {
            Body::Text(json) => serde_json::from_str(&json).unwrap(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn secret_names_are_masked_in_text() {
        for (given, expected) in [
            ("hello: world", "hello: world"),
            ("user: bob\npassword: hunter2 x\nport: 1\n", "user: bob\npassword: ***\nport: 1\n"),
            ("db:\n  password: |\n    hunter\n    two\n  port: 1", "db:\n  password: ***\n  port: 1"),
            (
                "- name: A\n  value: 1\n- name: \"DB_PASSWORD\"\n  value: x\n",
                "- name: A\n  value: 1\n- name: \"DB_PASSWORD\"\n  value: ***\n",
            ),
            ("password:\n  - a\n  - b\nc: d", "password:\n  ***\nc: d"),
            ("password:\n- a\n- b\nc: d", "password:\n***\nc: d"),
            ("password: \"a\nb\" c\nd: e", "password: ***\nd: e"),
            ("a:\n  password: {\n\"b\": \"x\",\n\"c\": 1\n}\nd: e", "a:\n  password: ***\nd: e"),
            ("password: it's\nd: e", "password: ***\nd: e"),
            ("password: |\n  a\n\n  b\nc: d", "password: ***\nc: d"),
            (
                "- value: x\n  name: DB_PASSWORD\n- value: y\n  name: A",
                "- value: ***\n  name: DB_PASSWORD\n- value: y\n  name: A",
            ),
            ("- value: y\n- name: DB_PASSWORD\n  a: b", "- value: y\n- name: DB_PASSWORD\n  a: b"),
            (
                "env:\n  - a: b\n    value: |\n      x\n      y\n    c: d\n    name: \"pin\"\nz: 1",
                "env:\n  - a: b\n    value: ***\n    c: d\n    name: \"pin\"\nz: 1",
            ),
            ("- { value: x y, name: pin }\n- { a: z }", "- { value: ***, name: pin }\n- { a: z }"),
            ("- value:\n    value: x\n    name: pin\n  name: a", "- value:\n    value: ***\n    name: pin\n  name: a"),
            ("A=1\nDB_PASSWORD=hunter two\nB=2", "A=1\nDB_PASSWORD=***\nB=2"),
            ("sent {\"password\":\"x\", \"a\":1}", "sent {\"password\":***"),
            ("Authorization: Bearer abc\r\nHost: x", "Authorization: ***\r\nHost: x"),
            ("a=1&token=abc", "a=1&token=***"),
            ("{\"pin\": 1}", "{\"pin\":\"***\"}"),
            ("key AKIAIOSFODNN7EXAMPLE", "key ***"),
            ("https://h/a", "https://h/a"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
    }

    #[test]
    fn what_only_begins_like_something_is_left_out() {
        for text in ["{password: x}", "[INFO] x", "\"abc", "<a><b></a>", "a=1&hunter2"] {
            assert_eq!(redacted(text, false), Body::Omitted(Reason::Invalid), "{text}");
        }
    }

    #[test]
    fn a_secret_that_a_cut_goes_through_is_remembered_as_a_beginning() {
        for text in [
            "a: b\npassword: correct hor",
            "a: b\npassword:\n  correct hor",
            "a=b\npassword=correct hor",
            "x\n{\"password\": \"correct hor",
            "user: bob, password: \"correct hor",
            "<a><b>c</b><password>correct hor",
            "<a><b>c</b><d token=\"correct hor",
        ] {
            let redactor = Redactor::default();
            let mut pass = Pass::new(&redactor, None);
            let body = pass.text(text.as_bytes(), true);
            assert!(!format!("{body:?}").contains("correct"), "{text}: {body:?}");
            let mut error = "not correct horse battery staple".to_owned();
            pass.scrub_text(&mut error);
            assert_eq!(error, "not ***", "{text}");
        }
    }

    #[test]
    fn the_end_at_a_cut_is_dropped() {
        let beginning = |text: &str| Body::Beginning(format!("\"{text}\""), Reason::Truncated);
        assert_eq!(redacted("one two eyJhbGciOiJI", true), beginning("one two"));
        assert_eq!(redacted("one 4111 1111 11", true), beginning("one"));
        assert_eq!(redacted("one\ntwo three", true), beginning("one"));
        assert_eq!(redacted("one", true), Body::Omitted(Reason::Truncated));
        assert_eq!(redacted("a\n-----BEGIN X-----\nabc\ndef", true), beginning("a\\n***"));
        assert_eq!(redacted("{\"a\":1,\"b", true), Body::Beginning("\"{\\\"a\\\":1}\"".to_owned(), Reason::Truncated));
    }
}
