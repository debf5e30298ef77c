//! What axum adds: the extractor, and the layer around a finished router as one call.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready as ready_poll};

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Response};
use ::axum::serve::{IncomingStream, Listener};
use http::Request;
use http::request::Parts;
use pin_project_lite::pin_project;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::audit::{Audit, LeftOut};
use crate::auditor::Auditor;
use crate::layer::{AuditService, ResponseFuture, note_route};

impl<S: Sync> FromRequestParts<S> for Audit {
    type Rejection = MissingAuditLayer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        find(parts).ok_or(MissingAuditLayer(()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Audit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(find(parts))
    }
}

/// The request's handle; a disabled one where the layer left the request out. Reports the route that the router matched.
fn find(parts: &Parts) -> Option<Audit> {
    if let Some(audit) = parts.extensions.get::<Audit>() {
        if let (Some(exchange), Some(route)) = (audit.exchange(), parts.extensions.get::<MatchedPath>()) {
            note_route(exchange, route.as_str());
        }
        return Some(audit.clone());
    }
    parts.extensions.get::<LeftOut>().map(|_| Audit::disabled())
}

/// The extractor [`Audit`] was used on a route that no [`AuditLayer`](crate::AuditLayer) wraps: a mistake of the
/// program, answered with 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingAuditLayer(());

impl fmt::Display for MissingAuditLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler asks for `Audit`, but no `tower_audit::AuditLayer` wraps its route")
    }
}

impl std::error::Error for MissingAuditLayer {}

impl IntoResponse for MissingAuditLayer {
    fn into_response(self) -> Response {
        (http::StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl Auditor {
    /// Wraps a finished axum router in the audit layer, ready for `axum::serve`. The layer then sees every request, also
    /// those that match no route, and the peer's address.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let auditor = tower_audit::Auditor::builder().build()?;
    /// let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// axum::serve(listener, auditor.wrap_router(app)).await?;
    /// auditor.shutdown(std::time::Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrap_router(&self, router: Router) -> AuditedRouter {
        AuditedRouter { service: AuditedRouterService { service: self.layer().layer(router), peer: None } }
    }
}

/// Creates one [`AuditedRouterService`] for each connection, with the address of its peer. Made by [`Auditor::wrap_router`].
#[derive(Clone, Debug)]
#[must_use = "a router does nothing until it is served"]
pub struct AuditedRouter {
    service: AuditedRouterService,
}

impl AuditedRouter {
    /// The service itself, for tests (`oneshot`) and for servers other than `axum::serve`.
    pub fn into_service(self) -> AuditedRouterService {
        self.service
    }
}

impl<L> Service<IncomingStream<'_, L>> for AuditedRouter
where
    L: Listener,
    L::Addr: 'static,
{
    type Response = AuditedRouterService;
    type Error = Infallible;
    type Future = Ready<Result<AuditedRouterService, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, L>) -> Self::Future {
        let address: &dyn Any = stream.remote_addr();
        // Other listeners, such as Unix sockets, have addresses that are none.
        let peer = address.downcast_ref::<SocketAddr>().copied();
        ready(Ok(AuditedRouterService { peer, ..self.service.clone() }))
    }
}

/// An audited axum router as a service. Handlers find `ConnectInfo<SocketAddr>` as usual.
#[derive(Clone, Debug)]
pub struct AuditedRouterService {
    service: AuditService<Router>,
    peer: Option<SocketAddr>,
}

impl Service<Request<Body>> for AuditedRouterService {
    type Response = Response;
    type Error = Infallible;
    type Future = AuditedRouterFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> AuditedRouterFuture {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        AuditedRouterFuture { inner: self.service.call(request) }
    }
}

pin_project! {
    /// The future of [`AuditedRouterService`].
    pub struct AuditedRouterFuture {
        #[pin]
        inner: ResponseFuture<Router, Body>,
    }
}

impl fmt::Debug for AuditedRouterFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditedRouterFuture").finish_non_exhaustive()
    }
}

impl Future for AuditedRouterFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // `axum::serve` wants axum's own body: one box, where a type of our own would cost the router one inside.
        let response = ready_poll!(self.project().inner.poll(cx));
        Poll::Ready(response.map(|response| response.map(|body| body.into_unwatched().unwrap_or_else(Body::new))))
    }
}
