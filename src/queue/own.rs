//! Our own records: the brackets around each run, and what was lost or refused in it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::control::{ShutdownReport, StopReason};
use super::loss::{LossReason, Tally};
use crate::clock::Micros;
use crate::record::wire::push_time;
use crate::record::{Actor, Failure, Labels, Level, Record, Status};

/// Identity and time of one of our own records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) at: Micros,
    pub(super) id: Uuid,
}

/// The first record of each run. `settings` is what stands in it to tell two configurations apart.
pub(super) fn started(stamp: Stamp, enabled: bool, settings: &Value) -> Record {
    let meta =
        [("version", json!(env!("CARGO_PKG_VERSION"))), ("enabled", json!(enabled)), ("settings", settings.clone())];
    succeeded("AuditStarted", stamp, "the audit log has started", meta)
}

/// The last record of each run.
pub(super) fn stopped(stamp: Stamp, report: &ShutdownReport, reason: StopReason) -> Record {
    let meta = [
        ("reason", json!(reason.as_str())),
        ("written", json!(report.written)),
        ("lost", json!(report.lost)),
        ("refused", json!(report.refused)),
        ("open", json!(report.open)),
    ];
    succeeded("AuditStopped", stamp, "the audit log has stopped", meta)
}

/// `sink`: the one that lost them for itself.
pub(super) fn records_lost(stamp: Stamp, reason: LossReason, tally: &Tally, sink: Option<&str>) -> Record {
    let message = format!("{} audit record(s) were lost: {}", tally.count, reason.as_str());
    let mut record = failed("AuditRecordsLost", stamp, "RecordsLost", message, tally, Some(reason));
    if let Some(sink) = sink {
        record.meta.push((Cow::Borrowed("sink"), json!(sink).to_string()));
    }
    record
}

pub(super) fn requests_refused(stamp: Stamp, tally: &Tally) -> Record {
    let message = format!("{} request(s) were refused and could not be recorded", tally.count);
    failed("AuditRequestsRefused", stamp, "RequestsRefused", message, tally, None)
}

fn succeeded<const N: usize>(
    name: &'static str,
    stamp: Stamp,
    message: &str,
    meta: [(&'static str, Value); N],
) -> Record {
    Record {
        timestamp: stamp.at,
        event_name: Cow::Borrowed(name),
        labels: Some(Arc::new(Labels::new(Some("audit"), None, None, None))),
        stage: Cow::Borrowed("completion"),
        message: Some(message.to_owned()),
        audit_id: stamp.id,
        actor: Actor::system("tower-audit"),
        meta: meta.into_iter().map(|(key, value)| (Cow::Borrowed(key), value.to_string())).collect(),
        ..Record::default()
    }
}

fn failed(
    name: &'static str,
    stamp: Stamp,
    error: &str,
    message: String,
    tally: &Tally,
    reason: Option<LossReason>,
) -> Record {
    let samples: Vec<String> = tally.samples.iter().map(Uuid::to_string).collect();
    let meta = [
        ("count", json!(tally.count)),
        ("first", json!(time(tally.first))),
        ("last", json!(time(tally.last))),
        ("auditIds", json!(samples)),
    ];
    let mut record = succeeded(name, stamp, &message, meta);
    if let Some(reason) = reason {
        record.meta.insert(1, (Cow::Borrowed("reason"), json!(reason.as_str()).to_string()));
    }
    record.level = Level::Error;
    record.status = Status::Failed;
    record.errors = vec![Failure::new(error, message)];
    record
}

fn time(at: Micros) -> String {
    let mut text = String::new();
    push_time(&mut text, at);
    text
}
