//! Ordinary log lines, through a separate thread: accepted if there is capacity for them, else dropped, counted and reported.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::retry::Retry;
use super::{Outlet, Sink};
use crate::clock::Micros;
use crate::diagnostics::{caught, enter_own_thread};
use crate::record::push_time;
use crate::sync::spawn;

/// Bytes that may wait.
const ROOM: usize = 1024 * 1024;

/// The lines of one log layer on their way. It never waits.
pub(crate) struct Ordinary {
    shared: Arc<Shared>,
    pub(crate) line_budget: usize,
}

struct Shared {
    state: Mutex<State>,
    ready: Condvar,
    /// Lines that were dropped since the start.
    dropped: AtomicU64,
    now: Box<dyn Fn() -> Micros + Send + Sync>,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// Dropped lines that no line has reported yet.
    untold: u64,
    ending: bool,
    ended: bool,
}

impl Ordinary {
    /// Starts the thread. `after`: sinks whose first record comes before any of these lines. Without a sink, or a thread,
    /// all lines are dropped.
    pub(crate) fn start(
        sink: Option<Box<dyn Sink>>,
        after: Vec<Outlet>,
        line_budget: usize,
        now: impl Fn() -> Micros + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ready: Condvar::new(),
            dropped: AtomicU64::new(0),
            now: Box::new(now),
        });
        let theirs = shared.clone();
        let started =
            sink.is_some_and(|sink| spawn("audit-log", move || run_to_its_end(&theirs, sink, &after)).is_ok());
        if !started {
            let mut state = shared.lock();
            state.ending = true;
            state.ended = true;
        }
        Self { shared, line_budget }
    }

    /// Hands a whole line over, behind the one that reports what was dropped before it.
    pub(crate) fn write(&self, line: &str, at: Micros) {
        let mut state = self.shared.lock();
        let notice = self.shared.notice(state.untold, at);
        if state.ending || state.bytes.len() + notice.len() + line.len() > ROOM {
            self.shared.drop_lines(&mut state, 1);
            return;
        }
        state.untold = 0;
        state.bytes.extend_from_slice(notice.as_bytes());
        state.bytes.extend_from_slice(line.as_bytes());
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Counts a line that could not even be made.
    pub(crate) fn note_dropped(&self) {
        self.shared.drop_lines(&mut self.shared.lock(), 1);
    }

    /// Lines that were dropped since the start, with those that the sink was given and did not take.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_lines(&self, state: &mut State, lines: u64) {
        state.untold += lines;
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// The line that reports what was dropped; empty if nothing was.
    fn notice(&self, untold: u64, at: Micros) -> String {
        if untold == 0 {
            return String::new();
        }
        let mut line = String::from("{\"timestamp\":\"");
        push_time(&mut line, at);
        let _ = writeln!(
            line,
            "\",\"level\":\"warn\",\"target\":\"tower_audit\",\"message\":\"{untold} log lines were dropped\",\
             \"fields\":{{\"dropped\":{untold},\"total\":{}}}}}",
            self.dropped.load(Ordering::Relaxed)
        );
        line
    }
}

fn run_to_its_end(shared: &Shared, mut sink: Box<dyn Sink>, after: &[Outlet]) {
    enter_own_thread();
    caught(|| {
        after.iter().for_each(Outlet::wait_for_its_begin);
        run(shared, &mut *sink);
        let _ = sink.shutdown();
    });
    caught(|| drop(sink));
    let mut state = shared.lock();
    state.ending = true;
    state.ended = true;
    let left = count_lines(&state.bytes);
    state.bytes.clear();
    shared.drop_lines(&mut state, left);
}

fn run(shared: &Shared, sink: &mut dyn Sink) {
    let retry = Retry::new(Duration::MAX, 0);
    let mut batch = Vec::new();
    while shared.next(&mut batch) {
        let mut taken = 0;
        let mut attempts = 0;
        while taken < batch.len() {
            let written = caught(|| sink.write(&batch[taken..]));
            match written.unwrap_or_else(|| Err(io::Error::other("the sink panicked"))) {
                Ok(more) if more > 0 => {
                    taken = taken.saturating_add(more).min(batch.len());
                    attempts = 0;
                }
                Ok(_) | Err(_) => {
                    if !shared.pause(retry.pause(attempts)) {
                        // At the end there is one more attempt for each batch.
                        break;
                    }
                    attempts += 1;
                }
            }
        }
        let lost = count_lines(&batch[taken..]);
        if lost > 0 {
            shared.drop_lines(&mut shared.lock(), lost);
            return;
        }
    }
}

impl Shared {
    /// Waits for lines; false at the end. Lines that were dropped meanwhile are reported behind those that are here.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        let waits = |state: &mut State| state.bytes.is_empty() && !state.ending;
        let mut state = self.ready.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        batch.clear();
        std::mem::swap(batch, &mut state.bytes);
        let untold = std::mem::take(&mut state.untold);
        drop(state);
        if untold > 0 {
            // The clock is the application's.
            let at = (self.now)();
            batch.extend_from_slice(self.notice(untold, at).as_bytes());
        }
        !batch.is_empty()
    }

    /// Waits before the next attempt; false at the end.
    fn pause(&self, pause: Duration) -> bool {
        let (state, _) = self
            .ready
            .wait_timeout_while(self.lock(), pause, |state| !state.ending)
            .unwrap_or_else(PoisonError::into_inner);
        !state.ending
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl std::fmt::Debug for Ordinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ordinary").finish_non_exhaustive()
    }
}
