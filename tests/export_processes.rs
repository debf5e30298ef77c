//! Exports of a real process under load, killed at random: nothing is lost, nothing is delivered twice.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "figures, for who asks for them with `--nocapture`")]

mod spool;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use spool::spooled;
use tower_audit::export::{Verdict, Verification, verify};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An example, which `cargo test` builds beside the tests, and `cargo test --test export_processes` does not.
fn binary(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests stand in target/PROFILE/deps");
    let binary = profile.join("examples").join(example);
    assert!(binary.is_file(), "{} is missing: run `cargo build --all-features --examples` first", binary.display());
    binary
}

struct Server {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<std::process::ChildStderr>,
}

fn settings(folder: &Path) -> BTreeMap<String, String> {
    let url = |name: &str| format!("file://{}", folder.join(name).display());
    [
        ("PORT", "0".to_owned()),
        ("TOWER_AUDIT_SINK", url("audit.log")),
        ("TOWER_AUDIT_ROTATE_BYTES", "256KiB".to_owned()),
        ("TOWER_AUDIT_EXPORT_ENABLED", "true".to_owned()),
        ("TOWER_AUDIT_EXPORT_CRON", "* * * * * *".to_owned()),
        ("TOWER_AUDIT_EXPORT_URL", url("archive")),
        ("TOWER_AUDIT_EXPORT_FORMAT", "json".to_owned()),
        ("TOWER_AUDIT_EXPORT_OBJECT_BYTES", "64KiB".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn start(settings: &BTreeMap<String, String>) -> Result<Server, String> {
    start_example("delivery_classes", settings, Stdio::null())
}

#[expect(clippy::zombie_processes, reason = "the server that is returned is stopped or killed, and waited for")]
fn start_example(example: &str, settings: &BTreeMap<String, String>, stdout: Stdio) -> Result<Server, String> {
    let mut command = Command::new(binary(example));
    // Nothing that the developer's own environment says may decide about a test.
    command.env_clear().envs(settings).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).unwrap() == 0 {
            child.wait().unwrap();
            return Err(said);
        }
        if let Some(address) = line.trim().strip_prefix("listening on http://") {
            return Ok(Server { address: address.parse().unwrap(), child, stderr });
        }
        said.push_str(&line);
    }
}

impl Server {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) {
        let kill = format!("kill -s TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

/// Asks one thing after another until the server is gone; gives the ids whose answers came whole.
fn load(address: SocketAddr, next: &AtomicU64, ended: &AtomicBool) -> Vec<u64> {
    let mut answered = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let Ok(mut stream) = TcpStream::connect(address) else { break };
        let request = format!("DELETE /accounts/{id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err() {
            break;
        }
        if answer.starts_with("HTTP/1.1 204") {
            answered.push(id);
        }
    }
    answered
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for date in fs::read_dir(folder).into_iter().flatten() {
        files.extend(fs::read_dir(date.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    files
}

fn exported(folder: &Path) -> Vec<String> {
    let objects = files(&folder.join("archive/audit-logs"));
    let texts = objects.iter().filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let texts = texts.map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Checks that what the spool held was delivered, once each, and that the destination is complete; gives the records.
fn delivered_once(folder: &Path) -> (Vec<String>, Verification) {
    let (exported, verification) = (exported(folder), verify(folder.join("archive").to_str().unwrap()).unwrap());
    spool::assert_delivered_once(folder, &exported, &verification);
    (exported, verification)
}

/// `TOWER_AUDIT_TEST_KILLS=200 cargo test --all-features --test export_processes` for more of it.
#[test]
fn a_process_killed_at_random_under_load_delivers_each_record_once() {
    let rounds = std::env::var("TOWER_AUDIT_TEST_KILLS").map_or(8, |rounds| rounds.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let next = Arc::new(AtomicU64::new(1));
    let mut answered = HashSet::new();
    for _ in 0..rounds {
        let server = start(&settings).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (address, next, ended) = (server.address, next.clone(), ended.clone());
                thread::spawn(move || load(address, &next, &ended))
            })
            .collect();
        // At any moment of the second in which a run is made.
        let random = uuid::Uuid::new_v4().as_u128() % 1_400;
        thread::sleep(Duration::from_millis(20 + u64::try_from(random).unwrap()));
        server.kill();
        ended.store(true, Ordering::Relaxed);
        answered.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
    }
    start(&settings).unwrap().stop();

    let (exported, verification) = delivered_once(folder.path());
    let record = |line: &String| -> Value { serde_json::from_str(line).unwrap() };
    let recorded: HashSet<u64> = exported
        .iter()
        .map(record)
        .filter(|record| record["eventName"] == "AccountDeletion" && record["stage"] == "completion")
        .map(|record| record["request"]["params"]["id"].as_str().unwrap().parse().unwrap())
        .collect();
    let missing: Vec<_> = answered.difference(&recorded).collect();
    assert!(missing.is_empty(), "answered and not delivered: {missing:?}");
    println!(
        "{rounds} kills, {} answers received whole, {} records delivered once each in {} objects",
        answered.len(),
        exported.len(),
        verification.objects
    );
    assert!(!answered.is_empty());
}

#[test]
fn a_process_exports_on_schedule_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&settings(folder.path())).unwrap();
    let (next, ended) = (AtomicU64::new(1), AtomicBool::new(false));
    thread::scope(|scope| {
        let client = scope.spawn(|| load(server.address, &next, &ended));
        let began = Instant::now();
        while files(&folder.path().join("archive/manifests")).len() < 3 {
            assert!(began.elapsed() < PATIENCE, "no runs are made");
            thread::yield_now();
        }
        ended.store(true, Ordering::Relaxed);
        assert!(!client.join().unwrap().is_empty());
    });
    server.stop();
    assert_eq!(spooled(folder.path()).len(), exported(folder.path()).len());
}

#[test]
fn settings_that_are_missing_or_wrong_keep_the_process_from_starting_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = settings(folder.path());
    for (key, value, expected) in [
        ("TOWER_AUDIT_EXPORT_CRON", None, "TOWER_AUDIT_EXPORT_CRON: given nothing, required"),
        ("TOWER_AUDIT_EXPORT_URL", None, "TOWER_AUDIT_EXPORT_URL: given nothing, required"),
        ("TOWER_AUDIT_EXPORT_URL", Some("s3://k:hunter22@bucket"), "not repeated here"),
        ("TOWER_AUDIT_EXPORT_CRON", Some("0 0 30 2 *"), "fires at some time"),
        ("TOWER_AUDIT_EXPORT_FORMAT", Some("parquet"), "csv, json, json_timestamp"),
        ("TOWER_AUDIT_EXPORT_CSV_COLUMNS", Some("actor.ipp"), "`actor.ip`"),
        (
            "TOWER_AUDIT_EXPORT_CSV_COLUMNS",
            Some("cloudsmith"),
            "given without a CSV; allowed with TOWER_AUDIT_EXPORT_FORMAT=csv",
        ),
        ("TOWER_AUDIT_EXPORT_ENABLED", None, "TOWER_AUDIT_EXPORT_FORMAT: given without an export"),
        ("TOWER_AUDIT_EXPORT_LOG_TYPES", Some("clients"), "audit, client"),
        ("TOWER_AUDIT_EXPORT_TIMEZONE", Some("Mars"), "time zone"),
        ("TOWER_AUDIT_ROTATE_EVERY", Some("5h"), "whole part of a day"),
        ("TOWER_AUDIT_SINK", Some("stdout"), "TOWER_AUDIT_EXPORT_SPOOL=file:///folder/export.log"),
    ] {
        let mut wrong = good.clone();
        if key == "TOWER_AUDIT_SINK" {
            wrong.remove("TOWER_AUDIT_ROTATE_BYTES");
        }
        match value {
            Some(value) => wrong.insert(key.to_owned(), value.to_owned()),
            None => wrong.remove(key),
        };
        let said = start(&wrong).map(Server::kill).expect_err(key);
        assert!(said.contains(expected) && !said.contains("hunter22"), "{key}: {said}");
    }
    let mut beside = good;
    beside.insert("TOWER_AUDIT_SINK".to_owned(), "stdout".to_owned());
    let spool = format!("file://{}", folder.path().join("spool.log").display());
    beside.insert("TOWER_AUDIT_EXPORT_SPOOL".to_owned(), spool);
    start(&beside).unwrap().stop();
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("spool.log.export-")).count(), 1);
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} /api/v4/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer pat-jane\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    answer
}

