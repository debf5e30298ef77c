//! What every sink has to do, as a test for those that applications write themselves.

use crate::sink::Sink;

/// Asserts that a [`Sink`] keeps its contract: it takes at least one byte of what it is given and never more than there is,
/// continues at the exact byte when it gets the rest, accepts lines of any length, and has written everything after
/// [`flush`](Sink::flush) and [`shutdown`](Sink::shutdown), once and in order.
///
/// `arrived` gives all that has arrived at the other end so far; it is called after `flush` and after `shutdown`.
///
/// ```
/// use std::io;
/// use std::sync::{Arc, Mutex};
///
/// use tower_audit::sink::Sink;
/// use tower_audit::testing::assert_sink;
///
/// /// Takes at most one line at a time.
/// struct LineByLine(Arc<Mutex<Vec<u8>>>);
///
/// impl Sink for LineByLine {
///     fn header(&mut self, line: &[u8]) {
///         self.0.lock().unwrap().extend_from_slice(line);
///     }
///
///     fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
///         let end = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
///         self.0.lock().unwrap().extend_from_slice(&lines[..end]);
///         Ok(end)
///     }
///
///     fn flush(&mut self) -> io::Result<()> {
///         Ok(())
///     }
///
///     fn shutdown(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let arrived = Arc::new(Mutex::new(Vec::new()));
/// assert_sink(LineByLine(arrived.clone()), || arrived.lock().unwrap().clone());
/// ```
///
/// # Panics
///
/// If the sink breaks this contract (the message has the details), or returns an error.
#[track_caller]
pub fn assert_sink(mut sink: impl Sink, mut arrived: impl FnMut() -> Vec<u8>) {
    let line = |text: &str| format!("{{\"isAuditLog\":true,\"text\":\"{text}\"}}\n");
    let long = "ü".repeat(8 * 1024);
    let batches = [line("one"), [line("two"), line("three")].concat(), line(&long), line("\\\\ \\\" \\u0000")];
    let before = arrived();
    let mut given = Vec::new();
    for batch in &batches {
        write_all(&mut sink, batch.as_bytes());
        given.extend_from_slice(batch.as_bytes());
    }
    sink.flush().unwrap_or_else(|error| panic!("`flush` returned an error: {error}"));
    assert_arrived(&before, &given, &arrived(), "after `flush`");
    write_all(&mut sink, line("last").as_bytes());
    given.extend_from_slice(line("last").as_bytes());
    sink.shutdown().unwrap_or_else(|error| panic!("`shutdown` returned an error: {error}"));
    assert_arrived(&before, &given, &arrived(), "after `shutdown`");
}

/// Hands over a batch as the library does: what was not taken is given again.
#[track_caller]
fn write_all(sink: &mut impl Sink, mut rest: &[u8]) {
    while !rest.is_empty() {
        let taken = sink.write(rest).unwrap_or_else(|error| panic!("`write` returned an error: {error}"));
        assert!(taken > 0, "`write` took nothing of {} bytes, and returned no error", rest.len());
        assert!(taken <= rest.len(), "`write` says that it took {taken} of {} bytes", rest.len());
        rest = &rest[taken..];
    }
}

#[track_caller]
fn assert_arrived(before: &[u8], given: &[u8], arrived: &[u8], when: &str) {
    let new = arrived.strip_prefix(before).unwrap_or_else(|| panic!("{when}, what was there before has changed"));
    let same = new.iter().zip(given).take_while(|(new, given)| new == given).count();
    assert!(
        new == given,
        "{when}, {} of {} bytes have arrived; they differ from byte {same} on: {:?}, given: {:?}",
        new.len(),
        given.len(),
        String::from_utf8_lossy(beginning(&new[same..])),
        String::from_utf8_lossy(beginning(&given[same..])),
    );
}

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(80)]
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sink;

    #[test]
    fn the_sinks_of_this_library_pass() {
        let (lines, records) = sink::memory();
        assert_sink(lines, || records.text().into_bytes());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "before\n").unwrap();
        assert_sink(sink::file(&path).open().unwrap(), || std::fs::read(&path).unwrap());

        let taken = Arc::new(Mutex::new(Vec::new()));
        let taking = taken.clone();
        let write = move |batch: &[u8]| -> io::Result<()> {
            taking.lock().unwrap().extend_from_slice(batch);
            Ok(())
        };
        assert_sink(sink::sink_fn(write), || taken.lock().unwrap().clone());
    }

    /// A sink with a fault.
    struct Faulty {
        fault: &'static str,
        arrived: Arc<Mutex<Vec<u8>>>,
        kept: Vec<u8>,
    }

    impl Sink for Faulty {
        fn header(&mut self, _line: &[u8]) {}

        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            match self.fault {
                "takes nothing" => return Ok(0),
                "takes too much" => return Ok(lines.len() + 1),
                "fails" => return Err(io::ErrorKind::StorageFull.into()),
                _ => {}
            }
            self.kept.extend_from_slice(lines);
            match self.fault {
                "loses at shutdown" => Ok(lines.len()),
                // Says that it took less than it did.
                "repeats" if lines.len() > 100 => Ok(100),
                _ => Ok(lines.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.fault != "does not flush" {
                self.arrived.lock().unwrap().append(&mut self.kept);
            }
            Ok(())
        }

        fn shutdown(&mut self) -> io::Result<()> {
            if self.fault == "loses at shutdown" { Ok(()) } else { self.flush() }
        }
    }

    #[test]
    fn a_sink_that_breaks_its_contract_is_found_and_the_message_says_how() {
        for (fault, said) in [
            ("none", None),
            ("takes nothing", Some("took nothing")),
            ("takes too much", Some("says that it took")),
            ("fails", Some("returned an error")),
            ("repeats", Some("differ from byte")),
            ("does not flush", Some("after `flush`, 0 of")),
            ("loses at shutdown", Some("after `shutdown`")),
        ] {
            let arrived = Arc::new(Mutex::new(Vec::new()));
            let sink = Faulty { fault, arrived: arrived.clone(), kept: Vec::new() };
            let result = catch_unwind(AssertUnwindSafe(|| assert_sink(sink, || arrived.lock().unwrap().clone())));
            let message = result.err().map(|panic| *panic.downcast::<String>().unwrap());
            assert_eq!(message.is_some(), said.is_some(), "{fault}: {message:?}");
            assert!(message.zip(said).is_none_or(|(message, said)| message.contains(said)), "{fault}");
        }
    }
}
