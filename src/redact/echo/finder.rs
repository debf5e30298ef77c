//! The search for remembered values in one text, in each spelling: as they are, percent-encoded, as in a form, or escaped.

use std::borrow::Cow;
use std::ops::Range;

use super::values::{Needle, Values};
use crate::block::find_text;
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
const ELLIPSIS_BEGINS: u8 = 0xe2;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

impl Values {
    /// Whether a text has to be searched: it holds a value as it is, or may hold an encoded one, or one that a cut went
    /// through.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        memchr::memchr3(b'%', b'\\', ELLIPSIS_BEGINS, bytes).is_some()
            || (self.has_space && memchr::memchr(b'+', bytes).is_some())
            || self.holds(text)
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
        for (start, mut needles) in self.heads_in(text.as_bytes()) {
            let first = needles.by_ref().take(MAX_WORDS).find_map(|needle| {
                let is_covered = start + needle.head.len() <= covered;
                place_of(needle, text, start, is_covered)
            });
            let place = first.or_else(|| {
                let end = start + needles.next()?.head.len();
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
        let mut read = Cow::Borrowed(spelled);
        for _ in 0..=MAX_LEVEL {
            if self.contains(&read) {
                return read;
            }
            let Some(decoded) = Decoded::percent(&read).or_else(|| escaped(&read)) else { break };
            read = Cow::Owned(decoded.text);
        }
        spelled.into()
    }

    /// The same as [`find`](Self::find) in a text that the layer may have cut to its limit: of a value at its end, only the
    /// beginning is left. Strings of bodies are not cut; the work for each text grows with the number of values.
    pub(super) fn find_in_cut(&self, text: &str, places: &mut Vec<Range<usize>>) {
        self.find(text, 0, places);
        if let Some(text) = text.strip_suffix(ELLIPSIS) {
            self.find_end(text, 0, places);
            join(places);
        }
    }

    /// Appends the place of the longest beginning of a value at the end of a text: as it is, or percent-encoded.
    fn find_end(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        // Without an escape that the cut went through.
        let bytes = text.as_bytes();
        let escape = bytes.iter().rev().take(MAX_ESCAPE).position(|byte| matches!(byte, b'%' | b'\\'));
        for end in [Some(bytes.len()), escape.map(|behind| bytes.len() - 1 - behind)].into_iter().flatten() {
            let longest =
                self.iter().filter_map(|needle| beginning_at_end(&bytes[..end], needle.head.as_bytes())).min();
            places.extend(longest.map(|start| start..end));
        }
        if level < MAX_LEVEL
            && let Some(decoded) = Decoded::percent(text)
        {
            let mut inside = Vec::new();
            self.find_end(&decoded.text, level + 1, &mut inside);
            places.extend(inside.iter().map(|place| decoded.source(place)));
        }
    }
}

/// A text without its escapes; `None` if it has none.
fn escaped(text: &str) -> Option<Decoded> {
    text.contains('\\').then(|| Decoded::json(text))
}

/// The place of a value whose head begins at `start`; `None` if the head is a part of another word. With `is_covered`, what
/// follows the head is masked already.
fn place_of(needle: Needle<'_>, text: &str, start: usize, is_covered: bool) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = bytes.get(start.wrapping_sub(1));
    let end = start + needle.head.len();
    // What follows a beginning may be the rest of the value.
    if needle.is_word && (joins(before) || (!needle.goes_on() && joins(bytes.get(end)))) {
        return None;
    }
    if is_covered {
        return Some(start..end);
    }
    let (same, is_whole) = needle.rest_at(&text[end..]);
    let end = end + same;
    let end = if is_whole { end } else { end + unknown_rest(&text[end..], before) };
    work::add(end - start);
    Some(start..end)
}

/// Whether a byte beside a word makes it a part of a name or a path.
fn joins(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | 0x80..))
}

/// Where the longest beginning of a value is at the end of a text.
fn beginning_at_end(text: &[u8], head: &[u8]) -> Option<usize> {
    let least = head.get(..MIN_CUT)?;
    let mut at = text.len().saturating_sub(head.len());
    while let Some(start) = find_text(text, at, least) {
        work::add(text.len() - start);
        if head.starts_with(&text[start..]) {
            return Some(start);
        }
        at = start + 1;
    }
    None
}

/// How far a value may go on of which only the beginning is known: up to the quote that it began behind, the next field of
/// a form, or the end of the line. A phrase has spaces.
fn unknown_rest(text: &str, before: Option<&u8>) -> usize {
    let bytes = text.as_bytes();
    let quote = before.copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%' | b'[' | b']');
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'\n' | b'\r') || Some(*byte) == quote {
            break;
        }
        at += 1;
        if *byte == b'&' {
            let name = bytes[at..].iter().take_while(|byte| is_name(byte)).count();
            if name > 0 && bytes.get(at + name) == Some(&b'=') {
                return at - 1;
            }
            at += name;
        }
    }
    at
}
