//! A record as one JSON object: the only place where field names are written.

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::Version;

use super::finished::{Body, Context, Record, Request, Response};
use super::fragment::{Text as _, members_as_arrays, push_json_string, push_json_text};
use super::{Actor, Entity, Failure};
use crate::clock::Micros;

/// What is the same on every line of a process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) instance: String,
    pub(crate) host: Option<String>,
    pub(crate) service: Option<Arc<str>>,
    pub(crate) user_agent_key: UserAgentKey,
    pub(crate) body_as: BodyAs,
}

/// How bodies stand in a record.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyAs {
    /// As JSON, in the shape in which they came.
    #[default]
    Json,
    /// As their redacted text, and every value of `query` and `params` as a list of strings: for indexes that choke on
    /// keys whose type changes.
    String,
}

impl BodyAs {
    /// The name that settings use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::String => "string",
        }
    }
}

/// Where the user agent stands in a record.
///
/// The documentation of Red Hat Developer Hub says `actor.client`, which is the default; the running product writes
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

impl UserAgentKey {
    /// The name that settings use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::UserAgent => "userAgent",
            Self::Both => "both",
        }
    }
}

/// A key of ours, which needs no escaping.
#[derive(Clone, Copy)]
struct Key {
    /// As it stands before any value.
    plain: &'static str,
    /// As it stands before a string, whose opening quote it has.
    quote: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        Key { plain: concat!("\"", $name, "\":"), quote: concat!("\"", $name, "\":\"") }
    };
}

