//! Finished JSON fragments: writing their strings, finding a value in one, cutting one short.
//!
//! A fragment is one valid JSON value without white space between its tokens. Everything here takes
//! time linear in the fragment, never recurses, and never panics: on text that is no fragment the
//! answer is `None`, or text as wrong as what came in.

/// Where text is written: a string, or bytes that are one.
pub(crate) trait Text {
    fn push_text(&mut self, text: &str);
}

impl Text for String {
    fn push_text(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Text for Vec<u8> {
    fn push_text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Appends `text` as a JSON string, with everything escaped that could end a line or turn its reading
/// around: control characters, U+0080–009F, U+2028, U+2029 and the bidirectional controls.
pub(crate) fn push_json_string(out: &mut impl Text, text: &str) {
    out.push_text("\"");
    push_json_text(out, text);
    out.push_text("\"");
}

/// The same without the quotes around it, to build one string from several pieces.
pub(crate) fn push_json_text(out: &mut impl Text, text: &str) {
    push_escaped(out, text, |byte| (byte == b'"') | (byte == b'\\') | !(0x20..0x7f).contains(&byte));
}

/// Appends the inside of a JSON string token as it was written, escapes included, and escapes the
/// characters that may stand in JSON but not in a record.
pub(crate) fn push_json_raw(out: &mut String, raw: &str) {
    push_escaped(out, raw, |byte| byte >= 0x7f);
}

/// Escapes the ASCII characters that are special, and the odd ones beyond ASCII, whose bytes are all special.
fn push_escaped(out: &mut impl Text, text: &str, is_special: impl Fn(u8) -> bool) {
    let plain = plain_len(text.as_bytes(), &is_special);
    out.push_text(&text[..plain]);
    if plain < text.len() {
        push_special(out, &text[plain..], is_special);
    }
}

/// The same of a text that begins with something special.
#[inline(never)]
fn push_special(out: &mut impl Text, text: &str, is_special: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (char_text, behind) = rest.split_at(char.len_utf8());
        if char.is_ascii() || is_odd_at(rest.as_bytes(), 0) {
            push_escape(out, char);
        } else {
            out.push_text(char_text);
        }
        let plain = plain_len(behind.as_bytes(), &is_special);
        out.push_text(&behind[..plain]);
        rest = &behind[plain..];
    }
}

/// How many bytes come before the first special one. The compiler looks at many bytes at once if the test has no way out
/// before its end.
pub(crate) fn plain_len(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let has_special = |chunk: &[u8]| chunk.iter().fold(false, |special, byte| special | is_special(*byte));
    let mut plain = 0;
    for chunk in bytes.chunks_exact(16) {
        if has_special(chunk) {
            break;
        }
        plain += chunk.len();
    }
    // The end, together with what stands before it, at once too.
    let ends_plain = match (bytes.last_chunk::<16>(), bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(last), ..) => bytes.len() - plain < 16 && !has_special(last),
        (None, Some(first), Some(last)) => !has_special(first) && !has_special(last),
        _ => false,
    };
    if ends_plain {
        return bytes.len();
    }
    let rest = &bytes[plain..];
    plain + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Whether the character that begins at this byte, which is not ASCII, has to be escaped.
pub(crate) fn is_odd_at(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        // U+0080–009F
        0xc2 => bytes.get(at + 1).is_some_and(|next| *next < 0xa0),
        // U+061C
        0xd8 => bytes.get(at + 1) == Some(&0x9c),
        0xe2 => match (bytes.get(at + 1), bytes.get(at + 2)) {
            // U+200E, U+200F, U+2028–202E
            (Some(0x80), Some(last)) => matches!(last, 0x8e | 0x8f | 0xa8..=0xae),
            // U+2066–2069
            (Some(0x81), Some(last)) => matches!(last, 0xa6..=0xa9),
            _ => false,
        },
        _ => false,
    }
}

fn push_escape(out: &mut impl Text, char: char) {
    match char {
        '"' => out.push_text("\\\""),
        '\\' => out.push_text("\\\\"),
        '\n' => out.push_text("\\n"),
        '\r' => out.push_text("\\r"),
        '\t' => out.push_text("\\t"),
        '\u{8}' => out.push_text("\\b"),
        '\u{c}' => out.push_text("\\f"),
        other => {
            let mut units = [0; 2];
            for unit in other.encode_utf16(&mut units) {
                out.push_text("\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = usize::from((*unit >> shift) & 0xf);
                    out.push_text(&"0123456789abcdef"[digit..=digit]);
                }
            }
        }
    }
}

/// The length of the character that a byte of valid UTF-8 leads.
fn utf8_len(lead: u8) -> usize {
    match lead {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// The text of a JSON string token's inside; `None` if an escape in it is not valid, lone surrogates included.
pub(crate) fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (char, len) = escape_at(rest.as_bytes(), at)?;
        out.push(char);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    Some(out)
}

/// The character and the length of the escape that begins at `at`, surrogate pairs as one.
pub(crate) fn escape_at(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let char = match *bytes.get(at + 1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape_at(bytes, at),
        _ => return None,
    };
    Some((char, 2))
}

fn unicode_escape_at(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let first = hex4(bytes, at + 2)?;
    match first {
        0xd800..=0xdbff => {
            if bytes.get(at + 6) != Some(&b'\\') || bytes.get(at + 7) != Some(&b'u') {
                return None;
            }
            let second = hex4(bytes, at + 8)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return None;
            }
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(code)?, 12))
        }
        _ => Some((char::from_u32(first)?, 6)),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let mut value = 0;
    for digit in bytes.get(at..at + 4)? {
        value = value << 4 | char::from(*digit).to_digit(16)?;
    }
    Some(value)
}

