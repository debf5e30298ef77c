//! Programs that others wrote read what the formats write: DuckDB the CSV and the JSON, GoAccess the access log.
//!
//! `DUCKDB` and `GOACCESS` name the programs, or else they are looked for in the `PATH`; without them the tests are skipped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "who runs the tests should see what they skip")]

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_audit::format::{Columns, Format, combined, csv, json};
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, RequestBody};

/// User agents that a reader could take for something else.
const AGENTS: [&str; 9] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "=1+1",
    "a;=1+1",
    "a;\"=1+1\",b",
    "'a, \"b\", \"\"",
    "tower-audit/AuditRecordsLost count=9",
    "a\\b\\",
    "é €",
    "-",
];

/// The program, if it is there.
fn program(variable: &str, name: &str) -> Option<OsString> {
    let named = std::env::var_os(variable);
    let is_there = || Command::new(name).arg("--version").output().is_ok();
    let found = named.or_else(|| is_there().then(|| name.into()));
    if found.is_none() {
        eprintln!("SKIPPED: {variable} does not name {name}, and there is none in the PATH");
    }
    found
}

/// Writes the log of a request for each user agent in each format, without the first and the last record, which are the library's.
fn write(formats: Vec<(Box<dyn Format>, &Path)>) {
    let mut written = Vec::new();
    let mut builder = Auditor::builder();
    for (format, path) in formats {
        let (lines, kept) = sink::memory();
        let headers = usize::from(format.header().is_some());
        written.push((kept, path, headers));
        builder = builder.sink(Output::new(lines).format(format));
    }
    let auditor = builder.build().unwrap();
    let service = auditor.layer().layer(service_fn(async |_: Request<RequestBody<Body>>| {
        Ok::<_, Infallible>(Response::new(Body::from("a body")))
    }));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for (at, agent) in AGENTS.into_iter().enumerate() {
            let request = Request::get(format!("/a/{at}?b=%22;=c,d")).header("user-agent", agent.as_bytes());
            let mut request = request.body(Body::empty()).unwrap();
            request
                .extensions_mut()
                .insert(axum::extract::ConnectInfo("192.0.2.7:4711".parse::<std::net::SocketAddr>().unwrap()));
            let response = service.clone().oneshot(request).await.unwrap();
            axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        }
        assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
    });
    for (kept, path, headers) in written {
        let mut lines = kept.lines();
        lines.remove(headers);
        lines.pop();
        assert_eq!(lines.len(), headers + AGENTS.len());
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn duckdb_reads_the_same_from_csv_and_from_json() {
    let Some(duckdb) = program("DUCKDB", "duckdb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let [rows, lines] = ["audit.csv", "audit.json"].map(|name| folder.path().join(name));
    write(vec![(Box::new(csv(Columns::flat())), &rows), (Box::new(json()), &lines)]);
    let ask = |select: &str| -> Vec<Value> {
        let said = output(Command::new(&duckdb).args(["-json", "-c", select]).current_dir(folder.path()));
        serde_json::from_slice(&said).unwrap()
    };
    let of_csv =
        ask("SELECT seq, \"actor.client\" AS client, \"request.url\" AS url, \"response.bytes\" AS bytes, auditId \
         FROM read_csv('audit.csv', header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"') \
         ORDER BY seq::INTEGER");
    let of_json = ask("SELECT seq, actor.client, request.url, response.bytes, auditId \
         FROM read_json('audit.json', format = 'newline_delimited', columns = {seq: 'VARCHAR', auditId: 'VARCHAR', \
         actor: 'STRUCT(client VARCHAR)', request: 'STRUCT(url VARCHAR)', response: 'STRUCT(bytes VARCHAR)'}) \
         ORDER BY seq::INTEGER");
    // A cell of text, as the guide says how to read one.
    let text = |cell: &Value| {
        let cell = cell.as_str().unwrap();
        let cell = cell.strip_prefix('\'').unwrap_or(cell).replace('"', "\\\"");
        serde_json::from_str::<Value>(&format!("\"{cell}\"")).unwrap()
    };
    let read = of_csv.iter().map(|row| {
        let [client, url] = ["client", "url"].map(|name| text(&row[name]));
        json!({ "seq": row["seq"], "client": client, "url": url, "bytes": row["bytes"], "auditId": row["auditId"] })
    });
    assert_eq!(read.collect::<Vec<_>>(), of_json);
    let clients: Vec<&Value> = of_json.iter().map(|row| &row["client"]).collect();
    assert_eq!(clients, AGENTS.map(|agent| json!(agent)).iter().collect::<Vec<_>>());
}

#[test]
fn goaccess_reads_each_line_of_an_access_log() {
    let Some(goaccess) = program("GOACCESS", "goaccess") else { return };
    let folder = tempfile::tempdir().unwrap();
    let [log, report] = ["access.log", "report.json"].map(|name| folder.path().join(name));
    write(vec![(Box::new(combined()), &log)]);
    let mut command = Command::new(goaccess);
    command.args(["--log-format=COMBINED", "--no-global-config", "--no-progress", "-o"]).arg(&report).arg(&log);
    output(&mut command);
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let general = &report["general"];
    assert_eq!(
        (&general["valid_requests"], &general["failed_requests"]),
        (&json!(AGENTS.len()), &json!(0)),
        "{general}"
    );
    assert_eq!(general["bandwidth"], json!(AGENTS.len() * "a body".len()));
    let hosts = &report["hosts"]["data"];
    assert_eq!((&hosts[0]["data"], &hosts[0]["hits"]["count"]), (&json!("192.0.2.7"), &json!(AGENTS.len())));
}
