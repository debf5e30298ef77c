//! Clients that go, uploads that break, streams that are reset, and a server that stops: one record each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::routing::{get, post};
use bytes::Bytes;
use common::bodies::{self, FedBody, data};
use common::net::{self, Raw, head, listen, serve};
use common::{check, expected, failed, log, log_of, record};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_audit::{Event, Stages};

fn aborted(at: &str) -> Value {
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    expected::with(failure, json!({ "meta": { "abortedAt": at } }))
}

/// A handler that says that it has begun, and never answers.
fn stuck() -> (mpsc::UnboundedReceiver<()>, Router) {
    let (began, begun) = mpsc::unbounded_channel();
    let handler = move || {
        began.send(()).unwrap();
        pending::<()>()
    };
    (begun, Router::new().route("/", get(handler)))
}

/// A handler that answers with a body that the test feeds.
fn streaming() -> (bodies::Feed, Router) {
    let (feed, body) = bodies::fed();
    let body = Arc::new(Mutex::new(Some(body)));
    let handler = async move || Body::new(body.lock().unwrap().take().unwrap());
    (feed, Router::new().route("/", get(handler)))
}

#[tokio::test]
async fn a_client_that_goes_before_the_head_aborts_it() {
    let log = log();
    let (mut begun, app) = stuck();
    let address = serve(log.auditor.wrap_router(app)).await;
    let client = Raw::sending(address, head("GET", "/")).await;
    begun.recv().await.unwrap();
    drop(client);
    assert_eq!(log.only().await, record(expected::with(aborted("head"), json!({ "response": null }))));
}

const UPLOAD: &str = "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                      content-length: 100\r\n\r\n{\"name\":\"half\",";

fn broken_upload() -> Value {
    json!({
        "method": "POST",
        "route": "/",
        "bodyOmitted": { "reason": "failed", "contentType": "application/json", "bytes": 15 },
        "body": { "name": "half" },
    })
}

fn uploads() -> Event {
    Event::new("Upload").on(Method::POST, "/").unauthenticated_bodies()
}

