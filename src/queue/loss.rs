//! What was lost and what was refused, counted until it has been told.

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
    /// A sink that nobody waits for could not take it in time.
    SinkFull,
    /// Our own code panicked while making it.
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
const MOST_SAMPLES: usize = 8;

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
        if self.count == 0 {
            self.first = at;
        }
        self.count += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        if let Some(id) = id
            && self.samples.len() < MOST_SAMPLES
            && !self.samples.contains(&id)
        {
            self.samples.push(id);
        }
    }
}

/// What has not been told yet.
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
