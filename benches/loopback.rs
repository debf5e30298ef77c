//! What a server pays over real sockets: `cargo bench --bench loopback`; `-- --quick` in seconds.
//!
//! Each variant is an `axum::serve` in a process of its own, whose threads share one core: the one that handles requests,
//! and our worker and sink. Its records go to its standard output, which the benchmark reads. The client is the benchmark's
//! process, on another core, with so many connections that the server never waits. All variants are asked in turn in one
//! run. A round's CPU time is read once all its records have come out. First the server is kept busy, then it is asked 100,
//! 1,000 and 10,000 times a second, as quiet servers are. Timing never fails the run, a record that is missing does.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;
use support::client::{Connection, load, wire};
use support::server::{self, Cores, Door, Server};
use support::variants::{BARE, HAND, TRACE, with_trace_layer, written_by_hand};
use support::workload::{Handlers, Kind, catalog, check, router};
use support::{LinePipe, PATIENCE, block_on, machine, median, per};
use tower_audit::{Auditor, sink};
use tracing::Level;

const OURS: &str = "`wrap_router(..)`, to the pipe";
/// In the order of the tables.
const NAMES: [&str; 4] = [BARE, OURS, TRACE, HAND];

fn main() -> ExitCode {
    server::run(serve, compare)
}

/// The server's side.
fn serve(name: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let (door, plain) = (Door::open().map_err(text)?, router(Handlers::Silent));
    let app = match name {
        OURS => return serve_audited(door, plain),
        TRACE => {
            tracing_subscriber::fmt().json().with_max_level(Level::INFO).init();
            with_trace_layer(plain)
        }
        HAND => written_by_hand(plain, LinePipe::stdout()),
        _ => plain,
    };
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    door.serve(|listener| axum::serve(listener, app).into_future()).map_err(text)
}

fn serve_audited(door: Door, app: Router) -> Result<(), String> {
    let stdout = sink::stdout().map_err(|error| error.to_string())?;
    let builder = Auditor::builder().catalog(catalog(0)).sink(stdout);
    let auditor = builder.build().map_err(|error| error.to_string())?;
    let served = door.serve(|listener| axum::serve(listener, auditor.wrap_router(app)).into_future());
    let report = block_on(auditor.shutdown(PATIENCE));
    served.map_err(|error| error.to_string())?;
    if report.is_complete() { Ok(()) } else { Err(format!("{report:?}")) }
}

/// So many that the server has something to do while its client waits for its turn on a busy machine: a server that sleeps
/// and is woken takes more for each request, and then bare seems to cost more than audited.
const CONNECTIONS: usize = 256;

/// A variant's server with the client's connections to it.
struct Variant {
    name: &'static str,
    server: Server,
    connections: Vec<Connection>,
    /// Requests answered so far.
    served: u64,
}

impl Variant {
    fn start(name: &'static str, cores: Option<&Cores>) -> io::Result<Self> {
        let server = Server::start(name, cores)?;
        let connections = (0..CONNECTIONS).map(|_| Connection::to(server.address)).collect::<io::Result<_>>()?;
        Ok(Self { name, server, connections, served: 0 })
    }

    /// Lines that stand on its standard output once everything it served is written.
    fn lines(&self) -> u64 {
        match self.name {
            BARE => 0,
            // The first is `AuditStarted`.
            OURS => 1 + self.served,
            _ => self.served,
        }
    }

    fn ask(&mut self, request: &[u8], count: usize) -> io::Result<()> {
        load(&mut self.connections, request, count)?;
        self.wait_for_records(count)
    }

    /// Asks on one connection, so many times a second. What comes late is made up for.
    fn pace(&mut self, request: &[u8], count: usize, rate: u32) -> io::Result<()> {
        // Sleeping takes longer than it is asked to.
        const SPINS: Duration = Duration::from_micros(150);
        let connection = self.connections.first_mut().expect("each variant has connections");
        let mut due = Instant::now();
        for _ in 0..count {
            due += Duration::from_secs(1) / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(SPINS));
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            connection.send(request)?;
            connection.receive()?;
        }
        self.wait_for_records(count)
    }

    fn wait_for_records(&mut self, count: usize) -> io::Result<()> {
        self.served += count as u64;
        if self.server.drained.wait_for(self.lines()) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{}: {} of {} lines came out",
            self.name,
            self.server.drained.lines(),
            self.lines()
        )))
    }

    /// One round of so many requests, until their records are out.
    fn measure(&mut self, count: usize, ask: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<Sample> {
        let (began, before) = (Instant::now(), self.server.cpu()?);
        ask(self)?;
        let (took, after) = (began.elapsed(), self.server.cpu()?);
        let cpu = after.since(before);
        let [handling, worker, sink] = [cpu.handling, cpu.worker, cpu.sink].map(|time| per(time, count));
        let all = handling + worker + sink;
        let [worker_sleeps, sink_sleeps] =
            [cpu.worker_sleeps, cpu.sink_sleeps].map(|sleeps| sleeps as f64 / count as f64);
        Ok(Sample { all, handling, worker, sink, worker_sleeps, sink_sleeps, rate: count as f64 / took.as_secs_f64() })
    }

    fn finish(self) -> Result<(), String> {
        if self.name == OURS {
            let text = self.server.drained.beginning();
            let record = text.lines().nth(1).and_then(|line| serde_json::from_str::<Value>(line).ok());
            let record = record.ok_or("no records came out")?;
            check(&record, "127.0.0.1").map_err(|problem| format!("{problem} in {record}"))?;
        }
        // `AuditStopped` comes at the end.
        let lines = self.lines() + u64::from(self.name == OURS);
        drop(self.connections);
        self.server.finish(self.name, lines)
    }
}

