//! Several layers on one request write one record; names, skips and late words count until they are too late.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use common::net::{self, get as ask, serve};
use common::{expected, log, log_of, log_with, record};
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tower_audit::{Actor, Audit, Bodies, Catalog, Delivery, Event, Stages, Unmatched};

fn event(name: &'static str) -> Event {
    Event::new(name).on(Method::GET, "/tasks/{id}")
}

#[tokio::test]
async fn two_layers_of_one_auditor_write_one_record() {
    let log = log_of([event("TaskFetch")]);
    let app = Router::new().route("/tasks/{task}", get(async || "task")).layer(log.auditor.layer());
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    let expected = json!({
        "eventName": "TaskFetch",
        "response": { "bytes": 4 },
        "request": { "url": "/tasks/7", "route": "/tasks/{task}", "params": { "task": "7" } },
    });
    assert_eq!(log.only().await, record(expected));
    let (report, _) = log.stop().await;
    assert!(report.is_complete());
}

#[tokio::test]
async fn the_inner_layer_of_another_auditor_names_the_event_and_writes_nothing() {
    let outer = log();
    let inner = log_of([event("TaskFetch").kind("tasks").message("task {params.id} {result}")]);
    let app = Router::new().route("/tasks/{id}", get(async || "task")).layer(inner.auditor.layer());
    let address = serve(outer.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    let got = outer.only().await;
    assert_eq!((&got["eventName"], &got["eventKind"]), (&json!("TaskFetch"), &json!("tasks")));
    assert_eq!(got["request"]["params"], json!({ "id": "7" }));
    let (report, lines) = inner.stop().await;
    assert_eq!((report.open, expected::normal(lines).len()), (0, 0));
}

#[tokio::test]
async fn an_event_that_the_outer_layer_has_found_stays() {
    let outer = log_of([event("Outer")]);
    let inner = log_of([event("Inner")]);
    let app = Router::new().route("/tasks/{id}", get(async || "task")).layer(inner.auditor.layer());
    let address = serve(outer.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    assert_eq!(outer.only().await["eventName"], "Outer");
}

#[tokio::test]
async fn what_the_outer_layer_leaves_out_the_inner_one_records() {
    let outer = log_with(|builder| builder.catalog(Catalog::new().unmatched(Unmatched::Ignore)));
    let inner = log_of([event("Inner")]);
    let app = Router::new().route("/tasks/{id}", get(async || "task")).layer(inner.auditor.layer());
    let address = serve(outer.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    assert_eq!(inner.only().await["eventName"], "Inner");
    let (report, lines) = outer.stop().await;
    assert_eq!((report.open, expected::normal(lines).len()), (0, 0));
}

#[tokio::test]
async fn a_route_layer_names_the_event_next_to_its_route() {
    let log = log();
    let named = log.auditor.route_layer(Event::new("TaskCreation").bodies(Bodies::Both)).unwrap();
    let app = Router::new()
        .route("/tasks", post(async |body: String| axum::Json(json!({ "got": body.len() }))).layer(named))
        .route("/other", get(async || ()));
    let address = serve(log.auditor.wrap_router(app)).await;
    net::ask(address, net::post("/tasks", "application/json", r#"{"a":1}"#)).await;
    ask(address, "/other").await;
    let expected = json!({
        "eventName": "TaskCreation",
        "response": { "bytes": 9, "body": { "got": 7 } },
        "request": { "method": "POST", "url": "/tasks", "route": "/tasks", "body": { "a": 1 } },
    });
    let other = json!({ "request": { "url": "/other" } });
    assert_eq!(log.records(2).await, [record(expected), record(other)]);
}

#[tokio::test]
async fn a_route_layer_alone_records_by_itself() {
    let log = log();
    let named = log.auditor.route_layer(Event::new("TaskFetch").stages(Stages::Both)).unwrap();
    let app = Router::new().route("/tasks/{id}", get(async || "task").layer(named));
    let (listener, address) = net::listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    ask(address, "/tasks/7").await;
    let whole = json!({
        "eventName": "TaskFetch",
        "actor": { "ip": null, "port": null },
        "response": { "bytes": 4 },
        "request": { "url": "/tasks/7", "route": "/tasks/{id}", "params": { "id": "7" } },
    });
    assert_eq!(log.records(2).await, [initiation(whole.clone()), record(whole)]);
}

/// The initiation of an exchange.
fn initiation(patch: Value) -> Value {
    let stage = json!({ "stage": "initiation", "outcome": null, "startedAt": null, "durationMs": null });
    let mut initiation = record(expected::with(patch, stage));
    initiation.as_object_mut().unwrap().remove("response");
    initiation
}

#[tokio::test]
async fn a_name_said_before_the_initiation_stands_on_both_records() {
    let log = log_of([event("TaskFetch").stages(Stages::Both)]);
    let app = Router::new().route(
        "/tasks/{id}",
        get(async |audit: Audit| {
            audit.event("TaskFetch").unwrap();
            audit.actor(Actor::user("jane"));
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    let whole = json!({
        "eventName": "TaskFetch",
        "actor": { "actorId": "jane", "kind": "user" },
        "request": { "url": "/tasks/7", "route": "/tasks/{id}", "params": { "id": "7" } },
    });
    assert_eq!(log.records(2).await, [initiation(whole.clone()), record(whole)]);
}

#[tokio::test]
async fn a_name_said_after_the_initiation_stands_on_the_completion_with_the_first_one() {
    let log = log_of([event("TaskFetch").stages(Stages::Both), Event::new("TaskPeek").kind("tasks")]);
    let app = Router::new().route(
        "/tasks/{id}",
        get(async |audit: Audit| {
            audit.actor(Actor::user("jane"));
            audit.event("TaskPeek").unwrap();
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    let whole = json!({
        "actor": { "actorId": "jane", "kind": "user" },
        "request": { "url": "/tasks/7", "route": "/tasks/{id}", "params": { "id": "7" } },
    });
    let first = initiation(expected::with(whole.clone(), json!({ "eventName": "TaskFetch" })));
    let renamed = json!({ "eventName": "TaskPeek", "eventKind": "tasks", "meta": { "initiatedAs": "TaskFetch" } });
    assert_eq!(log.records(2).await, [first, record(expected::with(whole, renamed))]);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_changes_nothing() {
    let log = log();
    let app = Router::new().route(
        "/",
        get(async |audit: Audit| {
            assert!(audit.event("AuditStarted").is_err());
            assert!(audit.event("no spaces").is_err());
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/").await;
    assert_eq!(log.only().await, record(json!({ "request": { "route": "/" } })));
}

#[tokio::test]
async fn a_skip_before_the_initiation_leaves_the_request_out() {
    let log = log_of([event("TaskFetch").stages(Stages::Both)]);
    let app = Router::new().route(
        "/tasks/{id}",
        get(async |audit: Audit| {
            audit.skip().unwrap();
            // Too late, and disabled.
            audit.actor(Actor::user("jane"));
            assert!(audit.skip().is_err());
            "task"
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    assert!(ask(address, "/tasks/7").await.ends_with("task"));
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(expected::normal(lines).len(), 0);
}

#[tokio::test]
async fn a_skip_after_the_initiation_is_refused() {
    let log = log_of([event("TaskFetch").stages(Stages::Both)]);
    let app = Router::new().route(
        "/tasks/{id}",
        get(async |audit: Audit| {
            audit.actor(Actor::user("jane"));
            assert!(audit.skip().is_err());
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/tasks/7").await;
    let records = log.records(2).await;
    assert_eq!((&records[0]["stage"], &records[1]["stage"]), (&json!("initiation"), &json!("completion")));
}

#[tokio::test]
async fn a_skip_by_a_middleware_between_two_layers_counts_for_both() {
    let log = log();
    let strict = log.auditor.route_layer(Event::new("Strict").delivery(Delivery::Backpressure)).unwrap();
    let skips = from_fn(async |audit: Audit, request: Request, next: Next| -> Response {
        audit.skip().unwrap();
        next.run(request).await
    });
    let app = Router::new().route("/", get(async || "here").layer(strict)).layer(skips);
    let address = serve(log.auditor.wrap_router(app)).await;
    assert!(ask(address, "/").await.ends_with("here"));
    let (report, lines) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(expected::normal(lines).len(), 0);
}

#[tokio::test]
async fn what_is_said_before_the_end_of_the_body_counts_and_what_is_said_after_it_does_not() {
    let log = log();
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let app = Router::new().route(
        "/",
        get(async move |audit: Audit| {
            *keep.lock().unwrap() = Some(audit.clone());
            axum::body::Body::from_stream(says_something(audit))
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/").await;
    let audit = kept.lock().unwrap().take().unwrap();
    audit.meta("late", true).actor(Actor::user("late"));
    assert_eq!(audit.audit_id(), None);
    assert!(audit.skip().is_err());
    ask(address, "/nope").await;
    let first = json!({ "response": { "bytes": 4 }, "request": { "route": "/" }, "meta": { "said": "in the body" } });
    let records = log.records(2).await;
    assert_eq!(records[0], record(first));
    assert_eq!(records[1]["actor"]["actorId"], Value::Null);
}

/// A body that says something while it is read.
fn says_something(audit: Audit) -> impl futures_util::Stream<Item = Result<&'static str, common::bodies::BoxError>> {
    futures_util::stream::iter([()]).map(move |()| {
        audit.meta("said", "in the body");
        Ok("body")
    })
}

#[tokio::test]
async fn a_handle_kept_by_a_spawned_task_never_writes_into_a_later_record() {
    let log = log();
    let (say, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let (said, done) = tokio::sync::oneshot::channel::<()>();
    let said = Arc::new(Mutex::new(Some(said)));
    let app = Router::new()
        .route(
            "/first",
            get(async move |audit: Audit| {
                let (wait, said) = (wait.lock().unwrap().take().unwrap(), said.lock().unwrap().take().unwrap());
                tokio::spawn(async move {
                    wait.await.unwrap();
                    audit.actor(Actor::user("ghost")).meta("from", "the past");
                    said.send(()).unwrap();
                });
            }),
        )
        .route(
            "/second",
            get({
                let (say, done) = (Arc::new(Mutex::new(Some(say))), Arc::new(Mutex::new(Some(done))));
                async move || {
                    let (say, done) = (say.lock().unwrap().take().unwrap(), done.lock().unwrap().take().unwrap());
                    say.send(()).unwrap();
                    done.await.unwrap();
                    StatusCode::ACCEPTED
                }
            }),
        );
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, "/first").await;
    log.records(1).await;
    ask(address, "/second").await;
    let first = json!({ "request": { "url": "/first", "route": "/first" } });
    let second = json!({ "response": { "status": 202 }, "request": { "url": "/second" } });
    assert_eq!(log.records(2).await, [record(first), record(second)]);
}

#[tokio::test]
async fn the_extractor_without_the_layer_is_a_500_that_names_it_and_on_a_route_that_is_left_out_it_is_disabled() {
    let app = || Router::new().route("/", get(async |audit: Audit| audit.is_disabled().to_string()));
    let (listener, address) = net::listen().await;
    tokio::spawn(async move { axum::serve(listener, app()).await });
    let answer = ask(address, "/").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("`tower_audit::AuditLayer`"), "{answer}");

    let log = log_with(|builder| builder.catalog(Catalog::new().skip_all("/")));
    let address = serve(log.auditor.wrap_router(app())).await;
    assert!(ask(address, "/").await.ends_with("true"));
    assert_eq!(log.records(0).await.len(), 0);
}
