//! Model checks: what must hold however the scheduler lets requests, the worker and the sinks' threads take turns.
//!
//! The code under test is the real one: engine, queue, worker, outlets, exchanges. Only the sinks and the clock are made up,
//! and `crate::sync` hands out shuttle's primitives. An assertion that fails, a deadlock, and a model that never comes to its
//! end (a wake-up was lost, and somebody asks for ever whether it has come) are failures; shuttle prints the schedule.
//!
//! `TOWER_AUDIT_MODEL_ITERATIONS` says how many schedules each model runs, by each of two schedulers.

mod admission;
mod exchange;
mod hand_over;
mod outlet;
mod promise;
mod shutdown;

use std::io;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use serde_json::Value;
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};
use uuid::Uuid;

use super::{Channel, Shape, Worker};
use crate::capture::{ClientIp, CredentialHeaders, Draft, EventRef, HeadPolicy};
use crate::catalog::Catalog;
use crate::clock::{Clock, Ids, Time, UuidV7};
use crate::counters::Counted;
use crate::engine::{Engine, Parts, Plans, SinkWatch};
use crate::filter::Filter;
use crate::plan::Defaults;
use crate::promise::Answer;
use crate::queue::{Limits, Queue, Reach, ShutdownReport, StopReason};
use crate::record::wire::Process;
use crate::record::{Delivery, FieldGroups, Outcome, Stages, Status};
use crate::redact::{Redacted, Redactor};
use crate::running::Running;
use crate::sink::{Need, Outlet, Retry, Sink, Start};
use crate::sync::{Arc, Instant, thread};

/// Longer than any model lasts.
const LONG: Duration = Duration::from_secs(3600 * 24 * 30);

/// Compiled once; nothing in it depends on who goes on when.
static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// How many schedules each of the schedulers runs.
fn iterations() -> usize {
    let wanted = std::env::var("TOWER_AUDIT_MODEL_ITERATIONS").ok();
    wanted.map_or(1000, |wanted| wanted.parse().expect("TOWER_AUDIT_MODEL_ITERATIONS is a number"))
}

/// Runs a model under many schedules: at random, and by priorities with few changes (PCT), which finds what needs somebody to
/// be held up for long.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_times(iterations(), model);
}

/// A tenth of them, for a model that takes ten times as long.
fn check_some(model: impl Fn() + Send + Sync + 'static) {
    check_times(iterations().div_ceil(10), model);
}

fn check_times(iterations: usize, model: impl Fn() + Send + Sync + 'static) {
    const CHANGES: usize = 4;
    LazyLock::force(&REDACTOR);
    let mut config = Config::new();
    config.stack_size = 1 << 19;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    let model = Arc::new(model);
    let same = model.clone();
    Runner::new(RandomScheduler::new(iterations), config.clone()).run(move || same());
    Runner::new(PctScheduler::new(CHANGES, iterations), config).run(move || model());
}

/// Waits for what must come without anybody's doing anything more for it.
fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

/// Time that passes only when somebody waits for it.
struct ModelClock(Instant);

impl Clock for ModelClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What a sink does the next time that it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Take,
    /// Takes the first half.
    Half,
    Fail,
    Panic,
    /// Says that its reader is gone, which is final.
    Die,
}

/// What a sink was given, for the model to read.
#[derive(Clone, Debug, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    bytes: Vec<u8>,
    /// How much of it has been flushed.
    durable: usize,
    ended: bool,
    /// Nothing is taken while it is shut.
    shut: bool,
}

/// A line of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    id: u128,
    stage: String,
}

impl Book {
    fn read<R>(&self, read: impl FnOnce(&mut Pages) -> R) -> R {
        read(&mut self.0.lock().unwrap())
    }

    /// The lines, without one that a sink which was given up has taken in part.
    fn values(bytes: &[u8]) -> Vec<Value> {
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let text = std::str::from_utf8(&bytes[..end]).unwrap();
        let values: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a sink gets whole lines")).collect();
        // Whatever the sink lost, its own numbers have no gap.
        assert!(values.iter().zip(1..).all(|(value, seq)| value["seq"] == seq), "{text}");
        values
    }

    /// The records of exchanges.
    fn lines(&self) -> Vec<Line> {
        lines(&self.read(|pages| pages.bytes.clone()))
    }

    /// Those that have been flushed.
    fn durable_lines(&self) -> Vec<Line> {
        lines(&self.read(|pages| pages.bytes[..pages.durable].to_vec()))
    }

    /// All lines, our own included.
    fn all(&self) -> u64 {
        Self::values(&self.read(|pages| pages.bytes.clone())).len() as u64
    }

