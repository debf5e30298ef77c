//! What a walk keeps of open objects and lists, of members that say what the value beside them is, and of the next value.

use std::ops::Range;

use crate::redact::edits::Edits;
use crate::redact::hit::HitRule;
use crate::redact::rules::{Class, LeafKind, Part, Paths, Show};

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

#[derive(Debug)]
pub(super) struct SeenKey {
    pub(super) hash: u64,
    pub(super) place: Range<usize>,
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

/// A leaf of a value that a member beside it may mark as secret; once it was judged, what is never masked.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    /// The inside of a string, or the whole of another token.
    pub(super) place: Range<usize>,
    pub(super) kind: LeafKind,
    /// Its JSON Pointer, if hits are listed.
    pub(super) hit: Option<String>,
}

/// What the members of one object say of the value beside them.
///
/// `{"name": N, "value": V}` and the like, JSON Patch and SCIM (`op`, `path`, `value`), Kubernetes' `Secret` (`data`,
/// `stringData`), AWS's `SecureString`, `sensitive` and `masked` of Terraform and GitLab. The name may come after the
/// value, so the leaves of a value that might be named are noted while it is walked.
#[derive(Debug, Default)]
pub(super) struct Pair {
    name: Class,
    path: Class,
    has_op: bool,
    has_api_version: bool,
    /// Whether a `kind` is that of a secret, if there is one.
    is_secret_kind: Option<bool>,
    is_marked: bool,
    /// The open member whose leaves are noted, and the first of them.
    pub(super) recording: Option<(Part, usize)>,
    /// Values and data, with their leaves. Keys differ in case, or repeat: there may be several.
    pub(super) noted: Vec<(Part, Range<usize>)>,
}

impl Pair {
    /// Begins a member, when `leaves` leaves are noted. Whether those of its value have to be noted. The members of a
    /// Kubernetes object have any order.
    pub(super) fn begin_member(&mut self, part: Part, leaves: usize) -> bool {
        match part {
            Part::Op => self.has_op = true,
            Part::ApiVersion => self.has_api_version = true,
            Part::Value | Part::Data => self.recording = Some((part, leaves)),
            _ => {}
        }
        self.recording.is_some()
    }

    /// Ends a member. Whether the leaves of its value were noted.
    pub(super) fn end_member(&mut self, leaves: usize) -> bool {
        let Some((part, from)) = self.recording.take() else { return false };
        self.noted.push((part, from..leaves));
        true
    }

    /// The class of the value beside the members that were read.
    pub(super) fn class_of_value(&self) -> Class {
        match (self.is_marked, self.name, self.has_op) {
            (true, ..) => Class::Always,
            (false, Class::Plain, true) => self.path,
            (false, name, _) => name,
        }
    }

    /// Takes the value of a member that names or marks the value beside it.
    pub(super) fn say(&mut self, part: Part, text: &str, class: Class) {
        match part {
            // One of several names is enough.
            Part::Name if class != Class::Plain => self.name = class,
            Part::Path if class != Class::Plain => self.path = class,
            Part::Kind => self.is_secret_kind = Some(text == "Secret" || self.is_secret_kind == Some(true)),
            Part::Type => self.is_marked |= text == "SecureString",
            Part::Marker => self.is_marked |= text == "true",
            _ => {}
        }
    }

    /// For an object that was cut: a member after the cut may have named its value, or marked it.
    pub(super) fn cut(mut self) -> Self {
        self.end_member(usize::MAX);
        self.is_marked |= self.noted.iter().any(|(part, _)| *part == Part::Value);
        self.is_secret_kind.get_or_insert(true);
        self
    }

    /// The leaves that are secret and their class, those noted last first.
    pub(super) fn secrets(self) -> impl Iterator<Item = (Class, Range<usize>)> {
        let value = self.class_of_value();
        let is_secret = self.has_api_version && self.is_secret_kind == Some(true);
        let data = if is_secret { Class::MaskValuesUnder } else { Class::Plain };
        let classes = self.noted.into_iter().rev();
        let classes = classes.map(move |(part, leaves)| (if part == Part::Data { data } else { value }, leaves));
        classes.filter(|(class, _)| *class != Class::Plain)
    }
}