/// As an operator of Anaconda's Package Security Manager sets it up.
#[test]
fn the_package_registry_delivers_what_its_records_say_with_anacondas_variables() {
    let folder = tempfile::tempdir().unwrap();
    let reports = folder.path().join("audit-logs");
    let stdout = folder.path().join("stdout");
    let settings: BTreeMap<String, String> = [
        ("PORT", "0".to_owned()),
        ("DATA_DIR", folder.path().join("data").display().to_string()),
        ("REPO_ENABLE_GENERATE_AUDIT_REPORTS", "true".to_owned()),
        ("REPO_SCHEDULE_AUDIT_REPORT_CRON", "* * * * * *".to_owned()),
        ("REPO_AUDIT_REPORT_FS", format!("file://{}", reports.display())),
        ("REPO_AUDIT_REPORT_DOWNLOAD_AS", "csv".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let server = start_example("package_registry", &settings, fs::File::create(&stdout).unwrap().into()).unwrap();
    let project = "projects/acme%2Ftools%2Fcli";
    let file = format!("{project}/packages/generic/tool/1.0.0/tool.tar.gz");
    ask(server.address, "PUT", "groups/acme/audit", r#"{"enabled":true}"#);
    ask(server.address, "PUT", &file, "content");
    ask(server.address, "GET", &file, "");
    let began = Instant::now();
    while !reports.join("client-logs").is_dir() {
        assert!(began.elapsed() < PATIENCE, "no run was made");
        thread::yield_now();
    }
    server.stop();

    let texts = |kind: &str| -> Vec<String> {
        files(&reports.join(kind)).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let (audit, client) = (texts("audit-logs"), texts("client-logs"));
    assert!(audit.iter().chain(&client).all(|text| text.starts_with("timestamp,level,")), "{audit:?}");
    assert!(files(&reports.join("audit-logs")).iter().all(|path| path.extension().unwrap() == "csv"));
    let said = fs::read_to_string(stdout).unwrap();
    let records: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in ["AuditStarted", "AuditScopeChanged", "PackagePublished", "PackageDownloaded", "AuditStopped"] {
        assert!(records.iter().any(|record| record["eventName"] == event), "{event}: {said}");
    }
    let rows: Vec<&str> = audit.iter().chain(&client).flat_map(|text| text.lines().skip(1)).collect();
    assert_eq!(rows.len(), records.len(), "each record is a row");
    for record in &records {
        let (id, event) = (record["auditId"].as_str().unwrap(), record["eventName"].as_str().unwrap());
        let of_it = |text: &str| text.lines().filter(|row| row.contains(id) && row.contains(event)).count();
        let (in_audit, in_client) = (audit.iter().map(|text| of_it(text)), client.iter().map(|text| of_it(text)));
        let expected = if record["logType"] == "client" { (0, 1) } else { (1, 0) };
        assert_eq!((in_audit.sum::<usize>(), in_client.sum::<usize>()), expected, "{record}");
    }
    assert_eq!(verify(reports.to_str().unwrap()).unwrap().verdict, Verdict::Complete);

    let mut wrong = settings;
    wrong.insert("REPO_AUDIT_REPORT_FS".to_owned(), "file://{BASE_PATH}/statedir/audit-logs".to_owned());
    let said = start_example("package_registry", &wrong, Stdio::null()).map(Server::kill).expect_err("braces");
    assert!(said.contains("REPO_AUDIT_REPORT_FS") && said.contains("write the path itself"), "{said}");
}

/// Creates a task in the example `developer_hub`; whether it was answered.
fn create_task(address: SocketAddr, name: u64) -> bool {
    let body = format!(r#"{{"templateRef":"template:default/example-template","values":{{"name":"app-{name}"}}}}"#);
    let request = format!(
        "POST /api/scaffolder/v2/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer guest\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let is_read = stream.write_all(request.as_bytes()).is_ok() && stream.read_to_string(&mut answer).is_ok();
    is_read && answer.starts_with("HTTP/1.1 201")
}

/// With nothing but settings from outside: every two seconds, across a kill in the middle of its work.
#[test]
fn the_developer_hub_exports_every_two_seconds_and_goes_on_where_a_kill_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("file://{}", folder.path().join(name).display());
    let settings: BTreeMap<String, String> = [
        ("PORT", "0".to_owned()),
        ("TOWER_AUDIT_EXPORT_ENABLED", "true".to_owned()),
        ("TOWER_AUDIT_EXPORT_CRON", "*/2 * * * * *".to_owned()),
        ("TOWER_AUDIT_EXPORT_URL", url("archive")),
        ("TOWER_AUDIT_EXPORT_SPOOL", url("audit.log")),
        ("TOWER_AUDIT_EXPORT_FORMAT", "json".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let start = || start_example("developer_hub", &settings, Stdio::null()).unwrap();
    let creations = |lines: &[String]| {
        let is_creation = |line: &&String| line.contains(r#""eventName":"ScaffolderTaskCreation""#);
        let is_completion = |line: &&String| line.contains(r#""stage":"completion""#);
        lines.iter().filter(is_creation).filter(is_completion).count()
    };
    let wait_for = |count: usize| {
        let began = Instant::now();
        while creations(&exported(folder.path())) < count {
            assert!(began.elapsed() < PATIENCE, "no run is made");
            thread::yield_now();
        }
    };
    let server = start();
    assert!((0..20).all(|name| create_task(server.address, name)));
    wait_for(20);
    // The run that delivered the last one goes on with its manifest.
    let began = Instant::now();
    let verified = || verify(folder.path().join("archive").to_str().unwrap()).unwrap();
    while verified().verdict != Verdict::Complete {
        assert!(began.elapsed() < PATIENCE, "{}", verified());
        thread::yield_now();
    }

    // Killed while it answers and exports.
    let answered = thread::scope(|scope| {
        let address = server.address;
        let client = scope.spawn(move || (20..).take_while(|name| create_task(address, *name)).count());
        wait_for(40);
        server.kill();
        client.join().unwrap()
    });
    let server = start();
    assert!(create_task(server.address, 999_999));
    let began = Instant::now();
    while !exported(folder.path()).iter().any(|line| line.contains("app-999999")) {
        assert!(began.elapsed() < PATIENCE, "no run is made after the restart");
        thread::yield_now();
    }
    server.stop();
    let (lines, _) = delivered_once(folder.path());
    // What was in memory at the kill is missing; one may be recorded, and not answered any more.
    let recorded = creations(&lines);
    assert!((40 + 1..=20 + answered + 2).contains(&recorded), "{recorded} of {answered} answered");
}

/// `package_registry` has a spool in its code: what an operator sets holds for it, or is refused with the reason.
#[test]
fn settings_hold_for_a_spool_that_only_the_code_has() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = [("PORT", "0"), ("DATA_DIR", data.to_str().unwrap())];
        own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let start = |more: &[(&str, &str)]| start_example("package_registry", &settings(more), Stdio::null());
    let enabled = ("TOWER_AUDIT_EXPORT_ENABLED", "true");
    for (key, value) in [
        ("TOWER_AUDIT_EXPORT_FORMAT", "json"),
        ("TOWER_AUDIT_EXPORT_URL", "/mnt/archive"),
        ("TOWER_AUDIT_EXPORT_SPOOL_BYTES", "1GiB"),
        ("REPO_AUDIT_REPORT_FS", "/mnt/archive"),
    ] {
        let said = start(&[(key, value)]).map(Server::kill).expect_err(key);
        assert!(
            said.contains("given without an export; allowed with TOWER_AUDIT_EXPORT_ENABLED=true"),
            "{key}: {said}"
        );
        start(&[(key, value), ("TOWER_AUDIT_EXPORT_ENABLED", "false")]).unwrap().stop();
    }
    let idle = [enabled, ("TOWER_AUDIT_EXPORT_FORMAT", "json"), ("TOWER_AUDIT_EXPORT_CSV_COLUMNS", "cloudsmith")];
    let said = start(&idle).map(Server::kill).expect_err("columns");
    assert!(said.contains("TOWER_AUDIT_EXPORT_CSV_COLUMNS: given without a CSV"), "{said}");

    let held = [
        enabled,
        ("TOWER_AUDIT_EXPORT_FORMAT", "json_timestamp"),
        ("TOWER_AUDIT_EXPORT_GZIP", "true"),
        ("TOWER_AUDIT_ROTATE_BYTES", "64KiB"),
    ];
    let server = start(&held).unwrap();
    ask(server.address, "PUT", "groups/acme/audit", r#"{"enabled":true}"#);
    for number in 0..100 {
        let file = format!("projects/acme%2Ftools%2Fcli/packages/generic/tool/1.0.{number}/tool.tar.gz");
        ask(server.address, "PUT", &file, "content");
    }
    server.stop();
    let objects = files(&data.join("exports/audit-logs"));
    assert!(objects.len() > 1, "the spool is rotated: {objects:?}");
    assert!(objects.iter().all(|path| path.to_str().unwrap().ends_with(".log.gz")), "{objects:?}");
    assert_eq!(verify(data.join("exports").to_str().unwrap()).unwrap().verdict, Verdict::Complete);
}
