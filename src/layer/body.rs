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
use crate::capture::{Progress, ResponseHeaders, grpc_trailers};
use crate::exchange::Exchange;
use crate::promise::Answer;
use crate::queue::Waiting;
use crate::record::Outcome;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a request on its way to the handler. Frames pass unchanged. A frame is delayed only if its bytes should
    /// be captured, the queue has no bytes left, and the event's class does not allow a loss.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        // Until the stream has ended.
        exchange: Option<Arc<Exchange>>,
        // Waits for bytes of the budget.
        held: Option<Box<HeldData>>,
    }
}

/// Data of a request that is not delivered yet.
#[derive(Debug)]
struct HeldData {
    frame: Frame<Bytes>,
    progress: Progress,
    waiting: Waiting,
}

/// Middleware around the layer makes bodies of its own, for answers of its own.
impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B> RequestBody<B> {
    /// `exchange`: the exchange to which it is reported.
    pub(crate) fn new(inner: B, exchange: Option<Arc<Exchange>>) -> Self {
        Self { inner, exchange, held: None }
    }

    /// The inner body, if nothing of it has to be recorded.
    #[cfg(feature = "axum")]
    pub(crate) fn into_unwatched(self) -> Result<B, Self> {
        if self.exchange.is_none() && self.held.is_none() { Ok(self.inner) } else { Err(self) }
    }
}

