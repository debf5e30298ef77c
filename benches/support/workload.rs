//! The workload: 19 routes, a typed JSON handler, a POST with 330 bytes of JSON and `secrets`, and a GET with a parameter.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path};
use axum::routing::MethodFilter;
use axum::routing::{get, on, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower::{Service, ServiceExt as _};
use tower_audit::{Actor, Audit, Catalog, Event, Source};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Post,
    Get,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Post, Self::Get];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
}

pub(crate) const BODY: &str = concat!(
    r#"{"templateRef":"template:default/example-template","values":{"name":"payment-gateway","owner":"group:default/"#,
    r#"payments","repoUrl":"github.com?owner=acme&repo=payment-gateway","port":443,"replicas":3,"public":false},"#,
    r#""secrets":{"USER_OAUTH_TOKEN":"gho_16C7e42F292c6912E7710c838347Ae178B4a","password":"correct horse battery"#,
    r#" staple"}}"#,
);

/// Event, method and route. The first two have handlers of their own.
const ROUTES: [(&str, Method, &str); 19] = [
    ("TaskCreation", Method::POST, "/v2/tasks"),
    ("TaskFetch", Method::GET, "/v2/tasks/{taskId}"),
    ("TaskListFetch", Method::GET, "/v2/tasks"),
    ("TaskCancellation", Method::POST, "/v2/tasks/{taskId}/cancel"),
    ("TaskStream", Method::GET, "/v2/tasks/{taskId}/eventstream"),
    ("TaskEventFetch", Method::GET, "/v2/tasks/{taskId}/events"),
    ("DryRun", Method::POST, "/v2/dry-run"),
    ("ActionsFetch", Method::GET, "/v2/actions"),
    ("SchemaFetch", Method::GET, "/v2/templates/{namespace}/{kind}/{name}/parameter-schema"),
    ("EntityFetch", Method::GET, "/entities"),
    ("EntityFetchByUid", Method::GET, "/entities/by-uid/{uid}"),
    ("EntityDeletion", Method::DELETE, "/entities/by-uid/{uid}"),
    ("EntityFetchByName", Method::GET, "/entities/by-name/{kind}/{namespace}/{name}"),
    ("EntityAncestryFetch", Method::GET, "/entities/by-name/{kind}/{namespace}/{name}/ancestry"),
    ("EntityBatchFetch", Method::POST, "/entities/by-refs"),
    ("LocationFetch", Method::GET, "/locations"),
    ("LocationCreation", Method::POST, "/locations"),
    ("LocationFetchById", Method::GET, "/locations/{id}"),
    ("LocationDeletion", Method::DELETE, "/locations/{id}"),
];

/// The catalog of the routes, with `more` events that nobody asks for.
pub(crate) fn catalog(more: usize) -> Catalog {
    let mut catalog = Catalog::new().service("backstage").plugin("scaffolder");
    for (name, method, route) in ROUTES {
        let event = Event::new(name).on(method, route).kind("scaffolder");
        catalog =
            catalog.event(if name == "TaskFetch" { event.meta("taskId", Source::param("taskId")) } else { event });
    }
    (0..more).fold(catalog, |catalog, at| {
        let route = format!("/v2/{}/{at}/{{id}}/part{}", ["tasks", "things", "tests"][at % 3], at % 7);
        catalog.event(Event::new(format!("Other{at}")).on(Method::GET, route))
    })
}

