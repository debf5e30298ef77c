//! The audit log of Psono: the routes and event codes of its documentation's sample, and its own settings.
//!
//! Lines in Psono's shape are those of [`key_value`](crate::format::key_value). An event's code is its name with `_SUCCESS` or
//! `_ERROR`; requests that match no event get a derived one, `HTTP_REQUEST_SUCCESS`. Bodies are not shown: a vault's requests hold
//! what it keeps secret. The key `token_id` of `LOGIN_ACTIVATE_TOKEN` is for the handler to set, as `meta`.
//!
//! # Example: Psono's lines in a file, and its settings
//!
//! ```no_run
//! use tower_audit::format::key_value;
//! use tower_audit::sink::{self, Output};
//! use tower_audit::{Auditor, presets};
//!
//! # fn main() -> Result<(), tower_audit::Error> {
//! let file = sink::file("/var/log/psono/audit.log").open()?;
//! let auditor = Auditor::builder()
//!     .catalog(presets::psono::catalog())
//!     .sink(Output::new(file).format(key_value()))
//!     .aliases(presets::psono::ALIASES)
//!     .from_env()?
//!     .build()?;
//! # drop(auditor);
//! # Ok(())
//! # }
//! ```

use http::Method;

use crate::{Bodies, Catalog, Event};

/// Psono's own settings, for [`AuditorBuilder::aliases`](crate::AuditorBuilder::aliases).
///
/// Psono's audit log is off unless `LOGGING_AUDIT` is true; this one is on unless it is false, because the layer was added on
/// purpose.
pub const ALIASES: &[(&str, &str)] = &[
    ("LOGGING_AUDIT", "TOWER_AUDIT_ENABLED"),
    ("LOGGING_AUDIT_WHITELIST", "TOWER_AUDIT_ALLOW"),
    ("LOGGING_AUDIT_BLACKLIST", "TOWER_AUDIT_DENY"),
];

/// The events of the sample: the code without its end, the view that logs it, and its route.
const EVENTS: &[(&str, &str, Method, &str)] = &[
    ("READ_INFO", "restapi.views.info", Method::GET, "/info/"),
    ("LOGIN_STARTED", "restapi.views.login", Method::POST, "/authentication/login/"),
    ("LOGIN_ACTIVATE_TOKEN", "restapi.views.activate_token", Method::POST, "/authentication/activate-token/"),
    ("READ_STATUS", "restapi.views.status", Method::GET, "/user/status/"),
    ("LIST_ALL_DATASTORES", "restapi.views.datastore", Method::GET, "/datastore/"),
    ("LIST_DATASTORE", "restapi.views.datastore", Method::GET, "/datastore/{datastore_id}/"),
    ("READ_GROUP_SHARE_RIGHTS", "restapi.views.share_right", Method::GET, "/share/right/"),
    ("READ_SHARE", "restapi.views.share", Method::GET, "/share/{share_id}/"),
    ("CHECK_HEALTH", "restapi.views.health_check", Method::GET, "/healthcheck/"),
];

/// The nine events of the sample.
pub fn catalog() -> Catalog {
    EVENTS.iter().fold(Catalog::new(), |catalog, (name, component, method, route)| {
        let event = Event::new(*name).component(*component).bodies(Bodies::None);
        catalog.event(event.on(method.clone(), *route))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_valid() {
        assert!(catalog().check().is_ok());
        assert_eq!(EVENTS.len(), 9);
    }
}
