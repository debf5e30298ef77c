//! What the rules said of keys, kept for the next time; and which keys an object repeats, found without keeping them all.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::block::{self, Block};
use super::pair::Part;
use super::rules::Verdict;

/// Keys of objects of a document, as hashes under a seed that no sender knows.
///
/// Two keys that share a hash by chance (once in 2^64) make a body appear as text: nothing worse.
#[derive(Debug, Default)]
struct KeySet {
    /// Open addressing; 0 is free. A power of two, at most half full.
    slots: Vec<u64>,
    len: usize,
}

impl KeySet {
    /// Forgets all keys.
    fn clear(&mut self) {
        if self.len > 0 {
            self.slots.truncate(64);
            self.slots.fill(0);
            self.len = 0;
        }
    }

    /// Adds a key of an object by its hash; whether it is new there.
    fn insert(&mut self, object: u64, hash: u64) -> bool {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        let new = place(&mut self.slots, in_object(object, hash));
        self.len += usize::from(new);
        new
    }

    /// Whether an object has a key with this hash.
    #[inline(always)]
    fn has(&self, object: u64, hash: u64) -> bool {
        self.len > 0 && self.finds(object, hash)
    }

    #[inline(never)]
    fn finds(&self, object: u64, hash: u64) -> bool {
        self.slots[place_of(&self.slots, in_object(object, hash))] != 0
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

/// Nobody who does not know the seed can choose a key by the difference of two objects.
fn in_object(object: u64, hash: u64) -> u64 {
    hash.wrapping_add(object.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)
}

fn place(slots: &mut [u64], hash: u64) -> bool {
    let place = place_of(slots, hash);
    std::mem::replace(&mut slots[place], hash) == 0
}

/// Where a hash is, or where there is room for it.
fn place_of(slots: &[u64], hash: u64) -> usize {
    let last = slots.len() - 1;
    // Only the low bits of the hash choose the slot.
    let mut at = usize::try_from(hash & (last as u64)).unwrap_or(0);
    while slots[at] != 0 && slots[at] != hash {
        at = (at + 1) & last;
    }
    at
}

/// An object of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Object {
    id: u64,
    /// The last of those that were begun before it and may be open still: any later one has ended.
    around: u64,
}

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

    fn say(self) -> Says {
        match self {
            Self { verdict: Verdict::Plain, part: Some(Part::Name), tells: false } => Says::Name,
            Self { part: Some(_), .. } | Self { tells: true, .. } => Says::More,
            Self { verdict: Verdict::Plain, .. } => Says::Nothing,
            Self { verdict: Verdict::Secret, .. } => Says::Secret,
            Self { verdict: Verdict::Bag, .. } => Says::Bag,
        }
    }
}

/// A key that was met in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) facts: KeyFacts,
    /// The object has no other one.
    pub(super) is_new: bool,
}

/// A key that was met where it was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// How long it is with what stands behind it.
    pub(super) len: usize,
    /// The object has no other one.
    pub(super) is_new: bool,
    pub(super) says: Says,
}

/// What a key says of its value by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    Secret,
    Bag,
    /// It names another value: see [`Part::Name`].
    Name,
    /// It has to be asked for: [`Keys::last`].
    More,
}

/// What the rules said of the keys seen last: services see the same few again and again, mostly in the same order. With each
/// key is kept in which object it was met last, so that most of those that are not repeated cost nothing more.
#[derive(Default)]
pub(super) struct Keys {
    /// One for each place, and [`START`].
    slots: Vec<Slot>,
    /// The slot of the key that was met last, and of the one that is expected next.
    last: usize,
    next: usize,
    /// How many objects there were, in all documents.
    objects: u64,
    /// The first object of this document.
    first: u64,
    /// The keys of objects that may be open, but for what is kept with the slots.
    others: KeySet,
}

const SLOTS: usize = 1_024;
/// The slot before the first key of a document.
const START: usize = SLOTS;
/// Longer keys are judged each time.
const MAX_KEY: usize = 46;
/// What stands behind a key in most documents.
pub(super) const BEHIND: &[u8] = b"\":";

#[derive(Clone, Copy)]
struct Slot {
    key: KeyHash,
    /// The last object that it was met in.
    object: u64,
    /// The key, and what stands behind it.
    text: [u8; MAX_KEY + BEHIND.len()],
    len: u8,
    /// How long that is where it stands in a document; 0 if it stands there in another way, or does not show.
    written: u8,
    facts: KeyFacts,
    says: Says,
    /// The slot of the key that came after it.
    next: u16,
}

