//! What the worker keeps from one record to the next: the classes of keys, texts that held nothing secret, and allocated
//! lists. It only saves work: what is masked does not depend on it. It belongs to one redactor.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::echo::Remembered;
use super::format::JsonScratch;
use super::redactor::Redactor;
use super::rules::{Class, Part};

/// The number of pairs of keys that are kept; further keys replace them.
const PAIRS: usize = 512;
/// Longer keys are not kept.
const LONGEST_KEY: usize = 64;
/// The number of texts that are kept, and the length of the longest.
const TEXTS: usize = 64;
const LONGEST_TEXT: usize = 512;

/// What is kept from record to record.
#[derive(Debug)]
pub(crate) struct Memory {
    owner: Option<Redactor>,
    seed: u64,
    /// Keys that were judged. Of each pair, the one that was used last is the first.
    keys: Vec<[Known; 2]>,
    texts: Vec<String>,
    pub(super) remembered: Remembered,
    pub(super) json: Vec<JsonScratch>,
}

/// A key that was judged.
#[derive(Clone, Debug, Default)]
struct Known {
    hash: u64,
    key: String,
    facts: KeyFacts,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyFacts {
    pub(super) class: Class,
    pub(super) part: Part,
    /// It holds a token or a character that has to be escaped.
    pub(super) is_odd: bool,
    /// As a parameter of a URL, it holds a signature.
    pub(super) is_signature: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            owner: None,
            seed: RandomState::new().hash_one(0),
            keys: vec![Default::default(); PAIRS],
            texts: vec![String::new(); TEXTS],
            remembered: Remembered::default(),
            json: Vec::new(),
        }
    }
}

impl Memory {
    /// Begins a record. What is kept for another redactor is removed.
    pub(super) fn begin(&mut self, redactor: &Redactor) {
        if !self.owner.as_ref().is_some_and(|owner| Arc::ptr_eq(&owner.rules, &redactor.rules)) {
            *self = Self { owner: Some(redactor.clone()), ..Self::default() };
        }
        self.remembered.clear();
    }

    /// A hash with a random seed, so that clients cannot choose keys that replace each other.
    #[inline]
    pub(super) fn hash(&self, text: &str) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(23);
        let bytes = text.as_bytes();
        let hash = bytes.as_chunks::<8>().0.iter().fold(self.seed, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        // The last bytes, together with some of those before them: the length tells texts apart that end alike.
        let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let last = match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk()) {
            (Some(last), ..) => u64::from_le_bytes(*last),
            (_, Some(first), Some(last)) => half(first) << 32 | half(last),
            _ => bytes.iter().fold(0, |last, byte| last << 8 | u64::from(*byte)),
        };
        mix(hash.wrapping_add(bytes.len() as u64), last)
    }

    /// What the rules say of a key: as it was judged before, or as `judge` does now.
    #[inline(always)]
    pub(super) fn facts(&mut self, hash: u64, key: &str, judge: impl FnOnce() -> KeyFacts) -> KeyFacts {
        let [last, older] = &mut self.keys[slot(hash, PAIRS)];
        if last.hash != hash {
            std::mem::swap(last, older);
        }
        if last.hash == hash && last.key == key {
            return last.facts;
        }
        let facts = judge();
        if key.len() <= LONGEST_KEY {
            (last.hash, last.facts) = (hash, facts);
            key.clone_into(&mut last.key);
        }
        facts
    }

    /// Whether a text is kept, so that it holds nothing secret.
    pub(super) fn knows(&self, text: &str) -> bool {
        text.len() <= LONGEST_TEXT && self.texts[slot(self.hash(text), TEXTS)] == text
    }

    /// Keeps a text that holds nothing secret.
    pub(super) fn keep(&mut self, text: &str) {
        if text.len() <= LONGEST_TEXT {
            let at = slot(self.hash(text), TEXTS);
            text.clone_into(&mut self.texts[at]);
        }
    }
}

/// Its bits are the highest of the product, which depend on all of the text.
fn slot(hash: u64, slots: usize) -> usize {
    usize::try_from(hash >> 13 & 0xffff).unwrap_or_default() % slots
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::clock::splitmix64;

    #[test]
    fn the_keys_of_a_body_seldom_replace_each_other() {
        const KEYS_OF_A_BODY: &str = "id name type status url created_at updated_at description title user email login \
            node_id avatar_url html_url followers_url repos_url events_url site_admin body state labels number locked \
            assignee milestone comments closed_at author active_lock_reason draft head base sha ref repo private fork size \
            language kind metadata spec apiVersion uid annotations";
        let is_crowded = |seed: u64| {
            let memory = Memory { seed: splitmix64(seed), ..Memory::default() };
            let mut places: HashMap<usize, usize> = HashMap::new();
            for key in KEYS_OF_A_BODY.split_whitespace() {
                *places.entry(slot(memory.hash(key), PAIRS)).or_default() += 1;
            }
            places.into_values().any(|keys| keys > 2)
        };
        let crowded = (0..1000).filter(|seed| is_crowded(*seed)).count();
        assert!(crowded < 100, "of 1000 seeds, {crowded} have three keys in two slots");
    }
}
