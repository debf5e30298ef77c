//! Each line of `guide::layer_order`: what a layer does to the records, outside of the audit layer and inside of it.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Mutex, Once};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use common::{Log, expected, failed, log, log_of, record};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_audit::{Actor, Audit, Bodies, Event};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

// ---- the server

/// Two events that show bodies, and routes that panic and hang.
fn events() -> [Event; 2] {
    let task = |name: &'static str, method| Event::new(name).on(method, "/tasks").bodies(Bodies::Both);
    [task("TaskList", Method::GET), task("TaskCreation", Method::POST)]
}

fn routes() -> Router {
    Router::new()
        .route("/tasks", get(async || Json(json!({ "tasks": ["a long list of tasks, which is worth compressing"] }))))
        .route("/tasks", post(async |body: String| body))
        .route("/panic", get(async || -> () { panic!("as the test wants") }))
        .route("/hang", get(std::future::pending::<()>))
        .route("/api/{id}", get(async || ()))
}

async fn ask(app: Router, request: Request) -> Response<Bytes> {
    let (head, body) = app.oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn to(url: &str) -> Request {
    Request::get(url).body(Body::empty()).unwrap()
}

fn posted(encoding: &str, body: impl Into<Body>) -> Request {
    let request = Request::post("/tasks").header(header::CONTENT_TYPE, "application/json");
    request.header(header::CONTENT_ENCODING, encoding).body(body.into()).unwrap()
}

// ---- what is recorded

/// A record of a request in memory, which has no peer and no `Host`.
fn of(url: &str, patch: Value) -> Value {
    let nobody = json!({ "actor": { "ip": null, "port": null, "hostname": null }, "request": { "url": url } });
    record(expected::with(nobody, patch))
}

fn routed(url: &str, patch: Value) -> Value {
    of(url, expected::with(json!({ "request": { "route": url } }), patch))
}

const LIST: &str = r#"{"tasks":["a long list of tasks, which is worth compressing"]}"#;

fn listed(patch: Value) -> Value {
    let shown = json!({ "eventName": "TaskList", "response": { "bytes": LIST.len(), "body": serde_json::from_str::<Value>(LIST).unwrap() } });
    routed("/tasks", expected::with(shown, patch))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[derive(Clone)]
struct Numbered;

impl MakeRequestId for Numbered {
    fn make_request_id<B>(&mut self, _request: &http::Request<B>) -> Option<RequestId> {
        Some(RequestId::new("made-1".parse().unwrap()))
    }
}

// ---- the arrangements

#[tokio::test]
async fn around_the_router_it_sees_what_no_route_matches() {
    let log = log();
    let app = || log.auditor.wrap_router(routes()).into_service();
    for (url, method) in [("/nowhere", Method::GET), ("/tasks", Method::DELETE)] {
        let request = Request::builder().method(method).uri(url).body(Body::empty()).unwrap();
        app().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    }
    let missing = expected::with(
        failed("warn", "completed", "NotFound", "404 Not Found"),
        json!({ "response": { "status": 404 } }),
    );
    let failure = failed("warn", "completed", "MethodNotAllowed", "405 Method Not Allowed");
    let refused = expected::with(failure, json!({ "response": { "status": 405 }, "request": { "method": "DELETE" } }));
    assert_eq!(log.records(2).await, [of("/nowhere", missing), of("/tasks", refused)]);
}

#[tokio::test]
async fn as_a_layer_of_the_router_it_sees_the_routes_that_exist_their_templates_and_the_fallback() {
    let log = log();
    let app = routes().layer(log.auditor.axum_layer()).route("/late", get(async || ()));
    for url in ["/api/7", "/nowhere", "/late"] {
        ask(app.clone(), to(url)).await;
    }
    let missing = expected::with(
        failed("warn", "completed", "NotFound", "404 Not Found"),
        json!({ "response": { "status": 404 } }),
    );
    let template = json!({ "request": { "route": "/api/{id}", "params": { "id": "7" } } });
    assert_eq!(log.records(2).await, [of("/api/7", template), of("/nowhere", missing)]);
}

#[tokio::test]
async fn as_a_layer_of_the_router_it_knows_the_peer_from_connect_info() {
    let log = log();
    let (listener, address) = common::net::listen().await;
    let service =
        routes().layer(log.auditor.axum_layer()).into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    common::net::get(address, "/api/7").await;
    let request = json!({ "url": "/api/7", "route": "/api/{id}", "params": { "id": "7" } });
    assert_eq!(log.only().await, record(json!({ "request": request })));
}

#[tokio::test]
async fn two_layers_are_one_record() {
    let log = log();
    ask(routes().layer(log.auditor.axum_layer()).layer(log.auditor.axum_layer()), to("/tasks")).await;
    assert_eq!(log.only().await, routed("/tasks", json!({ "response": { "bytes": LIST.len() } })));
}

/// The whole stack of the guide: every type fits, and every line of the table holds at once.
#[tokio::test]
async fn the_whole_stack_of_the_guide() {
    async fn authenticate(audit: Audit, request: Request, next: Next) -> Response {
        if request.headers().get(header::AUTHORIZATION).is_none() {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        audit.actor(Actor::user("user:default/jane"));
        next.run(request).await
    }
    let log = log_of(events());
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(Numbered))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .layer(log.auditor.axum_layer())
        .layer(TraceLayer::new_for_http())
        .option_layer(Some(CorsLayer::permissive()))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(1)))
        .layer(from_fn(authenticate));
    let app = routes().layer(stack);
    let known = |url| {
        let request =
            Request::get(url).header(header::AUTHORIZATION, "Bearer t").header(header::ACCEPT_ENCODING, "gzip");
        request.body(Body::empty()).unwrap()
    };

    let listed_answer = ask(app.clone(), known("/tasks")).await;
    assert_eq!(
        (&listed_answer.headers()["x-request-id"], &listed_answer.headers()["content-encoding"]),
        (&"made-1".parse().unwrap(), &"gzip".parse().unwrap())
    );
    let statuses = [known("/panic"), known("/hang"), to("/tasks")].map(|request| ask(app.clone(), request));
    let [panicked, hung, refused] = futures_util::future::join_all(statuses).await.try_into().unwrap();
    assert_eq!(
        (panicked.status(), hung.status(), refused.status()),
        (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::GATEWAY_TIMEOUT, StatusCode::UNAUTHORIZED)
    );

    let mut records = log.records(4).await;
    records.sort_by_key(|record| record.pointer("/request/url").map(ToString::to_string));
    let jane = json!({ "requestId": "made-1", "actor": { "actorId": "user:default/jane", "kind": "user" } });
    let panicked =
        expected::with(failed("error", "panicked", "Panicked", "the handler panicked"), json!({ "response": null }));
    let hung = expected::with(
        failed("error", "completed", "GatewayTimeout", "504 Gateway Timeout"),
        json!({ "response": { "status": 504 } }),
    );
    let refused = expected::with(
        failed("warn", "completed", "Unauthorized", "401 Unauthorized"),
        json!({ "requestId": "made-1", "eventName": "TaskList", "response": { "status": 401 } }),
    );
    let mut expected = vec![
        routed("/hang", expected::with(jane.clone(), hung)),
        routed("/panic", expected::with(jane.clone(), panicked)),
        listed(jane),
        routed("/tasks", refused),
    ];
    expected.sort_by_key(|record| {
        (record.pointer("/request/url").map(ToString::to_string), record["response"]["status"].as_u64())
    });
    records.sort_by_key(|record| {
        (record.pointer("/request/url").map(ToString::to_string), record["response"]["status"].as_u64())
    });
    assert_eq!(records, expected);
}

