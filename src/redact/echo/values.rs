//! The remembered values, each once, and the index that finds those which a text begins with.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::block::find_text;
use crate::text::head;
use crate::work;

/// Of a longer value, this number of bytes is searched, and the rest compared where they are found. The index has a bit for
/// each length.
pub(super) const LONGEST: usize = u128::BITS as usize;
/// Up to this number of values are compared and searched one by one, without an index.
const FEW: usize = 8;

/// A list of values.
#[derive(Debug, Default)]
pub(in crate::redact) struct Values {
    list: Vec<Value>,
    /// The bytes of all values.
    pub(super) bytes: usize,
    /// Each value, so that none is added twice; empty while there are few.
    known: HashSet<Box<str>>,
    /// Made when it is needed first.
    index: OnceCell<Index>,
    /// Whether a value has a space, which a form writes as a plus sign.
    pub(super) has_space: bool,
}

/// A remembered value.
#[derive(Debug)]
pub(super) struct Value {
    text: Box<str>,
    /// The length of the part that is searched.
    head_len: usize,
    /// Only its beginning is known, because a cut went through it.
    is_beginning: bool,
    /// It has letters only, so it counts only as a whole word: `cassandra`, and not `/cassandra_data`.
    pub(super) is_word: bool,
}

impl Value {
    /// The part that is searched.
    pub(super) fn head(&self) -> &[u8] {
        &self.text.as_bytes()[..self.head_len]
    }

    /// Whether more of the value may follow its head.
    pub(super) fn goes_on(&self) -> bool {
        self.is_beginning || self.head_len < self.text.len()
    }

    /// The length of the rest of the value at the beginning of a text, and whether that is all of it.
    pub(super) fn rest_at(&self, text: &str) -> (usize, bool) {
        let rest = &self.text[self.head_len..];
        let pairs = rest.chars().zip(text.chars()).take_while(|(one, other)| one == other);
        let same = pairs.map(|(char, _)| char.len_utf8()).sum();
        (same, same == rest.len() && !self.is_beginning)
    }
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
        if !self.is_empty() {
            *self = Self::default();
        }
    }

    pub(in crate::redact) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a value, unless it is in the list.
    pub(super) fn push(&mut self, text: &str, is_beginning: bool, is_word: bool) {
        if self.contains(text) {
            return;
        }
        self.list.push(Value { text: text.into(), head_len: head(text, LONGEST).len(), is_beginning, is_word });
        self.bytes += text.len();
        self.index = OnceCell::new();
        self.has_space |= memchr::memchr(b' ', text.as_bytes()).is_some();
        if self.list.len() > FEW {
            // With the first of them, those before it.
            let new = self.list[self.known.len()..].iter();
            self.known.extend(new.map(|value| value.text.clone()));
        }
    }

    /// Whether a text is a value.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.known.contains(text) || (self.known.is_empty() && self.list.iter().any(|value| *value.text == *text))
    }

    /// Whether a text holds a value as it is.
    pub(in crate::redact) fn holds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if self.list.len() <= FEW {
            return self.list.iter().any(|value| find_text(bytes, 0, value.head()).is_some());
        }
        self.heads_in(bytes).any(|(_, mut values)| values.next().is_some())
    }

    /// Whether the head of a value begins with a text.
    pub(super) fn is_beginning(&self, text: &[u8]) -> bool {
        let sorted = &self.index().sorted;
        let next = sorted.get(sorted.partition_point(|value| self.head(value) < text));
        next.is_some_and(|next| self.head(next).starts_with(text))
    }

    /// The places where the heads of values may begin in a text, from the first to the last, and the values whose heads do,
    /// from the longest to the shortest.
    pub(super) fn heads_in<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = (usize, impl Iterator<Item = &'t Value>)> {
        work::add(text.len());
        let index = self.index();
        let starts = (0..text.len()).filter(|start| index.begins[usize::from(text[*start])]);
        starts.map(move |start| (start, self.at_start_of(&text[start..])))
    }

    /// The values whose heads a text begins with, from the longest to the shortest.
    fn at_start_of<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = &'t Value> {
        let sorted = &self.index().sorted;
        let last_upto = |text: &[u8]| sorted.partition_point(|value| self.head(value) <= text).checked_sub(1);
        // The last head that is not behind the text begins with all heads that the text begins with.
        let last = last_upto(text).map(|last| &sorted[last]);
        let lengths = last.map_or(0, |last| last.lengths & common(self.head(last), text));
        let longest = lengths.checked_ilog2().and_then(|len| last_upto(&text[..=len as usize]));
        let places = std::iter::successors(longest, |place| sorted[*place].shorter);
        places.map(|place| &self.list[sorted[place].at]).inspect(|_| work::add(1))
    }

    fn head(&self, value: &Indexed) -> &[u8] {
        self.list[value.at].head()
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            work::add(self.bytes);
            let mut order: Vec<usize> = (0..self.list.len()).collect();
            order.sort_unstable_by_key(|at| (self.list[*at].head(), &self.list[*at].text));
            let mut sorted: Vec<Indexed> = Vec::with_capacity(order.len());
            let mut begins = [false; 256];
            for at in order {
                let head = self.list[at].head();
                begins[usize::from(head[0])] = true;
                let mut shorter = sorted.len().checked_sub(1);
                while let Some(other) = shorter.filter(|other| !head.starts_with(self.head(&sorted[*other]))) {
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
