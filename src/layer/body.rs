//! Bodies with a bounded copy kept beside the stream; the response's one finishes the record at the end of the stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::guard::Guard;
use crate::capture::{Progress, ResponseHeaders, grpc_status};
use crate::exchange::Exchange;
use crate::queue::Answer;
use crate::record::Outcome;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a request on its way to the handler. Frames pass unchanged and undelayed.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        // Until the stream has ended.
        exchange: Option<Arc<Exchange>>,
    }
}

/// Middleware around the layer makes bodies of its own, for answers of its own.
impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B> RequestBody<B> {
    /// `exchange`: who is told about it.
    pub(crate) fn new(inner: B, exchange: Option<Arc<Exchange>>) -> Self {
        Self { inner, exchange }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(exchange) = this.exchange.as_ref() {
            let progress = match &frame {
                // Whoever reads a body of known length need not poll it once more.
                Some(Ok(_)) if this.inner.is_end_stream() => Progress::Ended,
                Some(Ok(_)) => Progress::Open,
                Some(Err(_)) => Progress::Failed,
                None => Progress::Ended,
            };
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            exchange.request_passed(data.map(|data| &**data), progress);
            if progress != Progress::Open {
                *this.exchange = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// The body of a response on its way to the client. Frames pass unchanged and undelayed.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
        watch: Option<Watch>,
        held: Option<Box<Held>>,
    }
}

/// The last frame of a response whose record must be durable first.
#[derive(Debug)]
struct Held {
    frame: Option<Frame<Bytes>>,
    durable: Answer<bool>,
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        // An answer of ours, such as a refusal.
        Own { bytes: Option<Bytes> },
    }
}

/// What is watched until the end is known. Dropped with the body, its guard ends the exchange.
#[derive(Debug)]
struct Watch {
    guard: Guard,
    /// Bytes until the end by `Content-Length`, or else by the exact size hint.
    left: Option<u64>,
}

/// Middleware around the layer makes bodies of its own, for answers of its own.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn plain(body: B) -> Self {
        Self { kind: Kind::Inner { body }, watch: None, held: None }
    }

    pub(crate) fn own(bytes: Bytes) -> Self {
        Self { kind: Kind::Own { bytes: Some(bytes) }, watch: None, held: None }
    }

    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Own { bytes: None }, watch: None, held: None }
    }

    /// A body whose end finishes the exchange.
    pub(crate) fn watched(body: B, guard: Guard, length: Option<u64>) -> Self {
        Self { kind: Kind::Inner { body }, watch: Some(Watch { guard, left: length }), held: None }
    }

    /// Asks the inner body something that it may answer with a panic.
    fn ask<R>(&self, question: impl FnOnce() -> R) -> R {
        Guard::watch_if(self.watch.as_ref().map(|watch| &watch.guard), question)
    }
}

/// What was asked for, as far as it decides where the response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Tunnel,
    Body,
}

impl Asked {
    pub(crate) fn by(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Tunnel,
            _ => Self::Body,
        }
    }
}

/// How a response ends, as far as its head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing of a body will be delivered: hyper drops such bodies without polling them.
    AtHead(Outcome),
    /// After so many bytes: hyper drops a body of known length after its last byte without polling it to its end.
    After(u64),
    /// When the stream says so.
    OfStream,
}

