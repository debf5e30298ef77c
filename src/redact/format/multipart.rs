//! Multipart bodies (RFC 7578, RFC 2046) as the list of their parts: name, file name, content type and
//! size, and the redacted value of each small field that is not a file.

use super::super::Reason;
use super::super::search::{Search, Searcher};
use super::fields::{Decision, Judge, Object, Origin, searched};

/// Larger fields show their size only.
const MAX_VALUE: usize = 1_024;
const MAX_PARTS: usize = 256;
const MAX_HEAD: usize = 8 * 1_024;
/// RFC 2046, section 5.1.1.
const MAX_BOUNDARY: usize = 70;

/// The list as JSON. With `cut`, the last part may be open: it shows without its size.
pub(in crate::redact) fn parts(
    searcher: &mut Searcher<'_>,
    content_type: &str,
    bytes: &[u8],
    cut: bool,
) -> Result<String, Reason> {
    let boundary = only_parameter(content_type, "boundary")?.unwrap_or_default();
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err(Reason::Invalid);
    }
    let delimiter = format!("\r\n--{boundary}");
    let body = [b"\r\n", bytes].concat();
    let (parts, is_closed) = split(&body, delimiter.as_bytes());
    if parts.len() > MAX_PARTS {
        return Err(Reason::TooDeep);
    }
    if !is_closed && !cut {
        return Err(Reason::Invalid);
    }
    let mut judge = Judge::new(searcher, Origin::Form);
    let mut list = Vec::new();
    for (index, bytes) in parts.iter().enumerate() {
        let is_whole = is_closed || index + 1 < parts.len();
        match Part::parse(bytes, delimiter.as_bytes(), is_whole)? {
            Some(part) => list.extend(part.json(searcher, &mut judge, index)),
            None if is_whole => return Err(Reason::Invalid),
            // The cut went through its head.
            None => {}
        }
    }
    // Some readers take it for a delimiter.
    if memchr::memmem::find_iter(&body, &delimiter[1..]).any(|at| body[at - 1] != b'\r') {
        return Err(Reason::Invalid);
    }
    Ok(format!("[{}]", list.join(",")))
}

/// What is between delimiters, each part from the line break behind the delimiter on, and whether the last delimiter was found.
/// What precedes the first is to be ignored (RFC 2046, section 5.1.1).
fn split<'b>(body: &'b [u8], delimiter: &[u8]) -> (Vec<&'b [u8]>, bool) {
    let mut parts = Vec::new();
    // Where the current part begins, if there is one.
    let mut start = None;
    for at in memchr::memmem::find_iter(body, delimiter) {
        let behind = &body[at + delimiter.len()..];
        let is_last = behind.starts_with(b"--");
        let padding = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        // If more follows on its line, it is none.
        if !is_last && !behind[padding..].starts_with(b"\r\n") {
            continue;
        }
        parts.extend(start.map(|start: usize| &body[start..at]));
        if is_last {
            return (parts, true);
        }
        start = Some(at + delimiter.len() + padding);
    }
    parts.extend(start.map(|start| &body[start..]));
    (parts, false)
}

/// A part that was read: what its header fields say, and its content.
#[derive(Default)]
struct Part<'b> {
    name: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
    /// A transfer encoding is named for the content.
    is_encoded: bool,
    content: &'b [u8],
    is_whole: bool,
}

impl<'b> Part<'b> {
    /// `None` if its head has no end.
    fn parse(bytes: &'b [u8], delimiter: &[u8], is_whole: bool) -> Result<Option<Self>, Reason> {
        const BLANK: &[u8] = b"\r\n\r\n";
        let most = &bytes[..bytes.len().min(MAX_HEAD)];
        let (head, content) = if let Some(len) = memchr::memmem::find(most, BLANK) {
            (&bytes[..len], &bytes[len + BLANK.len()..])
        } else if is_whole && most.len() == bytes.len() && bytes.len() > 2 && bytes.ends_with(b"\r\n") {
            // The line break of the delimiter is that of the empty line.
            (bytes, &bytes[..0])
        } else {
            return if bytes.len() > MAX_HEAD { Err(Reason::TooDeep) } else { Ok(None) };
        };
        let content = if is_whole { content } else { without_beginning(content, delimiter) };
        let mut part = Self { content, is_whole, ..Self::default() };
        part.read_head(&String::from_utf8_lossy(head))?;
        Ok(Some(part))
    }

