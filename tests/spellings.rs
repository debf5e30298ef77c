//! Spellings of secrets that once showed: names, values and encodings that the rules of redaction cover, through the layer.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::any;
use common::log_with;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Audit, AuditorBuilder, Bodies, Catalog, Event, Failure, Redactor};

const JSON: &str = "application/json";

/// The record of a request that fails with this error.
async fn record_of(
    set: impl FnOnce(AuditorBuilder) -> AuditorBuilder,
    request: Request<Body>,
    act: impl Fn(&Audit) + Clone + Send + Sync + 'static,
) -> Value {
    let event = Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).unauthenticated_bodies().text_bodies();
    let log = log_with(|builder| set(builder.catalog(Catalog::new().event(event))));
    let handler = async move |audit: Audit, _: Bytes| act(&audit);
    let app = Router::new().route("/x", any(handler));
    let response = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    log.only().await
}

fn posted(url: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(url).header("content-type", content_type).body(body.into()).unwrap()
}

/// What a record shows of a JSON body.
async fn body_shown(body: &Value) -> Value {
    record_of(|builder| builder, posted("/x", JSON, body.to_string()), |_| {}).await["request"]["body"].clone()
}

/// What a record shows of an error's message.
async fn error_shown(message: &'static str) -> Value {
    let failed = move |audit: &Audit| {
        audit.failure(Failure::new("Refused", message));
    };
    record_of(|builder| builder, posted("/x", JSON, "{}"), failed).await["errors"][0]["message"].clone()
}

/// What a record shows of a query: in `url`, and in `query`.
async fn query_shown(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder, query: &str) -> (String, Value) {
    let record = record_of(set, posted(&format!("/x?{query}"), "", ""), |_| {}).await;
    let url = record["request"]["url"].as_str().unwrap();
    (url.strip_prefix("/x?").unwrap().to_owned(), record["request"]["query"].clone())
}

#[tokio::test]
async fn a_secret_in_a_string_shows_in_no_encoding() {
    for (value, shown) in [
        ("%252Fq%253Fpassword%253Dhunter22x%2526a%253D1", "%252Fq%253Fpassword%253D***%2526a%253D1"),
        ("%257B%2522password%2522%253A%2522hunter22x%2522%257D", "%257B%2522password%2522%253A%2522***%2522%257D"),
        ("/q?u=%252Fq%253Fpassword%253Dhunter22x", "/q?u=%252Fq%253Fpassword%253D***"),
        ("\u{feff}{\"password\":\"hunter22x\"}", "\u{feff}{\"password\":\"***\"}"),
        (" \u{feff} {\"password\":1}\n", " \u{feff} {\"password\":***}\n"),
        ("sent {\"password\":\"hunter22x\"}, got 400", "sent {\"password\":\"***\"}, got 400"),
        ("a=1;password=hunter22x", "a=1;password=***"),
        ("a=1; password=hunter22x; b=2", "a=1; password=***; b=2"),
        ("Server=db;User Id=sa;Password=Pa55 word;", "Server=db;User Id=sa;Password=***;"),
        ("/q?a=1&amp;password=hunter22x&amp;b=2", "/q?a=1&amp;password=***&amp;b=2"),
        ("postgres://app:hunter22x@sha256:5432/db", "postgres://app:***@sha256:5432/db"),
    ] {
        assert_eq!(body_shown(&json!({ "n": value })).await, json!({ "n": shown }));
    }
    for value in ["see [1] and {2}; token=x or so", "registry.example/auth:1.2@sha256:abc", "a; b=1", "[link](/x?a=1)"]
    {
        assert_eq!(body_shown(&json!({ "n": value })).await, json!({ "n": value }));
    }
}

