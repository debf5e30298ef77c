//! Rounds: a bounded number of drafts becomes records, and their lines are handed to the sinks.

use super::{Channel, Running, Worker};
use crate::compose::{self, Extent};
use crate::diagnostics::contained;
use crate::queue::LossReason;

/// Records that are rendered before their lines are handed to the sinks, and before waiting requests are served.
const ROUND: usize = 32;

/// A round of records that are not yet written everywhere.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) upto: u64,
    pub(super) records: usize,
    pub(super) reserved: usize,
}

impl Running {
    pub(super) fn render_round(&mut self) {
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
            engine.queue.spring(super::TRAP_INSIDE);
            if !given {
                engine.queue.note_lost(LossReason::Panicked, draft.started, 1);
            }
            self.done.push(draft);
        }
        engine.recycle(&mut self.done);
        self.close_round();
    }

    /// Hands the lines of the round to the sinks.
    pub(super) fn close_round(&mut self) {
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
}
