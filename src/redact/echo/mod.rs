//! Values that were masked, and where they are repeated in what clients say.
//!
//! `remembered` collects them while a session runs; `search` looks for them when it has ended. Nothing here reaches
//! evidence, but for what the application itself called secret.

mod finder;
mod remembered;
mod search;

pub(super) use remembered::Remembered;
pub(crate) use search::EchoSearch;
