//! Cloudsmith's two logs: which records each has, and its columns.
//!
//! Mark requests for content with [`Event::log_type`](crate::Event::log_type); all else is the audit log. What the columns hold is in
//! [`guide::formats`](crate::guide::formats).
//!
//! ```
//! use http::Method;
//! use tower_audit::{Auditor, Catalog, Event, LogType, presets, sink};
//!
//! # fn main() -> Result<(), tower_audit::Error> {
//! let download = Event::new("PackageDownloaded").log_type(LogType::Client).on(Method::GET, "/{owner}/{repo}/{*file}");
//! let ((client, downloads), (audit, changes)) = (sink::memory(), sink::memory());
//! let auditor = Auditor::builder()
//!     .catalog(Catalog::new().event(download))
//!     .sink(presets::cloudsmith::client_log(client))
//!     .sink(presets::cloudsmith::audit_log(audit))
//!     .build()?;
//! drop(auditor);
//! assert!(downloads.text().starts_with("datetime,repository,status,") && changes.text().starts_with("actor,"));
//! # Ok(())
//! # }
//! ```

use crate::LogType;
use crate::format::{Columns, csv};
use crate::sink::{Output, Sink};

/// The client log: records of requests for content, as CSV with [`Columns::client_log`].
pub fn client_log(sink: impl Sink) -> Output {
    Output::new(sink).name("client-logs").log_type(LogType::Client).format(csv(Columns::client_log()))
}

/// The audit log: all other records, as CSV with [`Columns::audit_log`].
pub fn audit_log(sink: impl Sink) -> Output {
    Output::new(sink).name("audit-logs").log_type(LogType::Audit).format(csv(Columns::audit_log()))
}
