//! A file that is exported: what the exporter does with it, while the sink goes on writing.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::disk::Os;
use super::hold::Hold;
use super::name::Names;
use super::writer::Writer;
use super::{File, FileOptions, cannot_open};
use crate::error::Error;
use crate::export::highest_exported;
use crate::segment::{Segment, SegmentKey, count_after, list_first};

/// The exporter's side of a file sink. While it lives the file stays locked, so that no second exporter reads it.
pub(crate) struct Spool {
    writer: Arc<Mutex<Writer<Os>>>,
    names: Names,
    hold: Arc<Hold>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl FileOptions {
    /// Opens the file for a sink and an exporter. It is sealed at midnight UTC at the latest, so that a segment is of one day.
    pub(crate) fn open_spool(mut self, most_waiting: u64) -> Result<(File, Spool), Error> {
        let period = *self.policy.rotate_every.get_or_insert(DAY);
        if period.is_zero() || !DAY.as_nanos().is_multiple_of(period.as_nanos()) {
            return Err(Error::setting(format!(
                "audit file {}: rotate_every (TOWER_AUDIT_ROTATE_EVERY): given {period:?}, allowed for a file that is \
                 exported: a whole part of a day such as 1h, 6h or 24h",
                self.path.display()
            )));
        }
        let names = self.checked()?;
        let path = self.path;
        let mut writer =
            Writer::open(Os, names.clone(), self.policy, self.clock).map_err(|error| cannot_open(&path, error))?;
        // Also where the clock was set back and retention removed all segments: what sorts before these is taken for exported.
        if let Some(exported) = highest_exported(names.active()) {
            writer.continue_stamps_after(exported);
        }
        let hold = Arc::new(Hold::new(most_waiting));
        writer.hold = Some(hold.clone());
        let open = File::start(writer).map_err(|error| cannot_open(&path, error))?;
        let spool = Spool { writer: open.writer.clone(), names, hold };
        Ok((open, spool))
    }
}

impl Spool {
    /// The file that is written to.
    pub(crate) fn active(&self) -> &Path {
        self.names.active()
    }

    /// Seals what is there.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).seal_now()
    }

    /// The sealed segments after this one, in order, at most so many.
    pub(crate) fn segments_after(&self, exported: Option<SegmentKey>, most: usize) -> io::Result<Vec<Segment>> {
        list_first(&self.names, exported, most)
    }

    /// The number of sealed segments after this one.
    pub(crate) fn count_after(&self, exported: Option<SegmentKey>) -> io::Result<u64> {
        count_after(&self.names, exported).map(|(segments, _)| segments)
    }

    /// Notes what is exported, for retention, and what waits, for its limit; gives the number of segments and bytes that wait.
    pub(crate) fn note_exported(&self, exported: Option<SegmentKey>) -> io::Result<(u64, u64)> {
        // Locked, so that nothing is sealed between the look and the note.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (segments, bytes) = count_after(&self.names, exported)?;
        self.hold.set(exported, bytes);
        writer.prune();
        Ok((segments, bytes))
    }
}