    /// How many records our own ones say that were lost.
    fn told_lost(&self) -> u64 {
        self.told("AuditRecordsLost")
    }

    fn told(&self, name: &str) -> u64 {
        let values = Self::values(&self.read(|pages| pages.bytes.clone()));
        let told = values.iter().filter(|value| value["eventName"] == name);
        told.map(|value| value["meta"]["count"].as_u64().unwrap()).sum()
    }

    /// How many requests our own records say that were refused.
    fn told_refused(&self) -> u64 {
        self.told("AuditRequestsRefused")
    }

    /// How many records the last one says that were written, itself included.
    fn told_written(&self) -> u64 {
        let values = Self::values(&self.read(|pages| pages.bytes.clone()));
        let last = values.last().expect("a record of the end is there");
        assert_eq!(last["eventName"], "AuditStopped");
        last["meta"]["written"].as_u64().unwrap()
    }

    fn shut(&self, shut: bool) {
        self.read(|pages| pages.shut = shut);
    }
}

fn lines(bytes: &[u8]) -> Vec<Line> {
    let own = |value: &Value| value["eventName"].as_str().unwrap().starts_with("Audit");
    let line = |value: Value| Line {
        id: value["auditId"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128(),
        stage: value["stage"].as_str().unwrap().to_owned(),
    };
    Book::values(bytes).into_iter().filter(|value| !own(value)).map(line).collect()
}

/// A sink that follows a script, and lets other threads run in between.
struct Scripted {
    book: Book,
    writes: std::vec::IntoIter<Turn>,
    flushes: std::vec::IntoIter<Turn>,
}

impl Scripted {
    fn new(writes: &[Turn], flushes: &[Turn]) -> (Self, Book) {
        let book = Book::default();
        let sink =
            Self { book: book.clone(), writes: writes.to_vec().into_iter(), flushes: flushes.to_vec().into_iter() };
        (sink, book)
    }
}

fn play(turn: Turn) -> io::Result<()> {
    thread::yield_now();
    match turn {
        Turn::Take | Turn::Half => Ok(()),
        Turn::Fail => Err(io::ErrorKind::StorageFull.into()),
        Turn::Panic => std::panic::resume_unwind(Box::new("a sink's own panic")),
        Turn::Die => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl Sink for Scripted {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        until(|| !self.book.read(|pages| pages.shut));
        let turn = self.writes.next().unwrap_or(Turn::Take);
        play(turn)?;
        let taken = if turn == Turn::Half { lines.len().div_ceil(2) } else { lines.len() };
        self.book.read(|pages| pages.bytes.extend_from_slice(&lines[..taken]));
        thread::yield_now();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let here = self.book.read(|pages| pages.bytes.len());
        play(self.flushes.next().unwrap_or(Turn::Take))?;
        self.book.read(|pages| pages.durable = here);
        thread::yield_now();
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        thread::yield_now();
        self.book.read(|pages| {
            pages.durable = pages.bytes.len();
            pages.ended = true;
        });
        Ok(())
    }
}

/// An auditor whose sinks are made up.
struct Rig {
    engine: Arc<Engine>,
    log: Arc<Running>,
    event: EventRef,
}

struct Setting {
    records: usize,
    bytes: usize,
    admission_timeout: Duration,
    stages: Stages,
    delivery: Delivery,
    /// How long a sink may fail.
    patience: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            records: 64,
            bytes: 1 << 20,
            admission_timeout: LONG,
            stages: Stages::Completion,
            delivery: Delivery::Backpressure,
            patience: Duration::from_secs(60),
        }
    }
}

impl Rig {
    fn start(setting: &Setting, sinks: Vec<(Scripted, Need)>) -> Self {
        Self::start_filtered(setting, sinks, None)
    }

