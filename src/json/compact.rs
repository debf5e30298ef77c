//! Whether a text is JSON as lines of this library are: one value, no white space between tokens, odd characters escaped.

use super::write::is_odd_at;
use crate::block::{Block, LEN};

/// Why a text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is no JSON (RFC 8259).
    Syntax,
    /// White space between two tokens.
    WhiteSpace,
    /// A character in a string that is always escaped.
    Odd,
    /// More levels of lists and objects than are allowed.
    TooDeep,
}

/// Most levels that [`check_compact`] can be asked for.
pub(crate) const MAX_LEVELS: u32 = u128::BITS;

/// Reads each byte once and reports the first flaw. Escaped surrogates need not come in pairs, as in `serde_json`'s `IgnoredAny`.
pub(crate) fn check_compact(text: &str, max_depth: u32) -> Result<(), Flaw> {
    let bytes = text.as_bytes();
    // A bit for each open level, the innermost the lowest: whether it is an object.
    let (mut objects, mut depth, mut at) = (0_u128, 0, 0);
    loop {
        match bytes.get(at) {
            Some(b'"') => at = string(bytes, at)?,
            Some(open @ (b'{' | b'[')) => {
                depth += 1;
                if depth > max_depth.min(MAX_LEVELS) {
                    return Err(Flaw::TooDeep);
                }
                at += 1;
                objects = objects << 1 | u128::from(*open == b'{');
                match (open, bytes.get(at)) {
                    (b'{', Some(b'}')) | (b'[', Some(b']')) => {}
                    (b'{', _) => {
                        at = key(bytes, at)?;
                        continue;
                    }
                    _ => continue,
                }
            }
            Some(b't') => at = word(bytes, at, b"true")?,
            Some(b'f') => at = word(bytes, at, b"false")?,
            Some(b'n') => at = word(bytes, at, b"null")?,
            Some(b'-' | b'0'..=b'9') => at = number(bytes, at)?,
            other => return Err(flaw(other)),
        }
        // A value ends here, and perhaps levels with it.
        loop {
            if depth == 0 {
                return if at == bytes.len() { Ok(()) } else { Err(flaw(bytes.get(at))) };
            }
            let is_object = objects & 1 == 1;
            match (bytes.get(at), is_object) {
                (Some(b','), true) => {
                    at = key(bytes, at + 1)?;
                    break;
                }
                (Some(b','), false) => {
                    at += 1;
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    depth -= 1;
                    objects >>= 1;
                    at += 1;
                }
                (other, _) => return Err(flaw(other)),
            }
        }
    }
}

/// What a byte is that should not be there.
fn flaw(byte: Option<&u8>) -> Flaw {
    if byte.is_some_and(u8::is_ascii_whitespace) { Flaw::WhiteSpace } else { Flaw::Syntax }
}

/// The end of a key and its colon.
fn key(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    if bytes.get(at) != Some(&b'"') {
        return Err(flaw(bytes.get(at)));
    }
    let end = string(bytes, at)?;
    if bytes.get(end) == Some(&b':') { Ok(end + 1) } else { Err(flaw(bytes.get(end))) }
}

/// The end of the string whose opening quote is at `at`.
fn string(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let mut at = at + 1;
    loop {
        at = special(bytes, at).ok_or(Flaw::Syntax)?;
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') if bytes.get(at + 2..at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
                    at += 6;
                }
                _ => return Err(Flaw::Syntax),
            },
            0..0x20 => return Err(Flaw::Syntax),
            _ if is_odd_at(bytes, at) => return Err(Flaw::Odd),
            _ => at += 1,
        }
    }
}

/// Where the next quote, backslash, control character (DEL is one), or byte beyond ASCII is.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(block) = Block::at(bytes, at) {
        let found = block.is(b'"').or(block.is(b'\\')).or(block.is_in(0, 0x1f)).or(block.is_in(0x7f, 0xff)).bits();
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += LEN;
    }
    let is_special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20 | 0x7f..);
    bytes.get(at..)?.iter().position(is_special).map(|len| at + len)
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Flaw> {
    if bytes[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Flaw::Syntax) }
}

