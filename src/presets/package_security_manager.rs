//! The events of Anaconda's Package Security Manager: 40 types in 11 groups, as its audit event export lists them.
//!
//! The names and groups are those of the product, so that a reader of its exports reads these records too: the name is
//! `eventName`, the group `eventKind`. They are the application's to record: with [`Auditor::begin`](crate::Auditor::begin), or
//! for a request, if [`catalog_with`] gives the event a route.
//!
//! Source: Anaconda, Package Security Manager, "Audit event export".
//!
//! ```
//! use http::Method;
//! use tower_audit::presets::package_security_manager::{self, events};
//! use tower_audit::{Actor, Auditor, Entity, sink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_audit::Error> {
//! let catalog = package_security_manager::catalog_with(|name, event| match name {
//!     events::ARTIFACT_DOWNLOADED => event.on(Method::GET, "/repo/{channel}/{subdir}/{file}"),
//!     _ => event,
//! });
//! let (lines, records) = sink::memory();
//! let auditor = Auditor::builder().catalog(catalog).sink(lines).build()?;
//! let change = auditor.begin(events::CHANNEL_CREATED).actor(Actor::user("jane"));
//! change.object(Entity::new("channel").name("main")).emit().await?;
//! # auditor.flush(std::time::Duration::from_secs(10)).await;
//! assert!(records.text().contains(r#""eventName":"channel_created","eventKind":"channel""#));
//! # Ok(())
//! # }
//! ```

use crate::{Catalog, Event};

/// The variables with which the product exports its events, and the settings that they are here; for
/// [`AuditorBuilder::aliases`](crate::AuditorBuilder::aliases). The feature `export` does what they ask for.
///
/// `REPO_AUDIT_REPORT_FS` takes the path of a folder or its URL; nothing is put in the place of braces such as `{BASE_PATH}`.
/// With `REPO_CONFIGURE_AUDIT_EVENT_TYPES` the product exports `artifact_downloaded` besides what is listed: give the destination
/// `always([events::ARTIFACT_DOWNLOADED])`. `REPO_AUDIT_REPORT_FS_KMS_ID` needs a bucket (feature `s3`).
///
/// ```
/// # #[cfg(feature = "export")]
/// # fn main() -> Result<(), tower_audit::Error> {
/// use tower_audit::export::{Destination, Export};
/// use tower_audit::presets::package_security_manager::{self, events};
/// use tower_audit::{Auditor, sink};
///
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let data = folder.path();
/// let destination = Destination::new(data.join("exports").display().to_string()).always([events::ARTIFACT_DOWNLOADED]);
/// let auditor = Auditor::builder()
///     .catalog(package_security_manager::catalog())
///     .export(sink::file(data.join("audit.log")), Export::to(destination).enabled(false))
///     .aliases(package_security_manager::ALIASES)
///     .from_env()?
///     .build()?;
/// # drop(auditor);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "export"))]
/// # fn main() {}
/// ```
pub const ALIASES: &[(&str, &str)] = &[
    ("REPO_ENABLE_GENERATE_AUDIT_REPORTS", "TOWER_AUDIT_EXPORT_ENABLED"),
    ("REPO_SCHEDULE_AUDIT_REPORT_CRON", "TOWER_AUDIT_EXPORT_CRON"),
    ("REPO_AUDIT_REPORT_FS", "TOWER_AUDIT_EXPORT_URL"),
    ("REPO_AUDIT_REPORT_DOWNLOAD_AS", "TOWER_AUDIT_EXPORT_FORMAT"),
    ("REPO_CONFIGURE_AUDIT_EVENT_TYPES", "TOWER_AUDIT_EXPORT_EVENTS"),
    ("REPO_AUDIT_REPORT_FS_KMS_ID", "TOWER_AUDIT_EXPORT_KMS_KEY_ID"),
];

