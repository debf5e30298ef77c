//! Decoded text: a text with one encoding undone, and the map from its places back to the encoded text.

use std::borrow::Cow;
use std::ops::Range;

use crate::block::find_either;
use crate::json::escape_at;
use crate::work;

/// A decoded text with its map.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// Pairs of equal places (in the decoded text, in the encoded one), from which both continue byte by byte.
    steps: Vec<(usize, usize)>,
}

impl Decoded {
    /// Decodes the inside of a JSON string token. An invalid escape stays as it is.
    pub(super) fn json(raw: &str) -> Self {
        Self::new(raw, b'\\', escape_at).unwrap_or_else(|| Self { text: raw.to_owned(), steps: Vec::new() })
    }

    /// Decodes percent-encoding (RFC 3986, section 2.1); `None` if there is none. What is not UTF-8 becomes U+FFFD.
    pub(super) fn percent(raw: &str) -> Option<Self> {
        Self::new(raw, b'%', encoded_at)
    }

    /// Decodes the codes that begin with a mark; `None` if there are none. `char_at` returns the character of the code at a
    /// place, and the length of the code.
    fn new(raw: &str, mark: u8, char_at: impl Fn(&[u8], usize) -> Option<(char, usize)>) -> Option<Self> {
        work::add(raw.len());
        let bytes = raw.as_bytes();
        let mut decoded = Self { text: String::new(), steps: Vec::new() };
        let (mut copied, mut from) = (0, 0);
        while let Some(start) = find_either(bytes, from, mark, mark) {
            from = start + 1;
            if let Some((char, len)) = char_at(bytes, start) {
                decoded.text.push_str(&raw[copied..start]);
                decoded.steps.push((decoded.text.len(), start));
                decoded.text.push(char);
                (copied, from) = (start + len, start + len);
                decoded.steps.push((decoded.text.len(), from));
            }
        }
        if decoded.steps.is_empty() {
            return None;
        }
        decoded.text.push_str(&raw[copied..]);
        Some(decoded)
    }

    /// Where a place of the decoded text is in the encoded one. A place must begin and end between characters.
    pub(super) fn source(&self, place: &Range<usize>) -> Range<usize> {
        self.source_of(place.start)..self.source_of(place.end)
    }

    fn source_of(&self, at: usize) -> usize {
        let behind = self.steps.partition_point(|(decoded, _)| *decoded <= at);
        let step = behind.checked_sub(1).and_then(|step| self.steps.get(step));
        step.map_or(at, |(decoded, source)| source + (at - decoded))
    }
}

/// A text with percent-encoding decoded once.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    Decoded::percent(text).map_or(Cow::Borrowed(text), |decoded| Cow::Owned(decoded.text))
}

/// Decodes a text as in forms, where a plus sign is a space.
pub(super) fn form_decoded(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'+', text.as_bytes()).is_some() {
        return Cow::Owned(decoded(&text.replace('+', " ")).into_owned());
    }
    decoded(text)
}

/// The character that is percent-encoded at a place, and the length of its code. Bytes that are not UTF-8 are U+FFFD.
fn encoded_at(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let mut octets = [0; 4];
    let mut len = 0;
    while let Some(place) = octets.get_mut(len)
        && let Some(octet) = octet_at(bytes, at + 3 * len)
    {
        *place = octet;
        len += 1;
    }
    let chunk = octets[..len].utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(char) => Some((char, 3 * char.len_utf8())),
        None => Some(('\u{fffd}', 3 * chunk.invalid().len())),
    }
}

fn octet_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..)?.first_chunk()? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_back_to_the_encoded_text() {
        let raw = r#"a\n\u0062c\\d\uD834\uDD1Ee"#;
        let decoded = Decoded::json(raw);
        assert_eq!(decoded.text, "a\nbc\\d𝄞e");
        let source = |part: &str| {
            let at = decoded.text.find(part).unwrap();
            &raw[decoded.source(&(at..at + part.len()))]
        };
        for (part, expected) in [
            ("a", "a"),
            ("\n", r"\n"),
            ("b", r"\u0062"),
            ("bc", r"\u0062c"),
            ("c\\d", r"c\\d"),
            ("𝄞", r"\uD834\uDD1E"),
            ("e", "e"),
        ] {
            assert_eq!(source(part), expected);
        }
    }

    #[test]
    fn percent_encoding_is_undone_once() {
        assert!(Decoded::percent("100% of a%zz").is_none());
        let raw = "a%3Db%20%E2%82%AC%ff%2525=x";
        let decoded = Decoded::percent(raw).unwrap();
        assert_eq!(decoded.text, "a=b €\u{fffd}%25=x");
        let at = decoded.text.find("b €").unwrap();
        assert_eq!(&raw[decoded.source(&(at..at + 5))], "b%20%E2%82%AC");
        let at = decoded.text.find("=x").unwrap();
        assert_eq!(&raw[decoded.source(&(at..at + 2))], "=x");
    }
}
