//! Multipart bodies (RFC 7578, RFC 2046) as the list of their parts: name, file name, content type and
//! size, and the redacted value of each small field that is no file.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::fields::{Fields, Origin};
use super::hit::HitRule;
use super::pass::Pass;
use super::pointer::Effect;
use crate::record::Reason;
use crate::record::fragment::push_json_string;

/// Larger fields show their size only.
const MAX_VALUE: usize = 1_024;
const MAX_PARTS: usize = 256;
const MAX_HEAD: usize = 8 * 1_024;

/// The list as a JSON fragment. With `cut`, the last part may be open: it shows without its size.
pub(super) fn parts(pass: &mut Pass<'_>, content_type: &str, bytes: &[u8], cut: bool) -> Result<String, Reason> {
    let boundary = parameter(content_type, "boundary").ok_or(Reason::Invalid)?;
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(Reason::Invalid);
    }
    let mut body = Reader { bytes, delimiter: format!("\r\n--{boundary}"), at: 0 };
    let mut out = String::from("[");
    let mut count = 0;
    let mut fields = Fields::of(pass, Origin::Body);
    let mut delimiter = body.first_delimiter();
    loop {
        match delimiter {
            Delimiter::Last => break,
            Delimiter::None if cut => break,
            Delimiter::None => return Err(Reason::Invalid),
            Delimiter::Next => {}
        }
        count += 1;
        if count > MAX_PARTS {
            return Err(Reason::TooDeep);
        }
        let Some(head) = body.head()? else { if cut { break } else { return Err(Reason::Invalid) } };
        let (content, next) = body.content();
        let is_whole = next != Delimiter::None;
        if out.len() > 1 {
            out.push(',');
        }
        if pass.is_explaining() {
            pass.note_step(0, &(count - 1).to_string());
        }
        let pointed = head.name.as_deref().and_then(|name| fields.next(pass, name));
        head.push(pass, &mut out, &bytes[content], is_whole, pointed);
        delimiter = next;
    }
    out.push(']');
    Ok(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Next,
    Last,
    /// The body ends first.
    None,
}

struct Reader<'b> {
    bytes: &'b [u8],
    delimiter: String,
    at: usize,
}

impl<'b> Reader<'b> {
    /// The body may begin with a delimiter, or have a preamble, which nobody reads.
    fn first_delimiter(&mut self) -> Delimiter {
        let line = &self.delimiter.as_bytes()[2..];
        if self.bytes.starts_with(line)
            && let Some(found) = self.after_delimiter(line.len())
        {
            return found;
        }
        self.content().1
    }

    /// The content up to the next delimiter; then the reader stands behind that.
    fn content(&mut self) -> (Range<usize>, Delimiter) {
        let start = self.at;
        // The line break before a delimiter may be the one that ends the head.
        let mut from = start.saturating_sub(2);
        while let Some(len) = memchr::memmem::find(&self.bytes[from..], self.delimiter.as_bytes()) {
            let end = from + len;
            if let Some(found) = self.after_delimiter(end + self.delimiter.len()) {
                return (start..end.max(start), found);
            }
            from = end + 1;
        }
        self.at = self.bytes.len();
        (start..self.at, Delimiter::None)
    }

