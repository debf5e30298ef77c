//! A redactor that panics, at whatever text: the record of the exchange has its evidence and no text of a client or an error;
//! where evidence itself is what it panics at, no text from outside at all. None is lost, and the log goes on.
#![cfg(all(feature = "axum", feature = "__fuzzing"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::any;
use common::{Log, NOW, log_with};
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Bodies, Catalog, Credential, Entity, Event, Failure, Redactor, Scope, Stages};

const TRAP: &str = "tr4p-of-jane";

fn catalog() -> Catalog {
    let event = Event::new("Task")
        .on(Method::POST, "/tasks/{task}")
        .bodies(Bodies::Both)
        .unauthenticated_bodies()
        .text_bodies();
    Catalog::new().event(event)
}

fn log(rules: tower_audit::RedactorBuilder) -> Log {
    let shown = ["x-note"].map(HeaderName::from_static);
    log_with(|builder| builder.catalog(catalog()).show_headers(shown).redactor(rules).stages(Stages::Completion))
}

/// What a test says at one place of an exchange; everywhere else is `outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Param,
    Path,
    Query,
    QueryName,
    Json,
    JsonKey,
    Form,
    Multipart,
    Text,
    Agent,
    Referer,
    Host,
    RequestId,
    Header,
    Method,
    Error,
    Stack,
    ErrorName,
    Actor,
    Credential,
    Object,
    Scope,
    Meta,
    MetaKey,
    Answer,
    Nowhere,
}

const PLACES: [Place; 25] = [
    Place::Param,
    Place::Path,
    Place::Query,
    Place::QueryName,
    Place::Json,
    Place::JsonKey,
    Place::Form,
    Place::Multipart,
    Place::Text,
    Place::Agent,
    Place::Referer,
    Place::Host,
    Place::RequestId,
    Place::Header,
    Place::Method,
    Place::Error,
    Place::Stack,
    Place::ErrorName,
    Place::Actor,
    Place::Credential,
    Place::Object,
    Place::Scope,
    Place::Meta,
    Place::MetaKey,
    Place::Answer,
];

/// Places of evidence.
const EVIDENCE: [Place; 11] = [
    Place::Param,
    Place::Path,
    Place::Host,
    Place::RequestId,
    Place::Method,
    Place::Actor,
    Place::Credential,
    Place::Object,
    Place::Scope,
    Place::Meta,
    Place::MetaKey,
];

const OUTSIDE: &str = "outside";

async fn exchange(log: &Log, place: Place, trap: &'static str) {
    let at = move |here: Place| if here == place { trap } else { OUTSIDE };
    let handler = async move |audit: Audit, _: Bytes| {
        let credential = Credential::new("token").id(at(Place::Credential));
        audit.actor(Actor::user(at(Place::Actor)).credential(credential));
        audit.object(Entity::new("task").id(at(Place::Object)));
        audit.scope(Scope::group(at(Place::Scope)));
        audit.meta("said", at(Place::Meta)).meta(at(Place::MetaKey).to_owned(), "outside");
        audit.failure(Failure::new(at(Place::ErrorName), at(Place::Error)).stack(at(Place::Stack)));
        (StatusCode::BAD_REQUEST, axum::Json(json!([at(Place::Answer), "password", { "pin": "outside-pin" }])))
    };
    let (content_type, body) = match place {
        Place::Form => ("application/x-www-form-urlencoded", format!("a={trap}")),
        Place::Multipart => (
            "multipart/form-data; boundary=b",
            format!("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n{trap}\r\n--b--\r\n"),
        ),
        Place::Text => ("text/plain", format!("it is {trap}")),
        Place::JsonKey => {
            ("application/json", json!({ "password": "outside-pin", format!("a\u{7f}{trap}"): 1 }).to_string())
        }
        _ => ("application/json", json!({ "password": "outside-pin", "a": [at(Place::Json)] }).to_string()),
    };
    let uri = match place {
        Place::Path => format!("/elsewhere/{trap}?{OUTSIDE}=1"),
        _ => format!("/tasks/{}?q={}&{}=1", at(Place::Param), at(Place::Query), at(Place::QueryName)),
    };
    let method = if place == Place::Method { Method::from_bytes(trap.as_bytes()).unwrap() } else { Method::POST };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .header("user-agent", at(Place::Agent))
        .header("referer", at(Place::Referer))
        .header("host", at(Place::Host))
        .header("x-request-id", at(Place::RequestId))
        .header("x-note", at(Place::Header))
        .body(Body::from(body))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 1))));
    let app = Router::new().route("/tasks/{task}", any(handler)).fallback(any(handler));
    let response = log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

