//! What the worker pays: `cargo bench --bench records`; `-- --quick` in seconds.
//!
//! Everything goes through the front door: requests around a handler that does nothing but read, and a sink that drops
//! what it gets. The worker's CPU time is that of the process without the request's thread and the sink's, so neither
//! the requests nor other programs on the machine are on its clock. What a body costs is the difference to the same
//! request whose body is not captured: keeping it, redacting it, and writing it out. `-- --once N [get|post|bare]` makes N
//! rounds of one sort of request and nothing else, for callgrind: `audit-worker` is the thread to look at.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use support::workload::{BODY, Kind, request, serve, shapes};
use support::{PATIENCE, asked, block_on, machine, median, per, process_cpu, thread_cpu};
use tower::{Layer as _, service_fn};
use tower_audit::{Auditor, Bodies, Catalog, Event, RequestBody, Source, sink};

fn main() -> ExitCode {
    if let Some((rounds, request)) = once() {
        let mut worker = Worker::new();
        for _ in 0..rounds {
            worker.record(&*request);
        }
        return told(worker.finish());
    }
    let rounds = if asked().quick { 5 } else { 40 };
    let shapes = shapes();
    let mut worker = Worker::new();
    let (mut plain, mut hidden, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let mut bodies: Vec<Vec<f64>> = vec![Vec::new(); shapes.len()];
    for _ in 0..rounds {
        let bare = worker.record(&|| task(&Bytes::from_static(BODY.as_bytes()), "/v2/hidden"));
        plain.push(worker.record(&|| request(Kind::Get)));
        shown.push(worker.record(&|| task(&Bytes::from_static(BODY.as_bytes()), "/v2/tasks")));
        for (shape, times) in shapes.iter().zip(&mut bodies) {
            times.push(worker.record(&|| task(&shape.body, "/v2/tasks")) - bare);
        }
        hidden.push(bare);
    }
    let (plain, bare, with_body) = (median(plain), median(hidden), median(shown));

    println!("{}\n\n| records through the worker | ns | a second, one core |\n|---|---|---|", machine());
    for (what, time) in [("GET, no body", plain), ("POST, body not captured", bare), ("POST, 330 B body", with_body)] {
        println!("| {what} | {time:.0} | {:.0}k |", 1e6 / time);
    }
    println!(
        "\nThe 330 B body alone: {:.0} ns.\n\n| body | bytes | ns | ns a byte |\n|---|---|---|---|",
        with_body - bare
    );
    for (shape, times) in shapes.iter().zip(&bodies) {
        let (time, bytes) = (median(times.iter().copied()), shape.body.len());
        println!("| {} | {bytes} | {time:.0} | {:.2} |", shape.name, time / bytes as f64);
    }
    told(worker.finish())
}

fn told(finished: Result<(), String>) -> ExitCode {
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("\n**{problem}**");
            ExitCode::FAILURE
        }
    }
}

/// Makes a request.
type Make = Box<dyn Fn() -> Request<Body>>;

/// What `--once N [get|post|bare]` asks for.
fn once() -> Option<(u32, Make)> {
    let mut args = std::env::args().skip_while(|arg| arg != "--once").skip(1);
    let rounds = args.next()?.parse().expect("`--once` is followed by a number");
    let request: Make = match args.next().as_deref() {
        Some("post") => Box::new(|| task(&Bytes::from_static(BODY.as_bytes()), "/v2/tasks")),
        Some("bare") => Box::new(|| task(&Bytes::from_static(BODY.as_bytes()), "/v2/hidden")),
        _ => Box::new(|| request(Kind::Get)),
    };
    Some((rounds, request))
}

/// Records on the clock at once: few enough for the queue.
const BATCH: usize = 512;

/// An auditor whose worker is measured.
struct Worker {
    auditor: Auditor,
    /// CPU time of the sink's thread, in nanoseconds.
    sink_cpu: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
    served: u64,
}

impl Worker {
    fn new() -> Self {
        let catalog = Catalog::new()
            .service("backstage")
            .plugin("scaffolder")
            .event(Event::new("TaskCreation").on(Method::POST, "/v2/tasks").kind("scaffolder"))
            .event(Event::new("Hidden").on(Method::POST, "/v2/hidden").kind("scaffolder").bodies(Bodies::None))
            .event(
                Event::new("TaskFetch")
                    .on(Method::GET, "/v2/tasks/{taskId}")
                    .kind("scaffolder")
                    .meta("taskId", Source::param("taskId")),
            );
        let (sink_cpu, lines) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (cpu, count) = (sink_cpu.clone(), lines.clone());
        let sink = sink::sink_fn(move |batch: &[u8]| {
            count.fetch_add(batch.iter().filter(|&&byte| byte == b'\n').count() as u64, Ordering::Relaxed);
            cpu.store(u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            Ok(())
        });
        // Lines long enough that no body has to be cut to fit.
        let builder = Auditor::builder().catalog(catalog).max_line_bytes(256 * 1024).queue_bytes(1 << 30);
        let auditor = builder.sink(sink).build().expect("the catalog is valid");
        Self { auditor, sink_cpu, lines, served: 0 }
    }

    /// The worker's CPU time for one record.
    fn record(&mut self, request: &dyn Fn() -> Request<Body>) -> f64 {
        let service = self.auditor.layer().layer(service_fn(async |request: Request<RequestBody<Body>>| {
            let _read = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Body::from("{}")))
        }));
        let requests: Vec<_> = (0..BATCH).map(|_| request()).collect();
        let sink = || Duration::from_nanos(self.sink_cpu.load(Ordering::Relaxed));
        let began = (process_cpu(), thread_cpu(), sink());
        block_on(async {
            for request in requests {
                serve(&service, request).await;
            }
        });
        assert!(block_on(self.auditor.flush(PATIENCE)), "the records were not written in time");
        self.served += BATCH as u64;
        let others = (thread_cpu() - began.1) + (sink() - began.2);
        per((process_cpu() - began.0).saturating_sub(others), BATCH)
    }

    fn finish(self) -> Result<(), String> {
        let report = block_on(self.auditor.shutdown(PATIENCE));
        let (expected, written) = (self.served + 2, self.lines.load(Ordering::Relaxed));
        if report.is_complete() && written == expected {
            return Ok(());
        }
        Err(format!("of {expected} lines {written} were written; {report:?}"))
    }
}

fn task(body: &Bytes, route: &'static str) -> Request<Body> {
    let mut request = request(Kind::Post);
    *request.uri_mut() = http::Uri::from_static(route);
    *request.body_mut() = Body::from(body.clone());
    request
}
