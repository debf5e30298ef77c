//! Sinks that are given up: what they need is refused, what they lose is reported, and they are tried again.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::sinks::{Disk, checked, named, told};
use common::{DEADLINE, Log, Written, eventually, log_to};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::sink::{Output, Sink, sink_fn};
use tower_audit::{AuditedRouterService, Auditor, Catalog, Clock, Delivery, Event, SinkState, Unhealthy};

/// How long a sink that was given up is left alone.
const PAUSE: Duration = Duration::from_secs(30);

/// An app that counts how often its handler ran.
fn counting(auditor: &Auditor) -> (AuditedRouterService, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let app = Router::new().fallback(any(async move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    (auditor.wrap_router(app).into_service(), ran)
}

fn of_each_class() -> Catalog {
    let event = |name: &'static str, class| Event::new(name).on(Method::GET, format!("/{name}")).delivery(class);
    Catalog::new()
        .event(event("lossy", Delivery::Lossy))
        .event(event("backpressure", Delivery::Backpressure))
        .event(event("durable", Delivery::Durable))
        .event(event("closed", Delivery::FailClosed))
}

async fn ask(service: &AuditedRouterService, path: &str) -> Response<Body> {
    service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().map(Body::new)
}

fn keeping(written: &Written) -> Output {
    let lines = written.clone();
    sink_fn(move |batch: &[u8]| -> io::Result<()> {
        lines.push(batch);
        Ok(())
    })
    .into()
}

fn state(log: &Log, sink: usize) -> SinkState {
    log.auditor.counters().sinks[sink].state
}

#[tokio::test]
async fn durable_and_fail_closed_are_refused_before_the_handler_while_a_required_sink_is_given_up() {
    let (first, second) = (Disk::default(), Written::default());
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = states.clone();
    let log = log_to(second.clone(), |builder| {
        builder
            .catalog(of_each_class())
            .sink_retry_limit(Duration::ZERO)
            .sink(Output::new(first.sink()).name("first"))
            .sink(keeping(&second).name("second"))
            .on_sink_state(move |name, state| seen.lock().unwrap().push((name.to_owned(), state)))
    });
    let (service, ran) = counting(&log.auditor);
    assert_eq!(ask(&service, "/durable").await.status(), StatusCode::OK);
    assert!(log.auditor.counters().is_healthy());
    first.break_with(ErrorKind::StorageFull);
    assert_eq!(ask(&service, "/backpressure").await.status(), StatusCode::OK);
    eventually("it is given up", || state(&log, 0) == SinkState::GivenUp).await;
    assert_eq!(ran.swap(0, Ordering::SeqCst), 2);
    let unhealthy = log.auditor.counters().unhealthy().unwrap();
    assert_eq!(unhealthy, Unhealthy::SinksGivenUp(vec!["first".to_owned()]));
    assert_eq!(unhealthy.to_string(), "required audit sinks are given up: first");

    for path in ["/durable", "/closed", "/durable"] {
        let answer = ask(&service, path).await;
        assert_eq!(
            (answer.status(), answer.headers().contains_key("retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, true)
        );
    }
    for error in
        [log.auditor.begin("durable").await.unwrap_err(), log.auditor.begin("durable").try_begin().unwrap_err()]
    {
        assert!(
            error.kind() == tower_audit::ErrorKind::Refused
                && error.to_string().starts_with("a required sink of the audit log is given up")
        );
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0, "nothing is handled that cannot become durable");
    for path in ["/backpressure", "/lossy"] {
        assert_eq!(ask(&service, path).await.status(), StatusCode::OK);
    }
    assert_eq!(ran.swap(0, Ordering::SeqCst), 2);
    eventually("the sink that works reports it", || second.text().contains("AuditRecordsLost")).await;

    first.break_with(None);
    log.clock.advance(PAUSE);
    assert_eq!(ask(&service, "/backpressure").await.status(), StatusCode::OK);
    eventually("it works again", || state(&log, 0) == SinkState::Healthy).await;
    assert!(log.auditor.counters().is_healthy());
    let mut refused = 4;
    eventually("durable requests are admitted", || {
        let begun = log.auditor.begin("durable").try_begin();
        refused += usize::from(begun.is_err());
        begun.map(tower_audit::Activity::succeed).is_ok()
    })
    .await;
    assert_eq!(ask(&service, "/closed").await.status(), StatusCode::OK);
    let expected = [SinkState::GivenUp, SinkState::Healthy].map(|state| ("first".to_owned(), state));
    assert_eq!(*states.lock().unwrap(), expected);
    let (report, lines) = log.stop().await;
    assert!(report.flushed && report.open == 0, "{report:?}");
    // The refused ones are among the records, as far as each sink has them.
    assert_eq!(named(&lines, "durable").iter().filter(|record| record["outcome"] == "rejected").count(), refused);
    for record in named(&lines, "AuditRecordsLost") {
        assert_eq!((&record["meta"]["sink"], &record["meta"]["reason"]), (&json!("first"), &json!("sink_failed")));
    }
    let lines = checked(&first.written);
    let exchanges = lines.iter().filter(|record| !record["eventName"].as_str().unwrap().starts_with("Audit")).count();
    assert_eq!(exchanges as u64 + told(&lines, "AuditRecordsLost"), log_total(&second));
}

/// How many records of exchanges a sink has that lost none.
fn log_total(written: &Written) -> u64 {
    let lines = checked(written);
    lines.iter().filter(|record| !record["eventName"].as_str().unwrap().starts_with("Audit")).count() as u64
}

#[tokio::test]
async fn requests_that_wait_for_room_are_refused_too_when_the_sink_is_given_up() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder
            .catalog(of_each_class())
            .queue_records(1)
            .admission_timeout(Duration::from_secs(600))
            .sink_retry_limit(Duration::ZERO)
            .sink(disk.sink())
    });
    let (service, ran) = counting(&log.auditor);
    log.all().await;
    disk.writing.set(true);
    assert_eq!(ask(&service, "/backpressure").await.status(), StatusCode::OK);
    let waiting = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, "/durable").await.status() }
    });
    eventually("it waits", || log.auditor.counters().waiting == 1).await;
    disk.break_with(ErrorKind::StorageFull);
    disk.writing.set(false);
    assert_eq!(waiting.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

/// A sink that takes a part of what it is given, cut anywhere, and fails while it is told to.
#[derive(Clone, Default)]
struct Cutting {
    written: Written,
    broken: Arc<AtomicBool>,
}

impl Sink for Cutting {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // What it takes before it fails ends in the middle of a line, mostly.
        if self.broken.load(Ordering::SeqCst) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let part = lines.len().div_ceil(3);
        self.written.push(&lines[..part]);
        Ok(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.flush()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_dies_and_comes_back_again_and_again_under_load_reports_first_what_it_lost() {
    const ROUNDS: usize = 8;
    let sink = Cutting::default();
    let log = log_to(sink.written.clone(), |builder| {
        builder
            .catalog(of_each_class())
            // The clock jumps: a request that waits for capacity meanwhile must not be refused for it.
            .admission_timeout(Duration::from_secs(u64::from(u32::MAX)))
            .sink_retry_limit(Duration::ZERO)
            .sink(sink.clone())
    });
    let (service, _) = counting(&log.auditor);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (service, stop, asked) = (service.clone(), stop.clone(), asked.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(ask(&service, "/backpressure").await.status(), StatusCode::OK);
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        sink.broken.store(true, Ordering::SeqCst);
        eventually("it is given up", || state(&log, 0) == SinkState::GivenUp).await;
        let lost = log.auditor.counters().lost.sink_failed;
        eventually("it loses", || log.auditor.counters().lost.sink_failed > lost + 10).await;
        // Tried in vain.
        let retries = log.auditor.counters().sinks[0].retries;
        // The pause begins when the worker sees that it was given up, or that it was tried in vain.
        eventually("it was tried", || {
            log.clock.advance(PAUSE);
            log.auditor.counters().sinks[0].retries > retries
        })
        .await;
        assert_eq!(state(&log, 0), SinkState::GivenUp);
        sink.broken.store(false, Ordering::SeqCst);
        eventually("it works again", || {
            log.clock.advance(PAUSE);
            state(&log, 0) == SinkState::Healthy
        })
        .await;
        let written = log.auditor.counters().written;
        eventually("it goes on", || log.auditor.counters().written > written + 10).await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let (report, lines) = log.stop().await;
    assert!(report.flushed && report.lost > 0, "{report:?}");
    // Checked: every line is whole, and the numbers have no gap.
    let reports = named(&lines, "AuditRecordsLost");
    assert!(reports.len() >= ROUNDS, "{}", reports.len());
    let exchanges = named(&lines, "backpressure").len() as u64;
    assert_eq!(told(&lines, "AuditRecordsLost"), report.lost);
    assert_eq!(exchanges + report.lost, asked.load(Ordering::SeqCst), "each is written or reported, once");
    assert_eq!(report.written, lines.len() as u64);
}

#[tokio::test]
async fn what_was_lost_is_reported_at_the_latest_at_the_end() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder.catalog(of_each_class()).sink_retry_limit(Duration::ZERO).sink(disk.sink())
    });
    let (service, _) = counting(&log.auditor);
    eventually("the first record is there", || disk.written.text().contains("AuditStarted")).await;
    disk.break_with(ErrorKind::StorageFull);
    ask(&service, "/backpressure").await;
    eventually("it is given up", || state(&log, 0) == SinkState::GivenUp).await;
    // The worker has seen it when it reads its counters the next time.
    assert!(!log.auditor.flush(DEADLINE).await);
    for _ in 0..4 {
        ask(&service, "/backpressure").await;
    }
    eventually("all are counted", || log.auditor.counters().lost.sink_failed == 5).await;
    disk.break_with(None);
    // No 30 seconds have passed: it is tried because there will be no other time.
    let (report, lines) = log.stop().await;
    assert_eq!((report.lost, report.flushed), (5, true));
    let names: Vec<_> = lines.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["AuditStarted", "AuditRecordsLost", "AuditStopped"]);
    assert_eq!(lines[1]["meta"]["count"], 5);
    assert_eq!(
        lines[1]["meta"]["auditIds"].as_array().unwrap().len(),
        4,
        "nobody knows which record the first was, it was a line by then"
    );
}

