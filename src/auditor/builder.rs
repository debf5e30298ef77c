//! What an application decides about its audit log, checked once and wired together.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Extensions, HeaderName};

use super::Auditor;
use super::check::ScopeParts;
use crate::capture::resolver::ActorResolver;
use crate::capture::{PeerFn, TraceFn};
use crate::catalog::Catalog;
use crate::clock::{Clock, IdSource, Ids, SystemClock, Time, UuidV7};
use crate::config::{self, Alias, Settings};
use crate::engine::{SinkHook, StatusClassifier, TimeoutClassifier};
use crate::error::{Error, Problems};
#[cfg(feature = "export")]
use crate::export::Export;
use crate::filter::Filter;
use crate::layer::is_elapsed;
use crate::record::{BodyAs, Delivery, ResponseStatus, Stages, Status, UserAgentKey};
use crate::redact::RedactorBuilder;
use crate::scope::{ScopeResolver, ScopeRules, ScopeStore};
#[cfg(feature = "export")]
use crate::sink::FileOptions;
use crate::sink::{Output, SinkState};

/// Builds an [`Auditor`]. [`AuditorBuilder::build`] checks the whole configuration, so that no setting can cause an error
/// later.
#[must_use]
pub struct AuditorBuilder {
    pub(super) catalog: Catalog,
    pub(super) outputs: Vec<Output>,
    pub(super) filter: Option<Filter>,
    pub(super) sink_hook: Option<SinkHook>,
    pub(super) retry_limit: Duration,
    pub(super) redactor: RedactorBuilder,
    pub(super) service: Option<String>,
    pub(super) stages: Option<Stages>,
    pub(super) delivery: Option<Delivery>,
    pub(super) proxies: Option<(Vec<String>, HeaderName)>,
    pub(super) request_id_header: HeaderName,
    pub(super) shown_headers: Vec<HeaderName>,
    pub(super) peer: Option<PeerFn>,
    pub(super) resolvers: Vec<Box<dyn ActorResolver>>,
    pub(super) trace: Option<TraceFn>,
    pub(super) scopes: ScopeParts,
    #[cfg(feature = "geoip")]
    pub(super) geoip_file: Option<std::path::PathBuf>,
    pub(super) is_success: StatusClassifier,
    pub(super) is_timeout: TimeoutClassifier,
    pub(super) admission_timeout: Duration,
    pub(super) queue_records: usize,
    pub(super) queue_bytes: usize,
    pub(super) max_line_bytes: usize,
    pub(super) max_body_bytes: usize,
    pub(super) user_agent_key: UserAgentKey,
    pub(super) body_as: BodyAs,
    pub(super) audit_id_header: bool,
    pub(super) host: Option<String>,
    pub(super) clock: Time,
    pub(super) ids: Ids,
    pub(super) instance: Option<String>,
    #[cfg(feature = "export")]
    pub(super) export: Option<(FileOptions, Export)>,
    pub(super) outside: Settings,
    pub(super) aliases: Vec<Alias>,
    has_read_env: bool,
    pub(super) has_late_aliases: bool,
    /// What is wrong with the settings from outside.
    pub(super) refused: Problems,
}

impl Default for AuditorBuilder {
    fn default() -> Self {
        Self {
            catalog: Catalog::new(),
            outputs: Vec::new(),
            filter: None,
            sink_hook: None,
            retry_limit: Duration::from_secs(60),
            redactor: RedactorBuilder::default(),
            service: None,
            stages: None,
            delivery: None,
            proxies: None,
            request_id_header: HeaderName::from_static("x-request-id"),
            shown_headers: Vec::new(),
            peer: None,
            resolvers: Vec::new(),
            trace: None,
            scopes: ScopeParts::default(),
            #[cfg(feature = "geoip")]
            geoip_file: None,
            is_success: Box::new(ResponseStatus::by_default),
            is_timeout: Box::new(is_elapsed),
            admission_timeout: Duration::from_secs(5),
            queue_records: 8192,
            queue_bytes: 64 * 1024 * 1024,
            max_line_bytes: 15 * 1024,
            max_body_bytes: 16 * 1024,
            user_agent_key: UserAgentKey::Client,
            body_as: BodyAs::Json,
            audit_id_header: false,
            host: None,
            clock: Time::System(SystemClock::new()),
            ids: Ids::Own(UuidV7::new()),
            instance: None,
            #[cfg(feature = "export")]
            export: None,
            outside: Settings::default(),
            aliases: Vec::new(),
            has_read_env: false,
            has_late_aliases: false,
            refused: Problems::default(),
        }
    }
}