fn data_len(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

/// The hint of a body of which `held` bytes are not delivered yet.
fn with_held(inner: &SizeHint, held: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    if let Some(upper) = inner.upper() {
        hint.set_upper(upper.saturating_add(held));
    }
    hint.set_lower(inner.lower().saturating_add(held));
    hint
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        loop {
            let (frame, progress) = match this.held.as_mut() {
                None => {
                    let frame = ready!(this.inner.as_mut().poll_frame(cx));
                    let progress = match &frame {
                        // Whoever reads a body of known length need not poll it once more.
                        Some(Ok(_)) if this.inner.is_end_stream() => Progress::Ended,
                        Some(Ok(_)) => Progress::Open,
                        Some(Err(_)) => Progress::Failed,
                        None => Progress::Ended,
                    };
                    (frame, progress)
                }
                Some(held) => {
                    let granted = ready!(Pin::new(&mut held.waiting).poll(cx));
                    if let Some(exchange) = this.exchange.as_ref() {
                        exchange.waited(granted, |draft| &mut draft.request_body);
                    }
                    let held = *this.held.take().expect("it was polled a line before");
                    (Some(Ok(held.frame)), held.progress)
                }
            };
            let Some(exchange) = this.exchange.as_ref() else { return Poll::Ready(frame) };
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            match (exchange.request_passed(data.map(|data| &**data), progress), frame) {
                // Polled at once, to be woken.
                (Some(waiting), Some(Ok(frame))) => {
                    *this.held = Some(Box::new(HeldData { frame, progress, waiting }));
                }
                (_, frame) => {
                    if progress != Progress::Open {
                        *this.exchange = None;
                    }
                    return Poll::Ready(frame);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        with_held(&self.inner.size_hint(), self.held.as_ref().map_or(0, |held| data_len(&held.frame)))
    }
}

pin_project! {
    /// The body of a response on its way to the client. Frames pass unchanged. The last frame is delayed if the record must
    /// be durable first; as in a request, a frame is also delayed if it waits for bytes of the queue.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
        watch: Option<Watch>,
        held: Option<Box<Held>>,
    }
}

/// A frame that may not be delivered yet.
#[derive(Debug)]
enum Held {
    /// The last one of a response whose record must be durable first.
    Last { frame: Option<Frame<Bytes>>, durable: Answer<bool> },
    /// One that waits for bytes of the budget.
    Data { frame: Frame<Bytes>, waiting: Waiting },
}

impl Held {
    fn frame(&self) -> Option<&Frame<Bytes>> {
        match self {
            Self::Last { frame, .. } => frame.as_ref(),
            Self::Data { frame, .. } => Some(frame),
        }
    }
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

impl<B: Body> Kind<B> {
    fn is_end(&self) -> bool {
        match self {
            Self::Inner { body } => body.is_end_stream(),
            Self::Own { bytes } => bytes.is_none(),
        }
    }
}

/// What is watched until the end is known. Dropped with the body, its guard ends the exchange.
#[derive(Debug)]
struct Watch {
    guard: Guard,
    /// Bytes until the end by `Content-Length`, or else by the exact size hint.
    left: Option<u64>,
    /// A copy of it is kept.
    is_kept: bool,
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
    pub(crate) fn watched(body: B, guard: Guard, length: Option<u64>, is_kept: bool) -> Self {
        Self { kind: Kind::Inner { body }, watch: Some(Watch { guard, left: length, is_kept }), held: None }
    }

    /// The inner body, if its end is known already, or nothing of it is recorded.
    #[cfg(feature = "axum")]
    pub(crate) fn into_unwatched(self) -> Result<B, Self> {
        match self {
            Self { kind: Kind::Inner { body }, watch: None, held: None } => Ok(body),
            watched => Err(watched),
        }
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

/// How a response ends, as far as its head shows.
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
        loop {
            let passed = match this.held.as_deref_mut() {
                None => ready!(poll_inner(this.kind.as_mut(), this.watch, cx)),
                Some(Held::Data { waiting, .. }) => {
                    let granted = ready!(Pin::new(waiting).poll(cx));
                    if let Some(watched) = this.watch.as_ref() {
                        watched.guard.exchange().waited(granted, |draft| &mut draft.response_body);
                    }
                    let Some(Held::Data { frame, .. }) = this.held.take().map(|held| *held) else { continue };
                    let inner: &Kind<B> = &this.kind;
                    pass(Some(Ok(frame)), this.watch, || inner.is_end())
                }
                Some(Held::Last { durable, frame }) => {
                    let durable = ready!(Pin::new(durable).poll(cx));
                    let frame = frame.take();
                    *this.held = None;
                    return Poll::Ready(if durable { frame.map(Ok) } else { Some(Err(NotRecorded.into())) });
                }
            };
            match passed {
                Passed::Deliver(frame) => return Poll::Ready(frame),
                // Polled at once, to be woken.
                Passed::Hold(held) => *this.held = Some(Box::new(held)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.ask(|| self.kind.is_end())
    }

    fn size_hint(&self) -> SizeHint {
        let inner = match &self.kind {
            Kind::Inner { body } => self.ask(|| body.size_hint()),
            Kind::Own { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        };
        with_held(&inner, self.held.as_ref().and_then(|held| held.frame()).map_or(0, data_len))
    }
}

/// What becomes of a frame.
enum Passed {
    Deliver(Option<Result<Frame<Bytes>, BoxError>>),
    Hold(Held),
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
            return Poll::Ready(Passed::Deliver(bytes.take().map(|bytes| Ok(Frame::data(bytes)))));
        }
    };
    let Some(watched) = watch else {
        let frame = ready!(body.poll_frame(cx));
        return Poll::Ready(Passed::Deliver(frame.map(|frame| frame.map_err(Into::into))));
    };
    let frame = ready!(watched.guard.watch(|| body.as_mut().poll_frame(cx)));
    let frame = frame.map(|frame| frame.map_err(Into::into));
    Poll::Ready(match (watched.wait_for(&frame), frame) {
        (Some(waiting), Some(Ok(frame))) => Passed::Hold(Held::Data { frame, waiting }),
        (_, frame) => pass(frame, watch, || body.is_end_stream()),
    })
}

/// Notes a frame that is about to be delivered, and ends the exchange if it is the last.
fn pass(
    frame: Option<Result<Frame<Bytes>, BoxError>>,
    watch: &mut Option<Watch>,
    is_end: impl FnOnce() -> bool,
) -> Passed {
    let last = match (&frame, watch.as_mut()) {
        (_, None) => None,
        (Some(Ok(frame)), Some(watched)) => watched.passed(frame, is_end),
        (Some(Err(_)), _) => Some(Last { outcome: Outcome::BodyError, data: None }),
        (None, _) => Some(Last::COMPLETED),
    };
    let durable = last.and_then(|last| {
        let durable = watch.take()?.guard.finish_response(last.outcome, last.data);
        // A stream that failed has no end that could be held back.
        durable.filter(|_| last.outcome == Outcome::Completed)
    });
    match durable {
        None => Passed::Deliver(frame),
        Some(durable) => Passed::Hold(Held::Last { frame: frame.and_then(Result::ok), durable }),
    }
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
    /// Of the last frame, if it has not yet been noted in the record.
    data: Option<&'f [u8]>,
}

impl Last<'_> {
    const COMPLETED: Self = Self { outcome: Outcome::Completed, data: None };
}

impl Watch {
    /// What a frame has to wait for before it is kept and delivered, if it has to.
    fn wait_for(&self, frame: &Option<Result<Frame<Bytes>, BoxError>>) -> Option<Waiting> {
        let Some(Ok(frame)) = frame else { return None };
        let data = frame.data_ref().filter(|_| self.is_kept)?;
        self.guard.exchange().response_comes(data.len())
    }

    /// Notes a frame that is about to be delivered; returns whether it was the last.
    fn passed<'f>(&mut self, frame: &'f Frame<Bytes>, is_end: impl FnOnce() -> bool) -> Option<Last<'f>> {
        let exchange = self.guard.exchange();
        if let Some(trailers) = frame.trailers_ref() {
            exchange.with(|draft| {
                grpc_trailers(trailers, draft);
                exchange.engine().hold_late(draft);
            });
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
