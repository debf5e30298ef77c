//! The server of a round: hyper on 127.0.0.1, the layer, and handlers that do what the plan says and note what they saw.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Bodies, Catalog, Delivery, Event, Failure, PeerAddr, ShutdownReport, Stages,
};

use crate::common::bodies::BoxError;
use crate::ledger::{Delivered, Handled, Ledger};
use crate::plan::{Case, How, Nested, Reads, secret};
use crate::sinks::AS_PLANNED;

/// The timeout of layers inside and outside of the audit layer.
const TIMEOUT: Duration = Duration::from_millis(3);

/// A running auditor: the only place that builds and stops one.
pub(crate) struct Running {
    pub(crate) auditor: Auditor,
}

impl Running {
    pub(crate) fn build(builder: AuditorBuilder) -> Self {
        Self { auditor: builder.build().unwrap() }
    }

    pub(crate) async fn stop(self, limit: Duration) -> ShutdownReport {
        self.auditor.shutdown(limit).await
    }
}

/// Events for each class, with a completion only or both stages, and streams that their clients end.
pub(crate) fn catalog() -> Catalog {
    let classes = [
        ("Lossy", "/lossy", Delivery::Lossy),
        ("Backpressure", "/backpressure", Delivery::Backpressure),
        ("Durable", "/durable", Delivery::Durable),
        ("FailClosed", "/closed", Delivery::FailClosed),
    ];
    let mut catalog = Catalog::new();
    for (name, path, delivery) in classes {
        let event = |kind: &str, end: &str| {
            let event = Event::new(format!("{name}.{kind}")).delivery(delivery).bodies(Bodies::Both);
            [Method::GET, Method::POST]
                .into_iter()
                .fold(event, |event, method| event.on(method, format!("{path}/{end}/{{n}}")))
        };
        catalog = catalog.event(event("One", "one")).event(event("Both", "both").stages(Stages::Both));
        if delivery < Delivery::Durable {
            catalog = catalog.event(event("Stream", "stream").client_ends_stream());
        }
    }
    catalog
}

/// A server that listens until [`Server::stop`].
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: tokio::task::JoinHandle<JoinSet<()>>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    pub(crate) async fn start(handlers: Handlers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let connections = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = &mut stopped => break connections,
                };
                stream.set_nodelay(true).unwrap();
                let handlers = handlers.clone();
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(PeerAddr(peer));
                    handlers.clone().outside(request)
                });
                connections.spawn(serve(stream, service));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, connections, stop }
    }

    /// Waits for the end of all connections, whose clients have left.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let mut connections = self.connections.await.unwrap();
        // A panic of a handler ends its connection's task.
        while connections.join_next().await.is_some() {}
    }
}

async fn serve<S>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(service);
    // How a connection ends is what the plan is about.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

type Answer = BoxFuture<'static, Result<Response<Body>, BoxError>>;

/// What all handlers of a round share.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) auditor: Auditor,
    /// A second auditor, whose layer is inside of the first for some requests.
    pub(crate) other: Auditor,
    /// Handles that outlive their requests.
    pub(crate) kept: Arc<Mutex<Vec<(u64, Audit)>>>,
}

impl Handlers {
    /// The number in a request's path.
    fn number<B>(request: &Request<B>) -> u64 {
        request.uri().path().rsplit('/').next().and_then(|n| n.parse().ok()).expect("clients ask for nothing else")
    }

    /// Around the layer: notes that a request reaches it, and has a timeout for some.
    fn outside(self, request: Request<Incoming>) -> Answer {
        let n = Self::number(&request);
        let ledger = self.ledger.clone();
        let has_timeout = ledger.plan.case(n).how == How::Outer408;
        let layer = self.auditor.layer();
        let service = layer.layer(service_fn(move |request| self.clone().between(request)));
        let answer = service.oneshot(request.map(Body::new)).map_ok(|answer| answer.map(Body::new));
        // Polled first, this calls the layer at once.
        let answer = std::future::ready(()).then(move |()| {
            ledger.note_entry(n);
            answer
        });
        if !has_timeout {
            return answer.boxed();
        }
        let answer = tokio::time::timeout(TIMEOUT, answer);
        answer.map(|answer| answer.unwrap_or_else(|_| Ok(status(StatusCode::REQUEST_TIMEOUT)))).boxed()
    }

