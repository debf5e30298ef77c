//! Redaction: text in, redacted text out. Two promises of equal rank: a secret that the rules name is never written, and
//! evidence is never erased.
//!
//! [`Redactor`] holds the rules. A [`Session`] redacts the texts of one exchange with them and ends by becoming an
//! [`EchoSearch`], which looks for what was masked in the texts of clients. What both make are pieces of a [`Redacted`]:
//! the types of the pieces keep the second phase away from evidence, and unredacted text out of records.
//!
//! - `rules`: which keys are secret, and what pointers lead to. `detect`: values that give themselves away.
//! - `format`: one file for each format of text. Each finds places; `edits` and `decode` bring them back to the text.
//! - `echo`: values that were masked, and where they are repeated.
//! - `mask`: what a record shows instead. `memory`: what is kept from one record to the next. `explain`: what hit where.

mod decode;
mod detect;
mod echo;
mod edits;
mod explain;
mod format;
mod hit;
mod mask;
mod memory;
mod reason;
mod redacted;
mod redactor;
mod rules;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use detect::open_card_number;
pub(crate) use echo::EchoSearch;
pub use explain::Explanation;
pub use hit::{Hit, HitRule};
pub(crate) use memory::Memory;
pub(crate) use reason::Reason;
pub(crate) use redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Part, Piece, Redacted};
pub use redactor::{Redactor, RedactorBuilder};
pub(crate) use rules::EventRules;
pub(crate) use session::{Body, Session};
