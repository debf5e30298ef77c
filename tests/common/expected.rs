//! Whole records to compare with.

use serde_json::{Value, json};

use super::NOW;

/// Records of exchanges, without what no test can know: ids, sequence numbers (both checked before) and the port.
pub(crate) fn normal(records: Vec<Value>) -> Vec<Value> {
    let own = |record: &Value| record["eventName"].as_str().is_some_and(|name| name.starts_with("Audit"));
    let mut records: Vec<Value> = records.into_iter().filter(|record| !own(record)).collect();
    for record in &mut records {
        let members = record.as_object_mut().expect("a record is an object");
        members.remove("seq");
        members.remove("auditId");
        if let Some(port) = record.pointer_mut("/actor/port") {
            *port = json!(1);
        }
    }
    records
}

/// The record of `GET /` by nobody known at 127.0.0.1, answered with 200 and no body, changed by `patch`, in which
/// `null` takes a key away (RFC 7396). The message of an unmatched request follows from the rest.
pub(crate) fn record(patch: Value) -> Value {
    let mut record = json!({
        "timestamp": NOW,
        "level": "info",
        "isAuditLog": true,
        "schema": "1.0",
        "eventName": "HttpRequest",
        "logType": "audit",
        "stage": "completion",
        "status": "succeeded",
        "outcome": "completed",
        "instance": "run-1",
        "startedAt": NOW,
        "durationMs": 0.0,
        "host": "server.example",
        "actor": { "actorId": null, "ip": "127.0.0.1", "port": 1, "hostname": "127.0.0.1" },
        "response": { "status": 200, "bytes": 0 },
        "request": { "method": "GET", "url": "/", "protocol": "HTTP/1.1" },
    });
    merge(&mut record, patch);
    if record.get("message").is_none() {
        let actor = record["actor"]["actorId"].as_str().unwrap_or("somebody");
        let result = match record["stage"].as_str() {
            Some("initiation") => "initiated",
            _ => record["status"].as_str().unwrap_or_default(),
        };
        let message = match record["eventName"].as_str() {
            Some("HttpRequest") => {
                let path = record["request"]["url"].as_str().and_then(|url| url.split('?').next()).unwrap_or_default();
                format!("{} {path} by {actor} {result}", record["request"]["method"].as_str().unwrap_or_default())
            }
            name => format!("{} by {actor} {result}", name.unwrap_or_default()),
        };
        record["message"] = json!(message);
    }
    record
}

/// What a failure changes.
pub(crate) fn failed(level: &str, outcome: &str, name: &str, message: &str) -> Value {
    let errors = json!([{ "name": name, "message": message }]);
    json!({ "level": level, "status": "failed", "outcome": outcome, "errors": errors })
}

/// One patch after another.
pub(crate) fn with(mut patch: Value, more: Value) -> Value {
    merge(&mut patch, more);
    patch
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().expect("it was made one above");
    for (key, value) in patch {
        if value.is_null() && members.contains_key(&key) {
            members.remove(&key);
        } else if value.is_null() {
            members.insert(key, value);
        } else {
            merge(members.entry(key).or_insert(Value::Null), value);
        }
    }
}
