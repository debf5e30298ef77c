//! Errors in the words of whoever knows them: of a handler's error that became a response, of gRPC, of timeouts, and of work
//! without a request.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use common::bodies::{BoxError, data, of};
use common::{Log, expected, failed, log, log_with, record};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_audit::{Delivery, Event, Failure, RequestBody, Stages, Status};

fn request() -> Request<Empty<Bytes>> {
    Request::get("/").body(Empty::new()).unwrap()
}

/// A record of [`request`], which has no peer and no `Host`.
fn in_memory(patch: Value) -> Value {
    record(expected::with(json!({ "actor": { "ip": null, "port": null, "hostname": null } }), patch))
}

// ---- a handler's error that became a response

#[derive(Debug, thiserror::Error)]
enum ShopError {
    #[error("order {0} does not exist")]
    NoSuchOrder(u64),
    #[error("the store failed")]
    Store(#[from] io::Error),
}

impl IntoResponse for ShopError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoSuchOrder(_) => StatusCode::NOT_FOUND,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Extension(Failure::of(&self)), "sorry").into_response()
    }
}

async fn answered(handler: fn() -> Result<&'static str, ShopError>) -> Value {
    let log = log();
    let app = Router::new().route("/", get(async move || handler()));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    assert!(answer.extensions().get::<Failure>().is_none(), "it is the record's");
    answer.into_body().collect().await.unwrap();
    log.only().await
}

#[tokio::test]
async fn the_error_behind_a_response_is_recorded_in_its_own_words() {
    let failure = failed("warn", "completed", "ShopError", "order 17 does not exist");
    let change = json!({ "response": { "status": 404, "bytes": 5 } });
    assert_eq!(answered(|| Err(ShopError::NoSuchOrder(17))).await, in_memory(expected::with(failure, change)));

    let failure = failed("error", "completed", "ShopError", "the store failed");
    let change = json!({
        "errors": [{
            "name": "ShopError",
            "message": "the store failed",
            "stack": "caused by: https://jane:***@store.example is gone",
        }],
        "response": { "status": 500, "bytes": 5 },
    });
    let record = answered(|| Err(io::Error::other("https://jane:hunter22@store.example is gone").into())).await;
    assert_eq!(record, in_memory(expected::with(failure, change)), "redacted as every error is");
}

// ---- gRPC

/// The record of a gRPC answer with this status and message, in trailers or in the head.
async fn grpc(log: &Log, code: &'static str, message: Option<&'static str>, in_trailers: bool) -> Value {
    let service = service_fn(move |_: Request<RequestBody<Empty<Bytes>>>| {
        let mut last = HeaderMap::new();
        last.insert("grpc-status", HeaderValue::from_static(code));
        if let Some(message) = message {
            last.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
        }
        let mut answer = http::Response::new(of([]));
        if in_trailers {
            answer = http::Response::new(of([data("message"), Ok(Frame::trailers(last))]));
        } else {
            answer.headers_mut().extend(last);
        }
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    let answer = log.auditor.layer().layer(service).oneshot(request()).await.unwrap();
    answer.into_body().collect().await.unwrap();
    log.all().await.into_iter().rfind(|record| record["eventName"] == "HttpRequest").unwrap()
}

#[tokio::test]
async fn a_grpc_message_is_decoded_and_redacted_wherever_it_is() {
    let log = log();
    for in_trailers in [true, false] {
        let message = "order 17 isn%27t there: https://jane:hunter22@store.example%0Anext";
        let record = grpc(&log, "5", Some(message), in_trailers).await;
        let errors = json!([{
            "name": "NOT_FOUND",
            "message": "order 17 isn't there: https://jane:***@store.example\nnext",
        }]);
        assert_eq!((&record["errors"], &record["level"]), (&errors, &json!("warn")));
    }
    // What is no UTF-8, or too long, does no harm.
    let record = grpc(&log, "13", Some("%FF%zz"), true).await;
    assert_eq!(record["errors"], json!([{ "name": "INTERNAL", "message": "\u{FFFD}%zz" }]));
}

#[tokio::test]
async fn a_clients_mistake_is_a_warning_in_grpc_too() {
    let log = log();
    let mut warned = Vec::new();
    for code in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "99"] {
        let record = grpc(&log, code, None, true).await;
        assert_eq!(record["status"], "failed");
        assert_eq!(record["errors"][0]["message"], format!("grpc-status {code}"));
        if record["level"] == "warn" {
            warned.push(record["errors"][0]["name"].as_str().unwrap().to_owned());
        }
    }
    let clients = [
        "CANCELLED",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNAUTHENTICATED",
    ];
    assert_eq!(warned, clients);
}

#[tokio::test]
async fn the_classifier_sees_the_codes_of_grpc() {
    let log = log_with(|builder| {
        builder.classify_status(|status| match (status.http, status.grpc) {
            (StatusCode::OK, Some(5)) => Status::Succeeded,
            (_, Some(0)) => Status::Failed,
            _ => status.by_default(),
        })
    });
    assert_eq!(grpc(&log, "5", Some("nothing"), true).await["status"], "succeeded");
    assert_eq!(grpc(&log, "0", None, true).await["status"], "failed");
    assert_eq!(grpc(&log, "7", None, false).await["status"], "failed");
}

// ---- timeouts

/// An error of an application's own.
#[derive(Debug)]
struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elapsed")
    }
}

