//! The end: what was finished is written, what was not is counted, and nobody waits longer than agreed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::bodies::{self, data};
use common::sinks::{Disk, Gate, checked, named, told};
use common::{DEADLINE, Written, eventually, expected};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_audit::sink::{Output, Sink, sink_fn};
use tower_audit::{AuditedRouterService, Auditor, AuditorBuilder, Catalog, Event};

/// For what ends by its deadline.
const SHORT: Duration = Duration::from_millis(200);
/// For what must not take that long, on any machine.
const LONG: Duration = Duration::from_secs(20);

fn on(disk: &Disk, set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Auditor {
    set(Auditor::builder().sink(disk.sink())).build().unwrap()
}

fn plain(disk: &Disk) -> Auditor {
    on(disk, |builder| builder)
}

fn service(auditor: &Auditor) -> AuditedRouterService {
    auditor.wrap_router(Router::new().fallback(any(async || ()))).into_service()
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn ask(auditor: &Auditor, count: usize) {
    for _ in 0..count {
        service(auditor).oneshot(request("/")).await.unwrap();
    }
}

/// The smallest executor: this thread, and nothing else.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_sink_gets_everything_on_one_thread() {
    let written = Written::default();
    let lines = written.clone();
    let slow = sink_fn(move |batch: &[u8]| {
        // One line at a time, however many are given: this is what is slow about it.
        thread::sleep(Duration::from_millis(5));
        lines.push(batch);
        Ok(())
    });
    let auditor = Auditor::builder().sink(slow).build().unwrap();
    ask(&auditor, 500).await;
    let report = auditor.shutdown(DEADLINE).await;
    assert!(report.is_complete(), "{report:?}");
    let records = checked(&written);
    assert_eq!((report.written, records.len()), (502, 502));
    let last = records.last().unwrap();
    assert_eq!((&last["eventName"], &last["meta"]["written"]), (&"AuditStopped".into(), &502.into()));
}

#[test]
fn it_works_without_any_runtime() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    block_on(async {
        ask(&auditor, 10).await;
        assert!(auditor.flush(DEADLINE).await);
        auditor.begin_unlisted("Work").await.unwrap().succeed();
    });
    let report = block_on(auditor.shutdown(DEADLINE));
    assert!(report.is_complete() && report.written == 13, "{report:?}");
    assert_eq!(checked(&disk.synced).len(), 13);
}

#[tokio::test(flavor = "current_thread")]
async fn a_sink_that_hangs_does_not_hold_up_the_end_beyond_its_deadline_and_the_numbers_add_up() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    ask(&auditor, 3).await;
    assert!(auditor.flush(DEADLINE).await);
    disk.writing.set(true);
    ask(&auditor, 7).await;
    let began = Instant::now();
    let report = auditor.shutdown(SHORT).await;
    let took = began.elapsed();
    assert!(took >= SHORT && took < LONG, "{took:?}");
    assert_eq!((report.written, report.lost, report.open, report.flushed), (4, 7, 0, false));
    assert!(!report.is_complete());
    disk.writing.set(false);
}

/// A sink whose writes do not return while its gate is shut, and how many have begun.
fn gated(written: &Written) -> (impl Sink + use<>, Gate, Arc<AtomicU64>) {
    let (lines, gate, begun) = (written.clone(), Gate::default(), Arc::new(AtomicU64::new(0)));
    let (pass, count) = (gate.clone(), begun.clone());
    let sink = sink_fn(move |batch: &[u8]| {
        count.fetch_add(1, Ordering::SeqCst);
        pass.pass();
        lines.push(batch);
        Ok(())
    });
    (sink, gate, begun)
}

#[tokio::test]
async fn the_last_record_counts_those_of_ours_that_the_sink_is_still_writing() {
    let written = Written::default();
    let (sink, gate, begun) = gated(&written);
    gate.set(true);
    let auditor = Auditor::builder().sink(sink).build().unwrap();
    eventually("the first record is with the sink", || begun.load(Ordering::SeqCst) > 0).await;
    let shutdown = auditor.shutdown(DEADLINE);
    eventually("the last record is made", || auditor.counters().sinks[0].buffered_bytes > 0).await;
    gate.set(false);
    let report = shutdown.await;
    let records = checked(&written);
    assert!(report.is_complete() && report.written == 2, "{report:?}");
    assert_eq!((&records[1]["eventName"], &records[1]["meta"]["written"]), (&"AuditStopped".into(), &2.into()));
}

