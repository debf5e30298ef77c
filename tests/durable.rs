//! `durable`: nobody has the end of a response before its record is synced; `fail_closed`: nothing is done before that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use common::bodies::{self, data, trailers};
use common::net::{self, serve};
use common::sinks::{Disk, named, told};
use common::{Log, eventually, expected, log_to, record};
use futures_util::stream;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Catalog, Delivery, Event, Stages};

/// For what must not happen before the test says so.
const FOR_EVER: Duration = Duration::from_secs(600);
/// For what is waited for in vain.
const SHORT: Duration = Duration::from_millis(50);

fn log_on(disk: &Disk, wait: Duration, events: impl IntoIterator<Item = Event>) -> Log {
    let catalog = events.into_iter().fold(Catalog::new(), Catalog::event);
    log_to(disk.written.clone(), |builder| builder.sink(disk.sink()).catalog(catalog).admission_timeout(wait))
}

fn durable() -> Event {
    Event::new("Payment").on(Method::GET, "/{kind}").delivery(Delivery::Durable)
}

/// Every way in which a response ends.
const KINDS: [&str; 9] = ["exact", "declared", "chunked", "streamed", "trailers", "grpc", "none", "empty", "head"];
/// Those of them that end with their heads.
const BODILESS: [&str; 3] = ["none", "empty", "head"];

fn app() -> Router {
    Router::new().route("/{kind}", any(async |kind: axum::extract::Path<String>| answer(&kind)))
}

fn answer(kind: &str) -> Response {
    let chunks = || stream::iter(["one ", "two ", "three"].map(|text| Ok::<_, Infallible>(Bytes::from(text))));
    match kind {
        "exact" | "head" => "the whole".into_response(),
        "declared" => ([("content-length", "13")], Body::from_stream(chunks())).into_response(),
        "chunked" => Body::from_stream(chunks()).into_response(),
        "streamed" => {
            let (feed, body) = bodies::fed();
            tokio::spawn(async move {
                for text in ["one ", "two ", "three"] {
                    tokio::task::yield_now().await;
                    feed.send(data(text)).ok().unwrap();
                }
            });
            Body::new(body).into_response()
        }
        "trailers" => Body::new(bodies::of([data("data"), trailers("x-checksum", "17")])).into_response(),
        "grpc" => {
            let body = Body::new(bodies::of([data("message"), trailers("grpc-status", "0")]));
            ([("content-type", "application/grpc")], body).into_response()
        }
        "none" => StatusCode::NO_CONTENT.into_response(),
        "empty" => ().into_response(),
        other => panic!("no such kind: {other}"),
    }
}

fn method(kind: &str) -> Method {
    if kind == "head" { Method::HEAD } else { Method::GET }
}

/// A response that came whole: its status. Anything else is an error.
async fn whole(address: SocketAddr, kind: &str, http2: bool) -> Result<StatusCode, String> {
    whole_of(method(kind), address, kind, http2).await
}

async fn whole_of(method: Method, address: SocketAddr, kind: &str, http2: bool) -> Result<StatusCode, String> {
    let request = Request::builder().method(method);
    if http2 {
        let request = request.uri(format!("http://{address}/{kind}")).body(Empty::<Bytes>::new()).unwrap();
        let response = net::http2(address).await.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        response.into_body().collect().await.map_err(|error| error.to_string())?;
        return Ok(status);
    }
    let stream = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = request.uri(format!("/{kind}")).header("host", "127.0.0.1").body(Empty::<Bytes>::new()).unwrap();
    let response = send.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    response.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(status)
}

fn url(kind: &str) -> String {
    format!("\"url\":\"/{kind}\"")
}

