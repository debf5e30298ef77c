//! Where the layer can stand, and what it sees there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use bytes::{Buf as _, BufMut as _, Bytes};
use common::net::{self, listen, serve, serve_tower};
use common::{Log, expected, failed, log, log_of, record};
use http::{Method, Request, Response};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_audit::{Audit, Event, PeerAddr};

fn fetch() -> Event {
    Event::new("Fetch").on(Method::GET, "/api/tasks/{taskId}")
}

async fn serve_app(app: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The record of `GET /api/tasks/7`, answered with `task`.
fn fetched(patch: Value) -> Value {
    let request = json!({ "url": "/api/tasks/7", "route": "/api/tasks/{taskId}", "params": { "taskId": "7" } });
    record(expected::with(json!({ "eventName": "Fetch", "response": { "bytes": 4 }, "request": request }), patch))
}

fn not_found(url: &str) -> Value {
    let failure = failed("warn", "completed", "NotFound", "404 Not Found");
    record(expected::with(failure, json!({ "response": { "status": 404 }, "request": { "url": url } })))
}

const NO_PEER: &str = r#"{ "ip": null, "port": null }"#;

fn no_peer() -> Value {
    json!({ "actor": serde_json::from_str::<Value>(NO_PEER).unwrap() })
}

// ---- around a finished router: what we recommend

/// It sees every request, those too that no route matches, and the peer. The template is the catalog's; without an
/// event it is unknown, unless the handler takes `Audit`, which tells it.
#[tokio::test]
async fn around_a_finished_router_it_sees_everything_and_the_peer() {
    let log = log_of([fetch()]);
    let app = Router::new()
        .route(
            "/api/tasks/{id}",
            get(async |peer: ConnectInfo<SocketAddr>| if peer.ip().is_loopback() { "task" } else { "" }),
        )
        .route("/plain/{id}", get(async || ()))
        .route("/audited/{id}", get(async |_: Audit| ()));
    let address = serve(log.auditor.wrap_router(app)).await;
    for url in ["/api/tasks/7", "/plain/7", "/audited/7", "/nope"] {
        net::get(address, url).await;
    }
    let plain = record(json!({ "request": { "url": "/plain/7" } }));
    let told = json!({ "url": "/audited/7", "route": "/audited/{id}", "params": { "id": "7" } });
    assert_eq!(
        log.records(4).await,
        [fetched(json!({})), plain, record(json!({ "request": told })), not_found("/nope")]
    );
}

// ---- Router::layer

/// It sees what the router matched, template and params, for every route that was added before it, and fallbacks;
/// the peer only where the server says it (`into_make_service_with_connect_info`).
#[tokio::test]
async fn under_router_layer_it_sees_template_and_params_of_every_route() {
    let log = log_of([fetch()]);
    let app = || {
        Router::new()
            .route("/api/tasks/{taskId}", get(async || "task"))
            .route("/plain/{id}", get(async || ()))
            .layer(log.auditor.layer())
            .route("/too/late", get(async || ()))
    };
    let address = serve_app(app()).await;
    for url in ["/api/tasks/7", "/plain/7", "/nope", "/too/late"] {
        net::get(address, url).await;
    }
    let plain = json!({ "url": "/plain/7", "route": "/plain/{id}", "params": { "id": "7" } });
    let [mut missing] = [not_found("/nope")];
    for key in ["ip", "port"] {
        missing["actor"].as_object_mut().unwrap().remove(key);
    }
    let records = [fetched(no_peer()), record(expected::with(no_peer(), json!({ "request": plain }))), missing];
    assert_eq!(log.records(3).await, records);

    let (listener, address) = listen().await;
    let service = app().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    net::get(address, "/api/tasks/7").await;
    assert_eq!(log.records(4).await[3], fetched(json!({})));
}

// ---- nested routers

/// It sees the requests that the nest's routes match, with whole paths and templates. It does not see the nest's own
/// 404, nor anything outside.
#[tokio::test]
async fn on_a_nested_router_it_sees_whole_paths_and_not_the_nests_own_404() {
    let log = log_of([fetch()]);
    let nested = Router::new().route("/tasks/{taskId}", get(async || "task")).layer(log.auditor.layer());
    let app = Router::new().nest("/api", nested).route("/outside", get(async || ()));
    let address = serve_app(app).await;
    for url in ["/api/tasks/7", "/api/nope", "/outside", "/nope"] {
        net::get(address, url).await;
    }
    assert_eq!(log.records(1).await, [fetched(no_peer())]);
}

/// Around a router with a nested service the layer has no template but the catalog's, and sees the original path.
#[tokio::test]
async fn above_a_nested_service_it_sees_the_original_path() {
    let log = log_of([fetch()]);
    let inner = Router::new().route("/tasks/{id}", get(async || "task"));
    let app = Router::new().nest_service("/api", inner).layer(log.auditor.layer());
    let address = serve_app(app).await;
    net::get(address, "/api/tasks/7").await;
    assert_eq!(log.records(1).await, [fetched(no_peer())]);
}

/// Inside a nested service the path is still the original one.
#[tokio::test]
async fn inside_a_nested_service_it_sees_the_original_path() {
    let log = log_of([fetch()]);
    let inner = Router::new().route("/tasks/{id}", get(async || "task")).layer(log.auditor.layer());
    let app = Router::new().nest_service("/api", inner);
    let address = serve_app(app).await;
    net::get(address, "/api/tasks/7").await;
    let got = log.only().await;
    assert_eq!((&got["eventName"], &got["request"]["url"]), (&json!("Fetch"), &json!("/api/tasks/7")));
}

/// On one method's route it sees that route alone.
#[tokio::test]
async fn on_a_method_router_it_sees_that_route_alone() {
    let log = log_of([fetch()]);
    let app = Router::new()
        .route("/api/tasks/{taskId}", get(async || "task").layer(log.auditor.layer()).post(async || ()))
        .route("/plain", get(async || ()));
    let address = serve_app(app).await;
    net::ask(address, net::head("POST", "/api/tasks/7")).await;
    net::get(address, "/plain").await;
    net::get(address, "/api/tasks/7").await;
    assert_eq!(log.records(1).await, [fetched(no_peer())]);
}

// ---- without axum's router

/// Around any service of tower it sees all that comes. Template and params are the catalog's; the peer is known where
/// somebody puts `PeerAddr` into the request's extensions.
#[tokio::test]
async fn around_a_plain_service_the_template_is_the_catalogs() {
    let log = log_of([fetch()]);
    let plain = service_fn(async |_: Request<tower_audit::RequestBody<Empty<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("task")))
    });
    let service = ServiceBuilder::new().layer(log.auditor.layer()).service(plain);
    let mut request = Request::get("/api/tasks/7").body(Empty::new()).unwrap();
    read(service.clone().oneshot(request.clone()).await.unwrap()).await;
    request.extensions_mut().insert(PeerAddr(SocketAddr::from(([127, 0, 0, 1], 4711))));
    read(service.oneshot(request).await.unwrap()).await;
    let nobody = json!({ "actor": { "ip": null, "port": null, "hostname": null } });
    let somebody = json!({ "actor": { "hostname": null } });
    assert_eq!(log.records(2).await, [fetched(nobody), fetched(somebody)]);
}

