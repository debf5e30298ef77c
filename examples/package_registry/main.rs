//! Run with `cargo run --example package_registry`: a small package registry with GitLab's routes, whose groups and projects switch
//! their audit log on and off.
//!
//! Nothing is audited at first. `walkthrough.sh` beside this file switches it on and off, above and below, and publishes, updates,
//! deletes and downloads packages with every kind of token.
//!
//! What auditing takes is here (the auditor around the router), in `audit.rs` (scopes and their settings), in `tokens.rs` (who
//! acts, with which key) and in `packages.rs` (what is done to which package); the rest is the application. Authorization is left
//! out: every known token may do everything.
//!
//! ```text
//! PORT=3000 cargo run --example package_registry
//! curl -X PUT -H 'Authorization: Bearer pat-jane' -H 'Content-Type: application/json' \
//!   -d '{"enabled":true}' http://127.0.0.1:3000/api/v4/groups/acme/audit
//! curl -X PUT -H 'Authorization: Bearer deploy-ci' --data-binary @README.md \
//!   http://127.0.0.1:3000/api/v4/projects/acme%2Ftools%2Fcli/packages/generic/docs/1.0.0/README.md
//! ```
//!
//! With `--features export`, `REPO_ENABLE_GENERATE_AUDIT_REPORTS=true` or `TOWER_AUDIT_EXPORT_ENABLED=true` exports audit and client
//! logs, each hour unless `REPO_SCHEDULE_AUDIT_REPORT_CRON` says otherwise, to `exports` below `DATA_DIR` unless
//! `REPO_AUDIT_REPORT_FS` does. With `--features s3` that may be `s3://bucket/prefix`, with the role and the external id of Cloudsmith's
//! page in `TOWER_AUDIT_EXPORT_ROLE_ARN` and `TOWER_AUDIT_EXPORT_EXTERNAL_ID`.
//!
//! Settings: `PORT` (3000; 0 is any free one), `DATA_DIR` (a new temporary folder), `CLIENT_LOG` (a file that gets a row of CSV for
//! each download; none), and those of the audit log, `TOWER_AUDIT_…`.

mod audit;
mod error;
mod packages;
mod registry;
mod storage;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};
use tower_audit::format::{self, Columns};
use tower_audit::scope::{FileScopeStore, ScopeRules};
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, AuditorBuilder, LogType};

use crate::registry::Registry;

/// The longest file of a package.
const MAX_FILE: usize = 64 * 1024 * 1024;
/// How long records may take to be written at the end.
const AUDIT_DEADLINE: Duration = Duration::from_secs(5);

/// What handlers share.
pub(crate) struct App {
    pub(crate) auditor: Auditor,
    pub(crate) registry: Registry,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Kept until the end: it is removed then.
    let (folder, _temporary) = data_folder()?;
    let registry = Registry::open(&folder)?;
    let builder = Auditor::builder()
        .catalog(audit::catalog())
        .scope_resolver(audit::resolver())
        .scope_rules(ScopeRules::off())
        .scope_store(FileScopeStore::new(folder.join("scopes.json")))
        .service("package-registry");
    let builder = outputs(builder)?;
    #[cfg(feature = "export")]
    let builder = exports(builder, &folder)?;
    let auditor = builder.from_env()?.build()?;

    let app = Arc::new(App { auditor: auditor.clone(), registry });
    let (listener, stopped) = support::listen().await?;
    let served = axum::serve(listener, auditor.wrap_router(routes(&app))).with_graceful_shutdown(stopped).await;

    let report = auditor.shutdown(AUDIT_DEADLINE).await;
    if !report.is_complete() {
        writeln!(io::stderr(), "not every audit record was written: {report:?}")?;
    }
    Ok(served?)
}

fn routes(app: &Arc<App>) -> Router {
    let file = "/api/v4/projects/{project}/packages/generic/{name}/{version}/{file}";
    Router::new()
        .route(file, put(packages::upload).get(packages::download))
        .route("/api/v4/projects/{project}/packages", get(packages::list))
        .route("/api/v4/projects/{project}/packages/cleanup", post(packages::clean_up))
        .route("/api/v4/projects/{project}/packages/{id}", delete(packages::remove))
        .route("/api/v4/projects/{project}/packages/{id}/last_change", get(packages::last_change))
        .route("/api/v4/groups/{group}/audit", get(audit::group_setting).put(audit::set_group))
        .route("/api/v4/projects/{project}/audit", get(audit::project_setting).put(audit::set_project))
        .layer(DefaultBodyLimit::max(MAX_FILE))
        .layer(middleware::from_fn(tokens::authenticate))
        .with_state(Arc::clone(app))
}

/// Standard output for all records, and beside it the file of downloads, if one is asked for.
fn outputs(builder: AuditorBuilder) -> Result<AuditorBuilder, Box<dyn Error + Send + Sync>> {
    let builder = builder.sink(sink::stdout()?);
    let Some(path) = env::var_os("CLIENT_LOG").filter(|path| !path.is_empty()) else { return Ok(builder) };
    let downloads = Output::new(sink::file(PathBuf::from(path)).open()?).name("client-log");
    let downloads = downloads.format(format::csv(Columns::client_log()));
    Ok(builder.sink(downloads.log_type(LogType::Client)))
}

/// With the feature `export`: what operators of Anaconda's Package Security Manager set switches on exports of audit and client
/// logs, to a folder below `DATA_DIR` unless told otherwise.
#[cfg(feature = "export")]
fn exports(builder: AuditorBuilder, folder: &std::path::Path) -> io::Result<AuditorBuilder> {
    use tower_audit::export::{Destination, Export};
    use tower_audit::presets::package_security_manager::{ALIASES, events};
    let folder = std::path::absolute(folder)?;
    let destination = Destination::new(folder.join("exports").display().to_string());
    let export = Export::to(destination.always([events::ARTIFACT_DOWNLOADED])).cron("@hourly").enabled(false);
    Ok(builder.aliases(ALIASES).export(sink::file(folder.join("audit.log")), export))
}

/// The folder of all state, and what removes it at the end if it is a temporary one.
fn data_folder() -> io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    match env::var_os("DATA_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder)?;
            Ok((folder, None))
        }
        None => {
            let folder = tempfile::Builder::new().prefix("package-registry-").tempdir()?;
            Ok((folder.path().to_owned(), Some(folder)))
        }
    }
}
