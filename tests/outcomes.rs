//! How an exchange ends when its handler answers, fails, panics or takes too long: one record, with that outcome.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use common::bodies::{BoxError, Panics, data, of};
use common::net::{ask, head, serve, serve_tower};
use common::{Log, expected, failed, log, log_with, net, record};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::json;
use tower::timeout::TimeoutLayer;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_audit::{Audit, AuditorBuilder, Catalog, Event, Failure, Level, Status};
use tower_http::catch_panic::CatchPanicLayer;

type Incoming = Request<tower_audit::RequestBody<hyper::body::Incoming>>;
type Plain = Request<tower_audit::RequestBody<Empty<Bytes>>>;

fn request() -> Request<Empty<Bytes>> {
    Request::get("/").body(Empty::new()).unwrap()
}

/// A record of [`request`], which has no peer and no `Host`.
fn in_memory(patch: serde_json::Value) -> serde_json::Value {
    record(expected::with(json!({ "actor": { "ip": null, "port": null, "hostname": null } }), patch))
}

fn panicked() -> serde_json::Value {
    failed("error", "panicked", "Panicked", "the handler panicked")
}

// ---- answers

#[tokio::test]
async fn an_answer_is_completed() {
    let log = log();
    let address = serve(log.auditor.wrap_router(Router::new().route("/hello", get(async || "hello")))).await;
    assert!(net::get(address, "/hello").await.ends_with("\r\n\r\nhello"));
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 }, "request": { "url": "/hello" } })));
}

#[tokio::test]
async fn what_no_route_matches_is_completed_and_failed() {
    let log = log();
    let address = serve(log.auditor.wrap_router(Router::new().route("/hello", get(async || "hello")))).await;
    assert!(net::get(address, "/nope").await.starts_with("HTTP/1.1 404"));
    let failure = failed("warn", "completed", "NotFound", "404 Not Found");
    let answer = json!({ "response": { "status": 404 }, "request": { "url": "/nope" } });
    assert_eq!(log.only().await, record(expected::with(failure, answer)));
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_completed_and_failed() {
    let log = log();
    let address = serve(log.auditor.wrap_router(Router::new().route("/hello", get(async || "hello")))).await;
    assert!(ask(address, head("DELETE", "/hello")).await.starts_with("HTTP/1.1 405"));
    let failure = failed("warn", "completed", "MethodNotAllowed", "405 Method Not Allowed");
    let answer = json!({ "response": { "status": 405 }, "request": { "method": "DELETE", "url": "/hello" } });
    assert_eq!(log.only().await, record(expected::with(failure, answer)));
}

#[tokio::test]
async fn an_error_that_a_handler_turns_into_an_answer_is_completed_and_failed() {
    let log = log();
    let app = Router::new().route("/", get(async || Err::<(), _>((StatusCode::BAD_GATEWAY, "no"))));
    let address = serve(log.auditor.wrap_router(app)).await;
    assert!(net::get(address, "/").await.starts_with("HTTP/1.1 502"));
    let failure = failed("error", "completed", "BadGateway", "502 Bad Gateway");
    assert_eq!(log.only().await, record(expected::with(failure, json!({ "response": { "status": 502, "bytes": 2 } }))));
}

#[tokio::test]
async fn what_a_handler_says_of_its_error_stands_on_the_record() {
    let log = log();
    let handler = async |audit: Audit| {
        audit.failure(Failure::new("QuotaExceeded", "17 of 16 tasks"));
        "fine, but not really"
    };
    let address = serve(log.auditor.wrap_router(Router::new().route("/", get(handler)))).await;
    net::get(address, "/").await;
    let failure = failed("error", "completed", "QuotaExceeded", "17 of 16 tasks");
    let answer = json!({ "response": { "bytes": 20 }, "request": { "route": "/" } });
    assert_eq!(log.only().await, record(expected::with(failure, answer)));
}

#[tokio::test]
async fn a_classifier_decides_what_a_status_means() {
    let log = log_with(|builder: AuditorBuilder| {
        builder.classify_status(|status| match status.http.as_u16() {
            404 | 200..=299 => Status::Succeeded,
            _ => Status::Failed,
        })
    });
    let address = serve(log.auditor.wrap_router(Router::new())).await;
    net::get(address, "/").await;
    assert_eq!(log.only().await, record(json!({ "response": { "status": 404 } })));
}

#[tokio::test]
async fn a_quiet_event_does_not_fail_quietly() {
    let event = Event::new("Probe").on(http::Method::GET, "/").on(http::Method::GET, "/bad").level(Level::Debug);
    let log = log_with(|builder| builder.catalog(Catalog::new().event(event)));
    let app = Router::new().route("/", get(async || ())).route("/bad", get(async || StatusCode::BAD_REQUEST));
    let address = serve(log.auditor.wrap_router(app)).await;
    net::get(address, "/").await;
    net::get(address, "/bad").await;
    let records = log.records(2).await;
    assert_eq!((&records[0]["level"], &records[1]["level"]), (&json!("debug"), &json!("warn")));
}

// ---- errors of the inner service

#[tokio::test]
async fn a_boxed_error_of_the_service_is_a_handler_error_in_its_own_words() {
    let log = log();
    let fails = service_fn(async |_: Incoming| Err::<Response<Full<Bytes>>, BoxError>("disk on fire".into()));
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(fails)).await;
    assert_eq!(net::get(address, "/").await, "");
    let failure = failed("error", "handler_error", "Error", "disk on fire");
    assert_eq!(log.only().await, record(expected::with(failure, json!({ "response": null }))));
}

