//! What clients and handlers saw, request by request.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::plan::{Case, Plan};
use crate::sinks::Witness;

/// What became of a handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Handled {
    #[default]
    NotBegun,
    /// It has begun. If that is still so at the end, it was dropped.
    Begun,
    Answered,
    Failed,
    TimedOut,
    Panicked,
}

/// What became of a response's body, as the layer took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It was dropped before its end.
    #[default]
    Part,
    Ended,
    Failed,
    Panicked,
}

/// What the server's side saw of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// How often it reached the layer.
    pub(crate) entered: u32,
    /// Required sinks that had been given up when it reached the layer.
    given_up: Vec<(usize, u64)>,
    /// How often its handler began.
    pub(crate) begun: u32,
    pub(crate) handled: Handled,
    /// Of the handler's answer.
    pub(crate) status: Option<u16>,
    /// The response ends with its head.
    pub(crate) ends_at_head: bool,
    pub(crate) delivered: Delivered,
    pub(crate) bytes: u64,
    /// The bytes of the last frame among them.
    pub(crate) last_frame: u64,
    /// What [`tower_audit::Audit::skip`] answered.
    pub(crate) skipped: bool,
    /// What was synced in each required sink when the handler began.
    pub(crate) synced_before: Vec<usize>,
    /// A required sink was given up before it reached the layer, and until its handler began.
    pub(crate) begun_while_dead: bool,
}

/// What its client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) status: Option<u16>,
    /// The response was received whole.
    pub(crate) whole: bool,
    /// The response is the layer's: the request was not handled, or its record is not confirmed.
    pub(crate) refusal: bool,
    /// What was synced in each required sink at that moment.
    pub(crate) synced_after: Vec<usize>,
    /// The connection can have ended for another reason than this request.
    pub(crate) disturbed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) server: Server,
    pub(crate) client: Client,
}

/// The notes of a round.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) plan: Plan,
    pub(crate) required: Vec<Arc<Witness>>,
    seen: Vec<(Mutex<Seen>, Notify)>,
    faults: Mutex<Vec<String>>,
}

impl Ledger {
    pub(crate) fn new(plan: Plan, required: Vec<Arc<Witness>>) -> Self {
        let seen = plan.cases.iter().map(|_| Default::default()).collect();
        Self { plan, required, seen, faults: Mutex::default() }
    }

    pub(crate) fn of(&self, n: u64) -> MutexGuard<'_, Seen> {
        self.seen[usize::try_from(n - self.plan.first).unwrap()].0.lock().unwrap()
    }

    /// Resolves when the handler has begun.
    pub(crate) async fn begun(&self, n: u64) {
        self.seen[usize::try_from(n - self.plan.first).unwrap()].1.notified().await;
    }

    pub(crate) fn note_entry(&self, n: u64) {
        let given_up = self.given_up();
        let server = &mut self.of(n).server;
        server.entered += 1;
        server.given_up = given_up;
    }

    pub(crate) fn note_begin(&self, n: u64) {
        let (synced, given_up) = (self.synced(), self.given_up());
        let mut seen = self.of(n);
        seen.server.begun_while_dead = seen.server.given_up.iter().any(|death| given_up.contains(death));
        seen.server.begun += 1;
        seen.server.handled = Handled::Begun;
        seen.server.synced_before = synced;
        drop(seen);
        self.seen[usize::try_from(n - self.plan.first).unwrap()].1.notify_one();
    }

    /// The required sinks that are given up now, and for the how many-th time.
    fn given_up(&self) -> Vec<(usize, u64)> {
        let sinks = self.required.iter().enumerate();
        sinks.filter_map(|(at, sink)| Some((at, sink.given_up()?))).collect()
    }

    /// What is durable in each required sink now.
    pub(crate) fn synced(&self) -> Vec<usize> {
        self.required.iter().map(|sink| sink.synced()).collect()
    }

    pub(crate) fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    pub(crate) fn fault_of(&self, case: &Case, what: &str) {
        let text = format!("{what}\n    {case:?}\n    {:?}", *self.of(case.n));
        self.fault(text);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.lock().unwrap())
    }
}
