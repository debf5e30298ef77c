//! Scheduled exports: what a file sink wrote, delivered to a folder or a bucket as objects with manifests, exactly once in effect.
//!
//! A file sink is the *spool*. A run seals what is open, reads each sealed segment, chooses records, writes objects of one
//! format, puts them, then the segment's manifest, and only then is done with the segment. See
//! [`guide::export`](crate::guide::export) for operators: settings, layout, failures, checks.
//!
//! # Example: every night, to a mounted folder
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_audit::export::{Destination, Export, Verdict, verify};
//! use tower_audit::{Auditor, sink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (spool, archive) = (folder.path().join("audit.log"), folder.path().join("archive"));
//! // Such as `/var/log/app/audit.log` and `/mnt/archive`.
//! let export = Export::to(Destination::new(archive.to_str().unwrap())).cron("0 3 * * *").timezone("Europe/Berlin");
//! let auditor = Auditor::builder().export(sink::file(spool), export).build()?;
//!
//! auditor.begin_unlisted("NightlyRun").emit().await?;
//! let report = auditor.export_now(Duration::from_secs(10)).await?;
//! assert_eq!((report.segments, report.objects, report.records), (1, 1, 2)); // `AuditStarted`, `NightlyRun`
//! auditor.shutdown(Duration::from_secs(10)).await;
//!
//! let verification = verify(archive.to_str().unwrap())?;
//! assert_eq!(verification.verdict, Verdict::Complete);
//! # Ok(())
//! # }
//! ```
//!
//! # The files
//!
//! | file | what it holds |
//! |---|---|
//! | `exporter.rs` | the thread: when a run is made, what is said of it |
//! | `schedule.rs` | cron expressions, and which run is due |
//! | `courier.rs` | one destination: a segment's steps, from its lines to its manifest |
//! | `select.rs`, `object.rs` | which records, and the bytes that are made of them |
//! | `store.rs`, `folder.rs`, `s3/` | where objects are put |
//! | `manifest.rs`, `state.rs` | what was done, for readers and for the next step |
//! | `recipe.rs`, `setup.rs` | what objects follow from; settings, checked |
//! | `verify/` | reading a destination, and judging it |

mod courier;
mod crash;
mod exporter;
mod folder;
mod manifest;
mod object;
mod recipe;
mod report;
#[cfg(feature = "s3")]
mod s3;
mod schedule;
mod select;
mod setup;
mod state;
mod store;
mod verify;

use std::fmt;
use std::time::Duration;

pub(crate) use self::exporter::{Announcement, Exporter, Plan, RunHook};
pub use self::recipe::ExportFormat;
use self::recipe::Recipe;
pub use self::report::{ExportCounters, ExportReport};
pub(crate) use self::schedule::Schedule;
pub(crate) use self::setup::{Chosen, Place, choose, report_abandoned};
pub(crate) use self::state::highest_exported;
pub use self::verify::{Finding, Verdict, Verification, verify};
use crate::{FieldGroup, LogType};

/// When exports run, and where they go; for [`AuditorBuilder::export`](crate::AuditorBuilder::export).
///
/// Everything is checked when the auditor is built. Settings from the environment (`TOWER_AUDIT_EXPORT_…`) replace those
/// given here; those for a destination apply to the first destination.
#[must_use = "an export does nothing until an auditor is built with it"]
pub struct Export {
    pub(crate) destinations: Vec<Destination>,
    pub(crate) cron: Option<String>,
    pub(crate) timezone: String,
    pub(crate) jitter: Duration,
    pub(crate) spool_bytes: u64,
    pub(crate) hook: Option<RunHook>,
    pub(crate) is_enabled: bool,
}

impl Export {
    /// Exports to this destination. Without [`Export::cron`] it runs only when asked, by
    /// [`Auditor::export_now`](crate::Auditor::export_now), and at shutdown.
    pub fn to(destination: Destination) -> Self {
        Self {
            destinations: vec![destination],
            cron: None,
            timezone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            spool_bytes: 10 * 1024 * 1024 * 1024,
            hook: None,
            is_enabled: true,
        }
    }

