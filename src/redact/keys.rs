//! Finds keys that an object repeats without keeping them, and keeps what the rules said of keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::pair::Part;
use super::rules::Verdict;

/// The keys of all objects of a document so far, as hashes under a seed that no sender knows.
///
/// Two keys that share a hash by chance (once in 2^64) make a body appear as text: nothing worse.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// Open addressing; 0 is free. A power of two, at most half full.
    slots: Vec<u64>,
    len: usize,
}

impl KeySet {
    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.slots.truncate(64);
            self.slots.fill(0);
            self.len = 0;
        }
    }

    /// Adds a key of an object by its hash; whether it is new there.
    #[inline(always)]
    pub(super) fn insert(&mut self, object: u64, hash: u64) -> bool {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        // Nobody who does not know the seed can choose a key by the difference of two objects.
        let hash = hash.wrapping_add(object.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1);
        let new = place(&mut self.slots, hash);
        self.len += usize::from(new);
        new
    }

    #[cold]
    fn grow(&mut self) {
        let mut slots = vec![0; (self.slots.len() * 2).max(64)];
        for hash in self.slots.iter().filter(|hash| **hash != 0) {
            place(&mut slots, *hash);
        }
        self.slots = slots;
    }
}

#[inline(always)]
fn place(slots: &mut [u64], hash: u64) -> bool {
    let last = slots.len() - 1;
    // Only the low bits of the hash choose the slot.
    let mut at = usize::try_from(hash & (last as u64)).unwrap_or(0);
    loop {
        if slots[at] == 0 {
            slots[at] = hash;
            return true;
        }
        if slots[at] == hash {
            return false;
        }
        at = (at + 1) & last;
    }
}

/// A key as the set and the cache know it: its hash and, if it is short, its text in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyMark {
    pub(super) hash: u64,
    words: [u64; WORDS],
    len: usize,
}

/// So many words hold a short key.
const WORDS: usize = 4;

impl KeyMark {
    /// Multiply and fold, as wyhash does: good enough against senders who do not know the seed.
    #[inline(always)]
    pub(super) fn of(key: &[u8]) -> Self {
        let [first, second] = seed();
        let words = words_of(key);
        let mut hash = fold(words[0] ^ first, words[1] ^ second);
        if key.len() > 16 {
            hash = fold(words[2] ^ hash, words[3] ^ second);
        }
        if key.len() > WORDS * 8 {
            hash = hash_on(hash, key);
        }
        Self { hash: fold(hash ^ key.len() as u64, second ^ first), words, len: key.len() }
    }

    /// The high bits choose where it is cached: the low ones choose a slot in the set of keys.
    #[inline]
    fn slot(&self) -> usize {
        usize::try_from(self.hash >> 54).unwrap_or(0) % SLOTS
    }
}

/// The hash of a key that has more than its words.
#[cold]
fn hash_on(hash: u64, key: &[u8]) -> u64 {
    let [_, second] = seed();
    key.chunks(16).fold(hash, |hash, chunk| {
        let words = words_of(chunk);
        fold(words[0] ^ hash, words[1] ^ second)
    })
}

/// The words of a key, from both of its ends, overlapping: together with its length they are all of a short one.
#[inline(always)]
fn words_of(key: &[u8]) -> [u64; WORDS] {
    let word = |at: usize| key.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word));
    let half = |at: usize| key.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u32::from_le_bytes(*half));
    match key.len() {
        len @ 17.. => [word(0), word(8), word(len - 16), word(len - 8)],
        len @ 8.. => [word(0), word(len - 8), 0, 0],
        len @ 4.. => [u64::from(half(0)) << 32 | u64::from(half(len - 4)), 0, 0, 0],
        _ => [key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0, 0, 0],
    }
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    // The two halves of the product, on purpose.
    #[allow(clippy::cast_possible_truncation)]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

const SLOTS: usize = 1_024;

/// What the rules say of a key, whatever stands under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyFacts {
    pub(super) verdict: Verdict,
    /// Which half of a pair stands under it.
    pub(super) part: Option<Part>,
    /// It holds a secret itself.
    pub(super) tells: bool,
}

