//! What was masked anywhere in an exchange is masked wherever it stands again in its record.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Pass;
use super::facts::{OTHER_METHOD, known_method};
use super::hit::HitRule;
use super::trail::Place;
use crate::capture::{Draft, EventRef};
use crate::record::finished::{Context, Fragment, Record};
use crate::record::{Actor, Credential, Entity, Failure, Location, Scope};

/// Masks what was masked anywhere in the exchange wherever it stands again.
pub(super) fn scrub(pass: &mut Pass<'_>, draft: &Draft, record: &mut Record) {
    scrub_meta(pass, &mut record.meta);
    scrub_event_name(pass, draft, &mut record.event_name);
    for (field, one) in [
        ("message", &mut record.message),
        ("requestId", &mut record.request_id),
        ("traceId", &mut record.trace_id),
        ("spanId", &mut record.span_id),
    ] {
        text(pass, Place::of(field, ""), one);
    }
    text(pass, Place::of("stage", ""), owned(&mut record.stage));
    text(pass, Place::of("actor", "/hostname"), &mut record.address.hostname);
    text(pass, Place::of("actor", "/client"), &mut record.address.client);
    scrub_actor(pass, 0, &mut record.actor);
    if let Some(context) = &mut record.context {
        scrub_context(pass, context);
    }
    for Failure { name, message, stack } in &mut record.errors {
        text(pass, Place::of("errors", "/*/name"), Some(name));
        text(pass, Place::of("errors", "/*/message"), Some(message));
        text(pass, Place::of("errors", "/*/stack"), stack);
    }
    if let Some(request) = &mut record.request {
        text(pass, Place::of("request.url", ""), Some(&mut request.url));
        if known_method(draft) == OTHER_METHOD {
            text(pass, Place::of("request.method", ""), owned(&mut request.method));
        }
        text(pass, Place::of("request.referer", ""), &mut request.referer);
        fragment(pass, "request.params", Cut::Elsewhere, &mut request.params);
        fragment(pass, "request.query", Cut::Elsewhere, &mut request.query);
        fragment(pass, "request.headers", Cut::Perhaps, &mut request.headers);
        fragment(pass, "request.body", Cut::Elsewhere, &mut request.body.shown);
        text(pass, Place::of("request.bodyOmitted", "/contentType"), &mut request.body.content_type);
    }
    if let Some(response) = &mut record.response {
        fragment(pass, "response.body", Cut::Elsewhere, &mut response.body.shown);
        text(pass, Place::of("response.bodyOmitted", "/contentType"), &mut response.body.content_type);
    }
}

fn scrub_context(pass: &mut Pass<'_>, context: &mut Context) {
    for (field, one) in [
        ("context", &mut context.said),
        ("project", &mut context.project),
        ("repository", &mut context.repository),
        ("namespace", &mut context.namespace),
        ("edge", &mut context.edge),
    ] {
        text(pass, Place::of(field, ""), one);
    }
    for (field, entity) in [("object", &mut context.object), ("target", &mut context.target)] {
        let Some(Entity { kind, id, name, version, slug, format }) = entity else { continue };
        text(pass, Place::of(field, "/kind"), owned(kind));
        text(pass, Place::of(field, "/id"), id);
        text(pass, Place::of(field, "/name"), name);
        text(pass, Place::of(field, "/version"), version);
        text(pass, Place::of(field, "/slug"), slug);
        text(pass, Place::of(field, "/format"), format);
    }
    if let Some(Scope { kind, path }) = &mut context.scope {
        text(pass, Place::of("scope", "/kind"), owned(kind));
        text(pass, Place::of("scope", "/path"), Some(path));
    }
    if let Some(eula) = &mut context.eula {
        text(pass, Place::of("eula", "/id"), Some(&mut eula.id));
        text(pass, Place::of("eula", "/number"), Some(&mut eula.number));
    }
}