/// How many routes the catalog has without more.
pub(crate) const LEAST_ROUTES: usize = ROUTES.len();

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewTask {
    template_ref: String,
    values: Values,
    secrets: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Values {
    name: String,
    owner: String,
    repo_url: String,
    port: u16,
    replicas: u32,
    public: bool,
}

#[derive(Serialize)]
struct Created {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    id: String,
    status: &'static str,
    created_at: &'static str,
    last_heartbeat_at: Option<&'static str>,
    created_by: &'static str,
}

fn created(task: &NewTask) -> (StatusCode, Json<Created>) {
    let values = &task.values;
    let sizes = [&task.template_ref, &values.name, &values.owner, &values.repo_url].map(String::len);
    let sum = sizes.iter().sum::<usize>() + task.secrets.len() + usize::from(values.public);
    let id = format!("{sum}-{}-{}", values.port, values.replicas);
    (StatusCode::CREATED, Json(Created { id }))
}

async fn create(Json(task): Json<NewTask>) -> (StatusCode, Json<Created>) {
    created(&task)
}

async fn create_and_say(audit: Audit, Json(task): Json<NewTask>) -> (StatusCode, Json<Created>) {
    audit.actor(Actor::user("user:default/jane")).meta("templateRef", task.template_ref.as_str());
    created(&task)
}

fn task(id: String) -> Json<Task> {
    Json(Task {
        id,
        status: "processing",
        created_at: "2026-11-20T07:55:37.720Z",
        last_heartbeat_at: None,
        created_by: "user:default/jane",
    })
}

async fn fetch(Path(id): Path<String>) -> Json<Task> {
    task(id)
}

async fn fetch_and_say(audit: Audit, Path(id): Path<String>) -> Json<Task> {
    audit.actor(Actor::user("user:default/jane"));
    task(id)
}

/// Whether handlers use the `Audit` handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handlers {
    Silent,
    Speaking,
}

pub(crate) fn router(handlers: Handlers) -> Router {
    let (create, fetch) = match handlers {
        Handlers::Silent => (post(create), get(fetch)),
        Handlers::Speaking => (post(create_and_say), get(fetch_and_say)),
    };
    let router = Router::new().route("/v2/tasks", create).route("/v2/tasks/{taskId}", fetch);
    ROUTES.into_iter().skip(2).fold(router, |router, (_, method, route)| {
        let filter = MethodFilter::try_from(method).expect("axum knows the methods of the workload");
        router.route(route, on(filter, async || StatusCode::NO_CONTENT))
    })
}

/// A request as it comes from hyper: 10 headers, and the peer's address.
pub(crate) fn request(kind: Kind) -> Request<Body> {
    let (method, uri) = match kind {
        Kind::Post => (Method::POST, "/v2/tasks"),
        Kind::Get => (Method::GET, "/v2/tasks/4d3c1f0a-6f0e-4f7c-9a55-0d7f6b6f4a11"),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, "backstage.example.com")
        .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header(header::ACCEPT, "application/json, text/plain, */*")
        .header(header::ACCEPT_LANGUAGE, "en-US,en;q=0.5")
        .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
        .header(header::AUTHORIZATION, "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl")
        .header("x-request-id", "0b5f4b0e-9d67-4a1c-a4a3-51b40a6d6c4f")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    request = match kind {
        Kind::Post => {
            request.header(header::CONTENT_TYPE, "application/json").header(header::CONTENT_LENGTH, BODY.len())
        }
        Kind::Get => request
            .header(header::REFERER, "https://backstage.example.com/create/tasks")
            .header(header::COOKIE, "session=4d3c1f0a6f0e4f7c9a550d7f6b6f4a11"),
    };
    let peer = ConnectInfo(SocketAddr::from(([10, 128, 3, 17], 51_234)));
    let body = match kind {
        Kind::Post => Body::from(Bytes::from_static(BODY.as_bytes())),
        Kind::Get => Body::empty(),
    };
    request.extension(peer).body(body).expect("the workload's request is valid")
}

pub(crate) fn requests(kind: Kind, count: usize) -> Vec<Request<Body>> {
    (0..count).map(|_| request(kind)).collect()
}

/// Serves one request as `axum::serve` does, and reads the body as hyper does; its length.
pub(crate) async fn serve<S, B>(service: &S, request: Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
{
    let Ok(response) = service.clone().oneshot(request).await else { panic!("the service failed") };
    assert!(response.status().is_success());
    let mut body = pin!(response.into_body());
    let mut length = 0;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(frame) = frame else { panic!("the body failed") };
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    length
}

/// What is wrong with the record of a POST. The whole contract has to stand there: what skips a part of it measures nothing.
pub(crate) fn check(record: &Value, peer: &str) -> Result<(), String> {
    for (pointer, expected) in [
        ("/isAuditLog", Value::from(true)),
        ("/eventName", "TaskCreation".into()),
        ("/stage", "completion".into()),
        ("/outcome", "completed".into()),
        ("/requestId", "0b5f4b0e-9d67-4a1c-a4a3-51b40a6d6c4f".into()),
        ("/traceId", "0af7651916cd43dd8448eb211c80319c".into()),
        ("/actor/ip", peer.into()),
        ("/actor/hostname", "backstage.example.com".into()),
        ("/request/route", "/v2/tasks".into()),
        ("/request/body/values/name", "payment-gateway".into()),
        ("/request/body/secrets/password", "***".into()),
        ("/response/status", 201.into()),
    ] {
        if record.pointer(pointer) != Some(&expected) {
            return Err(format!("{pointer} is not {expected}"));
        }
    }
    let delivered = record.pointer("/response/bytes").and_then(Value::as_u64);
    if delivered.is_some_and(|bytes| bytes > 0) { Ok(()) } else { Err("/response/bytes is not counted".into()) }
}

/// A body made to be slow.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) body: Bytes,
}

