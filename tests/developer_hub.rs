//! The example `developer_hub`, started as its users start it and driven over real sockets, prints the records of Red Hat
//! Developer Hub's audit log with nothing missing, and nothing else but lines of JSON.
#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]
#![allow(clippy::needless_pass_by_value, reason = "a `json!` is made where it is passed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

// ---------------------------------------------------------------------------------------------------------------------
// The example as a process
// ---------------------------------------------------------------------------------------------------------------------

/// The example, which `cargo test` builds beside the tests, and `cargo test --test developer_hub` does not.
fn binary(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests stand in target/PROFILE/deps");
    let binary = profile.join("examples").join(example);
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples` first", binary.display());
    binary
}

fn command(example: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary(example));
    // Nothing that the developer's own environment says may decide about a test.
    command.env_clear().env("PORT", "0").envs(settings.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[derive(Default)]
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Lines {
    fn read(&self, from: impl Read) {
        for line in BufReader::new(from).lines() {
            self.lines.lock().unwrap().0.push(line.unwrap());
            self.changed.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// Waits until what was read so far is enough.
    fn wait(&self, what: &str, mut enough: impl FnMut(&[String], bool) -> bool) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let waits = |(lines, ended): &mut (Vec<String>, bool)| !enough(lines, *ended) && !*ended;
        let (lines, timeout) = self.changed.wait_timeout_while(lines, PATIENCE, waits).unwrap();
        assert!(!timeout.timed_out(), "waited for {what}, got {:#?}", lines.0);
        lines.0.clone()
    }
}

struct Hub {
    child: Child,
    address: SocketAddr,
    stdout: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Hub {
    fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_example("developer_hub", settings)
    }

    fn start_example(example: &str, settings: &[(&str, &str)]) -> Self {
        let mut hub = Self::start_unread(example, settings);
        hub.read_stdout();
        hub
    }

    fn start_unread(example: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = command(example, settings).spawn().unwrap();
        let stderr = Arc::<Lines>::default();
        let (pipe, lines) = (child.stderr.take().unwrap(), stderr.clone());
        let reader = std::thread::spawn(move || lines.read(pipe));
        let said = stderr.wait("`listening on`", |lines, _| lines.iter().any(|line| line.contains("listening on")));
        let address = said.iter().find_map(|line| line.strip_prefix("listening on http://"));
        let address = address.unwrap_or_else(|| panic!("it did not start: {said:#?}")).parse().unwrap();
        Self { child, address, stdout: Arc::default(), readers: vec![reader] }
    }

    fn read_stdout(&mut self) {
        let (pipe, lines) = (self.child.stdout.take().unwrap(), self.stdout.clone());
        self.readers.push(std::thread::spawn(move || lines.read(pipe)));
    }

    fn signal(&self, signal: &str) {
        // The shell's own `kill`: not every machine has the program.
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end, and checks what holds for every run; gives the audit records and all lines.
    fn ended(mut self) -> (Vec<Value>, Vec<String>) {
        let lines = self.stdout.wait("the end", |_, ended| ended);
        assert!(self.child.wait().unwrap().success());
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        (records(&lines), lines)
    }

    fn stop(self, signal: &str) -> (Vec<Value>, Vec<String>) {
        self.signal(signal);
        self.ended()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn open(&self, ask: &Ask) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&ask.bytes()).unwrap();
        stream
    }

    fn send(&self, ask: &Ask) -> Answer {
        let mut bytes = Vec::new();
        self.open(ask).read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    fn create_task(&self, values: Value, secrets: Value) -> String {
        let body = json!({"templateRef": "template:default/example-template", "values": values, "secrets": secrets});
        let answer = self.send(&Ask::new("POST /api/scaffolder/v2/tasks").json(body));
        assert_eq!(answer.status, 201);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Follows a task to its end.
    fn follow(&self, task: &str) -> Answer {
        let answer = self.send(&Ask::new(format!("GET /api/scaffolder/v2/tasks/{task}/eventstream")));
        assert!(answer.text().contains("event: completion"), "{}", answer.text());
        answer
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Only after a failed assertion is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The audit records among the lines. Each line is JSON; the first and the last record are the brackets of the run, the
/// numbers between have no gap, and each exchange is whole.
fn records(lines: &[String]) -> Vec<Value> {
    let parsed = lines.iter().map(|line| -> Value {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(line.contains("isAuditLog"), value["isAuditLog"] == true, "{line}");
        assert_eq!(line.contains(r#""isAuditLog":true"#), value["isAuditLog"] == true, "{line}");
        value
    });
    let records: Vec<Value> = parsed.filter(|value| value["isAuditLog"] == true).collect();
    assert_eq!(records.first().unwrap()["eventName"], "AuditStarted");
    let last = records.last().unwrap();
    assert_eq!(last["eventName"], "AuditStopped");
    let refused = &last["meta"]["refused"];
    let report = json!({"reason": "shutdown", "written": records.len(), "lost": 0, "refused": refused, "open": 0});
    assert_eq!(last["meta"], report);
    let numbers: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=records.len() as u64).collect::<Vec<_>>());
    for exchange in exchanges(&records) {
        let stages: Vec<_> = exchange.iter().map(|record| record["stage"].as_str().unwrap()).collect();
        match exchange[0]["eventName"].as_str().unwrap() {
            "ScaffolderTaskStepIteration" => assert_eq!(stages, ["initiation"]),
            // What was refused never began.
            _ if exchange[0]["outcome"] == "rejected" => assert_eq!(stages, ["completion"]),
            "HttpRequest"
            | "OrderCreation"
            | "ScaffolderTaskStepSkip"
            | "AuditStarted"
            | "AuditStopped"
            | "AuditRequestsRefused" => {
                assert!(stages == ["completion"] || stages == ["initiation", "completion"], "{exchange:#?}");
            }
            _ => assert_eq!(stages, ["initiation", "completion"], "{exchange:#?}"),
        }
    }
    records
}

/// The records of each exchange, in the order in which the exchanges began to be recorded.
fn exchanges(records: &[Value]) -> Vec<Vec<&Value>> {
    let mut exchanges: Vec<Vec<&Value>> = Vec::new();
    let mut places = BTreeMap::new();
    for record in records {
        let id = record["auditId"].as_str().unwrap();
        let place = *places.entry(id).or_insert_with(|| {
            exchanges.push(Vec::new());
            exchanges.len() - 1
        });
        exchanges[place].push(record);
    }
    exchanges
}

// ---------------------------------------------------------------------------------------------------------------------
// A client that sends exactly what it is told
// ---------------------------------------------------------------------------------------------------------------------

struct Ask {
    target: String,
    token: Option<&'static str>,
    headers: String,
    body: Option<String>,
}

impl Ask {
    /// `GET /path?query`, asked by the guest.
    fn new(target: impl Into<String>) -> Self {
        Self { target: target.into(), token: Some("guest"), headers: String::new(), body: None }
    }

    fn token(self, token: Option<&'static str>) -> Self {
        Self { token, ..self }
    }

    fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    fn json(self, body: Value) -> Self {
        self.raw(&body.to_string())
    }

    fn raw(self, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..self }
    }

    fn method(&self) -> &str {
        self.target.split_once(' ').unwrap().0
    }

    fn url(&self) -> &str {
        self.target.split_once(' ').unwrap().1
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} HTTP/1.1\r\nHost: hub.example:7007\r\nUser-Agent: walker/1.0\r\n", self.target);
        head.push_str("Connection: close\r\n");
        head.push_str(&self.headers);
        if let Some(token) = self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let mut body = bytes[end + 4..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            body = dechunked(&body);
        }
        Self { status: head[9..12].parse().unwrap(), head, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk has a size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What is expected
// ---------------------------------------------------------------------------------------------------------------------

/// A request, and the records that it has to leave.
struct Step {
    event: &'static str,
    ask: Ask,
    /// The route as the router has it, the values of its parameters being those of the path.
    route: &'static str,
    meta: Value,
    /// What the completion has besides.
    meta_of_completion: Value,
    shows_response: bool,
    message: String,
    status: u16,
    error: Option<(&'static str, String)>,
}

impl Step {
    fn new(event: &'static str, target: impl Into<String>, route: &'static str, message: impl Into<String>) -> Self {
        Self {
            event,
            ask: Ask::new(target),
            route,
            meta: json!({}),
            meta_of_completion: json!({}),
            shows_response: false,
            message: message.into(),
            status: 200,
            error: None,
        }
    }

    fn by(self, token: Option<&'static str>) -> Self {
        Self { ask: self.ask.token(token), ..self }
    }

    fn sends(self, body: Value) -> Self {
        Self { ask: self.ask.json(body), ..self }
    }

    fn meta(self, meta: Value) -> Self {
        Self { meta, ..self }
    }

    fn shows_response(self) -> Self {
        Self { shows_response: true, ..self }
    }

    fn answers(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn fails(self, status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, error: Some((name, message.into())), ..self }
    }

    fn is_unmatched(&self) -> bool {
        self.event == "HttpRequest"
    }

    fn actor(&self) -> Value {
        let mut actor = json!({"actorId": null, "ip": "127.0.0.1", "hostname": "hub.example", "client": "walker/1.0"});
        let known = match self.ask.token {
            Some("guest") => ("user:development/guest", "user"),
            Some("jane") => ("user:default/jane", "user"),
            Some("ci") => ("external:ci", "service"),
            _ => return actor,
        };
        actor["actorId"] = json!(known.0);
        actor["kind"] = json!(known.1);
        actor
    }

    /// The whole record of a stage, without what is different in each run.
    fn expected(&self, stage: &str, answer: &Answer) -> Value {
        let completion = stage == "completion";
        let failed = completion && self.error.is_some();
        let actor = self.actor();
        let stranger = completion && actor["actorId"].is_null() && matches!(self.status, 401 | 403 | 404 | 405);

        let mut request = json!({"method": self.ask.method(), "url": self.ask.url(), "protocol": "HTTP/1.1"});
        if !self.route.is_empty() {
            request["route"] = json!(self.route);
            put(&mut request, "params", params(self.route, self.ask.url()));
        }
        put(&mut request, "query", query(self.ask.url()));
        if let Some(body) = self.ask.body.as_deref().filter(|_| !stranger) {
            request["body"] = masked(serde_json::from_str(body).unwrap());
        }

        let result = if !completion {
            "initiated"
        } else if failed {
            "failed"
        } else {
            "succeeded"
        };
        let who = actor["actorId"].as_str().unwrap_or("somebody");
        let joint = if self.event == "ScaffolderTaskStream" { "for" } else { "by" };
        let mut record = json!({
            "level": if failed { "warn" } else { "info" },
            "isAuditLog": true,
            "schema": "1.0",
            "eventName": self.event,
            "logType": "audit",
            "stage": stage,
            "status": if failed { "failed" } else { "succeeded" },
            "message": format!("{} {joint} {who} {result}", self.message),
            "actor": actor,
            "request": request,
        });
        if !self.is_unmatched() {
            let plugin = if self.ask.url().starts_with("/api/catalog/") { "catalog" } else { "scaffolder" };
            record["eventKind"] = json!(plugin);
            record["plugin"] = json!(plugin);
            record["service"] = json!("backstage");
        }
        let mut meta = self.meta.as_object().unwrap().clone();
        if completion {
            meta.extend(self.meta_of_completion.as_object().unwrap().clone());
        }
        put(&mut record, "meta", meta);
        if completion {
            record["outcome"] = json!("completed");
            record["response"] = json!({"status": self.status, "bytes": answer.body.len()});
            if self.shows_response && !stranger {
                record["response"]["body"] = masked(answer.json());
            }
            if let Some((name, message)) = &self.error {
                record["errors"] = json!([{"name": name, "message": message}]);
            }
        }
        record
    }
}

/// Adds an object that has members.
fn put(record: &mut Value, key: &str, members: Map<String, Value>) {
    if !members.is_empty() {
        record[key] = Value::Object(members);
    }
}

fn params(route: &str, url: &str) -> Map<String, Value> {
    let path = url.split('?').next().unwrap();
    let pairs = route.split('/').zip(path.split('/'));
    let names = pairs.filter_map(|(name, value)| Some((name.strip_prefix('{')?.strip_suffix('}')?, value)));
    names.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn query(url: &str) -> Map<String, Value> {
    let mut values = BTreeMap::<String, Vec<String>>::new();
    for pair in url.split_once('?').map_or("", |(_, query)| query).split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        values.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    let one_or_all = |values: Vec<String>| if values.len() == 1 { json!(values[0]) } else { json!(values) };
    values.into_iter().map(|(key, values)| (key, one_or_all(values))).collect()
}

/// What stands below `secrets` is masked, and what a step of a template gives as `token`.
fn masked(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (key, member) in members {
                *member = match (key.as_str(), member.take()) {
                    ("secrets", Value::Object(secrets)) => {
                        secrets.into_iter().map(|(name, _)| (name, json!("***"))).collect()
                    }
                    ("token", _) => json!("***"),
                    (_, other) => masked(other),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = masked(item.take())),
        _ => {}
    }
    value
}

/// A record without what is different in each run, which is checked for its form instead.
fn normal(record: &Value) -> Value {
    let mut record = record.clone();
    let members = record.as_object_mut().unwrap();
    let is_time = |value: &Value| {
        let text = value.as_str().unwrap();
        let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000Z", "{text}");
    };
    is_time(&members.remove("timestamp").unwrap());
    let id = members.remove("auditId").unwrap();
    assert_eq!((id.as_str().unwrap().len(), &id.as_str().unwrap()[14..15]), (36, "7"), "{id}");
    assert!(members.remove("instance").unwrap().is_string());
    assert!(members.remove("seq").unwrap().is_u64());
    assert!(members.remove("host").unwrap().is_string());
    if members["stage"] == "completion" && members.get("eventKind").is_none_or(|kind| kind != "audit") {
        is_time(&members.remove("startedAt").unwrap());
        assert!(members.remove("durationMs").unwrap().as_f64().unwrap() >= 0.0);
    }
    if members.contains_key("request") {
        assert!(members["actor"].as_object_mut().unwrap().remove("port").unwrap().is_u64());
    }
    record
}

/// Sends requests one after the other, and knows what records they have to leave.
struct Walk<'a> {
    hub: &'a Hub,
    expected: Vec<Vec<Value>>,
}

impl Walk<'_> {
    fn go(&mut self, step: Step) -> Answer {
        self.go_and(step, |_| json!({}))
    }

    /// `meta` tells from the answer what the completion has besides.
    fn go_and(&mut self, mut step: Step, meta: impl FnOnce(&Answer) -> Value) -> Answer {
        let answer = self.hub.send(&step.ask);
        assert_eq!(answer.status, step.status, "{}: {}", step.ask.target, answer.text());
        step.meta_of_completion = meta(&answer);
        let stages: &[&str] = if step.is_unmatched() { &["completion"] } else { &["initiation", "completion"] };
        self.expected.push(stages.iter().map(|stage| step.expected(stage, &answer)).collect());
        answer
    }
}

/// Compares all records of requests, whole, with what is expected.
fn check(records: &[Value], expected: &[Vec<Value>]) {
    let exchanges = exchanges(records);
    let of_requests = exchanges.iter().filter(|exchange| exchange[0].get("request").is_some());
    let found: Vec<Vec<Value>> =
        of_requests.map(|exchange| exchange.iter().map(|record| normal(record)).collect()).collect();
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "left is what was recorded");
    }
    assert_eq!(found.len(), expected.len());
}

// ---------------------------------------------------------------------------------------------------------------------
// The tests
// ---------------------------------------------------------------------------------------------------------------------

const TASKS: &str = "/api/scaffolder/v2/tasks";
const TASK: &str = "/api/scaffolder/v2/tasks/{taskId}";
const TEMPLATE: &str = "template:default/example-template";

#[test]
fn every_scaffolder_route_leaves_its_records() {
    let hub = Hub::start(&[("RUST_LOG", "trace")]);
    let mut walk = Walk { hub: &hub, expected: Vec::new() };
    assert_eq!(hub.send(&Ask::new("GET /healthz")).status, 200);
    walk.go(Step::new(
        "ScaffolderParameterSchemaFetch",
        "GET /api/scaffolder/v2/templates/default/template/example-template/parameter-schema",
        "/api/scaffolder/v2/templates/{namespace}/{kind}/{name}/parameter-schema",
        format!("Fetch of the parameter schema of {TEMPLATE}"),
    )
    .meta(json!({"templateRef": TEMPLATE})));
    walk.go(Step::new(
        "ScaffolderInstalledActionsFetch",
        "GET /api/scaffolder/v2/actions",
        "/api/scaffolder/v2/actions",
        "Fetch of the list of installed actions",
    ));

    let secret = "gho_hunter2hunter2";
    let creation = || {
        Step::new(
            "ScaffolderTaskCreation",
            format!("POST {TASKS}"),
            TASKS,
            format!("Creation of a scaffolder task from {TEMPLATE}"),
        )
        .meta(json!({"templateRef": TEMPLATE}))
        .answers(201)
        .shows_response()
    };
    let task_id = |answer: &Answer| json!({"taskId": answer.json()["id"]});
    let id = |answer: &Answer| answer.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"templateRef": TEMPLATE, "values": {"name": "mine"}, "secrets": {"githubToken": secret}});
    let task = id(&walk.go_and(creation().by(Some("jane")).sends(body), task_id));

    let stream = |task: &str| {
        Step::new(
            "ScaffolderTaskStream",
            format!("GET {TASKS}/{task}/eventstream"),
            "/api/scaffolder/v2/tasks/{taskId}/eventstream",
            format!("Event stream of scaffolder task {task}"),
        )
        .meta(json!({"taskId": task}))
    };
    assert!(walk.go(stream(&task)).text().contains("event: completion"));
    walk.go(Step::new(
        "ScaffolderTaskEventFetch",
        format!("GET {TASKS}/{task}/events?after=3"),
        "/api/scaffolder/v2/tasks/{taskId}/events",
        format!("Fetch of the events of scaffolder task {task}"),
    )
    .meta(json!({"taskId": task})));
    let fetch = |task: &str| {
        Step::new(
            "ScaffolderTaskFetch",
            format!("GET {TASKS}/{task}"),
            TASK,
            format!("Fetch of scaffolder task {task}"),
        )
        .meta(json!({"taskId": task}))
        .shows_response()
    };
    walk.go(fetch(&task).by(Some("ci")));
    let list =
        || Step::new("ScaffolderTaskListFetch", format!("GET {TASKS}"), TASKS, "Fetch of the list of scaffolder tasks");
    walk.go(list().by(None));
    walk.go(Step { ask: Ask::new(format!("GET {TASKS}?createdBy=user:default/jane")), ..list() });

    let slow = id(&walk.go_and(
        creation().sends(json!({"templateRef": TEMPLATE, "values": {"name": "slow", "delayMs": 60000}})),
        task_id,
    ));
    let cancellation = |task: &str| {
        Step::new(
            "ScaffolderTaskCancellation",
            format!("POST {TASKS}/{task}/cancel"),
            "/api/scaffolder/v2/tasks/{taskId}/cancel",
            format!("Cancellation of scaffolder task {task}"),
        )
        .meta(json!({"taskId": task}))
        .shows_response()
    };
    walk.go(cancellation(&slow));
    walk.go(stream(&slow));

    let dry_run = dry_run_body(secret);
    let flags = json!({"templateRef": "Template:default/draft", "isDryLog": true, "isDryRun": true});
    let dry = |message: &str| {
        let route = "/api/scaffolder/v2/dry-run";
        Step::new("ScaffolderTaskDryRun", format!("POST {route}"), route, message).shows_response()
    };
    // The log that comes back quotes the secret in its answer, which is masked in the record too.
    let mut answered = dry("Dry run of Template:default/draft").sends(dry_run.clone()).meta(flags);
    answered.shows_response = false;
    let answer = walk.go(answered);
    let said = answer.json();
    assert_eq!(said["output"]["echo"], json!(format!("echo {secret}")), "{said}");
    let completion = walk.expected.last_mut().unwrap().last_mut().unwrap();
    completion["response"]["body"] = serde_json::from_str(&answer.text().replace(secret, "***")).unwrap();

    // Refused.
    walk.go(
        dry("Dry run of unknown")
            .sends(json!({}))
            .meta(json!({"isDryLog": true, "isDryRun": true}))
            .fails(400, "InputError", "Malformed request: Failed to deserialize the JSON body into the target type: missing field `template` at line 1 column 2"),
    );
    let unknown = Step { message: "Creation of a scaffolder task from template:default/unknown".into(), ..creation() };
    walk.go(unknown
        .meta(json!({"templateRef": "template:default/unknown"}))
        .sends(json!({"templateRef": "template:default/unknown", "values": {}, "secrets": {"x": secret}}))
        .fails(404, "NotFoundError", "Template template:default/unknown not found"));
    walk.go(creation().by(None).sends(json!({"templateRef": TEMPLATE, "values": {}})).fails(
        400,
        "InputError",
        "requires property \"name\"",
    ));
    for step in [fetch("unknown"), cancellation("unknown"), Step { shows_response: false, ..stream("unknown") }] {
        walk.go(step.fails(404, "NotFoundError", "Task with id unknown does not exist"));
    }
    // Nobody known: what is asked for shows, bodies do not.
    walk.go(fetch("unknown").by(None).fails(404, "NotFoundError", "Task with id unknown does not exist"));
    walk.go(list().by(Some("stolen-token-4711")).fails(401, "AuthenticationError", "Illegal token"));
    let refused = creation().by(Some("stolen-token-4711")).fails(401, "AuthenticationError", "Illegal token");
    let refused = Step { meta: json!({}), message: "Creation of a scaffolder task from unknown".into(), ..refused };
    walk.go(refused);
    walk.go(Step::new("HttpRequest", "GET /api/scaffolder/v2/unknown", "", "GET /api/scaffolder/v2/unknown").fails(
        404,
        "NotFoundError",
        "Cannot GET /api/scaffolder/v2/unknown",
    ));
    walk.go(Step::new("HttpRequest", format!("DELETE {TASKS}"), TASKS, format!("DELETE {TASKS}")).fails(
        405,
        "MethodNotAllowedError",
        "DELETE method not allowed",
    ));

    let expected = walk.expected;
    let (records, lines) = hub.stop("TERM");
    check(&records, &expected);
    let leaked: Vec<_> = lines
        .iter()
        .filter(|line| line.contains(secret) || line.contains("stolen") || line.contains("healthz"))
        .collect();
    assert!(leaked.is_empty(), "{leaked:#?}");

    assert_eq!(background(&records, |meta| meta["taskId"] == *task), whole_task(&task));
    let stopped = |name: &str, message: &str| json!([{"name": name, "message": message}]);
    let cancelled = stopped("CancelledError", "Task was cancelled");
    assert_eq!(
        background(&records, |meta| meta["taskId"] == *slow),
        [
            work("ScaffolderTaskExecution", "initiation", TEMPLATE, &json!({"taskId": slow}), None),
            work("ScaffolderTaskStepExecution", "initiation", TEMPLATE, &step_meta(&slow, 0), None),
            work("ScaffolderTaskStepExecution", "completion", TEMPLATE, &step_meta(&slow, 0), Some(&cancelled)),
            work("ScaffolderTaskExecution", "completion", TEMPLATE, &json!({"taskId": slow}), Some(&cancelled)),
        ]
    );

    // A dry run leaves records of its steps, flagged, and no execution of a task.
    let draft = "template:default/draft";
    let step = |id: &str, action: &str| json!({"isDryLog": true, "isDryRun": true, "stepId": id, "stepName": action, "stepAction": action});
    let each = |index: usize, value: &str| {
        let mut meta = step("each", "debug:log");
        meta["each"] = json!({"index": index, "value": value});
        meta
    };
    assert_eq!(
        background(&records, |meta| meta["isDryRun"] == true),
        [
            work("ScaffolderTaskStepSkip", "completion", draft, &step("skipped", "debug:log"), None),
            work("ScaffolderTaskStepExecution", "initiation", draft, &step("each", "debug:log"), None),
            work("ScaffolderTaskStepIteration", "initiation", draft, &each(0, "a"), None),
            work("ScaffolderTaskStepIteration", "initiation", draft, &each(1, "b-***"), None),
            work("ScaffolderTaskStepExecution", "completion", draft, &step("each", "debug:log"), None),
            work("ScaffolderTaskStepExecution", "initiation", draft, &step("publish", "publish:github"), None),
            work("ScaffolderTaskStepExecution", "completion", draft, &step("publish", "publish:github"), None),
        ]
    );
    for record in records.iter().filter(|record| record["eventName"] == "ScaffolderTaskDryRun") {
        assert_eq!((&record["meta"]["isDryLog"], &record["meta"]["isDryRun"]), (&json!(true), &json!(true)));
    }
}

fn dry_run_body(secret: &str) -> Value {
    json!({
        "template": {
            "apiVersion": "scaffolder.backstage.io/v1beta3", "kind": "Template", "metadata": {"name": "draft"},
            "spec": {
                "steps": [
                    {"id": "skipped", "action": "debug:log", "if": false},
                    {
                        "id": "each", "action": "debug:log", "each": ["a", "b-${{ secrets.githubToken }}"],
                        "input": {"message": "${{ each.value }}"},
                    },
                    {"id": "publish", "action": "publish:github", "input": {"repoUrl": "github.com?owner=a&repo=b"}},
                ],
                "output": {"echo": "echo ${{ secrets.githubToken }}"},
            },
        },
        "values": {"name": "draft"},
        "secrets": {"githubToken": secret},
        "directoryContents": [],
    })
}

/// The records of background work whose `meta` is wanted.
fn background(records: &[Value], wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let without_request = records.iter().filter(|record| record.get("request").is_none());
    without_request.filter(|record| wanted(&record["meta"])).map(normal).collect()
}

/// A whole record of background work.
fn work(event: &str, stage: &str, template: &str, meta: &Value, errors: Option<&Value>) -> Value {
    let mut meta = meta.clone();
    meta["templateRef"] = json!(template);
    let (step, task) = (meta["stepId"].as_str().unwrap_or_default(), meta["taskId"].as_str().unwrap_or_default());
    let what = match event {
        "ScaffolderTaskExecution" => format!("Execution of scaffolder task {task}"),
        "ScaffolderTaskStepExecution" => format!("Execution of step {step} of {template}"),
        "ScaffolderTaskStepSkip" => format!("Skip of step {step} of {template}"),
        "ScaffolderTaskStepIteration" => format!("Iteration of step {step} of {template}"),
        "ScaffolderStaleTaskCancellation" => format!("Cancellation of stale scaffolder task {task}"),
        other => panic!("{other} has a request"),
    };
    let result = match (stage, errors) {
        ("initiation", _) => "initiated",
        (_, None) => "succeeded",
        (_, Some(_)) => "failed",
    };
    let mut record = json!({
        "level": if errors.is_some() { "error" } else { "info" },
        "isAuditLog": true,
        "schema": "1.0",
        "eventName": event,
        "eventKind": "scaffolder",
        "logType": "audit",
        "stage": stage,
        "status": if errors.is_some() { "failed" } else { "succeeded" },
        "message": format!("{what} by service:scaffolder-backend {result}"),
        "service": "backstage",
        "plugin": "scaffolder",
        "actor": {"actorId": "service:scaffolder-backend", "kind": "service"},
        "meta": meta,
    });
    if stage == "completion" {
        record["outcome"] = json!(if errors.is_some() { "handler_error" } else { "completed" });
    }
    if let Some(errors) = errors {
        record["errors"] = errors.clone();
    }
    record
}

const STEPS: [(&str, &str, &str); 5] = [
    ("fetch", "Fetch the skeleton", "fetch:template"),
    ("docs", "Fetch the documentation", "fetch:plain"),
    ("environments", "Prepare the environments", "debug:log"),
    ("publish", "Publish", "publish:github"),
    ("register", "Register", "catalog:register"),
];

/// What stands in `meta` of a step of the example's template.
fn step_meta(task: &str, step: usize) -> Value {
    let (id, name, action) = STEPS[step];
    json!({"taskId": task, "stepId": id, "stepName": name, "stepAction": action})
}

/// All records of a task of the example's template that succeeds.
fn whole_task(task: &str) -> Vec<Value> {
    let record = |event: &str, stage: &str, meta: &Value| work(event, stage, TEMPLATE, meta, None);
    let both = |step: usize| {
        ["initiation", "completion"].map(|stage| record("ScaffolderTaskStepExecution", stage, &step_meta(task, step)))
    };
    let iteration = |index: usize, value: &str| {
        let mut meta = step_meta(task, 2);
        meta["each"] = json!({"index": index, "value": value});
        record("ScaffolderTaskStepIteration", "initiation", &meta)
    };
    let of_task = json!({"taskId": task});
    let mut records = vec![record("ScaffolderTaskExecution", "initiation", &of_task)];
    records.extend(both(0));
    records.push(record("ScaffolderTaskStepSkip", "completion", &step_meta(task, 1)));
    let [began, ended] = both(2);
    records.push(began);
    records.extend([iteration(0, "dev"), iteration(1, "stage"), iteration(2, "prod")]);
    records.push(ended);
    records.extend(both(3));
    records.extend(both(4));
    records.push(record("ScaffolderTaskExecution", "completion", &of_task));
    records
}

#[test]
fn every_catalog_route_leaves_its_records() {
    let hub = Hub::start(&[]);
    let mut walk = Walk { hub: &hub, expected: Vec::new() };
    let step = |event: &'static str, target: &str, route: &'static str, message: &str| {
        let (method, path) = target.split_once(' ').unwrap();
        Step::new(event, format!("{method} /api/catalog{path}"), route, message)
    };

    walk.go(step(
        "CatalogEntityFetch",
        "GET /entities?filter=kind=component&fields=kind&fields=metadata.name",
        "/api/catalog/entities",
        "Fetch of a list of entities",
    ));
    walk.go(step(
        "QueriedCatalogEntityFetch",
        "GET /entities/by-query?limit=2",
        "/api/catalog/entities/by-query",
        "Fetch of the entities that match a query",
    ));
    let by_uid = |event: &'static str, method: &str, message: &str| {
        step(event, &format!("{method} /entities/by-uid/0-0"), "/api/catalog/entities/by-uid/{uid}", message)
            .meta(json!({"uid": "0-0"}))
    };
    let fetch_by_uid = || by_uid("CatalogEntityFetchByUid", "GET", "Fetch of the entity with uid 0-0");
    walk.go(fetch_by_uid());
    for (event, rest, route, message) in [
        (
            "CatalogEntityFetchByName",
            "",
            "/api/catalog/entities/by-name/{kind}/{namespace}/{name}",
            "Fetch of entity component:default/example",
        ),
        (
            "CatalogEntityAncestryFetch",
            "/ancestry",
            "/api/catalog/entities/by-name/{kind}/{namespace}/{name}/ancestry",
            "Fetch of the ancestry of entity component:default/example",
        ),
    ] {
        let target = format!("GET /entities/by-name/component/default/example{rest}");
        walk.go(step(event, &target, route, message).meta(json!({"entityRef": "component:default/example"})));
    }
    walk.go(step(
        "CatalogEntityBatchFetch",
        "POST /entities/by-refs",
        "/api/catalog/entities/by-refs",
        "Fetch of a batch of entities",
    )
    .sends(json!({"entityRefs": ["component:default/example", "component:default/unknown"], "fields": ["kind"]})));
    walk.go(step(
        "CatalogEntityFacetFetch",
        "GET /entity-facets?facet=kind&facet=spec.type",
        "/api/catalog/entity-facets",
        "Fetch of entity facets",
    ));

    let entity = |namespace: Value| json!({"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "x", "namespace": namespace}});
    for (path, route) in
        [("/entities/validate", "/api/catalog/entities/validate"), ("/validate-entity", "/api/catalog/validate-entity")]
    {
        let validate = |reference: &str| {
            step("CatalogEntityValidate", &format!("POST {path}"), route, &format!("Validation of entity {reference}"))
                .meta(json!({"entityRef": reference}))
        };
        let body = json!({"entity": entity(json!("team")), "location": "url:https://github.com/acme/x"});
        walk.go(validate("Component:team/x").sends(body));
        let mut body = json!({"entity": entity(json!("team")), "location": "file:x"});
        body["entity"]["metadata"].as_object_mut().unwrap().remove("namespace");
        walk.go(validate("Component:default/x").sends(body).fails(
            400,
            "InputError",
            "Invalid location ref file:x, only 'url:<target>' is supported, e.g. url:https://host/path",
        ));
    }

    let deletion = || by_uid("CatalogEntityDeletion", "DELETE", "Deletion of the entity with uid 0-0");
    walk.go(deletion().answers(204));
    walk.go(deletion().fails(404, "NotFoundError", "No entity with uid 0-0"));
    walk.go(fetch_by_uid().fails(404, "NotFoundError", "No entity with uid 0-0"));
    for (path, route) in [("/entities/refresh", "/api/catalog/entities/refresh"), ("/refresh", "/api/catalog/refresh")]
    {
        let refresh = |reference: &str| {
            step("CatalogEntityRefresh", &format!("POST {path}"), route, &format!("Refresh of entity {reference}"))
                .meta(json!({"entityRef": reference}))
                .sends(json!({"entityRef": reference}))
        };
        walk.go(refresh(TEMPLATE));
        walk.go(refresh("component:default/unknown").fails(
            404,
            "NotFoundError",
            "Failed to schedule component:default/unknown for refresh",
        ));
    }
    walk.go(fetch_by_uid());

    let target = "https://github.com/acme/walked/blob/main/catalog-info.yaml";
    let location = json!({"type": "url", "target": target});
    let locations = "/api/catalog/locations";
    let create = |query: &str| {
        step("CatalogLocationCreation", &format!("POST /locations{query}"), locations, "Creation of a location")
            .meta(json!({"location": location}))
            .sends(location.clone())
    };
    walk.go(create("?dryRun=true").answers(201));
    let created = walk.go(create("").answers(201)).json();
    let id = created["location"]["id"].as_str().unwrap();
    walk.go(create("").fails(409, "ConflictError", format!("Location url:{target} already exists")));
    walk.go(step("CatalogLocationFetch", "GET /locations", locations, "Fetch of the list of locations"));
    let by_id = |event: &'static str, method: &str, message: &str| {
        let target = format!("{method} /locations/{id}");
        step(event, &target, "/api/catalog/locations/{id}", &format!("{message} {id}")).meta(json!({"id": id}))
    };
    walk.go(by_id("CatalogLocationFetchById", "GET", "Fetch of location").shows_response());
    for (path, route) in [
        ("?entityRef=component:default/walked", "/api/catalog/locations/by-entity"),
        ("/component/default/walked", "/api/catalog/locations/by-entity/{kind}/{namespace}/{name}"),
    ] {
        let reference = "component:default/walked";
        let target = format!("GET /locations/by-entity{path}");
        walk.go(step(
            "CatalogLocationFetchByEntityRef",
            &target,
            route,
            &format!("Fetch of the location of {reference}"),
        )
        .meta(json!({"locationRef": reference}))
        .shows_response());
    }
    for (path, route) in [
        ("/locations/analyze", "/api/catalog/locations/analyze"),
        ("/analyze-location", "/api/catalog/analyze-location"),
    ] {
        let target = format!("POST {path}");
        walk.go(step("CatalogLocationAnalyze", &target, route, "Analysis of a location")
            .meta(json!({"location": location}))
            .sends(json!({"location": location})));
    }
    let deletion = || by_id("CatalogLocationDeletion", "DELETE", "Deletion of location");
    walk.go(deletion().answers(204));
    walk.go(deletion().fails(404, "NotFoundError", format!("Found no location with ID {id}")));

    let expected = walk.expected;
    let (records, _) = hub.stop("TERM");
    check(&records, &expected);
}

#[test]
fn a_stale_task_is_cancelled_and_each_stage_of_that_is_recorded() {
    let hub = Hub::start(&[("STALE_TASK_AFTER_MS", "50")]);
    let task = hub.create_task(json!({"name": "stuck", "delayMs": 60000}), json!({}));
    hub.follow(&task);
    let (records, _) = hub.stop("TERM");
    let stale = json!([{
        "name": "CancelledError", "message": "The task was cancelled because it showed no sign of life",
    }]);
    let of_task = json!({"taskId": task});
    let found = background(&records, |meta| meta["taskId"] == *task);
    let (of_janitor, of_run): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|record| record["eventName"] == "ScaffolderStaleTaskCancellation");
    assert_eq!(
        of_janitor,
        ["initiation", "completion"].map(|stage| work(
            "ScaffolderStaleTaskCancellation",
            stage,
            TEMPLATE,
            &of_task,
            None
        ))
    );
    assert_eq!(
        of_run,
        [
            work("ScaffolderTaskExecution", "initiation", TEMPLATE, &of_task, None),
            work("ScaffolderTaskStepExecution", "initiation", TEMPLATE, &step_meta(&task, 0), None),
            work("ScaffolderTaskStepExecution", "completion", TEMPLATE, &step_meta(&task, 0), Some(&stale)),
            work("ScaffolderTaskExecution", "completion", TEMPLATE, &of_task, Some(&stale)),
        ]
    );
}

#[test]
fn secrets_that_errors_quote_stand_in_no_line() {
    let hub = Hub::start(&[("RUST_LOG", "trace")]);
    // The step fails in a dry run, with the secret in its error, and so does the request.
    let mut failing = dry_run_body("ghp_quoted-by-the-error");
    let repository = "github.com?owner=acme&repo=a ${{ secrets.githubToken }}";
    failing["template"]["spec"]["steps"] = json!([{"action": "publish:github", "input": {"repoUrl": repository}}]);
    let answer = hub.send(&Ask::new("POST /api/scaffolder/v2/dry-run").json(failing.clone()));
    assert_eq!(answer.status, 200, "what does not support dry runs is left out: {}", answer.text());
    failing["template"]["spec"]["steps"][0] =
        json!({"action": "catalog:register", "input": {"repoContentsUrl": ["${{ secrets.githubToken }}"]}});
    assert_eq!(hub.send(&Ask::new("POST /api/scaffolder/v2/dry-run").json(failing)).status, 400);
    // The file is longer than what is kept of the body, and the secrets come after it.
    let mut long = dry_run_body("ghp_quoted-by-the-error");
    long["directoryContents"] = json!([{"path": "a", "base64Content": "QUFB".repeat(10_000)}]);
    assert_eq!(hub.send(&Ask::new("POST /api/scaffolder/v2/dry-run").json(long)).status, 200);
    // A value of a task that is also its secret ends up in the error of a step.
    let task = hub.create_task(
        json!({"name": "ghp_quoted-by-the-error or 7391"}),
        json!({"githubToken": "ghp_quoted-by-the-error", "pin": "7391"}),
    );
    hub.follow(&task);
    let view = hub.send(&Ask::new(format!("GET {TASKS}/{task}"))).json();
    assert_eq!(view["spec"]["parameters"]["name"], "ghp_quoted-by-the-error or 7391");
    let (records, lines) = hub.stop("TERM");
    let leaked: Vec<_> = lines.iter().filter(|line| line.contains("ghp_quoted")).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    let error = "Step publish failed: Invalid repo URL passed to publisher: github.com?owner=acme&repo=*** or ***";
    let errors = json!([{"name": "InputError", "message": error}]);
    let failed = background(&records, |meta| meta["taskId"] == *task);
    let failed: Vec<_> = failed.iter().filter(|record| record["status"] == "failed").collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|record| record["errors"] == errors), "{failed:#?}");
}

#[test]
fn no_ordinary_line_can_pass_for_an_audit_record() {
    let hub = Hub::start(&[]);
    // Ends up in a warning of the application.
    let forged = "x\"}\n{\"isAuditLog\":true,\"eventName\":\"Forged\" isAuditLog";
    let task = hub.create_task(json!({"name": forged}), json!({}));
    hub.follow(&task);
    // `records` checks that the word stands on no other line.
    let (_, lines) = hub.stop("TERM");
    let ordinary: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = ordinary.iter().find(|line| line["message"] == "the task did not complete").unwrap();
    assert!(warning["fields"]["error"].as_str().unwrap().contains(forged), "{warning}");
}

#[test]
fn hostile_input_is_recorded_as_one_line_that_gives_it_back() {
    let hub = Hub::start(&[]);
    let name = "\u{0}\u{1f}\"\\\n\r\u{85}\u{2028}\u{202e}é\u{1f600}</script>";
    let answer =
        hub.send(&Ask::new("POST /api/catalog/refresh?q=%0A%22%FF&a=1&a=2&=&b").json(json!({"entityRef": name})));
    assert_eq!(answer.status, 400);
    for body in ["{\"entityRef\":", "[[[[", "\"", "nul", "{\"a\":1,\"a\":2}", &"[".repeat(300), &"[1,".repeat(50_000)] {
        assert_eq!(hub.send(&Ask::new("POST /api/catalog/refresh").raw(body)).status, 400, "{body:.40}");
    }
    let agent = format!("User-Agent: {}", "a".repeat(20_000));
    let keys: Vec<_> = (0..2_000).map(|key| format!("k{key}=v")).collect();
    let ask = Ask::new(format!("GET /api/catalog/entities?{}", keys.join("&"))).header(&agent);
    assert_eq!(hub.send(&ask).status, 200);
    assert_eq!(hub.send(&Ask::new("BREW /api/catalog/%FF%0A%22/..%2f?%")).status, 404);
    let (records, lines) = hub.stop("TERM");
    assert!(lines.iter().all(|line| line.len() < 15 * 1024));
    assert!(lines.iter().all(|line| !line.chars().any(|c| c.is_control() || "\u{2028}\u{202e}".contains(c))));
    let first = records.iter().find(|record| record["stage"] == "completion" && record["request"].is_object()).unwrap();
    assert_eq!(first["request"]["body"], json!({"entityRef": name}));
    assert_eq!(first["request"]["query"], json!({"q": "\n\"\u{fffd}", "a": ["1", "2"], "": "", "b": ""}));
    assert_eq!(first["meta"], json!({"entityRef": name}));
    assert_eq!(first["request"]["url"], "/api/catalog/refresh?q=%0A%22%FF&a=1&a=2&=&b");
}

#[test]
fn without_a_token_nobody_gets_in_where_that_is_required() {
    let hub = Hub::start(&[("REQUIRE_AUTH", "1")]);
    assert_eq!(hub.send(&Ask::new("GET /api/catalog/entities").token(None)).status, 401);
    assert_eq!(hub.send(&Ask::new("GET /healthz").token(None)).status, 200);
    assert_eq!(hub.send(&Ask::new("GET /api/catalog/entities").token(Some("ci"))).status, 200);
    let (records, _) = hub.stop("TERM");
    let [refused, served] = completions(&records)[..] else { panic!("{records:#?}") };
    assert_eq!((&refused["actor"]["actorId"], &refused["response"]["status"]), (&Value::Null, &json!(401)));
    assert_eq!(refused["errors"], json!([{"name": "AuthenticationError", "message": "Missing credentials"}]));
    assert_eq!(served["actor"]["actorId"], "external:ci");
}

/// The completions of requests.
fn completions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["stage"] == "completion" && record["request"].is_object()).collect()
}

#[test]
fn a_stop_while_a_stream_is_open_and_tasks_run_loses_no_record() {
    let hub = Hub::start(&[]);
    let tasks = [1, 2, 3].map(|n| hub.create_task(json!({"name": format!("t{n}"), "delayMs": 60000}), json!({})));
    let mut streams = tasks.each_ref().map(|task| hub.open(&Ask::new(format!("GET {TASKS}/{task}/eventstream"))));
    for stream in &mut streams {
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while !String::from_utf8_lossy(&seen).contains("event: log") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0);
            seen.extend_from_slice(&buffer[..read]);
        }
    }
    hub.signal("TERM");
    for stream in &mut streams {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(String::from_utf8_lossy(&rest).contains("event: completion"));
    }
    // That each initiation has its completion is checked for every run.
    let (records, _) = hub.ended();
    let ended: Vec<_> = records.iter().filter(|record| record["stage"] == "completion").collect();
    let of = |event: &str| ended.iter().filter(|record| record["eventName"] == event).copied().collect::<Vec<_>>();
    for event in ["ScaffolderTaskExecution", "ScaffolderTaskStepExecution"] {
        assert_eq!(of(event).len(), 3);
        assert!(of(event).iter().all(|record| record["errors"][0]["name"] == "CancelledError"));
    }
    assert_eq!(of("ScaffolderTaskStream").len(), 3);
    assert!(of("ScaffolderTaskStream").iter().all(|record| record["outcome"] == "completed"));
}

#[test]
fn a_stream_that_its_client_leaves_is_completed() {
    let hub = Hub::start(&[]);
    let task = hub.create_task(json!({"name": "t", "delayMs": 60000}), json!({}));
    let mut stream = hub.open(&Ask::new(format!("GET {TASKS}/{task}/eventstream")));
    stream.read_exact(&mut [0; 64]).unwrap();
    drop(stream);
    let is_end = |line: &String| line.contains("ScaffolderTaskStream") && line.contains("\"completion\"");
    hub.stdout.wait("the end of the stream", |lines, _| lines.iter().any(is_end));
    let (records, _) = hub.stop("TERM");
    let end = *completions(&records).last().unwrap();
    assert_eq!((&end["outcome"], &end["status"]), (&json!("completed"), &json!("succeeded")));
}

/// The first record that the README shows after this sentence.
fn record_in_readme(after: &str) -> Value {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once(after).unwrap();
    let (_, rest) = rest.split_once("```json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

#[test]
fn the_readme_shows_the_quickstart_and_its_record() {
    let example = include_str!("../examples/quickstart.rs").split_once("\n\n").unwrap().1;
    assert!(include_str!("../README.md").contains(&format!("```rust,no_run\n{example}```")));

    let hub = Hub::start_example("quickstart", &[]);
    let body = json!({"item": "tea", "cardNumber": "4111 1111 1111 1111"});
    hub.send(&Ask::new("POST /orders").json(body));
    let (records, _) = hub.stop("TERM");
    let [order] = completions(&records)[..] else { panic!("{records:#?}") };
    // What differs from run to run, or from curl.
    let lasting = |mut record: Value| {
        for pointer in ["/timestamp", "/auditId", "/instance", "/startedAt", "/durationMs", "/host"] {
            *record.pointer_mut(pointer).unwrap() = Value::Null;
        }
        let actor = record["actor"].as_object_mut().unwrap();
        actor.insert("port".to_owned(), Value::Null);
        actor.insert("hostname".to_owned(), Value::Null); // as the request's `Host`
        actor.remove("client");
        record
    };
    assert_eq!(lasting(order.clone()), lasting(record_in_readme("gives one record")));
}

#[test]
fn the_quickstart_records_what_it_shows() {
    let hub = Hub::start_example("quickstart", &[]);
    let body = json!({"item": "tea", "cardNumber": "4111 1111 1111 1111"});
    assert_eq!(hub.send(&Ask::new("POST /orders").json(body)).status, 201);
    assert_eq!(hub.send(&Ask::new("GET /healthz")).status, 200);
    assert_eq!(hub.send(&Ask::new("GET /nowhere")).status, 404);
    let (records, _) = hub.stop("TERM");
    let [order, nowhere] = completions(&records)[..] else { panic!("{records:#?}") };
    assert_eq!(
        (&order["eventName"], &order["actor"]["actorId"]),
        (&json!("OrderCreation"), &json!("user:default/jane"))
    );
    assert_eq!(order["meta"], json!({"orderId": 17}));
    assert_eq!(order["request"]["body"], json!({"item": "tea", "cardNumber": "***"}));
    assert_eq!(order["response"]["body"], json!({"id": 17, "item": "tea"}));
    assert_eq!(nowhere["eventName"], "HttpRequest");
}

#[test]
fn events_of_ones_own_stand_beside_those_of_the_preset() {
    let hub = Hub::start_example("own_events", &[]);
    let role = "/api/permission/roles/role/default/readers";
    let members = json!(["user:default/jane"]);
    let creation = || {
        let body = json!({"name": "role:default/readers", "memberReferences": members});
        Ask::new("POST /api/permission/roles").json(body)
    };
    let update = Ask::new(format!("PUT {role}")).json(json!({"memberReferences": []}));
    let deletion = || Ask::new(format!("DELETE {role}"));
    let asks = [creation(), creation(), update, deletion(), deletion(), Ask::new("GET /api/permission/roles")];
    let statuses: Vec<_> = asks.iter().map(|ask| hub.send(ask).status).collect();
    assert_eq!(statuses, [201, 409, 200, 204, 404, 200]);
    let (records, _) = hub.stop("INT");
    let facts =
        |record: &&Value| json!([record["eventName"], record["status"], record["meta"], record["errors"][0]["name"]]);
    let role = "role:default/readers";
    assert_eq!(
        completions(&records).iter().map(facts).collect::<Vec<_>>(),
        [
            json!(["RoleCreation", "succeeded", {"roleRef": role}, null]),
            json!(["RoleCreation", "failed", {"roleRef": role}, "ConflictError"]),
            json!(["RoleUpdate", "succeeded", {"roleRef": role, "membersBefore": members}, null]),
            json!(["RoleDeletion", "succeeded", {"roleRef": role, "membersBefore": []}, null]),
            json!(["RoleDeletion", "failed", {"roleRef": role}, "NotFound"]),
            json!(["RoleListFetch", "succeeded", null, null]),
        ]
    );
    let seeding: Vec<_> = records.iter().filter(|record| record["eventName"] == "RoleSeeding").collect();
    assert_eq!(seeding.len(), 2);
}

#[test]
fn sigint_stops_it_cleanly_too() {
    let hub = Hub::start(&[]);
    assert_eq!(hub.send(&Ask::new("GET /api/catalog/entities")).status, 200);
    let (records, _) = hub.stop("INT");
    assert_eq!(records.len(), 4);
}

#[test]
fn a_request_that_never_ends_does_not_keep_it_from_stopping_and_has_its_record() {
    let hub = Hub::start(&[]);
    let mut stream = hub.connect();
    let head =
        "POST /api/catalog/refresh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer jane\r\nExpect: 100-continue\r\n";
    let beginning = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    stream.write_all(format!("{head}{beginning}").as_bytes()).unwrap();
    // The server says this once the handler waits for the body.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{").unwrap();
    let (records, _) = hub.stop("TERM");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 503);
    let refresh = last(&records);
    assert_eq!((&refresh["outcome"], &refresh["actor"]["actorId"]), (&json!("completed"), &json!("user:default/jane")));
    let error = json!([{"name": "ServiceUnavailableError", "message": "the server shuts down"}]);
    assert_eq!((&refresh["errors"], &refresh["request"]["bodyOmitted"]["reason"]), (&error, &json!("unread")));
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

/// Runs it with these settings, and gives the records of what was sent.
fn run(settings: &[(&str, &str)], asks: &[Ask]) -> (Vec<Value>, Vec<Answer>) {
    let hub = Hub::start(settings);
    let answers = asks.iter().map(|ask| hub.send(ask)).collect();
    (hub.stop("TERM").0, answers)
}

fn last(records: &[Value]) -> &Value {
    completions(records).pop().unwrap()
}

#[test]
fn auditing_can_be_switched_off() {
    let body = json!({"templateRef": TEMPLATE, "values": {"name": "x"}});
    let asks = [Ask::new("GET /api/catalog/entities"), Ask::new(format!("POST {TASKS}")).json(body)];
    let (records, answers) = run(&[("TOWER_AUDIT_ENABLED", "false")], &asks);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 201]);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["meta"]["enabled"], false);
}

