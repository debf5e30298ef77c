//! Which request is which event, and what the records of that event hold.

mod compile;
mod event;
mod explain;
mod matching;
mod message;
mod policy;
mod route;
mod slip;
mod source;

use std::borrow::Cow;

use http::Method;

use crate::error::Error;
use crate::record::Reads;

pub(crate) use compile::is_read;
pub use event::{Bodies, Event};
pub(crate) use event::{Strangers, StreamEnd, Texts};
pub(crate) use matching::{Compiled, Found, MatchedRoute};
pub(crate) use message::Placeholder;
pub(crate) use policy::{EventPolicy, compile_event, internal_event};
pub(crate) use route::{Params, Template};
pub use source::Source;
pub(crate) use source::{MetaSource, TextPart};

/// Which requests are which events, and which are left out.
///
/// A catalog is plain data: it can be built anywhere, nested in another below a prefix, and is checked as a whole
/// when the auditor is built. Two events on one route, or routes that the router could not distinguish, are errors then
/// that name both. What a request costs does not grow with the number of routes.
///
/// ```
/// use http::Method;
/// use tower_audit::{Catalog, Event, TrailingSlash};
///
/// let tasks = Catalog::new()
///     .plugin("tasks")
///     .event(Event::new("TaskCreation").on(Method::POST, "/"))
///     .event(Event::new("TaskFetch").on(Method::GET, "/{taskId}"));
///
/// let catalog = Catalog::new()
///     .service("backstage")
///     .nest("/api/tasks", tasks)
///     .skip(Method::GET, "/healthz")
///     .skip_all("/internal/{*rest}")
///     .trailing_slash(TrailingSlash::Ignore);
/// assert!(catalog.check().is_ok());
/// ```
///
/// # Example: an event that a preset does not have
///
/// ```
/// use http::Method;
/// use tower_audit::{Catalog, Event, Source, presets};
///
/// let roles = Catalog::new().plugin("permission").event(
///     Event::new("RoleUpdate")
///         .kind("rbac")
///         .on(Method::PUT, "/roles/{kind}/{namespace}/{name}")
///         .meta("roleRef", Source::template("{kind}:{namespace}/{name}"))
///         .message("Update of {meta.roleRef} by {actor} {result}"),
/// );
/// let catalog = presets::developer_hub::catalog().nest("/api/permission", roles);
/// assert!(catalog.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a catalog does nothing until an auditor is built with it"]
pub struct Catalog {
    events: Vec<Event>,
    nested: Vec<(Cow<'static, str>, Catalog)>,
    skips: Vec<(Option<Method>, Cow<'static, str>)>,
    unmatched: Option<Unmatched>,
    trailing_slash: Option<TrailingSlash>,
    group: event::Group,
}

/// What happens to a request that matches no event.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// It is recorded as `HttpRequest`. The default, so that a route without an event is noticed.
    #[default]
    Record,
    /// It is recorded under this name, which follows the rule of [`Event::new`].
    Named(Cow<'static, str>),
    /// It is not recorded.
    Ignore,
}

/// Whether `/tasks/` is the route `/tasks`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrailingSlash {
    /// They are different paths. The default, as in axum.
    #[default]
    Strict,
    /// One slash at the end of a route or path is ignored. For a router, or a layer around it, that removes the slash.
    Ignore,
}

impl Catalog {
    /// A catalog without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event. By default, a catalog has none, and every request is recorded as `HttpRequest`.
    ///
    /// Two different events with one name are an error at build. The same event may be added twice, so that a catalog can be
    /// nested below two prefixes: it then has the routes of both.
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Adds the events and skipped routes of another catalog below a prefix, which may have parameters. Prefix and
    /// route are joined as axum's `nest` does it: a route `/` is the prefix itself.
    ///
    /// [`unmatched`](Self::unmatched) and [`trailing_slash`](Self::trailing_slash) hold for all requests, so a nested
    /// catalog that sets them is an error.
    pub fn nest(mut self, prefix: impl Into<Cow<'static, str>>, catalog: Catalog) -> Self {
        self.nested.push((prefix.into(), catalog));
        self
    }

