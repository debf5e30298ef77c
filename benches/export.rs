//! What an export costs: one segment of real records through the exporter, beside `cp` and `gzip -6` of the same file in the same
//! run; its CPU time and memory; what requests cost meanwhile; and many segments that wait.
//!
//! `cargo bench --features export --bench export` (`-- --quick` for a short run, `-- --gib 10` for a larger segment). Each export
//! is made by a process of its own, so that none begins with the memory of another.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "its result")]

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{Method, Request};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::export::{Destination, Export, ExportFormat, Verdict, verify};
use tower_audit::{Actor, Audit, Auditor, Catalog, Event, sink};

const MIB: u64 = 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(3_600);
/// What a process of its own is started with: the folder of the spool, the format, and whether it is compressed.
const CHILD: &str = "--export";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let after = |name: &str| args.iter().position(|arg| arg == name).map(|at| &args[at + 1..]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some([folder, format, gzip, ..]) = after(CHILD) {
        runtime.block_on(export(Path::new(folder), format_of(format), gzip == "true"));
        return;
    }
    let is_quick = args.iter().any(|arg| arg == "--quick");
    let gib = after("--gib").map(|rest| rest[0].parse::<u64>().expect("`--gib` takes a whole number"));
    let size = gib.map_or(if is_quick { 64 * MIB } else { 1024 * MIB }, |gib| gib * 1024 * MIB);
    let lines = runtime.block_on(real_lines());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let segment = folder.path().join("audit-20261120T101530.123456Z-9f86d081884c7d65.log");
    let records = write_segment(&segment, &lines, size);
    println!("{records} records, {} MiB, {} bytes a line", size / MIB, size / records);

    let (cp, cp_cpu) = rates(size, || copy(&segment, &folder.path().join("copy")));
    println!("cp, synced                {cp:>7.0} MiB/s, {cp_cpu:.0} MiB a second of CPU time");
    let (gzip, gzip_cpu) = rates(size, || {
        let output = File::create(folder.path().join("copy")).unwrap();
        assert!(Command::new("gzip").args(["-6", "-c"]).arg(&segment).stdout(output).status().unwrap().success());
    });
    println!("gzip -6                   {gzip:>7.0} MiB/s, {gzip_cpu:.0} MiB a second of CPU time");
    fs::remove_file(folder.path().join("copy")).unwrap();

    let small = folder.path().join("small.log");
    let few = write_segment(&small, &lines, 10 * MIB);
    for (name, format, is_gzip) in [("json", "json", false), ("csv, flat", "csv", false), ("json, gzip", "json", true)]
    {
        let memory = Site::new(folder.path(), &small).export(format, is_gzip, few).peak;
        let site = Site::new(folder.path(), &segment);
        let cost = site.export(format, is_gzip, records);
        let (speed, of_cpu) = (mib_a_second(size, cost.took), mib_a_second(size, cost.cpu));
        let besides = if is_gzip {
            format!(", {:.2} and {:.2} times gzip -6", speed / gzip, of_cpu / gzip_cpu)
        } else {
            String::new()
        };
        println!(
            "export as {name:<15} {speed:>7.0} MiB/s, {:.0} MiB a second of CPU time{besides}; at its peak {} KiB more than idle \
             ({memory} KiB for 10 MiB)",
            of_cpu, cost.peak
        );
        let (began, cpu) = (Instant::now(), thread_cpu());
        let verification = verify(site.archive().to_str().unwrap()).unwrap();
        let (took, cpu) = (began.elapsed(), thread_cpu() - cpu);
        assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
        println!(
            "verify of it              {:>7.0} MiB/s, {:.0} MiB a second of CPU time, of {} MiB",
            mib_a_second(verification.bytes, took),
            mib_a_second(verification.bytes, cpu),
            verification.bytes / MIB
        );
    }

    runtime.block_on(requests_meanwhile(&Site::new(folder.path(), &segment), is_quick));

    for count in [10, if is_quick { 1_000 } else { 10_000 }] {
        let site = Site { folder: tempfile::tempdir_in(folder.path()).unwrap() };
        for at in 0..count {
            let name = format!("audit-20261120T101530.{at:06}Z-9f86d081884c7d65.log");
            fs::write(site.folder.path().join(name), numbered(&lines[0], at + 1)).unwrap();
        }
        let cost = site.export("json", false, count);
        println!(
            "{count} segments of one record: {:.1} s, {:.1} s of CPU time; at its peak {} KiB more than idle",
            cost.took.as_secs_f64(),
            cost.cpu.as_secs_f64(),
            cost.peak
        );
    }
}

