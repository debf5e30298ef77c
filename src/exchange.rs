//! One open exchange: its draft under a lock, shared by the guard, the request's body and the `Audit` handle.
//!
//! Whoever closes it first takes the draft. Whatever comes after that is ignored and counted.

use std::fmt;
use std::time::Duration;

use crate::capture::{BodyCopy, Draft, EntryPoint, EventRef, Progress, Stage};
use crate::engine::Engine;
use crate::promise::Answer;
use crate::queue::{Admission, Waiting};
use crate::record::{Delivery, Outcome, Stages};
use crate::running::Running;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One exchange that was admitted and has not ended.
#[derive(Default)]
pub(crate) struct Exchange {
    /// None only while it waits in the engine's pool, which must not keep the log alive.
    log: Option<Arc<Running>>,
    open: Mutex<Option<Box<Draft>>>,
    skipped: AtomicBool,
}

/// Why bytes of a body cannot be kept at once.
enum NoRoom {
    /// They have to wait.
    Wait(Waiting),
    /// They have to wait, and it is not known until when: the clock may be the application's, and is read without the lock.
    NoDeadline,
}

impl Exchange {
    /// Opens one. From now on exactly one completion record will be written.
    pub(crate) fn open(log: Arc<Running>, draft: Box<Draft>) -> Arc<Self> {
        log.engine.queue.count_open(draft.held);
        Self::open_in(log.engine.take_exchange(), log, draft)
    }

    /// Opens one that counts as open already, in the memory of `exchange`, which came out of the pool.
    pub(crate) fn open_in(mut exchange: Arc<Self>, log: Arc<Running>, draft: Box<Draft>) -> Arc<Self> {
        let alone = Arc::get_mut(&mut exchange).expect("nobody else holds what waits in the pool");
        alone.open = Mutex::new(Some(draft));
        alone.skipped = AtomicBool::new(false);
        alone.log = Some(log);
        exchange
    }

    /// Gives its memory back, unless somebody still holds it: a handle that was kept must never reach the record of a
    /// later request.
    pub(crate) fn retire(mut exchange: Arc<Self>) {
        if let Some(alone) = Arc::get_mut(&mut exchange)
            && let Ok(None) = alone.open.get_mut()
            && let Some(log) = alone.log.take()
        {
            log.engine.keep_exchange(exchange);
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.log.as_ref().expect("only an exchange in the pool has no log, and nobody holds that").engine
    }

    /// Works on the draft; `None` once the exchange has ended.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Draft) -> R) -> Option<R> {
        self.lock().as_deref_mut().map(work)
    }

    /// Works on the draft for the application; what comes too late is counted. Then the initiation record may be due.
    pub(crate) fn bind(&self, work: impl FnOnce(&mut Draft)) -> bool {
        let mut open = self.lock();
        match open.as_deref_mut() {
            Some(draft) => {
                work(draft);
                self.engine().hold_late(draft);
                self.initiate_if_known(draft);
                true
            }
            None => {
                self.engine().count_late();
                false
            }
        }
    }

    /// Notes data of the request's body, if there is any, and how far the body has come with it. Nothing is noted if it has to
    /// wait for bytes of the budget first: then call [`Exchange::waited`] and this again.
    pub(crate) fn request_passed(&self, data: Option<&[u8]>, progress: Progress) -> Option<Waiting> {
        self.with_room(|draft, deadline| {
            if let Some(data) = data {
                self.make_room(draft.class, &mut draft.request_body, data.len(), deadline)?;
                draft.request_body.push(data);
            }
            if progress != Progress::Open {
                draft.request_body.progress = progress;
                self.engine().give_back_unused_of(&mut draft.request_body);
                self.initiate_if_known(draft);
            }
            Ok(())
        })
    }

    /// Asks to keep so many bytes more of the response's body. The answer is what it has to wait for, if it has to.
    pub(crate) fn response_comes(&self, bytes: usize) -> Option<Waiting> {
        self.with_room(|draft, deadline| self.make_room(draft.class, &mut draft.response_body, bytes, deadline))
    }

