//! One name for each value of a record: its path in the JSON.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::finished::{Request, Response, Thing};
use super::json_object::{push_milliseconds, push_time};
use super::{Record, wire};
use crate::clock::Micros;
use crate::error::Error;
use crate::json::{elements, member, unescape};
use crate::text::distance;

/// The name of one value of a record: its path in the record's JSON, with dots.
///
/// Columns of CSV, filters and [`Record::get`] use it. Every key of the [record](crate::guide::record) has a name, such as
/// `actor.ip` or `request.params`; below `meta`, `errors`, `actor.onBehalfOf`, `request.params`, `request.query`,
/// `request.headers` and the bodies it goes on with the keys (or, in a list, the indexes) of the value: `meta.taskId`,
/// `errors.0.message`, `request.body.owner.id`.
///
/// ```
/// use tower_audit::Field;
///
/// let field: Field = "meta.taskId".parse()?;
/// assert_eq!(field.as_str(), "meta.taskId");
/// let error = "actor.ipp".parse::<Field>().unwrap_err();
/// assert!(error.to_string().contains("`actor.ip`"));
/// # Ok::<(), tower_audit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    name: Box<str>,
    fixed: Fixed,
    /// Where the path inside of the fixed value begins in the name; 0 if it is the value itself.
    inside: usize,
}

/// Longest name of a field, in bytes.
const MAX_NAME: usize = 512;
/// Most keys and indexes inside of a value.
const MAX_DEPTH: usize = 32;

impl Field {
    /// The path, such as `actor.ip`.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The key of the schema, if it is a whole one.
    pub(crate) fn as_fixed(&self) -> Option<Fixed> {
        (self.inside == 0).then_some(self.fixed)
    }

    /// Whether it speaks of those on whose behalf somebody acts, each of whom can be a claim.
    pub(crate) fn is_of_others(&self) -> bool {
        matches!(self.fixed, Fixed::OnBehalfOf | Fixed::Message)
    }

    /// Whether it says who the actor is: what anybody can claim.
    pub(crate) fn is_of_identity(&self) -> bool {
        matches!(
            self.fixed,
            Fixed::ActorId
                | Fixed::ActorKind
                | Fixed::ActorName
                | Fixed::ActorUrl
                | Fixed::ActorSlug
                | Fixed::Claimed
                | Fixed::CredentialKind
                | Fixed::CredentialId
                | Fixed::CredentialName
                | Fixed::CredentialOwner
                | Fixed::OnBehalfOf
        )
    }

