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
    /// The hashes of keys.
    pub(super) keys: Vec<u64>,
    /// Leaves of open values.
    pub(super) leaves: Vec<Leaf>,
    /// Values and data of open objects, with their leaves. Keys differ in case, or repeat: an object may have several.
    pub(super) noted: Vec<(Part, Range<usize>)>,
}

impl JsonScratch {
    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.frames.clear();
        self.paths.clear();
        self.keys.clear();
        self.leaves.clear();
        self.noted.clear();
    }
}

/// An open object or list, or the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The bracket that closes it; 0 for the root.
    pub(super) closing: u8,
    /// What applies to the values in it, as far as their own keys say nothing; and where its own member begins.
    pub(super) below: Next,
    /// A member is kept. If none is yet, a removed member is removed with the comma after it.
    pub(super) has_kept: bool,
    pub(super) last_comma: usize,
    pub(super) index: usize,
    /// Its keys begin here in the list of all.
    pub(super) keys_from: usize,
    /// A bit of the hash of each key: as long as none is set twice, no key repeats.
    seen: u64,
    pub(super) may_repeat: bool,
    pub(super) pair: Pair,
    /// What is noted of its members begins here in the list of all.
    pub(super) noted_from: usize,
}

impl Frame {
    /// `keys_from`, `noted_from`: how many there are before it.
    pub(super) fn new(closing: u8, below: Next, keys_from: usize, noted_from: usize) -> Self {
        let (has_kept, may_repeat, pair) = (false, false, Pair::default());
        Self { closing, below, has_kept, last_comma: 0, index: 0, keys_from, seen: 0, may_repeat, pair, noted_from }
    }

    pub(super) fn add_key(&mut self, hash: u64) {
        let bit = 1 << (hash & 63);
        self.may_repeat |= self.seen & bit != 0;
        self.seen |= bit;
    }
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
    /// A member beside it, or beside what it is in, may name it.
    pub(super) is_noted: bool,
    /// Where its member begins.
    pub(super) start: usize,
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
#[derive(Clone, Copy, Debug, Default)]
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

    /// The class of a value, or of data, beside the members that were read.
    pub(super) fn class_of(&self, part: Part) -> Class {
        match (part, self.is_marked, self.name, self.has_op) {
            (Part::Data, ..) if self.has_api_version && self.is_secret_kind == Some(true) => Class::MaskValuesUnder,
            (Part::Data, ..) => Class::Plain,
            (_, true, ..) => Class::Always,
            (_, false, Class::Plain, true) => self.path,
            (_, false, name, _) => name,
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

    /// For an object that was cut, of which this is noted: a member after the cut may have named its value, or marked it.
    pub(super) fn cut(&mut self, noted: &[(Part, Range<usize>)]) {
        self.is_marked |= noted.iter().any(|(part, _)| *part == Part::Value);
        self.has_api_version |= self.is_secret_kind == Some(true);
        self.is_secret_kind.get_or_insert(true);
    }
}
