//! Reading what the [file sink](crate::sink::file()) wrote: its sealed segments in order, plain or gzip, line by line.
//!
//! For tools, tests and the exporter. A segment is read as a stream: memory does not depend on its size.
//!
//! | what the folder holds | what a reader gets |
//! |---|---|
//! | `audit-20261120T101530.123456Z-9f86d081884c7d65.log` | its audit records, line by line |
//! | `….log.gz` | the same, decompressed (feature `gzip`) |
//! | `….log` and `….log.gz` of one segment | one segment: a compression ended between its last two steps |
//! | `….suspect-4096.log` | the first 4,096 bytes; the rest is repeated at the beginning of the next segment |
//! | a last line without its end | it is left out, and counted in [`Notes::torn`] |
//! | lines that are no audit records | they are left out, and counted in [`Notes::skipped`] |
//! | a gzip file that ends early or is damaged | what can be read, and [`Notes::damaged`] says why the rest is missing |
//!
//! Records that a file has twice after trouble, and numbers that are missing, are found by [`Seen`].
//!
//! # Example: the records of all sealed segments, each once
//!
//! ```
//! use tower_audit::segment::{self, Seen, SeqCheck};
//! use tower_audit::{Auditor, sink};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("audit.log");
//! # // Each line is longer than a segment may be, so the second record seals the first.
//! let file = sink::file(&path).rotate_bytes(100).open()?;
//! let auditor = Auditor::builder().sink(file).build()?;
//! auditor.shutdown_blocking(std::time::Duration::from_secs(5));
//!
//! let (mut seen, mut names) = (Seen::default(), Vec::new());
//! for segment in segment::list(&path)? {
//!     let mut reader = segment.open()?;
//!     while let Some(line) = reader.next_line()? {
//!         if seen.take(line.instance(), line.seq()) != SeqCheck::Repeated {
//!             names.push(line.event_name().to_owned());
//!         }
//!     }
//!     assert_eq!((reader.notes().skipped, reader.notes().torn), (0, 0));
//! }
//! assert_eq!(names, ["AuditStarted"]); // `AuditStopped` is in the open file still
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod line;
mod marks;
mod reader;
mod seen;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::line::SegmentLine;
pub use self::reader::{Notes, SegmentReader};
#[cfg(feature = "export")]
pub(crate) use self::seen::Run;
pub use self::seen::{Gap, Seen, SeqCheck};
use crate::error::Error;
use crate::sink::file_names::{Form, Names, Sealed, stamp};

/// The sealed segments of a file such as `/var/log/app/audit.log`, in the order of their records.
///
/// The list does not contain the file that is still being written, and no files with other names.
///
/// # Errors
///
/// [`ErrorKind::Read`](crate::ErrorKind::Read) if the path does not end in a name, or its folder cannot be read.
pub fn list(path: impl AsRef<Path>) -> Result<Vec<Segment>, Error> {
    let path = path.as_ref();
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in the name of a file");
    let names = Names::new(path).and_then(|names| names.ok_or_else(no_name));
    let segments = names.and_then(|names| list_named(&names));
    segments.map_err(|error| Error::read(format_args!("the segments of {}", path.display()), error))
}

/// A sealed segment.
#[derive(Clone, Debug)]
pub struct Segment {
    sealed: Sealed,
    names: Arc<Names>,
}

/// The segments of these names, without what a compression has not finished.
pub(crate) fn list_named(names: &Names) -> io::Result<Vec<Segment>> {
    list_first(names, None, usize::MAX)
}

/// The first segments after this one, in order, at most so many: tens of thousands may wait.
pub(crate) fn list_first(names: &Names, after: Option<SegmentKey>, most: usize) -> io::Result<Vec<Segment>> {
    let mut first = BTreeMap::new();
    each_after(names, after, |sealed, _| {
        // The plain form comes before the compressed one beside it, which has the same records.
        let chosen: &mut Sealed = first.entry((sealed.at, sealed.id)).or_insert(sealed);
        *chosen = sealed.min(*chosen);
        if first.len() > most {
            first.pop_last();
        }
    })?;
    let names = Arc::new(names.clone());
    Ok(first.into_values().map(|sealed| Segment { sealed, names: names.clone() }).collect())
}

/// The number of segments after this one, and of their bytes.
#[cfg(feature = "export")]
pub(crate) fn count_after(names: &Names, after: Option<SegmentKey>) -> io::Result<(u64, u64)> {
    let (mut segments, mut bytes) = (0, 0);
    each_after(names, after, |sealed, entry| {
        let plain = Sealed { form: Form::Plain, ..sealed };
        if sealed.form == Form::Plain || !names.sealed(&plain).exists() {
            segments += 1;
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    })?;
    Ok((segments, bytes))
}

/// In any order; both forms of a segment whose compression ends between its last two steps.
fn each_after(
    names: &Names,
    after: Option<SegmentKey>,
    mut take: impl FnMut(Sealed, &std::fs::DirEntry),
) -> io::Result<()> {
    for entry in std::fs::read_dir(names.folder())? {
        let entry = entry?;
        let Some(sealed) = names.parse(&entry.file_name()) else { continue };
        if sealed.form != Form::GzipTemporary && after.is_none_or(|after| (sealed.at, sealed.id) > after) {
            take(sealed, &entry);
        }
    }
    Ok(())
}

impl Segment {
    /// The unique id of the segment; ids sort in the order of records: `20261120T101530.123456Z-9f86d081884c7d65`.
    pub fn id(&self) -> String {
        segment_id(self.key())
    }

    /// When it was sealed, as its name says.
    pub fn sealed_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(self.sealed.at.0).unwrap_or_default())
    }

    /// The path of the file. If the segment is compressed later, the file gets another name; [`Segment::open`] finds both.
    pub fn path(&self) -> PathBuf {
        self.names.sealed(&self.sealed)
    }

    /// If a sync of the segment failed: the number of bytes that are valid. The rest is repeated in the next segment.
    pub fn suspect(&self) -> Option<u64> {
        self.sealed.suspect
    }

    /// Opens the segment for reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Read`](crate::ErrorKind::Read) if it cannot be opened, or is compressed and the feature `gzip` is off.
    pub fn open(&self) -> Result<SegmentReader, Error> {
        let opened = match SegmentReader::open(&self.path(), self.sealed.form == Form::Gzip, self.sealed.suspect) {
            // It was compressed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.sealed.form == Form::Plain => {
                let compressed = self.names.sealed(&Sealed { form: Form::Gzip, ..self.sealed });
                SegmentReader::open(&compressed, true, self.sealed.suspect)
            }
            opened => opened,
        };
        opened.map_err(|error| Error::read(self.path().display(), error))
    }

    /// What its order and its identity rest on.
    pub(crate) fn key(&self) -> SegmentKey {
        (self.sealed.at, self.sealed.id)
    }
}

/// The moment of sealing and the random id of a segment.
pub(crate) type SegmentKey = (crate::clock::Micros, u64);

pub(crate) fn segment_id((at, id): SegmentKey) -> String {
    format!("{}-{id:016x}", stamp(at))
}

#[cfg(test)]
mod tests;
