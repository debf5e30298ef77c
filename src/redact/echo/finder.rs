//! A search for all remembered values at once, in time linear in the text.

use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::remembered::{Needle, Values};
use crate::block::find_text;
use crate::redact::decode::Decoded;
use crate::redact::edits::join;
use crate::work;

/// As many values are searched for one by one, which is faster than to build an automaton.
const FEW: usize = 6;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

pub(super) struct Finder<'v> {
    values: &'v Values,
    kind: Kind,
    /// A value has a space, which a form writes as a plus sign.
    has_space: bool,
}

enum Kind {
    Few,
    Many(AhoCorasick),
    /// No automaton could be built: everything matches.
    All,
}

impl<'v> Finder<'v> {
    pub(super) fn new(values: &'v Values) -> Self {
        let kind = if values.len() <= FEW {
            Kind::Few
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .build(values.iter().map(|needle| needle.head));
            built.map_or(Kind::All, Kind::Many)
        };
        Self {
            values,
            kind,
            has_space: values.iter().any(|needle| memchr::memchr(b' ', needle.head.as_bytes()).is_some()),
        }
    }

    /// Whether a text has to be searched: it holds a value as it is, or may hold an encoded one.
    pub(super) fn may_find(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        memchr::memchr2(b'%', b'\\', bytes).is_some()
            || (self.has_space && memchr::memchr(b'+', bytes).is_some())
            || match &self.kind {
                Kind::Few => self.values.iter().any(|needle| find_text(bytes, 0, needle.head.as_bytes()).is_some()),
                Kind::Many(automaton) => automaton.is_match(text),
                Kind::All => true,
            }
    }

    /// Appends the places of values in a text: as they are, percent-encoded, as in a form, or escaped.
    pub(super) fn find(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        self.find_plain(text, places);
        if self.has_space && text.contains('+') {
            // The places stay the same.
            self.find(&text.replace('+', " "), level, places);
        }
        if level < MAX_LEVEL {
            let escaped = || text.contains('\\').then(|| Decoded::json(text));
            for decoded in [Decoded::percent(text), escaped()].into_iter().flatten() {
                let mut inside = Vec::new();
                self.find(&decoded.text, level + 1, &mut inside);
                places.extend(inside.iter().map(|place| decoded.source(place)));
            }
        }
        join(places);
    }

    fn find_plain(&self, text: &str, places: &mut Vec<Range<usize>>) {
        work::add(text.len());
        let bytes = text.as_bytes();
        match &self.kind {
            Kind::Few => {
                for needle in self.values.iter() {
                    let (mut at, mut covered) = (0, 0);
                    while let Some(start) = find_text(bytes, at, needle.head.as_bytes()) {
                        at = start + needle.head.len();
                        push(needle, text, start, &mut covered, places);
                        at = at.max(covered);
                    }
                }
            }
            Kind::Many(automaton) => {
                let mut covered = 0;
                for found in automaton.find_iter(text) {
                    if let Some(needle) = self.values.get(found.pattern().as_usize()) {
                        push(needle, text, found.start(), &mut covered, places);
                    }
                }
            }
            Kind::All => places.push(0..text.len()),
        }
    }
}

/// Appends the place of a value that begins at `start`, unless what came before covers it.
fn push(needle: Needle<'_>, text: &str, start: usize, covered: &mut usize, places: &mut Vec<Range<usize>>) {
    if start < *covered {
        return;
    }
    let bytes = text.as_bytes();
    let before = bytes.get(start.wrapping_sub(1));
    let end = start + needle.head.len();
    // What follows a beginning may be the rest of the value.
    if needle.is_word && (joins(before) || (!needle.goes_on() && joins(bytes.get(end)))) {
        return;
    }
    let (same, is_whole) = needle.rest_at(&text[end..]);
    let end = end + same;
    *covered = if is_whole { end } else { end + unknown_rest(&text[end..], before) };
    work::add(*covered - start);
    places.push(start..*covered);
}

/// Whether a byte beside a word makes it a part of a name or a path.
fn joins(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | 0x80..))
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

impl fmt::Debug for Finder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("values", &self.values.len()).finish_non_exhaustive()
    }
}
