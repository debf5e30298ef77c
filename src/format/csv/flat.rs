//! The columns of `flat`: each key that the schema fixes, in the order of the line.
//!
//! They are written straight from the record, group by group, since most groups are absent from most records. The same values
//! are in [`Record::fixed`], one by one; a test compares them.

use super::row::Row;
use crate::record::Record;
use crate::record::cuts::BodyCut;
use crate::record::finished::{Body, Context, Identity, Owner, Thing};
use crate::record::wire;

/// Writes all cells.
pub(super) fn write(record: &Record<'_>, row: &mut Row<'_>) {
    event(record, row);
    ids(record, row);
    address(record, row);
    actor(record.actor(), record, row);
    row.ip(record.peer_ip());
    context(record.fields.context.as_ref(), record, row);
    row.json_by(|cell| wire::push_meta(record, cell));
    row.json_by(|cell| wire::push_errors(record, cell));
    response(record, row);
    request(record, row);
}

/// From `timestamp` to `message`.
fn event(record: &Record<'_>, row: &mut Row<'_>) {
    row.time(Some(record.fields.timestamp));
    row.word(Some(record.level().as_str()));
    row.plain("true,1.0,");
    row.text(Some(record.event_name()));
    row.text(record.event_kind());
    row.word(Some(record.log_type().as_str()));
    row.text(Some(record.stage()));
    row.word(Some(record.status().as_str()));
    row.word(record.outcome().map(|outcome| outcome.as_str()));
    row.text(record.message().as_deref());
}

/// From `auditId` to `host`.
fn ids(record: &Record<'_>, row: &mut Row<'_>) {
    let labels = record.fields.labels.as_ref();
    row.id(record.audit_id());
    row.text(Some(record.instance()));
    row.number(record.seq);
    row.time(record.fields.started_at);
    row.milliseconds(record.fields.duration);
    row.text(record.request_id());
    row.text(record.trace_id());
    row.text(record.span_id());
    row.text(record.service());
    row.text(labels.and_then(|labels| labels.plugin()));
    row.text(labels.and_then(|labels| labels.component()));
    row.text(record.host());
}

/// From `actor.actorId` to `actor.client`.
fn address(record: &Record<'_>, row: &mut Row<'_>) {
    row.text(record.actor_id());
    row.ip(record.ip());
    row.number(record.port().map(u64::from));
    row.text(record.hostname());
    row.text(record.user_agent().as_deref());
}

/// From `actor.kind` to `actor.location.continent`.
fn actor(actor: Option<&Identity>, record: &Record<'_>, row: &mut Row<'_>) {
    const CREDENTIAL: usize = 4;
    const LOCATION: usize = 3;
    let text = record.text;
    let Some(actor) = actor else { return row.empty(6 + CREDENTIAL + 1 + LOCATION) };
    row.texts([actor.kind, actor.name, actor.url, actor.slug].map(|piece| text.some(piece)));
    row.word(actor.is_unverified.then_some("false"));
    row.text(text.some(actor.claimed));
    match actor.credential {
        None => row.empty(CREDENTIAL),
        Some(credential) => {
            row.text(Some(text.get(credential.kind)));
            row.texts([credential.id, credential.name, credential.owner].map(|piece| text.some(piece)));
        }
    }
    row.json_by(|cell| wire::push_on_behalf_of(record, cell));
    match record.place(actor) {
        None => row.empty(LOCATION),
        Some(place) => row.texts([place.city, place.country, place.continent].map(|piece| text.some(piece))),
    }
}

/// From `object.kind` to `context`.
fn context(context: Option<&Context>, record: &Record<'_>, row: &mut Row<'_>) {
    const THING: usize = 6;
    const SCOPE: usize = 2;
    let text = record.text;
    let Some(context) = context else { return row.empty(2 * THING + SCOPE + 4) };
    for thing in [context.object, context.target] {
        let Some(Thing { kind, id, name, version, slug, format }) = thing else {
            row.empty(THING);
            continue;
        };
        row.text(Some(text.get(kind)));
        row.texts([id, name, version, slug, format].map(|piece| text.some(piece)));
    }
    match context.scope {
        None => row.empty(SCOPE),
        Some(Owner { kind, path }) => row.texts([kind, path].map(|piece| Some(text.get(piece)))),
    }
    row.text(text.some(context.project));
    row.text(record.repository());
    row.text(record.namespace());
    row.text(text.some(context.said));
}

fn response(record: &Record<'_>, row: &mut Row<'_>) {
    let Some(response) = &record.fields.response else { return row.empty(4) };
    row.number(response.status.map(|status| status.as_u16().into()));
    row.number(response.bytes);
    body(record, &response.body, &record.cuts.response_body, row);
}

fn request(record: &Record<'_>, row: &mut Row<'_>) {
    let Some(request) = record.request() else { return row.empty(10) };
    row.text(record.method());
    row.text(record.url().as_deref());
    row.text(record.route());
    row.word(record.protocol());
    row.text(record.referer().as_deref());
    row.json(record.params().as_deref());
    row.json(record.query().as_deref());
    row.json(record.headers().as_deref());
    body(record, &request.body, &record.cuts.request_body, row);
}

/// `bodyOmitted` and `body`.
fn body(record: &Record<'_>, body: &Body, cut: &BodyCut, row: &mut Row<'_>) {
    if body.is_absent() {
        return row.empty(2);
    }
    row.json_by(|cell| wire::push_body_omitted(record, body, cut, cell));
    row.json(wire::body(record, body, cut).as_deref());
}