#[tokio::test]
async fn a_sink_that_is_broken_from_the_start_begins_with_the_record_of_the_start_all_the_same() {
    let disk = Disk::default();
    disk.break_with(ErrorKind::StorageFull);
    let log = log_to(disk.written.clone(), |builder| {
        builder.catalog(of_each_class()).sink_retry_limit(Duration::ZERO).sink(disk.sink())
    });
    eventually("it is given up", || state(&log, 0) == SinkState::GivenUp).await;
    disk.break_with(None);
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    let names: Vec<_> = lines.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["AuditStarted", "AuditStopped"]);
}

#[tokio::test]
async fn a_sink_that_hangs_when_it_is_tried_for_the_last_time_costs_the_others_nothing() {
    let (good, hangs) = (Written::default(), Disk::default());
    let log = log_to(good.clone(), |builder| {
        builder
            .catalog(of_each_class())
            .sink_retry_limit(Duration::ZERO)
            .sink(keeping(&good))
            .sink(Output::new(hangs.sink()).name("hangs"))
    });
    let (service, _) = counting(&log.auditor);
    hangs.break_with(ErrorKind::StorageFull);
    ask(&service, "/backpressure").await;
    eventually("it is given up", || state(&log, 1) == SinkState::GivenUp).await;
    hangs.writing.set(true);
    let (report, lines) = log.stop().await;
    hangs.writing.set(false);
    assert!(report.flushed, "{report:?}");
    assert_eq!(lines.last().unwrap()["eventName"], "AuditStopped");
    assert_eq!(told(&lines, "AuditRecordsLost"), 1);
}

