//! Events without a request. Begun, then succeeded or failed; dropped unfinished means abandoned.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use crate::activity_result::{ActivityResult, ActivityRun};
use crate::audit::Audit;
use crate::capture::{Draft, EntryPoint, EventRef, Stage, name};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::plan::Plan;
use crate::promise::Answer;
use crate::queue::Admission;
use crate::record::{Actor, Delivery, Entity, Failure, Outcome, Scope};
use crate::running::Running;

/// An activity that has not begun: await this builder to begin it. Made by [`Auditor::begin`](crate::Auditor::begin).
///
/// Awaiting it waits for queue space, as the event's delivery class requires. Then the initiation record is written, if the
/// event has one.
///
/// # Errors
///
/// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if the queue had no capacity in time: the refusal is reported, and
/// you should not do the work. [`ErrorKind::Catalog`](crate::ErrorKind::Catalog) if the catalog has no event of that
/// name, or, for [`begin_unlisted`](crate::Auditor::begin_unlisted), if the name is not allowed.
///
/// ```
/// use tower_audit::{Actor, Auditor, Catalog, Event, Stages, sink};
///
/// # async fn run() -> Result<(), tower_audit::Error> {
/// # let (lines, _records) = sink::memory();
/// # let catalog = Catalog::new().event(Event::new("ReportRun"));
/// # let auditor = Auditor::builder().catalog(catalog).stages(Stages::Both).sink(lines).build()?;
/// let activity = auditor
///     .begin("ReportRun")
///     .actor(Actor::service("service:reports"))
///     .meta("reportId", 17)
///     .await?; // writes the initiation, if the event has one
/// activity.succeed(); // writes the completion
/// # drop(auditor);
/// # Ok(())
/// # }
/// # let _ = run;
/// ```
#[must_use = "an activity begins when this is awaited"]
pub struct ActivityBuilder {
    log: Arc<Running>,
    event: Named,
    draft: Box<Draft>,
}

/// How the event of an activity is named.
enum Named {
    /// It must be one of the catalog.
    Listed(String),
    Unlisted(String),
    /// It is one of this library, which is recorded whatever is switched off.
    Internal(Arc<Plan>),
}

impl Named {
    fn as_str(&self) -> &str {
        match self {
            Self::Listed(name) | Self::Unlisted(name) => name,
            Self::Internal(plan) => plan.policy.name(),
        }
    }
}

impl ActivityBuilder {
    pub(crate) fn new(log: Arc<Running>, event: String, is_listed: bool) -> Self {
        Self::of(log, if is_listed { Named::Listed(event) } else { Named::Unlisted(event) })
    }

    pub(crate) fn internal(log: Arc<Running>, plan: Arc<Plan>) -> Self {
        Self::of(log, Named::Internal(plan))
    }

    fn of(log: Arc<Running>, event: Named) -> Self {
        let draft = log.engine.take_draft();
        Self { log, event, draft }
    }

    /// Who does the work. For work that no person requested, use [`Actor::service`] or [`Actor::system`].
    pub fn actor(mut self, actor: Actor) -> Self {
        self.draft.late().set_actor(actor);
        self
    }

    /// What is acted on.
    pub fn object(mut self, object: Entity) -> Self {
        self.draft.late().set_object(object);
        self
    }

    /// The parent or container of the object.
    pub fn target(mut self, target: Entity) -> Self {
        self.draft.late().set_target(target);
        self
    }