impl Keys {
    /// A document begins: none of its keys has been met.
    pub(super) fn start(&mut self) {
        self.first = self.objects + 1;
        self.others.clear();
        self.last = START;
        self.next = self.slots.get(START).map_or(0, |start| usize::from(start.next));
    }

    /// What stands around a document, in which objects may be open.
    pub(super) fn around(&self) -> Object {
        Object { id: self.objects, around: self.objects }
    }

    /// An object begins in another one.
    pub(super) fn begin(&mut self, outer: Object) -> Object {
        self.objects += 1;
        Object { id: self.objects, around: outer.id }
    }

    /// Meets the key that came after the last one before, if it stands in a document here, with a quote and a colon behind it.
    #[inline(always)]
    pub(super) fn meet_expected(&mut self, object: Object, text: &[u8], at: usize) -> Option<Expected> {
        let slot = self.slots.get_mut(self.next)?;
        if !slot.stands_at(text, at) {
            return None;
        }
        self.last = std::mem::replace(&mut self.next, usize::from(slot.next));
        let is_new = slot.met_in(object, self.first, &mut self.others);
        Some(Expected { len: usize::from(slot.written), is_new, says: slot.says })
    }

    /// What is said of the key that was met last.
    pub(super) fn last(&self) -> KeyFacts {
        self.slots.get(self.last).map_or(KeyFacts::PLAIN, |slot| slot.facts)
    }

    /// Meets a key, if it is known; it is expected here next time.
    pub(super) fn meet(&mut self, object: Object, hash: KeyHash, key: &str) -> Option<Met> {
        let place = self.place_of(hash, key)?;
        if let (Some(last), Ok(next)) = (self.slots.get_mut(self.last), u16::try_from(place)) {
            last.next = next;
        }
        self.last = place;
        let slot = self.slots.get_mut(place)?;
        self.next = usize::from(slot.next);
        Some(Met { facts: slot.facts, is_new: slot.met_in(object, self.first, &mut self.others) })
    }

    /// Meets a key that is too long to be kept; whether it is new.
    pub(super) fn meet_long(&mut self, object: Object, hash: KeyHash) -> bool {
        self.others.insert(object.id, hash.hash)
    }

    /// What was said of a key.
    pub(super) fn known(&self, hash: KeyHash, key: &str) -> Option<KeyFacts> {
        Some(self.slots.get(self.place_of(hash, key)?)?.facts)
    }

    /// The slot of a key: one of two, so that no two keys push each other out for ever.
    fn place_of(&self, hash: KeyHash, key: &str) -> Option<usize> {
        let is_there = |place: &usize| self.slots.get(*place).is_some_and(|slot| slot.is_of(hash, key.as_bytes()));
        let first = hash.slot();
        Some(first).filter(is_there).or_else(|| Some(first ^ 1).filter(is_there))
    }

    /// Keeps what was said of a key; false if it is too long.
    pub(super) fn keep(&mut self, hash: KeyHash, key: &str, facts: KeyFacts) -> bool {
        if key.len() > MAX_KEY {
            return false;
        }
        if self.slots.is_empty() {
            self.slots = vec![Slot::EMPTY; START + 1];
        }
        let place = hash.slot();
        let Some([slot, other]) = self.slots.get_disjoint_mut([place, place ^ 1]).ok() else { return false };
        // What was there goes to the other slot of the two.
        if slot.key.hash != 0 {
            std::mem::swap(slot, other);
        }
        if slot.object >= self.first {
            self.others.insert(slot.object, slot.key.hash);
        }
        *slot = Slot::of(hash, key.as_bytes(), facts);
        true
    }
}

impl Slot {
    /// The empty key is plain by the rule, so a slot that was never filled tells the truth.
    const EMPTY: Self = Self {
        key: KeyHash { hash: 0, words: [0; 2] },
        object: 0,
        text: [0; MAX_KEY + BEHIND.len()],
        len: 0,
        written: 0,
        facts: KeyFacts::PLAIN,
        says: Says::Nothing,
        next: 0,
    };

    fn of(hash: KeyHash, key: &[u8], facts: KeyFacts) -> Self {
        let mut slot = Self { key: hash, facts, says: facts.say(), ..Self::EMPTY };
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let is_literal = !facts.tells && key.iter().all(is_plain);
        for (to, from) in slot.text.iter_mut().zip(key.iter().chain(BEHIND)) {
            *to = *from;
        }
        // No key is longer than the text.
        slot.len = u8::try_from(key.len()).unwrap_or(0);
        slot.written = if is_literal { slot.len + 2 } else { 0 };
        slot
    }

