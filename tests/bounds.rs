//! Memory that clients can take is bounded, and nobody waits behind a client that only holds it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::any;
use common::bodies::{self, Feed, data};
use common::sinks::{Disk, Gate};
use common::{DEADLINE, Log, Written, eventually, expected, failed, log_to, record};
use http::{Method, Request, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use tower_audit::sink::{Output, sink_fn};
use tower_audit::{AuditedRouterService, AuditorBuilder, Bodies, Catalog, Delivery, Event};

const MANY: usize = 10_000;
const WAIT: Duration = Duration::from_secs(5);
/// The smallest budget, of which three quarters are for bodies.
const SMALL: usize = 64 * 1024;

struct Stage {
    log: Log,
    gate: Gate,
    service: AuditedRouterService,
}

/// An audit log whose sink can be stopped: `/upload` and `/durable` (give their bodies back), `/follow` (never ends) and
/// `/page` may not be lost, `/lossy` and what no event claims may.
async fn stage(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Stage {
    let (written, gate) = (Written::default(), Gate::default());
    let (lines, pass) = (written.clone(), gate.clone());
    let sink = sink_fn(move |batch: &[u8]| -> io::Result<()> {
        pass.pass();
        lines.push(batch);
        Ok(())
    });
    let event = |name: &'static str, path: &'static str| {
        Event::new(name).on(Method::GET, path).on(Method::POST, path).unauthenticated_bodies()
    };
    let catalog = Catalog::new()
        .event(event("Upload", "/upload").bodies(Bodies::Request))
        .event(event("Follow", "/follow"))
        .event(event("Page", "/page"))
        .event(event("Echo", "/echo").bodies(Bodies::Response))
        .event(event("Pieces", "/pieces").bodies(Bodies::Response))
        .event(event("Lossy", "/lossy").bodies(Bodies::Request).delivery(Delivery::Lossy))
        .event(event("Durable", "/durable").bodies(Bodies::Request).delivery(Delivery::Durable));
    let log = log_to(written, |builder| set(builder.sink(sink).catalog(catalog).admission_timeout(WAIT)));
    // The first line is out before the gate can shut.
    log.all().await;
    let read = async |body: Bytes| ([("content-type", "application/json")], body);
    let read = ["/upload", "/lossy", "/echo", "/durable"].map(|path| (path, any(read)));
    let pieces = async || {
        let body = bodies::of([data("[17, "), Ok(Frame::data((json_of(14_000) + "]").into()))]);
        ([("content-type", "application/json")], Body::new(body))
    };
    let app = Router::new().route("/pieces", any(pieces));
    let app = read.into_iter().fold(app, |app, (path, read)| app.route(path, read)).fallback(any(
        async |request: Request<Body>| match request.uri().path() {
            "/follow" | "/free" => Body::new(bodies::Endless),
            _ => Body::empty(),
        },
    ));
    let service = log.auditor.wrap_router(app).into_service();
    Stage { log, gate, service }
}

impl Stage {
    async fn get(&self, path: &str) -> Response {
        self.service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    fn post(&self, path: &str, body: Body) -> JoinHandle<(StatusCode, Bytes)> {
        let request = Request::post(path).header("content-type", "application/json").body(body).unwrap();
        let answer = self.service.clone().oneshot(request);
        tokio::spawn(async move {
            let (head, body) = answer.await.unwrap().into_parts();
            (head.status, body.collect().await.unwrap().to_bytes())
        })
    }

    /// An upload that is open, with what it has sent.
    fn upload(&self, sent: impl Into<Option<String>>) -> (Feed, JoinHandle<(StatusCode, Bytes)>) {
        let (feed, body) = bodies::fed();
        if let Some(sent) = sent.into() {
            feed.send(Ok(Frame::data(sent.into()))).ok().unwrap();
        }
        (feed, self.post("/upload", Body::new(body)))
    }

    fn held(&self) -> u64 {
        self.log.auditor.counters().captured_bytes
    }

    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

/// JSON of so many bytes.
fn json_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

async fn named(log: &Log, name: &str) -> Vec<Value> {
    log.all().await.into_iter().filter(|record| record["eventName"] == name).collect()
}

#[tokio::test]
async fn ten_thousand_idle_uploads_keep_nobody_out() {
    let stage = stage(|builder| builder).await;
    let idle: Vec<_> = (0..MANY).map(|_| stage.upload(None)).collect();
    eventually("all are open", || stage.log.auditor.counters().open == MANY as u64).await;
    assert!(stage.held() <= MANY as u64 * 4096, "{}", stage.held());
    let body = json_of(10_000);
    assert_eq!(stage.post("/upload", body.clone().into()).await.unwrap(), (StatusCode::OK, body.clone().into()));
    assert_eq!(stage.get("/page").await.status(), StatusCode::OK);
    let counters = stage.log.auditor.counters();
    assert_eq!((counters.waiting, counters.refused, counters.lost.total()), (0, 0, 0));
    assert_eq!(named(&stage.log, "Upload").await[0]["request"]["body"], Value::String("x".repeat(9_998)));
    drop(idle);
}

#[tokio::test]
async fn streams_that_end_at_once_while_the_reader_hangs_are_bounded_and_lose_nothing() {
    let stage = stage(|builder| builder).await;
    let mut streams = Vec::new();
    for _ in 0..MANY {
        streams.push(stage.get("/follow").await);
    }
    assert_eq!(stage.get("/page").await.status(), StatusCode::OK);
    let held = stage.held();
    assert!(held <= MANY as u64 * 4096, "{held}");
    stage.gate.set(true);
    drop(streams);
    eventually("all have ended", || stage.log.auditor.counters().unwritten >= MANY as u64).await;
    let counters = stage.log.auditor.counters();
    assert!(counters.captured_bytes <= held + 4096, "{counters:?}");
    assert!(counters.sinks[0].buffered_bytes <= held, "{counters:?}");
    // There is no room for a record any more, so what may be lost is answered at once.
    assert_eq!(stage.get("/lossy").await.status(), StatusCode::OK);
    stage.gate.set(false);
    assert_eq!(stage.get("/page").await.status(), StatusCode::OK);
    assert_eq!(named(&stage.log, "Follow").await.len(), MANY);
    let (report, _) = stage.log.stop().await;
    assert_eq!((report.open, report.refused, report.lost), (0, 0, 1));
}

#[tokio::test]
async fn open_streams_take_the_budget_and_no_more() {
    let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
    // What may be lost takes half of it; beyond that it is served without a record, which is counted.
    let mut free = Vec::new();
    while stage.log.auditor.counters().lost.queue_full == 0 {
        let answer = stage.get("/free").await;
        assert_eq!(answer.status(), StatusCode::OK);
        free.push(answer);
    }
    assert!((SMALL as u64 / 2..SMALL as u64 / 2 + 4096).contains(&stage.held()), "{}", stage.held());
    // What may not be lost takes the rest; beyond that it waits, and is refused.
    let mut streams = Vec::new();
    while stage.held() < SMALL as u64 {
        streams.push(stage.get("/follow").await);
    }
    assert!(stage.held() < SMALL as u64 + 4096);
    let waiting = stage.post("/page", Body::empty());
    eventually("it waits", || stage.log.auditor.counters().waiting == 1).await;
    stage.log.clock.advance(WAIT);
    assert_eq!(waiting.await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    let failure = failed("error", "rejected", "Rejected", "the request could not be recorded and was not handled");
    let change = json!({
        "timestamp": "2026-11-20T07:55:42.720973Z",
        "durationMs": 5000.0,
        "eventName": "Page",
        "actor": { "ip": null, "port": null, "hostname": null },
        "response": { "status": 503, "bytes": 95 },
        "request": { "method": "POST", "url": "/page", "route": "/page" },
    });
    assert_eq!(expected::normal(named(&stage.log, "Page").await), [record(expected::with(failure, change))]);
    // One that ends makes room for whoever waits.
    let waiting = stage.post("/page", Body::empty());
    eventually("it waits", || stage.log.auditor.counters().waiting == 1).await;
    streams.truncate(streams.len() - 2);
    assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    drop((free, streams));
    let (report, _) = stage.log.stop().await;
    assert_eq!((report.refused, report.lost, report.open), (1, 1, 0));
}

/// Two idle uploads that hold what there is for bodies.
fn fill(stage: &Stage) -> Vec<(Feed, JoinHandle<(StatusCode, Bytes)>)> {
    (0..2).map(|_| stage.upload(json_of(16 * 1024))).collect()
}

#[tokio::test]
async fn a_body_waits_for_bytes_and_nobody_waits_behind_it() {
    let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
    let mut idle = fill(&stage);
    eventually("they hold their bytes", || stage.held() > 32 * 1024).await;
    let large = stage.post("/upload", json_of(16 * 1024).into());
    eventually("it is open", || stage.log.auditor.counters().open == 3).await;
    stage.settle().await;
    assert!(!large.is_finished(), "it waits for bytes");
    // Who needs none, or fewer than are left, does not wait.
    assert_eq!(stage.get("/page").await.status(), StatusCode::OK);
    assert_eq!(stage.post("/upload", "17".into()).await.unwrap().0, StatusCode::OK);
    assert!(!large.is_finished());
    let (feed, first) = idle.remove(0);
    drop(feed);
    assert_eq!(first.await.unwrap().1.len(), 16 * 1024);
    assert_eq!(large.await.unwrap().1.len(), 16 * 1024);
    drop(idle);
    let (report, lines) = stage.log.stop().await;
    assert_eq!((report.refused, report.lost), (0, 0));
    let whole = |record: &&Value| record["request"]["body"] == Value::String("x".repeat(16 * 1024 - 2));
    let shown = lines.iter().filter(|line| line["eventName"] == "Upload").filter(|line| {
        // Shortened only because the line is.
        whole(line) || line["request"]["bodyOmitted"]["reason"] == "line" || line["request"]["body"] == 17
    });
    assert_eq!(shown.count(), 4, "all of them are kept");
}

#[tokio::test]
async fn a_body_that_has_waited_too_long_is_left_out_and_reaches_its_handler_whole() {
    let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
    let idle = fill(&stage);
    eventually("they hold their bytes", || stage.held() > 32 * 1024).await;
    let (feed, waits) = stage.upload(json_of(15_000));
    eventually("it is open", || stage.log.auditor.counters().open == 3).await;
    stage.settle().await;
    assert!(!waits.is_finished());
    let before = stage.held();
    stage.log.clock.advance(WAIT);
    // What comes after it does not wait once more.
    feed.send(data(" ")).ok().unwrap();
    drop(feed);
    assert_eq!(waits.await.unwrap(), (StatusCode::OK, (json_of(15_000) + " ").into()));
    let omitted = json!({ "reason": "budget", "contentType": "application/json", "bytes": 15_001 });
    assert_eq!(named(&stage.log, "Upload").await[0]["request"]["bodyOmitted"], omitted);
    assert!(stage.held() < before, "nothing of it is held any more");
    drop(idle);
}

#[tokio::test]
async fn a_body_that_waits_is_left_out_when_its_record_cannot_become_durable_any_more() {
    let disk = Disk::default();
    let other = Output::new(disk.sink()).required();
    let stage = stage(|builder| builder.queue_bytes(SMALL).sink(other).sink_retry_limit(Duration::ZERO)).await;
    let idle = fill(&stage);
    eventually("they hold their bytes", || stage.held() > 32 * 1024).await;
    let request = Request::post("/durable").header("content-type", "application/json");
    let waits = tokio::spawn(stage.service.clone().oneshot(request.body(json_of(15_000).into()).unwrap()));
    eventually("it is open", || stage.log.auditor.counters().open == 3).await;
    stage.settle().await;
    assert!(!waits.is_finished());
    disk.break_with(io::ErrorKind::StorageFull);
    assert_eq!(stage.get("/page").await.status(), StatusCode::OK);
    let answer = waits.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_err(), "its record is not durable");
    drop(idle);
    let omitted = json!({ "reason": "budget", "contentType": "application/json", "bytes": 15_000 });
    let (_, lines) = stage.log.stop().await;
    let record = lines.iter().find(|record| record["eventName"] == "Durable").unwrap();
    assert_eq!(record["request"]["bodyOmitted"], omitted);
}

#[tokio::test]
async fn a_body_that_may_be_lost_is_left_out_at_once() {
    let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
    let idle = stage.upload(json_of(16 * 1024));
    eventually("it holds its bytes", || stage.held() > 16 * 1024).await;
    let (status, body) = stage.post("/lossy", json_of(15_000).into()).await.unwrap();
    assert_eq!((status, body.len()), (StatusCode::OK, 15_000));
    let omitted = json!({ "reason": "budget", "contentType": "application/json", "bytes": 15_000 });
    assert_eq!(named(&stage.log, "Lossy").await[0]["request"]["bodyOmitted"], omitted);
    drop(idle);
}

#[tokio::test]
async fn a_response_waits_for_bytes_too() {
    let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
    let mut idle = fill(&stage);
    eventually("they hold their bytes", || stage.held() > 32 * 1024).await;
    let echo = stage.post("/echo", json_of(14_000).into());
    eventually("it is open", || stage.log.auditor.counters().open == 3).await;
    stage.settle().await;
    assert!(!echo.is_finished());
    drop(idle.remove(0));
    assert_eq!(tokio::time::timeout(DEADLINE, echo).await.unwrap().unwrap().1.len(), 14_000);
    assert_eq!(named(&stage.log, "Echo").await[0]["response"]["body"], Value::String("x".repeat(13_998)));
    drop(idle);
}

#[tokio::test]
async fn a_client_that_breaks_off_while_the_last_frame_waits_for_bytes_has_not_got_it() {
    // The whole body in one frame of a known length, and the last of two of a body that knows none.
    for (name, path, delivered, kept) in
        [("Echo", "/echo", "", None), ("Pieces", "/pieces", "[17, ", Some(json!([17])))]
    {
        let stage = stage(|builder| builder.queue_bytes(SMALL)).await;
        let idle = fill(&stage);
        eventually("they hold their bytes", || stage.held() > 32 * 1024).await;
        let full = stage.held();
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Body::from(if path == "/echo" { json_of(14_000) } else { String::new() })).unwrap();
        let mut body = stage.service.clone().oneshot(request).await.unwrap().into_body();
        if !delivered.is_empty() {
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first, delivered);
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending(), "it waits for bytes");
        stage.log.clock.advance(Duration::from_secs(1));
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        drop(body);
        let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
        let omitted = json!({ "reason": "truncated", "contentType": "application/json", "bytes": delivered.len() });
        let change = json!({
            "timestamp": "2026-11-20T07:55:38.720973Z",
            "durationMs": 1000.0,
            "eventName": name,
            "actor": { "ip": null, "port": null, "hostname": null },
            "meta": { "abortedAt": "body" },
            "response": { "bytes": delivered.len(), "bodyOmitted": omitted },
            "request": { "method": "POST", "url": path, "route": path },
        });
        let change = kept
            .into_iter()
            .fold(change, |change, kept| expected::with(change, json!({ "response": { "body": kept } })));
        assert_eq!(expected::normal(named(&stage.log, name).await), [record(expected::with(failure, change))]);
        // Neither it nor its place in line holds anything.
        eventually("its bytes are given back", || stage.held() <= full).await;
        drop(idle);
        let (report, _) = stage.log.stop().await;
        assert_eq!((report.refused, report.lost, report.open), (0, 0, 0));
    }
}

#[tokio::test]
async fn the_heads_of_waiting_requests_are_bounded() {
    let stage = stage(|builder| builder.queue_bytes(SMALL).queue_records(8)).await;
    stage.gate.set(true);
    for _ in 0..8 {
        assert_eq!(stage.get("/lossy").await.status(), StatusCode::OK);
    }
    assert!(stage.held() < SMALL as u64, "there are bytes, but no place for a record");
    let long = format!("/page?{}", "x".repeat(12 * 1024));
    let mut waiting = Vec::new();
    for id in 1..=3 {
        waiting.push(stage.post(&long, Body::empty()));
        eventually("it waits", || stage.log.auditor.counters().waiting == id).await;
    }
    assert_eq!(stage.post(&long, Body::empty()).await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    stage.gate.set(false);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    }
    let (report, _) = stage.log.stop().await;
    assert_eq!((report.refused, report.lost, report.open), (1, 0, 0));
}
