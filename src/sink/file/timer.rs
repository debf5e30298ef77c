//! A thread that does what is due although no batch comes: the last records of an hour are sealed at its end, not with
//! the first of the next one.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use super::disk::Disk;
use super::writer::Writer;

/// Ends its thread when it is dropped.
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

    /// Ends the thread and waits for it.
    pub(super) fn end(mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, not even that it panicked: the sink met the same state.
            let _ = thread.join();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.end();
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
    loop {
        let Some(strong) = writer.upgrade() else { return };
        let wait = strong.lock().unwrap_or_else(PoisonError::into_inner).until_tick();
        drop(strong);
        let ending = shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let (ending, _) =
            shared.wake.wait_timeout_while(ending, wait, |ending| !*ending).unwrap_or_else(PoisonError::into_inner);
        if *ending {
            return;
        }
        drop(ending);
        let Some(strong) = writer.upgrade() else { return };
        strong.lock().unwrap_or_else(PoisonError::into_inner).tick();
    }
}
