//! What was lost and what was refused, counted until it is reported.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Micros;

/// Why a finished record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossReason {
    /// The queue was full and the event's class does not wait.
    QueueFull,
    /// It came after shutdown.
    Shutdown,
    /// A sink was given up before it was written there.
    SinkFailed,
    /// A best-effort sink could not take it in time.
    SinkFull,
    /// Code of this library panicked while making it.
    Panicked,
}

impl LossReason {
    pub(crate) const ALL: [Self; 5] =
        [Self::QueueFull, Self::Shutdown, Self::SinkFailed, Self::SinkFull, Self::Panicked];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
            Self::SinkFailed => "sink_failed",
            Self::SinkFull => "sink_full",
            Self::Panicked => "panicked",
        }
    }
}

/// How many ids of lost exchanges are kept, so that a person can look for them elsewhere.
const MAX_SAMPLES: usize = 8;

/// A number of records or requests, when the first and the last were, and some of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) first: Micros,
    pub(crate) last: Micros,
    pub(crate) samples: Vec<Uuid>,
}

impl Tally {
    pub(crate) fn add(&mut self, at: Micros, id: Option<Uuid>) {
        self.add_many(1, at);
        self.keep(id);
    }

    /// Adds so many of one moment, of which no ids are known.
    pub(crate) fn add_many(&mut self, count: u64, at: Micros) {
        self.add_between(count, at, at);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.add_between(other.count, other.first, other.last);
        other.samples.iter().for_each(|id| self.keep(Some(*id)));
    }

    fn add_between(&mut self, count: u64, first: Micros, last: Micros) {
        if count == 0 {
            return;
        }
        (self.first, self.last) =
            if self.count == 0 { (first, last) } else { (self.first.min(first), self.last.max(last)) };
        self.count += count;
    }

    fn keep(&mut self, id: Option<Uuid>) {
        if let Some(id) = id
            && self.samples.len() < MAX_SAMPLES
            && !self.samples.contains(&id)
        {
            self.samples.push(id);
        }
    }
}

/// What one sink has yet to report: at most one entry for each reason and sink.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    pub(crate) losses: Vec<Loss>,
    pub(crate) refused: Tally,
}

/// Records that were lost for one reason.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) reason: LossReason,
    /// The sink that they are missing in; none: they are missing in all.
    pub(crate) sink: Option<Arc<str>>,
    pub(crate) tally: Tally,
}

impl Owed {
    pub(crate) fn loss(&mut self, reason: LossReason, sink: Option<&Arc<str>>) -> &mut Tally {
        let known = self.losses.iter().position(|loss| loss.reason == reason && loss.sink.as_ref() == sink);
        let at = known.unwrap_or_else(|| {
            self.losses.push(Loss { reason, sink: sink.cloned(), tally: Tally::default() });
            self.losses.len() - 1
        });
        &mut self.losses[at].tally
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.refused.count == 0 && self.losses.is_empty()
    }

    pub(crate) fn add(&mut self, untold: &Untold) {
        untold.losses().for_each(|(reason, tally)| self.loss(reason, None).merge(tally));
        self.refused.merge(&untold.refused);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.losses.iter().for_each(|loss| self.loss(loss.reason, loss.sink.as_ref()).merge(&loss.tally));
        self.refused.merge(&other.refused);
    }
}

/// What no sink has been given yet to report.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    lost: [Tally; LossReason::ALL.len()],
    pub(crate) refused: Tally,
}

impl Untold {
    pub(crate) fn lost(&mut self, reason: LossReason) -> &mut Tally {
        &mut self.lost[reason as usize]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.refused.count == 0 && self.lost.iter().all(|tally| tally.count == 0)
    }

    /// The losses, by reason.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (LossReason, &Tally)> {
        LossReason::ALL.into_iter().zip(&self.lost).filter(|(_, tally)| tally.count > 0)
    }
}
