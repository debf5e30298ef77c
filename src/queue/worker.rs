//! The worker: redacts, renders and keeps time, and never does I/O.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::control::{Control, Flush, ShutdownReport, Stop, after};
use super::loss::{LossReason, Untold};
use super::own::{self, Stamp};
use crate::capture::Draft;
use crate::clock::Micros;
use crate::engine::Engine;
use crate::error::Error;
use crate::format;
use crate::record::finished::Record;
use crate::record::wire::Process;
use crate::redact;
use crate::sink::Outlet;

/// How long the worker pauses while there is traffic. A record is out after that long at the latest.
const PAUSE: Duration = Duration::from_millis(1);
/// After so many pauses without work it goes to sleep, and the next record has to wake it.
const QUIET: u32 = 64;
/// Records that are rendered before their lines are handed to the sink.
const ROUND: usize = 256;

/// Everything that the worker's thread owns.
pub(crate) struct Worker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) control: Arc<Control>,
    pub(crate) outlet: Outlet,
    pub(crate) process: Process,
    pub(crate) line_budget: usize,
    pub(crate) settings: Value,
}

impl Worker {
    /// Starts the thread. It ends with the shutdown that the control asks for.
    pub(crate) fn start(self) -> Result<(), Error> {
        let state = Running {
            batch: VecDeque::new(),
            lines: String::new(),
            rendered: 0,
            quiet: 0,
            flushes: Vec::new(),
            stop: None,
            worker: self,
        };
        // Stamped here: its time is before that of whatever is recorded next.
        let started = own::started(state.stamp(), state.worker.engine.enabled, &state.worker.settings);
        let start = thread::Builder::new().name("audit-worker".into()).spawn(move || state.run(started));
        start.map(|_| ()).map_err(|error| Error::start("cannot start the audit worker's thread").with_source(error))
    }
}

struct Running {
    worker: Worker,
    batch: VecDeque<Box<Draft>>,
    lines: String,
    /// Drafts of the queue that have left it, for flushes.
    rendered: u64,
    quiet: u32,
    flushes: Vec<Flush>,
    stop: Option<Stop>,
}

impl Running {
    fn run(mut self, started: Record) {
        self.write_own(started);
        let stop = loop {
            let pause = self.pause();
            self.worker.engine.queue.take(&mut self.batch, pause);
            self.work();
            if let Some(stop) = self.stop.take_if(|stop| is_due(stop, &self.worker.engine)) {
                break stop;
            }
        };
        self.finish(stop);
    }

    /// Asleep only when nobody waits for anything.
    fn pause(&self) -> Option<Duration> {
        let queue = &self.worker.engine.queue;
        let somebody_waits =
            !self.batch.is_empty() || !self.flushes.is_empty() || self.stop.is_some() || queue.has_line();
        (somebody_waits || self.quiet < QUIET).then_some(PAUSE)
    }

    fn work(&mut self) {
        let idle = self.batch.is_empty();
        self.quiet = if idle { self.quiet.saturating_add(1) } else { 0 };
        self.render();
        self.worker.engine.queue.serve_line(self.worker.engine.clock.monotonic());
        self.flushes.extend(self.worker.control.take_flushes());
        if self.stop.is_none() {
            self.stop = self.worker.control.take_stop();
        }
        self.serve_flushes();
    }

    /// Renders as much of the batch as the sink has room for. The rest waits here, and counts as unwritten.
    fn render(&mut self) {
        while self.worker.outlet.has_room() {
            if let Some(untold) = self.worker.engine.queue.take_untold() {
                self.tell(&untold);
            }
            if self.batch.is_empty() {
                return;
            }
            self.render_round();
        }
    }