impl KeyFacts {
    const PLAIN: Self = Self { verdict: Verdict::Plain, part: None, tells: false };
}

/// What the rules said of the keys seen last: services see the same few again and again, mostly in the same order.
#[derive(Default)]
pub(super) struct Verdicts {
    /// One for each place, and [`START`].
    slots: Vec<Slot>,
    /// The slot of the key that was met last.
    last: usize,
}

/// The slot before the first key of a document.
const START: usize = SLOTS;

#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    words: [u64; WORDS],
    len: u8,
    facts: KeyFacts,
    /// In a document it stands as it reads, and it shows.
    is_literal: bool,
    /// The slot of the key that came after it.
    next: u16,
}

/// A key that was expected where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) hash: u64,
    pub(super) len: usize,
    pub(super) facts: KeyFacts,
}

impl Verdicts {
    /// A document begins.
    pub(super) fn start(&mut self) {
        self.last = START;
    }

    /// The key that came after the last one before, if it is what stands in a document here and then a quote.
    #[inline(always)]
    pub(super) fn expected(&mut self, rest: &[u8]) -> Option<Expected> {
        let next = usize::from(self.slots.get(self.last)?.next);
        let slot = self.slots.get(next)?;
        let len = usize::from(slot.len);
        let key = rest.get(..len).filter(|_| slot.is_literal && rest.get(len) == Some(&b'"'))?;
        if slot.differs(&words_of(key), len) {
            return None;
        }
        self.last = next;
        Some(Expected { hash: slot.hash, len, facts: slot.facts })
    }

    /// What was said of a key.
    #[inline]
    pub(super) fn known(&self, mark: &KeyMark) -> Option<KeyFacts> {
        Some(self.slots.get(self.place_of(mark)?)?.facts)
    }

    /// The slot of a key: one of two, so that no two keys push each other out for ever.
    #[inline]
    fn place_of(&self, mark: &KeyMark) -> Option<usize> {
        let is_there = |place: &usize| self.slots.get(*place).is_some_and(|slot| !slot.differs(&mark.words, mark.len));
        let first = mark.slot();
        Some(first).filter(is_there).or_else(|| Some(first ^ 1).filter(is_there))
    }

    /// Keeps what was said of a key.
    pub(super) fn keep(&mut self, mark: &KeyMark, key: &str, facts: KeyFacts) {
        if self.slots.is_empty() {
            // The empty key is plain by the rule, so a slot that was never filled tells the truth.
            let empty = Slot { hash: 0, words: [0; WORDS], len: 0, facts: KeyFacts::PLAIN, is_literal: false, next: 0 };
            self.slots = vec![empty; START + 1];
        }
        // Longer keys are judged each time.
        let Some(len) = u8::try_from(mark.len).ok().filter(|len| usize::from(*len) <= WORDS * 8) else { return };
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let is_literal = !facts.tells && key.bytes().all(is_plain);
        let place = mark.slot();
        // What was there goes to the other slot of the two.
        if self.slots.get(place).is_some_and(|slot| slot.len > 0) {
            self.slots.swap(place, place ^ 1);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot { hash: mark.hash, words: mark.words, len, facts, is_literal, next: 0 };
        }
    }

    /// A key was met in a document: it is expected there next time.
    pub(super) fn follow(&mut self, mark: &KeyMark) {
        let Some(place) = self.place_of(mark) else { return };
        if let (Some(last), Ok(next)) = (self.slots.get_mut(self.last), u16::try_from(place)) {
            last.next = next;
        }
        self.last = place;
    }
}

impl Slot {
    /// Word by word: what was just computed is in registers, and would have to be stored to be compared at once.
    #[inline(always)]
    fn differs(&self, words: &[u64; WORDS], len: usize) -> bool {
        let mut differs = u64::from(self.len) ^ len as u64;
        for (kept, word) in self.words.iter().zip(words) {
            differs |= kept ^ word;
        }
        differs != 0
    }
}

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdicts").finish_non_exhaustive()
    }
}

