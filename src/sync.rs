//! What threads and tasks meet at: std's own. Tests under `--cfg shuttle` get those of a model checker in their place, which
//! decides who goes on at each of them.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic},
    thread,
    time::Instant,
};

#[cfg(all(test, shuttle))]
pub(crate) use self::model::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError, atomic, thread};

/// Starts a thread of this library.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    #[cfg(all(test, not(shuttle)))]
    starts::count()?;
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// A system that refuses threads, for tests.
#[cfg(all(test, not(shuttle)))]
pub(crate) mod starts {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// From now on this thread can start so many, or any number.
    pub(crate) fn limit(left: Option<u32>) {
        LEFT.set(left);
    }

    pub(super) fn count() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::Error::other("no more threads")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Shuttle's primitives, and what it lacks: time. The clock stands still until somebody waits for a time to pass. Such a wait
/// gives way to the others once, for as long as the scheduler likes, and then its time is over, unless what it waits for has
/// come. So a timeout can strike at any moment, and never saves anybody from waiting for ever without one.
#[cfg(all(test, shuttle))]
mod model {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::LockResult;
    use std::time::Duration;

    pub(crate) use shuttle::sync::{Arc, PoisonError, atomic};

    thread_local! {
        // All tasks of a model run on one thread.
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Self {
            Self(NOW.get())
        }

        pub(crate) fn elapsed(self) -> Duration {
            NOW.get() - self.0
        }

        pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
            self.0.checked_add(duration).map(Self)
        }
    }

    fn pass(duration: Duration) {
        shuttle::thread::yield_now();
        NOW.set(NOW.get().saturating_add(duration));
    }

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::{Builder, spawn, yield_now};

        pub(crate) fn park_timeout(limit: std::time::Duration) {
            super::pass(limit);
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Knows its mutex, so that a wait can give it back for a time.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        guard: shuttle::sync::MutexGuard<'a, T>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            self.own(self.0.lock())
        }

        pub(crate) fn get_mut(&mut self) -> LockResult<&mut T> {
            self.0.get_mut()
        }

        fn own<'a>(&'a self, locked: LockResult<shuttle::sync::MutexGuard<'a, T>>) -> LockResult<MutexGuard<'a, T>> {
            match locked {
                Ok(guard) => Ok(MutexGuard { mutex: self, guard }),
                Err(poisoned) => Err(PoisonError::new(MutexGuard { mutex: self, guard: poisoned.into_inner() })),
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(shuttle::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<'a, T>(&self, held: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            let MutexGuard { mutex, guard } = held;
            mutex.own(self.0.wait(guard))
        }

        pub(crate) fn wait_while<'a, T>(
            &self,
            held: MutexGuard<'a, T>,
            condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            let MutexGuard { mutex, guard } = held;
            mutex.own(self.0.wait_while(guard, condition))
        }

        /// Tells whether the time was over.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            held: MutexGuard<'a, T>,
            limit: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            let mutex = held.mutex;
            drop(held);
            pass(limit);
            mutex.lock().map(|guard| (guard, true)).map_err(|poisoned| PoisonError::new((poisoned.into_inner(), true)))
        }

        pub(crate) fn wait_timeout_while<'a, T>(
            &self,
            mut held: MutexGuard<'a, T>,
            limit: Duration,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            if !condition(&mut held) {
                return Ok((held, false));
            }
            let mutex = held.mutex;
            drop(held);
            shuttle::thread::yield_now();
            let mut held = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            // What it waits for has come while it gave way, or never within the limit.
            let is_over = condition(&mut held);
            if is_over {
                NOW.set(NOW.get().saturating_add(limit));
            }
            Ok((held, is_over))
        }
    }
}