    fn render_round(&mut self) {
        let engine = self.worker.engine.clone();
        let (mut records, mut reserved) = (0, 0);
        for _ in 0..ROUND {
            let Some(draft) = self.batch.pop_front() else { break };
            self.rendered += 1;
            match contained(|| redact::record(&engine, &draft))
                .or_else(|| contained(|| redact::bare_record(&engine, &draft)))
            {
                Some(record) => {
                    self.push_line(record);
                    records += 1;
                    reserved += draft.reserved;
                }
                None => {
                    engine.queue.settle(1, draft.reserved);
                    engine.queue.note_lost(LossReason::Panicked, draft.started, 1);
                }
            }
            engine.recycle(draft);
        }
        self.worker.outlet.append(self.lines.as_bytes(), records, reserved);
        self.lines.clear();
    }

    fn push_line(&mut self, mut record: Record) {
        let worker = &mut self.worker;
        let seq = worker.outlet.next_seq();
        format::line(&mut record, &worker.process, seq, worker.line_budget, &mut self.lines);
    }

    /// What was lost stands before what comes next.
    fn tell(&mut self, untold: &Untold) {
        for (reason, tally) in untold.losses() {
            let record = own::records_lost(self.stamp(), reason, tally);
            self.write_own(record);
        }
        if untold.refused.count > 0 {
            let record = own::requests_refused(self.stamp(), &untold.refused);
            self.write_own(record);
        }
    }

    fn write_own(&mut self, record: Record) {
        self.push_line(record);
        self.worker.outlet.append(self.lines.as_bytes(), 0, 0);
        self.lines.clear();
    }

    fn stamp(&self) -> Stamp {
        let now = self.worker.engine.clock.now();
        Stamp { at: Micros::from_system(now), id: self.worker.engine.ids.audit_id(now) }
    }

    fn serve_flushes(&mut self) {
        let now = Instant::now();
        let outlet = &self.worker.outlet;
        let rendered = self.rendered;
        let mut waiting = Vec::new();
        for mut flush in self.flushes.drain(..) {
            if flush.mark.is_none() && rendered >= flush.pushed {
                flush.mark = Some(outlet.mark());
            }
            if flush.mark.is_some_and(|mark| outlet.is_past(mark)) {
                flush.promise.give(true);
            } else if now >= flush.deadline {
                flush.promise.give(false);
            } else {
                waiting.push(flush);
            }
        }
        self.flushes = waiting;
    }

    /// Writes what is there, then the last record, and ends the sink; all of it before the deadline.
    fn finish(mut self, stop: Stop) {
        let engine = self.worker.engine.clone();
        let deadline = after(stop.began, stop.limit.max(LEAST));
        engine.queue.close();
        loop {
            engine.queue.take(&mut self.batch, Some(PAUSE));
            self.work();
            if self.batch.is_empty() && !engine.queue.has_line() || Instant::now() >= deadline {
                break;
            }
        }
        let mark = self.worker.outlet.mark();
        while !self.worker.outlet.is_past(mark) && Instant::now() < deadline {
            thread::park_timeout(PAUSE);
        }
        self.render();
        let mut report = ShutdownReport {
            // The record of the end is counted before it is written.
            written: self.worker.outlet.written() + 1,
            lost: engine.queue.lost() + self.batch.len() as u64,
            refused: engine.queue.refused(),
            open: engine.open() as u64,
            flushed: false,
        };
        let last = own::stopped(self.stamp(), &report);
        self.write_own(last);
        self.worker.outlet.end();
        while !self.worker.outlet.has_ended() && Instant::now() < deadline {
            thread::park_timeout(PAUSE);
        }
        report.flushed = self.worker.outlet.has_ended() && self.batch.is_empty();
        report.written = self.worker.outlet.written();
        report.lost = engine.queue.lost() + self.batch.len() as u64;
        self.worker.control.end();
        for flush in self.flushes.drain(..).chain(self.worker.control.take_flushes()) {
            flush.promise.give(report.flushed);
        }
        stop.promise.give(report);
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

/// A panic in our own code or a user's rule costs what it worked on, and the worker goes on.
fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