async fn read<B: http_body::Body<Error: std::fmt::Debug>>(answer: Response<B>) {
    http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
}

/// Under hyper itself, through hyper-util's adapter.
#[tokio::test]
async fn in_hypers_adapter_it_serves_http_1_and_http_2() {
    let log = log_of([fetch()]);
    let plain = service_fn(async |_: Request<tower_audit::RequestBody<hyper::body::Incoming>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("task")))
    });
    let address = serve_tower(ServiceBuilder::new().layer(log.auditor.layer()).service(plain)).await;
    net::get(address, "/api/tasks/7").await;
    let mut client = net::http2::<Empty<Bytes>>(address).await;
    let request = Request::get(format!("http://127.0.0.1:{}/api/tasks/7", address.port())).body(Empty::new()).unwrap();
    read(client.send_request(request).await.unwrap()).await;
    assert_eq!(log.records(2).await, [fetched(json!({})), fetched(json!({ "request": { "protocol": "HTTP/2" } }))]);
}

/// Erased and shared: the layer's service is `Clone`, `Send` and `Sync` whenever the inner one is.
#[tokio::test]
async fn its_types_can_be_named_boxed_and_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    struct State {
        layer: tower_audit::AuditLayer,
    }
    let log = log();
    let state = State { layer: log.auditor.layer() };
    let service: tower_audit::AuditService<Router> = state.layer.layer(Router::new());
    shared(&service);
    shared(&log.auditor);
    let boxed = tower::util::BoxCloneSyncService::new(service);
    read(boxed.oneshot(Request::get("/").body(axum::body::Body::empty()).unwrap()).await.unwrap()).await;
    log.only().await;
}