    /// Exports to one more destination, such as the client logs to an account of their own; never the same folder. Each
    /// destination has its own progress, stored under its URL: one that fails does not delay the others, and a new one
    /// receives the segments that are still in the spool.
    pub fn and_to(mut self, destination: Destination) -> Self {
        self.destinations.push(destination);
        self
    }

    /// When runs begin: a cron expression of 5 fields, 6 with seconds first, 7 with years last, or a macro such as `@daily`.
    /// After missed runs, one run follows; no run begins while another is in progress.
    pub fn cron(mut self, expression: impl Into<String>) -> Self {
        self.cron = Some(expression.into());
        self
    }

    /// The time zone of the expression, such as `Europe/Berlin`; `UTC` by default, because no hour occurs twice in it.
    pub fn timezone(mut self, name: impl Into<String>) -> Self {
        self.timezone = name.into();
        self
    }

    /// Delays each run by a random time of at most `limit`, so that replicas do not all export at once. No delay by default;
    /// at most a day.
    pub fn jitter(mut self, limit: Duration) -> Self {
        self.jitter = limit;
        self
    }

    /// How many bytes may wait in the spool to be exported; 10 GiB by default, at least 1 MiB. Above this limit, the spool
    /// behaves like a full disk, and the delivery classes decide what happens. Retention removes no segment that waits to be
    /// exported.
    pub fn spool_bytes(mut self, bytes: u64) -> Self {
        self.spool_bytes = bytes;
        self
    }

    /// Whether records are exported if `TOWER_AUDIT_EXPORT_ENABLED` is not set; true by default. While exports are switched
    /// off, nothing is written to the spool, because records that are never exported would fill the disk.
    pub fn enabled(mut self, on: bool) -> Self {
        self.is_enabled = on;
        self
    }

    /// Called after each run, on the exporter's thread.
    pub fn on_run(mut self, hook: impl Fn(&ExportReport) + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("destinations", &self.destinations)
            .field("cron", &self.cron)
            .field("timezone", &self.timezone)
            .field("jitter", &self.jitter)
            .finish_non_exhaustive()
    }
}

/// A folder or bucket for objects, which records it receives, and in which format.
#[derive(Clone)]
#[must_use = "a destination does nothing until an export has it"]
pub struct Destination {
    pub(crate) url: String,
    pub(crate) recipe: Recipe,
    pub(crate) bucket: BucketOptions,
}

/// Without a URL that is refused: it may hold a password.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, recipe, bucket } = self;
        let url = crate::config::location(url).map_or("not a destination", |_| url);
        f.debug_struct("Destination").field("url", &url).field("recipe", recipe).field("bucket", bucket).finish()
    }
}

/// What holds for a bucket only.
#[derive(Clone, Default)]
pub(crate) struct BucketOptions {
    pub(crate) region: Option<String>,
    pub(crate) role_arn: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) acl: Option<CannedAcl>,
}

/// Without the external id.
impl fmt::Debug for BucketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, role_arn, kms_key_id, acl, .. } = self;
        let mut shown = f.debug_struct("BucketOptions");
        shown.field("region", region).field("role_arn", role_arn).field("kms_key_id", kms_key_id).field("acl", acl);
        shown.finish_non_exhaustive()
    }
}

/// Who may read an object besides the account that put it: one of Amazon's canned ACLs.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CannedAcl {
    /// The account that owns the bucket gets full control of objects that another account puts. Needed only for buckets with
    /// ACLs; new buckets have none by default. It requires the permission `s3:PutObjectAcl`.
    BucketOwnerFullControl,
}

impl CannedAcl {
    pub(crate) const ALL: [Self; 1] = [Self::BucketOwnerFullControl];

    /// The name that requests and settings use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BucketOwnerFullControl => "bucket-owner-full-control",
        }
    }
}

