//! Who acted, from where, on what: the evidence that is not part of the request.

use http::StatusCode;

use super::{Extent, some, word};
use crate::capture::{Draft, HeaderUse, Late, Reading, Span, Stage};
use crate::record::finished::{Address, Context, Fields, Identity, Key, Owner, Place, Thing};
use crate::record::{Actor, Credential, Entity, Location, Scope, Status};
use crate::redact::{Evidence, Session};

/// Writes ids, actor, address and context.
pub(super) fn write(
    draft: &Reading<'_>,
    extent: Extent,
    place: Option<&Location>,
    session: &mut Session<'_>,
    fields: &mut Fields,
) {
    fields.request_id = sent(draft.request_id, draft, session);
    let late = draft.late.as_deref();
    if let Some((trace, span)) = late.and_then(|late| late.trace.as_ref()) {
        fields.trace_id = Some(session.evidence(trace));
        fields.span_id = Some(session.evidence(span));
    } else if let Some((trace, span)) = draft.trace {
        fields.trace_id = sent(trace, draft, session);
        fields.span_id = sent(span, draft, session);
    }
    let client = draft.text(draft.user_agent);
    fields.address = Address {
        ip: draft.ip,
        port: draft.port,
        peer_ip: draft.peer_ip,
        hostname: sent(draft.host, draft, session),
        client: (!client.is_empty() && extent == Extent::Whole).then(|| session.shared_text(&client)),
    };
    write_actors(draft, late, place, session, fields);
    if let Some(late) = late {
        fields.context = context(late, session);
    }
}

/// A text of the request's head, if there is one.
#[inline(never)]
fn sent(span: Span, draft: &Reading<'_>, session: &mut Session<'_>) -> Option<Evidence> {
    (!span.is_empty()).then(|| session.evidence(&draft.text(span)))
}

/// Writes the actor and those on whose behalf it acts. `place` is where its address is.
fn write_actors(
    draft: &Draft,
    late: Option<&Late>,
    place: Option<&Location>,
    session: &mut Session<'_>,
    fields: &mut Fields,
) {
    let credential = late.and_then(|late| late.credential.as_ref());
    let Some(actor) = draft.actor() else {
        if credential.is_some() || place.is_some() {
            fields.actors.push(identity(&Actor::default(), credential, place, session));
        }
        return;
    };
    if is_claimed(draft, actor) {
        fields.actors.push(identity(&actor.clone().into_claimed(), None, place, session));
        return;
    }
    fields.actors.push(identity(actor, credential.or(actor.credential.as_ref()), place, session));
    let others = std::iter::successors(actor.on_behalf_of.as_deref(), |other| other.on_behalf_of.as_deref());
    fields.actors.extend(others.map(|other| identity(other, other.credential.as_ref(), None, session)));
}

/// The header with credentials of a request that succeeded although nobody had set its actor. Cookies are no such header: clients
/// that are not logged in have some too.
pub(super) fn credentials_of_nobody<'d>(draft: &Reading<'d>, fields: &Fields) -> Option<&'d str> {
    let is_nobody = draft.actor().is_none() && draft.late.as_ref().is_none_or(|late| late.credential.is_none());
    if draft.stage != Stage::Completion || fields.status != Status::Succeeded || !is_nobody {
        return None;
    }
    let credentials = draft.headers.iter().filter(|header| header.used == HeaderUse::Credential);
    credentials.map(|header| header.name(draft)).find(|name| *name != "cookie")
}

/// Whether an identity is only claimed: it was not verified, and the request was refused with 401.
pub(super) fn is_claimed(draft: &Draft, actor: &Actor) -> bool {
    actor.unverified && draft.status == Some(StatusCode::UNAUTHORIZED)
}

fn identity(
    actor: &Actor,
    credential: Option<&Credential>,
    place: Option<&Location>,
    session: &mut Session<'_>,
) -> Identity {
    let Actor { id, kind, name, url, slug, unverified, claimed, credential: _, on_behalf_of: _, location } = actor;
    Identity {
        id: some(id.as_ref(), session),
        kind: kind.as_ref().map(|kind| word(kind, session)),
        name: some(name.as_ref(), session),
        url: some(url.as_ref(), session),
        slug: some(slug.as_ref(), session),
        is_unverified: *unverified,
        claimed: some(claimed.as_ref(), session),
        credential: credential.map(|Credential { kind, id, name, owner }| Key {
            kind: word(kind, session),
            id: some(id.as_ref(), session),
            name: some(name.as_ref(), session),
            owner: some(owner.as_ref(), session),
        }),
        location: location.as_ref().or(place).map(|Location { city, country, continent }| Place {
            city: some(city.as_ref(), session),
            country: some(country.as_ref(), session),
            continent: some(continent.as_ref(), session),
        }),
    }
}

/// Object, target, scope and the like; `None` if the application set none of them.
fn context(late: &Late, session: &mut Session<'_>) -> Option<Context> {
    let Late { object, target, scope, project, repository, namespace, context, .. } = late;
    let has_text = [project, repository, namespace, context].into_iter().any(|text| text.is_some());
    if object.is_none() && target.is_none() && scope.is_none() && !has_text {
        return None;
    }
    Some(Context {
        object: object.as_ref().map(|object| thing(object, session)),
        target: target.as_ref().map(|target| thing(target, session)),
        scope: scope
            .as_ref()
            .map(|Scope { kind, path, rules_at: _ }| Owner { kind: word(kind, session), path: session.evidence(path) }),
        project: some(project.as_ref(), session),
        repository: some(repository.as_ref(), session),
        namespace: some(namespace.as_ref(), session),
        said: some(context.as_ref(), session),
    })
}

fn thing(entity: &Entity, session: &mut Session<'_>) -> Thing {
    let Entity { kind, id, name, version, slug, format } = entity;
    Thing {
        kind: word(kind, session),
        id: some(id.as_ref(), session),
        name: some(name.as_ref(), session),
        version: some(version.as_ref(), session),
        slug: some(slug.as_ref(), session),
        format: some(format.as_ref(), session),
    }
}
