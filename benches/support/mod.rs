//! What the benchmarks share: clocks of CPU time, pipes that are drained, and the line that says where they ran.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::io::{self, LineWriter, PipeWriter, Read, Write};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tower_audit::{Auditor, AuditorBuilder, sink};

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod variants;
pub(crate) mod workload;

/// How long anything may take that takes milliseconds on a healthy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// CPU time of all threads of this process.
pub(crate) fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds are below 10^9"))
}

/// What came out of a pipe, and what reading it cost, which is nobody's but the benchmark's.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    lines: AtomicU64,
    cpu: AtomicU64,
    beginning: Mutex<String>,
}

impl Drained {
    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Acquire)
    }

    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// The first lines.
    pub(crate) fn beginning(&self) -> String {
        self.beginning.lock().expect("the draining thread does not panic").clone()
    }

    /// Waits until so many lines came out; false if they do not come.
    pub(crate) fn wait_for(&self, lines: u64) -> bool {
        let began = Instant::now();
        while self.lines() < lines && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        self.lines() >= lines
    }
}

/// A pipe with a thread that reads it.
pub(crate) fn drained_pipe() -> (PipeWriter, Arc<Drained>) {
    let (reader, writer) = io::pipe().expect("the system gives a pipe");
    (writer, drain(reader))
}

/// Reads on a thread of its own as a log collector does: whatever is there, at once.
pub(crate) fn drain(mut reader: impl Read + Send + 'static) -> Arc<Drained> {
    const KEPT: usize = 64 * 1024;
    let drained = Arc::<Drained>::default();
    let ours = drained.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            let bytes = &buffer[..read];
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
            let mut beginning = ours.beginning.lock().expect("nobody panics with it");
            if beginning.len() < KEPT {
                beginning.push_str(&String::from_utf8_lossy(bytes));
            }
            drop(beginning);
            ours.cpu.store(u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            ours.lines.fetch_add(lines as u64, Ordering::Release);
        }
    });
    drained
}

/// What std's stdout is: a lock around a buffer that is written out at each end of a line.
#[derive(Clone)]
pub(crate) struct LinePipe(Arc<Mutex<LineWriter<PipeWriter>>>);

impl LinePipe {
    pub(crate) fn new(pipe: PipeWriter) -> Self {
        Self(Arc::new(Mutex::new(LineWriter::new(pipe))))
    }

    /// Onto this process's own standard output.
    pub(crate) fn stdout() -> Self {
        let duplicate = io::stdout().as_fd().try_clone_to_owned().expect("a benchmark has a standard output");
        Self::new(duplicate.into())
    }

    pub(crate) fn print_line(&self, line: &str) {
        writeln!(self.0.lock().expect("nobody panics with it"), "{line}").expect("the pipe is open");
    }
}

impl Write for &LinePipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An auditor that writes into a drained pipe.
pub(crate) struct Piped {
    pub(crate) auditor: Auditor,
    pub(crate) drained: Arc<Drained>,
}

impl Piped {
    pub(crate) fn new(builder: AuditorBuilder) -> Self {
        let (mut pipe, drained) = drained_pipe();
        let auditor =
            builder.sink(sink::sink_fn(move |batch| pipe.write_all(batch))).build().expect("the catalog is valid");
        Self { auditor, drained }
    }

    /// Waits until everything is written.
    pub(crate) fn flush(&self) {
        assert!(block_on(self.auditor.flush(PATIENCE)), "the records were not written in time");
    }

    /// Stops it; tells what is wrong unless exactly so many records were written, between the two of each run.
    pub(crate) fn finish(self, what: &str, records: u64) -> Result<(), String> {
        let report = block_on(self.auditor.shutdown(PATIENCE));
        let expected = records + 2;
        if !report.is_complete() || report.written != expected || !self.drained.wait_for(expected) {
            return Err(format!("{what}: of {expected} lines {} came out; {report:?}", self.drained.lines()));
        }
        Ok(())
    }
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { values[values.len() / 2] }
}

pub(crate) fn per(total: Duration, count: usize) -> f64 {
    total.as_nanos() as f64 / count as f64
}

/// Date, processor and compiler, for the head of a table.
pub(crate) fn machine() -> String {
    let date = jiff::Timestamp::now().to_string();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |it| it.1);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let version = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version);
    let version = version.split(" (").next().unwrap_or_default().trim();
    format!("Measured on {} on {cores} shared cores ({processor}), {version}.", &date[..10])
}

/// What was asked for on the command line.
pub(crate) struct Asked {
    /// In seconds instead of minutes; also when `cargo test` runs us.
    pub(crate) quick: bool,
    pub(crate) args: Vec<String>,
}

pub(crate) fn asked() -> Asked {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    Asked { quick: has("--quick") || !has("--bench"), args }
}
