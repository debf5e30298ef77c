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
pub(super) const LONGEST: Duration = Duration::from_millis(8);
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
    /// Pauses are worth it: [`FEW`] records came within the longest one, and the last pause brought some.
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
        self.is_steady = taken > 0 && (self.is_steady || self.records >= FEW);
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How often an idle worker wakes, and how long a record can wait for one that rests, are decided here alone: a sleep ends
    /// with the next record (`Queue::take`), a pause with its time.
    #[derive(Debug, PartialEq)]
    enum Rested {
        Paused(Duration),
        Slept,
    }

    fn rested(pace: &Pace) -> Rested {
        match pace.rest(None, false) {
            Rest::Pause(pause) => Rested::Paused(pause),
            Rest::Sleep { most, lazily } => {
                assert!(most.is_none() && !lazily, "everything is written, and nothing is to be tried");
                Rested::Slept
            }
        }
    }

    #[test]
    fn a_pause_that_brought_nothing_is_followed_by_sleep_and_no_other_poll() {
        let mut pace = Pace::new();
        for burst in [2, SMALL, FULL, 10 * FULL] {
            pace.note(burst);
            assert!(matches!(rested(&pace), Rested::Paused(_)), "{burst} records came at once");
            pace.note(0);
            assert_eq!(rested(&pace), Rested::Slept);
        }
    }

    #[test]
    fn a_single_record_after_a_while_is_followed_by_sleep() {
        let mut pace = Pace::new();
        pace.note(1);
        assert_eq!(rested(&pace), Rested::Slept);
    }

    #[test]
    fn while_records_are_unsettled_the_worker_looks_after_them_once_more() {
        let mut pace = Pace::new();
        pace.note(1);
        assert!(matches!(pace.rest(None, true), Rest::Sleep { most: Some(TIDY), lazily: true }));
        pace.note(0);
        assert!(matches!(pace.rest(None, true), Rest::Sleep { most: None, lazily: false }));
        let trial = Duration::from_millis(10);
        assert!(matches!(pace.rest(Some(trial), true), Rest::Sleep { most: Some(most), .. } if most == trial));
    }

    proptest! {
        /// Whatever came before: a record waits at most the longest pause for the worker to take it.
        #[test]
        fn no_pause_is_longer_than_the_longest(batches in prop::collection::vec(0..3 * FULL, 1..64)) {
            let mut pace = Pace::new();
            for taken in batches {
                pace.note(taken);
                if let Rested::Paused(pause) = rested(&pace) {
                    prop_assert!((SHORTEST..=LONGEST).contains(&pause) && taken > 0);
                }
            }
        }
    }
}
