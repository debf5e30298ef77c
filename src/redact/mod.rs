//! Redaction: text in, redacted text out.

mod redacted;

pub(crate) use redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Piece, Redacted, Span};
