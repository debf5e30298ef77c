//! A record as one JSON object: the only file that writes field names.

use std::borrow::Cow;

use http::Version;

use super::finished::{
    Address, Body, Context, ErrorEntry, Identity, MASKED_NAME, Record, Request, Response, Route, StageName, Thing,
};
use super::object::{Object, key};
use super::setting::setting_names;
use crate::json::members_as_arrays;
use crate::redact::{Evidence, EvidenceJson, Piece, Reason, Redacted};
use crate::text::{head, tail};

/// The members that are the same on every line of a process, written once.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    instance: Vec<u8>,
    host: Vec<u8>,
    service: Vec<u8>,
    user_agent_key: UserAgentKey,
    body_as: BodyAs,
}

impl Process {
    pub(crate) fn new(
        text: &Redacted,
        instance: Evidence,
        host: Option<Evidence>,
        service: Option<Evidence>,
        (user_agent_key, body_as): (UserAgentKey, BodyAs),
    ) -> Self {
        let member = |key, piece: Option<Evidence>| {
            let mut out = Vec::new();
            Object::of(&mut out).some_text(key, some(text, piece));
            out
        };
        Self {
            instance: member(key!("instance"), Some(instance)),
            host: member(key!("host"), host),
            service: member(key!("service"), service),
            user_agent_key,
            body_as,
        }
    }
}

/// How records show bodies.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyAs {
    /// As JSON, in the structure in which they were sent.
    #[default]
    Json,
    /// As their redacted text, and every value of `query` and `params` as a list of strings: for indexes that reject keys whose
    /// type changes.
    String,
}

setting_names!(BodyAs { Json => "json", String => "string" });

/// The key under which records show the user agent.
///
/// The documentation of Red Hat Developer Hub has `actor.client`, which is the default; the running product writes
/// `actor.userAgent`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserAgentKey {
    /// As `actor.client`.
    #[default]
    Client,
    /// As `actor.userAgent`.
    UserAgent,
    /// As both.
    Both,
}

setting_names!(UserAgentKey { Client => "client", UserAgent => "userAgent", Both => "both" });

/// What a line leaves out of its record, or shortens, to fit its limit. Empty for most lines.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    pub(crate) request_body: BodyCut,
    pub(crate) response_body: BodyCut,
    pub(crate) headers: bool,
    pub(crate) stacks: bool,
    pub(crate) query: bool,
    pub(crate) params: bool,
    /// All errors but the first.
    pub(crate) further_errors: bool,
    pub(crate) referer: bool,
    /// Indexes of the members of `meta` that are left out.
    pub(crate) meta: Vec<usize>,
    /// The number of bytes that are kept of texts.
    pub(crate) error_message: Option<usize>,
    pub(crate) message: Option<usize>,
    pub(crate) client: Option<usize>,
    pub(crate) url: Option<usize>,
    /// The names in `meta.shortened`.
    pub(crate) named: Vec<Cow<'static, str>>,
}

/// What a line shows of a body.
#[derive(Debug, Default)]
pub(crate) enum BodyCut {
    #[default]
    None,
    /// A valid beginning of it.
    Beginning(String),
    /// Nothing.
    Whole,
}

/// A text without its middle, if only a number of bytes of it is kept.
pub(crate) fn without_middle(text: &str, kept: Option<usize>) -> Cow<'_, str> {
    match kept {
        None => Cow::Borrowed(text),
        Some(kept) => Cow::Owned([head(text, kept / 2), ELLIPSIS, tail(text, kept / 2)].concat()),
    }
}

pub(crate) const ELLIPSIS: &str = "…";

fn some(text: &Redacted, piece: Option<impl Piece>) -> Option<&str> {
    piece.map(|piece| text.get(piece))
}

