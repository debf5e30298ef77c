//! One sink with a thread and a bounded buffer of its own, so that a write that hangs stops nobody else.
//!
//! The worker counts the records that it rendered; those counts are the positions here. A position is *settled* once its
//! line is written or given up, and *durable* once a flush after its write has succeeded.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::retry::Retry;
use super::{Sink, SinkState};
use crate::error::Error;
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError, thread};

/// Bytes that are written at once. Larger batches gain nothing.
const CHUNK: usize = 64 * 1024;
/// Bytes that may wait for a sink that loses for itself. What waits for a required one is bounded by the queue, which lets
/// nobody in while too many records are unwritten.
const BEST_EFFORT: usize = 4 * 1024 * 1024;
/// Bytes of ordinary log lines that may wait beside them.
const ORDINARY: usize = 1024 * 1024;

/// What a sink's thread tells: that something moved, and that its sink changed its state.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// Records were written, made durable, or given up.
    fn moved(&self);
    /// Ordinary log lines were refused, and there is room again to tell it.
    fn has_room(&self);
    /// The sink fails, works again, or is given up.
    fn changed(&self, name: &str, state: SinkState, error: &io::Error);
}

/// The worker's end of a sink.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    ready: Condvar,
}

/// What became of the lines of one sink so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Up to which record everything is written or given up.
    pub(crate) settled: u64,
    /// Up to which record everything is durable.
    pub(crate) durable: u64,
    /// Records that the sink has taken, our own included.
    pub(crate) written: u64,
    /// Records of exchanges that it never will.
    pub(crate) lost: u64,
    pub(crate) retries: u64,
    /// Panics of the application's filter or format.
    pub(crate) panics: u64,
    pub(crate) buffered: usize,
    /// Records of our own that wait in the buffer.
    pub(crate) own_waiting: u64,
    /// Records of our own that are being written.
    pub(crate) own_writing: u64,
    /// Records of exchanges that never entered, because a sink that loses for itself had no room.
    pub(crate) missed: u64,
    /// Ordinary log lines that were taken and then given up.
    pub(crate) ordinary_lost: u64,
    pub(crate) state: SinkState,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Batch>,
    buffered: usize,
    /// An empty chunk with its memory, for the next lines.
    spare: Vec<u8>,
    /// Up to which record the buffer reaches.
    filled: u64,
    /// Bytes of ordinary log lines among them.
    ordinary: usize,
    /// An ordinary log line found no room, and there has not been much since.
    ordinary_refused: bool,
    /// Up to where somebody waits for durability.
    wanted: u64,
    progress: Progress,
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
    /// How many of the lines are records of our own.
    own: u64,
    /// How many of the lines are ordinary log lines, and their bytes.
    ordinary_lines: u64,
    ordinary: usize,
    /// Up to which record it reaches.
    upto: u64,
    flush: bool,
}

