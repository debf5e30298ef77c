//! One sink as the worker serves it: its filter, its numbers, and what it missed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::control::Reach;
use super::loss::{LossReason, Tally};
use super::own::{Maker, Own, Stamp};
use crate::diagnostics::contained;
use crate::format;
use crate::record::Record;
use crate::record::wire::Process;
use crate::sink::{Filter, Formatter, Need, Outlet, Progress, SinkState};

/// The worker's side of one sink.
pub(crate) struct Channel {
    outlet: Outlet,
    need: Need,
    filter: Option<Filter>,
    format: Option<Formatter>,
    next_seq: u64,
    /// The lines of this round.
    lines: Vec<u8>,
    records: u64,
    /// It has no room and loses this round's records for itself.
    skipping: bool,
    skipped: u64,
    missed: Tally,
    reported_lost: u64,
    told_panic: bool,
}

impl Channel {
    pub(crate) fn new(outlet: Outlet, need: Need, filter: Option<Filter>, format: Option<Formatter>) -> Self {
        Self {
            outlet,
            need,
            filter,
            format,
            next_seq: 1,
            lines: Vec::new(),
            records: 0,
            skipping: false,
            skipped: 0,
            missed: Tally::default(),
            reported_lost: 0,
            told_panic: false,
        }
    }

    pub(super) fn begin_round(&mut self) {
        // What waits for a required sink is bounded on the way in, so it always takes more.
        self.skipping = self.need == Need::BestEffort && !self.outlet.has_room();
    }

    /// False if its line could not be made.
    pub(super) fn give(&mut self, record: &Record, process: &Process, budget: usize) -> bool {
        if !self.wants(record) {
            return true;
        }
        if self.skipping {
            self.missed.add(record.fields.timestamp, Some(record.fields.audit_id));
            self.skipped += 1;
            return true;
        }
        let made = self.push_line(record, process, budget);
        self.records += u64::from(made);
        made
    }

    pub(super) fn end_round(&mut self, upto: u64) {
        self.outlet.append(&mut self.lines, std::mem::take(&mut self.records), upto);
        if self.skipped > 0 {
            self.outlet.note_missed(std::mem::take(&mut self.skipped));
        }
    }

    /// Whether a record of our own would be the next thing written, or nearly so. While none can be written none more are
    /// made: what they tell is counted on.
    pub(super) fn can_tell(&self) -> bool {
        let progress = self.progress();
        progress.state != SinkState::Dead && progress.own_waiting == 0
    }

    /// No filter removes internal records.
    pub(super) fn give_own(&mut self, record: &Record, process: &Process, budget: usize) {
        if self.push_line(record, process, budget) {
            self.outlet.append_own(&self.lines);
        }
        self.lines.clear();
    }

    pub(super) fn has_missed(&self) -> bool {
        self.missed.count > 0 && self.outlet.has_room() && self.can_tell()
    }

    /// Reports what the sink lost for itself, once it has room again.
    pub(super) fn tell_missed(&mut self, stamp: Stamp, maker: &mut Maker<'_>, process: &Process, budget: usize) {
        if self.has_missed() {
            let missed = std::mem::take(&mut self.missed);
            let sink = Some(self.outlet.name());
            let own = Own::RecordsLost { reason: LossReason::SinkFull, tally: &missed, sink };
            self.give_own(maker.make(stamp, own), process, budget);
        }
    }

    /// Records that the sink gave up since this was asked last, as far as this look at it tells.
    pub(super) fn newly_lost(&mut self, look: Progress) -> u64 {
        look.lost - std::mem::replace(&mut self.reported_lost, look.lost)
    }

    pub(super) fn progress(&self) -> Progress {
        self.outlet.progress()
    }

    /// How many records it will have taken with one more of our own, which is counted before it is written: those of ours
    /// that are on their way stand before it.
    pub(super) fn written_at_the_end(&self) -> u64 {
        let Progress { written, own_waiting, own_writing, state, .. } = self.progress();
        if state == SinkState::Dead { written } else { written + own_waiting + own_writing + 1 }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.progress().state != SinkState::Dead
    }

    pub(super) fn is_required(&self) -> bool {
        self.need == Need::Required
    }

    pub(super) fn is_within(&self, reach: Reach) -> bool {
        self.need == Need::Required || (reach == Reach::All && self.is_alive())
    }

    pub(super) fn want(&self, upto: u64) {
        self.outlet.want(upto);
    }

    pub(super) fn end(&self) {
        self.outlet.end();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outlet.has_ended()
    }

    pub(super) fn has_ended_well(&self) -> bool {
        self.outlet.has_ended_well()
    }

    fn wants(&mut self, record: &Record) -> bool {
        let Some(filter) = &mut self.filter else { return true };
        let judged = catch_unwind(AssertUnwindSafe(|| filter(record)));
        judged.unwrap_or_else(|_| {
            self.note_panic("a filter panics; what it cannot judge is kept");
            true
        })
    }

    fn push_line(&mut self, record: &Record, process: &Process, budget: usize) -> bool {
        let begin = self.lines.len();
        let (seq, lines) = (self.next_seq, &mut self.lines);
        let written = contained("a format", || format::line(record, process, seq, budget, lines)).is_some();
        if written {
            self.next_seq += 1;
            self.reformat(record, begin);
        } else {
            // What it had written must not be glued to the next line.
            self.lines.truncate(begin);
        }
        written
    }

    /// Puts the application's format in the place of the JSON line; where it panics, the line stays.
    fn reformat(&mut self, record: &Record, begin: usize) {
        let Some(format) = &mut self.format else { return };
        let line = String::from_utf8_lossy(&self.lines[begin..]);
        let mut own = String::new();
        if catch_unwind(AssertUnwindSafe(|| format(record, line.trim_end(), &mut own))).is_err() {
            self.note_panic("a format panics; what it cannot write stands as JSON");
            return;
        }
        self.lines.truncate(begin);
        // A record is one line, whatever the format makes of it.
        self.lines.extend(own.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        self.lines.push(b'\n');
    }

    /// Counts a panic of the application's code, and tells the first.
    fn note_panic(&mut self, what: &'static str) {
        self.outlet.note_panic();
        if !std::mem::replace(&mut self.told_panic, true) {
            tracing::error!(target: "tower_audit", sink = self.outlet.name(), what);
        }
    }
}
