//! What a run of the exporter did, and what all of them did together.

use std::fmt;
use std::time::SystemTime;

/// What one run did; from [`Auditor::export_now`](crate::Auditor::export_now) and
/// [`Export::on_run`](super::Export::on_run).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// The number of segments whose manifest was written, counted for each destination.
    pub segments: u64,
    /// The number of objects that were written.
    pub objects: u64,
    /// The number of records in these objects.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The number of segments that still wait, for the destination with the most.
    pub waiting: u64,
    /// Why the run ended before everything was exported.
    pub error: Option<String>,
}

impl ExportReport {
    /// Whether no segment waits and the run did not fail.
    pub fn is_complete(&self) -> bool {
        self.waiting == 0 && self.error.is_none()
    }

    pub(crate) fn did_anything(&self) -> bool {
        self.segments > 0
    }

    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// What the exporter has done since the start; in [`Counters::export`](crate::Counters::export).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportCounters {
    /// Total of runs, failed ones included.
    pub runs: u64,
    /// Total of runs that failed.
    pub failed_runs: u64,
    /// The number of consecutive failed runs since the last successful one.
    pub failing: u64,
    /// Total of segments that were exported, counted for each destination.
    pub segments: u64,
    /// Total of objects that were written.
    pub objects: u64,
    /// Total of records in these objects.
    pub records: u64,
    /// Total size of these objects in bytes.
    pub bytes: u64,
    /// The number of sealed segments that wait, for the destination with the most.
    pub waiting_segments: u64,
    /// The size in bytes of the sealed segments that wait.
    pub waiting_bytes: u64,
    /// When the last run ended after which no segment waited.
    pub last_success: Option<SystemTime>,
    /// The error of the last failed run.
    pub last_error: Option<String>,
}

/// Why a step of an export failed. It names the step, and the file or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(step: impl fmt::Display, error: &impl fmt::Display) -> Self {
        Self(format!("{step}: {error}"))
    }

    pub(crate) fn because(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
