//! A process that exports, driven line by line: the variables of a process are its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tower_audit::export::{CannedAcl, Destination, Export, ExportFormat, verify};
use tower_audit::{Auditor, Catalog, Event, LogType, sink};

const VARIABLE: &str = "AUDIT_TEST_S3_PROCESS";
/// A spool whose export is that of [`in_code`].
pub(crate) const IN_CODE: &str = "AUDIT_TEST_S3_IN_CODE";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// Settings of a process whose spool is in this folder.
pub(crate) fn settings(folder: &Path, server: &super::Server, url: &str) -> BTreeMap<String, String> {
    [
        ("TOWER_AUDIT_SINK", format!("file://{}", folder.join("audit.log").display())),
        ("TOWER_AUDIT_EXPORT_ENABLED", "true".to_owned()),
        // It exports when it is asked.
        ("TOWER_AUDIT_EXPORT_CRON", "@yearly".to_owned()),
        ("TOWER_AUDIT_EXPORT_URL", url.to_owned()),
        ("TOWER_AUDIT_EXPORT_FORMAT", "json".to_owned()),
        ("AWS_ENDPOINT_URL", server.url()),
        ("AWS_ACCESS_KEY_ID", super::KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", super::SECRET.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

impl Process {
    /// Starts this test's own program again. `test` is the name of the test that calls [`serve`].
    pub(crate) fn start(test: &str, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(VARIABLE, "1");
        let is_of_developer = |name: &str| {
            ["AWS_", "SSL_CERT_", "TOWER_AUDIT_"].iter().any(|of| name.starts_with(of))
                || name.to_lowercase().ends_with("_proxy")
        };
        for (name, _) in std::env::vars().filter(|(name, _)| is_of_developer(name)) {
            command.env_remove(name);
        }
        command.envs(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, lines };
        let first = process.read();
        match first.strip_prefix("error ") {
            None => Ok(process),
            Some(error) => {
                process.child.wait().unwrap();
                Err(error.replace(" // ", "\n"))
            }
        }
    }

    /// The next answer.
    pub(crate) fn read(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the process ended");
            if let Some((_, answer)) = line.split_once(">> ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.read()
    }

    pub(crate) fn record(&mut self, count: u32) {
        assert_eq!(self.ask(&format!("record {count}")), "recorded");
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it, and says how many segments wait for the next one.
    pub(crate) fn shutdown(mut self, limit: &str) -> String {
        let answer = self.ask(&format!("shutdown {limit}"));
        self.child.wait().unwrap();
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each log type with a destination, a role and a format of its own.
fn in_code() -> Export {
    let audit = Destination::new("s3://acme-logs/audit").log_types([LogType::Audit]).region("us-east-1");
    let audit = audit.role_arn(super::ROLE).external_id("acme-8f1c").acl(CannedAcl::BucketOwnerFullControl);
    let client = Destination::new("s3://acme-logs/client").log_types([LogType::Client]).kms_key_id("alias/audit");
    Export::to(audit).and_to(client.format(ExportFormat::JsonTimestamp).gzip(true))
}

/// Does what the standard input says, if this is such a process.
#[allow(clippy::print_stdout, reason = "it answers there")]
pub(crate) fn serve() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = Catalog::new().event(Event::new("Download").log_type(LogType::Client));
        let mut builder = Auditor::builder().catalog(catalog);
        if let Some(spool) = std::env::var_os(IN_CODE) {
            builder = builder.export(sink::file(spool), in_code());
        }
        let auditor = match builder.from_env().and_then(tower_audit::AuditorBuilder::build) {
            Ok(auditor) => auditor,
            Err(error) => return println!(">> error {}", error.to_string().replace('\n', " // ")),
        };
        println!(">> started");
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match command {
                "record" => {
                    for number in 0..rest.parse::<u32>().unwrap() {
                        let activity = auditor.begin_unlisted("Work").await.unwrap();
                        activity.audit().meta("number", number).meta("padding", "x".repeat(500));
                        activity.succeed();
                    }
                    println!(">> recorded");
                }
                "download" => {
                    for _ in 0..rest.parse::<u32>().unwrap() {
                        auditor.begin("Download").await.unwrap().succeed();
                    }
                    println!(">> recorded");
                }
                "export" => {
                    let limit = rest.parse().map_or(LIMIT, Duration::from_millis);
                    let done = auditor.export_now(limit).await.unwrap();
                    println!(
                        ">> segments {} objects {} waiting {} error {}",
                        done.segments,
                        done.objects,
                        done.waiting,
                        done.error.unwrap_or_else(|| "none".to_owned())
                    );
                }
                // Also where a runtime is entered already.
                "verify" => {
                    let found = verify(rest).map_or_else(|error| error.to_string(), |found| found.to_string());
                    println!(">> {}", found.replace('\n', " // "));
                }
                "shutdown" => {
                    let done = auditor.shutdown(Duration::from_millis(rest.parse().unwrap())).await;
                    return println!(">> unexported {} lost {}", done.unexported, done.lost);
                }
                other => panic!("{other}"),
            }
        }
    });
}
