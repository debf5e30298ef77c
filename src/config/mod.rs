//! Settings from outside: what an operator changes without a new build, from the environment and a TOML file.
//!
//! The environment comes before the file that `TOWER_AUDIT_CONFIG` names, and both before what code says. A setting that is
//! unknown or bad is an error at start, because an audit trail that silently ignores its configuration is found out when
//! it is needed. All errors are reported at once, one line each.
//!
//! `settings!` below holds the one table: adding a setting is adding a line to it. A line `queue_records` is the
//! variable `TOWER_AUDIT_QUEUE_RECORDS` and the key `queue_records` of the file.
//!
//! An empty value is an error like any other bad one, except for lists, which can be empty on purpose (to trust no proxy
//! although the file does). In the file, numbers, booleans and arrays may be written as such or as strings.

mod destination;
mod env;
#[cfg(feature = "toml")]
mod toml;
mod units;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

#[cfg(feature = "s3")]
pub(crate) use self::destination::BucketUrl;
#[cfg(feature = "export")]
pub(crate) use self::destination::{Location, location};
pub(crate) use self::destination::{external_id, kms_key_id, role_arn};
pub(crate) use self::env::Alias;
use self::env::Environment;
use self::units::Given;
pub(crate) use self::units::Refusal;
use crate::capture::{TRUSTED_PEER_ALLOWED, TrustedPeer};
use crate::diagnostics::report;
use crate::error::Error;
use crate::format::Columns;
use crate::record::{BodyAs, Delivery, FieldGroup, Reads, Stages, UserAgentKey};

/// What happens to settings that this version does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They keep the server from starting: a misspelt setting must not pass for one that works.
    #[default]
    Error,
    /// They are reported as warnings: for fleets in which not every server has the newest version yet.
    Warn,
}

impl Unknown {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }
}

/// Where the records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SinkChoice {
    /// `stdout`
    Stdout,
    /// `stderr`
    Stderr,
    /// `file:///folder/audit.log`
    File(PathBuf),
}

/// What lines look like, by the name of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatChoice {
    Json,
    JsonTimestamp,
    Csv,
    Combined,
    Common,
    KeyValue,
}

