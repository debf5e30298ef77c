//! What was lost is reported in every sink that works, whenever it works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::sinks::{Disk, checked, told};
use common::{eventually, log_to};
use tower_audit::sink::Output;
use tower_audit::{Catalog, Delivery, Event};

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
