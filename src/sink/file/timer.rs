//! A thread that does what is due although no batch comes: the last records of an hour are sealed at its end, not with
//! the first of the next one.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::disk::Disk;
use super::writer::{LONGEST, Writer};
use crate::diagnostics::{contained, enter_own_thread};

/// Ends its thread when it is dropped, and waits for it, so that the file is closed and its lock free.
#[derive(Debug)]
pub(super) struct Timer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ending: Mutex<bool>,
    wake: Condvar,
}

impl Timer {
    pub(super) fn start<D: Disk>(writer: &Arc<Mutex<Writer<D>>>) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (theirs, writer) = (shared.clone(), Arc::downgrade(writer));
        let thread = thread::Builder::new().name("audit-file".into()).spawn(move || run(&theirs, &writer))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, not even that it panicked: the sink met the same state.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn end(&self) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }
}

/// The writer is held only while something is done, so that a sink that is dropped is gone.
fn run<D: Disk>(shared: &Shared, writer: &Weak<Mutex<Writer<D>>>) {
    /// The shortest pause after a failure.
    const AFTER_FAILURE: Duration = Duration::from_secs(1);
    enter_own_thread();
    let mut failed = false;
    loop {
        let Some(strong) = writer.upgrade() else { return };
        let wait = contained("the timer of an audit file", || {
            strong.lock().unwrap_or_else(PoisonError::into_inner).until_tick()
        });
        let wait = wait.unwrap_or(LONGEST).max(if failed { AFTER_FAILURE } else { Duration::ZERO });
        drop(strong);
        let ending = shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let (ending, _) =
            shared.wake.wait_timeout_while(ending, wait, |ending| !*ending).unwrap_or_else(PoisonError::into_inner);
        if *ending {
            return;
        }
        drop(ending);
        let Some(strong) = writer.upgrade() else { return };
        let done =
            contained("the timer of an audit file", || strong.lock().unwrap_or_else(PoisonError::into_inner).tick());
        failed = done != Some(true);
    }
}
