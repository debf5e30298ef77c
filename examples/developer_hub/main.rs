//! Run with `cargo run --example developer_hub`: a miniature of Red Hat Developer Hub's two back ends.
//!
//! The scaffolder answers below `/api/scaffolder`, the catalogue below `/api/catalog`; everything is kept in memory.
//! `walkthrough.sh` beside this file drives every route once.
//!
//! ```text
//! PORT=7007 cargo run --example developer_hub
//! curl -H 'Authorization: Bearer guest' -H 'Content-Type: application/json' \
//!   -d '{"templateRef":"template:default/example-template","values":{"name":"my-app"}}' \
//!   http://127.0.0.1:7007/api/scaffolder/v2/tasks
//! ```
//!
//! Settings: `PORT` (7007; 0 is any free one), `REQUIRE_AUTH` (0), `STALE_TASK_AFTER_MS` (a day), `RUST_LOG` (info).

mod auth;
mod background;
mod catalog;
mod error;
mod extract;
mod hub;
mod janitor;
mod scaffolder;
mod server;
mod settings;
mod tasks;

use std::error::Error;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use crate::hub::Hub;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let settings = Settings::from_env()?;
    log_as_json()?;

    let hub = Arc::new(Hub::new(settings));
    hub.background.spawn(janitor::sweep_stale_tasks(Arc::clone(&hub)));
    hub.background.spawn(catalog::process_forever(Arc::clone(&hub)));

    server::serve(&hub, server::app(&hub)).await?;
    Ok(())
}

/// Ordinary logs share stdout with whatever else writes lines of JSON there.
fn log_as_json() -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stdout).try_init()
}
