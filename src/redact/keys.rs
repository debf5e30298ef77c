//! Finds keys that an object repeats without keeping them, and keeps what the rules said of keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

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

    /// Adds a key of an object by the key's hash; whether it is new there.
    pub(super) fn insert(&mut self, object: u64, hash: KeyHash) -> bool {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = fold(hash.0 ^ object, seed()[1]).max(1);
        let new = place(&mut self.slots, hash);
        self.len += usize::from(new);
        new
    }

    fn grow(&mut self) {
        let mut slots = vec![0; (self.slots.len() * 2).max(64)];
        for hash in self.slots.iter().filter(|hash| **hash != 0) {
            place(&mut slots, *hash);
        }
        self.slots = slots;
    }
}

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

/// The hash of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    /// Multiply and fold, as wyhash does: good enough against senders who do not know the seed.
    pub(super) fn of(key: &[u8]) -> Self {
        let [first, second] = seed();
        let mut hash = first ^ key.len() as u64;
        let mut chunks = key.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            hash = fold(hash ^ word, second);
        }
        Self(fold(hash ^ short_word(chunks.remainder()), second ^ first))
    }
}

/// Fewer than eight bytes as a number; together with their count, no two are the same.
fn short_word(bytes: &[u8]) -> u64 {
    let four = |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
    match *bytes {
        [] => 0,
        [one] => u64::from(one),
        [one, two] => u64::from(one) << 8 | u64::from(two),
        [one, two, three] => u64::from(one) << 16 | u64::from(two) << 8 | u64::from(three),
        _ => u64::from(four(0)) << 32 | u64::from(four(bytes.len() - 4)),
    }
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    // The two halves of the product, on purpose.
    #[allow(clippy::cast_possible_truncation)]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

const SLOTS: usize = 1_024;
const MAX_CACHED: usize = 30;

/// What the rules said of the keys seen last: services see the same few again and again.
#[derive(Default)]
pub(super) struct Verdicts {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    key: [u8; MAX_CACHED],
    len: u8,
    verdict: Verdict,
}

impl Verdicts {
    /// What was said of a key, or what is said now.
    pub(super) fn get(&mut self, hash: KeyHash, key: &str, judge: impl FnOnce(&str) -> Verdict) -> Verdict {
        if self.slots.is_empty() {
            // The empty key is plain by the rule, so a slot that was never filled tells the truth.
            self.slots = vec![Slot { key: [0; MAX_CACHED], len: 0, verdict: Verdict::Plain }; SLOTS];
        }
        // The high bits: the low ones choose a slot in the set of keys.
        let place = usize::try_from(hash.0 >> 54).unwrap_or(0) % SLOTS;
        let Some(slot) = self.slots.get_mut(place) else { return judge(key) };
        if slot.key.get(..usize::from(slot.len)) == Some(key.as_bytes()) {
            return slot.verdict;
        }
        let verdict = judge(key);
        if let (Some(room), Ok(len)) = (slot.key.get_mut(..key.len()), u8::try_from(key.len())) {
            room.copy_from_slice(key.as_bytes());
            slot.len = len;
            slot.verdict = verdict;
        }
        verdict
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
            assert_eq!(set.insert(object, KeyHash::of(key.as_bytes())), known.insert((object, key)));
        }
        let mut add = |key: &[u8]| set.insert(9, KeyHash::of(key));
        assert!(add(b"") && add(b"\0") && add(b"\0\0") && add(b"\0\0\0") && add(b"\0\0\0\0") && !add(b""));
        set.clear();
        assert!(set.insert(9, KeyHash::of(b"")));
    }

    #[test]
    fn a_verdict_is_kept_for_its_key_only() {
        let mut verdicts = Verdicts::default();
        for round in 0..3 {
            for number in 0..2_000 {
                let key = format!("{number}").repeat(1 + number % 12);
                let verdict = if number % 3 == 0 { Verdict::Secret } else { Verdict::Plain };
                assert_eq!(verdicts.get(KeyHash::of(key.as_bytes()), &key, |_| verdict), verdict, "{round}");
            }
        }
        let hash = KeyHash::of(b"token");
        assert_eq!(verdicts.get(hash, "token", |_| Verdict::Secret), Verdict::Secret);
        assert_eq!(verdicts.get(hash, "token", |_| Verdict::Plain), Verdict::Secret);
        assert_eq!(verdicts.get(hash, "", |_| Verdict::Secret), Verdict::Secret);
    }
}
