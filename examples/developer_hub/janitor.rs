//! Cancels tasks that have shown no sign of life for too long.

use std::sync::Arc;
use std::time::Duration;

use tower_audit::Failure;
use tower_audit::presets::developer_hub::events;

use crate::hub::Hub;
use crate::scaffolder::store::{Status, StopReason, Task};
use crate::tasks;

const LEAST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(300);

pub(crate) async fn sweep_stale_tasks(hub: Arc<Hub>) {
    let after = hub.settings.stale_task_after;
    let pause = (after / 4).clamp(LEAST_PAUSE, MAX_PAUSE);
    let stopped = hub.background.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(pause) => {}
        }
        for task in hub.tasks.stale(after) {
            if let Err(error) = cancel_stale_task(&hub, &task).await {
                tracing::error!(task = task.id, %error, "a stale task waits for the next sweep");
            }
        }
    }
}

/// A task that ended in the meantime is left as it is.
async fn cancel_stale_task(hub: &Hub, task: &Task) -> Result<(), tower_audit::Error> {
    let cancellation = tasks::event_of(hub, events::SCAFFOLDER_STALE_TASK_CANCELLATION, task).await?;
    let status = task.stop(StopReason::Stale);
    if status == Status::Cancelled {
        tracing::warn!(task = task.id, silent_for = ?hub.settings.stale_task_after, "cancelled a stale task");
        cancellation.succeed();
    } else {
        cancellation.fail_with(Failure::new("ConflictError", "the task ended before it could be cancelled"));
    }
    Ok(())
}
