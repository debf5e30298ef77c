//! How long the worker rests between two batches.
//!
//! It polls while there is traffic, so that no request pays for waking it: often while batches are full, seldom while they
//! are small. While there is little it sleeps, and each record wakes it: a thread that a timer wakes takes five times as much.

use std::time::Duration;

use crate::queue::{FULL, Rest};
use crate::sync::Instant;

/// The pause between two batches while they are full, and while anybody waits.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// The pause while batches are small. A record waits no longer than this for the worker.
const LONGEST: Duration = Duration::from_millis(8);
/// Until this many records come within the longest pause, it is cheaper that each of them wakes the worker: on an idle core a
/// timed wake takes 20 to 30 µs of CPU time, a notified one 4. Several records share one pause, and one write of the sink.
const FEW: usize = 2;
/// How long what the sinks have written may count as unwritten while nothing else wakes the worker.
const TIDY: Duration = Duration::from_millis(100);
/// Fewer records than this in a batch, and the next pause is twice as long.
const SMALL: usize = 16;

/// The pause that suits what has come of late.
pub(super) struct Pace {
    pause: Duration,
    /// The last [`LONGEST`], or less.
    since: Instant,
    records: usize,
    /// Taken the last time.
    last: usize,
    /// Pauses are worth it: [`FEW`] records came within the longest one, and each pause since then brought some.
    is_steady: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { pause: SHORTEST, since: Instant::now(), records: 0, last: 0, is_steady: false }
    }

    /// Takes a batch into account. A full one is followed by the shortest pause, a small one by a longer one than before: each
    /// costs the same, whatever it brings.
    pub(super) fn note(&mut self, taken: usize) {
        if self.since.elapsed() >= LONGEST {
            (self.since, self.records) = (Instant::now(), 0);
        }
        self.records += taken;
        self.last = taken;
        self.is_steady = self.records >= FEW || (self.is_steady && taken > 0);
        if taken >= FULL {
            self.pause = SHORTEST;
        } else if taken < SMALL {
            self.pause = (self.pause * 2).min(LONGEST);
        }
    }

    /// The rest while nobody waits: a pause while records keep coming, else sleep until one comes or `trial` is over.
    pub(super) fn rest(&self, trial: Option<Duration>, is_unsettled: bool) -> Rest {
        if self.is_steady {
            return Rest::Pause(self.pause);
        }
        // What was rendered just now is written soon, and settled with the next record, or after a while. If it is not written
        // by then, the sink hangs: its next word wakes the worker.
        let lazily = self.last > 0 && is_unsettled;
        Rest::Sleep { most: trial.into_iter().chain(lazily.then_some(TIDY)).min(), lazily }
    }
}
