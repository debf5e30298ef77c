//! A record as one JSON object. Together with `labels`, the only file that writes field names.

use std::borrow::Cow;

use http::Version;

use super::cuts::{BodyCut, without_middle};
use super::finished::{Body, Context, ErrorEntry, Identity, MASKED_NAME, Request, Response, Route, StageName, Thing};
use super::json_object::{Key, Object, Plain, key};
use super::setting::setting_names;
use super::{FieldGroup, Level, Outcome, Record, Status};
use crate::json::unescaped_len;
use crate::redact::{Evidence, Piece, Reason, Redacted};

/// The members that are the same on every line of a process, written once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    instance: Member,
    host: Member,
    service: Member,
    user_agent_key: UserAgentKey,
    body_as: BodyAs,
}

/// A text and the member that shows it.
#[derive(Clone, Debug, Default)]
struct Member {
    text: Option<Box<str>>,
    json: Vec<u8>,
}

impl Member {
    fn new(key: Key, text: Option<&str>) -> Self {
        let mut json = Vec::new();
        Object::of(&mut json).some_text(key, text);
        Self { text: text.map(Into::into), json }
    }
}

impl Process {
    pub(crate) fn new(
        text: &Redacted,
        instance: Evidence,
        host: Option<Evidence>,
        service: Option<Evidence>,
        (user_agent_key, body_as): (UserAgentKey, BodyAs),
    ) -> Self {
        Self {
            instance: Member::new(key!("instance"), Some(text.get(instance))),
            host: Member::new(key!("host"), text.some(host)),
            service: Member::new(key!("service"), text.some(service)),
            user_agent_key,
            body_as,
        }
    }

    /// What one line says of its process.
    pub(super) fn read_back(instance: &str, host: Option<&str>, user_agent_key: UserAgentKey) -> Self {
        Self {
            instance: Member::new(key!("instance"), Some(instance)),
            host: Member::new(key!("host"), host),
            user_agent_key,
            ..Self::default()
        }
    }

    /// Whether [`Process::read_back`] of these would be the same.
    pub(super) fn is_read_back_of(&self, instance: &str, host: Option<&str>, user_agent_key: UserAgentKey) -> bool {
        self.instance() == instance && self.host() == host && self.user_agent_key == user_agent_key
    }

    pub(super) fn instance(&self) -> &str {
        self.instance.text.as_deref().unwrap_or_default()
    }

    pub(super) fn host(&self) -> Option<&str> {
        self.host.text.as_deref()
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.service.text.as_deref()
    }

