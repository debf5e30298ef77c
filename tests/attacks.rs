//! What attackers tried, and what the log wrote: each of these once went wrong.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use common::{log, log_of, log_with};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Auditor, Bodies, Catalog, Delivery, Event, Failure, Stages, resolver};

async fn answer(auditor: &Auditor, app: Router, request: Request<Body>) {
    let response = auditor.around(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn a_fail_closed_event_of_both_stages_is_initiated_once() {
    let strict = Event::new("Strict").on(Method::GET, "/x").stages(Stages::Both).delivery(Delivery::FailClosed);
    let log = log_with(|builder| {
        builder
            .catalog(Catalog::new().event(strict))
            .actor_resolver(resolver::actor_fn(|_, _| Some(Actor::user("user:default/jane"))))
    });
    answer(&log.auditor, Router::new().route("/x", get(async || "x")), Request::get("/x").body(Body::empty()).unwrap())
        .await;
    // Reading the records checks that no exchange has two initiations.
    let records = log.records(2).await;
    let stages: Vec<_> = records.iter().map(|record| record["stage"].clone()).collect();
    assert_eq!(stages, ["initiation", "completion"]);
}

#[tokio::test]
async fn a_strict_route_inside_an_event_that_has_begun_is_initiated_once() {
    let outer = Event::new("Outer").on(Method::GET, "/x").stages(Stages::Both);
    let log = log_with(|builder| {
        builder
            .catalog(Catalog::new().event(outer))
            .actor_resolver(resolver::actor_fn(|_, _| Some(Actor::user("user:default/jane"))))
    });
    let strict = log.auditor.route_layer(Event::new("Inner").delivery(Delivery::FailClosed)).unwrap();
    let app = Router::new().route("/x", get(async || "x").layer(strict));
    answer(&log.auditor, app, Request::get("/x").body(Body::empty()).unwrap()).await;
    let records = log.records(2).await;
    let seen: Vec<_> = records.iter().map(|record| (record["stage"].clone(), record["eventName"].clone())).collect();
    assert_eq!(seen, [(json!("initiation"), json!("Outer")), (json!("completion"), json!("Inner"))]);
}

#[tokio::test]
async fn a_secret_path_parameter_longer_than_what_is_kept_of_a_path_does_not_show() {
    let log = log_of([Event::new("Reset").on(Method::GET, "/reset/{token}")]);
    let path = format!("/reset/{}", "SECRETtoken".repeat(500));
    let app = Router::new().route("/reset/{token}", any(async || "done"));
    answer(&log.auditor, app, Request::get(&path).body(Body::empty()).unwrap()).await;
    let text = log.only().await.to_string();
    assert!(!text.contains("SECRETtoken"), "{text}");
}

#[tokio::test]
async fn keys_that_the_library_writes_are_never_repeated_in_meta() {
    let log = log_of([Event::new("Task").on(Method::GET, "/x")]);
    let app = Router::new().route(
        "/x",
        get(async |audit: Audit| {
            for key in ["abortedAt", "initiatedAs", "shortened"] {
                audit.meta(key.to_owned(), "mine");
            }
            "x"
        }),
    );
    answer(&log.auditor, app, Request::get("/x").body(Body::empty()).unwrap()).await;
    let expected = json!({ "abortedAt_": "mine", "initiatedAs_": "mine", "shortened_": "mine" });
    assert_eq!(log.only().await["meta"], expected);
}

#[tokio::test]
async fn a_header_cut_in_the_middle_of_credentials_shows_none_of_them() {
    let log = log();
    let user = "u".repeat(490);
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl", "eyJzdWIiOiJqYW5lIn0".repeat(40));
    let request = Request::get("/x")
        .header("referer", format!("https://{user}:hunter2hunter2@host.example/x"))
        .header("user-agent", format!("agent {token}"))
        .body(Body::empty())
        .unwrap();
    answer(&log.auditor, Router::new().route("/x", get(async || "x")), request).await;
    let text = log.only().await.to_string();
    assert!(!text.contains("hunter2") && !text.contains("eyJ"), "{text}");
}

#[tokio::test]
async fn a_second_content_type_does_not_hide_a_body() {
    let log = log_of([Event::new("Task").on(Method::POST, "/x")]);
    let request = Request::post("/x")
        .header("content-type", "application/json")
        .header("content-type", "image/png")
        .body(Body::from(r#"{"a":1}"#))
        .unwrap();
    answer(&log.auditor, Router::new().route("/x", post(async |body: String| body)), request).await;
    assert_eq!(log.only().await["request"]["body"], json!({ "a": 1 }));
}

/// Minutes where each place was searched anew for a long value, well below a second where it is not; the bound is for
/// machines that are very busy.
#[tokio::test]
async fn values_that_resemble_each_other_do_not_stop_the_log() {
    let log = log_of([Event::new("Task").on(Method::POST, "/x")]);
    let many: Vec<String> = (0..40).map(|n| format!("x{n}xxxx")).collect();
    let body = json!({
        "password": [["aaaaaa".to_owned(), format!("{}b", "a".repeat(4000))], many],
        "x": "a".repeat(11_000),
    });
    let began = Instant::now();
    for _ in 0..20 {
        let request = Request::post("/x").header("content-type", "application/json").body(Body::from(body.to_string()));
        let app = Router::new().route("/x", post(async |body: String| body.len().to_string()));
        answer(&log.auditor, app, request.unwrap()).await;
    }
    assert!(log.auditor.flush(Duration::from_secs(120)).await, "{:?}", began.elapsed());
    assert_eq!(log.records(20).await.len(), 20);
}

/// The record of an exchange in which a text stands in every string that lets it through: bodies, forms, headers, `meta`,
/// errors.
async fn record_that_says(text: &str) -> String {
    let event = |name: &'static str, route: &'static str| Event::new(name).on(Method::POST, route).bodies(Bodies::Both);
    let log = log_of([event("Task", "/x"), event("Form", "/f")]);
    let said = text.to_owned();
    let handler = async move |audit: Audit, _: String| {
        audit.meta("said", said.clone()).meta("deep", json!({ "a": [said.clone()] }).to_string());
        audit.failure(Failure::new("Refused", said.clone()).stack(format!("Refused: {said}")));
        axum::Json(json!({ "answer": [said] }))
    };
    let app = Router::new().route("/x", post(handler.clone())).route("/f", post(handler));
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let agent = if visible { text } else { "agent" };
    let request = Request::post("/x").header("content-type", "application/json").header("user-agent", agent);
    let body = json!({ "said": text }).to_string();
    answer(&log.auditor, app.clone(), request.body(Body::from(body)).unwrap()).await;
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("said", text).finish();
    let request =
        Request::post("/f").header("content-type", "application/x-www-form-urlencoded").body(Body::from(form));
    answer(&log.auditor, app, request.unwrap()).await;
    log.records(2).await.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_name_with_a_colon_or_an_arrow_in_a_string_does_not_show_its_value() {
    for text in [
        "password: cAnArY",
        "Token : cAnArY",
        "password:cAnArY",
        "password: \"a cAnArY\"",
        "Login { user: \"bob\", password: \"a \\\" cAnArY\", pin: Some(\"cAnArY\") }",
        "Login { token: Token { kind: 1, of: [\"x\", \"cAnArY\"] }, pin: (1, \"cAnArY\") }",
        "password := cAnArY",
        "password -> cAnArY",
        "password => cAnArY",
        "{:user=>\"bob\", :password=>\"a, b: cAnArY\"}",
        "{'user': 'bob', 'password': 'a \\' cAnArY'}",
        "Array ( [password] => a cAnArY )",
        "{User:bob Password:a cAnArY Port:1}",
        "map[token:cAnArY user:bob]",
        "db:\n  password: |\n    a\n\n    cAnArY\n  port: 1",
        "password:\n- cAnArY\n- cAnArY\nport: 1",
        "card number: cAnArY",
        "**Password**: cAnArY",
        "Cookie: a=b; sid=cAnArY, c=cAnArY",
        "password: é\u{2028}cAnArY",
        "password%3A%20a%20cAnArY",
        "a%253Dpassword%253A%2520cAnArY",
        "{\"p\\u0061ssword\": \"cAnArY\", }",
        "failed to read token: invalid type: string \"a\", expected cAnArY\", expected u8",
    ] {
        let record = record_that_says(text).await;
        assert!(!record.contains("cAnArY") && record.contains("***"), "{text}: {record}");
    }
}

#[tokio::test]
async fn json_over_several_lines_in_a_string_does_not_show_what_is_secret() {
    let deep = format!("{{\"a\": {}\"cAnArY\"{}}}", "[".repeat(70), "]".repeat(70));
    let wide: Vec<String> = (0..5_000).map(|key| format!("\"{key}\":0")).collect();
    let wide = format!("{{\"password\":\"cAnArY\",{}}}", wide.join(","));
    for text in [
        "{ \"password\": {\n \"a\": \"cAnArY\",\n \"b\":\"cAnArY\" }, }",
        "got \"password\": [\n 1,\n \"}]cAnArY\",\n 'cAnArY' ] in it",
        "\"password\": {\n \"a\": \"\\\"}cAnArY\",\n \"b\": \"cAnArY\"",
        "got {\\\"token\\\": {\\\"a}\\\":\n \\\"cAnArY\\\"}}",
        "{\"token\"\n:\n[[\"cAnArY\"\n]]",
        "{ password: {\n a: 'cAnArY',\n b: [`cAnArY`] } }",
        &deep,
        &wide,
    ] {
        let record = record_that_says(text).await;
        assert!(!record.contains("cAnArY") && record.contains("***"), "{text}: {record}");
    }
}

#[tokio::test]
async fn a_value_behind_a_colon_is_masked_where_it_stands_again() {
    for (text, echo) in [
        ("Login { user: \"bob\", pin: Some(\"12345678\") }", "12345678"),
        ("\"password\": {\n \"a\": \"hunter-22\" }", "hunter-22"),
        ("password: hunter22 is wrong", "hunter22"),
    ] {
        let log = log_of([Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both)]);
        let body = json!({ "said": text }).to_string();
        let request = Request::post("/x").header("content-type", "application/json").body(Body::from(body)).unwrap();
        let app = Router::new().route("/x", post(async move |_: String| axum::Json(json!([format!("is {echo}?")]))));
        answer(&log.auditor, app, request).await;
        assert_eq!(log.only().await["response"]["body"], json!(["is ***?"]), "{text}");
    }
}

#[tokio::test]
async fn what_only_looks_like_a_secret_name_shows() {
    for text in [
        "invalid token: expected `,` at line 1 column 5",
        "missing cookie: session",
        "see https://auth:8080/x at 12:30",
        "Key::Value",
        "urn:ietf:params:oauth:grant-type:device_code",
    ] {
        let record = record_that_says(text).await;
        assert!(!record.contains("***"), "{text}: {record}");
    }
    let refused = "the target type: token: invalid type: integer `5`, expected a string at line 1 column 12";
    let record = record_that_says(refused).await;
    assert!(record.contains("integer `***`, expected a string at line 1 column 12"), "{record}");
}

#[tokio::test]
async fn an_element_with_a_secret_name_in_a_string_does_not_show_what_is_in_it() {
    for text in [
        "<login><user>bob</user><password>cAnArY</password></login>",
        "bad: <password>a cAnArY</password>, sorry",
        "<login token=\"cAnArY\"><pin a='>'>cAnArY</login>",
        "<password><![CDATA[</password>cAnArY]]></password> x",
        "<p><soap:Password Type=\"x\">\n cAnArY",
        "<br><input type='password' value='cAnArY'>",
        "<e><key>DB_PASSWORD</key><value>cAnArY</value></e>",
        "&lt;password&gt;cAnArY&lt;/password&gt;",
        "&amp;lt;password&amp;gt;cAnArY&amp;lt;/password&amp;gt;",
        "\\u003cpassword\\u003ecAnArY",
        "%26lt%3Bpassword%26gt%3BcAnArY",
        "a=%253Cpassword%253EcAnArY&b=c",
        "{\"a\": \"<password>cAnArY<\\/password>\", }",
    ] {
        let record = record_that_says(text).await;
        assert!(!record.contains("cAnArY") && record.contains("***"), "{text}: {record}");
    }
    let plain = "expected Option<Token> of <user>, 1 < 2 &amp; 3";
    assert!(record_that_says(plain).await.contains(plain));
}

#[tokio::test]
async fn a_phrase_that_a_cut_goes_through_stands_nowhere_again() {
    let secret = "correct horse battery staple";
    for (content_type, before) in [
        ("application/json", r#"{"fill":"FILL","password":""#),
        ("application/x-www-form-urlencoded", "fill=FILL&password="),
        ("text/plain", "fill: FILL\npassword: "),
        ("text/xml", "<a><fill>FILL</fill><password>"),
    ] {
        for beginning in 6..secret.len() {
            let event = Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).text_bodies();
            let log = log_with(|builder| builder.catalog(Catalog::new().event(event)).max_body_bytes(4_096));
            let fill = "x".repeat(4_096 + "FILL".len() - before.len() - beginning);
            let body = format!("{}{secret}", before.replace("FILL", &fill));
            let handler = async |audit: Audit, _: String| {
                audit.failure(Failure::new("Refused", "no: correct horse battery staple, sorry\nat the end"));
                axum::Json(json!(["correct+horse+battery+staple", "correct%20horse%20battery%20staple"]))
            };
            let request = Request::post("/x").header("content-type", content_type).body(Body::from(body)).unwrap();
            answer(&log.auditor, Router::new().route("/x", post(handler)), request).await;
            let record = log.only().await;
            let text = record.to_string();
            let found = ["horse", "battery", "staple"].into_iter().find(|word| text.contains(word));
            assert_eq!(found, None, "{content_type} {beginning}: {text}");
            assert_eq!(record["errors"][0]["message"], "no: ***\nat the end", "{content_type} {beginning}");
        }
    }
}

#[tokio::test]
async fn a_text_body_does_not_show_a_secret_column_or_what_is_named_behind_it() {
    for (content_type, body) in [
        ("text/csv", "user,password\r\nbob,cAnArY\r\njane,\"a \"\"\n, cAnArY\"\r\n"),
        ("text/csv; charset=utf-8", "Export;;\nuser;API Key;a\nbob;cAnArY;b\nbob;cAnArY\n"),
        ("text/csv", "name,value\nDB_PASSWORD,cAnArY\n"),
        ("text/csv", "a,b\n1,password: cAnArY\n"),
        ("text/tab-separated-values", "user\tto%6ben\nbob\tcAnArY"),
        ("text/csv", "a,password\n1,\"cAnArY"),
        ("text/yaml", "env:\n- value: cAnArY\n  name: DB_PASSWORD\n- name: A\n  value: b\n"),
        ("text/yaml", "env:\n  - value: >-\n      a\n\n      cAnArY\n    x: y\n    name: 'DB_PASSWORD'\n"),
        ("text/yaml", "- {value: cAnArY, name: DB_PASSWORD}\n"),
    ] {
        let log = log_of([Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).text_bodies()]);
        let request = Request::post("/x").header("content-type", content_type).body(Body::from(body)).unwrap();
        let app = Router::new().route("/x", post(async |_: String| axum::Json(json!(["is cAnArY"]))));
        answer(&log.auditor, app, request).await;
        let record = log.only().await;
        let shown = record["request"]["body"].to_string();
        assert!(!shown.contains("cAnArY"), "{body}: {shown}");
        let is_left_out = record["request"]["bodyOmitted"]["reason"] == "invalid";
        assert!(shown.contains("***") != is_left_out, "{body}: {record}");
    }
}
