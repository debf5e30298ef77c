//! What formats, filters and lists cost, compared in one run: `cargo bench --bench formats`; `-- --quick` in seconds.
//!
//! First the worker's CPU time for one record in each format, against JSON: a GET with an actor, a meta key and a response. Then a
//! request that a list refuses before it is captured, against one of a skipped route, in time and in allocations, with 10 and
//! with 1,000 entries. `-- --once N FORMAT` makes N rounds of GETs in one format (`second`: JSON, and `flat` in a second
//! output) and nothing else, for callgrind: `audit-worker` is the thread to look at.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use support::workload::{Kind, request, serve};
use support::{PATIENCE, asked, block_on, machine, median, per, process_cpu, thread_cpu};
use tower::{Layer as _, service_fn};
use tower_audit::format::{self, Columns};
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, Catalog, Event, Filter, Lists, RequestBody, Source};

/// Records on the clock at once: few enough for the queue.
const BATCH: usize = 512;

/// Sets the format of an output, as applications do.
type Set = fn(Output) -> Output;

const FORMATS: [(&str, Set); 8] = [
    ("json", |output| output.format(format::json())),
    ("json_timestamp", |output| output.format(format::json_timestamp())),
    ("flat", |output| output.format(format::csv(Columns::flat()))),
    ("client_log", |output| output.format(format::csv(Columns::client_log()))),
    ("audit_log", |output| output.format(format::csv(Columns::audit_log()))),
    ("key_value", |output| output.format(format::key_value())),
    ("combined", |output| output.format(format::combined())),
    ("common", |output| output.format(format::common())),
];

fn main() -> ExitCode {
    if let Some((rounds, mut worker)) = once() {
        for _ in 0..rounds {
            worker.record();
        }
        let is_complete = block_on(worker.auditor.shutdown(PATIENCE)).is_complete();
        return if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let rounds = if asked().quick { 10 } else { 100 };
    println!("{}", machine());
    formats(rounds);
    refused(rounds);
    ExitCode::SUCCESS
}

fn formats(rounds: usize) {
    let mut workers: Vec<(String, Worker, Vec<f64>)> =
        FORMATS.iter().map(|(name, set)| ((*name).to_owned(), Worker::new(&[*set]), Vec::new())).collect();
    workers.push(("json, and flat in a second output".to_owned(), second(), Vec::new()));
    for _ in 0..rounds {
        for (_, worker, times) in &mut workers {
            times.push(worker.record());
        }
    }
    println!("\n| worker, a record | ns | to json |\n|---|---|---|");
    let json = median(workers[0].2.iter().copied());
    for (name, worker, times) in workers {
        let time = median(times);
        println!("| {name} | {time:.0} | {:.2} |", time / json);
        assert!(block_on(worker.auditor.shutdown(PATIENCE)).is_complete(), "{name}: a record is missing");
    }
}

fn second() -> Worker {
    Worker::new(&[|output| output, |output| output.format(format::csv(Columns::flat()))])
}

/// What `--once N FORMAT` asks for.
fn once() -> Option<(u32, Worker)> {
    let mut args = std::env::args().skip_while(|arg| arg != "--once").skip(1);
    let rounds = args.next()?.parse().expect("`--once` is followed by a number");
    let name = args.next().unwrap_or_default();
    let set = FORMATS.iter().find(|(known, _)| *known == name);
    Some((rounds, set.map_or_else(second, |(_, set)| Worker::new(&[*set]))))
}

/// An auditor whose worker is measured.
struct Worker {
    auditor: Auditor,
    /// CPU time of each sink's thread, in nanoseconds.
    sinks_cpu: Vec<Arc<AtomicU64>>,
}

impl Worker {
    fn new(formats: &[Set]) -> Self {
        let catalog = Catalog::new().service("backstage").plugin("scaffolder").event(
            Event::new("TaskFetch")
                .on(Method::GET, "/v2/tasks/{taskId}")
                .kind("scaffolder")
                .meta("taskId", Source::param("taskId")),
        );
        let mut builder = Auditor::builder().catalog(catalog);
        let mut sinks_cpu = Vec::new();
        for set in formats {
            let cpu = Arc::<AtomicU64>::default();
            sinks_cpu.push(cpu.clone());
            let sink = sink::sink_fn(move |_: &[u8]| {
                cpu.store(u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
                Ok(())
            });
            builder = builder.sink(set(Output::new(sink).required()));
        }
        Self { auditor: builder.build().expect("the catalog is valid"), sinks_cpu }
    }

    /// The worker's CPU time for one record.
    fn record(&mut self) -> f64 {
        let service = self.auditor.layer().layer(service_fn(async |request: Request<RequestBody<Body>>| {
            let _read = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Body::from("{}")))
        }));
        let requests: Vec<_> = (0..BATCH).map(|_| request(Kind::Get)).collect();
        let sinks =
            || -> Duration { self.sinks_cpu.iter().map(|cpu| Duration::from_nanos(cpu.load(Ordering::Relaxed))).sum() };
        let began = (process_cpu(), thread_cpu(), sinks());
        block_on(async {
            for request in requests {
                serve(&service, request).await;
            }
        });
        assert!(block_on(self.auditor.flush(PATIENCE)), "the records were not written in time");
        let others = (thread_cpu() - began.1) + (sinks() - began.2);
        per((process_cpu() - began.0).saturating_sub(others), BATCH)
    }
}

fn refused(rounds: usize) {
    let fetch = || Event::new("TaskFetch").on(Method::GET, "/v2/tasks/{taskId}");
    let entries = |count: usize| (0..count - 1).map(|at| format!("Other{at}")).chain(["TaskFetch".to_owned()]);
    let listed = |count: usize| Filter::lists(Lists::new().deny(entries(count)));
    let build = |catalog: Catalog, filter: Option<Filter>| {
        let builder = Auditor::builder().catalog(catalog).sink(sink::sink_fn(|_: &[u8]| Ok(())));
        filter.into_iter().fold(builder, tower_audit::AuditorBuilder::filter).build().expect("the catalog is valid")
    };
    let auditors = [
        ("skipped route", build(Catalog::new().skip(Method::GET, "/v2/tasks/{taskId}"), None)),
        ("refused by 10 entries", build(Catalog::new().event(fetch()), Some(listed(10)))),
        ("refused by 1,000 entries", build(Catalog::new().event(fetch()), Some(listed(1_000)))),
    ];
    let mut times = [const { Vec::new() }; 3];
    let mut allocations = [0; 3];
    for _ in 0..rounds {
        for (at, (_, auditor)) in auditors.iter().enumerate() {
            let service = auditor.layer().layer(service_fn(async |_: Request<RequestBody<Body>>| {
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
            let requests: Vec<_> = (0..BATCH).map(|_| request(Kind::Get)).collect();
            let began = Instant::now();
            let counted = allocation_counter::measure(|| {
                block_on(async {
                    for request in requests {
                        serve(&service, request).await;
                    }
                });
            });
            times[at].push(per(began.elapsed(), BATCH));
            allocations[at] = counted.count_total / BATCH as u64;
        }
    }
    println!("\n| a request | ns | to the skipped route | allocations |\n|---|---|---|---|");
    let skipped = median(times[0].iter().copied());
    for ((name, _), (times, count)) in auditors.iter().zip(times.into_iter().zip(allocations)) {
        let time = median(times);
        println!("| {name} | {time:.0} | {:.2} | {count} |", time / skipped);
    }
}