    fn inside(&self) -> Option<&str> {
        self.name.get(self.inside..).filter(|_| self.inside > 0)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Field {
    type Err = Error;

    /// # Errors
    ///
    /// If a record has no such value; the error names the field whose name is nearest.
    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some((_, fixed)) = FIXED.iter().find(|(known, _)| *known == name) {
            return Ok(Self { name: name.into(), fixed: *fixed, inside: 0 });
        }
        // Its other key: see `UserAgentKey`.
        if name == "actor.userAgent" {
            return Ok(Self { name: name.into(), fixed: Fixed::Client, inside: 0 });
        }
        for (known, fixed) in FIXED.iter().filter(|(_, fixed)| fixed.is_open()) {
            let inside = name.strip_prefix(known).and_then(|rest| rest.strip_prefix('.'));
            if inside.is_some_and(|inside| !inside.is_empty() && inside.split('.').count() <= MAX_DEPTH)
                && name.len() <= MAX_NAME
            {
                return Ok(Self { name: name.into(), fixed: *fixed, inside: known.len() + 1 });
            }
        }
        let shown: String = name.chars().take(64).collect();
        let below =
            FIXED.iter().filter(|(known, _)| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
        let values: Vec<&str> = below.map(|(known, _)| *known).collect();
        if !values.is_empty() {
            return Err(Error::setting(format!(
                "field `{shown}`: it is an object; one of its values is needed: {}",
                values.join(", ")
            )));
        }
        let nearest = FIXED.iter().map(|(known, _)| *known).min_by_key(|known| distance(&shown, known));
        Err(Error::setting(format!(
            "field `{shown}`: a record has no such value; the nearest is `{}`",
            nearest.unwrap_or_default()
        )))
    }
}

/// A value of a record, as [`Record::get`] returns it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'r> {
    /// A string.
    Text(Cow<'r, str>),
    /// A number, a boolean, an object, a list or null, as JSON text.
    Json(Cow<'r, str>),
}

impl<'r> FieldValue<'r> {
    /// A string as it is, anything else as JSON text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }

    fn number(number: impl Into<u64>) -> Self {
        Self::Json(number.into().to_string().into())
    }

    pub(crate) fn of_json(json: Cow<'r, str>) -> Self {
        match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) => Self::Text(unescape(inside).unwrap_or_default().into()),
            None => Self::Json(json),
        }
    }
}

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! fixed {
    ($($variant:ident $name:literal,)*) => {
        /// A key that the schema fixes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Fixed { $($variant),* }

        /// All of them, in the order of the line.
        pub(crate) const FIXED: &[(&str, Fixed)] = &[$(($name, Fixed::$variant)),*];
    };
}

fixed! {
    Timestamp "timestamp",
    Level "level",
    IsAuditLog "isAuditLog",
    Schema "schema",
    EventName "eventName",
    EventKind "eventKind",
    LogType "logType",
    Stage "stage",
    Status "status",
    Outcome "outcome",
    Message "message",
    AuditId "auditId",
    Instance "instance",
    Seq "seq",
    StartedAt "startedAt",
    DurationMs "durationMs",
    RequestId "requestId",
    TraceId "traceId",
    SpanId "spanId",
    Service "service",
    Plugin "plugin",
    Component "component",
    Host "host",
    ActorId "actor.actorId",
    Ip "actor.ip",
    Port "actor.port",
    Hostname "actor.hostname",
    Client "actor.client",
    ActorKind "actor.kind",
    ActorName "actor.name",
    ActorUrl "actor.url",
    ActorSlug "actor.slug",
    Verified "actor.verified",
    Claimed "actor.claimed",
    CredentialKind "actor.credential.kind",
    CredentialId "actor.credential.id",
    CredentialName "actor.credential.name",
    CredentialOwner "actor.credential.owner",
    OnBehalfOf "actor.onBehalfOf",
    City "actor.location.city",
    Country "actor.location.country",
    Continent "actor.location.continent",
    PeerIp "actor.peerIp",
    ObjectKind "object.kind",
    ObjectId "object.id",
    ObjectName "object.name",
    ObjectVersion "object.version",
    ObjectSlug "object.slug",
    ObjectFormat "object.format",
    TargetKind "target.kind",
    TargetId "target.id",
    TargetName "target.name",
    TargetVersion "target.version",
    TargetSlug "target.slug",
    TargetFormat "target.format",
    ScopeKind "scope.kind",
    ScopePath "scope.path",
    Project "project",
    Repository "repository",
    Namespace "namespace",
    Context "context",
    Meta "meta",
    Errors "errors",
    ResponseStatus "response.status",
    ResponseBytes "response.bytes",
    ResponseBodyOmitted "response.bodyOmitted",
    ResponseBody "response.body",
    Method "request.method",
    Url "request.url",
    Route "request.route",
    Protocol "request.protocol",
    Referer "request.referer",
    Params "request.params",
    Query "request.query",
    Headers "request.headers",
    RequestBodyOmitted "request.bodyOmitted",
    RequestBody "request.body",
}

impl Fixed {
    /// Whether names go on inside of the value.
    fn is_open(self) -> bool {
        matches!(
            self,
            Self::OnBehalfOf
                | Self::Meta
                | Self::Errors
                | Self::ResponseBodyOmitted
                | Self::ResponseBody
                | Self::Params
                | Self::Query
                | Self::Headers
                | Self::RequestBodyOmitted
                | Self::RequestBody
        )
    }
}

impl<'r> Record<'r> {
    /// The value of a field; `None` if the record does not have it. `actor.actorId` of an unknown actor is none too.
    pub fn get(&self, field: &Field) -> Option<FieldValue<'r>> {
        let Some(inside) = field.inside() else {
            return self.fixed(field.fixed).map(|value| match value {
                FieldValue::Json(json) => FieldValue::of_json(json),
                text => text,
            });
        };
        if field.fixed == Fixed::Meta {
            let (key, rest) = inside.split_once('.').unwrap_or((inside, ""));
            let member = |wanted: &str| self.meta().find(|(key, _)| *key == wanted).map(|(_, value)| value);
            let value = match member(inside) {
                Some(value) => value,
                None => match member(key)? {
                    Cow::Borrowed(json) => find(json, rest)?.into(),
                    Cow::Owned(json) => find(&json, rest)?.to_owned().into(),
                },
            };
            return Some(FieldValue::of_json(value));
        }
        match self.fixed(field.fixed)? {
            FieldValue::Json(Cow::Borrowed(json)) => Some(FieldValue::of_json(find(json, inside)?.into())),
            FieldValue::Json(Cow::Owned(json)) => Some(FieldValue::of_json(find(&json, inside)?.to_owned().into())),
            FieldValue::Text(_) => None,
        }
    }

