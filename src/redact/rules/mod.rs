//! What is secret by its key or its place, and what happens to it: phrases, exceptions and JSON Pointers.

mod class;
mod keys;
mod parts;
mod pointers;
mod words;

pub(super) use class::{Class, LeafKind, MIN_TEXT, begins_link};
pub(crate) use keys::is_phrase;
pub(super) use keys::{KeyRules, Names};
pub(super) use parts::Part;
pub(super) use pointers::{Effect, Lists, Paths, Pointers, Show};
#[cfg(test)]
pub(super) use words::{ALWAYS, AS_TEXT, CODES, DROPPED, HARMLESS, MASK_VALUES_UNDER};

use crate::error::{Error, Problems};

/// What one event adds to the rules.
#[derive(Debug, Default)]
pub(crate) struct EventRules {
    pub(super) names: Names,
    pub(super) pointers: Pointers,
    /// The allow list of the event's bodies; empty if it has none.
    pub(super) show: Pointers,
}

impl EventRules {
    /// Compiles, or reports all that is wrong with: the keys of `mask_values_under`, pointers that mask, exceptions (exact
    /// keys, or pointers if they begin with `/`), and the allow list, where empty means none.
    pub(crate) fn new(
        values_under: &[String],
        pointers: &[String],
        except: &[String],
        show: &[String],
    ) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let (excepted, names): (Vec<_>, Vec<_>) = except.iter().partition(|one| one.starts_with('/'));
        let masked = pointers.iter().map(|pointer| (pointer.as_str(), Effect::Mask));
        let excepted = excepted.into_iter().map(|pointer| (pointer.as_str(), Effect::Except));
        let pointers = problems.take(Pointers::new(masked.chain(excepted))).unwrap_or_default();
        let show = show.iter().map(|pointer| (pointer.as_str(), Effect::Show));
        let show = problems.take(Pointers::new(show)).unwrap_or_default();
        let names = problems.take(Names::new(values_under, names)).unwrap_or_default();
        problems.finish().map(|()| Self { names, pointers, show })
    }
}
