//! Answers those who wait for durability.

use super::Running;
use crate::queue::Reach;
use crate::sink::Progress;
use crate::sync::Instant;

impl Running {
    /// How far the slowest sink is.
    pub(super) fn least(&self, reach: Reach, how_far: impl Fn(&Progress) -> u64) -> u64 {
        let within = self.worker.channels.iter().filter(|channel| channel.is_within(reach));
        within.map(|channel| how_far(&channel.progress())).min().unwrap_or(self.rendered)
    }

    /// How far every required sink is durable, if none of them has lost anything.
    pub(super) fn kept(&self) -> u64 {
        let mut required = self.worker.channels.iter().filter(|channel| channel.is_required());
        let has_lost = required.any(|channel| !channel.is_alive() || channel.progress().lost_upto > 0);
        if has_lost { 0 } else { self.least(Reach::Required, |progress| progress.durable) }
    }

    pub(super) fn serve_flushes(&mut self) {
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
}
