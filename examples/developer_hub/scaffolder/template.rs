//! A template, parsed once: its parameter schemas, its steps and what it hands out in the end.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog::entity::EntityRef;
use crate::error::ApiError;

const API_VERSION: &str = "scaffolder.backstage.io/v1beta3";
const MAX_STEPS: usize = 100;

#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) reference: EntityRef,
    pub(crate) api_version: &'static str,
    pub(crate) metadata: Value,
    pub(crate) parameters: Vec<Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) output: Value,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Step {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) input: Value,
    /// The step is skipped unless this holds.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<Value>,
    /// The step runs once for each of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) each: Option<Value>,
}

impl Template {
    pub(crate) fn parse(entity: &Value) -> Result<Self, ApiError> {
        if entity["apiVersion"] != API_VERSION {
            return Err(ApiError::Input(format!(
                "Unsupported apiVersion field in schema entity, {}",
                entity["apiVersion"].as_str().unwrap_or("none")
            )));
        }
        let spec = &entity["spec"];
        let steps = spec.get("steps").cloned().unwrap_or_default();
        let mut steps = Vec::<Step>::deserialize(steps)
            .map_err(|error| ApiError::Input(format!("Input template is not a template: {error}")))?;
        if steps.len() > MAX_STEPS {
            return Err(ApiError::Input(format!("A template may have at most {MAX_STEPS} steps")));
        }
        for (index, step) in steps.iter_mut().enumerate() {
            if step.id.is_empty() {
                step.id = format!("step-{}", index + 1);
            }
            if step.name.is_empty() {
                step.name.clone_from(&step.action);
            }
        }
        Ok(Self {
            reference: EntityRef::of(entity),
            api_version: API_VERSION,
            metadata: entity["metadata"].clone(),
            parameters: match &spec["parameters"] {
                Value::Array(schemas) => schemas.clone(),
                Value::Null => Vec::new(),
                schema => vec![schema.clone()],
            },
            steps,
            output: spec.get("output").cloned().unwrap_or_else(|| json!({})),
        })
    }
}
