//! The response's future: running, waiting to be let in, or refused.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{Asked, BoxError, End, RequestBody, ResponseBody, end_of};
use super::enter::admitted;
use super::failure::{is_timeout, note_service_error};
use super::guard::Guard;
use super::refusal;
use super::unrecorded::Loss;
use crate::capture::{Progress, ResponseHeaders};
use crate::exchange::Exchange;
use crate::promise::Answer;
use crate::queue::Waiting;
use crate::record::{Failure, Outcome};

pin_project! {
    /// The future of [`AuditService`](crate::AuditService).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S, S::Future, B, S::Response, S::Error>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B, T, E> {
        // The inner future is dropped before the guard: what its destructors say still stands on the record.
        Running { #[pin] future: F, guard: Option<Guard>, loss: Option<Loss>, asked: Asked },
        // For capacity in the queue.
        Waiting { held: Option<Box<Held<S, B>>>, waiting: Waiting },
        // For the initiation record to be durable.
        Recording { held: Option<Box<Held<S, B>>>, durable: Answer<bool> },
        // For the completion record to be durable: an answer without a body, or none.
        Holding { result: Option<Result<T, E>>, durable: Answer<bool>, is_head: bool },
        Refused { exchange: Option<Arc<Exchange>>, guard: Option<Guard> },
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// A request that may not go on yet, with the very service that was ready for it.
pub(crate) struct Held<S, B> {
    pub(crate) service: S,
    pub(crate) request: Request<RequestBody<B>>,
    pub(crate) guard: Option<Guard>,
    pub(crate) exchange: Arc<Exchange>,
}

impl<S, B> Held<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn run(mut self) -> StateOf<S, B> {
        run(&mut self.service, self.request, self.guard.take(), None)
    }

    fn refuse(mut self) -> StateOf<S, B> {
        State::Refused { exchange: Some(self.exchange), guard: self.guard.take() }
    }
}

type StateOf<S, B> = State<
    S,
    <S as Service<Request<RequestBody<B>>>>::Future,
    B,
    <S as Service<Request<RequestBody<B>>>>::Response,
    <S as Service<Request<RequestBody<B>>>>::Error,
>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    #[inline]
    pub(crate) fn running(
        service: &mut S,
        request: Request<RequestBody<B>>,
        guard: Option<Guard>,
        loss: Option<Loss>,
    ) -> Self {
        Self { state: run(service, request, guard, loss) }
    }

    pub(crate) fn waiting(held: Held<S, B>, waiting: Waiting) -> Self {
        Self { state: State::Waiting { held: Some(Box::new(held)), waiting } }
    }

    pub(crate) fn recording(held: Held<S, B>, durable: Answer<bool>) -> Self {
        Self { state: State::Recording { held: Some(Box::new(held)), durable } }
    }

    pub(crate) fn refused(exchange: Arc<Exchange>, guard: Option<Guard>) -> Self {
        Self { state: State::Refused { exchange: Some(exchange), guard } }
    }
}

