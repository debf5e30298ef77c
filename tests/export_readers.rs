//! DuckDB reads each exported format with the recipes of the guide: each column's type, and as many records as manifests say.
//!
//! `PYTHON` names an interpreter that has the module `duckdb`, or else it is `python3`; without the module the test is skipped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "who runs the tests should see what they skip")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use common::DEADLINE;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::export::{Destination, Export, ExportFormat, Verdict, verify};
use tower_audit::{Actor, Audit, Auditor, Catalog, Entity, Event, LogType, sink};

/// Values that a reader could take for something else.
const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "=1+1",
    "a;\"=1+1\",b",
    "'a, \"b\", \"\"",
    "a\\b\\",
    "é €",
    "-",
    "",
];

/// Each recipe of the guide: the text of its block, by the name in its first comment.
fn recipes() -> BTreeMap<String, String> {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/export.md")).unwrap();
    let blocks = guide.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let named = |block: &str| Some((block.strip_prefix("-- duckdb: ")?.lines().next()?.to_owned(), block.to_owned()));
    blocks.filter_map(named).collect()
}

/// An interpreter with DuckDB.
fn python() -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python).args(["-c", "import duckdb"]).output();
    if imported.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {python} has no module `duckdb`: pip install duckdb, and name the interpreter in PYTHON");
    None
}

/// Runs statements; gives the columns with their types, and the rows, of the last one.
fn ask(python: &str, sql: &str) -> (Vec<(String, String)>, Vec<Value>) {
    const PROGRAM: &str = "import duckdb, json, sys
relation = None
for statement in duckdb.extract_statements(sys.argv[1]):
    relation = duckdb.sql(statement.query)
rows = [[str(cell) if cell is not None else None for cell in row] for row in relation.fetchall()]
print(json.dumps([list(zip(relation.columns, map(str, relation.types))), rows]))";
    // Times in UTC, wherever the test runs.
    let output = Command::new(python).args(["-c", PROGRAM, sql]).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let columns = said[0].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    (columns, said[1].as_array().unwrap().clone())
}

/// Writes records and exports them in each way: name, folder.
async fn exported(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let ways: [(&str, ExportFormat, &str, bool); 7] = [
        ("json", ExportFormat::Json, "flat", false),
        ("json_gzip", ExportFormat::Json, "flat", true),
        ("json_timestamp", ExportFormat::JsonTimestamp, "flat", false),
        ("combined", ExportFormat::Combined, "flat", false),
        ("csv", ExportFormat::Csv, "flat", false),
        ("csv_gzip", ExportFormat::Csv, "flat", true),
        ("cloudsmith", ExportFormat::Csv, "cloudsmith", false),
    ];
    let catalog = Catalog::new()
        .event(Event::new("PackageDownloaded").log_type(LogType::Client).on(Method::GET, "/a/{at}"))
        .event(Event::new("PackageDeleted"));
    let mut destinations = ways.iter().map(|(name, format, columns, gzip)| {
        // Several objects for each segment.
        let destination = Destination::new(folder.join(name).to_str().unwrap()).object_bytes(64 * 1024);
        destination.format(*format).columns(*columns).gzip(*gzip)
    });
    let export = destinations.next().map(Export::to).unwrap();
    let export = destinations.fold(export, Export::and_to);
    let spool = sink::file(folder.join("audit.log"));
    let auditor = Auditor::builder().catalog(catalog).host("server.example").export(spool, export).build().unwrap();
    let handler = |audit: Audit| async move {
        audit.actor(Actor::user("7").name("Jane Doe")).object(Entity::new("package").id("left-pad"));
        audit.repository("acme/tools");
        "a body"
    };
    let app = auditor.wrap_router(Router::new().route("/a/{at}", any(handler))).into_service();
    for round in 0..40 {
        for (at, agent) in AGENTS.into_iter().enumerate() {
            let request = Request::get(format!("/a/{at}?b=%22;=c,d")).header("user-agent", agent.as_bytes());
            let mut request = request.body(Body::empty()).unwrap();
            let peer = "192.0.2.7:4711".parse::<std::net::SocketAddr>().unwrap();
            request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            let response = app.clone().oneshot(request).await.unwrap();
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        }
        let activity = auditor.begin("PackageDeleted").object(Entity::new("package").name("=a, \"b\"")).await.unwrap();
        activity.audit().meta("round", json!({"number": round, "text": "a \"b\"\n\\"}));
        activity.succeed();
        if round % 20 == 0 {
            assert!(auditor.export_now(DEADLINE).await.unwrap().is_complete());
        }
    }
    assert!(auditor.shutdown(DEADLINE).await.is_complete());
    ways.into_iter().map(|(name, ..)| (name, folder.join(name))).collect()
}

