//! A record as formats, filters and tests see it: one that a request just made, or one that was read back from a line.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use uuid::Uuid;

use super::cuts::{Cuts, UNCUT, without_middle};
use super::finished::{ErrorEntry, Fields, Identity, MASKED_NAME, Place, Request, Route, StageName, Thing};
use super::wire::{BodyAs, Process};
use super::{Entity, Failure, FieldGroup, FieldGroups, Level, LogType, Outcome, Scope, Status};
use crate::clock::Micros;
use crate::json::{members_as_arrays, without_members};
use crate::redact::Redacted;
use crate::text::head;

/// One redacted record, borrowed: filters decide by it, and [formats](crate::format) write it.
///
/// It is the record of a request that just ended, or one that a [`RecordLine`](crate::RecordLine) read back. Each value has a
/// getter here or a [`Field`](crate::Field) for [`Record::get`](Self::get).
#[derive(Clone, Copy)]
pub struct Record<'r> {
    pub(crate) text: &'r Redacted,
    pub(crate) fields: &'r Fields,
    pub(crate) process: &'r Process,
    /// Absent until the record has its place in a sink.
    pub(crate) seq: Option<u64>,
    pub(crate) cuts: &'r Cuts,
    pub(crate) omitted: FieldGroups,
    /// The line that it was read from, unless less than all of it is to be shown.
    pub(crate) line: Option<&'r str>,
}

impl<'r> Record<'r> {
    pub(super) fn new(text: &'r Redacted, fields: &'r Fields, process: &'r Process) -> Self {
        Self { text, fields, process, seq: None, cuts: &UNCUT, omitted: FieldGroups::default(), line: None }
    }

    /// With its number in a sink.
    pub(crate) fn numbered(self, seq: u64) -> Self {
        Self { seq: Some(seq), ..self }
    }

    /// With less of its long values.
    pub(crate) fn cut(self, cuts: &'r Cuts) -> Self {
        Self { cuts, line: None, ..self }
    }

    /// Without these groups of fields.
    pub(crate) fn without(self, groups: FieldGroups) -> Self {
        if groups.is_empty() { self } else { Self { omitted: groups, line: None, ..self } }
    }

    /// Whether no value is left out or shortened for this output or line. A URL may be longer than what is shown of it, and
    /// bodies, params and the query may be shown as strings.
    pub(crate) fn is_whole(&self) -> bool {
        self.omitted.is_empty() && std::ptr::eq(self.cuts, &UNCUT)
    }

    pub(super) fn shows(&self, group: FieldGroup) -> bool {
        !self.omitted.has(group)
    }

    /// When the stage happened, to the microsecond.
    pub fn timestamp(&self) -> SystemTime {
        system_time(self.fields.timestamp)
    }

    /// The severity.
    pub fn level(&self) -> Level {
        self.fields.level
    }

