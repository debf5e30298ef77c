//! What goes on inside an auditor, as one snapshot.

use std::fmt;
#[cfg(any(feature = "tracing-subscriber", feature = "export"))]
use std::sync::Arc;
#[cfg(feature = "tracing-subscriber")]
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::Engine;
#[cfg(feature = "export")]
use crate::export::{ExportCounters, Exporter};
use crate::queue::LossReason;
#[cfg(feature = "tracing-subscriber")]
use crate::sink::Ordinary;
use crate::sink::{Need, Outlet, SinkState};

/// Everything that an auditor counts, from [`Auditor::counters`](crate::Auditor::counters).
///
/// Totals count from the start and never go back; they still count after a shutdown, so that records that come too late are
/// counted. The numbers are read one after another while requests go on: a sum of several numbers can be slightly wrong.
///
/// ```
/// use tower_audit::{Auditor, SinkState, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (lines, _records) = sink::memory();
/// let auditor = Auditor::builder().sink(sink::Output::new(lines).name("main")).build()?;
/// auditor.shutdown_blocking(std::time::Duration::from_secs(5));
/// let counters = auditor.counters();
/// assert_eq!(counters.lost.total(), 0);
/// assert_eq!(counters.written, 2); // `AuditStarted` and `AuditStopped`
/// assert_eq!((counters.sinks[0].name.as_str(), counters.sinks[0].state), ("main", SinkState::Healthy));
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests and activities that have begun and not ended, including those that wait for admission.
    pub open: u64,
    /// Requests and activities that wait for queue space.
    pub waiting: u64,
    /// Total of records that requests and activities have put into the queue, whether they were written later or lost.
    /// Records that did not enter the queue (`queue_full`, `shutdown`) are not included.
    pub handed_over: u64,
    /// The number of records in the queue that some required sink has not yet written or lost. The bound is
    /// [`AuditorBuilder::queue_records`](crate::AuditorBuilder::queue_records).
    pub unwritten: u64,
    /// Bytes that open requests and unwritten records hold: heads, `meta`, captured bodies. The bound is
    /// [`AuditorBuilder::queue_bytes`](crate::AuditorBuilder::queue_bytes).
    pub captured_bytes: u64,
    /// Total of records that the first sink has taken, this library's own (`Audit…`) included.
    pub written: u64,
    /// Totals of records that were lost, by reason.
    pub lost: Losses,
    /// Total of requests and activities that were refused because they could not have been recorded.
    pub refused: u64,
    /// The number of values that were set after the request or activity had ended. They appear in no record.
    pub late: u64,
    /// Total of ordinary log lines that were dropped (see `Auditor::log_layer`).
    pub dropped_log_lines: u64,
    /// Total of panics of this library's worker, outside of any code of the application. Records that were lost by them are
    /// included in `lost.panicked`.
    pub panics: u64,
    /// Whether the log has stopped, so that nothing is recorded any more.
    pub stopped: bool,
    /// The counters of each sink, in the order in which the sinks were added.
    pub sinks: Vec<SinkCounters>,
    /// The counters of the exporter, if there is one.
    #[cfg(feature = "export")]
    #[cfg_attr(docsrs, doc(cfg(feature = "export")))]
    pub export: Option<ExportCounters>,
}

impl Counters {
    /// Whether every required sink works and the log runs: for the answer of a health check.
    ///
    /// While it is false, requests of the classes `durable` and `fail_closed` are refused, and those of `backpressure` go
    /// on without their records in at least one required sink.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_audit::{Auditor, Unhealthy, sink};
    ///
    /// # fn main() -> Result<(), tower_audit::Error> {
    /// let (lines, _records) = sink::memory();
    /// let auditor = Auditor::builder().sink(lines).build()?;
    /// assert!(auditor.counters().is_healthy());
    /// auditor.shutdown_blocking(Duration::from_secs(5));
    /// assert_eq!(auditor.counters().unhealthy(), Some(Unhealthy::Stopped));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_healthy(&self) -> bool {
        self.unhealthy().is_none()
    }

    /// Why the log is not healthy; `None` if it is healthy.
    pub fn unhealthy(&self) -> Option<Unhealthy> {
        if self.stopped {
            return Some(Unhealthy::Stopped);
        }
        let given_up = |sink: &&SinkCounters| sink.required && sink.state == SinkState::GivenUp;
        let sinks: Vec<_> = self.sinks.iter().filter(given_up).map(|sink| sink.name.clone()).collect();
        (!sinks.is_empty()).then_some(Unhealthy::SinksGivenUp(sinks))
    }
}

/// Why an audit log is not healthy; see [`Counters::unhealthy`]. Its `Display` is one sentence for an operator.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// The log was shut down, its last handle was dropped, or its worker panicked.
    Stopped,
    /// Required sinks of these names are given up.
    SinksGivenUp(Vec<String>),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the audit log has stopped: nothing is recorded"),
            Self::SinksGivenUp(sinks) => write!(f, "required audit sinks are given up: {}", sinks.join(", ")),
        }
    }
}

