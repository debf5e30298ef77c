//! The counters through the `metrics` facade: published without being asked, and at the end as they are.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower_audit::{Auditor, Catalog, Delivery, Event, sink};

#[derive(Clone, Default)]
struct Recorded {
    counters: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    gauges: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    threads: Arc<Mutex<Vec<Option<String>>>>,
    described: Arc<Mutex<Vec<String>>>,
}

fn id(key: &Key) -> String {
    let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect::<Vec<_>>();
    if labels.is_empty() { key.name().to_owned() } else { format!("{}{{{}}}", key.name(), labels.join(",")) }
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.threads.lock().unwrap().push(std::thread::current().name().map(str::to_owned));
        Counter::from_arc(self.counters.lock().unwrap().entry(id(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.gauges.lock().unwrap().entry(id(key)).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_is_told_from_the_workers_thread() {
    let recorded = Recorded::default();
    metrics::set_global_recorder(recorded.clone()).unwrap();
    let catalog = Catalog::new().event(Event::new("Lossy").delivery(Delivery::Lossy));
    let (lines, _records) = sink::memory();
    let auditor = Auditor::builder().catalog(catalog).sink(sink::Output::new(lines).name("main")).build().unwrap();
    let open = auditor.begin_unlisted("Open").try_begin().unwrap();
    auditor.begin_unlisted("Lossy").try_emit().unwrap();

    let counter = |name: &str| recorded.counters.lock().unwrap().get(name).map(|value| value.load(Ordering::Relaxed));
    let gauge = |name: &str| {
        let gauges = recorded.gauges.lock().unwrap();
        gauges.get(name).map(|value| f64::from_bits(value.load(Ordering::Relaxed)))
    };
    // Told before it sleeps, though nobody asked.
    let begin = Instant::now();
    while counter("tower_audit_records_written_total{sink=main}") != Some(2) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", recorded.counters);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(gauge("tower_audit_exchanges_open"), Some(1.0));

    drop(open);
    auditor.shutdown_blocking(Duration::from_secs(20));
    let counters = auditor.counters();
    assert_eq!(counter("tower_audit_records_written_total{sink=main}"), Some(counters.written));
    assert_eq!(counter("tower_audit_records_handed_over_total"), Some(2));
    assert_eq!(counter("tower_audit_sink_records_lost_total{sink=main}"), Some(0));
    assert_eq!(counter("tower_audit_sink_retries_total{sink=main}"), Some(0));
    for reason in ["queue_full", "shutdown", "sink_failed", "sink_full", "panicked"] {
        assert_eq!(counter(&format!("tower_audit_records_lost_total{{reason={reason}}}")), Some(0), "{reason}");
    }
    for name in ["requests_refused", "late", "log_lines_dropped", "worker_panics"] {
        assert_eq!(counter(&format!("tower_audit_{name}_total")), Some(0), "{name}");
    }
    for name in [
        "exchanges_open",
        "records_unwritten",
        "captured_bytes",
        "requests_waiting",
        "sink_state{sink=main}",
        "sink_buffered_bytes{sink=main}",
    ] {
        assert_eq!(gauge(&format!("tower_audit_{name}")), Some(0.0), "{name}");
    }
    assert!(recorded.threads.lock().unwrap().iter().all(|name| name.as_deref() == Some("audit-worker")));
    // Each of them is described, and nothing else.
    let plain = |name: &String| name.split('{').next().unwrap().to_owned();
    let mut told: Vec<String> = recorded.counters.lock().unwrap().keys().map(plain).collect();
    told.extend(recorded.gauges.lock().unwrap().keys().map(plain));
    told.sort();
    told.dedup();
    let mut described = recorded.described.lock().unwrap().clone();
    described.sort();
    assert_eq!(described, told);
}
