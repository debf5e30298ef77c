//! `meta`: values from the event's sources, from the application, and from how the request ended. And the event's message.

use std::borrow::Cow;

use serde_json::Value;

use super::request::{Sent, answered};
use super::word;
use crate::capture::{Draft, EntryPoint, Stage};
use crate::catalog::{MetaSource, Placeholder, TextPart};
use crate::engine::Engine;
use crate::json::{Pointer, member, push_json_string, unescape};
use crate::plan::Plan;
use crate::record::finished::{Body, Fields, Key, MASKED_NAME, Owner, Route, StageName, Thing};
use crate::record::{Outcome, write_credential};
use crate::redact::{Evidence, EvidenceJson, Session};

/// Fills `meta`. For one key, the application's value replaces that of a source.
pub(super) fn collect(
    engine: &Engine,
    draft: &Draft,
    plan: &Plan,
    sent: &Sent,
    scratch: &mut String,
    session: &mut Session<'_>,
    fields: &mut Fields,
) {
    for field in plan.policy.meta() {
        let value = param_of_same_name(&field.key, &field.sources, sent, session).or_else(|| {
            scratch.clear();
            let is_there = field.sources.iter().any(|source| read(source, sent, scratch, session));
            is_there.then(|| session.meta_of(&field.key, scratch))
        });
        if let Some(value) = value {
            let key = word(&field.key, session);
            fields.meta.push((key, value));
        }
    }
    for (key, value) in draft.late.iter().flat_map(|late| &late.meta) {
        let value = session.meta(key, value);
        put(key, value, session, fields);
    }
    if let Some(first) = draft.initiated.as_ref().and_then(|event| engine.plan(event))
        && first.policy.name() != plan.policy.name()
    {
        let name = session.meta("initiatedAs", &first.policy.name().into());
        put(&Cow::Borrowed("initiatedAs"), name, session, fields);
    }
    if draft.outcome == Some(Outcome::Aborted)
        && draft.stage == Stage::Completion
        && draft.entry_point == EntryPoint::Request
    {
        let at = if draft.status.is_some() { "body" } else { "head" };
        let at = session.meta("abortedAt", &Value::from(at));
        put(&Cow::Borrowed("abortedAt"), at, session, fields);
    }
}

/// The most frequent source: a parameter under its own name, which is redacted already.
fn param_of_same_name(key: &str, sources: &[MetaSource], sent: &Sent, session: &Session<'_>) -> Option<EvidenceJson> {
    let is_first = matches!(sources.first(), Some(MetaSource::Param(name)) if **name == *key);
    let params = sent.target.as_ref().filter(|_| is_first)?.params()?;
    session.meta_of_param(params, key)
}

/// Adds a member, or replaces the value of the one with the same key. Two keys can be the same after masking.
#[expect(clippy::ptr_arg, reason = "a constant is told from a text that was made")]
fn put(key: &Cow<'static, str>, value: EvidenceJson, session: &mut Session<'_>, fields: &mut Fields) {
    let key = word(key, session);
    let known = fields.meta.iter_mut().find(|(known, _)| session.out.get(*known) == session.out.get(key));
    match known {
        Some((_, known)) => *known = value,
        None => fields.meta.push((key, value)),
    }
}

/// Appends the value of a source as JSON, made of redacted pieces; false if it has none.
fn read(source: &MetaSource, sent: &Sent, out: &mut String, session: &mut Session<'_>) -> bool {
    let target = sent.target.as_ref();
    let found = match source {
        MetaSource::Param(name) => param(sent, name, session),
        MetaSource::Query(name) => {
            target.and_then(|target| target.query).and_then(|query| member(session.out.get(query), name))
        }
        MetaSource::RequestBody(at) => scalar(&sent.request_body, at, session),
        MetaSource::ResponseBody(at) => scalar(&sent.response_body, at, session),
        MetaSource::Template(template) => {
            let mut text = String::new();
            for part in template.parts() {
                let value = match part {
                    TextPart::Text(fixed) => {
                        text.push_str(fixed);
                        continue;
                    }
                    TextPart::Param(name) => param(sent, name, session),
                    TextPart::RequestBody(at) => scalar(&sent.request_body, at, session),
                };
                let Some(value) = value else { return false };
                text.push_str(&plain(value));
            }
            push_json_string(out, &text);
            return true;
        }
        MetaSource::Object(members) => return object(members, sent, out, session),
        MetaSource::Value(value) => {
            let value = session.meta("", value);
            Some(session.out.get(value))
        }
    };
    found.inspect(|found| out.push_str(found)).is_some()
}

