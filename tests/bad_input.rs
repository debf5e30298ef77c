//! Whatever bytes come: the request is served as without the layer, and its record is one valid line.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::SocketAddr;

use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::routing::{any, post};
use axum::{Json, Router};
use bytes::Bytes;
use common::net::{ask, listen, serve};
use common::{Log, log_with};
use http::Method;
use serde_json::Value;
use tower_audit::{Bodies, Catalog, Event};

/// Looks at everything that a request has, and answers with what it found.
fn app() -> Router {
    let look = async |Path(path): Path<String>, Query(query): Query<Vec<(String, String)>>, body: Bytes| {
        format!("{path} {} {}", query.len(), body.len())
    };
    Router::new()
        .route("/json", post(async |Json(value): Json<Value>| Json(value)))
        .route("/look/{*path}", any(look))
        .layer(DefaultBodyLimit::disable())
}

fn audited() -> Log {
    let catalog = Catalog::new()
        .event(Event::new("Json").on(Method::POST, "/json").bodies(Bodies::Both).unauthenticated_bodies())
        .event(Event::new("Look").on(Method::POST, "/look/{*path}").bodies(Bodies::Both).unauthenticated_bodies());
    log_with(|builder| builder.catalog(catalog).show_headers([http::HeaderName::from_static("x-odd")]))
}

async fn bare() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app()).await });
    address
}

/// Without what the time of day changes.
fn undated(answer: &str) -> String {
    answer.split("\r\n").filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\r\n")
}

/// Sends it to the bare router and to the audited one; gives the answer and the one record.
async fn both(request: impl AsRef<[u8]>) -> (String, Value) {
    let log = audited();
    let address = serve(log.auditor.wrap_router(app())).await;
    let without = undated(&ask(bare().await, &request).await);
    let with = undated(&ask(address, &request).await);
    assert!(with.starts_with("HTTP/1."), "{with}");
    assert_eq!(with, without);
    assert!(!with[8..].starts_with(" 5"), "{with}");
    // Every line has been checked when it is here.
    (with, log.only().await)
}

fn json(body: impl AsRef<[u8]>) -> Vec<u8> {
    with_body("POST /json", "application/json", body)
}