#[tokio::test]
async fn what_was_lost_is_told_before_the_last_record_though_an_earlier_one_of_ours_still_waits() {
    let written = Written::default();
    let (sink, gate, begun) = gated(&written);
    gate.set(true);
    let auditor = Auditor::builder().sink(sink).queue_records(1).build().unwrap();
    let buffered = || auditor.counters().sinks[0].buffered_bytes;
    eventually("the first record is with the sink", || begun.load(Ordering::SeqCst) > 0).await;
    ask(&auditor, 1).await;
    eventually("the one that there is room for waits", || buffered() > 0).await;
    let before = buffered();
    ask(&auditor, 1).await;
    eventually("the first loss is told", || buffered() > before).await;
    ask(&auditor, 1).await;
    let report = auditor.shutdown(Duration::ZERO).await;
    assert_eq!((report.written, report.lost, report.flushed), (0, 3, false));
    gate.set(false);
    eventually("the sink comes to its end", || written.text().contains("AuditStopped")).await;
    let records = checked(&written);
    assert_eq!((records.len(), told(&records, "AuditRecordsLost")), (5, 2));
    assert_eq!(records[4]["meta"]["lost"], 2);
}

#[tokio::test]
async fn a_best_effort_sink_that_hangs_costs_the_others_nothing() {
    let (good, hangs) = (Disk::default(), Disk::default());
    let auditor = on(&good, |builder| builder.sink(Output::new(hangs.sink()).name("hangs")));
    hangs.writing.set(true);
    ask(&auditor, 5).await;
    let report = auditor.shutdown(SHORT).await;
    assert_eq!((report.written, report.lost, report.flushed), (7, 0, true));
    assert_eq!(checked(&good.synced).len(), 7);
    hangs.writing.set(false);
}

#[tokio::test]
async fn a_sink_that_fails_at_the_end_is_reported() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    ask(&auditor, 5).await;
    assert!(auditor.flush(DEADLINE).await);
    disk.break_with(ErrorKind::StorageFull);
    ask(&auditor, 5).await;
    let report = auditor.shutdown(SHORT).await;
    assert_eq!((report.written, report.lost, report.flushed), (6, 5, false));
}

#[tokio::test]
async fn exchanges_that_are_still_open_are_counted_and_what_they_record_later_too() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    ask(&auditor, 2).await;
    let app = Router::new().fallback(any(async || Body::new(bodies::Endless)));
    let open: Vec<_> = {
        let service = auditor.wrap_router(app).into_service();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(service.clone().oneshot(request("/open")).await.unwrap());
        }
        open
    };
    let report = auditor.shutdown(SHORT).await;
    assert_eq!((report.written, report.lost, report.open, report.flushed), (4, 0, 3, true));
    assert_eq!(auditor.counters().lost.shutdown, 0);
    drop(open);
    assert_eq!((auditor.counters().lost.shutdown, auditor.counters().open), (3, 0));
    assert_eq!(checked(&disk.synced).last().unwrap()["meta"]["open"], 3);
}

#[tokio::test]
async fn exchanges_that_end_before_the_deadline_are_waited_for() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    let (feed, body) = bodies::fed();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let app = Router::new().fallback(any(async move || Body::new(body.lock().unwrap().take().unwrap())));
    let response = auditor.wrap_router(app).into_service().oneshot(request("/")).await.unwrap();
    let shutdown = tokio::spawn(auditor.shutdown(DEADLINE));
    feed.send(data("the rest")).ok().unwrap();
    drop(feed);
    response.into_body().collect().await.unwrap();
    let report = shutdown.await.unwrap();
    assert!(report.is_complete() && report.written == 3, "{report:?}");
    assert_eq!(checked(&disk.synced)[1]["outcome"], "completed");
}

#[tokio::test]
async fn after_it_lossy_requests_are_served_and_counted_and_what_must_be_recorded_is_refused() {
    let disk = Disk::default();
    let strict = Event::new("Strict").on(Method::GET, "/strict");
    let auditor = on(&disk, |builder| builder.catalog(Catalog::new().event(strict)));
    let report = auditor.shutdown(DEADLINE).await;
    assert!(report.is_complete());
    let ask = async |path| service(&auditor).oneshot(request(path)).await.unwrap().status();
    assert_eq!(ask("/free").await, StatusCode::OK);
    assert_eq!(ask("/strict").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(auditor.begin_unlisted("Work").await.unwrap_err().is_refused());
    assert!(!auditor.flush(DEADLINE).await);
    let counters = auditor.counters();
    assert_eq!((counters.lost.shutdown, counters.refused, counters.open), (1, 2, 0));
    assert_eq!(checked(&disk.synced).len(), 2);
}

#[test]
fn dropping_the_last_handle_writes_what_is_finished_and_holds_nobody_up_for_long() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    block_on(ask(&auditor, 5));
    drop(auditor);
    assert_eq!(checked(&disk.synced).len(), 7);

    let disk = Disk::default();
    let auditor = plain(&disk);
    disk.writing.set(true);
    block_on(ask(&auditor, 5));
    let began = Instant::now();
    drop(auditor);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    disk.writing.set(false);
}

