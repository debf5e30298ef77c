//! The errors of a record that failed: of the application, or else of this library.

use http::StatusCode;
use percent_encoding::percent_decode;

use super::Extent;
use crate::capture::{Draft, EntryPoint};
use crate::record::finished::{ErrorEntry, ErrorText, Fields};
use crate::record::{Failure, Outcome, Status};
use crate::redact::{Evidence, Part, Redacted, Session};

/// Writes the errors: at least one if the record failed, and none otherwise.
pub(super) fn write(draft: &Draft, extent: Extent, session: &mut Session<'_>, fields: &mut Fields) {
    if fields.status == Status::Succeeded {
        return;
    }
    let late = draft.late.iter().filter(|_| extent == Extent::Whole);
    for Failure { name, message, stack } in late.flat_map(|late| &late.errors) {
        fields.errors.push(ErrorEntry {
            name: session.evidence(name),
            message: ErrorText::Application(session.text(message)),
            stack: stack.as_ref().map(|stack| session.text(stack)),
        });
    }
    if fields.errors.is_empty() {
        let mut error = library_error(draft, |parts| session.out.parts(parts.iter().copied()));
        let message = draft.bytes(draft.grpc_message);
        if extent == Extent::Whole && grpc_failure(draft).is_some() && !message.is_empty() {
            let message = percent_decode(message).decode_utf8_lossy();
            error.message = ErrorText::Application(session.text(&message));
        }
        fields.errors.push(error);
    }
}

/// Writes the library's error, for a record whose redaction panicked.
pub(super) fn write_bare(draft: &Draft, text: &mut Redacted, fields: &mut Fields) {
    if fields.status == Status::Failed {
        fields.errors.push(library_error(draft, |parts| text.parts(parts.iter().copied())));
    }
}

/// The gRPC status of a request that ended well otherwise, if it is a failure.
fn grpc_failure(draft: &Draft) -> Option<u32> {
    let ended_well = matches!(draft.outcome.unwrap_or(Outcome::Completed), Outcome::Completed | Outcome::Upgraded);
    draft.grpc_status.filter(|status| ended_well && *status != 0)
}

/// The error of a failure for which the application gave none.
fn library_error(draft: &Draft, mut text: impl FnMut(&[Part]) -> Evidence) -> ErrorEntry {
    let mut entry = |name: &[Part], message: &[Part]| ErrorEntry {
        name: text(name),
        message: ErrorText::Library(text(message)),
        stack: None,
    };
    let (name, message) = match draft.outcome.unwrap_or(Outcome::Completed) {
        Outcome::HandlerError => ("HandlerError", "the handler failed without a response"),
        Outcome::Panicked if draft.entry_point == EntryPoint::Activity => ("Panicked", "the work panicked"),
        Outcome::Panicked => ("Panicked", "the handler panicked"),
        Outcome::TimedOut => ("TimedOut", "the handler took too long"),
        Outcome::Aborted if draft.entry_point == EntryPoint::Activity => {
            ("Abandoned", "the work was dropped before it ended")
        }
        Outcome::Aborted => ("Aborted", "the request was dropped before it ended"),
        Outcome::BodyError => ("BodyError", "the response's stream failed"),
        Outcome::Rejected => ("Rejected", "the request could not be recorded and was not handled"),
        Outcome::Shutdown if draft.entry_point == EntryPoint::Activity => {
            ("Shutdown", "the server stopped before the work ended")
        }
        Outcome::Shutdown => ("Shutdown", "the server stopped before the request ended"),
        Outcome::Completed | Outcome::Upgraded => match (grpc_failure(draft), draft.status) {
            (Some(code), _) => {
                let message = [Part::Text("grpc-status "), Part::Number(code.into())];
                return entry(&[Part::Text(grpc_name(code))], &message);
            }
            (None, Some(status)) => return status_error(status, entry),
            (None, None) => ("Failed", "it failed"),
        },
    };
    entry(&[Part::Text(name)], &[Part::Text(message)])
}

/// `{"name":"NotFound","message":"404 Not Found"}`.
fn status_error(status: StatusCode, mut entry: impl FnMut(&[Part], &[Part]) -> ErrorEntry) -> ErrorEntry {
    /// More than any reason phrase has.
    const MAX_WORDS: usize = 8;
    let code = Part::Number(status.as_u16().into());
    let Some(reason) = status.canonical_reason() else { return entry(&[Part::Text("Status"), code], &[code]) };
    let mut name = [Part::Text(""); MAX_WORDS];
    let words = reason.split(|char: char| !char.is_ascii_alphanumeric());
    name.iter_mut().zip(words).for_each(|(part, word)| *part = Part::Text(word));
    entry(&name, &[code, Part::Text(" "), Part::Text(reason)])
}

/// The name of a gRPC status: <https://grpc.io/docs/guides/status-codes/>.
fn grpc_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_every_status_is_its_reason_without_signs() {
        for status in (100..1000).filter_map(|code| StatusCode::from_u16(code).ok()) {
            let mut text = Redacted::default();
            let error = status_error(status, |name, message| ErrorEntry {
                name: text.parts(name.iter().copied()),
                message: ErrorText::Library(text.parts(message.iter().copied())),
                stack: None,
            });
            let (name, message) = match status.canonical_reason() {
                Some(reason) => (
                    reason.chars().filter(char::is_ascii_alphanumeric).collect(),
                    format!("{} {reason}", status.as_u16()),
                ),
                None => (format!("Status{}", status.as_u16()), status.as_u16().to_string()),
            };
            assert_eq!((text.get(error.name), error.message.of(&text)), (name.as_str(), message.as_str()));
        }
    }
}