#[tokio::test]
async fn a_broken_pipe_of_an_ordinary_sink_is_an_error_like_another() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| builder.catalog(of_each_class()).sink(disk.sink()));
    let (service, _) = counting(&log.auditor);
    log.all().await;
    // As the socket of a syslog server that restarts.
    disk.break_with(ErrorKind::BrokenPipe);
    ask(&service, "/backpressure").await;
    eventually("it fails", || state(&log, 0) == SinkState::Failing).await;
    disk.break_with(None);
    assert_eq!(log.records(1).await.len(), 1);
    assert!(log.stop().await.0.is_complete());
}

#[tokio::test]
async fn a_record_that_was_lost_is_never_called_durable() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder.catalog(of_each_class()).sink_retry_limit(Duration::ZERO).sink(disk.sink())
    });
    let (service, _) = counting(&log.auditor);
    log.all().await;
    disk.writing.set(true);
    // Admitted while the sink works, lost with it, and asked for when it works again.
    let durable = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, "/durable").await.status() }
    });
    eventually("it is handed over", || log.auditor.counters().handed_over == 1).await;
    disk.break_with(ErrorKind::StorageFull);
    disk.writing.set(false);
    assert_eq!(durable.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    disk.break_with(None);
    assert!(!log.auditor.flush(DEADLINE).await, "what was recorded before is lost");
    eventually("it works again", || {
        log.clock.advance(PAUSE);
        drop(log.auditor.flush(Duration::ZERO));
        state(&log, 0) == SinkState::Healthy
    })
    .await;
    assert!(!log.auditor.flush(DEADLINE).await, "nothing was recorded since");
    ask(&service, "/backpressure").await;
    assert!(log.auditor.flush(DEADLINE).await);
}

