//! The auditor: what an application builds once, and the wiring behind it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderName, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::activity::ActivityBuilder;
use crate::capture::resolver::ActorResolver;
use crate::capture::{ClientIp, HeadPolicy, PeerFn, TraceFn, TrustedPeer};
use crate::catalog::{Catalog, Event, compile_event};
use crate::clock::{Clock, IdSource, SystemClock, UuidV7};
use crate::config::{self, Settings};
use crate::counters::{Counted, Counters};
use crate::engine::{Engine, Parts, SinkHook, SinkWatch, StatusClassifier, TimeoutClassifier};
use crate::error::Error;
use crate::layer::{AuditLayer, is_elapsed};
#[cfg(feature = "tracing-subscriber")]
use crate::log_layer::LogLayer;
use crate::plan::{Defaults, Plan};
use crate::queue::{Answer, Channel, Limits, Queue, Reach, ShutdownReport, Worker};
use crate::record::wire::Process;
use crate::record::{Delivery, Stages, Status, UserAgentKey};
use crate::redact::RedactorBuilder;
use crate::sink::{self, Need, Ordinary, Outlet, Output, Retry, SinkState};

/// The engine behind every layer and every activity: a handle that is cheap to clone.
///
/// ```
/// use http::Method;
/// use tower_audit::{Auditor, Catalog, Event, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (lines, records) = sink::memory();
/// let catalog = Catalog::new().event(Event::new("TaskCreation").on(Method::POST, "/tasks"));
/// let (auditor, guard) = Auditor::builder().catalog(catalog).sink(lines).build()?;
///
/// let layer = auditor.layer(); // for `Router::layer`, `ServiceBuilder::layer`, …
/// # let _ = layer;
/// drop(guard); // better: `guard.shutdown(Duration::from_secs(5)).await`
/// assert!(records.text().contains(r#""eventName":"AuditStarted""#));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Auditor {
    engine: Arc<Engine>,
    counted: Arc<Counted>,
}

impl Auditor {
    /// Begins to build one.
    pub fn builder() -> AuditorBuilder {
        AuditorBuilder::default()
    }

    /// The layer that records every request.
    ///
    /// Put it around the finished router (see [`Auditor::around`] for axum): there it also sees what no route matches, and
    /// costs least. On a request that another layer records already it joins that record and writes none of its own.
    pub fn layer(&self) -> AuditLayer {
        AuditLayer::new(self.engine.clone(), None)
    }

    /// A layer that names the event of every request that goes through it, for use where a single route is declared.
    ///
    /// Within [`Auditor::layer`] it joins the open record, whichever event the catalogue found. Alone it records by itself.
    /// The event has no route of its own.
    ///
    /// # Errors
    ///
    /// If the event's name, message or sources are wrong, or it has a route.
    pub fn route_layer(&self, event: Event) -> Result<AuditLayer, Error> {
        let plan = Plan::new(compile_event(event)?, self.engine.defaults)?;
        Ok(AuditLayer::new(self.engine.clone(), Some(Arc::new(plan))))
    }

    /// An event without a request, such as background work. It begins when it is awaited; see [`ActivityBuilder`].
    pub fn begin(&self, event: impl Into<String>) -> ActivityBuilder {
        ActivityBuilder::new(self.engine.clone(), event.into())
    }

    /// Waits until everything that was recorded before is written; false if that took longer than `limit`.
    ///
    /// For tests, and before something that may end the process.
    pub fn flush(&self, limit: Duration) -> impl Future<Output = bool> + Send + use<> {
        let answer = self.engine.control.flush(self.engine.queue.pushed(), Reach::All, limit);
        self.engine.queue.call();
        answer
    }

    /// What goes on inside, and what has been written and lost so far. For health checks and metrics: it takes a short lock
    /// for each sink, so not for every request.
    pub fn counters(&self) -> Counters {
        self.counted.snapshot(&self.engine)
    }

    /// A `tracing-subscriber` layer that writes ordinary logs into the first sink, beside the records; see [`LogLayer`].
    #[cfg(feature = "tracing-subscriber")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tracing-subscriber")))]
    pub fn log_layer(&self) -> LogLayer {
        LogLayer::new(self.engine.clone(), self.counted.clone())
    }

    /// Whether anything is recorded.
    pub fn is_enabled(&self) -> bool {
        self.engine.enabled
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor").field("engine", &self.engine).finish()
    }
}

