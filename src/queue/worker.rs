//! The worker: redacts, renders and keeps time, and never does I/O.
//!
//! It polls while there is traffic, so that no request pays for waking it: often while batches are full, seldom while they
//! are small, and not at all after a silence, which the next record ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::channel::{Channel, Line, Moment};
use super::control::{Flush, Reach, ShutdownReport, Stop, StopReason, after};
use super::front::Rest;
use super::loss::LossReason;
use super::own::{Maker, Own, Stamp};
use crate::capture::Draft;
use crate::clock::{IdSource as _, Micros, UuidV7};
use crate::compose::{self, Extent};
use crate::counters::Counted;
use crate::diagnostics::{self, caught, contained, report};
use crate::engine::Engine;
use crate::error::Error;
#[cfg(feature = "export")]
use crate::export::Exporter;
use crate::filter::Filter;
use crate::record::Finished;
use crate::record::wire::Process;
use crate::sink::Progress;
use crate::sync::{Instant, spawn};

/// The pause between two batches while they are full, and while anybody waits.
const SHORTEST: Duration = Duration::from_millis(1);
/// The pause while batches are small. A record waits no longer than this for the worker.
const LONGEST: Duration = Duration::from_millis(8);
/// Fewer records than this in a batch, and the next pause is twice as long.
const SMALL: usize = 16;
/// After this number of pauses without work it goes to sleep, and the next record has to wake it.
const QUIET: u32 = if cfg!(all(test, shuttle)) { 1 } else { 3 };
/// The time between two reports, in the other sinks, of what a sink that was given up loses.
const UNHEARD: Duration = Duration::from_secs(1);
/// Records of this library that may wait for a sink.
const MAX_OWN: u64 = 16;
/// Records that are rendered before their lines are handed to the sinks, and before waiting requests are served.
const ROUND: usize = 32;

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
            pause: SHORTEST,
            quiet: 0,
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

