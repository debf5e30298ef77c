//! The worker: redacts, renders and keeps time, and never waits for a sink.
//!
//! One thread takes finished drafts from the queue after a rest (`pace`), makes records of them and their lines (`round`),
//! and hands those to a `channel` for each sink. Between two rounds it looks after the sinks and reports what was lost
//! (`care`), and answers requests that wait for durability (`flushes`). `end` is the shutdown. `own` makes the internal
//! records.

mod care;
mod channel;
mod end;
mod flushes;
#[cfg(all(test, shuttle))]
mod model;
mod own;
mod pace;
mod round;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::channel::{Channel, Shape};
use self::own::{Maker, Own, Stamp};
use self::pace::{Pace, SHORTEST};
use self::round::Entry;
use crate::capture::Draft;
use crate::clock::{IdSource as _, Micros, UuidV7};
use crate::compose;
use crate::counters::Counted;
use crate::diagnostics::{self, caught, contained};
use crate::engine::Engine;
use crate::error::Error;
#[cfg(feature = "export")]
use crate::export::Exporter;
use crate::filter::Filter;
use crate::queue::{Flush, Queue, Reach, Rest, Stop};
use crate::record::Finished;
use crate::record::wire::Process;
use crate::sync::{Instant, spawn};

/// Everything that the worker's thread begins with.
pub(crate) struct Worker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) counted: Arc<Counted>,
    pub(crate) process: Process,
    /// Which records are written at all.
    pub(crate) filter: Option<Filter>,
    pub(crate) line_budget: usize,
    pub(crate) settings: Value,
    #[cfg(feature = "export")]
    pub(crate) exporter: Option<Arc<Exporter>>,
}

impl Worker {
    /// Starts the thread. It ends with the shutdown that the engine's control asks for.
    pub(crate) fn start(self) -> Result<(), Error> {
        let ids = UuidV7::new();
        // Stamped here: its time is before that of whatever is recorded next.
        let mut maker = Maker::new(self.engine.redactor.clone());
        let own = Own::Started { enabled: self.engine.enabled, settings: &self.settings };
        let started = maker.make(stamp(&self.engine, &ids), own);
        let state = Running {
            started: Box::new(started),
            maker,
            batch: VecDeque::new(),
            done: Vec::new(),
            rendered: 0,
            ledger: VecDeque::new(),
            pace: Pace::new(),
            round: Entry::default(),
            heard: None,
            is_last_try: false,
            flushes: Vec::new(),
            stop: None,
            record: Box::default(),
            memory: compose::Memory::default(),
            ids,
            #[cfg(feature = "metrics")]
            publisher: crate::publish::Publisher::default(),
            worker: self,
        };
        spawn("audit-worker", move || state.run())
            .map_err(|error| Error::start("cannot start the audit worker's thread").with_source(error))
    }
}

struct Running {
    worker: Worker,
    /// The first record of this run.
    started: Box<Finished>,
    maker: Maker,
    batch: VecDeque<Box<Draft>>,
    /// Drafts of the round that records were made from.
    #[expect(clippy::vec_box, reason = "drafts travel in their boxes, a draft is large")]
    done: Vec<Box<Draft>>,
    /// The position of the last record that was rendered. Drafts leave the queue in the order in which they were handed over.
    rendered: u64,
    /// What the queue gets back once every required sink is done with it.
    ledger: VecDeque<Entry>,
    /// The round that is being rendered.
    round: Entry,
    pace: Pace,
    /// When the sinks that work were last given to report what others lost.
    heard: Option<Instant>,
    /// Sinks that were given up are tried once more before the end.
    is_last_try: bool,
    flushes: Vec<Flush>,
    stop: Option<Stop>,
    /// The record that is being made, always in the same memory: one is large.
    record: Box<Finished>,
    memory: compose::Memory,
    ids: UuidV7,
    #[cfg(feature = "metrics")]
    publisher: crate::publish::Publisher,
}

