//! Where the end of a response lies: at its head, after so many bytes, with its trailers, when its client goes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::Body;
use axum::response::sse::{Event as Sse, Sse as EventStream};
use axum::routing::get;
use bytes::Bytes;
use common::bodies::{self, BoxError, FedBody, data, of, trailers};
use common::net::{self, Raw, ask, head, serve, serve_tower};
use common::{expected, failed, log, log_of, record};
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{ServiceBuilder, service_fn};
use tower_audit::{Audit, Event};

/// Serves one answer, made anew for each request.
macro_rules! serve_answer {
    ($log:expr, $answer:expr) => {{
        let answers = service_fn(move |_: Request<tower_audit::RequestBody<hyper::body::Incoming>>| {
            std::future::ready(Ok::<_, BoxError>($answer))
        });
        serve_tower(ServiceBuilder::new().layer($log.auditor.layer()).service(answers)).await
    }};
}

fn aborted_in_the_body() -> Value {
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    expected::with(failure, json!({ "meta": { "abortedAt": "body" } }))
}

// ---- at the head

#[tokio::test]
async fn an_answer_to_head_ends_at_its_head() {
    let log = log();
    let app = Router::new().route("/", get(async || "hello"));
    let address = serve(log.auditor.wrap_router(app)).await;
    assert!(ask(address, head("HEAD", "/")).await.contains("content-length: 5"));
    assert_eq!(log.only().await, record(json!({ "request": { "method": "HEAD" } })));
}

#[tokio::test]
async fn answers_without_content_end_at_their_head() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let log = log();
        let address = serve_answer!(log, {
            // hyper drops such a body unpolled.
            let mut answer = Response::new(of([data("never sent")]));
            *answer.status_mut() = status;
            answer
        });
        net::get(address, "/").await;
        assert_eq!(log.only().await, record(json!({ "response": { "status": status.as_u16() } })));
    }
}

#[tokio::test]
async fn an_answer_with_an_empty_body_ends_at_its_head() {
    let log = log();
    let address = serve_answer!(log, Response::new(Empty::<Bytes>::new()));
    net::get(address, "/").await;
    assert_eq!(log.only().await, record(json!({})));
}

#[tokio::test]
async fn a_connection_that_is_handed_over_is_upgraded() {
    let log = log();
    let service = service_fn(async |request: Request<_>| {
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut word = [0; 4];
            io.read_exact(&mut word).await.unwrap();
            io.write_all(&word).await.unwrap();
        });
        let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        Ok::<_, BoxError>(answer.header("connection", "upgrade").header("upgrade", "echo").body(Empty::<Bytes>::new())?)
    });
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(service)).await;
    let mut client =
        Raw::sending(address, "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            .await;
    client.until("\r\n\r\n").await;
    // The record is there while the connection lives on.
    assert_eq!(log.only().await, record(json!({ "outcome": "upgraded", "response": { "status": 101 } })));
    client.send("ping").await;
    assert_eq!(client.rest().await, "ping");
}

#[tokio::test]
async fn a_tunnel_is_upgraded() {
    let log = log();
    let service = service_fn(async |request: Request<_>| {
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            io.write_all(b"through").await.unwrap();
        });
        Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new()))
    });
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(service)).await;
    let answer = ask(address, "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nthrough"), "{answer}");
    let got = log.only().await;
    let request = json!({ "method": "CONNECT", "url": got["request"]["url"] });
    let actor = json!({ "hostname": "example.com" });
    let expected = json!({ "outcome": "upgraded", "actor": actor, "request": request, "message": got["message"] });
    assert_eq!(got, record(expected));
}

#[tokio::test]
async fn a_tunnel_that_is_refused_is_an_answer() {
    let log = log();
    let address = serve(log.auditor.wrap_router(Router::new())).await;
    let answer =
        ask(address, "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let got = log.only().await;
    assert_eq!((&got["outcome"], &got["status"]), (&json!("completed"), &json!("failed")));
}

// ---- after its bytes

#[tokio::test]
async fn a_length_by_hand_ends_with_its_last_byte() {
    let log = log();
    let address = serve_answer!(log, {
        // The stream itself stays open: only the header says that this is all.
        let (feed, body) = bodies::fed();
        feed.send(data("hel")).unwrap();
        feed.send(data("lo")).unwrap();
        let open = tokio::spawn(async move { feed.closed().await });
        drop(open);
        let mut answer = Response::new(body);
        answer.headers_mut().insert(header::CONTENT_LENGTH, 5.into());
        answer
    });
    let mut client = Raw::sending(address, head("GET", "/")).await;
    client.until("hello").await;
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 } })));
}

