//! A secret of a request does not show in an error or answer that quotes it: whatever cut it, however many there are, and
//! whether or not its header is shown. What is no secret shows whole.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::any;
use common::log_with;
use http::{HeaderName, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Audit, AuditorBuilder, Bodies, Catalog, Event, Failure, Redactor};

const KEPT: usize = 4_096;

/// The record of a request whose handler does what it is told and answers with these lines, which its error quotes too.
async fn quoting(
    set: impl FnOnce(AuditorBuilder) -> AuditorBuilder,
    request: Request<Body>,
    act: impl Fn(&Audit) + Clone + Send + Sync + 'static,
    quotes: &[&str],
) -> Value {
    let event = Event::new("Task").on(Method::POST, "/x").bodies(Bodies::Both).unauthenticated_bodies();
    let log = log_with(|builder| set(builder.catalog(Catalog::new().event(event))));
    let quotes: Vec<String> = quotes.iter().map(|quote| (*quote).to_owned()).collect();
    let handler = async move |audit: Audit, _: Bytes| {
        act(&audit);
        for quote in &quotes {
            audit.failure(Failure::new("Refused", format!("refused: {quote}")).stack(format!("at x({quote:?})")));
        }
        axum::Json(json!({ "quotes": quotes }))
    };
    let app = Router::new().route("/x", any(handler));
    let response = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    log.only().await
}

fn posted(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/x").header("content-type", content_type).body(body.into()).unwrap()
}

fn assert_absent(record: &Value, secrets: &[&str], what: &str) {
    let text = record.to_string();
    for secret in secrets {
        assert!(!text.contains(secret), "{what}: {secret} in {text}");
    }
    assert!(text.contains("***"), "{what}: {text}");
}

#[tokio::test]
async fn a_secret_beside_a_cut_does_not_show_in_what_quotes_it() {
    const MULTIPART: &str = "multipart/form-data; boundary=bound";
    let part = |name: &str, value: &str| format!("--bound\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}");
    let secret_part = part("name=password", "hunter-22");
    for (what, content_type, kept, rest) in [
        ("a form cut in the next field's name", "application/x-www-form-urlencoded", "&password=hunter-22&ne", "xt=1"),
        ("a form cut in the value", "application/x-www-form-urlencoded", "&password=hunter-", "22&next=1"),
        ("a form cut in an escape", "application/x-www-form-urlencoded", "&password=hunter%2", "d22&next=1"),
        ("JSON cut behind the value", "application/json", "\",\"password\":\"hunter-22\"", ",\"a\":1}"),
        ("JSON cut in the value", "application/json", "\",\"password\":\"hunter-", "22\",\"a\":1}"),
        ("JSON cut in the name behind a value", "application/json", "\",\"value\":\"hunter-22\",\"na", "me\":\"pin\"}"),
        ("multipart cut in the closing boundary", MULTIPART, &format!("{secret_part}\r\n--bou"), "nd--\r\n"),
        ("multipart cut in the value", MULTIPART, &secret_part[..secret_part.len() - 2], "22\r\n--bound--\r\n"),
    ] {
        let begin = match content_type {
            MULTIPART => part("name=fill", ""),
            "application/json" => "{\"fill\":\"".to_owned(),
            _ => "fill=".to_owned(),
        };
        let between = if content_type == MULTIPART { "\r\n" } else { "" };
        let fill = "x".repeat(KEPT - begin.len() - between.len() - kept.len());
        let body = format!("{begin}{fill}{between}{kept}{rest}");
        let record =
            quoting(|builder| builder.max_body_bytes(KEPT), posted(content_type, body), |_| {}, &["hunter-22"]).await;
        assert_absent(&record, &["hunter"], what);
        assert_eq!(record["request"]["bodyOmitted"]["reason"], "truncated", "{what}: {record}");
    }
}

