//! The members of a line → the fields of a record, with those that each record has.

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use super::LineReader;
use super::reader::Reader;
use super::value::{Read, bad, inside, known, milliseconds, named, number, string, text_of, time};
use crate::clock::Micros;
use crate::json::elements;
use crate::record::finished::{Context, Fields, StageName};
use crate::record::labels::LabelTexts;
use crate::record::wire::Process;
use crate::record::{Level, LogType, Outcome, Status, UserAgentKey};

/// What has been read of a line.
#[derive(Default)]
pub(super) struct Parts<'l> {
    fields: Fields,
    timestamp: Option<Micros>,
    level: Option<Level>,
    status: Option<Status>,
    stage: Option<StageName>,
    audit_id: Option<Uuid>,
    is_audit_log: bool,
    name: Option<Cow<'l, str>>,
    kind: Option<Cow<'l, str>>,
    log_type: Option<LogType>,
    service: Option<Cow<'l, str>>,
    plugin: Option<Cow<'l, str>>,
    component: Option<Cow<'l, str>>,
    instance: Option<Cow<'l, str>>,
    host: Option<Cow<'l, str>>,
    user_agent_key: UserAgentKey,
    seq: Option<u64>,
}

impl<'l> Parts<'l> {
    pub(super) fn take(&mut self, reader: &mut Reader<'l>, key: &'l str, value: &'l str) -> Read<()> {
        let fields = &mut self.fields;
        match key {
            "timestamp" => self.timestamp = Some(time(key, value)?),
            "level" => self.level = Some(named(key, value)?),
            "isAuditLog" => self.is_audit_log = value == "true",
            "schema" if !string(key, value)?.starts_with("1.") => return Err(bad(key, "is not of version 1")),
            "eventName" => self.name = Some(string(key, value)?),
            "eventKind" => self.kind = Some(string(key, value)?),
            "logType" => self.log_type = Some(named(key, value)?),
            "stage" => {
                self.stage = Some(match inside(key, value)? {
                    "initiation" => StageName::Initiation,
                    "completion" => StageName::Completion,
                    _ => StageName::Named(reader.text(key, value)?),
                });
            }
            "status" => self.status = Some(known(key, value, Status::ALL, Status::as_str)?),
            "outcome" => fields.outcome = Some(known(key, value, Outcome::ALL, Outcome::as_str)?),
            "message" => fields.message = Some(reader.text(key, value)?),
            "auditId" => {
                let id = Uuid::try_parse(inside(key, value)?).map_err(|_| bad(key, "is no UUID"))?;
                self.audit_id = Some(id);
            }
            "instance" => self.instance = Some(string(key, value)?),
            "seq" => self.seq = Some(number(key, value)?),
            "startedAt" => fields.started_at = Some(time(key, value)?),
            "durationMs" => fields.duration = Some(milliseconds(key, value)?),
            "requestId" => fields.request_id = Some(reader.text(key, value)?),
            "traceId" => fields.trace_id = Some(reader.text(key, value)?),
            "spanId" => fields.span_id = Some(reader.text(key, value)?),
            "service" => self.service = Some(string(key, value)?),
            "plugin" => self.plugin = Some(string(key, value)?),
            "component" => self.component = Some(string(key, value)?),
            "host" => self.host = Some(string(key, value)?),
            "actor" => {
                (fields.address, self.user_agent_key) = reader.address(value)?;
                fields.actors = reader.actors(value)?;
            }
            "object" => context(fields).object = Some(reader.thing(key, value)?),
            "target" => context(fields).target = Some(reader.thing(key, value)?),
            "scope" => context(fields).scope = Some(reader.scope(value)?),
            "project" => context(fields).project = Some(reader.text(key, value)?),
            "repository" => context(fields).repository = Some(reader.text(key, value)?),
            "namespace" => context(fields).namespace = Some(reader.text(key, value)?),
            "context" => context(fields).said = Some(reader.text(key, value)?),
            "meta" => {
                for (key, value) in reader.object(key, value)? {
                    let name = text_of(key).ok_or_else(|| bad("meta", "has a key that is no text"))?;
                    fields.meta.push((reader.piece(name), reader.json(value)));
                }
            }
            "errors" => fields.errors = elements(value).map(|error| reader.error(error)).collect::<Read<_>>()?,
            "response" => fields.response = Some(reader.response(value)?),
            "request" => fields.request = Some(reader.request(value)?),
            // A later minor version may have more.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(self, reader: &mut LineReader) -> Read<(Fields, Arc<Process>, Option<u64>)> {
        if !self.is_audit_log {
            return Err(bad("isAuditLog", "is not true"));
        }
        let missing = |key| move || bad(key, "is missing");
        let name = self.name.ok_or_else(missing("eventName"))?;
        let [kind, service, plugin, component] =
            [&self.kind, &self.service, &self.plugin, &self.component].map(|text| text.as_deref());
        let log_type = self.log_type.unwrap_or_default();
        let instance = self.instance.ok_or_else(missing("instance"))?;
        let fields = Fields {
            timestamp: self.timestamp.ok_or_else(missing("timestamp"))?,
            level: self.level.ok_or_else(missing("level"))?,
            status: self.status.ok_or_else(missing("status"))?,
            stage: self.stage.ok_or_else(missing("stage"))?,
            audit_id: self.audit_id.ok_or_else(missing("auditId"))?,
            labels: Some(reader.labels(&LabelTexts { name: &name, kind, log_type, service, plugin, component })),
            ..self.fields
        };
        Ok((fields, reader.process(&instance, self.host.as_deref(), self.user_agent_key), self.seq))
    }
}

fn context(fields: &mut Fields) -> &mut Context {
    fields.context.get_or_insert_default()
}