#[tokio::test]
async fn a_length_by_size_hint_ends_with_its_last_byte() {
    let log = log();
    let address = serve_answer!(log, Response::new(Full::new(Bytes::from_static(b"hello"))));
    let mut client = Raw::sending(address, "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
    client.until("hello").await;
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 } })));
}

#[tokio::test]
async fn a_client_that_goes_after_the_last_byte_has_a_completed_answer() {
    let log = log();
    let (feed, body) = bodies::fed();
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let service = service_fn(move |_: Request<_>| {
        let mut answer = Response::new(body.lock().unwrap().take().unwrap());
        answer.headers_mut().insert(header::CONTENT_LENGTH, 5.into());
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(service)).await;
    let mut client = Raw::sending(address, "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
    feed.send(data("hello")).unwrap();
    client.until("hello").await;
    drop(client);
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 } })));
}

// ---- at the end of its stream

#[tokio::test]
async fn a_chunked_answer_ends_with_its_stream() {
    let log = log();
    let address = serve_answer!(log, Response::new(of([data("hel"), data("lo")])));
    assert!(net::get(address, "/").await.ends_with("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"));
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 } })));
}

#[tokio::test]
async fn an_answer_with_trailers_ends_with_them() {
    let log = log();
    let address = serve_answer!(log, {
        let (feed, body) = bodies::fed();
        feed.send(data("hello")).ok();
        feed.send(trailers("x-sum", "5")).ok();
        let mut answer = Response::new(body);
        answer.headers_mut().insert(header::TRAILER, http::HeaderValue::from_static("x-sum"));
        answer
    });
    let request = "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nte: trailers\r\nconnection: close\r\n\r\n";
    assert!(ask(address, request).await.ends_with("0\r\nx-sum: 5\r\n\r\n"));
    assert_eq!(log.only().await, record(json!({ "response": { "bytes": 5 } })));
}

#[tokio::test]
async fn a_stream_that_fails_is_a_body_error() {
    let log = log();
    let address = serve_answer!(log, Response::new(of([data("half"), Err("disk on fire".into())])));
    assert!(!net::get(address, "/").await.ends_with("0\r\n\r\n"), "it must not look whole");
    let failure = failed("error", "body_error", "BodyError", "the response's stream failed");
    assert_eq!(log.only().await, record(expected::with(failure, json!({ "response": { "bytes": 4 } }))));
}

// ---- when its client goes

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_the_body_aborts_it() {
    let log = log();
    let (feed, body) = bodies::fed();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let app =
        Router::new().route("/", get(move || std::future::ready(Body::new(body.lock().unwrap().take().unwrap()))));
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = Raw::sending(address, head("GET", "/")).await;
    feed.send(data("half")).unwrap();
    client.until("half").await;
    drop(client);
    feed.closed().await;
    assert_eq!(log.only().await, record(expected::with(aborted_in_the_body(), json!({ "response": { "bytes": 4 } }))));
}

fn events() -> (tokio::sync::mpsc::UnboundedSender<Sse>, Router) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let receive = std::sync::Arc::new(std::sync::Mutex::new(Some(receive)));
    let app = Router::new().route(
        "/events",
        get(move |audit: Audit| {
            audit.meta("taskId", "7");
            let events = UnboundedReceiverStream::new(receive.lock().unwrap().take().unwrap());
            std::future::ready(EventStream::new(events.map(Ok::<_, BoxError>)))
        }),
    );
    (send, app)
}

#[tokio::test]
async fn an_event_stream_that_its_client_ends_is_completed() {
    let log = log_of([Event::new("TaskStream").on(Method::GET, "/events").client_ends_stream()]);
    let (send, app) = events();
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = Raw::sending(address, head("GET", "/events")).await;
    send.send(Sse::default().data("one")).unwrap();
    client.until("data: one\n\n").await;
    drop(client);
    send.closed().await;
    let expected = json!({
        "eventName": "TaskStream",
        "response": { "bytes": 11 },
        "request": { "url": "/events", "route": "/events" },
        "meta": { "taskId": "7" },
    });
    assert_eq!(log.only().await, record(expected));
}

