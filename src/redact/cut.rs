//! Texts that were cut to their bound before redaction: the cut may have gone through a masked value, of which a
//! beginning is left that no longer equals it.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// The bounds to which texts are cut without a mark: heads, and names of methods.
const BOUNDS: [usize; 5] = [64, 256, 512, 1024, 8192];
/// The longest character but one byte: where a cut goes back to the beginning of a character.
const SLACK: usize = 3;
/// Shorter values stand in too many places by chance.
pub(super) const MIN_BYTES: usize = 6;
/// The mark that texts from the application get.
pub(super) const MARK: char = '…';

/// Whether a text may have been cut.
pub(super) fn may_be_cut(text: &str) -> bool {
    text.ends_with(MARK) || BOUNDS.iter().any(|bound| (bound - SLACK..=*bound).contains(&text.len()))
}

/// The beginnings of values, by their first bytes.
#[derive(Debug)]
pub(super) struct Beginnings<'v> {
    all: HashMap<&'v [u8], Vec<&'v [u8]>>,
}

impl<'v> Beginnings<'v> {
    /// Of values that begin alike, so many are told apart; where there are more, all that begins like them is masked.
    const MOST_ALIKE: usize = 16;

    pub(super) fn of(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut all: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
        for value in values {
            let alike = all.entry(&value[..MIN_BYTES]).or_default();
            if alike.len() <= Self::MOST_ALIKE {
                alike.push(value);
            }
        }
        Self { all }
    }

    /// Where the beginning of a value begins that goes on to the end of the text, as it is or percent-encoded.
    pub(super) fn at_end_of(&self, text: &str) -> Option<usize> {
        let plain = text.strip_suffix(MARK).unwrap_or(text);
        if let Some(at) = self.find(plain.as_bytes()) {
            return Some(at);
        }
        // The percent sign at which the value begins; an encoding that the cut went through says nothing.
        let whole = plain.rfind('%').filter(|at| at + 3 > plain.len()).map_or(plain, |at| &plain[..at]);
        let starts = whole.bytes().enumerate().filter(|(_, byte)| *byte == b'%').map(|(at, _)| at);
        let first = starts.take(1).next()?;
        // From the first one on: what stands before it would have been found above, or goes on into it.
        let from = whole[..first].rfind(|char: char| !char.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
        let from = (from..=first).find(|at| whole.is_char_boundary(*at))?;
        let decoded: Vec<u8> = percent_decode_str(&whole[from..]).collect();
        let at = self.find(&decoded)?;
        // The place of that byte in what was encoded.
        let mut place = from;
        for _ in 0..at {
            place += if whole.as_bytes()[place] == b'%' { 3 } else { 1 };
        }
        Some(place)
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        let text: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        (0..(text.len() + 1).saturating_sub(MIN_BYTES)).find(|at| {
            let rest = &text[*at..];
            let alike = self.all.get(&rest[..MIN_BYTES]);
            alike.is_some_and(|alike| {
                alike.len() > Self::MOST_ALIKE || alike.iter().any(|value| value.starts_with(rest))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_value_is_found_at_a_cut() {
        let values: [&[u8]; 2] = [b"hunter 2/3\xc3\xa9", b"hunters"];
        let beginnings = Beginnings::of(values.into_iter());
        for (text, place) in [
            ("x hunter", Some(2)),
            ("x hunter+2…", Some(2)),
            ("x hunter 2/3", Some(2)),
            ("x hunte…", None),
            ("x hunter 3…", None),
            ("hunter x", None),
            ("hunter", Some(0)),
            ("", None),
            ("a/hunter%202%2", Some(2)),
            ("a b%41/%68unter%20", Some(7)),
            ("%68unter%202%2f3%c3", Some(0)),
            ("%25", None),
        ] {
            assert_eq!(beginnings.at_end_of(text), place, "{text}");
        }
        let many: Vec<Vec<u8>> = (0..100_u8).map(|at| [b"secret".as_slice(), &[at]].concat()).collect();
        let beginnings = Beginnings::of(many.iter().map(Vec::as_slice));
        assert_eq!(beginnings.at_end_of("a secretx"), Some(2));
        assert!(may_be_cut(&"x".repeat(512)) && may_be_cut("a…") && !may_be_cut("hunter"));
    }
}
