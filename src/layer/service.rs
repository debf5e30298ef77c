//! The service: every request goes through here.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::enter::{admitted, enter};
use super::future::{Held, ResponseFuture};
use crate::engine::Engine;
use crate::plan::Plan;
use crate::queue::Admission;

/// Records every request that goes through the services it wraps. Made by [`Auditor::layer`](crate::Auditor::layer).
#[derive(Clone, Debug)]
pub struct AuditLayer {
    engine: Arc<Engine>,
    /// The event of every request here, named next to a route.
    own: Option<Arc<Plan>>,
}

impl AuditLayer {
    pub(crate) fn new(engine: Arc<Engine>, own: Option<Arc<Plan>>) -> Self {
        Self { engine, own }
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuditService { inner, layer: self.clone() }
    }
}

/// See [`AuditLayer`].
#[derive(Clone, Debug)]
pub struct AuditService<S> {
    inner: S,
    layer: AuditLayer,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for AuditService<S>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>> + Clone,
    S::Error: 'static,
    ReqB: Body<Data = Bytes>,
    ResB: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let entry = enter(&self.layer.engine, self.layer.own.as_ref(), request);
        match entry.admission {
            None => ResponseFuture::running(&mut self.inner, entry.request, entry.guard),
            Some((exchange, Admission::Granted(allowance))) => {
                admitted(&exchange, allowance);
                ResponseFuture::running(&mut self.inner, entry.request, entry.guard)
            }
            Some((exchange, Admission::Wait(waiting))) => {
                // The service that is ready is the one that must be called; its clone has to be asked anew.
                let next = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, next);
                ResponseFuture::waiting(Held { service, request: entry.request, guard: entry.guard, exchange, waiting })
            }
            Some((exchange, Admission::Refused)) => ResponseFuture::refused(exchange, entry.guard),
        }
    }
}
