//! The worker: redacts, renders and keeps time, and never does I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::channel::Channel;
use super::control::{Flush, Reach, ShutdownReport, Stop, after};
use super::loss::{LossReason, Untold};
use super::own::{Maker, Own, Stamp};
use crate::capture::Draft;
use crate::clock::{IdSource as _, Micros, UuidV7};
use crate::compose::{self, Extent};
use crate::counters::Counted;
use crate::diagnostics::{self, contained};
use crate::engine::Engine;
use crate::error::Error;
use crate::record::Record;
use crate::record::wire::Process;
use crate::sink::Progress;
use crate::sync::{Instant, thread};

/// How long the worker pauses while there is traffic. A record is out after that long at the latest.
const PAUSE: Duration = Duration::from_millis(1);
/// After so many pauses without work it goes to sleep, and the next record has to wake it.
const QUIET: u32 = if cfg!(all(test, shuttle)) { 1 } else { 64 };
/// Internal records that may wait for a sink.
const MOST_OWN: u64 = 16;
/// Records that are rendered before their lines are handed to the sinks, and before those who wait are looked after.
const ROUND: usize = 32;

/// Everything that the worker's thread begins with.
pub(crate) struct Worker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) counted: Arc<Counted>,
    pub(crate) process: Process,
    pub(crate) line_budget: usize,
    pub(crate) settings: Value,
}

impl Worker {
    /// Starts the thread. It ends with the shutdown that the engine's control asks for.
    pub(crate) fn start(self) -> Result<(), Error> {
        let state = Running {
            batch: VecDeque::new(),
            done: Vec::new(),
            rendered: 0,
            ledger: VecDeque::new(),
            quiet: 0,
            flushes: Vec::new(),
            stop: None,
            record: Box::default(),
            memory: compose::Memory::default(),
            ids: UuidV7::new(),
            #[cfg(feature = "metrics")]
            publisher: crate::publish::Publisher::default(),
            worker: self,
        };
        // Stamped here: its time is before that of whatever is recorded next.
        let started = state.stamp();
        let start = thread::Builder::new().name("audit-worker".into()).spawn(move || state.run(started));
        start.map(|_| ()).map_err(|error| Error::start("cannot start the audit worker's thread").with_source(error))
    }
}

struct Running {
    worker: Worker,
    batch: VecDeque<Box<Draft>>,
    /// Drafts of the round that records were made from.
    #[expect(clippy::vec_box, reason = "drafts travel in their boxes, a draft is large")]
    done: Vec<Box<Draft>>,
    /// Drafts that have left the queue. The n-th to leave is the n-th that was handed over.
    rendered: u64,
    /// What the queue gets back once every required sink is done with it.
    ledger: VecDeque<Entry>,
    quiet: u32,
    flushes: Vec<Flush>,
    stop: Option<Stop>,
    /// The record that is being made, always in the same memory: one is large.
    record: Box<Record>,
    memory: compose::Memory,
    ids: UuidV7,
    #[cfg(feature = "metrics")]
    publisher: crate::publish::Publisher,
}

/// A round of records that are not yet written everywhere.
struct Entry {
    upto: u64,
    records: usize,
    reserved: usize,
}

impl Running {
    fn run(mut self, started: Stamp) {
        diagnostics::enter_own_thread();
        let settings = std::mem::take(&mut self.worker.settings);
        self.write_own(started, Own::Started { enabled: self.worker.engine.enabled, settings: &settings });
        let stop = loop {
            let (pause, attentive) = (self.pause(), self.somebody_waits());
            self.publish(pause.is_none());
            self.worker.engine.queue.take(&mut self.batch, pause, attentive);
            contained("the worker", || self.work());
            if let Some(stop) = self.stop.take_if(|stop| is_due(stop, &self.worker.engine)) {
                break stop;
            }
        };
        self.finish(stop);
    }

    fn somebody_waits(&self) -> bool {
        !self.flushes.is_empty() || self.stop.is_some() || self.worker.engine.queue.has_line()
    }

    /// Asleep only when nobody waits for anything.
    fn pause(&self) -> Option<Duration> {
        (self.somebody_waits() || self.quiet < QUIET).then_some(PAUSE)
    }

