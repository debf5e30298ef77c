//! Redaction: text in, redacted text out.

mod reason;
mod redacted;
mod session;

pub(crate) use reason::Reason;
pub(crate) use redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Part, Piece, Redacted, Span};
pub(crate) use session::{Body, EchoSearch, EventRules, Memory, Session, open_card_number};
pub use session::{Explanation, Hit, HitRule, Redactor, RedactorBuilder};
