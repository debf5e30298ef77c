//! A sink for tests: keeps the lines in memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Sink;

/// A sink that keeps what is written, and the handle to read it.
///
/// ```
/// use tower_audit::sink::{self, Sink as _};
///
/// let (mut sink, records) = sink::memory();
/// sink.write(b"{\"eventName\":\"A\"}\n{\"eventName\":\"B\"}\n")?;
/// assert_eq!(records.lines(), ["{\"eventName\":\"A\"}", "{\"eventName\":\"B\"}"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn memory() -> (impl Sink, MemoryRecords) {
    let records = MemoryRecords::default();
    (Memory { records: records.clone() }, records)
}

/// What was written to a [`memory`] sink so far. It grows without bound: it is for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryRecords {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemoryRecords {
    /// The lines, without their newlines.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Everything, as it was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

#[derive(Debug)]
struct Memory {
    records: MemoryRecords,
}

impl Sink for Memory {
    fn header(&mut self, line: &[u8]) {
        self.records.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.records.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
