//! What of a request and its response stands on the record, without holding anything up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::routing::{any, get, post};
use bytes::Bytes;
use common::bodies::{self, BoxError, FedBody, data, of};
use common::net::{self, ask, head, serve};
use common::{DEADLINE, expected, failed, log, log_of, log_with, record};
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_audit::{Actor, Audit, Bodies, Event, RequestBody, Stages};

fn tasks() -> Event {
    Event::new("Task").on(Method::POST, "/tasks").bodies(Bodies::Both)
}

/// A whole record of `POST /tasks`.
fn task(patch: Value) -> Value {
    let base = json!({ "eventName": "Task", "request": { "method": "POST", "url": "/tasks", "route": "/tasks" } });
    record(expected::with(base, patch))
}

/// The same of a request that came over no connection.
fn in_memory(patch: Value) -> Value {
    task(expected::with(json!({ "actor": { "ip": null, "port": null, "hostname": null } }), patch))
}

/// A router that reads what it gets and answers with the same.
fn echo() -> Router {
    Router::new().route(
        "/tasks",
        post(async |request: AxumRequest| {
            let kind = request.headers().get("content-type").cloned();
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let mut answer = Response::new(Body::from(bytes));
            answer.headers_mut().extend(kind.map(|kind| (http::header::CONTENT_TYPE, kind)));
            answer
        }),
    )
}

async fn echoed(content_type: &str, body: &str) -> Value {
    let log = log_of([tasks()]);
    let address = serve(log.auditor.wrap_router(echo())).await;
    assert!(ask(address, net::post("/tasks", content_type, body)).await.ends_with(body));
    log.only().await
}

// ---- bodies

#[tokio::test]
async fn json_appears_as_json_with_its_order_and_its_digits() {
    let log = log_of([tasks()]);
    let address = serve(log.auditor.wrap_router(echo())).await;
    let body = r#"{"z":1.50,"a":[1e-300,-0,12345678901234567890],"deep":{"ok":null}}"#;
    ask(address, net::post("/tasks", "application/json", body)).await;
    log.only().await;
    // As text, because a parser would lose what is to be seen here.
    let (_, written) = log.begin_stop();
    assert_eq!(written.text().matches(&format!("\"body\":{body}")).count(), 2);
}

#[tokio::test]
async fn a_form_appears_as_an_object() {
    let got = echoed("application/x-www-form-urlencoded", "a=1&b=two+words&a=%32").await;
    let body = json!({ "a": ["1", "2"], "b": "two words" });
    assert_eq!(got, task(json!({ "response": { "bytes": 21, "body": body }, "request": { "body": body } })));
}

#[tokio::test]
async fn other_bodies_are_left_out_with_their_reason() {
    for (content_type, reason) in [
        ("text/plain", "text"),
        ("image/png", "binary"),
        ("application/x-unheard-of", "unsupported"),
        ("application/json", "invalid"),
    ] {
        let got = echoed(content_type, "not json").await;
        let omitted = json!({ "reason": reason, "contentType": content_type, "bytes": 8 });
        assert_eq!(
            got,
            task(json!({ "response": { "bytes": 8, "bodyOmitted": omitted }, "request": { "bodyOmitted": omitted } }))
        );
    }
}

#[tokio::test]
async fn an_encoded_body_is_left_out() {
    let log = log_of([tasks()]);
    let address = serve(log.auditor.wrap_router(echo())).await;
    let request = "POST /tasks HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
                   content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    ask(address, request).await;
    let omitted = json!({ "reason": "encoded", "contentType": "application/json", "bytes": 2 });
    let answer = json!({ "bytes": 2, "body": {} });
    assert_eq!(log.only().await, task(json!({ "response": answer, "request": { "bodyOmitted": omitted } })));
}

#[tokio::test]
async fn by_default_an_event_shows_what_was_sent_and_not_what_was_answered() {
    let log = log_of([Event::new("Task").on(Method::POST, "/tasks")]);
    let address = serve(log.auditor.wrap_router(echo())).await;
    ask(address, net::post("/tasks", "application/json", "{\"a\":1}")).await;
    assert_eq!(log.only().await, task(json!({ "response": { "bytes": 7 }, "request": { "body": { "a": 1 } } })));
}

