//! Reading a destination, and judging whether it holds everything that was exported there.

#[cfg(feature = "s3")]
mod bucket;
mod chain;
mod content;
mod folder;
mod numbers;
mod source;

use std::fmt;

use self::chain::Chains;
use self::content::OpenExchanges;
use self::folder::Folder;
use self::numbers::Numbers;
use self::source::{Listing, Source, list, read_small};
use super::manifest::SCHEMA;
use super::object::{Facts, sha256};
use crate::config::{Location, location};
use crate::error::Error;

/// The result of a check of a destination; the worst of the [findings](Verification::findings) decides.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything is there, unaltered, and no record is missing.
    #[default]
    Complete,
    /// Records are missing, and the audit log reported each of them as lost.
    ReportedLoss,
    /// The check has no result: a manifest, an object or a line of a segment cannot be read, an object waits for its
    /// manifest, or there is no manifest.
    Unverifiable,
    /// An object or a manifest is missing, records are missing whose loss was not reported, or a segment could not be read
    /// to its end.
    Missing,
    /// An object or manifest differs from what was exported, or was not exported at all.
    Altered,
}

impl Verdict {
    /// The name: `complete`, `reported_loss`, `unverifiable`, `missing`, `altered`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ReportedLoss => "reported_loss",
            Self::Unverifiable => "unverifiable",
            Self::Missing => "missing",
            Self::Altered => "altered",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was found. Match with `..`: later versions may add variants, and fields to them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A manifest names an object that is not there.
    #[non_exhaustive]
    ObjectMissing {
        /// Its name below the destination.
        name: String,
    },
    /// An object has other bytes than its manifest says.
    #[non_exhaustive]
    ObjectAltered {
        /// Its name below the destination.
        name: String,
    },
    /// An object that no manifest names, although manifests of later segments are there.
    #[non_exhaustive]
    ObjectExtra {
        /// Its name below the destination.
        name: String,
    },
    /// An object of a segment whose manifest is not there yet: the export is in progress, or was interrupted.
    #[non_exhaustive]
    ObjectUnfinished {
        /// Its name below the destination.
        name: String,
    },
    /// A manifest of a chain is not there.
    #[non_exhaustive]
    ManifestMissing {
        /// The chain: the exporter's id.
        exporter: String,
        /// Its number in the chain.
        number: u64,
    },
    /// A manifest does not continue the one before it, has another manifest's name, or has a number twice.
    #[non_exhaustive]
    ManifestAltered {
        /// Its name below the destination.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// No manifest at all: nothing was exported there yet, everything was removed, or it is another folder.
    NoManifest,
    /// Lines of a segment that could not be read as records when it was exported, and whose records are in no other place.
    #[non_exhaustive]
    LinesUnreadable {
        /// The segment.
        segment: String,
        /// Lines that were cut off: a process ended while it wrote them.
        torn: u64,
        /// Lines that are no records.
        skipped: u64,
    },
    /// Something cannot be read.
    #[non_exhaustive]
    Unreadable {
        /// Its name below the destination.
        name: String,
        /// Why.
        reason: String,
    },
    /// The segment itself could not be read to its end when it was exported.
    #[non_exhaustive]
    SegmentDamaged {
        /// The segment.
        segment: String,
        /// Why.
        reason: String,
    },
    /// Numbers (`seq`) of a run that are in no manifest.
    #[non_exhaustive]
    RecordsMissing {
        /// The run: `instance` of its records.
        instance: String,
        /// The first missing `seq`.
        first: u64,
        /// The last missing `seq`.
        last: u64,
        /// Whether the audit log reported at least that number as lost in this run.
        is_reported: bool,
    },
    /// The audit log reported records as lost, by a record `AuditRecordsLost`.
    #[non_exhaustive]
    RecordsLost {
        /// The run that reported them.
        instance: String,
        /// Why, as the record says.
        reason: String,
        /// The number of lost records.
        count: u64,
    },
    /// An initiation without its completion: the process ended in between, or the request is still open. It does not
    /// decide the verdict. Found in the formats `json` and `json_timestamp`.
    #[non_exhaustive]
    NotCompleted {
        /// `auditId` of the request.
        audit_id: String,
    },
}

impl Finding {
    /// The verdict to which this finding leads.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::ObjectMissing { .. } | Self::ManifestMissing { .. } | Self::SegmentDamaged { .. } => Verdict::Missing,
            Self::RecordsMissing { is_reported: false, .. } => Verdict::Missing,
            Self::ObjectAltered { .. } | Self::ObjectExtra { .. } | Self::ManifestAltered { .. } => Verdict::Altered,
            Self::NoManifest
            | Self::ObjectUnfinished { .. }
            | Self::LinesUnreadable { .. }
            | Self::Unreadable { .. } => Verdict::Unverifiable,
            Self::RecordsMissing { is_reported: true, .. } | Self::RecordsLost { .. } => Verdict::ReportedLoss,
            Self::NotCompleted { .. } => Verdict::Complete,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectMissing { name } => write!(f, "object missing: {name}"),
            Self::ObjectAltered { name } => write!(f, "object altered: {name}"),
            Self::ObjectExtra { name } => write!(f, "object that no manifest names: {name}"),
            Self::ObjectUnfinished { name } => write!(f, "object whose manifest is not there yet: {name}"),
            Self::ManifestMissing { exporter, number } => {
                write!(f, "manifest missing: number {number} of exporter {exporter}")
            }
            Self::ManifestAltered { name, reason } => write!(f, "manifest altered: {name}: {reason}"),
            Self::NoManifest => f.write_str("no manifest: nothing was exported there yet, or it is another folder"),
            Self::LinesUnreadable { segment, torn, skipped } => {
                write!(f, "lines without a record: {torn} cut off and {skipped} others, in segment {segment}")
            }
            Self::Unreadable { name, reason } => write!(f, "cannot be read: {name}: {reason}"),
            Self::SegmentDamaged { segment, reason } => {
                write!(f, "segment was damaged before its export: {segment}: {reason}")
            }
            Self::RecordsMissing { instance, first, last, is_reported } => {
                let reported = if *is_reported { "reported as lost" } else { "never reported as lost" };
                write!(f, "records missing: seq {first} to {last} of instance {instance}, {reported}")
            }
            Self::RecordsLost { instance, reason, count } => {
                write!(f, "records reported as lost: {count} by instance {instance}, {reason}")
            }
            Self::NotCompleted { audit_id } => write!(f, "initiation without completion: {audit_id}"),
        }
    }
}

