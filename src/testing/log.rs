//! An audit log in memory that nothing changes by chance.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use uuid::Uuid;

use crate::auditor::{Auditor, AuditorBuilder};
use crate::clock::{Clock, IdSource};
use crate::error::Error;
use crate::queue::ShutdownReport;
use crate::sink::{self, MemoryRecords};

/// 2026-01-01T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_767_225_600);
/// For what comes soon, on any machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An audit log in memory for tests.
///
/// Its clock stays at `2026-01-01T00:00:00.000000Z` until it is [moved](Self::advance), its `auditId`s count from
/// `00000000-0000-0000-0000-000000000001`, `instance` is `test` and `host` is `test.example`; so whole records can be
/// compared. Tests need no sleep: the methods wait until the records are written.
///
/// ```
/// use serde_json::json;
/// use tower_audit::Actor;
/// use tower_audit::testing::TestLog;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_audit::Error> {
/// let log = TestLog::new();
/// log.auditor().begin_unlisted("NightlyRun").actor(Actor::service("service:reports")).emit().await?;
///
/// let records = log.records().await;
/// assert_eq!(records[0]["timestamp"], "2026-01-01T00:00:00.000000Z");
/// assert_eq!(records[0]["actor"], json!({ "actorId": "service:reports", "kind": "service" }));
/// # Ok(())
/// # }
/// ```
pub struct TestLog {
    auditor: Auditor,
    records: MemoryRecords,
    clock: StillClock,
}

impl TestLog {
    /// A log with the default settings and without a catalog.
    pub fn new() -> Self {
        Self::with(|builder| builder).expect("the default settings are valid")
    }

    /// A log with the settings that the closure makes, such as a catalog, redaction rules and further sinks.
    ///
    /// # Errors
    ///
    /// As [`AuditorBuilder::build`].
    pub fn with(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Result<Self, Error> {
        let (lines, records) = sink::memory();
        let clock = StillClock::default();
        let builder = Auditor::builder()
            .sink(lines)
            .clock(clock.clone())
            .ids(Counted::default())
            .instance("test")
            .host("test.example");
        let auditor = set(builder).build()?;
        Ok(Self { auditor, records, clock })
    }

    /// The auditor, for layers and activities.
    pub fn auditor(&self) -> &Auditor {
        &self.auditor
    }

    /// Moves the clock forward: the duration of open requests and activities grows by `by`.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Every line that was recorded so far, this library's own (`AuditStarted`) too, in the order of `seq`.
    ///
    /// # Panics
    ///
    /// If they are not written within 30 seconds.
    pub async fn lines(&self) -> Vec<String> {
        assert!(self.auditor.flush(LIMIT).await, "the audit log was not written within {LIMIT:?}");
        self.records.lines()
    }

    /// The records of requests and activities so far, parsed; without this library's own.
    ///
    /// A record is there once its response has ended: read its body first, or use [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// If they are not written within 30 seconds, or a line is not JSON.
    pub async fn records(&self) -> Vec<Value> {
        parsed(&self.lines().await)
    }

    /// Waits for at least this number of records, then returns all: for requests that end later, such as those of a server.
    ///
    /// # Panics
    ///
    /// If there are fewer after 30 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let records = self.records().await;
            if records.len() >= count {
                return records;
            }
            assert!(began.elapsed() < LIMIT, "{} of {count} records within {LIMIT:?}", records.len());
            // Others of this executor have to run before there can be more.
            let mut yielded = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Shuts the audit log down; the report, and every line that was ever written.
    pub async fn stop(self) -> (ShutdownReport, Vec<String>) {
        let report = self.auditor.shutdown(LIMIT).await;
        (report, self.records.lines())
    }
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    let is_own = |record: &Value| record["eventName"].as_str().is_some_and(|name| name.starts_with("Audit"));
    lines.iter().map(parse).filter(|record| !is_own(record)).collect()
}

impl Default for TestLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestLog").finish_non_exhaustive()
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug, Default)]
struct StillClock {
    moved: Arc<AtomicU64>,
}

impl StillClock {
    fn advance(&self, by: Duration) {
        self.moved.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + NOW + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }
}

/// Ids 1, 2, 3, …
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl IdSource for Counted {
    fn audit_id(&self, _at: SystemTime) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Stages;

    #[tokio::test]
    async fn whole_records_can_be_compared() {
        let log = TestLog::with(|builder| builder.stages(Stages::Both)).unwrap();
        let activity = log.auditor().begin_unlisted("Run").await.unwrap();
        log.advance(Duration::from_millis(1_500));
        activity.succeed();
        let records = log.wait_for(2).await;
        assert_eq!(
            records[1],
            json!({
                "timestamp": "2026-01-01T00:00:01.500000Z", "level": "info", "isAuditLog": true, "schema": "1.0",
                "eventName": "Run", "logType": "audit", "stage": "completion", "status": "succeeded", "outcome": "completed",
                "message": "Run by somebody succeeded", "auditId": records[0]["auditId"], "instance": "test",
                "seq": 3, "startedAt": "2026-01-01T00:00:00.000000Z", "durationMs": 1500.0, "host": "test.example",
                "actor": { "actorId": null },
            })
        );
        let (report, lines) = log.stop().await;
        assert!(report.is_complete());
        assert_eq!(lines.len(), 4);
    }
}