fn seed() -> [u64; 2] {
    static SEED: OnceLock<[u64; 2]> = OnceLock::new();
    *SEED.get_or_init(|| {
        let random = RandomState::new();
        [random.hash_one(0_u8), random.hash_one(1_u8) | 1 << 63 | 1]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_the_same_key_of_the_same_object_is_repeated() {
        let mut set = KeySet::default();
        let mut known = HashSet::new();
        for number in 0..5_000_u64 {
            let key = format!("{}", number % 700);
            let object = number / 1_400;
            assert_eq!(set.insert(object, KeyMark::of(key.as_bytes()).hash), known.insert((object, key)));
        }
        let mut add = |key: &[u8]| set.insert(9, KeyMark::of(key).hash);
        assert!(add(b"") && add(b"\0") && add(b"\0\0") && add(b"\0\0\0") && add(b"\0\0\0\0") && !add(b""));
        set.clear();
        assert!(set.insert(9, KeyMark::of(b"").hash));
    }

    #[test]
    fn a_verdict_is_kept_for_its_key_only() {
        let facts = |verdict| KeyFacts { verdict, part: None, tells: verdict == Verdict::Bag };
        let mut verdicts = Verdicts::default();
        let mut get = |key: &str, facts: KeyFacts| {
            let mark = KeyMark::of(key.as_bytes());
            verdicts.known(&mark).unwrap_or_else(|| {
                verdicts.keep(&mark, key, facts);
                facts
            })
        };
        for round in 0..3 {
            for number in 0..2_000 {
                let key = format!("{number}").repeat(1 + number % 12);
                let verdict = if number % 3 == 0 { Verdict::Secret } else { Verdict::Plain };
                assert_eq!(get(&key, facts(verdict)), facts(verdict), "{round}");
            }
        }
        assert_eq!(get("token", facts(Verdict::Secret)), facts(Verdict::Secret));
        assert_eq!(get("token", facts(Verdict::Plain)), facts(Verdict::Secret));
        assert_eq!(get("", facts(Verdict::Plain)), facts(Verdict::Plain));
    }

    #[test]
    fn two_keys_of_one_place_are_both_kept() {
        let facts = KeyFacts { verdict: Verdict::Secret, ..KeyFacts::PLAIN };
        let pair = |mark: &KeyMark| mark.slot() / 2;
        let first = KeyMark::of(b"first");
        let names = (0..).map(|number| format!("key{number}"));
        let other = names.into_iter().find(|name| pair(&KeyMark::of(name.as_bytes())) == pair(&first)).unwrap();
        let mut verdicts = Verdicts::default();
        for _ in 0..3 {
            for (key, mark) in [("first", first), (other.as_str(), KeyMark::of(other.as_bytes()))] {
                if verdicts.known(&mark).is_none() {
                    verdicts.keep(&mark, key, facts);
                }
            }
        }
        assert!(verdicts.known(&first).is_some() && verdicts.known(&KeyMark::of(other.as_bytes())).is_some());
    }

    #[test]
    fn a_key_is_expected_after_the_one_before_it() {
        let facts = KeyFacts { verdict: Verdict::Secret, ..KeyFacts::PLAIN };
        let mut verdicts = Verdicts::default();
        let keys = ["a", "password", "", "a key of more than sixteen", "x\"y", "é", "z"];
        for key in keys {
            verdicts.keep(&KeyMark::of(key.as_bytes()), key, facts);
        }
        verdicts.start();
        keys.iter().for_each(|key| verdicts.follow(&KeyMark::of(key.as_bytes())));
        verdicts.start();
        for key in keys {
            let mark = KeyMark::of(key.as_bytes());
            let here = verdicts.expected(format!("{key}\":1").as_bytes());
            // What is not written as it reads is read first.
            if matches!(key, "x\"y" | "é") {
                assert!(here.is_none(), "{key}");
                verdicts.follow(&mark);
                continue;
            }
            let here = here.unwrap();
            assert_eq!((here.hash, here.len, here.facts), (mark.hash, key.len(), facts), "{key}");
        }
        for other in ["b\"", "a", "", "a ", "aa\"", "password\""] {
            verdicts.start();
            assert!(verdicts.expected(other.as_bytes()).is_none(), "{other}");
        }
    }
}
