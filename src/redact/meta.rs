//! The facts of an event: from its sources, from the application, and from how the exchange went.

use std::borrow::Cow;

use super::Pass;
use super::facts::{Facts, answered};
use crate::capture::{Door, Draft, Stage};
use crate::catalog::{Message, MetaSource, Placeholder, TextPart};
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::Outcome;
use crate::record::finished::{Fragment, Record};
use crate::record::fragment::{member, pointer, push_json_string, unescape};

/// Fills `meta`. What the application says stands before what a source finds under the same key.
pub(super) fn collect(
    engine: &Engine,
    draft: &Draft,
    plan: &Plan,
    facts: &Facts,
    pass: &mut Pass<'_>,
    record: &mut Record,
) {
    let meta = &mut record.meta;
    pass.at(Some("meta"));
    for field in plan.policy.meta() {
        pass.enter(&field.key);
        if let Some(value) = field.sources.iter().find_map(|source| read(source, facts, pass)) {
            meta.push((field.key.clone(), pass.finished_member(&field.key, value)));
        }
        pass.leave();
    }
    if let Some(late) = &draft.late {
        for (key, value) in &late.meta {
            pass.enter(key);
            let value = pass.member(key, value);
            pass.leave();
            match meta.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value,
                None => meta.push((key.clone(), value)),
            }
        }
    }
    if let Some(initiated) = &draft.initiated
        && let Some(first) = engine.plan(initiated)
        && first.policy.name() != plan.policy.name()
    {
        meta.push((Cow::Borrowed("initiatedAs"), string(first.policy.name())));
    }
    if draft.outcome == Some(Outcome::Aborted) && draft.stage == Stage::Completion && draft.door == Door::Request {
        let at = if draft.status.is_some() { "body" } else { "head" };
        meta.push((Cow::Borrowed("abortedAt"), string(at)));
    }
}

/// What a source yields, as a redacted JSON value.
fn read(source: &MetaSource, facts: &Facts, pass: &mut Pass<'_>) -> Option<Fragment> {
    match source {
        MetaSource::Param(name) => member(facts.params()?, name).map(str::to_owned),
        MetaSource::Query(name) => member(facts.query.as_deref()?, name).map(str::to_owned),
        MetaSource::RequestBody(at) => scalar(facts.request_body.shown.as_deref()?, at.as_str()),
        MetaSource::ResponseBody(at) => scalar(facts.response_body.shown.as_deref()?, at.as_str()),
        MetaSource::Template(template) => {
            let mut text = String::new();
            for part in template.parts() {
                match part {
                    TextPart::Text(fixed) => text.push_str(fixed),
                    TextPart::Param(name) => text.push_str(&plain(member(facts.params()?, name)?)),
                    TextPart::RequestBody(at) => {
                        text.push_str(&plain(&scalar(facts.request_body.shown.as_deref()?, at.as_str())?));
                    }
                }
            }
            Some(string(&text))
        }
        MetaSource::Object(members) => {
            let mut object = String::new();
            for (key, source) in members {
                pass.enter(key);
                if let Some(value) = read(source, facts, pass) {
                    object.push(if object.is_empty() { '{' } else { ',' });
                    push_json_string(&mut object, key);
                    object.push(':');
                    object.push_str(&pass.finished_member(key, value));
                }
                pass.leave();
            }
            (!object.is_empty()).then(|| object + "}")
        }
        MetaSource::Value(value) => Some(pass.member("", value)),
    }
}

/// A scalar of a body; an object or a list is no fact, and the key of a list would change its type.
fn scalar(fragment: &str, at: &str) -> Option<Fragment> {
    pointer(fragment, at).filter(|value| !value.starts_with(['{', '[']) && *value != "null").map(str::to_owned)
}

fn string(text: &str) -> Fragment {
    let mut fragment = String::with_capacity(text.len() + 2);
    push_json_string(&mut fragment, text);
    fragment
}

/// A JSON value as a person reads it: a string without its quotes, anything else as it stands.
fn plain(fragment: &str) -> Cow<'_, str> {
    let inner = fragment.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(raw) => unescape(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        None => Cow::Borrowed(fragment),
    }
}

/// Renders the event's message from what has been redacted.
pub(super) fn render_message(message: &Message, draft: &Draft, facts: &Facts, record: &Record, out: &mut String) {
    message.render(out, &mut |placeholder, out| match placeholder {
        Placeholder::Actor => out.push_str(record.actor.id.as_deref().unwrap_or_default()),
        Placeholder::Event => out.push_str(&record.event_name),
        Placeholder::Method => out.push_str(&facts.method),
        Placeholder::Url => out.push_str(&facts.url),
        Placeholder::Path => out.push_str(facts.url.split('?').next().unwrap_or_default()),
        Placeholder::Route => out.push_str(facts.route.as_deref().unwrap_or_default()),
        Placeholder::Param(name) => {
            let value = facts.params().and_then(|params| member(params, name));
            out.push_str(&value.map_or(Cow::Borrowed(""), plain));
        }
        Placeholder::Meta(key) => {
            let value = record.meta.iter().find(|(known, _)| known == &**key).map(|(_, value)| value.as_str());
            out.push_str(&value.map_or(Cow::Borrowed(""), plain));
        }
        Placeholder::Stage => out.push_str(&record.stage),
        Placeholder::Status => out.push_str(record.status.as_str()),
        Placeholder::Outcome => out.push_str(record.outcome.map_or("", Outcome::as_str)),
        Placeholder::Result => out.push_str(match (&*record.stage, record.status) {
            ("initiation", _) => "initiated",
            (_, status) => status.as_str(),
        }),
        Placeholder::ResponseStatus => {
            if let Some(status) = answered(draft) {
                out.push_str(status.as_str());
            }
        }
    });
}