impl StdError for Elapsed {}

/// Says more than anybody reads, each time that it is asked.
struct Endless;

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Until whoever formats has enough.
        loop {
            f.write_str("and so on ")?;
        }
    }
}

impl StdError for Endless {}

async fn failing(error: fn() -> BoxError) -> Value {
    let log = log();
    let fails = service_fn(move |_: Request<RequestBody<Empty<Bytes>>>| {
        std::future::ready(Err::<http::Response<Full<Bytes>>, BoxError>(error()))
    });
    assert!(log.auditor.layer().layer(fails).oneshot(request()).await.is_err());
    log.only().await
}

#[tokio::test]
async fn a_timeout_is_known_by_its_type_wherever_it_is_wrapped_and_never_by_its_text() {
    let outcome = async |error| failing(error).await["outcome"].clone();
    assert_eq!(outcome(|| Box::new(tower::timeout::error::Elapsed::new())).await, "timed_out");
    assert_eq!(outcome(|| io::Error::other(tower::timeout::error::Elapsed::new()).into()).await, "timed_out");
    let nested = || -> BoxError { io::Error::other(io::Error::from(io::ErrorKind::TimedOut)).into() };
    assert_eq!(outcome(nested).await, "timed_out");
    assert_eq!(outcome(|| Box::new(Elapsed(()))).await, "handler_error");
    let never = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(format!("{:?}", Elapsed(())), format!("{never:?}"), "they print the same");
}