    /// The event's name, such as `ScaffolderTaskCreation`.
    pub fn event_name(&self) -> &'r str {
        match &self.fields.labels {
            Some(labels) if !self.fields.is_name_masked => labels.name(),
            _ => MASKED_NAME,
        }
    }

    /// The event's group, such as `scaffolder`.
    pub fn event_kind(&self) -> Option<&'r str> {
        let labels = self.fields.labels.as_ref().filter(|_| !self.fields.is_name_masked);
        labels?.kind()
    }

    /// The log to which the record belongs.
    pub fn log_type(&self) -> LogType {
        self.fields.labels.as_ref().map(|labels| labels.log_type()).unwrap_or_default()
    }

    /// Whether this is an internal record, whose name begins with `Audit`.
    pub fn is_internal(&self) -> bool {
        self.event_name().starts_with("Audit")
    }

    /// `initiation`, `completion`, or the application's own name.
    pub fn stage(&self) -> &'r str {
        match self.fields.stage {
            StageName::Initiation => "initiation",
            StageName::Completion => "completion",
            StageName::Named(stage) => self.text.get(stage),
        }
    }

    /// Whether it succeeded.
    pub fn status(&self) -> Status {
        self.fields.status
    }

    /// How the request or activity ended; completions only.
    pub fn outcome(&self) -> Option<Outcome> {
        self.fields.outcome
    }

    /// One sentence for a person. `None` if it contains a value that the output leaves out.
    pub fn message(&self) -> Option<Cow<'r, str>> {
        let message = self.text.some(self.fields.message)?;
        if self.omitted.is_empty() && self.cuts.message.is_none() {
            return Some(message.into());
        }
        Some(match self.shown_message(message)? {
            Cow::Borrowed(message) => without_middle(message, self.cuts.message),
            Cow::Owned(message) => without_middle(&message, self.cuts.message).into_owned().into(),
        })
    }

    /// The id that all records of a request or activity share.
    pub fn audit_id(&self) -> Uuid {
        self.fields.audit_id
    }

    /// The id of the process's run.
    pub fn instance(&self) -> &'r str {
        self.process.instance()
    }

    /// The record's consecutive number in its sink. `None` in a filter, because a record that the filter refuses gets no
    /// number.
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// When the request or activity began; completions only.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.fields.started_at.map(system_time)
    }

    /// How long the request or activity took; completions only.
    pub fn duration(&self) -> Option<Duration> {
        self.fields.duration
    }

    /// The id from the request-id header.
    pub fn request_id(&self) -> Option<&'r str> {
        self.text.some(self.fields.request_id)
    }

    /// The trace to which the request belongs: 32 hexadecimal digits.
    pub fn trace_id(&self) -> Option<&'r str> {
        self.text.some(self.fields.trace_id)
    }

    /// The span in which the request was made: 16 hexadecimal digits.
    pub fn span_id(&self) -> Option<&'r str> {
        self.text.some(self.fields.span_id)
    }

    /// The service.
    pub fn service(&self) -> Option<&'r str> {
        let labels = self.fields.labels.as_ref();
        labels.and_then(|labels| labels.service()).or_else(|| self.process.service())
    }

    /// The server's host name.
    pub fn host(&self) -> Option<&'r str> {
        self.process.host()
    }

    pub(crate) fn actor(&self) -> Option<&'r Identity> {
        self.fields.actors.first()
    }

    /// Whether the actor's credential was checked.
    pub(crate) fn is_verified(&self) -> bool {
        self.actor().is_some_and(|actor| !actor.is_unverified)
    }

    /// Whether the actor, or somebody on whose behalf it acts, is only claimed.
    pub(crate) fn has_claims(&self) -> bool {
        self.fields.actors.iter().any(|actor| actor.is_unverified)
    }

    /// Who acted. It may be only claimed: see the field `actor.verified`.
    pub fn actor_id(&self) -> Option<&'r str> {
        self.text.some(self.actor()?.id)
    }

    /// The actor's display name.
    pub fn actor_name(&self) -> Option<&'r str> {
        self.text.some(self.actor()?.name)
    }

    /// The kind of actor, such as `user` or `service`.
    pub fn actor_kind(&self) -> Option<&'r str> {
        self.text.some(self.actor()?.kind)
    }

    /// The kind of credential that the actor used, such as `deploy_token`.
    pub fn credential_kind(&self) -> Option<&'r str> {
        Some(self.text.get(self.actor()?.credential?.kind))
    }

    /// The address of the actor.
    pub fn ip(&self) -> Option<IpAddr> {
        self.fields.address.ip.filter(|_| self.shows(FieldGroup::Addresses))
    }

    /// The address of the peer, if it is not the actor's.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.fields.address.peer_ip.filter(|_| self.shows(FieldGroup::Addresses))
    }

    /// The actor's port.
    pub fn port(&self) -> Option<u16> {
        self.fields.address.port.filter(|_| self.shows(FieldGroup::Addresses))
    }

    /// The host that the actor addressed.
    pub fn hostname(&self) -> Option<&'r str> {
        self.text.some(self.fields.address.hostname)
    }

    /// The user agent.
    pub fn user_agent(&self) -> Option<Cow<'r, str>> {
        let client = self.fields.address.client.filter(|_| self.shows(FieldGroup::UserAgent))?;
        Some(without_middle(self.text.get(client), self.cuts.client))
    }

    /// The object on which the actor acted, such as a package; `None` if the application has set none.
    pub fn object(&self) -> Option<Entity> {
        self.entity(self.fields.context.as_ref()?.object.as_ref()?)
    }

    /// The parent or container of the object.
    pub fn target(&self) -> Option<Entity> {
        self.entity(self.fields.context.as_ref()?.target.as_ref()?)
    }

    fn entity(&self, thing: &Thing) -> Option<Entity> {
        let owned = |piece| self.text.some(piece).map(str::to_owned);
        Some(Entity {
            kind: self.text.get(thing.kind).to_owned().into(),
            id: owned(thing.id),
            name: owned(thing.name),
            version: owned(thing.version),
            slug: owned(thing.slug),
            format: owned(thing.format),
        })
    }

    /// The owning group, project or tenant.
    pub fn scope(&self) -> Option<Scope> {
        let scope = self.fields.context.as_ref()?.scope?;
        Some(Scope::new(self.text.get(scope.kind).to_owned(), self.text.get(scope.path)))
    }

    pub(crate) fn scope_path(&self) -> Option<&'r str> {
        Some(self.text.get(self.fields.context.as_ref()?.scope?.path))
    }

    /// The members of `meta`: each key and its value as JSON text.
    pub fn meta(&self) -> impl Iterator<Item = (&'r str, Cow<'r, str>)> {
        let record = *self;
        let Self { text, fields, cuts, omitted, .. } = record;
        let shown = fields.meta.iter().enumerate().filter(|(at, _)| !cuts.meta.contains(at));
        let members = shown.map(move |(_, (key, value))| (text.get(*key), text.get(*value)));
        let is_shown = move |key: &str| {
            omitted.is_empty() || !omitted.has_name(key) && (record.shows(FieldGroup::Location) || key != "edge")
        };
        members.filter(move |(key, _)| is_shown(key)).map(move |(key, value)| (key, record.without_names(value)))
    }

    pub(crate) fn place(&self, actor: &Identity) -> Option<Place> {
        actor.location.filter(|_| self.shows(FieldGroup::Location))
    }

    pub(crate) fn repository(&self) -> Option<&'r str> {
        self.text.some(self.fields.context.as_ref()?.repository.filter(|_| self.shows(FieldGroup::Repository)))
    }

    pub(crate) fn namespace(&self) -> Option<&'r str> {
        self.text.some(self.fields.context.as_ref()?.namespace.filter(|_| self.shows(FieldGroup::Namespace)))
    }

    /// The errors of the record. Empty unless its status is `failed`.
    pub fn errors(&self) -> Vec<Failure> {
        let failure = |(at, error): (usize, &ErrorEntry)| Failure {
            name: self.text.get(error.name).to_owned(),
            message: without_middle(error.message.of(self.text), self.cuts.error_message.filter(|_| at == 0)).into(),
            stack: self.text.some(error.stack.filter(|_| !self.cuts.stacks)).map(str::to_owned),
        };
        self.error_entries().iter().enumerate().map(failure).collect()
    }

    pub(crate) fn error_entries(&self) -> &'r [ErrorEntry] {
        let errors = &self.fields.errors;
        if self.cuts.further_errors { &errors[..errors.len().min(1)] } else { errors }
    }

    /// The response's status.
    pub fn response_status(&self) -> Option<StatusCode> {
        self.fields.response.as_ref()?.status
    }

    /// The number of bytes of the response's body that were passed to the server.
    pub fn response_bytes(&self) -> Option<u64> {
        self.fields.response.as_ref()?.bytes
    }

    pub(crate) fn request(&self) -> Option<&'r Request> {
        self.fields.request.as_ref()
    }

    /// The request's method.
    pub fn method(&self) -> Option<&'r str> {
        Some(self.text.get(self.request()?.method))
    }

    /// The template of the route that matched.
    pub fn route(&self) -> Option<&'r str> {
        match self.request()?.route.as_ref()? {
            Route::Listed(route) => Some(route.text()),
            Route::Reported(route) => Some(self.text.get(*route)),
        }
    }

    /// Path and query as they were sent, redacted.
    pub fn url(&self) -> Option<Cow<'r, str>> {
        Some(self.short_url(self.shown_url()?))
    }

    fn shown_url(&self) -> Option<Cow<'r, str>> {
        let path = self.shown_path()?;
        let Some(query) = self.request()?.url_query else { return Some(path) };
        Some([&*path, "?", &*self.shown_query(self.text.get(query))].concat().into())
    }

    /// Whether more of the URL was captured than a line shows. A line that was read back names that itself.
    pub(crate) fn has_long_url(&self) -> bool {
        let may_be_long = |request: &Request| request.url_len() > Request::MAX_URL || self.omitted.has_names();
        self.line.is_none()
            && self.request().is_some_and(may_be_long)
            && self.shown_url().is_some_and(|url| url.len() > Request::MAX_URL)
    }

    /// The path of the URL, without the query.
    pub fn path(&self) -> Option<Cow<'r, str>> {
        Some(self.short_url(self.shown_path()?))
    }

    fn short_url(&self, url: Cow<'r, str>) -> Cow<'r, str> {
        match url {
            Cow::Borrowed(url) => without_middle(head(url, Request::MAX_URL), self.cuts.url),
            Cow::Owned(url) => without_middle(head(&url, Request::MAX_URL), self.cuts.url).into_owned().into(),
        }
    }

    /// The protocol, such as `HTTP/1.1`.
    pub fn protocol(&self) -> Option<&'static str> {
        super::wire::protocol(self.request()?.protocol)
    }

    /// The page from which the request came, according to its `Referer` header.
    pub fn referer(&self) -> Option<Cow<'r, str>> {
        let referer = self.text.some(self.request()?.referer.filter(|_| !self.cuts.referer))?;
        Some(if self.omitted.is_empty() { referer.into() } else { self.shown_referer(referer) })
    }

    pub(crate) fn params(&self) -> Option<Cow<'r, str>> {
        let params = self.text.some(self.request()?.params.filter(|_| !self.cuts.params))?;
        self.shown_members(params, Self::without_names)
    }

    pub(crate) fn query(&self) -> Option<Cow<'r, str>> {
        let query = self.text.some(self.request()?.query.filter(|_| !self.cuts.query))?;
        self.shown_members(query, Self::without_names_in_query)
    }

    fn shown_members(
        &self,
        members: &'r str,
        without_names: impl Fn(&Self, &'r str) -> Cow<'r, str>,
    ) -> Option<Cow<'r, str>> {
        let shown = if self.omitted.is_empty() { members.into() } else { without_names(self, members) };
        match self.process.body_as() {
            BodyAs::Json => Some(shown),
            BodyAs::String => members_as_arrays(&shown).map(Cow::Owned),
        }
    }

    pub(crate) fn headers(&self) -> Option<Cow<'r, str>> {
        let headers = self.text.some(self.request()?.headers.filter(|_| !self.cuts.headers))?;
        if self.omitted.is_empty() {
            return Some(headers.into());
        }
        without_members(headers, |name| self.omitted.has_header(name)).map(Cow::Owned)
    }
}

fn system_time(at: Micros) -> SystemTime {
    let since = Duration::from_micros(at.0.unsigned_abs());
    let moved = if at.0 < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    moved.unwrap_or(UNIX_EPOCH)
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("event_name", &self.event_name())
            .field("stage", &self.stage())
            .field("status", &self.status())
            .field("outcome", &self.outcome())
            .field("audit_id", &self.audit_id())
            .field("actor_id", &self.actor_id())
            .field("method", &self.method())
            .field("route", &self.route())
            .field("response_status", &self.response_status())
            .finish_non_exhaustive()
    }
}
