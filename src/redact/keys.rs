//! Finds keys that an object repeats, without keeping the keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

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
            self.slots.truncate(256);
            self.slots.fill(0);
            self.len = 0;
        }
    }

    /// Adds a key of an object; whether it is new there.
    pub(super) fn insert(&mut self, object: u64, key: &[u8]) -> bool {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = hash(object, key).max(1);
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

/// Multiply and fold, as wyhash does: good enough against senders who do not know the seed.
fn hash(object: u64, key: &[u8]) -> u64 {
    let [first, second] = seed();
    let mut hash = fold(object ^ first, second);
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = fold(hash ^ word, second);
    }
    let tail = chunks.remainder().iter().fold(key.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
    fold(hash ^ tail, second ^ first)
}

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
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_the_same_key_of_the_same_object_is_repeated() {
        let mut set = KeySet::default();
        let mut known = HashSet::new();
        for number in 0..5_000_u64 {
            let key = format!("{}", number % 700);
            let object = number / 1_400;
            assert_eq!(set.insert(object, key.as_bytes()), known.insert((object, key)));
        }
        assert!(set.insert(9, b"") && set.insert(9, b"\0") && set.insert(9, b"\0\0") && !set.insert(9, b""));
        set.clear();
        assert!(set.insert(9, b""));
    }
}
