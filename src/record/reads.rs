//! How much of reads is recorded.

use super::setting::setting_names;

/// How much is recorded of reads: requests by `GET` and `HEAD`, and events that say they are reads
/// ([`Event::read`](crate::Event::read)).
///
/// Most services answer many more reads than changes. If the log records both alike, the changes are hard to find. The
/// values are ordered: a later one records more. [`guide::reads`](crate::guide::reads) says which auditors ask for which.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reads {
    /// Not at all, also those that fail or are refused: what is not recorded at its beginning cannot be recorded at its end.
    Skip,
    /// As [`Debug`](Self::Debug), and lossy: when the queue is full, a read is served, its record is dropped, and the loss is reported.
    Lossy,
    /// At the level `debug`, so that searches, sinks and forwarders can leave them out. Those that fail stay `warn` or `error`.
    Debug,
    /// Like every other request. The default, because what an audit log leaves out has to be somebody's decision.
    #[default]
    Record,
}

setting_names!(Reads { Skip => "skip", Lossy => "lossy", Debug => "debug", Record => "record" });
