//! What a completion must say after what client and handler saw.

use serde_json::Value;

use crate::ledger::{Delivered, Handled, Seen};
use crate::plan::{Case, Class, How, Leaves, Nested, Reads, Upload};

/// The delivery class of its records.
pub(crate) fn class_of(case: &Case, seen: &Seen) -> Class {
    match case.nested {
        Nested::RouteLayer if seen.server.begun > 0 => case.class.max(Class::Durable),
        _ => case.class,
    }
}

/// A client that stays receives the whole response, with the handler's status.
pub(crate) fn check_client(case: &Case, seen: &Seen, confirms: bool, wrong: &mut Vec<String>) {
    let stays = case.leaves == Leaves::Never && !seen.client.disturbed;
    let reads_all = case.reads == Reads::All || case.upload == Upload::None;
    if confirms && stays && reads_all && seen.server.begun > 0 && case.how.is_answered() && !seen.client.whole {
        wrong.push("its client did not get the whole answer".to_owned());
    }
    let is_handlers = seen.server.status.is_some() && !seen.client.refusal && case.how != How::Outer408;
    if is_handlers && seen.client.status.is_some_and(|status| Some(status) != seen.server.status) {
        wrong.push("its client got another status than the handler gave".to_owned());
    }
}

/// The outcomes that are possible after what the server saw.
fn outcomes(case: &Case, seen: &Seen) -> &'static [&'static str] {
    let server = &seen.server;
    match server.handled {
        Handled::NotBegun => &["rejected", "aborted", "shutdown"],
        Handled::Begun => &["aborted", "shutdown"],
        Handled::Failed => &["handler_error"],
        Handled::TimedOut => &["timed_out"],
        Handled::Panicked => &["panicked"],
        Handled::Answered if server.status == Some(101) => &["upgraded"],
        Handled::Answered if server.ends_at_head => &["completed"],
        Handled::Answered => match server.delivered {
            Delivered::Ended => &["completed"],
            Delivered::Failed => &["body_error"],
            Delivered::Panicked => &["panicked"],
            Delivered::Part if case.how == How::Events && case.nested == Nested::No => &["completed"],
            Delivered::Part => &["aborted", "shutdown"],
        },
    }
}

/// A client that broke off while the last frame that the handler's body gave waited for bytes of the budget never got it.
fn is_last_frame_held(case: &Case, seen: &Seen, record: &Value) -> bool {
    let broke_off = seen.client.disturbed || case.leaves != Leaves::Never;
    let response = &record["response"];
    broke_off
        && seen.server.handled == Handled::Answered
        && matches!(seen.server.delivered, Delivered::Ended | Delivered::Part)
        && record["outcome"] == "aborted"
        && response["bodyOmitted"]["reason"] == "truncated"
        && seen.server.last_frame > 0
        && response["bytes"] == seen.server.bytes - seen.server.last_frame
}

/// Compares a completion with what handler and client saw.
pub(crate) fn check_completion(case: &Case, seen: &Seen, record: &Value, wrong: &mut Vec<String>) {
    let (n, server) = (case.n, &seen.server);
    let outcome = record["outcome"].as_str().unwrap_or_default();
    let expected = outcomes(case, seen);
    let is_last_frame_held = is_last_frame_held(case, seen, record);
    if !is_last_frame_held && !expected.contains(&outcome) {
        wrong.push(format!("`{outcome}`, not {expected:?}"));
        return;
    }
    if seen.client.refusal && server.begun == 0 && outcome != "rejected" {
        wrong.push("its client was refused".to_owned());
    }
    let mut same = |what: &str, is: &Value, should_be: Value| {
        if *is != should_be {
            wrong.push(format!("{what} is {is}, not {should_be}"));
        }
    };
    let was_answered = server.handled == Handled::Answered;
    let is_grpc = case.content_type() == "application/grpc";
    let status = match outcome {
        "rejected" => Some(if is_grpc { 200 } else { 503 }),
        _ => server.status,
    };
    same("the status", &record["response"]["status"], status.into());
    let begun = server.begun > 0;
    if was_answered && !is_last_frame_held {
        same("the length", &record["response"]["bytes"], server.bytes.into());
    }
    let actor = (begun && case.has_actor).then(|| format!("canary-{n}-actor"));
    same("the actor", &record["actor"]["actorId"], actor.into());
    same("the agent", &record["actor"]["client"], format!("canary-{n}-agent").into());
    same("`meta.canary`", &record["meta"]["canary"], begun.then(|| format!("canary-{n}-meta")).into());
    same("the method", &record["request"]["method"], case.method.into());
    if begun {
        let name = match case.nested {
            Nested::RouteLayer => "Nested".to_owned(),
            _ => case.event_name(),
        };
        same("the event", &record["eventName"], name.into());
    }
    if outcome == "aborted" {
        same("where it was aborted", &record["meta"]["abortedAt"], if was_answered { "body" } else { "head" }.into());
    }
    let has_grpc_failed = is_grpc
        && was_answered
        && server.status == Some(200)
        && case.how.grpc_status() != Some(0)
        && (matches!(case.how, How::GrpcHead(_)) || server.delivered == Delivered::Ended);
    let said = case.how == How::ServerError && server.status == Some(500);
    let failed = !matches!(outcome, "completed" | "upgraded")
        || server.status.is_some_and(|status| status >= 400)
        || has_grpc_failed
        || said;
    same("the result", &record["status"], if failed { "failed" } else { "succeeded" }.into());
}
