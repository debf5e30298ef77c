use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::capture::Progress;
use crate::format;
use crate::record::wire::Process;
use crate::record::{Actor, Credential, Entity, Failure, Outcome, Scope};
use crate::redact::Redacted;
use crate::{Auditor, Bodies, Catalog, Event, sink};

const SECRET: &str = "s3cr3t";

fn auditor() -> Auditor {
    let event =
        Event::new("Login").on(http::Method::POST, "/login/{user}").bodies(Bodies::Both).unauthenticated_bodies();
    let (lines, _records) = sink::memory();
    Auditor::builder().catalog(Catalog::new().event(event)).sink(lines).build().unwrap()
}

/// A request every text of which is a secret, and that failed.
fn draft(engine: &Engine) -> Draft {
    let mut draft = Draft::default();
    let path = format!("/login/{SECRET}");
    let crate::catalog::Found::Event(found) = engine.routes.find(&http::Method::POST, &path) else {
        panic!("the catalog has the route")
    };
    let mut params = crate::catalog::Params::default();
    engine.routes.params(found, &path, &mut params);
    draft.route.listed = Some((found.route, params));
    draft.event = EventRef::Listed(found.event);
    draft.stage = Stage::Named(Cow::Owned(SECRET.into()));
    draft.outcome = Some(Outcome::Completed);
    draft.status = Some(StatusCode::BAD_REQUEST);
    draft.method = draft.keep(SECRET.as_bytes(), 64);
    draft.path = draft.keep(path.as_bytes(), 64);
    draft.query = draft.keep(format!("q={SECRET}").as_bytes(), 64);
    draft.has_query = true;
    draft.referer = draft.keep(SECRET.as_bytes(), 64);
    draft.user_agent = draft.keep(SECRET.as_bytes(), 64);
    draft.request_type = draft.keep(b"text/json", 64);
    draft.response_type = draft.keep(b"application/json", 64);
    for body in [&mut draft.request_body, &mut draft.response_body] {
        body.progress = Progress::Open;
        body.keep(100, true);
        body.push(format!("[\"{SECRET}\",1,").as_bytes());
    }
    let late = draft.late();
    late.set_actor(Actor::user(SECRET).name(SECRET).credential(Credential::new(SECRET.to_owned()).id(SECRET)));
    late.set_object(Entity::new(SECRET.to_owned()).id(SECRET));
    late.set_scope(Scope::group(SECRET));
    late.project = Some(SECRET.into());
    late.trace = Some((SECRET.into(), SECRET.into()));
    late.add_meta(SECRET.to_owned().into(), json!(SECRET));
    late.add_error(Failure::new(SECRET, SECRET).stack(SECRET));
    draft
}

