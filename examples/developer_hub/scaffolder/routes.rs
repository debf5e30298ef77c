//! Routes on templates, actions and tasks; the event stream and dry runs have files of their own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower_audit::Audit;

use super::store::{StopReason, Task, TaskView};
use super::template::Template;
use super::{actions, schema};
use crate::auth::Principal;
use crate::catalog::entity::EntityRef;
use crate::error::ApiError;
use crate::extract::{JsonBody, Path, Query};
use crate::hub::Hub;
use crate::tasks;

pub(crate) async fn parameter_schema(
    State(hub): State<Arc<Hub>>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let template = find_template(&hub, &EntityRef::new(&kind, &namespace, &name))?;
    let steps: Vec<_> = template
        .parameters
        .iter()
        .map(|schema| {
            let title = schema["title"].as_str().unwrap_or("Please enter the following information");
            json!({"title": title, "description": schema["description"], "schema": schema})
        })
        .collect();
    let metadata = &template.metadata;
    let title = metadata["title"].as_str().or(metadata["name"].as_str());
    Ok(Json(json!({"title": title, "description": metadata["description"], "steps": steps})))
}

pub(crate) async fn installed_actions() -> Json<Value> {
    let actions: Vec<_> = actions::INSTALLED.iter().map(actions::Action::describe).collect();
    Json(json!(actions))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskCreation {
    template_ref: String,
    #[serde(default)]
    values: Map<String, Value>,
    #[serde(default)]
    secrets: Map<String, Value>,
}

pub(crate) async fn create_task(
    State(hub): State<Arc<Hub>>,
    Extension(principal): Extension<Principal>,
    JsonBody(creation): JsonBody<TaskCreation>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let reference = EntityRef::parse(&creation.template_ref, Some("template"))?;
    let template = find_template(&hub, &reference)?;
    let values = Value::Object(creation.values);
    schema::check(&values, &template.parameters)?;
    let secrets = schema::secrets(creation.secrets)?;

    let spec = json!({
        "apiVersion": template.api_version,
        "steps": template.steps,
        "output": template.output,
        "parameters": values,
        "user": {"ref": principal.reference()},
        "templateInfo": {"entityRef": reference.to_string(), "entity": {"metadata": template.metadata}},
    });
    let task = Arc::new(Task::new(template, values, secrets, spec, principal.reference()));
    tracing::info!(task = task.id, template = %reference, "scaffolding task created");
    hub.tasks.insert(Arc::clone(&task));
    hub.background.spawn(tasks::run_task(Arc::clone(&hub), Arc::clone(&task)));
    Ok((StatusCode::CREATED, Json(json!({"id": task.id}))))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskFilter {
    created_by: Option<String>,
}

pub(crate) async fn list_tasks(
    State(hub): State<Arc<Hub>>,
    Query(TaskFilter { created_by }): Query<TaskFilter>,
) -> Json<Value> {
    let wanted = |task: &Arc<Task>| created_by.is_none() || task.created_by == created_by.as_deref();
    let tasks: Vec<_> = hub.tasks.newest_first().iter().filter(|task| wanted(task)).map(|task| task.view()).collect();
    Json(json!({"totalTasks": tasks.len(), "tasks": tasks}))
}

pub(crate) async fn task(
    State(hub): State<Arc<Hub>>,
    audit: Audit,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiError> {
    let task = find_task(&hub, &id)?;
    // Its values may repeat them.
    super::keep_secret(&audit, &task.secrets);
    Ok(Json(task.view()))
}

/// A task that has ended stays what it is, and the answer says what that was.
pub(crate) async fn cancel_task(State(hub): State<Arc<Hub>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let task = find_task(&hub, &id)?;
    let status = task.stop(StopReason::Cancelled);
    Ok(Json(json!({ "status": status })))
}

pub(super) fn find_task(hub: &Hub, id: &str) -> Result<Arc<Task>, ApiError> {
    hub.tasks.get(id).ok_or_else(|| ApiError::NotFound(format!("Task with id {id} does not exist")))
}

fn find_template(hub: &Hub, reference: &EntityRef) -> Result<Template, ApiError> {
    let entity =
        hub.catalog.entity(reference).ok_or_else(|| ApiError::NotFound(format!("Template {reference} not found")))?;
    Template::parse(&entity)
}