impl AuditorBuilder {
    /// Which routes are which events. By default there are none, and every request is recorded as `HttpRequest`.
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = catalog;
        self
    }

    /// Adds a sink, to which the records are written. By default there is one sink, standard output, because a cluster's log
    /// forwarder reads that.
    ///
    /// The first is required, the others are best effort, unless an [`Output`] says otherwise. Each sink has its own thread
    /// and buffer, and does not delay the others.
    pub fn sink(mut self, sink: impl Into<Output>) -> Self {
        self.outputs.push(sink.into());
        self
    }

    /// For how long a sink may fail without interruption before it is given up. 60 seconds by default; the pauses between
    /// attempts grow from 20 milliseconds to 5 seconds. A sink that was given up is tried again every 30 seconds; when it
    /// works, its first record reports what it lost. Standard output and standard error are the exception: when their reader
    /// has exited, they are given up at once and are not tried again.
    pub fn sink_retry_limit(mut self, limit: Duration) -> Self {
        self.retry_limit = limit;
        self
    }

    /// Sets a function that is called with a sink's name when the sink begins to fail, works again, or is given up. It runs
    /// on the sink's thread.
    pub fn on_sink_state(mut self, hook: impl Fn(&str, SinkState) + Send + Sync + 'static) -> Self {
        self.sink_hook = Some(Box::new(hook));
        self
    }

    /// Which records are written, in all outputs. If a filter was set before, a record has to pass both. If the name, kind
    /// and log type of the catalog's event are enough to decide, the filter decides before a request is captured; see
    /// [`Filter`]. By default all records are written.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(before) => before.and(filter),
            None => filter,
        });
        self
    }

    /// The redaction rules. By default all rules of [`guide::redaction`](crate::guide::redaction); settings from the
    /// environment add rules to those given here.
    pub fn redactor(mut self, redactor: RedactorBuilder) -> Self {
        self.redactor = redactor;
        self
    }

    /// The name of this service, for `service` of events that name no other.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// The stages of events that do not set their own. [`Stages::Completion`] by default.
    pub fn stages(mut self, stages: Stages) -> Self {
        self.stages = Some(stages);
        self
    }

    /// The delivery class of events that do not set their own. [`Delivery::Backpressure`] by default. No setting from the
    /// environment weakens it.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// Which proxies the server is behind, and the one header in which they name the client. By default there are none, and
    /// `actor.ip` is the peer's address, which behind a proxy is the address of the proxy. See
    /// [`guide::addresses`](crate::guide::addresses).
    ///
    /// Proxies are networks (`10.0.0.0/8`), addresses, or `unix` for all connections through a Unix socket. A client among
    /// the trusted addresses can claim any address. The header is `X-Forwarded-For`, `Forwarded` (RFC 7239), `X-Real-IP`, or
    /// another header with the syntax of `X-Forwarded-For`.
    pub fn behind_proxies<P: Into<String>>(mut self, proxies: impl IntoIterator<Item = P>, header: HeaderName) -> Self {
        self.proxies = Some((proxies.into_iter().map(Into::into).collect(), header));
        self
    }

    /// The header of the request's id. `x-request-id` by default.
    pub fn request_id_header(mut self, header: HeaderName) -> Self {
        self.request_id_header = header;
        self
    }

    /// Request headers that a record shows in `request.headers`, redacted. By default none.
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

    /// Adds a resolver that finds the actor in the request's head. The first match wins; `Audit::actor` overrides it.
    /// See [`resolver`](crate::resolver).
    pub fn actor_resolver(mut self, resolver: impl ActorResolver) -> Self {
        self.resolvers.push(Box::new(resolver));
        self
    }

    /// Returns the trace id and the span id of the current task. They are used for requests without a valid `traceparent`,
    /// and for activities. 32 and 16 hexadecimal digits; anything else is ignored, all zeros too. Called on the request's
    /// task, where the layer is entered or the activity begins. By default there is no such function.
    ///
    /// A `tracing` span has no such ids: the crate that exports spans assigns them. With `tracing-opentelemetry`, they are
    /// in the context of the current span:
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
    /// The layer that opens the span, such as `TraceLayer`, must then be outside of the audit layer. If it is inside, or if
    /// the record should have the server's span instead of the caller's span from `traceparent`, call
    /// [`Audit::trace`](crate::Audit::trace) in a middleware inside of both layers.
    ///
    /// ```
    /// use tower_audit::{Auditor, sink};
    ///
    /// # fn main() -> Result<(), tower_audit::Error> {
    /// let (lines, records) = sink::memory();
    /// let current = || Some(("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "00f067aa0ba902b7".to_owned()));
    /// let auditor = Auditor::builder().sink(lines).trace_context(current).build()?;
    /// auditor.begin_unlisted("CacheRefresh").try_emit()?;
    /// drop(auditor);
    /// assert!(records.text().contains(r#""traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7""#));
    /// # Ok(())
    /// # }
    /// ```
    pub fn trace_context(mut self, current: impl Fn() -> Option<(String, String)> + Send + Sync + 'static) -> Self {
        self.trace = Some(Box::new(current));
        self
    }

    /// Finds the scope of a request when it arrives, so that nothing is captured if the scope is not audited. See
    /// [`guide::scopes`](crate::guide::scopes). By default only handlers set it ([`Audit::scope`](crate::Audit::scope)),
    /// which also overrides this.
    pub fn scope_resolver(mut self, resolver: impl ScopeResolver) -> Self {
        self.scopes.resolver = Some(Box::new(resolver));
        self
    }

    /// Which scopes are audited at the start, unless the store already has rules. [`ScopeRules::on`] by default.
    pub fn scope_rules(mut self, rules: ScopeRules) -> Self {
        self.scopes.rules = Some(rules);
        self
    }

    /// Where changes of the rules are kept, such as a [`FileScopeStore`](crate::scope::FileScopeStore). By default they are
    /// not kept: each run begins with the rules of the code.
    pub fn scope_store(mut self, store: impl ScopeStore) -> Self {
        self.scopes.store = Some(Box::new(store));
        self
    }

    /// A file in [MaxMind's format](https://maxmind.github.io/MaxMind-DB/) (GeoLite2 or GeoIP2 City or Country, or another maker's)
    /// that maps addresses to places: `actor.location` of records whose actor has none. By default nothing is looked up.
    ///
    /// Private, loopback and documentation addresses are not looked up. The file is read into memory, each of its entries
    /// once, which takes a second for the largest ones; if it is broken, building fails. If the file is replaced later, call
    /// [`Auditor::reload_geoip_file`].
    #[cfg(feature = "geoip")]
    #[cfg_attr(docsrs, doc(cfg(feature = "geoip")))]
    pub fn geoip_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.geoip_file = Some(path.into());
        self
    }

    /// What a response's status means. By default 400 and above is a failure, and so is any `grpc-status` but 0; see
    /// [`ResponseStatus`]. Called on a thread of this library.
    ///
    /// ```
    /// use tower_audit::{Auditor, Status};
    ///
    /// let builder = Auditor::builder().classify_status(|status| match (status.http.as_u16(), status.grpc) {
    ///     // Lookups that find nothing are no failures here.
    ///     (404, None) | (200, Some(5)) => Status::Succeeded,
    ///     _ => status.by_default(),
    /// });
    /// # let _ = builder;
    /// ```
    pub fn classify_status(mut self, classify: impl Fn(ResponseStatus) -> Status + Send + Sync + 'static) -> Self {
        self.is_success = Box::new(classify);
        self
    }

    /// Which errors of the inner service are timeouts. It is called with the error, each of its sources, and the inner error
    /// of an I/O error. By default tower's (0.5) and tokio's `Elapsed`, by type, and I/O errors of kind `TimedOut`; other
    /// types, such as an `Elapsed` of the application's own, need a classifier.
    ///
    /// It is called only if the service's error type is `BoxError` or an I/O error: the layer cannot inspect other error
    /// types.
    pub fn classify_timeout(
        mut self,
        is_timeout: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_timeout = Box::new(is_timeout);
        self
    }

    /// How long a request may wait for queue space, its body for bytes of the queue, and a durable response for its record.
    /// After that, the request is refused with 503, the body is left out of the record, or the response is cut off. 5
    /// seconds by default: longer than a short stall of a disk or reader, shorter than the time that most clients wait.
    pub fn admission_timeout(mut self, timeout: Duration) -> Self {
        self.admission_timeout = timeout;
        self
    }

    /// How many finished records may wait to be written, at least 1. 8,192 by default, for bursts and short stalls of a sink; their
    /// memory is bounded by [`queue_bytes`](Self::queue_bytes).
    pub fn queue_records(mut self, records: usize) -> Self {
        self.queue_records = records;
        self
    }

    /// How many bytes open requests and unwritten records may hold: 2 KiB each, their heads, and what is copied of their
    /// bodies. 64 MiB by default, which is enough for about 30,000 open streams; at least 64 KiB and four times
    /// [`max_body_bytes`](Self::max_body_bytes). See [`guide::delivery`](crate::guide::delivery).
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// The longest line, in bytes, its newline included; at least 4 KiB. 15 KiB by default, because container runtimes split lines
    /// at 16 KiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// How much of each body is kept, in bytes; at most 16 MiB, and 0 keeps none. 16 KiB by default, about what a line can show.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Under which key of `actor` the user agent is written. `client` by default, as in Red Hat's documentation.
    pub fn user_agent_key(mut self, key: UserAgentKey) -> Self {
        self.user_agent_key = key;
        self
    }

    /// How bodies are written in a record. As JSON by default, so that stores can search in them.
    pub fn body_as(mut self, body_as: BodyAs) -> Self {
        self.body_as = body_as;
        self
    }

    /// Whether responses carry the record's `auditId` as the header `Audit-ID`, so that a person can quote it. Off by default, because
    /// clients see it.
    pub fn audit_id_header(mut self, on: bool) -> Self {
        self.audit_id_header = on;
        self
    }

    /// The server's host name. By default the name that the system reports.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The clock; for tests. By default the clocks of the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Time::given(clock);
        self
    }

    /// The source of `auditId`s; for tests. By default UUIDv7.
    pub fn ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Ids::Given(Box::new(ids));
        self
    }

    /// The id of this run of the process: 1 to 128 visible ASCII characters without quotes and backslashes. By default a random
    /// UUID.
    ///
    /// Two runs with the same id cannot be distinguished, because each numbers its records from 1: use a new id at each
    /// start. Together with an export (feature `export`), this setting is an error at build, because the exporter would take
    /// records with the same number for repeated ones.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Writes all records to this file too, as JSON and as a required sink, and exports its segments.
    ///
    /// If no other sink is given, it is the only one. While the export is switched off (`TOWER_AUDIT_EXPORT_ENABLED=false`),
    /// this call has no effect. The file is sealed at each run and at midnight UTC, and retention removes none of its
    /// segments before it is exported. See [`export`](crate::export).
    #[cfg(feature = "export")]
    #[cfg_attr(docsrs, doc(cfg(feature = "export")))]
    pub fn export(mut self, spool: FileOptions, export: Export) -> Self {
        self.export = Some((spool, export));
        self
    }

    /// Lets [`from_env`](Self::from_env), which is called after it, read variables of another product as settings of this
    /// crate: pairs of that product's variable and this crate's, such as
    /// [`presets::psono::ALIASES`](crate::presets::psono::ALIASES). If both are set, this crate's variable takes precedence.
    /// Errors name the variable that was given.
    pub fn aliases(mut self, aliases: &[(&'static str, &'static str)]) -> Self {
        self.aliases.extend_from_slice(aliases);
        self.has_late_aliases |= self.has_read_env;
        self
    }

    /// Reads the settings that an operator can change without a new build. The variables `TOWER_AUDIT_…` override the TOML
    /// file that `TOWER_AUDIT_CONFIG` names (feature `toml`), and the file overrides the settings in code.
    ///
    /// Call it last, before [`build`](Self::build): its error then reports everything at once.
    ///
    /// # Errors
    ///
    /// All bad and unknown settings at once, with what was given and what is allowed; and all problems of the catalog, the
    /// redaction rules and the other settings in code. If each setting is valid, `build` checks whether they fit together.
    pub fn from_env(mut self) -> Result<Self, Error> {
        let (settings, refused) = config::from_env(&self.aliases);
        self.outside = settings;
        self.has_read_env = true;
        match refused {
            None => Ok(self),
            Some(refused) => {
                self.refused.push(refused);
                Err(self.check().err().expect("refused settings are a problem"))
            }
        }
    }

    /// Checks everything and starts the audit log, which runs until [`Auditor::shutdown`], or until the last handle is
    /// dropped; see [`Auditor`].
    ///
    /// # Errors
    ///
    /// All problems of the catalog, settings, redaction rules and sinks at once, one line each; settings from the
    /// environment have the names of their variables. Also if the system refused a thread, or the process has no standard
    /// output.
    pub fn build(self) -> Result<Auditor, Error> {
        self.check()?.start()
    }
}

impl fmt::Debug for AuditorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditorBuilder").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}