#[tokio::test]
async fn a_secret_in_an_odd_place_of_a_body_does_not_show_in_what_quotes_it() {
    let form = "application/x-www-form-urlencoded";
    for (what, content_type, body) in [
        ("a form that is JSON", form, r#"{"user":"jane","password":"hunter-22"}"#.to_owned()),
        ("a field without a sign", form, "a=1&%7B%22password%22%3A%22hunter-22%22%7D".to_owned()),
        ("an encoded name", form, "a=1&p%61ssword=hunter-22".to_owned()),
        ("JSON in a string", "application/json", r#"{"a":"{\"password\":\"hunter-22\"}"}"#.to_owned()),
        ("a name behind its value", "application/json", r#"[{"value":"hunter-22","name":"DB_PASSWORD"}]"#.to_owned()),
        (
            "a URL in a string",
            "application/json",
            r#"{"next":"https://h/?next=https%3A%2F%2Fi%2F%3Fpassword%3Dhunter-22"}"#.to_owned(),
        ),
    ] {
        let record = quoting(|builder| builder, posted(content_type, body), |_| {}, &["hunter-22"]).await;
        assert_absent(&record, &["hunter"], what);
    }
}

/// RFC 7578 forbids the notation; of two names nobody knows which one the handler reads.
#[tokio::test]
async fn a_multipart_field_in_extended_notation_is_left_out() {
    let body = "--b\r\nContent-Disposition: form-data; name*=UTF-8''password\r\n\r\nhunter-22\r\n--b--\r\n";
    let record = quoting(|builder| builder, posted("multipart/form-data; boundary=b", body), |_| {}, &[]).await;
    assert_eq!(record["request"].get("body"), None);
    assert_eq!(record["request"]["bodyOmitted"]["reason"], "invalid");
}

#[tokio::test]
async fn a_value_that_a_message_names_is_remembered_without_what_follows_it() {
    let said = "LoginRequest(user=jane, password=hunter22, age=3)";
    let record =
        quoting(|builder| builder, posted("application/json", "{}"), |_| {}, &[said, "hunter22 is wrong"]).await;
    assert_eq!(record["errors"][0]["message"], "refused: LoginRequest(user=jane, password=***, age=3)");
    assert_eq!(record["errors"][1]["message"], "refused: *** is wrong");
    assert_absent(&record, &["hunter22"], said);
}

#[tokio::test]
async fn a_credential_in_a_header_that_is_not_shown_does_not_show_in_what_quotes_it() {
    for (name, value, secret) in [
        ("x-auth-token", "t0ken-of-jane", "t0ken-of-jane"),
        ("x-api-key", "k3y-of-jane", "k3y-of-jane"),
        ("proxy-authorization", "Basic amFuZTpodW50ZXIyMg==", "hunter22"),
        ("authorization", "Basic amFuZTpodW50ZXIyMg==", "amFuZTpodW50ZXIyMg"),
        ("authorization", "Bearer opaque-value-1", "opaque-value-1"),
        ("cookie", "theme=dark; sid=\"abc123def\"", "abc123def"),
        ("x-badge", "b4dge-of-jane", "b4dge-of-jane"),
        // No scheme, although it has a space.
        ("x-api-key", "correct horse battery", "correct horse battery"),
        ("x-auth-token", "Zq7abc9d ddmc1", "Zq7abc9d ddmc1"),
    ] {
        let rules = Redactor::builder().credential_header(HeaderName::from_static("x-badge"));
        let mut request = posted("application/json", json!({ "said": secret }).to_string());
        request.headers_mut().insert(name, value.parse().unwrap());
        let record = quoting(|builder| builder.redactor(rules), request, |_| {}, &[secret]).await;
        assert_absent(&record, &[secret], name);
        assert_eq!(record["request"].get("headers"), None);
        assert_eq!(record["errors"][0]["message"], "refused: ***", "{name}");
        assert_eq!(record["request"]["body"], json!({ "said": "***" }), "{name}");
    }
}

#[tokio::test]
async fn ten_thousand_secrets_of_one_exchange_do_not_show() {
    let secrets: Vec<String> = (0..10_000).map(|n| format!("s3cret-of-jane-{n:05}")).collect();
    let (first, middle, last) = (&*secrets[0], &*secrets[5_000], &*secrets[9_999]);
    let form: Vec<String> = secrets.iter().take(4_000).map(|secret| format!("password={secret}")).collect();
    let pairs: Vec<Value> = secrets.iter().map(|secret| json!({ "name": "pin", "value": secret })).collect();
    let long: Vec<String> = secrets.iter().map(|secret| format!("{secret}{}", "x".repeat(60))).collect();
    for (what, content_type, body) in [
        ("a list", "application/json", json!({ "password": [secrets] }).to_string()),
        ("names and values", "application/json", json!(pairs).to_string()),
        ("more bytes than are remembered", "application/json", json!({ "password": [long] }).to_string()),
        ("fields", "application/x-www-form-urlencoded", form.join("&")),
    ] {
        let of_form = if what == "fields" { &*secrets[3_999] } else { last };
        let quotes =
            [first, of_form, middle].map(|secret| if what == "fields" && secret == middle { first } else { secret });
        let record =
            quoting(|builder| builder.max_body_bytes(1 << 20), posted(content_type, body), |_| {}, &quotes).await;
        if record["request"]["bodyOmitted"]["reason"] == "too_deep" {
            // Nothing of it was read, so that nothing of it is known either.
            assert_eq!(record["request"].get("body"), None, "{what}");
        } else {
            assert_absent(&record, &["s3cret"], what);
        }
        assert_eq!(record["eventName"], "Task");
    }
}

#[tokio::test]
async fn secrets_of_any_length_do_not_show() {
    let huge = "a1B2-".repeat(64 * 1024 / 5);
    let body = json!({ "password": huge, "pin": "7", "secret": "" }).to_string();
    let short = huge[..2_000].to_owned();
    let whole = huge.clone();
    let record = quoting(
        |builder| builder.max_body_bytes(1 << 20),
        posted("application/json", body),
        |_| {},
        &[&format!("<{short}>"), &whole, "7 is no pin"],
    )
    .await;
    assert_eq!(record["request"]["body"], json!({ "password": "***", "pin": "***", "secret": "" }));
    assert_eq!(record["errors"][2]["message"], "refused: 7 is no pin", "a value of one byte is in too many words");
    assert!(!record.to_string().contains("a1B2-a1B2"), "{record}");

    // What the application calls secret counts whatever its length.
    let secret = huge.clone();
    let act = move |audit: &Audit| {
        audit.secret("7").secret(secret.clone()).secret("");
        audit.meta("said", format!("7 of {secret}"));
    };
    let body = json!({ "a": huge, "b": "x7x" }).to_string();
    let request = posted("application/json", body);
    let record = quoting(|builder| builder.max_body_bytes(1 << 20), request, act, &["7 is no pin"]).await;
    assert_eq!(record["request"]["body"], json!({ "a": "***", "b": "x***x" }));
    assert_eq!(record["errors"][0]["message"], "refused: *** is no pin");
    assert!(!record.to_string().contains("a1B2-a1B2"), "{record}");
}

#[tokio::test]
async fn texts_and_bodies_are_left_out_where_more_is_secret_than_is_remembered() {
    let act = |audit: &Audit| {
        for n in 0..65 {
            audit.secret(format!("word{n:03}"));
        }
    };
    let body = json!({ "a": "word064", "b": "harmless" }).to_string();
    let mut request = posted("application/json", body);
    request.headers_mut().insert("user-agent", "word064/1".parse().unwrap());
    *request.uri_mut() = "/x?q=word064".parse().unwrap();
    let record = quoting(|builder| builder, request, act, &["word064 is refused"]).await;
    assert!(!record.to_string().contains("word064"), "{record}");
    for side in ["request", "response"] {
        assert_eq!(record[side].get("body"), None, "{record}");
        assert_eq!(record[side]["bodyOmitted"]["reason"], "budget", "{record}");
    }
    assert_eq!(record["errors"], json!([{ "name": "Refused", "message": "***", "stack": "***" }]));
    assert_eq!(record["request"]["url"], "/x?***");
    assert_eq!(record["request"]["route"], "/x", "evidence stands");
}

#[tokio::test]
async fn a_body_of_near_misses_shows_whole() {
    let body = json!({
        "github": ["ghp_short", "ghp-0123456789abcdefghijABCDEFGHIJ012345", "xghp_0123456789abcdefghijABCDEFGHIJ0123"],
        "aws": ["AKIA123", "akiaiosfodnn7example", "AKIAIOSFODNN7EXAMPL"],
        "slack": ["xoxb-1", "https://hooks.slack.com/docs", "xoxq-1234567890-abc"],
        "stripe": ["sk_live_", "pk_live_0123456789abcdefABCDEF01", "sk_life_0123456789abcdefABCDEF01"],
        "gitlab": ["glpat-", "glpat_abc", "glxpat-0123456789"],
        "parts": ["eyJhbGciOiJIUzI1NiJ9", "eyJ.a.b", "a.b.c"],
        "certificates": ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----"],
        "card": ["4111111111111112", "4111 1111-1111 1111", "x4111111111111111", 4_111_111_111_111_112_u64],
        "schemes": ["Bearer token", "basic authentication", "the token has expired", "Digest of the week"],
        "urls": ["https://user@host/", "https://host:8080/a@b", "mailto:jane@host", "//host/x", "https://h/?page_token=1"],
        "ids": ["550e8400-e29b-41d4-a716-446655440000", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
        "max_tokens": 4_096,
        "token_type": "bearer",
        "next_page_token": "CAUQAA1234567890",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRoaXMgaXMgbm8ga2V5",
        "secretName": "db-credentials",
        "password_policy": "at least 12 characters",
        "two_factor_auth": true,
        "key": "theme",
        "session": "8 June 2026",
        "signature": "jane",
    });
    let record = quoting(|builder| builder, posted("application/json", body.to_string()), |_| {}, &[]).await;
    assert_eq!(record["request"]["body"], body);
}

#[tokio::test]
async fn the_beginning_of_a_secret_at_the_end_of_a_cut_header_does_not_show() {
    // The signs that end words in headers are in secrets too.
    for secret in
        ["hunter2cat/horse9staple", "hunter2cat&horse9staple", "hunter2cat, horse9staple", "hunter2cat?x=horse9;staple"]
    {
        for kept in [512, 1_024] {
            for before in kept - 20..kept {
                let quote = format!("{} {secret} at x", "y".repeat(before - 1));
                let request = Request::post("/x")
                    .header("content-type", "application/json")
                    .header("user-agent", &quote)
                    .header("referer", &quote)
                    .header("x-note", &quote)
                    .body(Body::from(json!({ "password": secret }).to_string()))
                    .unwrap();
                let set = |builder: AuditorBuilder| builder.show_headers([HeaderName::from_static("x-note")]);
                let record = quoting(set, request, |_| {}, &["nothing"]).await;
                assert_absent(&record, &["hunter"], &format!("{secret} behind {before}"));
            }
        }
    }
}

#[tokio::test]
async fn the_beginning_of_an_escaped_secret_at_the_end_of_a_cut_error_does_not_show() {
    for (secret, spelled) in
        [("hunter2\"cat-horse9", r#"hunter2\"cat-horse9"#), ("hunter2 cat-horse9", "hunter2+cat-horse9")]
    {
        // All places of the cut in the secret.
        for before in 8 * 1_024 - 25..8 * 1_024 - 5 {
            let quote = format!("{}y {spelled} at x", "y".repeat(before - 2));
            let body = json!({ "password": secret }).to_string();
            let act = move |audit: &Audit| {
                audit.failure(Failure::new("Refused", &*quote));
            };
            let record = quoting(|builder| builder, posted("application/json", body), act, &["nothing"]).await;
            assert_absent(&record, &["hunter"], &format!("{spelled} behind {before}"));
        }
    }
}
