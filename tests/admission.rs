//! A queue that is full: `lossy` serves on and tells what it lost, `backpressure` waits, and then refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use common::{Log, Written, eventually, expected, log_to, record};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use tower_audit::sink::sink_fn;
use tower_audit::{Audit, AuditedRouterService, Auditor, Bodies, Catalog, Delivery, Event, Stages};

/// A sink that can be stopped.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// An audit log of `/strict/…` (backpressure), `/free/…` (lossy) and `/none/…` (left out) whose sink can be stopped.
struct Stage {
    log: Log,
    gate: Gate,
    service: AuditedRouterService,
    handled: Arc<AtomicUsize>,
}

const WAIT: Duration = Duration::from_secs(5);

async fn stage(records: usize) -> Stage {
    stage_of(records, Event::new("Strict").on(Method::GET, "/strict/{id}")).await
}

async fn stage_of(records: usize, strict: Event) -> Stage {
    let (written, gate) = (Written::default(), Gate::default());
    let (lines, pass) = (written.clone(), gate.clone());
    let sink = sink_fn(move |batch: &[u8]| -> io::Result<()> {
        pass.pass();
        lines.push(batch);
        Ok(())
    });
    let catalog = Catalog::new().event(strict).skip_all("/none/{*rest}");
    let log =
        log_to(written, |builder| builder.sink(sink).catalog(catalog).queue_records(records).admission_timeout(WAIT));
    // The first line is out before the gate can shut.
    log.all().await;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let app = Router::new().fallback(any(async move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let service = log.auditor.wrap_router(app).into_service();
    Stage { log, gate, service, handled }
}

impl Stage {
    /// One request from its head to its end.
    fn start(&self, path: &str) -> JoinHandle<Response> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = self.service.clone().oneshot(request);
        tokio::spawn(async move {
            let (head, body) = answer.await.unwrap().into_parts();
            Response::from_parts(head, Body::from(body.collect().await.unwrap().to_bytes()))
        })
    }

    async fn ask(&self, path: &str) -> StatusCode {
        self.start(path).await.unwrap().status()
    }

    /// Shuts the sink and fills the queue with lossy records: from now on there is no room.
    async fn fill(&self, records: usize) {
        self.gate.set(true);
        for _ in 0..records {
            assert_eq!(self.ask("/free/fill").await, StatusCode::OK);
        }
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::SeqCst)
    }

    /// Lets everything that is ready go on, often enough that a request which does not wait would have ended.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

fn of<'r>(records: &'r [Value], name: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["eventName"] == name).collect()
}

#[tokio::test]
async fn lossy_requests_are_served_on_and_what_is_lost_is_told() {
    let stage = stage(4).await;
    stage.fill(4).await;
    for _ in 0..20 {
        assert_eq!(stage.ask("/free/more").await, StatusCode::OK);
    }
    assert_eq!(stage.handled(), 24);
    stage.gate.set(false);
    let (report, lines) = stage.log.stop().await;
    let told: u64 = of(&lines, "AuditRecordsLost")
        .iter()
        .map(|record| {
            assert_eq!(record["meta"]["reason"], "queue_full");
            assert!(!record["meta"]["auditIds"].as_array().unwrap().is_empty());
            record["meta"]["count"].as_u64().unwrap()
        })
        .sum();
    let written = of(&lines, "HttpRequest").len() as u64;
    assert_eq!((told, report.lost, told + written), (20, 20, 24));
    assert_eq!(of(&lines, "AuditStopped")[0]["meta"]["lost"], 20);
}

#[tokio::test]
async fn a_loss_is_told_before_what_comes_next() {
    let stage = stage(1).await;
    stage.fill(1).await;
    stage.ask("/free/lost").await;
    stage.gate.set(false);
    stage.log.all().await;
    stage.ask("/free/next").await;
    let names: Vec<Value> = stage.log.all().await.into_iter().map(|mut record| record["eventName"].take()).collect();
    let at = |wanted: &str| names.iter().rposition(|name| name == wanted).unwrap();
    assert_eq!(names.len(), 4);
    assert!(at("AuditRecordsLost") < at("HttpRequest"), "{names:?}");
}

#[tokio::test]
async fn backpressure_waits_before_the_handler_runs_and_goes_on_when_the_sink_does() {
    let stage = stage(2).await;
    stage.fill(2).await;
    let waiting = stage.start("/strict/1");
    stage.settle().await;
    assert!(!waiting.is_finished());
    assert_eq!(stage.handled(), 2);
    stage.gate.set(false);
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    assert_eq!(stage.handled(), 3);
    let records = stage.log.records(3).await;
    let expected = json!({
        "eventName": "Strict",
        "actor": { "ip": null, "port": null, "hostname": null },
        "request": { "url": "/strict/1", "route": "/strict/{id}", "params": { "id": "1" } },
    });
    assert_eq!(records[2], record(expected));
}

