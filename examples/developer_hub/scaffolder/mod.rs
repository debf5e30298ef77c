//! The scaffolder: templates, the tasks that run them, and dry runs.

mod dry_run;
mod events;
mod routes;
mod schema;

pub(crate) mod actions;
pub(crate) mod expression;
pub(crate) mod store;
pub(crate) mod template;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use serde_json::{Map, Value};
use tower_audit::Audit;

use crate::hub::Hub;

/// Dry runs carry the files of a template; the running product accepts as much.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// Keeps secrets out of the records of a request whose answer may quote them.
fn keep_secret(audit: &Audit, secrets: &Map<String, Value>) {
    for secret in secrets.values().filter_map(Value::as_str) {
        audit.secret(secret);
    }
}

pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/v2/templates/{namespace}/{kind}/{name}/parameter-schema", get(routes::parameter_schema))
        .route("/v2/actions", get(routes::installed_actions))
        .route("/v2/tasks", get(routes::list_tasks).post(routes::create_task))
        .route("/v2/tasks/{taskId}", get(routes::task))
        .route("/v2/tasks/{taskId}/cancel", post(routes::cancel_task))
        .route("/v2/tasks/{taskId}/eventstream", get(events::stream))
        .route("/v2/tasks/{taskId}/events", get(events::snapshot))
        .route("/v2/dry-run", post(dry_run::dry_run))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}