#[tokio::test]
async fn an_error_without_an_end_is_cut() {
    let record = failing(|| Box::new(Endless)).await;
    let message = record["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("and so on and so on ") && message.len() < 16 * 1024);
    assert_eq!(record["outcome"], "handler_error");
}

// ---- work without a request

/// The one record of an activity, as far as its end goes.
async fn ended(log: &Log) -> Value {
    let record = log.all().await.pop().unwrap();
    json!([record["status"], record["outcome"], record["errors"]])
}

fn wrong() -> Value {
    json!(["failed", "handler_error", [{ "name": "ParseIntError", "message": "invalid digit found in string" }]])
}

#[tokio::test]
async fn a_result_ends_an_activity_and_comes_back() {
    let log = log();
    let begin = async || log.auditor.begin_unlisted("Import").await.unwrap();
    assert_eq!(begin().await.finish("17".parse::<u32>()), Ok(17));
    assert_eq!(ended(&log).await, json!(["succeeded", "completed", null]));
    let result = "x".parse::<u32>();
    assert_eq!(begin().await.finish(&result), &result);
    assert_eq!(ended(&log).await, wrong());

    let caused = |name: &str, message: &str| json!(["failed", "handler_error", [{ "name": name, "message": message, "stack": "caused by: disk on fire" }]]);
    let anyhow = anyhow::Error::new(io::Error::other("disk on fire")).context("no import");
    let back = begin().await.finish(Err::<(), _>(anyhow)).unwrap_err();
    assert_eq!(back.to_string(), "no import");
    assert_eq!(ended(&log).await, caused("Error", "no import"));
    let boxed: Result<(), Box<dyn StdError + Send + Sync>> =
        Err(Box::new(ShopError::Store(io::Error::other("disk on fire"))));
    assert!(begin().await.finish(boxed).is_err());
    assert_eq!(ended(&log).await, caused("Error", "the store failed"));
    let local: Result<(), Box<dyn StdError>> = Err(Box::new(ShopError::Store(io::Error::other("disk on fire"))));
    assert!(begin().await.finish(local).is_err());
    assert_eq!(ended(&log).await, caused("Error", "the store failed"));
}

#[tokio::test]
async fn work_that_is_run_is_recorded_however_it_ends() {
    let log = log();
    let begin = async || log.auditor.begin_unlisted("Export").await.unwrap();
    let parse = async |text: &'static str| {
        let number: u32 = text.parse()?;
        Ok::<_, std::num::ParseIntError>(number)
    };
    assert_eq!(begin().await.run(parse("17")).await, Ok(17));
    assert_eq!(ended(&log).await, json!(["succeeded", "completed", null]));
    assert!(begin().await.run(parse("x")).await.is_err());
    assert_eq!(ended(&log).await, wrong());

    let activity = begin().await;
    let audit = activity.audit().clone();
    let panics = activity.run(async move {
        audit.meta("rows", 3);
        tokio::task::yield_now().await;
        if audit.audit_id().is_some() {
            panic!("with a secret that must not be recorded");
        }
        Ok::<(), io::Error>(())
    });
    assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
    let errors = json!([{ "name": "Panicked", "message": "the work panicked" }]);
    assert_eq!(ended(&log).await, json!(["failed", "panicked", errors]));
    assert_eq!(log.all().await.pop().unwrap()["meta"]["rows"], 3);

    drop(begin().await.run(std::future::pending::<Result<(), io::Error>>()));
    let errors = json!([{ "name": "Abandoned", "message": "the work was dropped before it ended" }]);
    assert_eq!(ended(&log).await, json!(["failed", "aborted", errors]));
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(expected::normal(lines).len(), 4, "one record for each");
}

#[tokio::test]
async fn work_under_a_name_that_the_catalog_does_not_have_does_not_begin() {
    let export = Event::new("NightlyExport").delivery(Delivery::Durable).stages(Stages::Both).message("exported");
    let log = common::log_of([export]);
    let slip = "event `NigthlyExport`: the catalog has no event of this name; did you mean `NightlyExport`?";
    let other = "event `Plugin`: the catalog has no event of this name; add it there, or use `begin_unlisted` for names \
                 that are not known before";
    for (name, expected) in [("NigthlyExport", slip), ("Plugin", other)] {
        let awaited = log.auditor.begin(name).await.unwrap_err();
        assert!(awaited.is_catalog());
        assert_eq!(awaited.to_string(), expected);
        assert_eq!(log.auditor.begin(name).try_emit().unwrap_err().to_string(), expected);
        assert_eq!(log.auditor.begin(name).emit().await.unwrap_err().to_string(), expected);
    }
    log.auditor.begin_unlisted("Plugin").await.unwrap().succeed();
    log.auditor.begin("NightlyExport").await.unwrap().succeed();
    let told: Vec<_> =
        log.records(3).await.into_iter().map(|record| json!([record["stage"], record["message"]])).collect();
    let expected = [
        json!(["completion", "Plugin by somebody succeeded"]),
        json!(["initiation", "exported"]),
        json!(["completion", "exported"]),
    ];
    assert_eq!(told, expected);
    assert_eq!(log.auditor.counters().open, 0);
}
