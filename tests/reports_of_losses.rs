//! What was lost is reported in every sink that works, whenever it works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io;
use std::time::Duration;

use common::sinks::{Disk, Gate, checked, told};
use common::{eventually, log_to};
use tower_audit::sink::{Output, Sink};
use tower_audit::{Catalog, Delivery, Event, SinkState};

#[tokio::test]
async fn a_sink_that_hung_while_another_was_told_of_losses_reports_all_of_them_when_it_goes_on() {
    // Each of its own, because the sink that goes on has to have reported one before the next is lost.
    const LOSSES: u64 = 40;
    let [hangs, works, spare] = [(); 3].map(|()| Disk::default());
    hangs.writing.set(true);
    let log = log_to(works.written.clone(), |builder| {
        builder
            .catalog(Catalog::new().event(Event::new("Visit").delivery(Delivery::Lossy)))
            .queue_records(1)
            .sink(Output::new(works.sink()).required())
            .sink(Output::new(hangs.sink()).required())
            .sink(Output::new(spare.sink()).best_effort())
    });
    // This one fills the queue until the sink that hangs goes on.
    log.auditor.begin("Visit").try_emit().unwrap();
    for lost in 1..=LOSSES {
        log.auditor.begin("Visit").try_emit().unwrap();
        let is_reported = || {
            // A loss alone wakes nobody.
            drop(log.auditor.flush(Duration::ZERO));
            told(&checked(&works.written), "AuditRecordsLost") == lost
        };
        eventually("it is reported", is_reported).await;
    }
    hangs.writing.set(false);
    let (report, _) = log.stop().await;
    assert!(report.flushed);
    for sink in [&works, &hangs, &spare] {
        assert_eq!(told(&checked(&sink.written), "AuditRecordsLost"), LOSSES);
    }
}

/// Hangs until its gate is open, takes the half of what has a `Visit` in it, and fails.
struct Cut {
    gate: Gate,
    has_failed: bool,
}

impl Sink for Cut {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.gate.pass();
        match memchr::memmem::find(lines, b"Visit") {
            _ if self.has_failed => Err(io::Error::other("broken")),
            Some(at) => {
                self.has_failed = true;
                Ok(at)
            }
            None => Ok(lines.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_best_effort_sink_loses_at_the_very_end_is_in_the_report() {
    let works = Disk::default();
    let gate = Gate::default();
    gate.set(true);
    let cut = Cut { gate: gate.clone(), has_failed: false };
    // The sink's thread is slow to note what it lost.
    let slow_hook = |_: &str, state| {
        if state == SinkState::GivenUp {
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let log = log_to(works.written.clone(), |builder| {
        builder
            .sink(Output::new(works.sink()).required())
            .sink(Output::new(cut).best_effort())
            .sink_retry_limit(Duration::ZERO)
            .on_sink_state(slow_hook)
    });
    log.auditor.begin_unlisted("Visit").try_emit().unwrap();
    let stopping = tokio::spawn(log.stop());
    eventually("the last record is written", || works.written.text().contains("AuditStopped")).await;
    gate.set(false);
    let (report, _) = stopping.await.unwrap();
    assert_eq!((report.flushed, report.lost), (true, 1));
}
