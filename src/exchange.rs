//! One open exchange: its draft under a lock, shared by the guard, the request's body and the `Audit` handle.
//!
//! Whoever closes it first takes the draft. Whatever comes after that is ignored and counted.

use std::fmt;

use crate::capture::{BodyCopy, Door, Draft, EventRef, Progress, Stage};
use crate::engine::Engine;
use crate::queue::Answer;
use crate::record::{Delivery, Outcome, Stages};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One exchange that has been let in and has not ended.
#[derive(Default)]
pub(crate) struct Exchange {
    /// None only while it waits in the engine's pool, which must not keep its own engine alive.
    engine: Option<Arc<Engine>>,
    open: Mutex<Option<Box<Draft>>>,
    skipped: AtomicBool,
}

impl Exchange {
    /// Opens one. From now on exactly one completion record will be written.
    pub(crate) fn open(engine: Arc<Engine>, draft: Box<Draft>) -> Arc<Self> {
        engine.queue.count_open();
        Self::open_in(engine.take_exchange(), engine, draft)
    }

    /// Opens one that counts as open already, in the memory of `exchange`, which came out of the pool.
    pub(crate) fn open_in(mut exchange: Arc<Self>, engine: Arc<Engine>, draft: Box<Draft>) -> Arc<Self> {
        let alone = Arc::get_mut(&mut exchange).expect("nobody else holds what waits in the pool");
        alone.open = Mutex::new(Some(draft));
        alone.skipped = AtomicBool::new(false);
        alone.engine = Some(engine);
        exchange
    }

    /// Gives its memory back, unless somebody still holds it: a handle that was kept must never reach the record of a
    /// later request.
    pub(crate) fn retire(mut exchange: Arc<Self>) {
        if let Some(alone) = Arc::get_mut(&mut exchange)
            && let Ok(None) = alone.open.get_mut()
            && let Some(engine) = alone.engine.take()
        {
            engine.keep_exchange(exchange);
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().expect("only an exchange in the pool has no engine, and nobody holds that")
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
                self.initiate_if_known(draft);
                true
            }
            None => {
                self.engine().count_late();
                false
            }
        }
    }

    /// Notes data of the request's body, if there is any, and how far the body has come with it.
    pub(crate) fn request_passed(&self, data: Option<&[u8]>, progress: Progress) {
        self.with(|draft| {
            if let Some(data) = data {
                self.make_room(draft.class, &mut draft.request_body);
                draft.request_body.push(data);
            }
            if progress != Progress::Open {
                draft.request_body.progress = progress;
                self.engine().give_back_unused_of(&mut draft.request_body);
                self.initiate_if_known(draft);
            }
        });
    }

    /// Notes data of the response's body.
    pub(crate) fn response_passed(&self, data: &[u8]) {
        self.with(|draft| self.note_response(draft, data));
    }

    fn note_response(&self, draft: &mut Draft, data: &[u8]) {
        self.make_room(draft.class, &mut draft.response_body);
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
        {
            self.write_initiation(draft);
        }
    }

    /// Writes the initiation record whatever the event's stages are; the answer tells whether it is durable. One that was
    /// written before, when a layer outside let the exchange in, is waited for.
    pub(crate) fn initiate_durably(&self) -> Answer<bool> {
        let position = self.with(|draft| match draft.initiated {
            None => self.write_initiation(draft),
            Some(_) => Some(self.engine().queue.pushed()),
        });
        self.engine().durable(position.flatten())
    }

    fn write_initiation(&self, draft: &mut Draft) -> Option<u64> {
        draft.initiated = Some(draft.event.clone());
        let mut first = self.engine().take_draft();
        first.copy_of(draft);
        first.stage = Stage::Initiation;
        first.request_body.reserved = first.request_body.bytes.len();
        self.engine().queue.reserve_anyway(first.reserved());
        self.engine().hand_over(first)
    }

    /// Closes the exchange. Only the first call writes the completion record. An answer tells whether the record is durable,
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
        self.initiate(&mut draft);
        self.engine().give_back_unused(&mut draft);
        let only_begins = draft.door == Door::Activity && self.engine().stages(&draft.event) == Stages::Initiation;
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
        self.skipped.store(true, Ordering::Relaxed);
        drop(open);
        self.engine().forget(draft);
        self.engine().queue.count_closed();
        true
    }

    /// Another layer's event for a request that no event has claimed yet.
    pub(crate) fn claim(&self, event: EventRef) {
        self.with(|draft| {
            draft.event = event;
            self.engine().decide_request_capture(draft);
        });
    }

    pub(crate) fn is_unclaimed(&self) -> bool {
        self.with(|draft| matches!(draft.event, EventRef::Unclaimed)).unwrap_or(false)
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

    /// Takes the memory for a body that has none yet: a lossy exchange does so only when the first byte comes.
    fn make_room(&self, class: Delivery, body: &mut BodyCopy) {
        if body.limit() == 0 || body.reserved > 0 {
            return;
        }
        let queue = &self.engine().queue;
        let taken =
            if class == Delivery::Lossy { queue.reserve_lossy(body.limit()) } else { queue.reserve(body.limit()) };
        if taken {
            body.reserved = body.limit();
        } else {
            body.give_up();
        }
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
