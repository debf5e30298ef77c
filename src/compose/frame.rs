//! Fields without text from outside: times, ids, the event's labels, outcome, status and level.

use crate::capture::{Draft, Stage};
use crate::diagnostics::contained;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::finished::{Fields, StageName};
use crate::record::{Level, Outcome, ResponseStatus, Status};

/// Writes these fields of an empty record.
pub(super) fn write(engine: &Engine, draft: &Draft, plan: &Plan, fields: &mut Fields) {
    let completes = draft.stage != Stage::Initiation;
    (fields.status, fields.level) = verdict(engine, draft, plan);
    fields.timestamp = if completes { draft.started.plus(draft.elapsed) } else { draft.started };
    fields.labels = Some(plan.labels.clone());
    fields.stage = if completes { StageName::Completion } else { StageName::Initiation };
    fields.outcome = draft.outcome.filter(|_| completes);
    fields.audit_id = draft.audit_id;
    fields.started_at = completes.then_some(draft.started);
    fields.duration = completes.then_some(draft.elapsed);
    fields.url_cut = draft.url_cut;
}

/// The status and level of the record.
fn verdict(engine: &Engine, draft: &Draft, plan: &Plan) -> (Status, Level) {
    let success = (Status::Succeeded, plan.level);
    if draft.stage == Stage::Initiation {
        return success;
    }
    let outcome = draft.outcome.unwrap_or(Outcome::Completed);
    let ended_well = matches!(outcome, Outcome::Completed | Outcome::Upgraded);
    let answer = draft.status.map(|status| ResponseStatus::new(status, draft.grpc_status));
    let refused = answer.is_some_and(|answer| is_failure(engine, answer));
    let reported = draft.late.as_ref().is_some_and(|late| late.failed);
    if ended_well && !refused && !reported {
        return success;
    }
    let level = match (ended_well, answer) {
        _ if outcome == Outcome::Aborted => Level::Warn,
        (true, Some(answer)) => answer.failure_level(),
        _ => Level::Error,
    };
    (Status::Failed, level)
}

/// Whether the classifier takes an answer as a failure. If it panics, the default applies.
fn is_failure(engine: &Engine, answer: ResponseStatus) -> bool {
    let said = contained("the classifier of status", || (engine.is_success)(answer));
    said.unwrap_or_else(|| answer.by_default()) == Status::Failed
}
