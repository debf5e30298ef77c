//! What all requests of one auditor share: the catalogue, the rules, the queue, and the pool of drafts.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::capture::{Draft, EventRef, HeadPolicy, Media};
use crate::catalog::{self, Event};
use crate::clock::{Clock, IdSource, Micros};
use crate::error::Error;
use crate::plan::{Defaults, Plan};
use crate::queue::{Admission, Allowance, Answer, Control, Queue, Reach};
use crate::record::{Delivery, Stages, Status};
use crate::redact::Redactor;
use crate::sink::{SinkState, Watcher};

/// Decides what a response's status means.
pub(crate) type StatusClassifier = Box<dyn Fn(http::StatusCode) -> Status + Send + Sync>;
/// Decides whether an error of the inner service is a timeout.
pub(crate) type TimeoutClassifier = Box<dyn Fn(&(dyn std::error::Error + 'static)) -> bool + Send + Sync>;

/// The shared state behind every handle.
pub(crate) struct Engine {
    pub(crate) enabled: bool,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) ids: Box<dyn IdSource>,
    pub(crate) routes: catalog::Compiled,
    pub(crate) plans: Vec<Plan>,
    pub(crate) unclaimed: Option<Plan>,
    pub(crate) defaults: Defaults,
    pub(crate) head: HeadPolicy,
    pub(crate) redactor: Redactor,
    pub(crate) is_success: StatusClassifier,
    pub(crate) is_timeout: TimeoutClassifier,
    pub(crate) max_body_bytes: usize,
    pub(crate) audit_id_header: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) control: Control,
    pub(crate) wait: Duration,
    #[expect(clippy::vec_box, reason = "drafts travel in their boxes, a draft is large")]
    pool: Mutex<Vec<Box<Draft>>>,
    open: AtomicUsize,
    late: AtomicU64,
    closing: AtomicBool,
}

/// The parts of an engine that its builder decides.
pub(crate) struct Parts {
    pub(crate) enabled: bool,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) ids: Box<dyn IdSource>,
    pub(crate) routes: catalog::Compiled,
    pub(crate) defaults: Defaults,
    pub(crate) head: HeadPolicy,
    pub(crate) redactor: Redactor,
    pub(crate) is_success: StatusClassifier,
    pub(crate) is_timeout: TimeoutClassifier,
    pub(crate) max_body_bytes: usize,
    pub(crate) audit_id_header: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) wait: Duration,
}

/// Drafts kept for the next requests. More are freed: a burst must not hold its memory for ever.
const POOLED: usize = 1024;

