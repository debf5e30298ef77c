//! Tracks the members of an object that say what the value beside them is.
//!
//! `{"name": N, "value": V}` and the like, JSON Patch and SCIM (`op`, `path`, `value`), Kubernetes' `Secret` (`data`,
//! `stringData`), AWS's `SecureString`, `sensitive` and `masked` of Terraform and GitLab. The name may come after the
//! value, so the leaves of a value that might be named are noted while it is walked.

use std::ops::Range;

use crate::redact::rules::{Class, LeafKind, Part};

/// A leaf of a value that a member beside it may mark as secret.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The inside of a string, or the whole of another token.
    pub(super) place: Range<usize>,
    pub(super) kind: LeafKind,
    /// Its JSON Pointer, if hits are listed.
    pub(super) hit: Option<String>,
}

/// What the members of one object say of the value beside them.
#[derive(Debug, Default)]
pub(super) struct Pair {
    name: Class,
    path: Class,
    has_op: bool,
    has_api_version: bool,
    is_kubernetes_secret: bool,
    has_kind: bool,
    is_marked: bool,
    /// The open member whose leaves are noted, and the first of them.
    recording: Option<(Part, usize)>,
    /// Values and data, with their leaves. Keys differ in case, or repeat: there may be several.
    noted: Vec<(Part, Range<usize>)>,
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

    /// Ends a member whose leaves need not be noted. Whether they were.
    pub(super) fn forget_member(&mut self) -> bool {
        self.recording.take().is_some()
    }

    /// Ends a member. Whether the leaves of its value were noted.
    pub(super) fn end_member(&mut self, leaves: usize) -> bool {
        let Some((part, from)) = self.recording.take() else { return false };
        self.noted.push((part, from..leaves));
        true
    }

    /// The first leaf that may be secret because of another member.
    pub(super) fn first_leaf(&self) -> Option<usize> {
        self.noted.first().map(|(_, leaves)| leaves.start)
    }

    /// Whether a member that was read marks the value beside it as secret.
    pub(super) fn names_a_secret(&self) -> bool {
        self.is_marked || self.name != Class::Plain || (self.has_op && self.path != Class::Plain)
    }

    /// Takes the value of a member that names or marks the value beside it.
    pub(super) fn say(&mut self, part: Part, text: &str, class: Class) {
        match part {
            // One of several names is enough.
            Part::Name if class != Class::Plain => self.name = class,
            Part::Path if class != Class::Plain => self.path = class,
            Part::Kind => {
                self.has_kind = true;
                self.is_kubernetes_secret |= text == "Secret";
            }
            Part::Type => self.is_marked |= text == "SecureString",
            Part::Marker => self.is_marked |= text == "true",
            _ => {}
        }
    }

    /// For an object that was cut: a member after the cut may have named its value, or marked it.
    pub(super) fn cut(mut self) -> Self {
        self.end_member(usize::MAX);
        self.is_marked |= self.noted.iter().any(|(part, _)| *part == Part::Value);
        self.is_kubernetes_secret |= self.has_api_version && !self.has_kind;
        self
    }

    /// The leaves that are secret and their class, those noted last first.
    pub(super) fn secrets(self) -> impl Iterator<Item = (Class, Range<usize>)> {
        let value = match (self.is_marked, self.name, self.has_op) {
            (true, ..) => Class::Always,
            (false, Class::Plain, true) => self.path,
            (false, name, _) => name,
        };
        let is_secret = self.is_kubernetes_secret && self.has_api_version;
        let data = if is_secret { Class::MaskValuesUnder } else { Class::Plain };
        let classes = self.noted.into_iter().rev();
        let classes = classes.map(move |(part, leaves)| (if part == Part::Data { data } else { value }, leaves));
        classes.filter(|(class, _)| *class != Class::Plain)
    }
}
