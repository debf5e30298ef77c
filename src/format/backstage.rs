//! A record as Backstage's core auditor writes it, which is what Red Hat Developer Hub has from 1.6 on.

use std::fmt;

use super::Format;
use crate::json::push_json_string;
use crate::record::finished::StageName;
use crate::record::{FieldValue, Fixed, Record, Status, time_text};

/// JSON as Backstage's core auditor writes it: for searches that were written for Red Hat Developer Hub 1.6 or later. It flags
/// records with `isAuditEvent`, not with `isAuditLog`.
///
/// The table says which `eventId`, severity and further `meta` key an event has there;
/// [`presets::backstage_auditor::EVENTS`](crate::presets::backstage_auditor::EVENTS) is that of the product. Other events have their
/// name in kebab case and the severity `low`. It accepts every record.
///
/// ```text
/// {"timestamp":"…","level":"info","isAuditEvent":true,"message":"scaffolder.task","plugin":"scaffolder","eventId":"task","severityLevel":"medium","actor":{"actorId":"user:default/jane","ip":"192.0.2.7","hostname":"hub.example","userAgent":"curl/8"},"request":{"url":"/api/scaffolder/v2/tasks","method":"POST"},"meta":{"actionType":"create","taskId":"…"},"status":"succeeded"}
/// ```
pub fn backstage_auditor(events: &'static [AuditorEvent]) -> BackstageAuditor {
    BackstageAuditor { events }
}

/// See [`backstage_auditor()`].
#[derive(Clone, Debug)]
pub struct BackstageAuditor {
    events: &'static [AuditorEvent],
}

/// What Backstage's core auditor calls an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an event does nothing until a format has it"]
pub struct AuditorEvent {
    name: &'static str,
    id: &'static str,
    severity: SeverityLevel,
    kind: Option<(&'static str, &'static str)>,
}

/// The severity of an event in Backstage's core auditor.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityLevel {
    /// The default; logged at `debug`.
    #[default]
    Low,
    /// Events that change something.
    Medium,
    /// Events that change permissions.
    High,
    /// Events that endanger the system.
    Critical,
}

impl SeverityLevel {
    /// The name in `severityLevel`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for SeverityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AuditorEvent {
    /// The event of this name in this crate's catalog has this id there.
    pub const fn new(name: &'static str, id: &'static str) -> Self {
        Self { name, id, severity: SeverityLevel::Low, kind: None }
    }

    /// Its severity; `low` by default.
    pub const fn severity(mut self, severity: SeverityLevel) -> Self {
        self.severity = severity;
        self
    }

    /// `meta.actionType`, such as `create`.
    pub const fn action(mut self, action: &'static str) -> Self {
        self.kind = Some(("actionType", action));
        self
    }

    /// `meta.queryType`, such as `by-id`.
    pub const fn query(mut self, query: &'static str) -> Self {
        self.kind = Some(("queryType", query));
        self
    }

    /// The name in this crate's catalog.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl Format for BackstageAuditor {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, _record: &Record<'_>) -> bool {
        true
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let known = self.events.iter().find(|event| event.name == record.event_name());
        let severity = known.map(|event| event.severity).unwrap_or_default();
        let id = known.map_or_else(|| kebab(record.event_name()), |event| event.id.to_owned());
        let plugin = record.fixed(Fixed::Plugin);
        let plugin = plugin.as_ref().map_or(if record.is_internal() { "audit" } else { "http" }, FieldValue::as_str);
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(&time_text(record.fields.timestamp));
        out.extend_from_slice(b"\",\"level\":\"");
        out.extend_from_slice(if severity == SeverityLevel::Low { b"debug" } else { b"info" });
        out.extend_from_slice(b"\",\"isAuditEvent\":true");
        let mut members = Members { out, is_first: false };
        members.text("message", Some(&[plugin, ".", &id].concat()));
        members.text("plugin", Some(plugin));
        members.text("eventId", Some(&id));
        members.text("severityLevel", Some(severity.as_str()));
        members.object("actor", |actor| {
            match record.actor_id() {
                Some(id) => actor.text("actorId", Some(id)),
                None => actor.json("actorId", "null"),
            }
            actor.text("ip", record.fixed(Fixed::Ip).as_ref().map(FieldValue::as_str));
            actor.text("hostname", record.hostname());
            actor.text("userAgent", record.user_agent().as_deref());
        });
        if let Some(url) = record.url() {
            members.object("request", |request| {
                request.text("url", Some(&url));
                request.text("method", record.method());
            });
        }
        let kind = known.and_then(|event| event.kind);
        if kind.is_some() || record.meta().next().is_some() {
            members.object("meta", |meta| {
                if let Some((key, value)) = kind {
                    meta.text(key, Some(value));
                }
                let others = record.meta().filter(|(key, _)| kind.is_none_or(|(known, _)| known != *key));
                others.for_each(|(key, value)| meta.json(key, &value));
            });
        }
        members.text(
            "status",
            Some(match (record.fields.stage, record.status()) {
                (StageName::Initiation, _) => "initiated",
                (_, Status::Succeeded) => "succeeded",
                (_, Status::Failed) => "failed",
            }),
        );
        if let Some(error) = record.errors().first() {
            members.text("error", Some(&[error.name(), ": ", error.message()].concat()));
        }
        out.push(b'}');
    }
}

