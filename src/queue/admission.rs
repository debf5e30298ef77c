//! Waiting without blocking anybody: one place in the line of requests that are not yet admitted, or of bodies that may not
//! yet be kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::front::Queue;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The queue's answer to an exchange that asks to be admitted, or to a body that asks to be kept.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Go on.
    Granted,
    /// There is no room now; await it.
    Wait(Waiting),
    /// There is no room, and nobody may wait for it.
    Refused,
}

/// What a place waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A request or an activity, for room for its record.
    Exchanges,
    /// A body, for bytes.
    Bodies,
}

/// One place in a line.
#[derive(Debug)]
pub(super) struct Place {
    state: Mutex<PlaceState>,
    pub(super) line: Line,
    pub(super) deadline: Duration,
    /// Bytes that it holds from the moment when it is granted.
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum PlaceState {
    Waiting(Option<Waker>),
    Granted,
    Refused,
    /// Nobody waits here any more, or the answer was taken.
    Left,
}

impl Place {
    pub(super) fn new(line: Line, deadline: Duration, bytes: usize) -> Self {
        Self { state: Mutex::new(PlaceState::Waiting(None)), line, deadline, bytes }
    }

    /// Answers whoever waits; gives the waker to call once no lock is held, or `None` if nobody waits any more.
    pub(super) fn answer(&self, granted: bool) -> Option<Option<Waker>> {
        let mut state = self.lock();
        match &mut *state {
            PlaceState::Waiting(waker) => {
                let waker = waker.take();
                *state = if granted { PlaceState::Granted } else { PlaceState::Refused };
                Some(waker)
            }
            PlaceState::Granted | PlaceState::Refused | PlaceState::Left => None,
        }
    }

    pub(super) fn is_left(&self) -> bool {
        matches!(*self.lock(), PlaceState::Left)
    }

    #[cfg(all(test, shuttle))]
    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.lock(), PlaceState::Waiting(_))
    }

    fn lock(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for room: resolves to the bytes that are now held, or to `None` once the wait has been too long.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) place: Arc<Place>,
    pub(super) queue: Arc<Queue>,
}

impl Future for Waiting {
    type Output = Option<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A waker's clone and drop are the executor's code, and run without the lock.
        let fresh = cx.waker().clone();
        let mut state = self.place.lock();
        match &mut *state {
            PlaceState::Waiting(waker) => {
                let before = waker.replace(fresh);
                drop(state);
                drop(before);
                Poll::Pending
            }
            PlaceState::Granted => {
                *state = PlaceState::Left;
                Poll::Ready(Some(self.place.bytes))
            }
            PlaceState::Refused | PlaceState::Left => {
                *state = PlaceState::Left;
                Poll::Ready(None)
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.place.lock(), PlaceState::Left);
        match before {
            PlaceState::Waiting(_) => self.queue.leave(&self.place),
            PlaceState::Granted => self.queue.release(self.place.bytes),
            PlaceState::Refused | PlaceState::Left => {}
        }
    }
}
