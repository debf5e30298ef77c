//! The tokens of strict JSON: where a string or a number ends, and whether it is one.

use super::block::{self, Block};
use crate::record::Reason;
use crate::record::fragment::{escape_at, is_odd_at};

/// Longer numbers make stores and readers give up.
const MAX_NUMBER: usize = 128;

/// Why a token could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text ends within it.
    End,
    /// It is wrong.
    Because(Reason),
}

pub(super) const INVALID: Stop = Stop::Because(Reason::Invalid);

/// A string token: the inside is the text from after the opening quote to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringToken {
    pub(super) end: usize,
    /// As wide as `end`: single bytes that are written alone and read together stall the processor,
    /// and that cost a quarter of a walk.
    marks: usize,
}

impl StringToken {
    const ESCAPES: usize = 1;
    const ODD: usize = 2;

    pub(super) fn has_escapes(self) -> bool {
        self.marks & Self::ESCAPES != 0
    }

    /// It has characters that a record escapes and JSON does not.
    pub(super) fn has_odd(self) -> bool {
        self.marks & Self::ODD != 0
    }
}

/// Reads a string token whose opening quote stands before `at`.
#[inline]
pub(super) fn string(bytes: &[u8], at: usize) -> Result<StringToken, Stop> {
    let end = skip_plain(bytes, at);
    if bytes.get(end) == Some(&b'"') {
        return Ok(StringToken { end, marks: 0 });
    }
    string_from(bytes, end)
}

/// The same from a character on that needs a look. Apart, so that the short way stays short.
#[inline(never)]
fn string_from(bytes: &[u8], at: usize) -> Result<StringToken, Stop> {
    let mut token = StringToken { end: at, marks: 0 };
    loop {
        let at = skip_plain(bytes, token.end);
        let Some(byte) = bytes.get(at) else { return Err(Stop::End) };
        token.end = match byte {
            b'"' => {
                token.end = at;
                return Ok(token);
            }
            b'\\' => {
                token.marks |= StringToken::ESCAPES;
                at + escape_len(bytes, at)?
            }
            0x7f => {
                token.marks |= StringToken::ODD;
                at + 1
            }
            0x80.. => {
                token.marks |= if is_odd_at(bytes, at) { StringToken::ODD } else { 0 };
                at + 1
            }
            _ => return Err(INVALID),
        };
    }
}

/// The first byte from `at` on that is not plain text of a JSON string.
#[inline(always)]
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = Block::at(bytes, at) {
        let stops = not_plain(block);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += block::LEN;
    }
    skip_last(bytes, at)
}

/// The same where the text ends before the block.
#[inline(never)]
fn skip_last(bytes: &[u8], at: usize) -> usize {
    let (block, before) = Block::last(bytes, at.min(bytes.len()));
    let stops = not_plain(block) >> before;
    if stops == 0 { bytes.len() } else { bytes.len().min(at + stops.trailing_zeros() as usize) }
}

/// The bits of quotes, backslashes, control characters, and what is not ASCII.
#[inline(always)]
fn not_plain(block: Block) -> u32 {
    block.is_in(b' ', b'~').not() | block.is(b'"').or(block.is(b'\\')).bits()
}

/// The length of the escape at `at`; two of a surrogate pair count as one.
fn escape_len(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    if let Some((_, len)) = escape_at(bytes, at) {
        return Ok(len);
    }
    // Not valid as far as it goes, or not there to its end?
    let rest = &bytes[at..];
    let prefix = |pattern: fn(usize, u8) -> bool| rest.iter().enumerate().all(|(place, byte)| pattern(place, *byte));
    let begins_well = rest.len() < 12
        && prefix(|place, byte| match place {
            0 | 6 => byte == b'\\',
            1 | 7 => byte == b'u',
            _ => byte.is_ascii_hexdigit(),
        });
    Err(if begins_well { Stop::End } else { INVALID })
}

/// Reads a number that begins at `at`; where it ends.
pub(super) fn number(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let mut end = at;
    if bytes.get(end) == Some(&b'-') {
        end += 1;
    }
    end = match bytes.get(end) {
        Some(b'0') => end + 1,
        _ => digits(bytes, end)?,
    };
    if bytes.get(end) == Some(&b'.') {
        end = digits(bytes, end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        end += 1;
        if matches!(bytes.get(end), Some(b'+' | b'-')) {
            end += 1;
        }
        end = digits(bytes, end)?;
    }
    if end - at > MAX_NUMBER { Err(Stop::Because(Reason::TooDeep)) } else { Ok(end) }
}

/// At least one digit; where they end.
fn digits(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_digit()) {
        Some(0) => Err(INVALID),
        Some(len) => Ok(at + len),
        None if rest.is_empty() => Err(Stop::End),
        None => Ok(bytes.len()),
    }
}

/// Reads `true`, `false` or `null`; where it ends.
pub(super) fn literal(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let rest = bytes.get(at..).unwrap_or_default();
    let word: &[u8] = match rest {
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => return Ok(at + 4),
        [b'f', b'a', b'l', b's', b'e', ..] => return Ok(at + 5),
        [b't', ..] => b"true",
        [b'f', ..] => b"false",
        [b'n', ..] => b"null",
        _ => return Err(INVALID),
    };
    if word.starts_with(rest) { Err(Stop::End) } else { Err(INVALID) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_strict() {
        for good in ["0", "-0", "10", "1.5", "1e5", "1E+05", "-1.0e-1"] {
            assert_eq!(number(good.as_bytes(), 0), Ok(good.len()), "{good}");
        }
        for bad in ["-a", "1.e", ".5", "+1", "1ex", "--1"] {
            assert_eq!(number(bad.as_bytes(), 0), Err(INVALID), "{bad}");
        }
        for open in ["-", "1.", "1e", "1e+"] {
            assert_eq!(number(open.as_bytes(), 0), Err(Stop::End), "{open}");
        }
        assert_eq!(number(b"01", 0), Ok(1));
        assert_eq!(number("1".repeat(128).as_bytes(), 0), Ok(128));
        assert_eq!(number("1".repeat(129).as_bytes(), 0), Err(Stop::Because(Reason::TooDeep)));
    }

    #[test]
    fn an_open_escape_is_open_and_a_wrong_one_is_wrong() {
        for open in ["\\", "\\u", "\\u12", "\\ud83d", "\\ud83d\\", "\\ud83d\\ude"] {
            assert_eq!(string(open.as_bytes(), 0).err(), Some(Stop::End), "{open}");
        }
        for wrong in ["\\x", "\\ux", "\\ud83dx", "\\ud83d\\n", "\\ude00\"", "\\ud83d\\ud83d\"", "\n", "\0"] {
            assert_eq!(string(wrong.as_bytes(), 0).err(), Some(INVALID), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_those_of_serde_json(inside in "([ -~éü\u{80}\u{2028}\u{1f}\u{7f}😀]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-f]{4}|\\\\ud[89ab][0-9a-f]{2}){0,20}") {
            let token = format!("\"{inside}\"");
            let ours = string(token.as_bytes(), 1);
            let theirs = serde_json::from_str::<String>(&token);
            let whole = ours.is_ok_and(|ours| ours.end + 1 == token.len());
            prop_assert_eq!(whole, theirs.is_ok(), "{}", token);
        }
    }
}