#[tokio::test]
async fn an_error_type_of_the_application_is_a_handler_error() {
    #[derive(Debug, PartialEq)]
    struct Mine;
    let log = log();
    let fails = service_fn(async |_: Plain| Err::<Response<Full<Bytes>>, Mine>(Mine));
    let answer = ServiceBuilder::new().layer(log.auditor.layer()).service(fails).oneshot(request()).await;
    assert_eq!(answer.unwrap_err(), Mine);
    let failure = failed("error", "handler_error", "HandlerError", "the handler failed without a response");
    assert_eq!(log.only().await, in_memory(expected::with(failure, json!({ "response": null }))));
}

// ---- panics

#[tokio::test]
async fn a_panic_in_call_is_panicked() {
    let log = log();
    let panics = service_fn(|_: Incoming| -> Ready<Result<Response<Full<Bytes>>, Infallible>> { panic!("in call") });
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(panics)).await;
    assert_eq!(net::get(address, "/").await, "");
    assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": null }))));
}

#[tokio::test]
async fn a_panic_in_the_handler_is_panicked_and_its_payload_is_not_recorded() {
    let log = log();
    let app = Router::new().route("/", get(async || -> () { panic!("with the customer's secret") }));
    let address = serve(log.auditor.wrap_router(app)).await;
    assert_eq!(net::get(address, "/").await, "");
    assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": null }))));
}