impl Engine {
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        let plans =
            parts.routes.events().map(|policy| Plan::new(policy.clone(), parts.defaults)).collect::<Result<_, _>>()?;
        let unclaimed = parts.routes.unclaimed().map(|policy| Plan::new(policy.clone(), parts.defaults)).transpose()?;
        Ok(Self {
            enabled: parts.enabled,
            clock: parts.clock,
            ids: parts.ids,
            routes: parts.routes,
            plans,
            unclaimed,
            defaults: parts.defaults,
            head: parts.head,
            redactor: parts.redactor,
            is_success: parts.is_success,
            is_timeout: parts.is_timeout,
            max_body_bytes: parts.max_body_bytes,
            audit_id_header: parts.audit_id_header,
            queue: parts.queue,
            control: Control::default(),
            wait: parts.wait,
            pool: Mutex::default(),
            open: AtomicUsize::new(0),
            late: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        })
    }

    /// The plan of an event. Unclaimed requests have one whenever they are opened at all.
    pub(crate) fn plan<'a>(&'a self, event: &'a EventRef) -> Option<&'a Plan> {
        match event {
            EventRef::Unclaimed => self.unclaimed.as_ref(),
            EventRef::Listed(at) => self.plans.get(*at as usize),
            EventRef::Own(plan) => Some(plan),
        }
    }

    pub(crate) fn stages(&self, event: &EventRef) -> Stages {
        self.plan(event).map_or(Stages::Completion, |plan| plan.stages)
    }

    /// The event of a name: the catalogue's, or one that only has this name.
    pub(crate) fn named(&self, name: &str) -> Result<EventRef, Error> {
        if let Some(at) = self.routes.by_name(name) {
            return Ok(EventRef::Listed(at));
        }
        let policy = catalog::compile_event(Event::new(name.to_owned()))?;
        Plan::new(policy, self.defaults).map(|plan| EventRef::Own(Arc::new(plan)))
    }

    /// An empty draft, stamped with time and identity.
    pub(crate) fn new_draft(&self) -> Box<Draft> {
        let mut draft = self.take_draft();
        let now = self.clock.now();
        draft.started = Micros::from_system(now);
        draft.began = self.clock.monotonic();
        draft.audit_id = self.ids.audit_id(now);
        draft
    }

    pub(crate) fn take_draft(&self) -> Box<Draft> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes a draft back that no record will be made from.
    pub(crate) fn forget(&self, mut draft: Box<Draft>) {
        self.queue.release(std::mem::take(&mut draft.reserved));
        self.recycle(draft);
    }

    pub(crate) fn recycle(&self, mut draft: Box<Draft>) {
        draft.reset();
        draft.shrink();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED {
            pool.push(draft);
        }
    }

    /// Decides what of the request's body is kept, before any of it was read.
    pub(crate) fn decide_request_capture(&self, draft: &mut Draft) {
        if draft.request_body.total > 0 {
            return;
        }
        let captures = self.plan(&draft.event).is_some_and(|plan| plan.captures_request);
        let media = Media::of(draft.bytes(draft.request_type));
        if captures && !draft.request_encoded && media.is_kept() {
            draft.request_body.keep(self.max_body_bytes, media == Media::Json);
        } else {
            draft.request_body.keep(0, false);
        }
    }

    /// Decides what of the response's body is kept, when its head is known.
    pub(crate) fn decide_response_capture(&self, draft: &mut Draft) {
        let captures = self.plan(&draft.event).is_some_and(|plan| plan.captures_response);
        let media = Media::of(draft.bytes(draft.response_type));
        if captures && !draft.response_encoded && media.is_kept() {
            draft.response_body.keep(self.max_body_bytes, media == Media::Json);
        }
    }

    /// Asks to let an exchange in, with the memory that its bodies may need.
    pub(crate) fn admit(&self, event: &EventRef, has_request_body: bool) -> Admission {
        let Some(plan) = self.plan(event) else { return Admission::Granted(Allowance::default()) };
        let bodies = usize::from(plan.captures_request && has_request_body) + usize::from(plan.captures_response);
        self.queue.admit(plan.delivery, Allowance(bodies * self.max_body_bytes), self.clock.monotonic())
    }

    /// Keeps of the draft's allowance only what its bodies really took.
    pub(crate) fn give_back_unused(&self, draft: &mut Draft) {
        let used = draft.captured_bytes();
        self.queue.release(draft.reserved.saturating_sub(used));
        draft.reserved = draft.reserved.min(used);
    }

    /// Hands a finished draft to the worker; tells its position, if it could enter.
    pub(crate) fn hand_over(&self, draft: Box<Draft>) -> Option<u64> {
        let class = draft.class;
        let entered = if draft.admitted { self.queue.push(draft, class) } else { self.queue.push_refusal(draft) };
        entered.map_err(|draft| self.forget(draft)).ok()
    }

    /// Asks whether the record at a position is durable, within the wait that requests are allowed.
    pub(crate) fn durable(&self, position: Option<u64>) -> Answer<bool> {
        let answer = match position {
            Some(position) => self.control.flush(position, Reach::Required, self.wait),
            None => Answer::given(false),
        };
        self.queue.call();
        answer
    }

    pub(crate) fn count_open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self) {
        self.open.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Counts what was said of an exchange that had ended.
    pub(crate) fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The class in which an event's records travel.
    pub(crate) fn class(&self, event: &EventRef) -> Delivery {
        self.plan(event).map_or(Delivery::Lossy, |plan| plan.delivery)
    }
}

/// Called when a sink's state changes: its name, and what it came to.
pub(crate) type SinkHook = Box<dyn Fn(&str, SinkState) + Send + Sync>;

/// What the sinks' threads tell.
pub(crate) struct SinkWatch {
    pub(crate) queue: Arc<Queue>,
    pub(crate) hook: Option<SinkHook>,
}

impl Watcher for SinkWatch {
    fn moved(&self) {
        self.queue.moved();
    }

    fn has_room(&self) {
        self.queue.call();
    }

    fn changed(&self, name: &str, state: SinkState, error: &std::io::Error) {
        match state {
            SinkState::Healthy => tracing::info!(target: "tower_audit", sink = name, "the audit sink works again"),
            SinkState::Failing => tracing::warn!(target: "tower_audit", sink = name, %error, "the audit sink fails"),
            SinkState::Dead => {
                tracing::error!(target: "tower_audit", sink = name, %error, "the audit sink is given up")
            }
        }
        if let Some(hook) = &self.hook {
            // The application's code must not end the sink's thread.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(name, state)));
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("enabled", &self.enabled).field("open", &self.open()).finish_non_exhaustive()
    }
}