    /// What kind of delimiter ends here; none if its line goes on.
    fn after_delimiter(&mut self, at: usize) -> Option<Delimiter> {
        let rest = &self.bytes[at..];
        if rest.starts_with(b"--") {
            self.at = self.bytes.len();
            return Some(Delimiter::Last);
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if rest[padding..].starts_with(b"\r\n") {
            self.at = at + padding + 2;
            return Some(Delimiter::Next);
        }
        None
    }

    /// The head of a part, up to its empty line; `None` if that is not there.
    fn head(&mut self) -> Result<Option<Head>, Reason> {
        let rest = &self.bytes[self.at..];
        let within = &rest[..rest.len().min(MAX_HEAD)];
        let len = if within.starts_with(b"\r\n") {
            Some(0)
        } else {
            memchr::memmem::find(within, b"\r\n\r\n").map(|len| len + 2)
        };
        let Some(len) = len else {
            return if rest.len() > MAX_HEAD { Err(Reason::TooDeep) } else { Ok(None) };
        };
        self.at += len + 2;
        Ok(Some(Head::parse(&String::from_utf8_lossy(&rest[..len]))?))
    }
}

/// What the header fields of a part say.
#[derive(Debug, Default)]
struct Head {
    name: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
    /// A transfer encoding stands over the content.
    is_encoded: bool,
}

impl Head {
    fn parse(text: &str) -> Result<Self, Reason> {
        let mut head = Self::default();
        let mut is_named = false;
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            // Folded lines have been obsolete for long, and hide things.
            let (field, value) =
                line.split_once(':').filter(|(field, _)| !field.contains(' ')).ok_or(Reason::Invalid)?;
            match field.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    // Of two names nobody knows which one the handler reads.
                    if std::mem::replace(&mut is_named, true) || !has_one_name(value) {
                        return Err(Reason::Invalid);
                    }
                    head.name = parameter(value, "name").map(Cow::into_owned);
                    let extended = parameter(value, "filename*").map(|extended| decode_extended(&extended));
                    head.file_name = extended.or_else(|| parameter(value, "filename").map(Cow::into_owned));
                }
                "content-type" => head.content_type = Some(value.trim().to_owned()),
                "content-transfer-encoding" => {
                    head.is_encoded = !matches!(value.trim().to_ascii_lowercase().as_str(), "7bit" | "8bit" | "binary");
                }
                _ => {}
            }
        }
        Ok(head)
    }

    fn push(&self, pass: &mut Pass<'_>, out: &mut String, content: &[u8], is_whole: bool, pointed: Option<Effect>) {
        let start = out.len();
        out.push('{');
        for (key, text) in [("name", &self.name), ("fileName", &self.file_name), ("contentType", &self.content_type)] {
            if let Some(text) = text {
                push_key(out, start, key);
                let redacted = pass.inspect(text, 0);
                if redacted.is_some() {
                    pass.note_step(1, key);
                    pass.note_hit(HitRule::Value);
                }
                push_json_string(out, redacted.as_deref().unwrap_or(text));
            }
        }
        if is_whole {
            push_key(out, start, "size");
            out.push_str(&content.len().to_string());
        }
        if let Some(name) = self.name.as_deref().filter(|_| self.file_name.is_none()) {
            pass.note_step(1, "value");
            let rule = match pointed {
                Some(Effect::Mask) => Some(HitRule::Pointer),
                Some(Effect::Except) => None,
                None => pass.verdict(name).rule(),
            };
            match rule {
                Some(rule) => push_secret(pass, out, start, content, is_whole, rule),
                None => self.push_value(pass, out, start, content, is_whole),
            }
        }
        out.push('}');
    }

    /// The value of a field that is no file, if it is small text.
    fn push_value(&self, pass: &mut Pass<'_>, out: &mut String, start: usize, content: &[u8], is_whole: bool) {
        let text = std::str::from_utf8(content);
        let is_plain = self.content_type.as_deref().is_none_or(is_text);
        if let (Ok(text), true, true) = (text, is_whole && is_plain && !self.is_encoded, content.len() <= MAX_VALUE) {
            push_key(out, start, "value");
            match pass.inspect(text, 0) {
                None => push_json_string(out, text),
                Some(redacted) => {
                    pass.note_hit(HitRule::Value);
                    push_json_string(out, &redacted);
                }
            }
        }
    }
}

/// A mask for a secret of any size.
fn push_secret(pass: &mut Pass<'_>, out: &mut String, start: usize, content: &[u8], is_whole: bool, rule: HitRule) {
    pass.note_hit(rule);
    let value = String::from_utf8_lossy(content);
    if !is_whole {
        pass.remember_beginning(value.trim_end_matches('\u{fffd}'));
        return;
    }
    pass.remember(&value);
    let before = out.len();
    push_key(out, start, "value");
    if !pass.mask_json(out, &value) {
        out.truncate(before);
    }
}

fn push_key(out: &mut String, object: usize, key: &str) {
    if out.len() > object + 1 {
        out.push(',');
    }
    push_json_string(out, key);
    out.push(':');
}

/// Text in UTF-8, or JSON, which strings are looked into for.
fn is_text(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let (media, parameters) = lower.split_once(';').unwrap_or((&lower, ""));
    let other_charset =
        parameters.contains("charset") && !parameters.contains("utf-8") && !parameters.contains("us-ascii");
    matches!(media.trim(), "text/plain" | "application/json") && !other_charset
}

