//! The memory that passes work with, and leave to the next ones.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, TryLockError};

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

/// Memory for passes, as many as run at a time: the worker's, and one within it.
#[derive(Debug, Default)]
pub(super) struct Pool([Mutex<Scratch>; Self::SIZE]);

impl Pool {
    const SIZE: usize = 4;

    /// Memory that nobody else works with; new if there is none.
    pub(super) fn lend(&self) -> Lent<'_> {
        for memory in &self.0 {
            match memory.try_lock() {
                Ok(memory) => return Lent::Kept(memory),
                // A pass begins anew whatever the last one left.
                Err(TryLockError::Poisoned(memory)) => return Lent::Kept(memory.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Lent::New(Box::default())
    }
}

/// The memory of a pass, while that works with it.
#[derive(Debug)]
pub(super) enum Lent<'p> {
    Kept(MutexGuard<'p, Scratch>),
    New(Box<Scratch>),
}

impl Deref for Lent<'_> {
    type Target = Scratch;

    #[inline(always)]
    fn deref(&self) -> &Scratch {
        match self {
            Self::Kept(memory) => memory,
            Self::New(memory) => memory,
        }
    }
}

impl DerefMut for Lent<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Scratch {
        match self {
            Self::Kept(memory) => memory,
            Self::New(memory) => memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_passes_share_memory_and_the_next_one_finds_it() {
        let pool = Pool::default();
        let mut all: Vec<Lent<'_>> = (0..=Pool::SIZE).map(|_| pool.lend()).collect();
        all.iter_mut().for_each(|memory| memory.stack.reserve(1));
        assert_eq!(all.iter().filter(|memory| matches!(memory, Lent::New(_))).count(), 1);
        drop(all);
        assert!(pool.lend().stack.capacity() > 0);
    }

    #[test]
    fn a_panic_costs_no_memory() {
        let pool = Pool::default();
        let panics = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _memory = pool.lend();
                    panic!("on purpose");
                })
                .join()
        });
        assert!(panics.is_err() && matches!(pool.lend(), Lent::Kept(_)));
    }
}
