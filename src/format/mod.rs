//! What a record looks like in a log: formats.
//!
//! | format | a line is | header |
//! |---|---|---|
//! | [`json()`] | the [record](crate::guide::record) as one JSON object; the default | |
//! | [`json_timestamp()`] | the timestamp, a space, the JSON object | |
//! | [`key_value()`] | keys and values, as Psono's audit log | |
//! | [`combined()`], [`common()`] | a line of an Apache access log | |
//! | [`csv()`] | a row of CSV with [`Columns`] | yes |
//! | [`backstage_auditor()`] | JSON as Backstage's core auditor writes it | |
//! | [`line_fn()`] | what a closure writes | |
//!
//! # Your own format
//!
//! A [`Format`] writes one record as one line. It can take every value by its [`Field`](crate::Field):
//!
//! ```
//! use tower_audit::format::Format;
//! use tower_audit::{Auditor, Record, sink};
//!
//! struct Brief;
//!
//! impl Format for Brief {
//!     fn header(&self) -> Option<String> {
//!         None
//!     }
//!
//!     fn accepts(&self, _record: &Record<'_>) -> bool {
//!         true
//!     }
//!
//!     fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
//!         out.extend_from_slice(record.event_name().as_bytes());
//!     }
//! }
//!
//! # fn main() -> Result<(), tower_audit::Error> {
//! let (lines, records) = sink::memory();
//! let auditor = Auditor::builder().sink(sink::Output::new(lines).format(Brief)).build()?;
//! drop(auditor);
//! assert_eq!(records.lines(), ["AuditStarted", "AuditStopped"]);
//! # Ok(())
//! # }
//! ```

mod apache;
mod backstage;
mod csv;
mod fit;
mod json;
mod key_value;
mod line_fn;
mod one_line;
#[cfg(feature = "testing")]
#[cfg(test)]
pub(crate) mod sample;

pub use apache::{Combined, Common, combined, common};
pub use backstage::{AuditorEvent, BackstageAuditor, SeverityLevel, backstage_auditor};
pub use csv::{Columns, Csv, csv};
pub(crate) use fit::write_line;
pub use json::{Json, JsonTimestamp, json, json_timestamp};
pub(crate) use key_value::upper_snake;
pub use key_value::{KeyValue, key_value};
pub use line_fn::{LineFn, line_fn};
pub(crate) use one_line::boxed;

use crate::record::Record;
use crate::record::finished::StageName;

/// Writes a record as one line.
///
/// All methods are required. They are called on a library thread, and must not block.
pub trait Format: Send + 'static {
    /// The first line of each file, without its newline, such as the names of columns. `None` for no header.
    fn header(&self) -> Option<String>;

    /// Whether this format can contain the record. A record that is not accepted is not written to outputs with this format,
    /// gets no `seq` there, and does not count as lost.
    ///
    /// Internal records, whose names begin with `Audit`, are always written.
    fn accepts(&self, record: &Record<'_>) -> bool;

    /// Appends the record's line, without a newline.
    ///
    /// The first call has the record with all values complete. If the line is longer than the output's limit, the method is
    /// called again with a record whose long values are shortened or left out. Line breaks in the line are replaced by
    /// spaces.
    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>);
}

impl<F: Format + ?Sized> Format for Box<F> {
    fn header(&self) -> Option<String> {
        (**self).header()
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        (**self).accepts(record)
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        (**self).write(record, out);
    }
}

/// Whether the record says how something ended, or is a single record: every stage but the initiation.
fn ends_something(record: &Record<'_>) -> bool {
    record.fields.stage != StageName::Initiation
}

const INTERNAL: &str = "tower-audit/";

/// Whether the user agent of a client could be taken for that of the library's own record.
fn is_like_internal(agent: &str) -> bool {
    agent.get(..INTERNAL.len()).is_some_and(|start| start.eq_ignore_ascii_case(INTERNAL))
}

/// The library's own record for formats that have no place for an event's name: where others have the user agent, its name and
/// its counts, such as `tower-audit/AuditRecordsLost count=3`.
fn internal_agent(record: &Record<'_>) -> String {
    let mut agent = [INTERNAL, record.event_name()].concat();
    for (key, value) in record.meta() {
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            agent.extend([" ", key, "=", &value]);
        }
    }
    agent
}