// ---- tonic

/// Bytes as they are, so that no generated code is needed.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// `example.Tasks`, with one method: it greets, or does not know.
#[derive(Clone)]
struct Tasks;

impl tonic::server::NamedService for Tasks {
    const NAME: &'static str = "example.Tasks";
}

struct Greet;

impl tonic::server::UnaryService<Bytes> for Greet {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        if let Some(audit) = request.extensions().get::<Audit>() {
            audit.meta("greeted", true);
        }
        std::future::ready(match &request.get_ref()[..] {
            b"ghost" => Err(tonic::Status::not_found("no such task")),
            name => Ok(tonic::Response::new(Bytes::from([b"hello ", name].concat()))),
        })
    }
}

impl Service<Request<tonic::body::Body>> for Tasks {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(Greet, request).await) })
    }
}

async fn greet(address: SocketAddr, name: &'static str) -> Result<Bytes, tonic::Status> {
    let channel = tonic::transport::Endpoint::new(format!("http://127.0.0.1:{}", address.port())).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/example.Tasks/Greet");
    client
        .unary(tonic::Request::new(Bytes::from_static(name.as_bytes())), path, Raw)
        .await
        .map(tonic::Response::into_inner)
}

async fn serve_tonic(log: &Log) -> SocketAddr {
    let (listener, address) = listen().await;
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().layer(log.auditor.layer()).add_service(Tasks);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// In a tonic server a call is an event by its path, `POST /package.Service/Method`; it has failed if its gRPC status
/// says so, wherever that stands. tonic's own knowledge of the peer is told by `peer_fn`.
#[tokio::test]
async fn in_a_tonic_server_the_grpc_status_decides() {
    let event = Event::new("Greet").on(Method::POST, "/example.Tasks/Greet");
    let log = common::log_with(|builder| {
        builder.catalog(tower_audit::Catalog::new().event(event)).peer_fn(|extensions| {
            extensions.get::<tonic::transport::server::TcpConnectInfo>().and_then(|peer| peer.remote_addr())
        })
    });
    let address = serve_tonic(&log).await;
    assert_eq!(greet(address, "jane").await.unwrap(), "hello jane");
    assert_eq!(greet(address, "ghost").await.unwrap_err().code(), tonic::Code::NotFound);
    let mut records = log.records(2).await;
    for record in &mut records {
        let agent = record["actor"].as_object_mut().unwrap().remove("client").unwrap();
        assert!(agent.as_str().unwrap().starts_with("tonic/"));
    }
    let greeted = json!({
        "eventName": "Greet",
        "meta": { "greeted": true },
        "response": { "bytes": 15 },
        "request": {
            "method": "POST",
            "url": "/example.Tasks/Greet",
            "route": "/example.Tasks/Greet",
            "protocol": "HTTP/2",
            "bodyOmitted": { "reason": "binary", "contentType": "application/grpc", "bytes": 9 },
        },
    });
    let failure = failed("warn", "completed", "NOT_FOUND", "no such task");
    let lost = json!({ "response": { "bytes": 0 }, "request": { "bodyOmitted": { "bytes": 10 } } });
    let lost = expected::with(expected::with(greeted.clone(), failure), lost);
    assert_eq!(records, [record(greeted), record(lost)]);
}
