//! The counters of an auditor: one snapshot that shows what is open, waiting, written and lost, and where.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::convert::Infallible;
use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_audit::sink::{Output, sink_fn};
use tower_audit::{Audit, Auditor, Catalog, Counters, Delivery, Event, SinkState, sink};

/// Waits until something shows that happens on another thread.
fn until(auditor: &Auditor, shows: impl Fn(&Counters) -> bool) -> Counters {
    let begin = Instant::now();
    loop {
        let counters = auditor.counters();
        if shows(&counters) {
            return counters;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "it never showed: {counters:#?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A sink that is stuck in its first write until the sender is dropped.
fn stuck() -> (impl sink::Sink, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel::<()>();
    let sink = sink_fn(move |_: &[u8]| {
        let _ = gate.recv();
        Ok(())
    });
    (sink, open)
}

fn lossy() -> Catalog {
    Catalog::new().event(Event::new("Lossy").delivery(Delivery::Lossy))
}

fn emit(auditor: &Auditor, event: &str, text: &str) {
    auditor.begin_unlisted(event).meta("text", text).try_emit().unwrap();
}

#[tokio::test]
async fn an_open_exchange_shows_and_what_is_said_after_its_end_is_late() {
    let (lines, _records) = sink::memory();
    let auditor = Auditor::builder().sink(lines).build().unwrap();
    let inside = auditor.clone();
    let service = service_fn(move |request: Request<_>| {
        let audit = request.extensions().get::<Audit>().unwrap().clone();
        assert_eq!(inside.counters().open, 1);
        async move { Ok::<_, Infallible>((audit, ())) }
    });
    // The handle leaves with the response.
    let service = service.map_response(|(audit, ()): (Audit, ())| {
        let mut response = Response::new(Full::<bytes::Bytes>::default());
        response.extensions_mut().insert(audit);
        response
    });
    let request = Request::get("/").body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = auditor.layer().layer(service).oneshot(request).await.unwrap();
    let audit = response.extensions().get::<Audit>().unwrap().clone();
    drop(response);
    assert_eq!((auditor.counters().open, auditor.counters().late), (0, 0));
    audit.context("too late").project("too");
    assert_eq!(auditor.counters().late, 2);
    assert!(auditor.shutdown(Duration::from_secs(20)).await.is_complete());
    let counters = auditor.counters();
    assert_eq!((counters.handed_over, counters.written, counters.unwritten), (1, 3, 0));
    assert_eq!((counters.captured_bytes, counters.lost.total()), (0, 0));
}

#[tokio::test]
async fn what_waits_behind_a_stuck_sink_shows_and_what_is_lost_there_has_its_reason() {
    let (sink, open) = stuck();
    let auditor = Auditor::builder().catalog(lossy()).queue_records(4).sink(sink).build().unwrap();
    for _ in 0..10 {
        emit(&auditor, "Lossy", "x");
    }
    let counters = until(&auditor, |counters| counters.sinks[0].buffered_bytes > 0);
    assert_eq!((counters.handed_over, counters.unwritten, counters.lost.queue_full), (4, 4, 6));
    assert_eq!(counters.lost.total(), 6);

    let waits = tokio::spawn(auditor.begin_unlisted("Patient").into_future());
    tokio::task::yield_now().await;
    assert_eq!(auditor.counters().waiting, 1);
    drop(open);
    waits.await.unwrap().unwrap().succeed();
    assert!(auditor.shutdown(Duration::from_secs(20)).await.flushed);
    let counters = auditor.counters();
    assert_eq!((counters.waiting, counters.unwritten, counters.handed_over), (0, 0, 5));
    // Five of exchanges, `AuditStarted`, `AuditRecordsLost`, `AuditStopped`.
    assert_eq!((counters.written, counters.sinks[0].written, counters.sinks[0].buffered_bytes), (8, 8, 0));
}

#[tokio::test]
async fn a_refusal_is_counted() {
    let (sink, open) = stuck();
    let auditor = Auditor::builder().catalog(lossy()).queue_records(1).sink(sink).build().unwrap();
    emit(&auditor, "Lossy", "x");
    assert_eq!(auditor.begin_unlisted("Impatient").try_begin().unwrap_err().kind(), tower_audit::ErrorKind::Refused);
    assert_eq!(auditor.counters().refused, 1);
    drop(open);
    auditor.shutdown_blocking(Duration::from_secs(20));
    assert_eq!(auditor.counters().lost.total(), 0);
}

#[test]
fn losses_go_on_being_counted_after_the_shutdown() {
    let (lines, _records) = sink::memory();
    let auditor = Auditor::builder().catalog(lossy()).sink(lines).build().unwrap();
    let open = auditor.begin_unlisted("Open").try_begin().unwrap();
    emit(&auditor, "InTime", "x");
    auditor.shutdown_blocking(Duration::from_secs(20));
    let before = auditor.counters();
    assert_eq!((before.open, before.handed_over, before.lost.shutdown), (1, 1, 0));
    open.succeed();
    emit(&auditor, "Lossy", "too late");
    let after = auditor.counters();
    assert_eq!((after.open, after.lost.shutdown, after.lost.total(), after.handed_over), (0, 2, 2, 1));
    assert!(after.lost.by_reason().any(|loss| loss == ("shutdown", 2)));
    assert_eq!(after.captured_bytes, 0);
}

#[tokio::test]
async fn each_sink_counts_for_itself() {
    let (lines, _records) = sink::memory();
    let (full, open) = stuck();
    let broken = sink_fn(move |_: &[u8]| Err(io::Error::other("never")));
    let auditor = Auditor::builder()
        .sink(Output::new(lines).name("all"))
        .sink(Output::new(full).name("full"))
        .sink(Output::new(broken).name("broken"))
        .sink_retry_limit(Duration::ZERO)
        .build()
        .unwrap();
    until(&auditor, |counters| counters.sinks[2].state == SinkState::GivenUp);
    let text = "x ".repeat(3000);
    for _ in 0..1000 {
        emit(&auditor, "Much", &text);
    }
    assert!(!auditor.flush(Duration::ZERO).await);
    let counters = until(&auditor, |counters| counters.sinks[0].written >= 1001 && counters.sinks[2].lost == 1000);
    let [all, full, broken] = &counters.sinks[..] else { panic!("{counters:#?}") };
    assert_eq!((all.name.as_str(), full.name.as_str(), broken.name.as_str()), ("all", "full", "broken"));
    assert_eq!((all.state, all.lost, all.retries), (SinkState::Healthy, 0, 0));
    assert!(full.lost > 0 && full.lost < 1000 && full.buffered_bytes > 3 * 1024 * 1024, "{full:?}");
    assert_eq!((broken.written, broken.retries), (0, 0));
    assert_eq!((counters.lost.sink_full, counters.lost.sink_failed), (full.lost, 1000));
    let missed = full.lost;
    drop(open);
    auditor.shutdown(Duration::from_secs(20)).await;
    let counters = auditor.counters();
    assert_eq!((counters.sinks[1].lost, counters.sinks[1].state), (missed, SinkState::Healthy));
    // What it took, and `AuditStarted`, `AuditRecordsLost` at least once, `AuditStopped`.
    assert!(counters.sinks[1].written >= 1000 - missed + 3, "{counters:#?}");
}
