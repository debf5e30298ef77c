//! What attackers tried, and what the log wrote: each of these once went wrong.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{any, get, post};
use common::{log, log_of, log_with};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Bodies, Catalog, Delivery, Event, Failure, Redactor, Stages, resolver,
};

async fn answer(auditor: &Auditor, app: Router, request: Request<Body>) {
    let response = auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
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

/// The only record of a request that a handler answered with its own body.
async fn only_record(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder, request: Request<Body>) -> Value {
    let log = log_with(|builder| set(builder.catalog(Catalog::new().event(task()))));
    let app = Router::new().route("/x/{*rest}", any(async |_: Bytes| "x")).route("/x", any(async |_: Bytes| "x"));
    answer(&log.auditor, app, request).await;
    log.only().await
}

fn task() -> Event {
    Event::new("Task")
        .on(Method::POST, "/x")
        .on(Method::POST, "/x/{*rest}")
        .bodies(Bodies::Both)
        .unauthenticated_bodies()
        .text_bodies()
}

fn posted(url: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(url).header("content-type", content_type).body(body.into()).unwrap()
}

/// Spellings of keys that end with a listed phrase, in every place that a client can put one.
#[tokio::test]
async fn no_spelling_of_a_key_shows_its_secret() {
    for key in [
        "userPassword",
        "PASSWORD_2",
        "db-password",
        "dbpassword",
        "password_confirmation",
        "oldPasswordHash",
        "New-Pwd",
        "clientSecret",
        "aws.secret.access.key",
        "privateKeys",
        "card_number",
        "APIKey",
        "X-Auth-Token",
        "access_tokens",
        "csrfToken",
        "session_id",
        "PRIVATE_KEY_BASE64",
        "p\u{61}ssword",
    ] {
        let encoded = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n7Q1abcX9\r\n--b--\r\n");
        let json = json!({ key: "7Q1abcX9", "a": [{ "name": key, "value": "7Q1abcX9" }] }).to_string();
        let inside = json!({ "a": json!({ key: "7Q1abcX9" }).to_string() }).to_string();
        for request in [
            posted("/x", "application/json", json),
            posted("/x", "application/json", inside),
            posted("/x", "application/x-www-form-urlencoded", format!("{encoded}=7Q1abcX9")),
            posted("/x", "multipart/form-data; boundary=b", part),
            posted("/x", "text/plain", format!("a=1\n{key}=7Q1abcX9\n")),
            posted("/x", "text/plain", format!("a: 1\n\"{key}\": \"7Q1 abcX9\"\n")),
            posted(&format!("/x?{encoded}=7Q1abcX9"), "", ""),
            posted(&format!("/x?{}=7Q1abcX9", utf8_percent_encode(&encoded, NON_ALPHANUMERIC)), "", ""),
            posted(&format!("/x?u=https%3A%2F%2Fh%2F%3F{encoded}%3D7Q1abcX9"), "", ""),
        ] {
            let record = only_record(|builder| builder, request).await;
            assert!(!record.to_string().contains("7Q1") && record.to_string().contains("***"), "{key}: {record:#}");
        }
    }
}

/// Words of other languages and look-alikes of letters are the application's to add.
#[tokio::test]
async fn a_key_in_any_language_is_secret_once_the_application_says_so() {
    for key in ["contraseña", "Schlüssel", "пароль", "密码", "パスワード", "ｐａｓｓｗｏｒｄ"] {
        let body = || posted("/x", "application/json", json!({ key: "7Q1abcX9" }).to_string());
        let shown = only_record(|builder| builder, body()).await;
        assert_eq!(shown["request"]["body"], json!({ key: "7Q1abcX9" }));
        let rules = Redactor::builder().key(key);
        let masked = only_record(|builder| builder.redactor(rules), body()).await;
        assert_eq!(masked["request"]["body"], json!({ key: "***" }));
    }
}

/// Values that have the form of a secret, in every place that a client can put one.
#[tokio::test]
async fn no_value_that_gives_itself_away_shows() {
    let long = "aB1".repeat(8);
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for (value, secret) in [
        (format!("https://hooks.slack.com/services/T0A0A0A0A/B0A0A0A0A/{long}"), long.as_str()),
        (format!("https://discord.com/api/webhooks/123456789012345678/{long}{long}"), &long),
        (format!("123456789:AA{long}aB1aB1aB1"), &long),
        (token.to_owned(), &token[8..]),
        (format!("glrt-{long}"), &long),
        (format!("bEARER {long}"), &long),
        (format!("token {long}"), &long),
        (format!("https://h/x?sv=1&sig={long}"), &long),
        (format!("AWS4-HMAC-SHA256 Credential={long}/20261120/eu/s3/aws4_request, Signature={long}"), "Signature=aB1"),
        (format!("//user:{long}@host/x"), &long),
        (format!("postgres://user:{long}/{long}@host/x"), &long),
        ("4111 1111 1111 1111".to_owned(), "1111"),
        ("4111-1111-1111-1111".to_owned(), "1111"),
    ] {
        let encoded = utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string();
        let part = format!("--b\r\nContent-Disposition: form-data; name=a; filename=\"{value}\"\r\n\r\n1\r\n--b--\r\n");
        let mut with_headers = posted("/x", "", "");
        for name in ["x-note", "referer", "user-agent"] {
            with_headers.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        for request in [
            with_headers,
            posted("/x", "application/json", json!({ "a": { "b": value } }).to_string()),
            posted("/x", "application/x-www-form-urlencoded", format!("a={encoded}")),
            posted("/x", "application/x-www-form-urlencoded", encoded.clone()),
            posted("/x", "multipart/form-data; boundary=b", part),
            posted("/x", "text/plain", format!("see {value}")),
            posted(&format!("/x?a={encoded}"), "", ""),
            posted(&format!("/x?a={}", utf8_percent_encode(&encoded, NON_ALPHANUMERIC)), "", ""),
            posted(&format!("/x?{encoded}"), "", ""),
        ] {
            let note = HeaderName::from_static("x-note");
            let record = only_record(|builder| builder.show_headers([note]), request).await;
            assert!(!record.to_string().contains(secret), "{value}: {record:#}");
        }
    }
}

#[tokio::test]
async fn a_header_cut_in_the_middle_of_a_card_number_does_not_show_most_of_it() {
    for gap in ["", " ", "-"] {
        let card = ["4111", "1111", "1111", "1111"].join(gap);
        for before in 485..512 {
            let mut request = posted("/x", "", "");
            let agent = format!("{} {card} and more", "u".repeat(before));
            request.headers_mut().insert("user-agent", HeaderValue::from_bytes(agent.as_bytes()).unwrap());
            let record = only_record(|builder| builder, request).await;
            let client = record["actor"]["client"].as_str().unwrap_or_default();
            let digits = client.bytes().filter(u8::is_ascii_digit).count();
            assert!(digits < 12, "{gap:?}, {before}: {client}");
        }
    }
}

#[tokio::test]
async fn a_path_shows_no_token_and_nothing_behind_a_secret_segment() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let encoded = token.replace('_', "%5F");
    for (path, shown) in [
        (format!("/x/{token}/b"), "/x/***/b"),
        (format!("/x/{encoded}/b"), "/x/***/b"),
        ("/reset-password/a1b2c3d4e5f6".to_owned(), "/reset-password/***"),
        ("/token/a1b2c3d4e5f6/b".to_owned(), "/token/***/b"),
        // Names are evidence.
        ("/secrets/payroll".to_owned(), "/secrets/payroll"),
        ("/auth/users/jane".to_owned(), "/auth/users/jane"),
    ] {
        let record = only_record(|builder| builder, posted(&path, "", "")).await;
        assert_eq!(record["request"]["url"], shown);
        assert!(record["message"].as_str().unwrap().contains(shown) || record["eventName"] == "Task", "{record:#}");
        assert!(!record.to_string().contains(&token[8..]) && !record.to_string().contains("a1b2c3"), "{record:#}");
    }
}

/// A mask holds wherever a client puts the field; an exception only in bodies, which it was made for.
#[tokio::test]
async fn pointers_mask_everywhere_and_except_in_bodies() {
    let rules = || Redactor::builder().pointer("/badge").pointer("/ids/1").except_pointer("/pin");
    let log = log_with(|builder| {
        let event = Event::new("Badge")
            .on(Method::POST, "/b/{badge}")
            .bodies(Bodies::Both)
            .unauthenticated_bodies()
            .secret_pointer("/locker");
        builder.redactor(rules()).catalog(Catalog::new().event(event))
    });
    let app = || Router::new().route("/b/{badge}", any(async |_: Bytes| "x"));
    let fields = "badge=7&ids=1&ids=2&ids=3&pin=4&locker=5";
    let part = |name: &str, value: u8| format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n");
    let parts = ["badge", "ids", "ids", "ids", "pin", "locker"].iter().zip([7, 1, 2, 3, 4, 5]);
    let multipart: String = parts.map(|(name, value)| part(name, value)).collect();
    let bodies = [
        ("application/json", json!({ "badge": 7, "ids": [1, 2, 3], "pin": 4, "locker": 5 }).to_string()),
        ("application/x-www-form-urlencoded", fields.to_owned()),
        ("multipart/form-data; boundary=b", format!("{multipart}--b--\r\n")),
    ];
    for (content_type, body) in bodies {
        answer(&log.auditor, app(), posted(&format!("/b/7?{fields}"), content_type, body)).await;
    }
    let records = log.records(3).await;
    let seen = |record: &Value| record["request"].clone();
    for record in &records {
        let request = seen(record);
        assert_eq!(request["url"], "/b/***?badge=***&ids=1&ids=***&ids=3&pin=***&locker=***");
        assert_eq!(request["params"], json!({ "badge": "***" }));
        assert_eq!(
            request["query"],
            json!({ "badge": "***", "ids": ["1", "***", "3"], "pin": "***", "locker": "***" })
        );
    }
    let body = |place: usize| seen(&records[place])["body"].clone();
    assert_eq!(body(0), json!({ "badge": "***", "ids": [1, "***", 3], "pin": 4, "locker": "***" }));
    assert_eq!(body(1), json!({ "badge": "***", "ids": ["1", "***", "3"], "pin": "4", "locker": "***" }));
    let values: Vec<_> = body(2).as_array().unwrap().iter().map(|part| part["value"].clone()).collect();
    assert_eq!(values, ["***", "1", "***", "3", "4", "***"]);
}

/// The record of an exchange in which free text says this: an error's message and stack, the user agent, a text body, and a
/// long text of `meta`.
async fn record_that_says(text: &str) -> Value {
    let event = Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).text_bodies();
    let log = log_of([event]);
    let said = text.to_owned();
    let handler = async move |audit: Audit, _: String| {
        audit.meta("said", format!("{said}\n{}", "and so on ".repeat(30)));
        audit.failure(Failure::new("Refused", said.clone()).stack(format!("Refused: {said}")));
        "x"
    };
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let agent = if visible { text } else { "agent" };
    let request = Request::post("/x").header("content-type", "text/plain").header("user-agent", agent);
    answer(&log.auditor, Router::new().route("/x", post(handler)), request.body(Body::from(text.to_owned())).unwrap())
        .await;
    log.only().await
}

