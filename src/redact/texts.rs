//! The strings of a record that do not belong to the request itself.

use std::borrow::Cow;

use http::StatusCode;

use super::Pass;
use super::memory::Memory;
use super::trail::Place;
use crate::capture::{Draft, Late, Reading, Stage};
use crate::record::finished::{Address, Context, Fragment, Record};
use crate::record::fragment::push_json_string;
use crate::record::{Actor, Credential, Entity, Eula, Failure, Location, Scope};

/// The strings that do not belong to the request itself.
pub(super) fn texts(draft: &Reading<'_>, memory: &mut Memory, pass: &mut Pass<'_>, record: &mut Record) {
    let mut text = |field, span| {
        let text = Some(draft.text(span)).filter(|text| !text.is_empty());
        text.map(|text| memory.string_at(pass, Place::of(field, ""), &text))
    };
    record.request_id = text("requestId", draft.request_id);
    if let Some((trace, span)) = draft.trace {
        record.trace_id = text("traceId", trace);
        record.span_id = text("spanId", span);
    }
    record.address = Address {
        ip: draft.ip,
        port: draft.port,
        peer_ip: draft.peer_ip,
        hostname: memory.familiar_at(pass, Place::of("actor", "/hostname"), draft.bytes(draft.host)),
        client: memory.familiar_at(pass, Place::of("actor", "/client"), draft.bytes(draft.user_agent)),
    };
    let credential = draft.late.as_ref().and_then(|late| late.credential.as_ref());
    if draft.actor().is_some() || credential.is_some() {
        let mut actor = draft.actor().cloned().unwrap_or_default();
        if credential.is_some() {
            actor.credential = credential.cloned();
        }
        if is_claimed(draft, &actor) {
            actor = actor.into_claimed();
        }
        record.actor = redacted_actor(actor, 0, pass);
    }
    if let Some(late) = &draft.late {
        record.context = redacted_context(late, pass);
        if let Some((trace, span)) = &late.trace {
            record.trace_id = Some(pass.string_at(Place::of("traceId", ""), trace));
            record.span_id = Some(pass.string_at(Place::of("spanId", ""), span));
        }
    }
    for Failure { name, message, stack } in &mut record.errors {
        *name = pass.string_at(Place::of("errors", "/*/name"), name);
        *message = pass.string_at(Place::of("errors", "/*/message"), message);
        *stack = stack.as_deref().map(|stack| pass.string_at(Place::of("errors", "/*/stack"), stack));
    }
    if let Stage::Named(stage) = &draft.stage {
        record.stage = Cow::Owned(pass.string_at(Place::of("stage", ""), stage));
    }
}

/// What else the application said; `None` if that is nothing.
fn redacted_context(late: &Late, pass: &mut Pass<'_>) -> Option<Box<Context>> {
    let Late { object, target, scope, project, repository, namespace, edge, eula, context: said, .. } = late;
    let texts = [project, repository, namespace, edge, said];
    let has_text = texts.iter().any(|text| text.is_some());
    if object.is_none() && target.is_none() && scope.is_none() && eula.is_none() && !has_text {
        return None;
    }
    let object = object.clone().map(|entity| redacted_entity(entity, "object", pass));
    let target = target.clone().map(|entity| redacted_entity(entity, "target", pass));
    let scope = scope.clone().map(|Scope { kind, path }| Scope {
        kind: redacted_kind(kind, Place::of("scope", "/kind"), pass),
        path: pass.string_at(Place::of("scope", "/path"), &path),
    });
    let mut some =
        |field, text: &Option<String>| text.as_deref().map(|text| pass.string_at(Place::of(field, ""), text));
    Some(Box::new(Context {
        object,
        target,
        scope,
        said: some("context", said),
        project: some("project", project),
        repository: some("repository", repository),
        namespace: some("namespace", namespace),
        edge: some("edge", edge),
        eula: eula.as_ref().map(|eula| Eula {
            id: pass.string_at(Place::of("eula", "/id"), &eula.id),
            number: pass.string_at(Place::of("eula", "/number"), &eula.number),
        }),
    }))
}

/// `behind`: how many actors stand before this one, each acting for the next.
fn redacted_actor(actor: Actor, behind: usize, pass: &mut Pass<'_>) -> Actor {
    let on_behalf_of = actor.on_behalf_of.map(|other| Box::new(redacted_actor(*other, behind + 1, pass)));
    let place = |at| Place::of_actor(behind, at);
    let kind = actor.kind.map(|kind| redacted_kind(kind, place("/kind"), pass));
    let credential = actor.credential.map(|Credential { kind, id, name, owner }| {
        let kind = redacted_kind(kind, place("/credential/kind"), pass);
        let mut some = |at, text: Option<String>| text.map(|text| pass.string_at(place(at), &text));
        Credential {
            kind,
            id: some("/credential/id", id),
            name: some("/credential/name", name),
            owner: some("/credential/owner", owner),
        }
    });
    let mut some = |at, text: Option<String>| text.map(|text| pass.string_at(place(at), &text));
    Actor {
        id: some("/actorId", actor.id),
        kind,
        name: some("/name", actor.name),
        url: some("/url", actor.url),
        slug: some("/slug", actor.slug),
        unverified: actor.unverified,
        claimed: some("/claimed", actor.claimed),
        credential,
        on_behalf_of,
        location: actor.location.map(|Location { city, country, continent }| Location {
            city: some("/location/city", city),
            country: some("/location/country", country),
            continent: some("/location/continent", continent),
        }),
    }
}

/// A kind that stands in the program's source holds nobody's secret.
fn redacted_kind(kind: Cow<'static, str>, place: Place, pass: &mut Pass<'_>) -> Cow<'static, str> {
    match kind {
        Cow::Borrowed(kind) => Cow::Borrowed(kind),
        Cow::Owned(kind) => Cow::Owned(pass.string_at(place, &kind)),
    }
}

fn redacted_entity(entity: Entity, field: &'static str, pass: &mut Pass<'_>) -> Entity {
    let kind = redacted_kind(entity.kind, Place::of(field, "/kind"), pass);
    let mut some = |at, text: Option<String>| text.map(|text| pass.string_at(Place::of(field, at), &text));
    Entity {
        kind,
        id: some("/id", entity.id),
        name: some("/name", entity.name),
        version: some("/version", entity.version),
        slug: some("/slug", entity.slug),
        format: some("/format", entity.format),
    }
}

/// A header that stands several times has a list.
pub(super) fn headers(draft: &Reading<'_>, pass: &mut Pass<'_>) -> Option<Fragment> {
    pass.at(Some("request.headers"));
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

/// An identity that nobody verified, and that was then refused, is only claimed.
pub(super) fn is_claimed(draft: &Draft, actor: &Actor) -> bool {
    actor.unverified && draft.status == Some(StatusCode::UNAUTHORIZED)
}
