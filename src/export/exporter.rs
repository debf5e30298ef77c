//! The exporter's thread: runs on schedule and when asked, retries what failed, and ends with the log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::courier::{Courier, Stop};
use super::report::{ExportCounters, ExportReport, Failure};
use super::schedule::{Due, Planner, Schedule};
use crate::diagnostics::{caught, contained, enter_own_thread, report};
use crate::error::Error;
use crate::promise::{Answer, Promise, promise};
use crate::segment::{SegmentKey, SegmentLine};
use crate::sink::Spool;
use crate::sync::spawn;

/// Called after each run.
pub(crate) type RunHook = Box<dyn Fn(&ExportReport) + Send + Sync>;

/// What is said of runs in the log itself.
#[derive(Clone, Debug)]
pub(crate) enum Announcement {
    /// Something was exported.
    Succeeded {
        /// What the run did.
        report: ExportReport,
        /// Attempts that failed before it, since the last that did not.
        failed: u64,
    },
    /// A run failed.
    Failed {
        /// Failed attempts since the last that did not.
        count: u64,
        error: String,
        waiting: u64,
    },
}

/// Everything that the thread begins with.
pub(crate) struct Plan {
    pub(crate) spool: Spool,
    pub(crate) couriers: Vec<Courier>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) jitter: Duration,
    pub(crate) hook: Option<RunHook>,
    pub(crate) now: Box<dyn Fn() -> SystemTime + Send>,
    /// Takes what is to be recorded.
    pub(crate) announce: Box<dyn Fn(Announcement) + Send>,
}

/// The handle of the thread, which ends when it is dropped.
pub(crate) struct Exporter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    counters: Mutex<ExportCounters>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// The end was asked for, and when the last run must end.
    ending: Option<Instant>,
    ended: bool,
}

struct Request {
    /// A run that began after it was made is under way.
    begun: bool,
    deadline: Instant,
    promise: Promise<ExportReport>,
}

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// How often a run of failures is recorded.
const TOLD_EVERY: Duration = Duration::from_secs(60 * 60);
/// No shutdown takes longer.
const LONGEST_END: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often a run that goes on says how far it is.
const NOTED_EVERY: Duration = Duration::from_secs(10);
/// How long the clock is not looked at: it may be set.
const LOOK: Duration = Duration::from_secs(30);

