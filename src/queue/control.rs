//! What handles ask of the worker: to flush, and to stop.

use std::time::Duration;

#[cfg(feature = "export")]
use crate::diagnostics::report;
#[cfg(feature = "export")]
use crate::export::Announcement;
use crate::promise::{Answer, Promise, promise};
use crate::sync::{Instant, Mutex, MutexGuard, PoisonError};

/// The totals of a log that has stopped; the result of [`Auditor::shutdown`](crate::Auditor::shutdown).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Records that the first sink has taken, this library's own included.
    pub written: u64,
    /// Finished records that were lost since the start; reported by `AuditRecordsLost` records as far as possible.
    pub lost: u64,
    /// Requests that were refused since the start because they could not have been recorded.
    pub refused: u64,
    /// Requests and activities that were still open at the deadline. Their records are lost.
    pub open: u64,
    /// Whether every required sink wrote everything and closed without an error before the deadline.
    pub flushed: bool,
    /// Segments that were not exported before the deadline, where records are exported (feature `export`). They stay in the
    /// spool for the next start.
    pub unexported: u64,
}

impl ShutdownReport {
    /// Whether every record was written.
    pub fn is_complete(&self) -> bool {
        self.flushed && self.lost == 0 && self.open == 0
    }
}

/// The worker's letter box.
#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the exporter has to say.
    #[cfg(feature = "export")]
    announcements: Vec<Announcement>,
    flushes: Vec<Flush>,
    /// The sinks have ended: so many records are durable in all that are required, and no more will be.
    kept: Option<u64>,
    stop: Option<Stop>,
    /// The end has been asked for.
    stopping: bool,
    /// Waiting for the report of the end.
    reports: Vec<Promise<ShutdownReport>>,
    /// The worker has ended, with this report; nothing that is asked now will be done.
    ended: Option<ShutdownReport>,
}

/// Which sinks a flush waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that requests may not go on without.
    Required,
    /// All that work.
    All,
}

/// Somebody waits for what was handed over so far to be durable.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) upto: u64,
    pub(crate) reach: Reach,
    pub(crate) deadline: Instant,
    pub(crate) promise: Promise<bool>,
}

/// Somebody asked for the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) began: Instant,
    pub(crate) limit: Duration,
    pub(crate) reason: StopReason,
}

/// Why a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The application asked for it.
    Shutdown,
    /// The last handle was dropped.
    Dropped,
}

impl StopReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Dropped => "dropped",
        }
    }
}

impl Control {
    /// Asks for the first `upto` records to be durable.
    pub(crate) fn flush(&self, upto: u64, reach: Reach, limit: Duration) -> Answer<bool> {
        let (promise, answer) = promise(false);
        let mut state = self.lock();
        if let Some(kept) = state.kept {
            drop(state);
            promise.give(reach == Reach::Required && upto <= kept);
        } else if state.ended.is_none() {
            let deadline = after(Instant::now(), limit);
            state.flushes.push(Flush { upto, reach, deadline, promise });
        }
        answer
    }

    /// Asks for the end. The first call sets its deadline and its reason; everybody who asks gets the same report.
    pub(crate) fn stop(&self, limit: Duration, reason: StopReason) -> Answer<ShutdownReport> {
        let mut state = self.lock();
        if let Some(report) = state.ended {
            return Answer::given(report);
        }
        let (promise, answer) = promise(ShutdownReport::default());
        state.reports.push(promise);
        if !state.stopping {
            state.stopping = true;
            state.stop = Some(Stop { began: Instant::now(), limit, reason });
        }
        answer
    }

    /// Has something recorded of an export. What comes after the end is not: the next run of the process exports on.
    #[cfg(feature = "export")]
    pub(crate) fn announce(&self, announcement: Announcement) {
        /// Runs take longer than the worker does to record one.
        const MAX_WAITING: usize = 16;
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        if state.announcements.len() < MAX_WAITING {
            return state.announcements.push(announcement);
        }
        drop(state);
        report(
            || tracing::error!(target: "tower_audit", "export: a run has no record, because {MAX_WAITING} wait for theirs"),
        );
    }

    #[cfg(feature = "export")]
    pub(crate) fn take_announcements(&self) -> Vec<Announcement> {
        std::mem::take(&mut self.lock().announcements)
    }

    /// Whether the end has been asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    pub(crate) fn take_flushes(&self) -> Vec<Flush> {
        std::mem::take(&mut self.lock().flushes)
    }

    /// The last flushes: from now on each is answered at once.
    pub(crate) fn end_flushes(&self, kept: u64) -> Vec<Flush> {
        let mut state = self.lock();
        state.kept = Some(kept);
        std::mem::take(&mut state.flushes)
    }

    pub(crate) fn take_stop(&self) -> Option<Stop> {
        self.lock().stop.take()
    }

    /// The worker has ended: everybody who asked for the end gets the report, and open flushes are answered with no.
    pub(crate) fn end(&self, report: ShutdownReport) {
        let mut state = self.lock();
        state.ended = Some(report);
        let (flushes, reports) = (std::mem::take(&mut state.flushes), std::mem::take(&mut state.reports));
        // Without the lock, because it wakes them.
        drop(state);
        drop(flushes);
        reports.into_iter().for_each(|promise| promise.give(report));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A deadline; one too far to be said is a year away.
pub(crate) fn after(began: Instant, limit: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    began.checked_add(limit.min(YEAR)).unwrap_or(began)
}
