//! The example `package_registry`, started as its users start it: each line of the summary of the GitLab thread, bad input, and
//! the walk-through beside the example.
#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]
#![allow(clippy::needless_pass_by_value, reason = "a `json!` is made where it is passed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CLI: &str = "projects/acme%2Ftools%2Fcli";
const SCRIPTS: &str = "projects/jane%2Fscripts";

/// The example, which `cargo test` builds beside the tests, and `cargo test --test registry` does not.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests stand in target/PROFILE/deps");
    let binary = profile.join("examples").join("package_registry");
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples` first", binary.display());
    binary
}

/// A running registry.
struct Server {
    child: Child,
    address: SocketAddr,
    stdout: Option<JoinHandle<String>>,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut server = Self::start_unread(settings);
        let mut pipe = server.child.stdout.take().unwrap();
        server.stdout = Some(std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        }));
        server
    }

    fn start_unread(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.env_clear().env("PORT", "0").envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listening on"));
        let address = line.as_deref().and_then(|line| line.strip_prefix("listening on http://"));
        let address = address.expect("it says where it listens").parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, stdout: None }
    }

    /// Stops it as an operator does, and gives its audit records; the first and the last are those of the run.
    fn stop(mut self) -> Vec<Value> {
        let kill = format!("kill -s TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let text = self.stdout.take().unwrap().join().unwrap();
        for token in ["pat-jane", "deploy-ci", "key-build", "job-4711"] {
            assert!(!text.contains(token), "{token} stands in the log:\n{text}");
        }
        let mut records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.remove(0)["eventName"], "AuditStarted");
        assert_eq!(records.pop().unwrap()["eventName"], "AuditStopped");
        records
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!("{method} /api/v4/{path} HTTP/1.1\r\nhost: registry.example\r\nconnection: close\r\n");
        write!(stream, "{head}{headers}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        self.send(method, path, &headers, body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("pat-jane", "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Switches auditing of a group or project.
    fn audit(&self, token: &str, what: &str, enabled: Value) {
        let (status, body) =
            self.ask(token, "PUT", &format!("{what}/audit"), &json!({ "enabled": enabled }).to_string());
        assert_eq!(status, 200, "{body}");
    }

    fn upload(&self, token: &str, project: &str, version: &str) -> u64 {
        let path = format!("{project}/packages/generic/tool/{version}/tool.tar.gz");
        let (status, body) = self.ask(token, "PUT", &path, version);
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["id"].as_u64().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failed assertion is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `event scope version` of each record.
fn said(records: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |record: &Value| {
        let scope = format!("{}:{}", text(&record["scope"]["kind"]), text(&record["scope"]["path"]));
        format!("{} {scope} {}", text(&record["eventName"]), text(&record["object"]["version"]))
    };
    records.iter().map(one).collect()
}

#[test]
fn nothing_is_audited_until_a_group_turns_it_on() {
    let server = Server::start();
    assert_eq!(server.get("groups/acme/audit"), json!({ "enabled": false, "inherited": true }));
    assert_eq!(server.get(&format!("{SCRIPTS}/audit")), json!({ "enabled": false, "inherited": true }));
    for token in ["pat-jane", "deploy-ci", "key-build", "job-4711"] {
        server.upload(token, CLI, token.split('-').next().unwrap());
    }
    server.get(&format!("{CLI}/packages"));
    assert_eq!(server.stop(), [Value::Null; 0]);
}

#[test]
fn a_package_of_a_project_in_a_group_is_recorded_once_with_the_direct_parent_group_as_its_scope() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    server.upload("deploy-ci", CLI, "1.0.0");
    let records = server.stop();
    assert_eq!(said(&records), ["AuditScopeChanged group:acme -", "PackagePublished group:acme/tools 1.0.0"]);
    assert_eq!(records[1]["project"], "acme/tools/cli");
}

#[test]
fn a_package_of_a_project_of_a_user_has_the_project_as_its_scope() {
    let server = Server::start();
    server.audit("pat-jane", SCRIPTS, json!(true));
    server.upload("pat-jane", SCRIPTS, "1.0.0");
    server.upload("pat-jane", CLI, "1.0.0");
    let records = server.stop();
    assert_eq!(
        said(&records),
        ["AuditScopeChanged project:jane/scripts -", "PackagePublished project:jane/scripts 1.0.0"]
    );
    assert_eq!(records[1]["project"], "jane/scripts");
}

#[test]
fn a_setting_holds_for_what_is_below_until_something_below_says_otherwise() {
    let server = Server::start();
    let steps = [
        ("groups/acme", json!(true), true),
        ("groups/acme%2Ftools", json!(false), false),
        (CLI, json!(true), true),
        ("groups/acme", json!(false), true),
        (CLI, json!(null), false),
        ("groups/acme%2Ftools", json!(true), true),
        ("groups/acme%2Ftools", json!(null), false),
        ("groups/acme", json!(true), true),
    ];
    let mut expected = Vec::new();
    for (at, (what, enabled, is_audited)) in steps.into_iter().enumerate() {
        server.audit("pat-jane", what, enabled);
        let version = format!("{at}.0.0");
        server.upload("deploy-ci", CLI, &version);
        assert_eq!(server.get(&format!("{CLI}/audit"))["enabled"], is_audited, "step {at}");
        if is_audited {
            expected.push(format!("PackagePublished group:acme/tools {version}"));
        }
    }
    let mut records = server.stop();
    let changes = records.iter().filter(|record| record["eventName"] == "AuditScopeChanged").count();
    assert_eq!(changes, 8, "each change is recorded, whether what it is about is on or off");
    records.retain(|record| record["eventName"] != "AuditScopeChanged");
    assert_eq!(said(&records), expected);
}

#[test]
fn a_change_of_the_setting_says_by_whom_with_which_key_and_what_it_was_before() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    server.audit("job-4711", "groups/acme", json!(false));
    let records = server.stop();
    let [on, off] = records.as_slice() else { panic!("two changes: {records:#?}") };
    let laptop = json!({ "kind": "personal_token", "id": "17", "name": "laptop", "owner": "jane" });
    assert_eq!((&on["actor"]["actorId"], &on["actor"]["credential"]), (&json!("jane"), &laptop));
    assert_eq!(on["scope"], json!({ "kind": "group", "path": "acme" }));
    assert_eq!(on["meta"], json!({ "before": false, "after": true, "ruleBefore": "inherit", "ruleAfter": "on" }));
    assert_eq!(off["meta"], json!({ "before": true, "after": false, "ruleBefore": "on", "ruleAfter": "off" }));
    assert_eq!(off["actor"]["onBehalfOf"]["actorId"], "jane");
    assert_eq!(off["message"], "Audit rule of group acme changed from on to off by job:4711: succeeded");
}

#[test]
fn each_record_says_exactly_which_key_it_was() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    let tokens = [
        ("pat-jane", "Jane Doe with personal token jane laptop", "api", json!("user")),
        ("deploy-ci", "ci-publish with deploy token acme/tools ci-publish", "api", json!("deploy_token")),
        ("key-build", "build-server with deploy key acme/tools/cli build-server", "api", json!("deploy_key")),
        ("job-4711", "publish with job acme/tools/cli publish", "pipeline", json!("job")),
    ];
    for (at, (token, ..)) in tokens.iter().enumerate() {
        server.upload(token, CLI, &format!("{at}.0.0"));
    }
    let records = server.stop();
    for (at, (record, (_, who, how, kind))) in records[1..].iter().zip(tokens).enumerate() {
        let message = format!("Publishing of package tool {at}.0.0 in group acme/tools by {who} succeeded");
        assert_eq!((&record["message"], &record["context"]), (&json!(message), &json!(how)));
        assert_eq!(record["actor"]["kind"], kind);
    }
}

#[test]
fn an_upload_over_an_existing_version_is_an_update() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    let first = server.upload("deploy-ci", CLI, "1.0.0");
    assert_eq!(server.upload("pat-jane", CLI, "1.0.0"), first);
    let path = format!("{CLI}/packages/generic/tool/1.0.0/tool.tar.gz");
    assert_eq!(server.ask("key-build", "GET", &path, ""), (200, "1.0.0".to_owned()));
    assert_eq!(server.ask("pat-jane", "DELETE", &format!("{CLI}/packages/{first}"), "").0, 204);
    assert_eq!(server.ask("key-build", "GET", &path, "").0, 404);
    let records = server.stop();
    let outcomes: Vec<_> = records[1..].iter().map(|record| (&record["eventName"], &record["status"])).collect();
    let expected = [
        ("PackagePublished", "succeeded"),
        ("PackageUpdated", "succeeded"),
        ("PackageDownloaded", "succeeded"),
        ("PackageDeleted", "succeeded"),
        ("PackageDownloaded", "failed"),
    ];
    assert_eq!(outcomes.len(), expected.len());
    for (outcome, (event, status)) in outcomes.into_iter().zip(expected) {
        assert_eq!(outcome, (&json!(event), &json!(status)));
    }
}

#[test]
fn who_last_changed_a_package_is_answered_also_when_it_is_deleted() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    let id = server.upload("deploy-ci", CLI, "1.0.0");
    let last = |server: &Server, id: u64| server.get(&format!("{CLI}/packages/{id}/last_change"));
    let published = last(&server, id);
    assert_eq!(published["credential"], "deploy token acme/tools ci-publish");
    assert_eq!(published["who"], json!({ "id": "deploy_token:7", "name": "ci-publish" }));
    assert_eq!((&published["what"], &published["how"]), (&json!("published"), &json!("api")));
    assert!(published["when"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{published}");
    server.upload("job-4711", CLI, "1.0.0");
    assert_eq!((&last(&server, id)["what"], &last(&server, id)["how"]), (&json!("updated"), &json!("pipeline")));
    server.upload("key-build", CLI, "2.0.0");
    let (status, cleaned) = server.ask("pat-jane", "POST", &format!("{CLI}/packages/cleanup"), "");
    assert_eq!((status, cleaned), (200, json!({ "deleted": [id] }).to_string()));
    let deleted = last(&server, id);
    assert_eq!(deleted["who"], json!({ "id": "retention_policy", "name": "keep the newest version" }));
    assert_eq!((&deleted["what"], &deleted["credential"]), (&json!("deleted"), &Value::Null));
    let records = server.stop();
    let record = records.iter().find(|record| record["eventName"] == "PackageDeleted").unwrap();
    assert_eq!(record["auditId"], deleted["auditId"]);
    assert_eq!(record["actor"]["actorId"], "retention_policy");
    assert_eq!((&record["context"], &record["project"]), (&json!("retention_policy"), &json!("acme/tools/cli")));
    assert_eq!(record["scope"], json!({ "kind": "group", "path": "acme/tools" }));
}

#[test]
fn settings_and_packages_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("DATA_DIR", folder.path().to_str().unwrap())];
    let first = Server::start_with(&settings);
    first.audit("pat-jane", "groups/acme", json!(true));
    let id = first.upload("deploy-ci", CLI, "1.0.0");
    first.stop();
    let second = Server::start_with(&settings);
    assert_eq!(second.upload("deploy-ci", CLI, "1.0.0"), id);
    let records = second.stop();
    assert_eq!(said(&records), ["PackageUpdated group:acme/tools 1.0.0"]);
}

#[test]
fn a_token_in_any_other_header_is_nobodys_and_stands_in_no_record() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    let path = format!("{CLI}/packages/generic/tool/1.0.0/tool.tar.gz");
    let mut count = 0;
    for token in ["pat-jane", "deploy-ci", "key-build", "job-4711"] {
        for header in [
            format!("private-token: {token}"),
            format!("deploy-token: {token}"),
            format!("job-token: {token}"),
            format!("x-api-key: {token}"),
            format!("cookie: session={token}"),
            format!("authorization: {token}"),
            format!("authorization: Token {token}"),
            format!("authorization: Bearer {token}x"),
            format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}"),
        ] {
            assert_eq!(server.send("PUT", &path, &format!("{header}\r\n"), "x").0, 401, "{header}");
            count += 1;
        }
    }
    let mut records = server.stop();
    let change = records.remove(0);
    assert_eq!(change["eventName"], "AuditScopeChanged");
    assert_eq!(records.len(), count);
    for record in records {
        assert_eq!((&record["status"], &record["actor"]["actorId"]), (&json!("failed"), &Value::Null));
        assert_eq!(record["errors"], json!([{ "name": "AuthenticationError", "message": "401 Unauthorized" }]));
    }
}

#[test]
fn projects_and_groups_that_do_not_exist_have_no_packages_and_no_setting() {
    let server = Server::start();
    server.audit("pat-jane", "groups/acme", json!(true));
    let long = "x".repeat(8 * 1024);
    for name in [
        "acme%2Fnothing",
        "acme-evil",
        "ACME%2Ftools%2Fcli",
        "acme%2Ftools%2F..%2Ftools%2Fcli",
        "%ff",
        "acme%2F%2Ftools",
        &long,
    ] {
        for (method, path) in [
            ("GET", format!("projects/{name}/packages")),
            ("PUT", format!("projects/{name}/packages/generic/tool/1.0.0/f")),
            ("PUT", format!("projects/{name}/audit")),
            ("PUT", format!("groups/{name}/audit")),
        ] {
            let (status, body) = server.ask("pat-jane", method, &path, r#"{"enabled":true}"#);
            assert!(matches!(status, 400 | 404), "{method} {name}: {status} {body}");
        }
    }
    for file in ["..%2Fx", ".x", "a%2Fb", "%00", "a%0Ab"] {
        let (status, _) = server.ask("pat-jane", "PUT", &format!("{CLI}/packages/generic/tool/1.0.0/{file}"), "x");
        assert_eq!(status, 400, "{file}");
    }
    for body in ["", "{}x", r#"{"enabled":1}"#, "[]"] {
        assert_eq!(server.ask("pat-jane", "PUT", "groups/acme/audit", body).0, 400, "{body}");
    }
    let records = server.stop();
    assert_eq!(records.iter().filter(|record| record["eventName"] == "AuditScopeChanged").count(), 1);
}

#[test]
fn a_change_that_cannot_be_recorded_is_refused() {
    let mut server = Server::start_unread(&[]);
    let folder = |server: &Server| server.get("groups/acme/audit");
    assert_eq!(folder(&server)["enabled"], false);
    // Nobody reads the log any more.
    drop(server.child.stdout.take());
    let (status, body) = server.ask("pat-jane", "PUT", "groups/acme/audit", r#"{"enabled":true}"#);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("the scope rules are as they were"), "{body}");
    assert_eq!(folder(&server), json!({ "enabled": false, "inherited": true }));
}

#[test]
fn a_change_is_recorded_even_where_auditing_is_switched_off_as_a_whole() {
    let server = Server::start_with(&[("TOWER_AUDIT_ENABLED", "false"), ("TOWER_AUDIT_STAGES", "both")]);
    server.audit("pat-jane", "groups/acme", json!(true));
    server.upload("deploy-ci", CLI, "1.0.0");
    assert_eq!(said(&server.stop()), ["AuditScopeChanged group:acme -"]);
}

#[test]
fn downloads_are_rows_of_the_client_log_with_the_key_and_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("downloads.csv");
    let server = Server::start_with(&[("CLIENT_LOG", path.to_str().unwrap())]);
    server.audit("pat-jane", "groups/acme", json!(true));
    let id = server.upload("deploy-ci", CLI, "1.0.0");
    for token in ["pat-jane", "job-4711"] {
        let path = format!("{CLI}/packages/generic/tool/1.0.0/tool.tar.gz");
        assert_eq!(server.ask(token, "GET", &path, "").0, 200);
    }
    let records = server.stop();
    assert_eq!(records.iter().filter(|record| record["logType"] == "client").count(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut rows = text.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let names = rows.next().unwrap();
    assert_eq!(
        names.join(","),
        "datetime,repository,status,method,uri,host,ip_address,bytes,city,country,edge,eula,format,package,recorded,referer,\
         request_id,token,user,user_agent"
    );
    let downloads: Vec<_> = rows.filter(|row| row[3] == "GET").collect();
    let column = |row: &[&str], name: &str| row[names.iter().position(|known| *known == name).unwrap()].to_owned();
    for (row, (token, user)) in downloads.iter().zip([("17", "jane"), ("4711", "job:4711")]) {
        let wanted = ["repository", "status", "bytes", "format", "package", "token", "user"];
        let found: Vec<String> = wanted.iter().map(|name| column(row, name)).collect();
        assert_eq!(found, ["acme/tools/cli", "200", "5", "generic", &id.to_string(), token, user]);
    }
    assert_eq!(downloads.len(), 2, "{text}");
}

#[cfg(feature = "geoip")]
#[test]
fn a_location_file_that_is_missing_stops_the_start_and_is_named() {
    let mut command = Command::new(binary());
    command.env_clear().env("PORT", "0").env("TOWER_AUDIT_GEOIP_FILE", "/nowhere/places.mmdb");
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && told.contains("TOWER_AUDIT_GEOIP_FILE): /nowhere/places.mmdb"), "{told}");
}

#[test]
fn the_walk_through_tells_the_whole_story() {
    let server = Server::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/package_registry/walkthrough.sh");
    let walked = Command::new("bash").arg(script).arg(format!("http://{}", server.address)).output().unwrap();
    let told = String::from_utf8_lossy(&walked.stdout).into_owned() + &String::from_utf8_lossy(&walked.stderr);
    assert!(walked.status.success(), "{told}");
    assert_eq!(
        said(&server.stop()),
        [
            "AuditScopeChanged group:acme -",
            "PackagePublished group:acme/tools 1.0.0",
            "PackageUpdated group:acme/tools 1.0.0",
            "PackageDownloaded group:acme/tools 1.0.0",
            "AuditScopeChanged group:acme/tools -",
            "AuditScopeChanged project:acme/tools/cli -",
            "PackagePublished group:acme/tools 3.0.0",
            "AuditScopeChanged project:acme/tools/cli -",
            "AuditScopeChanged group:acme/tools -",
            "PackagePublished group:acme/tools 4.0.0",
            "AuditScopeChanged project:jane/scripts -",
            "PackagePublished project:jane/scripts 1.1.0",
            "PackageDeleted group:acme/tools 4.0.0",
            "PackageDeleted group:acme/tools 0.1.0",
            "PackageDeleted group:acme/tools 1.0.0",
            "PackageDeleted group:acme/tools 2.0.0",
            "PackageCleanup group:acme/tools -",
            "PackagePublished group:acme/tools -",
            "PackageDeleted group:acme/tools -",
        ]
    );
}
