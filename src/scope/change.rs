//! The rules while the server runs: read, and changed. A change is recorded first, then kept, and then it holds.
//!
//! A change is made on a thread of its own, one after another: whoever awaits it may go away, and it is made all the same, or
//! refused as a whole.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use uuid::Uuid;

use super::decide::Scoping;
use super::rules::{ScopeChange, ScopeNode, ScopeRules};
use super::tree::Tree;
use crate::Event;
use crate::activity::ActivityBuilder;
use crate::audit::Audit;
use crate::catalog::internal_event;
use crate::diagnostics::{contained, enter_own_thread, report};
use crate::engine::Engine;
use crate::error::Error;
use crate::plan::Plan;
use crate::promise::promise;
use crate::record::{Actor, Delivery, Failure, Scope, Stages};
use crate::running::Running;
use crate::sync::spawn;

/// Changes that may be under way at once, each with a thread. They are made one after another.
const MAX_PENDING: usize = 64;

/// Which scopes are audited, read and changed while the server runs: from [`Auditor::scopes`](crate::Auditor::scopes).
///
/// ```
/// use tower_audit::scope::{ScopeChange, ScopeRules};
/// use tower_audit::{Actor, Auditor, Scope, sink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_audit::Error> {
/// # let (lines, records) = sink::memory();
/// let auditor = Auditor::builder().sink(lines).scope_rules(ScopeRules::off()).build()?;
/// let scopes = auditor.scopes();
/// scopes.change(Actor::user("jane"), ScopeChange::on(Scope::group("acme"))).await?;
/// assert!(scopes.is_audited(Some(&Scope::group("acme/tools")), "PackagePublished"));
/// assert!(records.text().contains(r#""eventName":"AuditScopeChanged""#));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scopes {
    log: Arc<Running>,
}

impl Scopes {
    pub(crate) fn new(log: Arc<Running>) -> Self {
        Self { log }
    }

    /// The current rules. Without configured rules, everything is audited.
    pub fn rules(&self) -> ScopeRules {
        self.scoping().map_or_else(ScopeRules::on, |scoping| scoping.tree.read(|tree| tree.clone()).rules().clone())
    }

    /// Whether an event is audited now: in a scope, or with `None` without a scope. Never waits for a change.
    pub fn is_audited(&self, scope: Option<&Scope>, event: &str) -> bool {
        self.scoping().is_none_or(|scoping| scoping.tree.read(|tree| tree.is_audited(scope, event)))
    }

    /// Changes a rule, for requests that begin after it is done.
    ///
    /// The change is first recorded as `AuditScopeChanged`: who (`actor`), which scope (`scope`), `meta.before` and
    /// `meta.after` (whether the scope is audited), `meta.ruleBefore` and `meta.ruleAfter` (`on`, `off`, `inherit`), and
    /// `meta.event` if it is for one event. When that record is durable, the store saves the rules, and then they apply. No
    /// rule, delivery class, filter or setting removes the record.
    ///
    /// A change that has begun is completed, even if the returned future is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Setting`](crate::ErrorKind) if the path or the event's name is not valid;
    /// [`ErrorKind::Refused`](crate::ErrorKind) if the change could not be recorded in time, or not kept by the store. The
    /// rules then stay as they were. If a record of the change may already be in the log, a second `AuditScopeChanged` with
    /// `status` `failed` follows.
    pub fn change(&self, actor: Actor, change: ScopeChange) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.begin(actor, change, None)
    }

    /// As [`Scopes::change`], on behalf of a request: `meta.requestAuditId` of the record names the request's own.
    pub fn change_for(
        &self,
        request: &Audit,
        actor: Actor,
        change: ScopeChange,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.begin(actor, change, request.audit_id())
    }

    fn begin(
        &self,
        actor: Actor,
        change: ScopeChange,
        request: Option<Uuid>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let gone = || Err(not_made("the audit log has stopped"));
        let (promise, answer) = promise(gone());
        let log = self.log.clone();
        let started = self.scoping().ok_or_else(none_configured).and_then(|scoping| {
            if scoping.pending.fetch_add(1, Ordering::Relaxed) >= MAX_PENDING {
                scoping.pending.fetch_sub(1, Ordering::Relaxed);
                return Err(not_made("too many changes are under way"));
            }
            let work = move || {
                enter_own_thread();
                let made = make(&log, &actor, &change, request);
                let engine = log.engine.clone();
                // Before the answer: whoever has it may count on the log ending with its own handles.
                drop(log);
                if let Some(scoping) = &engine.scoping {
                    scoping.pending.fetch_sub(1, Ordering::Relaxed);
                }
                promise.give(made);
            };
            spawn("audit-scopes", work).map_err(|error| {
                scoping.pending.fetch_sub(1, Ordering::Relaxed);
                not_made("the system refused a thread").with_source(error)
            })
        });
        async move {
            started?;
            answer.await
        }
    }

    fn scoping(&self) -> Option<&Scoping> {
        self.log.engine.scoping.as_ref()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scopes").finish_non_exhaustive()
    }
}

