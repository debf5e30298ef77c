//! Draft to record: nothing secret gets past here.
//!
//! [`Redactor`] holds the rules. A [`Pass`] redacts one exchange with them: bodies, query, parameters,
//! URL, texts, each once; then everything is searched for the values that were masked anywhere in it.
//! It runs on our own thread, takes time linear in what it reads, and what it cannot parse it leaves out.
//!
//! - A draft becomes a record: `draft`, by way of `facts` (the request), `texts`, `memory` (those that were seen before),
//!   `meta`, `verdict` and `scrub`.
//! - What is secret: `redactor` (all rules), `rules` (keys), `values`, `pointer`, `pair`; what stands for it: `way`.
//! - `front` has each kind of text redacted by the file of its format: `json` (by `frame` and `token`), `query` (and forms,
//!   by `fields`), `multipart`, `url`, `text`, `table`, `xml`.
//! - Inside of strings: `strings`, by way of `names` and `extent`, `markup`, `rejection`; what changes in one: `edit`.
//! - `block` looks at sixteen bytes of a text at once.
//! - `pass` is what they share, with the memory of `scratch`: `keys` (what was said of a key), `echo`, `cut` and `view` (what
//!   was masked, and where it stands again).
//! - What hit where: `notes` and `trail`, told by `explain` and `report`, in terms of `hit`; `standing` has the places that a record shows.

mod block;
mod cut;
#[allow(dead_code, unused_imports, reason = "not used by the other files yet")]
mod detect;
mod draft;
mod echo;
mod edit;
mod explain;
mod extent;
mod facts;
mod fields;
mod frame;
mod front;
mod hit;
mod json;
mod keys;
mod markup;
mod memory;
mod meta;
mod multipart;
mod names;
mod notes;
mod pair;
mod pass;
mod percent;
mod pointer;
mod query;
mod redactor;
mod rejection;
mod report;
mod rules;
mod scratch;
mod scrub;
mod standing;
mod strings;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod texts;
mod token;
mod trail;
mod url;
mod values;
mod verdict;
mod view;
mod way;
mod xml;

pub(crate) use draft::{bare_record, record};
pub use explain::Explanation;
pub(crate) use front::Body;
pub use hit::{Hit, HitRule};
pub(crate) use memory::Memory;
pub(crate) use pass::Pass;
pub(crate) use redactor::EventRules;
pub use redactor::{Redactor, RedactorBuilder};
pub(crate) use report::Report;
pub use report::{HitCount, RedactionReport};
#[cfg(feature = "__fuzzing")]
pub(crate) use strings::said_by;
pub(crate) use values::open_card_number;