impl Worker {
    /// Gives a record of this library to every sink that is not stuck on one of them already.
    fn write_own(&mut self, record: &Finished) {
        let Self { channels, process, line_budget, .. } = self;
        let line = Line { process, budget: *line_budget };
        for channel in channels.iter_mut().filter(|channel| channel.progress().own_waiting < MAX_OWN) {
            channel.give_own(record, line);
        }
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
    /// Drafts that have left the queue. The n-th to leave is the n-th that was handed over.
    rendered: u64,
    /// What the queue gets back once every required sink is done with it.
    ledger: VecDeque<Entry>,
    /// The round that is being rendered.
    round: Entry,
    pause: Duration,
    /// Pauses in a row that brought nothing.
    quiet: u32,
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

/// A round of records that are not yet written everywhere.
#[derive(Default)]
struct Entry {
    upto: u64,
    records: usize,
    reserved: usize,
}

impl Running {
    fn run(mut self) {
        diagnostics::enter_own_thread();
        let ran = caught(|| {
            let Self { worker, started, .. } = &mut self;
            worker.write_own(started);
            self.serve();
            self.finish();
        });
        if ran.is_none() {
            self.abandon();
        }
    }

    /// Works until somebody asks for the end and it is due.
    fn serve(&mut self) {
        loop {
            let (rest, attentive) = (self.rest(), self.somebody_waits());
            self.publish(matches!(rest, Rest::Sleep(_)));
            self.worker.engine.queue.take(&mut self.batch, rest, attentive);
            self.adapt();
            #[cfg(test)]
            self.worker.engine.queue.spring(TRAP_OUTSIDE);
            self.work_contained();
            if self.stop.as_ref().is_some_and(|stop| is_due(stop, &self.worker.engine)) {
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
        if self.somebody_waits() {
            Rest::Pause(SHORTEST)
        } else if self.quiet < QUIET {
            Rest::Pause(self.pause)
        } else {
            Rest::Sleep(self.worker.channels.iter().filter_map(Channel::until_trial).min())
        }
    }

    /// A full batch is followed by the shortest pause, a small one by a longer one than before: each costs the same,
    /// whatever it brings.
    fn adapt(&mut self) {
        let taken = self.batch.len();
        self.quiet = if taken == 0 { self.quiet.saturating_add(1) } else { 0 };
        if taken >= super::front::FULL {
            self.pause = SHORTEST;
        } else if taken < SMALL {
            self.pause = (self.pause * 2).min(LONGEST);
        }
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

    fn render_round(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let engine = self.worker.engine.clone();
        self.worker.channels.iter_mut().for_each(Channel::begin_round);
        for _ in 0..ROUND {
            let Some(draft) = self.batch.pop_front() else { break };
            self.round.records += 1;
            self.round.reserved += draft.reserved();
            let Self { record, memory, .. } = self;
            let mut make = |extent| contained("redaction", || compose::record(&engine, &draft, extent, memory, record));
            let made = make(Extent::Whole)
                .or_else(|| make(Extent::Evidence))
                .or_else(|| contained("a bare record", || compose::bare_record(&engine, &draft, record)));
            let given = made.is_some() && (!self.wants() || self.give());
            #[cfg(test)]
            engine.queue.spring(TRAP_INSIDE);
            if !given {
                engine.queue.note_lost(LossReason::Panicked, draft.started, 1);
            }
            self.done.push(draft);
        }
        engine.recycle(&mut self.done);
        self.close_round();
    }

    /// Hands the lines of the round to the sinks.
    fn close_round(&mut self) {
        let mut entry = std::mem::take(&mut self.round);
        if entry.records == 0 {
            return;
        }
        self.rendered += entry.records as u64;
        entry.upto = self.rendered;
        self.worker.channels.iter_mut().for_each(|channel| channel.end_round(entry.upto));
        self.ledger.push_back(entry);
        self.count_lost();
    }

    /// Whether the record passes the filter of all outputs.
    fn wants(&mut self) -> bool {
        let Worker { filter, process, engine, .. } = &mut self.worker;
        let Some(filter) = filter else { return true };
        contained("a filter", || filter.passes(&self.record.view(process))).unwrap_or_else(|| {
            engine.queue.note_panic();
            true
        })
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

    /// Each sink reports what was lost before it writes what comes next.
    fn tell(&mut self) {
        if let Some(untold) = self.worker.engine.queue.take_untold() {
            self.worker.channels.iter_mut().for_each(|channel| channel.owe(&untold));
        }
        if self.worker.channels.iter().any(Channel::can_tell) {
            let Self { worker, ids, maker, .. } = self;
            let Worker { engine, channels, process, line_budget, .. } = worker;
            let line = Line { process, budget: *line_budget };
            for channel in channels.iter_mut().filter(|channel| channel.can_tell()) {
                channel.tell(|| stamp(engine, ids), maker, line);
            }
        }
    }

    #[cfg(feature = "export")]
    fn record_exports(&mut self) {
        for announcement in self.worker.engine.control.take_announcements() {
            let record = self.maker.make(self.stamp(), Own::Exported(&announcement));
            self.worker.write_own(&record);
        }
    }

    /// Looks at what became of the sinks, has those tried again that were given up, and counts what they lost.
    fn watch_sinks(&mut self) {
        let now = Moment { given: self.worker.engine.monotonic(), real: Instant::now() };
        let at = self.stamp().at;
        let Self { worker, ids, is_last_try, started, maker, .. } = self;
        let Worker { engine, channels, process, line_budget, .. } = worker;
        let line = Line { process, budget: *line_budget };
        for channel in channels.iter_mut() {
            channel.watch(now, at);
            if channel.is_to_be_tried(now, *is_last_try) {
                channel.try_again(started, || stamp(engine, ids), maker, line);
            }
        }
        *is_last_try = false;
        self.count_lost();
        if self.heard.is_none_or(|heard| heard.elapsed() >= UNHEARD) {
            self.spread();
        }
    }

    /// Gives the other sinks to report what was lost in one that was given up.
    fn spread(&mut self) {
        let channels = &mut self.worker.channels;
        for at in 0..channels.len() {
            let Some((name, tally)) = channels[at].take_unheard() else { continue };
            self.heard = Some(Instant::now());
            let others = channels.iter_mut().enumerate().filter(|(other, _)| *other != at);
            others.for_each(|(_, other)| other.owe_for(&name, &tally));
        }
    }

    fn count_lost(&mut self) {
        let lost = self.worker.channels.iter_mut().map(Channel::take_uncounted).sum();
        self.worker.engine.queue.count_sink_failed(lost);
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
        let required = || self.worker.channels.iter().filter(|channel| channel.is_required());
        // What such a sink has not made durable it never will: nobody waits for that.
        let given_up = required().any(|channel| !channel.is_alive());
        let lost_upto = required().map(|channel| channel.progress().lost_upto).max().unwrap_or_default();
        let now = Instant::now();
        let mut waiting = Vec::new();
        for flush in self.flushes.drain(..) {
            let reached = if flush.reach == Reach::Required { durable } else { durable_everywhere };
            let is_lost = lost_upto > 0 && flush.upto <= lost_upto;
            if reached >= flush.upto && !is_lost {
                flush.promise.give(true);
            } else if given_up || is_lost || now >= flush.deadline {
                flush.promise.give(false);
            } else {
                waiting.push(flush);
            }
        }
        self.flushes = waiting;
    }

    fn stamp(&self) -> Stamp {
        stamp(&self.worker.engine, &self.ids)
    }

    /// Writes what is there, then the last record, and ends the sinks; all of it before the deadline.
    fn finish(&mut self) {
        let engine = self.worker.engine.clone();
        let (began, limit) = self.stop.as_ref().map_or((Instant::now(), LEAST), |stop| (stop.began, stop.limit));
        let deadline = after(began, limit.max(LEAST));
        engine.queue.close();
        self.is_last_try = true;
        // A trial that hangs must not cost the other sinks their last record.
        let tried_until = after(Instant::now(), (limit / 4).min(Duration::from_secs(1)));
        loop {
            engine.queue.take(&mut self.batch, Rest::Pause(SHORTEST), true);
            self.work_contained();
            let on_trial = self.worker.channels.iter().any(Channel::is_on_trial) && Instant::now() < tried_until;
            let settled = self.ledger.is_empty() && !engine.queue.has_line() && !on_trial;
            if settled || Instant::now() >= deadline {
                break;
            }
        }
        self.worker.channels.iter().filter(|channel| !channel.is_alive()).for_each(Channel::give_up_torn);
        self.watch_sinks();
        // Now or never, even where an earlier record of this library still waits.
        self.spread();
        self.tell();
        let Self { worker, ids, maker, .. } = &mut *self;
        let Worker { channels, process, line_budget, .. } = worker;
        let line = Line { process, budget: *line_budget };
        channels.iter_mut().for_each(|channel| channel.tell(|| stamp(&engine, ids), maker, line));
        let (lost, open) = engine.queue.lost_and_open();
        let mut report = ShutdownReport {
            written: self.worker.channels.first().map(Channel::written_at_the_end).unwrap_or_default(),
            lost,
            refused: engine.queue.refused(),
            open,
            flushed: false,
            unexported: 0,
        };
        let reason = self.stop.as_ref().map_or(StopReason::Shutdown, |stop| stop.reason);
        let last = self.maker.make(stamp(&engine, &self.ids), Own::Stopped(&report, reason));
        self.worker.write_own(&last);
        self.worker.channels.iter().for_each(Channel::end);
        self.worker.counted.end_log_lines();
        let logs_ended = || self.worker.counted.log_lines_ended();
        while !(self.has_ended(Reach::All) && logs_ended()) && Instant::now() < deadline {
            engine.queue.wait_for_move(SHORTEST);
        }
        let channels = &self.worker.channels;
        let ended_well = channels.iter().filter(|channel| channel.is_required()).all(Channel::has_ended_well);
        // All numbers come from one look at each sink: one that is late goes on writing while they are added up.
        let looks: Vec<Progress> = channels.iter().map(Channel::progress).collect();
        let required = channels.iter().zip(&looks).filter(|(channel, _)| channel.is_required());
        let settled = required.map(|(_, look)| look.settled).min().unwrap_or(self.rendered);
        let (now, at) = (Moment { given: engine.monotonic(), real: Instant::now() }, self.stamp().at);
        let channels = &mut self.worker.channels;
        channels.iter_mut().zip(&looks).for_each(|(channel, look)| channel.watch_as(*look, now, at));
        self.count_lost();
        self.settle(settled);
        let unwritten: usize = self.ledger.iter().map(|entry| entry.records).sum();
        report.flushed = ended_well && unwritten == 0;
        report.written = looks.first().map_or(0, |look| look.written);
        (report.lost, report.open) = engine.queue.lost_and_open();
        report.lost += unwritten as u64;
        #[cfg(feature = "export")]
        if let Some(exporter) = &self.worker.exporter {
            // The last records are in the spool now.
            report.unexported = exporter.finish(limit.max(LEAST).saturating_sub(began.elapsed()));
        }
        self.publish(true);
        self.answer_all(report);
    }

    /// The worker's own code panicked, which no known code does: settles what waited for it, and answers those who wait.
    fn abandon(&mut self) {
        report(|| {
            tracing::error!(target: "tower_audit", "the audit worker panicked: nothing is recorded from now on");
        });
        let engine = self.worker.engine.clone();
        engine.queue.note_panic();
        engine.queue.close();
        caught(|| self.close_round());
        let taken = std::mem::take(&mut self.batch);
        engine.queue.take(&mut self.batch, Rest::Pause(Duration::ZERO), false);
        for draft in taken.into_iter().chain(std::mem::take(&mut self.batch)) {
            engine.queue.note_lost(LossReason::Panicked, draft.started, 1);
            engine.queue.settle(1, draft.reserved());
        }
        caught(|| self.settle(u64::MAX));
        caught(|| engine.queue.serve_line(engine.monotonic()));
        self.worker.channels.iter().for_each(Channel::end);
        self.worker.counted.end_log_lines();
        #[cfg(feature = "export")]
        if let Some(exporter) = &self.worker.exporter {
            exporter.finish(Duration::ZERO);
        }
        let (lost, open) = engine.queue.lost_and_open();
        self.answer_all(ShutdownReport { lost, open, refused: engine.queue.refused(), ..ShutdownReport::default() });
    }

    /// Nothing is done any more: everybody who asked for the end gets the report, and promises that are dropped answer those
    /// who wait for them.
    fn answer_all(&mut self, report: ShutdownReport) {
        self.flushes.clear();
        self.worker.engine.control.end(report);
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
        // Also of a sink that was given up: its thread may still count what is lost.
        let waits_for = |channel: &&Channel| reach == Reach::All || channel.is_required();
        self.worker.channels.iter().filter(waits_for).all(Channel::has_ended)
    }
}

/// Where tests let the worker panic: in the middle of a round, and where nothing contains it.
#[cfg(test)]
pub(super) const TRAP_INSIDE: usize = 1;
#[cfg(test)]
pub(super) const TRAP_OUTSIDE: usize = 2;

/// Even a deadline of nothing leaves this long for what is finished already.
const LEAST: Duration = Duration::from_millis(50);

/// Identity and time of a record of this library: the application's source of ids belongs to its exchanges.
fn stamp(engine: &Engine, ids: &UuidV7) -> Stamp {
    let now = engine.now();
    Stamp { at: Micros::from_system(now), id: ids.audit_id(now) }
}

/// Open exchanges are waited for, but not so long that no time is left to write what is finished.
fn is_due(stop: &Stop, engine: &Engine) -> bool {
    const WRITING: Duration = Duration::from_secs(1);
    engine.begin_closing();
    let for_open = stop.limit - (stop.limit / 4).min(WRITING);
    let is_over = Instant::now() >= after(stop.began, for_open);
    if engine.open() > 0 && !is_over {
        return false;
    }
    // From here on nothing new is admitted. What was admitted just before is open now, and waited for.
    engine.queue.stop_admitting();
    engine.open() == 0 || is_over
}