/// The result of [`verify`]. Its `Display` has a line for the verdict and one for each finding.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The verdict of the worst finding.
    pub verdict: Verdict,
    /// The findings, at most 10,000: missing and altered objects and records come before added ones.
    pub findings: Vec<Finding>,
    /// The number of manifests that were read.
    pub manifests: u64,
    /// The number of objects that match their manifests.
    pub objects: u64,
    /// The number of records in these objects, according to the manifests.
    pub records: u64,
    /// The size of these objects in bytes.
    pub bytes: u64,
}

impl Verification {
    fn find(&mut self, finding: Finding) {
        const MAX_FINDINGS: usize = 10_000;
        self.verdict = self.verdict.max(finding.verdict());
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, manifests, objects, records, bytes, .. } = self;
        write!(f, "{verdict}: {manifests} manifests, {objects} objects, {records} records, {bytes} bytes")?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Reads a destination, an absolute path or a URL such as `file:///mnt/archive`, and returns whether it is complete. It
/// changes nothing.
///
/// With the feature `s3` it reads `s3://bucket/prefix` too, with the keys of the usual `AWS_…` variables: these keys need
/// `s3:ListBucket` and `s3:GetObject`, which the keys of the exporter should not have. No role is assumed.
///
/// Objects are read as a stream; of each manifest the names and numbers are kept in memory. This function blocks: in
/// asynchronous code, call it in `tokio::task::spawn_blocking`.
///
/// What it cannot find: that the newest manifests were removed together with their objects. Keep the number of the last
/// manifest elsewhere (`AuditExportSucceeded` records of other sinks have it), or export with credentials that can only
/// create objects.
///
/// # Errors
///
/// If `destination` is not a valid path or URL, or cannot be listed.
pub fn verify(destination: &str) -> Result<Verification, Error> {
    let location = location(destination).map_err(|refusal| {
        Error::setting(format!("export destination: given {}, allowed: {}", refusal.given, refusal.allowed))
    })?;
    match location {
        Location::Folder(folder) => judge(&Folder::new(&folder)),
        #[cfg(feature = "s3")]
        Location::Bucket(url) => bucket::on_a_thread(url, judge),
        #[cfg(not(feature = "s3"))]
        Location::Bucket(_) => Err(Error::setting("export destination: given a bucket, allowed: a folder")),
    }
}

fn judge(source: &dyn Source) -> Result<Verification, Error> {
    let listing: Listing = list(source).map_err(|error| {
        Error::start(format!("export destination {}: cannot be listed: {error}", source.name())).with_source(error)
    })?;
    let mut found = Verification::default();
    for (name, reason) in listing.unreadable {
        found.find(Finding::Unreadable { name, reason });
    }
    if listing.manifests.is_empty() {
        found.find(Finding::NoManifest);
    }
    let (mut chains, mut numbers) = (Chains::default(), Numbers::default());
    for name in &listing.manifests {
        let Some(manifest) = read_manifest(source, name, &mut found) else { continue };
        found.manifests += 1;
        if let Some(damaged) = manifest.damaged.clone() {
            found.find(Finding::SegmentDamaged { segment: manifest.segment.clone(), reason: damaged });
        }
        numbers.add(&manifest);
        chains.add(manifest);
    }
    let mut open = OpenExchanges::default();
    let mut named: std::collections::HashSet<String> = std::collections::HashSet::new();
    chains.each_in_order(&mut found, |manifest, found| {
        for facts in &manifest.objects {
            named.insert(facts.name.clone());
            check_object(source, facts, manifest, &mut open, found);
        }
    });
    numbers.judge(&mut found);
    // After what is missing: whoever may add objects must not fill the list of findings before it.
    for name in listing.objects.into_iter().filter(|name| !named.contains(name)) {
        found.find(if chains.may_follow(&name) {
            Finding::ObjectUnfinished { name }
        } else {
            Finding::ObjectExtra { name }
        });
    }
    for name in listing.strays {
        found.find(Finding::ObjectExtra { name });
    }
    open.into_findings().for_each(|finding| found.find(finding));
    Ok(found)
}

/// What is read of a manifest.
struct Manifest {
    /// Its name below the destination.
    name: String,
    /// Of its own bytes.
    sha256: String,
    exporter: String,
    number: u64,
    previous: Option<String>,
    segment: String,
    objects: Vec<Facts>,
    /// Runs with the first and last of consecutive numbers.
    ranges: Vec<(String, u64, u64)>,
    are_ranges_cut: bool,
    /// Runs, reasons and counts.
    lost: Vec<(String, String, u64)>,
    damaged: Option<String>,
    /// Lines that were cut off, and lines that are no records.
    torn: u64,
    skipped: u64,
    format: String,
    gzip: bool,
}

fn read_manifest(source: &dyn Source, name: &str, found: &mut Verification) -> Option<Manifest> {
    let unreadable = |reason: String| Finding::Unreadable { name: name.to_owned(), reason };
    let bytes = match source.open(name).and_then(read_small) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.find(unreadable(error.to_string()));
            return None;
        }
    };
    let manifest = serde_json::from_slice(&bytes).ok().and_then(|value| parse(name, &bytes, &value));
    if manifest.is_none() {
        let reason = format!("it is no manifest of schema {SCHEMA}");
        found.find(Finding::ManifestAltered { name: name.to_owned(), reason });
    }
    manifest
}

