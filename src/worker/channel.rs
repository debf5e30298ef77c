//! One sink as the worker serves it: its filter, its numbers, what it lost, and when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use super::own::{Maker, Own, Stamp};
use crate::clock::Micros;
use crate::diagnostics::{caught, contained, report};
use crate::filter::Filter;
use crate::format::{self, Format};
use crate::queue::{LossReason, Owed, Reach, Tally, Untold};
use crate::record::wire::Process;
use crate::record::{FieldGroups, Finished, Record};
use crate::sink::{Need, Outlet, Progress, SinkState};
use crate::sync::Instant;

/// How long a sink that was given up is left alone.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The worker's side of one sink.
pub(crate) struct Channel {
    outlet: Outlet,
    name: Arc<str>,
    need: Need,
    filter: Option<Filter>,
    format: Box<dyn Format>,
    /// Its own limit of a line, in bytes.
    max_line_bytes: Option<usize>,
    omit: FieldGroups,
    next_seq: u64,
    /// The lines of this round.
    lines: Vec<u8>,
    records: u64,
    /// What becomes of the records of this round.
    fate: Fate,
    /// Records of this round that it does not get.
    skipped: u64,
    /// What is to be reported in this sink.
    owed: Owed,
    /// What its trial reports, until it is known whether the report was taken.
    on_trial: Option<Owed>,
    /// When it was given up, or tried in vain.
    given_up: Option<Moment>,
    /// Records that it lost since it was given up, which the other sinks have yet to report.
    unheard: Tally,
    /// Those that the queue has yet to count.
    uncounted: u64,
    reported_lost: u64,
    told_panic: bool,
}

/// Which records it gets, and what its lines look like.
pub(crate) struct Shape {
    pub(crate) filter: Option<Filter>,
    pub(crate) format: Box<dyn Format>,
    pub(crate) max_line_bytes: Option<usize>,
    pub(crate) omit: FieldGroups,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// A best-effort sink has no capacity.
    Missed,
    /// The sink was given up.
    Lost,
}

/// A moment of both clocks: the application's may stand still or go back, and tests move no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) given: Duration,
    pub(super) real: Instant,
}

impl Moment {
    /// How much time has passed by the clock that is ahead.
    fn until(self, now: Self) -> Duration {
        now.given.saturating_sub(self.given).max(self.real.elapsed())
    }
}

impl Channel {
    pub(crate) fn new(outlet: Outlet, need: Need, shape: Shape) -> Self {
        let Shape { filter, format, max_line_bytes, omit } = shape;
        Self {
            name: outlet.name().into(),
            outlet,
            need,
            filter,
            format,
            max_line_bytes,
            omit,
            next_seq: 1,
            lines: Vec::new(),
            records: 0,
            fate: Fate::Written,
            skipped: 0,
            owed: Owed::default(),
            on_trial: None,
            given_up: None,
            unheard: Tally::default(),
            uncounted: 0,
            reported_lost: 0,
            told_panic: false,
        }
    }

    pub(super) fn begin_round(&mut self) {
        self.fate = if self.given_up.is_some() {
            Fate::Lost
        // What waits for a required sink is bounded by admission, so it always takes more.
        } else if self.need == Need::BestEffort && !self.outlet.has_room() {
            Fate::Missed
        } else {
            Fate::Written
        };
    }

    /// False if its line could not be made.
    pub(super) fn give(&mut self, record: &Finished, process: &Process, budget: usize) -> bool {
        if !self.wants(&record.view(process)) {
            return true;
        }
        let reason = match self.fate {
            Fate::Written => {
                let made = self.push_line(record, process, budget);
                self.records += u64::from(made);
                return made;
            }
            Fate::Missed => LossReason::SinkFull,
            Fate::Lost => {
                self.unheard.add(record.fields.timestamp, Some(record.fields.audit_id));
                LossReason::SinkFailed
            }
        };
        self.owed.loss(reason, Some(&self.name)).add(record.fields.timestamp, Some(record.fields.audit_id));
        self.skipped += 1;
        true
    }

