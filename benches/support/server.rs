//! A server in a process of its own, so that what it takes does not mix with what its client does.
//!
//! The benchmark starts itself again with `--serve WHAT`. The first line of that process's standard output is its address,
//! then come its records. It stops by itself when its standard input closes, which it does when the benchmark is gone.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Asked, Drained, asked, drain};

/// The argument before the name of what to serve.
const SERVE: &str = "--serve";

/// Runs a benchmark of servers: as one of them, by its name, or as the one that starts and compares them, perhaps quickly.
#[expect(clippy::print_stdout, reason = "what went wrong stands with the tables")]
pub(crate) fn run(serve: fn(&str) -> Result<(), String>, compare: fn(bool) -> Result<(), String>) -> ExitCode {
    let asked = asked();
    if let Some(name) = asked_for(&asked) {
        return ended(serve(name));
    }
    match compare(asked.quick) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("\n**{problem}**");
            ExitCode::FAILURE
        }
    }
}

/// What this process is to serve, if it was started as a server.
fn asked_for(asked: &Asked) -> Option<&str> {
    let at = asked.args.iter().position(|arg| arg == SERVE)?;
    asked.args.get(at + 1).map(String::as_str)
}

/// The server's side: where its client reaches it.
#[derive(Debug)]
pub(crate) struct Door(TcpListener);

impl Door {
    /// Opens one, and tells the benchmark where it is. Nothing else may have been printed before.
    #[expect(clippy::print_stdout, reason = "it is how the benchmark learns the address")]
    pub(crate) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        println!("{}", listener.local_addr()?);
        Ok(Self(listener))
    }

    /// Serves on one thread, until the benchmark closes standard input.
    pub(crate) fn serve<F>(self, serve: impl FnOnce(tokio::net::TcpListener) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.0)?;
            let (alone, left) = oneshot::channel();
            thread::spawn(move || {
                let _closed = io::stdin().read_to_end(&mut Vec::new());
                let _received = alone.send(());
            });
            tokio::select! {
                served = serve(listener) => served,
                _ = left => Ok(()),
            }
        })
    }
}

/// How a server's process ends. Its standard output is for records.
#[expect(clippy::print_stderr, reason = "standard output is for records")]
fn ended(served: Result<(), String>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The cores that server and client run on: the first and the last that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) server: String,
    pub(crate) client: String,
}

/// Keeps this process, and what it starts, on the client's core; none without `taskset`.
pub(crate) fn pin() -> Option<Cores> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    let core = |at: Option<&str>| at.filter(|core| !core.is_empty()).map(str::to_owned);
    let separators = [',', '-'];
    let cores =
        Cores { server: core(allowed.split(separators).next())?, client: core(allowed.rsplit(separators).next())? };
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", &cores.client, &pid]).stdout(Stdio::null()).status();
    pinned.is_ok_and(|status| status.success()).then_some(cores)
}

/// The line that says where everything ran.
pub(crate) fn placed(cores: Option<&Cores>) -> String {
    match cores {
        Some(Cores { server, client }) if server == client => format!("Server and client share core {server}."),
        Some(Cores { server, client }) => format!("The server is on core {server}, its client on core {client}."),
        None => "Nobody is pinned to a core: there is no `taskset`.".to_owned(),
    }
}

/// A running server, as its client sees it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) drained: Arc<Drained>,
    child: Child,
    input: Option<ChildStdin>,
}

/// CPU time of a server's threads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// The one that handles requests.
    pub(crate) handling: Duration,
    pub(crate) worker: Duration,
    pub(crate) sink: Duration,
    /// How often the worker and the sink went to sleep: each of them was woken as often.
    pub(crate) worker_sleeps: u64,
    pub(crate) sink_sleeps: u64,
}

impl Cpu {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            handling: self.handling.saturating_sub(before.handling),
            worker: self.worker.saturating_sub(before.worker),
            sink: self.sink.saturating_sub(before.sink),
            worker_sleeps: self.worker_sleeps.saturating_sub(before.worker_sleeps),
            sink_sleeps: self.sink_sleeps.saturating_sub(before.sink_sleeps),
        }
    }

    pub(crate) fn sum(self) -> Duration {
        self.handling + self.worker + self.sink
    }
}

impl Server {
    pub(crate) fn start(what: &str, cores: Option<&Cores>) -> io::Result<Self> {
        let this = std::env::current_exe()?;
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cores.server]).arg(this);
                command
            }
            None => Command::new(this),
        };
        let mut child = command.args([SERVE, what]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut address = String::new();
        output.read_line(&mut address)?;
        let address = address.trim_end().parse().map_err(io::Error::other)?;
        Ok(Self { address, drained: drain(output), child, input })
    }

    /// CPU time so far. The kernel's clock of whole ticks is too coarse for a round, the scheduler's is not.
    pub(crate) fn cpu(&self) -> io::Result<Cpu> {
        let mut cpu = Cpu::default();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = thread?.path();
            let text = fs::read_to_string(path.join("schedstat"))?;
            let time = text.split(' ').next().and_then(|time| time.parse().ok()).map(Duration::from_nanos);
            let time = time.ok_or_else(|| io::Error::other("the kernel keeps no time of threads"))?;
            let status = fs::read_to_string(path.join("status"))?;
            let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let sleeps: u64 = sleeps.and_then(|sleeps| sleeps.trim().parse().ok()).unwrap_or_default();
            match fs::read_to_string(path.join("comm"))?.trim_end() {
                "audit-worker" => {
                    cpu.worker += time;
                    cpu.worker_sleeps += sleeps;
                }
                "audit-sink" => {
                    cpu.sink += time;
                    cpu.sink_sleeps += sleeps;
                }
                // With the one that waits for the end of standard input, which takes nothing.
                _ => cpu.handling += time,
            }
        }
        Ok(cpu)
    }

    /// What it holds of the machine's memory now, and the most that it held since [`Server::forget_peak`], in KiB.
    pub(crate) fn memory(&self) -> io::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        of("VmRSS:").zip(of("VmHWM:")).ok_or_else(|| io::Error::other("the kernel tells nothing about memory"))
    }

    pub(crate) fn forget_peak(&self) -> io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
    }

    /// Closes its input and waits for it; tells what is wrong unless exactly so many lines came out.
    pub(crate) fn finish(mut self, what: &str, lines: u64) -> Result<(), String> {
        drop(self.input.take());
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if !status.success() || !self.drained.wait_for(lines) || self.drained.lines() != lines {
            return Err(format!("{what}: of {lines} lines {} came out; {status}", self.drained.lines()));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left running, whatever became of the benchmark. One that has ended already does not mind.
        drop(self.input.take());
        let _ended = self.child.wait();
    }
}