/// Records that were lost, by reason. A record that several sinks lost counts for each of them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The queue was full, and the event's class does not wait.
    pub queue_full: u64,
    /// They came after the shutdown.
    pub shutdown: u64,
    /// A sink was given up before they were written there.
    pub sink_failed: u64,
    /// A best-effort sink could not take them in time.
    pub sink_full: u64,
    /// A record could not be made, because code of this library panicked.
    pub panicked: u64,
}

impl Losses {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.queue_full + self.shutdown + self.sink_failed + self.sink_full + self.panicked
    }

    /// Each reason by the name that it has in `AuditRecordsLost` records and in metrics.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let Self { queue_full, shutdown, sink_failed, sink_full, panicked } = *self;
        [
            (LossReason::QueueFull, queue_full),
            (LossReason::Shutdown, shutdown),
            (LossReason::SinkFailed, sink_failed),
            (LossReason::SinkFull, sink_full),
            (LossReason::Panicked, panicked),
        ]
        .into_iter()
        .map(|(reason, count)| (reason.as_str(), count))
    }
}

/// One sink.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkCounters {
    /// As given by [`Output::name`](crate::sink::Output::name), or `sink-1`, `sink-2`, …
    pub name: String,
    /// Whether it works.
    pub state: SinkState,
    /// Whether it is [required](crate::sink::Output::required).
    pub required: bool,
    /// Total of records that it has taken, this library's own included.
    pub written: u64,
    /// Total of records of requests and activities that this sink has lost.
    pub lost: u64,
    /// Total of attempts after a failed one.
    pub retries: u64,
    /// Total of panics of its filter or format, whose record was then kept, or written as JSON; and of its thread, outside of
    /// the sink's own code.
    pub panics: u64,
    /// The bytes that wait in its buffer, without those that it is writing now.
    pub buffered_bytes: u64,
}

/// Where the numbers of sinks are read.
#[derive(Debug)]
pub(crate) struct Counted {
    outlets: Vec<(Outlet, Need)>,
    #[cfg(feature = "tracing-subscriber")]
    ordinary: Mutex<Vec<Arc<Ordinary>>>,
    #[cfg(feature = "export")]
    pub(crate) exporter: Option<Arc<Exporter>>,
}

impl Counted {
    pub(crate) fn new(outlets: Vec<(Outlet, Need)>) -> Self {
        Self {
            outlets,
            #[cfg(feature = "tracing-subscriber")]
            ordinary: Mutex::default(),
            #[cfg(feature = "export")]
            exporter: None,
        }
    }

    /// Counts the lines of a log layer.
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) fn add_log_lines(&self, lines: Arc<Ordinary>) {
        self.log_lines().push(lines);
    }

    #[cfg(feature = "tracing-subscriber")]
    fn log_lines(&self) -> MutexGuard<'_, Vec<Arc<Ordinary>>> {
        self.ordinary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "tracing-subscriber")]
    fn dropped_log_lines(&self) -> u64 {
        self.log_lines().iter().map(|lines| lines.dropped()).sum()
    }

    #[cfg(not(feature = "tracing-subscriber"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn dropped_log_lines(&self) -> u64 {
        0
    }

    /// Asks the threads of ordinary log lines to write what is left and to end.
    pub(crate) fn end_log_lines(&self) {
        #[cfg(feature = "tracing-subscriber")]
        self.log_lines().iter().for_each(|lines| lines.end());
    }

    pub(crate) fn log_lines_ended(&self) -> bool {
        #[cfg(feature = "tracing-subscriber")]
        return self.log_lines().iter().all(|lines| lines.has_ended());
        #[cfg(not(feature = "tracing-subscriber"))]
        true
    }

    pub(crate) fn snapshot(&self, engine: &Engine) -> Counters {
        let mut counters = Counters::default();
        for (outlet, need) in &self.outlets {
            let progress = outlet.progress();
            counters.lost.sink_failed += progress.lost;
            counters.lost.sink_full += progress.missed;
            counters.sinks.push(SinkCounters {
                name: outlet.name().to_owned(),
                state: progress.state,
                required: *need == Need::Required,
                written: progress.written,
                lost: progress.lost + progress.missed,
                retries: progress.retries,
                panics: progress.panics,
                buffered_bytes: progress.buffered as u64,
            });
        }
        let queue = &engine.queue;
        counters.written = counters.sinks.first().map_or(0, |sink| sink.written);
        counters.lost.queue_full = queue.lost_by(LossReason::QueueFull);
        counters.lost.shutdown = queue.lost_by(LossReason::Shutdown);
        counters.lost.panicked = queue.lost_by(LossReason::Panicked);
        counters.open = engine.open() as u64;
        counters.waiting = queue.waiting() as u64;
        counters.unwritten = queue.unwritten() as u64;
        counters.handed_over = queue.pushed();
        counters.captured_bytes = queue.held_bytes() as u64;
        counters.refused = queue.refused();
        counters.late = engine.late();
        counters.dropped_log_lines = self.dropped_log_lines();
        counters.panics = queue.panics();
        counters.stopped = queue.is_closed();
        #[cfg(feature = "export")]
        {
            counters.export = self.exporter.as_ref().map(|exporter| exporter.counters());
        }
        counters
    }
}