/// Makes a body of about so many bytes.
type Make = fn(usize) -> String;

/// Every shape at three sizes: what a byte costs must not grow with them.
pub(crate) fn shapes() -> Vec<Shape> {
    let makers: [(&'static str, Make); 21] = [
        ("like the 330 B", |size| filled("[", BODY, ",", "]", size)),
        ("deep nesting", |size| filled("[", &("[".repeat(60) + &"]".repeat(60)), ",", "]", size)),
        ("many keys", |size| numbered("{", "\"key", "\":0", size)),
        ("many secret keys, all remembered", |size| numbered("{", "\"token", "\":\"0123456789abcdef\"", size)),
        ("backslashes", |size| filled("\"", "\\\\", "", "\"", size)),
        ("almost tokens of known makes", |size| filled("\"", "eyJ.AKIA.ghp_.Bearer .xoxb-.", "", "\"", size)),
        ("almost card numbers", |size| filled("\"", "4111 1111 1111 1112 ", "", "\"", size)),
        ("almost pairs", |size| filled("\"", "tokens_id = a=%25&", "", "\"", size)),
        ("almost names", |size| filled("\"", "a tokens_id: {x}, ", "", "\"", size)),
        ("names without values", |size| filled("\"", "a:1\\ntoken:\\n", "", "\"", size)),
        ("names with values", |size| filled("\"", "{pin: Some(1), a: 2} ", "", "\"", size)),
        ("names and arrows", |size| filled("\"", "a token -> ", "", "\"", size)),
        ("refused values", |size| filled("\"", "token: invalid type: map, expected a\\n", "", "\"", size)),
        ("addresses with secret names", |size| filled("\"", "x://token:1 urn:a:token:b ", "", "\"", size)),
        ("brackets and quotes that close nowhere", |size| filled("\"x: {[('", "([{'\\\"", "", "\"", size)),
        ("deeper and deeper lines", |size| filled("\"a:\\n", "value:\\n  - name: x\\n", "", "\"", size)),
        ("tags in tags", |size| filled("\"", "<a b=\\\"<a c='", "", "\"", size)),
        ("secret elements", |size| filled("\"x ", "<pin>1</pin>", "", "\"", size)),
        ("types that are secret", |size| filled("\"x ", "Vec<Token> ", "", "\"", size)),
        ("references and escapes", |size| filled("\"x ", "&amp;amp;lt;%2526\\\\u005cu0025", "", "\"", size)),
        ("XML", |size| filled("\"<a>", "<b c='d'>e: %2526lt;</b>", "", "</a>\"", size)),
    ];
    let sizes = [1024, 4 * 1024, 16 * 1024 - 64];
    let shape = |(name, make): (&'static str, Make)| sizes.map(|size| Shape { name, body: make(size).into() });
    makers.into_iter().flat_map(shape).collect()
}

fn filled(open: &str, part: &str, comma: &str, close: &str, size: usize) -> String {
    let mut text = format!("{open}{part}");
    while text.len() + part.len() + comma.len() < size {
        text.push_str(comma);
        text.push_str(part);
    }
    text + close
}

fn numbered(open: &str, key: &str, value: &str, size: usize) -> String {
    let mut text = format!("{open}{key}0{value}");
    for number in 1.. {
        if text.len() + key.len() + value.len() + 6 > size {
            break;
        }
        text.push_str(&format!(",{key}{number}{value}"));
    }
    text + "}"
}
