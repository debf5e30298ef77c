//! The queue as the worker sees it: takes what was handed over, answers whoever is in line, and gives back what is settled.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::{Queue, State};
use crate::capture::Draft;
use crate::clock::Micros;
use crate::diagnostics::contained;
use crate::queue::admission::Place;
use crate::queue::loss::{LossReason, Untold};
use crate::record::Delivery;
use crate::sync::PoisonError;
use crate::sync::atomic::Ordering;

/// Records that the worker takes at once without a pause before it.
pub(crate) const FULL: usize = 64;

/// How the worker waits for records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    /// A pause that no record cuts short, unless many come.
    Pause(Duration),
    /// Until a record comes or somebody calls, at most this long. `lazily`: that a sink has written is no reason to wake, unless
    /// somebody waits for it or little capacity is left.
    Sleep { most: Option<Duration>, lazily: bool },
}

impl Queue {
    /// Moves what is finished into `batch`, after a rest. `attentive`: somebody waits for what the sinks do.
    pub(crate) fn take(&self, batch: &mut VecDeque<Box<Draft>>, rest: Rest, attentive: bool) {
        let mut state = self.lock();
        state.attentive = attentive;
        if !state.called {
            let sleeps = |state: &mut State| state.asleep;
            state = match rest {
                // A short pause is slept out: no request pays for waking the worker while there is traffic.
                Rest::Pause(pause) if state.finished.len() < FULL => {
                    self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                Rest::Pause(_) => state,
                // What a sink has written since frees capacity; nobody else would report it to a sleeping worker.
                Rest::Sleep { .. } if state.moved || !state.finished.is_empty() => state,
                Rest::Sleep { most, lazily } => {
                    state.asleep = true;
                    state.lazy = lazily;
                    let mut state = match most {
                        None => self.work.wait_while(state, sleeps).unwrap_or_else(PoisonError::into_inner),
                        Some(most) => {
                            self.work.wait_timeout_while(state, most, sleeps).unwrap_or_else(PoisonError::into_inner).0
                        }
                    };
                    state.asleep = false;
                    state
                }
            };
        }
        state.called = false;
        state.moved = false;
        if batch.is_empty() {
            std::mem::swap(&mut state.finished, batch);
        } else {
            // A panic was contained before the batch was done: its drafts come first, their positions are taken.
            batch.append(&mut state.finished);
        }
    }

    /// Waits for a sink to get on, at most this long.
    pub(crate) fn wait_for_move(&self, limit: Duration) {
        let mut state = self.lock();
        state.attentive = true;
        if !state.called {
            state = self.work.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.called = false;
    }

    /// Admits the waiting requests for which there is capacity, in order, and refuses those that have waited too long, or whose records
    /// could not be kept any more.
    pub(crate) fn serve_line(&self, now: Duration) {
        if !self.has_line() {
            return;
        }
        let mut wakers = Vec::new();
        let mut state = self.lock();
        self.answer_exchanges(&mut state, now, &mut wakers);
        self.answer_bodies(&mut state, now, &mut wakers);
        drop(state);
        for waker in wakers {
            contained("a waker", || waker.wake());
        }
    }

    fn answer_exchanges(&self, state: &mut State, now: Duration, wakers: &mut Vec<Waker>) {
        let mut room = self.limits.records.saturating_sub(self.unwritten());
        while let Some(place) = state.line.front() {
            if place.is_left() {
                state.line.pop_front();
                continue;
            }
            let expired = state.closed || place.is_over(now) || self.cannot_keep(place.class);
            let granted = !expired && room > 0 && self.has_bytes();
            if !expired && !granted {
                break;
            }
            if granted {
                self.held.add(place.bytes);
            }
            room -= usize::from(self.answer(place, granted, wakers));
            state.line.pop_front();
        }
    }

    /// Each body needs bytes of its own number, so one that needs fewer does not wait behind one that needs more. A bounded
    /// number is looked at, and the next ones the next time: the lock is not held for long. After the end there may be no next
    /// time.
    fn answer_bodies(&self, state: &mut State, now: Duration, wakers: &mut Vec<Waker>) {
        const LOOKED_AT: usize = 256;
        let most = self.limits.for_bodies(Delivery::Backpressure);
        let looked_at = if state.closed { state.bodies.len() } else { state.bodies.len().min(LOOKED_AT) };
        for _ in 0..looked_at {
            let Some(place) = state.bodies.pop_front() else { break };
            if place.is_left() {
                continue;
            }
            let expired = state.closed || place.is_over(now) || self.cannot_keep(place.class);
            let granted = !expired && self.held.add_within(place.bytes, most);
            if expired || granted {
                self.answer(&place, granted, wakers);
            } else {
                state.bodies.push_back(place);
            }
        }
    }

    /// Answers one in line, which holds its bytes already if it is granted. False if nobody waits there any more.
    fn answer(&self, place: &Place, granted: bool, wakers: &mut Vec<Waker>) -> bool {
        let Some(waker) = place.answer(granted) else {
            self.held.sub(if granted { place.bytes } else { 0 });
            return false;
        };
        self.leave(place);
        wakers.extend(waker);
        granted
    }

    pub(crate) fn has_line(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || self.bodies_waiting.load(Ordering::Relaxed) > 0
    }

    /// Records that left the queue: written, or counted as lost.
    pub(crate) fn settle(&self, records: usize, bytes: usize) {
        self.settled.fetch_add(records as u64, Ordering::Release);
        self.release(bytes);
    }

    pub(crate) fn note_lost(&self, reason: LossReason, at: Micros, count: u64) {
        self.lost[reason as usize].fetch_add(count, Ordering::Relaxed);
        let mut state = self.lock();
        state.untold.lost(reason).add_many(count, at);
    }

    /// Counts records that a sink lost, which each sink reports by itself.
    pub(crate) fn count_sink_failed(&self, count: u64) {
        self.lost[LossReason::SinkFailed as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn take_untold(&self) -> Option<Untold> {
        let mut state = self.lock();
        (!state.untold.is_empty()).then(|| std::mem::take(&mut state.untold))
    }

    /// Admits nothing any more. An exchange that was admitted before is counted as open by now.
    pub(crate) fn stop_admitting(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// From now on everything that comes is lost, and counted.
    pub(crate) fn close(&self) {
        self.stop_admitting();
        self.lock().closed = true;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::{Admission, Limits};

    #[test]
    fn all_bodies_that_wait_are_answered_at_the_end_however_many() {
        let queue = Arc::new(Queue::new(Limits {
            records: 1_024,
            bytes: 8,
            line_bytes: usize::MAX,
            admission_timeout: Duration::from_secs(60),
        }));
        queue.held.add(8);
        let waiting: Vec<Admission> = (0..300)
            .map(|_| queue.admit_body(Delivery::Backpressure, 4, Some(Duration::from_secs(60))).unwrap())
            .collect();
        assert!(waiting.iter().all(|admission| matches!(admission, Admission::Wait(_))));
        queue.serve_line(Duration::ZERO);
        assert!(queue.has_line());
        queue.close();
        queue.serve_line(Duration::ZERO);
        assert!(!queue.has_line());
    }
}