/// What a request took in one round.
#[derive(Clone, Copy)]
struct Sample {
    /// CPU time of the server's process, in nanoseconds.
    all: f64,
    /// Its parts, by thread.
    handling: f64,
    worker: f64,
    sink: f64,
    /// How often worker and sink were woken.
    worker_sleeps: f64,
    sink_sleeps: f64,
    /// Requests a second.
    rate: f64,
}

fn compare(quick: bool) -> Result<(), String> {
    let (rounds, count) = if quick { (5, 1024) } else { (60, 8192) };
    // Pinned, we could no longer tell how many cores there are.
    let machine = machine();
    let cores = server::pin();
    let text = |error: io::Error| error.to_string();
    let mut variants: Vec<Variant> =
        NAMES.into_iter().map(|name| Variant::start(name, cores.as_ref())).collect::<io::Result<_>>().map_err(text)?;
    let mut samples: HashMap<(Kind, &'static str), Vec<Sample>> = HashMap::new();
    for _ in 0..rounds {
        for kind in Kind::BOTH {
            let request = wire(kind);
            for variant in &mut variants {
                variant.ask(&request, CONNECTIONS * 2).map_err(text)?;
                let sample = variant.measure(count, |it| it.ask(&request, count)).map_err(text)?;
                samples.entry((kind, variant.name)).or_default().push(sample);
            }
        }
    }
    println!("{machine} {}", server::placed(cores.as_ref()));
    for kind in Kind::BOTH {
        print_table(kind, |name| &samples[&(kind, name)]);
    }
    compare_paced(&mut variants, quick).map_err(text)?;
    variants.into_iter().try_for_each(Variant::finish)
}

/// Requests a second at which a server has more to do with waking up than with them.
const RATES: [u32; 3] = [100, 1_000, 10_000];

/// What a request takes on all threads of a server that is asked at a steady rate.
fn compare_paced(variants: &mut [Variant], quick: bool) -> io::Result<()> {
    let (rounds, least) = if quick { (1, 20) } else { (12, 100) };
    let request = wire(Kind::Post);
    let mut samples: HashMap<(u32, &'static str), Vec<Sample>> = HashMap::new();
    for _ in 0..rounds {
        for rate in RATES {
            // A second each where it is slow, half a second where it is fast.
            let count = least.max(rate as usize * least / 200);
            for variant in variants.iter_mut() {
                variant.pace(&request, count / 10, rate)?;
                let sample = variant.measure(count, |it| it.pace(&request, count, rate))?;
                samples.entry((rate, variant.name)).or_default().push(sample);
            }
        }
    }
    println!(
        "\n| POST at a steady rate | requests a second | CPU µs a request | handling / worker / sink | wakes of worker / sink | more than bare, µs |\n\
         |---|---|---|---|---|---|"
    );
    for (name, rate) in NAMES.into_iter().flat_map(|name| RATES.map(|rate| (name, rate))) {
        let (own, bare) = (&samples[&(rate, name)], &samples[&(rate, BARE)]);
        let middle = |what: fn(&Sample) -> f64| median(own.iter().map(what)) / 1000.0;
        let more = median(own.iter().zip(bare).map(|(own, bare)| own.all - bare.all)) / 1000.0;
        println!(
            "| {name} | {rate} | {:.1} | {:.1} / {:.1} / {:.1} | {:.2} / {:.2} | {more:.1} |",
            middle(|it| it.all),
            middle(|it| it.handling),
            middle(|it| it.worker),
            middle(|it| it.sink),
            median(own.iter().map(|it| it.worker_sleeps)),
            median(own.iter().map(|it| it.sink_sleeps)),
        );
    }
    Ok(())
}

/// Ratios are the medians of those in each round, so that they hold on a machine whose speed does not.
fn print_table<'s>(kind: Kind, of: impl Fn(&'static str) -> &'s [Sample]) {
    println!(
        "\n| {}, {CONNECTIONS} connections | CPU µs a request | handling / worker / sink | × bare | by hand takes × | \
         requests a second | × by hand |\n|---|---|---|---|---|---|---|",
        kind.name()
    );
    for name in NAMES {
        let own = of(name);
        let middle = |what: fn(&Sample) -> f64| median(own.iter().map(what));
        let against = |other: &'static str, ratio: fn(&Sample, &Sample) -> f64| {
            median(own.iter().zip(of(other)).map(|(own, other)| ratio(own, other)))
        };
        let [all, handling, worker, sink] =
            [middle(|it| it.all), middle(|it| it.handling), middle(|it| it.worker), middle(|it| it.sink)]
                .map(|ns| ns / 1000.0);
        println!(
            "| {name} | {all:.2} | {handling:.2} / {worker:.2} / {sink:.2} | {:.2} | {:.2} | {:.0} | {:.2} |",
            against(BARE, |own, bare| own.all / bare.all),
            against(HAND, |own, hand| hand.all / own.all),
            middle(|it| it.rate),
            against(HAND, |own, hand| own.rate / hand.rate),
        );
    }
}