    pub(crate) fn fixed(&self, fixed: Fixed) -> Option<FieldValue<'r>> {
        let Self { text, fields, cuts, .. } = *self;
        let actor = self.actor();
        let credential = || actor?.credential;
        let location = || self.place(actor?);
        let context = fields.context.as_ref();
        let labels = fields.labels.as_ref();
        let request = self.request();
        let texts: Option<&str> = match fixed {
            Fixed::Timestamp => return Some(time(fields.timestamp)),
            Fixed::Level => Some(fields.level.as_str()),
            Fixed::IsAuditLog => return Some(FieldValue::Json("true".into())),
            Fixed::Schema => Some("1.0"),
            Fixed::EventName => Some(self.event_name()),
            Fixed::EventKind => self.event_kind(),
            Fixed::LogType => Some(self.log_type().as_str()),
            Fixed::Stage => Some(self.stage()),
            Fixed::Status => Some(fields.status.as_str()),
            Fixed::Outcome => fields.outcome.map(|outcome| outcome.as_str()),
            Fixed::Message => return Some(FieldValue::Text(self.message()?)),
            Fixed::AuditId => return Some(FieldValue::Text(fields.audit_id.to_string().into())),
            Fixed::Instance => Some(self.instance()),
            Fixed::Seq => return Some(FieldValue::number(self.seq?)),
            Fixed::StartedAt => return Some(time(fields.started_at?)),
            Fixed::DurationMs => {
                let duration = fields.duration?;
                return json_by(|out| {
                    push_milliseconds(out, duration);
                    true
                });
            }
            Fixed::RequestId => self.request_id(),
            Fixed::TraceId => self.trace_id(),
            Fixed::SpanId => self.span_id(),
            Fixed::Service => self.service(),
            Fixed::Plugin => labels.and_then(|labels| labels.plugin()),
            Fixed::Component => labels.and_then(|labels| labels.component()),
            Fixed::Host => self.host(),
            Fixed::ActorId => self.actor_id(),
            Fixed::Ip => return self.ip().map(ip),
            Fixed::Port => return self.port().map(FieldValue::number),
            Fixed::Hostname => self.hostname(),
            Fixed::Client => return Some(FieldValue::Text(self.user_agent()?)),
            Fixed::ActorKind => self.actor_kind(),
            Fixed::ActorName => self.actor_name(),
            Fixed::ActorUrl => text.some(actor?.url),
            Fixed::ActorSlug => text.some(actor?.slug),
            Fixed::Verified => return actor?.is_unverified.then_some(FieldValue::Json("false".into())),
            Fixed::Claimed => text.some(actor?.claimed),
            Fixed::CredentialKind => self.credential_kind(),
            Fixed::CredentialId => text.some(credential()?.id),
            Fixed::CredentialName => text.some(credential()?.name),
            Fixed::CredentialOwner => text.some(credential()?.owner),
            Fixed::OnBehalfOf => return json_by(|out| wire::push_on_behalf_of(self, out)),
            Fixed::City => text.some(location()?.city),
            Fixed::Country => text.some(location()?.country),
            Fixed::Continent => text.some(location()?.continent),
            Fixed::PeerIp => return self.peer_ip().map(ip),
            Fixed::ObjectKind => Some(text.get(context?.object?.kind)),
            Fixed::ObjectId => self.thing(context?.object, |thing| thing.id),
            Fixed::ObjectName => self.thing(context?.object, |thing| thing.name),
            Fixed::ObjectVersion => self.thing(context?.object, |thing| thing.version),
            Fixed::ObjectSlug => self.thing(context?.object, |thing| thing.slug),
            Fixed::ObjectFormat => self.thing(context?.object, |thing| thing.format),
            Fixed::TargetKind => Some(text.get(context?.target?.kind)),
            Fixed::TargetId => self.thing(context?.target, |thing| thing.id),
            Fixed::TargetName => self.thing(context?.target, |thing| thing.name),
            Fixed::TargetVersion => self.thing(context?.target, |thing| thing.version),
            Fixed::TargetSlug => self.thing(context?.target, |thing| thing.slug),
            Fixed::TargetFormat => self.thing(context?.target, |thing| thing.format),
            Fixed::ScopeKind => Some(text.get(context?.scope?.kind)),
            Fixed::ScopePath => Some(text.get(context?.scope?.path)),
            Fixed::Project => text.some(context?.project),
            Fixed::Repository => self.repository(),
            Fixed::Namespace => self.namespace(),
            Fixed::Context => text.some(context?.said),
            Fixed::Meta => return json_by(|out| wire::push_meta(self, out)),
            Fixed::Errors => return json_by(|out| wire::push_errors(self, out)),
            Fixed::ResponseStatus => return Some(FieldValue::number(self.response_status()?.as_u16())),
            Fixed::ResponseBytes => return self.response_bytes().map(FieldValue::number),
            Fixed::ResponseBodyOmitted => {
                let Response { body, .. } = fields.response.as_ref()?;
                return json_by(|out| wire::push_body_omitted(self, body, &cuts.response_body, out));
            }
            Fixed::ResponseBody => {
                let body = wire::body(self, &fields.response.as_ref()?.body, &cuts.response_body)?;
                return Some(FieldValue::Json(body));
            }
            Fixed::Method => self.method(),
            Fixed::Url => return Some(FieldValue::Text(self.url()?)),
            Fixed::Route => self.route(),
            Fixed::Protocol => self.protocol(),
            Fixed::Referer => return Some(FieldValue::Text(self.referer()?)),
            Fixed::Params => return Some(FieldValue::Json(self.params()?)),
            Fixed::Query => return Some(FieldValue::Json(self.query()?)),
            Fixed::Headers => return Some(FieldValue::Json(self.headers()?)),
            Fixed::RequestBodyOmitted => {
                let Request { body, .. } = request?;
                return json_by(|out| wire::push_body_omitted(self, body, &cuts.request_body, out));
            }
            Fixed::RequestBody => {
                return Some(FieldValue::Json(wire::body(self, &request?.body, &cuts.request_body)?));
            }
        };
        Some(FieldValue::Text(texts?.into()))
    }

    fn thing<const C: bool, const J: bool>(
        &self,
        thing: Option<Thing>,
        piece: impl FnOnce(&Thing) -> Option<crate::redact::Piece<C, J>>,
    ) -> Option<&'r str> {
        self.text.some(piece(&thing?))
    }
}

/// JSON that is written by a function, which returns false if there is none.
fn json_by<'r>(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<FieldValue<'r>> {
    let mut out = Vec::new();
    // All that is written is made of texts.
    write(&mut out).then(|| FieldValue::Json(String::from_utf8(out).unwrap_or_default().into()))
}

fn time<'r>(at: Micros) -> FieldValue<'r> {
    let mut text = String::with_capacity(27);
    push_time(&mut text, at);
    FieldValue::Text(text.into())
}

fn ip<'r>(ip: IpAddr) -> FieldValue<'r> {
    FieldValue::Text(ip.to_string().into())
}

/// The JSON text at a path of keys and indexes. A key that has dots is found where it is the rest of the path.
fn find<'j>(mut json: &'j str, mut path: &str) -> Option<&'j str> {
    loop {
        if let Some(found) = child(json, path) {
            return Some(found);
        }
        let (first, rest) = path.split_once('.')?;
        json = child(json, first)?;
        path = rest;
    }
}

fn child<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    match json.as_bytes().first()? {
        b'{' => member(json, name),
        b'[' => elements(json).nth(name.parse().ok()?),
        _ => None,
    }
}