    /// Between the layer and the handler: another layer for some requests.
    fn between<B>(self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let n = Self::number(&request);
        let request = request.map(Body::new);
        let layer = match self.ledger.plan.case(n).nested {
            Nested::No => return self.handle(request).boxed(),
            Nested::Same => self.auditor.layer(),
            Nested::OtherAuditor => self.other.layer(),
            Nested::RouteLayer => {
                let event = Event::new("Nested").delivery(Delivery::Durable).stages(Stages::Both);
                self.auditor.route_layer(event).unwrap()
            }
        };
        let handler = service_fn(move |request: Request<tower_audit::RequestBody<Body>>| -> Answer {
            self.clone().handle(request.map(Body::new)).boxed()
        });
        layer.layer(handler).oneshot(request).map_ok(|answer| answer.map(Body::new)).boxed()
    }

    async fn handle(self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let n = Self::number(&request);
        let ledger = self.ledger.clone();
        let case = ledger.plan.case(n).clone();
        let on_upgrade = (case.how == How::Upgrade).then(|| hyper::upgrade::on(&mut request));
        let audit = request.extensions().get::<Audit>().cloned().unwrap_or_else(Audit::disabled);
        // Before the client may leave.
        if case.has_actor {
            audit.actor(Actor::user(format!("canary-{n}-actor")));
        }
        audit.meta("canary", format!("canary-{n}-meta"));
        ledger.note_begin(n);
        let mut panics = NotesPanic { ledger: ledger.clone(), n, is_over: false };
        let is_http2 = request.version() == Version::HTTP_2;
        let mut answer = self.act(&case, &audit, request, on_upgrade).await;
        panics.is_over = true;
        let mut seen = ledger.of(n);
        seen.server.handled = match &answer {
            Ok(_) => Handled::Answered,
            Err(error) if error.is::<tower::timeout::error::Elapsed>() => Handled::TimedOut,
            Err(_) => Handled::Failed,
        };
        if let Ok(answer) = &mut answer {
            let bodiless = matches!(answer.status().as_u16(), 101 | 204 | 304);
            seen.server.status = Some(answer.status().as_u16());
            // Over HTTP/2 hyper sends such a body, and clients reject it.
            if is_http2 && (bodiless || case.is_head()) {
                *answer.body_mut() = Body::empty();
            }
            seen.server.ends_at_head = bodiless || case.is_head() || answer.body().is_end_stream();
        }
        answer
    }

    async fn act(
        &self,
        case: &Case,
        audit: &Audit,
        request: Request<Body>,
        on_upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Result<Response<Body>, BoxError> {
        let n = case.n;
        self.use_late(n, audit);
        let mut upload = request.into_body();
        let mut read = Vec::new();
        let mut is_broken = false;
        let reads_at_all = case.reads != Reads::Nothing;
        while reads_at_all && !is_broken {
            match upload.frame().await {
                None => break,
                Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(_)) => is_broken = true,
            }
            if case.reads == Reads::Frame {
                break;
            }
        }
        let sent = case.upload();
        let is_as_sent = if case.reads == Reads::All && !is_broken { read == sent } else { sent.starts_with(&read) };
        if !is_as_sent {
            self.ledger.fault_of(case, "the handler read something else than its client sent");
        }
        if is_broken {
            return Ok(status(StatusCode::BAD_REQUEST));
        }
        if n.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        match case.how {
            How::Panics => panic!("{AS_PLANNED}"),
            How::Fails => Err(format!("refused by {} with canary-{n}-error", secret(n, "query")).into()),
            How::Stuck | How::Outer408 => std::future::pending().await,
            How::InnerElapsed => {
                let stuck = service_fn(|()| std::future::pending::<Result<Response<Body>, std::convert::Infallible>>());
                tower::timeout::Timeout::new(stuck, TIMEOUT).oneshot(()).await
            }
            How::Inner408 => {
                let _ = tokio::time::timeout(TIMEOUT, std::future::pending::<()>()).await;
                Ok(self.answer(case))
            }
            How::ServerError => {
                audit.failure(Failure::new("Broken", format!("canary-{n}-failure of {}", secret(n, "query"))));
                Ok(self.answer(case))
            }
            How::Skip => {
                let skipped = audit.skip().is_ok();
                self.ledger.of(n).server.skipped = skipped;
                Ok(self.answer(case))
            }
            How::Upgrade => {
                tokio::spawn(async move {
                    let Ok(upgraded) = on_upgrade.expect("it was asked for above").await else { return };
                    let mut io = TokioIo::new(upgraded);
                    let mut word = [0; 4];
                    if io.read_exact(&mut word).await.is_ok() {
                        let _ = io.write_all(&word).await;
                    }
                });
                Ok(self.answer(case))
            }
            _ => Ok(self.answer(case)),
        }
    }

