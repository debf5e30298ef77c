//! A search for all remembered values at once, in time linear in the text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::noncontiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};

use super::values::{Needle, Values};
use crate::block::find_text;
use crate::redact::decode::Decoded;
use crate::redact::edits::join;
use crate::text::ELLIPSIS;
use crate::work;

/// Up to this number of values are searched one by one, which is faster than building an automaton.
const FEW: usize = 6;
/// Of more values that end at one place, only the longest are looked at, and all of the line behind them is masked.
const MAX_ENDS: usize = 16;
/// Shorter beginnings of a value at the end of a cut text show.
const MIN_CUT: usize = 6;
/// The bytes of an escape that a cut leaves: `\\u00e`.
const MAX_ESCAPE: usize = 5;
const ELLIPSIS_BEGINS: u8 = 0xe2;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

pub(super) struct Finder<'v> {
    values: &'v Values,
    plan: Plan,
}

/// How values are searched. It is cheap to clone, and holds as long as no value is added.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    kind: Kind,
    /// Whether a value has a space, which a form writes as a plus sign.
    has_space: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Few,
    Many(Arc<NFA>),
    /// No automaton could be built: everything matches.
    All,
}

impl Plan {
    pub(super) fn new(values: &Values) -> Self {
        work::add(values.bytes());
        let is_few = values.len() <= FEW && !values.iter().any(|needle| repeats_itself(needle.head.as_bytes()));
        let kind = if is_few {
            Kind::Few
        } else {
            let heads = values.iter().map(|needle| needle.head);
            let built = NFA::builder().match_kind(MatchKind::Standard).build(heads);
            built.map_or(Kind::All, |automaton| Kind::Many(Arc::new(automaton)))
        };
        Self { kind, has_space: values.iter().any(|needle| memchr::memchr(b' ', needle.head.as_bytes()).is_some()) }
    }
}

impl<'v> Finder<'v> {
    pub(super) fn new(values: &'v Values) -> Self {
        Self::with(values, Plan::new(values))
    }

    /// With the plan of these values.
    pub(super) fn with(values: &'v Values, plan: Plan) -> Self {
        Self { values, plan }
    }

    /// Whether a text has to be searched: it holds a value as it is, or may hold an encoded one, or one that a cut went
    /// through.
    pub(super) fn may_find(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        memchr::memchr3(b'%', b'\\', ELLIPSIS_BEGINS, bytes).is_some()
            || (self.plan.has_space && memchr::memchr(b'+', bytes).is_some())
            || self.holds(text)
    }

    /// Whether a text holds a value as it is.
    pub(super) fn holds(&self, text: &str) -> bool {
        match &self.plan.kind {
            Kind::Few => {
                self.values.iter().any(|needle| find_text(text.as_bytes(), 0, needle.head.as_bytes()).is_some())
            }
            Kind::Many(automaton) => !matches!(automaton.try_find(&Input::new(text)), Ok(None)),
            Kind::All => true,
        }
    }

    /// Appends the places of values in a text: as they are, percent-encoded, as in a form, or escaped.
    pub(super) fn find(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        self.find_plain(text, places);
        if self.plan.has_space && text.contains('+') {
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
        work::add(text.len());
        let bytes = text.as_bytes();
        match &self.plan.kind {
            Kind::Few => {
                for needle in self.values.iter() {
                    let head = needle.head.as_bytes();
                    let (mut at, mut covered) = (0, 0);
                    while let Some(start) = find_text(bytes, at, head) {
                        // The value may overlap itself by less than half.
                        at = start + head.len().div_ceil(2);
                        if let Some(place) = place_of(needle, text, start, start + head.len() <= covered) {
                            covered = covered.max(place.end);
                            places.push(place);
                        }
                    }
                }
            }
            Kind::Many(automaton) => self.find_many(automaton, text, places),
            Kind::All => places.push(0..text.len()),
        }
    }

    /// Values may overlap, so at each place those are looked at that end there, from the longest to the shortest.
    fn find_many(&self, automaton: &NFA, text: &str, places: &mut Vec<Range<usize>>) {
        let Ok(mut state) = automaton.start_state(Anchored::No) else { return places.push(0..text.len()) };
        // The last place: what is in it needs no second look.
        let mut last = 0..0;
        for (at, byte) in text.bytes().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            if !automaton.is_match(state) {
                continue;
            }
            let end = at + 1;
            let count = automaton.match_len(state);
            for number in 0..count.min(MAX_ENDS) {
                let Some(needle) = self.values.get(automaton.match_pattern(state, number).as_usize()) else { continue };
                let start = end - needle.head.len();
                if start >= last.start && end <= last.end {
                    continue;
                }
                let Some(mut place) = place_of(needle, text, start, end <= last.end) else { continue };
                if number == 0 && count > MAX_ENDS {
                    place.end = end.max(last.end).max(end + unknown_rest(&text[end..], None));
                }
                if place.start < last.end {
                    last = last.start.min(place.start)..last.end.max(place.end);
                    places.pop();
                } else {
                    last = place;
                }
                places.push(last.clone());
            }
        }
    }

    /// The value that a text spells: as it is, percent-encoded, as in a form, or escaped.
    pub(super) fn value_of<'t>(&self, spelled: &'t str) -> Cow<'t, str> {
        let mut read = Cow::Borrowed(spelled);
        for _ in 0..=MAX_LEVEL {
            if self.values.contains(&read) {
                return read;
            }
            let Some(decoded) = Decoded::percent(&read).or_else(|| escaped(&read)) else { break };
            read = Cow::Owned(decoded.text);
        }
        spelled.into()
    }

    /// The same in a text that the layer may have cut to its limit: of a value at its end, only the beginning is left. Strings
    /// of bodies are not cut; the work for each text grows with the number of values.
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
            let longest = self.values.iter().map(|value| overlap(&bytes[..end], value.head.as_bytes())).max();
            places.extend(longest.filter(|len| *len >= MIN_CUT).map(|len| end - len..end));
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

/// The length of the longest end of a text that a value begins with (Knuth, Morris and Pratt).
fn overlap(text: &[u8], value: &[u8]) -> usize {
    let end = &text[text.len().saturating_sub(value.len())..];
    work::add(value.len() + end.len());
    let shorter = borders(value);
    let mut len = 0;
    for byte in end {
        while len > 0 && value.get(len) != Some(byte) {
            len = shorter[len];
        }
        len += usize::from(value.get(len) == Some(byte));
    }
    len
}

/// For each length of a beginning of a value: the longest shorter one that is its end too.
fn borders(value: &[u8]) -> Vec<usize> {
    let mut shorter = vec![0; value.len() + 1];
    let mut len = 0;
    for at in 1..value.len() {
        while len > 0 && value[len] != value[at] {
            len = shorter[len];
        }
        len += usize::from(value[len] == value[at]);
        shorter[at + 1] = len;
    }
    shorter
}

/// Whether a value may overlap itself by more than half, as `aaaa` does.
fn repeats_itself(value: &[u8]) -> bool {
    // Its first quarter is then in it once more.
    let beginning = &value[..value.len().div_ceil(4)];
    memchr::memmem::find(&value[1..], beginning).is_some() && borders(value).last() > Some(&(value.len() / 2))
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
