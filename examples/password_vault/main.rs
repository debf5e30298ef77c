//! Run with `cargo run --example password_vault`: a small password server that writes Psono's audit lines to `audit.log` in `LOG_DIR`
//! (by default a folder `password_vault` in the system's folder for temporary files).
//!
//! ```text
//! curl 127.0.0.1:3000/info/
//! curl -H 'Authorization: Token demo' 127.0.0.1:3000/datastore/bed4572d-6a28-4c00-94c2-dd45322de1d0/
//! ```
//!
//! `LOGGING_AUDIT=False` switches the log off; `LOGGING_AUDIT_WHITELIST="['READ_INFO', 'LOGIN_STARTED_ERROR']"` and
//! `LOGGING_AUDIT_BLACKLIST` select events.

#[path = "../support/mod.rs"]
mod support;
mod vault;

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use tower_audit::format::key_value;
use tower_audit::sink::{self, Output};
use tower_audit::{Auditor, presets};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = match env::var_os("LOG_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let folder = env::temp_dir().join("password_vault");
            std::fs::create_dir_all(&folder)?;
            folder
        }
    };
    let path = folder.join("audit.log");
    let auditor = Auditor::builder()
        .catalog(presets::psono::catalog())
        .sink(Output::new(sink::file(&path).open()?).name("file").format(key_value()))
        .aliases(presets::psono::ALIASES)
        .from_env()?
        .build()?;
    writeln!(io::stderr(), "audit lines are in {}", path.display())?;

    let (listener, stopped) = support::listen().await?;
    axum::serve(listener, auditor.wrap_router(vault::router())).with_graceful_shutdown(stopped).await?;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
