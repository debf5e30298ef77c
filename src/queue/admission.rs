//! Waiting for room without blocking anybody: one place in the line of requests that are not yet let in.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::control::after;
use super::front::Queue;
use crate::record::Delivery;
use crate::sync::{Arc, Instant, Mutex, MutexGuard, PoisonError};

/// What the queue answers to somebody who wants in.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Go on. Holds the bytes that were set aside for captured bodies.
    Granted(Allowance),
    /// There is no room now; await it.
    Wait(Waiting),
    /// There is no room, and the line is full.
    Refused,
}

/// Bytes set aside in the queue's budget for the bodies of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) request: usize,
    pub(crate) response: usize,
}

impl Allowance {
    pub(crate) fn sum(self) -> usize {
        self.request.saturating_add(self.response)
    }
}

/// One place in the line.
#[derive(Debug)]
pub(super) struct Place {
    state: Mutex<PlaceState>,
    deadline: Duration,
    /// Also by the system's clock: one that the application gave may stand still.
    expires: Instant,
    pub(super) allowance: Allowance,
    pub(super) class: Delivery,
}

#[derive(Debug)]
enum PlaceState {
    Waiting(Option<Waker>),
    Granted,
    Refused,
    /// The one who waited is gone, or has taken the answer.
    Left,
}

impl Place {
    pub(super) fn new(class: Delivery, now: Duration, wait: Duration, allowance: Allowance) -> Self {
        let (deadline, expires) = (now.saturating_add(wait), after(Instant::now(), wait));
        Self { state: Mutex::new(PlaceState::Waiting(None)), deadline, expires, allowance, class }
    }

    /// Whether the wait has been too long.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.deadline || Instant::now() >= self.expires
    }

    /// Answers the one who waits; gives the waker to call once no lock is held, or `None` if nobody waits any more.
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

/// The wait for room: resolves to the allowance, or to `None` once the wait has been too long.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) place: Arc<Place>,
    pub(super) queue: Arc<Queue>,
}

impl Future for Waiting {
    type Output = Option<Allowance>;

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
                    Some(self.place.allowance)
                }
                PlaceState::Refused | PlaceState::Left => {
                    *state = PlaceState::Left;
                    None
                }
            }
        };
        // A sink may have been given up since.
        let kept = answer.filter(|_| !self.queue.cannot_keep(self.place.class));
        if let (Some(allowance), None) = (answer, kept) {
            self.queue.release(allowance.sum());
        }
        Poll::Ready(kept)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.place.lock(), PlaceState::Left);
        match before {
            PlaceState::Waiting(_) => self.queue.leave_line(),
            PlaceState::Granted => self.queue.release(self.place.allowance.sum()),
            PlaceState::Refused | PlaceState::Left => {}
        }
    }
}
