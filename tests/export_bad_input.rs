//! Exports on machines that misbehave: clocks that are set back, folders that go away, disks that are full, lines of 16 MiB. What was
//! recorded arrives once all the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "who runs the tests should see what they skip")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{DEADLINE, NOW, eventually};
use serde_json::Value;
use tower_audit::export::{Destination, Export, ExportFormat, ExportReport, Verdict, verify};
use tower_audit::segment;
use tower_audit::sink::{self, Compress, FileOptions};
use tower_audit::{Auditor, Clock};

/// A spool in one folder, an archive in another.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        Self { folder }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool/audit.log")
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn destination(&self) -> Destination {
        Destination::new(self.archive().to_str().unwrap()).format(ExportFormat::Json)
    }

    fn start(&self) -> Auditor {
        start(sink::file(self.spool()), self.destination())
    }

    /// Writes a sealed segment, as an earlier process left it.
    fn seal(&self, text: &str) {
        fs::write(self.folder.path().join("spool/audit-20261120T101530.000000Z-9f86d081884c7d65.log"), text).unwrap();
    }

    /// The numbers of these events in `meta`, in the order in which they were delivered; everything delivered has to be complete.
    fn delivered(&self) -> Vec<u64> {
        delivered(&self.archive())
    }
}

fn start(spool: FileOptions, destination: Destination) -> Auditor {
    Auditor::builder().host("server.example").export(spool, Export::to(destination)).build().unwrap()
}

