//! What a walk keeps of open objects and lists, and of the next value.

use std::ops::Range;

use super::pairs::{Leaf, Pair};
use crate::redact::edits::Edits;
use crate::redact::hit::HitRule;
use crate::redact::rules::{Class, Part, Paths, Show};

/// Lists that walks use, kept from one to the next.
#[derive(Debug, Default)]
pub(in crate::redact) struct JsonScratch {
    pub(super) edits: Edits,
    pub(super) frames: Vec<Frame>,
    /// What leads on from each of them, in walks that follow pointers.
    pub(super) paths: Vec<Paths>,
    pub(super) keys: Vec<SeenKey>,
    /// Leaves of open values.
    pub(super) leaves: Vec<Leaf>,
    pub(super) places: Vec<Range<usize>>,
}

impl JsonScratch {
    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.frames.clear();
        self.paths.clear();
        self.keys.clear();
        self.leaves.clear();
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SeenKey {
    pub(super) hash: u64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The keys of an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    /// They begin here in the list of keys.
    pub(super) from: usize,
    /// A bit of each hash: as long as none is set twice, no key repeats.
    pub(super) seen: u64,
    pub(super) may_repeat: bool,
}

impl Keys {
    #[inline]
    pub(super) fn add(&mut self, hash: u64) {
        let bit = 1 << (hash & 63);
        self.may_repeat |= self.seen & bit != 0;
        self.seen |= bit;
    }
}

/// An open object or list.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) is_object: bool,
    /// What applies to the values in it, as far as their own keys say nothing; and where its own member begins.
    pub(super) below: Next,
    /// A member is kept. If none is yet, a removed member is removed with the comma after it.
    pub(super) has_kept: bool,
    pub(super) skips_comma: bool,
    pub(super) last_comma: usize,
    pub(super) index: usize,
    pub(super) keys: Keys,
    pub(super) pair: Pair,
}

/// What applies to the next value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) class: Class,
    pub(super) show: Show,
    pub(super) rule: HitRule,
    pub(super) part: Part,
    /// Its own key, or that of its list or object, says that it is secret; not a key further out.
    pub(super) is_direct: bool,
    /// Where its member begins.
    pub(super) start: usize,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The value of a member, or the root.
    Value,
    Element,
    ElementOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    After,
    /// Nothing: the cut went through a token.
    Cut,
}