    pub(super) fn end_round(&mut self, upto: u64) {
        let skipped = std::mem::take(&mut self.skipped);
        let lost = if self.fate == Fate::Lost { skipped } else { 0 };
        self.uncounted += lost;
        self.reported_lost += lost;
        self.outlet.append(&mut self.lines, std::mem::take(&mut self.records), lost, upto);
        if skipped > lost {
            self.outlet.note_missed(skipped);
        }
    }

    /// Looks at what became of the sink since the last time: whether it was given up or works again, and what it lost.
    pub(super) fn watch(&mut self, now: Moment, at: Micros) {
        self.watch_as(self.progress(), now, at);
    }

    /// As [`Channel::watch`], with a look that was taken before.
    pub(super) fn watch_as(&mut self, look: Progress, now: Moment, at: Micros) {
        if let Some(owed) = self.on_trial.take_if(|_| !look.trying) {
            self.given_up = Some(now);
            if !look.trial_taken {
                self.owed.merge(&owed);
            }
        }
        if self.on_trial.is_none() {
            let is_given_up = look.state == SinkState::GivenUp;
            if !is_given_up && self.given_up.is_some() && self.outlet.use_again() {
                self.given_up = None;
                self.next_seq = look.written + look.torn + 1;
                // It reports by itself what it lost.
                self.unheard = Tally::default();
            } else if is_given_up && self.given_up.is_none() {
                self.given_up = Some(now);
            }
        }
        let lost = look.lost.saturating_sub(self.reported_lost);
        if lost > 0 {
            self.reported_lost = look.lost;
            self.uncounted += lost;
            self.unheard.add_many(lost, at);
            self.owed.loss(LossReason::SinkFailed, Some(&self.name)).add_many(lost, at);
        }
    }

    /// When it is to be tried again, by the system's clock; none if it works, or is being tried, or never will.
    pub(super) fn until_trial(&self) -> Option<Duration> {
        let given_up = self.given_up.filter(|_| self.on_trial.is_none() && !self.progress().is_final)?;
        Some(TRY_AGAIN.saturating_sub(given_up.real.elapsed()))
    }

    /// Whether it was given up long enough ago to be tried again, or this is the last time.
    pub(super) fn is_to_be_tried(&self, now: Moment, last: bool) -> bool {
        let given_up = self.given_up.filter(|_| self.on_trial.is_none() && !self.progress().is_final);
        given_up.is_some_and(|given_up| last || given_up.until(now) >= TRY_AGAIN)
    }

    /// Has it tried again: with what it has to report, and before that `started`, if it has taken nothing yet.
    pub(super) fn try_again(
        &mut self,
        started: &Finished,
        stamp: impl FnMut() -> Stamp,
        maker: &mut Maker,
        line: Line<'_>,
    ) {
        // Numbers go on from what it has taken: lines that it never took leave no gap.
        let look = self.progress();
        self.next_seq = look.written + look.torn + 1;
        if self.next_seq == 1 {
            self.push_line(started, line.process, line.budget);
        }
        let owed = std::mem::take(&mut self.owed);
        self.push_owed(&owed, stamp, maker, line);
        self.outlet.try_again(std::mem::take(&mut self.lines));
        self.on_trial = Some(owed);
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.on_trial.is_some()
    }

    /// What all sinks lost is to be reported in each of them.
    pub(super) fn owe(&mut self, untold: &Untold) {
        self.owed.add(untold);
    }

    /// Another sink was given up and lost records.
    pub(super) fn owe_for(&mut self, other: &Arc<str>, tally: &Tally) {
        self.owed.loss(LossReason::SinkFailed, Some(other)).merge(tally);
    }

    /// What the others have yet to report of it.
    pub(super) fn take_unheard(&mut self) -> Option<(Arc<str>, Tally)> {
        (self.unheard.count > 0).then(|| (self.name.clone(), std::mem::take(&mut self.unheard)))
    }

