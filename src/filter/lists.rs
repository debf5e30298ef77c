//! Allow and deny lists of events.

use std::collections::HashMap;

use super::pattern::Pattern;
use crate::format::upper_snake;
use crate::record::Status;

/// Allow and deny lists of events, for [`Filter::lists`](super::Filter::lists).
///
/// An entry is the name of an event, a pattern with `*`, or `kind:` and a kind. A name may also be written in upper snake case, as
/// [`key_value`](crate::format::key_value) lines have it, and then with `_SUCCESS` or `_ERROR` for records of that status only.
///
/// The first of these rules that applies decides: an event of the *always* list is written; an event of the *deny* list is
/// not written; if the *allow* list is not empty, only its events are written; all other events are written.
///
/// When the auditor is built, each entry without `*` that names no event and no kind of the catalog is reported as a warning.
///
/// ```
/// use tower_audit::{Filter, Lists};
///
/// let lists = Lists::new().allow(["kind:package", "Login*"]).deny(["PackageDownloaded"]).always(["PackageDeleted"]);
/// # let _ = Filter::lists(lists);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "lists do nothing until a filter has them"]
pub struct Lists {
    allow: List,
    deny: List,
    always: List,
}

/// One list: however many names it has, one look-up finds an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// As they were given.
    entries: Vec<String>,
    /// Names, and which records of the event they are for.
    names: HashMap<String, Which>,
    patterns: Vec<(Subject, Pattern)>,
    /// A name may be in upper snake case.
    has_codes: bool,
}

/// What a pattern is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Name,
    Kind,
}

/// The records of an event that an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    Of(Status),
}

impl Lists {
    /// Empty lists: all events are written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the events that are written. If this list is empty, all events are written.
    pub fn allow(mut self, entries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow.add(entries);
        self
    }

    /// Adds to the events that are not written, even if the allow list has them.
    pub fn deny(mut self, entries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.deny.add(entries);
        self
    }

    /// Adds to the events that are written, whatever the other lists have.
    pub fn always(mut self, entries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.always.add(entries);
        self
    }

    pub(super) fn pass(&self, name: &str, kind: Option<&str>, status: Status) -> bool {
        let has = |list: &List| list.has(name, kind, status);
        has(&self.always) || !has(&self.deny) && (self.allow.entries.is_empty() || has(&self.allow))
    }

    /// Entries without `*` that name no event.
    pub(super) fn unknown<'l>(&'l self, is_known: &dyn Fn(&str) -> bool) -> Vec<&'l str> {
        let all = [&self.allow, &self.deny, &self.always].into_iter().flat_map(|list| &list.entries);
        all.map(String::as_str).filter(|entry| !entry.contains('*') && !is_known(entry)).collect()
    }
}

impl List {
    fn add(&mut self, entries: impl IntoIterator<Item = impl Into<String>>) {
        for entry in entries {
            let entry = entry.into();
            if let Some(kind) = entry.strip_prefix("kind:") {
                self.patterns.push((Subject::Kind, Pattern::new(kind)));
            } else if entry.contains('*') {
                self.patterns.push((Subject::Name, Pattern::new(&entry)));
            } else {
                self.has_codes |= is_code(&entry);
                if let Some((name, status)) = status_of(&entry) {
                    // Both halves of an event are the whole of it.
                    let which = match self.names.get(name) {
                        Some(known) if *known != Which::Of(status) => Which::All,
                        _ => Which::Of(status),
                    };
                    self.names.insert(name.to_owned(), which);
                }
                self.names.insert(entry.clone(), Which::All);
            }
            self.entries.push(entry);
        }
    }

    fn has(&self, name: &str, kind: Option<&str>, status: Status) -> bool {
        let listed = |name: &str| match self.names.get(name) {
            None => false,
            Some(Which::All) => true,
            Some(Which::Of(of)) => *of == status,
        };
        let pattern = |(subject, pattern): &(Subject, Pattern)| match subject {
            Subject::Name => pattern.matches(name),
            Subject::Kind => kind.is_some_and(|kind| pattern.matches(kind)),
        };
        listed(name) || self.has_codes && listed(&upper_snake(name)) || self.patterns.iter().any(pattern)
    }
}

/// Whether it is in upper snake case.
fn is_code(entry: &str) -> bool {
    !entry.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// The event and the status of an entry such as `READ_INFO_SUCCESS`.
pub(crate) fn status_of(entry: &str) -> Option<(&str, Status)> {
    let succeeded = entry.strip_suffix("_SUCCESS").map(|name| (name, Status::Succeeded));
    succeeded.or_else(|| entry.strip_suffix("_ERROR").map(|name| (name, Status::Failed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(lists: &Lists, name: &str) -> [bool; 2] {
        [Status::Succeeded, Status::Failed].map(|status| lists.pass(name, Some("artifact"), status))
    }

    #[test]
    fn deny_beats_allow_and_always_beats_both() {
        let lists = Lists::new().allow(["A", "B", "C"]).deny(["B", "C"]).always(["C"]);
        let all = ["A", "B", "C", "D"].map(|name| passes(&lists, name)[0]);
        assert_eq!(all, [true, false, true, false]);
        assert_eq!(passes(&Lists::new(), "A"), [true; 2]);
        assert_eq!(passes(&Lists::new().allow(["kind:artifact"]).deny(["Read*"]), "ReadIt"), [false; 2]);
        assert_eq!(passes(&Lists::new().allow(["kind:artifact"]), "X"), [true; 2]);
        assert_eq!(passes(&Lists::new().allow(["kind:other"]), "X"), [false; 2]);
    }

    #[test]
    fn codes_of_psono_hold_with_and_without_their_end() {
        for name in ["READ_INFO", "ReadInfo"] {
            assert_eq!(passes(&Lists::new().allow(["READ_INFO"]), name), [true; 2]);
            assert_eq!(passes(&Lists::new().allow(["READ_INFO_SUCCESS"]), name), [true, false]);
            assert_eq!(passes(&Lists::new().deny(["READ_INFO_ERROR"]), name), [true, false]);
            assert_eq!(passes(&Lists::new().allow(["READ_INFO_ERROR", "READ_INFO_SUCCESS"]), name), [true; 2]);
            assert_eq!(passes(&Lists::new().allow(["READ_INFO", "READ_INFO_SUCCESS"]), name), [true; 2]);
        }
        assert_eq!(passes(&Lists::new().allow(["LOGIN_SUCCESS"]), "LOGIN_SUCCESS"), [true; 2], "a name is a name");
    }

    #[test]
    fn entries_that_name_nothing_are_found() {
        let lists = Lists::new().allow(["A", "B*"]).deny(["X"]);
        assert_eq!(lists.unknown(&|entry| entry == "A"), ["X"]);
    }
}
