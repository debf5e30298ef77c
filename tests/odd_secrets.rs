//! A secret that is one character which a record escapes is masked, and not only escaped.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::any;
use common::log_of;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::{Audit, Bodies, Event};

#[tokio::test]
async fn a_secret_of_one_odd_character_is_masked() {
    for odd in ["\u{2028}", "\u{202e}", "\u{7f}", "\u{85}"] {
        let event = Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).unauthenticated_bodies();
        let log = log_of([event]);
        let handler = async move |audit: Audit, _: Bytes| {
            audit.secret(odd);
            audit.meta("said", odd);
        };
        let app = Router::new().route("/x", any(handler));
        let body = json!({ "note": json!({ "password": odd }).to_string() }).to_string();
        let request = Request::post("/x").header("content-type", "application/json").body(Body::from(body)).unwrap();
        let response = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        let record = log.only().await;
        assert_eq!(record["request"]["body"], json!({ "note": r#"{"password":"***"}"# }), "{odd:?}");
        assert_eq!(record["meta"], json!({ "said": "***" }), "{odd:?}");
    }
}