impl FormatChoice {
    const ALL: &[Self] = &[Self::Json, Self::JsonTimestamp, Self::Csv, Self::Combined, Self::Common, Self::KeyValue];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonTimestamp => "json_timestamp",
            Self::Csv => "csv",
            Self::Combined => "combined",
            Self::Common => "common",
            Self::KeyValue => "key_value",
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The table of settings: a field, its type, and the parser that also says what is allowed.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $parse:expr;)+) => {
        /// What was said from outside; `None` where nothing was.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Settings {
            $($(#[$doc])* pub(crate) $field: Option<$type>,)+
            chosen: Vec<Chosen>,
            warnings: Vec<String>,
        }

        const TABLE: &[Setting] = &[$(Setting {
            key: stringify!($field),
            store: |settings, given| {
                let parse: fn(&Given<'_>) -> Result<$type, Refusal> = $parse;
                settings.$field = Some(parse(given)?);
                Ok(())
            },
        }),+];
    };
}

settings! {
    /// Whether anything is audited; `AuditStarted` and `AuditStopped` are written all the same.
    enabled: bool = units::switch;
    /// The `service` of every record.
    service: String = |given| units::text(given, 128);
    /// Where the records go.
    sink: SinkChoice = units::sink;
    /// What its lines look like.
    format: FormatChoice = |given| units::one_of(given, FormatChoice::ALL, FormatChoice::as_str);
    /// The columns of `format=csv`.
    csv_columns: Columns = units::columns;
    /// Groups of fields that no output shows.
    omit: Vec<FieldGroup> = |given| units::list(given, 64, FieldGroup::ALLOWED, FieldGroup::of);
    /// A segment of the file is limited to this size; the least holds several of the longest lines of the default.
    rotate_bytes: u64 = |given| units::size(given, 64 * KIB..=1_024 * GIB).map(|bytes| bytes as u64);
    /// A segment of the file covers at most so long: from a minute to a leap year.
    rotate_every: Duration = |given| units::duration(given, Duration::from_secs(60)..=Duration::from_secs(366 * 86_400));
    /// How many sealed segments of the file are kept.
    keep_files: usize = |given| units::count(given, 1..=1_000_000);
    /// Segments that were sealed longer ago are removed.
    keep_for: Duration = |given| units::duration(given, Duration::from_secs(60)..=Duration::from_secs(36_600 * 86_400));
    /// Events that are written; all if there is none.
    allow: Vec<String> = |given| units::list(given, 16_384, units::EVENT_ALLOWED, units::event);
    /// Events that are not written.
    deny: Vec<String> = |given| units::list(given, 16_384, units::EVENT_ALLOWED, units::event);
    /// Stages of events that do not say.
    stages: Stages = |given| units::one_of(given, &[Stages::Completion, Stages::Both], |stages| stages.as_str());
    /// The delivery class of events that do not say.
    delivery: Delivery = |given| units::one_of(given, &[Delivery::Lossy, Delivery::Backpressure, Delivery::Durable, Delivery::FailClosed], |class| class.as_str());
    /// How much is recorded of reads.
    reads: Reads = |given| units::one_of(given, &[Reads::Skip, Reads::Lossy, Reads::Debug, Reads::Record], |reads| reads.as_str());
    /// How long a request waits for capacity: up to ten minutes, beyond which no client waits either.
    admission_timeout: Duration = |given| units::duration(given, Duration::ZERO..=Duration::from_secs(600));
    /// Finished records that are not yet written.
    queue_records: usize = |given| units::count(given, 1..=16_777_216);
    /// Captured bytes that are not yet written; the least holds two bodies of the default size.
    queue_bytes: usize = |given| units::size(given, 64 * KIB..=16 * GIB);
    /// The longest line. What is never cut (ids, names, actor, address, method, route) has to fit into the least.
    max_line_bytes: usize = |given| units::size(given, 4 * KIB..=16 * MIB);
    /// How much of a body is kept; 0 keeps none.
    max_body_bytes: usize = |given| units::size(given, 0..=16 * MIB);
    /// Whose proxy and identity headers count.
    trusted_proxies: Vec<TrustedPeer> = |given| units::list(given, 1_024, TRUSTED_PEER_ALLOWED, |item| item.parse().ok());
    /// The header in which trusted proxies name the client's address.
    client_ip_header: HeaderName = units::header_name;
    /// A file in MaxMind's format that maps addresses to places.
    geoip_file: PathBuf = units::path;
    /// Keys that are secret besides the listed ones.
    redact_keys: Vec<String> = |given| units::list(given, 256, units::PHRASE_ALLOWED, units::phrase);
    /// Keys that are not secret although they look it.
    redact_except: Vec<String> = |given| units::list(given, 1_024, units::NAME_ALLOWED, units::name);
    /// Under which key the user agent is written.
    user_agent_key: UserAgentKey = |given| units::one_of(
        given, &[UserAgentKey::Client, UserAgentKey::UserAgent, UserAgentKey::Both], |key| key.as_str());
    /// How bodies are written in a record.
    body_as: BodyAs = |given| units::one_of(given, &[BodyAs::Json, BodyAs::String], |body_as| body_as.as_str());
    /// Whether responses carry the header `Audit-ID`.
    audit_id_header: bool = units::switch;
    /// Whether the spool is exported.
    export_enabled: bool = units::switch;
    /// When exports run.
    export_cron: String = |given| units::text(given, 256);
    /// Where they go: checked, and as it was given.
    export_url: String = destination::url;
    /// The file that is exported, beside the sink.
    export_spool: PathBuf = units::file_url;
    /// Bytes that may wait to be exported.
    export_spool_bytes: u64 = |given| units::size(given, MIB..=1_024 * GIB).map(|bytes| bytes as u64);
    /// How exported records are written.
    export_format: String = |given| units::one_of_names(given, &["csv", "json", "json_timestamp", "combined"]);
    /// The columns of exported CSV.
    export_csv_columns: String = |given| units::joined(given, 8_192);
    /// Groups of fields that are not exported.
    export_omit: Vec<FieldGroup> = |given| units::list(given, 64, FieldGroup::ALLOWED, FieldGroup::of);
    /// Whether objects are compressed.
    export_gzip: bool = units::switch;
    /// Names and kinds of the events that are exported.
    export_events: Vec<String> = |given| units::list(given, 1_024, units::NAME_ALLOWED, units::name);
    /// Repositories whose records are exported.
    export_repositories: Vec<String> = |given| units::list(given, 1_024, units::NAME_ALLOWED, units::name);
    /// Scopes whose records are exported, with all below them.
    export_scopes: Vec<String> = |given| units::list(given, 1_024, units::NAME_ALLOWED, units::name);
    /// Log types that are exported.
    export_log_types: Vec<String> = |given| units::list(
        given, 2, "audit, client, or both separated by a comma", |name| matches!(name, "audit" | "client").then(|| name.to_owned()));
    /// The time zone of the schedule.
    export_timezone: String = |given| units::text(given, 128);
    /// A random delay of each run.
    export_jitter: Duration = |given| units::duration(given, Duration::ZERO..=Duration::from_secs(86_400));
    /// The size of an exported object, before compression.
    export_object_bytes: u64 = |given| units::size(given, 64 * KIB..=GIB).map(|bytes| bytes as u64);
    /// The role that is assumed for a bucket.
    export_role_arn: String = |given| destination::checked(given, role_arn);
    /// What the role's owner asks for besides.
    export_external_id: String = |given| destination::checked(given, external_id);
    /// The key with which a bucket's objects are encrypted.
    export_kms_key_id: String = |given| destination::checked(given, kms_key_id);
    /// The canned ACL of a bucket's objects.
    export_acl: String = |given| units::one_of_names(given, &["none", "bucket-owner-full-control"]);
    /// What happens to settings that this version does not know.
    unknown: Unknown = |given| units::one_of(given, &[Unknown::Error, Unknown::Warn], |unknown| unknown.as_str());
}

/// Settings whose values are in no record and no message.
const SECRET: &[&str] = &["export_external_id"];

struct Setting {
    key: &'static str,
    store: fn(&mut Settings, &Given<'_>) -> Result<(), Refusal>,
}

/// One setting as it was said.
#[derive(Clone, Debug, PartialEq)]
struct Chosen {
    key: &'static str,
    /// What it was called: the variable, which may be one of another product, or the key in the file.
    name: String,
    value: String,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Environment,
    File,
}

/// The settings of this process, without those that are bad; and an error that names every one that is bad or unknown, what was
/// given, and what is allowed.
pub(crate) fn from_env(aliases: &[Alias]) -> (Settings, Option<Error>) {
    let (settings, refused) = Settings::read(std::env::vars_os(), aliases);
    for warning in &settings.warnings {
        report(|| tracing::warn!(target: "tower_audit", "{warning}"));
    }
    (settings, refused)
}

/// A name as it is reported: it may hold anything, and each complaint stays one line.
fn on_one_line(name: &str) -> String {
    let mut line = String::with_capacity(name.len());
    for char in name.chars() {
        if char.is_control() { line.extend(char.escape_unicode()) } else { line.push(char) }
    }
    line
}

impl Settings {
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Self, Error>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        Self::from_vars_and_aliases(vars, &[])
    }

    #[cfg(any(test, feature = "__fuzzing"))]
    fn from_vars_and_aliases<N, V>(vars: impl IntoIterator<Item = (N, V)>, aliases: &[Alias]) -> Result<Self, Error>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let (settings, refused) = Self::read(vars, aliases);
        refused.map_or(Ok(settings), Err)
    }

    /// The settings that these variables make, and the file that they name; and what is wrong with them.
    fn read<N, V>(vars: impl IntoIterator<Item = (N, V)>, aliases: &[Alias]) -> (Self, Option<Error>)
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let Environment { given, config, mut complaints } = Environment::read(vars, aliases);
        let mut settings = Self::default();
        if let Some(path) = &config {
            settings.read_file(path, &mut complaints);
        }
        for (key, name, value) in &given {
            settings.store(key, name, &Given::Text(value), Origin::Environment, &mut complaints);
        }
        let refused = settings.judge(complaints);
        (settings, refused)
    }

    /// The keys of the settings that were given.
    pub(crate) fn keys_given(&self) -> impl Iterator<Item = &'static str> {
        self.chosen.iter().map(|chosen| chosen.key)
    }

    /// The setting in the words of where it was given: the variable, the file's key, or else what code calls it.
    pub(crate) fn name_of(&self, key: &str, code: &str) -> String {
        let chosen = self.chosen.iter().find(|chosen| chosen.key == key);
        chosen.map_or(code, |chosen| &chosen.name).to_owned()
    }

    /// How another setting is given beside one that was given: in the same place, or in the environment.
    pub(crate) fn add_beside(&self, given: &str, key: &str, value: &str) -> String {
        match self.chosen.iter().find(|chosen| chosen.key == given).map(|chosen| chosen.origin) {
            Some(Origin::File) => format!("{key} = {value:?}"),
            _ => format!("{}={value}", env::variable(key)),
        }
    }

    /// What was set, and where: for the digest in `AuditStarted`, in the order of the table.
    pub(crate) fn describe(&self) -> Vec<(&'static str, String)> {
        let describe = |chosen: &Chosen| {
            let origin = match chosen.origin {
                Origin::Environment => "environment",
                Origin::File => "file",
            };
            (chosen.key, format!("{} ({origin})", chosen.value))
        };
        let keys = std::iter::once(env::CONFIG).chain(TABLE.iter().map(|setting| setting.key));
        keys.filter_map(|key| self.chosen.iter().find(|chosen| chosen.key == key)).map(describe).collect()
    }

    /// The same as a JSON object.
    pub(crate) fn describe_as_json(&self) -> serde_json::Value {
        let mut members = serde_json::Map::new();
        for (key, value) in self.describe() {
            members.insert(key.to_owned(), value.into());
        }
        members.into()
    }

    #[cfg(test)]
    /// Unknown settings that `TOWER_AUDIT_UNKNOWN=warn` let pass.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn read_file(&mut self, path: &Path, complaints: &mut Complaints) {
        self.chosen.push(Chosen {
            key: env::CONFIG,
            name: env::variable(env::CONFIG),
            value: path.display().to_string(),
            origin: Origin::Environment,
        });
        match read_pairs(path) {
            Ok(pairs) => {
                for (key, given) in &pairs {
                    let name = format!("{key:?} in {}", path.display());
                    match given {
                        Ok(given) => self.store(key, &name, &given.borrow(), Origin::File, complaints),
                        Err(kind) => self.refuse_kind(key, &name, kind, complaints),
                    }
                }
            }
            Err(error) => complaints.fatal(error),
        }
    }

    fn store(&mut self, key: &str, name: &str, given: &Given<'_>, origin: Origin, complaints: &mut Complaints) {
        let Some(setting) = TABLE.iter().find(|setting| setting.key == key) else {
            return complaints.unknown(name);
        };
        match (setting.store)(self, given) {
            Ok(()) => {
                let value = if SECRET.contains(&setting.key) { "[REDACTED]".to_owned() } else { given.to_string() };
                self.chosen.retain(|chosen| chosen.key != setting.key);
                self.chosen.push(Chosen { key: setting.key, name: name.to_owned(), value, origin });
            }
            Err(refusal) => complaints.bad(name, &refusal),
        }
    }

    /// Refuses a value of a kind that no setting has, such as a table.
    fn refuse_kind(&self, key: &str, name: &str, kind: &'static str, complaints: &mut Complaints) {
        if TABLE.iter().any(|setting| setting.key == key) {
            let allowed = "a string, a boolean, a whole number, or an array of strings";
            complaints.bad(name, &Refusal { given: Cow::Borrowed(kind), allowed: Cow::Borrowed(allowed) });
        } else {
            complaints.unknown(name);
        }
    }

    fn judge(&mut self, complaints: Complaints) -> Option<Error> {
        let Complaints { mut lines, unknown, source } = complaints;
        let unknown: Vec<String> =
            unknown.into_iter().map(|name| format!("unknown setting {}", on_one_line(&name))).collect();
        match self.unknown.unwrap_or_default() {
            Unknown::Warn => self.warnings = unknown,
            Unknown::Error if unknown.is_empty() => {}
            Unknown::Error => {
                lines.extend(unknown);
                lines.push(format!("allowed are {}", known()));
            }
        }
        if lines.is_empty() {
            return None;
        }
        let error = Error::setting(lines.join("\n"));
        Some(match source {
            Some(source) => error.with_source(source),
            None => error,
        })
    }
}

