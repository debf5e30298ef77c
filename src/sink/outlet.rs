//! One sink with a thread and a buffer of its own, so that a write that hangs delays nobody else.
//!
//! The worker counts the records that it rendered; those counts are the positions here. A position is *settled* once its
//! line is written or given up, and *durable* once a flush after its write has succeeded.
//!
//! A sink that fails for too long is given up: what waits for it and what it would get is lost, and counted. The worker has
//! it tried again from time to time, with the report of what was lost as the first lines that it gets.

mod thread;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use self::thread::Thread;
use super::retry::Retry;
use super::{Sink, SinkState};
use crate::error::Error;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn};

/// Bytes that are written at once. Larger batches gain nothing.
const CHUNK: usize = 64 * 1024;
/// Lines of so many bytes are a chunk of their own.
const MANY: usize = 16 * 1024;
/// Bytes that may wait for a best-effort sink. What waits for a required one is bounded by the queue, which admits no
/// request while too many records are unwritten.
const BEST_EFFORT: usize = 4 * 1024 * 1024;

/// What a sink's thread reports to.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// Records were written.
    fn written(&self);
    /// Records were made durable or given up, or the sink was tried again, or it ended.
    fn moved(&self);
    /// Whether the sink is given anything. Called under the sink's lock: it must take no other.
    fn usable(&self, usable: bool);
    /// The sink fails, works again, or is given up.
    fn changed(&self, name: &str, state: SinkState, error: &io::Error);
}

/// A sink to be started.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) retry: Retry,
    /// A broken pipe is final: standard output and standard error whose reader is gone get no other reader.
    pub(crate) ends_with_reader: bool,
    pub(crate) watcher: Arc<dyn Watcher>,
}

/// The worker's end of a sink.
#[derive(Clone)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    watcher: Arc<dyn Watcher>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    /// For the sink's thread alone.
    ready: Condvar,
    /// For those who wait for the sink's first lines, or for its end.
    milestone: Condvar,
}

/// What became of the lines of one sink so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Up to which record everything is written or given up.
    pub(crate) settled: u64,
    /// Up to which record everything is durable or lost.
    pub(crate) durable: u64,
    /// The last position before which a record was lost; 0 if none was.
    pub(crate) lost_upto: u64,
    /// Lines that the sink has taken: records of exchanges and of this library.
    pub(crate) written: u64,
    /// Records of exchanges that it never will.
    pub(crate) lost: u64,
    /// Lines that were taken in part when the sink was given up. They are completed first when it works again.
    pub(crate) torn: u64,
    pub(crate) retries: u64,
    /// Panics of the application's filter or format, and of the sink's thread.
    pub(crate) panics: u64,
    pub(crate) buffered: usize,
    /// Records of this library that wait in the buffer.
    pub(crate) own_waiting: u64,
    /// Records of this library that are being written.
    pub(crate) own_writing: u64,
    /// Records of exchanges that never entered, because a best-effort sink had no capacity.
    pub(crate) missed: u64,
    pub(crate) state: SinkState,
    /// It is given up, and will never be tried again.
    pub(crate) is_final: bool,
    /// It is given up, and is being tried again.
    pub(crate) trying: bool,
    /// The lines of the last trial were taken, at least in part.
    pub(crate) trial_taken: bool,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Batch>,
    /// An empty chunk with its memory, for the next lines.
    spare: Vec<u8>,
    /// Up to which record the buffer reaches.
    filled: u64,
    /// Up to where somebody waits for durability.
    wanted: u64,
    progress: Progress,
    /// The first of the torn lines is a record of an exchange, and not counted as lost yet.
    torn_record: bool,
    /// Lines with which a sink that was given up is tried again.
    trial: Option<Vec<u8>>,
    /// It has taken its first lines, or has failed to.
    begun: bool,
    ending: bool,
    ended: bool,
    /// The sink confirmed its end.
    ended_well: bool,
}

/// Lines that are written at once.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// How many of the lines are records of exchanges.
    records: u64,
    /// Where the lines end that are records of this library.
    own: Vec<usize>,
    /// Up to which record it reaches.
    upto: u64,
}

