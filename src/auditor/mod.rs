//! The auditor: the handle that an application keeps, and the guard of its end.

mod builder;
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
use crate::counters::{Counted, Counters};
use crate::engine::Engine;
use crate::error::Error;
use crate::layer::AuditLayer;
#[cfg(feature = "tracing-subscriber")]
use crate::log_layer::LogLayer;
use crate::plan::Plan;
use crate::queue::{Answer, Reach, ShutdownReport};
#[cfg(feature = "tracing-subscriber")]
use crate::sink::{self, Ordinary, Outlet, Sink, Stream};

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
    #[cfg(feature = "tracing-subscriber")]
    log: Log,
}

/// What a log layer is made with.
#[cfg(feature = "tracing-subscriber")]
#[derive(Clone)]
struct Log {
    standard: Arc<[(Outlet, Stream)]>,
    line_budget: usize,
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

    /// Waits until everything that was recorded before is written and synced. False if that took longer than `limit`; and at
    /// once while a required sink is given up, or if it lost the last record of them. What a sink lost before that, and has
    /// reported since, does not count.
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

    /// A `tracing-subscriber` layer that writes ordinary logs to standard output; to standard error where the records go
    /// there, or where the process has no standard output. See [`LogLayer`].
    ///
    /// Each call starts a thread; clone the layer to use it twice.
    #[cfg(feature = "tracing-subscriber")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tracing-subscriber")))]
    pub fn log_layer(&self) -> LogLayer {
        let records_go_to = |stream| self.log.standard.iter().any(|(_, standard)| *standard == stream);
        let stderr = || sink::stderr().map(|sink| Box::new(sink) as Box<dyn Sink>).ok();
        let to_stderr = records_go_to(Stream::Error) && !records_go_to(Stream::Output);
        let stdout = if to_stderr { None } else { sink::stdout().ok() };
        self.log_layer_on(stdout.map(|sink| Box::new(sink) as Box<dyn Sink>).or_else(stderr))
    }

    /// As [`Auditor::log_layer`], to another sink than standard output: [`sink::stderr`](crate::sink::stderr), or
    /// [`sink::memory`](crate::sink::memory) in a test. Not to a file of records: its sink is opened once, and locked.
    #[cfg(feature = "tracing-subscriber")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tracing-subscriber")))]
    pub fn log_layer_to(&self, sink: impl Sink) -> LogLayer {
        self.log_layer_on(Some(Box::new(sink)))
    }

    #[cfg(feature = "tracing-subscriber")]
    fn log_layer_on(&self, sink: Option<Box<dyn Sink>>) -> LogLayer {
        let sink = sink.filter(|_| !self.engine.queue.is_closed());
        let after = self.log.standard.iter().map(|(outlet, _)| outlet.clone()).collect();
        let engine = self.engine.clone();
        let now = move || Micros::from_system(engine.clock.now());
        let lines = Arc::new(Ordinary::start(sink, after, self.log.line_budget, now));
        self.counted.add_log_lines(lines.clone());
        LogLayer::new(self.engine.clone(), lines)
    }

    /// Whether anything is recorded.
    pub fn is_enabled(&self) -> bool {
        self.engine.enabled
    }
}

#[cfg(test)]
impl Auditor {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
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