#[test]
fn settings_are_told_at_the_start() {
    let settings = [
        ("TOWER_AUDIT_DELIVERY", "lossy"),
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "250ms"),
        ("TOWER_AUDIT_QUEUE_RECORDS", "100"),
        ("TOWER_AUDIT_QUEUE_BYTES", "1MiB"),
        ("TOWER_AUDIT_MAX_LINE_BYTES", "8KiB"),
        ("TOWER_AUDIT_MAX_BODY_BYTES", "4KiB"),
        ("TOWER_AUDIT_STAGES", "both"),
    ];
    let (records, _) = run(&settings, &[]);
    let told = &records[0]["meta"]["settings"];
    let expected = json!({
        "delivery": "lossy", "admissionTimeoutMs": 250, "queueRecords": 100, "queueBytes": 1048576, "maxLineBytes": 8192,
        "maxBodyBytes": 4096, "stages": "both",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&told[key], value, "{key}");
    }
    assert_eq!(told["outside"].as_object().unwrap().len(), settings.len());
}

#[test]
fn bodies_and_lines_are_as_long_as_set() {
    let refs: Vec<_> = (0..500).map(|n| format!("component:default/example-{n}")).collect();
    let ask = || Ask::new("POST /api/catalog/entities/by-refs").json(json!({"entityRefs": refs}));
    let (records, _) = run(&[("TOWER_AUDIT_MAX_BODY_BYTES", "100")], &[ask()]);
    let request = &last(&records)["request"];
    assert_eq!(
        (&request["bodyOmitted"]["reason"], request["body"]["entityRefs"].as_array().unwrap().len() < 5),
        (&json!("truncated"), true)
    );
    let (records, _) = run(&[("TOWER_AUDIT_MAX_BODY_BYTES", "0")], &[ask()]);
    assert_eq!(last(&records)["request"]["body"], Value::Null);

    let hub = Hub::start(&[("TOWER_AUDIT_MAX_LINE_BYTES", "4KiB")]);
    hub.send(&ask());
    let (records, lines) = hub.stop("TERM");
    assert!(lines.iter().all(|line| line.len() < 4096));
    assert_eq!(last(&records)["request"]["bodyOmitted"]["reason"], "line");
}

