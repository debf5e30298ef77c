//! Draft → record: the one way, so that what has not been through redaction cannot reach a format or a sink.

use std::borrow::Cow;

use super::Pass;
use super::facts::{Facts, known_method};
use super::memory::Memory;
use super::meta;
use super::scrub::scrub;
use super::texts::texts;
use super::trail::Trail;
use super::verdict;
use crate::capture::{BodyCopy, Door, Draft, Progress, Stage};
use crate::diagnostics::contained;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::Reason;
use crate::record::finished::{Address, Body, Record, Request, Response};

/// Writes everything that stands on the record of a draft into `record`, whatever was there before.
pub(crate) fn record(engine: &Engine, draft: &Draft, memory: &mut Memory, record: &mut Record) {
    let Some(plan) = engine.plan(&draft.event) else { return bare_record(engine, draft, record) };
    let mut pass = match &engine.report {
        None => Pass::new(&engine.redactor, Some(&plan.rules)),
        Some(_) => Pass::with_trail(&engine.redactor, Some(&plan.rules), Trail::counting()),
    };
    let draft = &draft.reading();
    memory.keep_texts_of(record);
    frame(engine, draft, plan, record);
    draft.late.iter().flat_map(|late| &late.secrets).for_each(|secret| pass.remember(secret));

    // Bodies first: what is masked in them is masked wherever it stands again.
    let facts = Facts::of(engine, draft, plan, memory, &mut pass);
    texts(draft, memory, &mut pass, record);
    meta::collect(engine, draft, plan, &facts, &mut pass, record);
    let mut message = memory.empty();
    meta::render_message(plan.policy.message(), draft, &facts, record, &mut message);
    record.message = Some(message);
    if draft.door == Door::Request {
        (record.request, record.response) = facts.shown(draft, memory, &mut pass);
    }
    if pass.has_masked() {
        scrub(&mut pass, draft, record);
    }
    if let Some(report) = &engine.report {
        contained("the redaction report", || report.add(&mut pass, record));
    }
}

/// The same of a record whose redaction failed: nothing that anybody but us has written.
pub(crate) fn bare_record(engine: &Engine, draft: &Draft, record: &mut Record) {
    let Some(plan) = engine.plan(&draft.event) else { return *record = Record::default() };
    frame(engine, draft, plan, record);
    record.address = Address { ip: draft.ip, port: draft.port, peer_ip: draft.peer_ip, ..Address::default() };
    if draft.door == Door::Request {
        let omitted = |copy: &BodyCopy| Body {
            omitted: (copy.progress != Progress::Absent).then_some(Reason::RedactorFailed),
            bytes: copy.total,
            ..Body::default()
        };
        record.request = Some(Request {
            method: known_method(draft).into(),
            route: draft.route.listed.as_ref().map(|(route, _)| engine.routes.template(*route).to_owned()),
            protocol: draft.version,
            body: omitted(&draft.request_body),
            ..Request::default()
        });
        if let (Some(status), true) = (draft.status, draft.stage != Stage::Initiation) {
            let bytes = Some(draft.response_body.total);
            record.response = Some(Response { status: Some(status), bytes, body: omitted(&draft.response_body) });
        }
    }
}

/// What holds no text from outside: times, ids, names, and how it ended.
fn frame(engine: &Engine, draft: &Draft, plan: &Plan, record: &mut Record) {
    let verdict = verdict::of(engine, draft, plan);
    let completion = draft.stage != Stage::Initiation;
    let mut meta = std::mem::take(&mut record.meta);
    meta.clear();
    *record = Record::default();
    record.meta = meta;
    record.timestamp = if completion { draft.started.plus(draft.elapsed) } else { draft.started };
    record.level = verdict.level;
    record.event_name = plan.policy.shared_name();
    record.labels = Some(plan.labels.clone());
    record.stage = match &draft.stage {
        Stage::Initiation => Cow::Borrowed("initiation"),
        Stage::Completion => Cow::Borrowed("completion"),
        Stage::Named(stage) => stage.clone(),
    };
    record.status = verdict.status;
    record.outcome = draft.outcome.filter(|_| completion);
    record.audit_id = draft.audit_id;
    record.started_at = completion.then_some(draft.started);
    record.duration = completion.then_some(draft.elapsed);
    record.errors = verdict.errors;
    record.url_cut = draft.url_cut;
}
