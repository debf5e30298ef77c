//! Validation of an entity that is not in the catalog (yet).

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::entity::is_name;
use crate::error::ApiError;
use crate::extract::JsonBody;

#[derive(Debug, Deserialize)]
pub(crate) struct Validate {
    entity: Value,
    location: String,
}

/// An empty 200, or the list of what is wrong.
pub(crate) async fn validate(JsonBody(request): JsonBody<Validate>) -> Result<StatusCode, ApiError> {
    let problems = problems(&request);
    if problems.is_empty() {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::Invalid(problems.iter().map(|message| json!({"name": "TypeError", "message": message})).collect()))
}

fn problems(Validate { entity, location }: &Validate) -> Vec<String> {
    let mut problems = Vec::new();
    if !entity.is_object() {
        problems.push("/ must be object - type: object".to_owned());
        return problems;
    }
    for (pointer, required) in
        [("/apiVersion", true), ("/kind", true), ("/metadata/name", true), ("/metadata/namespace", false)]
    {
        match entity.pointer(pointer) {
            None if required => problems.push(format!("{pointer} is required")),
            None => {}
            Some(Value::String(text)) if pointer == "/apiVersion" && !text.is_empty() => {}
            Some(Value::String(text)) if is_name(text) => {}
            Some(_) => problems.push(format!(
                "{pointer} is not valid; expected a string that is sequences of [a-zA-Z0-9] separated by any of \
                 [-_.], at most 63 characters in total"
            )),
        }
    }
    if location.strip_prefix("url:").is_none_or(str::is_empty) {
        problems.push(format!(
            "Invalid location ref {location}, only 'url:<target>' is supported, e.g. url:https://host/path"
        ));
    }
    problems
}