#[tokio::test]
async fn a_dropped_stream_is_completed_if_its_client_ends_it_and_else_shutdown() {
    let disk = Disk::default();
    let events = Catalog::new()
        .event(Event::new("Follow").on(Method::GET, "/follow").client_ends_stream())
        .event(Event::new("Download").on(Method::GET, "/download"));
    let auditor = on(&disk, |builder| builder.catalog(events));
    let app = Router::new().fallback(any(async || Body::new(bodies::Endless)));
    let service = auditor.wrap_router(app).into_service();
    let follow = service.clone().oneshot(request("/follow")).await.unwrap();
    let download = service.oneshot(request("/download")).await.unwrap();
    let shutdown = auditor.shutdown(DEADLINE);
    drop((follow, download));
    assert!(shutdown.await.is_complete());
    let records = checked(&disk.synced);
    let facts = |name: &str| {
        let record = named(&records, name)[0];
        (record["outcome"].as_str().unwrap().to_owned(), record["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(facts("Follow"), ("completed".to_owned(), "succeeded".to_owned()));
    assert_eq!(facts("Download"), ("shutdown".to_owned(), "failed".to_owned()));
}

#[tokio::test]
async fn who_waits_for_room_when_the_end_comes_is_refused_and_that_is_told() {
    let disk = Disk::default();
    let events = Catalog::new().event(Event::new("Strict").on(Method::GET, "/strict"));
    let auditor =
        on(&disk, |builder| builder.catalog(events).queue_records(1).admission_timeout(Duration::from_secs(600)));
    assert!(auditor.flush(DEADLINE).await);
    disk.writing.set(true);
    ask(&auditor, 1).await;
    let waiting = tokio::spawn(service(&auditor).oneshot(request("/strict")));
    eventually("it waits", || auditor.counters().waiting == 1).await;
    let shutdown = tokio::spawn(auditor.shutdown(Duration::from_secs(2)));
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    disk.writing.set(false);
    let report = shutdown.await.unwrap();
    assert_eq!((report.refused, report.lost, report.open), (1, 0, 0));
    let records = checked(&disk.synced);
    let rejected = records.iter().filter(|record| record["outcome"] == "rejected").count() as u64;
    assert_eq!(rejected + told(&records, "AuditRequestsRefused"), 1);
    assert_eq!(expected::normal(records).len() as u64, 1 + rejected);
}

/// What `tracing` was given.
struct Heard(Written);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Nothing but the layer is kept: a slip such as `let layer = builder.build()?.layer()` must not end the log.
#[tokio::test]
async fn the_log_lives_as_long_as_anything_that_can_record() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    let layered = service(&auditor);
    let activity = auditor.begin_unlisted("Work").await.unwrap();
    drop(auditor);
    layered.clone().oneshot(request("/first")).await.unwrap();
    activity.succeed();
    layered.clone().oneshot(request("/second")).await.unwrap();
    assert!(checked(&disk.synced).iter().all(|record| record["eventName"] != "AuditStopped"));
    let heard = Written::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let heard = heard.clone();
        move || Heard(heard.clone())
    });
    let _here = tracing::subscriber::set_default(subscriber.finish());
    layered.oneshot(request("/last")).await.unwrap();
    assert!(
        heard.text().contains("WARN tower_audit: the last handle of the audit log was dropped"),
        "{}",
        heard.text()
    );
    let records = checked(&disk.synced);
    let names: Vec<&str> = records.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["AuditStarted", "HttpRequest", "Work", "HttpRequest", "HttpRequest", "AuditStopped"]);
    assert_eq!(records[5]["meta"]["reason"], "dropped");
}

#[tokio::test]
async fn everybody_who_asks_for_the_end_gets_the_same_report_and_errors_then_say_that_it_has_stopped() {
    let disk = Disk::default();
    let auditor = plain(&disk);
    let other = auditor.clone();
    assert!(auditor.is_running());
    auditor.start_shutdown();
    assert!(auditor.is_running(), "what ends now is still recorded");
    let (first, second) = (auditor.shutdown(DEADLINE), other.shutdown(SHORT));
    let report = first.await;
    assert!(report.is_complete() && report.written == 2, "{report:?}");
    assert_eq!(second.await, report);
    assert_eq!(other.shutdown_blocking(DEADLINE), report);
    assert!(!auditor.is_running());
    let error = auditor.begin_unlisted("Work").await.unwrap_err();
    assert!(error.is_refused());
    assert_eq!(error.to_string(), "the audit log has stopped: what was to be recorded should not be done");
    assert_eq!(checked(&disk.synced)[1]["meta"]["reason"], "shutdown");
}