    fn is_of(&self, hash: KeyHash, key: &[u8]) -> bool {
        let len = usize::from(self.len);
        self.key == hash && len == key.len() && (len <= SHORT || self.text.get(..len) == Some(key))
    }

    /// Whether it stands in a document here.
    #[inline(always)]
    fn stands_at(&self, text: &[u8], at: usize) -> bool {
        let len = usize::from(self.written);
        match (Block::at(text, at), Block::at(&self.text, 0)) {
            (Some(here), Some(key)) if (1..=block::LEN).contains(&len) => {
                here.differs(key).trailing_zeros() as usize >= len
            }
            _ => len > 0 && text.get(at..at + len) == self.text.get(..len),
        }
    }

    /// It is met in an object; whether it is new there.
    #[inline(always)]
    fn met_in(&mut self, object: Object, first: u64, others: &mut KeySet) -> bool {
        let before = std::mem::replace(&mut self.object, object.id);
        if before == object.id {
            return false;
        }
        // It may be met again in an object that goes on.
        if before >= first && before <= object.around {
            others.insert(before, self.key.hash);
        }
        !others.has(object.id, self.key.hash)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// The hash of a key, under a seed that no sender knows; and its words, which are all of a short one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash {
    hash: u64,
    words: [u64; 2],
}

impl KeyHash {
    /// Multiply and fold, as wyhash does: good enough against senders who do not know the seed.
    #[inline]
    pub(super) fn of(key: &str) -> Self {
        let [first, second] = seed();
        let key = key.as_bytes();
        let words = words_of(key);
        let hash =
            if key.len() <= SHORT { fold(words[0] ^ first, words[1] ^ second) } else { hash_long(key, first, second) };
        Self { hash: fold(hash ^ key.len() as u64, second ^ first), words }
    }

