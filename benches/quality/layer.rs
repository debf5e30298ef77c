//! Sends bodies and texts through an `AuditLayer` and reads the records back.
//!
//! Each request also sends the evidence of its own record (route parameter, actor, object, `meta`) under names of secrets,
//! as a client would who wants it masked. None of it may be.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_audit::{Actor, Audit, Auditor, Catalog, Entity, Event, Failure, RequestBody, Source, sink};

use super::json::Node;
use super::set::Set;

/// How long writing everything may take, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nothing is cut.
const MAX_BODY: usize = 16 * 1024 * 1024;

const EVENT: &str = "SetBody";
const ROUTE: &str = "/sets/{item}";

/// One record, as far as it is judged.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) body: Option<Node>,
    /// The reason of `bodyOmitted`.
    pub(crate) omitted: Option<String>,
    /// The message of the first error.
    pub(crate) error: Option<String>,
    /// Evidence that is not as it was sent: its place, what was expected, what the record holds.
    pub(crate) altered: Vec<(&'static str, String, String)>,
}

/// What one request brings.
#[derive(Clone, Copy, Debug)]
enum Sent<'a> {
    Body { content_type: &'a str, body: &'a str },
    Text(&'a str),
}

/// What the handler of one request reports.
#[derive(Clone, Debug)]
struct Report {
    evidence: Evidence,
    failure: Option<String>,
}

/// The records of a set's bodies and of its texts, in their order.
pub(crate) fn record(set: &Set) -> Result<(Vec<Recorded>, Vec<Recorded>), String> {
    let bodies = set.bodies.iter().map(|it| Sent::Body { content_type: &it.content_type, body: &it.body });
    let texts = set.texts.iter().map(|it| Sent::Text(&it.text));
    let sent: Vec<Sent<'_>> = bodies.chain(texts).collect();
    let lines = lines(&sent)?;
    if lines.len() != sent.len() {
        return Err(format!("{} requests left {} records", sent.len(), lines.len()));
    }
    let mut records = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let record = Node::parse(line).ok_or_else(|| format!("the record of request {at} is not JSON"))?;
        records.push(recorded(&record, &Evidence::of(at)));
    }
    let texts = records.split_off(set.bodies.len());
    Ok((records, texts))
}

/// Evidence of one request. Made up, so that no body holds it by chance.
#[derive(Clone, Debug)]
struct Evidence {
    item: String,
    actor: String,
    object: String,
    task: String,
}

impl Evidence {
    fn of(at: usize) -> Self {
        Self {
            item: format!("sent-item-{at:07}"),
            actor: format!("user:default/acting-{at:07}"),
            object: format!("touched-object-{at:07}"),
            task: format!("started-task-{at:07}"),
        }
    }

    /// A client's attempt to have it masked.
    fn attack(&self) -> String {
        let Self { item, actor, object, task } = self;
        format!("password={item}&pin={actor}&secret={object}&passphrase={task}&otp={EVENT}")
    }
}

fn recorded(record: &Node, evidence: &Evidence) -> Recorded {
    let text = |pointer: &str| record.at(pointer).and_then(Node::text).map(str::to_owned);
    let Evidence { item, actor, object, task } = evidence;
    let expected = [
        ("/eventName", EVENT.to_owned()),
        ("/stage", "completion".to_owned()),
        ("/outcome", "completed".to_owned()),
        ("/requestId", item.clone()),
        ("/actor/actorId", actor.clone()),
        ("/object/id", object.clone()),
        ("/meta/taskId", task.clone()),
        ("/meta/item", item.clone()),
        ("/message", format!("{actor} changed {item} in task {task}")),
        ("/request/route", ROUTE.to_owned()),
        ("/request/params/item", item.clone()),
    ];
    let altered = expected.into_iter().filter_map(|(pointer, expected)| {
        let found = text(pointer);
        (found.as_ref() != Some(&expected)).then(|| (pointer, expected, found.unwrap_or_default()))
    });
    let path = text("/request/url").map(|url| url.split('?').next().unwrap_or_default().to_owned());
    let expected_path = format!("/sets/{item}");
    let path =
        (path.as_ref() != Some(&expected_path)).then(|| ("/request/url", expected_path, path.unwrap_or_default()));
    Recorded {
        body: record.at("/request/body").cloned(),
        omitted: text("/request/bodyOmitted/reason"),
        error: text("/errors/0/message"),
        altered: altered.chain(path).collect(),
    }
}

/// The lines of the requests' records.
fn lines(sent: &[Sent<'_>]) -> Result<Vec<String>, String> {
    let event = Event::new(EVENT)
        .on(Method::POST, ROUTE)
        .meta("item", Source::param("item"))
        .message("{actor} changed {params.item} in task {meta.taskId}");
    let (lines, records) = sink::memory();
    let auditor = Auditor::builder()
        .catalog(Catalog::new().event(event))
        .max_body_bytes(MAX_BODY)
        .max_line_bytes(4 * MAX_BODY)
        .sink(lines)
        .build()
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let report = runtime.block_on(async {
        for (at, one) in sent.iter().enumerate() {
            serve(&auditor, *one, Evidence::of(at)).await?;
        }
        Ok::<_, String>(auditor.shutdown(PATIENCE).await)
    })?;
    if !report.is_complete() {
        return Err(format!("records are missing: {report:?}"));
    }
    // The library's own records, of the start and the end, have no route.
    let is_ours = |line: &String| line.contains(r#""route":"#);
    Ok(records.lines().into_iter().filter(is_ours).collect())
}

async fn serve(auditor: &Auditor, sent: Sent<'_>, evidence: Evidence) -> Result<(), String> {
    let uri = format!("/sets/{}?{}", evidence.item, evidence.attack());
    let (content_type, body, failure) = match sent {
        Sent::Body { content_type, body } => (content_type, body, None),
        Sent::Text(text) => ("application/json", "", Some(text.to_owned())),
    };
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, content_type)
        .header("x-request-id", &evidence.item)
        .extension(Report { evidence, failure })
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(|error| error.to_string())?;
    let Ok(response) = auditor.layer().layer(service_fn(handle)).oneshot(request).await;
    response.into_body().collect().await.map(drop).map_err(|error| error.to_string())
}

async fn handle(request: Request<RequestBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut head, body) = request.into_parts();
    let report = head.extensions.remove::<Report>().expect("every request has one");
    let audit = head.extensions.get::<Audit>().expect("the layer adds it");
    let Evidence { actor, object, task, .. } = report.evidence;
    audit.actor(Actor::user(actor)).object(Entity::new("thing").id(object)).meta("taskId", task);
    if let Some(text) = report.failure {
        audit.failure(Failure::new("Error", text));
    }
    let _read = body.collect().await;
    Ok(Response::new(Full::new(Bytes::new())))
}