    /// Leaves a route out of the audit log. `GET` also leaves out `HEAD`, unless an event has that route with `HEAD`.
    ///
    /// A more specific route still counts: an event on `/internal/keys` is recorded beside a skipped
    /// `/internal/{*rest}`.
    pub fn skip(mut self, method: Method, route: impl Into<Cow<'static, str>>) -> Self {
        self.skips.push((Some(method), route.into()));
        self
    }

    /// Leaves a route out of the audit log, for all methods.
    pub fn skip_all(mut self, route: impl Into<Cow<'static, str>>) -> Self {
        self.skips.push((None, route.into()));
        self
    }

    /// How requests that match no event are recorded. Default: [`Unmatched::Record`].
    ///
    /// Their records are [`Lossy`](crate::Delivery::Lossy), so that a health probe never waits for the log.
    pub fn unmatched(mut self, unmatched: Unmatched) -> Self {
        self.unmatched = Some(unmatched);
        self
    }

    /// Whether a slash at the end makes a different path. Default: [`TrailingSlash::Strict`].
    pub fn trailing_slash(mut self, trailing_slash: TrailingSlash) -> Self {
        self.trailing_slash = Some(trailing_slash);
        self
    }

    /// How much is recorded of reads: of requests by `GET` and `HEAD` that are among its events, of events that
    /// [are reads](Event::read), and of those in catalogs nested in it that do not say otherwise. The outermost catalog decides for
    /// requests that match no event, too. Default: [`Reads::Record`].
    ///
    /// An event that sets its own [`delivery`](Event::delivery) or [`level`](Event::level) keeps it. `TOWER_AUDIT_READS` can record
    /// more than is set here, and not less. See [`guide::reads`](crate::guide::reads).
    ///
    /// ```
    /// use http::Method;
    /// use tower_audit::{Catalog, Event, Reads};
    ///
    /// let catalog = Catalog::new()
    ///     .reads(Reads::Debug)
    ///     .event(Event::new("TaskFetch").on(Method::GET, "/tasks/{taskId}")) // at `debug`
    ///     .event(Event::new("TaskSearch").on(Method::POST, "/tasks/search").read()) // too
    ///     .event(Event::new("SecretFetch").on(Method::GET, "/secrets/{name}").change()); // as it is
    /// assert!(catalog.check().is_ok());
    /// ```
    pub fn reads(mut self, reads: Reads) -> Self {
        self.group.reads = Some(reads);
        self
    }

    /// The plugin of its events, and of those nested in it, that do not say otherwise.
    pub fn plugin(mut self, plugin: impl Into<Cow<'static, str>>) -> Self {
        self.group.plugin = Some(plugin.into());
        self
    }

    /// The service of its events, and of those nested in it, that do not say otherwise.
    pub fn service(mut self, service: impl Into<Cow<'static, str>>) -> Self {
        self.group.service = Some(service.into());
        self
    }

    /// The component of its events, and of those nested in it, that do not say otherwise.
    pub fn component(mut self, component: impl Into<Cow<'static, str>>) -> Self {
        self.group.component = Some(component.into());
        self
    }

    /// Checks everything, as building an auditor with it does: for a test beside the catalog.
    ///
    /// # Errors
    ///
    /// What is wrong with events and routes, all of it, by name:
    ///
    /// ```
    /// use http::Method;
    /// use tower_audit::{Catalog, Event};
    ///
    /// let catalog = Catalog::new()
    ///     .event(Event::new("TaskFetch").on(Method::GET, "/tasks/{taskId}"))
    ///     .event(Event::new("JobFetch").on(Method::GET, "/tasks/:id"));
    ///
    /// let error = catalog.check().unwrap_err();
    /// assert!(error.kind() == tower_audit::ErrorKind::Catalog);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "event `TaskFetch` at `GET /tasks/{taskId}` and event `JobFetch` at `GET /tasks/{id}` have the same route"
    /// );
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        self.clone().compile().map(drop)
    }

    pub(crate) fn said_of_reads(&self) -> Option<Reads> {
        self.group.reads
    }

    /// Checks everything, and lays it out for matching.
    pub(crate) fn compile(self) -> Result<Compiled, Error> {
        compile::compile(self)
    }
}