async fn first() {
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_panic_after_an_await_is_panicked_under_a_catch_panic_outside() {
    let log = log();
    let panics = service_fn(async |_: Incoming| -> Result<Response<Full<Bytes>>, Infallible> {
        first().await;
        panic!("in the future")
    });
    let service = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(log.auditor.layer()).service(panics);
    let address = serve_tower(service).await;
    assert!(net::get(address, "/").await.starts_with("HTTP/1.1 500"));
    assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": null }))));
}

#[tokio::test]
async fn a_panic_in_call_is_panicked_under_a_catch_panic_outside() {
    let log = log();
    let panics = service_fn(|_: Incoming| -> Ready<Result<Response<Full<Bytes>>, Infallible>> { panic!("in call") });
    let service = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(log.auditor.layer()).service(panics);
    let address = serve_tower(service).await;
    assert!(net::get(address, "/").await.starts_with("HTTP/1.1 500"));
    assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": null }))));
}

#[tokio::test]
async fn with_a_catch_panic_inside_the_layer_sees_an_answer_with_500() {
    let log = log();
    let app = Router::new().route("/", get(async || -> () { panic!("in the handler") })).layer(CatchPanicLayer::new());
    let address = serve(log.auditor.wrap_router(app)).await;
    assert!(net::get(address, "/").await.starts_with("HTTP/1.1 500"));
    let failure = failed("error", "completed", "InternalServerError", "500 Internal Server Error");
    let answer = json!({ "response": { "status": 500, "bytes": 16 } });
    assert_eq!(log.only().await, record(expected::with(failure, answer)));
}

/// Answers with this body, with a `CatchPanicLayer` outside or inside of ours.
async fn answer_with(
    log: &Log,
    body: impl Fn() -> Panics + Clone + Send + Sync + 'static,
    outside: bool,
    inside: bool,
) {
    let answers = service_fn(move |_: Incoming| ready(Ok::<_, Infallible>(Response::new(body()))));
    let inner = match inside {
        true => {
            let caught = ServiceBuilder::new().layer(CatchPanicLayer::new()).service(answers);
            caught.map_response(|response| response.map(Body::new)).boxed_clone()
        }
        false => answers.map_response(|response| response.map(Body::new)).boxed_clone(),
    };
    let audited = ServiceBuilder::new().layer(log.auditor.layer()).service(inner);
    let address = match outside {
        true => serve_tower(ServiceBuilder::new().layer(CatchPanicLayer::new()).service(audited)).await,
        false => serve_tower(audited).await,
    };
    net::get(address, "/").await;
}

#[tokio::test]
async fn a_panic_in_the_body_is_panicked_wherever_catch_panic_stands() {
    for (outside, inside) in [(false, false), (true, false), (false, true)] {
        let log = log();
        let body = || Panics { first: Some(Bytes::from_static(b"half")), in_is_end_stream: false };
        answer_with(&log, body, outside, inside).await;
        assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": { "bytes": 4 } }))));
    }
}

#[tokio::test]
async fn a_panic_when_the_body_is_asked_for_its_end_is_panicked() {
    for (first, bytes) in [(None, 0), (Some(Bytes::from_static(b"half")), 4)] {
        let log = log();
        let body = move || Panics { first: first.clone(), in_is_end_stream: true };
        answer_with(&log, body, false, false).await;
        assert_eq!(log.only().await, record(expected::with(panicked(), json!({ "response": { "bytes": bytes } }))));
    }
}

#[tokio::test]
async fn a_bystander_of_somebody_elses_panic_is_aborted_and_not_panicked() {
    let log = log();
    let waits = service_fn(async |_: Plain| pending::<Result<Response<Full<Bytes>>, Infallible>>().await);
    let panics = service_fn(async |_: Plain| -> Result<Response<Full<Bytes>>, Infallible> {
        first().await;
        panic!("the sibling")
    });
    let audited = |inner| ServiceBuilder::new().layer(log.auditor.layer()).service(inner);
    let bystander = audited(tower::util::BoxCloneService::new(waits)).oneshot(request());
    let sibling = audited(tower::util::BoxCloneService::new(panics)).oneshot(request());
    let both = async { tokio::join!(bystander, sibling) };
    assert!(AssertUnwindSafe(both).catch_unwind().await.is_err());
    let mut records = log.records(2).await;
    records.sort_by_key(|record| record["outcome"].to_string());
    let aborted = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    let aborted = expected::with(aborted, json!({ "response": null, "meta": { "abortedAt": "head" } }));
    assert_eq!(records, [in_memory(aborted), in_memory(expected::with(panicked(), json!({ "response": null })))]);
}

// ---- time

fn never()
-> impl tower::Service<Plain, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(|_: Plain| pending::<Result<Response<Full<Bytes>>, Infallible>>())
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_is_timed_out() {
    let log = log();
    let layers = ServiceBuilder::new().layer(log.auditor.layer()).layer(TimeoutLayer::new(Duration::from_secs(1)));
    assert!(layers.service(never()).oneshot(request()).await.is_err());
    let failure = failed("error", "timed_out", "Error", "request timed out");
    assert_eq!(log.only().await, in_memory(expected::with(failure, json!({ "response": null }))));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_is_aborted_before_the_head() {
    let log = log();
    let layers = ServiceBuilder::new().layer(TimeoutLayer::new(Duration::from_secs(1))).layer(log.auditor.layer());
    assert!(layers.service(never()).oneshot(request()).await.is_err());
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    let change = json!({ "response": null, "meta": { "abortedAt": "head" } });
    assert_eq!(log.only().await, in_memory(expected::with(failure, change)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_408_from_inside_is_completed() {
    let log = log();
    let timeout =
        tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(1));
    let layers = ServiceBuilder::new().layer(log.auditor.layer()).layer(timeout);
    let answer = layers.service(never()).oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    drop(answer);
    let failure = failed("warn", "completed", "RequestTimeout", "408 Request Timeout");
    assert_eq!(log.only().await, in_memory(expected::with(failure, json!({ "response": { "status": 408 } }))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_408_from_outside_is_aborted() {
    let log = log();
    let timeout =
        tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(1));
    let audited = ServiceBuilder::new().layer(log.auditor.layer()).service(never());
    let audited = audited.map_response(|response| response.map(Body::new));
    let answer = ServiceBuilder::new().layer(timeout).service(audited).oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    let change = json!({ "response": null, "meta": { "abortedAt": "head" } });
    assert_eq!(log.only().await, in_memory(expected::with(failure, change)));
}

#[tokio::test]
async fn a_classifier_decides_which_errors_are_timeouts() {
    let log = log_with(|builder| builder.classify_timeout(|error| error.to_string().contains("deadline")));
    let fails = service_fn(async |_: Plain| Err::<Response<Full<Bytes>>, BoxError>("past the deadline".into()));
    let answer = ServiceBuilder::new().layer(log.auditor.layer()).service(fails).oneshot(request()).await;
    assert!(answer.is_err());
    let failure = failed("error", "timed_out", "Error", "past the deadline");
    assert_eq!(log.only().await, in_memory(expected::with(failure, json!({ "response": null }))));
}

#[tokio::test]
async fn a_duration_is_from_the_arrival_to_the_end_of_the_body() {
    let log = log();
    let clock = log.clock.clone();
    let handler = service_fn(async |_: Plain| Ok::<_, BoxError>(Response::new(of([data("a"), data("b")]))));
    let answer = ServiceBuilder::new().layer(log.auditor.layer()).service(handler).oneshot(request()).await.unwrap();
    clock.advance(Duration::from_micros(1_234_567));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ab");
    let times = json!({ "timestamp": "2026-11-20T07:55:38.955540Z", "durationMs": 1234.567 });
    assert_eq!(log.only().await, in_memory(expected::with(times, json!({ "response": { "bytes": 2 } }))));
}