#[inline]
fn run<S, B>(
    service: &mut S,
    request: Request<RequestBody<B>>,
    guard: Option<Guard>,
    loss: Option<Loss>,
) -> StateOf<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    let asked = Asked::by(request.method());
    // As `Guard::watch_if` does it, but a closure would move the request once more: it is large.
    Guard::set_inside(guard.as_ref(), true);
    let future = service.call(request);
    Guard::set_inside(guard.as_ref(), false);
    State::Running { future, guard, loss, asked }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    S::Error: 'static,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Running { future, guard, loss, asked } => {
                    let result = ready!(Guard::watch_if(guard.as_ref(), || future.poll(cx)));
                    drop(loss.take());
                    let (result, durable) = match result {
                        Ok(response) => match answered(guard.take(), *asked, response) {
                            Answered::Deliver(response) => return Poll::Ready(Ok(response)),
                            Answered::Hold(response, durable) => (Ok(response), durable),
                        },
                        Err(error) => match failed(guard.take(), &error) {
                            None => return Poll::Ready(Err(error)),
                            Some(durable) => (Err(error), durable),
                        },
                    };
                    State::Holding { result: Some(result), durable, is_head: *asked == Asked::Head }
                }
                StateProj::Waiting { held, waiting } => {
                    let granted = ready!(Pin::new(waiting).poll(cx));
                    let held = *held.take().expect("a future is not polled after it is ready");
                    match granted.map(|bytes| admitted(&held.exchange, bytes)) {
                        None => held.refuse(),
                        Some(None) => held.run(),
                        Some(Some(durable)) => State::Recording { held: Some(Box::new(held)), durable },
                    }
                }
                StateProj::Recording { held, durable } => {
                    let durable = ready!(Pin::new(durable).poll(cx));
                    let held = *held.take().expect("a future is not polled after it is ready");
                    if durable { held.run() } else { held.refuse() }
                }
                StateProj::Holding { result, durable, is_head } => {
                    let durable = ready!(Pin::new(durable).poll(cx));
                    let result = result.take().expect("a future is not polled after it is ready");
                    return Poll::Ready(match result {
                        Ok(response) if durable => Ok(response.map(ResponseBody::plain)),
                        Ok(_) => Ok(refusal::unconfirmed(*is_head)),
                        Err(error) => Err(error),
                    });
                }
                StateProj::Refused { exchange, guard } => {
                    let exchange = exchange.take().expect("a future is not polled after it is ready");
                    let response = refusal::answer(&exchange);
                    exchange.close(Outcome::Rejected);
                    drop(guard.take());
                    return Poll::Ready(Ok(response));
                }
            };
            this.state.set(next);
        }
    }
}

/// What becomes of a response when its head is there.
enum Answered<R> {
    Deliver(Response<ResponseBody<R>>),
    /// It ends with its head, and its record must be durable first.
    Hold(Response<R>, Answer<bool>),
}

/// The head is there: notes it, and finds out where the end will be.
fn answered<R>(guard: Option<Guard>, asked: Asked, response: Response<R>) -> Answered<R>
where
    R: Body<Data = Bytes>,
{
    let Some(guard) = guard else { return Answered::Deliver(response.map(ResponseBody::plain)) };
    // Should it panic, its destructors run before the guard's.
    let mut response = response;
    let exchange = guard.exchange();
    let engine = exchange.engine();
    let said = response.extensions_mut().remove::<Failure>();
    let (status, headers) = (response.status(), ResponseHeaders::of(response.headers()));
    let noted = exchange.with(|draft| {
        if let Some(failure) = said {
            draft.late().set_failed(failure);
        }
        headers.note(status, draft);
        engine.decide_response_capture(draft);
        // Until its end is known.
        draft.response_body.progress = Progress::Open;
        exchange.initiate(draft);
        (draft.audit_id, draft.response_body.limit() > 0)
    });
    let (id, is_kept) = noted.unzip();
    let end = guard.watch(|| end_of(asked, status, &headers, response.body()));
    if engine.audit_id_header
        && let Some(id) = id
        && let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut [0; 36]))
    {
        response.headers_mut().insert("audit-id", value);
    }
    let length = match end {
        End::AtHead(outcome) => {
            return match guard.finish_at_head(outcome) {
                Some(durable) => Answered::Hold(response, durable),
                None => Answered::Deliver(response.map(ResponseBody::plain)),
            };
        }
        End::After(length) => Some(length),
        End::OfStream => None,
    };
    Answered::Deliver(response.map(|body| ResponseBody::watched(body, guard, length, is_kept.unwrap_or(false))))
}

/// The inner service returned an error instead of a response.
fn failed<E: 'static>(guard: Option<Guard>, error: &E) -> Option<Answer<bool>> {
    let guard = guard?;
    let timed_out = is_timeout(guard.exchange().engine(), error);
    note_service_error(guard.exchange(), error);
    guard.finish(if timed_out { Outcome::TimedOut } else { Outcome::HandlerError })
}
