//! The counters through the `metrics` facade, from the worker's thread.

use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::counters::Counters;
use crate::diagnostics::caught;
use crate::sink::SinkState;

/// How often at most, while there is work.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes now and then.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    last: Option<Instant>,
}

impl Publisher {
    /// Publishes if the last time is long enough ago.
    pub(crate) fn now_and_then(&mut self, counters: impl FnOnce() -> Counters) {
        if self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.publish(&counters());
        }
    }

    /// Publishes whenever the last time was. If a recorder panics, what was passed to it is not published.
    pub(crate) fn publish(&mut self, counters: &Counters) {
        if self.last.is_none() {
            caught(|| describe(counters));
        }
        self.last = Some(Instant::now());
        caught(|| tell(counters));
    }
}

fn tell(counters: &Counters) {
    for sink in &counters.sinks {
        let name = || sink.name.clone();
        counter!("tower_audit_records_written_total", "sink" => name()).absolute(sink.written);
        counter!("tower_audit_sink_records_lost_total", "sink" => name()).absolute(sink.lost);
        counter!("tower_audit_sink_retries_total", "sink" => name()).absolute(sink.retries);
        gauge!("tower_audit_sink_buffered_bytes", "sink" => name()).set(float(sink.buffered_bytes));
        gauge!("tower_audit_sink_state", "sink" => name()).set(match sink.state {
            SinkState::Healthy => 0.0,
            SinkState::Failing => 1.0,
            SinkState::GivenUp => 2.0,
        });
    }
    for (reason, count) in counters.lost.by_reason() {
        counter!("tower_audit_records_lost_total", "reason" => reason).absolute(count);
    }
    counter!("tower_audit_records_handed_over_total").absolute(counters.handed_over);
    counter!("tower_audit_requests_refused_total").absolute(counters.refused);
    counter!("tower_audit_late_total").absolute(counters.late);
    counter!("tower_audit_worker_panics_total").absolute(counters.panics);
    counter!("tower_audit_log_lines_dropped_total").absolute(counters.dropped_log_lines);
    #[cfg(feature = "export")]
    if let Some(export) = &counters.export {
        counter!("tower_audit_export_runs_total").absolute(export.runs);
        counter!("tower_audit_export_failed_runs_total").absolute(export.failed_runs);
        counter!("tower_audit_export_records_total").absolute(export.records);
        counter!("tower_audit_export_bytes_total").absolute(export.bytes);
        gauge!("tower_audit_export_segments_waiting").set(float(export.waiting_segments));
        gauge!("tower_audit_export_bytes_waiting").set(float(export.waiting_bytes));
        if let Some(Ok(since)) = export.last_success.map(|at| at.duration_since(std::time::UNIX_EPOCH)) {
            gauge!("tower_audit_export_last_success_seconds").set(since.as_secs_f64());
        }
    }
    gauge!("tower_audit_records_unwritten").set(float(counters.unwritten));
    gauge!("tower_audit_captured_bytes").set(float(counters.captured_bytes));
    gauge!("tower_audit_requests_waiting").set(float(counters.waiting));
    gauge!("tower_audit_exchanges_open").set(float(counters.open));
}

fn describe(
    #[cfg_attr(not(feature = "export"), expect(unused, reason = "only the exporter may be absent"))]
    counters: &Counters,
) {
    describe_counter!("tower_audit_records_written_total", "Audit records that a sink has taken.");
    describe_counter!(
        "tower_audit_sink_records_lost_total",
        "Audit records that a sink should have got and never will."
    );
    describe_counter!("tower_audit_sink_retries_total", "Attempts of a sink after one that failed.");
    describe_gauge!("tower_audit_sink_buffered_bytes", "Bytes that wait for a sink.");
    describe_gauge!("tower_audit_sink_state", "0 healthy, 1 failing, 2 given up.");
    describe_counter!("tower_audit_records_lost_total", "Audit records that were lost, by reason.");
    describe_counter!("tower_audit_records_handed_over_total", "Audit records that were handed over to be written.");
    describe_counter!(
        "tower_audit_requests_refused_total",
        "Requests refused because they could not have been recorded."
    );
    describe_counter!("tower_audit_worker_panics_total", "Panics of the audit log's own worker.");
    describe_counter!("tower_audit_late_total", "Things said of an exchange that had ended.");
    describe_counter!("tower_audit_log_lines_dropped_total", "Ordinary log lines that were dropped.");
    #[cfg(feature = "export")]
    if counters.export.is_some() {
        describe_counter!("tower_audit_export_runs_total", "Runs of the exporter.");
        describe_counter!("tower_audit_export_failed_runs_total", "Runs of the exporter that failed.");
        describe_counter!("tower_audit_export_records_total", "Audit records that were exported.");
        describe_counter!("tower_audit_export_bytes_total", "Bytes of objects that were exported.");
        describe_gauge!("tower_audit_export_segments_waiting", "Sealed segments that wait to be exported.");
        describe_gauge!("tower_audit_export_bytes_waiting", "Bytes of sealed segments that wait to be exported.");
        describe_gauge!(
            "tower_audit_export_last_success_seconds",
            "When an export last left nothing behind, since 1970."
        );
    }
    describe_gauge!("tower_audit_records_unwritten", "Audit records that are finished and not written.");
    describe_gauge!("tower_audit_captured_bytes", "Bytes that open exchanges and unwritten records hold.");
    describe_gauge!("tower_audit_requests_waiting", "Requests that wait to be let in.");
    describe_gauge!("tower_audit_exchanges_open", "Exchanges that have begun and not ended.");
}

/// Gauges are floats; a number beyond 2^53 loses what nobody reads.
#[expect(clippy::cast_precision_loss, reason = "as said")]
fn float(number: u64) -> f64 {
    number as f64
}
