//! Records as events, for any `tracing` subscriber.

use std::io;

use super::Sink;
use crate::diagnostics::caught;

/// One event for each record, under the target `audit`, at the record's level, with the JSON line as the field `record`.
///
/// For applications whose subscriber already sends logs to the right place. A filter must allow the target, for example
/// `audit=info`. Events that no subscriber accepts are lost, and the loss is not reported: if the log has to be complete,
/// use a sink that reports what it could not write.
///
/// The events come from the sink's own thread, outside of any span. Lines of
/// [`Auditor::log_layer`](crate::Auditor#method.log_layer) are not repeated, because the subscriber has already received
/// them.
///
/// ```
/// use tower_audit::{Auditor, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let auditor = Auditor::builder().sink(sink::tracing()).build()?;
/// # drop(auditor);
/// # Ok(())
/// # }
/// ```
pub fn tracing() -> Tracing {
    Tracing(())
}

/// Records as `tracing` events: see [`tracing()`].
#[derive(Debug)]
pub struct Tracing(());

impl Sink for Tracing {
    /// Each record is an event, and a header is none.
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while let Some(len) = memchr::memchr(b'\n', &lines[taken..]) {
            match emit(&lines[taken..taken + len]) {
                Ok(()) => taken += len + 1,
                Err(error) if taken == 0 => return Err(error),
                // What was emitted counts, so that it is not emitted again; the error comes again with the rest.
                Err(_) => break,
            }
        }
        if taken == 0 && !lines.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a line without its end"));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn emit(line: &[u8]) -> io::Result<()> {
    let line = String::from_utf8_lossy(line);
    let (level, next_key) = prefix(&line).unwrap_or(("info", ""));
    if next_key.starts_with("\"target\":") {
        return Ok(());
    }
    let emit = || match level {
        "error" => tracing::event!(target: "audit", tracing::Level::ERROR, record = &*line),
        "warn" => tracing::event!(target: "audit", tracing::Level::WARN, record = &*line),
        "debug" => tracing::event!(target: "audit", tracing::Level::DEBUG, record = &*line),
        _ => tracing::event!(target: "audit", tracing::Level::INFO, record = &*line),
    };
    caught(emit).ok_or_else(|| io::Error::other("a tracing subscriber panicked"))
}

/// The level of a line, and what stands after it: keys come in a fixed order, and neither value holds an escape.
fn prefix(line: &str) -> Option<(&str, &str)> {
    let (_timestamp, rest) = line.strip_prefix("{\"timestamp\":\"")?.split_once('"')?;
    rest.strip_prefix(",\"level\":\"")?.split_once("\",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_a_record_says_its_level() {
        let record = r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"warn","isAuditLog":true,"schema":"1.0"}"#;
        assert_eq!(prefix(record), Some(("warn", r#""isAuditLog":true,"schema":"1.0"}"#)));
        assert_eq!(prefix(r#"{"timestamp":"x","level":"warn"}"#), None);
        assert_eq!(prefix("timestamp,level"), None);
        assert_eq!(prefix(""), None);
    }

    #[test]
    fn only_whole_lines_are_taken() {
        assert_eq!(tracing().write(b"{}\n{}\n{\"timest").unwrap(), 6);
        assert_eq!(tracing().write(b"{\"timest").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(tracing().write(b"").unwrap(), 0);
    }
}