/// A clock that is never right.
#[derive(Clone, Default)]
struct Wrong(Arc<AtomicU64>);

impl Clock for Wrong {
    fn now(&self) -> std::time::SystemTime {
        panic!("a clock that panics")
    }

    fn monotonic(&self) -> Duration {
        let call = self.0.fetch_add(1, Ordering::SeqCst);
        assert!(!call.is_multiple_of(3), "a clock that panics now and then");
        Duration::from_secs(1_000_000_u64.saturating_sub(call))
    }
}

#[tokio::test]
async fn a_clock_that_panics_and_runs_backwards_costs_no_record_and_keeps_no_request_waiting() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder
            .catalog(of_each_class())
            .queue_records(1)
            .admission_timeout(Duration::from_millis(50))
            .clock(Wrong::default())
            .sink(disk.sink())
    });
    let (service, ran) = counting(&log.auditor);
    for path in ["/backpressure", "/durable", "/closed", "/lossy"] {
        assert_eq!(ask(&service, path).await.status(), StatusCode::OK, "{path}");
        assert!(log.auditor.flush(DEADLINE).await);
    }
    disk.writing.set(true);
    assert_eq!(ask(&service, "/backpressure").await.status(), StatusCode::OK);
    let waited = tokio::time::timeout(DEADLINE, ask(&service, "/backpressure")).await;
    assert_eq!(waited.expect("the wait has a limit").status(), StatusCode::SERVICE_UNAVAILABLE);
    disk.writing.set(false);
    assert_eq!(ran.load(Ordering::SeqCst), 5);
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(
        lines.iter().filter(|record| record["outcome"] == "completed" && record["request"].is_object()).count(),
        5
    );
}

#[tokio::test]
async fn sinks_of_one_name_are_told_apart() {
    let sinks = [(); 3].map(|()| Written::default());
    let log = log_to(sinks[0].clone(), |builder| {
        sinks.iter().fold(builder, |builder, sink| builder.sink(keeping(sink).name("same")))
    });
    let names: Vec<_> = log.auditor.counters().sinks.into_iter().map(|sink| sink.name).collect();
    assert_eq!(names, ["same", "same-2", "same-3"]);
    assert!(log.stop().await.0.is_complete());
}