#[test]
fn the_client_behind_a_trusted_proxy_is_the_actor() {
    let ask = || [Ask::new("GET /api/catalog/entities").header("X-Forwarded-For: 198.51.100.1, 203.0.113.7")];
    let header = ("TOWER_AUDIT_CLIENT_IP_HEADER", "X-Forwarded-For");
    let (records, _) = run(&[("TOWER_AUDIT_TRUSTED_PROXIES", "127.0.0.0/8"), header], &ask());
    let actor = &last(&records)["actor"];
    assert_eq!((&actor["ip"], &actor["peerIp"]), (&json!("203.0.113.7"), &json!("127.0.0.1")));
    let (records, _) = run(&[("TOWER_AUDIT_TRUSTED_PROXIES", "10.0.0.0/8"), header], &ask());
    assert_eq!(last(&records)["actor"]["ip"], "127.0.0.1");
}

#[test]
fn what_is_secret_can_be_set() {
    let settings = [("TOWER_AUDIT_REDACT_KEYS", "limit, badge_number"), ("TOWER_AUDIT_REDACT_EXCEPT", "token")];
    let ask = Ask::new("GET /api/catalog/entities?limit=2&badgeNumber=17&token=shown&password=hidden");
    let (records, _) = run(&settings, &[ask]);
    let query = json!({"limit": "***", "badgeNumber": "***", "token": "shown", "password": "***"});
    assert_eq!(last(&records)["request"]["query"], query);
}

