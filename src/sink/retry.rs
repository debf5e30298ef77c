//! How long and how often a failing sink is tried again.

use std::time::Duration;

use crate::clock::splitmix64;

/// Growing, jittered pauses, and a limit after which a sink is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    first: Duration,
    longest: Duration,
    /// For how long a sink may fail without interruption.
    limit: Duration,
    seed: u64,
}

impl Retry {
    pub(crate) fn new(limit: Duration, seed: u64) -> Self {
        Self { first: Duration::from_millis(20), longest: Duration::from_secs(5), limit, seed }
    }

    /// The pause after the attempt with this number, from 0: it doubles, up to 5 seconds, and is shortened at random by
    /// up to a half, so that many processes do not come back to a store at once.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let full = self.first.saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX)).min(self.longest);
        let jitter = splitmix64(self.seed.wrapping_add(u64::from(attempt))) % 512;
        full.saturating_mul(1024 - u32::try_from(jitter).unwrap_or_default()) / 1024
    }

    /// Whether to give up.
    pub(crate) fn is_over(&self, failing_for: Duration) -> bool {
        failing_for >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_jittered_and_bounded() {
        let retry = Retry::new(Duration::from_secs(60), 7);
        for attempt in 0..40 {
            let full = Duration::from_millis(20) * 2_u32.pow(attempt.min(8));
            let full = full.min(Duration::from_secs(5));
            let pause = retry.pause(attempt);
            assert!(pause <= full && pause >= full / 2, "{attempt}: {pause:?} of {full:?}");
        }
        assert_ne!(retry.pause(30), retry.pause(31));
        assert!(retry.pause(u32::MAX) <= Duration::from_secs(5));
    }

    #[test]
    fn the_limit_counts_from_the_first_failure() {
        let retry = Retry::new(Duration::from_secs(60), 7);
        assert!(!retry.is_over(Duration::from_secs(59)));
        assert!(retry.is_over(Duration::from_secs(60)));
    }
}
