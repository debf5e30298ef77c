//! A `tracing` subscriber of the whole process that panics always, on every thread: it harms nothing but its own diagnostics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::io::{self, ErrorKind};
use std::panic::panic_any;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::sinks::{Disk, checked, named};
use common::{Written, eventually, log_to};
use http::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use tower_audit::format::line_fn;
use tower_audit::sink::{self, Output, sink_fn};
use tower_audit::{AuditedRouterService, Auditor, Catalog, Delivery, Event, Filter, SinkState};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

static ARMED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU64 = AtomicU64::new(0);

/// As `fmt().init()` is with standard output and standard error closed, but for everything that it is asked.
struct Panicking;

fn panics() {
    if ARMED.load(Ordering::SeqCst) {
        ASKED.fetch_add(1, Ordering::SeqCst);
        panic!("a subscriber that panics");
    }
}

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        panics();
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panics();
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panics();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {
        panics();
    }

    fn event(&self, _: &tracing::Event<'_>) {
        panics();
    }

    fn enter(&self, _: &Id) {
        panics();
    }

    fn exit(&self, _: &Id) {
        panics();
    }
}

/// Once for the process.
fn arm() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            // The panics of these tests are many, and mean nothing.
            if std::thread::current().name().is_none_or(|name| !name.starts_with("audit")) {
                eprintln(&panic.to_string());
            }
        }));
        tracing::subscriber::set_global_default(Panicking).unwrap();
        ARMED.store(true, Ordering::SeqCst);
    });
}

fn eprintln(text: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes());
}

fn service(auditor: &Auditor) -> AuditedRouterService {
    auditor.wrap_router(Router::new().fallback(any(async || ()))).into_service()
}

async fn ask(service: &AuditedRouterService, path: &str) -> StatusCode {
    service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().status()
}

fn durable() -> Catalog {
    Catalog::new().event(Event::new("Durable").on(Method::GET, "/{id}").delivery(Delivery::Durable))
}

/// A panic whose payload panics as well, when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a payload that panics");
        }
    }
}

#[tokio::test]
async fn filters_formats_hooks_and_sinks_that_panic_besides_cost_no_record_and_no_thread() {
    arm();
    let wild = Written::default();
    let lines = wild.clone();
    let mut calls = 0_u64;
    let bombing = sink_fn(move |batch: &[u8]| -> io::Result<()> {
        calls += 1;
        match calls % 4 {
            1 => panic_any(Bomb),
            2 => Err(io::Error::other("not now")),
            _ => {
                lines.push(batch);
                Ok(())
            }
        }
    });
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder
            .catalog(durable())
            .sink(Output::new(disk.sink()).filter(Filter::from_fn(|_| panic_any(Bomb))))
            .sink(Output::new(bombing).required().format(line_fn(|_, _| panic_any(Bomb))))
            .on_sink_state(|_, _| panic_any(Bomb))
            .classify_status(|_| panic_any(Bomb))
    });
    let service = service(&log.auditor);
    let before = ASKED.load(Ordering::SeqCst);
    for id in 0..20 {
        assert_eq!(ask(&service, &format!("/{id}")).await, StatusCode::OK);
    }
    assert!(ASKED.load(Ordering::SeqCst) > before);
    let counters = log.auditor.counters();
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((counters.panics, counters.lost.total()), (0, 0));
    assert_eq!(named(&lines, "Durable").len(), 20);
    assert_eq!(named(&checked(&wild), "Durable").len(), 20);
}

#[tokio::test]
async fn a_sink_is_given_up_and_comes_back_unharmed() {
    arm();
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        builder.catalog(durable()).sink_retry_limit(Duration::ZERO).sink(disk.sink())
    });
    let service = service(&log.auditor);
    for round in 0..3 {
        assert_eq!(ask(&service, &format!("/{round}")).await, StatusCode::OK);
        disk.break_with(ErrorKind::StorageFull);
        assert_eq!(ask(&service, &format!("/{round}-lost")).await, StatusCode::SERVICE_UNAVAILABLE);
        disk.break_with(None);
        eventually("it works again", || {
            log.clock.advance(Duration::from_secs(30));
            drop(log.auditor.flush(Duration::ZERO));
            log.auditor.counters().is_healthy() && log.auditor.begin("Durable").try_emit().is_ok()
        })
        .await;
    }
    let (report, lines) = log.stop().await;
    assert!(report.flushed && report.lost == 3, "{report:?}");
    assert_eq!(named(&lines, "AuditRecordsLost").len(), 3);
}

#[tokio::test]
async fn a_file_that_is_renamed_or_deleted_goes_on() {
    arm();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let sink = sink::file(&path).sync(sink::SyncPolicy::Every(Duration::from_millis(1))).open().unwrap();
    let log = log_to(Written::default(), |builder| builder.catalog(durable()).sink(sink));
    let service = service(&log.auditor);
    assert_eq!(ask(&service, "/1").await, StatusCode::OK);
    fs::rename(&path, folder.path().join("moved.log")).unwrap();
    assert_eq!(ask(&service, "/2").await, StatusCode::OK);
    fs::remove_file(&path).unwrap();
    assert_eq!(ask(&service, "/3").await, StatusCode::OK);
    assert!(fs::read_to_string(&path).unwrap().contains("\"/3\""));
    assert_eq!(log.auditor.counters().sinks[0].state, SinkState::Healthy);
    assert!(log.auditor.counters().is_healthy());
    assert!(log.auditor.flush(common::DEADLINE).await);
}

#[tokio::test]
async fn after_the_shutdown_a_request_is_refused_and_nobody_panics() {
    arm();
    let (lines, _records) = sink::memory();
    let auditor = Auditor::builder().catalog(durable()).sink(lines).build().unwrap();
    assert!(auditor.shutdown(common::DEADLINE).await.is_complete());
    assert_eq!(ask(&service(&auditor), "/1").await, StatusCode::SERVICE_UNAVAILABLE);
}