fn parse(name: &str, bytes: &[u8], value: &serde_json::Value) -> Option<Manifest> {
    let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
    let range = |value: &serde_json::Value| {
        Some((value["instance"].as_str()?.to_owned(), value["first"].as_u64()?, value["last"].as_u64()?))
    };
    let lost = |value: &serde_json::Value| {
        Some((value["instance"].as_str()?.to_owned(), value["reason"].as_str()?.to_owned(), value["count"].as_u64()?))
    };
    let major = text("manifest")?.split('.').next()?.to_owned();
    if SCHEMA.split('.').next() != Some(&major) {
        return None;
    }
    Some(Manifest {
        name: name.to_owned(),
        sha256: sha256(bytes),
        exporter: text("exporter")?,
        number: value.get("number")?.as_u64()?,
        previous: text("previous"),
        segment: text("segment")?,
        objects: value.get("objects")?.as_array()?.iter().map(Facts::from_json).collect::<Option<_>>()?,
        ranges: value.get("ranges")?.as_array()?.iter().map(range).collect::<Option<_>>()?,
        are_ranges_cut: value.get("areRangesCut")?.as_bool()?,
        lost: value.get("lost")?.as_array()?.iter().map(lost).collect::<Option<_>>()?,
        damaged: text("damaged"),
        torn: value["records"]["tornLines"].as_u64()?,
        skipped: value["records"]["skippedLines"].as_u64()?,
        format: text("format")?,
        gzip: value.get("gzip")?.as_bool()?,
    })
}

fn check_object(
    source: &dyn Source,
    facts: &Facts,
    manifest: &Manifest,
    open: &mut OpenExchanges,
    found: &mut Verification,
) {
    let name = facts.name.clone();
    // A manifest that names something outside of the destination was made up.
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\\') {
        found.find(Finding::ManifestAltered { name: manifest.name.clone(), reason: format!("it names {name:?}") });
        return;
    }
    match source.open(&name).and_then(|file| content::read(file, &manifest.format, manifest.gzip, open)) {
        Ok(content) if content.len == facts.len && content.sha256 == facts.sha256 => {
            found.objects += 1;
            // A manifest says so, which may say anything.
            found.records = found.records.saturating_add(facts.records);
            found.bytes = found.bytes.saturating_add(facts.len);
        }
        Ok(_) => found.find(Finding::ObjectAltered { name }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => found.find(Finding::ObjectMissing { name }),
        Err(error) => found.find(Finding::Unreadable { name, reason: error.to_string() }),
    }
}