// ---- line by line

#[tokio::test]
async fn what_refuses_outside_is_not_recorded_and_inside_it_is() {
    async fn refuse(_: Request, _: Next) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }
    let log = log();
    let outside = ServiceBuilder::new().layer(from_fn(refuse)).layer(log.auditor.axum_layer());
    assert_eq!(ask(routes().layer(outside), to("/tasks")).await.status(), 503);
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(from_fn(refuse));
    assert_eq!(ask(routes().layer(inside), to("/tasks")).await.status(), 503);
    let failure = failed("error", "completed", "ServiceUnavailable", "503 Service Unavailable");
    let refused = expected::with(failure, json!({ "response": { "status": 503 } }));
    assert_eq!(log.records(1).await, [routed("/tasks", refused)]);
}

#[tokio::test]
async fn a_request_id_is_recorded_if_it_is_set_outside() {
    let log = log();
    let set = SetRequestIdLayer::x_request_id(Numbered);
    let give = PropagateRequestIdLayer::x_request_id();
    let audit = log.auditor.axum_layer();
    let outside = ServiceBuilder::new().layer(set.clone()).layer(give.clone()).layer(audit.clone());
    let between = ServiceBuilder::new().layer(set.clone()).layer(audit.clone()).layer(give.clone());
    let inside = ServiceBuilder::new().layer(audit).layer(set).layer(give);
    for app in [routes().layer(outside), routes().layer(between), routes().layer(inside)] {
        assert_eq!(ask(app, to("/api/7")).await.headers()["x-request-id"], "made-1");
    }
    let plain = |id: Value| {
        of("/api/7", json!({ "requestId": id, "request": { "route": "/api/{id}", "params": { "id": "7" } } }))
    };
    let mut without = plain(Value::Null);
    without.as_object_mut().unwrap().remove("requestId");
    assert_eq!(log.records(3).await, [plain(json!("made-1")), plain(json!("made-1")), without]);
}