/// Records that manifests name, of a log type or of all.
fn counted(archive: &Path, log_type: Option<&str>) -> u64 {
    let mut count = 0;
    for date in fs::read_dir(archive.join("manifests")).unwrap() {
        for manifest in fs::read_dir(date.unwrap().path()).unwrap() {
            let manifest: Value = serde_json::from_slice(&fs::read(manifest.unwrap().path()).unwrap()).unwrap();
            for object in manifest["objects"].as_array().unwrap() {
                if log_type.is_none_or(|log_type| object["logType"] == log_type) {
                    count += object["records"].as_u64().unwrap();
                }
            }
        }
    }
    count
}

#[tokio::test]
async fn duckdb_reads_each_format_with_its_types_and_counts_what_manifests_say() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipes = recipes();
    for (name, archive) in exported(folder.path()).await {
        let verification = verify(archive.to_str().unwrap()).unwrap();
        assert_eq!(verification.verdict, Verdict::Complete, "{name}: {verification}");
        assert!(verification.objects > 4, "{name}: {verification}");
        let read = |recipe: &str, select: &str| {
            let recipe = recipes.get(recipe).unwrap_or_else(|| panic!("the guide has no recipe {recipe}"));
            let recipe = recipe.replace("/mnt/archive", archive.to_str().unwrap());
            // Readers find plain and compressed objects alike, by their names.
            let recipe = if name.ends_with("_gzip") {
                recipe.replace("-logs/**/*.json'", "-logs/**/*.json.gz'").replace(".csv'", ".csv.gz'")
            } else {
                recipe
            };
            ask(&python, &format!("SET TimeZone = 'UTC';\n{recipe}\n{select}"))
        };
        let views: &[(&str, &str, Option<&str>)] = match name {
            "json" | "json_gzip" => &[("json", "records", None)],
            "json_timestamp" => &[("json_timestamp", "records", None)],
            "combined" => &[("combined", "requests", None)],
            "csv" | "csv_gzip" => &[("csv", "records", None)],
            _ => &[("cloudsmith", "client_logs", Some("client")), ("cloudsmith", "audit_logs", Some("audit"))],
        };
        for (recipe, view, log_type) in views {
            let expected = counted(&archive, *log_type);
            assert!(expected > 40, "{name}");
            let (_, rows) = read(recipe, &format!("SELECT count(*) FROM {view};"));
            assert_eq!(rows[0][0], expected.to_string(), "{name}: {view}");
            let (columns, _) = read(recipe, &format!("SELECT * FROM {view};"));
            assert_eq!(columns, types(view, name), "{name}: {view}");
        }
        let (_, rows) = read("manifests", "SELECT sum(records) FROM objects;");
        assert_eq!(rows[0][0], counted(&archive, None).to_string(), "{name}");
        // Values come back as they were.
        let agents = match name {
            "json" | "json_gzip" => "SELECT DISTINCT actor->>'$.client' FROM records WHERE logType = 'client';",
            "csv" | "csv_gzip" => "SELECT DISTINCT text(\"actor.client\") FROM records WHERE logType = 'client';",
            "cloudsmith" => "SELECT DISTINCT text(user_agent) FROM client_logs;",
            _ => continue,
        };
        let (_, rows) = read(views[0].0, agents);
        let mut read: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap_or_default()).collect();
        read.sort_unstable();
        let mut expected = AGENTS;
        expected.sort_unstable();
        assert_eq!(read, expected, "{name}");
    }
}

/// The columns that a view of the guide has, with DuckDB's types.
fn types(view: &str, name: &str) -> Vec<(String, String)> {
    let text = "VARCHAR";
    let columns: Vec<(&str, &str)> = match (view, name) {
        ("requests", _) => vec![
            ("client", text),
            ("who", text),
            ("moment", "TIMESTAMP WITH TIME ZONE"),
            ("request", text),
            ("status", "USMALLINT"),
            ("bytes", "UBIGINT"),
            ("referer", text),
            ("user_agent", text),
        ],
        ("client_logs", _) => vec![
            ("datetime", "TIMESTAMP WITH TIME ZONE"),
            ("repository", text),
            ("status", "USMALLINT"),
            ("method", text),
            ("uri", text),
            ("host", text),
            ("ip_address", text),
            ("bytes", "UBIGINT"),
            ("city", text),
            ("country", text),
            ("edge", text),
            ("eula", text),
            ("format", text),
            ("package", text),
            ("recorded", "TIMESTAMP WITH TIME ZONE"),
            ("referer", text),
            ("request_id", text),
            ("token", text),
            ("user", text),
            ("user_agent", text),
        ],
        ("audit_logs", _) => vec![
            ("actor", text),
            ("actor_ip_address", text),
            ("actor_kind", text),
            ("actor_location", text),
            ("actor_slug_perm", text),
            ("actor_url", text),
            ("context", text),
            ("event", text),
            ("event_at", "TIMESTAMP WITH TIME ZONE"),
            ("object", text),
            ("object_kind", text),
            ("object_slug_perm", text),
            ("target", text),
            ("target_kind", text),
            ("target_slug_perm", text),
            ("uuid", "UUID"),
        ],
        (_, "json_timestamp") => vec![("moment", "TIMESTAMP WITH TIME ZONE"), ("record", "JSON")],
        (_, "json" | "json_gzip") => [&HEAD[..], &JSON_REST[..]].concat(),
        _ => [&HEAD[..], &FLAT_REST[..]].concat(),
    };
    let mut columns: Vec<(String, String)> =
        columns.into_iter().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    if view == "records" && name != "json_timestamp" {
        columns.push(("date".to_owned(), "DATE".to_owned()));
    }
    columns
}

