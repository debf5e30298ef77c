//! Run with `cargo run --example worker`: audit records of work without a request, such as jobs of a queue.

use std::io::{self, Write as _};
use std::time::Duration;

use tower_audit::{Actor, Auditor, Catalog, Entity, Event, Stages};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Events without routes. Both stages, so that a job which the process did not survive shows as one that never ended.
    let events = Catalog::new().event(Event::new("ReportRun").stages(Stages::Both)).event(Event::new("ReportSkip"));
    let auditor = Auditor::builder().catalog(events).service("reports").from_env()?.build()?;

    for report in ["sales", "stock", "future", "empty"] {
        if report == "future" {
            let skipped = auditor.begin("ReportSkip").actor(Actor::service("service:reports"));
            skipped.object(Entity::new("report").id(report)).emit().await?;
            continue;
        }
        // If there is no queue space in time, the job does not begin: `begin` fails with `ErrorKind::Refused`.
        let job = auditor
            .begin("ReportRun")
            .actor(Actor::service("service:reports"))
            .object(Entity::new("report").id(report))
            .await?;
        // It records the end of the work, whatever it is: an error, a panic, or a future that is dropped.
        let audit = job.audit().clone();
        let run = job.run(async move {
            let rows = rows_of(report)?;
            audit.meta("rows", rows);
            Ok::<_, ReportError>(rows)
        });
        if let Err(error) = run.await {
            writeln!(io::stderr(), "{report}: {error}")?;
        }
    }
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the store has no table {0}")]
    NoTable(String),
}

fn rows_of(report: &str) -> Result<u32, ReportError> {
    match report {
        "sales" => Ok(1_024),
        "empty" => Ok(0),
        _ => Err(ReportError::NoTable(report.to_owned())),
    }
}
