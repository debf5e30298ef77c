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
    const KEYS: [(Self, &[&str]); 9] = [
        (Self::Name, &["name", "key", "field", "header", "variable"]),
        (Self::Value, &["value"]),
        (Self::Op, &["op"]),
        (Self::Path, &["path"]),
        (Self::ApiVersion, &["apiversion"]),
        (Self::Kind, &["kind"]),
        (Self::Data, &["data", "stringdata"]),
        (Self::Type, &["type"]),
        (Self::Marker, &["sensitive", "masked"]),
    ];

    pub(in crate::redact) fn of(key: &str) -> Self {
        let is_one = |(_, names): &&(Self, &[&str])| names.iter().any(|name| name.eq_ignore_ascii_case(key));
        Self::KEYS.iter().find(is_one).map_or(Self::Nothing, |(part, _)| *part)
    }
}
