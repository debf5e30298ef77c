//! Bytes → somewhere. A sink knows nothing of HTTP, and nothing of records but that a batch is whole lines.

mod file;
mod memory;
#[cfg(feature = "tracing-subscriber")]
mod ordinary;
mod outlet;
pub(crate) mod output;
mod retry;
mod stdout;
mod tracing;

use std::any::Any;
use std::fmt;
use std::io;

#[cfg(feature = "gzip")]
#[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
pub use file::Compress;
#[cfg(feature = "export")]
pub(crate) use file::Spool;
#[cfg(feature = "export")]
pub(crate) use file::disk;
pub(crate) use file::name as file_names;
pub use file::{File, FileOptions, SyncPolicy, file};
pub use memory::{Memory, MemoryRecords, memory};
#[cfg(feature = "tracing-subscriber")]
pub(crate) use ordinary::Ordinary;
pub(crate) use outlet::{Outlet, Progress, Start, Watcher};
pub(crate) use output::Need;
pub use output::Output;
pub(crate) use output::SinkState;
pub(crate) use retry::Retry;
pub(crate) use stdout::Stream;
pub use stdout::{Stderr, Stdout, stderr, stdout};

pub use self::tracing::{Tracing, tracing};

/// Where the lines go. Each sink has a thread of its own, so it may block.
///
/// All methods are required: a wrapper that forgets to forward `shutdown` loses records. A `Box<dyn Sink>` is a sink too, so
/// that the program can choose one while it runs; each sink of this module has a type of its own, for fields of structs.
///
/// # Example: the program chooses
///
/// ```
/// use tower_audit::sink::{self, Sink};
///
/// fn chosen(target: &str) -> Result<Box<dyn Sink>, tower_audit::Error> {
///     Ok(match target {
///         "stdout" => Box::new(sink::stdout()?),
///         "tracing" => Box::new(sink::tracing()),
///         path => Box::new(sink::file(path).open()?),
///     })
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("audit.log");
/// let auditor = tower_audit::Auditor::builder().sink(chosen(path.to_str().unwrap_or("audit.log"))?).build()?;
/// drop(auditor);
/// assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 2); // `AuditStarted` and `AuditStopped`
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Methods return [`io::Result`]: errors of a running sink come from the system. This library counts and reports them
/// ([`SinkState`]); no request of the application fails because of them.
pub trait Sink: Any + Send {
    /// Receives the header, with its newline, such as the names of a CSV's columns. Called before the first
    /// [`write`](Self::write), and only if the output's format has a header.
    ///
    /// A sink of a stream writes it once, before the first line. A sink of files writes it at the beginning of each file. A
    /// sink without a beginning, such as a message queue, ignores it.
    fn header(&mut self, line: &[u8]);

    /// Writes bytes from the front of `lines` and returns their number, at least 1. The next call begins with the first byte
    /// that was not written: only then may `lines` begin in the middle of a line. Every line ends in one newline.
    ///
    /// # Errors
    ///
    /// If no byte could be written. The call is repeated after pauses that grow from 20 milliseconds to 5 seconds. A sink
    /// that fails for longer than [`sink_retry_limit`](crate::AuditorBuilder::sink_retry_limit) (60 seconds) is given up,
    /// and then tried again every 30 seconds.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize>;

    /// Makes all bytes that were written so far durable, as far as the sink can: a file is synced.
    ///
    /// # Errors
    ///
    /// If some of these bytes may not be durable.
    fn flush(&mut self) -> io::Result<()>;

    /// Closes the sink. Called once, after the last batch; there is no default body, because a sink that buffers must write
    /// its buffer here.
    ///
    /// # Errors
    ///
    /// If buffered bytes could not be written.
    fn shutdown(&mut self) -> io::Result<()>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn header(&mut self, line: &[u8]) {
        (**self).header(line);
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        (**self).write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn shutdown(&mut self) -> io::Result<()> {
        (**self).shutdown()
    }
}

/// A sink made of a closure that takes whole batches; it has nothing to flush. A format's header is at the beginning of the first
/// batch.
///
/// ```
/// use tower_audit::sink::{Sink as _, sink_fn};
///
/// let (lines, written) = std::sync::mpsc::channel();
/// let mut sink = sink_fn(move |batch: &[u8]| lines.send(batch.to_vec()).map_err(std::io::Error::other));
/// assert_eq!(sink.write(b"{}\n")?, 3);
/// assert_eq!(written.recv().unwrap(), b"{}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sink_fn<F>(write: F) -> SinkFn<F>
where
    F: FnMut(&[u8]) -> io::Result<()> + Send + 'static,
{
    SinkFn { write, header: Vec::new() }
}

/// See [`sink_fn`].
pub struct SinkFn<F> {
    write: F,
    /// What the first batch begins with.
    header: Vec<u8>,
}

impl<F> fmt::Debug for SinkFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkFn").finish_non_exhaustive()
    }
}

impl<F> Sink for SinkFn<F>
where
    F: FnMut(&[u8]) -> io::Result<()> + Send + 'static,
{
    fn header(&mut self, line: &[u8]) {
        self.header = line.to_vec();
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.header.is_empty() {
            (self.write)(lines)?;
        } else {
            (self.write)(&[&self.header, lines].concat())?;
            self.header = Vec::new();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