/// A parameter of a header value: a token, or a quoted string.
fn parameter<'v>(value: &'v str, wanted: &str) -> Option<Cow<'v, str>> {
    parameters(value).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, text)| text)
}

/// Whether a disposition has at most one name, in plain spelling.
fn has_one_name(value: &str) -> bool {
    let names = parameters(value).filter(|(name, _)| name.eq_ignore_ascii_case("name"));
    let extended = parameters(value).any(|(name, _)| name.eq_ignore_ascii_case("name*"));
    names.count() <= 1 && !extended
}

/// The parameters of a header value, up to the first that cannot be read.
fn parameters(value: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = value.split_once(';').map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let (name, after) = rest.take()?.split_once('=')?;
        let after = after.trim_start();
        let (text, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (Cow::Borrowed(after[..end].trim_end()), &after[end..])
            }
        };
        rest = behind.split_once(';').map(|(_, rest)| rest);
        // A parameter without a value may stand before the name.
        let name = name.rsplit(';').next().unwrap_or(name);
        Some((name.trim(), text))
    })
}

/// The text of a quoted string whose opening quote has been read, and what stands behind it.
fn quoted_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut plain = String::new();
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            // Browsers escape quotes only; a backslash before anything else is a path's.
            '"' if escaped => {
                plain.pop();
                plain.push('"');
                escaped = false;
            }
            '"' => return Some((Cow::Owned(plain), &text[at + 1..])),
            other => {
                escaped = other == '\\' && !escaped;
                plain.push(other);
            }
        }
    }
    None
}

