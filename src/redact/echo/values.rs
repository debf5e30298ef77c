//! A list of remembered values, each once.

use std::collections::HashSet;

use crate::text::head;

/// Of a longer value, this number of bytes is searched, and the rest compared where they are found.
const LONGEST: usize = 1024;
/// Up to this number of values are compared one by one.
const FEW: usize = 16;

/// A list of values in one buffer.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: String,
    list: Vec<Value>,
    /// All values, if there are more than [`FEW`].
    known: HashSet<Box<str>>,
}

/// A remembered value.
#[derive(Clone, Copy, Debug)]
struct Value {
    start: usize,
    /// The end of the part that is searched.
    head_end: usize,
    end: usize,
    /// Only its beginning is known, because a cut went through it.
    is_beginning: bool,
    /// It has letters only, so it counts only as a whole word: `cassandra`, and not `/cassandra_data`.
    is_word: bool,
}

/// A value as the search uses it: the part that is searched, and the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needle<'v> {
    pub(super) head: &'v str,
    /// The rest of a long value.
    tail: &'v str,
    is_beginning: bool,
    pub(super) is_word: bool,
}

impl Needle<'_> {
    /// Whether more of the value may follow its head.
    pub(super) fn goes_on(self) -> bool {
        self.is_beginning || !self.tail.is_empty()
    }

    /// The length of the rest of the value at the beginning of a text, and whether that is all of it.
    pub(super) fn rest_at(self, text: &str) -> (usize, bool) {
        let pairs = self.tail.chars().zip(text.chars()).take_while(|(one, other)| one == other);
        let same = pairs.map(|(char, _)| char.len_utf8()).sum();
        (same, same == self.tail.len() && !self.is_beginning)
    }
}

impl Values {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(LONGEST);
        self.list.clear();
        self.list.shrink_to(FEW);
        self.known = HashSet::new();
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The bytes of all values.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Needle<'_>> {
        (0..self.list.len()).filter_map(|at| self.get(at))
    }

    pub(super) fn get(&self, at: usize) -> Option<Needle<'_>> {
        let Value { start, head_end, end, is_beginning, is_word } = *self.list.get(at)?;
        Some(Needle { head: &self.text[start..head_end], tail: &self.text[head_end..end], is_beginning, is_word })
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        if self.known.is_empty() {
            return self.list.iter().any(|value| self.text[value.start..value.end] == *text);
        }
        self.known.contains(text)
    }

    /// Adds a value, unless it is in the list.
    pub(super) fn push(&mut self, text: &str, is_beginning: bool, is_word: bool) {
        if self.contains(text) {
            return;
        }
        if self.list.len() > FEW {
            if self.known.is_empty() {
                self.known = self.list.iter().map(|value| self.text[value.start..value.end].into()).collect();
            }
            self.known.insert(text.into());
        }
        let start = self.text.len();
        self.text.push_str(text);
        let head_end = start + head(text, LONGEST).len();
        self.list.push(Value { start, head_end, end: self.text.len(), is_beginning, is_word });
    }
}