/// The value of a key of an object, whatever characters the key has.
pub(crate) fn member<'f>(object: &'f str, key: &str) -> Option<&'f str> {
    child(object, key).filter(|_| object.starts_with('{'))
}

/// The value that a JSON Pointer (RFC 6901) names in a fragment, as it is written there.
pub(crate) fn pointer<'f>(fragment: &'f str, json_pointer: &str) -> Option<&'f str> {
    let mut value = fragment;
    if json_pointer.is_empty() {
        return Some(value);
    }
    for segment in json_pointer.strip_prefix('/')?.split('/') {
        let wanted = segment.replace("~1", "/").replace("~0", "~");
        value = child(value, &wanted)?;
    }
    Some(value)
}

/// The member or element of that name.
fn child<'f>(container: &'f str, wanted: &str) -> Option<&'f str> {
    let bytes = container.as_bytes();
    let object = match bytes.first()? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let index = if object { None } else { Some(wanted.parse::<usize>().ok()?) };
    let mut at = 1;
    let mut position = 0;
    while !matches!(bytes.get(at)?, b'}' | b']') {
        if bytes[at] == b',' {
            at += 1;
        }
        let mut found = index == Some(position);
        if object {
            let end = string_end(bytes, at)?;
            let raw = container.get(at + 1..end - 1)?;
            found = if raw.contains('\\') { unescape(raw)? == wanted } else { raw == wanted };
            // The colon.
            at = end + 1;
        }
        let end = value_end(bytes, at)?;
        if found {
            return container.get(at..end);
        }
        at = end;
        position += 1;
    }
    None
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b'"' => at = string_end(bytes, at)?,
            b',' | b':' => at += 1,
            _ => at = scalar_end(bytes, at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where the string token that begins at `at` ends, its closing quote included.
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the number or word that begins at `at` ends; at least one byte on.
pub(crate) fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let len = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b':' | b'"'));
    at + 1 + len.unwrap_or(rest.len())
}

/// An object with each value that is no array in an array of its own, for indexes that want one shape.
pub(crate) fn members_as_arrays(object: &str) -> Option<String> {
    let bytes = object.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let mut out = String::with_capacity(object.len() + 16);
    let mut copied = 0;
    let mut at = 1;
    while *bytes.get(at)? != b'}' {
        if bytes[at] == b',' {
            at += 1;
        }
        let start = string_end(bytes, at)? + 1;
        let end = value_end(bytes, start)?;
        if bytes.get(start) != Some(&b'[') {
            out.push_str(object.get(copied..start)?);
            out.push('[');
            out.push_str(object.get(start..end)?);
            out.push(']');
            copied = end;
        }
        at = end;
    }
    out.push_str(object.get(copied..)?);
    Some(out)
}

/// A valid beginning of a fragment in at most `max_bytes`: whatever is open at its end is dropped, and
/// what holds it is closed. `None` if nothing would be left to read. A string is cut inside.
pub(crate) fn beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    if fragment.len() <= max_bytes {
        return Some(fragment.to_owned());
    }
    match fragment.as_bytes().first()? {
        b'"' => string_beginning(fragment, max_bytes),
        b'{' | b'[' => container_beginning(fragment, max_bytes),
        _ => None,
    }
}

fn container_beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    let bytes = fragment.as_bytes();
    let mut open = Vec::new();
    let mut kept: Option<(usize, usize)> = None;
    let mut at = 0;
    let mut before_value = true;
    // `at` plus what is open never shrinks: what does not fit once never fits again.
    while at < bytes.len() && at + open.len() <= max_bytes {
        let mut complete = false;
        match bytes[at] {
            b'{' | b'[' => {
                before_value = bytes[at] == b'[';
                open.push(if bytes[at] == b'{' { '}' } else { ']' });
                at += 1;
            }
            b'}' | b']' => {
                open.pop();
                complete = true;
                at += 1;
            }
            b',' => {
                before_value = open.last() == Some(&']');
                at += 1;
            }
            b':' => {
                before_value = true;
                at += 1;
            }
            b'"' => {
                at = string_end(bytes, at)?;
                complete = before_value;
            }
            _ => {
                at = scalar_end(bytes, at);
                complete = true;
            }
        }
        if complete && at + open.len() <= max_bytes {
            kept = Some((at, open.len()));
        }
    }
    let (len, depth) = kept?;
    let mut out = fragment.get(..len)?.to_owned();
    // What was open there is still open here: to close it would have been a place to keep.
    out.extend(open.get(..depth)?.iter().rev());
    Some(out)
}

