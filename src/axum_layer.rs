//! The layer for `Router::layer`, alone or in a `ServiceBuilder`: the bodies on both sides of it are axum's `Body`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::auditor::Auditor;
use crate::layer::{AuditLayer, AuditService, BoxError, RequestBody, ResponseFuture};

impl Auditor {
    /// The layer for `Router::layer`, alone or within a `ServiceBuilder`. Reach for it when other layers have to be outside of the
    /// audit layer, such as request ids and compression, or when `axum::middleware::from_fn` is inside.
    ///
    /// It is [`layer`](Self::layer) with axum's own `Body` on both sides, so that what is inside and outside of it compiles as if
    /// it were not there. That costs a box for each body that is recorded. Add it after all routes: `Router::layer` wraps the
    /// routes that exist, and the fallbacks. [`guide::layer_order`](crate::guide::layer_order) has the whole stack.
    ///
    /// # Example: a request id from outside, and authentication inside
    ///
    /// ```
    /// use axum::extract::Request;
    /// use axum::middleware::{Next, from_fn};
    /// use axum::{Router, response::Response, routing::get};
    /// use tower::{ServiceBuilder, ServiceExt as _};
    /// use tower_audit::{Actor, Audit, Auditor, sink};
    /// use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
    ///
    /// async fn authenticate(audit: Audit, request: Request, next: Next) -> Response {
    ///     audit.actor(Actor::user("user:default/jane"));
    ///     next.run(request).await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (lines, records) = sink::memory();
    /// let auditor = Auditor::builder().sink(lines).build()?;
    /// let app = Router::new().route("/tasks", get(async || "none")).layer(
    ///     ServiceBuilder::new()
    ///         .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
    ///         .layer(auditor.axum_layer())
    ///         .layer(from_fn(authenticate)),
    /// );
    ///
    /// let response = app.oneshot(Request::get("/tasks").body(axum::body::Body::empty())?).await?;
    /// axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    /// auditor.shutdown(std::time::Duration::from_secs(5)).await;
    /// let record = &records.lines()[1]; // between `AuditStarted` and `AuditStopped`
    /// assert!(record.contains(r#""requestId":""#) && record.contains(r#""actorId":"user:default/jane""#));
    /// # Ok(())
    /// # }
    /// ```
    pub fn axum_layer(&self) -> AxumAuditLayer {
        AxumAuditLayer { layer: self.layer() }
    }
}

/// The audit layer with axum's own `Body` on both sides; made by [`Auditor::axum_layer`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AxumAuditLayer {
    layer: AuditLayer,
}

impl<S> Layer<S> for AxumAuditLayer {
    type Service = AxumAuditService<S>;

    fn layer(&self, inner: S) -> AxumAuditService<S> {
        AxumAuditService { service: self.layer.layer(Unwrapped { inner }) }
    }
}

/// The service of [`AxumAuditLayer`].
#[derive(Clone, Debug)]
pub struct AxumAuditService<S> {
    service: AuditService<Unwrapped<S>>,
}

impl<S, R, B> Service<Request<R>> for AxumAuditService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AxumAuditFuture<S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Request<R>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<R>) -> AxumAuditFuture<S, R> {
        AxumAuditFuture { inner: self.service.call(request) }
    }
}

pin_project! {
    /// The future of [`AxumAuditService`].
    pub struct AxumAuditFuture<S, R>
    where
        S: Service<Request<Body>>,
        R: HttpBody<Data = Bytes>,
        R: Send,
        R: 'static,
        R::Error: Into<BoxError>,
    {
        #[pin]
        inner: ResponseFuture<Unwrapped<S>, R>,
    }
}

impl<S, R> fmt::Debug for AxumAuditFuture<S, R>
where
    S: Service<Request<Body>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxumAuditFuture").finish_non_exhaustive()
    }
}

impl<S, R, B> Future for AxumAuditFuture<S, R>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx));
        Poll::Ready(response.map(|response| {
            response.map(|body| match body.into_unwatched() {
                Ok(body) => Body::new(body),
                Err(body) => Body::new(body),
            })
        }))
    }
}

/// Gives the inner service axum's own body. One that nobody watches any more is handed on as it came.
#[derive(Clone, Debug)]
struct Unwrapped<S> {
    inner: S,
}

impl<S, R> Service<Request<RequestBody<R>>> for Unwrapped<S>
where
    S: Service<Request<Body>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody<R>>) -> S::Future {
        self.inner.call(request.map(|body| match body.into_unwatched() {
            Ok(body) => Body::new(body),
            Err(body) => Body::new(body),
        }))
    }
}
