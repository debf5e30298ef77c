//! JSON text → the ends of its tokens and values, and the text of its strings.

use crate::block::find_either;

/// Reports for each byte of JSON whether it is inside a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InString {
    open: bool,
    escaped: bool,
}

impl InString {
    /// Takes the next byte; true if it belongs to a string, except for the opening quote.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        if !self.open {
            self.open = byte == b'"';
            return false;
        }
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.open = false;
        }
        true
    }
}

/// The end of the value that begins at `at`.
pub(crate) fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
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

/// The end of the string token that begins at `at`, its closing quote included.
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = find_either(bytes, at, b'"', b'\\')?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The same of a token that has no escapes; `None` if it has one, or no end.
#[inline(always)]
pub(crate) fn plain_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    find_either(bytes, at + 1, b'"', b'\\').filter(|end| bytes[*end] == b'"').map(|end| end + 1)
}

/// The end of the number or word that begins at `at`, at least one byte on. White space may follow it.
pub(crate) fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let ends =
        |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b'{' | b'[' | b' ' | b'\n' | b'\t' | b'\r');
    at + rest.iter().position(ends).unwrap_or(rest.len()).max(1)
}

/// The text of the inside of a string token; `None` if it has an invalid escape or a lone surrogate.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_the_quote_that_is_not_escaped() {
        let mut state = InString::default();
        let inside: Vec<bool> = br#"a"b\\\"c"d"#.iter().map(|byte| state.take(*byte)).collect();
        assert_eq!(inside, [false, false, true, true, true, true, true, true, true, false]);
        assert_eq!(string_end(br#""b\\\"c"d"#, 0), Some(8));
        assert_eq!(string_end(b"\"b", 0), None);
    }

    #[test]
    fn a_value_ends_with_its_last_bracket() {
        let json = br#"[{"a":"]"},2],3"#;
        assert_eq!((value_end(json, 0), value_end(json, 1), value_end(json, 14)), (Some(13), Some(10), Some(15)));
        assert_eq!((value_end(b"]", 0), value_end(b"{", 0), value_end(b"", 0)), (None, None, None));
    }
}
