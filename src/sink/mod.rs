//! Bytes → somewhere. A sink knows nothing of HTTP, and nothing of records but that a batch is whole lines.

mod memory;
mod outlet;
mod stdout;

use std::fmt;
use std::io;

pub use memory::{MemoryRecords, memory};
pub(crate) use outlet::{Outlet, Settle};
pub use stdout::stdout;

/// Where the lines go. Each sink has a thread of its own, so it may block.
///
/// All methods are required: a wrapper that forgets to forward `shutdown` loses records.
pub trait Sink: Send + 'static {
    /// Writes a batch of whole lines, each ending in one newline. The batch counts as written when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// What could not be written. The batch is then counted as lost, told, and never handed in again.
    fn write(&mut self, batch: &[u8]) -> io::Result<()>;

    /// Hands on whatever the sink itself still holds. Called when somebody flushes the auditor.
    ///
    /// # Errors
    ///
    /// What could not be handed on.
    fn flush(&mut self) -> io::Result<()>;

    /// Called once, after the last batch.
    ///
    /// # Errors
    ///
    /// What could not be handed on.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// A sink made of a closure that writes a batch; it has nothing to flush.
///
/// ```
/// use tower_audit::sink::{Sink as _, sink_fn};
///
/// let (lines, written) = std::sync::mpsc::channel();
/// let mut sink = sink_fn(move |batch: &[u8]| lines.send(batch.to_vec()).map_err(std::io::Error::other));
/// sink.write(b"{}\n")?;
/// assert_eq!(written.recv().unwrap(), b"{}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sink_fn<F>(write: F) -> SinkFn<F>
where
    F: FnMut(&[u8]) -> io::Result<()> + Send + 'static,
{
    SinkFn { write }
}

/// See [`sink_fn`].
pub struct SinkFn<F> {
    write: F,
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
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        (self.write)(batch)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
