//! Counts the bytes that searches look at, so that tests can show that the work grows with the text and not with its
//! square. Outside of tests it counts nothing.

#[cfg(test)]
std::thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Adds bytes that were looked at on this thread.
#[inline(always)]
pub(crate) fn add(bytes: usize) {
    #[cfg(test)]
    LOOKED_AT.with(|count| count.set(count.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// The number of bytes that a closure had this thread look at.
#[cfg(test)]
pub(crate) fn of(run: impl FnOnce()) -> usize {
    let before = LOOKED_AT.with(std::cell::Cell::get);
    run();
    LOOKED_AT.with(std::cell::Cell::get) - before
}
