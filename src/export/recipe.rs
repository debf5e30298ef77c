//! What an object is made of: everything that its bytes depend on besides its segment. The state file keeps it, so that a
//! segment whose export has begun is finished as it was begun.

use serde_json::{Map, Value, json};

/// Which of a destination's two folders a record goes to.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogType {
    /// Everything but requests for content, and always this library's own records (`Audit…`).
    Audit,
    /// Requests for content: records whose `logType` is `client`.
    Client,
}

impl LogType {
    pub(crate) const ALL: [Self; 2] = [Self::Audit, Self::Client];

    /// The name that settings and manifests use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Client => "client",
        }
    }

    /// The folder of its objects.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Audit => "audit-logs",
            Self::Client => "client-logs",
        }
    }
}

/// How exported records are written.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// The records' own lines, byte for byte.
    Json,
    /// `timestamp`, a space, and the line.
    JsonTimestamp,
}

impl ExportFormat {
    pub(crate) const ALL: [Self; 2] = [Self::Json, Self::JsonTimestamp];

    /// The name that settings and manifests use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonTimestamp => "json_timestamp",
        }
    }

    /// What object names end in.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonTimestamp => "log",
        }
    }
}

/// What is exported, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) format: ExportFormat,
    pub(crate) gzip: bool,
    pub(crate) object_bytes: u64,
    pub(crate) log_types: Vec<LogType>,
    /// Names and kinds of events; empty: all.
    pub(crate) events: Vec<String>,
    /// Names and kinds that are exported whenever any are listed.
    pub(crate) always: Vec<String>,
    pub(crate) repositories: Vec<String>,
    /// Scopes with all below them.
    pub(crate) scopes: Vec<String>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            format: ExportFormat::Json,
            gzip: false,
            object_bytes: 16 * 1024 * 1024,
            log_types: LogType::ALL.to_vec(),
            events: Vec::new(),
            always: Vec::new(),
            repositories: Vec::new(),
            scopes: Vec::new(),
        }
    }
}

impl Recipe {
    /// Which records are chosen; in manifests and the state file.
    pub(crate) fn filter_json(&self) -> Value {
        let types: Vec<_> = self.log_types.iter().map(|log_type| log_type.as_str()).collect();
        let mut filter = Map::new();
        filter.insert("logTypes".into(), json!(types));
        for (key, names) in [
            ("events", &self.events),
            ("always", &self.always),
            ("repositories", &self.repositories),
            ("scopes", &self.scopes),
        ] {
            if !names.is_empty() {
                filter.insert(key.into(), json!(names));
            }
        }
        Value::Object(filter)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "format": self.format.as_str(),
            "gzip": self.gzip,
            "objectBytes": self.object_bytes,
            "filter": self.filter_json(),
        })
    }

    /// `None` if it is none that this version writes.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let filter = value.get("filter")?;
        let names = |key: &str| match filter.get(key) {
            None => Some(Vec::new()),
            Some(names) => names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        };
        let log_type = |name: &Value| LogType::ALL.into_iter().find(|log_type| name == log_type.as_str());
        Some(Self {
            format: ExportFormat::ALL.into_iter().find(|format| value["format"] == format.as_str())?,
            gzip: value.get("gzip")?.as_bool()?,
            object_bytes: value.get("objectBytes")?.as_u64().filter(|bytes| *bytes > 0)?,
            log_types: filter.get("logTypes")?.as_array()?.iter().map(log_type).collect::<Option<_>>()?,
            events: names("events")?,
            always: names("always")?,
            repositories: names("repositories")?,
            scopes: names("scopes")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_read_back_as_it_was_written() {
        let recipe = Recipe {
            format: ExportFormat::JsonTimestamp,
            gzip: true,
            object_bytes: 1,
            log_types: vec![LogType::Client],
            events: vec!["artifact".into(), "a,b".into()],
            always: vec!["artifact_downloaded".into()],
            repositories: vec!["r".into()],
            scopes: vec!["group/sub".into()],
        };
        for recipe in [recipe, Recipe::default()] {
            assert_eq!(Recipe::from_json(&recipe.to_json()), Some(recipe));
        }
        assert_eq!(Recipe::from_json(&json!({"format": "parquet"})), None);
    }
}
