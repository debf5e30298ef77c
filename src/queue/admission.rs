//! Waiting without blocking anybody: one place in the line of requests that are not yet admitted, or of bodies that may not
//! yet be kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::control::after;
use super::front::Queue;
use crate::record::Delivery;
use crate::sync::{Arc, Instant, Mutex, MutexGuard, PoisonError};

/// The queue's answer to an exchange that asks to be admitted, or to a body that asks to be kept.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Go on.
    Granted,
    /// There is no capacity now; await it.
    Wait(Waiting),
    /// There is no capacity, and nobody may wait for it.
    Refused,
}

/// What a place waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A request or an activity, for capacity for its record.
    Exchanges,
    /// A body, for bytes.
    Bodies,
}

/// The end of a wait, by both clocks: the one that the application gave may stand still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    given: Duration,
    real: Instant,
}

impl Until {
    /// A wait that begins now, lasts at most `admission_timeout`, and ends at `given` by the application's clock.
    pub(super) fn new(given: Duration, timeout: Duration) -> Self {
        Self { given, real: after(Instant::now(), timeout) }
    }
}

/// One place in a line.
#[derive(Debug)]
pub(super) struct Place {
    state: Mutex<PlaceState>,
    pub(super) line: Line,
    pub(super) class: Delivery,
    until: Until,
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
    pub(super) fn new(line: Line, class: Delivery, until: Until, bytes: usize) -> Self {
        Self { state: Mutex::new(PlaceState::Waiting(None)), line, class, until, bytes }
    }

    /// Whether the wait has been too long.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.until.given || Instant::now() >= self.until.real
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

    fn lock(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for capacity: resolves to the bytes that are now held, or to `None` once the wait has been too long.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) place: Arc<Place>,
    pub(super) queue: Arc<Queue>,
}

#[cfg(all(test, shuttle))]
impl Waiting {
    /// Tells later whether it still waits.
    pub(crate) fn watch(&self) -> impl Fn() -> bool + use<> {
        let place = self.place.clone();
        move || matches!(*place.lock(), PlaceState::Waiting(_))
    }
}

impl Future for Waiting {
    type Output = Option<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A waker is the application's code: none is cloned or dropped while the lock is held.
        let mut spare = Some(cx.waker().clone());
        let answer = {
            let mut state = self.place.lock();
            match &mut *state {
                PlaceState::Waiting(waker) => {
                    std::mem::swap(waker, &mut spare);
                    return Poll::Pending;
                }
                PlaceState::Granted => {
                    *state = PlaceState::Left;
                    Some(self.place.bytes)
                }
                PlaceState::Refused | PlaceState::Left => {
                    *state = PlaceState::Left;
                    None
                }
            }
        };
        // A sink may have been given up since.
        let kept = answer.filter(|_| !self.queue.cannot_keep(self.place.class));
        if let (Some(bytes), None) = (answer, kept) {
            self.queue.release(bytes);
        }
        Poll::Ready(kept)
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
