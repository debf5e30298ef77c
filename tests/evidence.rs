//! Nothing that a client sends under the name of a secret changes who did what: evidence is byte for byte the same.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::routing::any;
use common::{Log, log_with};
use http::{HeaderName, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Bodies, Catalog, Credential, Entity, Event, Failure, Scope, Source};

/// Phrases that are always secret, and some that are secret as text.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "secret",
    "client_secret",
    "private_key",
    "secret_key",
    "secret_access_key",
    "psk",
    "seed_phrase",
    "mnemonic",
    "connection_string",
    "security_answer",
    "pin",
    "otp",
    "totp",
    "cvv",
    "card_number",
    "ssn",
    "iban",
    "access_token",
    "api_key",
    "session_id",
    "authorization",
    "cookie",
];

/// Everything that a record of this test says who did what with.
const EVIDENCE: &[&str] = &[
    "user:default/guest",
    "Guest-Account-7",
    "payroll-prod",
    "payroll-object-1",
    "release-2.0.17",
    "group/finance-2",
    "pipeline-4711",
    "repository-12",
    "ProjectDeletion",
    "completion",
    "server.example",
    "hub.example",
    "run-1",
    "succeeded",
    "session-77aa88bb",
    "task-1a2b3c4d",
    "DELETE",
    "/projects/payroll-prod",
    "/projects/{project}",
];

fn deletion() -> Log {
    let event = Event::new("ProjectDeletion")
        .on(Method::DELETE, "/projects/{project}")
        .bodies(Bodies::Both)
        .meta("taskId", Source::value("task-1a2b3c4d"))
        .meta("project", Source::param("project"))
        .message("{params.project} deleted by {actor} ({meta.project}, {meta.said})");
    let shown = NAMES.iter().map(|name| HeaderName::try_from(name.replace('_', "-")).unwrap());
    log_with(|builder| builder.catalog(Catalog::new().event(event)).show_headers(shown.collect::<Vec<_>>()))
}

async fn handle(audit: Audit, _: HeaderMap, _: Bytes) -> &'static str {
    let credential = Credential::new("session").id("session-77aa88bb").name("Guest-Account-7");
    audit.actor(Actor::user("user:default/guest").name("Guest-Account-7").credential(credential));
    audit.object(Entity::new("object").id("payroll-object-1").name("payroll-prod").version("release-2.0.17"));
    audit.target(Entity::new("project").id("payroll-prod"));
    audit.scope(Scope::group("group/finance-2"));
    audit.context("pipeline-4711").project("payroll-prod").repository("repository-12");
    audit.meta("said", "payroll-object-1").meta("list", json!(["payroll-prod", { "payroll-prod": "pipeline-4711" }]));
    "deleted"
}

async fn send(log: &Log, request: Request<Body>) {
    let app = Router::new().route("/projects/{project}", any(handle));
    let response = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

fn deleting(query: &str) -> http::request::Builder {
    Request::delete(format!("/projects/payroll-prod{query}")).header("host", "hub.example")
}

/// A record without what the client sent beside its evidence, and without what numbers it.
fn evidence(mut record: Value) -> Value {
    record.as_object_mut().unwrap().remove("auditId");
    let request = record["request"].as_object_mut().unwrap();
    for key in ["query", "body", "bodyOmitted", "headers"] {
        request.remove(key);
    }
    let url = request["url"].as_str().unwrap();
    let path = url.split_once('?').map_or(url, |(path, _)| path).to_owned();
    request.insert("url".to_owned(), path.into());
    record
}

#[tokio::test]
async fn a_client_cannot_blank_who_did_what_by_sending_it_as_a_key() {
    let log = deletion();
    send(&log, deleting("?key=payroll-prod&pin=user:default/guest&pw=Guest").body(Body::empty()).unwrap()).await;
    let record = log.only().await;
    assert_eq!(record["message"], "payroll-prod deleted by user:default/guest (payroll-prod, payroll-object-1)");
    assert_eq!(record["actor"]["actorId"], "user:default/guest");
    assert_eq!(record["object"]["id"], "payroll-object-1");
    assert_eq!(record["request"]["params"], json!({ "project": "payroll-prod" }));
    assert_eq!(
        record["request"]["url"], "/projects/payroll-prod?key=payroll-prod&pin=***&pw=Guest",
        "the query is the client's"
    );
}

#[tokio::test]
async fn evidence_is_the_same_whatever_is_sent_under_the_name_of_a_secret() {
    let log = deletion();
    send(&log, deleting("").body(Body::empty()).unwrap()).await;
    let mut sent = 1;
    for name in NAMES {
        let query: String = EVIDENCE.iter().map(|value| format!("&{name}={value}")).collect();
        let form = query.trim_start_matches('&').to_owned();
        let list = json!({ *name: EVIDENCE, "a": { "secrets": EVIDENCE } }).to_string();
        let pairs = json!(EVIDENCE.iter().map(|value| json!({ "name": name, "value": value })).collect::<Vec<_>>());
        let parts: String = EVIDENCE
            .iter()
            .map(|value| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
            .collect();
        let typed = |content_type: &str| deleting("").header("content-type", content_type);
        let header = HeaderName::try_from(name.replace('_', "-")).unwrap();
        let mut with_headers = deleting("");
        for value in EVIDENCE {
            with_headers = with_headers.header(&header, *value).header("x-api-key", *value);
        }
        for request in [
            deleting(&format!("?{query}")).body(Body::empty()).unwrap(),
            typed("application/json").body(Body::from(list)).unwrap(),
            typed("application/json").body(Body::from(pairs.to_string())).unwrap(),
            typed("application/x-www-form-urlencoded").body(Body::from(form)).unwrap(),
            typed("multipart/form-data; boundary=b").body(Body::from(format!("{parts}--b--\r\n"))).unwrap(),
            with_headers.body(Body::empty()).unwrap(),
        ] {
            send(&log, request).await;
            sent += 1;
        }
    }
    let mut records = log.records(sent).await.into_iter().map(evidence);
    let expected = records.next().unwrap();
    for (at, record) in records.enumerate() {
        assert_eq!(record, expected, "request {at}, under {}", NAMES[at / 6]);
    }
}

#[tokio::test]
async fn a_secret_segment_of_a_path_masks_itself_alone() {
    let event = Event::new("Reset").on(Method::POST, "/users/{user}/reset/{password}");
    let log = log_with(|builder| builder.catalog(Catalog::new().event(event)));
    let app = Router::new().route(
        "/users/{user}/reset/{password}",
        any(async |audit: Audit| {
            audit.actor(Actor::user("jane-doe-77"));
            audit.failure(Failure::new("Refused", "jane-doe-77 is refused"));
        }),
    );
    let request = Request::post("/users/jane-doe-77/reset/jane-doe-77").body(Body::empty()).unwrap();
    log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    let record = log.only().await;
    assert_eq!(record["request"]["url"], "/users/jane-doe-77/reset/***");
    assert_eq!(record["request"]["params"], json!({ "user": "jane-doe-77", "password": "***" }));
    assert_eq!(record["actor"]["actorId"], "jane-doe-77");
    assert_eq!(record["errors"][0]["message"], "*** is refused", "an error is no evidence");
}
