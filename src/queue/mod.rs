//! From a finished draft to its line in a sink's buffer: hand-over, admission, and the worker behind them.

mod admission;
mod control;
mod front;
mod loss;
mod own;
mod promise;
mod worker;

pub(crate) use admission::{Admission, Allowance, Waiting};
pub(crate) use control::Control;
pub use control::ShutdownReport;
pub(crate) use front::{Limits, Queue};
pub(crate) use loss::LossReason;
pub(crate) use promise::Answer;
pub(crate) use worker::Worker;