impl Exporter {
    /// Starts the thread.
    pub(crate) fn start(plan: Plan) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        let work = move || {
            enter_own_thread();
            let mut thread = Thread::new(plan, theirs.clone());
            if caught(|| thread.serve()).is_none() {
                report(
                    || tracing::error!(target: "tower_audit", "the exporter panicked: nothing is exported from now on"),
                );
            }
            // The file is free before anybody learns of the end.
            drop(thread);
            let mut state = theirs.lock();
            state.ended = true;
            let requests = std::mem::take(&mut state.requests);
            drop(state);
            drop(requests);
            theirs.wake.notify_all();
        };
        spawn("audit-export", work)
            .map_err(|error| Error::start("cannot start the exporter's thread").with_source(error))?;
        Ok(Self { shared })
    }

    /// Asks for a run.
    pub(crate) fn request(&self, deadline: Instant) -> Answer<ExportReport> {
        let (promise, answer) =
            promise(ExportReport::failed("the exporter has ended, or did not end the run within the limit"));
        let mut state = self.shared.lock();
        if !state.ended {
            state.requests.push(Request { begun: false, deadline, promise });
            self.shared.wake.notify_all();
        }
        answer
    }

    /// Gives up requests whose time is over although a step of the run still hangs; whether any is left.
    pub(crate) fn expire(&self) -> bool {
        let mut state = self.shared.lock();
        let (over, open) = std::mem::take(&mut state.requests)
            .into_iter()
            .partition(|request| Instant::now() > request.deadline + Duration::from_millis(100));
        state.requests = open;
        let any = !state.requests.is_empty();
        drop(state);
        let over: Vec<Request> = over;
        drop(over);
        any
    }

    /// Ends it with a last run of at most this long; gives how many segments wait for the next process.
    pub(crate) fn finish(&self, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit.min(LONGEST_END);
        self.end(deadline, deadline);
        self.counters().waiting_segments
    }

    /// Ends it without a last run, where the log could not be started; waits at most this long, so that its files are free.
    pub(crate) fn end_within(&self, limit: Duration) {
        let now = Instant::now();
        self.end(now, now + limit);
    }

    /// The last run must end at `last`; waits until the deadline.
    fn end(&self, last: Instant, deadline: Instant) {
        let mut state = self.shared.lock();
        state.ending.get_or_insert(last);
        self.shared.wake.notify_all();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn counters(&self) -> ExportCounters {
        self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // At once, if nobody has asked for it before.
        self.shared.lock().ending.get_or_insert_with(Instant::now);
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut ExportCounters)) {
        count(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What wakes the thread.
enum Job {
    Scheduled,
    Retry,
    Requested,
    Last(Instant),
}

struct Thread {
    plan: Plan,
    shared: Arc<Shared>,
    planner: Option<Planner>,
    /// Attempts that failed one after another.
    failing: u64,
    retry_at: Option<Instant>,
    told_at: Option<Instant>,
    /// The run ended early because it was asked to.
    was_asked: bool,
}

impl Thread {
    fn new(mut plan: Plan, shared: Arc<Shared>) -> Self {
        let now = (plan.now)();
        let ran = plan.couriers.iter_mut().filter_map(|courier| courier.load().ok().and_then(|()| courier.ran())).min();
        let planner = plan.schedule.clone().map(|schedule| Planner::new(schedule, plan.jitter, ran, now));
        let mut this = Self { plan, shared, planner, failing: 0, retry_at: None, told_at: None, was_asked: false };
        this.note_waiting();
        this
    }

    fn serve(&mut self) {
        loop {
            match self.next() {
                Job::Scheduled => {
                    let now = (self.plan.now)();
                    let at = self.planner.as_mut().map_or(now, |planner| planner.begin(now));
                    let noted = self.note_run(at);
                    self.attempt(noted, &|| false);
                }
                Job::Retry => {
                    self.attempt(Ok(()), &|| false);
                }
                Job::Requested => self.serve_requests(),
                Job::Last(deadline) => {
                    self.attempt(Ok(()), &|| Instant::now() >= deadline);
                    return;
                }
            }
        }
    }

    fn next(&mut self) -> Job {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            if let Some(deadline) = state.ending {
                return Job::Last(deadline);
            }
            if !state.requests.is_empty() {
                return Job::Requested;
            }
            let due = match &mut self.planner {
                Some(planner) => planner.due((self.plan.now)()),
                None => Due::In(LOOK),
            };
            let Due::In(mut wait) = due else { return Job::Scheduled };
            if let Some(retry_at) = self.retry_at {
                let left = retry_at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Job::Retry;
                }
                wait = wait.min(left);
            }
            let wait = wait.clamp(Duration::from_millis(1), LOOK);
            (state, _) = shared.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// They stay where they can be given up if a step hangs. Those that come during the run get one of their own.
    fn serve_requests(&mut self) {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.requests.iter_mut().for_each(|request| request.begun = true);
        let last = state.requests.iter().map(|request| request.deadline).max();
        drop(state);
        let is_over = || last.is_some_and(|last| Instant::now() >= last);
        let report = self.attempt(Ok(()), &is_over);
        let mut state = shared.lock();
        let (served, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.requests).into_iter().partition(|request| request.begun);
        state.requests = later;
        drop(state);
        served.into_iter().for_each(|request| request.promise.give(report.clone()));
    }

    fn note_run(&mut self, at: SystemTime) -> Result<(), Failure> {
        self.plan.couriers.iter_mut().try_for_each(|courier| courier.note_run(at))
    }

    /// One run: to all destinations, each as far as it comes.
    fn attempt(&mut self, begun: Result<(), Failure>, is_over: &dyn Fn() -> bool) -> ExportReport {
        let shared = self.shared.clone();
        let asked_to_end = || is_over() || shared.lock().ending.is_some_and(|deadline| Instant::now() >= deadline);
        let mut report = ExportReport::default();
        let ran = contained("an export", || begun.and_then(|()| self.run(&mut report, &asked_to_end)));
        let ran = ran.unwrap_or_else(|| Err(Failure::because("the exporter panicked")));
        report.error = ran.err().map(|failure| failure.to_string());
        report.waiting = self.note_waiting();
        self.conclude(&report);
        report
    }

    fn run(&mut self, report: &mut ExportReport, is_over: &dyn Fn() -> bool) -> Result<(), Failure> {
        let Plan { spool, couriers, .. } = &mut self.plan;
        if has_news(spool)? {
            let cannot_seal = |error| Failure::new(format!("cannot seal {}", spool.active().display()), &error);
            spool.seal().map_err(cannot_seal)?;
        }
        let mut failures = Vec::new();
        for at in 0..couriers.len() {
            let others = couriers.iter().enumerate().filter(|(other, _)| *other != at);
            let others = others.map(|(_, courier)| courier.exported()).min();
            let Some(courier) = couriers.get_mut(at) else { break };
            // A long run frees space in the spool while it continues.
            let mut noted = Instant::now();
            let mut after = |exported: Option<SegmentKey>| {
                if noted.elapsed() >= NOTED_EVERY {
                    noted = Instant::now();
                    let _ = spool.note_exported(others.map_or(exported, |others| others.min(exported)));
                }
            };
            let delivered =
                contained("the export to a destination", || deliver(spool, courier, is_over, report, &mut after));
            match delivered
                .unwrap_or_else(|| Err(Failure::because(format!("the export to {} panicked", courier.url())).into()))
            {
                Ok(()) => {}
                Err(Stop::Asked) => self.was_asked = true,
                // What fails at one destination does not keep the others waiting.
                Err(Stop::Failed(failure)) => failures.push(failure.to_string()),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::because(failures.join("; "))) }
    }

    /// What all destinations have may be removed by retention; the rest waits.
    fn note_waiting(&mut self) -> u64 {
        let exported = self.plan.couriers.iter().map(Courier::exported).min().flatten();
        let Ok((segments, bytes)) = self.plan.spool.note_exported(exported) else { return 0 };
        self.shared.count(|counters| (counters.waiting_segments, counters.waiting_bytes) = (segments, bytes));
        segments
    }

    /// Counts the run, says what became of it, and decides when it is tried again.
    fn conclude(&mut self, done: &ExportReport) {
        let before = self.failing;
        // A run that ended early with something waiting may not have come to what failed before.
        let is_open = std::mem::take(&mut self.was_asked) && done.waiting > 0;
        self.failing = match &done.error {
            Some(_) => self.failing + 1,
            None if is_open => self.failing,
            None => 0,
        };
        let (failing, now) = (self.failing, (self.plan.now)());
        self.shared.count(|counters| {
            counters.runs += 1;
            counters.failed_runs += u64::from(done.error.is_some());
            counters.failing = failing;
            counters.segments += done.segments;
            counters.objects += done.objects;
            counters.records += done.records;
            counters.bytes += done.bytes;
            if done.is_complete() {
                counters.last_success = Some(now);
            }
            if let Some(error) = &done.error {
                counters.last_error = Some(error.clone());
            }
        });
        match &done.error {
            Some(error) => self.conclude_failure(error, done.waiting),
            None => {
                if !is_open {
                    self.retry_at = None;
                    self.told_at = None;
                }
                if done.did_anything() {
                    (self.plan.announce)(Announcement::Succeeded { report: done.clone(), failed: before });
                }
            }
        }
        if let Some(hook) = &self.plan.hook {
            contained("the hook of exports", || hook(done));
        }
    }

    fn conclude_failure(&mut self, error: &str, waiting: u64) {
        let doublings = u32::try_from(self.failing - 1).unwrap_or(u32::MAX).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LAST_PAUSE);
        self.retry_at = Some(Instant::now() + pause);
        if self.told_at.is_some_and(|told_at| told_at.elapsed() < TOLD_EVERY) {
            return;
        }
        self.told_at = Some(Instant::now());
        report(|| tracing::error!(target: "tower_audit", error, waiting, "export: failed; it is tried again"));
        (self.plan.announce)(Announcement::Failed { count: self.failing, error: error.to_owned(), waiting });
    }
}

/// Carries to one destination what waits there when it begins, some segments at a time.
fn deliver(
    spool: &Spool,
    courier: &mut Courier,
    is_over: &dyn Fn() -> bool,
    report: &mut ExportReport,
    after: &mut dyn FnMut(Option<SegmentKey>),
) -> Result<(), Stop> {
    /// Their names are held in memory.
    const SEGMENTS: usize = 256;
    let cannot_list = |error: std::io::Error| {
        Failure::new(format!("cannot list the segments of {}", spool.active().display()), &error)
    };
    courier.load()?;
    let mut left = spool.count_after(courier.exported()).map_err(cannot_list)?;
    loop {
        let segments = spool.segments_after(courier.exported(), SEGMENTS).map_err(cannot_list)?;
        // Without a segment too: the one whose export has begun must be there.
        courier.run(&segments, is_over, report, after)?;
        left = left.saturating_sub(segments.len() as u64);
        if left == 0 || segments.is_empty() {
            return Ok(());
        }
    }
}

/// Whether the open file holds anything but records about exports: those must not feed themselves.
fn has_news(spool: &Spool) -> Result<bool, Failure> {
    /// What is longer than this is no record about an export.
    const LONGEST: u64 = 64 * 1024;
    let cannot_read = |error: std::io::Error| Failure::new(format!("cannot read {}", spool.active().display()), &error);
    let mut file = match File::open(spool.active()) {
        Ok(file) => BufReader::new(file),
        // The sink makes it again.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot_read(error)),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(cannot_read)? == 0 {
            return Ok(false);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let is_about_exports = SegmentLine::parse(text).is_some_and(|line| {
            line.is_internal() && matches!(line.event_name(), "AuditExportSucceeded" | "AuditExportFailed")
        });
        if !is_about_exports {
            return Ok(true);
        }
    }
}