/// Keeps the audit log running. Shut it down when the server has stopped.
///
/// Dropped without [`ShutdownGuard::shutdown`] it blocks for at most two seconds to write what is finished.
#[must_use = "dropping the guard stops the audit log"]
pub struct ShutdownGuard {
    auditor: Auditor,
    stopped: bool,
}

/// How long a dropped guard may hold up its thread.
const DROP_LIMIT: Duration = Duration::from_secs(2);

impl ShutdownGuard {
    /// Waits for open exchanges, writes everything, and reports what was written and what was not.
    ///
    /// Exchanges that are dropped from now on end as `shutdown`. Open ones are waited for until a quarter of the time is
    /// left (at most one second); those still open then are counted. Records that come later are lost, and counted.
    pub fn shutdown(mut self, limit: Duration) -> impl Future<Output = ShutdownReport> + Send + use<> {
        self.stopped = true;
        self.stop(limit)
    }

    /// Says that the server is stopping, before it has: exchanges that are dropped from now on end as `shutdown`.
    pub fn begin(&self) {
        self.auditor.engine.begin_closing();
    }

    fn stop(&self, limit: Duration) -> Answer<ShutdownReport> {
        self.auditor.engine.begin_closing();
        let answer = self.auditor.engine.control.stop(limit);
        self.auditor.engine.queue.call();
        answer
    }
}

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        if !self.stopped {
            self.stop(DROP_LIMIT).wait(DROP_LIMIT + Duration::from_millis(100));
        }
    }
}

impl fmt::Debug for ShutdownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownGuard").finish_non_exhaustive()
    }
}

/// Builds an [`Auditor`]. Everything is checked in [`AuditorBuilder::build`], and nothing about it can fail later.
#[must_use]
pub struct AuditorBuilder {
    catalog: Catalog,
    outputs: Vec<Output>,
    sink_hook: Option<SinkHook>,
    retry_limit: Duration,
    redactor: RedactorBuilder,
    service: Option<String>,
    stages: Option<Stages>,
    delivery: Option<Delivery>,
    trusted_proxies: Vec<String>,
    client_ip_header: Option<HeaderName>,
    request_id_header: HeaderName,
    shown_headers: Vec<HeaderName>,
    peer: Option<PeerFn>,
    resolvers: Vec<Box<dyn ActorResolver>>,
    trace: Option<TraceFn>,
    is_success: StatusClassifier,
    is_timeout: TimeoutClassifier,
    wait: Duration,
    queue_records: usize,
    queue_bytes: usize,
    max_line_bytes: usize,
    max_body_bytes: usize,
    user_agent_key: UserAgentKey,
    audit_id_header: bool,
    host: Option<String>,
    clock: Box<dyn Clock>,
    ids: Box<dyn IdSource>,
    instance: Option<String>,
    outside: Settings,
}

impl Default for AuditorBuilder {
    fn default() -> Self {
        Self {
            catalog: Catalog::new(),
            outputs: Vec::new(),
            sink_hook: None,
            retry_limit: Duration::from_secs(60),
            redactor: RedactorBuilder::default(),
            service: None,
            stages: None,
            delivery: None,
            trusted_proxies: Vec::new(),
            client_ip_header: None,
            request_id_header: HeaderName::from_static("x-request-id"),
            shown_headers: Vec::new(),
            peer: None,
            resolvers: Vec::new(),
            trace: None,
            is_success: Box::new(
                |status: StatusCode| if status.as_u16() < 400 { Status::Succeeded } else { Status::Failed },
            ),
            is_timeout: Box::new(is_elapsed),
            wait: Duration::from_secs(5),
            queue_records: 8192,
            queue_bytes: 64 * 1024 * 1024,
            max_line_bytes: 15 * 1024,
            max_body_bytes: 16 * 1024,
            user_agent_key: UserAgentKey::Client,
            audit_id_header: false,
            host: None,
            clock: Box::new(SystemClock::new()),
            ids: Box::new(UuidV7::new()),
            instance: None,
            outside: Settings::default(),
        }
    }
}