    /// The owning group, project or tenant. If the [rules](crate::scope::ScopeRules) switch auditing off for it, nothing is
    /// recorded.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.draft.late().set_scope(scope);
        self
    }

    /// How the work was started: `schedule`, `pipeline`, `retention_policy`, …
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.draft.late().context = Some(name(context.into()));
        self
    }

    /// Adds a value to `meta`, with the limits of [`Audit::meta`].
    pub fn meta(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<serde_json::Value>) -> Self {
        self.draft.late().add_meta(key.into(), value.into());
        self
    }

    /// A value that is masked wherever a record of this activity contains it; see [`Audit::secret`].
    pub fn secret(mut self, value: impl Into<String>) -> Self {
        self.draft.late().add_secret(value.into());
        self
    }

    /// The stage of a single record that [`ActivityBuilder::emit`] writes, as free text.
    pub fn stage(mut self, stage: impl Into<Cow<'static, str>>) -> Self {
        self.draft.stage = Stage::Named(name(stage.into().into_owned()).into());
        self
    }

    /// Begins without waiting, for code that cannot wait. It is refused if the queue has no capacity now, and always if
    /// the event is `fail_closed`, because its initiation record must be durable first.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    pub fn try_begin(self) -> Result<Activity, Error> {
        let opened = self.open()?;
        let admit = |exchange: &Arc<Exchange>| {
            let class = exchange.with(|draft| draft.class)?;
            Some(class != Delivery::FailClosed && exchange.engine().queue.admit_now(class))
        };
        match opened.0.as_ref().and_then(admit) {
            Some(false) => opened.refused(),
            Some(true) => {
                let bytes = opened.hold();
                drop(opened.admit(bytes));
                Ok(opened.begun())
            }
            None => Ok(opened.begun()),
        }
    }

    /// Records something without a duration, such as a step that is skipped. It writes one record, or two if the event has
    /// both stages and no [stage](ActivityBuilder::stage) is set. If the event is `durable` or `fail_closed`, the future
    /// completes when the record is durable.
    ///
    /// # Errors
    ///
    /// The errors of awaiting the builder; and an error if the record did not become durable in time. The record then stays
    /// in the queue.
    pub async fn emit(self) -> Result<(), Error> {
        let durable = match self.begin().await?.close(Outcome::Completed) {
            Some(durable) => durable.await,
            None => true,
        };
        let late = "the record did not become durable in time: what it tells should not count as recorded";
        durable.then_some(()).ok_or_else(|| Error::refused(late))
    }

    /// As [`ActivityBuilder::emit`], for code that cannot wait.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    pub fn try_emit(self) -> Result<(), Error> {
        self.try_begin().map(Activity::succeed)
    }

    async fn begin(self) -> Result<Activity, Error> {
        let opened = self.open()?;
        let now = opened.0.as_ref().map(|exchange| exchange.engine().monotonic()).unwrap_or_default();
        // Without its lock: a refusal may be reported to a subscriber.
        let admit = |exchange: &Arc<Exchange>| {
            let (class, bytes) = exchange.with(|draft| (draft.class, draft.needs()))?;
            Some(exchange.engine().queue.admit(class, bytes, now))
        };
        let admission = opened.0.as_ref().and_then(admit);
        let granted = match admission {
            None => return Ok(opened.begun()),
            Some(Admission::Granted) => Some(opened.hold()),
            Some(Admission::Wait(waiting)) => waiting.await,
            Some(Admission::Refused) => None,
        };
        let Some(bytes) = granted else { return opened.refused() };
        if let Some(durable) = opened.admit(bytes)
            && !durable.await
        {
            return opened.refused();
        }
        Ok(opened.begun())
    }

    fn open(mut self) -> Result<Opened, Error> {
        let engine = &self.log.engine;
        let is_internal = matches!(self.event, Named::Internal(_));
        if !engine.enabled && !is_internal {
            engine.forget(self.draft);
            return Ok(Opened(None));
        }
        self.draft.event = match self.event {
            Named::Listed(name) => engine.listed(&name, "begin_unlisted")?,
            Named::Unlisted(name) => engine.named(&name)?,
            Named::Internal(plan) => EventRef::Own(plan),
        };
        if engine.plan(&self.draft.event).is_some_and(|plan| plan.is_skipped) {
            engine.forget(self.draft);
            return Ok(Opened(None));
        }
        if let Some(scoping) = engine.scoping.as_ref().filter(|_| !is_internal) {
            self.draft.scoped = Some(scoping.begin_activity());
            // Without a scope its end decides: more may be known then.
            let has_scope = self.draft.late.as_ref().is_some_and(|late| late.scope.is_some());
            if has_scope && !engine.is_audited(&self.draft) {
                engine.forget(self.draft);
                return Ok(Opened(None));
            }
        }
        engine.stamp(&mut self.draft);
        self.draft.entry_point = EntryPoint::Activity;
        engine.head.current_trace(&mut self.draft);
        self.draft.class = engine.class(&self.draft.event);
        Ok(Opened(Some(Exchange::open(self.log, self.draft))))
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
        f.debug_struct("ActivityBuilder").field("event", &self.event.as_str()).finish_non_exhaustive()
    }
}

/// An exchange that has not begun: given up, it ends as abandoned. None where nothing is recorded.
struct Opened(Option<Arc<Exchange>>);

impl Opened {
    /// Counts the bytes that it needs, and returns their number.
    fn hold(&self) -> usize {
        let held = self.0.as_ref().and_then(|exchange| {
            exchange.with(|draft| {
                let bytes = draft.needs();
                exchange.engine().queue.hold(bytes);
                bytes
            })
        });
        held.unwrap_or(0)
    }

    /// Admits it. An answer says whether its initiation record is durable, where it may not begin before.
    fn admit(&self, bytes: usize) -> Option<Answer<bool>> {
        let exchange = self.0.as_ref()?;
        let waits = exchange.with(|draft| {
            draft.let_in(bytes);
            if draft.class < Delivery::FailClosed {
                exchange.initiate(draft);
            }
            // What is one record has nothing that could be written before it.
            draft.class == Delivery::FailClosed && !matches!(draft.stage, Stage::Named(_))
        })?;
        waits.then(|| exchange.initiate_durably())
    }

