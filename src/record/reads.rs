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
    /// Reads are not recorded, not even if they fail or are refused: a request that is not captured when it begins cannot be
    /// recorded when it ends.
    Skip,
    /// Like [`Debug`](Self::Debug), with the class `lossy`: when the queue is full, a read is served, its record is dropped,
    /// and the loss is reported.
    Lossy,
    /// Reads are recorded at the level `debug`, so that searches, sinks and forwarders can leave them out. Failed reads stay
    /// `warn` or `error`.
    Debug,
    /// Reads are recorded like every other request. The default, so that nothing is left out of the log without a decision.
    #[default]
    Record,
}

setting_names!(Reads { Skip => "skip", Lossy => "lossy", Debug => "debug", Record => "record" });