fn line(record: &Finished) -> Value {
    let mut text = Redacted::default();
    let instance = text.constant("test");
    let process = Process::new(&text, instance, None, None, Default::default());
    let mut line = Vec::new();
    format::write_line(&mut format::json(), record.view(&process).numbered(1), 16 * 1024, &mut line);
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn a_bare_record_has_no_text_from_outside() {
    let auditor = auditor();
    let engine = auditor.engine();
    let mut draft = draft(engine);
    let (mut made, mut bare) = (Finished::default(), Finished::default());
    record(engine, &draft, Extent::Whole, &mut Memory::default(), &mut made);
    let process = Process::default();
    let seen = made.view(&process);
    assert!(seen.event_name() == "Login" && seen.actor_id() == Some(SECRET) && seen.stage() == SECRET, "{seen:?}");

    bare_record(engine, &draft, &mut bare);
    let omitted = json!({ "reason": "redactor_failed", "bytes": 12 });
    assert_eq!(
        line(&bare),
        json!({
            "timestamp": "1970-01-01T00:00:00.000000Z", "level": "warn", "isAuditLog": true, "schema": "1.0",
            "eventName": "Login", "logType": "audit", "stage": "completion", "status": "failed", "outcome": "completed",
            "auditId": "00000000-0000-0000-0000-000000000000", "instance": "test", "seq": 1,
            "startedAt": "1970-01-01T00:00:00.000000Z", "durationMs": 0.0, "actor": { "actorId": null },
            "errors": [{ "name": "BadRequest", "message": "400 Bad Request" }],
            "response": { "status": 400, "bytes": 12, "bodyOmitted": omitted },
            "request": {
                "method": "OTHER", "url": "", "route": "/login/{user}", "protocol": "HTTP/1.1",
                "bodyOmitted": omitted
            },
        })
    );
    assert!(!format!("{:?}", bare.view(&process)).contains(SECRET));

    // The name of an event that was made while the program ran.
    draft.event = engine.named(SECRET).unwrap();
    bare_record(engine, &draft, &mut bare);
    assert_eq!(bare.view(&process).event_name(), "Masked");
    record(engine, &draft, Extent::Whole, &mut Memory::default(), &mut made);
    assert_eq!(made.view(&process).event_name(), SECRET);
    draft.late().add_secret(SECRET.into());
    record(engine, &draft, Extent::Whole, &mut Memory::default(), &mut made);
    assert_eq!(made.view(&process).event_name(), "Masked");
    assert!(!line(&made).to_string().contains(SECRET), "{}", line(&made));
    drop(auditor);
}

/// Counts what it is shown, and lets no JSON through.
#[derive(Default)]
struct Refusing {
    texts: usize,
    values: usize,
}

impl ClientPieces for Refusing {
    fn text(&mut self, _piece: &mut ClientText) {
        self.texts += 1;
    }

    fn json(&mut self, _piece: &mut ClientJson) -> Result<(), Reason> {
        self.values += 1;
        Err(Reason::Budget)
    }
}

#[test]
fn each_piece_of_a_client_is_visited_once_and_left_out_if_it_must_not_show() {
    let auditor = auditor();
    let engine = auditor.engine();
    let mut made = Finished::default();
    record(engine, &draft(engine), Extent::Whole, &mut Memory::default(), &mut made);
    let mut visit = Refusing::default();
    made.fields.each_client(&mut visit);
    // User agent, message and stack, query of the URL, referer, two content types; query and two bodies.
    assert_eq!((visit.texts, visit.values), (7, 3));
    let shown = line(&made);
    assert_eq!(shown["request"].get("query"), None);
    for side in ["request", "response"] {
        assert_eq!(shown[side]["bodyOmitted"]["reason"], "budget", "{shown}");
        assert_eq!(shown[side].get("body"), None);
    }
}

#[test]
fn a_record_in_used_memory_is_the_same_as_in_new_memory() {
    let auditor = auditor();
    let engine = auditor.engine();
    let mut memory = Memory::default();
    let mut used = Finished::default();
    record(engine, &draft(engine), Extent::Whole, &mut memory, &mut used);
    let mut plain = Draft::default();
    plain.elapsed = Duration::from_millis(5);
    plain.method = plain.keep(b"GET", 64);
    plain.path = plain.keep(b"/a", 64);
    record(engine, &plain, Extent::Whole, &mut memory, &mut used);
    let mut new = Finished::default();
    record(engine, &plain, Extent::Whole, &mut Memory::default(), &mut new);
    assert_eq!(line(&used), line(&new));
    assert_eq!(line(&new)["message"], "GET /a by somebody succeeded");
}

#[tokio::test]
async fn a_parameter_under_its_own_name_is_what_the_rules_of_meta_make_of_it() {
    let long = format!("{} password: \"hunter2-x9\"", "a".repeat(300));
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for name in ["taskId", "token", "password", "code", "accessTokenLifetime"] {
        for value in ["t-1", "1234", token, "{\"password\":\"x\"}", "a\"b\\c", "é", "***", &long] {
            let shown = meta_of_param(name, value, true).await;
            assert_eq!(shown, meta_of_param(name, value, false).await, "{name}: {value}");
            assert!(shown[name].is_string() && !shown.to_string().contains(&token[4..]), "{shown}");
        }
    }
}

/// `meta` of a request whose path has this parameter. The first source decides how it is made: the parameter, or else a query that
/// is never there.
async fn meta_of_param(name: &'static str, value: &str, is_first: bool) -> Value {
    use http_body_util::BodyExt as _;
    use tower::{Layer as _, ServiceExt as _};

    let event = Event::new("Read").on(http::Method::GET, format!("/x/{{{name}}}/y"));
    let event = if is_first { event } else { event.meta(name, crate::Source::query("none")) };
    let catalog = Catalog::new().event(event.meta(name, crate::Source::param(name)));
    let (lines, records) = sink::memory();
    let auditor = Auditor::builder().catalog(catalog).sink(lines).build().unwrap();
    type Bytes = http_body_util::Full<bytes::Bytes>;
    let service = auditor.layer().layer(tower::service_fn(async |_: http::Request<crate::RequestBody<Bytes>>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(Bytes::default()))
    }));
    let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
    let request = http::Request::get(format!("/x/{value}/y")).body(Bytes::default()).unwrap();
    service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
    let line: Value = serde_json::from_str(&records.lines()[1]).unwrap();
    assert_eq!(line["eventName"], "Read");
    line["meta"].clone()
}
