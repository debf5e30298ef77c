//! The hand-over between the requests' tasks and the worker: one push under a short lock.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::admission::{Admission, Line, Place, Waiting};
use super::held::Held;
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
    /// Bytes that exchanges and their unwritten records hold.
    pub(crate) bytes: usize,
    /// Bytes of exchanges in line, which are not counted among the others before they are admitted.
    pub(crate) line_bytes: usize,
    /// How long a request may wait for room, and a body for bytes.
    pub(crate) wait: Duration,
}

impl Limits {
    /// How many bytes may be held when a body asks for more. A quarter of all is left for heads, so that bodies that are
    /// held for long do not keep others out, and half for what may not be lost.
    fn for_bodies(&self, class: Delivery) -> usize {
        if class == Delivery::Lossy { self.for_lossy() } else { self.bytes / 4 * 3 }
    }

    /// What may be lost takes at most half of the bytes.
    fn for_lossy(&self) -> usize {
        self.bytes / 2
    }
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
    held: Held,
    /// Exchanges in line, so that nobody overtakes them. Those that left it are not counted, though their places may still
    /// be there.
    waiting: AtomicUsize,
    /// Bytes that the exchanges in line will hold once they are admitted, and that nobody counts before.
    waiting_bytes: AtomicUsize,
    /// Bodies in line.
    bodies_waiting: AtomicUsize,
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
    bodies: VecDeque<Arc<Place>>,
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
            held: Held::default(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            bodies_waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            told_closed: AtomicBool::new(false),
            lost: Default::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Asks to admit an exchange, which will hold `bytes`. An open exchange holds no place: the bound on records counts
    /// finished ones only. Everybody needs the same, which is that the bounds are not reached: nobody waits behind somebody
    /// who needs more.
    ///
    /// Whoever is granted at once counts the bytes itself; whoever waits holds them when it is granted.
    pub(crate) fn admit(self: &Arc<Self>, class: Delivery, bytes: usize, now: Duration) -> Admission {
        if class == Delivery::Lossy {
            return if self.has_lossy_bytes() { Admission::Granted } else { Admission::Refused };
        }
        if self.is_closed() {
            return self.refuse_for_good();
        }
        if self.waiting.load(Ordering::Relaxed) == 0 && self.has_room() && self.has_bytes() {
            return Admission::Granted;
        }
        let mut state = self.lock();
        let is_full = self.waiting.load(Ordering::Relaxed) >= self.limits.records
            || self.waiting_bytes.load(Ordering::Relaxed) >= self.limits.line_bytes;
        if state.closed || is_full {
            return Admission::Refused;
        }
        // At least half of the places are empty then, so that the walk costs each of those that left one step.
        if state.line.len() >= self.limits.records.saturating_mul(2) {
            state.line.retain(|place| !place.is_left());
        }
        let place = Arc::new(Place::new(Line::Exchanges, now.saturating_add(self.limits.wait), bytes));
        state.line.push_back(place.clone());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.call_worker(&mut state);
        Admission::Wait(Waiting { place, queue: self.clone() })
    }

    /// As [`Queue::admit`], for those who cannot wait.
    pub(crate) fn admit_now(&self, class: Delivery) -> bool {
        if class == Delivery::Lossy {
            return self.has_lossy_bytes();
        }
        !self.is_closed() && self.waiting.load(Ordering::Relaxed) == 0 && self.has_room() && self.has_bytes()
    }

    /// Asks to keep `bytes` of a body, until `deadline` if it has to wait. Granted, the bytes are held.
    pub(crate) fn admit_body(
        self: &Arc<Self>,
        class: Delivery,
        bytes: usize,
        deadline: impl FnOnce() -> Duration,
    ) -> Admission {
        if self.held.add_within(bytes, self.limits.for_bodies(class)) {
            return Admission::Granted;
        }
        if class == Delivery::Lossy {
            return Admission::Refused;
        }
        let deadline = deadline();
        let mut state = self.lock();
        if state.closed || self.bodies_waiting.load(Ordering::Relaxed) >= self.limits.records {
            return Admission::Refused;
        }
        if state.bodies.len() >= self.limits.records.saturating_mul(2) {
            state.bodies.retain(|place| !place.is_left());
        }
        let place = Arc::new(Place::new(Line::Bodies, deadline, bytes));
        state.bodies.push_back(place.clone());
        self.bodies_waiting.fetch_add(1, Ordering::Relaxed);
        self.call_worker(&mut state);
        Admission::Wait(Waiting { place, queue: self.clone() })
    }

    fn has_bytes(&self) -> bool {
        self.held.bytes() < self.limits.bytes
    }

    fn has_lossy_bytes(&self) -> bool {
        self.held.bytes() < self.limits.for_lossy()
    }

    /// Counts an exchange that begins, and what it holds from the start.
    pub(crate) fn count_open(&self, bytes: usize) {
        self.held.open(bytes);
    }

    pub(crate) fn count_closed(&self) {
        self.held.close();
    }

    /// Exchanges that have begun and not ended.
    pub(crate) fn open(&self) -> usize {
        self.held.exchanges()
    }

    /// Counts the record of an exchange that there were no bytes for, and that may be lost.
    pub(crate) fn count_unrecorded(&self, draft: &Draft) {
        let mut state = self.lock();
        self.count_lost(&mut state, LossReason::QueueFull, [draft]);
        if state.asleep {
            self.call_worker(&mut state);
        }
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

    /// Counts bytes of an exchange that was admitted before.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held.add(bytes);
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.held.sub(bytes);
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

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Whether the worker has stopped: what comes now is lost.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Somebody left a line without an answer. The place stays until it is passed or swept.
    pub(super) fn leave(&self, place: &Place) {
        match place.line {
            Line::Exchanges => {
                self.waiting_bytes.fetch_sub(place.bytes, Ordering::Relaxed);
                self.waiting.fetch_sub(1, Ordering::Relaxed)
            }
            Line::Bodies => self.bodies_waiting.fetch_sub(1, Ordering::Relaxed),
        };
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

    /// Admits those in line that there is room for, in order, and refuses those that have waited too long.
    pub(super) fn serve_line(&self, now: Duration) {
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
            let expired = state.closed || now >= place.deadline;
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
    /// number is looked at, and the next ones the next time: the lock is not held for long.
    fn answer_bodies(&self, state: &mut State, now: Duration, wakers: &mut Vec<Waker>) {
        const LOOKED_AT: usize = 256;
        let most = self.limits.for_bodies(Delivery::Backpressure);
        for _ in 0..state.bodies.len().min(LOOKED_AT) {
            let Some(place) = state.bodies.pop_front() else { break };
            if place.is_left() {
                continue;
            }
            let expired = state.closed || now >= place.deadline;
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

    pub(super) fn has_line(&self) -> bool {
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