#[tokio::test]
async fn free_text_does_not_show_the_value_behind_a_secret_name() {
    for (text, shown) in [
        ("password: cAnArY7Qx0", "password: ***"),
        ("Token : cAnArY7Qx0", "Token : ***"),
        ("db_password=cAnArY7Qx0, port=1", "db_password=***, port=1"),
        ("{\"password\": \"a cAnArY\", \"port\": 1}", "{\"password\": \"***\", \"port\": 1}"),
        ("{'user': 'bob', 'password': 'a cAnArY'}", "{'user': 'bob', 'password': '***'}"),
        ("got {\\\"token\\\": \\\"cAnArY7Qx0\\\"}", "got {\\\"token\\\": \\\"***\\\"}"),
        ("LoginRequest(user=jane, password=cAnArY7Qx0, age=3)", "LoginRequest(user=jane, password=***, age=3)"),
        ("Login { user: \"bob\", token: \"cAnArY7Qx0\" }", "Login { user: \"bob\", token: \"***\" }"),
        ("{:user=>\"bob\", :password=>\"cAnArY7Qx0\"}", "{:user=>\"bob\", :password=>\"***\"}"),
        ("map[token:cAnArY7Qx0 user:bob]", "map[token:*** user:bob]"),
        ("Authorization: Bearer cAnArY7Qx0", "Authorization: Bearer ***"),
        ("Cookie: theme=dark; sid=cAnArY7Qx0", "Cookie: theme=dark; sid=***"),
        ("psql postgres://a:cAnArY7Qx0@h/db", "psql postgres://a:***@h/db"),
        ("see https://h/x?token=cAnArY7Qx0&a=1 for it", "see https://h/x?token=***&a=1 for it"),
        ("password%3A%20cAnArY7Qx0", "password%3A%20***"),
        ("password%253DcAnArY7Qx0", "password%253D***"),
    ] {
        let record = record_that_says(text).await;
        assert_eq!(record["errors"][0]["message"], shown);
        assert_eq!(record["errors"][0]["stack"], format!("Refused: {shown}"));
        assert_eq!(record["request"]["body"], shown);
        assert!(!record.to_string().contains("cAnArY"), "{text}: {record:#}");
    }
}

