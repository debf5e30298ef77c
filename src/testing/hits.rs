//! Whether exactly the expected rules of redaction hit.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::redact::RedactionReport;

/// Asserts that a report of redaction has exactly these lines, in any order: event, field, pointer (`-` where it is empty),
/// rule and count, as a [`HitCount`](crate::HitCount) is shown. How many spaces stand between them does not matter, so that
/// what a shown report has can be copied.
///
/// It fails when something is no longer masked, and when something is masked that nobody thought of.
///
/// # Panics
///
/// If a line is missing or was not expected, with all of those.
///
/// ```
/// use serde_json::json;
/// use tower_audit::testing::{TestLog, assert_hits};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_audit::Error> {
/// let log = TestLog::new();
/// log.auditor().begin_unlisted("Login").meta("form", json!({ "user": "jane", "password": "hunter2" })).emit().await?;
/// assert_hits(&log.redaction_report().await, ["Login meta /form/password key 1"]);
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn assert_hits<L: AsRef<str>>(report: &RedactionReport, expected: impl IntoIterator<Item = L>) {
    let spaced = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: BTreeSet<String> = expected.into_iter().map(|line| spaced(line.as_ref())).collect();
    let told: BTreeSet<String> = report.to_string().lines().map(spaced).collect();
    let mut difference = String::new();
    for line in expected.union(&told) {
        let sign = match (expected.contains(line), told.contains(line)) {
            (true, false) => '-',
            (false, true) => '+',
            _ => continue,
        };
        let _ = write!(difference, "\n{sign} {line}");
    }
    assert!(difference.is_empty(), "redaction hit otherwise than expected (- missing, + not expected):{difference}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::TestLog;
    use super::*;

    async fn report() -> RedactionReport {
        let log = TestLog::new();
        log.auditor().begin_unlisted("Run").meta("a  b", json!({ "pin": 1 })).meta("pin", 1).emit().await.unwrap();
        log.redaction_report().await
    }

    #[tokio::test]
    async fn the_order_of_lines_and_their_spaces_do_not_matter() {
        assert_hits(&report().await, ["Run  meta  /pin  key  1", " Run meta /a b/pin key 1"]);
        assert_hits(&RedactionReport::default(), [""; 0]);
    }

    #[tokio::test]
    #[should_panic(
        expected = "(- missing, + not expected):\n+ Run meta /a b/pin key 1\n+ Run meta /pin key 1\n- Run meta /pin key 2"
    )]
    async fn what_differs_is_told() {
        assert_hits(&report().await, ["Run meta /pin key 2"]);
    }
}
