//! Draft → record: the one way, so that what has not been through redaction cannot reach a format or a sink.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use http::{Method, StatusCode};

use super::Pass;
use super::meta;
use super::url::percent_decoded;
use super::verdict;
use crate::capture::{BodyCopy, Door, Draft, EventRef, Late, Media, Progress, Stage};
use crate::catalog::{Strangers, bind, param_names};
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::finished::{Address, Body, Fragment, Record, Request, Response};
use crate::record::fragment::push_json_string;
use crate::record::{Actor, Credential, Entity, Failure, Location, Reason, Scope};

/// Everything that stands on the record of a draft.
pub(crate) fn record(engine: &Engine, draft: &Draft) -> Record {
    let Some(plan) = engine.plan(&draft.event) else { return bare_record(engine, draft) };
    let mut pass = Pass::new(&engine.redactor, Some(&plan.rules));
    let mut record = frame(engine, draft, plan);
    draft.late.iter().flat_map(|late| &late.secrets).for_each(|secret| pass.remember(secret));

    // Bodies first: what is masked in them is masked wherever it stands again.
    let facts = Facts::of(engine, draft, plan, &mut pass);
    texts(draft, &mut pass, &mut record);
    meta::collect(engine, draft, plan, &facts, &mut pass, &mut record);
    record.message = Some(message(draft, plan, &facts, &record));
    if draft.door == Door::Request {
        (record.request, record.response) = facts.shown(draft, &mut pass);
    }
    if pass.has_masked() {
        scrub(&pass, draft, &mut record);
    }
    record
}

/// What stands on a record whose redaction failed: nothing that anybody but us has written.
pub(crate) fn bare_record(engine: &Engine, draft: &Draft) -> Record {
    let Some(plan) = engine.plan(&draft.event) else { return Record::default() };
    let mut record = frame(engine, draft, plan);
    record.address = Address { ip: draft.ip, port: draft.port, peer_ip: draft.peer_ip, ..Address::default() };
    if draft.door == Door::Request {
        let omitted = |copy: &BodyCopy| Body {
            omitted: (copy.progress != Progress::Absent).then_some(Reason::RedactorFailed),
            bytes: copy.total,
            ..Body::default()
        };
        record.request = Some(Request {
            method: known_method(draft).to_owned(),
            route: draft.route.listed.as_ref().map(|(route, _)| engine.routes.template(*route).to_owned()),
            protocol: draft.version,
            body: omitted(&draft.request_body),
            ..Request::default()
        });
        if let (Some(status), true) = (draft.status, draft.stage != Stage::Initiation) {
            let bytes = Some(draft.response_body.total);
            record.response = Some(Response { status: Some(status), bytes, body: omitted(&draft.response_body) });
        }
    }
    record
}

/// What holds no text from outside: times, ids, names, and how it ended.
fn frame(engine: &Engine, draft: &Draft, plan: &Plan) -> Record {
    let verdict = verdict::of(engine, draft, plan);
    let completion = draft.stage != Stage::Initiation;
    Record {
        timestamp: if completion { draft.started.plus(draft.elapsed) } else { draft.started },
        level: verdict.level,
        event_name: plan.policy.shared_name(),
        event_kind: plan.labels.kind.clone(),
        stage: match &draft.stage {
            Stage::Initiation => Cow::Borrowed("initiation"),
            Stage::Completion => Cow::Borrowed("completion"),
            Stage::Named(stage) => stage.clone(),
        },
        status: verdict.status,
        outcome: draft.outcome.filter(|_| completion),
        audit_id: draft.audit_id,
        started_at: completion.then_some(draft.started),
        duration: completion.then_some(draft.elapsed),
        service: plan.labels.service.clone(),
        plugin: plan.labels.plugin.clone(),
        component: plan.labels.component.clone(),
        errors: verdict.errors,
        ..Record::default()
    }
}

/// What of a request is used more than once, redacted.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) route: Option<String>,
    /// Under the catalogue's names, which the sources of `meta` use.
    listed_params: Option<Fragment>,
    /// Under the router's names, where they differ.
    reported_params: Option<Option<Fragment>>,
    pub(super) query: Option<Fragment>,
    pub(super) request_body: Body,
    pub(super) response_body: Body,
    shows: Shown,
}

/// Which bodies the record shows; what is only pointed into stays out of sight.
#[derive(Clone, Copy, Default)]
struct Shown {
    request: bool,
    response: bool,
}

