//! Dry runs: the steps of a template that nobody has registered, run without a trace.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tower_audit::Audit;

use super::schema;
use super::template::Template;
use crate::error::ApiError;
use crate::extract::JsonBody;
use crate::hub::Hub;
use crate::tasks::{self, StepsError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DryRun {
    template: Value,
    values: Map<String, Value>,
    #[serde(default)]
    secrets: Map<String, Value>,
    directory_contents: Vec<File>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: String,
    #[serde(default)]
    executable: bool,
    base64_content: String,
}

/// The files come back as they were sent: templating their contents is beyond this miniature.
pub(crate) async fn dry_run(
    State(hub): State<Arc<Hub>>,
    audit: Audit,
    JsonBody(request): JsonBody<DryRun>,
) -> Result<Json<Value>, ApiError> {
    let template = Template::parse(&request.template)?;
    let values = Value::Object(request.values);
    schema::check(&values, &template.parameters)?;
    let secrets = schema::secrets(request.secrets)?;
    // The files of the request may be longer than what is kept of its body, which is then not known to have them.
    super::keep_secret(&audit, &secrets);

    let (result, log) = tasks::dry_run(&hub, &template, &values, &secrets).await;
    let output = result.map_err(|error| match error {
        StepsError::Stopped(_) => ApiError::Conflict(error.to_string()),
        StepsError::Step { .. } => ApiError::Input(error.to_string()),
        StepsError::Unrecorded(_) => ApiError::Unavailable(error.to_string()),
    })?;
    Ok(Json(json!({
        "log": log,
        "directoryContents": request.directory_contents,
        "output": output,
        "steps": template.steps,
    })))
}
