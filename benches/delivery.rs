//! What delivery costs those who wait for it: `cargo bench --bench delivery`; `-- --quick` in seconds.
//!
//! How long the executor was away while standard output's reader is stopped, and how many durable requests a second 256
//! connections get, beside the syncs that the disk manages. No time is judged here, but a record that is missing fails.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use support::{PATIENCE, asked, machine};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tower_audit::sink::{self, sink_fn};
use tower_audit::{Auditor, Catalog, Delivery, Event};

const CONNECTIONS: usize = 256;

fn main() -> ExitCode {
    let quick = asked().quick;
    println!("{}\n", machine());
    let done = stopped_reader(quick).and_then(|()| durable(if quick { 4 } else { 100 }));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("\n**{problem}**");
            ExitCode::FAILURE
        }
    }
}

async fn ask(app: tower_audit::AuditedRouterService, path: &'static str) -> bool {
    let request = Request::post(path).body(Body::empty()).expect("a valid request");
    let Ok(response) = app.oneshot(request).await;
    let status = response.status();
    response.into_body().collect().await.is_ok() && status.is_success()
}

fn app(auditor: &Auditor) -> tower_audit::AuditedRouterService {
    let route = || post(async || "done");
    auditor
        .wrap_router(Router::new().route("/lossy", route()).route("/held", route()).route("/durable", route()))
        .into_service()
}

fn events() -> Catalog {
    let event = |name: &'static str, path: &'static str, class| Event::new(name).on(Method::POST, path).delivery(class);
    Catalog::new()
        .event(event("Lossy", "/lossy", Delivery::Lossy))
        .event(event("Held", "/held", Delivery::Backpressure))
        .event(event("Durable", "/durable", Delivery::Durable))
}

/// A single-threaded executor on which a task wants to run all the time: the longest that it could not.
fn stopped_reader(quick: bool) -> Result<(), String> {
    println!("| one executor thread, 32 connections | longest pause, ms |\n|---|---|");
    for (what, stopped) in [("a reader that reads", false), ("a reader that has stopped", true)] {
        let (mut reader, mut pipe) = io::pipe().map_err(|error| error.to_string())?;
        let go_on = Arc::new(AtomicBool::new(!stopped));
        let reads = go_on.clone();
        let drain = std::thread::spawn(move || {
            while !reads.load(Ordering::Acquire) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let lines = sink_fn(move |batch: &[u8]| pipe.write_all(batch));
        let auditor = Auditor::builder()
            .sink(lines)
            .catalog(events())
            .queue_records(1024)
            .admission_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        let runtime = Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
        let (pause, report) = runtime.block_on(async {
            let mut clients = JoinSet::new();
            for client in 0..32 {
                let app = app(&auditor);
                clients.spawn(async move {
                    for _ in 0..if quick { 200 } else { 5000 } {
                        ask(app.clone(), if client % 4 == 0 { "/held" } else { "/lossy" }).await;
                        tokio::task::yield_now().await;
                    }
                });
            }
            let (mut longest, mut last, began) = (Duration::ZERO, Instant::now(), Instant::now());
            let least = Duration::from_millis(if quick { 200 } else { 3000 });
            while !clients.is_empty() {
                tokio::task::yield_now().await;
                let now = Instant::now();
                longest = longest.max(now - last);
                last = now;
                // Those that are held go on when the reader does.
                if now - began > least {
                    go_on.store(true, Ordering::Release);
                }
                while clients.try_join_next().is_some() {}
            }
            go_on.store(true, Ordering::Release);
            (longest, auditor.shutdown(PATIENCE).await)
        });
        println!("| {what} | {:.2} |", pause.as_secs_f64() * 1e3);
        let text = drain.join().map_err(|_| "the reader panicked")?.map_err(|error| error.to_string())?;
        let lines = text.lines().count() as u64;
        if !report.flushed || lines != report.written {
            return Err(format!("{lines} lines of {report:?}"));
        }
    }
    println!();
    Ok(())
}

fn durable(each: usize) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // Beside the binary: where the build is, there is a disk, and often none in the folder for temporary files.
    let folder = std::env::current_exe().map_err(text)?.with_extension("delivery");
    fs::create_dir_all(&folder).map_err(text)?;
    let syncs = syncs_a_second(&folder.join("probe"), if each < 10 { 20 } else { 500 }).map_err(text)?;
    let path = folder.join("audit.log");
    let file = sink::file(&path).open().map_err(|error| error.to_string())?;
    let build = Auditor::builder().sink(file).catalog(events()).admission_timeout(PATIENCE).build();
    let auditor = build.map_err(|error| error.to_string())?;
    let runtime = Builder::new_current_thread().enable_time().build().map_err(text)?;
    let (whole, took, report) = runtime.block_on(async {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let app = app(&auditor);
            clients.spawn(async move {
                let mut whole = 0_usize;
                for _ in 0..each {
                    whole += usize::from(ask(app.clone(), "/durable").await);
                }
                whole
            });
        }
        let whole: usize = clients.join_all().await.into_iter().sum();
        (whole, began.elapsed(), auditor.shutdown(PATIENCE).await)
    });
    let recorded = fs::read_to_string(&path).map_err(text)?.matches("\"eventName\":\"Durable\"").count();
    fs::remove_dir_all(&folder).map_err(text)?;
    let rate = whole as f64 / took.as_secs_f64();
    println!("| {CONNECTIONS} connections, `durable` to a file | a second |\n|---|---|");
    println!("| syncs of a file that one record was added to | {syncs:.0} |");
    println!("| requests with a whole response | {rate:.0} |\n| requests a sync of the disk | {:.1} |", rate / syncs);
    if whole != CONNECTIONS * each || recorded != whole || !report.is_complete() {
        return Err(format!("{whole} whole responses, {recorded} records, {report:?}"));
    }
    Ok(())
}

fn syncs_a_second(path: &std::path::Path, rounds: u32) -> io::Result<f64> {
    let mut file = File::create(path)?;
    let began = Instant::now();
    for _ in 0..rounds {
        file.write_all(&[b'x'; 600])?;
        file.sync_data()?;
    }
    Ok(f64::from(rounds) / began.elapsed().as_secs_f64())
}
