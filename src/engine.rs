//! What all requests of one auditor share: the catalog, the rules, the queue, and the pool of drafts.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::capture::{BodyCopy, Draft, EventRef, HeadPolicy};
use crate::catalog::{self, Event};
use crate::clock::{Ids, Time};
use crate::diagnostics::{contained, report};
use crate::error::{Error, Problems};
use crate::exchange::Exchange;
#[cfg(feature = "geoip")]
use crate::geoip::Places;
use crate::media::Media;
use crate::plan::{Defaults, Plan};
use crate::promise::Answer;
use crate::queue::{Admission, Control, Queue, Reach};
use crate::record::{Delivery, ResponseStatus, Stages, Status};
use crate::redact::Redactor;
use crate::scope::Scoping;
use crate::sink::{Need, SinkState, Watcher};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Decides what a response's status means.
pub(crate) type StatusClassifier = Box<dyn Fn(ResponseStatus) -> Status + Send + Sync>;
/// Decides whether an error of the inner service is a timeout.
pub(crate) type TimeoutClassifier = Box<dyn Fn(&(dyn std::error::Error + 'static)) -> bool + Send + Sync>;

/// The shared state behind every handle.
pub(crate) struct Engine {
    pub(crate) enabled: bool,
    pub(crate) clock: Time,
    pub(crate) ids: Ids,
    pub(crate) routes: catalog::Compiled,
    pub(crate) plans: Vec<Arc<Plan>>,
    pub(crate) unmatched: Option<Plan>,
    pub(crate) unmatched_read: Option<Plan>,
    /// Whether the filter refuses the event of this index, whatever its requests are.
    refused: Vec<bool>,
    pub(crate) defaults: Defaults,
    pub(crate) head: HeadPolicy,
    pub(crate) redactor: Redactor,
    pub(crate) is_success: StatusClassifier,
    pub(crate) is_timeout: TimeoutClassifier,
    pub(crate) max_body_bytes: usize,
    pub(crate) audit_id_header: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) control: Control,
    pub(crate) admission_timeout: Duration,
    /// None where no rules of scopes were configured.
    pub(crate) scoping: Option<Scoping>,
    #[cfg(feature = "geoip")]
    pub(crate) places: Option<Places>,
    pool: Mutex<Pool>,
    late: AtomicU64,
    closing: AtomicBool,
    /// A request with credentials has succeeded without an actor, and that was reported.
    reported_actorless: AtomicBool,
}

/// The parts of an engine that its builder decides.
pub(crate) struct Parts {
    pub(crate) enabled: bool,
    pub(crate) clock: Time,
    pub(crate) ids: Ids,
    pub(crate) routes: catalog::Compiled,
    /// The filter for all outputs, as far as the event decides; the worker has it for the rest.
    pub(crate) refused: Vec<bool>,
    pub(crate) plans: Plans,
    pub(crate) defaults: Defaults,
    pub(crate) head: HeadPolicy,
    pub(crate) redactor: Redactor,
    pub(crate) is_success: StatusClassifier,
    pub(crate) is_timeout: TimeoutClassifier,
    pub(crate) max_body_bytes: usize,
    pub(crate) audit_id_header: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) admission_timeout: Duration,
    pub(crate) scoping: Option<Scoping>,
    #[cfg(feature = "geoip")]
    pub(crate) places: Option<Places>,
}

/// What the next exchanges are made of.
#[derive(Default)]
struct Pool {
    #[expect(clippy::vec_box, reason = "drafts travel in their boxes, a draft is large")]
    drafts: Vec<Box<Draft>>,
    exchanges: Vec<Arc<Exchange>>,
}

/// Drafts and exchanges kept for the next requests. More are freed: a burst must not hold its memory for ever.
const POOLED: usize = 256;

/// Bytes that the application said of an open exchange are counted once they are more than this.
const HOLD_FROM: usize = 1024;

/// What the events of a catalog come to.
pub(crate) struct Plans {
    listed: Vec<Arc<Plan>>,
    unmatched: Option<Plan>,
    unmatched_read: Option<Plan>,
}

