//! What an object is made of: everything that its bytes depend on besides its segment. The state file keeps it, so that a
//! segment whose export has begun is finished as it was begun.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::format::Columns;
use crate::record::setting::setting_names;
use crate::{FieldGroup, LogType};

/// The folder of a log type's objects.
pub(crate) const fn folder(log_type: LogType) -> &'static str {
    match log_type {
        LogType::Audit => "audit-logs",
        LogType::Client => "client-logs",
    }
}

/// How exported records are written.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// Rows of CSV below a header, with the columns of [`Destination::columns`](super::Destination::columns). The default.
    Csv,
    /// The JSON lines of the spool, byte for byte unless fields are left out.
    Json,
    /// `timestamp`, a space, and the line.
    JsonTimestamp,
    /// Apache's combined log format. It contains completed requests and internal records.
    Combined,
}

impl ExportFormat {
    pub(crate) const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::JsonTimestamp, Self::Combined];

    /// Whether it is made of the record, and not of its line.
    pub(crate) const fn reads_records(self) -> bool {
        matches!(self, Self::Csv | Self::Combined)
    }

    /// What object names end in.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonTimestamp | Self::Combined => "log",
        }
    }
}

setting_names!(ExportFormat {
    Csv => "csv",
    Json => "json",
    JsonTimestamp => "json_timestamp",
    Combined => "combined",
});

/// What is exported, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) format: ExportFormat,
    /// `flat`, `cloudsmith`, or fields separated by commas.
    pub(crate) columns: String,
    pub(crate) gzip: bool,
    pub(crate) object_bytes: u64,
    pub(crate) log_types: Vec<LogType>,
    /// Groups of fields that are left out.
    pub(crate) omit: Vec<FieldGroup>,
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
            format: ExportFormat::Csv,
            columns: "flat".to_owned(),
            gzip: false,
            object_bytes: 16 * 1024 * 1024,
            log_types: LogType::ALL.to_vec(),
            omit: Vec::new(),
            events: Vec::new(),
            always: Vec::new(),
            repositories: Vec::new(),
            scopes: Vec::new(),
        }
    }
}

impl Recipe {
    /// The columns of a log type's CSV. `cloudsmith` is another list for each.
    ///
    /// # Errors
    ///
    /// If a field is none.
    pub(crate) fn columns(&self, log_type: LogType) -> Result<Columns, Error> {
        match (self.columns.as_str(), log_type) {
            ("cloudsmith", LogType::Audit) => Ok(Columns::audit_log()),
            ("cloudsmith", LogType::Client) => Ok(Columns::client_log()),
            (columns, _) => columns.parse(),
        }
    }

    /// Whether rows are made of records, and not of their lines.
    pub(crate) fn reads_records(&self) -> bool {
        self.format.reads_records() || !self.omit.is_empty()
    }

    pub(crate) fn omitted_names(&self) -> Vec<&'static str> {
        self.omit.iter().map(|group| group.as_str()).collect()
    }

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
            "columns": self.columns,
            "omit": self.omitted_names(),
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
        let group = |name: &Value| FieldGroup::of(name.as_str()?);
        let log_type = |name: &Value| LogType::ALL.iter().copied().find(|log_type| name == log_type.as_str());
        Some(Self {
            format: ExportFormat::ALL.into_iter().find(|format| value["format"] == format.as_str())?,
            columns: value.get("columns")?.as_str()?.to_owned(),
            gzip: value.get("gzip")?.as_bool()?,
            object_bytes: value.get("objectBytes")?.as_u64().filter(|bytes| *bytes > 0)?,
            log_types: filter.get("logTypes")?.as_array()?.iter().map(log_type).collect::<Option<_>>()?,
            omit: value.get("omit")?.as_array()?.iter().map(group).collect::<Option<_>>()?,
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
            columns: "eventName,meta.a".into(),
            gzip: true,
            object_bytes: 1,
            log_types: vec![LogType::Client],
            omit: vec![FieldGroup::Location, FieldGroup::Bodies],
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
