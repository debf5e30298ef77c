//! The remembered values, each once, and the index that finds those which a text begins with.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::block::find_text;
use crate::text::head;
use crate::work;

/// Of a longer value, this number of bytes is searched, and the rest compared where they are found.
const LONGEST: usize = 128;
/// Up to this number of values are compared and searched one by one, without an index.
const FEW: usize = 8;
/// The bytes that are kept allocated for the next record.
const KEPT: usize = 4 * 1024;

/// A list of values in one buffer.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: String,
    list: Vec<Value>,
    /// Each value, so that none is added twice; empty while there are few.
    known: HashSet<Box<str>>,
    /// Made when it is needed first.
    index: OnceCell<Index>,
    /// Whether a value has a space, which a form writes as a plus sign.
    pub(super) has_space: bool,
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

/// The values in the order of their text.
#[derive(Debug)]
struct Index {
    sorted: Vec<usize>,
    /// For each of them, those whose heads its own head begins with.
    links: Vec<Link>,
    /// The first two bytes of all heads, as a set of bits.
    beginnings: Vec<u64>,
}

/// The places in `sorted` of values whose heads the head of a value begins with. With `far`, one of a certain length is found
/// in few steps, however many there are (Myers, "An applicative random-access stack", 1983).
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The longest.
    shorter: Option<usize>,
    /// One that is much shorter; of a value that begins with no other, itself.
    far: usize,
    /// The number of them.
    depth: usize,
}

impl Values {
    pub(super) fn clear(&mut self) {
        let Self { mut text, mut list, .. } = std::mem::take(self);
        if list.len() <= FEW && text.len() <= KEPT {
            text.clear();
            list.clear();
            (self.text, self.list) = (text, list);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The bytes of all values.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Needle<'_>> {
        self.list.iter().map(|value| self.needle(value))
    }

    /// Adds a value, unless it is in the list.
    pub(super) fn push(&mut self, text: &str, is_beginning: bool, is_word: bool) {
        if self.contains(text) {
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        let head_end = start + head(text, LONGEST).len();
        self.list.push(Value { start, head_end, end: self.text.len(), is_beginning, is_word });
        self.index = OnceCell::new();
        self.has_space |= memchr::memchr(b' ', text.as_bytes()).is_some();
        if self.list.len() > FEW {
            // With the first of them, those before it.
            let new = self.list[self.known.len()..].iter();
            self.known.extend(new.map(|value| Box::from(&self.text[value.start..value.end])));
        }
    }

    /// Whether a text is a value.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.known.contains(text) || (self.known.is_empty() && self.list.iter().any(|value| self.whole(value) == text))
    }

    /// Whether a text holds a value as it is.
    pub(super) fn holds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if self.list.len() <= FEW {
            let head = |value: &Value| &self.text.as_bytes()[value.start..value.head_end];
            return self.list.iter().any(|value| find_text(bytes, 0, head(value)).is_some());
        }
        self.heads_in(bytes).any(|(_, mut needles)| needles.next().is_some())
    }

    /// The places where the heads of values may begin in a text, from the first to the last, and the values whose heads do,
    /// from the longest to the shortest.
    pub(super) fn heads_in<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = (usize, impl Iterator<Item = Needle<'t>>)> {
        work::add(text.len());
        let index = self.index();
        let starts = (0..text.len()).filter(|start| index.may_begin(&text[*start..]));
        starts.map(move |start| (start, self.at_start_of(&text[start..])))
    }

    /// The values whose heads a text begins with, from the longest to the shortest.
    fn at_start_of<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Needle<'t>> {
        let index = self.index();
        let needle = |place: usize| self.needle(&self.list[index.sorted[place]]);
        // All that the text begins with are not behind it, and the last of those that are not behind it begins with them.
        let behind = index.sorted.partition_point(|at| self.needle(&self.list[*at]).head.as_bytes() <= text);
        let last = behind.checked_sub(1);
        let common = last.map_or(0, |last| common_len(needle(last).head.as_bytes(), text));
        let longest = last.and_then(|last| index.first_of(last, |place| needle(place).head.len() <= common));
        std::iter::successors(longest, |place| index.links[*place].shorter).map(needle).inspect(|_| work::add(1))
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            work::add(self.text.len());
            let mut sorted: Vec<usize> = (0..self.list.len()).collect();
            sorted.sort_unstable_by_key(|at| self.whole(&self.list[*at]));
            let heads: Vec<&str> = sorted.iter().map(|at| self.needle(&self.list[*at]).head).collect();
            Index { links: links(&heads), beginnings: beginnings(&heads), sorted }
        })
    }

    fn needle(&self, value: &Value) -> Needle<'_> {
        let Value { start, head_end, end, is_beginning, is_word } = *value;
        Needle { head: &self.text[start..head_end], tail: &self.text[head_end..end], is_beginning, is_word }
    }

    fn whole(&self, value: &Value) -> &str {
        &self.text[value.start..value.end]
    }
}

impl Index {
    /// The first that is short enough, of a value and those whose heads its own head begins with.
    fn first_of(&self, from: usize, is_short: impl Fn(usize) -> bool) -> Option<usize> {
        let mut place = from;
        while !is_short(place) {
            work::add(1);
            let Link { shorter, far, .. } = self.links[place];
            place = if far != place && !is_short(far) { far } else { shorter? };
        }
        Some(place)
    }

    fn may_begin(&self, text: &[u8]) -> bool {
        let bit = usize::from(text[0]) << 8 | usize::from(text.get(1).copied().unwrap_or_default());
        self.beginnings[bit / 64] >> (bit % 64) & 1 != 0
    }
}

/// For each of some sorted texts, those before it that it begins with.
fn links(heads: &[&str]) -> Vec<Link> {
    let mut open: Vec<usize> = Vec::new();
    let mut links: Vec<Link> = Vec::with_capacity(heads.len());
    for (place, head) in heads.iter().enumerate() {
        while open.last().is_some_and(|last| !head.starts_with(heads[*last])) {
            open.pop();
        }
        let shorter = open.last().copied();
        let link = shorter.map_or(Link { shorter, far: place, depth: 0 }, |next| {
            let Link { far, depth, .. } = links[next];
            let farther = links[far];
            let is_even = depth - farther.depth == farther.depth - links[farther.far].depth;
            Link { shorter, far: if is_even { farther.far } else { next }, depth: depth + 1 }
        });
        links.push(link);
        open.push(place);
    }
    links
}

/// The first two bytes of these texts, as a set of bits. After a text of one byte, each byte may follow.
fn beginnings(heads: &[&str]) -> Vec<u64> {
    let mut bits = vec![0; (1 << 16) / 64];
    for head in heads {
        let first = usize::from(head.as_bytes()[0]) << 8;
        let seconds = head.as_bytes().get(1).map_or(0..=255, |second| *second..=*second);
        for bit in seconds.map(|second| first | usize::from(second)) {
            bits[bit / 64] |= 1 << (bit % 64);
        }
    }
    bits
}

fn common_len(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
