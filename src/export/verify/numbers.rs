//! The numbers of each run over all manifests: which are missing, and whether that was reported.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Manifest, Verification};
use crate::export::manifest::{leaves_gaps, use_up};

#[derive(Default)]
pub(super) struct Numbers {
    runs: BTreeMap<String, Vec<(u64, u64)>>,
    lost: BTreeMap<(String, String), u64>,
    /// Runs in whose middle a chain began: what was before it was never its to export.
    begun_in_the_middle: BTreeSet<String>,
    cut: Vec<String>,
    unreadable: Vec<Lines>,
    /// By chain, the run that was met last and its highest number. Manifests come in the order of their segments.
    last_runs: BTreeMap<String, (String, u64)>,
}

/// Lines of a segment that no record could be read from.
struct Lines {
    segment: String,
    torn: u64,
    skipped: u64,
    /// For each run that a cut line can be of, the number that it had then; `None` if that is not known.
    candidates: Option<BTreeMap<String, u64>>,
}

impl Numbers {
    pub(super) fn add(&mut self, manifest: &Manifest) {
        for (at, (instance, first, last)) in manifest.ranges.iter().enumerate() {
            self.runs.entry(instance.clone()).or_default().push((*first, *last));
            if at == 0 && manifest.number == 1 && *first > 1 {
                self.begun_in_the_middle.insert(instance.clone());
            }
        }
        for (instance, reason, count) in &manifest.lost {
            let lost = self.lost.entry((instance.clone(), reason.clone())).or_default();
            *lost = lost.saturating_add(*count);
        }
        if manifest.are_ranges_cut {
            self.cut.push(manifest.name.clone());
        }
        self.note_unreadable(manifest);
        if let Some((instance, _, last)) = manifest.ranges.last() {
            self.last_runs.insert(manifest.exporter.clone(), (instance.clone(), *last));
        }
    }

    /// A line that was cut in the middle of a run leaves a gap, if it is not repeated. At the end of a run only its next number
    /// could show that it was repeated; and it can be of any run of the segment, or of the last one before.
    fn note_unreadable(&mut self, manifest: &Manifest) {
        let (torn, skipped) = (manifest.torn, manifest.skipped);
        if torn == 0 && skipped == 0 {
            return;
        }
        let before = self.last_runs.get(&manifest.exporter).cloned();
        let candidates = before.filter(|_| !manifest.are_ranges_cut).map(|(instance, last)| {
            let mut next = BTreeMap::from([(instance, last.saturating_add(1))]);
            for (instance, _, last) in &manifest.ranges {
                let number = next.entry(instance.clone()).or_default();
                *number = last.saturating_add(1).max(*number);
            }
            next
        });
        self.unreadable.push(Lines { segment: manifest.segment.clone(), torn, skipped, candidates });
    }

    /// Whether each line of the segment that was cut is exported elsewhere.
    fn are_torn_repeated(&self, lines: &Lines) -> bool {
        let is_there = |(instance, number): (&String, &u64)| {
            let ranges = self.runs.get(instance).into_iter().flatten();
            ranges.into_iter().any(|(first, last)| (first..=last).contains(&number))
        };
        lines.candidates.as_ref().is_some_and(|next| next.iter().all(is_there))
    }

    pub(super) fn judge(self, found: &mut Verification) {
        for lines in &self.unreadable {
            let torn = if self.are_torn_repeated(lines) { 0 } else { lines.torn };
            if torn > 0 || lines.skipped > 0 {
                let (segment, skipped) = (lines.segment.clone(), lines.skipped);
                found.find(Finding::LinesUnreadable { segment, torn, skipped });
            }
        }
        let reported = self.lost.iter().filter(|((_, reason), _)| leaves_gaps(reason));
        let mut told: Vec<(String, u64)> = reported.map(|((instance, _), count)| (instance.clone(), *count)).collect();
        for (instance, mut ranges) in self.runs {
            ranges.sort_unstable();
            let is_begun_later = self.begun_in_the_middle.contains(&instance);
            let mut upto =
                if is_begun_later { ranges.first().map_or(0, |(first, _)| first.saturating_sub(1)) } else { 0 };
            for (first, last) in ranges {
                if first > upto.saturating_add(1) {
                    let (from, to) = (upto + 1, first - 1);
                    let is_reported = use_up(&mut told, &instance, to - from + 1);
                    found.find(Finding::RecordsMissing {
                        instance: instance.clone(),
                        first: from,
                        last: to,
                        is_reported,
                    });
                }
                upto = upto.max(last);
            }
        }
        for ((instance, reason), count) in self.lost {
            found.find(Finding::RecordsLost { instance, reason, count });
        }
        for name in self.cut {
            let reason = "its segment had more gaps than a manifest lists".to_owned();
            found.find(Finding::Unreadable { name, reason });
        }
    }
}
