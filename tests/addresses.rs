//! Whose address is recorded: the peer's, or, behind proxies that are named with their header, the client's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::Body;
use common::{expected, failed, log_with, record};
use http::{HeaderName, Request};
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::{Auditor, AuditorBuilder, PeerAddr, sink};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The actor of a request that a proxy at 10.0.0.1 passes on for 203.0.113.7.
async fn actor(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> serde_json::Value {
    let log = log_with(set);
    let mut request = Request::get("/").header(FORWARDED_FOR, "6.6.6.6, 203.0.113.7").body(Body::empty()).unwrap();
    request.extensions_mut().insert(PeerAddr("10.0.0.1:4711".parse().unwrap()));
    log.auditor.wrap_router(Router::new()).into_service().oneshot(request).await.unwrap();
    let only = log.only().await;
    let actor = only["actor"].clone();
    let failure = failed("warn", "completed", "NotFound", "404 Not Found");
    let change = json!({ "actor": { "hostname": null, "port": null }, "response": { "status": 404 } });
    let mut whole = record(expected::with(failure, change));
    whole["actor"] = actor.clone();
    assert_eq!(only, whole);
    actor
}

#[tokio::test]
async fn behind_proxies_the_client_is_recorded_and_else_the_peer() {
    assert_eq!(actor(|builder| builder).await, json!({ "actorId": null, "ip": "10.0.0.1", "port": 1 }));
    let client = json!({ "actorId": null, "ip": "203.0.113.7", "peerIp": "10.0.0.1" });
    assert_eq!(actor(|builder| builder.behind_proxies(["10.0.0.0/8"], FORWARDED_FOR)).await, client);
    let elsewhere = actor(|builder| builder.behind_proxies(["192.0.2.0/24"], FORWARDED_FOR)).await;
    assert_eq!(elsewhere, json!({ "actorId": null, "ip": "10.0.0.1", "port": 1 }));
}

#[test]
fn a_header_without_proxies_is_refused_at_build_and_so_is_what_is_no_network() {
    let refused = |proxies: &[&str]| {
        let (lines, _records) = sink::memory();
        let builder = Auditor::builder().sink(lines).behind_proxies(proxies.iter().copied(), FORWARDED_FOR);
        let error = builder.build().unwrap_err();
        assert!(error.is_setting());
        error.to_string()
    };
    let error = refused(&[]);
    assert!(error.contains("given x-forwarded-for without trusted proxies"), "{error}");
    assert!(error.contains("add TOWER_AUDIT_TRUSTED_PROXIES="), "{error}");
    assert!(refused(&["10.0.0.0/33"]).contains("given \"10.0.0.0/33\""));
}

#[test]
fn an_instance_that_would_break_a_line_is_refused_at_build() {
    for bad in ["", "a\"b\n", "a\\b", "a b", "ä", &"x".repeat(129)] {
        let (lines, _records) = sink::memory();
        let error = Auditor::builder().sink(lines).instance(bad).build().unwrap_err();
        assert!(error.is_setting() && error.to_string().starts_with("instance: given "), "{bad}: {error}");
    }
    let (lines, records) = sink::memory();
    drop(Auditor::builder().sink(lines).instance("pod-7/run_1:a'b").build().unwrap());
    assert!(records.lines().iter().all(|line| line.contains(r#""instance":"pod-7/run_1:a'b""#)));
}
