//! Text → JSON strings.

use crate::block::ordinary_len;

/// A destination of text: a string, or bytes in UTF-8.
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

/// Appends `text` as a JSON string. Characters that could end a line or change its reading order are escaped: control
/// characters, U+0080–009F, U+2028, U+2029 and bidirectional controls.
pub(crate) fn push_json_string(out: &mut impl Text, text: &str) {
    out.push_text("\"");
    push_json_text(out, text);
    out.push_text("\"");
}

/// The same without the quotes around it, to build one string from several pieces.
pub(crate) fn push_json_text(out: &mut impl Text, text: &str) {
    push_escaped::<true>(out, text);
}

/// Appends text for a line that is not JSON, with the same escapes except that of the quote.
pub(crate) fn push_line_text(out: &mut impl Text, text: &str) {
    push_escaped::<false>(out, text);
}

/// Whether nothing of a text is escaped in JSON.
pub(crate) fn needs_no_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_special = |byte| (byte == b'"') | (byte == b'\\') | !(0x20..0x7f).contains(&byte);
    let mut at = plain_len(bytes, is_special);
    while at < bytes.len() {
        if is_special(bytes[at]) && (bytes[at].is_ascii() || is_odd_at(bytes, at)) {
            return false;
        }
        at += 1;
    }
    true
}

/// The number of bytes before the first that may begin a character to escape.
pub(crate) fn unescaped_len(bytes: &[u8]) -> usize {
    ordinary::<true>(bytes)
}

/// Appends text with control characters, backslashes, odd characters and, if asked for, quotes escaped.
fn push_escaped<const QUOTES: bool>(out: &mut impl Text, text: &str) {
    let plain = ordinary::<QUOTES>(text.as_bytes());
    out.push_text(&text[..plain]);
    if plain < text.len() {
        push_special::<QUOTES>(out, &text[plain..]);
    }
}

/// The same for a text that begins with a special character.
#[inline(never)]
fn push_special<const QUOTES: bool>(out: &mut impl Text, text: &str) {
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (char_text, behind) = rest.split_at(char.len_utf8());
        if char.is_ascii() || is_odd_at(rest.as_bytes(), 0) {
            push_escape(out, char);
        } else {
            out.push_text(char_text);
        }
        let plain = ordinary::<QUOTES>(behind.as_bytes());
        out.push_text(&behind[..plain]);
        rest = &behind[plain..];
    }
}

/// The number of bytes before the first that may begin a character to escape: those beyond ASCII are among them.
#[inline(always)]
fn ordinary<const QUOTES: bool>(bytes: &[u8]) -> usize {
    ordinary_len(bytes, |block| {
        let escaped = block.is(b'\\');
        let escaped = if QUOTES { escaped.or(block.is(b'"')) } else { escaped };
        block.is_in(0x20, 0x7e).without(escaped).not()
    })
}

/// The number of bytes before the first special one. Without an early exit from the loop, the compiler tests many bytes at
/// once.
pub(crate) fn plain_len(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let has_special = |chunk: &[u8]| chunk.iter().fold(false, |special, byte| special | is_special(*byte));
    let mut plain = 0;
    for chunk in bytes.chunks_exact(16) {
        if has_special(chunk) {
            break;
        }
        plain += chunk.len();
    }
    // The last bytes are tested together with those before them.
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

/// Whether the character that begins at this byte, which is DEL or not ASCII, has to be escaped.
pub(crate) fn is_odd_at(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        0x7f => true,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::unescape;
    use super::*;

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
    fn the_first_special_byte_is_found_wherever_it_is() {
        for len in 0..50 {
            let text = vec![b'~'; len];
            assert_eq!((ordinary::<true>(&text), ordinary::<false>(&text)), (len, len));
            for at in 0..len {
                for special in [0, 0x1f, b'\\', 0x7f, 0x80, 0xff] {
                    let mut text = text.clone();
                    text[at..].fill(special);
                    assert_eq!((ordinary::<true>(&text), ordinary::<false>(&text)), (at, at), "{len}");
                }
                let mut text = text.clone();
                text[at] = b'"';
                assert_eq!((ordinary::<true>(&text), ordinary::<false>(&text)), (at, len));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>()) {
            let json = written(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            prop_assert!(!json.chars().any(char::is_control));
            prop_assert_eq!(unescape(&json[1..json.len() - 1]), Some(text));
        }
    }
}
