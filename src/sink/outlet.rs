//! One sink with a thread and a bounded buffer of its own, so that a write that hangs stops nobody else.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Sink;
use crate::error::Error;

/// How many bytes may wait for a sink. Larger batches gain nothing, and what does not fit waits in the queue,
/// where it is counted.
const BUFFER: usize = 1024 * 1024;

/// Told by a sink's thread what became of a batch.
pub(crate) trait Settle: Send + Sync + 'static {
    /// `records` lines that held `bytes` of the budget left: written, or else lost.
    fn settle(&self, records: usize, bytes: usize, written: bool);
}

/// The worker's end of a sink.
#[derive(Debug)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    next_seq: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    records: usize,
    reserved: usize,
    /// Bytes handed in, and bytes that the sink is done with.
    taken_in: u64,
    done_with: u64,
    /// Up to where somebody waits for a flush.
    flush_to: u64,
    flushed: u64,
    written: u64,
    ending: bool,
    ended: bool,
}

impl Outlet {
    /// Starts the sink's thread.
    pub(crate) fn start(sink: Box<dyn Sink>, settle: Arc<dyn Settle>) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        thread::Builder::new()
            .name("audit-sink".into())
            .spawn(move || run(&theirs, sink, &*settle))
            .map_err(|error| Error::start("cannot start the sink's thread").with_source(error))?;
        Ok(Self { shared, next_seq: 1 })
    }

    /// How many more bytes it takes now. A line that begins below the bound is taken whole.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.lock().buffer.len() < BUFFER
    }

    /// The number of the next line.
    pub(crate) fn next_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Takes whole lines; `reserved` is what their records hold of the budget of captured bytes.
    pub(crate) fn append(&self, lines: &[u8], records: usize, reserved: usize) {
        let mut state = self.shared.lock();
        state.buffer.extend_from_slice(lines);
        state.records += records;
        state.reserved += reserved;
        state.taken_in += lines.len() as u64;
        drop(state);
        self.shared.ready.notify_one();
    }

    /// A mark that [`Outlet::is_past`] recognises once everything taken so far is written and flushed.
    pub(crate) fn mark(&self) -> u64 {
        let mut state = self.shared.lock();
        state.flush_to = state.taken_in;
        let mark = state.taken_in;
        drop(state);
        self.shared.ready.notify_one();
        mark
    }

    pub(crate) fn is_past(&self, mark: u64) -> bool {
        self.shared.lock().flushed >= mark
    }

    /// Lines that the sink has taken for good.
    pub(crate) fn written(&self) -> u64 {
        self.shared.lock().written
    }

    /// Asks the thread to write what is left and to end.
    pub(crate) fn end(&self) {
        self.shared.lock().ending = true;
        self.shared.ready.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared, mut sink: Box<dyn Sink>, settle: &dyn Settle) {
    let mut batch = Vec::new();
    loop {
        let mut state = shared.lock();
        while state.buffer.is_empty() && state.flush_to <= state.flushed && !state.ending {
            state = shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.buffer, &mut batch);
        let (records, reserved) = (std::mem::take(&mut state.records), std::mem::take(&mut state.reserved));
        let wants_flush = state.flush_to > state.flushed;
        let ending = state.ending && batch.is_empty();
        drop(state);

        if ending {
            contained("shutdown", || sink.shutdown());
            let mut state = shared.lock();
            state.flushed = state.taken_in;
            state.ended = true;
            return;
        }
        let written = batch.is_empty() || contained("write", || write_all(&mut *sink, &batch));
        if records > 0 || !written {
            settle.settle(records, reserved, written);
        }
        if wants_flush {
            contained("flush", || sink.flush());
        }

        let mut state = shared.lock();
        state.done_with += batch.len() as u64;
        if written {
            state.written += batch.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        if wants_flush {
            state.flushed = state.done_with;
        }
        drop(state);
        batch.clear();
        batch.shrink_to(BUFFER);
    }
}

fn write_all(sink: &mut dyn Sink, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match sink.write(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            taken => rest = rest.get(taken..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Runs the sink's code; its errors and panics are told through `tracing` and cost no more than the batch.
fn contained(doing: &'static str, work: impl FnOnce() -> io::Result<()>) -> bool {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(target: "tower_audit", doing, %error, "the audit sink failed");
            false
        }
        Err(_) => {
            tracing::error!(target: "tower_audit", doing, "the audit sink panicked");
            false
        }
    }
}
