//! Keys that say what the value beside them is: names, marks, and what is named or marked.

/// What a key means for the value beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::redact) enum Part {
    #[default]
    Nothing,
    /// Its value is the name of the value beside it.
    Name,
    Value,
    /// JSON Patch and SCIM.
    Op,
    Path,
    /// A Kubernetes object.
    ApiVersion,
    Kind,
    Data,
    /// AWS: `SecureString`.
    Type,
    /// Terraform and GitLab: `true` marks the value beside it.
    Marker,
}

impl Part {
    pub(in crate::redact) fn of(key: &str) -> Self {
        match key.to_ascii_lowercase().as_str() {
            "name" | "key" | "field" | "header" | "variable" => Self::Name,
            "value" => Self::Value,
            "op" => Self::Op,
            "path" => Self::Path,
            "apiversion" => Self::ApiVersion,
            "kind" => Self::Kind,
            "data" | "stringdata" => Self::Data,
            "type" => Self::Type,
            "sensitive" | "masked" => Self::Marker,
            _ => Self::Nothing,
        }
    }
}
