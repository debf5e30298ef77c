//! Audit events of a package registry like GitLab's: who published, updated, deleted or downloaded which package, with which key.
//!
//! The four events have the routes of GitLab's generic packages and of its package API, relative to `/api/v4`; applications
//! with other routes begin with [`catalog_with`]. Only the application knows what a record has to say: it sets the actor with its
//! [credential](crate::Actor::credential), the package as [object](crate::Audit::object), the
//! [scope](crate::scope::ScopeResolver), the project, and how it was done ([`Audit::context`](crate::Audit::context): `api`,
//! `pipeline`, `manual`, `retention_policy`). An upload over an existing version is an update:
//! `audit.event(events::PACKAGE_UPDATED)`. What a retention policy deletes has no request:
//! [`Auditor::begin`](crate::Auditor::begin).
//!
//! The scope is the group that the project is in, else the project, if it belongs to a user. Whether a scope is audited say its
//! rules: see [`guide::scopes`](crate::guide::scopes). `examples/package_registry` is a server with all of this.
//!
//! Source: the discussion of package events in GitLab's audit reports, which names the events, what each has to contain (change,
//! who, which package, when, how), the scopes, and the wish to know exactly which key acted.
//!
//! ```
//! use tower_audit::{Catalog, presets};
//!
//! let catalog = Catalog::new().nest("/api/v4", presets::gitlab_packages::catalog());
//! assert!(catalog.check().is_ok());
//! ```

use http::Method;

use crate::{Bodies, Catalog, Event, LogType};

/// The names of the events.
pub mod events {
    /// A version of a package was published that did not exist before.
    pub const PACKAGE_PUBLISHED: &str = "PackagePublished";
    /// A version of a package was published over an existing one.
    pub const PACKAGE_UPDATED: &str = "PackageUpdated";
    /// A version of a package was deleted, by a request or by a retention policy.
    pub const PACKAGE_DELETED: &str = "PackageDeleted";
    /// A file of a package was downloaded. Its log type is `client`, because it is a request for content.
    pub const PACKAGE_DOWNLOADED: &str = "PackageDownloaded";
}

/// The events, with the routes of GitLab's API below `/api/v4`.
pub fn catalog() -> Catalog {
    const FILE: &str = "/projects/:project/packages/generic/:name/:version/:file";
    catalog_with(|name, event| match name {
        events::PACKAGE_PUBLISHED => event.on(Method::PUT, FILE),
        events::PACKAGE_DOWNLOADED => event.on(Method::GET, FILE),
        events::PACKAGE_DELETED => event.on(Method::DELETE, "/projects/:project/packages/:id"),
        _ => event,
    })
}

/// The events without routes, each as `change` returns it: given a route, or another policy.
///
/// ```
/// use http::Method;
/// use tower_audit::presets::gitlab_packages::{catalog_with, events};
///
/// let npm = catalog_with(|name, event| match name {
///     events::PACKAGE_PUBLISHED => event.on(Method::PUT, "/npm/{package}"),
///     events::PACKAGE_DOWNLOADED => event.on(Method::GET, "/npm/{package}/-/{file}"),
///     _ => event,
/// });
/// assert!(npm.check().is_ok());
/// ```
pub fn catalog_with(mut change: impl FnMut(&'static str, Event) -> Event) -> Catalog {
    let all = [
        (events::PACKAGE_PUBLISHED, "Publishing of {object} in {scope} by {actor.name} with {credential} {result}"),
        (events::PACKAGE_UPDATED, "Update of {object} in {scope} by {actor.name} with {credential} {result}"),
        (events::PACKAGE_DELETED, "Deletion of {object} in {scope} by {actor.name} with {credential} {result}"),
        (events::PACKAGE_DOWNLOADED, "Download of {object} in {scope} by {actor.name} with {credential} {result}"),
    ];
    all.into_iter().fold(Catalog::new(), |catalog, (name, message)| {
        let log_type = if name == events::PACKAGE_DOWNLOADED { LogType::Client } else { LogType::Audit };
        // What is uploaded is a package, not a document.
        let event = Event::new(name).kind("package").log_type(log_type).bodies(Bodies::None).message(message);
        catalog.event(change(name, event))
    })
}