#[tokio::test]
async fn an_event_stream_that_its_server_should_end_is_aborted() {
    let log = log_of([Event::new("TaskStream").on(Method::GET, "/events")]);
    let (send, app) = events();
    let address = serve(log.auditor.wrap_router(app)).await;
    let mut client = Raw::sending(address, head("GET", "/events")).await;
    send.send(Sse::default().data("one")).unwrap();
    client.until("data: one\n\n").await;
    drop(client);
    send.closed().await;
    let more = json!({
        "eventName": "TaskStream",
        "response": { "bytes": 11 },
        "request": { "url": "/events", "route": "/events" },
        "meta": { "taskId": "7" },
    });
    assert_eq!(log.only().await, record(expected::with(aborted_in_the_body(), more)));
}

#[tokio::test]
async fn a_stream_that_its_client_should_end_is_aborted_before_it_began() {
    let log = log_of([Event::new("TaskStream").on(Method::GET, "/events").client_ends_stream()]);
    let (entered, inside) = tokio::sync::oneshot::channel();
    let entered = std::sync::Mutex::new(Some(entered));
    let entered = std::sync::Arc::new(entered);
    let app = Router::new().route(
        "/events",
        get(async move || {
            entered.lock().unwrap().take().unwrap().send(()).unwrap();
            std::future::pending::<()>().await;
        }),
    );
    let address = serve(log.auditor.wrap_router(app)).await;
    let client = Raw::sending(address, head("GET", "/events")).await;
    inside.await.unwrap();
    drop(client);
    let got = log.only().await;
    assert_eq!((&got["outcome"], &got["meta"]), (&json!("aborted"), &json!({ "abortedAt": "head" })));
}

// ---- gRPC

async fn grpc(log: &common::Log, answer: fn() -> Response<FedBody>) -> http::HeaderMap {
    let address = serve_answer!(log, answer());
    let mut client = net::http2::<Empty<Bytes>>(address).await;
    let request = Request::post(format!("http://{address}/svc/Method")).body(Empty::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    let mut all = answer.headers().clone();
    all.extend(answer.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default());
    all
}

const GRPC: http::HeaderValue = http::HeaderValue::from_static("application/grpc");

fn grpc_record(patch: Value) -> Value {
    record(expected::with(
        json!({ "request": { "method": "POST", "url": "/svc/Method", "protocol": "HTTP/2" } }),
        patch,
    ))
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_decides() {
    let log = log();
    let all = grpc(&log, || {
        let mut answer = Response::new(of([data("message"), trailers("grpc-status", "5")]));
        answer.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        answer.headers_mut().insert(header::CONTENT_LENGTH, 7.into());
        answer
    });
    assert_eq!(all.await["grpc-status"], "5");
    let failure = failed("warn", "completed", "NOT_FOUND", "grpc-status 5");
    assert_eq!(log.only().await, grpc_record(expected::with(failure, json!({ "response": { "bytes": 7 } }))));
}

#[tokio::test]
async fn a_grpc_status_of_zero_has_succeeded() {
    let log = log();
    let all = grpc(&log, || {
        let mut answer = Response::new(of([data("message"), trailers("grpc-status", "0")]));
        answer.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        answer
    });
    assert_eq!(all.await["grpc-status"], "0");
    assert_eq!(log.only().await, grpc_record(json!({ "response": { "bytes": 7 } })));
}

#[tokio::test]
async fn a_grpc_answer_of_trailers_only_decides_by_its_head() {
    let log = log();
    let all = grpc(&log, || {
        let mut answer = Response::new(of([]));
        answer.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        answer.headers_mut().insert("grpc-status", http::HeaderValue::from_static("7"));
        answer
    });
    assert_eq!(all.await["grpc-status"], "7");
    let failure = failed("warn", "completed", "PERMISSION_DENIED", "grpc-status 7");
    assert_eq!(log.only().await, grpc_record(failure));
}
