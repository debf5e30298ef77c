//! The search for remembered values in one text, in each spelling: as they are, percent-encoded, as in a form, or escaped.

use std::borrow::Cow;
use std::ops::Range;

use super::values::{LONGEST, Value, Values};
use crate::redact::decode::Decoded;
use crate::redact::edits::join;
use crate::text::ELLIPSIS;
use crate::work;

/// Shorter beginnings of a value at the end of a cut text show.
const MIN_CUT: usize = 6;
/// Of the values that begin at one place, as many words are looked at. With more, all of the line is masked.
const MAX_WORDS: usize = 16;
/// The bytes of an escape that a cut leaves: `\\u00e`.
const MAX_ESCAPE: usize = 5;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

impl Values {
    /// Whether a text may hold a value, as it is, encoded, or cut.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_encoded =
            memchr::memchr2(b'%', b'\\', bytes).is_some() || (self.has_space && memchr::memchr(b'+', bytes).is_some());
        !self.is_empty() && (is_encoded || text.contains(ELLIPSIS) || self.holds(text))
    }

    /// Appends the places of values in a text. `level`: how often it was decoded.
    pub(super) fn find(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        if self.holds(text) {
            self.find_plain(text, places);
        }
        if self.has_space && text.contains('+') {
            // Both signs have one byte, so places are the same.
            self.find(&text.replace('+', " "), level, places);
        }
        if level < MAX_LEVEL {
            for decoded in [Decoded::percent(text), escaped(text)].into_iter().flatten() {
                let mut inside = Vec::new();
                self.find(&decoded.text, level + 1, &mut inside);
                places.extend(inside.iter().map(|place| decoded.source(place)));
            }
        }
        join(places);
    }

    fn find_plain(&self, text: &str, places: &mut Vec<Range<usize>>) {
        // What is before this place and follows a head needs no second look.
        let mut covered = 0;
        for (start, mut values) in self.heads_in(text.as_bytes()) {
            let first = values.by_ref().take(MAX_WORDS).find_map(|value| place_of(value, text, start, covered));
            let place = first.or_else(|| {
                let end = start + values.next()?.head().len();
                Some(start..if end <= covered { end } else { end + unknown_rest(&text[end..], None) })
            });
            if let Some(place) = place.filter(|place| place.end > covered) {
                covered = place.end;
                places.push(place);
            }
        }
    }

    /// The value that a text spells: as it is, percent-encoded, as in a form, or escaped.
    pub(super) fn value_of<'t>(&self, spelled: &'t str) -> Cow<'t, str> {
        let decode =
            |text: &Cow<'t, str>| Decoded::percent(text).or_else(|| escaped(text)).map(|text| text.text.into());
        let mut spellings =
            std::iter::successors(Some(Cow::Borrowed(spelled)), decode).take(1 + usize::from(MAX_LEVEL));
        spellings.find(|text| self.contains(text)).unwrap_or(Cow::Borrowed(spelled))
    }

    /// The same as [`find`](Self::find) in a text that the layer may have cut to its limit: of a value at its end, only the
    /// beginning is left.
    pub(in crate::redact) fn find_in_cut(&self, text: &str, places: &mut Vec<Range<usize>>) {
        if self.is_empty() {
            return;
        }
        self.find(text, 0, places);
        if let Some(text) = text.strip_suffix(ELLIPSIS) {
            self.find_end(text, 0, places);
            join(places);
        }
    }

    /// Appends the place of the longest beginning of a value at the end of a text, in each spelling.
    fn find_end(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        // Without an escape that the cut went through.
        let bytes = text.as_bytes();
        let escape = bytes.iter().rev().take(MAX_ESCAPE).position(|byte| matches!(byte, b'%' | b'\\'));
        for end in [Some(bytes.len()), escape.map(|behind| bytes.len() - 1 - behind)].into_iter().flatten() {
            let mut starts = end.saturating_sub(LONGEST)..(end + 1).saturating_sub(MIN_CUT);
            let longest = starts.find(|start| self.is_beginning(&bytes[*start..end]));
            places.extend(longest.map(|start| start..end));
        }
        if self.has_space && text.contains('+') {
            self.find_end(&text.replace('+', " "), level, places);
        }
        if level < MAX_LEVEL {
            for decoded in [Decoded::percent(text), escaped(text)].into_iter().flatten() {
                let mut inside = Vec::new();
                self.find_end(&decoded.text, level + 1, &mut inside);
                places.extend(inside.iter().map(|place| decoded.source(place)));
            }
        }
    }
}

/// A text without its escapes; `None` if it has none.
fn escaped(text: &str) -> Option<Decoded> {
    text.contains('\\').then(|| Decoded::json(text))
}

/// The place of a value whose head begins at `start`; `None` if the head is a part of another word. What follows a head that
/// ends before `covered` is masked already.
fn place_of(value: &Value, text: &str, start: usize, covered: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = bytes.get(start.wrapping_sub(1));
    let end = start + value.head().len();
    // What follows a beginning may be the rest of the value.
    if value.is_word && (joins(before) || (!value.goes_on() && joins(bytes.get(end)))) {
        return None;
    }
    if end <= covered {
        return Some(start..end);
    }
    let (same, is_whole) = value.rest_at(&text[end..]);
    let end = end + same;
    let end = if is_whole { end } else { end + unknown_rest(&text[end..], before) };
    work::add(end - start);
    Some(start..end)
}

/// Whether a byte beside a word makes it a part of a name or a path.
fn joins(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | 0x80..))
}

/// How far a value may go on of which only the beginning is known: up to the quote that it began behind, the next field of
/// a form, or the end of the line. A phrase has spaces.
fn unknown_rest(text: &str, before: Option<&u8>) -> usize {
    let quote = before.copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r') || Some(*byte) == quote;
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.%[]".contains(byte);
    let bytes = text.as_bytes();
    let rest = &bytes[..bytes.iter().position(ends).unwrap_or(bytes.len())];
    let begins_field = |sign: &usize| {
        let name = rest[sign + 1..].iter().take_while(is_name).count();
        name > 0 && rest.get(sign + 1 + name) == Some(&b'=')
    };
    memchr::memchr_iter(b'&', rest).find(begins_field).unwrap_or(rest.len())
}
