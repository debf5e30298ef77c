//! The auditor: the one handle of an audit log, from its start to its end.

mod builder;
mod check;
#[cfg(feature = "export")]
mod exports;
mod outputs;
mod start;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::AuditorBuilder;
use crate::activity::ActivityBuilder;
use crate::catalog::{Event, compile_event};
#[cfg(feature = "tracing-subscriber")]
use crate::clock::Micros;
use crate::counters::Counters;
use crate::error::Error;
use crate::layer::AuditLayer;
#[cfg(feature = "tracing-subscriber")]
use crate::log_layer::LogLayer;
use crate::plan::Plan;
use crate::queue::{Reach, ShutdownReport, StopReason};
use crate::running::Running;
use crate::scope::Scopes;
#[cfg(feature = "tracing-subscriber")]
use crate::sink::{self, Ordinary, Sink, Stream};

/// An audit log: the handle that creates layers and activities, and shuts the log down. Cheap to clone; all clones belong to
/// the same log.
///
/// The log runs for as long as anything that can record exists: an auditor, a layer, a service, an open request or activity.
/// Call [`Auditor::shutdown`] when the server has stopped. When the last of them is dropped without it, the log ends too:
/// the drop blocks its thread for at most 2.1 seconds to write what is finished, it warns through `tracing`, and
/// `AuditStopped` has the reason `dropped`.
///
/// ```
/// use http::Method;
/// use tower_audit::{Auditor, Catalog, Event, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (lines, records) = sink::memory();
/// let catalog = Catalog::new().event(Event::new("TaskCreation").on(Method::POST, "/tasks"));
/// let auditor = Auditor::builder().catalog(catalog).sink(lines).build()?;
///
/// let layer = auditor.layer(); // for `Router::layer`, `ServiceBuilder::layer`, …
/// drop((auditor, layer)); // better: `auditor.shutdown(Duration::from_secs(5)).await`
/// assert!(records.text().contains(r#""eventName":"AuditStarted""#));
/// # Ok(())
/// # }
/// ```
#[must_use = "an audit log ends when its last handle is dropped"]
#[derive(Clone)]
pub struct Auditor {
    log: Arc<Running>,
}

impl Auditor {
    /// A builder with the default settings.
    pub fn builder() -> AuditorBuilder {
        AuditorBuilder::default()
    }

    /// The layer that records every request.
    ///
    /// Put it around the finished router (see `Auditor::wrap_router` for axum): there it also sees requests that match no
    /// route, and costs least. If another layer already records the request, this layer joins that record and writes none of
    /// its own.
    pub fn layer(&self) -> AuditLayer {
        AuditLayer::new(self.log.clone(), None)
    }

    /// A layer that names the event of every request that goes through it, for use where a single route is declared.
    ///
    /// Inside of [`Auditor::layer`] it joins the open record and sets its event, whichever event the catalog found. Without
    /// an outer layer it writes the record itself. The event must not have a route.
    ///
    /// # Errors
    ///
    /// If the event's name, message or sources are wrong, or it has a route.
    pub fn route_layer(&self, event: Event) -> Result<AuditLayer, Error> {
        let (policy, is_read) = compile_event(event)?;
        let plan = Plan::new(policy, is_read, self.log.engine.defaults)?;
        Ok(AuditLayer::new(self.log.clone(), Some(Arc::new(plan))))
    }

    /// Work without a request, such as a background job. It begins when the builder is awaited; see [`ActivityBuilder`].
    ///
    /// The event is one of the catalog, without a route, and has its policy. Any other name is an error when it is awaited:
    /// with a misspelt name, the policy, such as `Durable`, would be lost in silence. Use a constant in both places:
    ///
    /// ```
    /// use tower_audit::{Auditor, Catalog, Delivery, Event, sink};
    ///
    /// mod events {
    ///     pub const NIGHTLY_EXPORT: &str = "NightlyExport";
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_audit::Error> {
    /// # let (lines, _records) = sink::memory();
    /// let catalog = Catalog::new().event(Event::new(events::NIGHTLY_EXPORT).delivery(Delivery::Durable));
    /// let auditor = Auditor::builder().catalog(catalog).sink(lines).build()?;
    /// auditor.begin(events::NIGHTLY_EXPORT).await?.succeed();
    ///
    /// let error = auditor.begin("NigthlyExport").await.unwrap_err();
    /// assert!(error.kind() == tower_audit::ErrorKind::Catalog && error.to_string().ends_with("did you mean `NightlyExport`?"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin(&self, event: impl Into<String>) -> ActivityBuilder {
        ActivityBuilder::new(self.log.clone(), event.into(), true)
    }

