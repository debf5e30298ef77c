//! How much of reads is recorded: one call on the catalog, and what events say for themselves.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::sinks::Disk;
use common::{Log, eventually, log_to, log_with};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_audit::{Catalog, Delivery, Event, Level, Reads, Stages, Unmatched};

fn event(name: &'static str, method: Method) -> Event {
    let path = format!("/{name}");
    Event::new(name).on(method, path)
}

fn catalog() -> Catalog {
    let nested = Catalog::new().event(event("inherits", Method::GET));
    Catalog::new()
        .event(event("fetch", Method::GET))
        .event(event("create", Method::POST))
        .event(event("search", Method::POST).read())
        .event(event("secret", Method::GET).change())
        .event(event("both", Method::GET).on(Method::POST, "/both"))
        .event(event("demands", Method::GET).delivery(Delivery::Durable))
        .event(event("levelled", Method::GET).level(Level::Warn))
        .event(Event::new("Job").read())
        .nest("/nested", nested.clone())
        .nest("/other", Catalog::new().reads(Reads::Record).event(event("decides", Method::GET)))
}

/// Serves a request to each of these, and gives name and level of what was recorded.
async fn recorded(log: &Log, asked: &[(Method, &str)], count: usize) -> Vec<(String, String)> {
    let status = async |request: Request<Body>| {
        if request.uri().query() == Some("fails") { StatusCode::FORBIDDEN } else { StatusCode::OK }
    };
    let app = log.auditor.wrap_router(Router::new().fallback(any(status))).into_service();
    for (method, url) in asked {
        let request = Request::builder().method(method).uri(*url).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    }
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    log.records(count).await.iter().map(|record| (text(record, "eventName"), text(record, "level"))).collect()
}

fn asked() -> Vec<(Method, &'static str)> {
    let get = |url| (Method::GET, url);
    vec![
        get("/fetch"),
        (Method::HEAD, "/fetch"),
        get("/fetch?fails"),
        (Method::POST, "/create"),
        (Method::POST, "/search"),
        get("/secret"),
        get("/both"),
        get("/demands"),
        get("/levelled"),
        get("/nested/inherits"),
        get("/other/decides"),
        get("/nothing"),
        (Method::POST, "/nothing"),
    ]
}

#[tokio::test]
async fn reads_are_recorded_as_the_catalog_says() {
    for reads in [Reads::Record, Reads::Debug, Reads::Lossy, Reads::Skip] {
        let log = log_with(|builder| builder.catalog(catalog().reads(reads)));
        let quiet = if reads == Reads::Record { "info" } else { "debug" };
        let expected = [
            ("fetch", quiet, true),
            ("fetch", quiet, true),
            ("fetch", "warn", true),
            ("create", "info", false),
            ("search", quiet, true),
            ("secret", "info", false),
            ("both", "info", false),
            ("demands", quiet, false),
            ("levelled", "warn", true),
            ("inherits", quiet, true),
            ("decides", "info", false),
            ("HttpRequest", quiet, true),
            ("HttpRequest", "info", false),
        ];
        let expected: Vec<_> = expected
            .iter()
            .filter(|(.., is_skippable)| reads != Reads::Skip || !is_skippable)
            .map(|(name, level, _)| ((*name).to_owned(), (*level).to_owned()))
            .collect();
        assert_eq!(recorded(&log, &asked(), expected.len()).await, expected, "{reads}");
    }
}

#[tokio::test]
async fn a_lossy_read_is_served_when_the_queue_is_full_and_a_change_is_refused() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        let builder = builder.sink(disk.sink()).queue_records(1).admission_timeout(Duration::ZERO);
        builder.catalog(catalog().reads(Reads::Lossy))
    });
    let app = log.auditor.wrap_router(Router::new().fallback(any(async || ()))).into_service();
    let ask = async |method: Method, url: &str| {
        let request = Request::builder().method(method).uri(url).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    };
    log.all().await;
    disk.writing.set(true);
    assert_eq!(ask(Method::GET, "/secret").await, 200);
    eventually("the queue is full", || log.auditor.counters().unwritten == 1).await;
    assert_eq!(ask(Method::GET, "/fetch").await, 200);
    assert_eq!(ask(Method::POST, "/search").await, 200);
    assert_eq!(ask(Method::POST, "/create").await, 503);
    assert_eq!(log.auditor.counters().lost.queue_full, 2);
    disk.writing.set(false);
}

#[tokio::test]
async fn background_work_that_reads_follows_too() {
    for (reads, level) in [(Reads::Record, Some("info")), (Reads::Lossy, Some("debug")), (Reads::Skip, None)] {
        let log = log_with(|builder| builder.catalog(catalog().reads(reads)).stages(Stages::Both));
        let job = log.auditor.begin("Job").await.unwrap();
        assert_eq!(job.audit().is_disabled(), level.is_none());
        job.succeed();
        let records = log.records(if level.is_some() { 2 } else { 0 }).await;
        assert!(records.iter().all(|record| record["level"].as_str() == level), "{records:#?}");
    }
}

#[tokio::test]
async fn unmatched_reads_may_be_left_out_alone() {
    let log = log_with(|builder| {
        builder.catalog(Catalog::new().reads(Reads::Skip).unmatched(Unmatched::Named("Other".into())))
    });
    let names = recorded(&log, &[(Method::GET, "/"), (Method::DELETE, "/")], 1).await;
    assert_eq!(names, [("Other".to_owned(), "info".to_owned())]);
}

#[tokio::test]
async fn an_event_beside_its_route_is_a_read_if_it_says_so() {
    let log = log_with(|builder| builder.catalog(Catalog::new().reads(Reads::Skip)));
    let plain = log.auditor.route_layer(Event::new("Plain")).unwrap();
    let read = log.auditor.route_layer(Event::new("Read").read()).unwrap();
    let app = || {
        Router::new()
            .route("/plain", any(async || ()).layer(plain.clone()))
            .route("/read", any(async || ()).layer(read.clone()))
    };
    let outer = log.auditor.wrap_router(app()).into_service();
    for (method, url) in
        [(Method::POST, "/read"), (Method::GET, "/read"), (Method::POST, "/plain"), (Method::GET, "/plain")]
    {
        let request = || Request::builder().method(&method).uri(url).body(Body::empty()).unwrap();
        assert_eq!(app().oneshot(request()).await.unwrap().status(), 200);
        assert_eq!(outer.clone().oneshot(request()).await.unwrap().status(), 200);
    }
    let names: Vec<_> = log.records(4).await.iter().map(|record| record["eventName"].clone()).collect();
    assert_eq!(names, ["Plain"; 4]);
}
