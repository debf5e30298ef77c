//! What attackers tried, and what the log wrote: each of these once went wrong.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use common::{log, log_of, log_with};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Auditor, Catalog, Delivery, Event, Stages, resolver};

async fn answer(auditor: &Auditor, app: Router, request: Request<Body>) {
    let response = auditor.around(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn a_fail_closed_event_of_both_stages_is_initiated_once() {
    let strict = Event::new("Strict").on(Method::GET, "/x").stages(Stages::Both).delivery(Delivery::FailClosed);
    let log = log_with(|builder| {
        builder
            .catalog(Catalog::new().event(strict))
            .actor_resolver(resolver::actor_fn(|_, _| Some(Actor::user("user:default/jane"))))
    });
    answer(&log.auditor, Router::new().route("/x", get(async || "x")), Request::get("/x").body(Body::empty()).unwrap())
        .await;
    // Reading the records checks that no exchange has two initiations.
    let records = log.records(2).await;
    let stages: Vec<_> = records.iter().map(|record| record["stage"].clone()).collect();
    assert_eq!(stages, ["initiation", "completion"]);
}

#[tokio::test]
async fn a_strict_route_inside_an_event_that_has_begun_is_initiated_once() {
    let outer = Event::new("Outer").on(Method::GET, "/x").stages(Stages::Both);
    let log = log_with(|builder| {
        builder
            .catalog(Catalog::new().event(outer))
            .actor_resolver(resolver::actor_fn(|_, _| Some(Actor::user("user:default/jane"))))
    });
    let strict = log.auditor.route_layer(Event::new("Inner").delivery(Delivery::FailClosed)).unwrap();
    let app = Router::new().route("/x", get(async || "x").layer(strict));
    answer(&log.auditor, app, Request::get("/x").body(Body::empty()).unwrap()).await;
    let records = log.records(2).await;
    let seen: Vec<_> = records.iter().map(|record| (record["stage"].clone(), record["eventName"].clone())).collect();
    assert_eq!(seen, [(json!("initiation"), json!("Outer")), (json!("completion"), json!("Inner"))]);
}

#[tokio::test]
async fn a_secret_path_parameter_longer_than_what_is_kept_of_a_path_does_not_show() {
    let log = log_of([Event::new("Reset").on(Method::GET, "/reset/{token}")]);
    let path = format!("/reset/{}", "SECRETtoken".repeat(500));
    let app = Router::new().route("/reset/{token}", any(async || "done"));
    answer(&log.auditor, app, Request::get(&path).body(Body::empty()).unwrap()).await;
    let text = log.only().await.to_string();
    assert!(!text.contains("SECRETtoken"), "{text}");
}

#[tokio::test]
async fn keys_that_the_library_writes_are_never_repeated_in_meta() {
    let log = log_of([Event::new("Task").on(Method::GET, "/x")]);
    let app = Router::new().route(
        "/x",
        get(async |audit: Audit| {
            for key in ["abortedAt", "initiatedAs", "shortened"] {
                audit.meta(key.to_owned(), "mine");
            }
            "x"
        }),
    );
    answer(&log.auditor, app, Request::get("/x").body(Body::empty()).unwrap()).await;
    let expected = json!({ "abortedAt_": "mine", "initiatedAs_": "mine", "shortened_": "mine" });
    assert_eq!(log.only().await["meta"], expected);
}

#[tokio::test]
async fn a_header_cut_in_the_middle_of_credentials_shows_none_of_them() {
    let log = log();
    let user = "u".repeat(490);
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl", "eyJzdWIiOiJqYW5lIn0".repeat(40));
    let request = Request::get("/x")
        .header("referer", format!("https://{user}:hunter2hunter2@host.example/x"))
        .header("user-agent", format!("agent {token}"))
        .body(Body::empty())
        .unwrap();
    answer(&log.auditor, Router::new().route("/x", get(async || "x")), request).await;
    let text = log.only().await.to_string();
    assert!(!text.contains("hunter2") && !text.contains("eyJ"), "{text}");
}

#[tokio::test]
async fn a_second_content_type_does_not_hide_a_body() {
    let log = log_of([Event::new("Task").on(Method::POST, "/x")]);
    let request = Request::post("/x")
        .header("content-type", "application/json")
        .header("content-type", "image/png")
        .body(Body::from(r#"{"a":1}"#))
        .unwrap();
    answer(&log.auditor, Router::new().route("/x", post(async |body: String| body)), request).await;
    assert_eq!(log.only().await["request"]["body"], json!({ "a": 1 }));
}

/// Minutes where each place was searched anew for a long value, well below a second where it is not; the bound is for
/// machines that are very busy.
#[tokio::test]
async fn values_that_resemble_each_other_do_not_stop_the_log() {
    let log = log_of([Event::new("Task").on(Method::POST, "/x")]);
    let many: Vec<String> = (0..40).map(|n| format!("x{n}xxxx")).collect();
    let body = json!({
        "password": [["aaaaaa".to_owned(), format!("{}b", "a".repeat(4000))], many],
        "x": "a".repeat(11_000),
    });
    let began = Instant::now();
    for _ in 0..20 {
        let request = Request::post("/x").header("content-type", "application/json").body(Body::from(body.to_string()));
        let app = Router::new().route("/x", post(async |body: String| body.len().to_string()));
        answer(&log.auditor, app, request.unwrap()).await;
    }
    assert!(log.auditor.flush(Duration::from_secs(120)).await, "{:?}", began.elapsed());
    assert_eq!(log.records(20).await.len(), 20);
}
