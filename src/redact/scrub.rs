//! What was masked anywhere in an exchange is masked wherever it stands again in its record.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Pass;
use super::facts::{OTHER_METHOD, known_method};
use crate::capture::{Draft, EventRef};
use crate::record::finished::{Fragment, Record};
use crate::record::{Actor, Credential, Entity, Failure, Location, Scope};

/// Masks what was masked anywhere in the exchange wherever it stands again.
pub(super) fn scrub(pass: &Pass<'_>, draft: &Draft, record: &mut Record) {
    scrub_keys(pass, &mut record.meta);
    // Bounded before they came here; bodies are cut by those who read them.
    record.meta.iter_mut().for_each(|(_, value)| pass.scrub_cut_json(value));
    if let Some(headers) = record.request.as_mut().and_then(|request| request.headers.as_mut()) {
        pass.scrub_cut_json(headers);
    }
    scrub_event_name(pass, draft, &mut record.event_name);
    let mut texts: Vec<&mut String> = Vec::with_capacity(32);
    let mut fragments: Vec<&mut Fragment> = Vec::with_capacity(16);
    texts.extend(owned(&mut record.stage));
    texts.extend(record.message.as_mut());
    texts.extend([&mut record.request_id, &mut record.trace_id, &mut record.span_id].into_iter().flatten());
    texts.extend([&mut record.context, &mut record.project, &mut record.repository].into_iter().flatten());
    texts.extend([&mut record.namespace, &mut record.edge].into_iter().flatten());
    texts.extend([&mut record.address.hostname, &mut record.address.client].into_iter().flatten());
    actor_texts(&mut record.actor, &mut texts);
    for entity in [&mut record.object, &mut record.target].into_iter().flatten() {
        let Entity { kind, id, name, version, slug, format } = entity;
        texts.extend(owned(kind));
        texts.extend([id, name, version, slug, format].into_iter().flatten());
    }
    if let Some(Scope { kind, path }) = &mut record.scope {
        texts.extend(owned(kind));
        texts.push(path);
    }
    texts.extend(record.eula.as_mut().into_iter().flat_map(|eula| [&mut eula.id, &mut eula.number]));
    for Failure { name, message, stack } in &mut record.errors {
        texts.extend([name, message]);
        texts.extend(stack);
    }
    fragments.extend(record.meta.iter_mut().map(|(_, value)| value));
    if let Some(request) = &mut record.request {
        texts.push(&mut request.url);
        if known_method(draft) == OTHER_METHOD {
            texts.push(&mut request.method);
        }
        texts.extend(request.referer.as_mut());
        fragments.extend([&mut request.params, &mut request.query, &mut request.headers].into_iter().flatten());
        fragments.extend(request.body.shown.as_mut());
        texts.extend(request.body.content_type.as_mut());
    }
    if let Some(response) = &mut record.response {
        fragments.extend(response.body.shown.as_mut());
        texts.extend(response.body.content_type.as_mut());
    }
    for text in texts {
        pass.scrub_text(text);
        pass.scrub_cut(text);
    }
    fragments.into_iter().for_each(|fragment| pass.scrub_json(fragment));
}

/// Keys of `meta` that were made while the program ran; those that stand in its source hold nobody's secret.
fn scrub_keys(pass: &Pass<'_>, meta: &mut Vec<(Cow<'static, str>, Fragment)>) {
    if meta.iter().all(|(key, _)| matches!(key, Cow::Borrowed(_))) {
        return;
    }
    for (key, _) in meta.iter_mut() {
        if let Cow::Owned(key) = key {
            pass.scrub_text(key);
            pass.scrub_cut(key);
        }
    }
    // Masked, two keys may have become one, and stores reject an object that repeats a key.
    let mut seen = HashSet::new();
    meta.retain(|(key, _)| seen.insert(key.clone()));
}

/// A text that was made while the program ran.
fn owned<'t>(text: &'t mut Cow<'static, str>) -> Option<&'t mut String> {
    match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

/// A name that was made while the program ran, and is none of the catalogue: those stay, so that nobody can rename an
/// event by sending its name as a secret. A mask is no name.
fn scrub_event_name(pass: &Pass<'_>, draft: &Draft, name: &mut Cow<'static, str>) {
    let Some(text) = owned(name).filter(|_| matches!(draft.event, EventRef::Own(_))) else { return };
    let mut scrubbed = text.clone();
    pass.scrub_text(&mut scrubbed);
    if scrubbed != *text {
        *name = Cow::Borrowed("Masked");
    }
}

fn actor_texts<'a>(actor: &'a mut Actor, texts: &mut Vec<&'a mut String>) {
    texts.extend(
        [&mut actor.id, &mut actor.name, &mut actor.url, &mut actor.slug, &mut actor.claimed].into_iter().flatten(),
    );
    texts.extend(actor.kind.as_mut().and_then(owned));
    if let Some(Location { city, country, continent }) = &mut actor.location {
        texts.extend([city, country, continent].into_iter().flatten());
    }
    if let Some(Credential { kind, id, name, owner }) = &mut actor.credential {
        texts.extend(owned(kind));
        texts.extend([id, name, owner].into_iter().flatten());
    }
    if let Some(other) = &mut actor.on_behalf_of {
        actor_texts(other, texts);
    }
}