    fn work(&mut self) {
        self.quiet = if self.batch.is_empty() { self.quiet.saturating_add(1) } else { 0 };
        self.watch_sinks();
        if self.can_tell()
            && let Some(untold) = self.worker.engine.queue.take_untold()
        {
            self.tell(&untold);
        }
        self.worker.counted.ordinary.tell(|| Micros::from_system(self.worker.engine.now()));
        // Those who wait are looked after between rounds, however much there is to render.
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

    fn render_round(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let engine = self.worker.engine.clone();
        let mut entry = Entry { upto: 0, records: 0, reserved: 0 };
        self.worker.channels.iter_mut().for_each(Channel::begin_round);
        for _ in 0..ROUND {
            let Some(draft) = self.batch.pop_front() else { break };
            entry.records += 1;
            entry.reserved += draft.reserved();
            let Self { record, memory, .. } = self;
            let mut make = |extent| contained("redaction", || compose::record(&engine, &draft, extent, memory, record));
            let made = make(Extent::Whole)
                .or_else(|| make(Extent::Evidence))
                .or_else(|| contained("a bare record", || compose::bare_record(&engine, &draft, record)));
            let given = made.is_some() && self.give();
            if !given {
                engine.queue.note_lost(LossReason::Panicked, draft.started, 1);
            }
            self.done.push(draft);
        }
        engine.recycle(&mut self.done);
        self.rendered += entry.records as u64;
        entry.upto = self.rendered;
        self.worker.channels.iter_mut().for_each(|channel| channel.end_round(entry.upto));
        self.ledger.push_back(entry);
    }

    /// Gives the record to every sink; false if not each of them could be given its line.
    fn give(&mut self) -> bool {
        let Worker { channels, process, line_budget, .. } = &mut self.worker;
        let mut given = true;
        for channel in channels {
            given &= channel.give(&self.record, process, *line_budget);
        }
        given
    }

    /// What was lost stands before what comes next.
    fn tell(&mut self, untold: &Untold) {
        for (reason, tally) in untold.losses() {
            self.write_own(self.stamp(), Own::RecordsLost { reason, tally, sink: None });
        }
        if untold.refused.count > 0 {
            self.write_own(self.stamp(), Own::RequestsRefused(&untold.refused));
        }
    }

    /// A required sink can take it, or, where all of those are dead, any other.
    fn can_tell(&self) -> bool {
        let channels = &self.worker.channels;
        let required_alive = channels.iter().any(|channel| channel.is_required() && channel.is_alive());
        channels.iter().any(|channel| channel.can_tell() && (channel.is_required() || !required_alive))
    }

    /// Gives an internal record to every sink that is not stuck on one of them already.
    fn write_own(&mut self, stamp: Stamp, own: Own<'_>) {
        let Worker { engine, channels, process, line_budget, .. } = &mut self.worker;
        let (redactor, memory, record) = (&engine.redactor, &mut self.memory.redact, &mut *self.record);
        let mut maker = Maker { redactor, memory, record };
        let record = maker.make(stamp, own);
        for channel in channels.iter_mut().filter(|channel| channel.progress().own_waiting < MOST_OWN) {
            channel.give_own(record, process, *line_budget);
        }
    }

    /// Notes what sinks lost since the last look, and lets those tell it that lose for themselves.
    fn watch_sinks(&mut self) {
        let lost = self.worker.channels.iter_mut().map(|channel| channel.newly_lost(channel.progress())).sum();
        self.note_lost(lost);
        if self.worker.channels.iter().any(Channel::has_missed) {
            let stamp = self.stamp();
            let Worker { engine, channels, process, line_budget, .. } = &mut self.worker;
            let (redactor, memory, record) = (&engine.redactor, &mut self.memory.redact, &mut *self.record);
            let mut maker = Maker { redactor, memory, record };
            channels.iter_mut().for_each(|channel| channel.tell_missed(stamp, &mut maker, process, *line_budget));
        }
    }

    fn note_lost(&self, lost: u64) {
        if lost > 0 {
            self.worker.engine.queue.note_lost(LossReason::SinkFailed, self.stamp().at, lost);
        }
    }

    /// Gives the queue back what every required sink is done with.
    fn settle(&mut self, settled: u64) {
        while let Some(entry) = self.ledger.front().filter(|entry| entry.upto <= settled) {
            self.worker.engine.queue.settle(entry.records, entry.reserved);
            self.ledger.pop_front();
        }
    }

    /// How far the slowest sink is.
    fn least(&self, reach: Reach, how_far: impl Fn(&Progress) -> u64) -> u64 {
        let within = self.worker.channels.iter().filter(|channel| channel.is_within(reach));
        within.map(|channel| how_far(&channel.progress())).min().unwrap_or(self.rendered)
    }

    fn serve_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        let wanted = self.flushes.iter().map(|flush| flush.upto.min(self.rendered)).max().unwrap_or_default();
        self.worker.channels.iter().for_each(|channel| channel.want(wanted));
        let durable = self.least(Reach::Required, |progress| progress.durable);
        let durable_everywhere = self.least(Reach::All, |progress| progress.durable);
        // What such a sink has not made durable it never will: nobody waits for that.
        let given_up = self.worker.channels.iter().any(|channel| channel.is_required() && !channel.is_alive());
        let now = Instant::now();
        let mut waiting = Vec::new();
        for flush in self.flushes.drain(..) {
            let reached = if flush.reach == Reach::Required { durable } else { durable_everywhere };
            if reached >= flush.upto {
                flush.promise.give(true);
            } else if given_up || now >= flush.deadline {
                flush.promise.give(false);
            } else {
                waiting.push(flush);
            }
        }
        self.flushes = waiting;
    }