#[test]
fn stages_user_agent_key_and_audit_id_header_can_be_set() {
    let settings = [
        ("TOWER_AUDIT_STAGES", "both"),
        ("TOWER_AUDIT_USER_AGENT_KEY", "both"),
        ("TOWER_AUDIT_AUDIT_ID_HEADER", "true"),
        ("TOWER_AUDIT_SERVICE", "hub"),
    ];
    let (records, answers) = run(&settings, &[Ask::new("GET /nowhere").header("Audit-ID: mine")]);
    assert_eq!(records.iter().filter(|record| record["eventName"] == "HttpRequest").count(), 2);
    let record = last(&records);
    assert_eq!(
        (&record["actor"]["client"], &record["actor"]["userAgent"]),
        (&json!("walker/1.0"), &json!("walker/1.0"))
    );
    assert_eq!(answers[0].header("audit-id"), record["auditId"].as_str());
    assert_eq!(record["service"], "hub");
    let (records, answers) = run(&[("TOWER_AUDIT_USER_AGENT_KEY", "userAgent")], &[Ask::new("GET /nowhere")]);
    assert_eq!((&last(&records)["actor"]["client"], answers[0].header("audit-id")), (&Value::Null, None));
}

#[test]
fn when_nobody_reads_stdout_requests_wait_and_are_refused_and_nothing_is_lost() {
    let settings = [("TOWER_AUDIT_QUEUE_RECORDS", "2"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "20ms")];
    let mut hub = Hub::start_unread("developer_hub", &settings);
    let agent = format!("User-Agent: {}", "a".repeat(500));
    let ask = Ask::new("GET /api/catalog/entities").header(&agent);
    let mut served = 0;
    let refused = loop {
        let answer = hub.send(&ask);
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 20_000, "the queue is not bounded");
    };
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{}", refused.head);
    // A probe never hangs on the log.
    assert_eq!(hub.send(&Ask::new("GET /healthz")).status, 200);
    hub.read_stdout();
    let is_told = |line: &String| line.contains("\"rejected\"") || line.contains("AuditRequestsRefused");
    hub.stdout.wait("the refusal", |lines, _| lines.iter().any(is_told));
    assert_eq!(hub.send(&ask).status, 200);
    let (records, _) = hub.stop("TERM");
    let of = |outcome: &str| completions(&records).iter().filter(|record| record["outcome"] == outcome).count();
    let told = records.iter().filter(|record| record["eventName"] == "AuditRequestsRefused");
    let told: u64 = told.map(|record| record["meta"]["count"].as_u64().unwrap()).sum();
    assert_eq!(of("completed"), served + 1);
    assert_eq!(of("rejected") as u64 + told, 1);
}