#[tokio::test]
async fn a_query_or_a_field_that_is_json_is_read_as_json() {
    for (query, url, object) in [
        (
            r#"{"password":"s3cretvalue","b":"="}"#,
            r#"{"password":"***","b":"="}"#,
            json!({ r#"{"password":"***","b":"="}"#: "" }),
        ),
        (
            r#"{"password":"s3cret&value","b":"="}"#,
            r#"{"password":"***","b":"="}"#,
            json!({ r#"{"password":"***","b":"="}"#: "" }),
        ),
        (
            r#"a=1&%7B"password":"s3cretvalue","b":"="%7D"#,
            r#"a=1&%7B"password":"***","b":"="%7D"#,
            json!({ "a": "1", r#"{"password":"***","b":"="}"#: "" }),
        ),
        (
            r#"q=a+b%20{"password":"s3cretvalue"}"#,
            r#"q=a+b%20{"password":"***"}"#,
            json!({ "q": r#"a b {"password":"***"}"# }),
        ),
    ] {
        let query = query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let (shown, fields) = query_shown(|builder| builder, &query).await;
        assert_eq!(shown, url.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
        assert_eq!(fields, object);
    }
    // Brackets alone are no JSON.
    let (url, fields) = query_shown(|builder| builder, "%20%7Bt%7D&password=s3cretvalue&a=%7Bt%7D").await;
    assert_eq!(url, "%20%7Bt%7D&password=***&a=%7Bt%7D");
    assert_eq!(fields, json!({ " {t}": "", "password": "***", "a": "{t}" }));
    // Both JSON and fields, of which one is secret.
    let record =
        record_of(|builder| builder, posted("/x?%7B%22:1%7D&password=s3cretvalue&a=%7B%22:1%7D", "", ""), |_| {}).await;
    assert_eq!((&record["request"]["url"], record["request"].get("query")), (&json!("/x?***"), None));
    let form = posted("/x", "application/x-www-form-urlencoded", "+{t}&password=s3cretvalue&a=+{t}");
    let record = record_of(|builder| builder, form, |_| {}).await;
    assert_eq!(record["request"]["body"], json!({ " {t}": "", "password": "***", "a": " {t}" }));
    let form = posted("/x", "application/x-www-form-urlencoded", r#"a=1&{"password":"s3cretvalue","b":"="}"#);
    let record = record_of(|builder| builder, form, |_| {}).await;
    assert_eq!(record["request"]["body"], json!({ "a": "1", r#"{"password":"***","b":"="}"#: "" }));
}

#[tokio::test]
async fn free_text_shows_no_named_value_in_any_notation() {
    for (message, shown) in [
        ("password:             cAnArY7Qx0", "password:             ***"),
        ("password:\n  cAnArY7Qx0\nport: 1", "password:\n  ***\nport: 1"),
        ("{'password': u'correct horse'}", "{'password': u'***'}"),
        ("{u'password': b'correct horse'}", "{u'password': b'***'}"),
        ("password: Some(\"cAnArY7Qx0\")", "password: Some(\"***\")"),
        ("Login { token: Some(Secret(\"cAnArY7Qx0\")), age: 3 }", "Login { token: Some(Secret(\"***\")), age: 3 }"),
        ("\"password\": [\"correct\", \"horse\"], \"a\": \"b\"", "\"password\": [\"***\", \"***\"], \"a\": \"b\""),
        ("\"password\": \n  \"correct horse\"", "\"password\": \n  \"***\""),
        (r#"{\\\"password\\\":\\\"correct horse\\\",\\\"a\\\":1}"#, r#"{\\\"password\\\":\\\"***\\\",\\\"a\\\":1}"#),
        (r#"{\"password\":\"corr\\\"ect \\\"horse\",\"a\":1}"#, r#"{\"password\":\"***\",\"a\":1}"#),
        (r#""{\"password\":\"correct horse" is cut"#, r#""{\"password\":\"***" is cut"#),
        ("bad body {\"pin\": 1234, \"tokens\": [\"abcdefg\"]}", "bad body {\"pin\": ***, \"tokens\": [\"***\"]}"),
    ] {
        assert_eq!(error_shown(message).await, shown);
    }
    for message in [
        "password:\nmust have at least 12 characters",
        "password:\n  db_v2_key9x: no such key",
        "PASSWORD=\nDB_NAME2x=payroll",
        "password: Some(value) is not allowed",
        "invalid token: I'd say it's abc",
        "token: expected [\"a\", \"b\"]",
        "expected `]` at [1, 2; found {name}",
    ] {
        assert_eq!(error_shown(message).await, message);
    }
}

#[tokio::test]
async fn a_key_that_says_how_its_value_is_written_is_secret_in_any_case() {
    for key in
        ["PASSWORDhash", "passwordhash", "passwordHASH", "PWDhash", "apikeyvalue", "secretHashBase64", "tokentext"]
    {
        assert_eq!(body_shown(&json!({ key: "hunter22x" })).await, json!({ key: "***" }));
    }
    for key in ["threshold", "context", "opinvalue", "authorOld", "hash", "gold"] {
        assert_eq!(body_shown(&json!({ key: "hunter22x" })).await, json!({ key: "hunter22x" }));
    }
}

#[tokio::test]
async fn a_remembered_value_that_overlaps_itself_leaves_no_part() {
    for (secret, said) in [
        ("abab", "ababab"),
        ("aaaa", "aaaaaaa"),
        ("7a7", "7a7a7a7a7"),
        ("secret-7-secret", "secret-7-secret-7-secret"),
        ("correct correct ", "correct correct correct "),
    ] {
        let failed = move |audit: &Audit| {
            audit.secret(secret);
            audit.failure(Failure::new("Refused", format!("<{said}>")));
        };
        let record = record_of(|builder| builder, posted("/x", JSON, json!([said]).to_string()), failed).await;
        assert_eq!(record["errors"][0]["message"], "<***>", "{secret}");
        assert_eq!(record["request"]["body"], json!(["***"]), "{secret}");
    }
}

#[tokio::test]
async fn a_value_has_one_fingerprint_however_it_is_encoded() {
    let key = b"0123456789abcdef".to_vec();
    let of =
        |value: &str| Redactor::builder().fingerprint("k", key.clone()).build().unwrap().fingerprint(value).unwrap();
    let rules = || Redactor::builder().fingerprint("k", key.clone());
    let set = |builder: AuditorBuilder| builder.redactor(rules());
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let encoded_token = token.replace('_', "%5F");
    for (query, url, object) in [
        ("password=a%2Db+c", format!("password={}", of("a-b c")), json!({ "password": of("a-b c") })),
        (&*format!("q=x+{encoded_token}"), format!("q=x+{}", of(token)), json!({ "q": format!("x {}", of(token)) })),
    ] {
        assert_eq!(query_shown(set, query).await, (url, object));
    }
    // An echo has the fingerprint of the value, too.
    let request = Request::post("/x?q=hunter%2D22&r=hunter-22")
        .header("authorization", "Bearer hunter-22")
        .header("content-type", JSON)
        .body(Body::from(r#"["hunter\u002d22"]"#));
    let failed = |audit: &Audit| {
        audit.failure(Failure::new("Refused", "no hunter%2D22 here"));
    };
    let record = record_of(set, request.unwrap(), failed).await;
    let shown = of("hunter-22");
    assert_eq!(record["request"]["url"], format!("/x?q={shown}&r={shown}"));
    assert_eq!(record["request"]["query"], json!({ "q": shown, "r": shown }));
    assert_eq!(record["request"]["body"], json!([shown]));
    assert_eq!(record["errors"][0]["message"], format!("no {shown} here"));
}

#[tokio::test]
async fn a_value_of_two_lines_is_masked_as_a_whole_behind_an_opening_quote() {
    let failed = |audit: &Audit| {
        audit.secret("Secr3t-one\nSecr3t-two");
        audit.failure(Failure::new("Refused", "token='Secr3t-one\nSecr3t-two at x"));
    };
    let request = Request::get("/x").body(Body::empty()).unwrap();
    let record = record_of(|builder| builder, request, failed).await;
    assert_eq!(record["errors"][0]["message"], "token='*** at x");
    // The same for a value of the body.
    let body = r#"{"password":"abc123line1\nsecond456line"}"#.to_owned();
    let failed = |audit: &Audit| {
        audit.failure(Failure::new("Refused", "password='abc123line1\nsecond456line' at x"));
    };
    let record = record_of(|builder| builder, posted("/x", JSON, body), failed).await;
    assert_eq!(record["errors"][0]["message"], "password='***' at x");
}

#[tokio::test]
async fn a_shown_header_that_is_marked_as_sensitive_has_the_mask_because_its_value_is_not_captured() {
    let mut marked = HeaderValue::from_static("hunter-22");
    marked.set_sensitive(true);
    for (rules, expected) in [
        (Redactor::builder(), json!({ "x-marked": "***" })),
        (Redactor::builder().fingerprint("k", b"0123456789abcdef".to_vec()), json!({ "x-marked": "***" })),
        (Redactor::builder().remove(), Value::Null),
    ] {
        let set = |builder: AuditorBuilder| builder.redactor(rules).show_headers([HeaderName::from_static("x-marked")]);
        let request = Request::get("/x").header("x-marked", marked.clone()).body(Body::empty()).unwrap();
        assert_eq!(record_of(set, request, |_: &Audit| {}).await["request"]["headers"], expected);
    }
}

#[tokio::test]
async fn a_name_of_a_query_shows_no_token_in_any_encoding() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let encoded = token.replace('_', "%5F");
    let (url, fields) = query_shown(|builder| builder, &format!("{token}.{encoded}=1&a%20{encoded}&b=2")).await;
    assert_eq!(url, "***.***=1&a%20***&b=2");
    assert_eq!(fields, json!({ "***.***": "1", "a ***": "", "b": "2" }));
}

/// What is beyond the limits is not read, so nobody knows what may repeat it.
#[tokio::test]
async fn what_may_quote_a_body_beyond_the_limits_is_left_out() {
    let deep = format!(r#"{{"a":{}1{},"password":"hunter22x"}}"#, "[".repeat(70), "]".repeat(70));
    let fields = format!("{}password=hunter22x", "a=1&".repeat(4_096));
    let in_string = json!({ "a": deep }).to_string();
    for (content_type, body, reason) in [
        (JSON, deep, "too_deep"),
        ("application/x-www-form-urlencoded", fields, "too_deep"),
        (JSON, in_string, "budget"),
    ] {
        let failed = |audit: &Audit| {
            audit.meta("ref", "hunter22y");
            audit.failure(Failure::new("Refused", "no hunter22x"));
        };
        let set = |builder: AuditorBuilder| builder.max_body_bytes(64 * 1_024);
        let record = record_of(set, posted("/x?q=hunter22x", content_type, body), failed).await;
        assert_eq!(record["request"]["bodyOmitted"]["reason"], reason);
        assert_eq!((&record["errors"][0]["message"], &record["meta"]["ref"]), (&json!("***"), &json!("hunter22y")));
        assert!(!record.to_string().contains("hunter22x"), "{record:#}");
    }
}

/// A path is evidence: of values that have the form of a secret, only token formats are masked in it.
#[tokio::test]
async fn a_url_within_a_path_is_evidence() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for (path, shown) in [
        ("/proxy/https://u:p@host/", "/proxy/https://u:p@host/"),
        (&*format!("/proxy/https://{token}@host/"), "/proxy/https://***@host/"),
    ] {
        let record = record_of(|builder| builder, posted(path, "", ""), |_| {}).await;
        assert_eq!(record["request"]["url"], shown);
    }
}