/// A record of constants and numbers: of the catalog's event, or of a request that no event claims.
fn bare(record: &Value, seen: &Value) -> Value {
    let (name, route) = (&record["eventName"], record["request"].get("route"));
    assert!(*name == "Task" && route == Some(&json!("/tasks/{task}")) || *name == "HttpRequest" && route.is_none());
    let mut expected = json!({
        "timestamp": NOW, "level": "warn", "isAuditLog": true, "schema": "1.0", "eventName": name, "logType": "audit",
        "stage": "completion", "status": "failed", "outcome": "completed", "instance": "run-1",
        "host": "server.example", "startedAt": NOW, "durationMs": 0.0,
        "actor": { "actorId": null, "ip": "203.0.113.9", "port": 1 },
        "errors": [{ "name": "BadRequest", "message": "400 Bad Request" }],
        "response": {
            "status": 400, "bytes": seen["response"]["bytes"],
            "bodyOmitted": { "reason": "redactor_failed", "bytes": seen["response"]["bytes"] },
        },
        "request": {
            "method": record["request"]["method"], "url": "", "protocol": "HTTP/1.1",
            "bodyOmitted": { "reason": "redactor_failed", "bytes": seen["request"]["bodyOmitted"]["bytes"] },
        },
    });
    if let Some(route) = route {
        expected["request"]["route"] = route.clone();
    }
    expected
}

/// What is left of a record where everything that clients and errors say is taken from it.
fn evidence_of(whole: &Value, seen: &Value) -> Value {
    let mut expected = whole.clone();
    expected["actor"].as_object_mut().unwrap().remove("client");
    expected["errors"] = json!([{ "name": "BadRequest", "message": "400 Bad Request" }]);
    for side in ["request", "response"] {
        let part = expected[side].as_object_mut().unwrap();
        for key in ["referer", "query", "headers", "body"] {
            part.remove(key);
        }
        let bytes = &seen[side]["bodyOmitted"]["bytes"];
        part.insert("bodyOmitted".to_owned(), json!({ "reason": "redactor_failed", "bytes": bytes }));
    }
    expected["response"]["bytes"] = seen["response"]["bytes"].clone();
    expected["request"]["url"] = "/tasks/outside".into();
    expected
}

#[tokio::test]
async fn a_redactor_that_panics_at_any_text_writes_none_and_loses_no_record() {
    for place in PLACES {
        let log = log(Redactor::builder().panic_at(TRAP));
        exchange(&log, place, TRAP).await;
        exchange(&log, Place::Nowhere, TRAP).await;
        let records = log.records(2).await;
        let text = records[0].to_string();
        assert!(!text.contains(TRAP), "{place:?}: {text}");
        if EVIDENCE.contains(&place) {
            assert!(!text.contains(OUTSIDE), "{place:?}: {text}");
            assert!(matches!(records[0]["request"]["method"].as_str(), Some("POST" | "OTHER")), "{place:?}: {text}");
            assert_eq!(records[0], bare(&records[0], &records[0]), "{place:?}");
        } else {
            assert_eq!(records[0], evidence_of(&records[1], &records[0]), "{place:?}");
        }
        // The next is as ever.
        assert_eq!(records[1]["actor"]["actorId"], OUTSIDE, "{place:?}");
        assert_eq!(records[1]["errors"][0]["message"], OUTSIDE, "{place:?}");
        assert_eq!(records[1]["request"]["body"], json!({ "password": "***", "a": [OUTSIDE] }), "{place:?}");
        let counters = log.auditor.counters();
        assert_eq!((counters.lost.total(), counters.open), (0, 0), "{place:?}: {counters:?}");
        let (report, _) = log.stop().await;
        assert!(report.is_complete() && report.lost == 0, "{place:?}: {report:?}");
    }
}

#[tokio::test]
async fn a_search_for_echoes_that_panics_leaves_evidence_alone_and_loses_no_record() {
    // Texts in which a search that has something to look for comes by.
    for place in [
        Place::Query,
        Place::Json,
        Place::Form,
        Place::Multipart,
        Place::Text,
        Place::Agent,
        Place::Referer,
        Place::Header,
        Place::Error,
        Place::Stack,
        Place::Answer,
    ] {
        let log = log(Redactor::builder().panic_in_search_at("tr4p"));
        exchange(&log, place, "tr4p-outside-pin").await;
        exchange(&log, Place::Nowhere, TRAP).await;
        let records = log.records(2).await;
        let text = records[0].to_string();
        assert!(!text.contains("tr4p"), "{place:?}: {text}");
        assert_eq!(records[0], evidence_of(&records[1], &records[0]), "{place:?}");
        assert_eq!(records[1]["actor"]["actorId"], OUTSIDE, "{place:?}");
        assert_eq!(log.auditor.counters().lost.total(), 0, "{place:?}");
    }
}

#[tokio::test]
async fn background_work_stands_without_its_texts_where_the_redactor_panics() {
    let log = log(Redactor::builder().panic_at(TRAP));
    log.auditor.begin_unlisted("Sync").stage(TRAP).meta("said", OUTSIDE).emit().await.unwrap();
    log.auditor.begin_unlisted(format!("Made.{TRAP}")).meta("said", OUTSIDE).emit().await.unwrap();
    log.auditor.begin_unlisted("Sync").meta("said", OUTSIDE).emit().await.unwrap();
    let records = log.records(3).await;
    let text = format!("{}{}", records[0], records[1]);
    assert!(!text.contains(TRAP) && !text.contains(OUTSIDE), "{text}");
    assert_eq!((&records[0]["eventName"], &records[1]["eventName"]), (&json!("Masked"), &json!("Masked")));
    assert_eq!(records[2]["meta"], json!({ "said": OUTSIDE }));
    assert_eq!(log.auditor.counters().lost.total(), 0);
}