impl AuditorBuilder {
    /// Which routes are which events. By default there are none, and every request is recorded as `HttpRequest`.
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = catalog;
        self
    }

    /// Where the lines go; call it again for several sinks. Standard output if none is given, because that is what a
    /// cluster's log forwarder reads.
    ///
    /// The first is required, the others are best effort, unless an [`Output`] says otherwise. Each has a thread and a buffer
    /// of its own, and none delays another.
    pub fn sink(mut self, sink: impl Into<Output>) -> Self {
        self.outputs.push(sink.into());
        self
    }

    /// For how long a sink may fail without interruption before it is given up. 60 seconds by default; a broken pipe is
    /// given up at once. The pauses between attempts grow from 20 milliseconds to 5 seconds.
    pub fn sink_retry_limit(mut self, limit: Duration) -> Self {
        self.retry_limit = limit;
        self
    }

    /// Called with a sink's name when it begins to fail, works again, or is given up. On the sink's own thread.
    pub fn on_sink_state(mut self, hook: impl Fn(&str, SinkState) + Send + Sync + 'static) -> Self {
        self.sink_hook = Some(Box::new(hook));
        self
    }

    /// The redaction rules. By default the full published list; settings from outside add to what is given here.
    pub fn redactor(mut self, redactor: RedactorBuilder) -> Self {
        self.redactor = redactor;
        self
    }

    /// The name of this service, for `service` of events that name no other.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Which records events write that do not say it themselves. [`Stages::Completion`] by default.
    pub fn stages(mut self, stages: Stages) -> Self {
        self.stages = Some(stages);
        self
    }

    /// How records of events are delivered that do not say it themselves. [`Delivery::Backpressure`] by default. What is
    /// demanded here, no setting from outside weakens.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// Networks (`10.0.0.0/8`) and addresses of proxies whose [`AuditorBuilder::client_ip_header`] is believed; `unix` for
    /// whoever connects through a Unix socket. By default nobody is.
    pub fn trusted_proxies<P: Into<String>>(mut self, proxies: impl IntoIterator<Item = P>) -> Self {
        self.trusted_proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// The one header in which trusted proxies say for whom they ask: `X-Forwarded-For`, `Forwarded` (RFC 7239),
    /// `X-Real-IP`, or another that is written like the first. By default none is read.
    pub fn client_ip_header(mut self, header: HeaderName) -> Self {
        self.client_ip_header = Some(header);
        self
    }

    /// The header of the request's id. `x-request-id` by default.
    pub fn request_id_header(mut self, header: HeaderName) -> Self {
        self.request_id_header = header;
        self
    }

    /// Request headers that stand in `request.headers`, redacted. By default none.
    pub fn show_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.shown_headers = headers.into_iter().collect();
        self
    }

    /// Finds the peer's address in the request's extensions, for servers other than axum's that do not set
    /// [`PeerAddr`](crate::PeerAddr). Called on the request's task.
    pub fn peer_fn(mut self, peer: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Box::new(peer));
        self
    }

    /// Adds a way to know the actor from the request's head; the first that knows one wins, and late binding overrides
    /// it. See [`resolver`](crate::resolver).
    pub fn actor_resolver(mut self, resolver: impl ActorResolver) -> Self {
        self.resolvers.push(Box::new(resolver));
        self
    }

    /// Tells trace id and span id of what the current task works in, for `traceId` and `spanId` of requests that bring no
    /// valid `traceparent`, and of activities. 32 and 16 hexadecimal digits; anything else is ignored, all zeros too. Called on
    /// the request's task, where the layer is entered or the activity begins. By default nothing is asked.
    ///
    /// A `tracing` span has no such ids of its own: whoever exports spans gives them to it. With `tracing-opentelemetry`
    /// they are those of the current span's context:
    ///
    /// ```text
    /// use opentelemetry::trace::TraceContextExt as _;
    /// use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    ///
    /// builder.trace_context(|| {
    ///     let context = tracing::Span::current().context();
    ///     let span = context.span().span_context().clone();
    ///     span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    /// })
    /// ```
    ///
    /// The layer that opens the span (`TraceLayer`, say) must then stand outside of the audit layer. Where it stands inside, or
    /// where its span should be named rather than the caller's that `traceparent` names, a middleware inside of both calls
    /// [`Audit::trace`](crate::Audit::trace).
    ///
    /// ```
    /// use tower_audit::{Auditor, sink};
    ///
    /// # fn main() -> Result<(), tower_audit::Error> {
    /// let (lines, records) = sink::memory();
    /// let current = || Some(("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "00f067aa0ba902b7".to_owned()));
    /// let (auditor, guard) = Auditor::builder().sink(lines).trace_context(current).build()?;
    /// auditor.begin("CacheRefresh").try_emit()?;
    /// drop(guard);
    /// assert!(records.text().contains(r#""traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7""#));
    /// # Ok(())
    /// # }
    /// ```
    pub fn trace_context(mut self, current: impl Fn() -> Option<(String, String)> + Send + Sync + 'static) -> Self {
        self.trace = Some(Box::new(current));
        self
    }

    /// What a response's status means. By default 400 and above is a failure. Called on our own thread.
    pub fn classify_status(mut self, classify: impl Fn(StatusCode) -> Status + Send + Sync + 'static) -> Self {
        self.is_success = Box::new(classify);
        self
    }

    /// Which errors of the inner service are timeouts: asked about the error and each of its sources. By default tower's
    /// and tokio's `Elapsed`, and I/O errors of kind `TimedOut`.
    ///
    /// It is asked where the error is a `BoxError` or an I/O error; of an error type of the application's own a layer
    /// cannot know more than that it is one.
    pub fn classify_timeout(
        mut self,
        is_timeout: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_timeout = Box::new(is_timeout);
        self
    }

    /// How long a request may wait for room in the queue. 5 seconds by default; then it is refused with 503.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How many finished records may wait to be written. 8,192 by default.
    pub fn queue_records(mut self, records: usize) -> Self {
        self.queue_records = records;
        self
    }

    /// How many bytes of captured bodies may be held. 64 MiB by default.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// The longest line, in bytes, its newline included. 15 KiB by default, because container runtimes split lines at 16.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// How much of each body is kept, in bytes. 16 KiB by default; 0 keeps none.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Under which key of `actor` the user agent stands. `client` by default.
    pub fn user_agent_key(mut self, key: UserAgentKey) -> Self {
        self.user_agent_key = key;
        self
    }

    /// Whether responses carry the record's `auditId` as `Audit-ID`. Off by default.
    pub fn audit_id_header(mut self, on: bool) -> Self {
        self.audit_id_header = on;
        self
    }

    /// The server's host name. By default what the system says.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Where time comes from; for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Where `auditId`s come from; for tests.
    pub fn ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Box::new(ids);
        self
    }

    /// The id of this run of the process. By default a random UUID.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Reads what an operator may set without a new build: the environment's `TOWER_AUDIT_…`, over the TOML file that
    /// `TOWER_AUDIT_CONFIG` names (feature `toml`), over what the code says.
    ///
    /// # Errors
    ///
    /// All bad and unknown settings at once, with what was given and what is allowed.
    pub fn from_env(mut self) -> Result<Self, Error> {
        self.outside = config::from_env()?;
        Ok(self)
    }

    /// Checks everything and starts the audit log.
    ///
    /// # Errors
    ///
    /// What is wrong with the catalogue, a setting, or a redaction rule; or that the system refused a thread or the process
    /// has no standard output.
    pub fn build(self) -> Result<(Auditor, ShutdownGuard), Error> {
        let outside = self.outside;
        let limits = limits(&outside, self.wait, self.queue_records, self.queue_bytes)?;
        let max_body_bytes = outside.max_body_bytes.unwrap_or(self.max_body_bytes);
        let line_budget = outside.max_line_bytes.unwrap_or(self.max_line_bytes);
        check_sizes(limits, max_body_bytes, line_budget)?;
        let defaults = Defaults {
            stages: outside.stages.or(self.stages).unwrap_or(Stages::Completion),
            delivery: delivery(outside.delivery, self.delivery),
        };
        if defaults.stages == Stages::Initiation {
            return Err(Error::setting(
                "stages: `initiation` cannot be the default, each request has its completion; `completion` and `both` can",
            ));
        }
        let keys = outside.redact_keys.iter().flatten();
        let redactor = keys.fold(self.redactor, |rules, key| rules.key(key.as_str()));
        let except = outside.redact_except.iter().flatten();
        let redactor = except.fold(redactor, |rules, key| rules.except(key.as_str())).build()?;
        let head = HeadPolicy {
            client_ip: client_ip(&outside, &self.trusted_proxies, self.client_ip_header)?,
            request_id: self.request_id_header,
            shown: self.shown_headers,
            peer: self.peer,
            resolvers: self.resolvers,
            trace: self.trace,
        };
        let process = Process {
            instance: self.instance.unwrap_or_else(|| Uuid::new_v4().to_string()),
            host: self.host.or_else(|| gethostname::gethostname().into_string().ok()),
            service: outside.service.clone().or(self.service).map(Into::into),
            user_agent_key: outside.user_agent_key.unwrap_or(self.user_agent_key),
        };
        let queue = Arc::new(Queue::new(limits));
        let engine = Arc::new(Engine::new(Parts {
            enabled: outside.enabled.unwrap_or(true),
            clock: self.clock,
            ids: self.ids,
            routes: self.catalog.compile()?,
            defaults,
            head,
            redactor,
            is_success: self.is_success,
            is_timeout: self.is_timeout,
            max_body_bytes,
            audit_id_header: outside.audit_id_header.unwrap_or(self.audit_id_header),
            queue: queue.clone(),
            wait: limits.wait,
        })?);
        let (channels, outlets) =
            start_sinks(self.outputs, self.retry_limit, SinkWatch { queue, hook: self.sink_hook })?;
        // The first sink is there: without one given it is standard output.
        let ordinary = Ordinary::new(outlets[0].clone(), line_budget);
        let counted = Arc::new(Counted { outlets, ordinary });
        let settings = json!({
            "stages": defaults.stages.as_str(),
            "delivery": defaults.delivery.as_str(),
            "queueRecords": limits.records,
            "queueBytes": limits.bytes,
            "waitMs": u64::try_from(limits.wait.as_millis()).unwrap_or(u64::MAX),
            "maxLineBytes": line_budget,
            "maxBodyBytes": max_body_bytes,
            "events": engine.plans.len(),
            "outside": outside.describe().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        Worker { engine: engine.clone(), channels, counted: counted.clone(), process, line_budget, settings }
            .start()?;
        let auditor = Auditor { engine, counted };
        Ok((auditor.clone(), ShutdownGuard { auditor, stopped: false }))
    }
}

impl fmt::Debug for AuditorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditorBuilder").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

/// Starts a thread for each sink.
fn start_sinks(
    mut outputs: Vec<Output>,
    retry_limit: Duration,
    watch: SinkWatch,
) -> Result<(Vec<Channel>, Vec<Outlet>), Error> {
    if outputs.is_empty() {
        let stdout = sink::stdout().map_err(|error| Error::start("there is no standard output").with_source(error))?;
        outputs.push(Output::new(stdout).name("stdout"));
    }
    let watch = Arc::new(watch);
    let mut channels = Vec::with_capacity(outputs.len());
    let mut outlets = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.into_iter().enumerate() {
        let name = output.name.unwrap_or_else(|| format!("sink-{}", at + 1));
        let need = output.need.unwrap_or(if at == 0 { Need::Required } else { Need::BestEffort });
        let retry = Retry::new(retry_limit, Uuid::new_v4().as_u64_pair().0);
        let outlet = Outlet::start(name, output.sink, retry, watch.clone())?;
        outlets.push(outlet.clone());
        channels.push(Channel::new(outlet, need, output.filter));
    }
    Ok((channels, outlets))
}

fn limits(outside: &Settings, wait: Duration, records: usize, bytes: usize) -> Result<Limits, Error> {
    let limits = Limits {
        records: outside.queue_records.unwrap_or(records),
        bytes: outside.queue_bytes.unwrap_or(bytes),
        wait: outside.wait.unwrap_or(wait),
    };
    if limits.records == 0 {
        return Err(Error::setting("queue_records: 0 records would refuse every request; at least 1 is needed"));
    }
    Ok(limits)
}

fn check_sizes(limits: Limits, max_body_bytes: usize, line_budget: usize) -> Result<(), Error> {
    const LEAST_LINE: usize = 4 * 1024;
    if line_budget < LEAST_LINE {
        return Err(Error::setting(format!(
            "max_line_bytes: {line_budget} is too short for what is never cut; at least {LEAST_LINE} are needed"
        )));
    }
    const MOST_BODY: usize = 16 * 1024 * 1024;
    if max_body_bytes > MOST_BODY {
        return Err(Error::setting(format!(
            "max_body_bytes: {max_body_bytes} is too much to keep; at most {MOST_BODY} are allowed"
        )));
    }
    if limits.bytes < max_body_bytes.saturating_mul(2) {
        return Err(Error::setting(format!(
            "queue_bytes (TOWER_AUDIT_QUEUE_BYTES): {} is less than the two bodies of one exchange (2 × max_body_bytes = 2 × {max_body_bytes})",
            limits.bytes
        )));
    }
    Ok(())
}

/// What code demands, a setting can only make stronger.
fn delivery(outside: Option<Delivery>, code: Option<Delivery>) -> Delivery {
    match (outside, code) {
        (Some(outside), Some(code)) => outside.max(code),
        (one, other) => one.or(other).unwrap_or(Delivery::Backpressure),
    }
}

fn client_ip(outside: &Settings, code: &[String], header: Option<HeaderName>) -> Result<ClientIp, Error> {
    let trusted = match &outside.trusted_proxies {
        Some(trusted) => trusted.clone(),
        None => code.iter().map(|one| one.parse()).collect::<Result<Vec<TrustedPeer>, Error>>()?,
    };
    Ok(ClientIp::new(trusted, outside.client_ip_header.clone().or(header)))
}
