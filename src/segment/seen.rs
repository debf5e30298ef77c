//! Which records were met already, and which numbers are missing: by `instance` and `seq`.
//!
//! A run numbers its lines in one file from 1 on, so one number and the gaps before it say everything, whatever the file's
//! size. After trouble a file sink repeats lines in the next segment; they bear the same numbers.

use std::collections::VecDeque;

/// Whether a record is new, repeated, or follows a gap; see [`Seen::take`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqCheck {
    /// The next number of the run, or the first number of a run.
    Next,
    /// The number occurred before: leave this record out.
    Repeated,
    /// The number is higher than the next one: those between are missing so far.
    AfterGap,
}

/// A range of missing numbers of one run.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id of the run.
    pub instance: String,
    /// The first missing number.
    pub first: u64,
    /// The last missing number.
    pub last: u64,
}

/// Finds repeated and missing numbers (`seq`). It remembers the last 64 runs, and at most 256 gaps of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The run that was met last comes last.
    runs: VecDeque<Run>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) instance: String,
    /// The highest number that was met.
    pub(crate) upto: u64,
    /// Missing numbers below it, the lowest first.
    pub(crate) missing: VecDeque<(u64, u64)>,
}

const MAX_RUNS: usize = 64;
const MAX_GAPS: usize = 256;

impl Seen {
    /// Takes the next record in the order of the file.
    pub fn take(&mut self, instance: &str, seq: u64) -> SeqCheck {
        if self.runs.back().is_none_or(|run| run.instance != instance) {
            self.bring_to_the_end(instance);
        }
        let Some(run) = self.runs.back_mut() else { return SeqCheck::Next };
        run.take(seq)
    }

    /// Begins in the middle of a run: numbers before this record are not missed.
    pub fn begin_at(&mut self, instance: &str, seq: u64) {
        self.bring_to_the_end(instance);
        if let Some(run) = self.runs.back_mut().filter(|run| run.upto == 0) {
            run.upto = seq.saturating_sub(1);
        }
    }

    /// The numbers that are missing in the runs that are remembered.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.runs.iter().flat_map(|run| {
            run.missing.iter().map(|(first, last)| Gap { instance: run.instance.clone(), first: *first, last: *last })
        })
    }

    fn bring_to_the_end(&mut self, instance: &str) {
        let known = self.runs.iter().position(|run| run.instance == instance);
        let run = known.and_then(|at| self.runs.remove(at));
        self.runs.push_back(run.unwrap_or_else(|| Run { instance: instance.to_owned(), ..Run::default() }));
        if self.runs.len() > MAX_RUNS {
            self.runs.pop_front();
        }
    }

    #[cfg(feature = "export")]
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter()
    }

    #[cfg(feature = "export")]
    pub(crate) fn from_runs(runs: impl IntoIterator<Item = Run>) -> Self {
        Self { runs: runs.into_iter().take(MAX_RUNS).collect() }
    }
}

impl Run {
    fn take(&mut self, seq: u64) -> SeqCheck {
        if seq <= self.upto {
            return if self.fill(seq) { SeqCheck::Next } else { SeqCheck::Repeated };
        }
        let expected = self.upto + 1;
        self.upto = seq;
        if seq == expected {
            return SeqCheck::Next;
        }
        self.missing.push_back((expected, seq - 1));
        if self.missing.len() > MAX_GAPS {
            self.missing.pop_front();
        }
        SeqCheck::AfterGap
    }

    /// Whether it was missing.
    fn fill(&mut self, seq: u64) -> bool {
        let Some(at) = self.missing.iter().position(|(first, last)| (*first..=*last).contains(&seq)) else {
            return false;
        };
        let Some((first, last)) = self.missing.remove(at) else { return false };
        if seq < last {
            self.missing.insert(at, (seq + 1, last));
        }
        if first < seq {
            self.missing.insert(at, (first, seq - 1));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_number_is_found_and_a_missing_one_too() {
        let mut seen = Seen::default();
        let mut take = |instance: &str, seq| seen.take(instance, seq);
        assert_eq!(take("a", 1), SeqCheck::Next);
        assert_eq!(take("a", 2), SeqCheck::Next);
        assert_eq!(take("a", 2), SeqCheck::Repeated);
        assert_eq!(take("a", 6), SeqCheck::AfterGap);
        assert_eq!(take("b", 1), SeqCheck::Next);
        assert_eq!(take("a", 4), SeqCheck::Next, "it was missing, and is met now");
        assert_eq!(take("a", 4), SeqCheck::Repeated);
        let gap = |first, last| Gap { instance: "a".into(), first, last };
        assert_eq!(seen.gaps().collect::<Vec<_>>(), [gap(3, 3), gap(5, 5)]);
    }

    #[test]
    fn a_run_whose_beginning_is_missing_has_a_gap_there() {
        let mut seen = Seen::default();
        assert_eq!(seen.take("a", 3), SeqCheck::AfterGap);
        assert_eq!(seen.gaps().collect::<Vec<_>>(), [Gap { instance: "a".into(), first: 1, last: 2 }]);
    }

    #[test]
    fn who_begins_in_the_middle_misses_nothing_before() {
        let mut seen = Seen::default();
        seen.begin_at("a", 3);
        assert_eq!((seen.take("a", 3), seen.take("a", 2)), (SeqCheck::Next, SeqCheck::Repeated));
        assert_eq!(seen.gaps().count(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for run in 0..1_000 {
            for gap in 1..1_000 {
                seen.take(&format!("run-{run}"), gap * 2);
            }
        }
        assert_eq!(seen.runs.len(), MAX_RUNS);
        assert!(seen.runs.iter().all(|run| run.missing.len() == MAX_GAPS));
    }

    proptest! {
        #[test]
        fn each_number_is_taken_once_whatever_the_order(numbers in prop::collection::vec(1..60_u64, 0..300)) {
            let (mut seen, mut met) = (Seen::default(), HashSet::new());
            for number in &numbers {
                prop_assert_eq!(seen.take("a", *number) == SeqCheck::Repeated, !met.insert(*number));
            }
            let missing: HashSet<u64> = seen.gaps().flat_map(|gap| gap.first..=gap.last).collect();
            let highest = numbers.iter().max().copied().unwrap_or_default();
            prop_assert_eq!(missing, (1..=highest).filter(|number| !met.contains(number)).collect());
        }
    }
}
