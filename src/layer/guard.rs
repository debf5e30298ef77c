//! Exactly once: the guard that moves from `call` through the future into the response's body.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::promise::Answer;
use crate::record::Outcome;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Closes its exchange, by [`Guard::finish`] or by being dropped, in the same function and once.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Until it is dropped.
    exchange: Option<Arc<Exchange>>,
    /// We are inside a call or poll of the inner service: a drop now is an unwinding panic. `thread::panicking()` would
    /// be wrong both ways, with a `CatchPanic` outside, and for a bystander of somebody else's panic.
    inside: AtomicBool,
    finished: bool,
}

impl Guard {
    pub(crate) fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange: Some(exchange), inside: AtomicBool::new(false), finished: false }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        self.exchange.as_ref().expect("a guard has its exchange until it is dropped")
    }

    /// Runs the inner service's code.
    pub(crate) fn watch<R>(&self, inner: impl FnOnce() -> R) -> R {
        Self::watch_if(Some(self), inner)
    }

    /// Runs the inner service's code, with a guard if there is one.
    pub(crate) fn watch_if<R>(guard: Option<&Self>, inner: impl FnOnce() -> R) -> R {
        Self::set_inside(guard, true);
        let result = inner();
        Self::set_inside(guard, false);
        result
    }

    /// Notes that the inner service's code runs from now on, or does no more.
    pub(super) fn set_inside(guard: Option<&Self>, inside: bool) {
        if let Some(guard) = guard {
            guard.inside.store(inside, Ordering::Relaxed);
        }
    }

    /// Ends the exchange. An answer says whether its record is durable, where the response's end has to wait for that.
    pub(crate) fn finish(mut self, outcome: Outcome) -> Option<Answer<bool>> {
        self.finished = true;
        self.exchange().close(outcome)
    }

    /// Ends the exchange with the head of its response: there is no body after it.
    pub(crate) fn finish_at_head(mut self, outcome: Outcome) -> Option<Answer<bool>> {
        self.finished = true;
        self.exchange().close_at_head(outcome)
    }

    /// Ends the exchange with the end of its response's body, of which `data` is yet to be noted.
    pub(crate) fn finish_response(mut self, outcome: Outcome, data: Option<&[u8]>) -> Option<Answer<bool>> {
        self.finished = true;
        self.exchange().close_response(outcome, data)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.finished {
            let outcome = if *self.inside.get_mut() {
                Outcome::Panicked
            } else if self.exchange().is_ended_by_its_client() {
                Outcome::Completed
            } else if self.exchange().engine().is_closing() {
                Outcome::Shutdown
            } else {
                Outcome::Aborted
            };
            self.exchange().close(outcome);
        }
        if let Some(exchange) = self.exchange.take() {
            Exchange::retire(exchange);
        }
    }
}