#[tokio::test]
async fn the_end_of_a_response_is_seen_only_after_its_record_is_synced() {
    for http2 in [false, true] {
        for kind in KINDS {
            let disk = Disk::default();
            let log = log_on(&disk, FOR_EVER, [durable()]);
            let address = serve(log.auditor.wrap_router(app())).await;
            disk.syncing.set(true);
            let synced = disk.clone();
            let client = tokio::spawn(async move {
                let whole = whole(address, kind, http2).await;
                (whole, synced.has_synced(&url(kind)))
            });
            // The record is made when the end of the response is known, and then it is waited for.
            eventually("the record is written", || disk.written.text().contains(&url(kind))).await;
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(!client.is_finished(), "{kind}, http2: {http2}");
            disk.syncing.set(false);
            let (whole, was_synced) = client.await.unwrap();
            let status = if kind == "none" { StatusCode::NO_CONTENT } else { StatusCode::OK };
            assert_eq!((whole, was_synced), (Ok(status), true), "{kind}, http2: {http2}");
            assert_eq!(log.only().await["outcome"], "completed");
        }
    }
}

#[tokio::test]
async fn a_response_whose_record_is_not_durable_in_time_never_ends_well_and_its_record_is_written_later() {
    for http2 in [false, true] {
        for kind in KINDS {
            let disk = Disk::default();
            let log = log_on(&disk, SHORT, [durable()]);
            let address = serve(log.auditor.wrap_router(app())).await;
            disk.syncing.set(true);
            let whole = whole(address, kind, http2).await;
            if BODILESS.contains(&kind) {
                assert_eq!(whole, Ok(StatusCode::SERVICE_UNAVAILABLE), "{kind}, http2: {http2}");
            } else {
                assert!(whole.is_err(), "{kind}, http2: {http2}: {whole:?}");
            }
            assert!(!disk.has_synced(&url(kind)));
            disk.syncing.set(false);
            // What was done is what it tells: the handler's own answer.
            let record = log.only().await;
            assert_eq!(record["outcome"], "completed", "{kind}");
            assert_ne!(record["response"]["status"], 503, "{kind}");
            assert!(disk.has_synced(&url(kind)));
        }
    }
}

#[tokio::test]
async fn what_comes_before_the_end_is_not_delayed() {
    let disk = Disk::default();
    let log = log_on(&disk, FOR_EVER, [durable()]);
    disk.syncing.set(true);
    let app = log.auditor.wrap_router(app()).into_service();
    let request = |kind: &str| Request::get(format!("/{kind}")).body(Body::empty()).unwrap();
    let mut body = app.clone().oneshot(request("chunked")).await.unwrap().into_body();
    for text in ["one ", "two "] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    assert_eq!(disk.synced.text().matches("Payment").count(), 0);
    // Of a length that is known the last frame is held, of one that is not only the end.
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "three");
    let end = tokio::spawn(async move { body.frame().await.is_none() });
    eventually("the record is written", || disk.written.text().contains(&url("chunked"))).await;
    assert!(!end.is_finished());
    disk.syncing.set(false);
    assert!(end.await.unwrap());
}