impl Plans {
    /// How many events the catalog lists.
    pub(crate) fn listed(&self) -> usize {
        self.listed.len()
    }

    /// # Errors
    ///
    /// What is wrong with any event.
    pub(crate) fn new(routes: &catalog::Compiled, defaults: Defaults) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let plans = routes.events().map(|(policy, is_read)| Plan::new(policy.clone(), is_read, defaults).map(Arc::new));
        let listed = plans.filter_map(|plan| problems.take(plan)).collect();
        problems.finish()?;
        let unmatched =
            |is_read| routes.unmatched().map(|policy| Plan::new(policy.clone(), is_read, defaults)).transpose();
        Ok(Self { listed, unmatched: unmatched(false)?, unmatched_read: unmatched(true)? })
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Plans { listed: plans, unmatched, unmatched_read } = parts.plans;
        Self {
            enabled: parts.enabled,
            clock: parts.clock,
            ids: parts.ids,
            routes: parts.routes,
            plans,
            unmatched,
            unmatched_read,
            refused: parts.refused,
            defaults: parts.defaults,
            head: parts.head,
            redactor: parts.redactor,
            is_success: parts.is_success,
            is_timeout: parts.is_timeout,
            max_body_bytes: parts.max_body_bytes,
            audit_id_header: parts.audit_id_header,
            queue: parts.queue,
            control: Control::default(),
            admission_timeout: parts.admission_timeout,
            scoping: parts.scoping,
            #[cfg(feature = "geoip")]
            places: parts.places,
            pool: Mutex::default(),
            late: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            reported_actorless: AtomicBool::new(false),
        }
    }

    /// The plan of an event. Unmatched requests have one whenever they are opened at all.
    pub(crate) fn plan<'a>(&'a self, event: &'a EventRef) -> Option<&'a Plan> {
        match event {
            EventRef::Unmatched => self.unmatched.as_ref(),
            EventRef::UnmatchedRead => self.unmatched_read.as_ref(),
            EventRef::Listed(at) => self.plans.get(*at as usize).map(|plan| &**plan),
            EventRef::Own(plan) => Some(plan),
        }
    }

    /// The name of an event, for the rules of scopes.
    pub(crate) fn event_name<'a>(&'a self, event: &'a EventRef) -> &'a str {
        self.plan(event).map_or("", |plan| plan.policy.name())
    }

    /// Whether the rules of scopes let an exchange be recorded, as far as its scope is known.
    pub(crate) fn is_audited(&self, draft: &Draft) -> bool {
        draft.scoped.is_none() || draft.is_audited(self.event_name(&draft.event))
    }

    /// Whether no record of the event would pass the filter.
    pub(crate) fn is_refused(&self, event: u32) -> bool {
        self.refused.get(event as usize).copied().unwrap_or_default()
    }

    pub(crate) fn stages(&self, event: &EventRef) -> Stages {
        self.plan(event).map_or(Stages::Completion, |plan| plan.stages)
    }

    /// Nothing is written of the event before its end.
    pub(crate) fn only_completes(&self, event: &EventRef) -> bool {
        self.plan(event).is_none_or(|plan| plan.stages == Stages::Completion && plan.delivery < Delivery::FailClosed)
    }

    /// The catalog's event of a name; `or` is the call for names that it does not have.
    pub(crate) fn listed(&self, name: &str, or: &str) -> Result<EventRef, Error> {
        self.routes.by_name(name).map(EventRef::Listed).ok_or_else(|| {
            let hint = match self.routes.meant_by(name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add it there, or use `{or}` for names that are not known before"),
            };
            let shown: String = name.chars().take(128).collect();
            Error::catalog(format!("event `{shown}`: the catalog has no event of this name; {hint}"))
        })
    }

    /// The event of a name: the catalog's, or one that only has this name.
    pub(crate) fn named(&self, name: &str) -> Result<EventRef, Error> {
        if let Some(at) = self.routes.by_name(name) {
            return Ok(EventRef::Listed(at));
        }
        let (policy, is_read) = catalog::compile_event(Event::new(name.to_owned()))?;
        Plan::new(policy, is_read, self.defaults).map(|plan| EventRef::Own(Arc::new(plan)))
    }

    /// Gives a draft its identity, and the time from which on it counts.
    pub(crate) fn stamp(&self, draft: &mut Draft) {
        let (now, began) = self.clock.both();
        draft.started = now.micros();
        draft.began = began;
        draft.audit_id = self.ids.audit_id(now);
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Also asked when an exchange is dropped, where a panic would end the process.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn take_draft(&self) -> Box<Draft> {
        self.pool().drafts.pop().unwrap_or_default()
    }

    /// An empty draft, and the exchange that it can be put into.
    pub(crate) fn take_both(&self) -> (Box<Draft>, Arc<Exchange>) {
        let mut pool = self.pool();
        let (draft, exchange) = (pool.drafts.pop(), pool.exchanges.pop());
        drop(pool);
        (draft.unwrap_or_default(), exchange.unwrap_or_default())
    }

    /// Takes a draft back that no record will be made from.
    pub(crate) fn forget(&self, draft: Box<Draft>) {
        self.queue.release(draft.reserved());
        self.recycle(&mut vec![draft]);
    }

    /// Takes drafts back that are done with.
    #[expect(clippy::vec_box, reason = "drafts travel in their boxes, a draft is large")]
    pub(crate) fn recycle(&self, done: &mut Vec<Box<Draft>>) {
        for draft in done.iter_mut() {
            draft.reset();
            draft.shrink();
        }
        let mut pool = self.pool();
        let room = POOLED.saturating_sub(pool.drafts.len()).min(done.len());
        pool.drafts.extend(done.drain(..room));
        drop(pool);
        // Those beyond the limit are freed without the lock.
        done.clear();
    }

    pub(crate) fn take_exchange(&self) -> Arc<Exchange> {
        self.pool().exchanges.pop().unwrap_or_default()
    }

    /// Takes back an exchange that nobody else holds.
    pub(crate) fn keep_exchange(&self, exchange: Arc<Exchange>) {
        let mut pool = self.pool();
        if pool.exchanges.len() < POOLED {
            pool.exchanges.push(exchange);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what of the request's body is kept, before any of it was read.
    pub(crate) fn decide_request_capture(&self, draft: &mut Draft) {
        if draft.request_body.total > 0 {
            return;
        }
        let media = Media::of(draft.bytes(draft.request_type));
        let captures = self.plan(&draft.event).is_some_and(|plan| plan.captures_request && plan.keeps(media));
        if captures && !draft.request_encoded {
            draft.request_body.keep(self.max_body_bytes, media == Media::Json);
        } else {
            draft.request_body.keep(0, false);
        }
    }

    /// Decides what of the response's body is kept, when its head is known.
    pub(crate) fn decide_response_capture(&self, draft: &mut Draft) {
        let plan = self.plan(&draft.event).filter(|plan| plan.captures_response && !draft.response_encoded);
        if let Some(plan) = plan {
            let media = Media::of(draft.bytes(draft.response_type));
            if plan.keeps(media) {
                draft.response_body.keep(self.max_body_bytes, media == Media::Json);
            }
        }
    }

    /// Counts bytes that the application said of an exchange; few are within what each one holds.
    pub(crate) fn hold_late(&self, draft: &mut Draft) {
        let more = draft.needs().saturating_sub(draft.held);
        // Not for each fact: that would be a locked instruction more.
        if more > HOLD_FROM && draft.admitted {
            self.queue.hold(more);
            draft.held += more;
        }
    }

    /// Ends an exchange that there were no bytes for: its draft is counted as lost.
    pub(crate) fn lose(&self, draft: Box<Draft>) {
        self.queue.count_unrecorded(draft.started, draft.audit_id, self.records(&draft.event));
        self.forget(draft);
    }

    /// How many records an exchange of this event has.
    pub(crate) fn records(&self, event: &EventRef) -> u64 {
        if self.stages(event) == Stages::Both { 2 } else { 1 }
    }

    /// As [`Queue::admit`], for an exchange that is about to be opened, which counts as open from here on: a shutdown that
    /// does not see it refuses it.
    pub(crate) fn count_and_admit(&self, draft: &Draft, bytes: usize, now: Duration) -> Admission {
        self.queue.count_and_admit(self.class(&draft.event), bytes, now)
    }

    /// Gives back what the bodies were granted and did not take: white space of JSON is dropped after it was counted.
    pub(crate) fn give_back_unused(&self, draft: &mut Draft) {
        self.give_back_unused_of(&mut draft.request_body);
        self.give_back_unused_of(&mut draft.response_body);
    }

    pub(crate) fn give_back_unused_of(&self, body: &mut BodyCopy) {
        let used = body.bytes.len().min(body.reserved);
        self.queue.release(body.reserved - used);
        body.reserved = used;
    }

    /// Hands a finished draft to the worker; gives its position, if it could enter.
    pub(crate) fn hand_over(&self, draft: Box<Draft>) -> Option<u64> {
        self.hand_over_as(draft, false)
    }

    /// As [`Engine::hand_over`], for the last record of an exchange, which has ended then.
    pub(crate) fn hand_over_last(&self, draft: Box<Draft>) -> Option<u64> {
        self.hand_over_as(draft, true)
    }

    fn hand_over_as(&self, draft: Box<Draft>, is_last: bool) -> Option<u64> {
        let class = draft.class;
        let entered = if draft.admitted {
            self.queue.push(draft, class, is_last)
        } else {
            self.queue.push_outsider(draft, is_last)
        };
        entered.map_err(|draft| self.forget(draft)).ok()
    }

    /// Reports, once, that a request with credentials succeeded while nobody had set its actor: most often because authentication
    /// is outside of the audit layer.
    pub(crate) fn report_actorless(&self, event: &str, header: &str) {
        if self.reported_actorless.swap(true, Ordering::Relaxed) {
            return;
        }
        report(|| {
            tracing::warn!(
                target: "tower_audit",
                event,
                header,
                "a request with credentials succeeded and has no actor: let authentication run inside of the audit layer and call \
                 `Audit::actor`, or add an actor resolver; reported once"
            );
        });
    }

    /// Asks whether the record at a position is durable, within the wait that requests are allowed.
    pub(crate) fn durable(&self, position: Option<u64>) -> Answer<bool> {
        let answer = match position {
            Some(position) => self.control.flush(position, Reach::Required, self.admission_timeout),
            None => Answer::given(false),
        };
        self.queue.call();
        answer
    }

    /// Counts what was said of an exchange that had ended.
    pub(crate) fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    pub(crate) fn open(&self) -> usize {
        self.queue.open()
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

/// What the thread of a sink reports to.
pub(crate) struct SinkWatch {
    queue: Arc<Queue>,
    hook: Option<Arc<SinkHook>>,
    need: Need,
    usable: AtomicBool,
}

impl SinkWatch {
    pub(crate) fn new(queue: Arc<Queue>, hook: Option<Arc<SinkHook>>, need: Need) -> Self {
        Self { queue, hook, need, usable: AtomicBool::new(true) }
    }
}

impl Watcher for SinkWatch {
    fn written(&self) {
        self.queue.written();
    }

    fn moved(&self) {
        self.queue.moved();
    }

    fn usable(&self, usable: bool) {
        if self.usable.swap(usable, Ordering::Relaxed) != usable && self.need == Need::Required {
            self.queue.required_sink_works(usable);
        }
    }

    fn changed(&self, name: &str, state: SinkState, error: &std::io::Error) {
        report(|| match state {
            SinkState::Healthy => tracing::info!(target: "tower_audit", sink = name, "the audit sink works again"),
            SinkState::Failing => tracing::warn!(target: "tower_audit", sink = name, %error, "the audit sink fails"),
            SinkState::GivenUp => {
                tracing::error!(target: "tower_audit", sink = name, %error, "the audit sink is given up");
            }
        });
        if let Some(hook) = &self.hook {
            contained("the sink hook", || hook(name, state));
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("enabled", &self.enabled).field("open", &self.open()).finish_non_exhaustive()
    }
}