    /// As [`Auditor::begin`], for names that are not known before, such as those of plugins. A name that the catalog does not
    /// have gets the default policy.
    pub fn begin_unlisted(&self, event: impl Into<String>) -> ActivityBuilder {
        ActivityBuilder::new(self.log.clone(), event.into(), false)
    }

    /// Which scopes are audited: reads and changes the rules while the server runs. See [`guide::scopes`](crate::guide::scopes).
    pub fn scopes(&self) -> Scopes {
        Scopes::new(self.log.clone())
    }

    /// Reads the location file again, after it was replaced. Replace it with a rename, so that it is always complete.
    /// Records that are made from now on have the new locations. Blocks its thread, for a second with the largest files.
    ///
    /// # Errors
    ///
    /// If there is none, or it is broken: what was read before stays in use.
    #[cfg(feature = "geoip")]
    #[cfg_attr(docsrs, doc(cfg(feature = "geoip")))]
    pub fn reload_geoip_file(&self) -> Result<(), Error> {
        let none = || Error::setting("geoip_file: this audit log has no location file to read again");
        self.log.engine.places.as_ref().ok_or_else(none)?.reload()
    }

    /// Waits until all earlier records are written and synced. Returns false if that takes longer than `limit`; and at once
    /// while a required sink is given up, or if a required sink lost the last of these records. Earlier losses that the sink
    /// has reported do not count.
    ///
    /// For tests, and before something that may end the process.
    pub fn flush(&self, limit: Duration) -> impl Future<Output = bool> + Send + use<> {
        let engine = &self.log.engine;
        let answer = engine.control.flush(engine.queue.last_position(), Reach::All, limit);
        engine.queue.call();
        answer
    }

