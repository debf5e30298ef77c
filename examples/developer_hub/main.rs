//! Run with `cargo run --example developer_hub`: a miniature of Red Hat Developer Hub's two back ends, with its audit log.
//!
//! The scaffolder answers below `/api/scaffolder`, the catalog below `/api/catalog`; everything is kept in memory.
//! `walkthrough.sh` beside this file drives every route once.
//!
//! What auditing takes is here (the auditor around the router), in `log.rs` (ordinary logs beside the records), in `auth.rs`
//! (who acts), in `error.rs` (what failed), and in `tasks.rs` and `janitor.rs` (background work); the rest is the application.
//!
//! ```text
//! PORT=7007 cargo run --example developer_hub
//! curl -H 'Authorization: Bearer guest' -H 'Content-Type: application/json' \
//!   -d '{"templateRef":"template:default/example-template","values":{"name":"my-app"}}' \
//!   http://127.0.0.1:7007/api/scaffolder/v2/tasks
//! ```
//!
//! Settings: `PORT` (7007; 0 is any free one), `REQUIRE_AUTH` (0), `STALE_TASK_AFTER_MS` (a day), `RUST_LOG` (info),
//! `PRESET` (1.4: records as that release writes them; 1.6: as it and later ones do), and those of the audit log, `TOWER_AUDIT_…`.
//!
//! With `--features export`, the settings of scheduled exports too, such as:
//!
//! ```text
//! TOWER_AUDIT_EXPORT_ENABLED=true TOWER_AUDIT_EXPORT_CRON='*/2 * * * * *' TOWER_AUDIT_EXPORT_FORMAT=json \
//!   TOWER_AUDIT_EXPORT_SPOOL=file:///tmp/hub/audit.log TOWER_AUDIT_EXPORT_URL=/tmp/hub/archive \
//!   cargo run --features export --example developer_hub
//! ```

mod auth;
mod background;
mod catalog;
mod error;
mod extract;
mod hub;
mod janitor;
mod log;
mod scaffolder;
mod server;
mod settings;
mod tasks;

use std::error::Error;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use tower_audit::format::backstage_auditor;
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, presets};

use crate::hub::Hub;
use crate::settings::{Preset, Settings};

/// How long records may take to be written at the end.
const AUDIT_DEADLINE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let settings = Settings::from_env()?;

    let events = presets::developer_hub::catalog().skip(Method::GET, "/healthz");
    let auditor = log::at_start(|| {
        let stdout = Output::new(sink::stdout()?).name("stdout");
        let stdout = match settings.preset {
            Preset::V1_4 => stdout,
            Preset::V1_6 => stdout.format(backstage_auditor(presets::backstage_auditor::EVENTS)),
        };
        Ok::<_, Box<dyn Error + Send + Sync>>(Auditor::builder().catalog(events).sink(stdout).from_env()?.build()?)
    })?;
    log::beside_records(&auditor)?;

    let hub = Arc::new(Hub::new(settings, auditor.clone()));
    hub.background.spawn(janitor::sweep_stale_tasks(Arc::clone(&hub)));
    hub.background.spawn(catalog::process_forever(Arc::clone(&hub)));

    let app = hub.auditor.wrap_router(server::app(&hub));
    let served = server::serve(&hub, app).await;

    let report = auditor.shutdown(AUDIT_DEADLINE).await;
    if !report.is_complete() {
        // The sink has ended, and with it the ordinary log.
        writeln!(io::stderr(), "not every audit record was written: {report:?}")?;
    }
    Ok(served?)
}