/// Appends the record as one JSON object.
pub(crate) fn write(record: &Record, process: &Process, seq: u64, cuts: &Cuts, out: &mut Vec<u8>) {
    let Record { text, fields } = record;
    let mut line = Object::open(out);
    line.time(key!("timestamp"), fields.timestamp);
    line.plain(key!("level"), fields.level.as_str());
    line.members(br#""isAuditLog":true,"schema":"1.0","#);
    match &fields.labels {
        Some(labels) if !fields.is_name_masked => line.members(&labels.head),
        _ => line.plain(key!("eventName"), MASKED_NAME),
    }
    match fields.stage {
        StageName::Completion => line.members(br#""stage":"completion","#),
        StageName::Initiation => line.members(br#""stage":"initiation","#),
        StageName::Named(stage) => line.text(key!("stage"), text.get(stage)),
    }
    line.plain(key!("status"), fields.status.as_str());
    if let Some(outcome) = fields.outcome {
        line.plain(key!("outcome"), outcome.as_str());
    }
    if let Some(message) = fields.message {
        line.text(key!("message"), &without_middle(text.get(message), cuts.message));
    }
    line.plain(key!("auditId"), fields.audit_id.hyphenated().encode_lower(&mut [0; 36]));
    line.members(&process.instance);
    line.number(key!("seq"), seq);
    if let Some(started) = fields.started_at {
        line.time(key!("startedAt"), started);
    }
    if let Some(duration) = fields.duration {
        line.milliseconds(key!("durationMs"), duration);
    }
    line.some_text(key!("requestId"), some(text, fields.request_id));
    line.some_text(key!("traceId"), some(text, fields.trace_id));
    line.some_text(key!("spanId"), some(text, fields.span_id));
    if !fields.labels.as_ref().is_some_and(|labels| labels.has_service()) {
        line.members(&process.service);
    }
    if let Some(labels) = &fields.labels {
        line.members(&labels.place);
    }
    line.members(&process.host);
    line.object(key!("actor"), |actor| {
        let (first, others) = fields.actors.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
        actor.nullable_text(key!("actorId"), some(text, first.and_then(|first| first.id)));
        write_address(actor, text, &fields.address, process.user_agent_key, cuts);
        if let Some(first) = first {
            write_identity(actor, text, first, others);
        }
        if let Some(ip) = fields.address.peer_ip {
            actor.ip(key!("peerIp"), ip);
        }
    });
    if let Some(context) = &fields.context {
        write_context(&mut line, text, context);
    }
    write_meta(&mut line, text, &fields.meta, cuts);
    let errors = if cuts.further_errors { &fields.errors[..fields.errors.len().min(1)] } else { &fields.errors };
    if !errors.is_empty() {
        line.list(key!("errors"), errors, |object, at, error| {
            write_error(object, text, error, cuts.stacks, cuts.error_message.filter(|_| at == 0));
        });
    }
    if let Some(response) = &fields.response {
        line.object(key!("response"), |object| write_response(object, text, response, process.body_as, cuts));
    }
    if let Some(request) = &fields.request {
        line.object(key!("request"), |object| write_request(object, text, request, process.body_as, cuts));
    }
    line.close();
}

fn write_address(object: &mut Object<'_>, text: &Redacted, address: &Address, key: UserAgentKey, cuts: &Cuts) {
    if let Some(ip) = address.ip {
        object.ip(key!("ip"), ip);
    }
    if let Some(port) = address.port {
        object.number(key!("port"), u64::from(port));
    }
    object.some_text(key!("hostname"), some(text, address.hostname));
    let Some(client) = address.client else { return };
    let client = without_middle(text.get(client), cuts.client);
    if key != UserAgentKey::UserAgent {
        object.text(key!("client"), &client);
    }
    if key != UserAgentKey::Client {
        object.text(key!("userAgent"), &client);
    }
}

/// Writes an actor without its id and address, and the actors on whose behalf it acts.
fn write_identity(object: &mut Object<'_>, text: &Redacted, actor: &Identity, others: &[Identity]) {
    object.some_text(key!("kind"), some(text, actor.kind));
    object.some_text(key!("name"), some(text, actor.name));
    object.some_text(key!("url"), some(text, actor.url));
    object.some_text(key!("slug"), some(text, actor.slug));
    if actor.is_unverified {
        object.raw(key!("verified"), "false");
    }
    object.some_text(key!("claimed"), some(text, actor.claimed));
    if let Some(credential) = &actor.credential {
        object.object(key!("credential"), |object| {
            object.text(key!("kind"), text.get(credential.kind));
            object.some_text(key!("id"), some(text, credential.id));
            object.some_text(key!("name"), some(text, credential.name));
            object.some_text(key!("owner"), some(text, credential.owner));
        });
    }
    if let Some((other, others)) = others.split_first() {
        object.object(key!("onBehalfOf"), |object| {
            object.nullable_text(key!("actorId"), some(text, other.id));
            write_identity(object, text, other, others);
        });
    }
    if let Some(location) = &actor.location {
        object.object(key!("location"), |object| {
            object.some_text(key!("city"), some(text, location.city));
            object.some_text(key!("country"), some(text, location.country));
            object.some_text(key!("continent"), some(text, location.continent));
        });
    }
}

fn write_context(line: &mut Object<'_>, text: &Redacted, context: &Context) {
    if let Some(thing) = &context.object {
        line.object(key!("object"), |object| write_thing(object, text, thing));
    }
    if let Some(thing) = &context.target {
        line.object(key!("target"), |object| write_thing(object, text, thing));
    }
    if let Some(scope) = &context.scope {
        line.object(key!("scope"), |object| {
            object.text(key!("kind"), text.get(scope.kind));
            object.text(key!("path"), text.get(scope.path));
        });
    }
    line.some_text(key!("project"), some(text, context.project));
    line.some_text(key!("repository"), some(text, context.repository));
    line.some_text(key!("namespace"), some(text, context.namespace));
    line.some_text(key!("context"), some(text, context.said));
}

fn write_thing(object: &mut Object<'_>, text: &Redacted, thing: &Thing) {
    object.text(key!("kind"), text.get(thing.kind));
    object.some_text(key!("id"), some(text, thing.id));
    object.some_text(key!("name"), some(text, thing.name));
    object.some_text(key!("version"), some(text, thing.version));
    object.some_text(key!("slug"), some(text, thing.slug));
    object.some_text(key!("format"), some(text, thing.format));
}

fn write_meta(line: &mut Object<'_>, text: &Redacted, members: &[(Evidence, EvidenceJson)], cuts: &Cuts) {
    if members.len() == cuts.meta.len() && cuts.named.is_empty() {
        return;
    }
    line.object(key!("meta"), |meta| {
        for (at, (key, value)) in members.iter().enumerate() {
            if !cuts.meta.contains(&at) {
                meta.named(text.get(*key), text.get(*value));
            }
        }
        if !cuts.named.is_empty() {
            meta.texts(key!("shortened"), &cuts.named);
        }
    });
}

fn write_error(object: &mut Object<'_>, text: &Redacted, error: &ErrorEntry, is_bare: bool, kept: Option<usize>) {
    object.text(key!("name"), text.get(error.name));
    object.text(key!("message"), &without_middle(error.message.of(text), kept));
    if !is_bare {
        object.some_text(key!("stack"), some(text, error.stack));
    }
}

fn write_response(object: &mut Object<'_>, text: &Redacted, response: &Response, body_as: BodyAs, cuts: &Cuts) {
    if let Some(status) = response.status {
        object.number(key!("status"), u64::from(status.as_u16()));
    }
    if let Some(bytes) = response.bytes {
        object.number(key!("bytes"), bytes);
    }
    write_body(object, text, &response.body, &cuts.response_body, body_as);
}

fn write_request(object: &mut Object<'_>, text: &Redacted, request: &Request, body_as: BodyAs, cuts: &Cuts) {
    object.text(key!("method"), text.get(request.method));
    if cuts.url.is_none() && request.url_len(text) <= Request::MAX_URL {
        object.url(key!("url"), text.get(request.path), some(text, request.url_query));
    } else {
        object.text(key!("url"), &without_middle(&request.url(text), cuts.url));
    }
    match &request.route {
        Some(Route::Listed(route)) => object.members(&route.member),
        Some(Route::Reported(route)) => object.text(key!("route"), text.get(*route)),
        None => {}
    }
    if let Some(protocol) = protocol(request.protocol) {
        object.plain(key!("protocol"), protocol);
    }
    object.some_text(key!("referer"), some(text, request.referer.filter(|_| !cuts.referer)));
    let params = some(text, request.params.filter(|_| !cuts.params));
    let query = some(text, request.query.filter(|_| !cuts.query));
    match body_as {
        BodyAs::Json => {
            object.some_raw(key!("params"), params);
            object.some_raw(key!("query"), query);
        }
        BodyAs::String => {
            object.some_raw(key!("params"), params.and_then(members_as_arrays).as_deref());
            object.some_raw(key!("query"), query.and_then(members_as_arrays).as_deref());
        }
    }
    object.some_raw(key!("headers"), some(text, request.headers.filter(|_| !cuts.headers)));
    write_body(object, text, &request.body, &cuts.request_body, body_as);
}

fn write_body(object: &mut Object<'_>, text: &Redacted, body: &Body, cut: &BodyCut, body_as: BodyAs) {
    let (shown, omitted) = match cut {
        BodyCut::None => (some(text, body.shown), body.omitted),
        BodyCut::Beginning(beginning) => (Some(beginning.as_str()), Some(Reason::Line)),
        BodyCut::Whole => (None, Some(Reason::Line)),
    };
    if let Some(reason) = omitted {
        object.object(key!("bodyOmitted"), |object| {
            object.plain(key!("reason"), reason.as_str());
            object.some_text(key!("contentType"), some(text, body.content_type));
            object.number(key!("bytes"), body.bytes);
        });
    }
    match shown {
        // A text is a JSON string already.
        Some(shown) if body_as == BodyAs::String && !shown.starts_with('"') => object.text(key!("body"), shown),
        shown => object.some_raw(key!("body"), shown),
    }
}

fn protocol(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => return None,
    })
}
