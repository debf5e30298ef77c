//! A sink's thread: writes, flushes, retries, and gives up or comes back.

use std::io;
use std::time::Duration;

use super::{Batch, CHUNK, Shared, Start, State, Watcher, count_lines};
use crate::diagnostics::{caught, enter_own_thread};
use crate::sink::retry::Retry;
use crate::sink::{Sink, SinkState};
use crate::sync::{Arc, Instant, PoisonError};

/// What is to be done next.
enum Job {
    Write(Batch, /* and flush then */ bool),
    /// Of everything up to this record.
    Flush(u64),
    /// Whether a sink that was given up works again.
    Trial(Vec<u8>),
}

pub(super) struct Thread {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    retry: Retry,
    ends_with_reader: bool,
    watcher: Arc<dyn Watcher>,
    /// How much of the batch the sink has taken.
    taken: usize,
    /// What the sink is to get before anything else, once it works again: from the middle of a line on.
    torn: Vec<u8>,
}

impl Thread {
    pub(super) fn new(shared: Arc<Shared>, start: Start) -> Self {
        let Start { sink, retry, ends_with_reader, watcher, .. } = start;
        Self { shared, sink, retry, ends_with_reader, watcher, taken: 0, torn: Vec::new() }
    }

    pub(super) fn run_to_its_end(mut self) {
        enter_own_thread();
        let shared = self.shared.clone();
        let watcher = self.watcher.clone();
        let confirmed = caught(|| self.run());
        // Before anybody learns of the end, so that a file is closed by then. A destructor may panic.
        caught(|| drop(self));
        let mut state = shared.lock();
        state.give_up_torn();
        state.lose_waiting();
        match confirmed {
            Some(true) if state.progress.state == SinkState::Healthy => {
                state.progress.durable = state.filled;
                state.ended_well = true;
            }
            Some(_) => {}
            None => {
                caught(|| watcher.usable(false));
                state.progress.state = SinkState::GivenUp;
                state.progress.panics += 1;
            }
        }
        state.progress.is_final = true;
        state.progress.trying = false;
        state.begun = true;
        state.ended = true;
        drop(state);
        shared.milestone.notify_all();
        caught(|| watcher.moved());
    }

    /// True if the sink confirmed its end.
    fn run(&mut self) -> bool {
        while let Some(mut job) = self.next() {
            self.taken = 0;
            if caught(|| self.work(&mut job)).is_none() {
                self.recover(&job);
            }
            if let Job::Write(Batch { mut bytes, .. }, _) = job {
                bytes.clear();
                bytes.shrink_to(2 * CHUNK);
                let mut state = self.shared.lock();
                if state.spare.capacity() < bytes.capacity() {
                    state.spare = bytes;
                }
            }
            self.note_begin();
        }
        attempt(|| self.sink.shutdown()).is_ok()
    }

