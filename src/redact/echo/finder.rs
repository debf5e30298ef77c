//! A search for all remembered values at once, in time linear in the text.

use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::remembered::{Value, Values};
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
                .build(values.iter().map(|(text, _)| text));
            built.map_or(Kind::All, Kind::Many)
        };
        Self { values, kind }
    }

    /// Whether a text has to be searched: it holds a value as it is, or may hold an encoded one.
    pub(super) fn may_find(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        memchr::memchr2(b'%', b'\\', bytes).is_some()
            || match &self.kind {
                Kind::Few => self.values.iter().any(|(value, _)| find_text(bytes, 0, value.as_bytes()).is_some()),
                Kind::Many(automaton) => automaton.is_match(text),
                Kind::All => true,
            }
    }

    /// Appends the places of values in a text: as they are, percent-encoded, or escaped.
    pub(super) fn find(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        self.find_plain(text, places);
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
        let mut add = |start: usize, end: usize, value: Value| {
            if !value.is_word || !(joins(bytes.get(start.wrapping_sub(1))) || joins(bytes.get(end))) {
                places.push(start..if value.is_beginning { end + rest_of_word(&text[end..]) } else { end });
            }
        };
        match &self.kind {
            Kind::Few => {
                for (value, facts) in self.values.iter() {
                    let mut at = 0;
                    while let Some(start) = find_text(bytes, at, value.as_bytes()) {
                        at = start + value.len();
                        add(start, at, facts);
                    }
                }
            }
            Kind::Many(automaton) => {
                let values: Vec<Value> = self.values.iter().map(|(_, facts)| facts).collect();
                for found in automaton.find_iter(text) {
                    add(found.start(), found.end(), values[found.pattern().as_usize()]);
                }
            }
            Kind::All => places.push(0..text.len()),
        }
    }
}

/// Whether a byte beside a word makes it a part of a name or a path.
fn joins(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | 0x80..))
}

fn rest_of_word(text: &str) -> usize {
    text.find(|char: char| char.is_whitespace() || "\"'&;,<>)}]".contains(char)).unwrap_or(text.len())
}

impl fmt::Debug for Finder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("values", &self.values.len()).finish_non_exhaustive()
    }
}
