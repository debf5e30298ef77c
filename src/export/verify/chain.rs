//! Manifests in the order of their chain.

use std::collections::BTreeMap;

use super::{Finding, Manifest, Verification};
use crate::export::manifest;

/// The chains of all exporters that put something there: replicas, and those before and after a lost state file.
#[derive(Default)]
pub(super) struct Chains {
    by_exporter: BTreeMap<String, Vec<Manifest>>,
}

impl Chains {
    pub(super) fn add(&mut self, manifest: Manifest) {
        self.by_exporter.entry(manifest.exporter.clone()).or_default().push(manifest);
    }

    /// Checks each chain, and hands out its manifests.
    pub(super) fn each_in_order(
        &mut self,
        found: &mut Verification,
        mut take: impl FnMut(&Manifest, &mut Verification),
    ) {
        for (exporter, chain) in &mut self.by_exporter {
            chain.sort_by_key(|manifest| manifest.number);
            let mut before: Option<&Manifest> = None;
            for manifest in chain.iter() {
                note_missing(exporter, before.map_or(0, |before| before.number), manifest.number, found);
                if let Some(reason) = wrong(manifest, before) {
                    found.find(Finding::ManifestAltered { name: manifest.name.clone(), reason });
                }
                take(manifest, found);
                before = Some(manifest);
            }
        }
    }

    /// Whether an object that no manifest names is of a segment after those of some chain: its manifest may still come.
    pub(super) fn may_follow(&self, object: &str) -> bool {
        let name = object.rsplit('/').next().unwrap_or(object);
        let is_after = |chain: &Vec<Manifest>| chain.last().is_none_or(|last| *name > *last.segment);
        // It begins as a segment's id does.
        let is_ours = name.len() > 40 && name.as_bytes()[8] == b'T' && name.as_bytes()[22..24] == *b"Z-";
        is_ours && (self.by_exporter.is_empty() || self.by_exporter.values().any(is_after))
    }
}

fn note_missing(exporter: &str, before: u64, number: u64, found: &mut Verification) {
    /// More are one damage, not many.
    const MAX_NAMED: u64 = 1_000;
    let missing = before.saturating_add(1)..number;
    for number in missing.take(usize::try_from(MAX_NAMED).unwrap_or(usize::MAX)) {
        found.find(Finding::ManifestMissing { exporter: exporter.to_owned(), number });
    }
}

/// What is wrong with a manifest behind this one.
fn wrong(manifest: &Manifest, before: Option<&Manifest>) -> Option<String> {
    let expected = manifest::name(&manifest.segment);
    if manifest.name != expected {
        return Some(format!("it is the one of segment {}", manifest.segment));
    }
    let Some(before) = before else {
        let begins = manifest.number == 1;
        return (begins && manifest.previous.is_some()).then(|| "it is the first, and names one before it".to_owned());
    };
    if manifest.number == before.number {
        return Some(format!("number {} is there twice", manifest.number));
    }
    if before.number.checked_add(1) == Some(manifest.number) && manifest.previous.as_ref() != Some(&before.sha256) {
        return Some(format!("it does not continue {}: that one was altered, or this one", before.name));
    }
    if manifest.segment <= before.segment {
        return Some(format!("its segment is not after that of {}", before.name));
    }
    None
}
