//! The events of a task: live as server-sent events, or as a snapshot.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::routes::find_task;
use super::store::{Event, EventKind, Task};
use crate::error::ApiError;
use crate::extract::{Path, Query};
use crate::hub::Hub;

/// How long a snapshot waits for its first event, as RFC 6202 recommends.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(30);
/// When the server stops, its tasks stop too, and have this long to say so to who follows them.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    after: usize,
}

/// Ends with the task, or with the server.
pub(crate) async fn stream(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let follower = Follower::new(&hub, find_task(&hub, &id)?, after);
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(as_server_sent(&event)), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// What has happened since; if nothing has, the next that does within the wait.
pub(crate) async fn snapshot(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<Event>>, ApiError> {
    let mut follower = Follower::new(&hub, find_task(&hub, &id)?, after);
    let first = timeout(SNAPSHOT_WAIT, follower.next()).await.ok().flatten();
    Ok(Json(first.into_iter().chain(follower.ready).collect()))
}

/// Reads the events of a task in order, each once.
struct Follower {
    task: Arc<Task>,
    after: usize,
    ready: VecDeque<Event>,
    progress: watch::Receiver<usize>,
    server_stops: Pin<Box<dyn Future<Output = ()> + Send>>,
    seen_completion: bool,
}

impl Follower {
    fn new(hub: &Hub, task: Arc<Task>, after: usize) -> Self {
        let server_stops = hub.background.stopped();
        Self {
            after,
            ready: VecDeque::new(),
            progress: task.follow(),
            server_stops: Box::pin(async move {
                server_stops.await;
                sleep(LAST_WORDS).await;
            }),
            seen_completion: false,
            task,
        }
    }

    async fn next(&mut self) -> Option<Event> {
        while !self.seen_completion {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.id;
                self.seen_completion = event.kind == EventKind::Completion;
                return Some(event);
            }
            // Marked as seen before the events are read, so that none falls between.
            self.progress.mark_unchanged();
            self.ready = self.task.events_after(self.after).into();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.progress.changed() => changed.ok()?,
                () = &mut self.server_stops => return None,
            }
        }
        None
    }
}

fn as_server_sent(event: &Event) -> sse::Event {
    let name = match event.kind {
        EventKind::Log => "log",
        EventKind::Cancelled => "cancelled",
        EventKind::Completion => "completion",
    };
    let named = sse::Event::default().event(name);
    named.json_data(event).unwrap_or_else(|_| sse::Event::default().event(name))
}
