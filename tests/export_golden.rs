//! What exports with Cloudsmith's and Anaconda's settings put into CSV, from real runs, byte for byte.
//!
//! `UPDATE_GOLDEN=1 cargo test --all-features --test export_golden` writes the files again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::any;
use common::{DEADLINE, StillClock};
use http::{Method, Request};
use serde_json::json;
use tower::ServiceExt as _;
use tower_audit::export::{Destination, Export, Verdict, verify};
use tower_audit::presets::package_security_manager;
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Catalog, Credential, Entity, Event, IdSource, Location, LogType, sink,
};
use uuid::Uuid;

/// Ids 1, 2, 3, …
#[derive(Default)]
struct Counted(AtomicU64);

impl IdSource for Counted {
    fn audit_id(&self, _at: SystemTime) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1))
    }
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// The rows of a log type, without those of the library's own records: they have its version and the settings of the run.
    fn rows(&self, kind: &str) -> String {
        let mut rows = String::new();
        for path in files(&self.archive().join(kind)) {
            assert!(
                path.parent().unwrap().ends_with("date=2026-11-20") && path.extension().unwrap() == "csv",
                "{path:?}"
            );
            let text = fs::read_to_string(path).unwrap();
            for row in text.lines().filter(|row| !row.contains("AuditStarted")) {
                rows.push_str(row);
                rows.push('\n');
            }
        }
        rows
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for date in fs::read_dir(folder).into_iter().flatten() {
        files.extend(fs::read_dir(date.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

fn start(
    set: impl FnOnce(AuditorBuilder) -> AuditorBuilder,
    to: impl FnOnce(Destination) -> Destination,
) -> (Site, Auditor) {
    let site = Site { folder: tempfile::tempdir().unwrap() };
    let clock = StillClock::default();
    let destination = to(Destination::new(site.archive().to_str().unwrap()));
    let spool = sink::file(site.folder.path().join("audit.log")).clock(clock.clone());
    let builder = Auditor::builder().clock(clock).ids(Counted::default()).host("server.example");
    let auditor = set(builder).export(spool, Export::to(destination)).build().unwrap();
    (site, auditor)
}

async fn deliver(site: &Site, auditor: &Auditor) {
    let report = auditor.export_now(DEADLINE).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let verification = verify(site.archive().to_str().unwrap()).unwrap();
    assert_eq!(verification.verdict, Verdict::Complete, "{verification}");
}

fn assert_golden(name: &str, rows: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export_golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, rows).unwrap();
    }
    assert_eq!(rows, fs::read_to_string(&path).unwrap(), "{name}");
}

#[tokio::test]
async fn with_cloudsmiths_columns_client_and_audit_logs_are_the_golden_files() {
    let download = Event::new("PackageDownloaded").log_type(LogType::Client).on(Method::GET, "/rpm/{*file}");
    let catalog = Catalog::new().event(download).event(Event::new("package.deleted")).event(Event::new("user.invited"));
    let (site, auditor) = start(|builder| builder.catalog(catalog), |destination| destination.columns("cloudsmith"));

    let handler = |audit: Audit| async move {
        let credential = Credential::new("entitlement_token").id("wKSkBFHpsNWB");
        let location = Location::new().city("Newmarket").country("GB");
        audit.actor(Actor::user("17").slug("eP1B3YCtTlJX").credential(credential).location(location));
        audit.object(Entity::new("package").id("vmN1OlMDi3Iy").format("RedHat"));
        audit.repository("cloudsmith/testing-private");
        audit.meta("edge", "LHR61-C2");
        audit.meta("eula", json!({"number": 3}));
        "a package"
    };
    let app = auditor.wrap_router(Router::new().route("/rpm/{*file}", any(handler))).into_service();
    let agents = ["libdnf (Fedora Linux 41; server; Linux.x86_64)", "=cmd|'/c calc'!A1", "a \"quoted\", one"];
    for (at, agent) in agents.into_iter().enumerate() {
        let request = Request::get(format!("/rpm/fedora/41/x86_64/tool-1.{at}.rpm?arch=x86_64"))
            .header("host", "dl.cloudsmith.io")
            .header("user-agent", agent)
            .header("referer", "https://cloudsmith.io/~acme/repos/")
            .header("x-request-id", format!("dZ3DmJ8yHU36FyH9uHoyW{at}=="));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo("82.1.4.8:50442".parse::<SocketAddr>().unwrap()));
        let response = app.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    }
    let jane = || {
        let location = Location::new().city("Belfast").country("GB");
        Actor::user("12")
            .kind("user")
            .name("Jane Doe")
            .slug("h3vvpHbwVb6K")
            .url("https://api.example/users/jane/")
            .location(location)
    };
    let package = Entity::new("package").slug("vmN1OlMDi3Iy").name("tool 1.0");
    let repository = Entity::new("repository").slug("Aq2Fz8").name("testing-private");
    let deleted = auditor.begin("package.deleted").actor(jane()).object(package).target(repository).context("api");
    deleted.await.unwrap().succeed();
    let invited = Entity::new("user").slug("x7").name("-2+3, \"Max\"\nMustermann");
    auditor.begin("user.invited").actor(jane()).object(invited).context("web").await.unwrap().succeed();
    deliver(&site, &auditor).await;

    assert_golden("cloudsmith-client-logs.csv", &site.rows("client-logs"));
    assert_golden("cloudsmith-audit-logs.csv", &site.rows("audit-logs"));
    auditor.shutdown(DEADLINE).await;
}

/// As `REPO_AUDIT_REPORT_DOWNLOAD_AS=csv` and `REPO_CONFIGURE_AUDIT_EVENT_TYPES=artifact_copied,channel` say.
#[tokio::test]
async fn with_anacondas_settings_chosen_events_are_the_golden_file() {
    use package_security_manager::events;
    let catalog = package_security_manager::catalog();
    let choose = |destination: Destination| {
        destination.events(["artifact_copied", "channel"]).always([events::ARTIFACT_DOWNLOADED])
    };
    let (site, auditor) = start(|builder| builder.catalog(catalog), choose);
    for (group, event) in package_security_manager::groups()
        .flat_map(|group| package_security_manager::group(group).iter().map(move |event| (group, *event)))
    {
        let object = Entity::new(group).id("42").name("main");
        let activity = auditor.begin(event).actor(Actor::user("jane").name("Jane Doe")).object(object).await.unwrap();
        activity.audit().meta("count", 2).meta("note", "a \"quoted\", note");
        activity.succeed();
    }
    deliver(&site, &auditor).await;
    let manifest = files(&site.archive().join("manifests")).remove(0);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let instance = manifest["ranges"][0]["instance"].as_str().unwrap();
    // The one thing of a run that nobody may choose where it is exported.
    let rows = site.rows("audit-logs").replace(instance, "run-1");
    assert_eq!(rows.lines().count(), 1 + 1 + 1 + package_security_manager::group("channel").len());
    assert_golden("anaconda-audit-logs.csv", &rows);
    auditor.shutdown(DEADLINE).await;
}
