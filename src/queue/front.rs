//! The queue as requests see it: asks to be admitted, and one push under a short lock.

mod served;

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

pub(crate) use self::served::{FULL, Rest};
use super::admission::{Admission, Line, Place, Until, Waiting};
use super::held::Held;
use super::loss::{LossReason, Untold};
use crate::capture::Draft;
use crate::clock::Micros;
use crate::diagnostics::report;
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
    /// How long a request may wait for capacity, and a body for bytes.
    pub(crate) admission_timeout: Duration,
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
    /// The shutdown has waited for what was admitted: nothing new is.
    closed: AtomicBool,
    told_closed: AtomicBool,
    /// Required sinks that are given up.
    given_up: AtomicUsize,
    /// Panics of the worker's own code.
    panics: AtomicU64,
    lost: [AtomicU64; LossReason::ALL.len()],
    refused: AtomicU64,
    /// Where the worker is to panic, for tests of what happens then.
    #[cfg(test)]
    pub(crate) trap: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    finished: VecDeque<Box<Draft>>,
    untold: Untold,
    line: VecDeque<Arc<Place>>,
    bodies: VecDeque<Arc<Place>>,
    /// The worker has gone to sleep and must be woken.
    asleep: bool,
    /// … but not because a sink has written: see [`Queue::written`].
    lazy: bool,
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
    /// The position of `AuditStarted`, which the worker writes by itself. The n-th draft that is handed over is at the n-th
    /// position after it.
    pub(crate) const STARTED: u64 = 1;

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
            given_up: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            lost: Default::default(),
            refused: AtomicU64::new(0),
            #[cfg(test)]
            trap: AtomicUsize::new(0),
        }
    }

    /// Counts an exchange that begins, and asks to admit it. Granted, it holds `bytes`; if it has to wait, from the moment when
    /// it is granted.
    pub(crate) fn count_and_admit(self: &Arc<Self>, class: Delivery, bytes: usize, now: Duration) -> Admission {
        // Counted before it asks: either this sees that nothing is admitted any more, or the worker sees it.
        let held = self.held.open(bytes);
        let answer = self.answer_at_once(class, held);
        if !matches!(answer, Some(Admission::Granted)) {
            self.held.sub(bytes);
        }
        answer.unwrap_or_else(|| self.line_up(class, bytes, now))
    }

    /// Asks to admit an exchange that is counted as open already. Granted at once, its bytes are counted by the caller; if it
    /// has to wait, it holds them when it is granted.
    pub(crate) fn admit(self: &Arc<Self>, class: Delivery, bytes: usize, now: Duration) -> Admission {
        self.answer_at_once(class, self.held.bytes()).unwrap_or_else(|| self.line_up(class, bytes, now))
    }

    /// As [`Queue::admit`], for those who cannot wait.
    pub(crate) fn admit_now(&self, class: Delivery) -> bool {
        matches!(self.answer_at_once(class, self.held.bytes()), Some(Admission::Granted))
    }

    /// The answer while `held` bytes are held by others, or `None` if there is no capacity now. An open exchange holds no place:
    /// the bound on records counts finished ones only. Everybody needs the same, which is that the bounds are not reached:
    /// nobody waits behind somebody who needs more.
    fn answer_at_once(&self, class: Delivery, held: usize) -> Option<Admission> {
        if class == Delivery::Lossy {
            let has_bytes = held < self.limits.for_lossy();
            return Some(if has_bytes { Admission::Granted } else { Admission::Refused });
        }
        // After the exchange was counted as open.
        if self.closed.load(Ordering::SeqCst) {
            return Some(self.refuse_for_good());
        }
        if self.cannot_keep(class) {
            return Some(Admission::Refused);
        }
        let is_free = self.waiting.load(Ordering::Relaxed) == 0 && self.has_room() && held < self.limits.bytes;
        is_free.then_some(Admission::Granted)
    }

    fn line_up(self: &Arc<Self>, class: Delivery, bytes: usize, now: Duration) -> Admission {
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
        let until = Until::new(now.saturating_add(self.limits.admission_timeout), self.limits.admission_timeout);
        let place = Arc::new(Place::new(Line::Exchanges, class, until, bytes));
        state.line.push_back(place.clone());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.call_worker(state);
        Admission::Wait(Waiting { place, queue: self.clone() })
    }

    /// Asks to keep `bytes` of a body, until `deadline` if it has to wait. Granted, the bytes are held. `None`: it has to wait,
    /// and needs a deadline for that.
    pub(crate) fn admit_body(
        self: &Arc<Self>,
        class: Delivery,
        bytes: usize,
        deadline: Option<Duration>,
    ) -> Option<Admission> {
        if self.held.add_within(bytes, self.limits.for_bodies(class)) {
            return Some(Admission::Granted);
        }
        // What could not become durable is not waited for.
        if class == Delivery::Lossy || self.cannot_keep(class) {
            return Some(Admission::Refused);
        }
        let until = Until::new(deadline?, self.limits.admission_timeout);
        let mut state = self.lock();
        if state.closed || self.bodies_waiting.load(Ordering::Relaxed) >= self.limits.records {
            return Some(Admission::Refused);
        }
        if state.bodies.len() >= self.limits.records.saturating_mul(2) {
            state.bodies.retain(|place| !place.is_left());
        }
        let place = Arc::new(Place::new(Line::Bodies, class, until, bytes));
        state.bodies.push_back(place.clone());
        self.bodies_waiting.fetch_add(1, Ordering::Relaxed);
        self.call_worker(state);
        Some(Admission::Wait(Waiting { place, queue: self.clone() }))
    }

    fn has_bytes(&self) -> bool {
        self.held.bytes() < self.limits.bytes
    }

    /// Counts an exchange that begins, and what it holds from the start. Before it asks whether it is admitted: see
    /// [`Queue::stop_admitting`].
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

    /// Counts the record of an exchange that there were no bytes for, and that may be lost. The exchange has ended.
    pub(crate) fn count_unrecorded(&self, at: Micros, id: Uuid, records: u64) {
        let mut state = self.lock();
        self.close_if(true);
        for _ in 0..records {
            self.count_lost(&mut state, LossReason::QueueFull, at, id);
        }
        if state.asleep {
            self.call_worker(state);
        }
    }

    /// Without the worker nothing can be recorded any more, and what may not lose must not be handled.
    fn refuse_for_good(&self) -> Admission {
        if !self.told_closed.swap(true, Ordering::Relaxed) {
            report(|| {
                tracing::error!(
                    target: "tower_audit",
                    "the audit log has stopped and the server has not: requests that must be recorded are refused"
                );
            });
        }
        Admission::Refused
    }

    /// Whether a class needs a required sink that is given up: what such an exchange does could not become durable.
    pub(crate) fn cannot_keep(&self, class: Delivery) -> bool {
        class >= Delivery::Durable && self.given_up.load(Ordering::Relaxed) > 0
    }

    /// Hands over a finished draft; whoever was let in always can. Gives its position among all records of the log. What
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
            self.count_lost_draft(&mut state, reason, &draft);
            return Err(draft);
        }
        let position = self.enter(&mut state, draft);
        // A pause ends early when the queue is half full: nobody is refused because the worker rests.
        let is_half_full = !state.called && state.finished.len().saturating_mul(2) >= self.limits.records;
        if state.asleep || is_half_full {
            self.call_worker(state);
        }
        Ok(position)
    }

    /// Hands over the record of a request that was not admitted: refused, or cancelled while waiting. A record that cannot enter
    /// is counted, to be reported.
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
                self.count_lost_draft(&mut state, LossReason::QueueFull, &draft);
            }
            return Err(draft);
        }
        let position = self.enter(&mut state, draft);
        self.call_worker(state);
        Ok(position)
    }

    /// Under the lock, so that at each moment an exchange is open or its record is here or counted as lost.
    fn close_if(&self, is_last: bool) {
        if is_last {
            self.count_closed();
        }
    }

    fn enter(&self, state: &mut State, draft: Box<Draft>) -> u64 {
        let pushed = self.pushed.load(Ordering::Relaxed) + 1;
        self.pushed.store(pushed, Ordering::Release);
        state.finished.push_back(draft);
        Self::STARTED + pushed
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
        self.call_worker(self.lock());
    }

    /// How many drafts were handed over.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    /// The position of the last record so far.
    pub(crate) fn last_position(&self) -> u64 {
        Self::STARTED + self.pushed()
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

    /// A sink's thread has written. The worker gives that back when it wakes anyhow, or soon after, unless somebody waits for it,
    /// or half of the records or of the bytes for lossy records are used.
    pub(crate) fn written(&self) {
        let mut state = self.lock();
        state.moved = true;
        if state.attentive || (state.asleep && (!state.lazy || self.is_half_taken())) {
            self.call_worker(state);
        }
    }

    fn is_half_taken(&self) -> bool {
        self.unwritten() >= self.limits.records / 2 || self.held.bytes() >= self.limits.for_lossy() / 2
    }

    /// A sink's thread got on: whoever waits for that must not wait for the worker's next look.
    pub(crate) fn moved(&self) {
        let mut state = self.lock();
        state.moved = true;
        if state.asleep || state.attentive {
            self.call_worker(state);
        }
    }

    /// A required sink was given up, or works again.
    pub(crate) fn required_sink_works(&self, works: bool) {
        if works {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that were lost, and exchanges that are open and whose records will be, at one moment.
    pub(crate) fn lost_and_open(&self) -> (u64, u64) {
        // An exchange that ends after the queue was closed is counted under this lock as lost and as no longer open.
        let _at_one_moment = self.lock();
        (self.lost(), self.open() as u64)
    }

    /// Panics if a test has set a trap here.
    #[cfg(test)]
    pub(crate) fn spring(&self, trap: usize) {
        if self.trap.compare_exchange(trap, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            std::panic::resume_unwind(Box::new("a trap"));
        }
    }

    pub(crate) fn note_panic(&self) {
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
            // Whoever was held up in between would count those that came and went meanwhile, and find no capacity.
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

    /// Without the lock: on one core the worker would else run at once, and wait for it.
    fn call_worker(&self, mut state: MutexGuard<'_, State>) {
        state.called = true;
        state.asleep = false;
        drop(state);
        self.work.notify_one();
    }

    fn count_lost_draft(&self, state: &mut State, reason: LossReason, draft: &Draft) {
        self.count_lost(state, reason, draft.started.plus(draft.elapsed), draft.audit_id);
    }

    fn count_lost(&self, state: &mut State, reason: LossReason, at: Micros, id: Uuid) {
        self.lost[reason as usize].fetch_add(1, Ordering::Relaxed);
        state.untold.lost(reason).add(at, Some(id));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave it half done: a panic elsewhere must not cost a record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
