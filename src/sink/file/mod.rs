//! The file sink: appends whole lines to a file, seals it into segments, and knows at any time what is durable.
//!
//! | file | what it holds |
//! |---|---|
//! | `writer.rs` | the state that every promise rests on: what is kept in memory until it is durable |
//! | `segment.rs` | the open file |
//! | `rotate.rs` | sealing, and putting aside what failed |
//! | `name.rs` | names of segments |
//! | `retain.rs`, `gzip.rs`, `timer.rs` | removing and compressing segments; what is due without a batch |
//! | `hold.rs`, `spool.rs` | what the exporter has yet to read, and how it seals and finds it |
//! | `disk.rs` | the operating system, which tests replace |

pub(crate) mod disk;
#[cfg(feature = "gzip")]
mod gzip;
mod hold;
pub(crate) mod name;
mod open;
mod retain;
mod rotate;
#[cfg(feature = "export")]
mod spool;
mod timer;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::disk::{Disk as _, Kind, Os};
use self::name::Names;
#[cfg(feature = "export")]
pub(crate) use self::spool::Spool;
use self::timer::Timer;
use self::writer::Writer;
use super::Sink;
use crate::clock::{Clock, SystemClock, Time};
use crate::error::{Error, Problems};

/// A file that records are appended to, such as `/var/log/app/audit.log`.
///
/// Nothing is opened yet: see [`FileOptions::open`] and [`FileOptions`] for what it promises.
///
/// # Example: a segment a day, kept for 90 days
///
/// ```
/// use std::time::Duration;
///
/// use tower_audit::sink::{self, Sink as _};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("audit.log");
/// let mut sink = sink::file(&path).rotate_every(DAY).keep_for(90 * DAY).open()?;
/// sink.write(b"{\"eventName\":\"A\"}\n")?;
/// sink.flush()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{\"eventName\":\"A\"}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file(path: impl Into<PathBuf>) -> FileOptions {
    FileOptions { path: path.into(), policy: Policy::default(), clock: Arc::new(SystemClock::new()) }
}

/// The settings of a file sink; made by [`file()`].
///
/// # What it promises
///
/// - **One write a batch**, appended. Lines are never mixed, cut or joined, and keep their order. After an error, writing
///   continues at the exact byte where it stopped; if the file was replaced meanwhile, the whole line is written again to the
///   new one. If the last line is cut off when the file is opened (a crash), it gets its newline before the next record is
///   written, and a warning is logged.
/// - **[`Sink::flush`] returns `Ok` only if all bytes that were written are synced** in a file that has a name. A failed
///   sync is never repeated on the same file, because the system may have dropped what it could not write: the file is sealed
///   as *suspect*, and the bytes that were not durable, of which up to 1 MiB are kept in memory, are written again to a new
///   file.
/// - **A file that is moved, deleted or truncated** (by logrotate, or by hand): the sink checks this before each batch. A
///   moved file keeps its records; if the file was deleted or truncated, the records that were not yet synced are written
///   again. If the folder was removed while the process runs, it is created again, with access for its owner only. On systems
///   other than Unix, a file that is replaced by another is not noticed.
/// - **A full disk** loses no record: lines that do not fit stay in the buffer, and are written when there is space.
/// - **One writer**: the file `audit.log.lock` beside it is locked, and stays. A second process, or a second sink, is
///   refused.
///
/// So after an error a record can occur twice, in a suspect or truncated file and in the next one, but no flushed record is
/// missing.
///
/// The sink cannot know that a sync failed in an earlier process, if that process ended before it could seal the file as
/// suspect. It must be the only writer: text that other programs append can be lost or end without a newline.
///
/// # Segments
///
/// Rotation seals the file: it is synced and renamed to `audit-20261120T101530.123456Z-9f86d081884c7d65.log`, with the
/// moment of sealing in UTC and a random id. Names of segments sort in the order of their records, even if the clock was set
/// back. A suspect one is called `….suspect-4096.log`: from that byte on, it is repeated at the beginning of the next. A
/// segment that is compressed ends in `.gz`. Retention removes files of such names, and nothing else.
///
/// # What it takes
///
/// Regular files only. If the path itself is a symbolic link, it is refused: a rename would move the link and not the file,
/// and another user may have created it. Links to folders are followed. Pipes and devices are refused too; for `/dev/stdout`
/// there is [`stdout`](super::stdout()).
#[derive(Clone)]
#[must_use = "a file sink does nothing until it is opened"]
pub struct FileOptions {
    path: PathBuf,
    policy: Policy,
    clock: Arc<dyn Clock>,
}