/// The names of the events.
pub mod events {
    /// An artifact was copied to another channel.
    pub const ARTIFACT_COPIED: &str = "artifact_copied";
    /// An artifact was downloaded.
    pub const ARTIFACT_DOWNLOADED: &str = "artifact_downloaded";
    /// An artifact was generated.
    pub const ARTIFACT_GENERATED: &str = "artifact_generated";
    /// The metadata of an artifact was updated.
    pub const ARTIFACT_METADATA_UPDATED: &str = "artifact_metadata_updated";
    /// An artifact was registered.
    pub const ARTIFACT_REGISTERED: &str = "artifact_registered";
    /// An artifact was removed.
    pub const ARTIFACT_REMOVED: &str = "artifact_removed";
    /// An artifact was skipped.
    pub const ARTIFACT_SKIPPED: &str = "artifact_skipped";
    /// The view of artifacts was refreshed.
    pub const ARTIFACT_VIEW_REFRESHED: &str = "artifact_view_refreshed";

    /// An automatic role was added.
    pub const AUTO_ROLE_ADDED: &str = "auto_role_added";
    /// An automatic role was deleted.
    pub const AUTO_ROLE_DELETED: &str = "auto_role_deleted";
    /// An automatic role was updated.
    pub const AUTO_ROLE_UPDATED: &str = "auto_role_updated";

    /// The owners of a channel were notified of a CVE.
    pub const BUILD_CHANNEL_CVE_NOTIFICATION: &str = "build_channel_cve_notification";

    /// A channel was created.
    pub const CHANNEL_CREATED: &str = "channel_created";
    /// The number of CVEs of a channel was updated.
    pub const CHANNEL_CVE_COUNT_UPDATE: &str = "channel_cve_count_update";
    /// A channel was deleted.
    pub const CHANNEL_DELETED: &str = "channel_deleted";
    /// A group was added to a channel.
    pub const CHANNEL_GROUP_ADDED: &str = "channel_group_added";
    /// A group was deleted from a channel.
    pub const CHANNEL_GROUP_DELETED: &str = "channel_group_deleted";
    /// The refresh of a channel was completed.
    pub const CHANNEL_REFRESH_COMPLETE: &str = "channel_refresh_complete";
    /// A channel was indexed again.
    pub const CHANNEL_REINDEX: &str = "channel_reindex";
    /// A channel was unfrozen.
    pub const CHANNEL_UNFROZEN: &str = "channel_unfrozen";
    /// A channel was updated.
    pub const CHANNEL_UPDATED: &str = "channel_updated";

    /// A CVE was deleted.
    pub const CVE_DELETED: &str = "cve_deleted";
    /// The update of CVEs was finished.
    pub const CVE_UPDATE_FINISHED: &str = "cve_update_finished";
    /// A CVE was updated.
    pub const CVE_UPDATED: &str = "cve_updated";

    /// A user was added to a group.
    pub const GROUP_USER_ADDED: &str = "group_user_added";
    /// A user was deleted from a group.
    pub const GROUP_USER_DELETED: &str = "group_user_deleted";

    /// A mirror was deleted.
    pub const MIRROR_DELETED: &str = "mirror_deleted";
    /// A mirror was registered.
    pub const MIRROR_REGISTERED: &str = "mirror_registered";
    /// A mirror was updated.
    pub const MIRROR_UPDATED: &str = "mirror_updated";

    /// Mirroring was completed.
    pub const MIRRORING_COMPLETED: &str = "mirroring_completed";
    /// Mirroring failed.
    pub const MIRRORING_FAILED: &str = "mirroring_failed";
    /// Mirroring was started.
    pub const MIRRORING_STARTED: &str = "mirroring_started";
    /// Mirroring was stopped.
    pub const MIRRORING_STOPPED: &str = "mirroring_stopped";

    /// A report was generated.
    pub const REPORT_GENERATED: &str = "report_generated";