#[tokio::test]
async fn a_body_beyond_the_cap_shows_its_beginning_and_its_whole_size() {
    let log = log_with(|builder| builder.catalog(tower_audit::Catalog::new().event(tasks())).max_body_bytes(32));
    let address = serve(log.auditor.wrap_router(echo())).await;
    let body = r#"{"first":"kept","second":"this one does not fit any more"}"#;
    assert!(ask(address, net::post("/tasks", "application/json", body)).await.ends_with(body));
    let omitted = json!({ "reason": "truncated", "contentType": "application/json", "bytes": body.len() });
    let shown = json!({ "bodyOmitted": omitted, "body": { "first": "kept" } });
    let answer = expected::with(json!({ "bytes": body.len() }), shown.clone());
    assert_eq!(log.only().await, task(json!({ "response": answer, "request": shown })));
}

#[tokio::test]
async fn white_space_between_tokens_does_not_count_against_the_cap() {
    let items: Vec<u32> = (0..1500).collect();
    let pretty = serde_json::to_string_pretty(&items).unwrap().replace("\n  ", "\n                    ");
    assert!(pretty.len() > 2 * 16 * 1024);
    let log = log_of([Event::new("Task").on(Method::POST, "/tasks")]);
    let address = serve(log.auditor.wrap_router(echo())).await;
    ask(address, net::post("/tasks", "application/json", &pretty)).await;
    let expected = json!({ "response": { "bytes": pretty.len() }, "request": { "body": items } });
    assert_eq!(log.only().await, task(expected));
}

#[tokio::test]
async fn a_body_of_many_megabytes_passes_unharmed_and_is_cut_in_the_record() {
    let log = log_of([Event::new("Task").on(Method::POST, "/tasks")]);
    let app = echo().layer(axum::extract::DefaultBodyLimit::disable());
    let service = log.auditor.wrap_router(app).into_service();
    let body: String = format!("[\"{}\"", "x".repeat(90)) + &",\"yyyyyyyy\"".repeat(400_000) + "]";
    let request = Request::post("/tasks").header("content-type", "application/json").body(Body::from(body.clone()));
    let answer = service.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body.as_bytes());
    let got = log.only().await;
    assert_eq!(got["request"]["bodyOmitted"]["bytes"], body.len());
    assert_eq!(got["request"]["body"][1], "yyyyyyyy");
}

// ---- streaming

type Fed = Request<RequestBody<FedBody>>;

#[tokio::test]
async fn no_frame_of_a_request_waits_for_the_next() {
    let log = log_of([tasks()]);
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let handler = service_fn(move |request: Fed| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                seen.send(frame?.into_data().unwrap()).unwrap();
            }
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let (feed, body) = bodies::fed();
    let request = Request::post("/tasks").header("content-type", "application/json").body(body).unwrap();
    let answer = tokio::spawn(ServiceBuilder::new().layer(log.auditor.layer()).service(handler).oneshot(request));
    for part in ["{\"a\":", "1", "}"] {
        feed.send(data(part)).unwrap();
        // Before the next one is sent.
        assert_eq!(tokio::time::timeout(DEADLINE, saw.recv()).await.unwrap().unwrap(), part);
    }
    drop(feed);
    answer.await.unwrap().unwrap();
    assert_eq!(log.only().await, in_memory(json!({ "request": { "body": { "a": 1 } } })));
}

