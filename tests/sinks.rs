//! Several sinks: one that hangs, fails, panics or writes half does not harm the others; what a sink lost is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::sinks::{Disk, Gate, checked, named, told};
use common::{DEADLINE, Log, Written, eventually, expected, log_to};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tower_audit::format::{csv, line_fn};
use tower_audit::sink::{self, Output, sink_fn};
use tower_audit::{AuditedRouterService, Auditor, Catalog, Event, Filter, Level, SinkState, Stages};

fn service(auditor: &Auditor) -> AuditedRouterService {
    let app = Router::new().route("/{id}", any(async || ())).route("/bad/{id}", any(async || http::StatusCode::GONE));
    auditor.wrap_router(app).into_service()
}

/// Requests that must not be lost.
fn asked() -> Catalog {
    Catalog::new().event(Event::new("Ask").on(Method::GET, "/{id}"))
}

async fn ask(service: &AuditedRouterService, path: &str) {
    service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
}

/// A sink that keeps what it is given.
fn keeping(written: &Written) -> Output {
    let lines = written.clone();
    sink_fn(move |batch: &[u8]| -> io::Result<()> {
        lines.push(batch);
        Ok(())
    })
    .into()
}

#[tokio::test]
async fn a_flush_right_after_the_start_waits_for_the_record_of_the_start() {
    let disk = Disk::default();
    disk.syncing.set(true);
    let auditor = Auditor::builder().sink(disk.sink()).build().unwrap();
    assert!(!auditor.flush(Duration::ZERO).await, "it is not synced, and cannot be");
    disk.syncing.set(false);
    assert!(auditor.flush(DEADLINE).await);
    assert!(disk.has_synced("AuditStarted"));
}

/// A sink that does something wrong now and then, before it takes anything.
fn moody(written: &Written, wrong: impl Fn(u64) -> io::Result<()> + Send + 'static) -> Output {
    let (lines, calls) = (written.clone(), AtomicU64::new(0));
    sink_fn(move |batch: &[u8]| -> io::Result<()> {
        wrong(calls.fetch_add(1, Ordering::SeqCst))?;
        lines.push(batch);
        Ok(())
    })
    .into()
}

/// A sink that takes only a part of what it is given, cut anywhere.
struct Half(Written);

