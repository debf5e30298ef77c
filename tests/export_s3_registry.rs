//! The example `package_registry` with the settings of Cloudsmith's page and Anaconda's variables, against a real S3 server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod s3;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use s3::{KEY, ROLE, SECRET, Server};
use tower_audit::export::Verdict;

/// The example, which `cargo test` builds beside the tests, and `cargo test --test export_s3_registry` does not.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests stand in target/PROFILE/deps");
    let binary = profile.join("examples/package_registry");
    assert!(binary.is_file(), "{} is missing: run `cargo build --all-features --examples` first", binary.display());
    binary
}

/// The status of an answer.
fn send(address: &str, token: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: registry.example\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_registry_delivers_both_logs_on_schedule_by_an_assumed_role() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut registry = Command::new(binary());
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy"))
    {
        registry.env_remove(name);
    }
    registry.env("PORT", "0").env("DATA_DIR", folder.path());
    registry.envs([
        // Anaconda's.
        ("REPO_ENABLE_GENERATE_AUDIT_REPORTS", "true"),
        ("REPO_SCHEDULE_AUDIT_REPORT_CRON", "* * * * * *"),
        ("REPO_AUDIT_REPORT_FS", "s3://acme-logs/cloudsmith-logs"),
        ("REPO_AUDIT_REPORT_DOWNLOAD_AS", "csv"),
        ("REPO_AUDIT_REPORT_FS_KMS_ID", "alias/audit"),
        // Cloudsmith's.
        ("TOWER_AUDIT_EXPORT_CSV_COLUMNS", "cloudsmith"),
        ("TOWER_AUDIT_EXPORT_LOG_TYPES", "audit,client"),
        ("TOWER_AUDIT_EXPORT_ROLE_ARN", ROLE),
        ("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "acme-8f1c"),
        ("TOWER_AUDIT_EXPORT_ACL", "bucket-owner-full-control"),
        ("AWS_ENDPOINT_URL", &server.url()),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]);
    let mut child = registry.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the registry ended");
        if let Some((_, address)) = line.trim_end().split_once("listening on http://") {
            break address.to_owned();
        }
    };
    assert_eq!(send(&address, "pat-jane", "PUT", "/api/v4/groups/acme/audit", r#"{"enabled":true}"#), "200");
    let file = "/api/v4/projects/acme%2Ftools%2Fcli/packages/generic/docs/1.0.0/README.md";
    assert_eq!(send(&address, "deploy-ci", "PUT", file, "hello"), "201");
    assert_eq!(send(&address, "pat-jane", "GET", file, ""), "200");
    // On schedule, before the end.
    server.wait_until(|state| {
        state.requests.iter().any(|seen| seen.path.starts_with("/acme-logs/cloudsmith-logs/client-logs/"))
    });
    let kill = format!("kill -s TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(!said.contains("not every audit record"), "{said}");

    server.assert_only_puts();
    let found = server.verify("cloudsmith-logs");
    assert_eq!(found.verdict, Verdict::Complete, "{found}");
    assert!(server.state(|state| !state.sts.given.is_empty()));
    assert!(server.puts().iter().all(|put| put.header("x-amz-acl") == Some("bucket-owner-full-control")));
    let key = "x-amz-server-side-encryption-aws-kms-key-id";
    assert!(server.puts().iter().all(|put| put.header(key) == Some("alias/audit")));
    let text = |kind: &str| -> String {
        let names = server.objects().into_iter().filter(|name| name.starts_with(&format!("cloudsmith-logs/{kind}/")));
        names.map(|name| std::fs::read_to_string(server.bucket().join(name)).unwrap()).collect()
    };
    let (audit, client) = (text("audit-logs"), text("client-logs"));
    assert!(audit.starts_with("actor,actor_ip_address,actor_kind,"), "{audit}");
    assert!(audit.contains("PackagePublished"), "{audit}");
    assert!(client.starts_with("datetime,repository,status,method,uri,host,"), "{client}");
    assert_eq!(client.matches(",GET,").count(), 1, "{client}");
}
