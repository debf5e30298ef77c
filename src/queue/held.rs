//! How many exchanges are open, and how many bytes they and their unwritten records hold.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Both numbers in one word, because every request changes both: one locked instruction instead of two. 24 bits count the
/// exchanges, 40 the bytes, which are bytes of this process's memory and so far below one TiB.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicU64);

const OPEN: u64 = 1 << 40;

impl Held {
    /// Counts an open exchange and what it holds from the start; gives the bytes that were held before. In one order with the
    /// close of the queue, as is [`Held::exchanges`].
    pub(super) fn open(&self, bytes: usize) -> usize {
        in_bytes(self.0.fetch_add(OPEN + bytes as u64, Ordering::SeqCst))
    }

    /// Counts the end of an exchange. Its bytes stay until its record is settled.
    pub(super) fn close(&self) {
        self.0.fetch_sub(OPEN, Ordering::SeqCst);
    }

    pub(super) fn exchanges(&self) -> usize {
        usize::try_from(self.0.load(Ordering::SeqCst) / OPEN).unwrap_or(usize::MAX)
    }

    pub(super) fn bytes(&self) -> usize {
        in_bytes(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, bytes: usize) {
        if bytes > 0 {
            self.0.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn sub(&self, bytes: usize) {
        if bytes > 0 {
            self.0.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Adds the bytes unless more than `most` would then be held.
    pub(super) fn add_within(&self, bytes: usize, most: usize) -> bool {
        let room = |held: u64| {
            let sum = usize::try_from(held % OPEN).ok()?.checked_add(bytes)?;
            (sum <= most).then_some(held + bytes as u64)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

fn in_bytes(held: u64) -> usize {
    usize::try_from(held % OPEN).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numbers_are_kept_apart() {
        let held = Held::default();
        assert_eq!((held.open(5), held.open(0)), (0, 5));
        held.add(7);
        assert_eq!((held.exchanges(), held.bytes()), (2, 12));
        assert!(!held.add_within(4, 15) && held.add_within(3, 15));
        held.close();
        held.sub(15);
        assert_eq!((held.exchanges(), held.bytes()), (1, 0));
    }
}
