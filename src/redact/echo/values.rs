//! The remembered values, each once, and the search for them in one text, in each spelling: as they are, percent-encoded, as in a
//! form, or escaped. An index finds those which a text begins with.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;

use crate::block;
use crate::redact::decode::Decoded;
use crate::redact::edits::join;
use crate::text::{ELLIPSIS, head};
use crate::work;

/// Of a longer value, this number of bytes is searched, and the rest compared where they are found. The index has a bit for
/// each length.
const LONGEST: usize = u128::BITS as usize;
/// Up to this number of values are compared and searched one by one, without an index.
const FEW: usize = 8;
/// Memory for more bytes of values is freed after the record.
const KEPT: usize = 4_096;
/// Shorter beginnings of a value at the end of a cut text show.
const MIN_CUT: usize = 6;
/// Of the values that begin at one place, as many words are looked at. With more, all of the line is masked.
const MAX_WORDS: usize = 16;
/// The bytes of an escape that a cut leaves: `\\u00e`.
const MAX_ESCAPE: usize = 5;
/// Percent-encoding and escapes are undone as often.
const MAX_LEVEL: u8 = 2;

/// A list of values.
#[derive(Debug, Default)]
pub(in crate::redact) struct Values {
    list: Vec<Value>,
    /// The texts of all values, one after the other.
    pub(super) text: String,
    /// Each value, so that none is added twice; empty while there are few.
    known: HashSet<Box<str>>,
    /// Made when it is needed first.
    index: OnceCell<Index>,
    /// Whether a value has a space, which a form writes as a plus sign.
    has_space: bool,
}

/// A remembered value.
#[derive(Debug)]
struct Value {
    /// Where it is in the texts of all values.
    place: Range<usize>,
    /// The length of the part that is searched.
    head_len: usize,
    /// Only its beginning is known, because a cut went through it.
    is_beginning: bool,
    /// It has letters only, so it counts only as a whole word: `cassandra`, and not `/cassandra_data`.
    is_word: bool,
}

#[derive(Debug)]
struct Index {
    /// The values in the order of their heads.
    sorted: Vec<Indexed>,
    /// Whether a head begins with a byte.
    begins: [bool; 256],
}

/// A value in the index, and the heads that its own head begins with.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    /// Its place in the list.
    at: usize,
    /// The lengths of these heads and of its own, as a set of bits.
    lengths: u128,
    /// The place of the longest other one in the index.
    shorter: Option<usize>,
}

