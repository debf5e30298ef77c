//! Diagnostics of this library, through `tracing` under the target `tower_audit`. No panic of a subscriber leaves this file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static OWN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as a library thread: what is logged here never enters a sink of this library again.
pub(crate) fn enter_own_thread() {
    OWN_THREAD.set(true);
}

/// Whether this is a library thread.
pub(crate) fn is_own_thread() -> bool {
    OWN_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Runs code that may panic; `None` if it did.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let (mut work, mut result) = (Some(work), None);
    run_caught(&mut || result = work.take().map(|work| work()));
    result
}

/// Not generic, so that the binary has it once.
fn run_caught(work: &mut dyn FnMut()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
        // A payload is a value of the application: its destructor may panic as well.
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        #[expect(clippy::mem_forget, reason = "the destructor of this payload may panic too, without end")]
        std::mem::forget(payload);
    }
}

/// Emits a diagnostic. A subscriber that panics loses this diagnostic, and does no other harm.
pub(crate) fn report(emit: impl FnOnce()) {
    let _ = caught(emit);
}

/// Runs code of the application; `None` if it panicked, which is reported.
pub(crate) fn contained<T>(what: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    let result = caught(work);
    if result.is_none() {
        report_panic(what);
    }
    result
}

#[cold]
fn report_panic(what: &'static str) {
    report(|| tracing::error!(target: "tower_audit", what, "panicked; the audit log goes on without its answer"));
}
