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
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Bodies, Catalog, Delivery, Event, Failure, Redactor, Stages, resolver,
};

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
        .strangers_bodies()
        .text_bodies()
}

fn posted(url: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(url).header("content-type", content_type).body(body.into()).unwrap()
}

/// Keys that once showed what stands under them: in one run of letters, of other languages, in letters that only look so.
#[tokio::test]
async fn no_spelling_of_a_key_shows_its_secret() {
    for key in [
        "dbpass",
        "authkey",
        "PHPSESSID",
        "connect.sid",
        "session",
        "mfa_code",
        "contraseña",
        "contrasen\u{303}a",
        "Schlüssel",
        "пароль",
        "密码",
        "パスワード",
        "비밀번호",
        "şifre",
        "ｐａｓｓｗｏｒｄ",
        "pаsswоrd",
        "p\u{200b}ass\u{ad}word",
        "𝐩𝐚𝐬𝐬𝐰𝐨𝐫𝐝",
    ] {
        let encoded = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n7Q1\r\n--b--\r\n");
        let json = json!({ key: "7Q1", "a": [{ "name": key, "value": "7Q1" }] }).to_string();
        for request in [
            posted("/x", "application/json", json),
            posted("/x", "application/x-www-form-urlencoded", format!("{encoded}=7Q1")),
            posted("/x", "multipart/form-data; boundary=b", part),
            posted("/x", "text/plain", format!("a=1\n{key}=7Q1\n")),
            posted(&format!("/x?{encoded}=7Q1"), "", ""),
            posted(&format!("/x?{}=7Q1", utf8_percent_encode(&encoded, NON_ALPHANUMERIC)), "", ""),
            posted(&format!("/x/a;{encoded}=7Q1/b"), "", ""),
        ] {
            let record = only_record(|builder| builder, request).await;
            assert!(!record.to_string().contains("7Q1") && record.to_string().contains("***"), "{key}: {record:#}");
        }
    }
}

/// Values that give themselves away, in every place that a client can put one.
#[tokio::test]
async fn no_value_that_gives_itself_away_shows() {
    let long = "aB1".repeat(8);
    for (value, secret) in [
        (format!("https://hooks.slack.com/services/T0A0A0A0A/B0A0A0A0A/{long}"), long.as_str()),
        (format!("https://discord.com/api/webhooks/123456789012345678/{long}{long}"), &long),
        (format!("123456789:AA{long}aB1aB1aB1"), &long),
        (format!("bEARER {long}"), &long),
        (format!("token {long}"), &long),
        (format!("glrt-{long}"), &long),
        (format!("AccountKey={long}=="), &long),
        (format!("https://h/x?sv=1&sig={long}"), &long),
        (format!("AWS4-HMAC-SHA256 Credential={long}/20261120/eu/s3/aws4_request, Signature={long}"), &long),
        (format!("//user:{long}@host/x"), &long),
        (format!("postgres://user:{long}/{long}@host/x"), &long),
        ("4111\u{a0}1111\u{a0}1111\u{a0}1111".to_owned(), "1111"),
        ("4111.1111.1111.1111".to_owned(), "1111"),
        ("4111\u{2013}1111\u{2013}1111\u{2013}1111".to_owned(), "1111"),
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
            posted("/x", "multipart/form-data; boundary=b", part),
            posted("/x", "text/plain", format!("see {value}")),
            posted(&format!("/x?a={encoded}"), "", ""),
            posted(&format!("/x?a.{encoded}=1"), "", ""),
            posted(&format!("/x?{}=1", utf8_percent_encode(&encoded, NON_ALPHANUMERIC)), "", ""),
        ] {
            let note = HeaderName::from_static("x-note");
            let record = only_record(|builder| builder.show_headers([note]), request).await;
            assert!(!record.to_string().contains(secret), "{value}: {record:#}");
        }
    }
}

#[tokio::test]
async fn a_header_cut_in_the_middle_of_a_card_number_shows_none_of_it() {
    for gap in [" ", ".", "-", "\u{a0}", "\u{2013}", " - "] {
        let card = ["4111", "1111", "1111", "1111"].join(gap);
        for before in 485..512 {
            let mut request = posted("/x", "", "");
            let agent = format!("{} {card} and more", "u".repeat(before));
            request.headers_mut().insert("user-agent", HeaderValue::from_bytes(agent.as_bytes()).unwrap());
            let record = only_record(|builder| builder, request).await;
            let client = record["actor"]["client"].as_str().unwrap_or_default();
            let digits = client.bytes().filter(u8::is_ascii_digit).count();
            assert!(digits <= 6, "{gap:?}, {before}: {client}");
        }
    }
}

#[tokio::test]
async fn an_encoded_name_of_a_query_shows_no_secret_in_it() {
    for (query, url) in [
        ("pin%3D1234=1", "/x?pin%3D***=***"),
        ("pin%253D1234=1", "/x?pin%253D***=***"),
        ("pin%3D1234", "/x?pin%3D***"),
        ("a%26pin%3D1234=1", "/x?a%26pin%3D***=***"),
    ] {
        let record = only_record(|builder| builder, posted(&format!("/x?{query}"), "", "")).await;
        let shown = record["request"]["url"].as_str().unwrap();
        let plain = |url: &str| percent_decode_str(url).decode_utf8_lossy().into_owned();
        assert_eq!(plain(shown), plain(url), "{query}");
        assert!(!record.to_string().contains("1234"), "{record:#}");
    }
}

#[tokio::test]
async fn a_url_inside_a_path_shows_no_password() {
    for (path, shown) in [
        ("/x/https://user:7Q1pass@host/a", "/x/https://user:***@host/a"),
        ("/x/https%3A%2F%2Fuser:7Q1pass@host", "/x/https:%2F%2Fuser:***@host"),
        ("/x//user:7Q1pass@host", "/x//user:***@host"),
        ("/x/a;password=7Q1pass/b", "/x/a;password=***/b"),
    ] {
        let record = only_record(|builder| builder, posted(path, "", "")).await;
        assert_eq!(record["request"]["url"], shown);
        assert!(!record.to_string().contains("7Q1"), "{record:#}");
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
            .strangers_bodies()
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
