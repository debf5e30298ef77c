//! The second door: events without a request. Begun, then succeeded or failed; dropped unfinished means abandoned.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use crate::audit::Audit;
use crate::capture::{Door, Draft, Stage};
use crate::engine::Engine;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::queue::{Admission, Allowance, Answer};
use crate::record::{Actor, Delivery, Entity, Failure, Outcome, Scope};

/// An activity that is about to begin: it does when this is awaited. Made by [`Auditor::begin`](crate::Auditor::begin).
///
/// The wait is for room in the queue, as the event's delivery class says. The initiation is written then, if the event
/// has one.
///
/// # Errors
///
/// Awaited, it fails if there was no room in time ([`Error::is_refused`]): the refusal is told, and what was to be done
/// should not be. Or if the event's name is wrong ([`Error::is_catalog`]).
///
/// An event of the catalogue brings its policy with it; any other name can be used as it is.
///
/// ```
/// use tower_audit::{Actor, Auditor, Stages, sink};
///
/// # async fn run() -> Result<(), tower_audit::Error> {
/// # let (lines, _records) = sink::memory();
/// # let (auditor, guard) = Auditor::builder().stages(Stages::Both).sink(lines).build()?;
/// let activity = auditor
///     .activity("ReportRun")
///     .actor(Actor::service("service:reports"))
///     .meta("reportId", 17)
///     .begin() // writes the initiation, if the event has one
///     .await?;
/// activity.succeed(); // writes the completion
/// # drop(guard);
/// # Ok(())
/// # }
/// # let _ = run;
/// ```
#[must_use = "an activity begins when this is awaited"]
pub struct ActivityBuilder {
    engine: Arc<Engine>,
    event: String,
    draft: Box<Draft>,
}

impl ActivityBuilder {
    pub(crate) fn new(engine: Arc<Engine>, event: String) -> Self {
        let draft = engine.new_draft();
        Self { engine, event, draft }
    }

    /// Who does it; work that nobody asked for has a service's or the system's name.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.draft.late().actor = Some(actor);
        self
    }

    /// What is acted on.
    pub fn object(mut self, object: Entity) -> Self {
        self.draft.late().object = Some(object);
        self
    }

    /// Inside what it is acted on.
    pub fn target(mut self, target: Entity) -> Self {
        self.draft.late().target = Some(target);
        self
    }

    /// For whom it counts.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.draft.late().scope = Some(scope);
        self
    }

    /// How it comes about: `schedule`, `pipeline`, `retention_policy`, …
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.draft.late().context = Some(context.into());
        self
    }

    /// One fact, for `meta`.
    pub fn meta(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<serde_json::Value>) -> Self {
        self.draft.late().meta.push((key.into(), value.into()));
        self
    }

    /// The stage of a single record that [`ActivityBuilder::emit`] writes, as free text.
    pub fn stage(mut self, stage: impl Into<Cow<'static, str>>) -> Self {
        self.draft.stage = Stage::Named(stage.into());
        self
    }

    /// Begins without waiting, for code that cannot: it is refused if there is no room now, and always if the event is
    /// `fail_closed`, because its initiation record must be durable first.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    pub fn try_now(self) -> Result<Activity, Error> {
        let (opened, admission) = self.open()?;
        match admission {
            Admission::Granted(allowance) => match opened.admit(allowance) {
                None => Ok(opened.begun()),
                Some(_) => Err(refused()),
            },
            Admission::Wait(_) | Admission::Refused => Err(refused()),
        }
    }

    /// Writes one record for something that has no duration, such as a step that is skipped.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    pub async fn emit(self) -> Result<(), Error> {
        self.begin().await.map(Activity::succeed)
    }

    /// As [`ActivityBuilder::emit`], for code that cannot wait.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    pub fn try_emit(self) -> Result<(), Error> {
        self.try_now().map(Activity::succeed)
    }

    async fn begin(self) -> Result<Activity, Error> {
        let (opened, admission) = self.open()?;
        let granted = match admission {
            Admission::Granted(allowance) => Some(allowance),
            Admission::Wait(waiting) => waiting.await,
            Admission::Refused => None,
        };
        if let Some(durable) = opened.admit(granted.ok_or_else(refused)?)
            && !durable.await
        {
            return Err(refused());
        }
        Ok(opened.begun())
    }

    fn open(mut self) -> Result<(Opened, Admission), Error> {
        if !self.engine.enabled {
            self.engine.forget(self.draft);
            return Ok((Opened(None), Admission::Granted(Allowance::default())));
        }
        self.draft.event = self.engine.named(&self.event)?;
        self.draft.door = Door::Activity;
        self.engine.head.current_trace(&mut self.draft);
        self.draft.class = self.engine.class(&self.draft.event);
        let admission = self.engine.admit(&self.draft.event, false);
        Ok((Opened(Some(Exchange::open(self.engine, self.draft))), admission))
    }
}

impl IntoFuture for ActivityBuilder {
    type Output = Result<Activity, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

impl fmt::Debug for ActivityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityBuilder").field("event", &self.event).finish_non_exhaustive()
    }
}

/// An exchange that has not begun: given up, it ends as rejected. None where nothing is recorded.
struct Opened(Option<Arc<Exchange>>);

impl Opened {
    /// Lets it in. An answer tells whether its initiation record is durable, where it may not begin before.
    fn admit(&self, allowance: Allowance) -> Option<Answer<bool>> {
        let exchange = self.0.as_ref()?;
        let class = exchange.with(|draft| {
            draft.admitted = true;
            draft.reserved += allowance.0;
            if draft.class < Delivery::FailClosed {
                exchange.initiate(draft);
            }
            draft.class
        })?;
        (class == Delivery::FailClosed).then(|| exchange.initiate_durably())
    }

    fn begun(mut self) -> Activity {
        Activity { audit: self.0.take().map_or_else(Audit::inert, Audit::of) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.close(Outcome::Rejected);
        }
    }
}

fn refused() -> Error {
    Error::refused("the audit log has no room: what was to be recorded should not be done")
}

/// Work that has begun. Dropped without [`Activity::succeed`] or [`Activity::fail`] it has failed, as abandoned.
#[must_use = "an activity that is dropped has failed as abandoned"]
pub struct Activity {
    audit: Audit,
}

impl Activity {
    /// The handle through which more can be said of it.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The `auditId` of its records.
    pub fn audit_id(&self) -> Option<Uuid> {
        self.audit.audit_id()
    }

    /// It was done.
    pub fn succeed(self) {
        self.close(Outcome::Completed);
    }

    /// It failed, with the error's text and its sources.
    pub fn fail<E: StdError + ?Sized>(self, error: &E) {
        self.fail_with(Failure::of(error));
    }

    /// It failed, in the application's own words.
    pub fn fail_with(self, failure: Failure) {
        self.audit.failure(failure);
        self.close(Outcome::HandlerError);
    }

    fn close(&self, outcome: Outcome) {
        if let Some(exchange) = self.audit.exchange() {
            exchange.close(outcome);
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if let Some(exchange) = self.audit.exchange() {
            let closing = exchange.engine().is_closing();
            exchange.close(if closing { Outcome::Shutdown } else { Outcome::Aborted });
        }
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("audit", &self.audit).finish()
    }
}