    pub(super) fn body_as(&self) -> BodyAs {
        self.body_as
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

/// Appends the record as one JSON object.
pub(crate) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let Record { fields, process, .. } = *record;
    let plain = Plain::of(record, unescaped_len);
    let mut line = Object::of_record(out, record.text, plain).open();
    line.time(key!("timestamp"), fields.timestamp);
    write_event_of(&mut line, record);
    write_shown(&mut line, record, key!("message"), fields.message, || record.message());
    line.id(key!("auditId"), fields.audit_id);
    line.members(&process.instance.json);
    if let Some(seq) = record.seq {
        line.number(key!("seq"), seq);
    }
    if let Some(started) = fields.started_at {
        line.time(key!("startedAt"), started);
    }
    if let Some(duration) = fields.duration {
        line.milliseconds(key!("durationMs"), duration);
    }
    line.some_piece(key!("requestId"), fields.request_id);
    line.some_piece(key!("traceId"), fields.trace_id);
    line.some_piece(key!("spanId"), fields.span_id);
    if fields.labels.as_ref().is_none_or(|labels| labels.service().is_none()) {
        line.members(&process.service.json);
    }
    if let Some(labels) = &fields.labels {
        line.members(&labels.place);
    }
    line.members(&process.host.json);
    line.object(key!("actor"), |actor| write_actor(actor, record));
    if let Some(context) = &fields.context {
        write_context(&mut line, record, context);
    }
    if has_meta(record) {
        line.object(key!("meta"), |meta| write_meta(meta, record));
    }
    if !record.error_entries().is_empty() {
        write_errors(&mut line, record);
    }
    if let Some(response) = &fields.response {
        line.object(key!("response"), |object| write_response(object, record, response));
    }
    if let Some(request) = &fields.request {
        line.object(key!("request"), |object| write_request(object, record, request));
    }
    line.close();
}

/// From `level` to `outcome`.
fn write_event_of(line: &mut Object<'_>, record: &Record<'_>) {
    let fields = record.fields;
    let labels = fields.labels.as_ref().filter(|_| !fields.is_name_masked);
    let Some(labels) = labels else {
        let mut names = Vec::new();
        let mut members = Object::of(&mut names);
        members.plain(key!("eventName"), MASKED_NAME);
        members.plain(key!("logType"), record.log_type().as_str());
        return write_event(line, fields.level, &names, record.stage(), fields.status, fields.outcome);
    };
    match (fields.level, fields.stage, fields.status, fields.outcome) {
        (Level::Info, StageName::Completion, Status::Succeeded, Some(Outcome::Completed)) => {
            line.members(&labels.usual);
        }
        (level, _, status, outcome) => write_event(line, level, &labels.head, record.stage(), status, outcome),
    }
}

/// From `level` to `outcome`; `names` are the members from `eventName` to `logType`.
pub(super) fn write_event(
    line: &mut Object<'_>,
    level: Level,
    names: &[u8],
    stage: &str,
    status: Status,
    outcome: Option<Outcome>,
) {
    line.plain(key!("level"), level.as_str());
    line.members(br#""isAuditLog":true,"schema":"1.0","#);
    line.members(names);
    line.text(key!("stage"), stage);
    line.plain(key!("status"), status.as_str());
    if let Some(outcome) = outcome {
        line.plain(key!("outcome"), outcome.as_str());
    }
}

/// A text that lines show with less of it where they have to be short, or leave out.
fn write_shown<'r, const C: bool>(
    object: &mut Object<'_>,
    record: &Record<'r>,
    key: Key,
    piece: Option<Piece<C, false>>,
    shown: impl FnOnce() -> Option<Cow<'r, str>>,
) {
    if record.is_whole() {
        object.some_piece(key, piece);
    } else {
        object.some_text(key, shown().as_deref());
    }
}

/// The same for a JSON value.
fn write_shown_json<'r, const C: bool>(
    object: &mut Object<'_>,
    record: &Record<'r>,
    key: Key,
    piece: Option<Piece<C, true>>,
    shown: impl FnOnce() -> Option<Cow<'r, str>>,
) {
    if record.is_whole() && record.process.body_as == BodyAs::Json {
        object.some_raw_piece(key, piece);
    } else {
        object.some_raw(key, shown().as_deref());
    }
}

/// Appends the members of `meta` as one JSON object; false if there are none.
pub(crate) fn push_meta(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    let is_there = has_meta(record);
    if is_there {
        let mut object = Object::of_record(out, record.text, Plain::default()).open();
        write_meta(&mut object, record);
        object.close();
    }
    is_there
}

/// Appends the errors as one JSON list; false if there are none.
pub(crate) fn push_errors(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    let is_failed = !record.error_entries().is_empty();
    if is_failed {
        let mut list = Object::of_record(out, record.text, Plain::default());
        list.items(record.error_entries(), |object, at, error| write_error(object, record, at, error));
    }
    is_failed
}

/// Appends the actor on whose behalf the first one acts as one JSON object; false if there is none.
pub(crate) fn push_on_behalf_of(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    let Some((other, others)) = record.fields.actors.get(1..).and_then(|others| others.split_first()) else {
        return false;
    };
    let mut object = Object::of_record(out, record.text, Plain::default()).open();
    write_other(&mut object, record, other, others);
    object.close();
    true
}

