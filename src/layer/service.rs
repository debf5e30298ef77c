//! The service: every request goes through here.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{BoxError, RequestBody, ResponseBody};
use super::enter::{Entry, admitted, enter};
use super::future::{Held, ResponseFuture};
use super::guard::Guard;
use crate::exchange::Exchange;
use crate::plan::Plan;
use crate::queue::Admission;
use crate::running::Running;

/// Records every request that goes through the services it wraps. Made by [`Auditor::layer`](crate::Auditor::layer).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AuditLayer {
    log: Arc<Running>,
    /// The event of every request here, named next to a route.
    own: Option<Arc<Plan>>,
}

impl AuditLayer {
    pub(crate) fn new(log: Arc<Running>, own: Option<Arc<Plan>>) -> Self {
        Self { log, own }
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

impl<S: Clone> AuditService<S> {
    /// Keeps a request for later, with the service that is ready for it: its clone has to be asked anew.
    fn hold<B>(
        &mut self,
        request: Request<RequestBody<B>>,
        guard: Option<Guard>,
        exchange: Arc<Exchange>,
    ) -> Held<S, B> {
        let next = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, next);
        Held { service, request, guard, exchange }
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for AuditService<S>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>> + Clone,
    S::Error: 'static,
    ReqB: Body<Data = Bytes>,
    ResB: Body<Data = Bytes>,
    ResB::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let Entry { body: told, guard, admission, loss } =
            enter(&self.layer.log, self.layer.own.as_ref(), &mut head, &body);
        let request = Request::from_parts(head, RequestBody::new(body, told));
        match admission {
            None => ResponseFuture::running(&mut self.inner, request, guard, loss),
            Some((exchange, Admission::Granted)) => match admitted(&exchange, 0) {
                None => ResponseFuture::running(&mut self.inner, request, guard, loss),
                Some(durable) => ResponseFuture::recording(self.hold(request, guard, exchange), durable),
            },
            Some((exchange, Admission::Wait(waiting))) => {
                ResponseFuture::waiting(self.hold(request, guard, exchange), waiting)
            }
            Some((exchange, Admission::Refused)) => ResponseFuture::refused(exchange, guard),
        }
    }
}