impl Outlet {
    /// Starts the sink's thread.
    pub(crate) fn start(start: Start) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            name: start.name.clone(),
            state: Mutex::default(),
            ready: Condvar::new(),
            milestone: Condvar::new(),
        });
        let watcher = start.watcher.clone();
        let thread = Thread::new(shared.clone(), start);
        spawn("audit-sink", move || thread.run_to_its_end())
            .map_err(|error| Error::start("cannot start the sink's thread").with_source(error))?;
        Ok(Self { shared, watcher })
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether a best-effort sink takes more now. A line that begins below the bound is taken whole.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.lock().progress.buffered < BEST_EFFORT
    }

    /// Takes whole lines, of `records` records, after which everything up to record `upto` is here or never will be: `lost`
    /// records were not rendered, because the sink was given up. Leaves an empty buffer.
    pub(crate) fn append(&self, lines: &mut Vec<u8>, records: u64, lost: u64, upto: u64) {
        let mut state = self.shared.lock();
        if state.progress.state == SinkState::GivenUp {
            lines.clear();
            state.lose(records + lost, upto);
            state.filled = upto;
            state.progress.settled = upto;
            return;
        }
        state.lose(lost, upto);
        state.take(lines, upto).records += records;
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Takes whole lines, which are records of this library.
    pub(crate) fn append_own(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if state.progress.state == SinkState::GivenUp {
            return;
        }
        let upto = state.filled;
        let batch = state.push(lines, upto);
        let before = batch.bytes.len() - lines.len();
        batch.own.extend(memchr::memchr_iter(b'\n', lines).map(|at| before + at + 1));
        state.progress.own_waiting += count_lines(lines);
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Has a sink that was given up tried again, once: with these lines, which are records of this library, and a flush.
    pub(crate) fn try_again(&self, lines: Vec<u8>) {
        let mut state = self.shared.lock();
        state.progress.trying = true;
        state.trial = Some(lines);
        drop(state);
        self.shared.ready.notify_one();
    }

    /// From now on a sink that came back is given what it gets; false if it was given up again.
    pub(crate) fn use_again(&self) -> bool {
        let state = self.shared.lock();
        let works = state.progress.state != SinkState::GivenUp;
        if works {
            self.watcher.usable(true);
        }
        works
    }

    /// Counts a line as lost that was taken in part, since it will not be completed.
    pub(crate) fn give_up_torn(&self) {
        self.shared.lock().give_up_torn();
    }

    /// Counts records that a best-effort sink was not given.
    pub(crate) fn note_missed(&self, records: u64) {
        self.shared.lock().progress.missed += records;
    }

    /// Counts a panic of the application's filter or format.
    pub(crate) fn note_panic(&self) {
        self.shared.lock().progress.panics += 1;
    }

    /// Asks for durability of everything up to record `upto`.
    pub(crate) fn want(&self, upto: u64) {
        let mut state = self.shared.lock();
        if state.wanted < upto {
            state.wanted = upto;
            drop(state);
            self.shared.ready.notify_one();
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.shared.lock().progress
    }

    /// Asks the thread to write what is left and to end.
    pub(crate) fn end(&self) {
        self.shared.lock().ending = true;
        self.shared.ready.notify_one();
    }

    /// As [`Outlet::end`], and waits for the end, but no longer than `limit`.
    pub(crate) fn end_within(&self, limit: Duration) {
        self.end();
        let state = self.shared.lock();
        let runs = |state: &mut State| !state.ended;
        drop(self.shared.milestone.wait_timeout_while(state, limit, runs));
    }

    /// Waits until the sink has taken its first lines, or has failed to.
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) fn wait_for_its_begin(&self) {
        let state = self.shared.lock();
        let waits = |state: &mut State| !state.begun && !state.ended;
        drop(self.shared.milestone.wait_while(state, waits));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Whether the sink took everything that was left, and confirmed its end.
    pub(crate) fn has_ended_well(&self) -> bool {
        self.shared.lock().ended_well
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl State {
    /// As [`State::push`], and empties the buffer. Many lines become a chunk with the memory that they are in, so that nothing has
    /// to be copied, and the buffer gets other memory.
    fn take(&mut self, lines: &mut Vec<u8>, upto: u64) -> &mut Batch {
        if lines.len() >= MANY || (self.begins_chunk() && self.spare.capacity() > 0) {
            let mut bytes = std::mem::take(&mut self.spare);
            bytes.reserve(lines.len().min(CHUNK));
            std::mem::swap(lines, &mut bytes);
            self.progress.buffered += bytes.len();
            self.filled = upto;
            self.chunks.push_back(Batch { bytes, upto, ..Batch::default() });
            return self.chunks.back_mut().expect("a chunk was pushed");
        }
        let last = self.push(lines, upto);
        lines.clear();
        last
    }

    fn begins_chunk(&self) -> bool {
        self.chunks.back().is_none_or(|last| last.bytes.len() >= CHUNK)
    }

    fn push(&mut self, lines: &[u8], upto: u64) -> &mut Batch {
        self.progress.buffered += lines.len();
        self.filled = upto;
        if self.begins_chunk() {
            let bytes = std::mem::take(&mut self.spare);
            self.chunks.push_back(Batch { bytes, ..Batch::default() });
        }
        let last = self.chunks.back_mut().expect("a chunk was pushed if there was none");
        last.bytes.extend_from_slice(lines);
        last.upto = upto;
        last
    }

    fn lose(&mut self, records: u64, upto: u64) {
        if records > 0 {
            self.progress.lost += records;
            self.progress.lost_upto = upto;
        }
    }

    /// Everything that waits is lost.
    fn lose_waiting(&mut self) {
        while let Some(batch) = self.chunks.pop_front() {
            self.lose(batch.records, batch.upto);
            self.progress.settled = batch.upto;
        }
        self.progress.buffered = 0;
        self.progress.own_waiting = 0;
    }

    /// Settles a batch of which the sink has taken so many bytes. Gives the rest of a line that it has taken in part.
    fn settle(&mut self, batch: &Batch, taken: usize) -> Option<Vec<u8>> {
        let rest = batch.bytes.get(taken..).unwrap_or_default();
        let unfinished = count_lines(rest);
        let own = batch.own.iter().filter(|&&end| end > taken).count() as u64;
        let mut lost = unfinished.saturating_sub(own);
        let begun = taken > 0 && batch.bytes.get(taken - 1).is_some_and(|&byte| byte != b'\n');
        let torn = memchr::memchr(b'\n', rest).filter(|_| begun).map(|at| rest[..=at].to_vec());
        if let Some(torn) = &torn {
            self.torn_record = !batch.own.contains(&(taken + torn.len()));
            lost -= u64::from(self.torn_record);
            self.progress.torn = 1;
            self.progress.lost_upto = batch.upto;
        }
        self.lose(lost, batch.upto);
        self.progress.written += (batch.records + batch.own.len() as u64).saturating_sub(unfinished);
        self.progress.settled = batch.upto;
        self.progress.own_writing = 0;
        torn
    }

    fn give_up_torn(&mut self) {
        self.progress.lost += u64::from(std::mem::take(&mut self.torn_record));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
