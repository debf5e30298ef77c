//! Records for the tests of formats.
//!
//! CI writes thousands of hostile values in each format. Each case has 18: ten million are written by
//! `PROPTEST_CASES=560000 cargo test --release --features testing --lib format::`, in 190 seconds of CPU time.

use serde_json::{Value, json};

use super::{Format, write_line};
use crate::record::RecordLine;

/// The line of a record without its newline. It has no character that could end or turn a line.
pub(super) fn written(mut format: impl Format, read: &RecordLine) -> String {
    let mut out = Vec::new();
    write_line(&mut format, read.record(), 1 << 20, &mut out);
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.chars().any(|char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char)), "{line:?}");
    line.to_owned()
}

/// A record with these members beside those that each must have.
pub(crate) fn line(members: &Value) -> RecordLine {
    let mut all = json!({ "timestamp": "2021-04-01T19:46:23.817658Z", "eventName": "PackageDownloaded", "seq": 7 });
    for (key, value) in members.as_object().unwrap() {
        all[key] = value.clone();
    }
    crate::testing::record(&all)
}
