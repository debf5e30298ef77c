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
    }

    pub(super) fn judge(self, found: &mut Verification) {
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
                    let is_told = use_up(&mut told, &instance, to - from + 1);
                    found.find(Finding::RecordsMissing { instance: instance.clone(), first: from, last: to, is_told });
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