/// Appends the record as one JSON object.
pub(crate) fn write(record: &Record, process: &Process, seq: u64, out: &mut Vec<u8>) {
    let mut line = Object::open(out);
    line.time(key!("timestamp"), record.timestamp);
    line.plain(key!("level"), record.level.as_str());
    line.members(br#""isAuditLog":true,"schema":"1.0","#);
    line.plain(key!("eventName"), &record.event_name);
    if let Some(labels) = &record.labels {
        line.members(&labels.kind_member);
    }
    line.text(key!("stage"), &record.stage);
    line.plain(key!("status"), record.status.as_str());
    if let Some(outcome) = record.outcome {
        line.plain(key!("outcome"), outcome.as_str());
    }
    line.some_text(key!("message"), record.message.as_deref());
    line.plain(key!("auditId"), record.audit_id.hyphenated().encode_lower(&mut [0; 36]));
    line.plain(key!("instance"), &process.instance);
    line.number(key!("seq"), seq);
    if let Some(started) = record.started_at {
        line.time(key!("startedAt"), started);
    }
    if let Some(duration) = record.duration {
        line.milliseconds(key!("durationMs"), duration);
    }
    line.some_text(key!("requestId"), record.request_id.as_deref());
    line.some_text(key!("traceId"), record.trace_id.as_deref());
    line.some_text(key!("spanId"), record.span_id.as_deref());
    if !record.labels.as_ref().is_some_and(|labels| labels.has_service()) {
        line.some_text(key!("service"), process.service.as_deref());
    }
    if let Some(labels) = &record.labels {
        line.members(&labels.place_members);
    }
    line.some_text(key!("host"), process.host.as_deref());
    line.object(key!("actor"), |actor| write_actor(actor, record, process.user_agent_key));
    if let Some(context) = &record.context {
        write_context(&mut line, context);
    }
    if !record.meta.is_empty() {
        line.object(key!("meta"), |meta| record.meta.iter().for_each(|(key, value)| meta.named(key, value)));
    }
    if !record.errors.is_empty() {
        line.list(key!("errors"), &record.errors, write_error);
    }
    if let Some(response) = &record.response {
        line.object(key!("response"), |object| write_response(object, response, process.body_as));
    }
    if let Some(request) = &record.request {
        line.object(key!("request"), |object| write_request(object, request, process.body_as));
    }
    line.close();
}

fn write_context(line: &mut Object<'_>, context: &Context) {
    if let Some(entity) = &context.object {
        line.object(key!("object"), |object| write_entity(object, entity));
    }
    if let Some(entity) = &context.target {
        line.object(key!("target"), |object| write_entity(object, entity));
    }
    if let Some(scope) = &context.scope {
        line.object(key!("scope"), |object| {
            object.text(key!("kind"), &scope.kind);
            object.text(key!("path"), &scope.path);
        });
    }
    line.some_text(key!("project"), context.project.as_deref());
    line.some_text(key!("repository"), context.repository.as_deref());
    line.some_text(key!("namespace"), context.namespace.as_deref());
    line.some_text(key!("edge"), context.edge.as_deref());
    if let Some(eula) = &context.eula {
        line.object(key!("eula"), |object| {
            object.text(key!("id"), &eula.id);
            object.text(key!("number"), &eula.number);
        });
    }
    line.some_text(key!("context"), context.said.as_deref());
}

/// The member that tells an event's kind, as [`write`] puts it into a line.
pub(super) fn kind_member(kind: Option<&str>) -> Vec<u8> {
    let mut members = Vec::new();
    Object { out: &mut members }.some_text(key!("eventKind"), kind);
    members
}

/// The members that tell where in the system an event happens.
pub(super) fn place_members(service: Option<&str>, plugin: Option<&str>, component: Option<&str>) -> Vec<u8> {
    let mut members = Vec::new();
    let mut line = Object { out: &mut members };
    line.some_text(key!("service"), service);
    line.some_text(key!("plugin"), plugin);
    line.some_text(key!("component"), component);
    members
}

fn write_actor(object: &mut Object<'_>, record: &Record, user_agent_key: UserAgentKey) {
    let address = &record.address;
    object.nullable_text(key!("actorId"), record.actor.id.as_deref());
    if let Some(ip) = address.ip {
        object.ip(key!("ip"), ip);
    }
    if let Some(port) = address.port {
        object.number(key!("port"), u64::from(port));
    }
    object.some_text(key!("hostname"), address.hostname.as_deref());
    if user_agent_key != UserAgentKey::UserAgent {
        object.some_text(key!("client"), address.client.as_deref());
    }
    if user_agent_key != UserAgentKey::Client {
        object.some_text(key!("userAgent"), address.client.as_deref());
    }
    write_identity(object, &record.actor);
    if let Some(ip) = address.peer_ip {
        object.ip(key!("peerIp"), ip);
    }
}

/// What an actor is apart from its id and address; an actor on whose behalf another acts has nothing else.
fn write_identity(object: &mut Object<'_>, actor: &Actor) {
    object.some_text(key!("kind"), actor.kind.as_deref());
    object.some_text(key!("name"), actor.name.as_deref());
    object.some_text(key!("url"), actor.url.as_deref());
    object.some_text(key!("slug"), actor.slug.as_deref());
    if actor.unverified {
        object.raw(key!("verified"), "false");
    }
    object.some_text(key!("claimed"), actor.claimed.as_deref());
    if let Some(credential) = &actor.credential {
        object.object(key!("credential"), |object| {
            object.text(key!("kind"), &credential.kind);
            object.some_text(key!("id"), credential.id.as_deref());
            object.some_text(key!("name"), credential.name.as_deref());
            object.some_text(key!("owner"), credential.owner.as_deref());
        });
    }
    if let Some(other) = &actor.on_behalf_of {
        object.object(key!("onBehalfOf"), |object| {
            object.nullable_text(key!("actorId"), other.id.as_deref());
            write_identity(object, other);
        });
    }
    if let Some(location) = &actor.location {
        object.object(key!("location"), |object| {
            object.some_text(key!("city"), location.city.as_deref());
            object.some_text(key!("country"), location.country.as_deref());
            object.some_text(key!("continent"), location.continent.as_deref());
        });
    }
}

fn write_entity(object: &mut Object<'_>, entity: &Entity) {
    object.text(key!("kind"), &entity.kind);
    object.some_text(key!("id"), entity.id.as_deref());
    object.some_text(key!("name"), entity.name.as_deref());
    object.some_text(key!("version"), entity.version.as_deref());
    object.some_text(key!("slug"), entity.slug.as_deref());
    object.some_text(key!("format"), entity.format.as_deref());
}

fn write_error(object: &mut Object<'_>, error: &Failure) {
    object.text(key!("name"), &error.name);
    object.text(key!("message"), &error.message);
    object.some_text(key!("stack"), error.stack.as_deref());
}

fn write_response(object: &mut Object<'_>, response: &Response, body_as: BodyAs) {
    if let Some(status) = response.status {
        object.number(key!("status"), u64::from(status.as_u16()));
    }
    if let Some(bytes) = response.bytes {
        object.number(key!("bytes"), bytes);
    }
    write_body(object, &response.body, body_as);
}

fn write_request(object: &mut Object<'_>, request: &Request, body_as: BodyAs) {
    object.text(key!("method"), &request.method);
    object.text(key!("url"), &request.url);
    object.some_text(key!("route"), request.route.as_deref());
    if let Some(protocol) = protocol(request.protocol) {
        object.plain(key!("protocol"), protocol);
    }
    object.some_text(key!("referer"), request.referer.as_deref());
    write_values(object, key!("params"), request.params.as_deref(), body_as);
    write_values(object, key!("query"), request.query.as_deref(), body_as);
    object.some_raw(key!("headers"), request.headers.as_deref());
    write_body(object, &request.body, body_as);
}

/// Decoded names and values.
fn write_values(object: &mut Object<'_>, key: Key, values: Option<&str>, body_as: BodyAs) {
    match (values, body_as) {
        (Some(values), BodyAs::String) => object.some_raw(key, members_as_arrays(values).as_deref()),
        (values, _) => object.some_raw(key, values),
    }
}

fn write_body(object: &mut Object<'_>, body: &Body, body_as: BodyAs) {
    if let Some(reason) = body.omitted {
        object.object(key!("bodyOmitted"), |object| {
            object.plain(key!("reason"), reason.as_str());
            object.some_text(key!("contentType"), body.content_type.as_deref());
            object.number(key!("bytes"), body.bytes);
        });
    }
    match body.shown.as_deref() {
        // What is a string already, such as a text, stays one.
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

/// Writes one JSON object, member by member. Each member, and so each write, ends in a comma; the last one's goes with the
/// end of the object.
struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out }
    }

    fn close(self) {
        close(self.out, b'}');
    }

    /// A value that needs no escaping.
    fn plain(&mut self, key: Key, value: &str) {
        self.out.push_text(key.quote);
        self.out.push_text(value);
        self.out.push_text("\",");
    }

    fn text(&mut self, key: Key, value: &str) {
        self.out.push_text(key.quote);
        push_json_text(self.out, value);
        self.out.push_text("\",");
    }

    fn some_text(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn nullable_text(&mut self, key: Key, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    fn raw(&mut self, key: Key, fragment: &str) {
        self.out.push_text(key.plain);
        self.out.push_text(fragment);
        self.out.push(b',');
    }

    fn some_raw(&mut self, key: Key, fragment: Option<&str>) {
        if let Some(fragment) = fragment {
            self.raw(key, fragment);
        }
    }

    /// Members that were written before.
    fn members(&mut self, members: &[u8]) {
        self.out.extend_from_slice(members);
    }

    /// A member whose key the application chose.
    fn named(&mut self, key: &str, fragment: &str) {
        push_json_string(self.out, key);
        self.out.push(b':');
        self.out.push_text(fragment);
        self.out.push(b',');
    }

    fn ip(&mut self, key: Key, ip: IpAddr) {
        self.out.push_text(key.quote);
        match ip {
            IpAddr::V4(ip) => {
                for (at, byte) in ip.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b'.');
                    }
                    push_number(self.out, u64::from(byte), 1);
                }
            }
            IpAddr::V6(ip) => {
                let _ = write!(self.out, "{ip}");
            }
        }
        self.out.push_text("\",");
    }

    fn number(&mut self, key: Key, value: u64) {
        self.out.push_text(key.plain);
        push_number(self.out, value, 1);
        self.out.push(b',');
    }

    fn milliseconds(&mut self, key: Key, value: std::time::Duration) {
        self.out.push_text(key.plain);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        push_number(self.out, micros / 1000, 1);
        self.out.push(b'.');
        push_number(self.out, micros % 1000, 3);
        self.out.push(b',');
    }

    fn time(&mut self, key: Key, at: Micros) {
        self.out.push_text(key.quote);
        self.out.extend_from_slice(&time_text(at));
        self.out.push_text("\",");
    }

    fn object(&mut self, key: Key, members: impl FnOnce(&mut Object<'_>)) {
        self.out.push_text(key.plain);
        let mut object = Object::open(self.out);
        members(&mut object);
        object.close();
        self.out.push(b',');
    }

    fn list<T>(&mut self, key: Key, items: &[T], member: impl Fn(&mut Object<'_>, &T)) {
        self.out.push_text(key.plain);
        self.out.push(b'[');
        for item in items {
            let mut object = Object::open(self.out);
            member(&mut object, item);
            object.close();
            self.out.push(b',');
        }
        close(self.out, b']');
        self.out.push(b',');
    }
}

/// Ends an object or a list whose members each end in a comma.
fn close(out: &mut Vec<u8>, bracket: u8) {
    out.pop_if(|last| *last == b',');
    out.push(bracket);
}

/// A number with at least so many digits. `core::fmt` takes ten times as long, and a line has a dozen numbers.
fn push_number(out: &mut Vec<u8>, value: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    let mut rest = value;
    while rest > 0 && begin > 0 {
        begin -= 1;
        digits[begin] = digit(rest);
        rest /= 10;
    }
    out.extend_from_slice(&digits[begin.min(digits.len() - least)..]);
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// RFC 3339 in UTC with microseconds.
pub(crate) fn push_time(out: &mut String, at: Micros) {
    out.push_str(std::str::from_utf8(&time_text(at)).unwrap_or_default());
}

fn time_text(at: Micros) -> [u8; 27] {
    /// What comes before the digits of a second's fraction.
    const WHOLE: usize = 20;
    thread_local! {
        // Most times of a thread are in the same second as the one before. Nothing here has to be dropped with the thread:
        // loggers may still write while it ends.
        static LAST: Cell<(i64, [u8; 27])> = const { Cell::new((i64::MIN, *b"0000-00-00T00:00:00.000000Z")) };
    }
    let second = at.0.div_euclid(1_000_000);
    let (last, mut text) = LAST.get();
    if last != second {
        // `Micros` is clamped to what a timestamp can say when it is made: years have four digits.
        let time = jiff::Timestamp::from_second(second).unwrap_or_default();
        text[..WHOLE].copy_from_slice(&format!("{time:.1}").as_bytes()[..WHOLE]);
        LAST.set((second, text));
    }
    let mut micros = at.0.rem_euclid(1_000_000).unsigned_abs();
    for place in text[WHOLE..WHOLE + 6].iter_mut().rev() {
        *place = digit(micros);
        micros /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_jiff_writes() {
        for at in [0, 1, -1, 999_999, 1_795_162_537_720_973, -62_167_219_200_000_000, 253_402_207_200_000_000] {
            for at in [at, at] {
                let mut text = String::new();
                push_time(&mut text, Micros(at));
                let expected = jiff::Timestamp::from_microsecond(at).unwrap();
                assert_eq!(text, format!("{expected:.6}"));
            }
        }
    }

    #[test]
    fn a_number_is_what_core_writes() {
        for value in [0, 7, 10, 999, 1000, 65_535, u64::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, value, 1);
            push_number(&mut text, value, 3);
            assert_eq!(text, format!("{value}{value:03}").into_bytes());
        }
    }
}