#[tokio::test]
async fn who_has_waited_too_long_is_refused_and_that_is_told() {
    let stage = stage_of(2, Event::new("Strict").on(Method::GET, "/strict/{id}").stages(Stages::Both)).await;
    stage.fill(2).await;
    let waiting = [stage.start("/strict/1"), stage.start("/strict/2")];
    stage.settle().await;
    stage.log.clock.advance(WAIT);
    for waiting in waiting {
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], "audit_unavailable");
    }
    assert_eq!(stage.handled(), 2);
    stage.gate.set(false);
    let (report, lines) = stage.log.stop().await;
    // There was no room for records of their own.
    assert_eq!(of(&lines, "Strict").len(), 0);
    let told: u64 =
        of(&lines, "AuditRequestsRefused").iter().map(|record| record["meta"]["count"].as_u64().unwrap()).sum();
    assert_eq!((told, report.refused, report.lost), (2, 2, 0));
    assert!(report.is_complete());
}

#[tokio::test]
async fn what_is_not_audited_never_waits() {
    let stage = stage(1).await;
    stage.fill(1).await;
    let waiting = stage.start("/strict/1");
    stage.settle().await;
    assert_eq!(stage.ask("/none/probe").await, StatusCode::OK);
    assert_eq!(stage.ask("/free/probe").await, StatusCode::OK);
    assert!(!waiting.is_finished());
    stage.gate.set(false);
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn open_exchanges_hold_no_place() {
    let stage = stage(2).await;
    let request = |id| Request::get(format!("/strict/{id}")).body(Body::empty()).unwrap();
    let app = Router::new().fallback(any(async || Body::new(common::bodies::Endless)));
    let service = stage.log.auditor.wrap_router(app).into_service();
    let mut open = Vec::new();
    for id in 0..100 {
        open.push(service.clone().oneshot(request(id)).await.unwrap());
    }
    // Each of them enters when it ends, whatever the bound says.
    stage.gate.set(true);
    drop(open);
    stage.gate.set(false);
    assert_eq!(stage.log.records(100).await.len(), 100);
}

#[tokio::test]
async fn a_waiting_client_that_goes_away_leaves_no_trace_in_the_line() {
    let stage = stage(2).await;
    stage.fill(2).await;
    // The line is as long as the queue: these two fill it.
    let waiting = [stage.start("/strict/1"), stage.start("/strict/2")];
    stage.settle().await;
    assert_eq!(stage.ask("/strict/3").await, StatusCode::SERVICE_UNAVAILABLE);
    let [first, second] = waiting;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    // Its place is free, though one who still waits stands before it.
    let next = stage.start("/strict/4");
    stage.settle().await;
    assert!(!next.is_finished() && !first.is_finished());
    stage.gate.set(false);
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(next.await.unwrap().status(), StatusCode::OK);
    assert_eq!(stage.handled(), 4);
    // Nothing of it is held any more: as many as ever are let in.
    for id in 5..50 {
        assert_eq!(stage.ask(&format!("/strict/{id}")).await, StatusCode::OK);
    }
    let (report, lines) = stage.log.stop().await;
    // One was refused, and one went before it was let in, with no room for its record: both are told.
    assert_eq!((report.open, report.refused, report.lost), (0, 1, 1));
    for name in ["AuditRequestsRefused", "AuditRecordsLost"] {
        let told: u64 = of(&lines, name).iter().map(|record| record["meta"]["count"].as_u64().unwrap()).sum();
        assert_eq!(told, 1, "{name}");
    }
}

#[tokio::test]
async fn the_line_is_bounded_and_who_finds_it_full_is_refused_at_once() {
    let stage = stage(3).await;
    stage.fill(3).await;
    let waiting: Vec<_> = (0..3).map(|id| stage.start(&format!("/strict/{id}"))).collect();
    stage.settle().await;
    for id in 3..10 {
        assert_eq!(stage.ask(&format!("/strict/{id}")).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    stage.gate.set(false);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    }
    let (report, _) = stage.log.stop().await;
    assert_eq!((report.refused, report.lost, report.open), (7, 0, 0));
}

#[tokio::test]
async fn a_skip_while_an_inner_layer_waits_for_room_leaves_the_request_out_and_holds_nothing() {
    let stage = stage(1).await;
    let auditor = &stage.log.auditor;
    let strict =
        auditor.route_layer(Event::new("Inner").delivery(Delivery::Backpressure).bodies(Bodies::Both)).unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tells = from_fn(move |audit: Audit, request: AxumRequest, next: Next| {
        tell.send(audit).unwrap();
        next.run(request)
    });
    let app = Router::new().route("/joined", any(async || "here").layer(strict)).layer(tells);
    let service = auditor.wrap_router(app).into_service();
    stage.fill(1).await;
    let waiting = tokio::spawn(service.oneshot(Request::get("/joined").body(Body::empty()).unwrap()));
    let audit: Audit = told.recv().await.unwrap();
    stage.settle().await;
    assert!(!waiting.is_finished());
    audit.skip().unwrap();
    stage.gate.set(false);
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "here");
    let (report, lines) = stage.log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(expected::normal(lines).len(), 1, "only what filled the queue");
}

#[tokio::test]
async fn who_waits_is_let_in_in_order() {
    let stage = stage(1).await;
    stage.fill(1).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    let app = Router::new()
        .route("/strict/{id}", any(async move |id: axum::extract::Path<u32>| seen.lock().unwrap().push(id.0)));
    let auditor: Auditor = stage.log.auditor.clone();
    let service = auditor.wrap_router(app).into_service();
    // Only one fits into the line of one; the next comes when it is gone.
    let first = tokio::spawn(service.clone().oneshot(Request::get("/strict/1").body(Body::empty()).unwrap()));
    stage.settle().await;
    stage.gate.set(false);
    first.await.unwrap().unwrap();
    service.oneshot(Request::get("/strict/2").body(Body::empty()).unwrap()).await.unwrap();
    eventually("both handled", || order.lock().unwrap().len() == 2).await;
    assert_eq!(*order.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_sink_that_fails_once_is_tried_again_and_nothing_is_lost() {
    let written = Written::default();
    let (lines, failing) = (written.clone(), Arc::new(AtomicUsize::new(0)));
    let fails = failing.clone();
    let sink = sink_fn(move |batch: &[u8]| match fails.swap(0, Ordering::SeqCst) {
        0 => {
            lines.push(batch);
            Ok(())
        }
        _ => Err(io::ErrorKind::StorageFull.into()),
    });
    let log = log_to(written, |builder| builder.sink(sink));
    log.all().await;
    failing.store(1, Ordering::SeqCst);
    let request = Request::get("/").body(Body::empty()).unwrap();
    log.auditor.wrap_router(Router::new()).into_service().oneshot(request).await.unwrap();
    assert_eq!(log.only().await["response"]["status"], 404);
    assert_eq!(failing.load(Ordering::SeqCst), 0);
    let (report, _) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test]
async fn a_thousand_idle_streams_and_a_thousand_slow_uploads_stop_nobody_else() {
    const MANY: usize = 1000;
    // All of them may not lose, and show their bodies; the bounds are the default ones.
    let event = |name: &'static str, path: &'static str| {
        Event::new(name).on(Method::GET, path).on(Method::POST, path).bodies(Bodies::Both).unauthenticated_bodies()
    };
    let log = common::log_of([event("Follow", "/follow"), event("Upload", "/upload"), event("Order", "/orders")]);
    let app = Router::new()
        .route("/follow", any(async || ([("content-type", "text/event-stream")], Body::new(common::bodies::Endless))))
        .route("/upload", any(async |_: axum::body::Bytes| ()))
        .route("/orders", any(async |order: axum::Json<Value>| order));
    let service = log.auditor.wrap_router(app).into_service();
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let follow = Request::get("/follow").body(Body::empty()).unwrap();
        streams.push(service.clone().oneshot(follow).await.unwrap());
    }
    let (feeds, uploads): (Vec<_>, Vec<_>) = (0..MANY)
        .map(|_| {
            let (feed, body) = common::bodies::fed();
            feed.send(common::bodies::data(r#"{"half":"#)).ok().unwrap();
            let upload = Request::post("/upload").header("content-type", "application/json").body(Body::new(body));
            (feed, tokio::spawn(service.clone().oneshot(upload.unwrap())))
        })
        .unzip();
    eventually("all are open", || log.auditor.counters().open == 2 * MANY as u64).await;
    for id in 0..100 {
        let order = Body::from(json!({ "id": id, "text": "x".repeat(10_000) }).to_string());
        let order = Request::post("/orders").header("content-type", "application/json").body(order).unwrap();
        let answer = service.clone().oneshot(order).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.unwrap();
    }
    let counters = log.auditor.counters();
    assert_eq!((counters.waiting, counters.refused, counters.open), (0, 0, 2 * MANY as u64));
    // Nothing is set aside for what may still come.
    assert!(counters.captured_bytes <= 2 * MANY as u64 * 4096, "{counters:?}");
    for feed in feeds {
        feed.send(common::bodies::data("17}")).ok().unwrap();
    }
    for upload in uploads {
        assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    drop(streams);
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(expected::normal(lines).len(), 2 * MANY + 100);
}
