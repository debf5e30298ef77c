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
        const PARTS: &[(&str, Part)] = &[
            ("name", Part::Name),
            ("key", Part::Name),
            ("field", Part::Name),
            ("header", Part::Name),
            ("variable", Part::Name),
            ("value", Part::Value),
            ("op", Part::Op),
            ("path", Part::Path),
            ("apiVersion", Part::ApiVersion),
            ("kind", Part::Kind),
            ("data", Part::Data),
            ("stringData", Part::Data),
            ("type", Part::Type),
            ("sensitive", Part::Marker),
            ("masked", Part::Marker),
        ];
        let part = PARTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        part.map_or(Self::Nothing, |(_, part)| *part)
    }
}
