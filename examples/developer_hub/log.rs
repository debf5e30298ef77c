//! Ordinary logs: lines of JSON among the audit records on stdout, none of which can pass for one.

use std::error::Error;
use std::io;

use tower_audit::Auditor;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

/// Until there is an audit log: to stderr.
pub(crate) fn at_start<T>(start: impl FnOnce() -> T) -> T {
    let stderr = fmt().json().with_env_filter(filter()).with_writer(io::stderr).finish();
    tracing::subscriber::with_default(stderr, start)
}

/// From now on through the sink of the records: they never cut into one another, and a reader of stdout who stops blocks
/// nobody who logs.
pub(crate) fn beside_records(auditor: &Auditor) -> Result<(), Box<dyn Error + Send + Sync>> {
    // What the audit log says of itself, such as that a sink fails, cannot go through that sink.
    let about_audit = EnvFilter::new("off,tower_audit=warn");
    let stderr = fmt::layer().json().with_writer(io::stderr).with_filter(about_audit);
    let log = registry().with(stderr);
    #[cfg(feature = "tracing-subscriber")]
    let log = log.with(auditor.log_layer().with_filter(filter()));
    // The published crate has the log layer only if asked for: `--features tracing-subscriber`.
    #[cfg(not(feature = "tracing-subscriber"))]
    let (log, _) = (log.with(fmt::layer().json().with_writer(io::stderr).with_filter(filter())), auditor);
    log.try_init()?;
    Ok(())
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}