    fn note_begin(&self) {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut state.begun, true) {
            drop(state);
            self.shared.milestone.notify_all();
        }
    }

    /// Waits for lines, for somebody who wants durability, for a trial, or for the end.
    fn next(&self) -> Option<Job> {
        let mut state = self.shared.lock();
        loop {
            if let Some(lines) = state.trial.take() {
                return Some(Job::Trial(lines));
            }
            if state.progress.state != SinkState::GivenUp {
                let wants_flush = state.wanted > state.progress.durable;
                if let Some(batch) = state.chunks.pop_front() {
                    state.progress.buffered -= batch.bytes.len();
                    state.progress.own_writing = batch.own.len() as u64;
                    state.progress.own_waiting -= batch.own.len() as u64;
                    // One sync for all who wait: when the last of them, or everything that is here, is written.
                    let flush = wants_flush && (batch.upto >= state.wanted || state.chunks.is_empty());
                    return Some(Job::Write(batch, flush));
                }
                if wants_flush && state.filled >= state.wanted {
                    return Some(Job::Flush(state.filled));
                }
            }
            if state.ending {
                return None;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&mut self, job: &mut Job) {
        match job {
            Job::Write(batch, flush) => {
                if self.write(batch) && *flush {
                    self.flush(batch.upto);
                }
            }
            Job::Flush(upto) => self.flush(*upto),
            Job::Trial(lines) => self.try_again(std::mem::take(lines)),
        }
    }

    /// This thread's own code panicked, which no known code does: what it worked on is settled, and the sink is given up.
    fn recover(&mut self, job: &Job) {
        let error = io::Error::other("the sink's thread panicked");
        self.shared.lock().progress.panics += 1;
        let batch = match job {
            Job::Write(batch, _) if self.shared.lock().progress.settled < batch.upto => Some(batch),
            Job::Write(..) | Job::Flush(_) | Job::Trial(_) => None,
        };
        caught(|| self.give_up(batch, &error));
        self.shared.lock().progress.trying = false;
    }

    /// Writes the batch, trying again as long as the retry policy says; false if the sink was given up.
    fn write(&mut self, batch: &Batch) -> bool {
        let Self { shared, sink, taken, .. } = self;
        let attempts =
            Attempts { shared, retry: self.retry, watcher: &*self.watcher, ends_with_reader: self.ends_with_reader };
        let written = attempts.until_done(|| write_all(&mut **sink, &batch.bytes, taken));
        if let Err(error) = written {
            self.give_up(Some(batch), &error);
            return false;
        }
        self.shared.lock().settle(batch, batch.bytes.len());
        self.watcher.written();
        true
    }

    fn flush(&mut self, upto: u64) {
        let Self { shared, sink, .. } = self;
        let attempts =
            Attempts { shared, retry: self.retry, watcher: &*self.watcher, ends_with_reader: self.ends_with_reader };
        match attempts.until_done(|| sink.flush()) {
            Ok(()) => {
                self.shared.lock().progress.durable = upto;
                self.watcher.moved();
            }
            Err(error) => self.give_up(None, &error),
        }
    }

    /// Settles what the sink has not taken as lost; from now on it gets nothing but trials.
    fn give_up(&mut self, batch: Option<&Batch>, error: &io::Error) {
        let mut state = self.shared.lock();
        self.watcher.usable(false);
        if let Some(torn) = batch.and_then(|batch| state.settle(batch, self.taken)) {
            self.torn = torn;
        }
        state.lose_waiting();
        state.progress.state = SinkState::GivenUp;
        state.progress.is_final = self.is_final(error);
        drop(state);
        self.watcher.changed(&self.shared.name, SinkState::GivenUp, error);
        self.watcher.moved();
    }

    fn is_final(&self, error: &io::Error) -> bool {
        self.ends_with_reader && error.kind() == io::ErrorKind::BrokenPipe
    }

    /// Tries a sink that was given up, once.
    fn try_again(&mut self, lines: Vec<u8>) {
        let before = self.torn.len();
        let upto = self.shared.lock().progress.settled;
        let is_report = !lines.is_empty();
        self.torn.extend(lines);
        let Self { sink, torn, taken, .. } = self;
        let tried = attempt(|| {
            write_all(&mut **sink, torn, taken)?;
            sink.flush()
        });
        let taken = *taken;
        let whole = count_lines(&torn[..taken]);
        // A report of which nothing was taken is withdrawn: the next one reports the same, and more.
        let is_taken = !is_report || taken > before;
        if !is_taken {
            torn.truncate(before);
        }
        torn.drain(..taken);
        let mut state = self.shared.lock();
        state.progress.written += whole;
        state.progress.torn = count_lines(&self.torn);
        state.torn_record &= whole == 0;
        state.progress.retries += 1;
        state.progress.trying = false;
        state.progress.trial_taken = is_taken;
        match &tried {
            Ok(()) => {
                state.progress.state = SinkState::Healthy;
                // What was taken before it was given up is durable now, and the rest is lost.
                state.progress.durable = state.progress.durable.max(upto);
            }
            Err(error) => state.progress.is_final = self.is_final(error),
        }
        drop(state);
        if tried.is_ok() {
            self.watcher.changed(&self.shared.name, SinkState::Healthy, &io::Error::other("it works again"));
        }
        self.watcher.moved();
    }
}

/// Writes what is not taken yet.
fn write_all(sink: &mut dyn Sink, bytes: &[u8], taken: &mut usize) -> io::Result<()> {
    while *taken < bytes.len() {
        match sink.write(&bytes[*taken..])? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => *taken = taken.saturating_add(more).min(bytes.len()),
        }
    }
    Ok(())
}

/// Runs the sink's code; a panic of it is an error like any other.
fn attempt<R>(work: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    caught(work).unwrap_or_else(|| Err(io::Error::other("the sink panicked")))
}

/// Tries with growing pauses, and keeps the sink's state.
struct Attempts<'a> {
    shared: &'a Shared,
    retry: Retry,
    watcher: &'a dyn Watcher,
    ends_with_reader: bool,
}

impl Attempts<'_> {
    /// The last error, if the sink is to be given up.
    fn until_done(&self, mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut failing_since = None;
        let mut attempts = 0;
        loop {
            let error = match attempt(&mut work) {
                Ok(()) => {
                    if failing_since.is_some() {
                        self.change(SinkState::Healthy, &io::Error::other("it works again"));
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            let is_final = self.ends_with_reader && error.kind() == io::ErrorKind::BrokenPipe;
            if is_final || self.retry.is_over(since.elapsed()) || self.is_ending_for_too_long(since) {
                return Err(error);
            }
            if attempts == 0 {
                self.change(SinkState::Failing, &error);
            }
            self.pause(self.retry.pause(attempts));
            attempts += 1;
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
            crate::sync::thread::park_timeout(pause);
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
        let mut state = self.shared.lock();
        state.progress.state = to;
        // Ordinary lines need not wait for a sink that fails.
        state.begun = true;
        drop(state);
        self.shared.milestone.notify_all();
        self.watcher.changed(&self.shared.name, to, error);
    }
}