#[tokio::test]
async fn prose_about_secrets_shows() {
    for text in [
        "secretsmanager:GetSecretValue",
        "auth-service:v2",
        "Token revoked: id 4711",
        "jwt: token is expired by 3m",
        "Invalid token: expired",
        "invalid token: expected `,` at line 1 column 5",
        "missing cookie: session",
        "see https://auth:8080/x at 12:30",
        "Key::Value",
        "urn:ietf:params:oauth:grant-type:device_code",
        "the target type: token: invalid type: integer `5`, expected a string at line 1 column 12",
        "password: must have at least 12 characters",
        "expected Option<Token> of <user>, 1 < 2 &amp; 3",
        "<password>hunter</password> is no field",
        "image registry.example/auth:1.2.3 has no key: latest",
    ] {
        let record = record_that_says(text).await;
        assert_eq!(record["errors"][0]["message"], text);
        assert_eq!(record["errors"][0]["stack"], format!("Refused: {text}"));
        assert_eq!(record["request"]["body"], text);
        assert_eq!(record["actor"]["client"], text);
        assert!(!record.to_string().contains("***"), "{text}: {record:#}");
    }
}

/// Strings of a JSON body are values, not free text: what only looks like an assignment shows, what is JSON does not.
#[tokio::test]
async fn a_string_of_a_body_is_a_value_and_no_free_text() {
    let inner = json!({ "user": "bob", "password": { "a": ["hunter22"] }, "deep": json!({ "pin": "12" }).to_string() });
    let body = json!({ "a": "password: cAnArY7Qx0", "b": inner.to_string(), "c": "<token>x</token>" });
    let record = only_record(|builder| builder, posted("/x", "application/json", body.to_string())).await;
    let shown = &record["request"]["body"];
    assert_eq!((&shown["a"], &shown["c"]), (&body["a"], &body["c"]));
    let inside: Value = serde_json::from_str(shown["b"].as_str().unwrap()).unwrap();
    assert_eq!((&inside["user"], &inside["password"]["a"][0]), (&json!("bob"), &json!("***")));
    assert!(!record.to_string().contains("hunter22") && !inside["deep"].as_str().unwrap().contains("12"), "{record:#}");
}

