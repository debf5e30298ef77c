//! The columns of `flat`: each key that the schema fixes, in the order of the line.
//!
//! They are written straight from the record, group by group, since most groups are absent from most records. The same values
//! are in [`Record::fixed`], one by one; a test compares them.

use std::borrow::Cow;

use super::row::Row;
use crate::record::cuts::BodyCut;
use crate::record::finished::{Body, Context, Identity, Owner, Request, StageName, Thing};
use crate::record::{Record, wire};
use crate::redact::Piece;

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
    match record.fields.stage {
        StageName::Completion => row.word(Some("completion")),
        StageName::Initiation => row.word(Some("initiation")),
        StageName::Named(stage) => row.piece(Some(stage)),
    }
    row.word(Some(record.status().as_str()));
    row.word(record.outcome().map(|outcome| outcome.as_str()));
    shown(record, record.fields.message, || record.message(), row);
}

/// From `auditId` to `host`.
fn ids(record: &Record<'_>, row: &mut Row<'_>) {
    let labels = record.fields.labels.as_ref();
    row.id(record.audit_id());
    row.text(Some(record.instance()));
    row.number(record.seq);
    row.time(record.fields.started_at);
    row.milliseconds(record.fields.duration);
    row.pieces([record.fields.request_id, record.fields.trace_id, record.fields.span_id]);
    row.text(record.service());
    row.text(labels.and_then(|labels| labels.plugin()));
    row.text(labels.and_then(|labels| labels.component()));
    row.text(record.host());
}

/// From `actor.actorId` to `actor.client`.
fn address(record: &Record<'_>, row: &mut Row<'_>) {
    row.piece(record.actor().and_then(|actor| actor.id));
    row.ip(record.ip());
    row.number(record.port().map(u64::from));
    row.piece(record.fields.address.hostname);
    shown(record, record.fields.address.client, || record.user_agent(), row);
}

/// From `actor.kind` to `actor.location.continent`.
fn actor(actor: Option<&Identity>, record: &Record<'_>, row: &mut Row<'_>) {
    const CREDENTIAL: usize = 4;
    const LOCATION: usize = 3;
    let Some(actor) = actor else { return row.empty(6 + CREDENTIAL + 1 + LOCATION) };
    row.pieces([actor.kind, actor.name, actor.url, actor.slug]);
    row.word(actor.is_unverified.then_some("false"));
    row.piece(actor.claimed);
    match actor.credential {
        None => row.empty(CREDENTIAL),
        Some(credential) => {
            row.pieces([Some(credential.kind), credential.id, credential.name, credential.owner]);
        }
    }
    row.json_by(|cell| wire::push_on_behalf_of(record, cell));
    match record.place(actor) {
        None => row.empty(LOCATION),
        Some(place) => row.pieces([place.city, place.country, place.continent]),
    }
}

/// From `object.kind` to `context`.
fn context(context: Option<&Context>, record: &Record<'_>, row: &mut Row<'_>) {
    const THING: usize = 6;
    const SCOPE: usize = 2;
    let Some(context) = context else { return row.empty(2 * THING + SCOPE + 4) };
    for thing in [context.object, context.target] {
        let Some(Thing { kind, id, name, version, slug, format }) = thing else {
            row.empty(THING);
            continue;
        };
        row.pieces([Some(kind), id, name, version, slug, format]);
    }
    match context.scope {
        None => row.empty(SCOPE),
        Some(Owner { kind, path }) => row.pieces([Some(kind), Some(path)]),
    }
    row.piece(context.project);
    row.text(record.repository());
    row.text(record.namespace());
    row.piece(context.said);
}

fn response(record: &Record<'_>, row: &mut Row<'_>) {
    let Some(response) = &record.fields.response else { return row.empty(4) };
    row.number(response.status.map(|status| status.as_u16().into()));
    row.number(response.bytes);
    body(record, &response.body, &record.cuts.response_body, row);
}

fn request(record: &Record<'_>, row: &mut Row<'_>) {
    let Some(request) = record.request() else { return row.empty(10) };
    row.piece(Some(request.method));
    if record.is_whole() && request.url_query.is_none() && request.url_len() <= Request::MAX_URL {
        row.piece(Some(request.path));
    } else {
        row.text(record.url().as_deref());
    }
    row.text(record.route());
    row.word(record.protocol());
    shown(record, request.referer, || record.referer(), row);
    row.json(record.params().as_deref());
    row.json(record.query().as_deref());
    row.json(record.headers().as_deref());
    body(record, &request.body, &record.cuts.request_body, row);
}

/// A text that rows show with less of it where they have to be short, or leave out.
fn shown<'r, const C: bool>(
    record: &Record<'r>,
    piece: Option<Piece<C, false>>,
    shown: impl FnOnce() -> Option<Cow<'r, str>>,
    row: &mut Row<'_>,
) {
    if record.is_whole() { row.piece(piece) } else { row.text(shown().as_deref()) }
}

/// `bodyOmitted` and `body`.
fn body(record: &Record<'_>, body: &Body, cut: &BodyCut, row: &mut Row<'_>) {
    if body.is_absent() {
        return row.empty(2);
    }
    row.json_by(|cell| wire::push_body_omitted(record, body, cut, cell));
    row.json(wire::body(record, body, cut).as_deref());
}
