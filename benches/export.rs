//! What an export costs: one segment of real records through the exporter, beside `cp` and `gzip -6` of the same file in the same
//! run, and the memory that it takes. `cargo bench --features export --bench export` (`-- --quick` for a short run).
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "its result")]

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::export::{Destination, Export, ExportFormat, Verdict, verify};
use tower_audit::{Actor, Audit, Auditor, Catalog, Event, sink};

const MIB: u64 = 1024 * 1024;

fn main() {
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lines = runtime.block_on(real_lines());
    let size = if is_quick { 64 * MIB } else { 1024 * MIB };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let segment = folder.path().join("audit-20261120T101530.123456Z-9f86d081884c7d65.log");
    let records = write_segment(&segment, &lines, size);
    println!("{records} records, {} MiB, {} bytes a line", size / MIB, size / records);

    let cp = rate(size, || copy(&segment, &folder.path().join("copy")));
    println!("cp, synced                {cp:>7.0} MiB/s");
    let gzip = rate(size, || {
        let output = File::create(folder.path().join("copy")).unwrap();
        assert!(Command::new("gzip").args(["-6", "-c"]).arg(&segment).stdout(output).status().unwrap().success());
    });
    println!("gzip -6                   {gzip:>7.0} MiB/s");
    fs::remove_file(folder.path().join("copy")).unwrap();

    for (name, format, is_gzip) in [
        ("json", ExportFormat::Json, false),
        ("csv, flat", ExportFormat::Csv, false),
        ("json, gzip", ExportFormat::Json, true),
    ] {
        let site = Site::new(folder.path(), &segment);
        let (took, memory) = runtime.block_on(site.export(format, is_gzip, records));
        let speed = mib_a_second(size, took);
        let besides = if is_gzip { format!(", {:.2} times gzip -6", speed / gzip) } else { String::new() };
        println!("export as {name:<15} {speed:>7.0} MiB/s{besides}; at its peak {memory} KiB more than idle");
        let began = Instant::now();
        let verification = verify(site.archive().to_str().unwrap()).unwrap();
        assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
        let read = mib_a_second(verification.bytes, began.elapsed());
        println!("verify of it              {read:>7.0} MiB/s of {} MiB", verification.bytes / MIB);
    }

    for count in [10, if is_quick { 1_000 } else { 10_000 }] {
        let site = Site { folder: tempfile::tempdir_in(folder.path()).unwrap() };
        for at in 0..count {
            let name = format!("audit-20261120T101530.{at:06}Z-9f86d081884c7d65.log");
            fs::write(site.folder.path().join(name), numbered(&lines[0], at + 1)).unwrap();
        }
        let (took, memory) = runtime.block_on(site.export(ExportFormat::Json, false, count));
        println!(
            "{count} segments of one record: {:.1} s; at its peak {memory} KiB more than idle",
            took.as_secs_f64()
        );
    }
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(folder: &Path, segment: &Path) -> Self {
        let site = Self { folder: tempfile::tempdir_in(folder).unwrap() };
        fs::hard_link(segment, site.folder.path().join(segment.file_name().unwrap())).unwrap();
        site
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// How long it took, and how many KiB more than before.
    async fn export(&self, format: ExportFormat, is_gzip: bool, records: u64) -> (Duration, u64) {
        let destination = Destination::new(self.archive().to_str().unwrap()).format(format).gzip(is_gzip);
        let spool = sink::file(self.folder.path().join("audit.log"));
        let auditor = Auditor::builder().export(spool, Export::to(destination)).build().unwrap();
        assert!(auditor.flush(Duration::from_secs(10)).await);
        // Resets the peak, where the system allows it.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let idle = memory("VmRSS");
        let began = Instant::now();
        let report = auditor.export_now(Duration::from_secs(3_600)).await.unwrap();
        let took = began.elapsed();
        let peak = memory("VmHWM");
        assert!(report.is_complete() && report.records >= records, "{report:?}");
        auditor.shutdown(Duration::from_secs(60)).await;
        (took, peak.saturating_sub(idle))
    }
}

/// In KiB; 0 where the system does not tell.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}

fn mib_a_second(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / MIB as f64 / took.as_secs_f64()
}

fn rate(bytes: u64, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    mib_a_second(bytes, began.elapsed())
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("--reflink=never").args([from, to]).status().unwrap().success());
    File::open(to).unwrap().sync_all().unwrap();
}

/// Lines as the layer writes them: with bodies, without, failed ones, and activities.
async fn real_lines() -> Vec<String> {
    let (sink, records) = sink::memory();
    let catalog = Catalog::new()
        .event(Event::new("TaskCreation").kind("scaffolder").on(Method::POST, "/v2/tasks"))
        .event(Event::new("TaskFetch").kind("scaffolder").on(Method::GET, "/v2/tasks/{id}"));
    let auditor = Auditor::builder().catalog(catalog).sink(sink).service("backstage").build().unwrap();
    let create = |audit: Audit, Json(body): Json<Value>| async move {
        audit.actor(Actor::user("user:development/guest")).meta("templateRef", body["templateRef"].clone());
        Json(json!({"id": "f8e1c8a2-0f0b-4c5c-9d6d-1f9f8d7a5b3e"}))
    };
    let fetch = |audit: Audit| async move {
        audit.actor(Actor::user("user:development/guest"));
        Json(json!({"status": "completed", "steps": [1, 2, 3]}))
    };
    let app = auditor.wrap_router(Router::new().route("/v2/tasks", post(create)).route("/v2/tasks/{id}", get(fetch)));
    for number in 0..250 {
        let body = json!({
            "templateRef": "template:default/create-react-app-template-with-a-long-name",
            "values": {"name": format!("demo-{number}"), "owner": "group:platform/team-a", "repoUrl": "github.com?owner=acme&repo=demo",
                "description": "A service that was made from a template, with \"quotes\" and ünïcödé"},
            "secrets": {"token": "hunter22-hunter22"},
        });
        let requests = [
            Request::post("/v2/tasks").header("content-type", "application/json").body(Body::from(body.to_string())),
            Request::get(format!("/v2/tasks/{number}?verbose=true")).body(Body::empty()),
            Request::get(format!("/nothing/{number}")).body(Body::empty()),
        ];
        for request in requests {
            let response = app.clone().into_service().oneshot(request.unwrap()).await.unwrap();
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        }
        auditor.begin_unlisted("StepExecution").await.unwrap().succeed();
    }
    auditor.shutdown(Duration::from_secs(60)).await;
    records.lines()
}

/// The line with another number.
fn numbered(line: &str, seq: u64) -> String {
    let at = line.find("\"seq\":").unwrap() + 6;
    let end = at + line[at..].find(',').unwrap();
    format!("{}{seq}{}\n", &line[..at], &line[end..])
}

fn write_segment(path: &Path, lines: &[String], size: u64) -> u64 {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut seq) = (0, 0);
    for line in lines.iter().cycle() {
        if written >= size {
            break;
        }
        seq += 1;
        let line = numbered(line, seq);
        file.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
    }
    file.into_inner().unwrap().sync_all().unwrap();
    seq
}
