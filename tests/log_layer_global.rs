//! A log layer in the subscriber of the whole process, where nothing but the layer keeps a value that logs from going round.
#![cfg(feature = "tracing-subscriber")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt;

use serde_json::{Value, json};
use tower_audit::{Auditor, sink};
use tracing_subscriber::layer::SubscriberExt as _;

struct Logs;

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!(again = ?Logs, "while it is formatted");
        f.write_str("formatted")
    }
}

#[test]
fn a_value_that_logs_does_not_go_round() {
    let (records, _records) = sink::memory();
    let auditor = Auditor::builder().sink(records).build().unwrap();
    let (lines, logs) = sink::memory();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(auditor.log_layer_to(lines))).unwrap();
    tracing::info!(value = ?Logs, "outside");
    tracing::info!("after");
    auditor.shutdown_blocking(std::time::Duration::from_secs(20));
    assert_eq!(auditor.counters().dropped_log_lines, 1);
    let lines: Vec<Value> = logs.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["1 log lines were dropped", "outside", "after"]);
    assert_eq!(lines[1]["fields"], json!({"value": "formatted"}));
}
