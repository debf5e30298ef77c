//! The handle through which auth layers, extractors and handlers add what only they know.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::capture::{Draft, EventRef, are_trace_ids, name};
use crate::engine::Engine;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::record::{Actor, Credential, Entity, Failure, Scope};

/// The handle of an open request. What you set here appears in its records.
///
/// The layer puts it into the request's extensions, so that everything inside can set who acts and what is done, at
/// any time before the response has ended. With the feature `axum` it is an extractor too.
/// Calls after the end are ignored and counted. On a route that is left out the handle is disabled.
///
/// Values that are set before the initiation record is written appear in it too; the record is written when the
/// request's body has been read and the actor is known, and at the latest when the response's head comes.
///
/// ```
/// use tower_audit::{Actor, Audit};
///
/// async fn handler(audit: Audit) -> &'static str {
///     audit.actor(Actor::user("user:default/jane")).meta("taskId", "4711");
///     "created"
/// }
/// # let _ = handler;
/// ```
#[derive(Clone)]
pub struct Audit {
    exchange: Option<Arc<Exchange>>,
}

impl Audit {
    pub(crate) fn of(exchange: Arc<Exchange>) -> Self {
        Self { exchange: Some(exchange) }
    }

    /// A handle that records nothing, for unit tests of handlers. Requests of skipped routes have such a handle too.
    pub fn disabled() -> Self {
        Self { exchange: None }
    }

