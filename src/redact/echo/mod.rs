//! Echoes: values that were masked in one place and are repeated in another.
//!
//! `remembered` collects the values while a session runs. `search` looks for them in the texts of clients when it has ended,
//! never in evidence. Only what the application itself calls secret is searched in evidence too, while the session runs.
//! `values` is a list of values, and the search for them in one text.

mod remembered;
mod search;
mod values;

pub(super) use remembered::Remembered;
pub(crate) use search::EchoSearch;
