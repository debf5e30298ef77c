//! The end of a log: writes what is there, ends the sinks before the deadline, and reports what was written and what was not.

use std::time::Duration;

use super::channel::{Line, Moment};
use super::own::Own;
use super::{Channel, Running, SHORTEST, Worker, stamp};
use crate::diagnostics::{caught, report};
use crate::engine::Engine;
use crate::queue::{LossReason, Rest, ShutdownReport, Stop, StopReason, after};
use crate::sink::Progress;
use crate::sync::Instant;

/// Even a deadline of nothing leaves this long for what is finished already.
const LEAST: Duration = Duration::from_millis(50);

/// Open exchanges are waited for, but not so long that no time is left to write what is finished.
pub(super) fn is_due(stop: &Stop, engine: &Engine) -> bool {
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

impl Running {
    /// Writes what is there, then the last record, and ends the sinks; all of it before the deadline.
    pub(super) fn finish(&mut self) {
        let (began, limit) = self.stop.as_ref().map_or((Instant::now(), LEAST), |stop| (stop.began, stop.limit));
        let deadline = after(began, limit.max(LEAST));
        self.drain(limit, deadline);
        self.lose_batch();
        self.report_losses();
        let mut report = self.write_last();
        self.end_sinks(deadline);
        self.end_flushes();
        self.complete(&mut report);
        #[cfg(feature = "export")]
        if let Some(exporter) = &self.worker.exporter {
            // The last records are in the spool now.
            report.unexported = exporter.finish(limit.max(LEAST).saturating_sub(began.elapsed()));
        }
        self.publish(true);
        self.answer_all(report);
    }

    /// Has everything written that was handed over, and sinks tried once more that were given up.
    fn drain(&mut self, limit: Duration, deadline: Instant) {
        let engine = self.worker.engine.clone();
        engine.queue.close();
        self.is_last_try = true;
        // A trial that hangs must not cost the other sinks their last record.
        let tried_until = after(Instant::now(), (limit / 4).min(Duration::from_secs(1)));
        loop {
            engine.queue.take(&mut self.batch, Rest::Pause(SHORTEST), true);
            self.work_contained();
            let on_trial = self.worker.channels.iter().any(Channel::is_on_trial) && Instant::now() < tried_until;
            let settled = self.batch.is_empty() && self.ledger.is_empty() && !engine.queue.has_line() && !on_trial;
            if settled || Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Counts what no record was made of, because the worker panicked, as lost.
    fn lose_batch(&mut self) {
        let queue = &self.worker.engine.queue;
        for draft in self.batch.drain(..) {
            queue.note_lost(LossReason::Panicked, draft.started, 1);
            queue.settle(1, draft.reserved());
        }
    }

    /// Has each sink report what was lost: now or never, even where an earlier internal record still waits.
    fn report_losses(&mut self) {
        self.worker.channels.iter().filter(|channel| !channel.is_alive()).for_each(Channel::give_up_torn);
        self.watch_sinks();
        self.spread();
        self.tell();
        let Self { worker, ids, maker, .. } = &mut *self;
        let Worker { engine, channels, process, line_budget, .. } = worker;
        let line = Line { process, budget: *line_budget };
        channels.iter_mut().for_each(|channel| channel.tell(|| stamp(engine, ids), maker, line));
    }

    /// Writes `AuditStopped`, whose numbers are those that are expected when everything is written.
    fn write_last(&mut self) -> ShutdownReport {
        let engine = self.worker.engine.clone();
        let (lost, open) = engine.queue.lost_and_open();
        let report = ShutdownReport {
            written: self.worker.channels.first().map(Channel::written_at_the_end).unwrap_or_default(),
            lost,
            refused: engine.queue.refused(),
            open,
            flushed: false,
            unexported: 0,
        };
        let reason = self.stop.as_ref().map_or(StopReason::Shutdown, |stop| stop.reason);
        let last = self.maker.make(self.stamp(), Own::Stopped(&report, reason));
        self.worker.write_own(&last);
        report
    }

    /// Ends the sinks. Those who wait for durability are answered meanwhile, each within its own limit.
    fn end_sinks(&mut self, deadline: Instant) {
        self.worker.channels.iter().for_each(Channel::end);
        self.worker.counted.end_log_lines();
        loop {
            // Also of a sink that was given up: its thread may still count what is lost.
            let all_ended =
                self.worker.channels.iter().all(Channel::has_ended) && self.worker.counted.log_lines_ended();
            self.flushes.extend(self.worker.engine.control.take_flushes());
            self.serve_flushes();
            if all_ended || Instant::now() >= deadline {
                return;
            }
            self.worker.engine.queue.wait_for_move(SHORTEST);
        }
    }

    /// Answers whoever still waits for durability: the sinks get no further. A request that is handed over and asks only now is
    /// answered by what is kept here.
    fn end_flushes(&mut self) {
        let last = self.worker.engine.control.end_flushes(self.kept());
        self.flushes.extend(last);
        self.serve_flushes();
        self.flushes.clear();
    }

    /// Puts the final numbers into the report. All of them come from one look at each sink: one that is late goes on writing
    /// while they are added up.
    fn complete(&mut self, report: &mut ShutdownReport) {
        let engine = self.worker.engine.clone();
        let channels = &self.worker.channels;
        let ended_well = channels.iter().filter(|channel| channel.is_required()).all(Channel::has_ended_well);
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
    }

    /// The worker's own code panicked, which no known code does: settles what waited for it, and answers those who wait.
    pub(super) fn abandon(&mut self) {
        report(|| {
            tracing::error!(target: "tower_audit", "the audit worker panicked: nothing is recorded from now on");
        });
        let engine = self.worker.engine.clone();
        engine.queue.note_panic();
        engine.queue.close();
        caught(|| self.close_round());
        engine.queue.take(&mut self.batch, Rest::Pause(Duration::ZERO), false);
        self.lose_batch();
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
}