impl sink::Sink for Half {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let part = lines.len().div_ceil(3);
        self.0.push(&lines[..part]);
        Ok(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is the same in every sink: everything but the number, and our own records.
fn exchanges(records: Vec<Value>) -> Vec<Value> {
    expected::normal(records)
}

#[tokio::test]
async fn a_sink_that_hangs_fails_panics_or_writes_half_does_not_harm_the_others() {
    let [good, fails, panics, half, hangs] = [(); 5].map(|()| Written::default());
    let gate = Gate::default();
    gate.set(true);
    let shut = gate.clone();
    let log = log_to(good.clone(), |builder| {
        builder
            .stages(Stages::Both)
            .sink(keeping(&good).name("good"))
            .sink(
                moody(&fails, |call| if call % 3 == 1 { Err(ErrorKind::StorageFull.into()) } else { Ok(()) })
                    .name("fails"),
            )
            .sink(
                moody(&panics, |call| if call % 4 == 1 { panic!("as it does now and then") } else { Ok(()) })
                    .name("panics"),
            )
            .sink(Output::new(Half(half.clone())).name("half").required())
            .sink(
                moody(&hangs, move |_| {
                    shut.pass();
                    Ok(())
                })
                .name("hangs"),
            )
    });
    let service = service(&log.auditor);
    for id in 0..200 {
        ask(&service, &format!("/{id}")).await;
    }
    // All but the one that hangs are done with everything.
    let written = |name: &str| {
        let counters = log.auditor.counters();
        counters.sinks.iter().find(|sink| sink.name == name).unwrap().written
    };
    eventually("four of them have all", || ["good", "fails", "panics", "half"].iter().all(|name| written(name) == 401))
        .await;
    assert_eq!(written("hangs"), 0);
    gate.set(false);
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    let all = exchanges(lines);
    assert_eq!(all.len(), 400);
    for (name, written) in [("fails", fails), ("panics", panics), ("half", half), ("hangs", hangs)] {
        // Checked: in order, and the numbers without a gap.
        assert!(exchanges(checked(&written)) == all, "{name}");
    }
}

#[tokio::test]
async fn a_best_effort_sink_that_is_too_slow_loses_for_itself_and_tells_it_by_its_name() {
    let (good, slow, gate) = (Written::default(), Written::default(), Gate::default());
    gate.set(true);
    let shut = gate.clone();
    let log = log_to(good.clone(), |builder| {
        builder.sink(keeping(&good)).sink(
            moody(&slow, move |_| {
                shut.pass();
                Ok(())
            })
            .name("slow"),
        )
    });
    let service = service(&log.auditor);
    let mut asked = 0;
    let long = "x".repeat(4000);
    let lost = || log.auditor.counters().lost.sink_full;
    while lost() < 10 {
        for _ in 0..50 {
            ask(&service, &format!("/{asked}?{long}")).await;
            asked += 1;
        }
        log.auditor.flush(Duration::ZERO).await;
        assert!(asked < 20_000, "its buffer is not bounded");
    }
    gate.set(false);
    // Once it has room again it is told, before anything else.
    eventually("it is told", || slow.text().contains("AuditRecordsLost")).await;
    ask(&service, "/last").await;
    let counters = log.auditor.counters();
    let (report, lines) = log.stop().await;
    // The others lost nothing, and know nothing of it.
    assert_eq!(exchanges(lines.clone()).len(), asked + 1);
    assert_eq!((told(&lines, "AuditRecordsLost"), report.lost), (0, 0));
    let lines = checked(&slow);
    let lost = told(&lines, "AuditRecordsLost");
    assert_eq!(exchanges(lines.clone()).len() as u64 + lost, asked as u64 + 1);
    assert_eq!((counters.lost.sink_full, counters.sinks[1].lost, counters.sinks[0].lost), (lost, lost, 0));
    for record in named(&lines, "AuditRecordsLost") {
        assert_eq!((&record["meta"]["sink"], &record["meta"]["reason"]), (&json!("slow"), &json!("sink_full")));
    }
    assert_eq!(exchanges(lines).last().unwrap()["request"]["url"], "/last");
}

#[tokio::test]
async fn a_required_sink_that_dies_is_told_in_the_others_and_requests_go_on() {
    let (first, second) = (Disk::default(), Written::default());
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = states.clone();
    let log = log_to(second.clone(), |builder| {
        builder
            .catalog(asked())
            .queue_records(4)
            .sink_retry_limit(Duration::ZERO)
            .sink(Output::new(first.sink()).name("first"))
            .sink(keeping(&second).name("second"))
            .on_sink_state(move |name, state| seen.lock().unwrap().push((name.to_owned(), state)))
    });
    let service = service(&log.auditor);
    ask(&service, "/1").await;
    log.all().await;
    first.break_with(ErrorKind::BrokenPipe);
    for id in 2..=20 {
        ask(&service, &format!("/{id}")).await;
    }
    eventually("all are counted", || log.auditor.counters().lost.sink_failed == 19).await;
    assert_eq!(*states.lock().unwrap(), [("first".to_owned(), SinkState::GivenUp)]);
    assert_eq!(log.auditor.counters().sinks[0].state, SinkState::GivenUp);
    let (report, lines) = log.stop().await;
    assert!(!report.flushed && report.lost == 19, "{report:?}");
    assert_eq!(told(&lines, "AuditRecordsLost"), 19);
    assert!(named(&lines, "AuditRecordsLost").iter().all(|record| record["meta"]["reason"] == "sink_failed"));
    assert_eq!(exchanges(lines).len(), 20);
    assert_eq!(exchanges(checked(&first.written)).len(), 1);
}

#[tokio::test]
async fn a_sink_that_comes_back_calls_the_hook_and_has_lost_nothing() {
    let disk = Disk::default();
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = states.clone();
    let log = log_to(disk.written.clone(), |builder| {
        builder.sink(disk.sink()).on_sink_state(move |name, state| {
            seen.lock().unwrap().push((name.to_owned(), state));
            panic!("a hook that panics harms nobody");
        })
    });
    log.all().await;
    disk.break_with(ErrorKind::StorageFull);
    ask(&service(&log.auditor), "/1").await;
    eventually("it fails", || log.auditor.counters().sinks[0].state == SinkState::Failing).await;
    disk.break_with(None);
    assert_eq!(log.records(1).await.len(), 1);
    let expected = [SinkState::Failing, SinkState::Healthy].map(|state| ("sink-1".to_owned(), state));
    assert_eq!(*states.lock().unwrap(), expected);
    assert!(log.auditor.counters().sinks[0].retries > 0);
    assert!(log.stop().await.0.is_complete());
}

#[tokio::test]
async fn a_sink_that_fails_for_longer_than_the_limit_is_given_up() {
    let disk = Disk::default();
    let log =
        log_to(disk.written.clone(), |builder| builder.sink(disk.sink()).sink_retry_limit(Duration::from_millis(50)));
    log.all().await;
    disk.break_with(ErrorKind::StorageFull);
    ask(&service(&log.auditor), "/1").await;
    eventually("it is given up", || log.auditor.counters().sinks[0].state == SinkState::GivenUp).await;
    eventually("it is counted", || log.auditor.counters().lost.sink_failed == 1).await;
    assert!(!log.auditor.flush(DEADLINE * 10).await);
    let (report, _) = log.stop().await;
    assert_eq!((report.lost, report.flushed), (1, false));
}

#[tokio::test]
async fn each_sink_has_its_filter_and_none_removes_records_of_ours() {
    let (good, bad, wild) = (Written::default(), Written::default(), Written::default());
    let log = log_to(good.clone(), |builder| {
        builder
            .sink(keeping(&good))
            .sink(keeping(&bad).filter(Filter::level(Level::Warn)))
            .sink(keeping(&wild).filter(Filter::from_fn(|_| panic!("as it always does"))))
    });
    let service = service(&log.auditor);
    for id in 0..10 {
        ask(&service, &format!("/{id}")).await;
        ask(&service, &format!("/bad/{id}")).await;
    }
    let (report, lines) = log.stop().await;
    assert!(report.is_complete());
    assert_eq!(exchanges(lines.clone()).len(), 20);
    let bad = checked(&bad);
    assert_eq!((bad.len(), exchanges(bad.clone()).len()), (12, 10));
    assert!(exchanges(bad).iter().all(|record| record["response"]["status"] == 410));
    // What it cannot judge is kept.
    assert_eq!(exchanges(checked(&wild)), exchanges(lines));
}

#[tokio::test]
async fn each_sink_has_its_format_and_a_panicking_one_costs_no_record() {
    let (plain, short, wild) = (Written::default(), Written::default(), Written::default());
    let log = log_to(plain.clone(), |builder| {
        builder
            .sink(keeping(&plain))
            .sink(keeping(&short).format(line_fn(|record, out| {
                out.push_str(record.event_name());
                out.push_str("\nforged\r");
            })))
            .sink(keeping(&wild).format(line_fn(|_, out| {
                out.push_str("half");
                panic!("as it always does")
            })))
    });
    let service = service(&log.auditor);
    ask(&service, "/1").await;
    assert!(log.auditor.flush(Duration::from_secs(30)).await);
    let counters = log.auditor.counters();
    assert_eq!(counters.sinks.iter().map(|sink| sink.panics).collect::<Vec<_>>(), [0, 0, 2]);
    let (report, lines) = log.stop().await;
    assert!(report.is_complete());
    // A format cannot make two lines of one record.
    let names: Vec<_> =
        lines.iter().map(|record| format!("{} forged ", record["eventName"].as_str().unwrap())).collect();
    assert_eq!(short.text().lines().collect::<Vec<_>>(), names);
    assert_eq!(exchanges(checked(&wild)), exchanges(lines));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_records_of_one_exchange_are_in_order_in_every_sink() {
    let sinks = [(); 3].map(|()| Written::default());
    let log = log_to(sinks[0].clone(), |builder| {
        let builder = builder.catalog(asked()).stages(Stages::Both).queue_records(64);
        sinks.iter().fold(builder, |builder, sink| builder.sink(Output::new(Half(sink.clone())).required()))
    });
    let service = service(&log.auditor);
    let mut clients = JoinSet::new();
    for client in 0..16_u64 {
        let (service, auditor) = (service.clone(), log.auditor.clone());
        clients.spawn(async move {
            let mut random = client;
            for id in 0..100 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match random >> 62 {
                    0 => auditor.begin_unlisted("Work").await.unwrap().succeed(),
                    1 => drop(auditor.begin_unlisted("Work").await.unwrap()),
                    2 => {
                        let ask = service.clone().oneshot(Request::get("/gone").body(Body::empty()).unwrap());
                        drop(ask.await.unwrap());
                    }
                    _ => ask(&service, &format!("/{id}")).await,
                }
            }
        });
    }
    clients.join_all().await;
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    // The check of the lines: initiation before completion, one of each, numbers without a gap.
    assert_eq!(exchanges(lines.clone()).len(), 3200);
    let order = |lines: &[Value]| {
        let mut order: HashMap<String, Vec<Value>> = HashMap::new();
        for line in lines.iter().filter(|line| !line["eventName"].as_str().unwrap().starts_with("Audit")) {
            order.entry(line["auditId"].as_str().unwrap().to_owned()).or_default().push(line["stage"].clone());
        }
        order
    };
    for sink in &sinks {
        let order = order(&checked(sink));
        assert_eq!(order.len(), 1600);
        assert!(order.values().all(|stages| *stages == ["initiation", "completion"]));
    }
}

/// An audit log in a file, and the folder that it is in.
fn on_file() -> (Log, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = sink::file(folder.path().join("logs/audit.log"));
    fs::create_dir(folder.path().join("logs")).unwrap();
    (log_to(Written::default(), |builder| builder.sink(file.open().unwrap())), folder)
}

fn urls(text: &str) -> Vec<String> {
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter_map(|record| Some(record["request"]["url"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_file_that_is_moved_deleted_or_whose_folder_goes_loses_no_record_that_was_not_with_it() {
    let (log, folder) = on_file();
    let (service, path) = (service(&log.auditor), folder.path().join("logs/audit.log"));
    let read = || fs::read_to_string(&path).unwrap();
    let written = async |url: &str| {
        ask(&service, url).await;
        assert!(log.auditor.flush(DEADLINE).await);
    };
    written("/1").await;
    let moved = folder.path().join("moved.log");
    fs::rename(&path, &moved).unwrap();
    written("/2").await;
    assert_eq!(
        (urls(&fs::read_to_string(&moved).unwrap()), urls(&read())),
        (vec!["/1".to_owned()], vec!["/2".to_owned()])
    );
    fs::remove_file(&path).unwrap();
    written("/3").await;
    assert_eq!(urls(&read()), ["/3"]);
    fs::remove_dir_all(folder.path().join("logs")).unwrap();
    written("/4").await;
    assert_eq!(urls(&read()), ["/4"]);
    let counters = log.auditor.counters();
    assert_eq!((counters.lost.total(), counters.sinks[0].state), (0, SinkState::Healthy));
    let (report, _) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(urls(&read()), ["/4"]);
}

#[tokio::test]
async fn what_a_file_cannot_take_waits_for_it_and_what_cannot_be_kept_is_told() {
    let (log, folder) = on_file();
    let (service, logs) = (service(&log.auditor), folder.path().join("logs"));
    ask(&service, "/1").await;
    assert!(log.auditor.flush(DEADLINE).await);
    // In the place of the folder stands something that no file can be made in.
    fs::remove_dir_all(&logs).unwrap();
    fs::write(&logs, "in the way").unwrap();
    ask(&service, "/2").await;
    eventually("it fails", || log.auditor.counters().sinks[0].state == SinkState::Failing).await;
    assert_eq!(log.auditor.counters().unwritten, 1);
    fs::remove_file(&logs).unwrap();
    assert!(log.auditor.flush(DEADLINE).await);
    assert_eq!(urls(&fs::read_to_string(logs.join("audit.log")).unwrap()), ["/2"]);
    assert!(log.stop().await.0.is_complete());
}

#[tokio::test]
async fn a_header_is_the_first_line_and_takes_no_seq() {
    let (lines, records) = sink::memory();
    let batches = Written::default();
    let taken = batches.clone();
    let closure = sink_fn(move |batch: &[u8]| {
        taken.push(batch);
        Ok(())
    });
    let columns = || csv("seq,eventName".parse().unwrap());
    let log = log_to(Written::default(), |builder| {
        builder.sink(Output::new(lines).format(columns())).sink(Output::new(closure).format(columns()))
    });
    ask(&service(&log.auditor), "/1").await;
    assert!(log.auditor.shutdown(Duration::from_secs(30)).await.is_complete());
    let expected = ["seq,eventName", "1,AuditStarted", "2,HttpRequest", "3,AuditStopped"];
    assert_eq!(records.lines(), expected);
    assert_eq!(batches.text().lines().collect::<Vec<_>>(), expected);
}