#[tokio::test]
async fn many_who_wait_share_a_sync() {
    let disk = Disk::default();
    let log = log_on(&disk, FOR_EVER, [durable()]);
    log.all().await;
    let before = disk.syncs();
    disk.syncing.set(true);
    let service = log.auditor.wrap_router(app()).into_service();
    let asks: Vec<_> = (0..64)
        .map(|_| tokio::spawn(service.clone().oneshot(Request::get("/none").body(Body::empty()).unwrap())))
        .collect();
    // The first sync holds up the second write; everybody else is in the queue behind it.
    eventually("all are handed over", || log.auditor.counters().handed_over == 64).await;
    disk.syncing.set(false);
    for ask in asks {
        assert_eq!(ask.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
    }
    let syncs = disk.syncs() - before;
    assert!(syncs <= 4, "{syncs} syncs for 64 records");
}

#[tokio::test]
async fn a_client_that_goes_while_its_response_is_held_leaves_its_one_record() {
    let disk = Disk::default();
    let log = log_on(&disk, FOR_EVER, [durable()]);
    disk.syncing.set(true);
    let service = log.auditor.wrap_router(app()).into_service();
    let response = service.oneshot(Request::get("/exact").body(Body::empty()).unwrap()).await.unwrap();
    let ask = tokio::spawn(response.into_body().collect());
    eventually("the record is written", || disk.written.text().contains(&url("exact"))).await;
    ask.abort();
    assert!(ask.await.unwrap_err().is_cancelled());
    disk.syncing.set(false);
    assert_eq!(log.only().await["outcome"], "completed");
    let (report, _) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test]
async fn who_waits_for_a_required_sink_that_is_given_up_is_answered_at_once() {
    for kind in ["none", "exact"] {
        let disk = Disk::default();
        let catalog = Catalog::new().event(durable());
        let log = log_to(disk.written.clone(), |builder| {
            builder.sink(disk.sink()).catalog(catalog).admission_timeout(FOR_EVER).sink_retry_limit(Duration::ZERO)
        });
        let service = log.auditor.wrap_router(app()).into_service();
        log.all().await;
        disk.writing.set(true);
        let request = Request::get(format!("/{kind}")).body(Body::empty()).unwrap();
        let ask = tokio::spawn(async move {
            let answer = service.oneshot(request).await.unwrap();
            (answer.status(), answer.into_body().collect().await.is_ok())
        });
        eventually("it is handed over", || log.auditor.counters().handed_over == 1).await;
        disk.break_with(ErrorKind::StorageFull);
        disk.writing.set(false);
        // It would else end after ten minutes. That it was handled cannot be undone: its end is never sent as a whole one.
        let whole = if kind == "none" { (StatusCode::SERVICE_UNAVAILABLE, true) } else { (StatusCode::OK, false) };
        assert_eq!(ask.await.unwrap(), whole, "{kind}");
        assert!(!log.auditor.flush(FOR_EVER).await);
    }
}

/// An app of one event whose handler counts how often it ran.
fn counting() -> (Router, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let handler = async move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    (Router::new().fallback(get(handler.clone()).post(handler)), ran)
}

fn closed() -> Event {
    Event::new("Deletion")
        .on(Method::GET, "/accounts/{id}")
        .on(Method::POST, "/accounts/{id}")
        .delivery(Delivery::FailClosed)
}

#[tokio::test]
async fn fail_closed_runs_the_handler_only_once_the_initiation_is_synced() {
    let disk = Disk::default();
    let log = log_on(&disk, FOR_EVER, [closed()]);
    let (app, ran) = counting();
    let service = log.auditor.wrap_router(app).into_service();
    disk.syncing.set(true);
    let ask = tokio::spawn(service.oneshot(Request::get("/accounts/1").body(Body::empty()).unwrap()));
    eventually("the initiation is written", || disk.written.text().contains("\"initiation\"")).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    disk.syncing.set(false);
    assert_eq!(ask.await.unwrap().unwrap().status(), StatusCode::OK);
    let patch = |more| {
        let base = json!({
            "eventName": "Deletion",
            "actor": { "ip": null, "port": null, "hostname": null },
            "request": { "url": "/accounts/1", "route": "/accounts/{id}", "params": { "id": "1" } },
        });
        record(expected::with(base, more))
    };
    let initiation = json!({
        "stage": "initiation", "outcome": null, "startedAt": null, "durationMs": null, "response": null,
    });
    assert_eq!(log.records(2).await, [patch(initiation), patch(json!({}))]);
}

#[tokio::test]
async fn on_a_full_disk_fail_closed_refuses_without_handling_and_goes_on_when_there_is_room() {
    let disk = Disk::default();
    let log = log_on(&disk, SHORT * 10, [closed()]);
    let (app, ran) = counting();
    let service = log.auditor.wrap_router(app).into_service();
    log.all().await;
    disk.break_with(ErrorKind::StorageFull);
    const ASKED: usize = 8;
    for id in 0..ASKED {
        let request = Request::get(format!("/accounts/{id}")).body(Body::empty()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"], "audit_unavailable");
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    disk.break_with(None);
    log.all().await;
    let request = Request::get("/accounts/last").body(Body::empty()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    let (report, lines) = log.stop().await;
    assert_eq!((report.refused, report.lost, report.open, report.flushed), (ASKED as u64, 0, 0, true));
    let refused = lines.iter().filter(|record| record["outcome"] == "rejected").count() as u64;
    assert_eq!(refused + told(&lines, "AuditRequestsRefused"), ASKED as u64);
    assert_eq!(
        lines.iter().filter(|record| record["outcome"] == "completed" && record["request"].is_object()).count(),
        1
    );
    // What was intended stands there, too.
    let intended = named(&lines, "Deletion").into_iter().filter(|record| record["stage"] == "initiation").count();
    assert_eq!(intended, ASKED + 1);
}

#[tokio::test]
async fn a_refused_grpc_client_gets_unavailable_in_trailers_only() {
    let disk = Disk::default();
    let log = log_on(&disk, SHORT, [closed()]);
    let (app, ran) = counting();
    let address = serve(log.auditor.wrap_router(app)).await;
    log.all().await;
    disk.break_with(ErrorKind::StorageFull);
    let request = Request::post(format!("http://{address}/accounts/1")).header("content-type", "application/grpc");
    let request = request.body(Full::new(Bytes::from_static(&[0; 5]))).unwrap();
    let answer = net::http2(address).await.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let body = answer.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none() && body.to_bytes().is_empty());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    disk.break_with(None);
    let records = log.records(2).await;
    assert_eq!((&records[1]["outcome"], &records[1]["status"]), (&json!("rejected"), &json!("failed")));
}

#[tokio::test]
async fn work_that_must_be_recorded_first_begins_when_its_initiation_is_durable_or_not_at_all() {
    let disk = Disk::default();
    let log = log_on(&disk, SHORT, [Event::new("Purge").delivery(Delivery::FailClosed)]);
    log.all().await;
    disk.syncing.set(true);
    assert_eq!(log.auditor.begin("Purge").await.unwrap_err().kind(), tower_audit::ErrorKind::Refused);
    // It cannot wait, so it never begins.
    assert_eq!(log.auditor.begin("Purge").try_begin().unwrap_err().kind(), tower_audit::ErrorKind::Refused);
    disk.syncing.set(false);
    log.all().await;
    let purge = log.auditor.begin("Purge").await.unwrap();
    assert_eq!(disk.synced.text().matches("\"initiation\"").count(), 2);
    purge.succeed();
    let ends: Vec<_> = log.records(5).await.iter().map(|record| json!([record["stage"], record["outcome"]])).collect();
    let (begins, rejected) = (json!(["initiation", null]), json!(["completion", "rejected"]));
    assert_eq!(ends, [begins.clone(), rejected.clone(), rejected, begins, json!(["completion", "completed"])]);
}

#[tokio::test]
async fn a_single_durable_record_is_one_record_and_is_waited_for() {
    let events = [Delivery::Durable, Delivery::FailClosed]
        .map(|class| Event::new(class.as_str().to_owned()).delivery(class).stages(Stages::Completion));
    for event in ["durable", "fail_closed"] {
        let disk = Disk::default();
        let log = log_on(&disk, SHORT, events.clone());
        log.all().await;
        log.auditor.begin(event).stage("skip").emit().await.unwrap();
        assert!(disk.has_synced("\"stage\":\"skip\""));
        disk.syncing.set(true);
        assert_eq!(
            log.auditor.begin(event).stage("skip").emit().await.unwrap_err().kind(),
            tower_audit::ErrorKind::Refused
        );
        disk.syncing.set(false);
        assert_eq!(log.records(2).await.len(), 2);
    }
}

#[tokio::test]
async fn durable_on_a_stream_that_its_client_ends_is_an_error_at_build() {
    for class in [Delivery::Durable, Delivery::FailClosed] {
        let event = Event::new("Follow").on(Method::GET, "/follow").delivery(class).client_ends_stream();
        let error = tower_audit::Auditor::builder().catalog(Catalog::new().event(event)).build().unwrap_err();
        assert!(error.kind() == tower_audit::ErrorKind::Catalog && error.to_string().contains("Follow"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_head_has_no_body() {
    for http2 in [false, true] {
        let disk = Disk::default();
        let log = log_on(&disk, SHORT, [closed()]);
        let (app, ran) = counting();
        let address = serve(log.auditor.wrap_router(app)).await;
        disk.syncing.set(true);
        // It takes the event of `GET`.
        let whole = whole_of(Method::HEAD, address, "accounts/1", http2).await;
        assert_eq!((whole, ran.load(Ordering::SeqCst)), (Ok(StatusCode::SERVICE_UNAVAILABLE), 0));
        disk.syncing.set(false);
        assert_eq!(log.records(2).await[1]["response"], json!({ "status": 503, "bytes": 0 }));
    }
}
