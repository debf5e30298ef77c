//! Exports to a folder: what is recorded arrives once, whole and in order, and a destination can be checked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEADLINE, NOW, StillClock, eventually};
use serde_json::{Value, json};
use tower_audit::export::{Destination, Export, ExportFormat, ExportReport, Finding, Verdict, Verification, verify};
use tower_audit::segment;
use tower_audit::{Auditor, AuditorBuilder, Catalog, Entity, Event, LogType, sink};

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn destination(&self) -> Destination {
        Destination::new(self.archive().to_str().unwrap()).format(ExportFormat::Json)
    }

    /// The state file of [`Site::destination`].
    fn state(&self) -> PathBuf {
        self.state_of(&self.archive())
    }

    fn state_of(&self, archive: &Path) -> PathBuf {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_state = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("audit.log.export-");
        let mut states = entries.filter(is_state);
        let is_its = |path: &PathBuf| {
            let state: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            state["destination"] == format!("file://{}", archive.display())
        };
        states.find(is_its).unwrap()
    }

    fn start(&self, export: Export) -> Auditor {
        builder().export(sink::file(self.spool()), export).build().unwrap()
    }

    fn verify(&self) -> Verification {
        verify(self.archive().to_str().unwrap()).unwrap()
    }

    /// The names below a folder of the destination, sorted, each after the date.
    fn names(&self, kind: &str) -> Vec<String> {
        files(&self.archive().join(kind))
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    /// The lines of all objects.
    fn lines(&self, kind: &str) -> Vec<String> {
        let objects = files(&self.archive().join(kind)).into_iter().filter(|path| is_complete(path));
        let texts = objects.map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn manifests(&self) -> Vec<Value> {
        let schema: Value = serde_json::from_str(include_str!("../schema/export-manifest-1.0.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let read = |path: PathBuf| {
            let manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let problems: Vec<String> = schema.iter_errors(&manifest).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{problems:#?}\n{manifest:#}");
            manifest
        };
        files(&self.archive().join("manifests")).into_iter().map(read).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for date in fs::read_dir(folder).into_iter().flatten() {
        files.extend(fs::read_dir(date.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

/// Whether a file has its name: a run that still goes on may rename a temporary one at any time.
fn is_complete(path: &Path) -> bool {
    !path.file_name().unwrap().to_str().unwrap().starts_with('.')
}

fn builder() -> AuditorBuilder {
    Auditor::builder().clock(StillClock::default()).host("server.example")
}

async fn record(auditor: &Auditor, event: &str) {
    auditor.begin_unlisted(event).await.unwrap().succeed();
}

async fn export(auditor: &Auditor) -> ExportReport {
    let report = auditor.export_now(DEADLINE).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    report
}

fn events(lines: &[String]) -> Vec<String> {
    let event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["eventName"].as_str().unwrap().to_owned();
    lines.iter().map(event).collect()
}

fn count(lines: &[String], event: &str) -> usize {
    events(lines).iter().filter(|name| *name == event).count()
}

// ---------------------------------------------------------------------------------------------------------------------
// What arrives
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_was_recorded_arrives_byte_for_byte_with_a_manifest_that_says_what_it_is() {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    record(&auditor, "TaskCreation").await;
    let report = export(&auditor).await;
    assert_eq!((report.segments, report.objects, report.records), (1, 1, 2));

    let segment = &segment::list(site.spool()).unwrap()[0];
    let spooled = fs::read_to_string(segment.path()).unwrap();
    let name = format!("audit-logs/date=2026-11-20/{}.json", segment.id());
    let exported = fs::read_to_string(site.archive().join(&name)).unwrap();
    assert_eq!(exported, spooled);
    assert_eq!(events(&site.lines("audit-logs")), ["AuditStarted", "TaskCreation"]);

    let mut manifest = site.manifests().remove(0);
    let exporter = manifest["exporter"].take();
    assert!(exporter.as_str().is_some_and(|id| uuid::Uuid::parse_str(id).is_ok()));
    let instance = manifest["ranges"][0]["instance"].take();
    assert!(instance.as_str().is_some_and(|id| uuid::Uuid::parse_str(id).is_ok()));
    let sha256 = manifest["objects"][0]["sha256"].take();
    assert_eq!(sha256.as_str().map(str::len), Some(64));
    let expected = json!({
        "manifest": "1.0",
        "exporter": null,
        "number": 1,
        "previous": null,
        "spool": "audit.log",
        "segment": segment.id(),
        "objects": [{
            "name": name,
            "logType": "audit",
            "records": 2,
            "bytes": exported.len(),
            "sha256": null,
            "first": NOW,
            "last": NOW,
        }],
        "records": {"read": 2, "exported": 2, "repeated": 0, "skippedLines": 0, "tornLines": 0},
        "first": NOW,
        "last": NOW,
        "ranges": [{"instance": null, "first": 1, "last": 2}],
        "areRangesCut": false,
        "lost": [],
        "gaps": [],
        "filter": {"logTypes": ["audit", "client"]},
        "format": "json",
        "gzip": false,
        "schemas": ["1.0"],
        "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(manifest, expected);

    let stopped = auditor.shutdown(DEADLINE).await;
    assert_eq!((stopped.unexported, stopped.lost), (0, 0));
    assert_eq!(events(&site.lines("audit-logs")).last().unwrap(), "AuditStopped");
    let [first, second] = <[Value; 2]>::try_from(site.manifests()).unwrap();
    assert_eq!((first["number"].as_u64(), second["number"].as_u64()), (Some(1), Some(2)));
    assert!(second["previous"].is_string());
    let verification = site.verify();
    assert_eq!((verification.verdict, verification.manifests, verification.objects), (Verdict::Complete, 2, 2));
}

#[tokio::test]
async fn records_about_exports_do_not_feed_themselves() {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    // A run does not wait for `AuditStarted` alone.
    record(&auditor, "TaskCreation").await;
    assert_eq!(export(&auditor).await.segments, 1);
    for _ in 0..5 {
        assert_eq!(export(&auditor).await, ExportReport::default());
    }
    assert_eq!(site.manifests().len(), 1);
    record(&auditor, "TaskCreation").await;
    assert_eq!(export(&auditor).await.records, 2);
    assert_eq!(
        events(&site.lines("audit-logs")),
        ["AuditStarted", "TaskCreation", "AuditExportSucceeded", "TaskCreation"]
    );
    drop(auditor);
}

#[tokio::test]
async fn a_large_segment_becomes_several_objects_cut_between_records_and_gzip_is_the_same_bytes_each_time() {
    let site = Site::new();
    let plain = site.destination().object_bytes(64 * 1024);
    let gzipped = |name: &str| {
        let folder = site.folder.path().join(name);
        Destination::new(folder.to_str().unwrap()).format(ExportFormat::Json).object_bytes(64 * 1024).gzip(true)
    };
    let auditor = site.start(Export::to(plain).and_to(gzipped("one")).and_to(gzipped("two")));
    for number in 0..200 {
        let work = auditor.begin_unlisted("Work").await.unwrap();
        work.audit().meta("number", number).meta("padding", "x".repeat(1_000));
        work.succeed();
    }
    let report = export(&auditor).await;
    assert_eq!((report.segments, report.records), (3, 3 * 201));
    auditor.shutdown(DEADLINE).await;

    let manifests = site.manifests();
    let objects = manifests[0]["objects"].as_array().unwrap();
    assert!(objects.len() > 3, "{objects:#?}");
    let id = manifests[0]["segment"].as_str().unwrap();
    let mut lines = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let number = if at == 0 { String::new() } else { format!("-{}", at + 1) };
        assert_eq!(object["name"], format!("audit-logs/date=2026-11-20/{id}{number}.json"));
        let text = fs::read_to_string(site.archive().join(object["name"].as_str().unwrap())).unwrap();
        assert!(text.len() <= 64 * 1024 && text.ends_with('\n'));
        assert_eq!(text.lines().count() as u64, object["records"]);
        lines.extend(text.lines().map(str::to_owned));
    }
    let segments = segment::list(site.spool()).unwrap();
    assert_eq!(lines.join("\n") + "\n", fs::read_to_string(segments[0].path()).unwrap());

    let bytes = |name: &str| -> Vec<Vec<u8>> {
        files(&site.folder.path().join(name).join("audit-logs")).iter().map(|path| fs::read(path).unwrap()).collect()
    };
    assert_eq!(bytes("one"), bytes("two"));
    let mut text = String::new();
    let first = bytes("one").into_iter().next().unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&first[..]), &mut text).unwrap();
    assert!(text.starts_with("{\"timestamp\":"));
    for name in ["one", "two"] {
        let verification = verify(site.folder.path().join(name).to_str().unwrap()).unwrap();
        assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
    }
}

#[tokio::test]
async fn each_log_type_can_have_a_destination_and_a_format_of_its_own() {
    let site = Site::new();
    let clients = site.folder.path().join("clients");
    let audit = site.destination().log_types([LogType::Audit]);
    let client = Destination::new(clients.to_str().unwrap()).log_types([LogType::Client]).columns("eventName,logType");
    let catalog = Catalog::new()
        .event(Event::new("PackageDownloaded").log_type(LogType::Client))
        .event(Event::new("PackageDeleted"));
    let export_to = Export::to(audit).and_to(client);
    let auditor = builder().catalog(catalog).export(sink::file(site.spool()), export_to).build().unwrap();
    for event in ["PackageDownloaded", "PackageDeleted", "PackageDownloaded"] {
        auditor.begin(event).await.unwrap().succeed();
    }
    export(&auditor).await;
    assert_eq!(events(&site.lines("audit-logs")), ["AuditStarted", "PackageDeleted"]);
    assert!(site.names("client-logs").is_empty());
    let file = &files(&clients.join("client-logs"))[0];
    let row = "PackageDownloaded,client\n";
    assert_eq!(fs::read_to_string(file).unwrap(), format!("eventName,logType\n{row}{row}"));
    assert!(file.extension().is_some_and(|extension| extension == "csv"));
    drop(auditor);
}

/// The columns of both of Cloudsmith's pages, from a real run.
#[tokio::test]
async fn cloudsmiths_columns_are_as_its_page_has_them() {
    let site = Site::new();
    let destination = Destination::new(site.archive().to_str().unwrap()).columns("cloudsmith");
    let catalog = Catalog::new()
        .event(Event::new("PackageDownloaded").log_type(LogType::Client))
        .event(Event::new("PackageDeleted"));
    let auditor = builder().catalog(catalog).export(sink::file(site.spool()), Export::to(destination)).build().unwrap();
    let package = Entity::new("package").id("vmN1OlMDi3Iy").name("=cmd|'x'!A1");
    auditor.begin("PackageDeleted").object(package).context("api").await.unwrap().succeed();
    export(&auditor).await;
    let lines = site.lines("audit-logs");
    let (header, rows) = lines.split_first().unwrap();
    assert_eq!(
        header,
        "actor,actor_ip_address,actor_kind,actor_location,actor_slug_perm,actor_url,context,event,event_at,object,\
         object_kind,object_slug_perm,target,target_kind,target_slug_perm,uuid"
    );
    let time = "2026-11-20T07:55:37.720973+00:00";
    assert!(rows[0].starts_with(&format!("tower-audit,,system,,,,,AuditStarted,{time},")), "{}", rows[0]);
    assert!(rows[1].starts_with(&format!(",,,,,,api,PackageDeleted,{time},'=cmd|'x'!A1,package,")), "{}", rows[1]);
    assert_eq!(rows.len(), 2);
    drop(auditor);
}

#[tokio::test]
async fn only_chosen_events_arrive_and_the_librarys_own_always() {
    let site = Site::new();
    let destination = site.destination().events(["artifact_copied"]).always(["artifact_downloaded"]);
    let auditor = site.start(Export::to(destination));
    for event in ["artifact_copied", "artifact_downloaded", "cve_updated"] {
        record(&auditor, event).await;
    }
    assert_eq!(export(&auditor).await.records, 3);
    assert_eq!(events(&site.lines("audit-logs")), ["AuditStarted", "artifact_copied", "artifact_downloaded"]);
    let manifest = site.manifests().remove(0);
    assert_eq!(
        manifest["records"],
        json!({"read": 4, "exported": 3, "repeated": 0, "skippedLines": 0, "tornLines": 0})
    );
    drop(auditor);
    assert_eq!(site.verify().verdict, Verdict::Complete);
}

// ---------------------------------------------------------------------------------------------------------------------
// The spool
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn retention_spares_what_is_not_exported_and_removes_it_afterwards() {
    let site = Site::new();
    // It cannot be made: its parent is a file.
    fs::write(site.archive(), b"").unwrap();
    let spool = sink::file(site.spool()).rotate_bytes(1).keep_files(1);
    let auditor = builder().export(spool, Export::to(site.destination())).build().unwrap();
    for _ in 0..5 {
        record(&auditor, "TaskCreation").await;
    }
    let report = auditor.export_now(DEADLINE).await.unwrap();
    assert!(report.error.as_ref().is_some_and(|error| error.contains("archive")), "{report:?}");
    assert!(report.waiting >= 6, "{report:?}");
    assert!(segment::list(site.spool()).unwrap().len() >= 6);
    fs::remove_file(site.archive()).unwrap();
    export(&auditor).await;
    assert_eq!(count(&site.lines("audit-logs"), "TaskCreation"), 5);
    assert!(segment::list(site.spool()).unwrap().len() <= 2, "retention removes what is exported");
    auditor.shutdown(DEADLINE).await;
    assert_eq!(site.verify().verdict, Verdict::Complete);
}

#[tokio::test]
async fn what_waits_is_bounded_and_beyond_that_the_spool_is_a_full_disk() {
    let site = Site::new();
    fs::write(site.archive(), b"").unwrap();
    let export_to = Export::to(site.destination()).spool_bytes(1024 * 1024);
    let auditor = site.start(export_to);
    let state = |auditor: &Auditor| auditor.counters().sinks[0].state;
    for _ in 0..400 {
        let work = auditor.begin_unlisted("Work").await.unwrap();
        work.audit().meta("padding", "x".repeat(4_000));
        work.succeed();
    }
    eventually("the spool is full", || state(&auditor) == tower_audit::SinkState::Failing).await;
    let held: u64 = fs::metadata(site.spool()).unwrap().len();
    assert!(held <= 1024 * 1024, "{held}");
    fs::remove_file(site.archive()).unwrap();
    // What is there is exported, which makes room for the rest.
    let began = std::time::Instant::now();
    while count(&site.lines("audit-logs"), "Work") < 400 {
        assert!(began.elapsed() < DEADLINE);
        let _ = auditor.export_now(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    auditor.shutdown(DEADLINE).await;
    assert_eq!((site.verify().verdict, count(&site.lines("audit-logs"), "Work")), (Verdict::Complete, 400));
}

#[tokio::test]
async fn what_an_earlier_process_left_is_exported_and_the_report_says_what_stays() {
    let site = Site::new();
    let earlier = builder().sink(sink::file(site.spool()).open().unwrap()).build().unwrap();
    record(&earlier, "TaskCreation").await;
    earlier.shutdown(DEADLINE).await;

    fs::write(site.archive(), b"").unwrap();
    let auditor = builder().export(sink::file(site.spool()), Export::to(site.destination())).build().unwrap();
    let report = auditor.shutdown(DEADLINE).await;
    assert!(report.flushed);
    assert_eq!(report.unexported, 1);

    fs::remove_file(site.archive()).unwrap();
    let auditor = builder().export(sink::file(site.spool()), Export::to(site.destination())).build().unwrap();
    assert_eq!(auditor.shutdown(DEADLINE).await.unexported, 0);
    let run = ["AuditStarted", "AuditStopped"];
    let mut expected = vec!["AuditStarted", "TaskCreation", "AuditStopped", "AuditStarted"];
    expected.extend(["AuditExportFailed"].iter().filter(|_| count(&site.lines("audit-logs"), "AuditExportFailed") > 0));
    expected.extend(["AuditStopped"].into_iter().chain(run));
    assert_eq!(events(&site.lines("audit-logs")), expected);
    assert_eq!(site.verify().verdict, Verdict::Complete);
}

#[tokio::test]
async fn a_second_exporter_on_the_same_spool_is_refused() {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    let second = builder().export(sink::file(site.spool()), Export::to(site.destination())).build().unwrap_err();
    assert!(second.to_string().contains("audit.log") && second.to_string().contains("another"), "{second}");
    // The exporter ends with the log, and gives the file free.
    auditor.shutdown(DEADLINE).await;
    drop(auditor);
    site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
}

// ---------------------------------------------------------------------------------------------------------------------
// Failures
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_run_of_failures_is_one_record_and_then_everything_arrives_once() {
    let site = Site::new();
    fs::write(site.archive(), b"").unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = reports.clone();
    let hook = move |report: &ExportReport| seen.lock().unwrap().push(report.clone());
    let auditor = site.start(Export::to(site.destination()).on_run(hook));
    for _ in 0..4 {
        record(&auditor, "TaskCreation").await;
        assert!(auditor.export_now(DEADLINE).await.unwrap().error.is_some());
    }
    let counters = auditor.counters().export.unwrap();
    assert!(counters.failing >= 4 && counters.failed_runs >= 4 && counters.last_success.is_none(), "{counters:?}");
    assert!(counters.last_error.as_ref().is_some_and(|error| error.contains("archive")), "{counters:?}");
    assert!(counters.waiting_segments >= 4 && counters.waiting_bytes > 0, "{counters:?}");
    fs::remove_file(site.archive()).unwrap();
    export(&auditor).await;
    auditor.shutdown(DEADLINE).await;

    let counters = auditor.counters().export.unwrap();
    assert!(counters.failing == 0 && counters.last_success.is_some() && counters.waiting_segments == 0, "{counters:?}");
    assert!(reports.lock().unwrap().iter().filter(|report| report.error.is_some()).count() >= 4);
    let lines = site.lines("audit-logs");
    assert_eq!((count(&lines, "TaskCreation"), count(&lines, "AuditExportFailed")), (4, 1));
    let failed = lines.iter().find(|line| line.contains("AuditExportFailed")).unwrap();
    let failed: Value = serde_json::from_str(failed).unwrap();
    assert_eq!(
        (&failed["status"], &failed["level"], &failed["meta"]["count"]),
        (&json!("failed"), &json!("error"), &json!(1))
    );
    assert!(failed["meta"]["error"].as_str().unwrap().contains("archive"), "{failed}");
    let succeeded = lines.iter().find(|line| line.contains("AuditExportSucceeded")).unwrap();
    let succeeded: Value = serde_json::from_str(succeeded).unwrap();
    assert!(succeeded["meta"]["failedBefore"].as_u64().unwrap() >= 4, "{succeeded}");
    assert_eq!(site.verify().verdict, Verdict::Complete);
}

#[tokio::test]
async fn a_run_that_has_no_time_for_anything_ends_no_run_of_failures() {
    let site = Site::new();
    fs::write(site.archive(), b"").unwrap();
    let auditor = site.start(Export::to(site.destination()));
    record(&auditor, "TaskCreation").await;
    assert!(auditor.export_now(DEADLINE).await.unwrap().error.is_some());
    for _ in 0..3 {
        let before = auditor.counters().export.unwrap();
        let _ = auditor.export_now(Duration::ZERO).await;
        eventually("the run", || auditor.counters().export.unwrap().runs > before.runs).await;
        let counters = auditor.counters().export.unwrap();
        assert!(counters.failing >= before.failing.max(1), "{before:?} {counters:?}");
    }
    fs::remove_file(site.archive()).unwrap();
    export(&auditor).await;
    assert_eq!(auditor.counters().export.unwrap().failing, 0);
    auditor.shutdown(DEADLINE).await;
    assert_eq!(count(&site.lines("audit-logs"), "AuditExportFailed"), 1);
}

#[tokio::test]
async fn one_destination_that_fails_does_not_keep_the_other_waiting() {
    let site = Site::new();
    let broken = site.folder.path().join("broken");
    fs::write(&broken, b"").unwrap();
    let to = Export::to(Destination::new(broken.to_str().unwrap())).and_to(site.destination());
    let auditor = site.start(to);
    record(&auditor, "TaskCreation").await;
    let report = auditor.export_now(DEADLINE).await.unwrap();
    assert_eq!((report.segments, report.waiting), (1, 1), "{report:?}");
    assert!(report.error.unwrap().contains("broken"));
    assert_eq!(events(&site.lines("audit-logs")), ["AuditStarted", "TaskCreation"]);
    drop(auditor);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_overwritten() {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    export(&auditor).await;
    record(&auditor, "TaskCreation").await;
    auditor.shutdown(DEADLINE).await;
    // The same segments, exported by somebody who knows nothing of what was done.
    let segments = segment::list(site.spool()).unwrap();
    fs::remove_file(site.state()).unwrap();
    let before: Vec<_> = files(&site.archive().join("audit-logs")).iter().map(|path| fs::read(path).unwrap()).collect();
    let again = site.start(Export::to(site.destination()));
    let report = again.export_now(DEADLINE).await.unwrap();
    assert!(report.error.as_ref().is_some_and(|error| error.contains(&segments[0].id())), "{report:?}");
    let after: Vec<_> = files(&site.archive().join("audit-logs")).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
    drop(again);
}

#[tokio::test]
async fn two_replicas_and_a_replaced_volume_share_a_prefix() {
    let (one, two) = (Site::new(), Site::new());
    let to = || Export::to(Destination::new(one.archive().to_str().unwrap()).format(ExportFormat::Json));
    let start = |site: &Site| builder().export(sink::file(site.spool()), to()).build().unwrap();
    let (first, second) = (start(&one), start(&two));
    for _ in 0..3 {
        for auditor in [&first, &second] {
            record(auditor, "TaskCreation").await;
            export(auditor).await;
        }
    }
    first.shutdown(DEADLINE).await;
    second.shutdown(DEADLINE).await;
    drop((first, second));
    fs::remove_dir_all(two.folder.path()).unwrap();
    fs::create_dir(two.folder.path()).unwrap();
    let replaced = start(&two);
    record(&replaced, "TaskCreation").await;
    replaced.shutdown(DEADLINE).await;
    let verification = one.verify();
    assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
    assert_eq!(count(&one.lines("audit-logs"), "TaskCreation"), 7);
    let exporters: std::collections::HashSet<String> =
        one.manifests().iter().map(|manifest| manifest["exporter"].to_string()).collect();
    assert_eq!(exporters.len(), 3);
}

#[tokio::test]
async fn a_state_that_is_torn_stops_the_export_and_says_what_to_do() {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    auditor.shutdown(DEADLINE).await;
    drop(auditor);
    let state = site.state();
    let text = fs::read(&state).unwrap();
    fs::write(&state, &text[..text.len() / 2]).unwrap();
    let auditor = builder().export(sink::file(site.spool()), Export::to(site.destination())).build().unwrap();
    record(&auditor, "TaskCreation").await;
    let report = auditor.export_now(DEADLINE).await.unwrap();
    let error = report.error.unwrap();
    assert!(error.contains("audit.log.export-") && error.contains("torn") && error.contains("moved away"), "{error}");
    fs::write(&state, &text).unwrap();
    export(&auditor).await;
    auditor.shutdown(DEADLINE).await;
    assert_eq!((site.verify().verdict, count(&site.lines("audit-logs"), "TaskCreation")), (Verdict::Complete, 1));
}

#[tokio::test]
async fn a_setting_that_changed_holds_from_the_next_segment_on_and_another_destination_begins_a_chain() {
    let site = Site::new();
    let run = async |destination: Destination| {
        let auditor = site.start(Export::to(destination));
        auditor.shutdown(DEADLINE).await;
    };
    run(site.destination()).await;
    run(site.destination().format(ExportFormat::JsonTimestamp)).await;
    let other = site.folder.path().join("other");
    run(Destination::new(other.to_str().unwrap())).await;
    let formats: Vec<Value> = site.manifests().iter().map(|manifest| manifest["format"].clone()).collect();
    assert_eq!(formats, ["json", "json_timestamp"]);
    assert_eq!(site.verify().verdict, Verdict::Complete);
    let elsewhere = verify(other.to_str().unwrap()).unwrap();
    assert_eq!((elsewhere.verdict, elsewhere.manifests, elsewhere.records), (Verdict::Complete, 3, 6));
}

#[tokio::test]
async fn destinations_that_change_places_keep_their_own_progress() {
    let site = Site::new();
    let other = site.folder.path().join("other");
    let to_other = || Destination::new(other.to_str().unwrap()).format(ExportFormat::Json);
    // It cannot be made: a file has its name.
    fs::write(&other, b"").unwrap();
    let spool = || sink::file(site.spool()).keep_files(1);
    let start = |export: Export| builder().export(spool(), export).build().unwrap();
    let auditor = start(Export::to(site.destination()).and_to(to_other()));
    for _ in 0..3 {
        record(&auditor, "TaskCreation").await;
        assert!(auditor.export_now(DEADLINE).await.unwrap().error.is_some());
    }
    auditor.shutdown(DEADLINE).await;
    drop(auditor);
    assert_eq!(count(&site.lines("audit-logs"), "TaskCreation"), 3);

    fs::remove_file(&other).unwrap();
    start(Export::to(to_other()).and_to(site.destination())).shutdown(DEADLINE).await;
    // It is not configured any more, and keeps nothing back.
    let alone = start(Export::to(site.destination()));
    export(&alone).await;
    record(&alone, "TaskCreation").await;
    assert_eq!(alone.shutdown(DEADLINE).await.unexported, 0);
    let there = verify(other.to_str().unwrap()).unwrap();
    assert_eq!(there.verdict, Verdict::Complete, "{there}");
    let texts = files(&other.join("audit-logs")).into_iter().map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(texts.map(|text| text.matches("\"eventName\":\"TaskCreation\"").count()).sum::<usize>(), 3);
    assert_eq!((site.verify().verdict, count(&site.lines("audit-logs"), "TaskCreation")), (Verdict::Complete, 4));
    assert!(segment::list(site.spool()).unwrap().len() <= 1, "retention removes what is exported");
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_destination_that_is_not_configured_any_more_is_named_once_at_the_start() {
    let site = Site::new();
    let other = site.folder.path().join("other");
    site.start(Export::to(Destination::new(other.to_str().unwrap()))).shutdown_blocking(DEADLINE);
    let heard = Heard::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let heard = heard.clone();
        move || heard.clone()
    });
    let _here = tracing::subscriber::set_default(subscriber.finish());
    site.start(Export::to(site.destination())).shutdown_blocking(DEADLINE);
    let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
    let url = format!("destination=\"file://{}\"", other.display());
    assert_eq!((text.matches("WARN").count(), text.matches(&url).count()), (1, 1), "{text}");
    assert!(text.contains(site.state_of(&other).to_str().unwrap()), "{text}");
    assert!(!text.contains(site.archive().to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_make_new_segments_look_exported() {
    let site = Site::new();
    site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
    // The clock was far ahead then, and retention has removed everything since.
    let mut state: Value = serde_json::from_slice(&fs::read(site.state()).unwrap()).unwrap();
    state["exported"] = json!("20991120T101530.123456Z-9f86d081884c7d65");
    fs::write(site.state(), state.to_string()).unwrap();
    for segment in segment::list(site.spool()).unwrap() {
        fs::remove_file(segment.path()).unwrap();
    }
    let auditor = site.start(Export::to(site.destination()));
    record(&auditor, "TaskCreation").await;
    auditor.shutdown(DEADLINE).await;
    assert_eq!((site.verify().verdict, count(&site.lines("audit-logs"), "TaskCreation")), (Verdict::Complete, 1));
}

// ---------------------------------------------------------------------------------------------------------------------
// Checking
// ---------------------------------------------------------------------------------------------------------------------

/// A destination of four segments.
async fn exported() -> Site {
    let site = Site::new();
    let auditor = site.start(Export::to(site.destination()));
    for _ in 0..3 {
        record(&auditor, "TaskCreation").await;
        export(&auditor).await;
    }
    auditor.shutdown(DEADLINE).await;
    assert_eq!(site.verify().verdict, Verdict::Complete);
    assert_eq!(site.manifests().len(), 4);
    site
}

#[tokio::test]
async fn every_change_of_a_destination_is_found() {
    type Change = fn(&[PathBuf], &[PathBuf]);
    type Found = fn(&Finding) -> bool;
    let changes: [(&str, Verdict, Change, Found); 8] = [
        (
            "a byte changed",
            Verdict::Altered,
            |objects, _| {
                let mut bytes = fs::read(&objects[1]).unwrap();
                bytes[40] ^= 1;
                fs::write(&objects[1], bytes).unwrap();
            },
            |found| matches!(found, Finding::ObjectAltered { .. }),
        ),
        (
            "an object gone",
            Verdict::Missing,
            |objects, _| fs::remove_file(&objects[1]).unwrap(),
            |found| matches!(found, Finding::ObjectMissing { .. }),
        ),
        (
            "one added",
            Verdict::Altered,
            |objects, _| {
                let name = objects[0].file_name().unwrap().to_str().unwrap().replace(".json", "-2.json");
                fs::write(objects[0].with_file_name(name), b"{}\n").unwrap();
            },
            |found| matches!(found, Finding::ObjectExtra { .. }),
        ),
        (
            "an object without its manifest yet",
            Verdict::Unverifiable,
            |objects, _| {
                let name = "20991120T101530.123456Z-9f86d081884c7d65.json";
                fs::write(objects[0].with_file_name(name), b"{}\n").unwrap();
            },
            |found| matches!(found, Finding::ObjectUnfinished { .. }),
        ),
        (
            "a manifest gone",
            Verdict::Altered,
            |_, manifests| fs::remove_file(&manifests[1]).unwrap(),
            |found| matches!(found, Finding::ManifestMissing { number: 2, .. }),
        ),
        (
            "two manifests swapped",
            Verdict::Altered,
            |_, manifests| {
                let (one, two) = (fs::read(&manifests[1]).unwrap(), fs::read(&manifests[2]).unwrap());
                fs::write(&manifests[1], two).unwrap();
                fs::write(&manifests[2], one).unwrap();
            },
            |found| matches!(found, Finding::ManifestAltered { .. }),
        ),
        (
            "a manifest changed",
            Verdict::Altered,
            |_, manifests| {
                let text = fs::read_to_string(&manifests[1]).unwrap();
                fs::write(&manifests[1], text.replace("audit.log", "other.log")).unwrap();
            },
            |found| matches!(found, Finding::ManifestAltered { reason, .. } if reason.contains("does not continue")),
        ),
        (
            "a manifest cut",
            Verdict::Altered,
            |_, manifests| fs::write(&manifests[3], b"{\"manifest\":\"1.0\"").unwrap(),
            |found| matches!(found, Finding::ManifestAltered { .. }),
        ),
    ];
    for (what, outcome, change, is_expected) in changes {
        let site = exported().await;
        change(&files(&site.archive().join("audit-logs")), &files(&site.archive().join("manifests")));
        let verification = site.verify();
        assert_eq!(verification.verdict, outcome, "{what}: {verification}");
        assert!(verification.findings.iter().any(is_expected), "{what}: {verification}");
        assert!(verification.to_string().starts_with(outcome.as_str()));
    }
}

/// A record of an earlier run.
fn line(seq: u64, rest: &str) -> String {
    format!(
        "{{\"timestamp\":\"{NOW}\",\"level\":\"info\",\"isAuditLog\":true,\"schema\":\"1.0\",{rest},\"stage\":\"completion\",\
         \"status\":\"succeeded\",\"auditId\":\"{}\",\"instance\":\"before\",\"seq\":{seq},\"actor\":{{\"actorId\":null}}}}\n",
        uuid::Uuid::new_v4()
    )
}

fn lines(seqs: std::ops::RangeInclusive<u64>) -> String {
    seqs.map(|seq| line(seq, "\"eventName\":\"A\"")).collect()
}

#[tokio::test]
async fn a_line_that_was_cut_off_leaves_a_doubt_unless_it_is_repeated_and_so_does_one_that_is_no_record() {
    const CUT: &str = "{\"timestamp\":\"2026";
    // What the second segment ends in, what the open file begins with, and what is left without a record.
    for (end, next, expected) in [
        ("", 5..=6, None),
        (CUT, 5..=6, None),
        (CUT, 1..=1, Some((1, 0))),
        ("hello\n", 5..=6, Some((0, 1))),
        ("hello\n{\"timestamp\":\"2026", 1..=1, Some((1, 1))),
    ] {
        let site = Site::new();
        let path =
            |moment: &str| site.folder.path().join(format!("audit-20261120T1015{moment}.000000Z-9f86d081884c7d65.log"));
        fs::write(path("30"), lines(1..=2)).unwrap();
        fs::write(path("31"), lines(3..=4) + end).unwrap();
        fs::write(site.spool(), lines(next)).unwrap();
        site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
        let records = &site.manifests()[1]["records"];
        assert_eq!(records["tornLines"] == 1, end.ends_with(CUT));
        let verification = site.verify();
        let segment = "20261120T101531.000000Z-9f86d081884c7d65";
        let found = expected.map(|(torn, skipped)| {
            format!("lines without a record: {torn} cut off and {skipped} others, in segment {segment}")
        });
        let findings: Vec<String> = verification.findings.iter().map(Finding::to_string).collect();
        assert_eq!(findings, found.into_iter().collect::<Vec<_>>(), "{verification}");
        let verdict = if expected.is_some() { Verdict::Unverifiable } else { Verdict::Complete };
        assert_eq!(verification.verdict, verdict, "{verification}");
    }
}

/// Nobody knows what was before the first segment of a chain: a line that is cut there can be of any run.
#[tokio::test]
async fn a_line_that_was_cut_off_in_the_first_segment_leaves_a_doubt() {
    let site = Site::new();
    let first = site.folder.path().join("audit-20261120T101530.000000Z-9f86d081884c7d65.log");
    fs::write(first, "{\"timestamp\":\"2026\n".to_owned() + &lines(1..=4)).unwrap();
    fs::write(site.spool(), lines(5..=6)).unwrap();
    site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
    let verification = site.verify();
    assert_eq!(verification.verdict, Verdict::Unverifiable, "{verification}");
}

#[test]
fn a_folder_without_a_manifest_is_not_complete() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("something")).unwrap();
    let verification = verify(folder.path().to_str().unwrap()).unwrap();
    assert_eq!((verification.verdict, &verification.findings[..]), (Verdict::Unverifiable, &[Finding::NoManifest][..]));
    assert!(verification.to_string().contains("another folder"), "{verification}");
}

#[tokio::test]
async fn missing_numbers_are_found_and_whether_they_were_reported() {
    for (is_reported, outcome) in [(false, Verdict::Missing), (true, Verdict::ReportedLoss)] {
        let site = Site::new();
        let mut text: String = (1..=3).map(|seq| line(seq, "\"eventName\":\"A\"")).collect();
        text += &line(6, "\"eventName\":\"A\"");
        if is_reported {
            let lost = "\"eventName\":\"AuditRecordsLost\",\"eventKind\":\"audit\"";
            text += &line(7, lost).replace("}}\n", "},\"meta\":{\"count\":2,\"reason\":\"sink_failed\"}}\n");
        }
        text += &line(3, "\"eventName\":\"A\"");
        fs::write(site.spool(), text).unwrap();
        let auditor = site.start(Export::to(site.destination()));
        auditor.shutdown(DEADLINE).await;
        let manifest = site.manifests().remove(0);
        assert_eq!(manifest["gaps"], json!([{"instance": "before", "first": 4, "last": 5, "isReported": is_reported}]));
        assert_eq!(manifest["records"]["repeated"], 1);
        let verification = site.verify();
        assert_eq!(verification.verdict, outcome, "{verification}");
        let is_missing = |found: &Finding| match found {
            Finding::RecordsMissing { instance, first: 4, last: 5, is_reported: reported, .. } => {
                instance == "before" && *reported == is_reported
            }
            _ => false,
        };
        assert!(verification.findings.iter().any(is_missing), "{verification}");
    }
}

#[tokio::test]
async fn what_was_added_under_a_hidden_name_or_in_a_folder_is_found_and_a_temporary_file_is_none() {
    let site = Site::new();
    fs::write(site.spool(), lines(1..=3)).unwrap();
    site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
    let date = files(&site.archive().join("audit-logs")).remove(0).parent().unwrap().to_owned();
    fs::write(date.join(".x.json.tmp"), b"").unwrap();
    assert_eq!(site.verify().verdict, Verdict::Complete);
    fs::write(date.join(".x.json"), line(4, "\"eventName\":\"A\"")).unwrap();
    fs::create_dir(date.join("y")).unwrap();
    fs::write(date.join("y/x.json"), line(5, "\"eventName\":\"A\"")).unwrap();
    let verification = site.verify();
    let extra = |found: &Finding| match found {
        Finding::ObjectExtra { name, .. } => name.rsplit_once("date=").unwrap().1[11..].to_owned(),
        other => panic!("{other}"),
    };
    assert_eq!(verification.findings.iter().map(extra).collect::<Vec<_>>(), [".x.json", "y/"]);
    assert_eq!(verification.verdict, Verdict::Altered);
}

#[tokio::test]
async fn objects_that_were_added_do_not_displace_what_is_missing() {
    let site = Site::new();
    fs::write(site.spool(), lines(1..=3) + &lines(6..=6)).unwrap();
    site.start(Export::to(site.destination())).shutdown(DEADLINE).await;
    let object = files(&site.archive().join("audit-logs")).remove(0);
    for number in 0..10_001 {
        fs::write(object.with_file_name(format!("20200101-{number}.json")), b"").unwrap();
    }
    fs::remove_file(object).unwrap();
    let findings = site.verify().findings;
    assert_eq!(findings.len(), 10_000);
    assert!(matches!(&findings[0], Finding::ObjectMissing { .. }), "{:?}", findings[0]);
    assert!(matches!(&findings[1], Finding::RecordsMissing { first: 4, last: 5, .. }), "{:?}", findings[1]);
    assert!(matches!(&findings[2], Finding::ObjectExtra { .. }), "{:?}", findings[2]);
}

#[tokio::test]
async fn an_initiation_without_its_completion_is_named() {
    let site = Site::new();
    let catalog = Catalog::new().event(Event::new("Task").stages(tower_audit::Stages::Both));
    let auditor =
        builder().catalog(catalog).export(sink::file(site.spool()), Export::to(site.destination())).build().unwrap();
    auditor.begin("Task").await.unwrap().succeed();
    let open = auditor.begin("Task").await.unwrap();
    export(&auditor).await;
    let verification = site.verify();
    let audit_id = open.audit_id().unwrap().to_string();
    assert!(
        matches!(&verification.findings[..], [Finding::NotCompleted { audit_id: found, .. }] if *found == audit_id),
        "{verification}"
    );
    assert_eq!(verification.verdict, Verdict::Complete);
    open.succeed();
    auditor.shutdown(DEADLINE).await;
    assert!(site.verify().findings.is_empty());
}

#[test]
fn what_is_no_destination_is_an_error_that_names_it() {
    for (given, expected) in [
        ("/does/not/exist", "/does/not/exist"),
        ("relative", "absolute path"),
        ("s4://bucket/prefix", "absolute path"),
        #[cfg(not(feature = "s3"))]
        ("s3://bucket/prefix", "needs the feature `s3`"),
        ("https://me:hunter22@example.com/", "not repeated"),
    ] {
        let error = verify(given).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hunter22"), "{error}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn what_is_wrong_with_an_export_is_an_error_at_build_that_names_it() {
    let site = Site::new();
    let to = || Export::to(site.destination());
    let error = |export: Export| builder().export(sink::file(site.spool()), export).build().unwrap_err().to_string();
    for (export, expected) in [
        (to().cron("61 * * * *"), "cron"),
        (to().cron("0 0 30 2 *"), "fires at some time"),
        (to().timezone("Mars/Olympus"), "time zone"),
        (to().jitter(Duration::from_secs(100_000)), "at most a day"),
        (to().spool_bytes(1), "1MiB"),
        (Export::to(site.destination().object_bytes(1)), "64KiB to 1GiB"),
        (Export::to(site.destination().log_types([])), "audit, client"),
        (Export::to(site.destination().columns("timestamp,actor.ipp")), "`actor.ip`"),
        (Export::to(Destination::new("archive")), "absolute path"),
        #[cfg(not(feature = "s3"))]
        (Export::to(Destination::new("s3://bucket/prefix")), "needs the feature `s3`"),
        (Export::to(Destination::new("file:///{BASE_PATH}/x")), "write the path itself"),
        (to().and_to(site.destination()), "given twice"),
        (Export::to(site.destination().scopes(["acme", "/"])), "TOWER_AUDIT_EXPORT_SCOPES"),
        (Export::to(site.destination().scopes([""])), "TOWER_AUDIT_EXPORT_SCOPES"),
    ] {
        let text = error(export);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let odd = sink::file(site.spool()).rotate_every(Duration::from_secs(5 * 3_600));
    let text = builder().export(odd, to()).build().unwrap_err().to_string();
    assert!(text.contains("whole part of a day"), "{text}");
}

/// Their manifests would have the same names.
#[test]
fn two_destinations_with_one_folder_are_refused_with_what_to_do() {
    let site = Site::new();
    let audit = site.destination().log_types([LogType::Audit]);
    let same = format!("file://{}/", site.archive().display());
    let client = Destination::new(same).log_types([LogType::Client]);
    let to = Export::to(audit).and_to(client);
    let error = builder().export(sink::file(site.spool()), to).build().unwrap_err().to_string();
    for expected in ["[audit] and [client]", "/archive/one", "folder of its own"] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// Its numbers would begin at 1 again, and be taken for repeated ones.
#[test]
fn an_instance_that_could_be_the_same_at_the_next_start_is_refused_with_an_export() {
    let site = Site::new();
    let build = |export: Export| builder().instance("pod-1").export(sink::file(site.spool()), export).build();
    let error = build(Export::to(site.destination())).unwrap_err().to_string();
    assert!(error.contains("AuditorBuilder::instance") && error.contains("another at each start"), "{error}");
    assert!(!site.spool().exists());
    drop(build(Export::to(site.destination()).enabled(false)).unwrap());
}

#[tokio::test]
async fn a_log_that_exports_nothing_says_so() {
    let (lines, _records) = sink::memory();
    let auditor = builder().sink(lines).build().unwrap();
    let error = auditor.export_now(DEADLINE).await.unwrap_err();
    assert!(error.to_string().contains("AuditorBuilder::export"), "{error}");
    assert_eq!(auditor.counters().export, None);
}