    /// Records that it lost, and that the queue has not counted.
    pub(super) fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// Whether there is something to report and a report would be the next thing written, or nearly so. While none can be
    /// written none more are made: what they would report is counted on.
    pub(super) fn can_tell(&self) -> bool {
        let has_room = || self.need == Need::Required || self.outlet.has_room();
        !self.owed.is_empty() && self.given_up.is_none() && self.progress().own_waiting == 0 && has_room()
    }

    /// Reports what was lost and refused.
    pub(super) fn tell(&mut self, stamp: impl FnMut() -> Stamp, maker: &mut Maker, line: Line<'_>) {
        if self.given_up.is_none() && !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed);
            self.push_owed(&owed, stamp, maker, line);
            self.outlet.append_own(&self.lines);
            self.lines.clear();
        }
    }

    fn push_owed(&mut self, owed: &Owed, mut stamp: impl FnMut() -> Stamp, maker: &mut Maker, line: Line<'_>) {
        for loss in &owed.losses {
            let lost = Own::RecordsLost { reason: loss.reason, tally: &loss.tally, sink: loss.sink.as_deref() };
            self.push_line(&maker.make(stamp(), lost), line.process, line.budget);
        }
        if owed.refused.count > 0 {
            let refused = maker.make(stamp(), Own::RequestsRefused(&owed.refused));
            self.push_line(&refused, line.process, line.budget);
        }
    }

    /// No filter removes records of this library.
    pub(super) fn give_own(&mut self, record: &Finished, line: Line<'_>) {
        if self.given_up.is_none() && self.push_line(record, line.process, line.budget) {
            self.outlet.append_own(&self.lines);
        }
        self.lines.clear();
    }

    pub(super) fn progress(&self) -> Progress {
        self.outlet.progress()
    }

    /// How many records it will have taken with one more of this library, which is counted before it is written: those
    /// that are on their way come before it.
    pub(super) fn written_at_the_end(&self) -> u64 {
        let Progress { written, own_waiting, own_writing, state, .. } = self.progress();
        if state == SinkState::GivenUp { written } else { written + own_waiting + own_writing + 1 }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.given_up.is_none() && self.progress().state != SinkState::GivenUp
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

    pub(super) fn give_up_torn(&self) {
        self.outlet.give_up_torn();
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

    fn wants(&mut self, record: &Record<'_>) -> bool {
        // Nothing removes records of this library, such as that of a change of scopes.
        if record.is_internal() {
            return true;
        }
        let Self { filter, format, .. } = self;
        let judged = caught(|| filter.as_mut().is_none_or(|filter| filter.passes(record)) && format.accepts(record));
        judged.unwrap_or_else(|| {
            self.note_panic("a filter or format panics; the record that it cannot judge is written");
            true
        })
    }

    fn push_line(&mut self, record: &Finished, process: &Process, budget: usize) -> bool {
        let Self { lines, format, .. } = self;
        let budget = self.max_line_bytes.unwrap_or(budget);
        let begin = lines.len();
        let record = record.view(process).numbered(self.next_seq).without(self.omit);
        let mut written = caught(|| format::write_line(&mut **format, record, budget, lines)).is_some();
        if !written {
            self.lines.truncate(begin);
            self.note_panic("a format panics; the record that it cannot write is written as JSON");
            let lines = &mut self.lines;
            written =
                contained("a format", || format::write_line(&mut format::json(), record, budget, lines)).is_some();
        }
        if written {
            self.next_seq += 1;
        } else {
            // What it had written must not be glued to the next line.
            self.lines.truncate(begin);
        }
        written
    }

    /// Counts a panic of the application's code, and reports the first.
    fn note_panic(&mut self, what: &'static str) {
        self.outlet.note_panic();
        if !std::mem::replace(&mut self.told_panic, true) {
            report(|| tracing::error!(target: "tower_audit", sink = self.outlet.name(), what));
        }
    }
}

/// What the line of a record is made with.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) process: &'a Process,
    pub(super) budget: usize,
}