    /// With a filter for all outputs, which the worker asks.
    fn start_filtered(setting: &Setting, sinks: Vec<(Scripted, Need)>, filter: Option<Filter>) -> Self {
        let limits = Limits {
            records: setting.records,
            bytes: setting.bytes,
            line_bytes: usize::MAX,
            admission_timeout: setting.admission_timeout,
        };
        let queue = Arc::new(Queue::new(limits));
        let engine = Arc::new(Engine::new(parts(setting, queue.clone())));
        let mut channels = Vec::new();
        let mut outlets = Vec::new();
        for (sink, need) in sinks {
            let start = Start {
                name: format!("sink-{}", outlets.len() + 1),
                sink: Box::new(sink),
                retry: Retry::new(setting.patience, 1),
                ends_with_reader: true,
                watcher: Arc::new(SinkWatch::new(queue.clone(), None, need)),
            };
            let outlet = Outlet::start(start).unwrap();
            outlets.push((outlet.clone(), need));
            let format = Box::new(crate::format::json());
            let shape = Shape { filter: None, format, max_line_bytes: None, omit: FieldGroups::default() };
            channels.push(Channel::new(outlet, need, shape));
        }
        let counted = Arc::new(Counted::new(outlets));
        let mut text = Redacted::default();
        let instance = text.constant("model");
        let process = Process::new(&text, instance, None, None, Default::default());
        let settings = Value::Null;
        let event = engine.named("Modelled").unwrap();
        let log = Arc::new(Running {
            engine: engine.clone(),
            counted: counted.clone(),
            #[cfg(feature = "tracing-subscriber")]
            log: Default::default(),
        });
        Worker {
            engine: engine.clone(),
            channels,
            counted,
            process,
            filter,
            line_budget: 15 * 1024,
            settings,
            #[cfg(feature = "export")]
            exporter: None,
        }
        .start()
        .unwrap();
        Self { engine, log, event }
    }

    /// With one sink that takes everything.
    fn healthy(setting: &Setting) -> (Arc<Self>, Book) {
        let (sink, book) = Scripted::new(&[], &[]);
        (Arc::new(Self::start(setting, vec![(sink, Need::Required)])), book)
    }

    fn queue(&self) -> &Arc<Queue> {
        &self.engine.queue
    }

    /// A finished draft that holds so many bytes of the budget.
    fn draft(&self, id: u128, class: Delivery, bytes: usize) -> Box<Draft> {
        let mut draft = self.engine.take_draft();
        draft.audit_id = Uuid::from_u128(id);
        draft.event = self.event.clone();
        draft.outcome = Some(Outcome::Completed);
        draft.class = class;
        draft.let_in(bytes);
        draft
    }

    /// Hands over a record that was let in; its position, if it could enter.
    fn push(&self, id: u128) -> Option<u64> {
        self.engine.hand_over(self.draft(id, Delivery::Backpressure, 0))
    }

    fn push_lossy(&self, id: u128) -> Option<u64> {
        self.engine.hand_over(self.draft(id, Delivery::Lossy, 0))
    }

    fn flush(&self) -> Answer<bool> {
        let answer = self.engine.control.flush(self.queue().last_position(), Reach::All, LONG);
        self.queue().call();
        answer
    }

    fn begin_stop(&self, limit: Duration) -> Answer<ShutdownReport> {
        self.log.stop(limit, StopReason::Shutdown)
    }

    /// Ends the model: nothing may be left of anything.
    fn stop(&self) -> ShutdownReport {
        let report = block_on(self.begin_stop(LONG));
        assert_eq!(self.queue().held_bytes(), 0, "bytes of the budget leak");
        assert_eq!(self.queue().waiting(), 0, "somebody still stands in line");
        assert_eq!(self.engine.open(), 0);
        report
    }
}

fn parts(setting: &Setting, queue: Arc<Queue>) -> Parts {
    let defaults = Defaults {
        stages: setting.stages,
        delivery: setting.delivery,
        demanded: None,
        catalog_reads: None,
        reads: None,
    };
    let routes = Catalog::new().compile().unwrap();
    Parts {
        enabled: true,
        clock: Time::given(ModelClock(Instant::now())),
        ids: Ids::Own(UuidV7::new()),
        plans: Plans::new(&routes, defaults).unwrap(),
        routes,
        refused: Vec::new(),
        defaults,
        head: HeadPolicy {
            client_ip: ClientIp::default(),
            request_id: HeaderName::from_static("x-request-id"),
            shown: Vec::new(),
            credentials: CredentialHeaders::new(REDACTOR.credential_headers().iter()),
            peer: None,
            resolvers: Vec::new(),
            trace: None,
        },
        redactor: REDACTOR.clone(),
        is_success: Box::new(|_| Status::Succeeded),
        is_timeout: Box::new(|_| false),
        max_body_bytes: 16,
        audit_id_header: false,
        queue,
        admission_timeout: setting.admission_timeout,
        scoping: None,
        #[cfg(feature = "geoip")]
        places: None,
    }
}

/// The ids of those lines that `pusher` pushed, in their order.
fn of(pusher: u128, lines: &[Line]) -> Vec<u128> {
    lines.iter().map(|line| line.id).filter(|id| id >> 64 == pusher).collect()
}

fn id(pusher: u128, number: u128) -> u128 {
    pusher << 64 | number
}
