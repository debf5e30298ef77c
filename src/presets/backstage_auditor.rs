//! The audit events of Red Hat Developer Hub from 1.6 on, which uses Backstage's core auditor: `eventId`, `severityLevel`,
//! `actionType` and `queryType` of each event of [`developer_hub`](super::developer_hub).
//!
//! The catalog is the same for both; an output's format decides. So one server can serve searches written for either:
//!
//! ```
//! use tower_audit::format::{backstage_auditor, json};
//! use tower_audit::sink::{self, Output};
//! use tower_audit::{Auditor, presets};
//!
//! # fn main() -> Result<(), tower_audit::Error> {
//! let ((old, flagged), (new, events)) = (sink::memory(), sink::memory());
//! let auditor = Auditor::builder()
//!     .catalog(presets::developer_hub::catalog())
//!     .sink(Output::new(old).format(json()))
//!     .sink(Output::new(new).format(backstage_auditor(presets::backstage_auditor::EVENTS)))
//!     .build()?;
//! drop(auditor);
//! assert!(flagged.lines()[0].contains(r#""isAuditLog":true"#) && events.lines()[0].contains(r#""isAuditEvent":true"#));
//! # Ok(())
//! # }
//! ```
//!
//! What changes something is `medium`, all else is `low`, because reads that drown changes were the first complaint about the new
//! format. The product records neither query, params, bodies nor responses, nor an id that joins the two stages; the other output
//! has them.

use super::developer_hub::events as hub;
use crate::format::{AuditorEvent, SeverityLevel};

const fn read(name: &'static str, id: &'static str) -> AuditorEvent {
    AuditorEvent::new(name, id)
}

const fn change(name: &'static str, id: &'static str) -> AuditorEvent {
    AuditorEvent::new(name, id).severity(SeverityLevel::Medium)
}

/// The events, for [`format::backstage_auditor`](crate::format::backstage_auditor()).
pub const EVENTS: &[AuditorEvent] = &[
    read(hub::SCAFFOLDER_PARAMETER_SCHEMA_FETCH, "template-parameter-schema"),
    read(hub::SCAFFOLDER_INSTALLED_ACTIONS_FETCH, "action-fetch"),
    change(hub::SCAFFOLDER_TASK_CREATION, "task").action("create"),
    read(hub::SCAFFOLDER_TASK_LIST_FETCH, "task").action("list"),
    read(hub::SCAFFOLDER_TASK_FETCH, "task").action("get"),
    change(hub::SCAFFOLDER_TASK_CANCELLATION, "task").action("cancel"),
    read(hub::SCAFFOLDER_TASK_STREAM, "task").action("stream"),
    read(hub::SCAFFOLDER_TASK_EVENT_FETCH, "task").action("events"),
    read(hub::SCAFFOLDER_TASK_DRY_RUN, "task").action("dry-run"),
    change(hub::SCAFFOLDER_STALE_TASK_CANCELLATION, "task").action("stale-cancel"),
    change(hub::SCAFFOLDER_TASK_EXECUTION, "task").action("execute"),
    change(hub::SCAFFOLDER_TASK_STEP_EXECUTION, "task").action("step"),
    read(hub::SCAFFOLDER_TASK_STEP_SKIP, "task").action("step"),
    read(hub::SCAFFOLDER_TASK_STEP_ITERATION, "task").action("step"),
    read(hub::CATALOG_ENTITY_ANCESTRY_FETCH, "entity-fetch").query("ancestry"),
    read(hub::CATALOG_ENTITY_BATCH_FETCH, "entity-fetch").query("by-refs"),
    change(hub::CATALOG_ENTITY_DELETION, "entity-mutate").action("delete"),
    read(hub::CATALOG_ENTITY_FACET_FETCH, "entity-facets"),
    read(hub::CATALOG_ENTITY_FETCH, "entity-fetch").query("all"),
    read(hub::CATALOG_ENTITY_FETCH_BY_NAME, "entity-fetch").query("by-name"),
    read(hub::CATALOG_ENTITY_FETCH_BY_UID, "entity-fetch").query("by-id"),
    change(hub::CATALOG_ENTITY_REFRESH, "entity-mutate").action("refresh"),
    read(hub::CATALOG_ENTITY_VALIDATE, "entity-validate"),
    change(hub::CATALOG_LOCATION_CREATION, "location-mutate").action("create"),
    read(hub::CATALOG_LOCATION_ANALYZE, "location-analyze"),
    change(hub::CATALOG_LOCATION_DELETION, "location-mutate").action("delete"),
    read(hub::CATALOG_LOCATION_FETCH, "location-fetch").query("all"),
    read(hub::CATALOG_LOCATION_FETCH_BY_ENTITY_REF, "location-fetch").query("by-entity"),
    read(hub::CATALOG_LOCATION_FETCH_BY_ID, "location-fetch").query("by-id"),
    read(hub::QUERIED_CATALOG_ENTITY_FETCH, "entity-fetch").query("by-query"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_the_catalog_has_its_entry() {
        let compiled = super::super::developer_hub::catalog().compile().unwrap();
        let mut names: Vec<&str> = compiled.events().map(|(event, _)| event.name()).collect();
        let mut listed: Vec<&str> = EVENTS.iter().map(AuditorEvent::name).collect();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(names, listed);
    }
}
