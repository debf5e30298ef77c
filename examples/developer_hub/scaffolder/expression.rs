//! `${{ parameters.name }}` in a template: a path into what the task knows.

use serde_json::{Map, Value};

/// What all expressions of one value together may grow to.
const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// The value with its expressions replaced, or `None` where that would grow out of hand.
///
/// A string that is one expression becomes what that names, of whatever type; within other text it becomes text.
pub(crate) fn render(value: &Value, context: &Value) -> Option<Value> {
    let mut budget = MAX_RENDERED_BYTES;
    render_within(value, context, &mut budget)
}

/// Whether an `if` holds: all but `false`, `null`, `0`, and empty or "false" text.
pub(crate) fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(holds) => *holds,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.trim(), "" | "false"),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn render_within(value: &Value, context: &Value, budget: &mut usize) -> Option<Value> {
    match value {
        Value::String(text) => render_text(text, context, budget),
        Value::Array(items) => {
            items.iter().map(|item| render_within(item, context, budget)).collect::<Option<_>>().map(Value::Array)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| Some((key.clone(), render_within(value, context, budget)?)));
            fields.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    }
}

fn render_text(text: &str, context: &Value, budget: &mut usize) -> Option<Value> {
    let mut rendered = String::new();
    let mut rest = text;
    while let Some((before, path, after)) = next_expression(rest) {
        let found = lookup(path, context);
        if before.is_empty() && after.is_empty() && rendered.is_empty() {
            *budget = budget.checked_sub(found.to_string().len())?;
            return Some(found.clone());
        }
        rendered.push_str(before);
        match found {
            Value::Null => {}
            Value::String(found) => rendered.push_str(found),
            other => rendered.push_str(&other.to_string()),
        }
        if rendered.len() > *budget {
            return None;
        }
        rest = after;
    }
    rendered.push_str(rest);
    *budget = budget.checked_sub(rendered.len())?;
    Some(Value::String(rendered))
}

fn next_expression(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${{")?;
    let (path, after) = rest.split_once("}}")?;
    Some((before, path.trim(), after))
}

fn lookup<'a>(path: &str, context: &'a Value) -> &'a Value {
    path.split('.').fold(context, |value, key| value.get(key).unwrap_or(&Value::Null))
}
