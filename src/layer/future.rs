//! The response's future: running, waiting to be let in, or refused.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{End, RequestBody, ResponseBody, end_of};
use super::enter::admitted;
use super::failure::{is_timeout, note_service_error};
use super::guard::Guard;
use super::refusal;
use crate::capture;
use crate::exchange::Exchange;
use crate::queue::Waiting;
use crate::record::Outcome;

pin_project! {
    /// The future of [`AuditService`](crate::AuditService).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        // The inner future is dropped before the guard: what its destructors say still stands on the record.
        Running { #[pin] future: F, guard: Option<Guard>, method: Method },
        Waiting { held: Option<Box<Held<S, B>>> },
        Refused { exchange: Option<Arc<Exchange>>, guard: Option<Guard> },
    }
}

/// A request that waits for room, with the very service that was ready for it.
pub(crate) struct Held<S, B> {
    pub(crate) service: S,
    pub(crate) request: Request<RequestBody<B>>,
    pub(crate) guard: Option<Guard>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) waiting: Waiting,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(crate) fn running(service: &mut S, request: Request<RequestBody<B>>, guard: Option<Guard>) -> Self {
        Self { state: run(service, request, guard) }
    }

    pub(crate) fn waiting(held: Held<S, B>) -> Self {
        Self { state: State::Waiting { held: Some(Box::new(held)) } }
    }

    pub(crate) fn refused(exchange: Arc<Exchange>, guard: Option<Guard>) -> Self {
        Self { state: State::Refused { exchange: Some(exchange), guard } }
    }
}

fn run<S, B>(service: &mut S, request: Request<RequestBody<B>>, guard: Option<Guard>) -> State<S, S::Future, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    let method = match &guard {
        Some(_) => request.method().clone(),
        None => Method::GET,
    };
    let future = match &guard {
        Some(guard) => guard.watch(|| service.call(request)),
        None => service.call(request),
    };
    State::Running { future, guard, method }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    S::Error: 'static,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Running { future, guard, method } => {
                    let result = ready!(match guard {
                        Some(guard) => guard.watch(|| future.poll(cx)),
                        None => future.poll(cx),
                    });
                    return Poll::Ready(match result {
                        Ok(response) => Ok(answered(guard.take(), method, response)),
                        Err(error) => Err(failed(guard.take(), error)),
                    });
                }
                StateProj::Waiting { held } => {
                    let waiting = &mut held.as_mut().expect("a future is not polled after it is ready").waiting;
                    let granted = ready!(Pin::new(waiting).poll(cx));
                    let mut held = held.take().expect("it was there one line above");
                    let next = match granted {
                        Some(allowance) => {
                            admitted(&held.exchange, allowance);
                            run(&mut held.service, held.request, held.guard.take())
                        }
                        None => State::Refused { exchange: Some(held.exchange), guard: held.guard.take() },
                    };
                    this.state.set(next);
                }
                StateProj::Refused { exchange, guard } => {
                    let exchange = exchange.take().expect("a future is not polled after it is ready");
                    let response = refusal::answer(&exchange);
                    exchange.close(Outcome::Rejected);
                    drop(guard.take());
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

/// The head is there: notes it, and finds out where the end will be.
fn answered<R>(guard: Option<Guard>, method: &Method, response: Response<R>) -> Response<ResponseBody<R>>
where
    R: Body<Data = Bytes>,
{
    let Some(guard) = guard else { return response.map(ResponseBody::plain) };
    let (mut head, body) = response.into_parts();
    let exchange = guard.exchange();
    let engine = exchange.engine();
    let id = exchange.with(|draft| {
        capture::response(&head, draft);
        engine.decide_response_capture(draft);
        exchange.initiate(draft);
        draft.audit_id
    });
    if engine.audit_id_header
        && let Some(id) = id
        && let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut [0; 36]))
    {
        head.headers.insert("audit-id", value);
    }
    let body = match guard.watch(|| end_of(method, head.status, &head.headers, &body)) {
        End::AtHead(outcome) => {
            guard.finish(outcome);
            ResponseBody::plain(body)
        }
        End::After(length) => {
            exchange.response_begins();
            ResponseBody::watched(body, guard, Some(length))
        }
        End::OfStream => {
            exchange.response_begins();
            ResponseBody::watched(body, guard, None)
        }
    };
    Response::from_parts(head, body)
}

/// The inner service returned an error instead of a response.
fn failed<E: 'static>(guard: Option<Guard>, error: E) -> E {
    if let Some(guard) = guard {
        let timed_out = is_timeout(guard.exchange().engine(), &error);
        note_service_error(guard.exchange(), &error);
        guard.finish(if timed_out { Outcome::TimedOut } else { Outcome::HandlerError });
    }
    error
}
