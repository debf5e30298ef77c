//! Records for tests of formats and filters.

use serde_json::{Value, json};

use crate::json::push_json_string;
use crate::record::RecordLine;

/// A record with these members, for tests of an application's own [formats](crate::format) and [filters](crate::Filter).
///
/// Required members that are not given are those of a successful completion of the event `Test` at
/// `2026-01-01T00:00:00.000000Z`, without a known actor, with `seq` 1.
///
/// ```
/// use serde_json::json;
/// use tower_audit::{Filter, testing};
///
/// let read = testing::record(&json!({ "eventName": "Login", "actor": { "actorId": "jane" } }));
/// assert_eq!(read.record().actor_id(), Some("jane"));
/// assert!(Filter::event("Log*").passes(&read.record()));
/// ```
///
/// # Panics
///
/// If a record cannot have these members.
pub fn record(members: &Value) -> RecordLine {
    let mut record = json!({
        "timestamp": "2026-01-01T00:00:00.000000Z", "level": "info", "isAuditLog": true, "schema": "1.0",
        "eventName": "Test", "logType": "audit", "stage": "completion", "status": "succeeded", "outcome": "completed",
        "auditId": "00000000-0000-7000-8000-000000000001", "instance": "test", "seq": 1, "actor": { "actorId": null },
    });
    for (key, value) in members.as_object().into_iter().flatten() {
        record[key] = value.clone();
    }
    let mut line = String::new();
    push(&record, &mut line);
    RecordLine::parse(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// JSON with the escapes of a record's line.
fn push(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => push_json_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, item)) in members.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_json_string(out, key);
                out.push(':');
                push(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}
