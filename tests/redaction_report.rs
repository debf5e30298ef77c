//! The report of redaction tells which rule hit where in every place of a record, and nothing that the record does not show.
#![cfg(all(feature = "axum", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::Router;
use axum::body::Body;
use axum::routing::{any, post};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::testing::{Canaries, TestLog, assert_hits};
use tower_audit::{
    Actor, Audit, AuditorBuilder, Bodies, Catalog, Credential, Entity, Eula, Event, Failure, Location, RedactionReport,
    Redactor, Scope, Source, Stages, sink,
};

fn catalog() -> Catalog {
    let things = Event::new("Everything").on(Method::POST, "/things/{token}/{rest}").bodies(Bodies::Both);
    Catalog::new()
        .event(
            things
                .strangers_bodies()
                .secret_pointer("/deep/*/point")
                .secret_bag("bag")
                .meta("apiKey", Source::param("rest"))
                .meta("copied", Source::request_body("/note"))
                .message("{actor} {url} {meta.said}"),
        )
        .event(Event::new("Sent").on(Method::POST, "/sent").strangers_bodies().text_bodies())
        .event(Event::new("Guarded").on(Method::POST, "/guarded"))
}

fn log(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> TestLog {
    let headers = ["x-api-key", "x-marked", "x-note", "accept"].map(HeaderName::from_static);
    TestLog::with(|builder| set(builder.catalog(catalog()).show_headers(headers))).unwrap()
}

async fn send(log: &TestLog, app: Router, request: Request<Body>) -> StatusCode {
    let answer = log.auditor().around(app).into_service().oneshot(request).await.unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

fn sent() -> Router {
    Router::new().route("/sent", post(async |_: String| "ok"))
}

async fn send_body(log: &TestLog, content_type: &str, body: impl Into<Body>) -> StatusCode {
    let request = Request::post("/sent").header("content-type", content_type).body(body.into()).unwrap();
    send(log, sent(), request).await
}

/// The report in every form in which it can be read.
fn forms(report: &RedactionReport) -> [String; 4] {
    [format!("{report}"), format!("{report:?}"), format!("{report:#?}"), report.to_json().to_string()]
}

/// What an application may say of a value.
fn say_everywhere(audit: &Audit, value: &str) {
    let said = || format!("so {value} said");
    let place = Location::new().city(said()).country(said()).continent(said());
    let behind = Actor::new(said()).name(said()).url(said()).slug(said()).kind(said()).location(place);
    let credential = Credential::new(said()).id(said()).name(said()).owner(said());
    audit.actor(behind.clone().credential(credential.clone()).on_behalf_of(behind.clone().on_behalf_of(behind)));
    let entity = || Entity::new(said()).id(said()).name(said()).version(said()).slug(said()).format(said());
    audit.object(entity()).target(entity());
    audit.scope(Scope::new(said(), said())).eula(Eula::new(said(), said()));
    audit.context(said()).project(said()).repository(said()).namespace(said()).edge(said());
    audit.meta("said", said()).meta("deep", json!([{ "a": [said()], said(): 1 }])).meta(said(), 1);
    audit.meta("pin", 1).meta("card", 4_111_111_111_111_111_u64).meta("inside", "{\"pin\":1}");
    audit.failure(Failure::new(said(), said()).stack(said()));
}

/// One request with a secret in every place of its record.
async fn everything(log: &TestLog, canaries: &Canaries) {
    let value = canaries.text().to_owned();
    let quoted = value.clone();
    let handler = async move |audit: Audit, _: String| {
        say_everywhere(&audit, &quoted);
        let answer = json!({ "password": "x", "said": quoted, "list": [1, { quoted.clone(): quoted }] });
        (StatusCode::BAD_REQUEST, [("content-type", "application/json")], answer.to_string())
    };
    let app = Router::new().route("/things/{token}/{rest}", post(handler));
    let mut marked = HeaderValue::from_static("marked");
    marked.set_sensitive(true);
    let (key, jwt) = (canaries.key(), canaries.jwt());
    let body = json!({
        "password": value, "note": format!("a {value}"), "jwt": jwt, "n": [jwt, { "x": format!("pin=1&t={jwt}") }],
        "bag": { "a": [1, 2], "b": true }, "deep": [{ "point": 1 }, { "point": { "y": 2 } }],
        "env": [{ "name": "DB_PASSWORD", "value": "x" }, { "value": "x", "name": "DB_PASSWORD" }],
        jwt: 1, value.clone(): { "pin": 1 },
    });
    let request =
        Request::post(format!("/things/{key}/{value}?access_token={key}&u={jwt}&q={value}&{value}=1&{jwt}=2"))
            .header("content-type", "application/json")
            .header("user-agent", format!("agent/1 ({value})"))
            .header("host", format!("{value}:80"))
            .header("referer", format!("https://user:{jwt}@host/"))
            .header("x-request-id", &value)
            .header("x-api-key", key)
            .header("x-note", jwt)
            .header("x-marked", marked)
            .header("accept", &value)
            .body(Body::from(body.to_string()))
            .unwrap();
    assert_eq!(send(log, app, request).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_place_of_a_record_is_told() {
    let canaries = Canaries::new();
    let log = log(|builder| builder);
    everything(&log, &canaries).await;
    let report = log.redaction_report().await;
    let record = log.records().await.remove(0);
    assert!(canaries.find(record.to_string()).is_empty(), "{record:#}");
    let actor = ["actorId", "name", "url", "slug", "kind", "location/city", "location/country", "location/continent"];
    let mut expected: Vec<String> = Vec::new();
    for behind in ["", "/onBehalfOf", "/onBehalfOf/onBehalfOf"] {
        expected.extend(actor.map(|text| format!("Everything actor {behind}/{text} echo 1")));
    }
    for (field, texts) in [
        ("actor", "/client /hostname /credential/kind /credential/id /credential/name /credential/owner"),
        ("object", "/kind /id /name /version /slug /format"),
        ("target", "/kind /id /name /version /slug /format"),
        ("scope", "/kind /path"),
        ("eula", "/id /number"),
        ("errors", "/*/name /*/message /*/stack"),
    ] {
        expected.extend(texts.split(' ').map(|text| format!("Everything {field} {text} echo 1")));
    }
    for field in ["context", "project", "repository", "namespace", "edge", "requestId", "message"] {
        expected.push(format!("Everything {field} - echo 1"));
    }
    expected.extend(
        [
            "request.params /token key 1",
            "request.params /rest echo 1",
            "request.url - key 2",
            "request.url - value 2",
            "request.url - echo 1",
            "request.query /access_token key 1",
            "request.query /u value 1",
            "request.query /q echo 1",
            "request.query /*** echo 1",
            "request.query /*** value 1",
            "request.referer - value 1",
            "request.headers /x-api-key key 1",
            "request.headers /x-note value 1",
            "request.headers /x-marked header 1",
            "request.headers /accept echo 1",
            "request.body /password key 1",
            "request.body /note echo 1",
            "request.body /jwt key 1",
            "request.body /n/* value 1",
            "request.body /n/*/x value 1",
            "request.body /bag/a/* bag 2",
            "request.body /bag/b bag 1",
            "request.body /deep/*/point pointer 2",
            "request.body /env/*/value key 2",
            "request.body /*** value 1",
            "request.body /*** echo 1",
            "request.body /***/pin key 1",
            "response.body /password key 1",
            "response.body /said echo 1",
            "response.body /list/*/*** echo 2",
            "meta /apiKey key 1",
            "meta /copied echo 1",
            "meta /said echo 1",
            "meta /deep/*/a/* echo 1",
            "meta /deep/*/so *** said echo 1",
            "meta /so *** said echo 1",
            "meta /pin key 1",
            "meta /card value 1",
            "meta /inside value 1",
        ]
        .map(|hit| format!("Everything {hit}")),
    );
    assert_hits(&report, expected);
    assert_eq!(report.other, 0);
    canaries.assert_absent(forms(&report));
}

#[tokio::test]
async fn records_are_the_same_with_and_without_a_report() {
    let canaries = Canaries::new();
    for (name, rules) in [
        ("mask", Redactor::builder as fn() -> _),
        ("remove", || Redactor::builder().remove()),
        ("fingerprint", || Redactor::builder().fingerprint("k", *b"0123456789abcdef")),
    ] {
        let mut lines = Vec::new();
        for on in [false, true] {
            let log = log(|builder| builder.redactor(rules()).stages(Stages::Both).redaction_report(on));
            everything(&log, &canaries).await;
            for (content_type, body) in bodies(&canaries) {
                send_body(&log, content_type, body).await;
            }
            let query = format!("/none/{0}?{0}_token={0}&a={0}&pin={0}&%22{0}%22=x", canaries.jwt());
            send(&log, sent(), Request::get(query).body(Body::empty()).unwrap()).await;
            assert_eq!(log.auditor().redaction_report().is_some(), on);
            if on {
                canaries.assert_absent(forms(&log.redaction_report().await));
            }
            let (_, mut all) = log.stop().await;
            // The first and the last are this library's own, with ids that are never the same.
            lines.push(all.drain(1..all.len() - 1).collect::<Vec<_>>());
        }
        assert!(lines[0].len() > 20, "{lines:#?}");
        assert_eq!(lines[0], lines[1], "{name}");
    }
}

/// Bodies of every type, whole and not, with canaries as values and as keys.
fn bodies(canaries: &Canaries) -> Vec<(&'static str, String)> {
    let (text, jwt, odd) = (canaries.text(), canaries.jwt(), canaries.odd());
    let part =
        |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let deep = format!("{}\"{jwt}\"{}", "{\"a\":[".repeat(30), "]}".repeat(30));
    vec![
        ("application/json", json!({ "token": text, text: { "pin": odd }, odd: [{ text: odd }] }).to_string()),
        ("application/json", format!(r#"{{"{text}":{{"pin":1}},"{text}":2,"password":"{text}"}}"#)),
        ("application/json", format!(r#"{{"password":"{text}","{text}":{{"pin":1"#)),
        ("application/json", deep),
        ("application/json", format!(r#"{{"a":1,"value":{{"{text}":{{"pin":"{odd}"}}}},"{}":1}}"#, "x".repeat(20_000))),
        ("application/x-www-form-urlencoded", format!("token={text}&{text}=1&{jwt}=2&a=pin%3D{text}&pin={text}")),
        (
            "multipart/form-data; boundary=x",
            format!("{}{}{}--x--", part("token", text), part(jwt, "1"), part(text, jwt)),
        ),
        ("text/plain", format!("{text}: 1\npassword: {text}\n{jwt}\na=%7B%22pin%22%3A%22{text}%22%7D pin={odd}")),
        (
            "text/plain",
            json!({ "token": text, "a": [{ "b": "x=1&pin=2", "pin": text }], text: { "pin": 1 } }).to_string(),
        ),
        ("text/xml", format!("<a token='{text}'><pin>{text}</pin><b c='{jwt}'>{{\"pin\":\"{text}\"}}</b></a>")),
        (jwt_type(jwt), "x".to_owned()),
    ]
}

/// A content type that nobody reads, with a secret in it.
fn jwt_type(jwt: &str) -> &'static str {
    Box::leak(format!("application/{jwt}").into_boxed_str())
}

#[tokio::test]
async fn no_body_of_any_type_gives_a_secret_to_the_report() {
    let canaries = Canaries::new();
    let log = log(|builder| builder);
    for (content_type, body) in bodies(&canaries) {
        send_body(&log, content_type, body).await;
    }
    let report = log.redaction_report().await;
    canaries.assert_absent(forms(&report));
    canaries.assert_absent(log.lines().await);
    assert!(report.total() > 20, "{report}");
}

#[tokio::test]
async fn each_type_of_body_is_told_in_its_way() {
    for (content_type, body, expected) in [
        ("application/x-www-form-urlencoded", "pin=1&a=x%3D1%26pin%3D2", vec!["/pin key 1", "/a value 1"]),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=pin\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; \
             name=\"AKIAIOSFODNN7EXAMPLE\"\r\n\r\npin=1\r\n--x--",
            vec!["/*/value key 1", "/*/value value 1", "/*/name value 1"],
        ),
        (
            "text/plain",
            "user: x\npassword: 1\nAKIAIOSFODNN7EXAMPLE b=1;pin=2",
            vec!["/password key 1", "- value 1", "/pin key 1"],
        ),
        (
            "text/plain",
            r#"{"a":{"b":"x=1&pin=2","pin":1},"l":[{"value":"1","name":"pin"}]}"#,
            vec!["/a/b value 1", "/a/pin key 1", "/l/*/value key 1"],
        ),
        ("text/xml", "<a token='1'><pin>2</pin></a>", vec!["/token key 1", "/pin key 1"]),
        ("application/json", r#"{"pin":1,"pin":2}"#, vec!["/pin key 2"]),
        ("application/json", r#""pin=1""#, vec!["- value 1"]),
        ("application/json", "[1,", vec![]),
        ("application/json", r#"{"a":{"pin":1},"#, vec![]),
        ("image/png", "pin=1", vec![]),
    ] {
        let log = log(|builder| builder);
        send_body(&log, content_type, body).await;
        assert_hits(&log.redaction_report().await, expected.iter().map(|hit| format!("Sent request.body {hit}")));
    }
}

#[tokio::test]
async fn a_key_that_the_record_does_not_show_is_not_told() {
    let log = log(|builder| builder.redactor(Redactor::builder().remove()));
    send_body(&log, "application/json", r#"{"mine_token":1,"a":{"pin":1},"l":[{"pin":1}]}"#).await;
    let request = Request::get("/none?mine_token=1").body(Body::empty()).unwrap();
    send(&log, sent(), request).await;
    assert_hits(
        &log.redaction_report().await,
        [
            "Sent request.body /* key 1",
            "Sent request.body /a/* key 1",
            "Sent request.body /l/*/* key 1",
            "HttpRequest request.query /* key 1",
            "HttpRequest request.url - key 1",
        ],
    );
}

#[tokio::test]
async fn bodies_that_are_not_shown_are_not_told() {
    let log = log(|builder| builder);
    let body = r#"{"mine_token":1,"password":"hunter22"}"#;
    let json =
        |path: &str| Request::post(path).header("content-type", "application/json").body(Body::from(body)).unwrap();
    // A stranger's, refused.
    let app = Router::new().route("/guarded", any(async |_: String| StatusCode::UNAUTHORIZED));
    send(&log, app, json("/guarded")).await;
    // One that was not read.
    send(&log, Router::new().route("/sent", any(|| async {})), json("/sent")).await;
    assert_eq!(log.records().await.len(), 2);
    assert_hits(&log.redaction_report().await, [""; 0]);
}

#[tokio::test]
async fn a_cut_body_tells_of_no_key_that_was_cut_away() {
    let log = log(|builder| builder.max_body_bytes(64));
    let body = r#"{"pin":1,"mine_token":{"a":1,"b":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]},"c":1}"#;
    send_body(&log, "application/json", body).await;
    let records = log.records().await;
    assert_eq!(records[0]["request"]["body"], json!({ "pin": "***" }));
    assert_hits(&log.redaction_report().await, ["Sent request.body /pin key 1", "Sent request.body /* key 1"]);
}

#[tokio::test]
async fn a_secret_that_several_keys_spell_is_masked() {
    let log = log(|builder| builder);
    let body =
        r#"{"password":"abc/def/ghi","abc":{"def":{"ghi":{"pin":1}}},"abc/def/ghi":{"pin":1},"x\n\u202e":{"pin":1}}"#;
    send_body(&log, "application/json", body).await;
    let report = log.redaction_report().await;
    assert_hits(
        &report,
        [
            "Sent request.body /password key 1",
            "Sent request.body /***/pin key 2",
            "Sent request.body /*** echo 1",
            r"Sent request.body /x\n\u202e/pin key 1",
        ],
    );
    assert_eq!(report.to_string().lines().count(), 4);
}

#[tokio::test]
async fn a_flood_of_keys_fills_no_more_than_its_share() {
    let log = log(|builder| builder);
    let keys: Vec<String> = (0..1_100).map(|key| format!("k{key}_pin=1")).collect();
    for _ in 0..2 {
        send_body(&log, "application/x-www-form-urlencoded", keys.join("&")).await;
    }
    send_body(&log, "application/json", json!({ "x".repeat(65): { "pin": 1 }, "17": [{ "pin": 1 }] }).to_string())
        .await;
    let report = log.redaction_report().await;
    assert_eq!(report.hits.len(), 129, "{report}");
    // Of one record at most 1,024 places are told apart.
    assert_eq!((report.total(), report.other), (2_202, 2 * (1_100 - 1_024)));
    assert!(report.hits.iter().all(|hit| hit.pointer.len() <= 256), "{report}");
    log.auditor().begin_unlisted("Later").meta("pin", 1).emit().await.unwrap();
    let later = log.redaction_report().await;
    assert_eq!(later.hits.iter().filter(|hit| hit.event == "Later").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_report_is_read_while_records_come() {
    const EACH: u64 = 50;
    let log = log(|builder| builder);
    let writers = (0..4_u64).map(|writer| {
        let auditor = log.auditor().clone();
        tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..EACH {
                auditor.begin_unlisted("Run").meta(format!("w{writer}"), json!({ "pin": 1 })).emit().await.unwrap();
                let total = auditor.redaction_report().unwrap().total();
                assert!(total >= last, "{total} after {last}");
                last = total;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let expected = (0..4).map(|writer| format!("Run meta /w{writer}/pin key {EACH}"));
    assert_hits(&log.redaction_report().await, expected);
}

#[tokio::test]
async fn a_report_is_json_too() {
    let (lines, _records) = sink::memory();
    let auditor = tower_audit::Auditor::builder().sink(lines).redaction_report(true).build().unwrap();
    auditor.begin_unlisted("Login").meta("pin", 1).try_emit().unwrap();
    auditor.shutdown_blocking(std::time::Duration::from_secs(20));
    let expected: Value = json!({
        "hits": [{ "event": "Login", "field": "meta", "pointer": "/pin", "rule": "key", "count": 1 }], "other": 0,
    });
    assert_eq!(auditor.redaction_report().unwrap().to_json(), expected);
}