impl Facts {
    fn of(engine: &Engine, draft: &Draft, plan: &Plan, pass: &mut Pass<'_>) -> Self {
        let stranger = is_stranger(draft) && plan.policy.strangers() == Strangers::Hidden;
        let shows = Shown { request: plan.shows_request && !stranger, response: plan.shows_response && !stranger };
        let request_body = match plan.captures_request {
            true => body(
                Side::Request,
                &draft.request_body,
                &draft.text(draft.request_type),
                draft.request_encoded,
                plan.shows_text,
                pass,
            ),
            false => Body::default(),
        };
        let response_body = match plan.captures_response && draft.stage != Stage::Initiation {
            true => body(
                Side::Response,
                &draft.response_body,
                &draft.text(draft.response_type),
                draft.response_encoded,
                plan.shows_text,
                pass,
            ),
            false => Body::default(),
        };
        if draft.door == Door::Activity {
            return Self { request_body, response_body, shows, ..Self::default() };
        }

        let path = draft.text(draft.path);
        let listed = draft.route.listed.as_ref().map(|(route, params)| {
            let names = engine.routes.param_names(*route).iter().map(|name| &**name);
            (engine.routes.template(*route), names.zip(params.iter()).collect::<Vec<_>>())
        });
        let reported = draft.text(draft.route.reported);
        let reported = Some(&*reported).filter(|reported| !reported.is_empty());
        let listed_params = listed.as_ref().and_then(|(_, bindings)| params(&path, bindings, pass));
        let listed_route = listed.as_ref().map(|(route, _)| *route);
        let other = reported.filter(|reported| listed_route != Some(*reported)).map(|other| bound(other, &path));
        let reported_params = other.as_ref().map(|bindings| params(&path, bindings, pass));
        let mut bindings = listed.map(|(_, bindings)| bindings).unwrap_or_default();
        bindings.extend(other.into_iter().flatten());
        bindings.retain(|(_, range)| range.end <= path.len());
        let query = draft.text(draft.query);
        let sent_query = draft.has_query.then_some(&*query);
        let url = match listed_route.is_some() || reported.is_some() {
            true => pass.url(&path, sent_query, &bindings),
            false => pass.url_of_no_route(&path, sent_query),
        };
        Self {
            method: method(draft, pass),
            url,
            route: reported.or(listed_route).map(str::to_owned),
            listed_params,
            reported_params,
            query: pass.query(&query),
            request_body,
            response_body,
            shows,
        }
    }

    /// The parameters as the event's sources know them: by the catalogue's names, and by the router's where the event was
    /// named beside its route.
    pub(super) fn params(&self) -> Option<&str> {
        self.listed_params.as_deref().or_else(|| self.reported_params.as_ref()?.as_deref())
    }

    /// What of it the record shows.
    fn shown(self, draft: &Draft, pass: &mut Pass<'_>) -> (Option<Request>, Option<Response>) {
        let referer = draft.text(draft.referer);
        let request = Request {
            method: self.method,
            url: self.url,
            route: self.route,
            protocol: draft.version,
            referer: (!referer.is_empty()).then(|| pass.string(&referer)),
            params: self.reported_params.unwrap_or(self.listed_params),
            query: self.query,
            headers: headers(draft, pass),
            body: if self.shows.request { self.request_body } else { Body::default() },
        };
        let response = answered(draft).map(|status| Response {
            status: Some(status),
            bytes: Some(draft.response_body.total),
            body: if self.shows.response { self.response_body } else { Body::default() },
        });
        (Some(request), response)
    }
}

/// The response's status, on records that come after its head.
pub(super) fn answered(draft: &Draft) -> Option<StatusCode> {
    draft.status.filter(|_| draft.stage != Stage::Initiation && draft.door == Door::Request)
}

/// Requests of nobody known that were refused: strangers must not be able to fill the log.
fn is_stranger(draft: &Draft) -> bool {
    const REFUSED: [u16; 5] = [401, 403, 404, 405, 429];
    let known = draft.actor().is_some_and(|actor| actor.id().is_some() && !is_claimed(draft, actor));
    !known && draft.status.is_some_and(|status| REFUSED.contains(&status.as_u16()))
}

/// An identity that nobody verified, and that was then refused, is only claimed.
fn is_claimed(draft: &Draft, actor: &Actor) -> bool {
    actor.unverified && draft.status == Some(StatusCode::UNAUTHORIZED)
}

fn bound<'t>(template: &'t str, path: &str) -> Vec<(&'t str, Range<usize>)> {
    let ranges = bind(template, path).unwrap_or_default();
    param_names(template).zip(ranges.iter()).collect()
}