    /// Runs the exporter now: seals the spool with all earlier records, and exports the segments that wait.
    ///
    /// If a run is in progress, it ends first. After `limit`, the report has what was done until then; the rest waits for
    /// the next run. Half of the limit is for the spool to take what was recorded before. If it does not, for example
    /// because it is full, the records that it has are exported nevertheless, and
    /// [`ExportReport::error`](crate::export::ExportReport::error) reports it, as it does if the export failed.
    ///
    /// # Errors
    ///
    /// If this log exports nothing: see [`AuditorBuilder::export`].
    #[cfg(feature = "export")]
    #[cfg_attr(docsrs, doc(cfg(feature = "export")))]
    pub fn export_now(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<crate::export::ExportReport, Error>> + Send + use<> {
        let began = std::time::Instant::now();
        let (log, flushed) = (self.log.clone(), self.flush(limit / 2));
        async move {
            let Some(exporter) = &log.counted.exporter else {
                return Err(Error::setting("this audit log exports nothing: see `AuditorBuilder::export`"));
            };
            let is_spooled = flushed.await;
            let answer = exporter.request(began + limit.min(Duration::from_secs(365 * 24 * 3600)));
            // The worker gives up requests whose time is over.
            log.engine.queue.call();
            let mut report = answer.await;
            if !is_spooled {
                let late = "what was recorded before could not be written to the spool in time";
                report.error.get_or_insert_with(|| late.to_owned());
            }
            Ok(report)
        }
    }

    /// The current state, and the totals of written and lost records. For health checks and metrics; not for every request,
    /// because it takes a short lock for each sink.
    pub fn counters(&self) -> Counters {
        self.log.counted.snapshot(&self.log.engine)
    }

    /// A `tracing-subscriber` layer that writes ordinary logs to standard output; to standard error where the records go
    /// there, or where the process has no standard output. See [`LogLayer`].
    ///
    /// Each call starts a thread; clone the layer to use it twice.
    #[cfg(feature = "tracing-subscriber")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tracing-subscriber")))]
    pub fn log_layer(&self) -> LogLayer {
        let standard = &self.log.log.standard;
        let records_go_to = |stream| standard.iter().any(|(_, standard)| *standard == stream);
        let stderr = || sink::stderr().map(|sink| Box::new(sink) as Box<dyn Sink>).ok();
        let to_stderr = records_go_to(Stream::Error) && !records_go_to(Stream::Output);
        let stdout = if to_stderr { None } else { sink::stdout().ok() };
        self.log_layer_on(stdout.map(|sink| Box::new(sink) as Box<dyn Sink>).or_else(stderr))
    }

    /// As [`Auditor::log_layer`], to another sink than standard output: [`sink::stderr`](crate::sink::stderr), or
    /// [`sink::memory`](crate::sink::memory) in a test. Do not use a file of records: it is locked by its own sink.
    #[cfg(feature = "tracing-subscriber")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tracing-subscriber")))]
    pub fn log_layer_to(&self, sink: impl Sink) -> LogLayer {
        self.log_layer_on(Some(Box::new(sink)))
    }

    #[cfg(feature = "tracing-subscriber")]
    fn log_layer_on(&self, sink: Option<Box<dyn Sink>>) -> LogLayer {
        // The layer and its thread hold the engine only: they do not keep the log alive.
        let Running { engine, counted, log } = &*self.log;
        let sink = sink.filter(|_| !engine.queue.is_closed());
        let after = log.standard.iter().map(|(outlet, _)| outlet.clone()).collect();
        let clock = engine.clone();
        let now = move || Micros::from_system(clock.clock.now());
        let lines = Arc::new(Ordinary::start(sink, after, log.line_budget, now));
        counted.add_log_lines(lines.clone());
        // The shutdown may have ended the others since.
        if engine.queue.is_closed() {
            lines.end();
        }
        LogLayer::new(engine.clone(), lines)
    }

    /// Whether auditing is switched on (`TOWER_AUDIT_ENABLED`).
    pub fn is_enabled(&self) -> bool {
        self.log.engine.enabled
    }

    /// Whether records are still written: true from [`AuditorBuilder::build`] until a shutdown closes the queue. Afterwards,
    /// requests whose records may not be lost get 503, and activities get an error: the log has stopped.
    pub fn is_running(&self) -> bool {
        !self.log.engine.queue.is_closed()
    }

    /// Waits for open requests and activities, writes everything, and reports what was written and what was not. Call it when the server
    /// has stopped.
    ///
    /// Requests that are dropped from now on have the outcome `shutdown`. Open ones are waited for until a quarter of the
    /// time is left (at most one second); those that are still open then are counted. Later records are lost and counted.
    ///
    /// The first call sets the deadline; every call gets the same report. The log ends whether or not the future is awaited.
    pub fn shutdown(&self, limit: Duration) -> impl Future<Output = ShutdownReport> + Send + use<> {
        self.log.stop(limit, StopReason::Shutdown)
    }

    /// As [`Auditor::shutdown`], for code without an executor: blocks its thread, for about `limit` at most.
    pub fn shutdown_blocking(&self, limit: Duration) -> ShutdownReport {
        let answer = self.log.stop(limit, StopReason::Shutdown);
        answer.wait(limit.saturating_add(Duration::from_secs(1))).unwrap_or_default()
    }

    /// Reports that the server is stopping, before it has stopped: requests that are dropped from now on have the outcome `shutdown`.
    pub fn start_shutdown(&self) {
        self.log.engine.begin_closing();
    }
}

#[cfg(test)]
impl Auditor {
    pub(crate) fn engine(&self) -> &crate::engine::Engine {
        &self.log.engine
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor").field("engine", &self.log.engine).finish()
    }
}
