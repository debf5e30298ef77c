//! Entity references, and the few fields of an entity that the catalog itself looks at.

use std::fmt;

use serde_json::Value;

use crate::error::ApiError;

/// `kind:namespace/name` in lower case, which is how entities are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntityRef {
    kind: String,
    namespace: String,
    name: String,
}

impl EntityRef {
    pub(crate) fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_lowercase(), namespace: namespace.to_lowercase(), name: name.to_lowercase() }
    }

    /// Parses `[kind:][namespace/]name`; the namespace defaults to `default`.
    pub(crate) fn parse(text: &str, default_kind: Option<&str>) -> Result<Self, ApiError> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (Some(kind), rest),
            None => (default_kind, text),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or(("default", rest));
        match kind {
            Some(kind) if [kind, namespace, name].iter().all(|part| is_name(part)) => {
                Ok(Self::new(kind, namespace, name))
            }
            Some(_) => Err(ApiError::Input(format!(
                "Entity reference \"{text}\" was not on the form [<kind>:][<namespace>/]<name>"
            ))),
            None => Err(ApiError::Input(format!("Entity reference \"{text}\" had missing or empty kind"))),
        }
    }

    pub(crate) fn of(entity: &Value) -> Self {
        let metadata = &entity["metadata"];
        Self::new(
            entity["kind"].as_str().unwrap_or_default(),
            metadata["namespace"].as_str().unwrap_or("default"),
            metadata["name"].as_str().unwrap_or_default(),
        )
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.kind, self.namespace, self.name)
    }
}

/// What Backstage accepts as a kind, a namespace or a name: 1 to 63 of `[A-Za-z0-9]` with `-`, `_`, `.` between.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().next_back())
}