    /// Works on the draft, which may need capacity for a body's bytes; returns the wait for it, if there is one.
    fn with_room(&self, work: impl Fn(&mut Draft, Option<Duration>) -> Result<(), NoRoom>) -> Option<Waiting> {
        let mut done = self.with(|draft| work(draft, None));
        if let Some(Err(NoRoom::NoDeadline)) = done {
            let engine = self.engine();
            let deadline = engine.monotonic().saturating_add(engine.admission_timeout);
            done = self.with(|draft| work(draft, Some(deadline)));
        }
        match done {
            Some(Err(NoRoom::Wait(waiting))) => Some(waiting),
            Some(Ok(()) | Err(NoRoom::NoDeadline)) | None => None,
        }
    }

    /// Notes what became of a wait for bytes; without them the body is left out.
    pub(crate) fn waited(&self, granted: Option<usize>, body: impl FnOnce(&mut Draft) -> &mut BodyCopy) {
        let queue = &self.engine().queue;
        let taken = self.with(|draft| match granted {
            Some(bytes) => body(draft).reserved += bytes,
            None => queue.release(body(draft).give_up()),
        });
        if taken.is_none() {
            queue.release(granted.unwrap_or(0));
        }
    }

    /// Notes data of the response's body.
    pub(crate) fn response_passed(&self, data: &[u8]) {
        self.with(|draft| self.note_response(draft, data));
    }

    fn note_response(&self, draft: &mut Draft, data: &[u8]) {
        // Whoever keeps response bodies has asked for the bytes before.
        if draft.response_body.lacks(data.len()) > 0 {
            self.engine().queue.release(draft.response_body.give_up());
        }
        draft.response_body.push(data);
    }

    /// Writes the initiation record, if the event has one, when body and actor are known.
    pub(crate) fn initiate_if_known(&self, draft: &mut Draft) {
        let body_known = draft.request_body.progress != Progress::Open;
        let actor_known = draft.actor().is_some();
        if body_known && actor_known {
            self.initiate(draft);
        }
    }

    /// Writes the initiation record now, if the event has one and it has not been written.
    pub(crate) fn initiate(&self, draft: &mut Draft) {
        let emitted = matches!(draft.stage, Stage::Named(_));
        // What was refused never began: its completion says so, and is the one record that is counted.
        if draft.initiated.is_none()
            && draft.admitted
            && !emitted
            && self.engine().stages(&draft.event) != Stages::Completion
            && self.engine().is_audited(draft)
        {
            self.write_initiation(draft);
        }
    }

    /// Writes the initiation record whatever the event's stages are; the answer says whether it is durable. One that was
    /// written before, when an outer layer admitted the exchange, is waited for.
    pub(crate) fn initiate_durably(&self) -> Answer<bool> {
        let position = self.with(|draft| match draft.initiated {
            None => self.write_initiation(draft),
            Some(_) => Some(self.engine().queue.last_position()),
        });
        self.engine().durable(position.flatten())
    }

    fn write_initiation(&self, draft: &mut Draft) -> Option<u64> {
        draft.initiated = Some(draft.event.clone());
        let mut first = self.engine().take_draft();
        first.copy_of(draft);
        first.stage = Stage::Initiation;
        first.held = first.needs();
        first.request_body.reserved = first.request_body.bytes.len();
        self.engine().queue.hold(first.reserved());
        self.engine().hand_over(first)
    }

    /// Closes the exchange. Only the first call writes the completion record. An answer says whether the record is durable,
    /// where the response's end has to wait for that.
    pub(crate) fn close(&self, outcome: Outcome) -> Option<Answer<bool>> {
        self.close_after(outcome, |_| ())
    }

    /// Closes the exchange with the head of its response: there is no body after it.
    pub(crate) fn close_at_head(&self, outcome: Outcome) -> Option<Answer<bool>> {
        self.close_after(outcome, |draft| draft.response_body.progress = Progress::Absent)
    }

    /// Closes the exchange with the end of its response's body, of which `data` is yet to be noted.
    pub(crate) fn close_response(&self, outcome: Outcome, data: Option<&[u8]>) -> Option<Answer<bool>> {
        self.close_after(outcome, |draft| {
            if let Some(data) = data {
                self.note_response(draft, data);
            }
            let completed = outcome == Outcome::Completed;
            draft.response_body.progress = if completed { Progress::Ended } else { Progress::Failed };
        })
    }

