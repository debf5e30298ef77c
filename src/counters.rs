//! What goes on inside an auditor, as one snapshot.

use crate::engine::Engine;
use crate::queue::LossReason;
use crate::sink::{Ordinary, Outlet, SinkState};

/// Everything that an auditor counts, from [`Auditor::counters`](crate::Auditor::counters).
///
/// Totals count from the start and never go back; they still count after a shutdown, so that what comes too late shows.
/// The numbers are read one after another while requests go on: a sum over several can be off by what moved in between.
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
    /// Exchanges that have begun and not ended: requests and activities, those that wait to be let in included.
    pub open: u64,
    /// Requests and activities that wait to be let in, because too much is unwritten.
    pub waiting: u64,
    /// Total of records that exchanges have handed over to be written, whatever became of them then. What was lost on
    /// the way in (`queue_full`, `shutdown`) is not among them.
    pub handed_over: u64,
    /// Handed over, and not yet written or given up by every required sink. The bound is
    /// [`AuditorBuilder::queue_records`](crate::AuditorBuilder::queue_records).
    pub unwritten: u64,
    /// Bytes that open exchanges and unwritten records hold: heads, facts, captured bodies. The bound is
    /// [`AuditorBuilder::queue_bytes`](crate::AuditorBuilder::queue_bytes).
    pub captured_bytes: u64,
    /// Total of records that the first sink has taken, this library's own (`Audit…`) included.
    pub written: u64,
    /// Totals of records that were lost, by reason.
    pub lost: Losses,
    /// Total of requests and activities that were refused because they could not have been recorded.
    pub refused: u64,
    /// How often something was said of an exchange that had ended; it stands on no record.
    pub late: u64,
    /// Total of ordinary log lines that the first sink had no room for (see `Auditor::log_layer`).
    pub dropped_log_lines: u64,
    /// Each sink, in the order in which they were given.
    pub sinks: Vec<SinkCounters>,
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
    /// Total of records that it has taken, this library's own included.
    pub written: u64,
    /// Total of records of exchanges that it should have got and never will.
    pub lost: u64,
    /// Total of attempts after one that failed.
    pub retries: u64,
    /// Total of panics of its filter or format; the record was then kept, or stands as JSON.
    pub panics: u64,
    /// Bytes that wait for it, without those that it is writing.
    pub buffered_bytes: u64,
}

/// Where the numbers of sinks are read.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) ordinary: Ordinary,
}

impl Counted {
    pub(crate) fn snapshot(&self, engine: &Engine) -> Counters {
        let mut counters = Counters::default();
        for outlet in &self.outlets {
            let progress = outlet.progress();
            counters.lost.sink_failed += progress.lost;
            counters.lost.sink_full += progress.missed;
            counters.sinks.push(SinkCounters {
                name: outlet.name().to_owned(),
                state: progress.state,
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
        counters.dropped_log_lines = self.ordinary.dropped();
        counters
    }
}
