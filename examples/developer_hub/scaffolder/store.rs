//! Tasks in memory: what was asked for, how far it is, and the events that tell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::template::Template;
use crate::hub::{lock, now};

/// Beyond this many tasks the oldest that have ended are forgotten.
const MAX_TASKS: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct TaskStore {
    /// Oldest first.
    tasks: Mutex<VecDeque<Arc<Task>>>,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) created_by: Option<&'static str>,
    pub(crate) template: Template,
    pub(crate) values: Value,
    /// Known to the steps; never part of a view, an event or a log.
    pub(crate) secrets: Map<String, Value>,
    spec: Value,
    created_at: String,
    progress: Mutex<Progress>,
    /// Counts the events, so that followers notice new ones.
    changes: watch::Sender<usize>,
    stop: watch::Sender<Option<StopReason>>,
}

#[derive(Debug)]
struct Progress {
    status: Status,
    events: Vec<Event>,
    last_heartbeat: Instant,
    last_heartbeat_at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Open,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    Cancelled,
    Stale,
    Shutdown,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) id: usize,
    pub(crate) task_id: String,
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    pub(crate) body: Value,
    pub(crate) created_at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventKind {
    Log,
    Cancelled,
    Completion,
}

/// A task as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskView {
    id: String,
    spec: Value,
    status: Status,
    created_at: String,
    last_heartbeat_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'static str>,
}

impl TaskStore {
    pub(crate) fn insert(&self, task: Arc<Task>) {
        let mut tasks = lock(&self.tasks);
        tasks.push_back(task);
        if tasks.len() > MAX_TASKS
            && let Some(oldest) = tasks.iter().position(|task| task.has_ended())
        {
            tasks.remove(oldest);
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Task>> {
        lock(&self.tasks).iter().find(|task| task.id == id).cloned()
    }

    pub(crate) fn newest_first(&self) -> Vec<Arc<Task>> {
        lock(&self.tasks).iter().rev().cloned().collect()
    }

    /// Tasks that are not at their end and have logged nothing for so long.
    pub(crate) fn stale(&self, after: Duration) -> Vec<Arc<Task>> {
        lock(&self.tasks).iter().filter(|task| task.is_silent_for(after)).cloned().collect()
    }
}

impl Task {
    pub(crate) fn new(
        template: Template,
        values: Value,
        secrets: Map<String, Value>,
        spec: Value,
        created_by: Option<&'static str>,
    ) -> Self {
        let created_at = now();
        let progress = Progress {
            status: Status::Open,
            events: Vec::new(),
            last_heartbeat: Instant::now(),
            last_heartbeat_at: created_at.clone(),
        };
        Self {
            id: Uuid::new_v4().to_string(),
            created_by,
            template,
            values,
            secrets,
            spec,
            created_at,
            progress: Mutex::new(progress),
            changes: watch::Sender::new(0),
            stop: watch::Sender::new(None),
        }
    }

    pub(crate) fn view(&self) -> TaskView {
        let progress = lock(&self.progress);
        TaskView {
            id: self.id.clone(),
            spec: self.spec.clone(),
            status: progress.status,
            created_at: self.created_at.clone(),
            last_heartbeat_at: progress.last_heartbeat_at.clone(),
            created_by: self.created_by,
        }
    }

    /// The events after that id; the completion is always among them, so that who asks too late is told so.
    pub(crate) fn events_after(&self, after: usize) -> Vec<Event> {
        let progress = lock(&self.progress);
        let wanted = |event: &&Event| event.id > after || event.kind == EventKind::Completion;
        progress.events.iter().filter(wanted).cloned().collect()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<usize> {
        self.changes.subscribe()
    }

    pub(crate) fn log(&self, body: Value) {
        self.push(&mut lock(&self.progress), EventKind::Log, body);
    }

    /// The first event, unless the task was stopped before it began.
    pub(crate) fn begin(&self, message: &str) {
        let mut progress = lock(&self.progress);
        if progress.status == Status::Open {
            progress.status = Status::Processing;
        }
        self.push(&mut progress, EventKind::Log, json!({ "message": message }));
    }

    /// Asks the task to stop, and returns its status from now on: of one that has ended, what it was.
    pub(crate) fn stop(&self, reason: StopReason) -> Status {
        let mut progress = lock(&self.progress);
        if matches!(progress.status, Status::Open | Status::Processing) {
            progress.status = Status::Cancelled;
            let body = json!({"message": reason.message(), "status": Status::Cancelled});
            self.push(&mut progress, EventKind::Cancelled, body);
            self.stop.send_replace(Some(reason));
        }
        progress.status
    }

    /// Decides between the end of the steps and a stop that may have come meanwhile; after this, none can.
    pub(crate) fn close(&self) -> Result<(), StopReason> {
        let mut progress = lock(&self.progress);
        if let Some(reason) = *self.stop.borrow() {
            return Err(reason);
        }
        progress.status = Status::Completed;
        Ok(())
    }

    pub(crate) async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        let reason = stop.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        // The sender is ours, so there is a reason.
        reason.unwrap_or(StopReason::Shutdown)
    }

    /// The last event.
    pub(crate) fn complete(&self, status: Status, mut body: Value) {
        let mut progress = lock(&self.progress);
        progress.status = status;
        body["message"] = json!(format!("Run completed with status: {}", json!(status).as_str().unwrap_or_default()));
        self.push(&mut progress, EventKind::Completion, body);
    }

    fn has_ended(&self) -> bool {
        lock(&self.progress).events.last().is_some_and(|event| event.kind == EventKind::Completion)
    }

    fn is_silent_for(&self, duration: Duration) -> bool {
        let progress = lock(&self.progress);
        matches!(progress.status, Status::Open | Status::Processing) && progress.last_heartbeat.elapsed() >= duration
    }

    fn push(&self, progress: &mut Progress, kind: EventKind, body: Value) {
        let event = Event { id: progress.events.len() + 1, task_id: self.id.clone(), kind, body, created_at: now() };
        progress.last_heartbeat = Instant::now();
        progress.last_heartbeat_at.clone_from(&event.created_at);
        progress.events.push(event);
        self.changes.send_replace(progress.events.len());
    }
}

impl StopReason {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Cancelled => "Task was cancelled",
            Self::Stale => "The task was cancelled because it showed no sign of life",
            Self::Shutdown => "The task was cancelled because the server shuts down",
        }
    }
}