#[tokio::test]
async fn a_broken_upload_that_the_handler_answers_is_completed_with_that_answer() {
    let log = log_of([uploads()]);
    let app = Router::new().route("/", post(async |_: Bytes| ()));
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = Raw::sending(address, UPLOAD).await;
    client.finish().await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400"));
    let mut got = log.only().await;
    // The words of the answer are axum's.
    assert!(got["response"]["bytes"].take().as_u64().unwrap() > 0);
    let failure = failed("warn", "completed", "BadRequest", "400 Bad Request");
    let answer = json!({ "eventName": "Upload", "response": { "status": 400, "bytes": Value::Null }, "request": broken_upload() });
    let mut expected = record(expected::with(failure, answer));
    expected["response"]["bytes"] = Value::Null;
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_its_upload_leaves_one_record_with_a_failed_body() {
    let log = log_of([uploads()]);
    let (began, mut begun) = mpsc::unbounded_channel();
    let handler = async move |request: AxumRequest| {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {
            began.send(()).unwrap();
        }
        StatusCode::BAD_REQUEST
    };
    let address = serve(log.auditor.wrap_router(Router::new().route("/", post(handler)))).await;
    let client = Raw::sending(address, UPLOAD).await;
    begun.recv().await.unwrap();
    drop(client);
    let got = log.only().await;
    assert_eq!((&got["eventName"], &got["request"]), (&json!("Upload"), &with_protocol(broken_upload())));
}

fn with_protocol(request: Value) -> Value {
    expected::with(json!({ "url": "/", "protocol": "HTTP/1.1" }), request)
}

#[tokio::test]
async fn an_upload_that_is_dropped_with_its_handler_is_unread() {
    let log = log_of([uploads()]);
    let (began, mut begun) = mpsc::unbounded_channel();
    let handler = tower::service_fn(move |request: Request<tower_audit::RequestBody<FedBody>>| {
        let began = began.clone();
        async move {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            began.send(()).unwrap();
            pending::<Result<Response<Empty<Bytes>>, bodies::BoxError>>().await
        }
    });
    let (feed, body) = bodies::fed();
    feed.send(data("{\"name\":\"half\",")).unwrap();
    let request = Request::post("/").header("content-type", "application/json").body(body).unwrap();
    let task = tokio::spawn(ServiceBuilder::new().layer(log.auditor.layer()).service(handler).oneshot(request));
    begun.recv().await.unwrap();
    task.abort();
    let change = json!({
        "eventName": "Upload",
        "actor": { "ip": null, "port": null, "hostname": null },
        "response": null,
        "request": expected::with(broken_upload(), json!({ "bodyOmitted": { "reason": "unread" } })),
    });
    assert_eq!(log.only().await, record(expected::with(aborted("head"), change)));
}

#[tokio::test]
async fn a_stream_that_is_reset_before_its_head_is_aborted() {
    let log = log();
    let (mut begun, app) = stuck();
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = net::http2::<Empty<Bytes>>(address).await;
    let request = Request::get(format!("http://127.0.0.1:{}/", address.port())).body(Empty::new()).unwrap();
    let answer = tokio::spawn(client.send_request(request));
    begun.recv().await.unwrap();
    answer.abort();
    let http2 = json!({ "response": null, "request": { "protocol": "HTTP/2" } });
    assert_eq!(log.only().await, record(expected::with(aborted("head"), http2)));
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_of_its_body_is_aborted_and_its_connection_lives() {
    let log = log();
    let (feed, app) = streaming();
    let address = serve(log.auditor.wrap_router(app.route("/next", get(async || "next")))).await;
    let mut client = net::http2::<Empty<Bytes>>(address).await;
    let url = format!("http://127.0.0.1:{}", address.port());
    let answer = client.send_request(Request::get(format!("{url}/")).body(Empty::new()).unwrap()).await.unwrap();
    let mut body = answer.into_body();
    feed.send(data("half")).unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    feed.closed().await;
    let http2 = json!({ "response": { "bytes": 4 }, "request": { "protocol": "HTTP/2" } });
    assert_eq!(log.only().await, record(expected::with(aborted("body"), http2)));

    let next = client.send_request(Request::get(format!("{url}/next")).body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(next.into_body().collect().await.unwrap().to_bytes(), "next");
    assert_eq!(log.records(2).await[1]["outcome"], "completed");
}

// ---- shutdown

#[tokio::test]
async fn what_is_dropped_after_shutdown_began_ends_as_shutdown_at_whatever_stage() {
    let log = log_of([Event::new("Work").on(Method::GET, "/").stages(Stages::Both)]);
    let (mut begun, stuck) = stuck();
    let (feed, streaming) = streaming();
    let audited = [stuck, streaming].map(|app| log.auditor.wrap_router(app).into_service());
    let request = || Request::get("/").body(Body::empty()).unwrap();
    let [stuck, streaming] = audited;
    let stuck = tokio::spawn(stuck.oneshot(request()));
    begun.recv().await.unwrap();
    let mut body = streaming.oneshot(request()).await.unwrap().into_body();
    feed.send(data("half")).unwrap();
    body.frame().await.unwrap().unwrap();

    let (stopped, written) = log.begin_stop();
    stuck.abort();
    let _ = stuck.await;
    drop(body);
    let report = stopped.await;
    assert!(report.is_complete(), "{report:?}");
    let failure = failed("error", "shutdown", "Shutdown", "the server stopped before the request ended");
    let change = json!({
        "eventName": "Work",
        "actor": { "ip": null, "port": null, "hostname": null },
        "response": null,
        "request": { "route": "/" },
    });
    let whole = expected::with(failure, change);
    let records = expected::normal(check::lines(&written.text()));
    let completions: Vec<_> = records.iter().filter(|record| record["stage"] == "completion").collect();
    assert_eq!(records.len(), 4);
    assert_eq!(*completions[0], record(whole.clone()));
    let mut with_head = whole;
    with_head["response"] = json!({ "bytes": 4 });
    assert_eq!(*completions[1], record(with_head));
}

#[tokio::test]
async fn exchanges_that_end_while_the_log_stops_are_written_before_its_last_line() {
    let log = log();
    let (feed, app) = streaming();
    let (listener, address) = listen().await;
    let (stop, stopping) = oneshot::channel::<()>();
    let service = log.auditor.wrap_router(app);
    let server = tokio::spawn(async move {
        axum::serve(listener, service).with_graceful_shutdown(async { stopping.await.unwrap() }).await.unwrap();
    });
    let mut client = Raw::sending(address, head("GET", "/")).await;
    feed.send(data("one")).unwrap();
    client.until("one").await;
    stop.send(()).unwrap();
    let (stopped, written) = log.begin_stop();
    feed.send(data("two")).unwrap();
    drop(feed);
    client.rest().await;
    server.await.unwrap();
    let report = stopped.await;
    assert!(report.is_complete(), "{report:?}");
    let lines = check::lines(&written.text());
    assert_eq!(lines.last().unwrap()["eventName"], "AuditStopped");
    assert_eq!(report.written, lines.len() as u64);
    assert_eq!(expected::normal(lines), [record(json!({ "response": { "bytes": 6 } }))]);
}

#[tokio::test]
async fn what_is_still_open_at_the_deadline_is_counted_and_what_comes_later_is_lost_and_harmless() {
    let (mut begun, app) = stuck();
    let (lines, _records) = tower_audit::sink::memory();
    let auditor = tower_audit::Auditor::builder().sink(lines).build().unwrap();
    let service = auditor.wrap_router(app).into_service();
    let stuck = tokio::spawn(service.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()));
    begun.recv().await.unwrap();
    let report = auditor.shutdown(Duration::from_millis(200)).await;
    assert_eq!((report.open, report.is_complete(), report.flushed), (1, false, true), "{report:?}");
    stuck.abort();
    let answer = service.oneshot(Request::get("/late").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