/// Writes the members of one object.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl Members<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        push_json_string(self.out, key);
        self.out.push(b':');
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key);
            push_json_string(self.out, value);
        }
    }

    fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn object(&mut self, key: &str, write: impl FnOnce(&mut Members<'_>)) {
        self.key(key);
        self.out.push(b'{');
        write(&mut Members { out: self.out, is_first: true });
        self.out.push(b'}');
    }
}

/// `task-fetch` of `TaskFetch`.
fn kebab(name: &str) -> String {
    super::upper_snake(name).replace('_', "-").to_ascii_lowercase()
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::format::sample::{line, written};
    use crate::presets::backstage_auditor::EVENTS;

    fn written_json(members: &Value) -> Value {
        serde_json::from_str(&written(backstage_auditor(EVENTS), &line(members))).unwrap()
    }

    #[test]
    fn a_record_has_the_keys_of_the_product() {
        let created = written_json(&json!({
            "eventName": "ScaffolderTaskCreation", "plugin": "scaffolder", "status": "failed",
            "actor": { "actorId": "user:default/jane", "ip": "192.0.2.7", "hostname": "hub", "client": "curl/8 \"\u{202e}" },
            "meta": { "taskId": "t-1", "actionType": "forged" },
            "errors": [{ "name": "NotFound", "message": "404\nNot Found" }],
            "request": { "method": "POST", "protocol": "HTTP/1.1", "url": "/api/scaffolder/v2/tasks?a=b" },
        }));
        assert_eq!(
            created,
            json!({
                "timestamp": "2021-04-01T19:46:23.817658Z", "level": "info", "isAuditEvent": true,
                "message": "scaffolder.task", "plugin": "scaffolder", "eventId": "task", "severityLevel": "medium",
                "actor": {
                    "actorId": "user:default/jane", "ip": "192.0.2.7", "hostname": "hub", "userAgent": "curl/8 \"\u{202e}",
                },
                "request": { "url": "/api/scaffolder/v2/tasks?a=b", "method": "POST" },
                "meta": { "actionType": "create", "taskId": "t-1" }, "status": "failed",
                "error": "NotFound: 404\nNot Found",
            })
        );
    }

    #[test]
    fn initiations_other_events_and_those_of_the_library_are_written_too() {
        let begun = written_json(
            &json!({ "eventName": "CatalogEntityFetchByUid", "plugin": "catalog", "stage": "initiation" }),
        );
        assert_eq!((&begun["status"], &begun["level"]), (&json!("initiated"), &json!("debug")));
        assert_eq!(
            (&begun["message"], &begun["meta"]),
            (&json!("catalog.entity-fetch"), &json!({ "queryType": "by-id" }))
        );
        let other = written_json(&json!({ "eventName": "NightlyExport" }));
        assert_eq!((&other["message"], &other["actor"]), (&json!("http.nightly-export"), &json!({ "actorId": null })));
        let lost = written_json(&json!({ "eventName": "AuditRecordsLost", "meta": { "count": 3 } }));
        assert_eq!((&lost["message"], &lost["meta"]["count"]), (&json!("audit.audit-records-lost"), &json!(3)));
    }

    proptest! {
        #[test]
        fn every_value_reads_back_and_forges_no_key(
            texts in prop::collection::vec("(?s)[,:{}\"\\\\\n\r\u{0}\u{202e}\u{85}a€]{0,12}|(?s).{0,24}", 4),
        ) {
            let event = written_json(&json!({
                "plugin": "p", "actor": { "actorId": texts[0], "client": texts[1] }, "meta": { "a": texts[2], "b": [texts[3]] },
            }));
            let mut keys: Vec<&String> = event.as_object().unwrap().keys().collect();
            keys.sort();
            prop_assert_eq!(
                keys,
                ["actor", "eventId", "isAuditEvent", "level", "message", "meta", "plugin", "severityLevel", "status", "timestamp"]
            );
            prop_assert_eq!(&event["actor"], &json!({ "actorId": texts[0], "userAgent": texts[1] }));
            prop_assert_eq!(&event["meta"], &json!({ "a": texts[2], "b": [texts[3]] }));
        }
    }
}
