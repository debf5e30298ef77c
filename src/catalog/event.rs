//! An event: what a request means, and what its records hold.

use std::borrow::Cow;

use http::Method;

use super::source::Source;
use crate::error::Error;
use crate::record::{Delivery, Level, LogType, Reads, Stages};
use crate::redact::EventRules;

/// What a request means, and what its records hold: an entry of a [`Catalog`](crate::Catalog).
///
/// Nothing here can fail; whatever is wrong is reported, all at once, when the auditor is built.
///
/// ```
/// use http::Method;
/// use tower_audit::{Bodies, Catalog, Event, Source, Stages};
///
/// let creation = Event::new("TaskCreation")
///     .on(Method::POST, "/tasks")
///     .stages(Stages::Both)
///     .bodies(Bodies::Both)
///     .meta("taskId", Source::response_body("/id"))
///     .message("Creation of a task by {actor} {result}");
/// let fetch = Event::new("TaskFetch")
///     .on(Method::GET, "/tasks/{taskId}")
///     .meta("taskId", Source::param("taskId"));
///
/// let catalog = Catalog::new().event(creation).event(fetch);
/// assert!(catalog.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an event does nothing until a catalog or a route has it"]
pub struct Event {
    pub(super) name: Cow<'static, str>,
    pub(super) routes: Vec<(Method, Cow<'static, str>)>,
    pub(super) kind: Option<Cow<'static, str>>,
    pub(super) log_type: LogType,
    pub(super) stages: Option<Stages>,
    pub(super) bodies: Bodies,
    pub(super) level: Option<Level>,
    pub(super) delivery: Option<Delivery>,
    pub(super) stream_end: StreamEnd,
    pub(super) strangers: Strangers,
    pub(super) meta: Vec<(Cow<'static, str>, Source)>,
    pub(super) message: Option<Cow<'static, str>>,
    pub(super) value_masks: Vec<Cow<'static, str>>,
    pub(super) secret_pointers: Vec<Cow<'static, str>>,
    pub(super) not_secret: Vec<Cow<'static, str>>,
    pub(super) shown: Vec<Cow<'static, str>>,
    pub(super) texts: Texts,
    pub(super) access: Option<Access>,
    pub(super) group: Group,
}

/// Which bodies a record shows.
///
/// The default is [`Request`](Self::Request): it shows what was requested, while responses are often large and contain data
/// of other people. A body that is not shown is not read by the layer, unless a [`Source`] points into it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Bodies {
    /// No body.
    None,
    /// The body of the request.
    #[default]
    Request,
    /// The body of the response.
    Response,
    /// Both bodies.
    Both,
}

/// What the client's going away in mid-body means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// It was broken off.
    #[default]
    Server,
    /// That is how such a stream ends.
    Client,
}

/// Whether a refused request of nobody known shows its bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strangers {
    #[default]
    Hidden,
    Shown,
}

/// What an event says of itself, where its methods do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Change,
}

/// Whether bodies of text are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Texts {
    #[default]
    LeftOut,
    Shown,
}

/// Where an event happens: set on the event, or for a whole group of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) plugin: Option<Cow<'static, str>>,
    pub(super) service: Option<Cow<'static, str>>,
    pub(super) component: Option<Cow<'static, str>>,
    pub(super) reads: Option<Reads>,
}

impl Group {
    /// Fills what is not said here with what is said outside.
    pub(super) fn or(self, outer: &Self) -> Self {
        Self {
            plugin: self.plugin.or_else(|| outer.plugin.clone()),
            service: self.service.or_else(|| outer.service.clone()),
            component: self.component.or_else(|| outer.component.clone()),
            reads: self.reads.or(outer.reads),
        }
    }
}