/// When a file is synced, so that its records survive a crash of the machine; see [`FileOptions::sync`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// When a request waits for it (classes `durable` and `fail_closed`), at a rotation, at shutdown, and after 1 MiB. This
    /// is the default: a sync takes milliseconds, and no request of the other classes waits for it.
    #[default]
    OnFlush,
    /// After each batch.
    EachBatch,
    /// When the oldest record that is not synced has this age, or earlier.
    Every(Duration),
}

/// How sealed segments are compressed; see [`FileOptions::compress`].
#[cfg(feature = "gzip")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compress {
    /// As gzip (RFC 1952), at its usual level: about a tenth of the size.
    Gzip,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    rotate_bytes: Option<u64>,
    rotate_every: Option<Duration>,
    keep_files: Option<usize>,
    keep_for: Option<Duration>,
    sync: SyncPolicy,
    mode: u32,
    #[cfg(feature = "gzip")]
    compress: Option<Compress>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rotate_bytes: None,
            rotate_every: None,
            keep_files: None,
            keep_for: None,
            sync: SyncPolicy::default(),
            mode: 0o600,
            #[cfg(feature = "gzip")]
            compress: None,
        }
    }
}

impl FileOptions {
    /// Seals the file before it grows beyond this number of bytes. A single line that is longer gets a segment of its own.
    ///
    /// By default there is no limit: without retention, rotation only makes more files.
    pub fn rotate_bytes(mut self, bytes: u64) -> Self {
        self.policy.rotate_bytes = Some(bytes);
        self
    }

    /// Seals the file when a period ends, also if no record comes then. At least one second.
    ///
    /// Periods begin at whole multiples since 1970-01-01 UTC: those of an hour at the full hour, those of a day at midnight
    /// UTC. So a restart changes nothing, and the segments of several servers are of the same periods. An empty file is not
    /// sealed. By default there is no period.
    pub fn rotate_every(mut self, period: Duration) -> Self {
        self.policy.rotate_every = Some(period);
        self
    }

    /// Keeps this number of sealed segments, at least one, and removes older ones. Suspect ones count.
    ///
    /// By default all are kept: no evidence is removed unless the application asks for it.
    pub fn keep_files(mut self, count: usize) -> Self {
        self.policy.keep_files = Some(count);
        self
    }

