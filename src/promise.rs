//! An answer that the worker gives once: awaited on any runtime, or waited for where there is none.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::diagnostics::contained;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    given: Condvar,
}

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's side. Dropped, it gives the answer that was agreed on for that.
#[derive(Debug)]
pub(crate) struct Promise<T> {
    slot: Arc<Slot<T>>,
    otherwise: Option<T>,
}

/// The side of whoever asked.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Slot<T>>);

pub(crate) fn promise<T>(otherwise: T) -> (Promise<T>, Answer<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State { answer: None, waker: None }), given: Condvar::new() });
    (Promise { slot: slot.clone(), otherwise: Some(otherwise) }, Answer(slot))
}

impl<T> Promise<T> {
    pub(crate) fn give(mut self, answer: T) {
        self.otherwise = None;
        self.slot.give(answer);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.otherwise.take() {
            self.slot.give(answer);
        }
    }
}

impl<T> Slot<T> {
    fn give(&self, answer: T) {
        let mut state = self.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.given.notify_all();
        if let Some(waker) = waker {
            contained("a waker", || waker.wake());
        }
    }
}

impl<T> Answer<T> {
    /// An answer that is known already.
    pub(crate) fn given(answer: T) -> Self {
        Self(Arc::new(Slot { state: Mutex::new(State { answer: Some(answer), waker: None }), given: Condvar::new() }))
    }

    /// Blocks the thread for at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<T> {
        let state = self.0.lock();
        let waits = |state: &mut State<T>| state.answer.is_none();
        let (mut state, _) =
            self.0.given.wait_timeout_while(state, limit, waits).unwrap_or_else(PoisonError::into_inner);
        state.answer.take()
    }
}

impl<T> Future for Answer<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // A waker is the application's code: none is cloned or dropped while the lock is held.
        let mut spare = Some(cx.waker().clone());
        let mut state = self.0.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                std::mem::swap(&mut state.waker, &mut spare);
                drop(state);
                Poll::Pending
            }
        }
    }
}
