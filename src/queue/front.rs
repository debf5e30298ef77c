//! The hand-over between the requests' tasks and the worker: one push under a short lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::admission::{Admission, Allowance, Place, Waiting};
use super::loss::{LossReason, Untold};
use crate::capture::Draft;
use crate::clock::Micros;
use crate::diagnostics::{contained, report};
use crate::record::{Delivery, Outcome};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Records that the worker takes at once without a pause before it.
pub(super) const FULL: usize = 64;

/// How the worker waits for records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// A pause that no record cuts short, unless many come.
    Pause(Duration),
    /// Until a record comes or somebody calls, at most this long.
    Sleep(Option<Duration>),
}

/// The bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Finished records that are not yet written.
    pub(crate) records: usize,
    /// Captured bytes of bodies.
    pub(crate) bytes: usize,
    /// How long a request may wait for room.
    pub(crate) wait: Duration,
}

/// The queue, as requests see it.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    limits: Limits,
    /// Records that were handed over. Written under the lock alone.
    pushed: AtomicU64,
    /// Those of them that have left: written, or counted as lost.
    settled: AtomicU64,
    /// Bytes of the budget that are taken.
    taken: AtomicUsize,
    /// How many wait in line, so that nobody overtakes them. Those who left it are not counted, though their places may
    /// still stand there.
    waiting: AtomicUsize,
    /// The shutdown has waited for what was admitted: nothing new is.
    closed: AtomicBool,
    told_closed: AtomicBool,
    /// Required sinks that are given up.
    dead: AtomicUsize,
    /// Exchanges that have begun and not ended.
    open: AtomicUsize,
    /// Panics of the worker's own code.
    panics: AtomicU64,
    lost: [AtomicU64; LossReason::ALL.len()],
    refused: AtomicU64,
    /// Where the worker is to panic, for tests of what happens then.
    #[cfg(test)]
    pub(super) trap: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    finished: VecDeque<Box<Draft>>,
    untold: Untold,
    line: VecDeque<Arc<Place>>,
    /// The worker has gone to sleep and must be woken.
    asleep: bool,
    /// The worker has stopped: what comes now is lost.
    closed: bool,
    /// Somebody asked the worker to look around.
    called: bool,
    /// The worker waits for a sink on somebody's behalf.
    attentive: bool,
    /// A sink got on since the worker took its last batch.
    moved: bool,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            limits,
            pushed: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            told_closed: AtomicBool::new(false),
            dead: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            lost: Default::default(),
            refused: AtomicU64::new(0),
            #[cfg(test)]
            trap: AtomicUsize::new(0),
        }
    }

    /// Asks to be let in. An open exchange holds no place: the bound counts finished records only.
    pub(crate) fn admit(self: &Arc<Self>, class: Delivery, allowance: Allowance, now: Duration) -> Admission {
        if class == Delivery::Lossy {
            return Admission::Granted(Allowance::default());
        }
        // After the exchange was counted as open: either this sees that nothing is admitted any more, or the worker sees it.
        if self.closed.load(Ordering::SeqCst) {
            return self.refuse_for_good();
        }
        if self.cannot_keep(class) {
            return Admission::Refused;
        }
        if self.waiting.load(Ordering::Relaxed) == 0 && self.has_room() && self.reserve(allowance.sum()) {
            return Admission::Granted(allowance);
        }
        let mut state = self.lock();
        if state.closed || self.waiting.load(Ordering::Relaxed) >= self.limits.records {
            return Admission::Refused;
        }
        // At least half of the places are empty then, so that the walk costs each of those who left one step.
        if state.line.len() >= self.limits.records.saturating_mul(2) {
            state.line.retain(|place| !place.is_left());
        }
        let place = Arc::new(Place::new(class, now, self.limits.wait, allowance));
        state.line.push_back(place.clone());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.call_worker(&mut state);
        Admission::Wait(Waiting { place, queue: self.clone() })
    }

    /// As [`Queue::admit`], for those who cannot wait.
    pub(crate) fn admit_now(&self, class: Delivery, allowance: Allowance) -> Option<Allowance> {
        if class == Delivery::Lossy {
            return Some(Allowance::default());
        }
        let open = !self.closed.load(Ordering::SeqCst) && self.waiting.load(Ordering::Relaxed) == 0;
        (open && !self.cannot_keep(class) && self.has_room() && self.reserve(allowance.sum())).then_some(allowance)
    }

    /// Without the worker nothing can be recorded any more, and what may not lose must not be handled.
    fn refuse_for_good(&self) -> Admission {
        if !self.told_closed.swap(true, Ordering::Relaxed) {
            report(|| {
                tracing::error!(
                    target: "tower_audit",
                    "the audit log has stopped and the server has not: what must be recorded is refused; was the `ShutdownGuard` dropped?"
                );
            });
        }
        Admission::Refused
    }

    /// Whether a class needs a required sink that is given up: what such an exchange does could not become durable.
    pub(super) fn cannot_keep(&self, class: Delivery) -> bool {
        class >= Delivery::Durable && self.dead.load(Ordering::Relaxed) > 0
    }

    /// Hands over a finished draft; whoever was let in always can. Gives its position among all that were handed over. What
    /// cannot enter is counted and given back. `is_last`: its exchange has ended.
    pub(crate) fn push(&self, draft: Box<Draft>, class: Delivery, is_last: bool) -> Result<u64, Box<Draft>> {
        let mut state = self.lock();
        self.close_if(is_last);
        let refusal = if state.closed {
            Some(LossReason::Shutdown)
        } else if class == Delivery::Lossy && !self.has_room() {
            Some(LossReason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.count_lost(&mut state, reason, [&*draft]);
            return Err(draft);
        }
        let position = self.enter(&mut state, draft);
        // A pause ends early when the queue is half full: nobody is refused because the worker rests.
        let is_half_full = !state.called && state.finished.len().saturating_mul(2) >= self.limits.records;
        if state.asleep || is_half_full {
            self.call_worker(&mut state);
        }
        Ok(position)
    }

    /// Hands over the record of somebody who was not let in: refused, or gone while waiting. What cannot enter is counted,
    /// to be told.
    pub(crate) fn push_outsider(&self, draft: Box<Draft>, is_last: bool) -> Result<u64, Box<Draft>> {
        let mut state = self.lock();
        self.close_if(is_last);
        let was_refused = draft.outcome == Some(Outcome::Rejected);
        if was_refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if state.closed || !self.has_room() {
            if was_refused {
                state.untold.refused.add(draft.started, Some(draft.audit_id));
            } else {
                self.count_lost(&mut state, LossReason::QueueFull, [&*draft]);
            }
            return Err(draft);
        }
        let position = self.enter(&mut state, draft);
        self.call_worker(&mut state);
        Ok(position)
    }

    /// Under the lock, so that at each moment an exchange is open or its record is here or counted as lost.
    fn close_if(&self, is_last: bool) {
        if is_last {
            self.count_closed();
        }
    }

    fn enter(&self, state: &mut State, draft: Box<Draft>) -> u64 {
        let position = self.pushed.load(Ordering::Relaxed) + 1;
        self.pushed.store(position, Ordering::Release);
        state.finished.push_back(draft);
        position
    }

    /// Takes bytes from the budget of captured bytes, if they are there.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let room = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= self.limits.bytes);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    /// Takes bytes for somebody who may lose: at most half of the budget is theirs.
    pub(crate) fn reserve_lossy(&self, bytes: usize) -> bool {
        let free = self.taken.load(Ordering::Relaxed).saturating_add(bytes) <= self.limits.bytes / 2;
        free && self.reserve(bytes)
    }

    /// Takes bytes for what has been let in already.
    pub(crate) fn reserve_anyway(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Makes the worker look around soon.
    pub(crate) fn call(&self) {
        self.call_worker(&mut self.lock());
    }

    pub(crate) fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    pub(crate) fn lost(&self) -> u64 {
        LossReason::ALL.into_iter().map(|reason| self.lost_by(reason)).sum()
    }

    pub(crate) fn lost_by(&self, reason: LossReason) -> u64 {
        self.lost[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A sink's thread got on: whoever waits for that must not wait for the worker's next look.
    pub(crate) fn moved(&self) {
        let mut state = self.lock();
        state.moved = true;
        if state.asleep || state.attentive {
            self.call_worker(&mut state);
        }
    }

    /// A required sink was given up, or works again.
    pub(crate) fn required_sink_works(&self, works: bool) {
        if works {
            self.dead.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.dead.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_open(&self) {
        // Before the exchange asks whether it is admitted: see `Queue::stop_admitting`.
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count_closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Records that were lost, and exchanges that are open and whose records will be, at one moment.
    pub(super) fn lost_and_open(&self) -> (u64, u64) {
        // An exchange that ends after the queue was closed is counted under this lock as lost and as no longer open.
        let _at_one_moment = self.lock();
        (self.lost(), self.open() as u64)
    }

    /// Panics if a test has set a trap here.
    #[cfg(test)]
    pub(super) fn spring(&self, trap: usize) {
        if self.trap.compare_exchange(trap, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            std::panic::resume_unwind(Box::new("a trap"));
        }
    }

    pub(super) fn note_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Whether the log has stopped: nothing is admitted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn unwritten(&self) -> usize {
        let mut settled = self.settled.load(Ordering::Acquire);
        loop {
            // In this order: what has left by then was handed over before.
            let pushed = self.pushed();
            // Whoever was held up in between would count those that came and went meanwhile, and find no room.
            let still = self.settled.load(Ordering::Acquire);
            if still == settled {
                return usize::try_from(pushed - settled).unwrap_or(usize::MAX);
            }
            settled = still;
        }
    }

    pub(crate) fn taken_bytes(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Somebody left the line without an answer. The place stays until it is passed or swept.
    pub(super) fn leave_line(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.unwritten() < self.limits.records
    }

    fn call_worker(&self, state: &mut State) {
        state.called = true;
        state.asleep = false;
        self.work.notify_one();
    }

    fn count_lost<'d>(&self, state: &mut State, reason: LossReason, drafts: impl IntoIterator<Item = &'d Draft>) {
        for draft in drafts {
            self.lost[reason as usize].fetch_add(1, Ordering::Relaxed);
            state.untold.lost(reason).add(draft.started.plus(draft.elapsed), Some(draft.audit_id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave it half done: a panic elsewhere must not cost a record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue, as the worker and the sinks' threads see it.
impl Queue {
    /// Moves what is finished into `batch`, after a rest. `attentive`: somebody waits for what the sinks do.
    pub(super) fn take(&self, batch: &mut VecDeque<Box<Draft>>, rest: Rest, attentive: bool) {
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
                // What a sink has done since makes room; nobody else would report it to a worker that sleeps.
                Rest::Sleep(_) if state.moved || !state.finished.is_empty() => state,
                Rest::Sleep(limit) => {
                    state.asleep = true;
                    let mut state = match limit {
                        None => self.work.wait_while(state, sleeps).unwrap_or_else(PoisonError::into_inner),
                        Some(limit) => {
                            self.work.wait_timeout_while(state, limit, sleeps).unwrap_or_else(PoisonError::into_inner).0
                        }
                    };
                    state.asleep = false;
                    state
                }
            };
        }
        state.called = false;
        state.moved = false;
        std::mem::swap(&mut state.finished, batch);
    }

    /// Waits for a sink to get on, at most this long.
    pub(super) fn wait_for_move(&self, limit: Duration) {
        let mut state = self.lock();
        state.attentive = true;
        if !state.called {
            state = self.work.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.called = false;
    }

    /// Lets in whom there is room for, in order, and refuses whom the wait was too long for.
    pub(super) fn serve_line(&self, now: Duration) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        for waker in self.answer_line(now) {
            contained("a waker", || waker.wake());
        }
    }

    fn answer_line(&self, now: Duration) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let mut room = self.limits.records.saturating_sub(self.unwritten());
        while let Some(place) = state.line.front() {
            if place.is_left() {
                state.line.pop_front();
                continue;
            }
            let expired = state.closed || place.is_over(now) || self.cannot_keep(place.class);
            let granted = !expired && room > 0 && self.reserve(place.allowance.sum());
            if !expired && !granted {
                break;
            }
            match place.answer(granted) {
                Some(waker) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    room -= usize::from(granted);
                    wakers.extend(waker);
                }
                None if granted => self.release(place.allowance.sum()),
                None => {}
            }
            state.line.pop_front();
        }
        wakers
    }

    pub(super) fn has_line(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
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
    pub(super) fn count_sink_failed(&self, count: u64) {
        self.lost[LossReason::SinkFailed as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn take_untold(&self) -> Option<Untold> {
        let mut state = self.lock();
        (!state.untold.is_empty()).then(|| std::mem::take(&mut state.untold))
    }

    /// Admits nothing any more. An exchange that was admitted before is counted as open by now.
    pub(super) fn stop_admitting(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// From now on everything that comes is lost, and counted.
    pub(super) fn close(&self) {
        self.stop_admitting();
        self.lock().closed = true;
    }
}