fn string_beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    let bytes = fragment.as_bytes();
    let room = max_bytes.checked_sub(1)?;
    let mut at = 1;
    while at < bytes.len() {
        let step = match bytes[at] {
            b'\\' => escape_at(bytes, at)?.1,
            lead => utf8_len(lead),
        };
        if at + step > room {
            break;
        }
        at += step;
    }
    if at <= 1 {
        return None;
    }
    let mut out = fragment.get(..at)?.to_owned();
    out.push('"');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn written(text: &str) -> String {
        let mut out = String::new();
        push_json_string(&mut out, text);
        out
    }

    #[test]
    fn what_could_end_or_turn_a_line_is_escaped() {
        assert_eq!(written("a\"b\\c\n\r\t\u{8}\u{c}"), r#""a\"b\\c\n\r\t\b\f""#);
        assert_eq!(written("\u{0}\u{1f}\u{7f}\u{80}\u{9f}"), r#""\u0000\u001f\u007f\u0080\u009f""#);
        assert_eq!(written("\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}"), r#""\u2028\u2029\u061c\u200e\u200f""#);
        assert_eq!(written("\u{202a}\u{202e}\u{2066}\u{2069}"), r#""\u202a\u202e\u2066\u2069""#);
        assert_eq!(
            written("é\u{a0}\u{200d}\u{2027}\u{202f}\u{2065}\u{206a}😀"),
            "\"é\u{a0}\u{200d}\u{2027}\u{202f}\u{2065}\u{206a}😀\""
        );
    }

    #[test]
    fn a_pointer_names_a_value() {
        let fragment = r#"{"a":{"b/c":[1,"x,]}",{"d":null}],"~":true},"\u0062":"","":{}}"#;
        assert_eq!(pointer(fragment, ""), Some(fragment));
        assert_eq!(pointer(fragment, "/a/b~1c/0"), Some("1"));
        assert_eq!(pointer(fragment, "/a/b~1c/1"), Some(r#""x,]}""#));
        assert_eq!(pointer(fragment, "/a/b~1c/2/d"), Some("null"));
        assert_eq!(pointer(fragment, "/a/b~1c/3"), None);
        assert_eq!(pointer(fragment, "/a/b~1c/x"), None);
        assert_eq!(pointer(fragment, "/a/~0"), Some("true"));
        assert_eq!(pointer(fragment, "/b"), Some("\"\""));
        assert_eq!(pointer(fragment, "/"), Some("{}"));
        assert_eq!(pointer(fragment, "a"), None);
        assert_eq!(pointer("12", "/a"), None);
        assert_eq!(pointer("{\"a", "/a"), None);
    }

    #[test]
    fn values_become_arrays() {
        assert_eq!(
            members_as_arrays(r#"{"a":"b","c":["d","e"],"f":""}"#).as_deref(),
            Some(r#"{"a":["b"],"c":["d","e"],"f":[""]}"#)
        );
        assert_eq!(members_as_arrays("{}").as_deref(), Some("{}"));
        assert_eq!(members_as_arrays("[]"), None);
        assert_eq!(members_as_arrays("{\"a"), None);
    }

    #[test]
    fn a_beginning_drops_what_is_open() {
        let fragment = r#"{"a":1,"b":[{"c":"dd"},2],"e":3}"#;
        assert_eq!(beginning(fragment, 100).as_deref(), Some(fragment));
        assert_eq!(beginning(fragment, 27).as_deref(), Some(r#"{"a":1,"b":[{"c":"dd"},2]}"#));
        assert_eq!(beginning(fragment, 25).as_deref(), Some(r#"{"a":1,"b":[{"c":"dd"}]}"#));
        assert_eq!(beginning(fragment, 23).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(beginning(fragment, 7).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(beginning(fragment, 6), None);
        assert_eq!(beginning("123456", 3), None);
        assert_eq!(beginning(r#""añ\nb""#, 5).as_deref(), Some(r#""añ""#));
        assert_eq!(beginning(r#""a\ud83d\ude00b""#, 10).as_deref(), Some(r#""a""#));
        assert_eq!(beginning("\"ñ\"", 3), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>()) {
            let json = written(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            prop_assert!(!json.chars().any(char::is_control));
            prop_assert_eq!(unescape(&json[1..json.len() - 1]), Some(text));
        }

        #[test]
        fn every_beginning_parses(text in prop::collection::vec((".{0,6}", prop::collection::vec(".{0,6}", 0..4)), 0..8), max in 0_usize..200) {
            let map: serde_json::Map<String, Value> = text.into_iter().map(|(k, v)| (k, v.into())).collect();
            let fragment = Value::Object(map).to_string();
            if let Some(short) = beginning(&fragment, max) {
                prop_assert!(short.len() <= max.max(2));
                prop_assert!(serde_json::from_str::<Value>(&short).is_ok(), "{}", short);
            }
        }

        #[test]
        fn nothing_panics(text in any::<String>(), path in any::<String>(), max in 0_usize..50) {
            let _ = pointer(&text, &path);
            let _ = beginning(&text, max);
            let _ = members_as_arrays(&text);
            let _ = unescape(&text);
        }
    }
}