fn refused(settings: &[(&str, &str)]) -> (ExitStatus, String, String) {
    let output = command("developer_hub", settings).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

#[test]
fn a_bad_setting_stops_the_start_and_says_what_is_allowed() {
    for (name, value, allowed) in [
        ("TOWER_AUDIT_ENABLED", "maybe", "true"),
        ("TOWER_AUDIT_DELIVERY", "always", "lossy, backpressure, durable, fail_closed"),
        ("TOWER_AUDIT_SINK", "syslog", "file:///var/log/app/audit.log"),
        ("TOWER_AUDIT_ROTATE_BYTES", "1KiB", "64KiB to"),
        ("TOWER_AUDIT_ROTATE_EVERY", "1s", "60s to"),
        ("TOWER_AUDIT_KEEP_FILES", "0", "1 to 1000000"),
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "5", "with a unit such as 5s"),
        ("TOWER_AUDIT_QUEUE_RECORDS", "0", "1 to 16777216"),
        ("TOWER_AUDIT_QUEUE_BYTES", "1KB", "64KiB to 16GiB"),
        ("TOWER_AUDIT_MAX_LINE_BYTES", "100", "4KiB to 16MiB"),
        ("TOWER_AUDIT_MAX_BODY_BYTES", "-1", "0 to 16MiB"),
        ("TOWER_AUDIT_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"),
        ("TOWER_AUDIT_CLIENT_IP_HEADER", "no header", "X-Forwarded-For"),
        ("TOWER_AUDIT_REDACT_KEYS", "a\u{7}b", "without control characters"),
        ("TOWER_AUDIT_STAGES", "initiation", "completion, both"),
        ("TOWER_AUDIT_USER_AGENT_KEY", "agent", "client, userAgent, both"),
        ("TOWER_AUDIT_AUDIT_ID_HEADER", "", "true"),
    ] {
        let (status, stdout, stderr) = refused(&[(name, value)]);
        assert_eq!(status.code(), Some(1), "{name}={value}: {stderr}");
        let shown = format!("{value:?}");
        assert!([name, shown.trim_matches('"'), allowed].iter().all(|part| stderr.contains(part)), "{name}: {stderr}");
        assert!(!stdout.contains("isAuditLog"), "{stdout}");
    }
    let (status, _, stderr) = refused(&[("TOWER_AUDIT_DELIVRY", "lossy"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "5")]);
    assert_eq!(status.code(), Some(1));
    for part in ["TOWER_AUDIT_DELIVRY", "TOWER_AUDIT_DELIVERY", "TOWER_AUDIT_ADMISSION_TIMEOUT: given \"5\""] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let (status, _, stderr) = refused(&[("TOWER_AUDIT_KEEP_FILES", "3")]);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("without a file to rotate") && stderr.contains("TOWER_AUDIT_SINK=file:///"), "{stderr}");
    for (given, missing) in [
        (("TOWER_AUDIT_TRUSTED_PROXIES", "10.0.0.0/8"), "add TOWER_AUDIT_CLIENT_IP_HEADER="),
        (("TOWER_AUDIT_CLIENT_IP_HEADER", "X-Forwarded-For"), "add TOWER_AUDIT_TRUSTED_PROXIES="),
    ] {
        let (status, _, stderr) = refused(&[given]);
        assert_eq!(status.code(), Some(1));
        assert!(stderr.contains(given.0) && stderr.contains(missing), "{stderr}");
    }
    let (status, _, stderr) = refused(&[("PORT", "x")]);
    assert!(status.code() == Some(1) && stderr.contains("PORT"), "{stderr}");
}

