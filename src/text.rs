//! Bytes as text, and text cut to a length in bytes, never within a character; the names of closed sets.

use std::borrow::Cow;

/// Ends a text that was cut to its bound.
pub(crate) const ELLIPSIS: char = '…';

/// Bytes as text; what is not UTF-8 becomes U+FFFD. Nearly all are UTF-8, and to check that takes far less than to search for
/// what is not.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The longest beginning of at most `most` bytes.
pub(crate) fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// The longest end of at most `most` bytes.
pub(crate) fn tail(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let start = (from..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    &text[start..]
}

/// How many bytes have to be put in, left out, or replaced (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Writes the wire names of a closed set once, for `Display` and `as_str` alike.
macro_rules! wire_names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            #[allow(dead_code, reason = "only some sets are read back")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that records carry.
            #[allow(unreachable_pub, reason = "only some sets are public")]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use wire_names;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let text = "aé€𝄞";
        assert_eq!(["", "a", "a", "aé", "aé", "aé", "aé€"], [0, 1, 2, 3, 4, 5, 6].map(|most| head(text, most)));
        assert_eq!((head(text, 10), head(text, 99)), (text, text));
        assert_eq!(["", "", "", "", "𝄞", "𝄞", "𝄞", "€𝄞"], [0, 1, 2, 3, 4, 5, 6, 7].map(|most| tail(text, most)));
    }
}
