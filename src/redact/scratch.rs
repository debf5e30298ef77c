//! The memory that passes work with, and leave to the next ones.

use std::sync::{Mutex, PoisonError};

use super::echo::Echo;
use super::frame::Frame;
use super::keys::Keys;
use super::pair::Pair;

/// The memory that a pass works with, and leaves to the next one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) echo: Echo,
    pub(super) keys: Keys,
    /// Open containers of JSON.
    pub(super) stack: Vec<Frame>,
    pub(super) pairs: Vec<Pair>,
}

/// Memory that passes work with, for the next ones.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    /// More than run at a time are let go.
    const MAX_KEPT: usize = 4;

    pub(super) fn take(&self) -> Scratch {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn put(&self, scratch: Scratch) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Self::MAX_KEPT {
            kept.push(scratch);
        }
    }
}
