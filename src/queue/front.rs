//! The hand-over between the requests' tasks and the worker: one push under a short lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::admission::{Admission, Allowance, Place, Waiting};
use super::loss::{LossReason, Untold};
use crate::capture::Draft;
use crate::clock::Micros;
use crate::diagnostics::contained;
use crate::record::{Delivery, Outcome};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    /// The worker has stopped: what comes now is lost.
    closed: AtomicBool,
    told_closed: AtomicBool,
    lost: [AtomicU64; LossReason::ALL.len()],
    refused: AtomicU64,
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
            lost: Default::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Asks to be let in. An open exchange holds no place: the bound counts finished records only.
    pub(crate) fn admit(self: &Arc<Self>, class: Delivery, allowance: Allowance, now: Duration) -> Admission {
        if class == Delivery::Lossy {
            return Admission::Granted(Allowance::default());
        }
        if self.closed.load(Ordering::Relaxed) {
            return self.refuse_for_good();
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
        let place = Arc::new(Place::new(now.saturating_add(self.limits.wait), allowance));
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
        let open = !self.closed.load(Ordering::Relaxed) && self.waiting.load(Ordering::Relaxed) == 0;
        (open && self.has_room() && self.reserve(allowance.sum())).then_some(allowance)
    }

    /// Without the worker nothing can be recorded any more, and what may not lose must not be handled.
    fn refuse_for_good(&self) -> Admission {
        if !self.told_closed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                target: "tower_audit",
                "the audit log has stopped and the server has not: requests that must be recorded are refused"
            );
        }
        Admission::Refused
    }

    /// Hands over a finished draft; whoever was let in always can. Gives its position among all that were handed over. What
    /// cannot enter is counted and given back.
    pub(crate) fn push(&self, draft: Box<Draft>, class: Delivery) -> Result<u64, Box<Draft>> {
        let mut state = self.lock();
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
        if state.asleep {
            self.call_worker(&mut state);
        }
        Ok(position)
    }

    /// Hands over the record of somebody who was not let in: refused, or gone while waiting. What cannot enter is counted,
    /// to be told.
    pub(crate) fn push_outsider(&self, draft: Box<Draft>) -> Result<u64, Box<Draft>> {
        let mut state = self.lock();
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

    /// Whether the worker has stopped: what comes now is lost.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
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
    /// Moves what is finished into `batch`, waiting for it at most `pause`; without a pause until somebody calls.
    /// `attentive`: somebody waits for what the sinks do.
    pub(super) fn take(&self, batch: &mut VecDeque<Box<Draft>>, pause: Option<Duration>, attentive: bool) {
        let mut state = self.lock();
        state.attentive = attentive;
        if !state.called && state.finished.is_empty() {
            state = match pause {
                // A short pause is slept out: no request pays for waking the worker while there is traffic.
                Some(pause) => self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0,
                // What a sink has done since makes room; nobody else would tell it to a worker that sleeps.
                None if state.moved => state,
                None => {
                    state.asleep = true;
                    let sleeps = |state: &mut State| state.asleep;
                    self.work.wait_while(state, sleeps).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        state.called = false;
        state.moved = false;
        std::mem::swap(&mut state.finished, batch);
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
            let expired = state.closed || now >= place.deadline;
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
        let tally = state.untold.lost(reason);
        tally.add(at, None);
        tally.count += count - 1;
    }

    pub(super) fn take_untold(&self) -> Option<Untold> {
        let mut state = self.lock();
        (!state.untold.is_empty()).then(|| std::mem::take(&mut state.untold))
    }

    /// From now on everything that comes is lost, and counted.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.closed.store(true, Ordering::Relaxed);
    }
}