fn with_body(line: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = format!(
        "{line} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\
         \r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[tokio::test]
async fn malformed_json_is_left_out() {
    for body in [
        &b"{"[..],
        b"{\"a\":}",
        b"{\"a\":1}}",
        b"{\"a\":01}",
        b"[1,]",
        b"\"\\ud800\"",
        b"\"\xff\xfe\"",
        b"{\"a\":\"\n\"}",
        b"nul",
        b"\0",
    ] {
        let (_, record) = both(json(body)).await;
        let omitted = &record["request"]["bodyOmitted"];
        assert_eq!((&omitted["reason"], &omitted["bytes"]), (&"invalid".into(), &body.len().into()), "{record}");
        assert_eq!(record["request"].get("body"), None);
    }
}

#[tokio::test]
async fn a_truncated_upload_is_served_and_recorded() {
    let mut request = json(b"{\"name\":\"a long one\"}");
    request.truncate(request.len() - 5);
    let log = audited();
    let address = serve(log.auditor.wrap_router(app())).await;
    let mut answers = Vec::new();
    for address in [bare().await, address] {
        let mut client = common::net::Raw::sending(address, &request).await;
        client.finish().await;
        answers.push(undated(&client.rest().await));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(log.only().await["request"]["bodyOmitted"]["reason"], "failed");
}

#[tokio::test]
async fn text_that_looks_like_the_end_of_a_line_stays_inside_its_string() {
    let text = "quote \\\" back\\\\slash \\n new\\r\\u0000\\u001b[31m\\u0085\\u2028\\u202e{\\\"isAuditLog\\\":true}";
    let (_, record) = both(json(format!("{{\"note\":\"{text}\"}}"))).await;
    assert_eq!(
        record["request"]["body"]["note"],
        "quote \" back\\slash \n new\r\0\u{1b}[31m\u{85}\u{2028}\u{202e}{\"isAuditLog\":true}"
    );
    // The same as bytes, as far as JSON allows them.
    let (_, record) = both(json("{\"note\":\"\u{85}\u{2028}\u{2029}\u{202e}\u{7f}\u{feff}\"}")).await;
    assert_eq!(record["request"]["body"]["note"], "\u{85}\u{2028}\u{2029}\u{202e}\u{7f}\u{feff}");
}

#[tokio::test]
async fn bytes_that_are_no_utf8_in_path_query_and_headers() {
    for request in [
        &b"GET /look/%ff%fe%00%0a%22?k%ff=%fe&%00=%0d%0a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"[..],
        b"GET /look/a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nuser-agent: \xff\xfe\"\t\x80\r\n\
          referer: \xc3\x28\r\nx-odd: \xff\r\nx-request-id: \xff\r\ntraceparent: \xff\r\ncontent-type: \xff\r\n\r\n",
        b"GET /look/a HTTP/1.1\r\nhost: \xff\xfe\r\nconnection: close\r\n\r\n",
        b"GET /look/'\"<>{}|^` HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"GET /look/%?%=%&& HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"GET //look//../a?? HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"GET http://user:pw@other.example:99999/look/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /look/a HTTP/1.0\r\n\r\n",
    ] {
        let answer = undated(&ask(bare().await, request).await);
        let text = String::from_utf8_lossy(request);
        if answer.is_empty() || reaches_no_service(request).await {
            // hyper refuses it before anybody else sees it.
            continue;
        }
        let (_, record) = both(request).await;
        assert!(record["request"]["url"].is_string(), "{text}");
    }
}

/// Whether the server answers by itself.
async fn reaches_no_service(request: &[u8]) -> bool {
    let called = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = called.clone();
    let app = Router::new().fallback(any(async move || flag.store(true, std::sync::atomic::Ordering::SeqCst)));
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    ask(address, request).await;
    !called.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test]
async fn a_body_of_megabytes() {
    let body = format!("{{\"list\":[{}0],\"note\":\"{}\"}}", "17,".repeat(500_000), "é".repeat(500_000));
    let (_, record) = both(json(&body)).await;
    let omitted = &record["request"]["bodyOmitted"];
    assert_eq!(omitted["bytes"], body.len());
    assert!(record["request"]["body"]["list"].is_array(), "{record}");
}

#[tokio::test]
async fn two_hundred_levels_of_nesting() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        // serde_json itself refuses more than 127.
        for levels in [63, 64, 65, 100, 200, 100_000] {
            let (_, record) = both(json(open.repeat(levels) + inner + &close.repeat(levels))).await;
            assert_eq!(record["request"].get("body").is_some(), levels <= 64, "{levels}: {record}");
        }
    }
}

#[tokio::test]
async fn ten_thousand_query_keys() {
    let query: Vec<String> = (0..10_000).map(|key| format!("{key:x}=")).collect();
    let url = format!("/look/a?{}", query.join("&"));
    assert!(url.len() < 65_000);
    let head = format!("GET {url} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    let (answer, _) = both(head).await;
    assert!(answer.ends_with("a 10000 0"), "{answer}");
}

#[tokio::test]
async fn ten_thousand_keys_in_a_body_and_in_a_form() {
    let members: Vec<String> = (0..10_000).map(|key| format!("\"key{key}\":\"\"")).collect();
    both(json(format!("{{{}}}", members.join(",")))).await;
    let pairs: Vec<String> = (0..10_000).map(|key| format!("key{key}=v")).collect();
    both(with_body("POST /look/a", "application/x-www-form-urlencoded", pairs.join("&"))).await;
}

#[tokio::test]
async fn repeated_keys_appear_as_text_and_cannot_hide_a_secret() {
    let (_, record) = both(json(r#"{"a":1,"password":"first-one","a":2,"password":"second-one"}"#)).await;
    let body = record["request"]["body"].as_str().expect("as text");
    assert!(!body.contains("first-one") && !body.contains("second-one"), "{body}");
    let form = with_body("POST /look/a", "application/x-www-form-urlencoded", "a=1&a=2&token=abcdef&token=ghijkl");
    let (_, record) = both(form).await;
    assert_eq!(record["request"]["body"], serde_json::json!({ "a": ["1", "2"], "token": ["***", "***"] }));
}

#[tokio::test]
async fn a_user_agent_of_64_kib() {
    let agent = "Mozilla/5.0 \"quoted\" ".repeat(64 * 1024 / 21);
    let head = format!("GET /look/a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nuser-agent: {agent}\r\n\r\n");
    let (_, record) = both(head).await;
    let client = record["actor"]["client"].as_str().unwrap();
    assert!(client.len() <= 512 && agent.starts_with(client.trim_end_matches('…')), "{client}");
}

#[tokio::test]
async fn the_longest_head_that_hyper_takes() {
    // Everything that is escaped to six bytes, everywhere at once.
    let odd = "\t".repeat(2000);
    let id = "\"".repeat(128);
    let mut head = format!(
        "POST /look/{0}?{0}={0} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nuser-agent: a{odd}b\r\n\
         referer: a{odd}b\r\nx-request-id: {id}\r\nx-odd: a{odd}b\r\ncontent-type: application/json\r\n",
        "%22%5c%00".repeat(1500)
    );
    let body = format!("{{\"{0}\":\"{0}\"}}", "\\u0001".repeat(1300));
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    both(head).await;
}

#[tokio::test]
async fn an_unknown_method() {
    for method in ["BREW", "M-SEARCH", "x!#$%&'*+-.^_`|~", &"LONG".repeat(64)] {
        let head = format!("{method} /look/a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        let (_, record) = both(head).await;
        assert!(method.starts_with(record["request"]["method"].as_str().unwrap()), "{record}");
    }
}

#[tokio::test]
async fn a_chunked_upload_with_extensions_and_trailers() {
    let request = "POST /json HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
                   content-type: application/json\r\n\r\n3;x=\"y\"\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nx-sum: 7\r\n\r\n";
    let (_, record) = both(request).await;
    assert_eq!(record["request"]["body"], serde_json::json!({ "a": 1 }));
}

#[tokio::test]
async fn requests_one_after_another_on_one_connection_have_a_record_each() {
    let log = audited();
    let address = serve(log.auditor.wrap_router(app())).await;
    let one = "POST /json HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n";
    let mut client =
        common::net::Raw::sending(address, format!("{one}{{\"a\":1}}{one}{{\"a\":2}}{one}{{\"a\":3}}")).await;
    client.until("{\"a\":3}").await;
    let bodies: Vec<Value> = log.records(3).await.iter().map(|record| record["request"]["body"]["a"].clone()).collect();
    assert_eq!(bodies, [1, 2, 3]);
}
