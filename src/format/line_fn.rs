//! A format made of a closure.

use std::fmt;

use super::Format;
use crate::record::Record;

/// A format made of a closure that appends the record's line. It accepts every record and has no header.
///
/// ```
/// use tower_audit::format::line_fn;
/// use tower_audit::{Auditor, Record, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (lines, records) = sink::memory();
/// let brief = line_fn(|record: &Record<'_>, line: &mut String| line.push_str(record.event_name()));
/// drop(Auditor::builder().sink(sink::Output::new(lines).format(brief)).build()?);
/// assert_eq!(records.lines(), ["AuditStarted", "AuditStopped"]);
/// # Ok(())
/// # }
/// ```
pub fn line_fn<F>(write: F) -> LineFn<F>
where
    F: FnMut(&Record<'_>, &mut String) + Send + 'static,
{
    LineFn { write, line: String::new() }
}

/// See [`line_fn()`].
pub struct LineFn<F> {
    write: F,
    line: String,
}

impl<F> fmt::Debug for LineFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineFn").finish_non_exhaustive()
    }
}

impl<F> Format for LineFn<F>
where
    F: FnMut(&Record<'_>, &mut String) + Send + 'static,
{
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, _record: &Record<'_>) -> bool {
        true
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.line.clear();
        (self.write)(record, &mut self.line);
        out.extend_from_slice(self.line.as_bytes());
    }
}