/// `UTF-8''na%20me` of RFC 8187.
fn decode_extended(value: &str) -> String {
    let text = value.splitn(3, '\'').nth(2).unwrap_or(value);
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Redactor};
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x y\"";

    fn body(text: &str, cut: bool) -> Body {
        Pass::new(&Redactor::default(), None).multipart(TYPE, text.as_bytes(), cut)
    }

    fn part(head: &str, content: &str) -> String {
        format!("--x y\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    #[test]
    fn parts_are_listed() {
        let text = [
            part("name=\"a\"", "b=1&pin=2"),
            part("name=token", "hunter2"),
            part("name=\"f\"; filename=\"C:\\x\\\"y.txt\"\r\nContent-Type: text/plain", "hunter3"),
            part("filename*=UTF-8''%e2%82%ac.txt; name=\"g\"", ""),
            part("name=\"j\"\r\nContent-Type: application/json", "{\"password\":1}"),
            part("name=\"long\"", &"x".repeat(1_025)),
            part("name=\"b64\"\r\nContent-Transfer-Encoding: base64", "aHVudGVy"),
            "--x y--\r\nepilogue".to_owned(),
        ];
        assert_eq!(
            body(&text.concat(), false),
            Body::Whole(
                concat!(
                    r#"[{"name":"a","size":9,"value":"b=1&pin=***"},{"name":"token","size":7,"value":"***"},"#,
                    r#"{"name":"f","fileName":"C:\\x\"y.txt","contentType":"text/plain","size":7},"#,
                    r#"{"name":"g","fileName":"€.txt","size":0},"#,
                    r#"{"name":"j","contentType":"application/json","size":14,"value":"{\"password\":\"***\"}"},"#,
                    r#"{"name":"long","size":1025},{"name":"b64","size":8}]"#,
                )
                .to_owned()
            )
        );
        assert_eq!(
            body("preamble\r\n--x y  \r\n\r\nz\r\n--x yz\r\n--x y--", false),
            Body::Whole(r#"[{"size":9}]"#.to_owned())
        );
        assert_eq!(body("--x y--", false), Body::Whole("[]".to_owned()));
    }

    #[test]
    fn pointers_lead_to_fields() {
        let redactor = Redactor::builder().pointer("/badge").pointer("/x/1").except_pointer("/pin").build().unwrap();
        let text = [
            part("name=\"badge\"", "7"),
            part("name=x", "1"),
            part("name=x", "2"),
            part("name=pin", "3"),
            part("name=badge; filename=a", "4"),
            "--x y--\r\n".to_owned(),
        ];
        assert_eq!(
            Pass::new(&redactor, None).multipart(TYPE, text.concat().as_bytes(), false),
            Body::Whole(
                concat!(
                    r#"[{"name":"badge","size":1,"value":"***"},{"name":"x","size":1,"value":"1"},"#,
                    r#"{"name":"x","size":1,"value":"***"},{"name":"pin","size":1,"value":"3"},"#,
                    r#"{"name":"badge","fileName":"a","size":1}]"#,
                )
                .to_owned()
            )
        );
    }

    #[test]
    fn names_of_parts_and_files_are_looked_into() {
        for (head, shown) in [
            ("name=\"password=hunter2\"", r#""name":"password=***","size":1,"value":"***""#),
            ("name=\"a%3Fpin%3D1234\"", r#""name":"a%3Fpin%3D***","size":1,"value":"***""#),
            ("name=\"{\\\"pin\\\":1}\"", r#""name":"{\"pin\":\"***\"}","size":1,"value":"***""#),
            ("name=f; filename=\"4111 1111 1111 1111.txt\"", r#""name":"f","fileName":"***.txt","size":1"#),
            ("name=f; filename*=UTF-8''token%3Dabc", r#""name":"f","fileName":"token=***","size":1"#),
            (
                "name=f; filename=x\r\nContent-Type: text/plain; token=abc",
                r#""name":"f","fileName":"x","contentType":"text/plain; token=***","size":1"#,
            ),
            ("name=\"раssword\"", r#""name":"раssword","size":1,"value":"***""#),
        ] {
            let text = part(head, "v") + "--x y--\r\n";
            assert_eq!(body(&text, false), Body::Whole(format!("[{{{shown}}}]")), "{head}");
        }
    }

    #[test]
    fn a_part_with_two_names_is_left_out() {
        for head in [
            "name=a; name=password",
            "name=password; x=1; NAME=a",
            "name=a; name*=UTF-8''password",
            "name=password\r\nContent-Disposition: form-data; name=a",
        ] {
            assert_eq!(body(&(part(head, "v") + "--x y--\r\n"), false), Body::Omitted(Reason::Invalid), "{head}");
        }
    }

    #[test]
    fn a_cut_part_shows_its_head() {
        let text =
            format!("{}--x y\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nhunter2", part("name=a", "b"));
        let mut pass_text = "hunter2000".to_owned();
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        assert_eq!(
            pass.multipart(TYPE, text.as_bytes(), true),
            Body::Beginning(r#"[{"name":"a","size":1,"value":"b"},{"name":"token"}]"#.to_owned(), Reason::Truncated)
        );
        pass.scrub_text(&mut pass_text);
        assert_eq!(pass_text, "***");
        assert_eq!(body("--x y\r\nContent-Dis", true), Body::Omitted(Reason::Truncated));
    }

    #[test]
    fn what_is_not_multipart_is_left_out() {
        for text in ["", "hunter2", "--x y\r\n", "--x y\r\nname\r\n\r\nx\r\n--x y--", "--x y\n\nz\n--x y--"] {
            assert_eq!(body(text, false), Body::Omitted(Reason::Invalid), "{text}");
        }
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        assert_eq!(pass.multipart("multipart/form-data", b"--\r\n", false), Body::Omitted(Reason::Invalid));
        assert_eq!(body(&part("name=a", "").repeat(300), true), Body::Omitted(Reason::TooDeep));
    }

    proptest! {
        #[test]
        fn no_canary_appears(name in "(password|api_key|user\\[token\\])", content in "[a-z\r\n-]{0,5}cAnArY[a-z\r\n-]{0,5}", other in "[a-z \r\n\"{-]{0,9}", cut in any::<prop::sample::Index>(), is_cut in any::<bool>()) {
            let text = format!("{}{}--x y--\r\n", part("name=a", &other), part(&format!("name=\"{name}\""), &content));
            let text = if is_cut { &text[..cut.index(text.len())] } else { &text };
            match body(text, is_cut) {
                Body::Whole(json) | Body::Beginning(json, _) => {
                    prop_assert!(!json.contains("cAnAr"), "{} became {}", text, json);
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
                }
                Body::Omitted(_) => prop_assert!(is_cut),
                Body::Text(_) => prop_assert!(false),
            }
        }

        #[test]
        fn nothing_panics(text in "(--x y|\r\n|--| |name=|\"|;|:|Content-Disposition|filename\\*=|'|%|é|\\\\){0,24}", content_type in "(;|boundary=|\"|x y|é| ){0,6}", cut in any::<bool>()) {
            let _ = body(&text, cut);
            let _ = Pass::new(&Redactor::default(), None).multipart(&content_type, text.as_bytes(), cut);
        }
    }
}
