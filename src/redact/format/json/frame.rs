//! What a walk keeps of open objects and lists, and of the next value.

use std::ops::Range;

use super::pairs::{Leaves, Pair};
use crate::redact::hit::HitRule;
use crate::redact::rules::{Action, Active, Part};

/// Lists that walks use, kept from one to the next.
#[derive(Debug, Default)]
pub(in crate::redact) struct JsonScratch {
    pub(super) frames: Vec<Frame>,
    /// What leads on from each of them, in walks that follow pointers.
    pub(super) paths: Vec<Paths>,
    pub(super) keys: Vec<SeenKey>,
    pub(super) leaves: Leaves,
    pub(super) places: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SeenKey {
    pub(super) hash: u64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// An open object or list.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) is_object: bool,
    /// What happens to the values in it.
    pub(super) below: Action,
    pub(super) rule: HitRule,
    /// Its own key says that what is in it is secret; not a key further out.
    pub(super) is_direct: bool,
    pub(super) show: Show,
    /// A member is kept. If none is yet, a removed member is removed with the comma after it.
    pub(super) has_kept: bool,
    pub(super) skips_comma: bool,
    pub(super) last_comma: usize,
    pub(super) index: usize,
    /// Its keys begin here in the list of keys.
    pub(super) keys_from: usize,
    pub(super) pair: Pair,
    /// The container itself is removed when it ends.
    pub(super) removed: bool,
    /// Where its member begins.
    pub(super) start: usize,
}

impl Frame {
    /// What holds for a value in it, as far as its own key says nothing.
    pub(super) fn next(&self, part: Part, start: usize) -> Next {
        Next { action: self.below, show: self.show, rule: self.rule, part, is_direct: self.is_direct, start }
    }
}

/// What an allow list shows of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// All of it: there is no list, or it names the value or a container of it.
    All,
    /// It names something inside of it.
    Inside,
    Nothing,
}

/// The pointers that lead on from a value, and those of the allow list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paths {
    pub(super) active: Active,
    pub(super) shown: Active,
}

/// What applies to the next value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) action: Action,
    pub(super) show: Show,
    pub(super) rule: HitRule,
    pub(super) part: Part,
    /// Its own key, or that of its list or object, says that it is secret; not a key further out.
    pub(super) is_direct: bool,
    /// Where its member begins.
    pub(super) start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    After,
}
