//! The strings of a record that do not belong to the request itself.

use std::borrow::Cow;

use super::Pass;
use super::facts::is_claimed;
use crate::capture::{Draft, Late, Stage};
use crate::record::finished::{Address, Fragment, Record};
use crate::record::fragment::push_json_string;
use crate::record::{Actor, Credential, Entity, Failure, Location};

/// The strings that do not belong to the request itself.
pub(super) fn texts(draft: &Draft, pass: &mut Pass<'_>, record: &mut Record) {
    let mut text = |span| Some(draft.text(span)).filter(|text| !text.is_empty()).map(|text| pass.string(&text));
    record.request_id = text(draft.request_id);
    if let Some((trace, span)) = draft.trace {
        record.trace_id = text(trace);
        record.span_id = text(span);
    }
    record.address = Address {
        ip: draft.ip,
        port: draft.port,
        peer_ip: draft.peer_ip,
        hostname: text(draft.host),
        client: text(draft.user_agent),
    };
    let nothing = Late::default();
    let late = draft.late.as_deref().unwrap_or(&nothing);
    let mut actor = draft.actor().cloned().unwrap_or_default();
    if late.credential.is_some() {
        actor.credential.clone_from(&late.credential);
    }
    if is_claimed(draft, &actor) {
        actor = actor.into_claimed();
    }
    record.actor = redacted_actor(actor, pass);
    record.object = late.object.clone().map(|entity| redacted_entity(entity, pass));
    record.target = late.target.clone().map(|entity| redacted_entity(entity, pass));
    record.scope.clone_from(&late.scope);
    if let Some(scope) = &mut record.scope {
        scope.kind = redacted_kind(std::mem::take(&mut scope.kind), pass);
        scope.path = pass.string(&scope.path);
    }
    if let Some((trace, span)) = &late.trace {
        record.trace_id = Some(pass.string(trace));
        record.span_id = Some(pass.string(span));
    }
    let mut some = |text: &Option<String>| text.as_deref().map(|text| pass.string(text));
    record.context = some(&late.context);
    record.project = some(&late.project);
    record.repository = some(&late.repository);
    record.namespace = some(&late.namespace);
    record.edge = some(&late.edge);
    record.eula.clone_from(&late.eula);
    if let Some(eula) = &mut record.eula {
        eula.id = pass.string(&eula.id);
        eula.number = pass.string(&eula.number);
    }
    for Failure { name, message, stack } in &mut record.errors {
        *name = pass.string(name);
        *message = pass.string(message);
        *stack = stack.as_deref().map(|stack| pass.string(stack));
    }
    if let Stage::Named(stage) = &draft.stage {
        record.stage = Cow::Owned(pass.string(stage));
    }
}

fn redacted_actor(actor: Actor, pass: &mut Pass<'_>) -> Actor {
    let on_behalf_of = actor.on_behalf_of.map(|other| Box::new(redacted_actor(*other, pass)));
    let kind = actor.kind.map(|kind| redacted_kind(kind, pass));
    let credential = actor.credential.map(|credential| {
        let kind = redacted_kind(credential.kind, pass);
        let mut some = |text: Option<String>| text.map(|text| pass.string(&text));
        Credential { kind, id: some(credential.id), name: some(credential.name), owner: some(credential.owner) }
    });
    let mut some = |text: Option<String>| text.map(|text| pass.string(&text));
    Actor {
        id: some(actor.id),
        kind,
        name: some(actor.name),
        url: some(actor.url),
        slug: some(actor.slug),
        unverified: actor.unverified,
        claimed: some(actor.claimed),
        credential,
        on_behalf_of,
        location: actor.location.map(|Location { city, country, continent }| Location {
            city: some(city),
            country: some(country),
            continent: some(continent),
        }),
    }
}

/// A kind that stands in the program's source holds nobody's secret.
fn redacted_kind(kind: Cow<'static, str>, pass: &mut Pass<'_>) -> Cow<'static, str> {
    match kind {
        Cow::Borrowed(kind) => Cow::Borrowed(kind),
        Cow::Owned(kind) => Cow::Owned(pass.string(&kind)),
    }
}

fn redacted_entity(entity: Entity, pass: &mut Pass<'_>) -> Entity {
    let kind = redacted_kind(entity.kind, pass);
    let mut some = |text: Option<String>| text.map(|text| pass.string(&text));
    Entity {
        kind,
        id: some(entity.id),
        name: some(entity.name),
        version: some(entity.version),
        slug: some(entity.slug),
        format: some(entity.format),
    }
}

/// A header that stands several times has a list.
pub(super) fn headers(draft: &Draft, pass: &mut Pass<'_>) -> Option<Fragment> {
    let mut shown: Vec<(Cow<'_, str>, Vec<Fragment>)> = Vec::new();
    for header in &draft.headers {
        let name = draft.text(header.name);
        let Some(text) = pass.header(&name, draft.bytes(header.value), header.sensitive) else { continue };
        let mut value = Fragment::new();
        push_json_string(&mut value, &text);
        match shown.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => shown.push((name, vec![value])),
        }
    }
    let mut fragment = String::new();
    for (name, values) in shown {
        fragment.push(if fragment.is_empty() { '{' } else { ',' });
        push_json_string(&mut fragment, &name);
        fragment.push(':');
        match values.as_slice() {
            [one] => fragment.push_str(one),
            several => {
                fragment.push('[');
                fragment.push_str(&several.join(","));
                fragment.push(']');
            }
        }
    }
    (!fragment.is_empty()).then(|| fragment + "}")
}
