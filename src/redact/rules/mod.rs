//! What is secret by its key or its place, and what happens to it: phrases, exceptions and JSON Pointers.

mod action;
mod keys;
mod parts;
mod pointers;
mod words;

pub(super) use action::{Action, LeafKind, MIN_TEXT, begins_link};
pub(crate) use keys::is_phrase;
pub(super) use keys::{Class, KeyRules, Names};
pub(super) use parts::Part;
pub(super) use pointers::{Active, Effect, Pointers};
#[cfg(test)]
pub(super) use words::{ALWAYS, AS_TEXT, CODES, DROPPED, HARMLESS, MASK_VALUES_UNDER};

use crate::error::{Error, Problems};

/// What one event adds to the rules.
#[derive(Debug, Default)]
pub(crate) struct EventRules {
    pub(super) names: Names,
    pub(super) pointers: Pointers,
    /// The allow list of the event's bodies, if it has one.
    pub(super) show: Option<Pointers>,
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
        let (mut problems, mut compiled) = (Problems::default(), Pointers::default());
        for pointer in pointers {
            problems.take(compiled.add(pointer, Effect::Mask));
        }
        let (excepted_pointers, excepted_names): (Vec<_>, Vec<_>) =
            except.iter().map(String::as_str).partition(|one| one.starts_with('/'));
        for pointer in excepted_pointers {
            problems.take(compiled.add(pointer, Effect::Except));
        }
        let mut shown = (!show.is_empty()).then(Pointers::default);
        for pointer in show {
            if let Some(shown) = &mut shown {
                problems.take(shown.add(pointer, Effect::Show));
            }
        }
        let names = problems.take(Names::new(values_under.iter().map(String::as_str), excepted_names));
        problems.finish()?;
        Ok(Self { names: names.unwrap_or_default(), pointers: compiled, show: shown })
    }
}
