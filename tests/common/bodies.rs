//! Bodies that a test feeds by hand.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Fed = Result<Frame<Bytes>, BoxError>;

/// A body whose frames come from a channel. It knows no length, and panics if it is polled after its end.
pub(crate) struct FedBody {
    frames: mpsc::UnboundedReceiver<Fed>,
    ended: bool,
}

/// The other end of a [`FedBody`].
pub(crate) type Feed = mpsc::UnboundedSender<Fed>;

pub(crate) fn fed() -> (Feed, FedBody) {
    let (feed, frames) = mpsc::unbounded_channel();
    (feed, FedBody { frames, ended: false })
}

/// A body of these frames.
pub(crate) fn of(frames: impl IntoIterator<Item = Fed>) -> FedBody {
    let (feed, body) = fed();
    frames.into_iter().for_each(|frame| feed.send(frame).ok().unwrap());
    body
}

pub(crate) fn data(text: &'static str) -> Fed {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn trailers(name: &'static str, value: &'static str) -> Fed {
    Ok(Frame::trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])))
}

impl Body for FedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fed>> {
        assert!(!self.ended, "polled after its end");
        let frame = self.frames.poll_recv(cx);
        self.ended = matches!(&frame, Poll::Ready(None | Some(Err(_))));
        frame
    }
}

/// A body that panics: when it is polled, or when it is asked whether it has ended (after the first `asked` times).
pub(crate) struct Panics {
    pub(crate) first: Option<Bytes>,
    pub(crate) in_is_end_stream: bool,
}

impl Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.first.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => panic!("in the body"),
        }
    }

    fn is_end_stream(&self) -> bool {
        assert!(!(self.in_is_end_stream && self.first.is_none()), "in is_end_stream");
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A body that never ends and has nothing to say.
pub(crate) struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