#[tokio::test]
async fn a_response_is_compressed_outside_or_recorded_as_encoded() {
    let log = log_of(events());
    let outside = ServiceBuilder::new().layer(CompressionLayer::new()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(CompressionLayer::new());
    let mut sent = Vec::new();
    for app in [routes().layer(outside), routes().layer(inside)] {
        let request = Request::get("/tasks").header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
        let answer = ask(app, request).await;
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        sent.push(answer.body().len());
    }
    let omitted = json!({ "reason": "encoded", "contentType": "application/json", "bytes": sent[1] });
    let encoded = json!({ "response": { "bytes": sent[1], "body": null, "bodyOmitted": omitted } });
    assert_eq!(log.records(2).await, [listed(json!({})), listed(encoded)]);
}

#[tokio::test]
async fn a_request_is_decompressed_outside_or_recorded_as_encoded() {
    let log = log_of(events());
    let outside = ServiceBuilder::new().layer(RequestDecompressionLayer::new()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(RequestDecompressionLayer::new());
    let packed = gzip(r#"{"name":"demo"}"#);
    for app in [routes().layer(outside), routes().layer(inside)] {
        assert_eq!(ask(app, posted("gzip", packed.clone())).await.body(), r#"{"name":"demo"}"#);
    }
    let bodies = |request| {
        let text = json!({ "reason": "text", "contentType": "text/plain; charset=utf-8", "bytes": 15 });
        let response = json!({ "bytes": 15, "bodyOmitted": text });
        routed("/tasks", json!({ "eventName": "TaskCreation", "response": response, "request": request }))
    };
    let omitted = json!({ "reason": "encoded", "contentType": "application/json", "bytes": packed.len() });
    assert_eq!(
        log.records(2).await,
        [
            bodies(json!({ "method": "POST", "body": { "name": "demo" } })),
            bodies(json!({ "method": "POST", "bodyOmitted": omitted })),
        ]
    );
}

#[tokio::test]
async fn a_panic_that_is_caught_outside_is_panicked_and_inside_it_is_an_answer() {
    let log = log();
    let outside = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(CatchPanicLayer::new());
    for app in [routes().layer(outside), routes().layer(inside)] {
        assert_eq!(ask(app, to("/panic")).await.status(), 500);
    }
    let panicked = failed("error", "panicked", "Panicked", "the handler panicked");
    let answered = failed("error", "completed", "InternalServerError", "500 Internal Server Error");
    assert_eq!(
        log.records(2).await,
        [
            routed("/panic", expected::with(panicked, json!({ "response": null }))),
            routed("/panic", expected::with(answered, json!({ "response": { "status": 500, "bytes": 16 } }))),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_handled_outside_is_timed_out_and_inside_it_is_an_answer() {
    async fn too_late(_: tower::BoxError) -> StatusCode {
        StatusCode::REQUEST_TIMEOUT
    }
    let log = log();
    let timeout = || tower::timeout::TimeoutLayer::new(Duration::from_secs(1));
    let outside =
        ServiceBuilder::new().layer(HandleErrorLayer::new(too_late)).layer(log.auditor.axum_layer()).layer(timeout());
    let inside =
        ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(HandleErrorLayer::new(too_late)).layer(timeout());
    let both_outside =
        ServiceBuilder::new().layer(HandleErrorLayer::new(too_late)).layer(timeout()).layer(log.auditor.axum_layer());
    for app in [routes().layer(outside), routes().layer(inside), routes().layer(both_outside)] {
        assert_eq!(ask(app, to("/hang")).await.status(), 408);
    }
    let timed_out = failed("error", "timed_out", "Error", "request timed out");
    let answered = failed("warn", "completed", "RequestTimeout", "408 Request Timeout");
    let records = log.records(3).await;
    assert_eq!(
        records[..2],
        [
            routed("/hang", expected::with(timed_out, json!({ "response": null }))),
            routed("/hang", expected::with(answered, json!({ "response": { "status": 408 } }))),
        ]
    );
    assert_eq!((&records[2]["outcome"], &records[2]["response"]), (&json!("aborted"), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_is_aborted_and_inside_it_is_an_answer() {
    let log = log();
    let timeout = || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(1));
    let outside = ServiceBuilder::new().layer(timeout()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(timeout());
    for app in [routes().layer(outside), routes().layer(inside)] {
        assert_eq!(ask(app, to("/hang")).await.status(), 504);
    }
    let records = log.records(2).await;
    let told: Vec<_> = records
        .iter()
        .map(|record| (&record["outcome"], &record["meta"]["abortedAt"], &record["response"]["status"]))
        .collect();
    assert_eq!(
        told,
        [(&json!("aborted"), &json!("head"), &Value::Null), (&json!("completed"), &Value::Null, &json!(504))]
    );
}

#[tokio::test]
async fn preflight_requests_are_recorded_if_cors_is_inside() {
    let log = log();
    let outside = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(CorsLayer::permissive());
    for app in [routes().layer(outside), routes().layer(inside)] {
        let request = Request::options("/tasks")
            .header(header::ORIGIN, "https://a")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
        let answer = ask(app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    assert_eq!(log.records(1).await, [routed("/tasks", json!({ "request": { "method": "OPTIONS" } }))]);
}

#[tokio::test]
async fn trace_layer_may_be_outside_or_inside() {
    let log = log();
    let outside = ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(TraceLayer::new_for_http());
    for app in [routes().layer(outside), routes().layer(inside)] {
        ask(app, to("/tasks")).await;
    }
    let same = || routed("/tasks", json!({ "response": { "bytes": LIST.len() } }));
    assert_eq!(log.records(2).await, [same(), same()]);
}

/// Whoever asks without a key is refused; with one, it is jane.
async fn authenticate(audit: Option<Audit>, mut request: Request, next: Next) -> Response {
    if request.headers().get(header::AUTHORIZATION).is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let jane = Actor::user("user:default/jane");
    if let Some(audit) = audit {
        audit.actor(jane.clone());
    }
    request.extensions_mut().insert(User(jane));
    next.run(request).await
}

#[derive(Clone)]
struct User(Actor);

fn with_a_key() -> Request {
    Request::get("/tasks").header(header::AUTHORIZATION, "Bearer t0k3n").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn authentication_outside_loses_the_actor_and_what_it_refuses() {
    let log = log();
    let outside = || ServiceBuilder::new().layer(from_fn(authenticate)).layer(log.auditor.axum_layer());
    let inside = || ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(from_fn(authenticate));
    for (app, request) in [
        (routes().layer(outside()), with_a_key()),
        (routes().layer(outside()), to("/tasks")),
        (routes().layer(inside()), with_a_key()),
        (routes().layer(inside()), to("/tasks")),
    ] {
        ask(app, request).await;
    }
    let listed = |actor| routed("/tasks", json!({ "actor": actor, "response": { "bytes": LIST.len() } }));
    let refused = expected::with(
        failed("warn", "completed", "Unauthorized", "401 Unauthorized"),
        json!({ "response": { "status": 401 } }),
    );
    assert_eq!(
        log.records(3).await,
        [
            listed(json!({})),
            listed(json!({ "actorId": "user:default/jane", "kind": "user" })),
            routed("/tasks", refused),
        ]
    );
}

/// Warnings of this library, of all tests of this process: by the event that they name.
static WARNINGS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

struct Warnings;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target() == "tower_audit" && *event.metadata().level() == tracing::Level::WARN {
            WARNINGS
                .lock()
                .unwrap()
                .push((fields.0.remove("event").unwrap_or_default(), fields.0.remove("header").unwrap_or_default()));
        }
    }
}

#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

#[tokio::test]
async fn authentication_outside_is_reported_once() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| tracing_subscriber::registry().with(Warnings).init());
    for (name, is_outside, count) in [("Outside", true, 1), ("Inside", false, 0)] {
        let log = log_of([Event::new(name).on(Method::GET, "/tasks")]);
        let (auth, audit) = (from_fn(authenticate), log.auditor.axum_layer());
        let app = if is_outside {
            routes().layer(ServiceBuilder::new().layer(auth).layer(audit))
        } else {
            routes().layer(ServiceBuilder::new().layer(audit).layer(auth))
        };
        let by_cookie = Request::get("/tasks").header(header::COOKIE, "seen=1").body(Body::empty()).unwrap();
        for request in [by_cookie, to("/tasks"), with_a_key(), with_a_key()] {
            ask(app.clone(), request).await;
        }
        log.records(if is_outside { 2 } else { 4 }).await;
        let warned: Vec<_> = WARNINGS.lock().unwrap().iter().filter(|(event, _)| event == name).cloned().collect();
        assert_eq!(warned, vec![(name.to_owned(), "authorization".to_owned()); count]);
    }
}

#[tokio::test]
async fn a_resolver_finds_what_authentication_outside_has_left_in_the_extensions() {
    let resolver = tower_audit::resolver::extension(|user: &User| user.0.clone());
    let log = common::log_with(|builder| builder.actor_resolver(resolver));
    let outside = ServiceBuilder::new().layer(from_fn(authenticate)).layer(log.auditor.axum_layer());
    ask(routes().layer(outside), with_a_key()).await;
    assert_eq!(log.only().await["actor"], json!({ "actorId": "user:default/jane", "kind": "user" }));
}

#[tokio::test]
async fn from_fn_middleware_inside_can_set_anything() {
    async fn note(audit: Audit, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        audit.meta("answered", response.status().as_u16());
        response
    }
    let log = log();
    let stack = ServiceBuilder::new()
        .layer(from_fn(async |request, next: Next| next.run(request).await))
        .layer(log.auditor.axum_layer())
        .layer(from_fn(note));
    ask(routes().layer(stack), to("/api/7")).await;
    assert_eq!(log.only().await["meta"], json!({ "answered": 200 }));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_recorded_inside() {
    let log = log_of(events());
    let large = "x".repeat(100);
    let declared = |stack_has_limit_outside: bool, log: &Log| {
        let limit = RequestBodyLimitLayer::new(10);
        if stack_has_limit_outside {
            routes().layer(ServiceBuilder::new().layer(limit).layer(log.auditor.axum_layer()))
        } else {
            routes().layer(ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(limit))
        }
    };
    let request = |body: &str| {
        Request::post("/tasks").header(header::CONTENT_LENGTH, body.len()).body(Body::from(body.to_owned())).unwrap()
    };
    let streamed = || {
        let frames = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(large.clone()))]);
        Request::post("/tasks").body(Body::from_stream(frames)).unwrap()
    };
    for (outside, request) in
        [(true, request(&large)), (false, request(&large)), (true, streamed()), (false, streamed())]
    {
        assert_eq!(ask(declared(outside, &log), request).await.status(), 413);
    }
    let records = log.records(3).await;
    let told: Vec<_> = records
        .iter()
        .map(|record| (record["response"]["status"].clone(), record["request"]["bodyOmitted"]["reason"].clone()))
        .collect();
    assert_eq!(told, ["unread", "failed", "unread"].map(|reason| (json!(413), json!(reason))));
}

#[tokio::test]
async fn the_default_body_limit_is_the_same_outside_and_inside() {
    let log = log_of(events());
    let limit = || axum::extract::DefaultBodyLimit::max(10);
    let outside = ServiceBuilder::new().layer(limit()).layer(log.auditor.axum_layer());
    let inside = ServiceBuilder::new().layer(log.auditor.axum_layer()).layer(limit());
    // The first frame is too large, so the second one is not read.
    let frames = || futures_util::stream::iter(["x".repeat(100), "y".to_owned()].map(Ok::<_, Infallible>));
    for app in [routes().layer(outside), routes().layer(inside)] {
        let request = Request::post("/tasks").body(Body::from_stream(frames())).unwrap();
        assert_eq!(ask(app, request).await.status(), 413);
    }
    for record in log.records(2).await {
        assert_eq!(record["response"]["status"], 413);
        assert_eq!(record["request"]["bodyOmitted"]["reason"], "unread");
    }
}

#[tokio::test]
async fn option_layer_takes_the_audit_layer() {
    for (is_on, count) in [(true, 1), (false, 0)] {
        let log = log();
        let stack = ServiceBuilder::new()
            .option_layer(is_on.then(|| log.auditor.axum_layer()))
            .option_layer(Some(CorsLayer::permissive()))
            .option_layer(None::<TimeoutLayer>)
            .layer(from_fn(async |request, next: Next| next.run(request).await));
        assert_eq!(ask(routes().layer(stack), to("/tasks")).await.body(), LIST);
        assert_eq!(log.records(count).await.len(), count);
    }
}

/// A body that ends long after its head is recorded to its end, through the box.
#[tokio::test]
async fn a_response_that_streams_is_recorded_when_it_has_ended() {
    let log = log();
    let chunks = async || {
        let frames = futures_util::stream::iter(["one", "two"].map(|text| Ok::<_, Infallible>(Bytes::from(text))));
        Body::from_stream(frames)
    };
    let app = Router::new().route("/", get(chunks)).layer(log.auditor.axum_layer());
    let mut body = app.oneshot(to("/")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(log.records(0).await, [Value::Null; 0]);
    drop(body);
    let record = log.only().await;
    assert_eq!(
        (&record["outcome"], &record["meta"]["abortedAt"], &record["response"]["bytes"]),
        (&json!("aborted"), &json!("body"), &json!(3))
    );
}
