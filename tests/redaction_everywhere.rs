//! What is secret in an exchange is in no text of its records that clients, errors or headers can influence, in no stage, no
//! sink and no format, and not in our diagnostics; evidence is left alone by clients, and masked by the application's word.
#![cfg(all(feature = "axum", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Path;
use axum::routing::{any, post};
use axum::{Json, Router};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::testing::{Canaries, TestLog};
use tower_audit::{
    Actor, Audit, AuditorBuilder, Bodies, BodyAs, Catalog, Credential, Entity, Event, Failure, Location, Scope, Source,
    Stages, UserAgentKey, resolver, sink,
};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The text of everything that our own diagnostics and the `tracing` sink say on any thread.
#[derive(Clone, Default)]
struct Diagnostics(Arc<Mutex<Vec<u8>>>);

impl io::Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of all threads of this test program: sinks have their own.
fn diagnostics() -> &'static Diagnostics {
    static ALL: std::sync::OnceLock<Diagnostics> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let diagnostics = Diagnostics::default();
        let writer = diagnostics.clone();
        let format = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).json();
        tracing_subscriber::registry().with(format).init();
        diagnostics
    })
}

/// An audit log with a second, a third and a fourth sink.
struct Everything {
    log: TestLog,
    file: tempfile::TempDir,
    closure: Arc<Mutex<Vec<u8>>>,
}