fn delivered(archive: &Path) -> Vec<u64> {
    let verification = verify(archive.to_str().unwrap()).unwrap();
    assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
    let numbers = lines(&archive.join("audit-logs")).into_iter().filter_map(|line| {
        let record: Value = serde_json::from_str(&line).unwrap();
        record["meta"]["number"].as_u64()
    });
    numbers.collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for date in fs::read_dir(folder).into_iter().flatten() {
        files.extend(fs::read_dir(date.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    files
}

fn lines(folder: &Path) -> Vec<String> {
    // A run that still goes on may rename a temporary file at any time.
    let is_complete = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with('.');
    let texts = files(folder).into_iter().filter(is_complete).map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn record(auditor: &Auditor, number: u64) {
    let work = auditor.begin_unlisted("Work").await.unwrap();
    work.audit().meta("number", number);
    work.succeed();
}

async fn export(auditor: &Auditor) -> ExportReport {
    let report = auditor.export_now(DEADLINE).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    report
}

/// Exports until what waits is delivered: what failed meanwhile is tried again.
async fn export_in_the_end(auditor: &Auditor, is_delivered: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_delivered() {
        assert!(began.elapsed() < DEADLINE);
        let _ = auditor.export_now(DEADLINE).await.unwrap();
    }
}

/// A clock that goes on, and can be set.
#[derive(Clone, Default)]
struct SetClock {
    /// Seconds by which it is behind.
    behind: Arc<AtomicU64>,
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() - Duration::from_secs(self.behind.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_a_year_in_a_running_process_stops_no_run_and_loses_and_repeats_nothing() {
    const YEAR: u64 = 365 * 24 * 60 * 60;
    let (site, clock) = (Site::new(), SetClock::default());
    let spool = sink::file(site.spool()).clock(clock.clone());
    let every_second = Export::to(site.destination()).cron("* * * * * *");
    let auditor = Auditor::builder().clock(clock.clone()).export(spool, every_second).build().unwrap();
    let mut number = 0;
    for behind in [0, YEAR, 0, 2 * YEAR] {
        clock.behind.store(behind, Ordering::SeqCst);
        record(&auditor, number).await;
        // On schedule, and when asked.
        let line = format!("\"meta\":{{\"number\":{number}}}");
        let is_delivered = || lines(&site.archive().join("audit-logs")).iter().any(|text| text.contains(&line));
        eventually("the schedule makes a run", is_delivered).await;
        record(&auditor, number + 1).await;
        export(&auditor).await;
        number += 2;
    }
    auditor.shutdown(DEADLINE).await;
    assert_eq!(site.delivered(), (0..number).collect::<Vec<_>>(), "once each, and names still sort as records do");
    let years: std::collections::BTreeSet<String> = fs::read_dir(site.archive().join("audit-logs"))
        .unwrap()
        .map(|date| date.unwrap().file_name().into_string().unwrap()[..9].to_owned())
        .collect();
    assert!(years.len() >= 3, "records have the clock's time: {years:?}");
}

#[tokio::test]
async fn a_spool_that_is_compressed_while_it_is_exported_is_delivered_once() {
    let site = Site::new();
    let spool = sink::file(site.spool()).rotate_bytes(2_000).compress(Compress::Gzip);
    let auditor = start(spool, site.destination());
    for number in 0..600 {
        record(&auditor, number).await;
        if number % 50 == 0 {
            export(&auditor).await;
        }
    }
    export(&auditor).await;
    let all_are_compressed = || {
        let segments = segment::list(site.spool()).unwrap();
        segments.iter().all(|segment| segment.path().extension().is_some_and(|extension| extension == "gz"))
    };
    eventually("all segments are compressed", all_are_compressed).await;
    auditor.shutdown(DEADLINE).await;
    drop(auditor);
    assert_eq!(site.delivered(), (0..600).collect::<Vec<_>>());

    // Another destination gets all of it from the compressed ones.
    let other = site.folder.path().join("other");
    start(sink::file(site.spool()), Destination::new(other.to_str().unwrap()).format(ExportFormat::Json))
        .shutdown(DEADLINE)
        .await;
    assert_eq!(delivered(&other), (0..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_spool_folder_that_goes_away_is_an_error_that_names_it_and_what_it_holds_is_delivered_when_it_is_back() {
    let site = Site::new();
    let auditor = site.start();
    record(&auditor, 1).await;
    export(&auditor).await;
    record(&auditor, 2).await;
    assert!(auditor.flush(DEADLINE).await);
    let (folder, away) = (site.folder.path().join("spool"), site.folder.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    // So that the sink cannot make it again for the record of the failure.
    fs::write(&folder, b"").unwrap();
    let report = auditor.export_now(DEADLINE).await.unwrap();
    let error = report.error.unwrap();
    assert!(error.contains(folder.to_str().unwrap()), "{error}");
    assert_eq!(report.objects, 0);
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    record(&auditor, 3).await;
    export_in_the_end(&auditor, || site.delivered().len() == 3).await;
    auditor.shutdown(DEADLINE).await;
    assert_eq!(site.delivered(), [1, 2, 3]);
}

/// A folder in which nothing can be made, renamed or removed.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// By its mode; for the superuser, by an attribute, where the file system has one.
    fn make(folder: &Path) -> Option<Self> {
        set_mode(folder, 0o500);
        let this = Self(folder.to_owned());
        if this.is_so() || (this.set_attribute("+i") && this.is_so()) {
            return Some(this);
        }
        eprintln!("SKIPPED: nothing makes a folder read-only here");
        None
    }

    fn is_so(&self) -> bool {
        let probe = self.0.join("probe");
        let is_made = fs::write(&probe, b"").is_ok();
        let _ = fs::remove_file(probe);
        !is_made
    }

    fn set_attribute(&self, attribute: &str) -> bool {
        let mut command = std::process::Command::new("chattr");
        command.arg(attribute).arg(&self.0).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        self.set_attribute("-i");
        set_mode(&self.0, 0o700);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

#[tokio::test]
async fn a_spool_folder_that_becomes_read_only_is_an_error_that_names_it_and_nothing_is_lost() {
    let site = Site::new();
    let auditor = site.start();
    record(&auditor, 1).await;
    export(&auditor).await;
    record(&auditor, 2).await;
    assert!(auditor.flush(DEADLINE).await);
    let folder = site.folder.path().join("spool");
    let Some(read_only) = ReadOnly::make(&folder) else { return };
    let report = auditor.export_now(DEADLINE).await.unwrap();
    let error = report.error.unwrap();
    assert!(error.contains(&format!("cannot seal {}", site.spool().display())), "{error}");
    assert_eq!(report.objects, 0);
    // Also right after it.
    assert!(auditor.export_now(DEADLINE).await.unwrap().error.is_some());
    // The open file takes records still.
    record(&auditor, 3).await;
    drop(read_only);
    export_in_the_end(&auditor, || site.delivered().len() == 3).await;
    auditor.shutdown(DEADLINE).await;
    assert_eq!(site.delivered(), [1, 2, 3]);
}

/// A small file system of its own; none where nobody may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tower-audit-test"]).arg(folder.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED: nobody may mount a small file system here");
        }
        mounted.then_some(Self(folder))
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.path().join("filler")).unwrap();
        while std::io::Write::write(&mut filler, &[0; 512]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_destination_that_is_full_is_an_error_that_names_it_and_gets_everything_once_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let site = Site::new();
    let archive = disk.0.path().join("archive");
    let auditor = start(
        sink::file(site.spool()),
        Destination::new(archive.to_str().unwrap()).format(ExportFormat::Json).object_bytes(64 * 1024),
    );
    record(&auditor, 0).await;
    export(&auditor).await;
    disk.fill();
    // Two objects: the second does not fit when there is room for one.
    for number in 1..200 {
        record(&auditor, number).await;
    }
    let report = auditor.export_now(DEADLINE).await.unwrap();
    let error = report.error.unwrap();
    assert!(error.contains(archive.to_str().unwrap()) && error.contains("space"), "{error}");
    let left: Vec<PathBuf> = files(&archive.join("audit-logs"));
    assert!(left.iter().all(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')), "{left:?}");
    assert_eq!(lines(&archive.join("audit-logs")).len(), 2, "half an object is none");
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    export(&auditor).await;
    auditor.shutdown(DEADLINE).await;
    let mut numbers = delivered(&archive);
    // Of the objects of a segment, the manifest says in which order they come.
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(files(&archive.join("audit-logs")).len() > 3);
}

/// A line of an earlier run.
fn line(seq: u64, schema: &str, rest: &str) -> String {
    format!(
        "{{\"timestamp\":\"{NOW}\",\"level\":\"info\",\"isAuditLog\":true,\"schema\":\"{schema}\",\"eventName\":\"Work\",\
         \"stage\":\"completion\",\"status\":\"succeeded\",\"auditId\":\"{}\",\"instance\":\"before\",\"seq\":{seq},\
         \"actor\":{{\"actorId\":null}},\"meta\":{{\"number\":{seq}{rest}}}}}\n",
        uuid::Uuid::from_u128(seq.into())
    )
}

#[tokio::test]
async fn lines_of_16_mib_are_objects_of_their_own_in_each_format() {
    const LEN: usize = 16 * 1024 * 1024;
    for (format, extension) in [(ExportFormat::Json, "json"), (ExportFormat::Csv, "csv")] {
        let site = Site::new();
        let long = |seq| {
            line(seq, "1.0", &format!(",\"padding\":\"{}\"", format!("{}\\n\u{e9}", "x".repeat(60)).repeat(LEN / 64)))
        };
        site.seal(&[line(1, "1.0", ""), long(2), long(3), line(4, "1.0", "")].concat());
        let archive = site.archive();
        let destination = Destination::new(archive.to_str().unwrap()).format(format).object_bytes(64 * 1024);
        let auditor = start(sink::file(site.spool()), destination);
        let report = auditor.export_now(Duration::from_secs(600)).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        let verification = verify(archive.to_str().unwrap()).unwrap();
        assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
        let ends: Vec<String> = files(&archive.join("audit-logs"))
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .filter_map(|name| name.strip_prefix("20261120T101530.000000Z-9f86d081884c7d65"))
            .map(str::to_owned)
            .collect();
        let expected = ["-2", "-3", "-4", ""].map(|number| format!("{number}.{extension}"));
        assert_eq!(ends, expected);
        let lens = files(&archive.join("audit-logs")).iter().map(|path| fs::metadata(path).unwrap().len()).max();
        assert!(lens.unwrap() > LEN as u64, "{lens:?}");
    }
}

#[tokio::test]
async fn records_of_a_newer_schema_are_delivered_as_they_are_and_never_in_part() {
    // A minor version adds keys.
    let newer = [line(1, "1.0", ""), line(2, "1.7", ",\"added\":1"), line(3, "1.7", "")].concat();
    let site = Site::new();
    site.seal(&newer.replace("\"level\"", "\"colour\":\"blue\",\"level\""));
    site.start().shutdown(DEADLINE).await;
    assert_eq!(site.delivered(), [1, 2, 3]);
    assert!(lines(&site.archive().join("audit-logs"))[1].contains("\"colour\":\"blue\""));

    // A major version can be read as JSON only: what is made of records would leave out what this version does not know.
    let major = [line(1, "1.0", ""), line(2, "2.0", "").replace("\"stage\":\"completion\",", "")].concat();
    let site = Site::new();
    site.seal(&major);
    let csv = site.folder.path().join("csv");
    let auditor = start(sink::file(site.spool()), Destination::new(csv.to_str().unwrap()));
    let report = auditor.export_now(DEADLINE).await.unwrap();
    let error = report.error.unwrap();
    assert!(error.contains("schema \"2.0\"") && error.contains("or as json"), "{error}");
    assert_eq!((report.objects, files(&csv.join("manifests")).len()), (0, 0));
    auditor.shutdown(DEADLINE).await;
    drop(auditor);
    site.start().shutdown(DEADLINE).await;
    assert_eq!(site.delivered(), [1, 2]);
}