fn text<'t>(pass: &mut Pass<'_>, place: Place, text: impl IntoIterator<Item = &'t mut String>) {
    for text in text {
        let before = pass.is_explaining().then(|| text.clone());
        pass.scrub_text(text);
        pass.scrub_cut(text);
        if before.is_some_and(|before| before != *text) {
            pass.note(place, HitRule::Echo);
        }
    }
}

/// Who saw to it that the strings of a fragment are no beginnings of longer ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Nobody: they were bounded before they came here.
    Perhaps,
    /// Those who read it.
    Elsewhere,
}

fn fragment(pass: &mut Pass<'_>, field: &'static str, cut: Cut, fragment: &mut Option<Fragment>) {
    if let Some(fragment) = fragment {
        scrub_fragment(pass, (field, None), cut, fragment);
    }
}

fn scrub_fragment(
    pass: &mut Pass<'_>,
    (field, member): (&'static str, Option<usize>),
    cut: Cut,
    fragment: &mut Fragment,
) {
    let before = pass.is_explaining().then(|| fragment.clone());
    if cut == Cut::Perhaps {
        pass.scrub_cut_json(fragment);
    }
    pass.scrub_json(fragment);
    if let Some(before) = before.filter(|before| before != fragment) {
        pass.note_before(field, member, before);
    }
}

/// Keys of `meta` that were made while the program ran, for those that stand in its source hold nobody's secret; and values.
fn scrub_meta(pass: &mut Pass<'_>, meta: &mut Vec<(Cow<'static, str>, Fragment)>) {
    pass.at(Some("meta"));
    let mut any_owned = false;
    for (key, _) in meta.iter_mut() {
        let Some(key) = owned(key) else { continue };
        any_owned = true;
        let before = pass.is_explaining().then(|| key.clone());
        pass.scrub_text(key);
        pass.scrub_cut(key);
        if before.is_some_and(|before| before != *key) {
            pass.note_place(&[key]);
            pass.note_hit(HitRule::Echo);
        }
    }
    if any_owned {
        // Masked, two keys may have become one, and stores reject an object that repeats a key.
        let mut seen = HashSet::new();
        meta.retain(|(key, _)| seen.insert(key.clone()));
    }
    for (at, (_, value)) in meta.iter_mut().enumerate() {
        scrub_fragment(pass, ("meta", Some(at)), Cut::Perhaps, value);
    }
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
fn scrub_event_name(pass: &mut Pass<'_>, draft: &Draft, name: &mut Cow<'static, str>) {
    let Some(text) = owned(name).filter(|_| matches!(draft.event, EventRef::Own(_))) else { return };
    let mut scrubbed = text.clone();
    pass.scrub_text(&mut scrubbed);
    if scrubbed != *text {
        *name = Cow::Borrowed("Masked");
        pass.note(Place::of("eventName", ""), HitRule::Echo);
    }
}

/// `behind`: how many actors stand before this one, each acting for the next.
fn scrub_actor(pass: &mut Pass<'_>, behind: usize, actor: &mut Actor) {
    let place = |at| Place::of_actor(behind, at);
    text(pass, place("/actorId"), &mut actor.id);
    text(pass, place("/name"), &mut actor.name);
    text(pass, place("/url"), &mut actor.url);
    text(pass, place("/slug"), &mut actor.slug);
    text(pass, place("/claimed"), &mut actor.claimed);
    text(pass, place("/kind"), actor.kind.as_mut().and_then(owned));
    if let Some(Location { city, country, continent }) = &mut actor.location {
        text(pass, place("/location/city"), city);
        text(pass, place("/location/country"), country);
        text(pass, place("/location/continent"), continent);
    }
    if let Some(Credential { kind, id, name, owner }) = &mut actor.credential {
        text(pass, place("/credential/kind"), owned(kind));
        text(pass, place("/credential/id"), id);
        text(pass, place("/credential/name"), name);
        text(pass, place("/credential/owner"), owner);
    }
    if let Some(other) = &mut actor.on_behalf_of {
        scrub_actor(pass, behind + 1, other);
    }
}
