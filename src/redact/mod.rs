//! Redaction: text in, redacted text out. Two promises of equal rank: a secret that the rules name is never written, and
//! evidence is never erased.
//!
//! 1. A [`Redactor`] holds the compiled rules.
//! 2. A [`Session`] redacts the texts of one record with them. It appends each text to a [`Redacted`] and returns a piece of it:
//!    [`Evidence`], or [`ClientText`].
//! 3. [`Session::finish`] turns the session into an [`EchoSearch`], which searches the client's pieces for what was masked. It
//!    takes no evidence.
//!
//! - `rules`: which keys are secret (`words` has the lists, `keys` applies them), keys that name the value beside them, JSON
//!   Pointers, and what happens to a value.
//! - `detect`: values that have the form of a secret, whatever their key. The token formats are in `crate::tokens`.
//! - `search`: a [`Searcher`](search::Searcher) finds the places of secrets in one text, with `rules` and `detect`.
//! - `format`: one file for each format of text; each finds the places of secrets in it with a searcher. `inside` is the
//!   method of a searcher for JSON, URLs and encodings inside of a text; `pairs` tracks names beside values.
//! - `decode`: a decoded text, and the map of its places. `edits`: places of a text, and what is written there instead.
//! - `echo`: the values that are remembered, and the search for them.
//! - `mask`: the mask styles. `memory`: what is kept from one record to the next. `reason`: why a body is left out.
//! - `explain`, `hit`: which rule masks what in a document.
//!
//! The files use one another in this order: `session`, `format`, `search`, `memory`, and those that are further in. Text can
//! hold JSON, which holds text, so a searcher calls `format` too: only by the method in `inside`. `memory` keeps the
//! lists of a walk, whose types (`frame`, `pairs`) use `rules`, `edits` and `hit` only. The walk is one type in two files (`walker`, `leaves`).

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
mod search;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use detect::open_card_number;
pub(crate) use echo::EchoSearch;
pub use explain::Explanation;
pub use hit::{Hit, HitRule};
pub(crate) use memory::Memory;
pub(crate) use reason::Reason;
pub(crate) use redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Part, Piece, ReadBack, Redacted};
pub use redactor::{Redactor, RedactorBuilder};
pub(crate) use rules::{EventRules, is_phrase};
pub(crate) use session::{Body, Session};
