//! Looks after the sinks: what became of them, what each has to report, and internal records for all of them.

use std::time::Duration;

use super::channel::{Line, Moment};
#[cfg(feature = "export")]
use super::own::Own;
use super::{Channel, Running, Worker, stamp};
use crate::clock::Micros;
use crate::record::Finished;
use crate::sync::Instant;

/// The time between two reports, in the other sinks, of what a sink that was given up loses.
const UNHEARD: Duration = Duration::from_secs(1);
/// Internal records that may wait for a sink.
const MAX_OWN: u64 = 16;

impl Worker {
    /// Gives an internal record to every sink that is not stuck on one of them already.
    pub(super) fn write_own(&mut self, record: &Finished) {
        let Self { channels, process, line_budget, .. } = self;
        let line = Line { process, budget: *line_budget };
        for channel in channels.iter_mut().filter(|channel| channel.progress().own_waiting < MAX_OWN) {
            channel.give_own(record, line);
        }
    }
}

impl Running {
    /// Looks at what became of the sinks, has those tried again that were given up, and counts what they lost.
    pub(super) fn watch_sinks(&mut self) {
        let now = Moment { given: self.worker.engine.monotonic(), real: Instant::now() };
        let at = Micros::from_system(self.worker.engine.now());
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

    /// Each sink reports what was lost before it writes what comes next.
    pub(super) fn tell(&mut self) {
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
    pub(super) fn record_exports(&mut self) {
        for announcement in self.worker.engine.control.take_announcements() {
            let record = self.maker.make(self.stamp(), Own::Exported(&announcement));
            self.worker.write_own(&record);
        }
    }

    /// Gives the other sinks to report what was lost in one that was given up.
    pub(super) fn spread(&mut self) {
        let channels = &mut self.worker.channels;
        for at in 0..channels.len() {
            let Some((name, tally)) = channels[at].take_unheard() else { continue };
            self.heard = Some(Instant::now());
            let others = channels.iter_mut().enumerate().filter(|(other, _)| *other != at);
            others.for_each(|(_, other)| other.owe_for(&name, &tally));
        }
    }

    pub(super) fn count_lost(&mut self) {
        let lost = self.worker.channels.iter_mut().map(Channel::take_uncounted).sum();
        self.worker.engine.queue.count_sink_failed(lost);
    }
}