    fn stamp(&self) -> Stamp {
        let now = self.worker.engine.now();
        // Ids of our own: the application's source belongs to its exchanges.
        Stamp { at: Micros::from_system(now), id: self.ids.audit_id(now) }
    }

    /// Writes what is there, then the last record, and ends the sinks; all of it before the deadline.
    fn finish(mut self, stop: Stop) {
        let engine = self.worker.engine.clone();
        let deadline = after(stop.began, stop.limit.max(LEAST));
        engine.queue.close();
        loop {
            engine.queue.take(&mut self.batch, Some(PAUSE), true);
            contained("the worker", || self.work());
            let settled = self.ledger.is_empty() && !engine.queue.has_line();
            if settled || Instant::now() >= deadline {
                break;
            }
        }
        self.watch_sinks();
        // Now or never, even where an earlier record of ours still waits.
        if let Some(untold) = engine.queue.take_untold() {
            self.tell(&untold);
        }
        let mut report = ShutdownReport {
            written: self.worker.channels.first().map(Channel::written_at_the_end).unwrap_or_default(),
            lost: engine.queue.lost(),
            refused: engine.queue.refused(),
            open: engine.open() as u64,
            flushed: false,
        };
        self.worker.counted.ordinary.tell_at_the_end(|| Micros::from_system(engine.clock.now()));
        self.write_own(self.stamp(), Own::Stopped(&report));
        self.worker.channels.iter().for_each(Channel::end);
        while !self.has_ended(Reach::All) && Instant::now() < deadline {
            engine.queue.take(&mut self.batch, Some(PAUSE), true);
        }
        let channels = &mut self.worker.channels;
        let ended_well = channels.iter().filter(|channel| channel.is_required()).all(Channel::has_ended_well);
        // All numbers come from one look at each sink: one that is late goes on writing while they are added up.
        let looks: Vec<Progress> = channels.iter().map(Channel::progress).collect();
        let lost = channels.iter_mut().zip(&looks).map(|(channel, look)| channel.newly_lost(*look)).sum();
        let required = channels.iter().zip(&looks).filter(|(channel, _)| channel.is_required());
        let settled = required.map(|(_, look)| look.settled).min().unwrap_or(self.rendered);
        self.note_lost(lost);
        self.settle(settled);
        let unwritten: usize = self.ledger.iter().map(|entry| entry.records).sum();
        report.flushed = ended_well && unwritten == 0;
        report.written = looks.first().map_or(0, |look| look.written);
        report.lost = engine.queue.lost() + unwritten as u64;
        self.publish(true);
        engine.control.end();
        // Their promises are broken, which answers them.
        self.flushes.clear();
        stop.promise.give(report);
    }

    /// Tells the counters to whoever collects metrics: before it sleeps and at its end, and else not too often.
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

    fn has_ended(&self, reach: Reach) -> bool {
        self.worker.channels.iter().filter(|channel| channel.is_within(reach)).all(Channel::has_ended)
    }
}

/// Even a deadline of nothing leaves this long for what is finished already.
const LEAST: Duration = Duration::from_millis(50);

/// Open exchanges are waited for, but not so long that no time is left to write what is finished.
fn is_due(stop: &Stop, engine: &Engine) -> bool {
    const WRITING: Duration = Duration::from_secs(1);
    engine.begin_closing();
    let for_open = stop.limit - (stop.limit / 4).min(WRITING);
    engine.open() == 0 || Instant::now() >= after(stop.began, for_open)
}