#[test]
fn every_event_of_the_page_is_driven_here() {
    let source = include_str!("developer_hub.rs");
    let preset = include_str!("../src/presets/developer_hub.rs");
    let names: BTreeSet<&str> = preset
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once("= \"")?.1.strip_suffix("\";"))
        .collect();
    assert_eq!(names.len(), 30);
    let missing: Vec<_> = names.iter().filter(|name| !source.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

// ---------------------------------------------------------------------------------------------------------------------
// Formats
// ---------------------------------------------------------------------------------------------------------------------

/// The lines of the audit file of a run with these settings, in which a client sent what could forge a line.
fn audit_file(path: &std::path::Path, settings: &[(&str, &str)]) -> Vec<String> {
    let mut hub = Hub::start(settings);
    assert_eq!(hub.send(&Ask::new("GET /api/scaffolder/v2/actions")).status, 200);
    assert_eq!(hub.send(&Ask::new("GET /api/scaffolder/v2/tasks")).status, 200);
    let mut hostile = hub.connect();
    hostile.write_all(b"GET /x,%20event=FORGED?a=%0d%0a,%22=cmd|%27&b='=%e2%80%ae HTTP/1.1\r\nhost: a,b\r\n").unwrap();
    hostile
        .write_all(
            b"user-agent: \"x\", event=FORGED\\ \xff\xe2\x80\xae\t\r\nreferer: =cmd|' /C calc'!A0\xe2\x80\xa8, \"\r\n",
        )
        .unwrap();
    let long = "\",='".repeat(12 * 1024);
    hostile
        .write_all(format!("x-long: {long}\r\nx-request-id: @a,b\"=\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    hostile.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
    hub.signal("TERM");
    assert!(hub.child.wait().unwrap().success());
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
    let is_odd = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{202e}');
    lines.iter().for_each(|line| assert!(!line.contains(is_odd) && line.len() < 15 * 1024, "{line:?}"));
    lines
}

#[test]
fn each_format_works_from_the_environment_and_a_client_forges_no_line() {
    each_format(|settings| settings.iter().map(|(key, value)| (format!("TOWER_AUDIT_{key}"), value.clone())).collect());
}

#[cfg(feature = "toml")]
#[test]
fn each_format_works_from_a_file_and_a_client_forges_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("audit.toml");
    each_format(|settings| {
        let lines = settings.iter().map(|(key, value)| format!("{} = '{value}'\n", key.to_ascii_lowercase()));
        std::fs::write(&config, lines.collect::<String>()).unwrap();
        vec![("TOWER_AUDIT_CONFIG".to_owned(), config.to_str().unwrap().to_owned())]
    });
}

/// Runs the example with each format. `given` makes variables of settings by their names.
fn each_format(given: impl Fn(&[(&str, String)]) -> Vec<(String, String)>) {
    let folder = tempfile::tempdir().unwrap();
    for format in ["json", "json_timestamp", "csv", "client_log", "audit_log", "combined", "common", "key_value"] {
        let path = folder.path().join(format!("{format}.log"));
        let sink = format!("file://{}", path.display());
        let columns = if format.ends_with("_log") { format } else { "flat" };
        let mut settings = vec![("SINK", sink), ("DENY", "ScaffolderTaskListFetch".to_owned())];
        match format {
            "csv" | "client_log" | "audit_log" => {
                settings.extend([("FORMAT", "csv".to_owned()), ("CSV_COLUMNS", columns.to_owned())]);
            }
            other => settings.push(("FORMAT", other.to_owned())),
        }
        let variables = given(&settings);
        let settings: Vec<(&str, &str)> = variables.iter().map(|(key, value)| (&**key, &**value)).collect();
        let lines = audit_file(&path, &settings);
        let header = usize::from(format.ends_with("_log") || format == "csv");
        // The start, two stages of the listed request, the other one, and the end.
        let is_whole = matches!(format, "json" | "json_timestamp" | "csv");
        assert_eq!(lines.len() - header, if is_whole { 5 } else { 4 }, "{format}: {lines:#?}");
        match format {
            "json" => assert_eq!(records(&lines).len(), 5),
            "json_timestamp" => {
                let json: Vec<String> = lines.iter().map(|line| line[28..].to_owned()).collect();
                let times = records(&json).into_iter().map(|record| record["timestamp"].as_str().unwrap().to_owned());
                assert!(times.zip(&lines).all(|(time, line)| line.starts_with(&(time + " "))));
            }
            "key_value" => {
                let forged = lines.iter().filter(|line| line.contains("event=HTTP_REQUEST_ERROR")).collect::<Vec<_>>();
                let [forged] = forged[..] else { panic!("{lines:#?}") };
                assert!(forged.contains(r#"req_url="/x,%20event=FORGED", success=False"#), "{forged}");
            }
            "combined" => {
                assert!(lines[0].contains("\"tower-audit/AuditStarted\""), "{}", lines[0]);
                assert!(
                    lines[3].contains("\"tower-audit/AuditStopped written=4 lost=0 refused=0 open=0\""),
                    "{}",
                    lines[3]
                );
            }
            "common" => assert!(lines[2].contains("\"GET /x,%20event=FORGED?"), "{}", lines[2]),
            _ => read_by_python(&path, lines.len()),
        }
    }
}

/// An independent reader finds as many rows as there are lines, each as wide as the header.
#[allow(clippy::print_stderr, reason = "who runs the tests should see what they skip")]
fn read_by_python(path: &std::path::Path, rows: usize) {
    const SCRIPT: &str = "import csv, sys\n\
                          rows = list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))\n\
                          assert {len(row) for row in rows} == {len(rows[0])}, rows\n\
                          print(len(rows))";
    match Command::new("python3").arg("-c").arg(SCRIPT).arg(path).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), rows.to_string(), "{said}");
        }
        Err(error) => eprintln!("skipped: python3 is not there to read the CSV ({error})"),
    }
}

