//! A running audit log: kept alive by every handle that can still record, and ended when the last of them is dropped.

use std::fmt;
use std::time::Duration;

use crate::counters::Counted;
use crate::diagnostics::{is_own_thread, report};
use crate::engine::Engine;
use crate::promise::Answer;
use crate::queue::{ShutdownReport, StopReason};
#[cfg(feature = "tracing-subscriber")]
use crate::sink::{Outlet, Stream};
use crate::sync::Arc;

/// Held by the auditor, its layers and services, open exchanges, activities, and their handles. The worker, the sinks and
/// `LogLayer` hold the engine only: they do not keep the log alive.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    pub(crate) counted: Arc<Counted>,
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) log: Log,
}

/// What a log layer is made with.
#[cfg(feature = "tracing-subscriber")]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Log {
    pub(crate) standard: Box<[(Outlet, Stream)]>,
    pub(crate) line_budget: usize,
}

/// How long the last handle's drop may block its thread.
const DROP_LIMIT: Duration = Duration::from_secs(2);

impl Running {
    /// Asks for the end. Whoever asks gets the same report.
    pub(crate) fn stop(&self, limit: Duration, reason: StopReason) -> Answer<ShutdownReport> {
        self.engine.begin_closing();
        let answer = self.engine.control.stop(limit, reason);
        self.engine.queue.call();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.engine.control.is_stopping() {
            return;
        }
        // Contained: this may be a drop while unwinding, where a panic of a subscriber would end the process.
        report(|| {
            tracing::warn!(
                target: "tower_audit",
                "the last handle of the audit log was dropped, so the log ends; call `Auditor::shutdown` to learn what was written"
            );
        });
        let answer = self.stop(DROP_LIMIT, StopReason::Dropped);
        // The worker and the sinks must not wait for themselves.
        if !is_own_thread() {
            answer.wait(DROP_LIMIT + Duration::from_millis(100));
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("engine", &self.engine).finish_non_exhaustive()
    }
}
