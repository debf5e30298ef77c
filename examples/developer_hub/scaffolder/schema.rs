//! The part of JSON Schema that templates use for their parameters, with the product's error shape.

use serde_json::{Map, Value, json};

use crate::error::ApiError;

/// Checks the values against every page of parameters.
pub(crate) fn check(values: &Value, schemas: &[Value]) -> Result<(), ApiError> {
    for schema in schemas {
        let mut problems = Vec::new();
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if values.get(name).is_none_or(Value::is_null) {
                problems.push(problem(None, &format!("requires property \"{name}\""), "required", &json!(name)));
            }
        }
        for (name, rules) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = values.get(name).filter(|value| !value.is_null()) {
                check_value(name, value, rules, &mut problems);
            }
        }
        if !problems.is_empty() {
            return Err(ApiError::Invalid(problems));
        }
    }
    Ok(())
}

/// Secrets are a flat bag of strings; a message never repeats one.
pub(crate) fn secrets(secrets: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match secrets.iter().find(|(_, value)| !value.is_string()) {
        Some((name, _)) => Err(ApiError::Input(format!("Malformed request: secret {name:?} is not a string"))),
        None => Ok(secrets),
    }
}

fn check_value(name: &str, value: &Value, rules: &Value, problems: &mut Vec<Value>) {
    let mut found = |message: String, rule: &str| {
        problems.push(problem(Some(name), &message, rule, &rules[rule]));
    };
    if let Some(wanted) = rules["type"].as_str().filter(|wanted| !is_of_type(value, wanted)) {
        found(format!("is not of a type(s) {wanted}"), "type");
        return;
    }
    if let Some(allowed) = rules["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        found(format!("is not one of enum values: {}", allowed.join(",")), "enum");
    }
    if let Some(number) = value.as_f64() {
        if let Some(least) = rules["minimum"].as_f64().filter(|least| number < *least) {
            found(format!("must be greater than or equal to {least}"), "minimum");
        }
        if let Some(most) = rules["maximum"].as_f64().filter(|most| number > *most) {
            found(format!("must be less than or equal to {most}"), "maximum");
        }
    }
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn problem(property: Option<&str>, message: &str, rule: &str, argument: &Value) -> Value {
    let instance = property.map_or_else(|| "instance".to_owned(), |name| format!("instance.{name}"));
    json!({
        "path": property.into_iter().collect::<Vec<_>>(),
        "property": instance,
        "message": message,
        "name": rule,
        "argument": argument,
        "stack": format!("{instance} {message}"),
    })
}