    /// The high bits choose where it is kept: the low ones choose a slot in the set of keys.
    fn slot(self) -> usize {
        usize::try_from(self.hash >> 54).unwrap_or(0) % SLOTS
    }
}

#[inline(never)]
fn hash_long(key: &[u8], first: u64, second: u64) -> u64 {
    key.chunks(SHORT).fold(first, |hash, chunk| {
        let words = words_of(chunk);
        fold(words[0] ^ hash, words[1] ^ second)
    })
}

/// So many bytes are two words.
const SHORT: usize = 16;

/// Both ends of a key, which may overlap: together with its length they are all of a short one.
#[inline(always)]
fn words_of(key: &[u8]) -> [u64; 2] {
    if let (Some(low), Some(high)) = (key.first_chunk(), key.last_chunk()) {
        [u64::from_le_bytes(*low), u64::from_le_bytes(*high)]
    } else if let (Some(low), Some(high)) = (key.first_chunk(), key.last_chunk()) {
        [u64::from(u32::from_le_bytes(*low)), u64::from(u32::from_le_bytes(*high))]
    } else {
        [key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0]
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

fn seed() -> [u64; 2] {
    static SEED: OnceLock<[u64; 2]> = OnceLock::new();
    *SEED.get_or_init(|| {
        let random = RandomState::new();
        [random.hash_one(0_u8), random.hash_one(1_u8) | 1 << 63 | 1]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const SECRET: KeyFacts = KeyFacts { verdict: Verdict::Secret, ..KeyFacts::PLAIN };

    /// As a document is read: what is expected first, then what is known, then what has to be judged.
    fn meet(keys: &mut Keys, object: Object, key: &str, facts: KeyFacts) -> Met {
        let text = format!("\"{key}\":{}", "1".repeat(key.len() % 40));
        if let Some(expected) = keys.meet_expected(object, text.as_bytes(), 1) {
            assert_eq!((expected.len, expected.says), (key.len() + 2, facts.say()), "{key}");
            return Met { facts: keys.last(), is_new: expected.is_new };
        }
        let hash = KeyHash::of(key);
        keys.meet(object, hash, key).unwrap_or_else(|| {
            if !keys.keep(hash, key, facts) {
                return Met { facts, is_new: keys.meet_long(object, hash) };
            }
            keys.meet(object, hash, key).unwrap()
        })
    }

    #[test]
    fn a_verdict_is_kept_for_its_key_only() {
        let mut keys = Keys::default();
        let facts = |number: usize| KeyFacts {
            verdict: if number.is_multiple_of(3) { Verdict::Secret } else { Verdict::Plain },
            part: None,
            tells: number.is_multiple_of(7),
        };
        for round in 0..3 {
            for number in 0..2_000 {
                let key = format!("{number}").repeat(1 + number % 12);
                let hash = KeyHash::of(&key);
                let known = keys.known(hash, &key);
                assert!(known.is_none_or(|known| known == facts(number)), "{round}");
                if known.is_none() {
                    keys.keep(hash, &key, facts(number));
                }
            }
        }
        assert!(keys.known(KeyHash::of("\0"), "").is_none_or(|facts| facts == KeyFacts::PLAIN));
    }

    #[test]
    fn two_keys_of_one_place_are_both_kept() {
        let pair = |key: &str| KeyHash::of(key).slot() / 2;
        let names = (0..).map(|number| format!("key{number}"));
        let other = names.into_iter().find(|name| pair(name) == pair("first")).unwrap();
        let mut keys = Keys::default();
        for _ in 0..3 {
            for key in ["first", &other] {
                if keys.known(KeyHash::of(key), key).is_none() {
                    assert!(keys.keep(KeyHash::of(key), key, SECRET));
                }
            }
        }
        assert!(["first", &other].iter().all(|key| keys.known(KeyHash::of(key), key) == Some(SECRET)));
        assert!(!keys.keep(KeyHash::of(&"x".repeat(47)), &"x".repeat(47), SECRET));
    }

    #[test]
    fn a_key_is_expected_after_the_one_before_it() {
        let all = [
            "a",
            "password",
            "",
            "a key of fourte",
            "a key of fifteen",
            "a key that has more than thirty bytes",
            "a key of more than sixteen",
            "x\"y",
            "é",
            "z",
        ];
        let mut keys = Keys::default();
        keys.start();
        let object = keys.begin(keys.around());
        for key in all {
            assert!(meet(&mut keys, object, key, SECRET).is_new);
        }
        keys.start();
        let object = keys.begin(keys.around());
        for key in all {
            let text = format!("\"{key}\":1234567890abcdef");
            let met = keys.meet_expected(object, text.as_bytes(), 1);
            // What is not written as it reads is read first.
            if matches!(key, "x\"y" | "é") {
                assert_eq!(met, None, "{key}");
                keys.meet(object, KeyHash::of(key), key).unwrap();
            } else {
                assert_eq!(met, Some(Expected { len: key.len() + 2, is_new: true, says: Says::Secret }), "{key}");
                assert_eq!(keys.last(), SECRET);
            }
        }
        for other in ["b\":", "a", "", "a ", "a\"", "a\" :", "aa\":", "password\":"] {
            keys.start();
            assert_eq!(keys.meet_expected(object, other.as_bytes(), 0), None, "{other}");
        }
    }

    /// What may happen while a document is read.
    #[derive(Clone, Debug)]
    enum Step {
        Open,
        Close,
        Key(u16),
        Start,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Open),
            2 => Just(Step::Close),
            // Few, so that they are repeated; and many, so that they push each other out.
            8 => (0_u16..6).prop_map(Step::Key),
            8 => (0_u16..4_000).prop_map(Step::Key),
            1 => Just(Step::Start),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn only_the_same_key_of_the_same_object_is_repeated(steps in steps(), kept in 0_u16..4_000) {
            let mut keys = Keys::default();
            let name = |number: u16| format!("{number}").repeat(1 + usize::from(number % 20));
            // All are in the way of each other.
            for number in 0..kept {
                let key = name(number);
                keys.keep(KeyHash::of(&key), &key, KeyFacts::PLAIN);
            }
            keys.start();
            let mut known = HashSet::new();
            let outermost = keys.begin(keys.around());
            let mut open = vec![outermost];
            for step in steps {
                let object = *open.last().unwrap();
                match step {
                    Step::Open => open.push(keys.begin(object)),
                    Step::Close if open.len() > 1 => drop(open.pop()),
                    Step::Close => {}
                    Step::Key(number) => {
                        let met = meet(&mut keys, object, &name(number), KeyFacts::PLAIN);
                        prop_assert_eq!(met.is_new, known.insert((object.id, number)), "{}", number);
                    }
                    Step::Start => {
                        keys.start();
                        known.clear();
                        let outermost = keys.begin(keys.around());
                        open = vec![outermost];
                    }
                }
            }
        }
    }
}