    /// Keeps some handles after their requests have ended, and uses them later: this must not change another record.
    fn use_late(&self, n: u64, audit: &Audit) {
        let mut kept = self.kept.lock().unwrap();
        if n.is_multiple_of(7) {
            kept.push((n, audit.clone()));
        }
        let other = (n.is_multiple_of(5) && kept.len() > 16).then(|| kept.remove(0));
        drop(kept);
        if let Some((other, audit)) = other {
            audit.meta("late", format!("canary-{other}-late")).context("late");
        }
    }

    fn answer(&self, case: &Case) -> Response<Body> {
        let n = case.n;
        let ending = match case.how {
            How::Whole | How::NotFound | How::ServerError | How::Inner408 | How::Skip | How::Large => Ending::Exact,
            How::EndAware => Ending::Aware,
            How::PanicsInBody => Ending::Panics,
            How::BodyFails => Ending::Fails,
            How::Endless | How::Events => Ending::Never,
            How::Grpc(status) => Ending::Trailers(status),
            _ => Ending::Unknown,
        };
        let frames: Vec<Bytes> = case.frames().into_iter().map(Bytes::from).collect();
        let is_empty = frames.is_empty() && matches!(case.how, How::Empty | How::GrpcHead(_) | How::Upgrade);
        let body = match is_empty {
            true => Body::empty(),
            false => {
                Body::new(NotingBody { ledger: self.ledger.clone(), n, frames: frames.into(), ending: Some(ending) })
            }
        };
        let mut answer = status(StatusCode::from_u16(case.answers()).unwrap()).map(|_| body);
        let headers = answer.headers_mut();
        headers.insert("x-canary", HeaderValue::from_str(&format!("canary-{n}-header")).unwrap());
        match case.how {
            How::Events => drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))),
            How::Grpc(_) | How::GrpcHead(_) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            }
            How::Upgrade => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("echo"));
            }
            _ => drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))),
        }
        if let How::GrpcHead(status) = case.how {
            headers.insert("grpc-status", u16::from(status).into());
        }
        answer
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Notes a panic that drops it before its handler has ended.
struct NotesPanic {
    ledger: Arc<Ledger>,
    n: u64,
    is_over: bool,
}

impl Drop for NotesPanic {
    fn drop(&mut self) {
        if !self.is_over && std::thread::panicking() {
            self.ledger.of(self.n).server.handled = Handled::Panicked;
        }
    }
}

/// How a body ends after its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It knows its length.
    Exact,
    /// `is_end_stream` is true after its last frame.
    Aware,
    /// It ends with `None`.
    Unknown,
    Trailers(u8),
    Panics,
    Fails,
    Never,
}

/// A response's body that notes what the layer takes of it.
struct NotingBody {
    ledger: Arc<Ledger>,
    n: u64,
    frames: std::collections::VecDeque<Bytes>,
    /// None once it has ended.
    ending: Option<Ending>,
}

impl NotingBody {
    fn end(&mut self, how: Delivered) {
        self.ending = None;
        self.note(how);
    }

    fn note(&self, how: Delivered) {
        self.ledger.of(self.n).server.delivered = how;
    }
}

impl HttpBody for NotingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.frames.pop_front() {
            self.ledger.of(self.n).server.bytes += frame.len() as u64;
            self.ledger.of(self.n).server.last_frame = frame.len() as u64;
            match self.ending {
                Some(Ending::Aware) if self.frames.is_empty() => self.end(Delivered::Ended),
                // Its length alone says that this is the end: nobody need ask for more.
                Some(Ending::Exact) if self.frames.is_empty() => self.note(Delivered::Ended),
                _ => {}
            }
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match self.ending {
            None => Poll::Ready(None),
            Some(Ending::Never) => Poll::Pending,
            Some(Ending::Panics) => {
                self.end(Delivered::Panicked);
                panic!("{AS_PLANNED}");
            }
            Some(Ending::Fails) => {
                self.end(Delivered::Failed);
                Poll::Ready(Some(Err(format!("canary-{}-body", self.n).into())))
            }
            Some(Ending::Trailers(status)) => {
                self.end(Delivered::Ended);
                let trailers =
                    HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), u16::from(status).into())]);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Ending::Exact | Ending::Aware | Ending::Unknown) => {
                self.end(Delivered::Ended);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.ending.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.frames.iter().map(|frame| frame.len() as u64).sum();
        if self.ending.is_none() || self.ending == Some(Ending::Exact) {
            SizeHint::with_exact(left)
        } else {
            SizeHint::new()
        }
    }
}

/// The second auditor and its records: `AuditStarted` and `AuditStopped` only.
pub(crate) fn other() -> (Running, tower_audit::sink::MemoryRecords) {
    let (sink, records) = tower_audit::sink::memory();
    (Running::build(Auditor::builder().catalog(catalog()).sink(sink)), records)
}