impl Outlet {
    /// Starts the sink's thread.
    pub(crate) fn start(
        name: String,
        sink: Box<dyn Sink>,
        retry: Retry,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared { name, state: Mutex::default(), ready: Condvar::new() });
        let thread = Thread { shared: shared.clone(), sink, retry, watcher };
        thread::Builder::new()
            .name("audit-sink".into())
            .spawn(move || thread.run())
            .map_err(|error| Error::start("cannot start the sink's thread").with_source(error))?;
        Ok(Self { shared })
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether a sink that loses for itself takes more now. A line that begins below the bound is taken whole.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.lock().buffered < BEST_EFFORT
    }

    /// Takes whole lines, of `records` records, after which everything up to record `upto` is here or never will be. Leaves
    /// an empty buffer.
    pub(crate) fn append(&self, lines: &mut Vec<u8>, records: u64, upto: u64) {
        let mut state = self.shared.lock();
        state.take(lines, upto).records += records;
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Takes the line of a record of our own.
    pub(crate) fn append_own(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let upto = state.filled;
        state.push(line, upto).own += 1;
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Takes ordinary log lines, `count` of them, if there is room for all: it never waits. A sink that has been given up or
    /// is at its end takes none.
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) fn append_ordinary(&self, lines: &[u8], count: u64) -> bool {
        self.append_within(ORDINARY, lines, count)
    }

    /// Takes a line that tells what was refused, once half of the room for ordinary lines is free again: while it is not, more
    /// will be refused. The watcher is told when that is.
    pub(crate) fn append_notice(&self, line: &[u8]) -> bool {
        self.append_within(ORDINARY / 2, line, 1)
    }

    /// Takes the last such line whether there is room for it or not.
    pub(crate) fn append_last_notice(&self, line: &[u8]) -> bool {
        self.append_within(usize::MAX, line, 1)
    }

    fn append_within(&self, most: usize, lines: &[u8], count: u64) -> bool {
        let mut state = self.shared.lock();
        let over = state.ending || state.progress.state == SinkState::Dead;
        if over || state.ordinary + lines.len() > most {
            state.ordinary_refused = true;
            return false;
        }
        let upto = state.filled;
        let batch = state.push(lines, upto);
        batch.ordinary_lines += count;
        batch.ordinary += lines.len();
        state.ordinary += lines.len();
        drop(state);
        self.shared.ready.notify_one();
        true
    }

    /// Counts records that a sink which loses for itself was not given.
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
        let state = self.shared.lock();
        let own_waiting = state.chunks.iter().map(|chunk| chunk.own).sum();
        Progress { buffered: state.buffered, own_waiting, ..state.progress }
    }

    /// Asks the thread to write what is left and to end.
    pub(crate) fn end(&self) {
        self.shared.lock().ending = true;
        self.shared.ready.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Whether the sink took everything and confirmed its end.
    pub(crate) fn has_ended_well(&self) -> bool {
        self.shared.lock().ended_well
    }
}

impl State {
    /// As [`State::push`], and empties the buffer.
    fn take(&mut self, lines: &mut Vec<u8>, upto: u64) -> &mut Batch {
        if self.begins_chunk() && self.spare.capacity() > 0 {
            // The chunk that begins is made of the spare memory: with the lines in it already, nothing has to be copied.
            std::mem::swap(lines, &mut self.spare);
            self.buffered += self.spare.len();
        }
        let last = self.push(lines, upto);
        lines.clear();
        last
    }

    fn begins_chunk(&self) -> bool {
        self.chunks.back().is_none_or(|last| last.bytes.len() >= CHUNK)
    }