#[tokio::test]
async fn no_frame_of_a_response_waits_for_the_next() {
    let log = log_of([tasks()]);
    let (feed, body) = bodies::fed();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let handler = service_fn(move |_: Request<RequestBody<FedBody>>| {
        let mut answer = Response::new(body.lock().unwrap().take().unwrap());
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    let request = Request::post("/tasks").body(of([])).unwrap();
    let answer = ServiceBuilder::new().layer(log.auditor.layer()).service(handler).oneshot(request).await.unwrap();
    let mut got = answer.into_body();
    for part in ["{\"a\":", "1", "}"] {
        feed.send(data(part)).unwrap();
        let frame = tokio::time::timeout(DEADLINE, got.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(feed);
    assert!(got.frame().await.is_none());
    // Nobody read the request's body, though it was empty.
    let omitted = json!({ "reason": "unread", "bytes": 0 });
    let expected = json!({ "response": { "bytes": 7, "body": { "a": 1 } }, "request": { "bodyOmitted": omitted } });
    assert_eq!(log.only().await, in_memory(expected));
}

async fn posted<F>(body: FedBody, handler: fn(RequestBody<FedBody>) -> F) -> Value
where
    F: Future<Output = ()>,
{
    let log = log_of([tasks()]);
    let service = service_fn(move |request: Fed| async move {
        handler(request.into_body()).await;
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::post("/tasks").header("content-type", "application/json").body(body).unwrap();
    ServiceBuilder::new().layer(log.auditor.layer()).service(service).oneshot(request).await.unwrap();
    log.only().await
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_unread() {
    let got = posted(of([data("{\"a\":1}")]), |_body| std::future::ready(())).await;
    let omitted = json!({ "reason": "unread", "contentType": "application/json", "bytes": 0 });
    assert_eq!(got, in_memory(json!({ "request": { "bodyOmitted": omitted } })));
}

#[tokio::test]
async fn a_body_that_is_read_in_part_shows_that_part_as_unread() {
    async fn read_one(mut body: RequestBody<FedBody>) {
        body.frame().await.unwrap().unwrap();
    }
    let got = posted(of([data("{\"a\":1,"), data("\"b\":2}")]), read_one).await;
    let omitted = json!({ "reason": "unread", "contentType": "application/json", "bytes": 7 });
    assert_eq!(got, in_memory(json!({ "request": { "bodyOmitted": omitted, "body": { "a": 1 } } })));
}

#[tokio::test]
async fn a_body_that_fails_shows_what_came_as_failed() {
    async fn read_all(body: RequestBody<FedBody>) {
        assert!(body.collect().await.is_err());
    }
    let got = posted(of([data("{\"a\":1,"), Err("reset".into())]), read_all).await;
    let omitted = json!({ "reason": "failed", "contentType": "application/json", "bytes": 7 });
    assert_eq!(got, in_memory(json!({ "request": { "bodyOmitted": omitted, "body": { "a": 1 } } })));
}

// ---- strangers

#[tokio::test]
async fn refused_strangers_show_no_bodies_and_known_actors_do() {
    let app = Router::new().route(
        "/tasks",
        post(async |audit: Audit, request: AxumRequest| {
            let code = request.headers()["x-code"].to_str().unwrap().parse().unwrap();
            if request.headers().contains_key("x-user") {
                audit.actor(Actor::user("jane"));
            }
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], bytes)
        }),
    );
    for (code, user, event, shown) in [
        (401, "", tasks(), false),
        (403, "", tasks(), false),
        (404, "", tasks(), false),
        (405, "", tasks(), false),
        (429, "", tasks(), false),
        (400, "", tasks(), true),
        (403, "x-user: 1\r\n", tasks(), true),
        (403, "", tasks().unauthenticated_bodies(), true),
    ] {
        let log = log_of([event]);
        let address = serve(log.auditor.wrap_router(app.clone())).await;
        let request = format!(
            "POST /tasks HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nx-code: {code}\r\n{user}\
             content-type: application/json\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}"
        );
        ask(address, request).await;
        let got = log.only().await;
        assert_eq!(got["response"]["status"], code);
        for side in ["request", "response"] {
            assert_eq!(got[side].get("body").is_some(), shown, "{code} {user}: {got}");
            assert_eq!(got[side].get("bodyOmitted"), None);
        }
    }
}

// ---- routes, urls, headers

#[tokio::test]
async fn head_takes_the_event_of_get_unless_it_has_its_own() {
    let log = log_of([
        Event::new("Fetch").on(Method::GET, "/a").on(Method::GET, "/b"),
        Event::new("Probe").on(Method::HEAD, "/b"),
    ]);
    let app = Router::new().route("/a", get(async || "a")).route("/b", get(async || "b"));
    let address = serve(log.auditor.wrap_router(app)).await;
    ask(address, head("HEAD", "/a")).await;
    ask(address, head("HEAD", "/b")).await;
    let fetch = json!({ "eventName": "Fetch", "request": { "method": "HEAD", "url": "/a", "route": "/a" } });
    let probe = json!({ "eventName": "Probe", "request": { "method": "HEAD", "url": "/b", "route": "/b" } });
    assert_eq!(log.records(2).await, [record(fetch), record(probe)]);
}

#[tokio::test]
async fn params_and_query_are_decoded_and_the_url_is_as_sent() {
    let log = log_of([Event::new("Fetch").on(Method::GET, "/files/{name}/{*rest}")]);
    let address = serve(log.auditor.wrap_router(Router::new().fallback(any(async || ())))).await;
    let url = "/files/a%20b%FF/x%2Fy/z?q=1&q=%C3%A4&empty&plus=a+b&bad=%FF";
    net::get(address, url).await;
    let expected = json!({
        "eventName": "Fetch",
        "request": {
            "url": url,
            "route": "/files/{name}/{*rest}",
            "params": { "name": "a b\u{fffd}", "rest": "x/y/z" },
            "query": { "q": ["1", "ä"], "empty": "", "plus": "a b", "bad": "\u{fffd}" },
        },
    });
    assert_eq!(log.only().await, record(expected));
}

#[tokio::test]
async fn what_a_client_can_make_long_is_capped() {
    let log = log();
    let address = serve(log.auditor.wrap_router(Router::new().fallback(any(async || ())))).await;
    let long = "x".repeat(8 * 1024);
    // Half a word could be half a secret: these are cut between words.
    let (words, segments) = ("agent ".repeat(2000), "https://a.example/".to_owned() + &"segment/".repeat(1000));
    let request = format!(
        "GET /{long} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nuser-agent: {words}\r\nreferer: {segments}\r\n\r\n"
    );
    ask(address, request).await;
    let got = log.only().await;
    let length = |pointer: &str| got.pointer(pointer).and_then(Value::as_str).unwrap().len();
    assert!(length("/request/url") <= 4 * 1024 + 3, "{}", length("/request/url"));
    assert!((500..=512).contains(&length("/actor/client")), "{}", length("/actor/client"));
    assert!((500..=512).contains(&length("/request/referer")), "{}", length("/request/referer"));
    assert!(got["request"]["url"].as_str().unwrap().starts_with("/xxx"));
    assert_eq!(got["meta"]["shortened"], json!(["url"]));
}

#[tokio::test]
async fn a_path_and_a_query_that_are_too_long_together_are_named_as_shortened() {
    let (path, query) = ("p".repeat(3 * 1024), "q".repeat(1024));
    for (uri, whole) in [(format!("/{path}?{query}"), false), (format!("/{path}?{}", &query[3..]), true)] {
        let log = log();
        let service = log.auditor.wrap_router(Router::new().fallback(any(async || ()))).into_service();
        service.oneshot(Request::get(&uri).body(Body::empty()).unwrap()).await.unwrap();
        let got = log.only().await;
        assert_eq!(got["request"]["url"], uri[..4 * 1024 - usize::from(whole)], "{whole}");
        assert_eq!(got["request"]["query"], json!({ uri.split_once('?').unwrap().1: "" }));
        assert_eq!(got["meta"]["shortened"], if whole { Value::Null } else { json!(["url"]) });
    }
}

#[tokio::test]
async fn ids_and_asked_for_headers_stand_on_the_record() {
    let log = log_with(|builder| {
        builder.show_headers([HeaderName::from_static("accept"), HeaderName::from_static("authorization")])
    });
    let address = serve(log.auditor.wrap_router(Router::new().route("/", get(async || ())))).await;
    let request = "GET / HTTP/1.1\r\nhost: api.example:8080\r\nconnection: close\r\nuser-agent: curl/8\r\n\
                   referer: https://a.example/\r\naccept: text/html\r\nauthorization: Bearer abcdefgh\r\n\
                   x-request-id: r-17\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    ask(address, request).await;
    let expected = json!({
        "requestId": "r-17",
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7",
        "actor": { "hostname": "api.example", "client": "curl/8" },
        "request": {
            "referer": "https://a.example/",
            "headers": { "accept": "text/html", "authorization": "***" },
        },
    });
    assert_eq!(log.only().await, record(expected));
}

#[tokio::test]
async fn the_audit_id_is_returned_when_a_setting_asks_and_never_taken_from_the_client() {
    let log = log_with(|builder| builder.audit_id_header(true));
    let address = serve(log.auditor.wrap_router(Router::new().route("/", get(async || ())))).await;
    let theirs = "00000000-0000-7000-8000-00000000ffff";
    let request = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\naudit-id: {theirs}\r\n\r\n");
    let answer = ask(address, request).await;
    log.only().await;
    let lines = log.all().await;
    let ours = lines.iter().find(|line| line["eventName"] == "HttpRequest").unwrap()["auditId"].as_str().unwrap();
    assert_ne!(ours, theirs);
    assert!(answer.contains(&format!("audit-id: {ours}\r\n")), "{answer}");

    let log = common::log();
    let address = serve(log.auditor.wrap_router(Router::new().route("/", get(async || ())))).await;
    assert!(!net::get(address, "/").await.to_lowercase().contains("audit-id"));
}

// ---- initiation

#[tokio::test]
async fn an_initiation_is_written_when_body_and_actor_are_known_with_the_time_of_arrival() {
    let log = log_of([tasks().stages(Stages::Both)]);
    let (named, go) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel::<()>());
    let (say, go) = (std::sync::Arc::new(std::sync::Mutex::new(Some(named.0))), (go.0, go.1));
    let wait = std::sync::Arc::new(std::sync::Mutex::new(Some(go.1)));
    let clock = log.clock.clone();
    let app = Router::new().route(
        "/tasks",
        post(async move |audit: Audit, _body: Bytes| {
            clock.advance(Duration::from_secs(1));
            audit.actor(Actor::user("jane"));
            say.lock().unwrap().take().unwrap().send(()).unwrap();
            let wait = wait.lock().unwrap().take().unwrap();
            wait.await.unwrap();
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = net::Raw::sending(address, net::post("/tasks", "application/json", "{\"a\":1}")).await;
    named.1.await.unwrap();
    // It is there while the handler still runs.
    let request = json!({ "route": "/tasks", "body": { "a": 1 } });
    let actor = json!({ "actorId": "jane", "kind": "user" });
    let first =
        json!({ "stage": "initiation", "outcome": null, "startedAt": null, "durationMs": null, "actor": actor });
    let mut first = task(expected::with(first, json!({ "request": request })));
    first.as_object_mut().unwrap().remove("response");
    assert_eq!(log.only().await, first);
    go.0.send(()).unwrap();
    client.until("\r\n\r\n").await;
    let times = json!({ "timestamp": "2026-11-20T07:55:38.720973Z", "durationMs": 1000.0 });
    let whole = task(expected::with(times, json!({ "actor": actor, "request": request })));
    assert_eq!(log.records(2).await, [first, whole]);
}

#[tokio::test]
async fn an_initiation_is_written_at_the_head_at_the_latest() {
    let log = log_of([tasks().stages(Stages::Both)]);
    let (feed, body) = bodies::fed();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let app = Router::new().route("/tasks", post(async move || Body::new(body.lock().unwrap().take().unwrap())));
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = net::Raw::sending(address, net::post("/tasks", "application/json", "{\"a\":1}")).await;
    client.until("\r\n\r\n").await;
    let first = log.only().await;
    assert_eq!(first["stage"], "initiation");
    // The handler answered without reading it.
    assert_eq!(first["request"]["bodyOmitted"]["reason"], "unread");
    drop(feed);
    client.rest().await;
    assert_eq!(log.records(2).await[1]["stage"], "completion");
}

#[tokio::test]
async fn an_exchange_that_is_dropped_has_its_initiation_before_its_completion() {
    let log = log_of([tasks().stages(Stages::Both)]);
    let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let handler = move || {
        began.send(()).unwrap();
        std::future::pending::<()>()
    };
    let app = Router::new().route("/tasks", post(handler));
    let address = serve(log.auditor.wrap_router(app)).await;
    let client = net::Raw::sending(address, net::post("/tasks", "application/json", "{\"a\":1}")).await;
    begun.recv().await.unwrap();
    drop(client);
    let records = log.records(2).await;
    assert_eq!((&records[0]["stage"], &records[0]["status"]), (&json!("initiation"), &json!("succeeded")));
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    assert_eq!(records[1]["errors"], failure["errors"]);
}

#[tokio::test]
async fn the_path_is_the_original_one_inside_a_nested_router() {
    let log = log_of([Event::new("Deep").on(Method::GET, "/api/v1/tasks/{id}")]);
    let inner = Router::new().route("/tasks/{id}", get(async || ())).layer(log.auditor.layer());
    let app = Router::new().nest("/api/v1", inner);
    let (listener, address) = net::listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    net::get(address, "/api/v1/tasks/7?x=1").await;
    let expected = json!({
        "eventName": "Deep",
        "actor": { "ip": null, "port": null },
        "request": {
            "url": "/api/v1/tasks/7?x=1",
            "route": "/api/v1/tasks/{id}",
            "params": { "id": "7" },
            "query": { "x": "1" },
        },
    });
    assert_eq!(log.only().await, record(expected));
}
