//! A value that the application calls secret stands on no record of its exchange, whoever quotes it.
#![cfg(feature = "axum")]

use std::time::Duration;

use axum::body::Body;
use axum::routing::post;
use axum::{Json, Router};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Auditor, Bodies, Catalog, Event, Failure, Source, Stages, sink};

const SECRET: &str = "s3cret \"ä\"/value";

#[tokio::test]
async fn a_secret_of_a_request_is_masked_wherever_it_stands() {
    let (lines, records) = sink::memory();
    let event = Event::new("Quote").on(Method::POST, "/quote/{name}").bodies(Bodies::Both);
    let catalog = Catalog::new().event(event.meta("name", Source::param("name")));
    let auditor = Auditor::builder().catalog(catalog).sink(lines).build().unwrap();
    let handler = |audit: Audit, Json(body): Json<Value>| async move {
        audit
            .actor(Actor::user(format!("user {SECRET}")))
            .meta("said", SECRET)
            .meta(SECRET.to_owned(), 1)
            .meta(format!("{SECRET} "), 2)
            .secret(SECRET);
        audit.failure(Failure::new("QuoteError", format!("cannot quote {SECRET}")));
        Json(json!({"quoted": body["text"]}))
    };
    let app = auditor.wrap_router(Router::new().route("/quote/{name}", post(handler))).into_service();
    let request = Request::post("/quote/s3cret%20%22%C3%A4%22%2Fvalue?q=s3cret+%22%C3%A4%22/value")
        .header("content-type", "application/json")
        .body(Body::from(json!({"text": format!("so: {SECRET}!")}).to_string()))
        .unwrap();
    let answer = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&answer).unwrap().contains("s3cret"), "the client gets what it would get");
    assert!(auditor.shutdown(Duration::from_secs(5)).await.is_complete());

    let record: Value = serde_json::from_str(&records.lines()[1]).unwrap();
    assert!(!records.text().contains("s3cret"), "{record:#}");
    assert_eq!(record["actor"]["actorId"], "user ***");
    assert_eq!(record["errors"], json!([{"name": "QuoteError", "message": "cannot quote ***"}]));
    assert_eq!(record["request"]["body"], json!({"text": "so: ***!"}));
    assert_eq!(record["response"]["body"], json!({"quoted": "so: ***!"}));
    assert_eq!(record["request"]["query"], json!({"q": "***"}));
    assert_eq!(record["meta"], json!({"name": "***", "said": "***", "***": 1, "*** ": 2}));
}

#[tokio::test]
async fn a_secret_of_background_work_is_masked_wherever_it_stands() {
    let (lines, records) = sink::memory();
    let auditor = Auditor::builder().stages(Stages::Both).sink(lines).build().unwrap();
    let activity =
        auditor.begin_unlisted("Sync").secret(SECRET).meta("from", format!("https://host/{SECRET}")).await.unwrap();
    let error = std::io::Error::other(format!("refused: {SECRET}"));
    activity.fail(&error);
    assert!(auditor.shutdown(Duration::from_secs(5)).await.is_complete());
    assert!(!records.text().contains("s3cret"), "{}", records.text());
    assert_eq!(records.text().matches("https://host/***").count(), 2);
    assert!(records.text().contains("refused: ***"));
}
