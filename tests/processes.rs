//! Real processes: a reader that stops, one that goes away, no standard output at all, a full disk, and `kill -9`.
#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "figures, for who asks for them with `--nocapture`")]

mod common;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::check;
use common::sinks::{named, told};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

// ---------------------------------------------------------------------------------------------------------------------
// The example as a process
// ---------------------------------------------------------------------------------------------------------------------

/// The example, which `cargo test` builds beside the tests, and `cargo test --test processes` does not.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests stand in target/PROFILE/deps");
    let binary = profile.join("examples/delivery_classes");
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples` first", binary.display());
    binary
}

struct Server {
    child: Child,
    address: SocketAddr,
    stderr: Option<JoinHandle<String>>,
}

impl Server {
    fn start(stdout: impl Into<Stdio>, settings: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(binary()), stdout, settings)
    }

    /// Starts it with a file that no process may make longer than so many blocks of `ulimit`: what does not fit is not written, and
    /// the rest fails.
    fn start_limited(blocks: u32, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        // The signal would end the process before it could be killed.
        shell.args(["-c", &format!("trap '' XFSZ && ulimit -f {blocks} && exec \"$0\"")]).arg(binary());
        Self::start_by(shell, Stdio::null(), settings)
    }

    fn start_by(mut command: Command, stdout: impl Into<Stdio>, settings: &[(&str, &str)]) -> Self {
        // Nothing that the developer's own environment says may decide about a test.
        command.env_clear().env("PORT", "0").envs(settings.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it did not start: {said}");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
            said.push_str(&line);
        };
        let stderr = std::thread::spawn(move || {
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        Self { child, address, stderr: Some(stderr) }
    }

    /// With a file as its sink.
    fn on_file(path: &Path, settings: &[(&str, &str)]) -> Self {
        let sink = format!("file://{}", path.display());
        Self::start(Stdio::null(), &[&[("TOWER_AUDIT_SINK", sink.as_str())], settings].concat())
    }

    /// Reads standard output to its end, from now on.
    fn read(&mut self) -> JoinHandle<String> {
        let mut stdout = self.child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        })
    }

    fn terminate(&self) {
        // The shell's own `kill`: not every machine has the program.
        let kill = format!("kill -s TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end; gives what it said on stderr besides where it listens.
    fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.stderr.take().expect("it ends once").join().unwrap())
    }

    /// Stops it cleanly: nothing panicked, and nothing but its address was said.
    fn stop(self) {
        self.terminate();
        let (status, said) = self.ended();
        assert!(status.success() && said.is_empty(), "{status}: {said}");
    }

    /// In KiB: `VmRSS`, or `VmHWM`, the most that it ever was.
    fn memory(&self, what: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    async fn ask(&self, request: &str) -> Answer {
        Client::connect(self.address).await.ask(request).await.expect("a whole answer")
    }

    async fn health(&self) -> Value {
        let answer = self.ask("GET /healthz").await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits until it tells this of itself.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let health = self.health().await;
            if is_so(&health) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "waited for {what}: {health}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failed assertion is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Clients that know what a whole answer is
// ---------------------------------------------------------------------------------------------------------------------

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// One connection, kept alive.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// The answer to `METHOD /path`, or none if it did not come whole.
    async fn ask(&mut self, request: &str) -> Option<Answer> {
        let body = if request.starts_with("P") { r#"{"amount":17}"# } else { "" };
        let head = format!(
            "{request} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        tokio::time::timeout(PATIENCE, async {
            self.stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            self.answer().await
        })
        .await
        .expect("an answer, or the end of the connection, comes in time")
    }

    async fn answer(&mut self) -> Option<Answer> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap().to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let status = head.get(9..12)?.parse().ok()?;
        let body = match header("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await?,
            None if status == 204 => Vec::new(),
            None => self.chunks().await?,
        };
        Some(Answer { status, body, head: head.clone() })
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
            if size == 0 {
                return Some(body);
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, end) {
                return self.exactly(at + end.len()).await;
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        Some(std::mem::replace(&mut self.read, rest))
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.read).await.ok()?;
        (read > 0).then_some(())
    }
}

/// So many connections, each of which sends so many requests one after another; how often which status came.
async fn load(address: SocketAddr, connections: usize, each: usize, what: &str) -> HashMap<u16, usize> {
    let mut clients = JoinSet::new();
    for at in 0..connections {
        let what = what.to_owned();
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut statuses = Vec::new();
            for number in 0..each {
                statuses
                    .push(client.ask(&format!("{what}/{}", at * each + number)).await.expect("a whole answer").status);
            }
            statuses
        });
    }
    let mut counted = HashMap::new();
    for status in clients.join_all().await.into_iter().flatten() {
        *counted.entry(status).or_default() += 1;
    }
    counted
}

fn ids(records: &[Value], event: &str) -> Vec<u64> {
    let id = |record: &&Value| record["request"]["params"]["id"].as_str().unwrap().parse().unwrap();
    named(records, event).iter().filter(|record| record["outcome"] == "completed").map(id).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// A reader that stops
// ---------------------------------------------------------------------------------------------------------------------

const CONNECTIONS: usize = 32;

#[tokio::test]
async fn with_a_stopped_reader_lossy_serves_all_at_once_in_bounded_memory_and_tells_what_it_lost() {
    let mut server = Server::start(Stdio::piped(), &[]);
    // What serving so many takes anyway, with a reader: nothing waits long enough to be lost then.
    assert_eq!(load(server.address, CONNECTIONS, 1, "GET /articles").await, HashMap::from([(200, CONNECTIONS)]));
    let before = server.memory("VmRSS");
    const EACH: usize = 400;
    let asked = CONNECTIONS * EACH;
    assert_eq!(load(server.address, CONNECTIONS, EACH, "GET /articles").await, HashMap::from([(200, asked)]));
    if let Some((before, most)) = before.zip(server.memory("VmHWM")) {
        println!("stopped reader, lossy: {asked} requests; resident {before} KiB before, {most} KiB at most");
        // 8,192 records wait, of a few KiB each with the memory that is kept for them, and no bodies.
        assert!(most < before + 96 * 1024, "{before} KiB before, {most} KiB at most");
    }
    let stdout = server.read();
    server.stop();
    let records = check::lines(&stdout.join().unwrap());
    let (written, lost) = (ids(&records, "ArticleRead").len(), told(&records, "AuditRecordsLost"));
    assert!(lost > 0, "the reader was not slow enough");
    assert_eq!(written as u64 + lost, (asked + CONNECTIONS) as u64);
    assert_eq!(records.last().unwrap()["meta"]["lost"], lost);
}

/// Fills the queue, and waits until so many are held.
async fn held(server: &Server, held: usize) {
    server.until("all are held", |health| health["audit"]["waiting"] == held).await;
}

/// Streams on each HTTP/2 connection: as many as hyper admits by default.
const STREAMS: usize = 200;

/// `TOWER_AUDIT_STREAMS` asks for more than CI opens, such as 100000.
fn streams() -> usize {
    std::env::var("TOWER_AUDIT_STREAMS").map_or(4_000, |streams| streams.parse().unwrap())
}

/// Opens one HTTP/2 connection with streams of these numbers; dropped, it ends them all.
async fn follow(
    address: SocketAddr,
    ids: std::ops::Range<usize>,
) -> (tokio::task::JoinHandle<()>, Vec<hyper::body::Incoming>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(async move { drop(connection.await) });
    let asks = ids.map(|id| {
        let uri = format!("http://127.0.0.1/articles/{id}/changes");
        let request = http::Request::get(uri).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.clone().send_request(request);
        async move {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.into_body()
        }
    });
    (connection, futures_util::future::join_all(asks).await)
}

#[tokio::test]
async fn streams_over_http2_that_end_at_once_while_the_reader_hangs_are_bounded_and_all_recorded() {
    let streams = streams();
    // 2.5 KiB for each, as the guide says.
    let held = (streams * 5 / 2).max(1024);
    let mut server = Server::start(Stdio::piped(), &[("TOWER_AUDIT_QUEUE_BYTES", &format!("{held}KiB"))]);
    let before = server.memory("VmRSS");
    let mut open = Vec::new();
    for first in (0..streams).step_by(STREAMS) {
        open.push(follow(server.address, first..(first + STREAMS).min(streams)).await);
    }
    let health = server.health().await;
    assert_eq!((&health["audit"]["open"], &health["audit"]["refused"]), (&streams.into(), &0.into()));
    let held_open = health["audit"]["heldBytes"].as_u64().unwrap();
    let with_all_open = server.memory("VmRSS");
    for (connection, bodies) in open {
        drop(bodies);
        connection.abort();
    }
    server.until("all have ended", |health| health["audit"]["open"] == 0).await;
    let health = server.health().await;
    let unwritten = health["audit"]["unwritten"].as_u64().unwrap();
    assert!(unwritten > streams as u64 / 2, "the reader does not hang: {health}");
    assert!(health["audit"]["heldBytes"].as_u64().unwrap() <= held_open, "{health}");
    if let Some(((before, open), most)) = before.zip(with_all_open).zip(server.memory("VmHWM")) {
        println!(
            "{streams} streams on {} connections that end at once while the reader hangs: resident {} MiB before, {} MiB with \
             all open, {} MiB at most; {} MiB held by count, {unwritten} records unwritten",
            streams.div_ceil(STREAMS),
            before / 1024,
            open / 1024,
            most / 1024,
            held_open / 1024 / 1024,
        );
        // Drafts become lines; allocators and growing buffers take as much again.
        let more = 2 * held_open / 1024 + 16 * 1024;
        assert!(most <= open + more, "{open} KiB with all open, {most} KiB at most");
    }
    let stdout = server.read();
    server.stop();
    let records = check::lines(&stdout.join().unwrap());
    let mut once = ids(&records, "ArticleFollow");
    once.sort_unstable();
    assert_eq!(once, (0..streams as u64).collect::<Vec<_>>());
    assert_eq!(records.last().unwrap()["meta"]["lost"], 0);
}

#[tokio::test]
async fn with_a_stopped_reader_backpressure_holds_requests_and_each_completes_when_it_goes_on() {
    let settings = [("TOWER_AUDIT_QUEUE_RECORDS", "64"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "10m")];
    let mut server = Server::start(Stdio::piped(), &settings);
    const EACH: usize = 40;
    let asked = CONNECTIONS * EACH;
    let load = tokio::spawn(load(server.address, CONNECTIONS, EACH, "PUT /articles"));
    held(&server, CONNECTIONS).await;
    // It answers although nobody reads, and so does a lossy event.
    assert_eq!(server.health().await["audit"]["refused"], 0);
    assert_eq!(server.ask("GET /articles/1").await.status, 200);
    assert!(!load.is_finished());
    let stdout = server.read();
    assert_eq!(load.await.unwrap(), HashMap::from([(200, asked)]));
    server.stop();
    let records = check::lines(&stdout.join().unwrap());
    let mut once = ids(&records, "ArticleUpdate");
    once.sort_unstable();
    assert_eq!(once, (0..asked as u64).collect::<Vec<_>>());
    assert_eq!(told(&records, "AuditRequestsRefused"), 0);
}

#[tokio::test]
async fn whom_a_stopped_reader_keeps_too_long_is_refused_and_that_is_told() {
    let settings = [("TOWER_AUDIT_QUEUE_RECORDS", "64"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "20ms")];
    let mut server = Server::start(Stdio::piped(), &settings);
    let counted = load(server.address, CONNECTIONS, 40, "PUT /articles").await;
    let (served, refused) = (counted[&200], counted[&503]);
    assert_eq!(served + refused, CONNECTIONS * 40);
    assert_eq!(server.health().await["audit"]["refused"], refused);
    let stdout = server.read();
    // Its turn may not have come yet: then it is one more that is refused.
    let mut more = 0;
    while server.ask("PUT /articles/999999").await.status == 503 {
        more += 1;
    }
    server.stop();
    let records = check::lines(&stdout.join().unwrap());
    assert_eq!(ids(&records, "ArticleUpdate").len(), served + 1);
    let rejected = records.iter().filter(|record| record["outcome"] == "rejected").count() as u64;
    assert_eq!(rejected + told(&records, "AuditRequestsRefused"), (refused + more) as u64);
    assert_eq!(told(&records, "AuditRecordsLost"), 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// No reader, no standard output, one that does not block
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn when_the_reader_of_stdout_goes_requests_go_on_and_the_counters_tell() {
    let mut server = Server::start(Stdio::piped(), &[("TOWER_AUDIT_ADMISSION_TIMEOUT", "10m")]);
    drop(server.child.stdout.take());
    let asked = CONNECTIONS * 10;
    assert_eq!(load(server.address, CONNECTIONS, 10, "PUT /articles").await, HashMap::from([(200, asked)]));
    server.until("the sink is given up", |health| health["audit"]["sinks"]["stdout"] == "given_up").await;
    server.until("all are counted", |health| health["audit"]["lost"] == asked).await;
    // What must not be done unrecorded is not done, and nobody waits ten minutes to hear that.
    for request in ["DELETE /accounts/1", "POST /payments/1"] {
        let refused = server.ask(request).await;
        assert_eq!((refused.status, refused.head.contains("retry-after: 1")), (503, true), "{request}");
    }
    let health = server.health().await;
    assert_eq!(health["deletedAccounts"], 0);
    assert_eq!(health["audit"]["unhealthy"], "required audit sinks are given up: stdout");
    server.stop();
}

#[test]
fn a_process_without_standard_output_does_not_start_an_audit_log_on_it() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" >&-"#]).arg(binary()).env_clear().env("PORT", "0");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no standard output: the process was started without it"), "{said}");
}

#[tokio::test]
async fn who_has_no_standard_output_can_have_a_file_and_who_throws_it_away_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let sink = format!("TOWER_AUDIT_SINK=file://{}", path.display());
    for (redirect, setting) in [(">&-", sink.as_str()), (">/dev/null", "TOWER_AUDIT_SINK=stdout")] {
        let script = format!(r#"exec env "$1" "$0" {redirect}"#);
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(binary())
            .arg(setting)
            .env("PORT", "0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "{redirect}: {line}");
        let kill = format!("kill -s TERM {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(check::lines(&fs::read_to_string(path).unwrap()).len(), 2);
}

#[tokio::test]
async fn a_non_blocking_stdout_that_is_full_cuts_no_line_and_loses_none() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let settings = [("TOWER_AUDIT_QUEUE_RECORDS", "64"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "10m")];
    let server = Server::start(OwnedFd::from(theirs), &settings);
    const EACH: usize = 40;
    let asked = CONNECTIONS * EACH;
    let load = tokio::spawn(load(server.address, CONNECTIONS, EACH, "PUT /articles"));
    held(&server, CONNECTIONS).await;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(load.await.unwrap(), HashMap::from([(200, asked)]));
    server.stop();
    let records = check::lines(&reader.join().unwrap());
    assert_eq!(ids(&records, "ArticleUpdate").len(), asked);
}

// ---------------------------------------------------------------------------------------------------------------------
// kill -9
// ---------------------------------------------------------------------------------------------------------------------

/// `TOWER_AUDIT_TEST_KILLS=200 cargo test --test processes kill` for more of it.
#[tokio::test]
async fn after_a_kill_every_response_that_was_received_whole_has_its_record_in_the_file() {
    let rounds = std::env::var("TOWER_AUDIT_TEST_KILLS").map_or(5, |rounds| rounds.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let mut received = HashSet::new();
    let mut next = 1;
    for round in 0..rounds {
        let mut server = Server::on_file(&path, &[]);
        let mut clients = JoinSet::new();
        for at in 0..16 {
            let (address, first) = (server.address, next + at * 1_000_000);
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut whole = Vec::new();
                for id in first.. {
                    // Bodies of a known length, streams, and none at all.
                    let request = match id % 3 {
                        0 => format!("POST /payments/{id}"),
                        1 => format!("GET /statements/{id}"),
                        _ => format!("DELETE /accounts/{id}"),
                    };
                    match client.ask(&request).await {
                        Some(answer) if answer.status < 300 => whole.push(id),
                        Some(answer) => panic!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
                        None => break,
                    }
                }
                whole
            });
        }
        next += 16 * 1_000_000;
        let random = uuid::Uuid::new_v4().as_u128() % 400;
        tokio::time::sleep(Duration::from_millis(50 + u64::try_from(random).unwrap())).await;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        received.extend(clients.join_all().await.into_iter().flatten());
        let text = fs::read_to_string(&path).unwrap();
        // At most one line of each round was cut off, and no record was glued to it.
        let parsed: Vec<Option<Value>> = text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        assert!(parsed.iter().filter(|record| record.is_none()).count() <= round + 1);
        let records: Vec<Value> = parsed.into_iter().flatten().collect();
        let recorded: HashSet<u64> =
            ["Payment", "StatementRead", "AccountDeletion"].iter().flat_map(|event| ids(&records, event)).collect();
        let missing: Vec<_> = received.difference(&recorded).collect();
        assert!(missing.is_empty(), "round {round}: received and not recorded: {missing:?}");
    }
    println!("{rounds} kills, {} responses received whole, each with its record", received.len());
    assert!(!received.is_empty());
}

/// The number of cells of a row by RFC 4180.
fn cells(row: &str) -> usize {
    let mut is_quoted = false;
    let commas = row.bytes().filter(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    });
    1 + commas.count()
}

#[tokio::test]
async fn a_csv_whose_writer_is_killed_in_the_middle_of_a_row_is_one_header_and_whole_rows() {
    const ASKED: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.csv");
    let sink = format!("file://{}", path.display());
    let settings = [
        ("TOWER_AUDIT_SINK", &*sink),
        ("TOWER_AUDIT_FORMAT", "csv"),
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "100ms"),
        ("PATH", "/bin:/usr/bin"),
    ];
    let mut torn = 0;
    // Rows of one size could end where the limit is, once.
    for blocks in [9, 21, 34] {
        let mut server = Server::start_limited(blocks, &settings);
        for _ in 0..ASKED {
            assert_eq!(server.ask("GET /articles/1").await.status, 200);
        }
        let began = Instant::now();
        // The file is full when its length is that of whole blocks.
        while !fs::metadata(&path).unwrap().len().is_multiple_of(512) {
            assert!(began.elapsed() < PATIENCE, "the file is not full");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let whole = &text[..=text.rfind('\n').unwrap()];
        torn += u32::from(whole.len() < text.len());

        let server = Server::start(Stdio::null(), &settings);
        assert_eq!(server.ask("GET /articles/2").await.status, 200);
        server.stop();
        let text = fs::read_to_string(&path).unwrap();
        let added = text.strip_prefix(whole).expect("whole rows are kept");
        assert_eq!(added.lines().count(), 3, "the start, the request and the end: {added}");
        assert!(text.ends_with('\n'));
        let header = text.lines().next().unwrap();
        assert!(header.starts_with("timestamp,level,") && text.matches(header).count() == 1);
        assert!(text.lines().all(|row| cells(row) == cells(header)), "{text}");
    }
    assert!(torn > 1, "{torn} rows were cut off");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the file and its lock");
}

// ---------------------------------------------------------------------------------------------------------------------
// A disk that is full
// ---------------------------------------------------------------------------------------------------------------------

/// A small file system of its own; none where nobody may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tower-audit-test"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.path().join("filler")).unwrap();
        while std::io::Write::write(&mut filler, &[0; 512]).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A 503 that says that nothing was done; another says that something was, and that its record is not confirmed.
fn is_refused(answer: &Answer) -> bool {
    let refused = String::from_utf8_lossy(&answer.body).contains("was not handled");
    assert_eq!(refused, answer.head.contains("retry-after: 1"), "{}", answer.head);
    refused
}

#[tokio::test]
async fn on_a_full_disk_fail_closed_does_nothing_and_all_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a file system cannot be mounted here; tests/durable.rs has the same with a sink of its own");
        return;
    };
    let path = disk.0.path().join("audit.log");
    let server = Server::on_file(&path, &[("TOWER_AUDIT_ADMISSION_TIMEOUT", "100ms")]);
    assert_eq!(server.ask("DELETE /accounts/1").await.status, 204);
    disk.fill();
    const ASKED: u64 = 10;
    let mut refused = 0;
    for id in 0..100 {
        // The last page of the file may still have room for a record or two.
        refused += u64::from(is_refused(&server.ask(&format!("DELETE /accounts/{id}")).await));
        if refused == ASKED {
            break;
        }
    }
    let done = || async { server.health().await["deletedAccounts"].as_u64().unwrap() };
    let before = done().await;
    assert_eq!(refused, ASKED);
    // What costs nothing goes on; what has to wait for the log is held, and later refused.
    assert_eq!(server.ask("GET /articles/1").await.status, 200);
    assert_eq!(done().await, before);
    disk.free();
    let began = Instant::now();
    loop {
        let answer = server.ask("DELETE /accounts/2").await;
        if answer.status == 204 {
            break;
        }
        refused += u64::from(is_refused(&answer));
        assert!(began.elapsed() < PATIENCE, "it does not go on");
    }
    let done = done().await;
    assert!(done > before);
    server.stop();
    let records = check::lines(&fs::read_to_string(&path).unwrap());
    let rejected = records.iter().filter(|record| record["outcome"] == "rejected").count() as u64;
    assert_eq!(rejected + told(&records, "AuditRequestsRefused"), refused);
    assert_eq!(ids(&records, "AccountDeletion").len() as u64, done);
    assert_eq!(ids(&records, "ArticleRead").len(), 1);
    assert_eq!(records.last().unwrap()["meta"]["lost"], 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

/// Writes more than one segment can hold; gives the names of what is in the folder then.
async fn rotated(server: Server, folder: &Path) -> Vec<String> {
    assert_eq!(load(server.address, 4, 100, "PUT /articles").await, HashMap::from([(200, 400)]));
    server.stop();
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .collect();
    names.sort();
    for name in &names {
        assert!(fs::metadata(folder.join(name)).unwrap().len() <= 64 * 1024, "{name}");
    }
    names
}

#[tokio::test]
async fn a_file_and_its_rotation_are_set_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("TOWER_AUDIT_ROTATE_BYTES", "64KiB"),
        ("TOWER_AUDIT_ROTATE_EVERY", "24h"),
        ("TOWER_AUDIT_KEEP_FILES", "2"),
        ("TOWER_AUDIT_DELIVERY", "durable"),
    ];
    let server = Server::on_file(&folder.path().join("audit.log"), &settings);
    let names = rotated(server, folder.path()).await;
    assert_eq!((names.len(), names.last().unwrap().as_str()), (3, "audit.log"), "{names:?}");
}

#[cfg(feature = "toml")]
#[tokio::test]
async fn a_file_and_its_rotation_are_set_from_toml_and_the_environment_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("settings.toml");
    let sink = format!("file://{}", folder.path().join("audit.log").display());
    let text = format!("sink = {sink:?}\nrotate_bytes = \"64KiB\"\nrotate_every = \"24h\"\nkeep_files = 7\n");
    fs::write(&config, text).unwrap();
    let settings = [("TOWER_AUDIT_CONFIG", config.to_str().unwrap()), ("TOWER_AUDIT_KEEP_FILES", "1")];
    let names = rotated(Server::start(Stdio::null(), &settings), folder.path()).await;
    assert_eq!((names.len(), names.last().unwrap().as_str()), (2, "audit.log"), "{names:?}");
}