const TIME: &str = "TIMESTAMP WITH TIME ZONE";

/// The keys that every line may have, in their order.
const HEAD: [(&str, &str); 23] = [
    ("timestamp", TIME),
    ("level", "VARCHAR"),
    ("isAuditLog", "BOOLEAN"),
    ("schema", "VARCHAR"),
    ("eventName", "VARCHAR"),
    ("eventKind", "VARCHAR"),
    ("logType", "VARCHAR"),
    ("stage", "VARCHAR"),
    ("status", "VARCHAR"),
    ("outcome", "VARCHAR"),
    ("message", "VARCHAR"),
    ("auditId", "UUID"),
    ("instance", "VARCHAR"),
    ("seq", "UBIGINT"),
    ("startedAt", TIME),
    ("durationMs", "DOUBLE"),
    ("requestId", "VARCHAR"),
    ("traceId", "VARCHAR"),
    ("spanId", "VARCHAR"),
    ("service", "VARCHAR"),
    ("plugin", "VARCHAR"),
    ("component", "VARCHAR"),
    ("host", "VARCHAR"),
];

const JSON_REST: [(&str, &str); 12] = [
    ("actor", "JSON"),
    ("object", "JSON"),
    ("target", "JSON"),
    ("scope", "JSON"),
    ("project", "VARCHAR"),
    ("repository", "VARCHAR"),
    ("namespace", "VARCHAR"),
    ("context", "VARCHAR"),
    ("meta", "JSON"),
    ("errors", "JSON"),
    ("response", "JSON"),
    ("request", "JSON"),
];

const FLAT_REST: [(&str, &str); 54] = [
    ("actor.actorId", "VARCHAR"),
    ("actor.ip", "VARCHAR"),
    ("actor.port", "USMALLINT"),
    ("actor.hostname", "VARCHAR"),
    ("actor.client", "VARCHAR"),
    ("actor.kind", "VARCHAR"),
    ("actor.name", "VARCHAR"),
    ("actor.url", "VARCHAR"),
    ("actor.slug", "VARCHAR"),
    ("actor.verified", "BOOLEAN"),
    ("actor.claimed", "VARCHAR"),
    ("actor.credential.kind", "VARCHAR"),
    ("actor.credential.id", "VARCHAR"),
    ("actor.credential.name", "VARCHAR"),
    ("actor.credential.owner", "VARCHAR"),
    ("actor.onBehalfOf", "JSON"),
    ("actor.location.city", "VARCHAR"),
    ("actor.location.country", "VARCHAR"),
    ("actor.location.continent", "VARCHAR"),
    ("actor.peerIp", "VARCHAR"),
    ("object.kind", "VARCHAR"),
    ("object.id", "VARCHAR"),
    ("object.name", "VARCHAR"),
    ("object.version", "VARCHAR"),
    ("object.slug", "VARCHAR"),
    ("object.format", "VARCHAR"),
    ("target.kind", "VARCHAR"),
    ("target.id", "VARCHAR"),
    ("target.name", "VARCHAR"),
    ("target.version", "VARCHAR"),
    ("target.slug", "VARCHAR"),
    ("target.format", "VARCHAR"),
    ("scope.kind", "VARCHAR"),
    ("scope.path", "VARCHAR"),
    ("project", "VARCHAR"),
    ("repository", "VARCHAR"),
    ("namespace", "VARCHAR"),
    ("context", "VARCHAR"),
    ("meta", "JSON"),
    ("errors", "JSON"),
    ("response.status", "USMALLINT"),
    ("response.bytes", "UBIGINT"),
    ("response.bodyOmitted", "JSON"),
    ("response.body", "VARCHAR"),
    ("request.method", "VARCHAR"),
    ("request.url", "VARCHAR"),
    ("request.route", "VARCHAR"),
    ("request.protocol", "VARCHAR"),
    ("request.referer", "VARCHAR"),
    ("request.params", "JSON"),
    ("request.query", "JSON"),
    ("request.headers", "JSON"),
    ("request.bodyOmitted", "JSON"),
    ("request.body", "VARCHAR"),
];