impl Destination {
    /// A folder: an absolute path such as `/mnt/archive`, or its URL `file:///mnt/archive`. The folder is made if it is missing;
    /// the one above it must exist.
    ///
    /// With the feature `s3`, a bucket: `s3://bucket/prefix`. Keys, region and endpoint come from the usual `AWS_…` variables;
    /// see [`guide::export`](crate::guide::export).
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), recipe: Recipe::default(), bucket: BucketOptions::default() }
    }

    /// The region of a bucket, such as `eu-central-1`; `AWS_REGION` by default.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn region(mut self, name: impl Into<String>) -> Self {
        self.bucket.region = Some(name.into());
        self
    }

    /// A role that is assumed for the bucket, such as `arn:aws:iam::123456789012:role/LogsWriter`; none by default: the keys of
    /// the environment are used as they are.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn role_arn(mut self, arn: impl Into<String>) -> Self {
        self.bucket.role_arn = Some(arn.into());
        self
    }

    /// The external id that the role's owner asks for. It is shown in no record and no message.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.bucket.external_id = Some(id.into());
        self
    }

    /// The KMS key with which the bucket encrypts objects (SSE-KMS): its id, its ARN, or an alias. By default the bucket decides.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn kms_key_id(mut self, id: impl Into<String>) -> Self {
        self.bucket.kms_key_id = Some(id.into());
        self
    }

    /// The canned ACL of objects in a bucket; none by default.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn acl(mut self, acl: CannedAcl) -> Self {
        self.bucket.acl = Some(acl);
        self
    }

    /// How records are written; [`ExportFormat::Csv`] by default.
    pub fn format(mut self, format: ExportFormat) -> Self {
        self.recipe.format = format;
        self
    }

    /// The columns of CSV: `flat` (the default), `cloudsmith`, or fields such as `timestamp,eventName,actor.actorId`.
    ///
    /// `cloudsmith` is [`Columns::client_log`](crate::format::Columns::client_log) for client logs and
    /// [`Columns::audit_log`](crate::format::Columns::audit_log) for audit logs: they have no place for initiations, which are then
    /// not exported.
    pub fn columns(mut self, columns: impl Into<String>) -> Self {
        self.recipe.columns = columns.into();
        self
    }

    /// Groups of fields that are left out of each record; none by default. A column of CSV stays, and its cells are empty.
    pub fn omit(mut self, groups: impl IntoIterator<Item = FieldGroup>) -> Self {
        self.recipe.omit = groups.into_iter().collect();
        self
    }

    /// Whether objects are compressed with gzip; not by default.
    pub fn gzip(mut self, on: bool) -> Self {
        self.recipe.gzip = on;
        self
    }

    /// The largest size of an object in bytes, before compression: 16 MiB by default, from 64 KiB to 1 GiB. One object for
    /// each log type is held in memory. A longer record gets its own object. After each 256 objects of a segment the size
    /// doubles, up to 1 GiB, so that the list in the manifest stays short.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.recipe.object_bytes = bytes;
        self
    }

    /// Which log types it gets; both by default. This library's own records are among the audit logs.
    pub fn log_types(mut self, log_types: impl IntoIterator<Item = LogType>) -> Self {
        self.recipe.log_types = log_types.into_iter().collect();
        self.recipe.log_types.sort_by_key(|log_type| log_type.as_str());
        self.recipe.log_types.dedup();
        self
    }

    /// Names and kinds of the events that it gets; all by default.
    pub fn events<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.recipe.events = names.into_iter().map(Into::into).collect();
        self
    }

    /// Names and kinds of further events that it gets, if [`Destination::events`] lists any.
    pub fn always<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.recipe.always = names.into_iter().map(Into::into).collect();
        self
    }

    /// The repositories (`repository`) whose records it gets; all by default.
    pub fn repositories<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.recipe.repositories = names.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes (`scope.path`) whose records it gets, each with all scopes below it; all by default. A `/` at the
    /// beginning or end is ignored; an empty path is an error.
    pub fn scopes<N: Into<String>>(mut self, paths: impl IntoIterator<Item = N>) -> Self {
        self.recipe.scopes = paths.into_iter().map(Into::into).collect();
        self
    }
}

#[cfg(test)]
mod tests;