fn none_configured() -> Error {
    Error::setting(
        "this audit log has no scope rules: give it some with `AuditorBuilder::scope_rules`, so that requests ask for them",
    )
}

fn not_made(why: &'static str) -> Error {
    Error::refused(format!("{why}: the scope rules are as they were"))
}

/// Makes a change: records it, keeps it, publishes it.
fn make(log: &Arc<Running>, actor: &Actor, change: &ScopeChange, request: Option<Uuid>) -> Result<(), Error> {
    let Some(scoping) = &log.engine.scoping else { return Err(none_configured()) };
    let _one_at_a_time = scoping.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let before = scoping.tree.get();
    let after = before.rules().clone().with(change.clone())?;
    let tree = Tree::new(after.clone());
    let record = ChangeRecord { log, actor, change, before: &before, after: &tree, request };
    record.write()?;
    if let Some(store) = &scoping.store {
        let kept = contained("the scope store", || store.save(&after));
        let kept = kept.unwrap_or_else(|| Err(std::io::Error::other("the scope store panicked")));
        if let Err(error) = kept {
            record.take_back("the rules could not be kept, so they are as they were");
            return Err(not_made("the rules could not be kept").with_source(error));
        }
    }
    scoping.tree.publish(tree);
    Ok(())
}

/// The record of a change.
struct ChangeRecord<'c> {
    log: &'c Arc<Running>,
    actor: &'c Actor,
    change: &'c ScopeChange,
    before: &'c Tree,
    after: &'c Tree,
    request: Option<Uuid>,
}

impl ChangeRecord<'_> {
    /// Writes it, and waits until it is durable.
    fn write(&self) -> Result<(), Error> {
        let activity = block_on(self.builder(Delivery::Durable)?.into_future());
        let is_durable = activity.map(|activity| activity.succeed_durably().is_none_or(block_on));
        match is_durable {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.take_back("this change was not recorded durably in time, so the rules are as they were");
                Err(not_made("the change was not recorded in time"))
            }
            Err(error) => Err(not_made("the change could not be recorded").with_source(error)),
        }
    }

    /// Records that a change which the log may report was not made. Waits for queue space, as any record of this class.
    fn take_back(&self, why: &str) {
        match self.builder(Delivery::Backpressure).and_then(|builder| block_on(builder.into_future())) {
            Ok(activity) => activity.fail_with(Failure::new("NotChanged", why)),
            Err(error) => report(|| {
                let node = self.change.node();
                tracing::error!(target: "tower_audit", %error, ?node, "a change of scope rules was not made, and no record says so");
            }),
        }
    }

    fn builder(&self, delivery: Delivery) -> Result<ActivityBuilder, Error> {
        let plan = self.plan(delivery)?;
        let node = self.change.node();
        let event = self.change.event_name();
        let rule = |tree: &Tree| match tree.rules().rule(node, event) {
            Some(true) => "on",
            Some(false) => "off",
            None => "inherit",
        };
        // Any event has the answer of all events that have no rule of their own; no event can have this name.
        let is_audited = |tree: &Tree| tree.answer(node, event.unwrap_or("*"));
        let mut builder = ActivityBuilder::internal(self.log.clone(), Arc::new(plan))
            .actor(self.actor.clone())
            .scope(node.to_scope())
            .meta("before", is_audited(self.before))
            .meta("after", is_audited(self.after))
            .meta("ruleBefore", rule(self.before))
            .meta("ruleAfter", rule(self.after));
        if let Some(event) = event {
            builder = builder.meta("event", event);
        }
        if let Some(request) = self.request {
            builder = builder.meta("requestAuditId", request.to_string());
        }
        Ok(builder)
    }

    fn plan(&self, delivery: Delivery) -> Result<Plan, Error> {
        let event =
            Event::new("AuditScopeChanged").kind("audit").stages(Stages::Completion).delivery(delivery).message(
                "Audit rule of {scope} changed from {meta.ruleBefore} to {meta.ruleAfter} by {actor}: {result}",
            );
        let engine: &Engine = &self.log.engine;
        Plan::new(internal_event(event), false, engine.defaults)
    }
}

impl Tree {
    /// What holds at a node.
    fn answer(&self, node: &ScopeNode, event: &str) -> bool {
        match node {
            ScopeNode::Default => self.default_of(event),
            ScopeNode::Instance => self.is_audited(None, event),
            ScopeNode::Scope(scope) => self.is_audited(Some(scope), event),
        }
    }
}

/// Runs a future on this thread, which is one of this library: nothing else waits for it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