fn format_of(name: &str) -> ExportFormat {
    if name == "csv" { ExportFormat::Csv } else { ExportFormat::Json }
}

/// What one export took.
struct Cost {
    took: Duration,
    /// Of the exporter's thread, with what the system does for it.
    cpu: Duration,
    /// In KiB more than before.
    peak: u64,
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(folder: &Path, segment: &Path) -> Self {
        let site = Self { folder: tempfile::tempdir_in(folder).unwrap() };
        let name = "audit-20261120T101530.123456Z-9f86d081884c7d65.log";
        fs::hard_link(segment, site.folder.path().join(name)).unwrap();
        site
    }

    fn archive(&self) -> PathBuf {
        archive(self.folder.path())
    }

    /// In a process of its own.
    fn export(&self, format: &str, is_gzip: bool, records: u64) -> Cost {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.arg(CHILD).arg(self.folder.path()).args([format, &is_gzip.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [took, cpu, peak, exported] = numbers[..] else { panic!("{said}") };
        assert!(exported >= records, "{said}");
        Cost { took: Duration::from_micros(took), cpu: Duration::from_micros(cpu), peak }
    }
}

fn archive(folder: &Path) -> PathBuf {
    folder.join("archive")
}

fn start(folder: &Path, format: ExportFormat, is_gzip: bool) -> Auditor {
    let destination = Destination::new(archive(folder).to_str().unwrap()).format(format).gzip(is_gzip);
    let spool = sink::file(folder.join("audit.log"));
    Auditor::builder().catalog(catalog()).export(spool, Export::to(destination)).build().unwrap()
}

/// Exports a folder and prints microseconds, microseconds of CPU time, KiB and records.
async fn export(folder: &Path, format: ExportFormat, is_gzip: bool) {
    let auditor = start(folder, format, is_gzip);
    assert!(auditor.flush(Duration::from_secs(10)).await);
    // Resets the peak, where the system allows it.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (idle, cpu, began) = (memory("VmRSS"), exporter_cpu(), Instant::now());
    let report = auditor.export_now(LIMIT).await.unwrap();
    let (took, cpu, peak) = (began.elapsed(), exporter_cpu() - cpu, memory("VmHWM"));
    assert!(report.is_complete(), "{report:?}");
    println!("{} {} {} {}", took.as_micros(), cpu.as_micros(), peak.saturating_sub(idle), report.records);
    auditor.shutdown(Duration::from_secs(60)).await;
}

/// The same requests while nothing is exported and while a segment is: their CPU time on all threads but the exporter's.
async fn requests_meanwhile(site: &Site, is_quick: bool) {
    let rounds = if is_quick { 8 } else { 40 };
    let auditor = start(site.folder.path(), ExportFormat::Json, false);
    let app = app(&auditor);
    let mut alone = Vec::new();
    for _ in 0..rounds {
        alone.push(cpu_of_requests(&app).await);
    }
    let run = tokio::spawn(auditor.export_now(LIMIT));
    // It seals the spool first.
    while exporter_cpu() < Duration::from_millis(50) && !run.is_finished() {
        tokio::task::yield_now().await;
    }
    let mut meanwhile = Vec::new();
    while !run.is_finished() && meanwhile.len() < rounds {
        meanwhile.push(cpu_of_requests(&app).await);
        tokio::task::yield_now().await;
    }
    let is_still_running = !run.is_finished();
    assert!(run.await.unwrap().unwrap().is_complete());
    for _ in 0..rounds {
        alone.push(cpu_of_requests(&app).await);
    }
    if !is_still_running {
        meanwhile.pop();
    }
    // What any other work on the machine does to them: caches and cores are shared.
    let segment = tower_audit::segment::list(site.folder.path().join("audit.log")).unwrap().remove(0).path();
    let mut beside_gzip = Vec::new();
    for _ in 0..rounds {
        let mut gzip = Command::new("gzip").arg("-c").arg(&segment).stdout(Stdio::null()).spawn().unwrap();
        beside_gzip.push(cpu_of_requests(&app).await);
        gzip.kill().unwrap();
        gzip.wait().unwrap();
    }
    let rounds = meanwhile.len();
    let [(alone, longest_alone), (meanwhile, longest), (beside_gzip, _)] = [alone, meanwhile, beside_gzip].map(median);
    println!(
        "requests meanwhile: {:.2} times their CPU time ({:.1} and {:.1} µs, {rounds} rounds), beside `gzip` in another process \
         {:.2} times; the longest took {:.1} ms, without an export {:.1} ms",
        meanwhile / alone,
        meanwhile,
        alone,
        beside_gzip / alone,
        longest.as_secs_f64() * 1e3,
        longest_alone.as_secs_f64() * 1e3
    );
    auditor.shutdown(Duration::from_secs(60)).await;
}

/// Microseconds a request on all threads but the exporter's, and the longest of a round.
async fn cpu_of_requests(app: &App) -> (f64, Duration) {
    const ROUNDS: usize = 500;
    let (cpu, exporter) = (cpu(ClockId::ProcessCPUTime), exporter_cpu());
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let began = Instant::now();
        ask(app, round).await;
        longest = longest.max(began.elapsed());
    }
    // What is read last has gone on least.
    let exporter = exporter_cpu() - exporter;
    let spent = self::cpu(ClockId::ProcessCPUTime).saturating_sub(cpu).saturating_sub(exporter);
    (spent.as_secs_f64() * 1e6 / (3 * ROUNDS) as f64, longest)
}

fn median(mut rounds: Vec<(f64, Duration)>) -> (f64, Duration) {
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let longest = rounds.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
    (rounds.get(rounds.len() / 2).map_or(f64::NAN, |(cpu, _)| *cpu), longest)
}

/// CPU time of the exporter's thread; zero where the system does not tell.
fn exporter_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|task| task.path());
    let nanos = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let times = fs::read_to_string(task.join("schedstat")).ok()?;
        (name.trim() == "audit-export").then(|| times.split(' ').next()?.parse::<u64>().ok())?
    });
    Duration::from_nanos(nanos.sum())
}

fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds are below 10^9"))
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

/// MiB a second, and a second of CPU time of this thread and of the programs that it started.
fn rates(bytes: u64, work: impl FnOnce()) -> (f64, f64) {
    let (began, cpu, children) = (Instant::now(), thread_cpu(), children_cpu());
    work();
    let cpu = thread_cpu() - cpu + (children_cpu() - children);
    (mib_a_second(bytes, began.elapsed()), mib_a_second(bytes, cpu))
}

/// CPU time of the programs that have ended, in steps of 10 ms.
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // `cutime` and `cstime` are the 16th and 17th, and the name is the second.
    let ticks: u64 = fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("--reflink=never").args([from, to]).status().unwrap().success());
    File::open(to).unwrap().sync_all().unwrap();
}

/// Lines as the layer writes them: with bodies, without, failed ones, and activities.
async fn real_lines() -> Vec<String> {
    let (sink, records) = sink::memory();
    let auditor = Auditor::builder().catalog(catalog()).sink(sink).service("backstage").build().unwrap();
    let app = app(&auditor);
    for round in 0..250 {
        ask(&app, round).await;
        auditor.begin_unlisted("StepExecution").await.unwrap().succeed();
    }
    auditor.shutdown(Duration::from_secs(60)).await;
    records.lines()
}

fn catalog() -> Catalog {
    Catalog::new()
        .event(Event::new("TaskCreation").kind("scaffolder").on(Method::POST, "/v2/tasks"))
        .event(Event::new("TaskFetch").kind("scaffolder").on(Method::GET, "/v2/tasks/{id}"))
}

type App = tower_audit::AuditedRouterService;

fn app(auditor: &Auditor) -> App {
    let create = |audit: Audit, Json(body): Json<Value>| async move {
        audit.actor(Actor::user("user:development/guest")).meta("templateRef", body["templateRef"].clone());
        Json(json!({"id": "f8e1c8a2-0f0b-4c5c-9d6d-1f9f8d7a5b3e"}))
    };
    let fetch = |audit: Audit| async move {
        audit.actor(Actor::user("user:development/guest"));
        Json(json!({"status": "completed", "steps": [1, 2, 3]}))
    };
    let router = Router::new().route("/v2/tasks", post(create)).route("/v2/tasks/{id}", get(fetch));
    auditor.wrap_router(router).into_service()
}

/// A request with a body, one without, and one that matches no event.
async fn ask(app: &App, round: usize) {
    let body = json!({
        "templateRef": "template:default/create-react-app-template-with-a-long-name",
        "values": {"name": format!("demo-{round}"), "owner": "group:platform/team-a", "repoUrl": "github.com?owner=acme&repo=demo",
            "description": "A service that was made from a template, with \"quotes\" and ünïcödé"},
        "secrets": {"token": "hunter22-hunter22"},
    });
    let requests = [
        Request::post("/v2/tasks").header("content-type", "application/json").body(Body::from(body.to_string())),
        Request::get(format!("/v2/tasks/{round}?verbose=true")).body(Body::empty()),
        Request::get(format!("/nothing/{round}")).body(Body::empty()),
    ];
    for request in requests {
        let response = app.clone().oneshot(request.unwrap()).await.unwrap();
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    }
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