    fn push(&mut self, lines: &[u8], upto: u64) -> &mut Batch {
        self.buffered += lines.len();
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
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Thread {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    retry: Retry,
    watcher: Arc<dyn Watcher>,
}

impl Thread {
    fn run(mut self) {
        crate::diagnostics::enter_own_thread();
        while let Some(mut batch) = self.next() {
            if self.write(&batch) && batch.flush {
                self.flush(batch.upto);
            }
            batch.bytes.clear();
            batch.bytes.shrink_to(2 * CHUNK);
            let mut state = self.shared.lock();
            if state.spare.capacity() < batch.bytes.capacity() {
                state.spare = batch.bytes;
            }
        }
        let ended = contained(|| self.sink.shutdown());
        let mut state = self.shared.lock();
        if ended.is_ok() && state.progress.state == SinkState::Healthy {
            state.progress.durable = state.filled;
            state.ended_well = true;
        }
        state.ended = true;
        drop(state);
        self.watcher.moved();
    }

    /// Waits for lines, for somebody who wants durability, or for the end.
    fn next(&self) -> Option<Batch> {
        let mut state = self.shared.lock();
        loop {
            let wants_flush = state.wanted > state.progress.durable && state.progress.state != SinkState::Dead;
            if let Some(mut batch) = state.chunks.pop_front() {
                state.buffered -= batch.bytes.len();
                state.ordinary -= batch.ordinary;
                state.progress.own_writing = batch.own;
                // One sync for all who wait: when the last of them, or everything that is here, is written.
                batch.flush = wants_flush && (batch.upto >= state.wanted || state.chunks.is_empty());
                return Some(batch);
            }
            if wants_flush && state.filled >= state.wanted {
                return Some(Batch { upto: state.filled, flush: true, ..Batch::default() });
            }
            if state.ending {
                return None;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes the batch, trying again as long as the retry policy says; false if it was given up.
    fn write(&mut self, batch: &Batch) -> bool {
        let mut rest = batch.bytes.as_slice();
        let sink = &mut self.sink;
        let written = Attempts { shared: &self.shared, retry: self.retry, watcher: &*self.watcher }.until_done(|| {
            while !rest.is_empty() {
                match sink.write(rest)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    taken => rest = rest.get(taken..).unwrap_or_default(),
                }
            }
            Ok(())
        });
        let mut state = self.shared.lock();
        // Among the lines of a batch that was given up half-way nobody tells records from ordinary ones any more: rather
        // too many are counted as lost than too few.
        let lost = if written { 0 } else { batch.records.min(count_lines(rest)) };
        state.progress.own_writing = 0;
        state.progress.written += if written { batch.records + batch.own } else { batch.records - lost };
        state.progress.lost += lost;
        state.progress.ordinary_lost += if written { 0 } else { batch.ordinary_lines.min(count_lines(rest)) };
        let moved = batch.records + batch.own > 0 || state.progress.settled != batch.upto;
        state.progress.settled = batch.upto;
        let has_room = state.ordinary_refused && state.ordinary <= ORDINARY / 4;
        state.ordinary_refused &= !has_room;
        drop(state);
        // Ordinary lines alone wake nobody.
        if moved {
            self.watcher.moved();
        }
        if has_room {
            self.watcher.has_room();
        }
        written
    }

    fn flush(&mut self, upto: u64) {
        let sink = &mut self.sink;
        let attempts = Attempts { shared: &self.shared, retry: self.retry, watcher: &*self.watcher };
        if attempts.until_done(|| sink.flush()) {
            self.shared.lock().progress.durable = upto;
            self.watcher.moved();
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Tries with growing pauses, and keeps the sink's state.
struct Attempts<'a> {
    shared: &'a Shared,
    retry: Retry,
    watcher: &'a dyn Watcher,
}

impl Attempts<'_> {
    /// False if the sink is given up: for good, by its own word or by the limit.
    fn until_done(&self, mut work: impl FnMut() -> io::Result<()>) -> bool {
        if self.shared.lock().progress.state == SinkState::Dead {
            return false;
        }
        let mut failing_since = None;
        let mut attempt = 0;
        loop {
            let error = match contained(&mut work) {
                Ok(()) => {
                    if failing_since.is_some() {
                        self.change(SinkState::Healthy, &io::Error::other("it works again"));
                    }
                    return true;
                }
                Err(error) => error,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if self.retry.is_over(since.elapsed(), &error) || self.is_ending_for_too_long(since) {
                self.change(SinkState::Dead, &error);
                return false;
            }
            if attempt == 0 {
                self.change(SinkState::Failing, &error);
            }
            self.pause(self.retry.pause(attempt));
            attempt += 1;
        }
    }

    /// Waits, but not past the end: what is asked to end tries on without long pauses.
    fn pause(&self, pause: Duration) {
        const AT_THE_END: Duration = Duration::from_millis(20);
        let mut state = self.shared.lock();
        state.progress.retries += 1;
        let pause = if state.ending { pause.min(AT_THE_END) } else { pause };
        let waits = |state: &mut State| !state.ending;
        if state.ending {
            drop(state);
            thread::park_timeout(pause);
        } else {
            drop(self.shared.ready.wait_timeout_while(state, pause, waits));
        }
    }

    /// Nobody waits longer for a sink that fails at the end than a shutdown takes by default.
    fn is_ending_for_too_long(&self, since: Instant) -> bool {
        const LONGEST: Duration = Duration::from_secs(60);
        self.shared.lock().ending && since.elapsed() > LONGEST
    }

    fn change(&self, to: SinkState, error: &io::Error) {
        self.shared.lock().progress.state = to;
        self.watcher.changed(&self.shared.name, to, error);
    }
}

/// Runs the sink's code; a panic of it is an error like any other.
fn contained<R>(work: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(io::Error::other("the sink panicked")))
}
