//! A record as its JSON line, which holds all of it.

use super::Format;
use crate::record::{Record, time_text, wire};

/// The [record](crate::guide::record) as one JSON object. The default.
///
/// It accepts every record. A record that was read back is written as it was read, as long as it fits.
pub fn json() -> Json {
    Json(())
}

/// See [`json()`].
#[derive(Clone, Debug, Default)]
pub struct Json(());

impl Format for Json {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, _record: &Record<'_>) -> bool {
        true
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        match record.line {
            Some(line) => out.extend_from_slice(line.as_bytes()),
            None => wire::write(record, out),
        }
    }
}

/// The record's `timestamp`, a space, and its JSON object: for stores that take the time from a line's beginning.
///
/// ```text
/// 2026-11-20T07:55:37.720973Z {"timestamp":"2026-11-20T07:55:37.720973Z","level":"info",…}
/// ```
pub fn json_timestamp() -> JsonTimestamp {
    JsonTimestamp(json())
}

/// See [`json_timestamp()`].
#[derive(Clone, Debug, Default)]
pub struct JsonTimestamp(Json);

impl Format for JsonTimestamp {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, _record: &Record<'_>) -> bool {
        true
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&time_text(record.fields.timestamp));
        out.push(b' ');
        self.0.write(record, out);
    }
}