impl Running {
    fn run(mut self) {
        diagnostics::enter_own_thread();
        let ran = caught(|| {
            self.begin();
            self.serve();
            self.finish();
        });
        if ran.is_none() {
            self.abandon();
        }
    }

    /// Gives `AuditStarted` to the sinks, which is at the first position: a flush waits for it as for every other record.
    fn begin(&mut self) {
        self.worker.write_own(&self.started);
        self.rendered = Queue::STARTED;
        self.worker.channels.iter_mut().for_each(|channel| channel.end_round(Queue::STARTED));
    }

    /// Works until somebody asks for the end and it is due.
    fn serve(&mut self) {
        loop {
            let (rest, attentive) = (self.rest(), self.somebody_waits());
            self.publish(matches!(rest, Rest::Sleep { lazily: false, .. }));
            self.worker.engine.queue.take(&mut self.batch, rest, attentive);
            self.pace.note(self.batch.len());
            #[cfg(test)]
            self.worker.engine.queue.spring(TRAP_OUTSIDE);
            self.work_contained();
            if self.stop.as_ref().is_some_and(|stop| end::is_due(stop, &self.worker.engine)) {
                return;
            }
        }
    }

    fn somebody_waits(&self) -> bool {
        #[cfg(feature = "export")]
        if self.worker.exporter.as_ref().is_some_and(|exporter| exporter.expire()) {
            return true;
        }
        !self.flushes.is_empty() || self.stop.is_some() || self.worker.engine.queue.has_line()
    }

    /// Asleep only when nobody waits for anything, and then until a sink that was given up is to be tried again.
    fn rest(&self) -> Rest {
        if self.somebody_waits() || !self.batch.is_empty() {
            return Rest::Pause(SHORTEST);
        }
        let trial = self.worker.channels.iter().filter_map(Channel::until_trial).min();
        self.pace.rest(trial, !self.ledger.is_empty())
    }

    fn work_contained(&mut self) {
        if contained("the worker", || self.work()).is_none() {
            self.worker.engine.queue.note_panic();
            self.close_round();
        }
    }

    fn work(&mut self) {
        self.watch_sinks();
        self.tell();
        #[cfg(feature = "export")]
        self.record_exports();
        // Waiting requests are served between rounds, however much there is to render.
        loop {
            self.render_round();
            self.settle(self.least(Reach::Required, |progress| progress.settled));
            self.worker.engine.queue.serve_line(self.worker.engine.monotonic());
            self.flushes.extend(self.worker.engine.control.take_flushes());
            self.serve_flushes();
            if self.batch.is_empty() {
                break;
            }
        }
        if self.stop.is_none() {
            self.stop = self.worker.engine.control.take_stop();
        }
    }

    /// Gives the queue back what every required sink is done with.
    fn settle(&mut self, settled: u64) {
        while let Some(entry) = self.ledger.front().filter(|entry| entry.upto <= settled) {
            self.worker.engine.queue.settle(entry.records, entry.reserved);
            self.ledger.pop_front();
        }
    }

    fn stamp(&self) -> Stamp {
        stamp(&self.worker.engine, &self.ids)
    }

    /// Publishes the counters for whoever collects metrics: before it sleeps and at its end, and else not too often.
    #[cfg(feature = "metrics")]
    fn publish(&mut self, last: bool) {
        let Worker { engine, counted, .. } = &self.worker;
        if last {
            self.publisher.publish(&counted.snapshot(engine));
        } else {
            self.publisher.now_and_then(|| counted.snapshot(engine));
        }
    }

    #[cfg(not(feature = "metrics"))]
    fn publish(&mut self, _last: bool) {}
}

/// Where tests let the worker panic: in the middle of a round, and where nothing contains it.
#[cfg(test)]
const TRAP_INSIDE: usize = 1;
#[cfg(test)]
const TRAP_OUTSIDE: usize = 2;

/// Identity and time of an internal record: the application's source of ids belongs to its exchanges.
fn stamp(engine: &Engine, ids: &UuidV7) -> Stamp {
    let now = engine.now();
    Stamp { at: Micros::from_system(now), id: ids.audit_id(now) }
}
