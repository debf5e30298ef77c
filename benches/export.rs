//! What an export costs: one segment of real records through the exporter, beside `cp` and `gzip -6` of the same file in the same
//! run; its CPU time and memory; what requests cost meanwhile; and many segments that wait.
//!
//! `cargo bench --features export --bench export` (`-- --quick` for a short run, `-- --gib 10` for a larger segment, `-- --json` for
//! exports as JSON only, `-- --meanwhile` for the requests only, `-- --memory` for an export of which nothing is kept, `-- --folder F` for
//! files elsewhere than below the target folder, as on a `tmpfs`). `taskset -c 1` before the program keeps all of it on one core. Each
//! export is made by a process of its own, so that none begins with the memory of another.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "its result")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
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
    let folder = after("--folder").map_or(env!("CARGO_TARGET_TMPDIR"), |rest| &*rest[0]);
    let folder = tempfile::tempdir_in(folder).unwrap();
    if args.iter().any(|arg| arg == "--meanwhile") {
        runtime.block_on(requests_meanwhile(folder.path(), &lines, is_quick));
        return;
    }
    if args.iter().any(|arg| arg == "--memory") {
        memory_alone(folder.path(), &lines, size);
        return;
    }
    let is_json_only = args.iter().any(|arg| arg == "--json");
    let segment = folder.path().join("audit-20261120T101530.123456Z-9f86d081884c7d65.log");
    let records = write_segment(&segment, &lines, size, 0);
    println!("{records} records, {} MiB, {} bytes a line", size / MIB, size / records);

    let (cp, cp_cpu) = rates(size, || copy(&segment, &folder.path().join("copy")));
    println!("cp, synced                {cp:>7.0} MiB/s, {cp_cpu:.0} MiB a second of CPU time");
    let (mut gzip, mut gzip_cpu) = (f64::NAN, f64::NAN);
    if !is_json_only {
        (gzip, gzip_cpu) = rates(size, || {
            let output = File::create(folder.path().join("copy")).unwrap();
            assert!(Command::new("gzip").args(["-6", "-c"]).arg(&segment).stdout(output).status().unwrap().success());
        });
        println!("gzip -6                   {gzip:>7.0} MiB/s, {gzip_cpu:.0} MiB a second of CPU time");
    }
    fs::remove_file(folder.path().join("copy")).unwrap();

    let small = folder.path().join("small.log");
    let few = write_segment(&small, &lines, 10 * MIB, 0);
    let all = [("json", "json", false), ("csv, flat", "csv", false), ("json, gzip", "json", true)];
    for (name, format, is_gzip) in all.into_iter().take(if is_json_only { 1 } else { all.len() }) {
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

    if is_json_only {
        return;
    }
    runtime.block_on(requests_meanwhile(folder.path(), &lines, is_quick));

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
    // A segment of 10 GiB would fill the spool that is the default.
    let export = Export::to(destination).spool_bytes(100 * 1024 * MIB);
    Auditor::builder().catalog(catalog()).export(spool, export).build().unwrap()
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

/// An export as JSON of which nothing is kept, for segments that the disk has no room for twice.
fn memory_alone(folder: &Path, lines: &[String], size: u64) {
    let segment = folder.join("audit-20261120T101530.123456Z-9f86d081884c7d65.log");
    let records = write_segment(&segment, lines, size, 0);
    let site = Site::new(folder, &segment);
    let objects = site.archive().join("audit-logs");
    // It ends with the process.
    thread::spawn(move || {
        loop {
            let dates = fs::read_dir(&objects).into_iter().flatten().flatten();
            let objects = dates.flat_map(|date| fs::read_dir(date.path()).into_iter().flatten().flatten());
            for object in objects.filter(|object| !object.file_name().as_encoded_bytes().starts_with(b".")) {
                let _ = fs::remove_file(object.path());
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    let cost = site.export("json", false, records);
    println!(
        "{records} records, {} MiB, exported as json without keeping it: {:.0} MiB/s, {:.0} MiB a second of CPU time; at its peak {} \
         KiB more than idle",
        size / MIB,
        mib_a_second(size, cost.took),
        mib_a_second(size, cost.cpu),
        cost.peak
    );
}

/// What requests cost while a segment is exported, by what they cost just before and after: the CPU time of all threads but the
/// exporter's. Each ratio is of slices that lie side by side, since a busy machine changes from second to second.
async fn requests_meanwhile(folder: &Path, lines: &[String], is_quick: bool) {
    /// Enough for some hundred milliseconds of an export.
    const SEGMENT: u64 = 48 * MIB;
    /// Requests of a slice without an export: some hundred milliseconds, too.
    const ALONE: usize = 20_000;
    let pairs = if is_quick { 6 } else { 32 };
    let site = Site { folder: tempfile::tempdir_in(folder).unwrap() };
    let auditor = start(site.folder.path(), ExportFormat::Json, false);
    let app = app(&auditor);
    let (mut ratios, mut noise, mut costs, mut longest) = (Vec::new(), Vec::new(), Vec::new(), [Duration::ZERO; 2]);
    let (mut seq, mut requests) = (0, 0);
    for _ in 0..pairs {
        let spare = folder.join("spare.log");
        seq += write_segment(&spare, lines, SEGMENT, seq);
        // Sealed now: after what was exported before.
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        fs::rename(spare, site.folder.path().join(format!("audit-{now}-9f86d081884c7d65.log"))).unwrap();
        let before = slice(&app, ALONE, || false).await;
        let run = tokio::spawn(auditor.export_now(LIMIT));
        let exporter = exporter_cpu();
        // It seals the spool first.
        while exporter_cpu() - exporter < Duration::from_millis(5) && !run.is_finished() {
            tokio::task::yield_now().await;
        }
        let meanwhile = slice(&app, usize::MAX, || run.is_finished()).await;
        assert!(run.await.unwrap().unwrap().is_complete());
        let after = slice(&app, ALONE, || false).await;
        // What two slices without an export differ by says how much of a ratio is noise.
        noise.push(after.cost / before.cost);
        costs.push(before.cost);
        longest = [longest[0].max(meanwhile.longest), longest[1].max(before.longest).max(after.longest)];
        if meanwhile.requests > 0 {
            requests += meanwhile.requests;
            ratios.push(meanwhile.cost / before.cost.midpoint(after.cost));
        }
    }
    let [ratios, noise, costs] = [ratios, noise, costs].map(Quartiles::of);
    println!(
        "requests meanwhile: {ratios} times their CPU time (median and quartiles of {pairs} pairs, {requests} requests, {:.1} µs each \
         without an export; two slices without one: {noise}); the longest took {:.1} ms, without an export {:.1} ms",
        costs.median,
        longest[0].as_secs_f64() * 1e3,
        longest[1].as_secs_f64() * 1e3
    );
    auditor.shutdown(Duration::from_secs(60)).await;
}

/// Requests one after another.
struct Slice {
    requests: usize,
    /// Microseconds of CPU time of each, on all threads but the exporter's.
    cost: f64,
    longest: Duration,
}

async fn slice(app: &App, most: usize, is_over: impl Fn() -> bool) -> Slice {
    /// Between two looks, so that a slice ends with the export and not after it.
    const ROUND: usize = 30;
    let (mut requests, mut longest) = (0, Duration::ZERO);
    let began = (thread_cpu(), helpers_cpu());
    let mut cost = f64::NAN;
    while requests < most {
        for round in 0..ROUND / 3 {
            let began = Instant::now();
            ask(app, round).await;
            longest = longest.max(began.elapsed());
        }
        tokio::task::yield_now().await;
        if is_over() {
            break;
        }
        requests += ROUND;
        let spent = (thread_cpu() - began.0) + helpers_cpu().saturating_sub(began.1);
        cost = spent.as_secs_f64() * 1e6 / requests as f64;
    }
    Slice { requests, cost, longest }
}

struct Quartiles {
    median: f64,
    first: f64,
    third: f64,
}

impl Quartiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values.get(values.len() * part / 4).copied().unwrap_or(f64::NAN);
        Self { median: at(2), first: at(1), third: at(3) }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.first, self.third)
    }
}

/// CPU time of the exporter's thread; zero where the system does not tell.
fn exporter_cpu() -> Duration {
    cpu_of_threads(|name, _| name == "audit-export")
}

/// CPU time of the threads that serve requests, besides this one: what they spend in a slice is known once they wait again.
fn helpers_cpu() -> Duration {
    let this = fs::read_link("/proc/thread-self").unwrap_or_default();
    cpu_of_threads(|name, thread| name != "audit-export" && this.file_name() != Some(thread))
}

fn cpu_of_threads(counts: impl Fn(&str, &OsStr) -> bool) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        counts(name.trim(), &task.file_name()).then(|| times.split(' ').next()?.parse::<u64>().ok())?
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

/// Records with the numbers after this one; returns how many.
fn write_segment(path: &Path, lines: &[String], size: u64, after: u64) -> u64 {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut seq) = (0, after);
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
    seq - after
}
