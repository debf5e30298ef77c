//! The small examples, started as their users start them: what each one records, whole.
#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use common::check;
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example, which `cargo test` builds beside the tests, and `cargo test --test examples` does not.
fn command(example: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let binary: PathBuf =
        test.parent().unwrap().parent().expect("tests are in target/PROFILE/deps").join("examples").join(example);
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples --all-features` first", binary.display());
    let mut command = Command::new(binary);
    // Nothing of the developer's own environment decides about a test.
    command.env_clear().env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server that runs.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(example: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = command(example).envs(settings.iter().copied()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening on http://") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{example} did not start");
        }
        // Whatever it logs after that must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    /// Sends a request, and gives the answer's head and body.
    fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> (String, Vec<u8>) {
        let mut request = format!("{head} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let at = memchr::memmem::find(&answer, b"\r\n\r\n").expect("an answer has a head");
        (String::from_utf8(answer[..at].to_vec()).unwrap(), answer[at + 4..].to_vec())
    }

    /// Stops it as an operator does, and gives what it has recorded.
    fn stop(mut self) -> Vec<Value> {
        let kill = format!("kill -s TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        recorded(&text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failed assertion is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The records of a run that ended well, checked, without what no test can know.
fn recorded(text: &str) -> Vec<Value> {
    let mut records = check::lines(text);
    let stopped = records.pop().unwrap();
    assert_eq!((&stopped["eventName"], &stopped["meta"]["lost"]), (&json!("AuditStopped"), &json!(0)));
    assert_eq!(records.remove(0)["eventName"], "AuditStarted");
    without_what_differs(&mut records);
    records
}

/// Removes what is another in each run.
fn without_what_differs(records: &mut [Value]) {
    for record in records {
        let members = record.as_object_mut().unwrap();
        for key in
            ["timestamp", "auditId", "instance", "seq", "startedAt", "durationMs", "host", "isAuditLog", "schema"]
        {
            members.remove(key);
        }
        if let Some(actor) = members["actor"].as_object_mut() {
            actor.remove("port");
        }
    }
}

fn with(base: &Value, patch: Value) -> Value {
    common::expected::with(base.clone(), patch)
}

#[test]
fn the_axum_stack_records_what_its_guide_says() {
    let proxies = [("TOWER_AUDIT_TRUSTED_PROXIES", "127.0.0.0/8"), ("TOWER_AUDIT_CLIENT_IP_HEADER", "X-Forwarded-For")];
    let server = Server::start("axum_stack", &proxies);
    let id = |number| ("x-request-id", number);
    let (head, token) = server.ask("POST /login", &[id("1")], r#"{"user":"jane","password":"correct horse"}"#);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-request-id: 1"), "{head}");
    let bearer = format!("Bearer {}", String::from_utf8(token).unwrap());
    let key = ("authorization", &*bearer);
    let status = |head: &str, headers: &[(&str, &str)], body: &str| {
        let (head, _) = server.ask(head, headers, body);
        head.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(status("POST /login", &[id("2")], r#"{"user":"jane","password":"wrong"}"#), 401);
    assert_eq!(
        status("POST /api/orders", &[id("3"), key], r#"{"item":"tea","cardNumber":"4111 1111 1111 1111"}"#),
        201
    );
    assert_eq!(status("POST /api/orders", &[id("4"), key], r#"{"amount":1}"#), 422);
    let forwarded = ("x-forwarded-for", "203.0.113.7");
    let (head, body) = server.ask("GET /api/orders/17", &[id("5"), key, forwarded, ("accept-encoding", "gzip")], "");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(!body.starts_with(b"{"), "it is compressed");
    assert_eq!(status("GET /api/orders/99", &[id("6"), key], ""), 404);
    assert_eq!(status("GET /api/orders/13", &[id("7"), key], ""), 500);
    assert_eq!(status("POST /api/orders/17/export", &[id("8"), key], ""), 504);
    assert_eq!(status("GET /api/orders/17", &[id("9")], ""), 401);
    assert_eq!(status("GET /api/orders/17", &[id("10"), ("authorization", "Bearer nonsense")], ""), 401);
    let preflight = [id("11"), ("origin", "https://shop.example"), ("access-control-request-method", "GET")];
    assert_eq!(status("OPTIONS /api/orders/17", &preflight, ""), 200);
    assert_eq!(status("GET /nowhere", &[id("12")], ""), 404);
    assert_eq!(status("GET /healthz", &[id("13")], ""), 200);
    // A request id of the server's own.
    let (head, _) = server.ask("GET /nowhere", &[], "");
    assert!(head.contains("x-request-id: "), "{head}");

    let mut records = server.stop();
    let own_id = records.last_mut().unwrap().as_object_mut().unwrap().remove("requestId").unwrap();
    assert!(uuid::Uuid::parse_str(own_id.as_str().unwrap()).is_ok(), "{own_id}");

    let login = json!({ "eventName": "Login", "request": { "method": "POST", "url": "/login", "route": "/login" } });
    let creation = json!({ "eventName": "OrderCreation", "request": { "method": "POST", "url": "/api/orders", "route": "/api/orders" } });
    let fetch = |order: &str| {
        let url = format!("/api/orders/{order}");
        let request = json!({ "url": url, "route": "/api/orders/{orderId}", "params": { "orderId": order } });
        json!({ "eventName": "OrderFetch", "meta": { "orderId": order }, "request": request })
    };
    let export = json!({
        "eventName": "OrderExport",
        "request": {
            "method": "POST", "url": "/api/orders/17/export", "route": "/api/orders/{orderId}/export", "params": { "orderId": "17" },
        },
    });
    let preflight = json!({ "request": { "method": "OPTIONS", "url": "/api/orders/17", "route": "/api/orders/{orderId}", "params": { "orderId": "17" } } });
    let nowhere = json!({ "request": { "url": "/nowhere" } });

    let jane = json!({ "actor": { "actorId": "user:default/jane", "kind": "user" } });
    let by_token = with(&jane, json!({ "actor": { "credential": { "kind": "jwt", "id": "token-7" } } }));
    let claimed = json!({ "actor": { "claimed": "jane", "verified": false } });
    let forwarded = with(&by_token, json!({ "actor": { "ip": "203.0.113.7", "peerIp": "127.0.0.1" } }));
    let nobody = json!({});

    let order = json!({ "meta": { "orderId": 17 }, "object": { "kind": "order", "id": "17" }, "request": { "body": { "item": "tea", "cardNumber": "***" } } });
    let logged_in = json!({ "request": { "body": { "user": "jane", "password": "***" } } });
    let no_item = json!({ "request": { "body": { "amount": 1 } } });
    let bad_luck = json!({ "level": "error", "outcome": "panicked", "response": null });
    let too_late = json!({ "level": "error" });
    // What was asked by whom, and with which answer; the error's name and text; and what else the record shows.
    let expected = [
        ("1", &login, &jane, 200, bearer.len() - 7, None, logged_in),
        ("2", &login, &claimed, 401, 14, Some(("ShopError", "wrong password")), json!({})),
        ("3", &creation, &by_token, 201, 22, None, order),
        ("4", &creation, &by_token, 422, 22, Some(("ShopError", "an order needs an item")), no_item),
        ("5", &fetch("17"), &forwarded, 200, 67, None, json!({})),
        ("6", &fetch("99"), &by_token, 404, 23, Some(("ShopError", "order 99 does not exist")), json!({})),
        ("7", &fetch("13"), &by_token, 500, 0, Some(("Panicked", "the handler panicked")), bad_luck),
        ("8", &export, &by_token, 504, 0, Some(("GatewayTimeout", "504 Gateway Timeout")), too_late),
        ("9", &fetch("17"), &nobody, 401, 17, Some(("ShopError", "no token was sent")), json!({})),
        ("10", &fetch("17"), &nobody, 401, 22, Some(("ShopError", "the token is not valid")), json!({})),
        ("11", &preflight, &nobody, 200, 0, None, json!({})),
        ("12", &nowhere, &nobody, 404, 0, Some(("NotFound", "404 Not Found")), json!({})),
        ("", &nowhere, &nobody, 404, 0, Some(("NotFound", "404 Not Found")), json!({})),
    ];
    let expected = expected.map(|(id, asked, actor, status, bytes, error, more)| {
        let base = json!({
            "level": "info", "logType": "audit", "eventName": "HttpRequest", "stage": "completion", "status": "succeeded", "outcome": "completed",
            "requestId": id, "actor": { "actorId": null, "ip": "127.0.0.1", "hostname": "shop.example" },
            "response": { "status": status, "bytes": bytes }, "request": { "method": "GET", "protocol": "HTTP/1.1" },
        });
        let failure = |(name, message): (&str, &str)| {
            json!({ "level": "warn", "status": "failed", "errors": [{ "name": name, "message": message }] })
        };
        let failure = error.map_or_else(|| json!({}), failure);
        let mut record = [asked, actor, &failure, &more].into_iter().fold(base, |record, patch| with(&record, patch.clone()));
        if id.is_empty() {
            record.as_object_mut().unwrap().remove("requestId");
        }
        record
    });
    let stacks: Vec<_> = records
        .iter_mut()
        .map(|record| record.pointer_mut("/errors/0").and_then(|error| error.as_object_mut()?.remove("stack")))
        .collect();
    assert!(stacks[9].as_ref().is_some_and(|stack| stack.to_string().contains("InvalidToken")), "{stacks:?}");
    for record in &mut records {
        // The sentence follows from the rest, and has tests of its own.
        assert!(record.as_object_mut().unwrap().remove("message").is_some());
    }
    assert_eq!(records.len(), expected.len());
    for (record, expected) in records.iter().zip(&expected) {
        assert_eq!(record, expected);
    }
}

/// From the environment, and from a file.
#[test]
fn reads_are_recorded_as_the_operator_says() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "reads = \"skip\"\n").unwrap();
    let by_file = ("TOWER_AUDIT_CONFIG", file.path().to_str().unwrap());
    let debug = ("TOWER_AUDIT_READS", "debug");
    // A login, a fetch that succeeds, and one of nothing.
    let cases = [
        (vec![], vec!["info", "info", "warn"]),
        (vec![debug], vec!["info", "debug", "warn"]),
        (vec![by_file], vec!["info"]),
        (vec![by_file, debug], vec!["info", "debug", "warn"]),
    ];
    for (settings, levels) in cases {
        let server = Server::start("axum_stack", &settings);
        let (_, token) = server.ask("POST /login", &[], r#"{"user":"jane","password":"correct horse"}"#);
        let bearer = format!("Bearer {}", String::from_utf8(token).unwrap());
        server.ask("GET /api/orders/17", &[("authorization", &bearer)], "");
        server.ask("GET /nowhere", &[], "");
        let recorded: Vec<_> =
            server.stop().iter().map(|record| record["level"].as_str().unwrap().to_owned()).collect();
        assert_eq!(recorded, levels, "{settings:?}");
    }
}

/// A setting is named as it was given: a variable as a variable, a key of the file as a key of the file.
#[test]
fn settings_that_do_not_fit_together_are_named_as_they_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.toml");
    std::fs::write(&file, "queue_bytes = '64KiB'\ntrusted_proxies = ['10.0.0.0/8']\nkeep_files = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let refused = |settings: &[(&str, &str)]| {
        let output = command("axum_stack").envs(settings.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&[("TOWER_AUDIT_CONFIG", file), ("TOWER_AUDIT_MAX_BODY_BYTES", "1MiB")]);
    for line in [
        &format!("\"queue_bytes\" in {file}: 65536 is too little"),
        "4 × TOWER_AUDIT_MAX_BODY_BYTES (4 × 1048576)",
        &format!("\"trusted_proxies\" in {file}: given without the header"),
        "add client_ip_header = \"X-Forwarded-For\", Forwarded or X-Real-IP",
        &format!(
            "\"keep_files\" in {file}: given without a file to rotate; allowed with sink = \"file:///folder/audit.log\""
        ),
    ] {
        assert!(said.contains(line), "{said}\nexpected: {line}");
    }
    let log = folder.path().join("missing/audit.log");
    let url = format!("file://{}", log.display());
    let said = refused(&[
        ("TOWER_AUDIT_SINK", &url),
        ("TOWER_AUDIT_QUEUE_BYTES", "64KiB"),
        ("TOWER_AUDIT_MAX_BODY_BYTES", "1MiB"),
    ]);
    assert!(said.contains("TOWER_AUDIT_QUEUE_BYTES: 65536 is too little"), "{said}");
    assert!(said.contains(&format!("TOWER_AUDIT_SINK: audit file {}: the folder", log.display())), "{said}");
    let said = refused(&[("TOWER_AUDIT_REDACT_KEYS", "badge,7")]);
    assert!(said.contains("TOWER_AUDIT_REDACT_KEYS: given \"7\", allowed: phrases"), "{said}");
}

/// The README is what a newcomer has: its snippet is the example, and its request gives the record that it shows.
#[test]
fn the_quick_start_of_the_readme_gives_the_record_of_the_readme() {
    let readme = include_str!("../README.md");
    let snippet = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example = include_str!("../examples/quickstart.rs");
    let code = &example[example.find("use std::").unwrap()..];
    assert_eq!(snippet, code, "examples/quickstart.rs is the README's");

    let after = readme.split_once("That is `examples/quickstart.rs`.").unwrap().1;
    let body = after.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let record = after.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut promised = vec![serde_json::from_str::<Value>(record).unwrap()];
    without_what_differs(&mut promised);

    let server = Server::start("quickstart", &[]);
    let (head, _) = server.ask("POST /orders", &[("user-agent", "curl/7.88.1")], body);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    // `curl` names the host that it was given.
    promised[0]["actor"]["hostname"] = json!("shop.example");
    assert_eq!(server.stop(), promised);
}

#[test]
fn the_hyper_server_records_its_requests() {
    let server = Server::start("hyper_server", &[]);
    server.ask("POST /tasks/7", &[], r#"{"name":"demo","password":"hunter22"}"#);
    server.ask("GET /nowhere", &[], "");
    let jane = json!({ "actorId": "user:default/jane", "kind": "user", "ip": "127.0.0.1", "hostname": "shop.example" });
    let task = json!({
        "level": "info", "logType": "audit", "eventName": "TaskUpdate", "stage": "completion", "status": "succeeded", "outcome": "completed",
        "message": "TaskUpdate by user:default/jane succeeded", "actor": jane, "response": { "status": 200, "bytes": 13 },
        "request": {
            "method": "POST", "url": "/tasks/7", "route": "/tasks/{taskId}", "protocol": "HTTP/1.1",
            "params": { "taskId": "7" }, "body": { "name": "demo", "password": "***" },
        },
    });
    let other = json!({
        "level": "info", "logType": "audit", "eventName": "HttpRequest", "stage": "completion", "status": "succeeded", "outcome": "completed",
        "message": "GET /nowhere by user:default/jane succeeded", "actor": jane, "response": { "status": 200, "bytes": 12 },
        "request": { "method": "GET", "url": "/nowhere", "protocol": "HTTP/1.1" },
    });
    assert_eq!(server.stop(), [task, other]);
}

#[test]
fn the_worker_records_its_jobs() {
    let output = command("worker").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "stock: the store has no table stock\n");
    let records = recorded(&String::from_utf8(output.stdout).unwrap());
    let record = |event: &str, report: &str, stage: &str, patch: Value| {
        let result = if stage == "initiation" { "initiated" } else { "succeeded" };
        let base = json!({
            "level": "info", "logType": "audit", "eventName": event, "stage": stage, "status": "succeeded",
            "message": format!("{event} by service:reports {result}"), "service": "reports",
            "actor": { "actorId": "service:reports", "kind": "service" }, "object": { "kind": "report", "id": report },
        });
        let base = if stage == "completion" { with(&base, json!({ "outcome": "completed" })) } else { base };
        with(&base, patch)
    };
    let no_table = json!({
        "level": "error", "status": "failed", "outcome": "handler_error", "message": "ReportRun by service:reports failed",
        "errors": [{ "name": "ReportError", "message": "the store has no table stock" }],
    });
    assert_eq!(
        records,
        [
            record("ReportRun", "sales", "initiation", json!({})),
            record("ReportRun", "sales", "completion", json!({ "meta": { "rows": 1024 } })),
            record("ReportRun", "stock", "initiation", json!({})),
            record("ReportRun", "stock", "completion", no_table),
            record("ReportSkip", "future", "completion", json!({})),
            record("ReportRun", "empty", "initiation", json!({})),
            record("ReportRun", "empty", "completion", json!({ "meta": { "rows": 0 } })),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tonic_server_records_its_calls() {
    let server = Server::start("tonic_server", &[]);
    let channel =
        tonic::transport::Endpoint::new(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    let mut answers = Vec::new();
    for name in ["jane", "ghost"] {
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/example.Greeter/Greet");
        let answer = client.unary(tonic::Request::new(Bytes::from(name)), path, common::net::RawCodec).await;
        answers.push(answer.map(tonic::Response::into_inner).map_err(|status| status.code()));
    }
    assert_eq!(answers, [Ok(Bytes::from("hello jane")), Err(tonic::Code::NotFound)]);
    drop(client);
    let mut records = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    for record in &mut records {
        let actor = record["actor"].as_object_mut().unwrap();
        assert!(actor.remove("client").unwrap().as_str().unwrap().starts_with("tonic/"));
    }
    let call = json!({
        "level": "info", "logType": "audit", "eventName": "Greeting", "stage": "completion", "status": "succeeded", "outcome": "completed",
        "message": "Greeting by service:caller succeeded",
        "actor": { "actorId": "service:caller", "kind": "service", "ip": "127.0.0.1", "hostname": "127.0.0.1" },
        "object": { "kind": "person", "id": "jane" },
        "response": { "status": 200, "bytes": 15 },
        "request": {
            "method": "POST", "url": "/example.Greeter/Greet", "route": "/example.Greeter/Greet", "protocol": "HTTP/2",
            "bodyOmitted": { "reason": "binary", "contentType": "application/grpc", "bytes": 9 },
        },
    });
    let mut ghost = with(
        &call,
        json!({
            "level": "warn", "status": "failed", "message": "Greeting by service:caller failed",
            "errors": [{ "name": "NOT_FOUND", "message": "nobody has this name" }],
            "response": { "bytes": 0 }, "request": { "bodyOmitted": { "bytes": 10 } },
        }),
    );
    ghost.as_object_mut().unwrap().remove("object");
    assert_eq!(records, [call, ghost]);
}