    fn close_after(&self, outcome: Outcome, last: impl FnOnce(&mut Draft)) -> Option<Answer<bool>> {
        let mut draft = self.lock().take()?;
        last(&mut draft);
        let class = draft.class;
        draft.outcome = Some(outcome);
        draft.elapsed = self.engine().monotonic().saturating_sub(draft.began);
        // A refusal is about the log itself, whatever the scope.
        if draft.initiated.is_none() && outcome != Outcome::Rejected && !self.engine().is_audited(&draft) {
            self.leave_out(draft);
            return None;
        }
        self.initiate(&mut draft);
        self.engine().give_back_unused(&mut draft);
        let only_begins =
            draft.entry_point == EntryPoint::Activity && self.engine().stages(&draft.event) == Stages::Initiation;
        let position = if draft.initiated.is_some() && only_begins {
            self.engine().forget(draft);
            self.engine().queue.count_closed();
            None
        } else {
            self.engine().hand_over_last(draft)
        };
        let must_wait = class >= Delivery::Durable && !matches!(outcome, Outcome::Rejected);
        must_wait.then(|| self.engine().durable(position))
    }

    /// Closes the exchange without a record; false if its initiation has been written and so must be completed.
    pub(crate) fn skip(&self) -> bool {
        let mut open = self.lock();
        if open.as_ref().is_none_or(|draft| draft.initiated.is_some()) {
            return false;
        }
        let Some(draft) = open.take() else { return false };
        drop(open);
        self.leave_out(draft);
        true
    }

    /// Ends the exchange without a record.
    fn leave_out(&self, draft: Box<Draft>) {
        self.skipped.store(true, Ordering::Relaxed);
        self.engine().forget(draft);
        self.engine().queue.count_closed();
    }

    /// Another layer's event for a request that no event has claimed yet.
    pub(crate) fn claim(&self, event: EventRef) {
        self.with(|draft| {
            draft.event = event;
            self.engine().decide_request_capture(draft);
        });
    }

    pub(crate) fn is_unmatched(&self) -> bool {
        self.with(|draft| matches!(draft.event, EventRef::Unmatched | EventRef::UnmatchedRead)).unwrap_or(false)
    }

    /// A stream that its client ends, and that has begun: being dropped is its end.
    pub(crate) fn is_ended_by_its_client(&self) -> bool {
        let ended = |draft: &mut Draft| {
            draft.status.is_some() && self.engine().plan(&draft.event).is_some_and(|plan| plan.client_ends_stream)
        };
        self.with(ended).unwrap_or(false)
    }

    /// The application left the request out of the log.
    pub(crate) fn was_skipped(&self) -> bool {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes bytes of the budget for what the body would keep of `more`. Without them it is left out: at once if the exchange
    /// may be lost, else after a wait.
    fn make_room(
        &self,
        class: Delivery,
        body: &mut BodyCopy,
        more: usize,
        deadline: Option<Duration>,
    ) -> Result<(), NoRoom> {
        let lacks = body.lacks(more);
        if lacks == 0 {
            return Ok(());
        }
        // One wait for a body, however many frames it comes in.
        body.deadline = body.deadline.or(deadline);
        let queue = &self.engine().queue;
        match queue.admit_body(class, lacks, body.deadline).ok_or(NoRoom::NoDeadline)? {
            Admission::Granted => body.reserved += lacks,
            Admission::Wait(waiting) => return Err(NoRoom::Wait(waiting)),
            Admission::Refused => queue.release(body.give_up()),
        }
        Ok(())
    }

    /// Ends an exchange that may be lost and that there are no bytes for: its record is counted as lost.
    pub(crate) fn lose(&self) {
        let Some(draft) = self.lock().take() else { return };
        self.engine().lose(draft);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Draft>>> {
        // A panic of somebody else's code must not cost the record.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the draft: it holds what has not been redacted.
        f.debug_struct("Exchange").field("open", &self.is_open()).finish_non_exhaustive()
    }
}