/// Appends why a body is left out as one JSON object; false if it is not.
pub(crate) fn push_body_omitted(record: &Record<'_>, body: &Body, cut: &BodyCut, out: &mut Vec<u8>) -> bool {
    let Some(reason) = body.omission(cut).filter(|_| !record.omitted.has(FieldGroup::Bodies)) else { return false };
    let mut object = Object::of_record(out, record.text, Plain::default()).open();
    write_omission(&mut object, body, reason);
    object.close();
    true
}

/// What is shown of a body, as JSON.
pub(crate) fn body<'r>(record: &Record<'r>, body: &Body, cut: &'r BodyCut) -> Option<Cow<'r, str>> {
    if record.omitted.has(FieldGroup::Bodies) {
        return None;
    }
    let shown = record.without_names_in_body(body.shown(record.text, cut)?)?;
    // A text is a JSON string already.
    if record.process.body_as == BodyAs::String && !shown.starts_with('"') {
        let mut text = String::new();
        crate::json::push_json_string(&mut text, &shown);
        return Some(text.into());
    }
    Some(shown)
}

fn write_actor(actor: &mut Object<'_>, record: &Record<'_>) {
    let actors = &record.fields.actors;
    let (first, others) = actors.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    actor.nullable_piece(key!("actorId"), first.and_then(|first| first.id));
    write_address(actor, record);
    if let Some(first) = first {
        write_identity(actor, record, first, others);
    }
    if let Some(ip) = record.peer_ip() {
        actor.ip(key!("peerIp"), ip);
    }
}

fn write_address(object: &mut Object<'_>, record: &Record<'_>) {
    let address = &record.fields.address;
    if let Some(ip) = record.ip() {
        object.ip(key!("ip"), ip);
    }
    if let Some(port) = record.port() {
        object.number(key!("port"), u64::from(port));
    }
    object.some_piece(key!("hostname"), address.hostname);
    if record.process.user_agent_key != UserAgentKey::UserAgent {
        write_shown(object, record, key!("client"), address.client, || record.user_agent());
    }
    if record.process.user_agent_key != UserAgentKey::Client {
        write_shown(object, record, key!("userAgent"), address.client, || record.user_agent());
    }
}

/// Writes an actor without its id and address, and the actors on whose behalf it acts.
fn write_identity(object: &mut Object<'_>, record: &Record<'_>, actor: &Identity, others: &[Identity]) {
    object.some_piece(key!("kind"), actor.kind);
    object.some_piece(key!("name"), actor.name);
    object.some_piece(key!("url"), actor.url);
    object.some_piece(key!("slug"), actor.slug);
    if actor.is_unverified {
        object.raw(key!("verified"), "false");
    }
    object.some_piece(key!("claimed"), actor.claimed);
    if let Some(credential) = &actor.credential {
        object.object(key!("credential"), |object| {
            object.piece(key!("kind"), credential.kind);
            object.some_piece(key!("id"), credential.id);
            object.some_piece(key!("name"), credential.name);
            object.some_piece(key!("owner"), credential.owner);
        });
    }
    if let Some((other, others)) = others.split_first() {
        object.object(key!("onBehalfOf"), |object| write_other(object, record, other, others));
    }
    if let Some(location) = record.place(actor) {
        object.object(key!("location"), |object| {
            object.some_piece(key!("city"), location.city);
            object.some_piece(key!("country"), location.country);
            object.some_piece(key!("continent"), location.continent);
        });
    }
}

fn write_other(object: &mut Object<'_>, record: &Record<'_>, other: &Identity, others: &[Identity]) {
    object.nullable_piece(key!("actorId"), other.id);
    write_identity(object, record, other, others);
}

