//! Ordinary log lines beside the records: taken if there is room for them, else dropped, counted and told.

use std::fmt::Write as _;

use super::outlet::Outlet;
use crate::clock::Micros;
use crate::record::push_time;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The way of ordinary lines into one sink. It never waits.
#[derive(Debug)]
pub(crate) struct Ordinary {
    outlet: Outlet,
    /// Lines that found no room.
    dropped: AtomicU64,
    /// Those of them that no line has told yet.
    untold: AtomicU64,
    #[cfg_attr(not(feature = "tracing-subscriber"), expect(dead_code, reason = "for the log layer"))]
    pub(crate) line_budget: usize,
}

impl Ordinary {
    pub(crate) fn new(outlet: Outlet, line_budget: usize) -> Self {
        Self { outlet, dropped: AtomicU64::new(0), untold: AtomicU64::new(0), line_budget }
    }

    /// Hands a whole line over, behind the one that tells what was dropped before it.
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) fn write(&self, line: &str, at: Micros) {
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let taken = if untold == 0 {
            self.outlet.append_ordinary(line.as_bytes(), 1)
        } else {
            let lines = self.notice(untold, at) + line;
            self.outlet.append_ordinary(lines.as_bytes(), 2)
        };
        if !taken {
            self.untold.fetch_add(untold, Ordering::Relaxed);
            self.note_dropped();
        }
    }

    /// Counts a line that could not even be made.
    #[cfg(feature = "tracing-subscriber")]
    pub(crate) fn note_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells what was dropped, once there is room for more than that: for when no other line follows.
    pub(crate) fn tell(&self, at: impl FnOnce() -> Micros) {
        self.tell_through(at, |line| self.outlet.append_notice(line));
    }

    /// Tells what was dropped before the end, whether there is room for it or not.
    pub(crate) fn tell_at_the_end(&self, at: impl FnOnce() -> Micros) {
        self.tell_through(at, |line| self.outlet.append_last_notice(line));
    }

    fn tell_through(&self, at: impl FnOnce() -> Micros, append: impl FnOnce(&[u8]) -> bool) {
        if self.untold.load(Ordering::Relaxed) == 0 {
            return;
        }
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if untold > 0 && !append(self.notice(untold, at()).as_bytes()) {
            self.untold.fetch_add(untold, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped since the start, with those that the sink was given and did not write.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.outlet.progress().ordinary_lost
    }

    fn notice(&self, untold: u64, at: Micros) -> String {
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
