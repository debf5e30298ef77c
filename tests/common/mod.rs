//! What all tests at the front door share: an audit log that checks each line that it writes, servers and clients.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub(crate) mod bodies;
pub(crate) mod check;
pub(crate) mod expected;
pub(crate) mod net;
pub(crate) mod sinks;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tower_audit::sink::sink_fn;
use tower_audit::{Auditor, AuditorBuilder, Catalog, Clock, Event, IdSource, ShutdownReport};
use uuid::Uuid;

#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use expected::{failed, record};

/// For conditions that come true soon, on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// When all exchanges of tests begin.
pub(crate) const NOW: &str = "2026-11-20T07:55:37.720973Z";

/// A clock that stands still until it is moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct StillClock {
    moved: Arc<AtomicU64>,
}

impl StillClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.moved.fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> SystemTime {
        NOW.parse::<jiff::Timestamp>().unwrap().into()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.moved.load(Ordering::SeqCst))
    }
}

/// Ids 1, 2, 3, …
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl IdSource for Counted {
    fn audit_id(&self, _at: SystemTime) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1))
    }
}

/// What a sink has been given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn push(&self, batch: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(batch);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("lines are UTF-8")
    }
}

/// A running audit log.
pub(crate) struct Log {
    pub(crate) auditor: Auditor,
    pub(crate) clock: StillClock,
    written: Written,
}

/// An audit log without a catalog.
pub(crate) fn log() -> Log {
    log_with(|builder| builder)
}

/// An audit log of these events.
pub(crate) fn log_of(events: impl IntoIterator<Item = Event>) -> Log {
    let catalog = events.into_iter().fold(Catalog::new(), Catalog::event);
    log_with(|builder| builder.catalog(catalog))
}

pub(crate) fn log_with(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Log {
    let written = Written::default();
    let lines = written.clone();
    let sink = sink_fn(move |batch: &[u8]| -> io::Result<()> {
        lines.push(batch);
        Ok(())
    });
    log_to(written, |builder| set(builder.sink(sink)))
}

/// As [`log_with`], with a sink of the test's own that pushes to `written`.
pub(crate) fn log_to(written: Written, set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Log {
    let clock = StillClock::default();
    let builder =
        Auditor::builder().clock(clock.clone()).ids(Counted::default()).instance("run-1").host("server.example");
    let auditor = set(builder).build().unwrap();
    Log { auditor, clock, written }
}

impl Log {
    /// Every line written so far, checked.
    pub(crate) async fn all(&self) -> Vec<Value> {
        assert!(self.auditor.flush(DEADLINE).await, "not flushed in time");
        check::lines(&self.written.text())
    }

    /// The records of exchanges, once there are so many; without what no test can know.
    pub(crate) async fn records(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let records = expected::normal(self.all().await);
            if records.len() >= count {
                assert_eq!(records.len(), count, "more records than requests: {records:#?}");
                return records;
            }
            assert!(began.elapsed() < DEADLINE, "{count} records expected: {records:#?}");
            tokio::task::yield_now().await;
        }
    }

    /// The one record of the one exchange.
    pub(crate) async fn only(&self) -> Value {
        self.records(1).await.remove(0)
    }

    /// Stops, and gives what was reported and every line.
    pub(crate) async fn stop(self) -> (ShutdownReport, Vec<Value>) {
        let report = self.auditor.shutdown(DEADLINE).await;
        (report, check::lines(&self.written.text()))
    }

    /// Begins to stop; exchanges that are dropped from now on end as `shutdown`.
    pub(crate) fn begin_stop(self) -> (impl Future<Output = ShutdownReport>, Written) {
        (self.auditor.shutdown(DEADLINE), self.written)
    }
}

/// Waits for a condition that others make true.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}
