//! Records for the tests of formats.

use serde_json::{Value, json};

use super::{Format, write_line};
use crate::record::RecordLine;

/// The line of a record without its newline. It has no character that could end or turn a line.
pub(super) fn written(mut format: impl Format, read: &RecordLine) -> String {
    let mut out = Vec::new();
    write_line(&mut format, read.record(), 1 << 20, &mut out);
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.chars().any(|char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char)), "{line:?}");
    line.to_owned()
}

/// A record with these members beside those that each must have.
pub(crate) fn line(members: &Value) -> RecordLine {
    let mut line = json!({
        "timestamp": "2021-04-01T19:46:23.817658Z", "level": "info", "isAuditLog": true, "schema": "1.0",
        "eventName": "PackageDownloaded", "stage": "completion", "status": "succeeded", "outcome": "completed",
        "auditId": "019a9f3c-5b14-7000-8000-000000000001", "instance": "a", "seq": 7, "actor": { "actorId": null },
    });
    for (key, value) in members.as_object().unwrap() {
        line[key] = value.clone();
    }
    let mut out = String::new();
    push_escaped(&line, &mut out);
    RecordLine::parse(&out).unwrap()
}

/// JSON with the escapes of a record's line.
fn push_escaped(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => crate::json::push_json_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_escaped(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, item)) in members.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                crate::json::push_json_string(out, key);
                out.push(':');
                push_escaped(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}
