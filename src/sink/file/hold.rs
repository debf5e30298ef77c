//! What of a file is not exported yet: retention spares it, and its bytes are bounded.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Micros;

/// Shared by the file's writer and the exporter.
#[cfg_attr(not(feature = "export"), allow(dead_code, reason = "only the exporter makes one"))]
#[derive(Debug)]
pub(crate) struct Hold {
    /// How many bytes may wait, the open segment included.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Everything up to this segment is exported.
    exported: Option<(Micros, u64)>,
    /// Bytes of sealed segments that are not.
    waiting: u64,
}

impl Hold {
    #[cfg(any(feature = "export", test))]
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Whether a segment has to stay.
    pub(super) fn holds(&self, segment: (Micros, u64)) -> bool {
        self.lock().exported.is_none_or(|exported| segment > exported)
    }

    /// Refuses what is too much, as a disk that is full does.
    pub(super) fn check_room(&self, open: u64) -> io::Result<()> {
        let waiting = self.lock().waiting;
        if waiting.saturating_add(open) <= self.limit {
            return Ok(());
        }
        let message = format!(
            "{waiting} bytes wait to be exported, and {} are allowed to (TOWER_AUDIT_EXPORT_SPOOL_BYTES)",
            self.limit
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, message))
    }

    pub(super) fn add_waiting(&self, bytes: u64) {
        let mut state = self.lock();
        state.waiting = state.waiting.saturating_add(bytes);
    }

    /// What the exporter found in the folder.
    #[cfg(any(feature = "export", test))]
    pub(crate) fn set(&self, exported: Option<(Micros, u64)>, waiting: u64) {
        *self.lock() = State { exported, waiting };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
