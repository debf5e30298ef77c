//! What handles ask of the worker: to flush, and to stop.

use std::time::Duration;

use super::promise::{Answer, Promise, promise};
use crate::sync::{Instant, Mutex, MutexGuard, PoisonError};

/// What became of everything, when an auditor has stopped.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Records that the first sink has taken, this library's own included.
    pub written: u64,
    /// Finished records that were lost since the start; told by `AuditRecordsLost` records as far as that was possible.
    pub lost: u64,
    /// Requests that were refused since the start because they could not have been recorded.
    pub refused: u64,
    /// Exchanges that were still open at the deadline. Their records are lost.
    pub open: u64,
    /// Whether every required sink took everything and confirmed its end before the deadline.
    pub flushed: bool,
}

impl ShutdownReport {
    /// Whether every record of every exchange was written.
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
    flushes: Vec<Flush>,
    stop: Option<Stop>,
    /// The worker has ended; nothing that is asked now will be done.
    ended: bool,
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
pub(super) struct Flush {
    pub(super) upto: u64,
    pub(super) reach: Reach,
    pub(super) deadline: Instant,
    pub(super) promise: Promise<bool>,
}

/// Somebody asked for the end.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) began: Instant,
    pub(super) limit: Duration,
    pub(super) promise: Promise<ShutdownReport>,
}

impl Control {
    /// Asks for the first `upto` records to be durable.
    pub(crate) fn flush(&self, upto: u64, reach: Reach, limit: Duration) -> Answer<bool> {
        let (promise, answer) = promise(false);
        let mut state = self.lock();
        if !state.ended {
            let deadline = after(Instant::now(), limit);
            state.flushes.push(Flush { upto, reach, deadline, promise });
        }
        answer
    }

    /// Asks for the end.
    pub(crate) fn stop(&self, limit: Duration) -> Answer<ShutdownReport> {
        let (promise, answer) = promise(ShutdownReport::default());
        let mut state = self.lock();
        if !state.ended && state.stop.is_none() {
            state.stop = Some(Stop { began: Instant::now(), limit, promise });
        }
        answer
    }

    pub(super) fn take_flushes(&self) -> Vec<Flush> {
        std::mem::take(&mut self.lock().flushes)
    }

    pub(super) fn take_stop(&self) -> Option<Stop> {
        self.lock().stop.take()
    }

    /// Nothing will be done any more: whoever still waits is answered by the promises' being dropped.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let left = (std::mem::take(&mut state.flushes), state.stop.take());
        // Without the lock, because it wakes them.
        drop(state);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A deadline; one too far to be said is a year away.
pub(super) fn after(began: Instant, limit: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    began.checked_add(limit.min(YEAR)).unwrap_or(began)
}
