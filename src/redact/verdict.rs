//! Whether an exchange failed, how bad that is, and the errors that say so.

use http::StatusCode;

use crate::capture::{Door, Draft, Stage};
use crate::diagnostics::contained;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::{Failure, Level, Outcome, ResponseStatus, Status};

pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) level: Level,
    /// Present exactly when the status is `failed`.
    pub(super) errors: Vec<Failure>,
}

pub(super) fn of(engine: &Engine, draft: &Draft, plan: &Plan) -> Verdict {
    let success =
        Verdict { status: Status::Succeeded, level: plan.policy.level().unwrap_or(Level::Info), errors: Vec::new() };
    if draft.stage == Stage::Initiation {
        return success;
    }
    let outcome = draft.outcome.unwrap_or(Outcome::Completed);
    let ended_well = matches!(outcome, Outcome::Completed | Outcome::Upgraded);
    let answer = draft.status.map(|status| ResponseStatus::new(status, draft.grpc_status));
    let refused = answer.is_some_and(|answer| is_failure(engine, answer));
    let said = draft.late.as_ref().is_some_and(|late| late.failed);
    if ended_well && !refused && !said {
        return success;
    }
    let mut errors = draft.late.as_ref().map(|late| late.errors.clone()).unwrap_or_default();
    if errors.is_empty() {
        errors.push(nobodys_error(draft, outcome));
    }
    let level = match (ended_well, answer) {
        _ if outcome == Outcome::Aborted => Level::Warn,
        (true, Some(answer)) => answer.failure_level(),
        _ => Level::Error,
    };
    Verdict { status: Status::Failed, level, errors }
}

/// As the classifier says; where it panics, as the default does.
fn is_failure(engine: &Engine, answer: ResponseStatus) -> bool {
    let said = contained("the classifier of status", || (engine.is_success)(answer));
    said.unwrap_or_else(|| answer.by_default()) == Status::Failed
}

/// The error of a failure for which nobody gave one.
fn nobodys_error(draft: &Draft, outcome: Outcome) -> Failure {
    let grpc = draft.grpc_status.filter(|code| *code != 0);
    match outcome {
        Outcome::HandlerError => Failure::new("HandlerError", "the handler failed without a response"),
        Outcome::Panicked if draft.door == Door::Activity => Failure::new("Panicked", "the work panicked"),
        Outcome::Panicked => Failure::new("Panicked", "the handler panicked"),
        Outcome::TimedOut => Failure::new("TimedOut", "the handler took too long"),
        Outcome::Aborted if draft.door == Door::Activity => {
            Failure::new("Abandoned", "the work was dropped before it ended")
        }
        Outcome::Aborted => Failure::new("Aborted", "the exchange was broken off before it ended"),
        Outcome::BodyError => Failure::new("BodyError", "the response's stream failed"),
        Outcome::Rejected => Failure::new("Rejected", "the request could not be recorded and was not handled"),
        Outcome::Shutdown => Failure::new("Shutdown", "the server stopped before the exchange ended"),
        Outcome::Completed | Outcome::Upgraded => match grpc {
            Some(code) => grpc_error(code, draft.bytes(draft.grpc_message)),
            None => status_error(draft.status),
        },
    }
}

/// `{"name":"NotFound","message":"404 Not Found"}`.
fn status_error(status: Option<StatusCode>) -> Failure {
    let Some(status) = status else { return Failure::new("Failed", "it failed") };
    match status.canonical_reason() {
        Some(reason) => {
            let name: String = reason.chars().filter(char::is_ascii_alphanumeric).collect();
            Failure::new(name, format!("{} {reason}", status.as_u16()))
        }
        None => Failure::new(format!("Status{}", status.as_u16()), status.as_u16().to_string()),
    }
}

/// By gRPC's own names, and with what `grpc-message` says: <https://grpc.io/docs/guides/status-codes/>. Whoever takes it
/// redacts it, as every error.
fn grpc_error(code: u32, message: &[u8]) -> Failure {
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
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("UNKNOWN");
    match message {
        [] => Failure::new(name, format!("grpc-status {code}")),
        _ => Failure::new(name, percent_encoding::percent_decode(message).decode_utf8_lossy()),
    }
}