    pub(crate) fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.exchange.as_ref()
    }

    /// Whether this handle records nothing.
    pub fn is_disabled(&self) -> bool {
        self.exchange.is_none()
    }

    /// The `auditId` of the request, while it is open.
    pub fn audit_id(&self) -> Option<Uuid> {
        self.exchange.as_ref()?.with(|draft| draft.audit_id)
    }

    /// Who acts. It replaces what a resolver found and what was set before.
    pub fn actor(&self, actor: Actor) -> &Self {
        self.bind(|draft| draft.late().set_actor(actor))
    }

    /// The credential that was used. For authentication that knows the credential before it knows the actor.
    pub fn credential(&self, credential: Credential) -> &Self {
        self.bind(|draft| draft.late().set_credential(credential))
    }

    /// What is acted on.
    pub fn object(&self, object: Entity) -> &Self {
        self.bind(|draft| draft.late().set_object(object))
    }

    /// The parent or container of the object.
    pub fn target(&self, target: Entity) -> &Self {
        self.bind(|draft| draft.late().set_target(target))
    }

    /// The owning group, project or tenant. It replaces the scope that a resolver found. If there are
    /// [rules](crate::scope::ScopeRules), those of this scope decide at the end of the request whether it is recorded.
    pub fn scope(&self, scope: Scope) -> &Self {
        self.bind(|draft| draft.late().set_scope(scope))
    }

    /// How the request was made: `web`, `api`, `pipeline`, `manual`, …
    pub fn context(&self, context: impl Into<String>) -> &Self {
        let context = name(context.into());
        self.bind(|draft| draft.late().context = Some(context))
    }

    /// The project in which the request acts.
    pub fn project(&self, project: impl Into<String>) -> &Self {
        let project = name(project.into());
        self.bind(|draft| draft.late().project = Some(project))
    }

    /// The repository in which the request acts.
    pub fn repository(&self, repository: impl Into<String>) -> &Self {
        let repository = name(repository.into());
        self.bind(|draft| draft.late().repository = Some(repository))
    }

    /// The namespace in which the request acts.
    pub fn namespace(&self, namespace: impl Into<String>) -> &Self {
        let namespace = name(namespace.into());
        self.bind(|draft| draft.late().namespace = Some(namespace))
    }

    /// Adds a value to `meta`. The last value that is set for a key is kept. At most 64 keys; a string of more than 8 KiB is
    /// cut, any other value of more than 8 KiB is replaced. The value is redacted like everything else.
    pub fn meta(&self, key: impl Into<Cow<'static, str>>, value: impl Into<serde_json::Value>) -> &Self {
        let (key, value) = (key.into(), value.into());
        self.bind(|draft| draft.late().add_meta(key, value))
    }

    /// Masks a value wherever the records of this request have it: raw, percent-encoded or escaped, in evidence and keys too.
    /// For secrets that no rule can recognise, such as a voucher that an error may quote.
    ///
    /// It applies to the records that are written from now on. A short value is masked in every text that has it by chance.
    /// At most 64 values of 8 KiB; with more, bodies, query and headers are left out, and errors become a mask. Evidence is
    /// never left out: it is searched for the first 64 only.
    pub fn secret(&self, value: impl Into<String>) -> &Self {
        let value = value.into();
        self.bind(|draft| draft.late().add_secret(value))
    }

    /// Sets `traceId` and `spanId`: 32 and 16 hexadecimal digits, as OpenTelemetry writes them. They replace those of
    /// `traceparent`, which names the caller's span.
    ///
    /// Anything else is ignored, and so are ids of zeros only, which mean that nothing is traced: a wrong id would connect
    /// this record with the logs of other requests. To set it for all requests, see
    /// [`AuditorBuilder::trace_context`](crate::AuditorBuilder::trace_context).
    pub fn trace(&self, trace_id: &str, span_id: &str) -> &Self {
        if !are_trace_ids(trace_id, span_id) {
            return self;
        }
        self.bind(|draft| draft.late().trace = Some((trace_id.to_ascii_lowercase(), span_id.to_ascii_lowercase())))
    }

    /// Records the request as failed, whatever the status of its response is, with the text of the error and of its sources.
    pub fn error<E: StdError + ?Sized>(&self, error: &E) -> &Self {
        self.failure(Failure::of(error))
    }

    /// Records the request as failed, whatever its response's status is, and why. At most 16 failures are kept.
    pub fn failure(&self, failure: Failure) -> &Self {
        self.bind(|draft| draft.late().set_failed(failure))
    }

    /// Names the event of this request. A name that is set before the initiation record is written applies to it; a later
    /// one applies to the completion, which then has `meta.initiatedAs`.
    ///
    /// The event is one of the catalog and brings its `meta`, message, level and redaction with it; what of the bodies is
    /// kept, and how the records are delivered, was decided before. Any other name is an error, as for
    /// [`Auditor::begin`](crate::Auditor::begin): with a misspelt name, the event's rules, also those of redaction, would be
    /// lost in silence. The request then keeps the event that it had.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::post};
    /// use http::{Method, Request};
    /// use tower::ServiceExt as _;
    /// use tower_audit::{Audit, Auditor, Catalog, Event, sink};
    ///
    /// async fn orders(audit: Audit) -> Result<(), String> {
    ///     audit.event("OrderCancellation").map_err(|error| error.to_string())?;
    ///     let slip = audit.event("OrderCancelation").unwrap_err();
    ///     assert!(slip.kind() == tower_audit::ErrorKind::Catalog && slip.to_string().ends_with("did you mean `OrderCancellation`?"));
    ///     Ok(())
    /// }
    ///
    /// let catalog = Catalog::new()
    ///     .event(Event::new("OrderChange").on(Method::POST, "/orders"))
    ///     .event(Event::new("OrderCancellation"));
    /// let (lines, records) = sink::memory();
    /// let auditor = Auditor::builder().catalog(catalog).sink(lines).build()?;
    /// let app = auditor.wrap_router(Router::new().route("/orders", post(orders))).into_service();
    /// app.oneshot(Request::post("/orders").body(axum::body::Body::empty())?).await?;
    /// auditor.flush(std::time::Duration::from_secs(5)).await;
    /// assert!(records.lines()[1].contains(r#""eventName":"OrderCancellation""#));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the catalog has no event of this name ([`ErrorKind::Catalog`](crate::ErrorKind)).
    pub fn event(&self, name: &str) -> Result<&Self, Error> {
        self.name_event(|engine| engine.listed(name, "event_unlisted"))
    }

    /// As [`Audit::event`], for names that are not known before, such as those of plugins. A name that the catalog does not
    /// have gets the default policy.
    ///
    /// # Errors
    ///
    /// If the name is not valid: 1 to 128 of `[A-Za-z0-9_.-]`, and not beginning with `Audit`
    /// ([`ErrorKind::Catalog`](crate::ErrorKind)).
    pub fn event_unlisted(&self, name: &str) -> Result<&Self, Error> {
        self.name_event(|engine| engine.named(name))
    }

    fn name_event(&self, find: impl FnOnce(&Engine) -> Result<EventRef, Error>) -> Result<&Self, Error> {
        if let Some(exchange) = &self.exchange {
            let event = find(exchange.engine())?;
            exchange.bind(|draft| draft.event = event);
        }
        Ok(self)
    }

    /// Leaves this request out of the log.
    ///
    /// # Errors
    ///
    /// If it is too late: the initiation record has been written and must have its completion, or the request has ended.
    pub fn skip(&self) -> Result<(), SkipRefused> {
        match &self.exchange {
            Some(exchange) if !exchange.skip() => Err(SkipRefused(())),
            _ => Ok(()),
        }
    }

    /// Under the exchange's lock: `work` runs no code of the application.
    fn bind(&self, work: impl FnOnce(&mut Draft)) -> &Self {
        if let Some(exchange) = &self.exchange {
            exchange.bind(work);
        }
        self
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("disabled", &self.is_disabled()).finish()
    }
}

/// A request could not be left out any more. See [`Audit::skip`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkipRefused(());

impl fmt::Display for SkipRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request cannot be left out any more: its initiation is recorded, or it has ended")
    }
}

impl StdError for SkipRefused {}

/// Marks a request that the layer left out, so that the extractor can tell that from a missing layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOut;