/// What is wrong, gathered so that an operator sees all of it at once.
#[derive(Default)]
struct Complaints {
    lines: Vec<String>,
    /// Names only: the value of a setting that we do not know may be a secret.
    unknown: Vec<String>,
    source: Option<std::io::Error>,
}

impl Complaints {
    fn bad(&mut self, name: &str, refusal: &Refusal) {
        self.lines.push(format!("{name}: given {}, allowed: {}", refusal.given, refusal.allowed));
    }

    fn unknown(&mut self, name: &str) {
        self.unknown.push(name.to_owned());
    }

    fn fatal(&mut self, error: FileError) {
        self.lines.push(error.line);
        self.source = error.source;
    }
}

fn known() -> String {
    let mut names: Vec<String> = TABLE.iter().map(|setting| env::variable(setting.key)).collect();
    names.insert(0, env::variable(env::CONFIG));
    names.join(", ")
}

/// A key of the file, and its value, or the kind of value that no setting has.
type Pair = (String, Result<OwnedGiven, &'static str>);

#[cfg_attr(not(feature = "toml"), allow(dead_code, reason = "only the file's reader makes them"))]
#[derive(Debug, PartialEq)]
enum OwnedGiven {
    Text(String),
    List(Vec<String>),
}

impl OwnedGiven {
    fn borrow(&self) -> Given<'_> {
        match self {
            Self::Text(text) => Given::Text(text),
            Self::List(items) => Given::List(items),
        }
    }
}

struct FileError {
    line: String,
    source: Option<std::io::Error>,
}

#[cfg(feature = "toml")]
fn read_pairs(path: &Path) -> Result<Vec<Pair>, FileError> {
    toml::read(path)
}

/// A file that is named and not read would be a configuration that is silently ignored.
#[cfg(not(feature = "toml"))]
fn read_pairs(path: &Path) -> Result<Vec<Pair>, FileError> {
    let name = env::variable(env::CONFIG);
    Err(FileError {
        line: format!("{name}: given {path:?}, which needs the feature `toml` of the crate tower-audit"),
        source: None,
    })
}

#[cfg(test)]
mod tests;
