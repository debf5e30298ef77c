//! A record that is too long for a line is shortened: in the same way for every sink, and never beyond what the line allows.
#![cfg(feature = "testing")]

use std::time::Duration;

use serde_json::{Value, json};
use tower_audit::testing::TestLog;
use tower_audit::{Actor, Failure, sink};

/// The shortest line that can be set.
const BUDGET: usize = 4 * 1024;

fn log() -> TestLog {
    TestLog::with(|builder| builder.max_line_bytes(BUDGET)).expect("the settings are valid")
}

/// The records of a log whose lines are as long as they may be.
async fn fitting(log: &TestLog) -> Vec<Value> {
    for line in log.lines().await {
        assert!(line.len() < BUDGET, "{} bytes with its newline: {line}", line.len() + 1);
    }
    log.records().await
}

#[tokio::test]
async fn the_name_of_what_was_shortened_makes_no_line_too_long() {
    let log = log();
    let lengths = (3_400..4_400).step_by(3);
    for length in lengths.clone() {
        let error = Failure::new("LongError", "x".repeat(length));
        log.auditor().begin_unlisted("Run").await.unwrap().fail_with(error);
    }
    let records = fitting(&log).await;
    let (mut whole, mut shortened) = (0, 0);
    for (record, length) in records.iter().zip(lengths) {
        let message = record["errors"][0]["message"].as_str().unwrap();
        match record.get("meta") {
            None => {
                whole += 1;
                assert_eq!(message.len(), length);
            }
            Some(meta) => {
                shortened += 1;
                assert_eq!(*meta, json!({ "shortened": ["errors.message"] }));
                assert!(message.contains('…') && message.len() < length, "{record}");
            }
        }
    }
    assert!(whole > 50 && shortened > 50, "{whole} are whole, {shortened} shortened");
}

#[tokio::test]
async fn many_names_make_no_line_too_long() {
    let log = log();
    let activity = log.auditor().begin_unlisted("Run").actor(Actor::user("u".repeat(500)).name("n".repeat(500)));
    let activity =
        (0..40).fold(activity, |activity, at| activity.meta(format!("{at}{}", "k".repeat(90)), "v".repeat(100 + at)));
    let failures = (0..4).map(|at| Failure::new("Error", format!("{at}").repeat(2_000)).stack("s".repeat(2_000)));
    let activity = activity.await.unwrap();
    failures.for_each(|failure| {
        activity.audit().failure(failure);
    });
    activity.fail_with(Failure::new("Last", "failed"));
    let records = fitting(&log).await;
    let named: Vec<&str> =
        records[0]["meta"]["shortened"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(named.len() <= 16 && named[0] == "errors.stack", "{named:?}");
    assert!(named[1..].iter().all(|name| name.starts_with("meta.") && name.len() == 64), "{named:?}");
}

#[tokio::test]
async fn each_sink_has_the_same_lines_however_they_were_shortened() {
    let (second, records) = sink::memory();
    let log = TestLog::with(|builder| builder.max_line_bytes(BUDGET).sink(second)).unwrap();
    for at in 0..20_usize {
        let body = json!({ "list": vec!["é\"".repeat(50); at * 2], "n": at });
        let activity = log.auditor().begin_unlisted("Run").meta("large", body).meta("text", "t".repeat(at * 300));
        let activity = activity.await.unwrap();
        activity.audit().failure(Failure::new("A", "a".repeat(at * 150)).stack("b".repeat(at * 100)));
        activity.fail_with(Failure::new("B", "c".repeat(at * 150)));
    }
    assert!(log.auditor().flush(Duration::from_secs(30)).await);
    let first = log.lines().await;
    assert_eq!(first, records.lines());
    assert_eq!(first.iter().filter(|line| line.contains("\"shortened\":[")).count(), 16);
    fitting(&log).await;
}
