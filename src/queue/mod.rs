//! The hand-over between requests and the worker: admission, finished drafts, and what is asked of the worker.

mod admission;
mod control;
mod front;
mod held;
mod loss;

pub(crate) use admission::{Admission, Waiting};
pub use control::ShutdownReport;
pub(crate) use control::{Control, Flush, Reach, Stop, StopReason, after};
pub(crate) use front::{FULL, Limits, Queue, Rest};
pub(crate) use loss::{LossReason, Owed, Tally, Untold};
