//! Bodies with a bounded copy kept beside the stream; the response's one finishes the record at the end of the stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::guard::Guard;
use crate::capture::{Progress, grpc_status};
use crate::exchange::Exchange;
use crate::record::Outcome;

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

impl<B> RequestBody<B> {
    pub(crate) fn plain(inner: B) -> Self {
        Self { inner, exchange: None }
    }

    pub(crate) fn recorded(inner: B, exchange: Arc<Exchange>) -> Self {
        Self { inner, exchange: Some(exchange) }
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
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        exchange.request_data(data);
                    }
                    // Whoever reads a body of known length need not poll it once more.
                    if this.inner.is_end_stream() { Progress::Ended } else { Progress::Open }
                }
                Some(Err(_)) => Progress::Failed,
                None => Progress::Ended,
            };
            if progress != Progress::Open {
                exchange.request_ended(progress);
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

/// What is watched until the end is known. Dropped with the body, its guard ends the exchange.
#[derive(Debug)]
struct Watch {
    guard: Guard,
    /// Bytes until the end by `Content-Length`, or else by the exact size hint.
    left: Option<u64>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn plain(body: B) -> Self {
        Self { kind: Kind::Inner { body }, watch: None }
    }

    pub(crate) fn own(bytes: Bytes) -> Self {
        Self { kind: Kind::Own { bytes: Some(bytes) }, watch: None }
    }

    /// A body whose end finishes the exchange.
    pub(crate) fn watched(body: B, guard: Guard, length: Option<u64>) -> Self {
        Self { kind: Kind::Inner { body }, watch: Some(Watch { guard, left: length }) }
    }

    /// Asks the inner body something that it may answer with a panic.
    fn ask<R>(&self, question: impl FnOnce() -> R) -> R {
        match &self.watch {
            Some(watch) => watch.guard.watch(question),
            None => question(),
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
pub(crate) fn end_of<B: Body>(method: &Method, status: StatusCode, headers: &HeaderMap, body: &B) -> End {
    if status == StatusCode::SWITCHING_PROTOCOLS || (*method == Method::CONNECT && status.is_success()) {
        return End::AtHead(Outcome::Upgraded);
    }
    let bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if *method == Method::HEAD || bodiless || body.is_end_stream() {
        return End::AtHead(Outcome::Completed);
    }
    // A gRPC answer ends with its trailers, however long the data before them is.
    let is_grpc =
        headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return End::OfStream;
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match declared.or_else(|| body.size_hint().exact()) {
        Some(0) => End::AtHead(Outcome::Completed),
        Some(length) => End::After(length),
        None => End::OfStream,
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut body = match this.kind.project() {
            KindProj::Inner { body } => body,
            KindProj::Own { bytes } => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        let Some(watch) = this.watch.as_mut() else { return body.poll_frame(cx) };
        let frame = ready!(watch.guard.watch(|| body.as_mut().poll_frame(cx)));
        let outcome = match &frame {
            Some(Ok(frame)) => watch.passed(frame, || body.is_end_stream()),
            Some(Err(_)) => Some(Outcome::BodyError),
            None => Some(Outcome::Completed),
        };
        if let Some(outcome) = outcome
            && let Some(watch) = this.watch.take()
        {
            match outcome {
                Outcome::Completed => watch.guard.exchange().response_ended(),
                _ => watch.guard.exchange().response_failed(),
            }
            watch.guard.finish(outcome);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => self.ask(|| body.is_end_stream()),
            Kind::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => self.ask(|| body.size_hint()),
            Kind::Own { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

impl Watch {
    /// Notes a frame that is about to be delivered; tells the outcome if it was the last.
    fn passed(&mut self, frame: &Frame<Bytes>, is_end: impl FnOnce() -> bool) -> Option<Outcome> {
        let exchange = self.guard.exchange();
        if let Some(trailers) = frame.trailers_ref() {
            exchange.with(|draft| draft.grpc_status = grpc_status(trailers).or(draft.grpc_status));
            return Some(Outcome::Completed);
        }
        let data = frame.data_ref()?;
        exchange.response_data(data);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
        }
        (self.left == Some(0) || self.guard.watch(is_end)).then_some(Outcome::Completed)
    }
}