    fn read_head(&mut self, head: &str) -> Result<(), Reason> {
        let mut is_named = false;
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            // Folded lines are obsolete (RFC 7230, section 3.2.4), and readers disagree about them.
            let (field, value) =
                line.split_once(':').filter(|(field, _)| !field.contains([' ', '\t'])).ok_or(Reason::Invalid)?;
            match field.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    // With a second name, or one in extended notation (RFC 8187), it is unknown which one the handler reads.
                    if std::mem::replace(&mut is_named, true) || parameter(value, "name*").is_some() {
                        return Err(Reason::Invalid);
                    }
                    self.name = only_parameter(value, "name")?;
                    // RFC 7578, section 4.2, forbids the extended notation; it shows as it was sent.
                    self.file_name = parameter(value, "filename*").or_else(|| parameter(value, "filename"));
                }
                "content-type" => self.content_type = Some(value.trim().to_owned()),
                "content-transfer-encoding" => {
                    self.is_encoded = !matches!(value.trim().to_ascii_lowercase().as_str(), "7bit" | "8bit" | "binary");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The part as JSON; `None` if it is hidden.
    fn json(&self, searcher: &mut Searcher<'_>, judge: &mut Judge, index: usize) -> Option<String> {
        let Self { name, file_name, content_type, .. } = self;
        let text = String::from_utf8_lossy(self.content);
        let value = if file_name.is_some() { "" } else { &*text };
        let decision = match name {
            Some(name) if self.is_whole || file_name.is_some() => {
                judge.decide(searcher, name, value, || format!("/{index}/value"))
            }
            Some(name) => judge.open(searcher, name, value.trim_end_matches('\u{fffd}')),
            None => Decision::default(),
        };
        if decision.is_hidden {
            return None;
        }
        let mut part = Object::default();
        for (key, text) in [("name", name), ("fileName", file_name), ("contentType", content_type)] {
            part.push(key, text.as_deref().map(|text| searched(searcher, text, Search::Client)));
        }
        if self.is_whole {
            part.push("size", Some(self.content.len().to_string()));
            // A secret value is masked at any size.
            if name.is_some() && file_name.is_none() && (decision.is_secret || self.is_small_text()) {
                part.push("value", decision.json(searcher, value));
            }
        }
        Some(part.finish().unwrap_or_else(|| "{}".to_owned()))
    }

    fn is_small_text(&self) -> bool {
        let is_plain = self.content_type.as_deref().is_none_or(is_text);
        is_plain && !self.is_encoded && self.content.len() <= MAX_VALUE && std::str::from_utf8(self.content).is_ok()
    }
}

/// A content that was cut, without its last bytes if those may be the beginning of a delimiter.
fn without_beginning<'b>(content: &'b [u8], delimiter: &[u8]) -> &'b [u8] {
    let beginnings = (1..=delimiter.len()).rev().map(|len| &delimiter[..len]);
    beginnings.filter_map(|beginning| content.strip_suffix(beginning)).next().unwrap_or(content)
}

/// Whether a part is text in UTF-8, or JSON, which is read as JSON in a string.
fn is_text(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let (media, parameters) = lower.split_once(';').unwrap_or((&lower, ""));
    let other_charset =
        parameters.contains("charset") && !parameters.contains("utf-8") && !parameters.contains("us-ascii");
    matches!(media.trim(), "text/plain" | "application/json") && !other_charset
}

/// A parameter of a header value: a token, or a quoted string.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    parameters(value).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, text)| text)
}

/// The same of a parameter that must not repeat: it would be unknown which one the handler reads.
fn only_parameter(value: &str, wanted: &str) -> Result<Option<String>, Reason> {
    let count = parameters(value).filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
    if count > 1 { Err(Reason::Invalid) } else { Ok(parameter(value, wanted)) }
}

/// The parameters of a header value, up to the first that cannot be read.
fn parameters(value: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = value.split_once(';').map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let (name, after) = rest.take()?.split_once('=')?;
        let after = after.trim_start();
        let (text, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        rest = behind.split_once(';').map(|(_, rest)| rest);
        // A parameter without a value may precede the name.
        let name = name.rsplit(';').next().unwrap_or(name);
        Some((name.trim(), text))
    })
}

/// The text of a quoted string whose opening quote has been read, and what follows it.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let is_escaped = |at: usize| text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    let end = memchr::memchr_iter(b'"', text.as_bytes()).find(|at| !is_escaped(*at))?;
    // Browsers escape quotes only; a backslash before anything else belongs to a path.
    Some((text[..end].replace("\\\"", "\""), &text[end + 1..]))
}