impl Everything {
    fn with(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> Self {
        diagnostics();
        let file = tempfile::tempdir().unwrap();
        let closure = Arc::new(Mutex::new(Vec::new()));
        let written = closure.clone();
        let log = TestLog::with(|builder| {
            let builder = builder
                .sink(sink::file(file.path().join("audit.log")).open().unwrap())
                .sink(sink::tracing())
                .sink(sink::sink_fn(move |lines: &[u8]| {
                    written.lock().unwrap().extend_from_slice(lines);
                    Ok(())
                }))
                .catalog(catalog())
                .stages(Stages::Both)
                .show_headers(["x-note", "x-api-key", "x-marked", "accept"].map(HeaderName::from_static));
            set(builder)
        });
        Self { log: log.unwrap(), file, closure }
    }

    /// Asserts that no canary stands in any sink, and gives the records.
    async fn searched(self, canaries: &Canaries, count: usize) -> Vec<Value> {
        let records = self.log.wait_for(count).await;
        assert_eq!(records.len(), count, "{records:#?}");
        let (report, lines) = self.log.stop().await;
        assert!(report.is_complete(), "{report:?}");
        for record in &records {
            let found = canaries.find(record.to_string());
            assert!(found.is_empty(), "{found:?} in {record:#}");
        }
        canaries.assert_absent(&lines);
        canaries.assert_absent_below(self.file.path()).unwrap();
        let closure = self.closure.lock().unwrap();
        assert_eq!(closure.split_inclusive(|byte| *byte == b'\n').count(), lines.len());
        canaries.assert_absent([closure.as_slice()]);
        let said = diagnostics().0.lock().unwrap().clone();
        canaries.assert_absent(said.split(|byte| *byte == b'\n'));
        records
    }
}

/// Sends a request and reads its answer to the end.
async fn answered(all: &Everything, app: Router, request: Request<Body>) {
    let response = all.log.auditor().wrap_router(app).into_service().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

fn catalog() -> Catalog {
    Catalog::new()
        .event(
            Event::new("Everything")
                .on(Method::POST, "/things/{thing}/{*rest}")
                .bodies(Bodies::Both)
                .unauthenticated_bodies()
                .text_bodies()
                .meta("thing", Source::param("thing"))
                .meta("ref", Source::template("x:{thing}"))
                .meta("q", Source::query("q"))
                .meta("said", Source::request_body("/said"))
                .meta("answered", Source::response_body("/answered"))
                .message("{actor} {method} {path} {params.thing} {meta.q} {meta.late}"),
        )
        .event(Event::new("Other").on(Method::POST, "/other").unauthenticated_bodies())
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// An error whose source quotes as well.
#[derive(Debug)]
struct Quotes(String, io::Error);

impl std::fmt::Display for Quotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot use {}", self.0)
    }
}

impl std::error::Error for Quotes {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

/// Says a value with everything that an application can say.
fn say_everywhere(audit: &Audit, value: &str) {
    let said = || format!("so {value} said");
    let behind = Actor::new(said())
        .name(said())
        .url(format!("https://host/{}", encoded(value)))
        .slug(said())
        .kind(said())
        .location(Location::new().city(said()).country(said()).continent(said()));
    let credential = Credential::new(said()).id(said()).name(said()).owner(said());
    audit.actor(behind.clone().credential(credential.clone()).on_behalf_of(behind));
    audit.credential(credential);
    let entity = || Entity::new(said()).id(said()).name(said()).version(said()).slug(said()).format(said());
    audit.object(entity()).target(entity());
    audit.scope(Scope::new(said(), format!("group/{value}")));
    audit.context(said()).project(said()).repository(said()).namespace(said());
    audit.meta("edge", said()).meta("eula", json!({ "id": said(), "number": said() }));
    audit.meta("late", said()).meta("deep", json!([{ "a": [said()], said(): 1 }])).meta(said(), 1);
    audit.meta("encoded", encoded(&encoded(value))).meta("json", json!({ "s": said() }).to_string());
    audit.error(&Quotes(said(), io::Error::other(said())));
    audit.failure(Failure::new(said(), said()).stack(format!("at {value}\n  at x({value:?})")));
}

/// A request that has a value everywhere that a client can put it.
fn request_that_says(kind: &str, value: &str) -> Request<Body> {
    let url = format!(
        "/things/{once}/a/{twice}/b?q={once}&{once}=1&u=https%3A%2F%2Fh%2F%3Fx%3D{twice}",
        once = encoded(value),
        twice = encoded(&encoded(value))
    );
    let body = match kind {
        "number" => format!(r#"{{"pin":{value},"said":{value},"again":["a {value}"]}}"#),
        _ => json!({ "said": value, "password": value, "again": [format!("a {value}")] }).to_string(),
    };
    let header = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
    let mut marked = header(&format!("m {value}"));
    marked.set_sensitive(true);
    let request = Request::post(url)
        .header("content-type", "application/json")
        .header("user-agent", header(&format!("agent/1 ({value})")))
        .header("referer", header(&format!("https://host/{}?a=b", encoded(value))))
        .header("x-note", header(value))
        .header("x-note", header(&encoded(value)))
        .header("x-api-key", header(value))
        .header("x-marked", marked)
        .header("accept", header(&format!("text/{value}")));
    let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
    let request = if visible { request.header("x-request-id", value) } else { request };
    let request = if kind == "text" { request.header("host", format!("{value}:80")) } else { request };
    request.body(Body::from(body)).unwrap()
}

/// An app that says a value with everything that it can say, and answers with it.
fn app_that_says(value: &str, is_secret: bool) -> Router {
    let quoted = value.to_owned();
    let handler = async move |audit: Audit, Path(_): Path<(String, String)>, body: String| {
        if is_secret {
            audit.secret(quoted.clone());
        }
        say_everywhere(&audit, &quoted);
        let answer = json!({ "answered": quoted, "said": body, "list": [quoted] });
        (StatusCode::BAD_REQUEST, [("x-answer", "1")], Json(answer))
    };
    Router::new().route("/things/{thing}/{*rest}", post(handler))
}

fn everything_that_a_proxy_says(value: &str, body_as: BodyAs) -> Everything {
    let value = value.to_owned();
    Everything::with(|builder| {
        builder.stages(Stages::Completion).body_as(body_as).user_agent_key(UserAgentKey::Both).actor_resolver(
            resolver::actor_fn(move |_, _| Some(Actor::new(format!("proxy {value}")).name(&*value).unverified())),
        )
    })
}

#[tokio::test]
async fn what_the_application_calls_secret_stands_in_no_string_of_the_record() {
    for kind in ["text", "odd", "number", "key", "jwt"] {
        for body_as in [BodyAs::Json, BodyAs::String] {
            let canaries = Canaries::new();
            let value = canaries.iter().find(|(name, _)| *name == kind).unwrap().1.to_owned();
            let all = everything_that_a_proxy_says(&value, body_as);
            answered(&all, app_that_says(&value, true), request_that_says(kind, &value)).await;
            let records = all.searched(&canaries, 1).await;
            for pointer in
                ["/actor/name", "/object/kind", "/scope/path", "/errors/0/stack", "/meta/eula/number", "/meta/edge"]
            {
                let text = records[0].pointer(pointer).and_then(Value::as_str);
                assert!(text.is_some_and(|text| text.contains("***")), "{pointer} of {kind}: {:#}", records[0]);
            }
        }
    }
}

/// What clients, headers and errors say of a record, of which nothing is evidence.
fn client_texts(record: &Value) -> Vec<Value> {
    let url = record["request"]["url"].as_str().unwrap();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut all = vec![query.into(), record["actor"]["client"].clone(), record["actor"]["userAgent"].clone()];
    for error in record["errors"].as_array().into_iter().flatten() {
        all.extend([error["message"].clone(), error["stack"].clone()]);
    }
    for pointer in ["/request/referer", "/request/headers", "/request/body", "/response/body"] {
        all.push(record.pointer(pointer).cloned().unwrap_or_default());
    }
    all
}

#[tokio::test]
async fn a_secret_of_a_client_stands_in_nothing_that_clients_and_errors_say_and_changes_no_evidence() {
    for kind in ["text", "odd", "number"] {
        for body_as in [BodyAs::Json, BodyAs::String] {
            let canaries = Canaries::new();
            let value = canaries.iter().find(|(name, _)| *name == kind).unwrap().1.to_owned();
            let all = everything_that_a_proxy_says(&value, body_as);
            answered(&all, app_that_says(&value, false), request_that_says(kind, &value)).await;
            let record = all.log.wait_for(1).await.remove(0);
            for text in client_texts(&record) {
                let found = canaries.find(text.to_string());
                assert!(found.is_empty(), "{kind}: {found:?} in {text}");
            }
            let said = format!("so {value} said");
            for pointer in [
                "/actor/actorId",
                "/actor/name",
                "/actor/slug",
                "/actor/onBehalfOf/actorId",
                "/actor/credential/id",
                "/object/id",
                "/target/name",
                "/scope/kind",
                "/context",
                "/project",
                "/repository",
                "/namespace",
                "/meta/edge",
                "/meta/eula/id",
                "/meta/late",
                "/meta/deep/0/a/0",
                "/errors/0/name",
            ] {
                let shown = record.pointer(pointer).or_else(|| record.pointer(&format!("/meta{pointer}")));
                let expected = if pointer == "/errors/0/name" { None } else { Some(&*said) };
                let shown = shown.and_then(Value::as_str);
                assert!(expected.is_none() || shown == expected, "{pointer} of {kind}: {record:#}");
            }
            assert_eq!(record["scope"]["path"], format!("group/{value}"));
            assert!(record["request"]["url"].as_str().unwrap().starts_with("/things/"));
            assert_eq!(record["request"]["params"]["thing"], as_param(&value, body_as), "{record:#}");
        }
    }
}

fn as_param(value: &str, body_as: BodyAs) -> Value {
    if body_as == BodyAs::String { json!([value]) } else { json!(value) }
}

#[tokio::test]
async fn a_secret_of_the_query_changes_no_evidence_where_no_route_matched() {
    let canaries = Canaries::new();
    let value = canaries.text();
    let all = Everything::with(|builder| builder);
    // A method, a path and a host of the client's own.
    let method = Method::from_bytes(value.as_bytes()).unwrap();
    let path = format!("/nothing/{value};v={value}/%63{}", &value[1..]);
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{value}{path}?api%5Fkey={value}&a={value}#"))
        .header("referer", format!("/{value}"))
        .header("traceparent", format!("00-{}-00f067aa0ba902b7-01", &value[6..]))
        .header("x-note", format!("Basic {value}"))
        .body(Body::empty())
        .unwrap();
    let app = Router::<()>::new().route("/things", any(|| async {}));
    let answer = all.log.auditor().wrap_router(app).into_service().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    answer.into_body().collect().await.unwrap();
    let records = all.log.wait_for(2).await;
    for record in &records {
        assert_eq!(record["request"]["method"], value);
        assert_eq!(record["actor"]["hostname"], value);
        assert_eq!(record["traceId"], &value[6..]);
        assert_eq!(record["request"]["url"], format!("{path}?api%5Fkey=***&a=***"));
        assert_eq!(record["request"]["query"], json!({ "api_key": "***", "a": "***" }));
        for text in client_texts(record) {
            assert!(canaries.find(text.to_string()).is_empty(), "{text}");
        }
    }
}

#[tokio::test]
async fn axums_own_rejection_quotes_nothing() {
    #[derive(Debug, serde::Deserialize)]
    struct Login {
        #[serde(rename = "password")]
        _password: u32,
    }
    let canaries = Canaries::new();
    let all = Everything::with(|builder| builder);
    let handler = async |audit: Audit, body: Result<Json<Login>, axum::extract::rejection::JsonRejection>| {
        let rejection = body.unwrap_err();
        audit.error(&rejection);
        (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": rejection.body_text() })))
    };
    let app = Router::new().route("/things/{thing}/{*rest}", post(handler));
    let body = json!({ "password": canaries.odd() }).to_string();
    let request =
        Request::post("/things/1/2").header("content-type", "application/json").body(Body::from(body)).unwrap();
    let answer = all.log.auditor().wrap_router(app).into_service().oneshot(request).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(!canaries.find(&answer).is_empty(), "the client is told what it sent");
    let records = all.searched(&canaries, 2).await;
    assert!(records[1]["errors"][0]["message"].as_str().unwrap().contains("***"), "{:#}", records[1]);
    assert!(records[1]["response"]["body"]["error"].as_str().unwrap().contains("***"), "{:#}", records[1]);
}

#[tokio::test]
async fn names_that_a_handler_makes_of_a_secret_are_masked() {
    let canaries = Canaries::new();
    let value = canaries.text().to_owned();
    let all = Everything::with(|builder| builder.stages(Stages::Completion));
    let app = Router::new().route(
        "/other",
        post(async move |audit: Audit| {
            audit.secret(value.clone());
            audit.event(&format!("Made.{value}")).unwrap();
        }),
    );
    let request = Request::post("/other").body(Body::empty()).unwrap();
    all.log.auditor().wrap_router(app).into_service().oneshot(request).await.unwrap();
    let records = all.searched(&canaries, 1).await;
    assert_eq!(
        (&records[0]["eventName"], &records[0]["message"]),
        (&json!("Masked"), &json!("Masked by somebody succeeded"))
    );
}

#[tokio::test]
async fn nobody_can_rename_an_event_by_sending_its_name_as_a_secret() {
    let canaries = Canaries::new();
    let all = Everything::with(|builder| builder);
    let app = Router::new().route("/other", post(|| async {}));
    let request =
        Request::post("/other?password=HttpRequest&token=completion&pin=succeeded").body(Body::empty()).unwrap();
    all.log.auditor().wrap_router(app).into_service().oneshot(request).await.unwrap();
    let records = all.searched(&canaries, 2).await;
    assert_eq!((&records[1]["eventName"], &records[1]["stage"]), (&json!("Other"), &json!("completion")));
    assert_eq!(records[1]["status"], "succeeded");
}

#[tokio::test]
async fn background_work_tells_no_secret_either() {
    let canaries = Canaries::new();
    let all = Everything::with(|builder| builder);
    for (_, value) in canaries.iter() {
        let begin = || {
            all.log
                .auditor()
                .begin_unlisted("Sync")
                .secret(value)
                .context(value)
                .object(Entity::new(value.to_owned()).id(value))
        };
        begin().stage(format!("step {value}")).meta(value.to_owned(), value).emit().await.unwrap();
        let activity = begin().meta("config", json!({ "password": value, "text": value })).await.unwrap();
        say_everywhere(activity.audit(), value);
        activity.fail(&io::Error::other(format!("refused: {value}")));
        // Dropped unfinished.
        drop(begin().actor(Actor::service(value)).await.unwrap());
    }
    all.searched(&canaries, 25).await;
}

#[tokio::test]
async fn what_is_left_out_or_cut_leaves_nothing_of_a_secret_behind() {
    let canaries = Canaries::new();
    let value = canaries.text();
    let all = Everything::with(|builder| builder.max_body_bytes(4_096));
    let app = || Router::new().route("/other", post(async |body: String| body));
    let bodies = [
        ("application/json", format!(r#"{{"a":1,"password":"{value}"#)),
        ("application/json", format!(r#"{{"a":1,"password":"{value}"}} and {value}"#)),
        ("application/json; charset=utf-16", format!(r#"{{"password":"{value}"}}"#)),
        ("application/x-www-form-urlencoded", format!(r#"{{"password":"{value}"}}"#)),
        ("multipart/form-data", format!("--x\r\n\r\n{value}")),
        ("text/plain", format!("the password is {value}")),
        ("image/png", value.to_owned()),
        ("", value.to_owned()),
    ];
    let mut count = 0;
    for (content_type, body) in bodies {
        let request = Request::post("/other").header("content-type", content_type).body(Body::from(body)).unwrap();
        answered(&all, app(), request).await;
        count += 2;
    }
    // Cut at each byte of a secret; what quotes the whole of it is masked too.
    for beginning in 0..value.len() + 2 {
        let fill = "x".repeat(4_096 - r#"{"fill":"","token":""#.len() - beginning);
        let body = format!(r#"{{"fill":"{fill}","token":"{value}","last":1}}"#);
        let request =
            Request::post("/other").header("content-type", "application/json").body(Body::from(body)).unwrap();
        answered(&all, app(), request).await;
        count += 2;
    }
    all.searched(&canaries, count).await;
}