/// Whether a text is a number (RFC 8259, section 6).
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && number(text.as_bytes(), 0) == Ok(text.len())
}

/// The end of a number: a sign, digits without leading zeros, a fraction, an exponent.
fn number(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let digits = |at: usize| {
        let len = bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len == 0 { Err(Flaw::Syntax) } else { Ok(at + len) }
    };
    let first = if bytes[at] == b'-' { at + 1 } else { at };
    let mut end = if bytes.get(first) == Some(&b'0') { first + 1 } else { digits(first)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(signed))?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_core::de::IgnoredAny;

    use super::*;

    #[test]
    fn the_first_flaw_is_reported() {
        for (text, expected) in [
            (r#"{"a":[1,-0.5e+3,"\u00e9\n",{},[],true,false,null]}"#, Ok(())),
            ("0", Ok(())),
            ("", Err(Flaw::Syntax)),
            (r#"{"a":1,}"#, Err(Flaw::Syntax)),
            (r#"{"a" :1}"#, Err(Flaw::WhiteSpace)),
            ("[1, 2]", Err(Flaw::WhiteSpace)),
            ("[1]\n", Err(Flaw::WhiteSpace)),
            ("[1}", Err(Flaw::Syntax)),
            ("[[[[1]]]]", Err(Flaw::TooDeep)),
            ("[[[1],[2]]]", Ok(())),
            ("\"\u{202e}\"", Err(Flaw::Odd)),
            ("\"\u{7f}\"", Err(Flaw::Odd)),
            ("{\"a\u{7f}\":\"longer than one block of bytes\"}", Err(Flaw::Odd)),
            ("\"longer than one block of bytes, and then \u{7f}\"", Err(Flaw::Odd)),
            ("\"\t\"", Err(Flaw::Syntax)),
            ("01", Err(Flaw::Syntax)),
            ("1.", Err(Flaw::Syntax)),
            (r#""\x""#, Err(Flaw::Syntax)),
            (r#""\u00g0""#, Err(Flaw::Syntax)),
        ] {
            assert_eq!(check_compact(text, 3), expected, "{text}");
        }
    }

    /// As slowly as can be: serde's syntax, and what this library's lines have besides.
    fn is_compact(text: &str) -> bool {
        let mut state = super::super::InString::default();
        let bytes = text.as_bytes();
        let is_fine = |(at, byte): (usize, u8)| {
            if state.take(byte) { !is_odd_at(bytes, at) } else { !byte.is_ascii_whitespace() }
        };
        text.bytes().enumerate().all(is_fine) && serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    /// Valid values, most with strings that are longer than a block.
    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|value| serde_json::json!(value)),
            any::<f64>().prop_map(|value| serde_json::json!(value)),
            any::<i64>().prop_map(|value| serde_json::json!(value)),
            "[ -~]{0,40}".prop_map(|value| serde_json::json!(value)),
            any::<String>().prop_map(|value| serde_json::json!(value)),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|values| serde_json::json!(values)),
                prop::collection::btree_map("[a-z\\\\\"]{0,20}", inner, 0..4).prop_map(|map| serde_json::json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_reads_without_white_space(value in value(), at: prop::sample::Index, put in "[\\x00-\\x7f\u{e9}\u{202e}]{0,2}", skip in 0..3_usize) {
            let text = value.to_string();
            prop_assert_eq!(check_compact(&text, 100).is_ok(), is_compact(&text));
            let chars: Vec<char> = text.chars().collect();
            let from = at.index(chars.len() + 1);
            let behind = chars.iter().skip(from + skip);
            let changed: String = chars[..from].iter().copied().chain(put.chars()).chain(behind.copied()).collect();
            prop_assert_eq!(check_compact(&changed, 100).is_ok(), is_compact(&changed), "{}", changed);
        }

        #[test]
        fn any_text_is_checked_without_a_panic(text in "[\\[\\]{}\",:\\\\ue0-9tfn. é]{0,60}") {
            prop_assert_eq!(check_compact(&text, 100).is_ok(), is_compact(&text));
        }
    }
}
