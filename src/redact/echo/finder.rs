//! A search for all remembered values at once, in time linear in the text.

use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem;

use super::remembered::Value;
use crate::redact::decode::Decoded;
use crate::redact::edits::join;
use crate::work;

/// So many values are searched for one by one, which is faster than to build an automaton.
const FEW: usize = 4;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

pub(super) struct Finder {
    kind: Kind,
    values: Vec<Value>,
}

enum Kind {
    Few(Vec<memmem::Finder<'static>>),
    Many(AhoCorasick),
    /// No automaton could be built: everything matches.
    All,
}

impl Finder {
    pub(super) fn new(values: &[Value]) -> Self {
        let texts = values.iter().map(|value| value.text.as_bytes());
        let kind = if values.len() <= FEW {
            Kind::Few(texts.map(|text| memmem::Finder::new(text).into_owned()).collect())
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .build(texts);
            built.map_or(Kind::All, Kind::Many)
        };
        Self { kind, values: values.to_vec() }
    }

    /// Whether a text has to be searched: it holds a value as it is, or may hold an encoded one.
    pub(super) fn may_find(&self, text: &str) -> bool {
        memchr::memchr2(b'%', b'\\', text.as_bytes()).is_some() || self.holds(text)
    }

    fn holds(&self, text: &str) -> bool {
        match &self.kind {
            Kind::Few(finders) => finders.iter().any(|finder| finder.find(text.as_bytes()).is_some()),
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
        let place = |start: usize, len: usize, value: usize| {
            let end = start + len;
            let value = self.values.get(value)?;
            if value.is_word && (joins(bytes.get(start.wrapping_sub(1))) || joins(bytes.get(end))) {
                return None;
            }
            Some(start..if value.is_beginning { end + rest_of_word(&text[end..]) } else { end })
        };
        match &self.kind {
            Kind::Few(finders) => {
                for (value, finder) in finders.iter().enumerate() {
                    let found = finder.find_iter(text.as_bytes());
                    places.extend(found.filter_map(|start| place(start, finder.needle().len(), value)));
                }
            }
            Kind::Many(automaton) => {
                let found = automaton.find_iter(text);
                places.extend(found.filter_map(|found| place(found.start(), found.len(), found.pattern().as_usize())));
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

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("values", &self.values.len()).finish_non_exhaustive()
    }
}