    /// A software bill of materials was deleted.
    pub const SBOM_DELETED: &str = "sbom_deleted";
    /// A software bill of materials was updated.
    pub const SBOM_UPDATED: &str = "sbom_updated";

    /// A token of a user was created.
    pub const USER_TOKEN_CREATED: &str = "user_token_created";
    /// The metadata of a token of a user was updated.
    pub const USER_TOKEN_METADATA_UPDATED: &str = "user_token_metadata_updated";
    /// A token of a user was revoked.
    pub const USER_TOKEN_REVOKED: &str = "user_token_revoked";
    /// A token of a user was updated.
    pub const USER_TOKEN_UPDATED: &str = "user_token_updated";
}

/// The groups, each with its events, in the order of the source.
const GROUPS: [(&str, &[&str]); 11] = [
    (
        "artifact",
        &[
            events::ARTIFACT_COPIED,
            events::ARTIFACT_DOWNLOADED,
            events::ARTIFACT_GENERATED,
            events::ARTIFACT_METADATA_UPDATED,
            events::ARTIFACT_REGISTERED,
            events::ARTIFACT_REMOVED,
            events::ARTIFACT_SKIPPED,
            events::ARTIFACT_VIEW_REFRESHED,
        ],
    ),
    ("authentication", &[events::AUTO_ROLE_ADDED, events::AUTO_ROLE_DELETED, events::AUTO_ROLE_UPDATED]),
    ("build", &[events::BUILD_CHANNEL_CVE_NOTIFICATION]),
    (
        "channel",
        &[
            events::CHANNEL_CREATED,
            events::CHANNEL_CVE_COUNT_UPDATE,
            events::CHANNEL_DELETED,
            events::CHANNEL_GROUP_ADDED,
            events::CHANNEL_GROUP_DELETED,
            events::CHANNEL_REFRESH_COMPLETE,
            events::CHANNEL_REINDEX,
            events::CHANNEL_UNFROZEN,
            events::CHANNEL_UPDATED,
        ],
    ),
    ("cve", &[events::CVE_DELETED, events::CVE_UPDATE_FINISHED, events::CVE_UPDATED]),
    ("group", &[events::GROUP_USER_ADDED, events::GROUP_USER_DELETED]),
    ("mirror", &[events::MIRROR_DELETED, events::MIRROR_REGISTERED, events::MIRROR_UPDATED]),
    (
        "mirroring",
        &[events::MIRRORING_COMPLETED, events::MIRRORING_FAILED, events::MIRRORING_STARTED, events::MIRRORING_STOPPED],
    ),
    ("report", &[events::REPORT_GENERATED]),
    ("sbom", &[events::SBOM_DELETED, events::SBOM_UPDATED]),
    (
        "user",
        &[
            events::USER_TOKEN_CREATED,
            events::USER_TOKEN_METADATA_UPDATED,
            events::USER_TOKEN_REVOKED,
            events::USER_TOKEN_UPDATED,
        ],
    ),
];

/// The events, all without a route.
pub fn catalog() -> Catalog {
    catalog_with(|_, event| event)
}

/// The events, each as `change` returns it: given a route, or another policy.
pub fn catalog_with(mut change: impl FnMut(&'static str, Event) -> Event) -> Catalog {
    let all = GROUPS.into_iter().flat_map(|(group, names)| names.iter().map(move |name| (group, *name)));
    all.fold(Catalog::new(), |catalog, (group, name)| {
        let event = Event::new(name).kind(group).message("{event} of {object} by {actor.name} {result}");
        catalog.event(change(name, event))
    })
}

/// The names of a group's events, such as those of `artifact`; empty if there is no such group.
pub fn group(name: &str) -> &'static [&'static str] {
    GROUPS.into_iter().find(|(group, _)| *group == name).map_or(&[], |(_, names)| names)
}

/// The names of the groups, which are `eventKind` of their events.
pub fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().map(|(group, _)| group)
}