impl Event {
    /// What it adds to redaction.
    pub(crate) fn rules(&self) -> Result<EventRules, Error> {
        let owned =
            |names: &[Cow<'static, str>]| names.iter().map(|name| name.clone().into_owned()).collect::<Vec<_>>();
        EventRules::new(
            &owned(&self.value_masks),
            &owned(&self.secret_pointers),
            &owned(&self.not_secret),
            &owned(&self.shown),
        )
    }

    pub(crate) fn shows_text(&self) -> bool {
        self.texts == Texts::Shown
    }

    /// An event with the name that records carry as `eventName`: 1 to 128 of `A-Z a-z 0-9 _ . -`.
    ///
    /// Names that begin with `Audit` are reserved for internal records, and are an error.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            routes: Vec::new(),
            kind: None,
            log_type: LogType::default(),
            stages: None,
            bodies: Bodies::default(),
            level: None,
            delivery: None,
            stream_end: StreamEnd::default(),
            strangers: Strangers::default(),
            meta: Vec::new(),
            message: None,
            value_masks: Vec::new(),
            secret_pointers: Vec::new(),
            not_secret: Vec::new(),
            shown: Vec::new(),
            texts: Texts::default(),
            access: None,
            group: Group::default(),
        }
    }

    /// A route that is this event; there may be several, or none for background work.
    ///
    /// Parameters are `{name}` or `:name`, at most one in a segment, and at its end; `{*rest}` or `*rest` as the last
    /// segment matches the rest of the path. Literal braces are doubled. Paths are compared as they are sent, undecoded,
    /// which is how axum's router compares them. `HEAD` takes the event of `GET` unless it has its own.
    pub fn on(mut self, method: Method, route: impl Into<Cow<'static, str>>) -> Self {
        self.routes.push((method, route.into()));
        self
    }

    /// The group of the event, `eventKind` in records: `scaffolder`, `artifact`, … Default: none.
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// The log to which its records belong, `logType` in records. Default: [`LogType::Audit`]. Mark requests for content
    /// with [`LogType::Client`], so that outputs can keep downloads apart from changes:
    /// [`Output::log_type`](crate::sink::Output::log_type).
    pub fn log_type(mut self, log_type: LogType) -> Self {
        self.log_type = log_type;
        self
    }

    /// Which records it writes. Default: the auditor's setting, which is the completion alone, because that one says
    /// everything and costs half.
    ///
    /// [`Stages::Initiation`] is for background work; on an event with a route it is an error, since each admitted
    /// request has its completion.
    pub fn stages(mut self, stages: Stages) -> Self {
        self.stages = Some(stages);
        self
    }

    /// Which bodies the records show. Default: [`Bodies::Request`], for the reason given there.
    pub fn bodies(mut self, bodies: Bodies) -> Self {
        self.bodies = bodies;
        self
    }

    /// The level of its records that succeeded. Default: `info`.
    ///
    /// Records of failures stay `warn` or `error`, so that they are not missed.
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// How its records are delivered. Default: the auditor's setting, which is [`Delivery::Backpressure`]: a request of
    /// a named event is never handled without a record. A setting from outside never weakens this class.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// Marks the event as a read, such as a search by `POST`, or background work that only reads.
    /// [`Catalog::reads`](crate::Catalog::reads) and the setting `TOWER_AUDIT_READS` decide how reads are recorded.
    ///
    /// Default: an event is a read if all its routes are of `GET` and `HEAD`.
    pub fn read(mut self) -> Self {
        self.access = Some(Access::Read);
        self
    }

    /// Marks the event as a change, although all its routes are of `GET` and `HEAD`: a download that is counted, a link that
    /// confirms something, or data of which every access has to be recorded.
    pub fn change(mut self) -> Self {
        self.access = Some(Access::Change);
        self
    }

    /// The response is a stream that the client ends, such as server-sent events: if the client disconnects during the body,
    /// the outcome is `completed`. Default: `aborted`, because a client that disconnects did not get the whole response.
    /// Together with the class [`Durable`](crate::Delivery::Durable) or [`FailClosed`](crate::Delivery::FailClosed) on the
    /// same event, this is an error at build: such a stream has no last frame that could wait for the record.
    pub fn client_ends_stream(mut self) -> Self {
        self.stream_end = StreamEnd::Client;
        self
    }

    /// Also shows the bodies of requests without an actor that end in 401, 403, 404, 405 or 429.
    ///
    /// By default they are left out, so that unauthenticated clients cannot fill the log. Use it for events whose
    /// clients are not known, such as a webhook that refuses requests.
    pub fn unauthenticated_bodies(mut self) -> Self {
        self.strangers = Strangers::Shown;
        self
    }

    /// A value of `meta`. If several sources are given for a key, the first that has a value is used: a task's id can come
    /// from the path, or else from the response.
    pub fn meta(mut self, key: impl Into<Cow<'static, str>>, source: Source) -> Self {
        self.meta.push((key.into(), source));
        self
    }

    /// The sentence of the record, with placeholders. Default: `{event} by {actor} {result}`.
    ///
    /// | placeholder | value |
    /// |---|---|
    /// | `{actor}` | the actor's id, or `somebody` |
    /// | `{actor.name}` | the actor's name, or else its id, or `somebody` |
    /// | `{credential}` | which key acted: `deploy token acme/tools ci-publish`, or `no credential` |
    /// | `{object}`, `{target}` | kind, name (or slug, or id) and version: `package left-pad 1.3.0` |
    /// | `{scope}` | kind and path: `group acme/tools` |
    /// | `{context}` | how it was done |
    /// | `{event}` | the event's name |
    /// | `{method}`, `{path}`, `{route}` | the request's method and path as sent, redacted; the route's template |
    /// | `{params.NAME}` | a parameter of the path |
    /// | `{meta.KEY}` | a value of `meta` |
    /// | `{stage}` | `initiation` or `completion` |
    /// | `{status}`, `{outcome}` | of the record |
    /// | `{result}` | `initiated` in an initiation, else `succeeded` or `failed`: one sentence for both stages |
    /// | `{response.status}` | the status code |
    ///
    /// `{{` and `}}` are braces. A value that the record does not have is written as `unknown`. Another placeholder, or a
    /// parameter that no route of the event has, is an error. Values are filled in after redaction.
    pub fn message(mut self, template: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(template.into());
        self
    }

    /// The name of objects, at any depth of bodies and `meta`, in which all values are masked and all keys are shown, such
    /// as `secrets`. Can be called several times. Default: none.
    pub fn mask_values_under(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.value_masks.push(name.into());
        self
    }

    /// Masks the value at this JSON Pointer (RFC 6901; `*` for any member or element): in bodies of this event, and in its
    /// query and parameters, where `/name` is each field of that name, `/name/0` and `/name/*` one or all of several. Of an
    /// object or a list each leaf is masked.
    pub fn secret_pointer(mut self, pointer: impl Into<Cow<'static, str>>) -> Self {
        self.secret_pointers.push(pointer.into());
        self
    }

    /// Shows these places of the request's and the response's body and nothing else: JSON Pointers (RFC 6901), with `*` for
    /// any member or element. Reach for it first if the bodies are sensitive: what a client adds to them later never shows.
    /// Default: bodies show as a whole, but for what the rules mask.
    ///
    /// A pointer shows the value with everything in it; the rules still mask what they find there. In forms and multipart
    /// `/name` is the field of that name, `/name/0` the first of several. [`meta`](Self::meta) from a body is read from what
    /// shows. Text bodies are left out. At most 64 pointers; a wrong one is reported when the auditor is built.
    ///
    /// # Example: names and ids only
    ///
    /// ```
    /// use tower_audit::{Event, Redactor};
    ///
    /// let event = Event::new("UserCreation").show(["/name", "/roles/*/id"]);
    /// let body = br#"{"name":"jane","note":"my code is 4711","roles":[{"id":7,"why":"because"}]}"#;
    /// let shown = Redactor::default().explain_for(&event, "application/json", body)?.redacted;
    /// assert_eq!(shown.as_deref(), Some(r#"{"name":"jane","roles":[{"id":7}]}"#));
    /// # Ok::<(), tower_audit::Error>(())
    /// ```
    pub fn show<P: Into<Cow<'static, str>>>(mut self, pointers: impl IntoIterator<Item = P>) -> Self {
        self.shown.extend(pointers.into_iter().map(Into::into));
        self
    }

    /// Shows the value under exactly this key, or at this JSON Pointer of a body if it begins with `/`, though the rules call
    /// it secret. A pointer shows nothing of the query, of the path's parameters, of `meta`, or of JSON that a string holds.
    /// Values that have the form of a secret stay masked.
    pub fn not_secret(mut self, key: impl Into<Cow<'static, str>>) -> Self {
        self.not_secret.push(key.into());
        self
    }

    /// Shows text bodies, with what the rules of free text find in them masked; XML is left out. By default all are left out,
    /// because text has no keys that say what is secret.
    pub fn text_bodies(mut self) -> Self {
        self.texts = Texts::Shown;
        self
    }

    /// The plugin to which it belongs. Default: that of its catalog.
    pub fn plugin(mut self, plugin: impl Into<Cow<'static, str>>) -> Self {
        self.group.plugin = Some(plugin.into());
        self
    }

    /// The service to which it belongs. Default: that of its catalog, else of the auditor.
    pub fn service(mut self, service: impl Into<Cow<'static, str>>) -> Self {
        self.group.service = Some(service.into());
        self
    }

    /// The component to which it belongs. Default: that of its catalog, else of the auditor.
    pub fn component(mut self, component: impl Into<Cow<'static, str>>) -> Self {
        self.group.component = Some(component.into());
        self
    }
}

impl Bodies {
    pub(crate) fn show_request(self) -> bool {
        matches!(self, Self::Request | Self::Both)
    }

    pub(crate) fn show_response(self) -> bool {
        matches!(self, Self::Response | Self::Both)
    }
}