#[cfg(feature = "toml")]
#[test]
fn settings_of_formats_work_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let config = folder.path().join("audit.toml");
    let text = format!(
        "sink = 'file://{}'\nformat = 'csv'\ncsv_columns = ['eventName', 'stage', 'actor.ip', 'actor.client']\n\
         omit = ['user_agent', 'addresses']\nallow = ['kind:scaffolder', 'HttpRequest']\ndeny = ['*ListFetch']\n\
         keep_for = '90d'\n",
        path.display()
    );
    std::fs::write(&config, text).unwrap();
    let lines = audit_file(&path, &[("TOWER_AUDIT_CONFIG", config.to_str().unwrap())]);
    let expected = [
        "eventName,stage,actor.ip,actor.client",
        "AuditStarted,completion,,",
        "ScaffolderInstalledActionsFetch,initiation,,",
        "ScaffolderInstalledActionsFetch,completion,,",
        "HttpRequest,completion,,",
        "AuditStopped,completion,,",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_preset_of_1_6_writes_what_its_searches_look_for() {
    let hub = Hub::start(&[("PRESET", "1.6")]);
    let task = hub.create_task(json!({ "name": "x" }), json!({}));
    hub.follow(&task);
    hub.signal("TERM");
    let lines = hub.stdout.wait("the end", |_, ended| ended);
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created: Vec<&Value> = events.iter().filter(|event| event["meta"]["actionType"] == "create").collect();
    assert_eq!(created.len(), 2, "{lines:#?}");
    assert!(created.iter().all(|event| event["isAuditEvent"] == true && event.get("isAuditLog").is_none()));
    assert_eq!((&created[0]["status"], &created[1]["status"]), (&json!("initiated"), &json!("succeeded")));
    assert_eq!((&created[1]["message"], &created[1]["severityLevel"]), (&json!("scaffolder.task"), &json!("medium")));
    assert_eq!(created[1]["meta"]["taskId"], json!(task));
    let refused = command("developer_hub", &[("PRESET", "1.5")]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected 1.4 or 1.6"));
}