fn write_context(line: &mut Object<'_>, record: &Record<'_>, context: &Context) {
    if let Some(thing) = &context.object {
        line.object(key!("object"), |object| write_thing(object, thing));
    }
    if let Some(thing) = &context.target {
        line.object(key!("target"), |object| write_thing(object, thing));
    }
    if let Some(scope) = &context.scope {
        line.object(key!("scope"), |object| {
            object.piece(key!("kind"), scope.kind);
            object.piece(key!("path"), scope.path);
        });
    }
    line.some_piece(key!("project"), context.project);
    line.some_piece(key!("repository"), context.repository.filter(|_| record.shows(FieldGroup::Repository)));
    line.some_piece(key!("namespace"), context.namespace.filter(|_| record.shows(FieldGroup::Namespace)));
    line.some_piece(key!("context"), context.said);
}

fn write_thing(object: &mut Object<'_>, thing: &Thing) {
    object.piece(key!("kind"), thing.kind);
    object.some_piece(key!("id"), thing.id);
    object.some_piece(key!("name"), thing.name);
    object.some_piece(key!("version"), thing.version);
    object.some_piece(key!("slug"), thing.slug);
    object.some_piece(key!("format"), thing.format);
}

fn has_meta(record: &Record<'_>) -> bool {
    let has_members = !record.fields.meta.is_empty();
    !record.cuts.named.is_empty() || has_members && (record.is_whole() || record.meta().next().is_some())
}

fn write_meta(meta: &mut Object<'_>, record: &Record<'_>) {
    if record.is_whole() {
        for (key, value) in &record.fields.meta {
            meta.named_piece(*key, *value);
        }
    } else {
        record.meta().for_each(|(key, value)| meta.named(key, &value));
    }
    if !record.cuts.named.is_empty() {
        meta.texts(key!("shortened"), &record.cuts.named);
    }
}

fn write_errors(line: &mut Object<'_>, record: &Record<'_>) {
    let entries = record.error_entries();
    line.list(key!("errors"), entries, |object, at, error| write_error(object, record, at, error));
}

fn write_error(object: &mut Object<'_>, record: &Record<'_>, at: usize, error: &ErrorEntry) {
    let Record { text, cuts, .. } = *record;
    object.piece(key!("name"), error.name);
    object.text(key!("message"), &without_middle(error.message.of(text), cuts.error_message.filter(|_| at == 0)));
    if !cuts.stacks {
        object.some_piece(key!("stack"), error.stack);
    }
}

fn write_response(object: &mut Object<'_>, record: &Record<'_>, response: &Response) {
    if let Some(status) = response.status {
        object.number(key!("status"), u64::from(status.as_u16()));
    }
    if let Some(bytes) = response.bytes {
        object.number(key!("bytes"), bytes);
    }
    write_body(object, record, &response.body, &record.cuts.response_body);
}

fn write_request(object: &mut Object<'_>, record: &Record<'_>, request: &Request) {
    let cuts = record.cuts;
    object.piece(key!("method"), request.method);
    if record.is_whole() && request.url_len() <= Request::MAX_URL {
        object.url(key!("url"), request.path, request.url_query);
    } else {
        object.text(key!("url"), &record.url().unwrap_or_default());
    }
    match &request.route {
        Some(Route::Listed(route)) => object.members(&route.member),
        Some(Route::Reported(route)) => object.piece(key!("route"), *route),
        None => {}
    }
    if let Some(protocol) = protocol(request.protocol) {
        object.plain(key!("protocol"), protocol);
    }
    write_shown(object, record, key!("referer"), request.referer, || record.referer());
    write_shown_json(object, record, key!("params"), request.params, || record.params());
    write_shown_json(object, record, key!("query"), request.query, || record.query());
    write_shown_json(object, record, key!("headers"), request.headers, || record.headers());
    write_body(object, record, &request.body, &cuts.request_body);
}

fn write_body(object: &mut Object<'_>, record: &Record<'_>, shown: &Body, cut: &BodyCut) {
    if shown.is_absent() {
        return;
    }
    if let Some(reason) = shown.omission(cut).filter(|_| !record.omitted.has(FieldGroup::Bodies)) {
        object.object(key!("bodyOmitted"), |object| write_omission(object, shown, reason));
    }
    write_shown_json(object, record, key!("body"), shown.shown, || body(record, shown, cut));
}