/// Appends an object; keys whose source has no value are left out.
fn object(
    members: &[(Cow<'static, str>, MetaSource)],
    sent: &Sent,
    out: &mut String,
    session: &mut Session<'_>,
) -> bool {
    let mut is_empty = true;
    for (key, source) in members {
        let mut value = String::new();
        if read(source, sent, &mut value, session) {
            out.push(if is_empty { '{' } else { ',' });
            is_empty = false;
            push_json_string(out, key);
            out.push(':');
            let value = session.meta_of(key, &value);
            out.push_str(session.out.get(value));
        }
    }
    if !is_empty {
        out.push('}');
    }
    !is_empty
}

fn param<'s>(sent: &Sent, name: &str, session: &'s Session<'_>) -> Option<&'s str> {
    member(session.out.get(sent.target.as_ref()?.params()?), name)
}

/// A scalar of a body. Objects and lists are not taken: indexes need one type for a key of `meta`.
fn scalar<'s>(body: &Body, at: &Pointer, session: &'s Session<'_>) -> Option<&'s str> {
    at.find(session.out.get(body.shown?)).filter(|value| !value.starts_with(['{', '[']) && *value != "null")
}

/// A JSON value as text for a person: a string without quotes, anything else as it is.
fn plain(json: &str) -> Cow<'_, str> {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(raw) if raw.contains('\\') => unescape(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        Some(raw) => Cow::Borrowed(raw),
        None => Cow::Borrowed(json),
    }
}

/// The event's message: its template, filled with evidence and nothing else.
pub(super) fn message(
    draft: &Draft,
    plan: &Plan,
    sent: &Sent,
    scratch: &mut String,
    session: &mut Session<'_>,
    fields: &Fields,
) -> Evidence {
    scratch.clear();
    let target = sent.target.as_ref();
    let stage = match fields.stage {
        StageName::Initiation => "initiation",
        StageName::Completion => "completion",
        StageName::Named(stage) => session.out.get(stage),
    };
    plan.policy.message().render(scratch, &mut |placeholder, out| match placeholder {
        Placeholder::Actor => {
            let id = fields.actors.first().and_then(|actor| actor.id);
            out.push_str(id.map_or("", |id| session.out.get(id)));
        }
        Placeholder::ActorName => {
            let name = fields.actors.first().and_then(|actor| actor.name.or(actor.id));
            out.push_str(name.map_or("", |name| session.out.get(name)));
        }
        Placeholder::Credential => {
            let key = fields.actors.first().and_then(|actor| actor.credential.as_ref());
            key.into_iter().for_each(|key| push_key(key, session, out));
        }
        Placeholder::Object => push_thing(fields.context.and_then(|context| context.object), session, out),
        Placeholder::Target => push_thing(fields.context.and_then(|context| context.target), session, out),
        Placeholder::Scope => {
            if let Some(Owner { kind, path }) = fields.context.and_then(|context| context.scope) {
                push_words(&[Some(kind), Some(path)], session, out);
            }
        }
        Placeholder::Context => push_words(&[fields.context.and_then(|context| context.said)], session, out),
        Placeholder::Event if fields.is_name_masked => out.push_str(MASKED_NAME),
        Placeholder::Event => out.push_str(plan.policy.name()),
        Placeholder::Method => out.push_str(target.map_or("", |target| session.out.get(target.method))),
        Placeholder::Path => out.push_str(target.map_or("", |target| session.out.get(target.path))),
        Placeholder::Route => match target.and_then(|target| target.route.as_ref()) {
            Some(Route::Listed(route)) => out.push_str(route.text()),
            Some(Route::Reported(route)) => out.push_str(session.out.get(*route)),
            None => {}
        },
        Placeholder::Param(name) => out.push_str(&param(sent, name, session).map_or(Cow::Borrowed(""), plain)),
        Placeholder::Meta(key) => {
            let value = fields.meta.iter().find(|(known, _)| session.out.get(*known) == &**key);
            out.push_str(&value.map_or(Cow::Borrowed(""), |(_, value)| plain(session.out.get(*value))));
        }
        Placeholder::Stage => out.push_str(stage),
        Placeholder::Status => out.push_str(fields.status.as_str()),
        Placeholder::Outcome => out.push_str(fields.outcome.map_or("", Outcome::as_str)),
        Placeholder::Result if stage == "initiation" => out.push_str("initiated"),
        Placeholder::Result => out.push_str(fields.status.as_str()),
        Placeholder::ResponseStatus => {
            if let Some(status) = answered(draft) {
                out.push_str(status.as_str());
            }
        }
    });
    session.evidence(scratch)
}

/// Which key acted, in words.
fn push_key(key: &Key, session: &Session<'_>, out: &mut String) {
    let some = |piece: Option<Evidence>| piece.map(|piece| session.out.get(piece));
    let written = write_credential(out, session.out.get(key.kind), some(key.owner), some(key.name.or(key.id)));
    written.expect("a string takes all text");
}

/// `package left-pad 1.3.0`.
fn push_thing(thing: Option<Thing>, session: &Session<'_>, out: &mut String) {
    if let Some(Thing { kind, id, name, version, slug, format: _ }) = thing {
        push_words(&[Some(kind), name.or(slug).or(id), version], session, out);
    }
}

/// Those words that there are, with a space between.
fn push_words(words: &[Option<Evidence>], session: &Session<'_>, out: &mut String) {
    for (at, word) in words.iter().flatten().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(session.out.get(*word));
    }
}
