//! Psono's sample, byte for byte: from its facts, through a real server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../examples/password_vault/vault.rs"]
mod vault;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use tower_audit::format::key_value;
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, Clock, presets};

/// The sample of Psono's documentation of its audit log.
const SAMPLE: &str = "\
2020-05-24T07:55:37.720973 logger=restapi.views.info, user_ip=10.10.10.145, req_method=GET, req_url=/info/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=READ_INFO_SUCCESS
2020-05-24T07:55:40.190189 logger=restapi.views.login, user_ip=10.10.10.145, req_method=POST, req_url=/authentication/login/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=LOGIN_STARTED_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20
2020-05-24T07:55:40.927078 logger=restapi.views.activate_token, user_ip=10.10.10.145, req_method=POST, req_url=/authentication/activate-token/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=LOGIN_ACTIVATE_TOKEN_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20, kwarg_token_id=a1398962-05a7-433d-a8f3-999df3e157b8
2020-05-24T07:55:41.027323 logger=restapi.views.status, user_ip=10.10.10.145, req_method=GET, req_url=/user/status/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=READ_STATUS_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20
2020-05-24T07:55:41.416086 logger=restapi.views.datastore, user_ip=10.10.10.145, req_method=GET, req_url=/datastore/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=LIST_ALL_DATASTORES_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20
2020-05-24T07:55:41.473771 logger=restapi.views.datastore, user_ip=10.10.10.145, req_method=GET, req_url=/datastore/bed4572d-6a28-4c00-94c2-dd45322de1d0/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=LIST_DATASTORE_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20, kwarg_datastore_id=bed4572d-6a28-4c00-94c2-dd45322de1d0
2020-05-24T07:55:41.936556 logger=restapi.views.share_right, user_ip=10.10.10.145, req_method=GET, req_url=/share/right/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=READ_GROUP_SHARE_RIGHTS_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20
2020-05-24T07:55:42.002075 logger=restapi.views.share, user_ip=10.10.10.145, req_method=GET, req_url=/share/de10070a-e836-4fb7-838c-89a85486c7c5/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=READ_SHARE_SUCCESS, user=demo2@example.com, user_id=ba504938-9a23-4162-867f-6840c301bc20, kwarg_share_id=de10070a-e836-4fb7-838c-89a85486c7c5
2020-05-24T07:57:11.970816 logger=restapi.views.health_check, user_ip=127.0.0.1, req_method=GET, req_url=/healthcheck/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=CHECK_HEALTH_SUCCESS
";

/// A clock that shows what it was set to.
#[derive(Clone, Default)]
struct SetClock(Arc<Mutex<Duration>>);

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// The value of a key of a sample's line.
fn fact<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line[27..].split(", ").find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// Sends one request that has these facts, and reads the whole response.
fn ask(server: SocketAddr, line: &str) {
    let body =
        if fact(line, "event") == Some("LOGIN_STARTED_SUCCESS") { r#"{"username":"demo2@example.com"}"# } else { "" };
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: vault\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        fact(line, "req_method").unwrap(),
        fact(line, "req_url").unwrap(),
        body.len()
    );
    if let Some(ip) = fact(line, "user_ip").filter(|ip| *ip != "127.0.0.1") {
        head += &format!("x-forwarded-for: {ip}\r\n");
    }
    if fact(line, "user").is_some() {
        head += "authorization: Token demo\r\n";
    }
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{head}\r\n{body}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nine_lines_of_the_sample_come_out_byte_for_byte() {
    let clock = SetClock::default();
    let (lines, records) = sink::memory();
    let auditor = Auditor::builder()
        .catalog(presets::psono::catalog())
        .sink(Output::new(lines).format(key_value()))
        .clock(clock.clone())
        .host("0a5048185933")
        .behind_proxies(["127.0.0.1"], HeaderName::from_static("x-forwarded-for"))
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, auditor.wrap_router(vault::router())).into_future());
    for line in SAMPLE.lines() {
        let at: jiff::Timestamp = format!("{}Z", &line[..26]).parse().unwrap();
        *clock.0.lock().unwrap() = Duration::from_micros(u64::try_from(at.as_microsecond()).unwrap());
        tokio::task::spawn_blocking(move || ask(server, line)).await.unwrap();
        assert!(auditor.flush(Duration::from_secs(30)).await);
    }
    serving.abort();
    assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
    let all = records.lines();
    let (first, rest) = all.split_first().unwrap();
    let (last, nine) = rest.split_last().unwrap();
    assert!(first.contains(" success=True, hostname=0a5048185933, event=AUDIT_STARTED_SUCCESS, "), "{first}");
    assert!(last.contains("event=AUDIT_STOPPED_SUCCESS"), "{last}");
    assert_eq!(nine, SAMPLE.lines().collect::<Vec<_>>());
}

/// The example, which `cargo test` builds beside the tests, and `cargo test --test psono` does not.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are in target/PROFILE/deps");
    let binary = profile.join("examples").join("password_vault");
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples` first", binary.display());
    binary
}

/// The events in `audit.log` of a run of the example with these settings, and what it says on stderr.
fn run(settings: &[(&str, &str)]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.env_clear().env("PORT", "0").env("LOG_DIR", folder.path()).envs(settings.iter().copied());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = String::new();
    // Until it listens, or says why not.
    let mut byte = [0];
    while stderr.read(&mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
        if said.ends_with('\n') && said.contains("listening on http://") {
            break;
        }
    }
    let Some(address) = said.split("listening on http://").nth(1) else {
        assert!(!child.wait().unwrap().success());
        return (String::new(), said);
    };
    let server: SocketAddr = address.trim().parse().unwrap();
    SAMPLE.lines().for_each(|line| ask(server, line));
    let kill = format!("kill -s TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    (std::fs::read_to_string(folder.path().join("audit.log")).unwrap(), said)
}

fn events(log: &str) -> Vec<&str> {
    let events = log.lines().map(|line| fact(line, "event").unwrap());
    events.filter(|event| !event.starts_with("AUDIT_")).collect()
}

#[test]
fn the_example_takes_psonos_own_settings() {
    let all: Vec<&str> = SAMPLE.lines().map(|line| fact(line, "event").unwrap()).collect();
    let (log, _) = run(&[("LOGGING_AUDIT", "True")]);
    assert_eq!(events(&log), all);
    let (log, _) = run(&[("LOGGING_AUDIT_WHITELIST", "['READ_INFO', 'LOGIN_STARTED_SUCCESS', 'READ_STATUS_ERROR']")]);
    assert_eq!(events(&log), ["READ_INFO_SUCCESS", "LOGIN_STARTED_SUCCESS"]);
    let (log, _) = run(&[("LOGGING_AUDIT_WHITELIST", "[\"READ_INFO\"]"), ("LOGGING_AUDIT_BLACKLIST", "['READ_INFO']")]);
    assert_eq!(events(&log), [""; 0]);
    let (log, _) = run(&[("LOGGING_AUDIT", "False")]);
    assert_eq!(events(&log), [""; 0]);
    assert_eq!(log.lines().count(), 2, "the start and the end of the log are written all the same: {log}");
    // Ours win, and an error names the variable that was given.
    let (log, _) = run(&[("LOGGING_AUDIT", "False"), ("TOWER_AUDIT_ENABLED", "true")]);
    assert_eq!(events(&log), all);
    let (_, said) = run(&[("LOGGING_AUDIT", "maybe")]);
    assert!(said.contains("LOGGING_AUDIT: given \"maybe\", allowed: true, false"), "{said}");
}