#[tokio::test]
async fn a_value_that_an_error_names_is_masked_where_it_is_repeated() {
    for (text, echo) in [
        ("Login { user: \"bob\", secret: \"1234abcd\" }", "1234abcd"),
        ("{\"password\": \"hunter-22\"}", "hunter-22"),
        ("password: hunter22 is wrong", "hunter22"),
    ] {
        let log = log_of([Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both)]);
        let request = Request::post("/x").header("content-type", "application/json").body(Body::from("{}")).unwrap();
        let handler = async move |audit: Audit, _: String| {
            audit.failure(Failure::new("Refused", text));
            axum::Json(json!([format!("is {echo}?")]))
        };
        answer(&log.auditor, Router::new().route("/x", post(handler)), request).await;
        assert_eq!(log.only().await["response"]["body"], json!(["is ***?"]), "{text}");
    }
}

#[tokio::test]
async fn a_phrase_that_a_cut_goes_through_stands_nowhere_again() {
    let secret = "correct horse battery staple";
    for (content_type, before) in [
        ("application/json", r#"{"fill":"FILL","password":""#),
        ("application/x-www-form-urlencoded", "fill=FILL&password="),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nFILL\r\n--b\r\nContent-Disposition: form-data; \
             name=\"password\"\r\n\r\n",
        ),
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

/// Tables, YAML and markup are text: what free text names is masked, and nothing else.
#[tokio::test]
async fn a_text_body_is_free_text_whatever_its_type() {
    for (content_type, body, shown) in [
        ("text/csv", "user,password\r\nbob,hunter\r\n", "user,password\r\nbob,hunter\r\n"),
        ("text/csv", "a,b\n1,password: cAnArY7Qx0\n", "a,b\n1,password: ***\n"),
        ("text/yaml", "db:\n  password: cAnArY7Qx0\n  port: 1\n", "db:\n  password: ***\n  port: 1\n"),
        ("text/x-toml", "api_key = \"cAnArY7Qx0\"\nport = 1\n", "api_key = \"***\"\nport = 1\n"),
    ] {
        let record = only_record(|builder| builder, posted("/x", content_type, body)).await;
        assert_eq!(record["request"]["body"], shown, "{record:#}");
    }
    let record = only_record(|builder| builder, posted("/x", "text/xml", "<password>hunter</password>")).await;
    assert_eq!(record["request"]["bodyOmitted"]["reason"], "unsupported", "{record:#}");
}