impl Values {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.list.shrink_to(FEW);
        self.text.clear();
        self.text.shrink_to(KEPT);
        (self.known, self.index, self.has_space) = Default::default();
    }

    pub(in crate::redact) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a value, unless it is in the list.
    pub(super) fn push(&mut self, text: &str, is_beginning: bool, is_word: bool) {
        if self.contains(text) {
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        let place = start..self.text.len();
        self.list.push(Value { place, head_len: head(text, LONGEST).len(), is_beginning, is_word });
        self.index = OnceCell::new();
        self.has_space |= memchr::memchr(b' ', text.as_bytes()).is_some();
        if self.list.len() > FEW {
            // With the first of them, those before it.
            let new = self.list[self.known.len()..].iter();
            self.known.extend(new.map(|value| self.text[value.place.clone()].into()));
        }
    }

    /// Whether a text is a value.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.known.contains(text) || (self.known.is_empty() && self.list.iter().any(|value| self.whole(value) == text))
    }

    /// Whether a text holds a value as it is.
    pub(in crate::redact) fn holds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if self.list.len() <= FEW {
            return self.list.iter().any(|value| block::holds(bytes, self.head(value)));
        }
        self.heads_in(bytes).any(|(_, mut values)| values.next().is_some())
    }

    fn whole(&self, value: &Value) -> &str {
        &self.text[value.place.clone()]
    }

    /// The part of a value that is searched.
    fn head(&self, value: &Value) -> &[u8] {
        &self.text.as_bytes()[value.place.start..value.place.start + value.head_len]
    }

    /// Whether the head of a value begins with a text.
    fn is_beginning(&self, text: &[u8]) -> bool {
        let sorted = &self.index().sorted;
        let next = sorted.get(sorted.partition_point(|value| self.head_at(value.at) < text));
        next.is_some_and(|next| self.head_at(next.at).starts_with(text))
    }

    /// Whether a text may hold a value, as it is, encoded or cut.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        // The last is the first byte of the mark of a cut.
        let may_be_other = memchr::memchr3(b'%', b'\\', 0xe2, bytes).is_some()
            || (self.has_space && memchr::memchr(b'+', bytes).is_some());
        !self.is_empty() && (may_be_other || self.holds(text))
    }

    /// Appends the places of values in a text. `level`: how often it was decoded. Of a value at the end of a text that was cut,
    /// only the beginning is left.
    pub(in crate::redact) fn find(&self, text: &str, level: u8, places: &mut Vec<Range<usize>>) {
        if !self.may_be_in(text) {
            return;
        }
        self.find_plain(text, places);
        if let Some(text) = text.strip_suffix(ELLIPSIS) {
            self.find_end(text, places);
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
            let first = values.by_ref().take(MAX_WORDS).find_map(|value| self.place_of(value, text, start, covered));
            let place = first.or_else(|| {
                let end = start + values.next()?.head_len;
                Some(start..if end <= covered { end } else { end + unknown_rest(&text[end..], None) })
            });
            if let Some(place) = place.filter(|place| place.end > covered) {
                covered = place.end;
                places.push(place);
            }
        }
    }

    /// The place of a value whose head begins at `start`; `None` if the head is a part of another word. What follows a head that
    /// ends before `covered` is masked already.
    fn place_of(&self, value: &Value, text: &str, start: usize, covered: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let before = bytes.get(start.wrapping_sub(1));
        let (rest, mut end) = (&self.whole(value)[value.head_len..], start + value.head_len);
        // What follows a beginning may be the rest of the value.
        let goes_on = value.is_beginning || !rest.is_empty();
        if value.is_word && (joins(before) || (!goes_on && joins(bytes.get(end)))) {
            return None;
        }
        if end <= covered {
            return Some(start..end);
        }
        let same = rest.chars().zip(text[end..].chars()).take_while(|(one, other)| one == other);
        let same: usize = same.map(|(char, _)| char.len_utf8()).sum();
        end += same;
        if value.is_beginning || same < rest.len() {
            end += unknown_rest(&text[end..], before);
        }
        work::add(end - start);
        Some(start..end)
    }

    /// The value that a text spells: as it is, percent-encoded, as in a form, or escaped.
    pub(super) fn value_of<'t>(&self, spelled: &'t str) -> Cow<'t, str> {
        let decode =
            |text: &Cow<'t, str>| Decoded::percent(text).or_else(|| escaped(text)).map(|text| text.text.into());
        let mut spellings =
            std::iter::successors(Some(Cow::Borrowed(spelled)), decode).take(1 + usize::from(MAX_LEVEL));
        spellings.find(|text| self.contains(text)).unwrap_or(Cow::Borrowed(spelled))
    }

    /// Appends the place of the longest beginning of a value at the end of a text.
    fn find_end(&self, text: &str, places: &mut Vec<Range<usize>>) {
        // Without an escape that the cut went through.
        let bytes = text.as_bytes();
        let escape = bytes.iter().rev().take(MAX_ESCAPE).position(|byte| matches!(byte, b'%' | b'\\'));
        for end in [Some(bytes.len()), escape.map(|behind| bytes.len() - 1 - behind)].into_iter().flatten() {
            let mut starts = end.saturating_sub(LONGEST)..(end + 1).saturating_sub(MIN_CUT);
            let longest = starts.find(|start| self.is_beginning(&bytes[*start..end]));
            places.extend(longest.map(|start| start..end));
        }
    }

    /// The places where the heads of values may begin in a text, from the first to the last, and the values whose heads do,
    /// from the longest to the shortest.
    fn heads_in<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = (usize, impl Iterator<Item = &'t Value>)> {
        work::add(text.len());
        let index = self.index();
        let starts = (0..text.len()).filter(|start| index.begins[usize::from(text[*start])]);
        starts.map(move |start| (start, self.at_start_of(&text[start..])))
    }

    /// The values whose heads a text begins with, from the longest to the shortest.
    fn at_start_of<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = &'t Value> {
        let sorted = &self.index().sorted;
        let last_upto = |text: &[u8]| sorted.partition_point(|value| self.head_at(value.at) <= text).checked_sub(1);
        // The last head that is not behind the text begins with all heads that the text begins with.
        let last = last_upto(text).map(|last| &sorted[last]);
        let lengths = last.map_or(0, |last| last.lengths & common(self.head_at(last.at), text));
        let longest = lengths.checked_ilog2().and_then(|len| last_upto(&text[..=len as usize]));
        let places = std::iter::successors(longest, |place| sorted[*place].shorter);
        places.map(|place| &self.list[sorted[place].at]).inspect(|_| work::add(1))
    }

    fn head_at(&self, at: usize) -> &[u8] {
        self.head(&self.list[at])
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            work::add(self.text.len());
            let mut order: Vec<usize> = (0..self.list.len()).collect();
            order.sort_unstable_by_key(|at| (self.head_at(*at), self.whole(&self.list[*at])));
            let mut sorted: Vec<Indexed> = Vec::with_capacity(order.len());
            let mut begins = [false; 256];
            for at in order {
                let head = self.head_at(at);
                begins[usize::from(head[0])] = true;
                let mut shorter = sorted.len().checked_sub(1);
                while let Some(other) = shorter.filter(|other| !head.starts_with(self.head_at(sorted[*other].at))) {
                    shorter = sorted[other].shorter;
                }
                let lengths = shorter.map_or(0, |shorter| sorted[shorter].lengths) | 1 << (head.len() - 1);
                sorted.push(Indexed { at, lengths, shorter });
            }
            Index { sorted, begins }
        })
    }
}

/// The lengths up to which two texts are the same, as a set of bits.
fn common(one: &[u8], other: &[u8]) -> u128 {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    same.checked_sub(1).map_or(0, |last| u128::MAX >> (LONGEST - 1 - last))
}

/// A text without its escapes; `None` if it has none.
fn escaped(text: &str) -> Option<Decoded> {
    text.contains('\\').then(|| Decoded::json(text))
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
