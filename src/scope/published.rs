//! A value that is replaced now and then and read all the time. Readers never wait for whoever replaces it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

/// Two places: one is read while the other is written.
///
/// A writer locks only the place that is not the current one, so a reader that finds a lock has looked at an old index: it
/// looks again, and the next one is free. Readers that are still in the place that a writer needs hold it for a look-up; the
/// writer waits for them.
pub(crate) struct Published<T> {
    places: [RwLock<Arc<T>>; 2],
    current: AtomicUsize,
    writing: Mutex<()>,
}

impl<T> Published<T> {
    pub(super) fn new(value: T) -> Self {
        let value = Arc::new(value);
        let places = [RwLock::new(value.clone()), RwLock::new(value)];
        Self { places, current: AtomicUsize::new(0), writing: Mutex::new(()) }
    }

    /// Looks at the value. `look` must be short: it may hold up whoever replaces the value.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Arc<T>) -> R) -> R {
        loop {
            let at = self.current.load(Ordering::Acquire);
            let value = match self.places[at].try_read() {
                Ok(value) => value,
                Err(TryLockError::Poisoned(value)) => value.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::hint::spin_loop();
                    continue;
                }
            };
            // Behind an old index there can be a value that is not published yet.
            if self.current.load(Ordering::Acquire) == at {
                return look(&value);
            }
        }
    }

    pub(super) fn get(&self) -> Arc<T> {
        self.read(Arc::clone)
    }

    /// Replaces the value for all who look from now on.
    pub(super) fn publish(&self, value: T) {
        let value = Arc::new(value);
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = 1 - self.current.load(Ordering::Relaxed);
        let old = {
            let mut place = self.places[next].write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, value.clone())
        };
        self.current.store(next, Ordering::Release);
        // The other place must not keep what is replaced: open requests decide how long that lives.
        let older = {
            let mut place = self.places[1 - next].write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, value)
        };
        drop((old, older));
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn readers_see_the_latest_value_and_never_an_older_one_than_before() {
        let (published, stop) = (Published::new(0_u64), AtomicBool::new(false));
        std::thread::scope(|threads| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    threads.spawn(|| {
                        let mut last = 0;
                        while !stop.load(Ordering::Acquire) {
                            let now = published.read(|value| **value);
                            assert!(now >= last, "{now} after {last}");
                            last = now;
                        }
                    })
                })
                .collect();
            for value in 1..=10_000 {
                published.publish(value);
                assert_eq!(*published.get(), value);
            }
            stop.store(true, Ordering::Release);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }

    #[test]
    fn a_writer_that_stands_still_holds_up_no_reader() {
        let published = Published::new(1);
        // As far as a change ever gets with a lock in its hand.
        let _held = published.places[1].write().unwrap();
        assert_eq!(*published.get(), 1);
    }

    #[test]
    fn what_is_replaced_is_kept_by_nobody() {
        let published = Published::new(1);
        let old = Arc::downgrade(&published.get());
        published.publish(2);
        assert!(old.upgrade().is_none());
    }
}
