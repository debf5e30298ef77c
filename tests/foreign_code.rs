//! Code of the application that runs inside of ours, and comes back: none of it runs under a lock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::sinks::Disk;
use common::{DEADLINE, Log, log_to};
use serde_json::json;
use tower_audit::{Audit, Catalog, Delivery, Event};

/// A text that asks the handle while it is made.
struct Asks(Audit, &'static str);

impl From<Asks> for String {
    fn from(asks: Asks) -> Self {
        assert!(asks.0.audit_id().is_some());
        asks.0.meta("asked", true);
        asks.1.to_owned()
    }
}

impl From<Asks> for serde_json::Value {
    fn from(asks: Asks) -> Self {
        String::from(asks).into()
    }
}

#[test]
fn a_text_that_asks_the_handle_while_it_is_made_does_not_hang() {
    let log = common::log();
    let auditor = log.auditor.clone();
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let activity = auditor.begin_unlisted("Work").try_begin().unwrap();
        let audit = activity.audit();
        let asks = |text| Asks(audit.clone(), text);
        audit.context(asks("pipeline")).project(asks("project")).repository(asks("repository"));
        audit.namespace(asks("namespace")).meta("edge", asks("edge")).secret(asks("a secret of mine"));
        activity.succeed();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(DEADLINE).expect("nothing hangs");
    thread.join().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let record = runtime.block_on(log.only());
    assert_eq!(
        (&record["context"], &record["project"], &record["repository"], &record["namespace"]),
        (&json!("pipeline"), &json!("project"), &json!("repository"), &json!("namespace"))
    );
    assert_eq!((&record["meta"]["asked"], &record["meta"]["edge"]), (&json!(true), &json!("edge")));
}

/// A waker that does something when its last clone is dropped.
struct Last(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(work) = self.0.get_mut().unwrap().take() {
            work();
        }
    }
}

fn waker(work: impl FnOnce() + Send + 'static) -> Waker {
    Arc::new(Last(Mutex::new(Some(Box::new(work))))).into()
}

/// Whether the worker goes on: it writes what is recorded now.
fn goes_on(log: &Log, disk: &Disk) -> impl FnOnce() + Send + 'static + use<> {
    let (auditor, disk) = (log.auditor.clone(), disk.clone());
    move || {
        disk.writing.set(false);
        auditor.begin("Lossy").try_emit().unwrap();
        let began = Instant::now();
        while !disk.written.text().contains("\"Lossy\"") {
            assert!(began.elapsed() < DEADLINE, "the worker waits for a lock that is held while a waker is dropped");
            std::thread::yield_now();
        }
    }
}

/// Polls twice, first with a waker that is dropped by the second poll.
fn poll_twice<F: Future>(future: F, first: &mut Option<Waker>) -> F::Output {
    let mut future = pin!(future);
    let mut poll = |waker: &Waker| future.as_mut().poll(&mut Context::from_waker(waker));
    let taken = first.take().unwrap();
    assert!(poll(&taken).is_pending());
    drop(taken);
    let began = Instant::now();
    loop {
        if let Poll::Ready(output) = poll(Waker::noop()) {
            return output;
        }
        assert!(began.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

#[test]
fn a_waker_that_waits_for_the_worker_when_it_is_dropped_does_not_hang() {
    let disk = Disk::default();
    let catalog = Catalog::new().event(Event::new("Lossy").delivery(Delivery::Lossy));
    let log = log_to(disk.written.clone(), |builder| {
        builder.catalog(catalog).queue_records(2).admission_timeout(Duration::from_secs(600)).sink(disk.sink())
    });
    disk.writing.set(true);
    log.auditor.begin_unlisted("First").try_emit().unwrap();
    // An answer of the worker.
    let mut first = Some(waker(goes_on(&log, &disk)));
    assert!(poll_twice(log.auditor.flush(DEADLINE), &mut first));

    // The wait for room.
    let log = {
        let catalog = Catalog::new().event(Event::new("Lossy").delivery(Delivery::Lossy));
        let disk = Disk::default();
        let log = log_to(disk.written.clone(), |builder| {
            builder.catalog(catalog).queue_records(2).admission_timeout(Duration::from_secs(600)).sink(disk.sink())
        });
        disk.writing.set(true);
        log.auditor.begin_unlisted("First").try_emit().unwrap();
        log.auditor.begin_unlisted("Second").try_emit().unwrap();
        let waits = log.auditor.begin_unlisted("Third").into_future();
        let opens = {
            let (auditor, disk) = (log.auditor.clone(), disk.clone());
            move || {
                disk.writing.set(false);
                let began = Instant::now();
                // The worker lets the one who waits in, and goes on after that.
                while auditor.counters().written < 3 || !try_flush(&auditor) {
                    assert!(
                        began.elapsed() < DEADLINE,
                        "the worker waits for a lock that is held while a waker is dropped"
                    );
                    std::thread::yield_now();
                }
            }
        };
        let mut first = Some(waker(opens));
        poll_twice(waits, &mut first).unwrap().succeed();
        log
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(log.stop()).0.is_complete());
}

/// Whether the worker answers.
fn try_flush(auditor: &tower_audit::Auditor) -> bool {
    let mut flush = pin!(auditor.flush(DEADLINE));
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Poll::Ready(flushed) = flush.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return flushed;
        }
        std::thread::yield_now();
    }
    false
}
