//! Where tests kill the process between two steps. Nothing outside of tests.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point() {}

/// Ends the process at the point whose number the variable has, as a kill does: nothing is flushed, nothing dropped.
#[cfg(test)]
pub(crate) fn point() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(at) = std::env::var(VARIABLE).ok().and_then(|at| at.parse::<u64>().ok()) else { return };
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at {
        std::process::abort();
    }
}

#[cfg(test)]
pub(crate) const VARIABLE: &str = "TOWER_AUDIT_TEST_CRASH_AT";
