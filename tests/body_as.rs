//! `TOWER_AUDIT_BODY_AS=string`: bodies are their redacted text, and values of `query` and `params` lists of strings, so
//! that each key has one shape in every record; everything else is as it was.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::routing::any;
use common::{Log, log_with};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, AuditorBuilder, Bodies, BodyAs, Catalog, Event, Source};

fn catalog() -> Catalog {
    Catalog::new().event(
        Event::new("Task")
            .on(Method::POST, "/tasks/{taskId}/{token}")
            .bodies(Bodies::Both)
            .text_bodies()
            .meta("name", Source::request_body("/name"))
            .meta("taskId", Source::param("taskId")),
    )
}

fn log(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Log {
    log_with(|builder| set(builder.catalog(catalog()).body_as(BodyAs::String)))
}

/// Answers with what was sent.
async fn exchange(log: &Log, url: &str, content_type: &str, body: impl Into<Body>) {
    let echo = async |audit: Audit, request: AxumRequest| {
        audit.actor(Actor::user("jane"));
        let kind = request.headers().get("content-type").cloned();
        let mut answer = Response::new(Body::from(request.into_body().collect().await.unwrap().to_bytes()));
        answer.headers_mut().extend(kind.map(|kind| (http::header::CONTENT_TYPE, kind)));
        answer
    };
    let app = Router::new().fallback(any(echo));
    let request = Request::post(url).header("content-type", content_type).body(body.into()).unwrap();
    let answer = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    answer.into_body().collect().await.unwrap();
}

async fn recorded(url: &str, content_type: &str, body: impl Into<Body>) -> Value {
    let log = log(|builder| builder);
    exchange(&log, url, content_type, body).await;
    log.only().await
}

/// Both bodies, which are the same.
async fn shown(content_type: &str, body: impl Into<Body>) -> Value {
    let record = recorded("/tasks/1/t0ken1", content_type, body).await;
    assert_eq!(record["request"]["body"], record["response"]["body"], "{record:#}");
    assert_eq!(record["request"]["bodyOmitted"], record["response"]["bodyOmitted"], "{record:#}");
    record["request"]["body"].clone()
}

#[tokio::test]
async fn every_kind_of_body_is_its_redacted_text() {
    let json = r#"{"z":1.50,"a":[{"password":"hunter-2"},null],"é":"\u00e9\n"}"#;
    assert_eq!(
        shown("application/json", json).await,
        r#"{"z":1.50,"a":[{"password":"***"},null],"é":"\u00e9\n"}"#,
        "order, digits and escapes stay"
    );
    assert_eq!(shown("application/json", "[1, 2]").await, "[1,2]");
    assert_eq!(shown("application/json", "17").await, "17");
    assert_eq!(shown("application/json", "\"Bearer a1B2c3D4e5\"").await, "Bearer ***", "a string stays one string");
    assert_eq!(
        shown("application/x-www-form-urlencoded", "a=1&b=x+y&a=2&api_key=hunter-2").await,
        r#"{"a":["1","2"],"b":"x y","api_key":"***"}"#
    );
    let part =
        |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    assert_eq!(
        shown("multipart/form-data; boundary=x", format!("{}{}--x--", part("a", "1"), part("token", "hunter-2"))).await,
        r#"[{"name":"a","size":1,"value":"1"},{"name":"token","size":8,"value":"***"}]"#
    );
    assert_eq!(shown("text/plain", "user: bob\npassword: hunter22\n").await, "user: bob\npassword: ***\n");
    assert_eq!(
        shown("application/json", r#"{"a":1,"token":"hunter-2","a":2}"#).await,
        r#"{"a":1,"token":"***","a":2}"#,
        "a repeated key stands in a text as it was sent"
    );
    assert_eq!(shown("image/png", "x").await, Value::Null, "what is left out stays left out");
}

#[tokio::test]
async fn values_of_query_and_params_are_lists_of_strings() {
    let url = "/tasks/4711/hunter-2?a=1&b=x%20y&a=2&access_token=hunter-3&n=";
    let record = recorded(url, "application/json", r#"{"name":"demo"}"#).await;
    assert_eq!(record["request"]["params"], json!({ "taskId": ["4711"], "token": ["***"] }));
    assert_eq!(
        record["request"]["query"],
        json!({ "a": ["1", "2"], "b": ["x y"], "access_token": ["***"], "n": [""] })
    );
    assert_eq!(record["request"]["url"], "/tasks/4711/***?a=1&b=x%20y&a=2&access_token=***&n=");
    assert_eq!(record["meta"], json!({ "name": "demo", "taskId": "4711" }), "facts are found as ever");
}

#[tokio::test]
async fn a_cut_body_is_the_text_of_its_beginning() {
    let log = log(|builder| builder.max_body_bytes(40));
    let body = r#"{"first":"kept","password":"hunter-2 and more","last":1}"#;
    exchange(&log, "/tasks/1/t0ken1", "application/json", body).await;
    let record = log.only().await;
    assert_eq!(record["request"]["body"], r#"{"first":"kept"}"#);
    let omitted = json!({ "reason": "truncated", "contentType": "application/json", "bytes": body.len() });
    assert_eq!(record["request"]["bodyOmitted"], omitted);
    assert_eq!(record["response"]["bodyOmitted"], omitted);
}

#[tokio::test]
async fn the_line_keeps_its_budget_and_says_what_is_missing() {
    // Each quote and backslash of a text takes two bytes more in a string: twice as much as the same body as JSON.
    let log = log(|builder| builder);
    let body = format!("[{}]", [r#""\"\\\"""#].repeat(1_500).join(","));
    let url = format!("/tasks/1/t0ken1?q={}", "%22".repeat(1_000));
    exchange(&log, &url, "application/json", body.clone()).await;
    // Every line is checked for its length as it is read.
    let record = log.only().await;
    assert_eq!(record["request"]["bodyOmitted"]["reason"], "line", "{record:#}");
    assert_eq!(record["request"]["bodyOmitted"]["bytes"], body.len());
    assert_eq!(record["actor"]["actorId"], "jane");
}

#[tokio::test]
async fn what_was_masked_is_masked_where_a_client_repeats_it_and_changes_no_evidence() {
    let body = r#"{"password":"hunt\"er-2","text":"again hunt\"er-2","n":1234567,"pin":1234567}"#;
    let record = recorded("/tasks/hunt%22er-2/x?q=hunt%22er-2&p=1234567", "application/json", body).await;
    assert_eq!(record["request"]["body"], r#"{"password":"***","text":"again ***","n":"***","pin":"***"}"#);
    assert_eq!(record["request"]["query"], json!({ "q": ["***"], "p": ["***"] }));
    assert_eq!(record["request"]["url"], "/tasks/hunt%22er-2/x?q=***&p=***");
    assert_eq!(record["request"]["params"], json!({ "taskId": ["hunt\"er-2"], "token": ["x"] }));
}