fn params(path: &str, bindings: &[(&str, Range<usize>)], pass: &mut Pass<'_>) -> Option<Fragment> {
    pass.params(bindings.iter().map(|(name, range)| {
        let raw = path.get(range.clone()).map(percent_decoded);
        let bytes = || path.as_bytes().get(range.clone()).unwrap_or_default();
        (*name, raw.unwrap_or_else(|| percent_encoding::percent_decode(bytes()).decode_utf8_lossy()))
    }))
}

/// Whose body it is: one that nobody read to its end is unread where the handler had to read it, cut where the client had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// A body as the record may show it, or why not.
fn body(side: Side, copy: &BodyCopy, content_type: &str, encoded: bool, shows_text: bool, pass: &mut Pass<'_>) -> Body {
    if copy.progress == Progress::Absent || (copy.progress == Progress::Ended && copy.total == 0) {
        return Body::default();
    }
    let media = Media::of(content_type.as_bytes());
    let looks_into = match media {
        Media::Json | Media::Form | Media::Multipart => true,
        Media::Text => shows_text,
        Media::Binary | Media::Unknown => false,
    };
    // A stream that did not end shows its beginning, and why there is no more.
    let unfinished = match copy.progress {
        Progress::Failed => Some(Reason::Failed),
        Progress::Open => Some(if side == Side::Request { Reason::Unread } else { Reason::Truncated }),
        // Of a type that is not looked into nothing was kept: its type is the reason.
        Progress::Ended | Progress::Absent => (copy.cut && looks_into).then_some(Reason::Truncated),
    };
    let (shown, omitted) = if encoded {
        (None, Some(Reason::Encoded))
    } else if copy.over_budget {
        (None, Some(Reason::Budget))
    } else if copy.bytes.is_empty() && unfinished.is_some() {
        (None, unfinished)
    } else {
        let redacted = match media {
            Media::Json => pass.json(&copy.bytes, unfinished.is_some()),
            Media::Form => pass.form(&copy.bytes, unfinished.is_some()),
            Media::Multipart => pass.multipart(content_type, &copy.bytes, unfinished.is_some()),
            Media::Text if shows_text => pass.text(&copy.bytes, unfinished.is_some()),
            Media::Text => super::Body::Omitted(Reason::Text),
            Media::Binary => super::Body::Omitted(Reason::Binary),
            Media::Unknown => super::Body::Omitted(Reason::Unsupported),
        };
        match redacted {
            super::Body::Whole(shown) | super::Body::Text(shown) => (Some(shown), None),
            super::Body::Beginning(shown, reason) => (Some(shown), Some(unfinished.unwrap_or(reason))),
            super::Body::Omitted(Reason::Truncated) => (None, Some(unfinished.unwrap_or(Reason::Truncated))),
            super::Body::Omitted(reason) => (None, Some(reason)),
        }
    };
    let content_type = omitted.filter(|_| !content_type.is_empty()).map(|_| pass.string(content_type));
    Body { shown, omitted, bytes: copy.total, content_type }
}

/// The strings that do not belong to the request itself.
fn texts(draft: &Draft, pass: &mut Pass<'_>, record: &mut Record) {
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
fn headers(draft: &Draft, pass: &mut Pass<'_>) -> Option<Fragment> {
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

fn message(draft: &Draft, plan: &Plan, facts: &Facts, record: &Record) -> String {
    let mut message = String::with_capacity(128);
    meta::render_message(plan.policy.message(), draft, facts, record, &mut message);
    message
}

/// Masks what was masked anywhere in the exchange wherever it stands again.
fn scrub(pass: &Pass<'_>, draft: &Draft, record: &mut Record) {
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

const OTHER_METHOD: &str = "OTHER";

/// The method as it was sent.
fn method(draft: &Draft, pass: &mut Pass<'_>) -> String {
    match known_method(draft) {
        OTHER_METHOD => pass.string(&draft.text(draft.method)),
        known => known.to_owned(),
    }
}

/// The method, if it is one that everybody knows; anything else is the client's own text.
fn known_method(draft: &Draft) -> &'static str {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
        Method::PATCH,
        Method::TRACE,
    ];
    let names = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE"];
    let sent = draft.bytes(draft.method);
    known
        .iter()
        .zip(names)
        .find(|(method, _)| method.as_str().as_bytes() == sent)
        .map_or(OTHER_METHOD, |(_, name)| name)
}
