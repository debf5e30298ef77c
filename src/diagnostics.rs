//! Our own diagnostics, through `tracing` under the target `tower_audit`, and the mark that keeps them from coming round.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static OWN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as the worker's or a sink's: what is logged here never enters a sink of ours again.
pub(crate) fn enter_own_thread() {
    OWN_THREAD.set(true);
}

/// Whether this is a thread of this library.
pub(crate) fn is_own_thread() -> bool {
    OWN_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Runs code of the application, whose panic costs what it would have told and no more.
pub(crate) fn contained<T>(what: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| tracing::error!(target: "tower_audit", what, "panicked; the audit log goes on without its answer"))
        .ok()
}
