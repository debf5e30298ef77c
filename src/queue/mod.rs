//! From a finished draft to its line in a sink's buffer: hand-over, admission, and the worker behind them.

mod admission;
mod channel;
mod control;
mod front;
mod held;
mod loss;
#[cfg(all(test, shuttle))]
mod model;
mod own;
mod promise;
mod worker;

pub(crate) use admission::{Admission, Waiting};
pub(crate) use channel::{Channel, Shape};
pub use control::ShutdownReport;
pub(crate) use control::{Control, Reach, StopReason};
pub(crate) use front::{Limits, Queue};
pub(crate) use loss::LossReason;
#[cfg(feature = "export")]
pub(crate) use promise::Promise;
pub(crate) use promise::{Answer, promise};
pub(crate) use worker::Worker;
