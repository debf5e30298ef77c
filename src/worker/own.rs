//! Internal records: the first and the last of each run, and what was lost or refused in it.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Micros;
use crate::diagnostics::contained;
#[cfg(feature = "export")]
use crate::export::Announcement;
use crate::queue::{LossReason, ShutdownReport, StopReason, Tally};
use crate::record::finished::{ErrorEntry, ErrorText, Identity};
use crate::record::{Finished, Labels, Level, LogType, Status, push_time};
use crate::redact::{Memory, Part, Redactor, Session};

/// Identity and time of an internal record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) at: Micros,
    pub(super) id: Uuid,
}

/// What an internal record reports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Own<'s> {
    /// The run begins. The settings tell two configurations apart.
    Started { enabled: bool, settings: &'s Value },
    /// The run ends.
    Stopped(&'s ShutdownReport, StopReason),
    /// Records were lost, all of them or those of one sink.
    RecordsLost { reason: LossReason, tally: &'s Tally, sink: Option<&'s str> },
    /// Requests were refused.
    RequestsRefused(&'s Tally),
    /// A run of the exporter ended.
    #[cfg(feature = "export")]
    Exported(&'s Announcement),
}

/// Makes internal records, by the rules of every other record.
pub(super) struct Maker {
    redactor: Redactor,
    memory: Memory,
}

impl Maker {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, memory: Memory::default() }
    }

    /// Makes an internal record. Where its redaction fails it has no `meta`.
    pub(super) fn make(&mut self, stamp: Stamp, own: Own<'_>) -> Finished {
        let mut record = Finished::default();
        frame(stamp, own, &mut record);
        let made = contained("redaction of an internal record", || {
            let Finished { text, fields } = &mut record;
            let mut session = Session::new(&self.redactor, None, &mut self.memory, text);
            each_member(own, |key, value| {
                let value = session.meta(key, value);
                fields.meta.push((session.out.constant(key), value));
            });
        });
        if made.is_none() {
            record.fields.meta.clear();
        }
        record
    }
}

/// What is constant, or a number.
fn frame(stamp: Stamp, own: Own<'_>, Finished { text, fields }: &mut Finished) {
    let (name, message): (_, &[Part]) = match own {
        Own::Started { .. } => ("AuditStarted", &[Part::Text("the audit log has started")]),
        Own::Stopped(..) => ("AuditStopped", &[Part::Text("the audit log has stopped")]),
        Own::RecordsLost { reason, tally, .. } => (
            "AuditRecordsLost",
            &[Part::Number(tally.count), Part::Text(" audit record(s) were lost: "), Part::Text(reason.as_str())],
        ),
        Own::RequestsRefused(tally) => (
            "AuditRequestsRefused",
            &[Part::Number(tally.count), Part::Text(" request(s) were refused and could not be recorded")],
        ),
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Succeeded { report, .. }) => (
            "AuditExportSucceeded",
            &[
                Part::Number(report.records),
                Part::Text(" audit record(s) of "),
                Part::Number(report.segments),
                Part::Text(" segment(s) were exported"),
            ],
        ),
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Failed { count, .. }) => (
            "AuditExportFailed",
            &[
                Part::Text("the export of audit records failed "),
                Part::Number(*count),
                Part::Text(" time(s) and is tried again"),
            ],
        ),
    };
    let message = text.parts(message.iter().copied());
    let error = match own {
        Own::Started { .. } | Own::Stopped(..) => None,
        Own::RecordsLost { .. } => Some("RecordsLost"),
        Own::RequestsRefused(_) => Some("RequestsRefused"),
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Succeeded { .. }) => None,
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Failed { .. }) => Some("ExportFailed"),
    };
    let (actor, kind) = (text.constant("tower-audit"), text.constant("system"));
    fields.timestamp = stamp.at;
    fields.audit_id = stamp.id;
    fields.labels = Some(Arc::new(Labels::new(name, Some("audit"), LogType::Audit, None, None, None)));
    fields.message = Some(message);
    fields.actors.push(Identity { id: Some(actor), kind: Some(kind), ..Identity::default() });
    if let Some(error) = error {
        fields.level = Level::Error;
        fields.status = Status::Failed;
        let entry = ErrorEntry { name: text.constant(error), message: ErrorText::Library(message), stack: None };
        fields.errors.push(entry);
    }
}

/// The members of `meta`.
fn each_member(own: Own<'_>, mut add: impl FnMut(&'static str, &Value)) {
    match own {
        Own::Started { enabled, settings } => {
            add("version", &json!(env!("CARGO_PKG_VERSION")));
            add("enabled", &json!(enabled));
            add("settings", settings);
        }
        Own::Stopped(report, reason) => {
            add("reason", &json!(reason.as_str()));
            add("written", &json!(report.written));
            add("lost", &json!(report.lost));
            add("refused", &json!(report.refused));
            add("open", &json!(report.open));
        }
        Own::RecordsLost { reason, tally, sink } => {
            add("count", &json!(tally.count));
            add("reason", &json!(reason.as_str()));
            span(tally, &mut add);
            if let Some(sink) = sink {
                add("sink", &json!(sink));
            }
        }
        Own::RequestsRefused(tally) => {
            add("count", &json!(tally.count));
            span(tally, &mut add);
        }
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Succeeded { report, failed }) => {
            add("segments", &json!(report.segments));
            add("objects", &json!(report.objects));
            add("records", &json!(report.records));
            add("bytes", &json!(report.bytes));
            add("waiting", &json!(report.waiting));
            add("failedBefore", &json!(failed));
        }
        #[cfg(feature = "export")]
        Own::Exported(Announcement::Failed { count, error, waiting }) => {
            add("count", &json!(count));
            add("error", &json!(error));
            add("waiting", &json!(waiting));
        }
    }
}

fn span(tally: &Tally, add: &mut impl FnMut(&'static str, &Value)) {
    let samples: Vec<String> = tally.samples.iter().map(Uuid::to_string).collect();
    add("first", &json!(time(tally.first)));
    add("last", &json!(time(tally.last)));
    add("auditIds", &json!(samples));
}

fn time(at: Micros) -> String {
    let mut text = String::new();
    push_time(&mut text, at);
    text
}