/// Where the end of a response lies, by RFC 9110 section 6.4.1 and RFC 9112 section 6.3.
pub(crate) fn end_of<B: Body>(asked: Asked, status: StatusCode, headers: &ResponseHeaders<'_>, body: &B) -> End {
    if status == StatusCode::SWITCHING_PROTOCOLS || (asked == Asked::Tunnel && status.is_success()) {
        return End::AtHead(Outcome::Upgraded);
    }
    let bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if asked == Asked::Head || bodiless || body.is_end_stream() {
        return End::AtHead(Outcome::Completed);
    }
    // A gRPC answer ends with its trailers, however long the data before them is.
    if headers.is_grpc() {
        return End::OfStream;
    }
    match headers.declared_length().or_else(|| body.size_hint().exact()) {
        Some(0) => End::AtHead(Outcome::Completed),
        Some(length) => End::After(length),
        None => End::OfStream,
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if this.held.is_none() {
            let frame = ready!(poll_inner(this.kind.as_mut(), this.watch, cx));
            let Passed { frame, durable: Some(durable) } = frame else { return Poll::Ready(frame.frame) };
            *this.held = Some(Box::new(Held { frame: frame.and_then(Result::ok), durable }));
        }
        let held = this.held.as_mut().expect("it was put there above if it was not there before");
        let durable = ready!(Pin::new(&mut held.durable).poll(cx));
        let frame = this.held.take().and_then(|held| held.frame);
        Poll::Ready(if durable { frame.map(Ok) } else { Some(Err(NotRecorded.into())) })
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none()
            && match &self.kind {
                Kind::Inner { body } => self.ask(|| body.is_end_stream()),
                Kind::Own { bytes } => bytes.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let inner = match &self.kind {
            Kind::Inner { body } => self.ask(|| body.size_hint()),
            Kind::Own { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        };
        let held =
            self.held.as_ref().and_then(|held| held.frame.as_ref()?.data_ref()).map_or(0, |data| data.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(inner.lower().saturating_add(held));
        hint
    }
}

/// A frame that may be delivered, or must wait for an answer.
struct Passed {
    frame: Option<Result<Frame<Bytes>, BoxError>>,
    durable: Option<Answer<bool>>,
}

/// Polls the handler's body, and ends the exchange with its last frame.
fn poll_inner<B>(kind: Pin<&mut Kind<B>>, watch: &mut Option<Watch>, cx: &mut Context<'_>) -> Poll<Passed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = match kind.project() {
        KindProj::Inner { body } => body,
        KindProj::Own { bytes } => {
            return Poll::Ready(Passed { frame: bytes.take().map(|bytes| Ok(Frame::data(bytes))), durable: None });
        }
    };
    let Some(watched) = watch else {
        let frame = ready!(body.poll_frame(cx));
        return Poll::Ready(Passed { frame: frame.map(|frame| frame.map_err(Into::into)), durable: None });
    };
    let frame = ready!(watched.guard.watch(|| body.as_mut().poll_frame(cx)));
    let last = match &frame {
        Some(Ok(frame)) => watched.passed(frame, || body.is_end_stream()),
        Some(Err(_)) => Some(Last { outcome: Outcome::BodyError, data: None }),
        None => Some(Last::COMPLETED),
    };
    let durable = last.and_then(|last| {
        let durable = watch.take()?.guard.finish_response(last.outcome, last.data);
        // A stream that failed has no end that could be held back.
        durable.filter(|_| last.outcome == Outcome::Completed)
    });
    Poll::Ready(Passed { frame: frame.map(|frame| frame.map_err(Into::into)), durable })
}

/// The end of a response was held back for its audit record, which did not become durable in time.
#[derive(Debug)]
pub(crate) struct NotRecorded;

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response is broken off: its audit record did not become durable in time")
    }
}

impl std::error::Error for NotRecorded {}

/// The end of a response's body.
#[derive(Clone, Copy, Debug)]
struct Last<'f> {
    outcome: Outcome,
    /// Of the last frame, if the record has yet to be told.
    data: Option<&'f [u8]>,
}

impl Last<'_> {
    const COMPLETED: Self = Self { outcome: Outcome::Completed, data: None };
}

impl Watch {
    /// Notes a frame that is about to be delivered; tells if it was the last.
    fn passed<'f>(&mut self, frame: &'f Frame<Bytes>, is_end: impl FnOnce() -> bool) -> Option<Last<'f>> {
        let exchange = self.guard.exchange();
        if let Some(trailers) = frame.trailers_ref() {
            exchange.with(|draft| draft.grpc_status = grpc_status(trailers).or(draft.grpc_status));
            return Some(Last::COMPLETED);
        }
        let data = frame.data_ref()?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
            if *left == 0 {
                // Most bodies are one such frame: it is noted with the end, under one lock.
                return Some(Last { data: Some(data), ..Last::COMPLETED });
            }
        }
        exchange.response_passed(data);
        self.guard.watch(is_end).then_some(Last::COMPLETED)
    }
}