    /// Ends it as rejected. What may be lost goes on without a record, and is counted.
    fn refused(mut self) -> Result<Activity, Error> {
        if let Some(exchange) = self.0.as_ref()
            && exchange.with(|draft| draft.class) == Some(Delivery::Lossy)
        {
            exchange.lose();
            self.0 = None;
            return Ok(self.begun());
        }
        let reason = self.0.as_ref().and_then(|exchange| {
            let queue = &exchange.engine().queue;
            let class = exchange.with(|draft| draft.class)?;
            Some(match class {
                _ if queue.is_closed() => "the audit log has stopped",
                class if queue.cannot_keep(class) => "a required sink of the audit log is given up",
                _ => "the audit log has no room",
            })
        });
        if let Some(exchange) = self.0.take() {
            exchange.close(Outcome::Rejected);
        }
        let reason = reason.unwrap_or("the audit log has no room");
        Err(Error::refused(format!("{reason}: what was to be recorded should not be done")))
    }

    fn begun(mut self) -> Activity {
        Activity { audit: self.0.take().map_or_else(Audit::disabled, Audit::of) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.take().iter().for_each(|exchange| abandon(exchange));
    }
}

/// Ends work that was dropped before its end.
fn abandon(exchange: &Exchange) {
    let closing = exchange.engine().is_closing();
    exchange.close(if closing { Outcome::Shutdown } else { Outcome::Aborted });
}

/// Work that has begun. If it is dropped without [`Activity::succeed`] or [`Activity::fail`], it is recorded as failed, with
/// the error `Abandoned`.
#[must_use = "an activity that is dropped has failed as abandoned"]
pub struct Activity {
    audit: Audit,
}

impl Activity {
    /// The handle that adds data to the records of this activity.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The `auditId` of its records.
    pub fn audit_id(&self) -> Option<Uuid> {
        self.audit.audit_id()
    }

    /// Records that the work succeeded.
    pub fn succeed(self) {
        self.close(Outcome::Completed);
    }

    /// It was done; the answer says whether its record is durable, if it has to be.
    pub(crate) fn succeed_durably(self) -> Option<Answer<bool>> {
        self.close(Outcome::Completed)
    }

    /// Records that the work failed, with the text of the error and of its sources.
    pub fn fail<E: StdError + ?Sized>(self, error: &E) {
        self.fail_with(Failure::of(error));
    }

    /// Records that the work failed, with an error that the application describes itself.
    pub fn fail_with(self, failure: Failure) {
        self.audit.failure(failure);
        self.close(Outcome::HandlerError);
    }

    /// Records success, or the text of the error and of its sources, and returns the result.
    ///
    /// The error is an [`Error`](StdError), an `anyhow::Error` or a boxed error; a reference to the result does as well.
    ///
    /// ```
    /// # async fn run(auditor: tower_audit::Auditor) -> Result<(), Box<dyn std::error::Error>> {
    /// let import = auditor.begin("ImportRun").await?;
    /// let count: u32 = import.finish("17".parse())?;
    /// # assert_eq!(count, 17);
    /// # Ok(())
    /// # }
    /// # let _ = run;
    /// ```
    pub fn finish<R: ActivityResult<K>, K>(self, result: R) -> R {
        match result.why_failed() {
            None => self.succeed(),
            Some(failure) => self.fail_with(failure),
        }
        result
    }

    /// Runs the work and records how it ended: success; the text of the error that it returns; `panicked` if it panics;
    /// `aborted` if the future is dropped before it completes. Returns the result of the work.
    ///
    /// To add data to the records from within the work, move a clone of [`Activity::audit`] into it.
    ///
    /// ```
    /// # async fn run(auditor: tower_audit::Auditor) -> Result<(), Box<dyn std::error::Error>> {
    /// let export = auditor.begin("NightlyExport").await?;
    /// let audit = export.audit().clone();
    /// let written = export.run(async move {
    ///     let rows: u32 = "17".parse()?;
    ///     audit.meta("rows", rows);
    ///     Ok::<_, std::num::ParseIntError>(rows)
    /// });
    /// assert_eq!(written.await?, 17);
    /// # Ok(())
    /// # }
    /// # let _ = run;
    /// ```
    pub fn run<F, K>(self, work: F) -> ActivityRun<F, K>
    where
        F: Future,
        F::Output: ActivityResult<K>,
    {
        ActivityRun::new(self, work)
    }

    /// The handle alone: whoever takes it ends the exchange.
    pub(crate) fn into_audit(mut self) -> Audit {
        std::mem::replace(&mut self.audit, Audit::disabled())
    }

    fn close(&self, outcome: Outcome) -> Option<Answer<bool>> {
        self.audit.exchange()?.close(outcome)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.audit.exchange().into_iter().for_each(|exchange| abandon(exchange));
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("audit", &self.audit).finish()
    }
}