fn write_omission(object: &mut Object<'_>, body: &Body, reason: Reason) {
    object.plain(key!("reason"), reason.as_str());
    object.some_piece(key!("contentType"), body.content_type);
    object.number(key!("bytes"), body.bytes);
}

impl Body {
    fn shown<'r>(&self, text: &'r Redacted, cut: &'r BodyCut) -> Option<&'r str> {
        match cut {
            BodyCut::None => text.some(self.shown),
            BodyCut::Beginning(beginning) => Some(beginning),
            BodyCut::Whole => None,
        }
    }

    /// Whether there is nothing to show, and nothing was left out.
    pub(crate) fn is_absent(&self) -> bool {
        self.shown.is_none() && self.omitted.is_none()
    }

    fn omission(&self, cut: &BodyCut) -> Option<Reason> {
        if matches!(cut, BodyCut::None) { self.omitted } else { Some(Reason::Line) }
    }
}

pub(super) fn protocol(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    use crate::record::finished::{Address, ErrorText, Fields};
    use crate::redact::ReadBack;

    fn text() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec!["", "\"", "\\", "\n", "\u{7f}", "é", "\u{2028}", "\u{202e}", "😀"]);
        prop_oneof![3 => "[ -~&&[^\"\\\\]]{0,40}", 1 => ("[a-z/]{0,20}", odd, "[a-z]{0,4}").prop_map(|(a, b, c)| a + b + &c)]
    }

    proptest! {
        /// Whatever is beside it in the record's buffer: a text is the same after its line is read, and no odd character stands
        /// in a line.
        #[test]
        fn each_text_is_escaped_where_it_has_to_be(texts in prop::array::uniform11(text())) {
            let mut buffer = ReadBack::new("");
            let [message, url_query] = [&texts[9], &texts[10]];
            // What comes before the method does not matter, and the message is last.
            let query = buffer.add(url_query);
            let [method, path, id, trace, span, host] = [0, 1, 2, 3, 4, 5].map(|at| buffer.add(&texts[at]));
            let (client, actor, error) = (buffer.add(&texts[6]), buffer.add(&texts[7]), buffer.add(&texts[8]));
            let meta = (buffer.add(&texts[8]), buffer.add("\"a\""));
            let message_piece: Evidence = buffer.add(message);
            let fields = Fields {
                message: Some(message_piece),
                request_id: Some(id),
                trace_id: Some(trace),
                span_id: Some(span),
                actors: vec![Identity { id: Some(actor), ..Identity::default() }],
                address: Address { hostname: Some(host), client: Some(client), ..Address::default() },
                meta: vec![meta],
                errors: vec![ErrorEntry { name: error, message: ErrorText::Library(error), stack: None }],
                request: Some(Request {
                    method,
                    path,
                    url_query: Some(query),
                    route: None,
                    protocol: Version::HTTP_11,
                    referer: Some(client),
                    params: None,
                    query: None,
                    headers: None,
                    body: Body::default(),
                }),
                ..Fields::default()
            };
            let mut line = Vec::new();
            write(&Record::new(buffer.text(), &fields, &Process::default()), &mut line);
            let line = String::from_utf8(line).unwrap();
            let is_odd = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{202e}');
            prop_assert!(!line.contains(is_odd), "{line:?}");
            let read: Value = serde_json::from_str(&line).unwrap();
            let shown = json!([
                read["request"]["method"], read["request"]["url"], read["requestId"], read["traceId"], read["spanId"],
                read["actor"]["hostname"], read["actor"]["client"], read["actor"]["actorId"], read["errors"], read["message"],
                read["request"]["referer"], read["meta"],
            ]);
            let expected = json!([
                texts[0], format!("{}?{url_query}", texts[1]), texts[2], texts[3], texts[4], texts[5], texts[6], texts[7],
                [{ "name": texts[8], "message": texts[8] }], message, texts[6], { &texts[8]: "a" },
            ]);
            prop_assert_eq!(shown, expected);
        }
    }
}