    /// Removes segments that were sealed longer ago than `age`. Checked when a segment is sealed, at the start, and each
    /// minute.
    ///
    /// By default all are kept.
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.policy.keep_for = Some(age);
        self
    }

    /// Compresses sealed segments, on a thread of its own. By default they stay as they are.
    #[cfg(feature = "gzip")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
    pub fn compress(mut self, how: Compress) -> Self {
        self.policy.compress = Some(how);
        self
    }

    /// When the file is synced. [`SyncPolicy::OnFlush`] by default.
    pub fn sync(mut self, policy: SyncPolicy) -> Self {
        self.policy.sync = policy;
        self
    }

    /// The permissions of new files. They do not depend on the umask of the process. 0600 by default, because records name
    /// people. The permissions of an existing file are not changed. Only on Unix.
    pub fn mode(mut self, mode: u32) -> Self {
        self.policy.mode = mode;
        self
    }

    /// The clock, for tests; by default the clocks of the system. Rotation by time and retention by age wait for the real
    /// time in any case, up to a minute, unless a batch comes.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(Time::given(clock));
        self
    }

    /// Locks and opens the file, for [`AuditorBuilder::sink`](crate::AuditorBuilder::sink).
    ///
    /// # Errors
    ///
    /// If the path has no file name; if its folder does not exist (it is not created, because the path may be misspelt); if
    /// the path is not a regular file; if another process or sink has locked the file; if a setting is out of range; or if
    /// the system refuses. The error names the path.
    pub fn open(self) -> Result<File, Error> {
        let names = self.checked()?;
        let writer =
            Writer::open(Os, names, self.policy, self.clock).map_err(|error| cannot_open(&self.path, error))?;
        File::start(writer).map_err(|error| cannot_open(&self.path, error))
    }

    /// What [`open`](Self::open) checks before it opens anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    pub(super) fn checked(&self) -> Result<Names, Error> {
        let mut problems = Problems::default();
        let wrong = |what: &str| Error::setting(format!("audit file {}: {what}", self.path.display()));
        if self.policy.rotate_bytes == Some(0) {
            problems.push(wrong("rotate_bytes: given 0, allowed: 1 or more"));
        }
        if let Some(period) = self.policy.rotate_every.filter(|period| *period < Duration::from_secs(1)) {
            problems.push(wrong(&format!("rotate_every: given {period:?}, allowed: 1s or more")));
        }
        if self.policy.keep_files == Some(0) {
            problems.push(wrong("keep_files: given 0, allowed: 1 or more"));
        }
        if self.policy.mode & 0o600 != 0o600 || self.policy.mode > 0o777 {
            problems.push(wrong(&format!(
                "mode: given {:o}, allowed: 600 to 777, readable and writable for us",
                self.policy.mode
            )));
        }
        let names = problems.take(self.names(&wrong));
        problems.finish()?;
        Ok(names.expect("what is missing was a problem"))
    }

    /// The file and its folder, which has to exist.
    fn names(&self, wrong: &dyn Fn(&str) -> Error) -> Result<Names, Error> {
        let names = Names::new(&self.path).map_err(|error| cannot_open(&self.path, error))?;
        let names = names.ok_or_else(|| wrong("the path does not end in the name of a file"))?;
        match Os.status(names.folder()).map_err(|error| cannot_open(&self.path, error))? {
            None => Err(wrong(&format!("the folder {} does not exist", names.folder().display()))),
            Some(status) if status.kind == Kind::Regular => {
                Err(wrong(&format!("{} is no folder", names.folder().display())))
            }
            Some(_) => Ok(names),
        }
    }
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOptions").field("path", &self.path).field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    let message = format!("audit file {}: {error}", path.display());
    let error = match error.kind() {
        io::ErrorKind::InvalidInput => return Error::setting(message).with_source(error),
        _ => error,
    };
    Error::start(message).with_source(error)
}

/// An open file that records are appended to; made by [`FileOptions::open`].
pub struct File {
    // The compressor goes first, since the lock, which the writer has, says that it is alone; the timer goes last, since its
    // thread may be the one that closes the writer.
    #[cfg(feature = "gzip")]
    compressor: Option<gzip::Compressor>,
    writer: Arc<Mutex<Writer<Os>>>,
    timer: Option<Timer>,
}

impl File {
    fn start(
        #[cfg_attr(not(feature = "gzip"), allow(unused_mut, reason = "the compressor is told"))] mut writer: Writer<Os>,
    ) -> io::Result<Self> {
        writer.prune();
        #[cfg(feature = "gzip")]
        let compressor = match writer.policy.compress {
            Some(Compress::Gzip) => {
                let compressor = gzip::Compressor::start(writer.names.clone(), writer.policy.mode)?;
                let shared = compressor.shared();
                writer.sealed = Box::new(move || shared.wake());
                Some(compressor)
            }
            None => None,
        };
        let Policy { rotate_every, keep_for, sync, .. } = writer.policy;
        let has_a_clock = rotate_every.is_some() || keep_for.is_some() || matches!(sync, SyncPolicy::Every(_));
        let writer = Arc::new(Mutex::new(writer));
        let timer = if has_a_clock { Some(Timer::start(&writer)?) } else { None };
        Ok(Self {
            writer,
            timer,
            #[cfg(feature = "gzip")]
            compressor,
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer<Os>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

impl Sink for File {
    fn header(&mut self, line: &[u8]) {
        self.writer().header = line.to_vec();
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.writer().write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let result = self.writer().flush();
        drop(self.timer.take());
        #[cfg(feature = "gzip")]
        drop(self.compressor.take());
        result
    }
}

#[cfg(test)]
mod tests;
