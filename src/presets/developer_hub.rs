//! The audit log of Red Hat Developer Hub 1.4: all scaffolder and catalog events of its documentation.
//!
//! Each event writes both stages, as the product does. Where the product's routes differ from its documentation, both
//! are mapped. Response bodies are shown on the creation, cancellation, dry run and fetch of a task and on the fetch of
//! a single location; lists are too large. Differences from the product: values below `secrets` are masked in dry runs
//! too, where the product leaks them, and a dry run is flagged as `meta.isDryLog`, the documented name, beside the
//! product's `meta.isDryRun`.
//!
//! The events of background work have no route: the application begins them with
//! [`Auditor::begin`](crate::Auditor::begin), with `taskId`, `templateRef` and for steps `stepId` as `meta`, which their
//! messages quote, and on steps of a dry run with both of its flags instead of a `taskId`.
//!
//! # Example: one call
//!
//! ```
//! use tower_audit::{Catalog, presets};
//!
//! let catalog: Catalog = presets::developer_hub::catalog();
//! assert_eq!(catalog, presets::developer_hub::catalog_at("/api/scaffolder", "/api/catalog"));
//! ```
//!
//! # Example: one of the plugins, elsewhere
//!
//! ```
//! use http::Method;
//! use tower_audit::{Catalog, presets};
//!
//! let catalog = Catalog::new().nest("/scaffolder", presets::developer_hub::scaffolder_plugin()).skip(Method::GET, "/healthz");
//! assert!(catalog.check().is_ok());
//! ```

use std::borrow::Cow;

use http::Method;

use crate::{Bodies, Catalog, Event, Source, Stages};

/// The names of the events, as constants, so that a misspelt name does not compile.
pub mod events {
    /// A template's parameter schema was read.
    pub const SCAFFOLDER_PARAMETER_SCHEMA_FETCH: &str = "ScaffolderParameterSchemaFetch";
    /// The list of installed actions was read.
    pub const SCAFFOLDER_INSTALLED_ACTIONS_FETCH: &str = "ScaffolderInstalledActionsFetch";
    /// A task was created.
    pub const SCAFFOLDER_TASK_CREATION: &str = "ScaffolderTaskCreation";
    /// The list of all tasks was read.
    pub const SCAFFOLDER_TASK_LIST_FETCH: &str = "ScaffolderTaskListFetch";
    /// A task was read.
    pub const SCAFFOLDER_TASK_FETCH: &str = "ScaffolderTaskFetch";
    /// A running task was cancelled.
    pub const SCAFFOLDER_TASK_CANCELLATION: &str = "ScaffolderTaskCancellation";
    /// A task's log was followed as a stream.
    pub const SCAFFOLDER_TASK_STREAM: &str = "ScaffolderTaskStream";
    /// A snapshot of a task's log was read.
    pub const SCAFFOLDER_TASK_EVENT_FETCH: &str = "ScaffolderTaskEventFetch";
    /// A template was executed as a dry run, without effects.
    pub const SCAFFOLDER_TASK_DRY_RUN: &str = "ScaffolderTaskDryRun";
    /// Background work: a stale task was cancelled.
    pub const SCAFFOLDER_STALE_TASK_CANCELLATION: &str = "ScaffolderStaleTaskCancellation";
    /// Background work: a real task ran; never during a dry run.
    pub const SCAFFOLDER_TASK_EXECUTION: &str = "ScaffolderTaskExecution";
    /// Background work: a step of a task ran.
    pub const SCAFFOLDER_TASK_STEP_EXECUTION: &str = "ScaffolderTaskStepExecution";
    /// Background work: a step was skipped, because its `if` was not met. Completion only.
    pub const SCAFFOLDER_TASK_STEP_SKIP: &str = "ScaffolderTaskStepSkip";
    /// Background work: one iteration of a step with `each` began. Initiation only.
    pub const SCAFFOLDER_TASK_STEP_ITERATION: &str = "ScaffolderTaskStepIteration";

    /// An entity's ancestry was read.
    pub const CATALOG_ENTITY_ANCESTRY_FETCH: &str = "CatalogEntityAncestryFetch";
    /// A batch of entities was read.
    pub const CATALOG_ENTITY_BATCH_FETCH: &str = "CatalogEntityBatchFetch";
    /// An entity was deleted.
    pub const CATALOG_ENTITY_DELETION: &str = "CatalogEntityDeletion";
    /// The facets of entities were read.
    pub const CATALOG_ENTITY_FACET_FETCH: &str = "CatalogEntityFacetFetch";
    /// A list of entities was read.
    pub const CATALOG_ENTITY_FETCH: &str = "CatalogEntityFetch";
    /// An entity was read by its reference.
    pub const CATALOG_ENTITY_FETCH_BY_NAME: &str = "CatalogEntityFetchByName";
    /// An entity was read by its id.
    pub const CATALOG_ENTITY_FETCH_BY_UID: &str = "CatalogEntityFetchByUid";
    /// An entity was scheduled to be refreshed.
    pub const CATALOG_ENTITY_REFRESH: &str = "CatalogEntityRefresh";
    /// An entity was validated.
    pub const CATALOG_ENTITY_VALIDATE: &str = "CatalogEntityValidate";
    /// A location was created.
    pub const CATALOG_LOCATION_CREATION: &str = "CatalogLocationCreation";
    /// A location was analysed.
    pub const CATALOG_LOCATION_ANALYZE: &str = "CatalogLocationAnalyze";
    /// A location was deleted, and its entities with it.
    pub const CATALOG_LOCATION_DELETION: &str = "CatalogLocationDeletion";
    /// The list of locations was read.
    pub const CATALOG_LOCATION_FETCH: &str = "CatalogLocationFetch";
    /// The locations of an entity were read.
    pub const CATALOG_LOCATION_FETCH_BY_ENTITY_REF: &str = "CatalogLocationFetchByEntityRef";
    /// A location was read by its id.
    pub const CATALOG_LOCATION_FETCH_BY_ID: &str = "CatalogLocationFetchById";
    /// The entities that match a query were read.
    pub const QUERIED_CATALOG_ENTITY_FETCH: &str = "QueriedCatalogEntityFetch";
}

/// A reference to an entity or template, from the path.
const REF_FROM_PATH: &str = "{kind}:{namespace}/{name}";

/// The events of both plugins where the product has them: below `/api/scaffolder` and `/api/catalog`.
pub fn catalog() -> Catalog {
    catalog_at("/api/scaffolder", "/api/catalog")
}

/// The events of both plugins, each below the prefix given for it.
pub fn catalog_at(
    scaffolder_prefix: impl Into<Cow<'static, str>>,
    catalog_prefix: impl Into<Cow<'static, str>>,
) -> Catalog {
    Catalog::new().nest(scaffolder_prefix, scaffolder_plugin()).nest(catalog_prefix, catalog_plugin())
}

/// The events of the scaffolder plugin, with routes below its prefix, and those of its background work.
pub fn scaffolder_plugin() -> Catalog {
    Catalog::new()
        .plugin("scaffolder")
        .service("backstage")
        .event(parameter_schema_fetch())
        .event(installed_actions_fetch())
        .event(task_creation())
        .event(task_list_fetch())
        .event(task_fetch())
        .event(task_cancellation())
        .event(task_stream())
        .event(task_event_fetch())
        .event(task_dry_run())
        .event(stale_task_cancellation())
        .event(task_execution())
        .event(task_step_execution())
        .event(task_step_skip())
        .event(task_step_iteration())
}

/// The events of the catalog plugin, with routes below its prefix.
pub fn catalog_plugin() -> Catalog {
    Catalog::new()
        .plugin("catalog")
        .service("backstage")
        .event(entity_ancestry_fetch())
        .event(entity_batch_fetch())
        .event(entity_deletion())
        .event(entity_facet_fetch())
        .event(entity_fetch())
        .event(entity_fetch_by_name())
        .event(entity_fetch_by_uid())
        .event(entity_refresh())
        .event(entity_validate())
        .event(location_creation())
        .event(location_analyze())
        .event(location_deletion())
        .event(location_fetch())
        .event(location_fetch_by_entity_ref())
        .event(location_fetch_by_id())
        .event(queried_entity_fetch())
}

fn scaffolder_event(name: &'static str) -> Event {
    Event::new(name).kind("scaffolder").stages(Stages::Both).mask_values_under("secrets")
}

fn catalog_event(name: &'static str) -> Event {
    Event::new(name).kind("catalog").stages(Stages::Both)
}

fn parameter_schema_fetch() -> Event {
    scaffolder_event(events::SCAFFOLDER_PARAMETER_SCHEMA_FETCH)
        .on(Method::GET, "/v2/templates/:namespace/:kind/:name/parameter-schema")
        .meta("templateRef", Source::template(REF_FROM_PATH))
        .message("Fetch of the parameter schema of {meta.templateRef} by {actor} {result}")
}

fn installed_actions_fetch() -> Event {
    scaffolder_event(events::SCAFFOLDER_INSTALLED_ACTIONS_FETCH)
        .on(Method::GET, "/v2/actions")
        .message("Fetch of the list of installed actions by {actor} {result}")
}

fn task_creation() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_CREATION)
        .on(Method::POST, "/v2/tasks")
        .bodies(Bodies::Both)
        .meta("taskId", Source::response_body("/id"))
        .meta("templateRef", Source::request_body("/templateRef"))
        .message("Creation of a scaffolder task from {meta.templateRef} by {actor} {result}")
}

fn task_list_fetch() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_LIST_FETCH)
        .on(Method::GET, "/v2/tasks")
        .message("Fetch of the list of scaffolder tasks by {actor} {result}")
}

/// A task that the path names.
fn task_event(name: &'static str, method: Method, route: &'static str) -> Event {
    scaffolder_event(name).on(method, route).meta("taskId", Source::param("taskId"))
}

fn task_fetch() -> Event {
    task_event(events::SCAFFOLDER_TASK_FETCH, Method::GET, "/v2/tasks/:taskId")
        .bodies(Bodies::Both)
        .message("Fetch of scaffolder task {meta.taskId} by {actor} {result}")
}

fn task_cancellation() -> Event {
    task_event(events::SCAFFOLDER_TASK_CANCELLATION, Method::POST, "/v2/tasks/:taskId/cancel")
        .bodies(Bodies::Both)
        .message("Cancellation of scaffolder task {meta.taskId} by {actor} {result}")
}

fn task_stream() -> Event {
    task_event(events::SCAFFOLDER_TASK_STREAM, Method::GET, "/v2/tasks/:taskId/eventstream")
        .client_ends_stream()
        .message("Event stream of scaffolder task {meta.taskId} for {actor} {result}")
}

fn task_event_fetch() -> Event {
    task_event(events::SCAFFOLDER_TASK_EVENT_FETCH, Method::GET, "/v2/tasks/:taskId/events")
        .message("Fetch of the events of scaffolder task {meta.taskId} by {actor} {result}")
}

fn task_dry_run() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_DRY_RUN)
        .on(Method::POST, "/v2/dry-run")
        .bodies(Bodies::Both)
        // The body holds the template itself, whose namespace may be left out.
        .meta(
            "templateRef",
            Source::template("{/template/kind}:{/template/metadata/namespace}/{/template/metadata/name}"),
        )
        .meta("templateRef", Source::template("{/template/kind}:default/{/template/metadata/name}"))
        .meta("isDryLog", Source::value(true))
        .meta("isDryRun", Source::value(true))
        .message("Dry run of {meta.templateRef} by {actor} {result}")
}

fn stale_task_cancellation() -> Event {
    scaffolder_event(events::SCAFFOLDER_STALE_TASK_CANCELLATION)
        .message("Cancellation of stale scaffolder task {meta.taskId} by {actor} {result}")
}

fn task_execution() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_EXECUTION)
        .message("Execution of scaffolder task {meta.taskId} by {actor} {result}")
}

fn task_step_execution() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_STEP_EXECUTION)
        .message("Execution of step {meta.stepId} of {meta.templateRef} by {actor} {result}")
}

fn task_step_skip() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_STEP_SKIP)
        .stages(Stages::Completion)
        .message("Skip of step {meta.stepId} of {meta.templateRef} by {actor} {result}")
}

fn task_step_iteration() -> Event {
    scaffolder_event(events::SCAFFOLDER_TASK_STEP_ITERATION)
        .stages(Stages::Initiation)
        .message("Iteration of step {meta.stepId} of {meta.templateRef} by {actor} {result}")
}

fn entity_ancestry_fetch() -> Event {
    catalog_event(events::CATALOG_ENTITY_ANCESTRY_FETCH)
        .on(Method::GET, "/entities/by-name/:kind/:namespace/:name/ancestry")
        .meta("entityRef", Source::template(REF_FROM_PATH))
        .message("Fetch of the ancestry of entity {meta.entityRef} by {actor} {result}")
}

fn entity_batch_fetch() -> Event {
    catalog_event(events::CATALOG_ENTITY_BATCH_FETCH)
        .on(Method::POST, "/entities/by-refs")
        .read()
        .message("Fetch of a batch of entities by {actor} {result}")
}

fn entity_deletion() -> Event {
    catalog_event(events::CATALOG_ENTITY_DELETION)
        .on(Method::DELETE, "/entities/by-uid/:uid")
        .meta("uid", Source::param("uid"))
        .message("Deletion of the entity with uid {meta.uid} by {actor} {result}")
}

fn entity_facet_fetch() -> Event {
    catalog_event(events::CATALOG_ENTITY_FACET_FETCH)
        .on(Method::GET, "/entity-facets")
        .message("Fetch of entity facets by {actor} {result}")
}

fn entity_fetch() -> Event {
    catalog_event(events::CATALOG_ENTITY_FETCH)
        .on(Method::GET, "/entities")
        .message("Fetch of a list of entities by {actor} {result}")
}

fn entity_fetch_by_name() -> Event {
    catalog_event(events::CATALOG_ENTITY_FETCH_BY_NAME)
        .on(Method::GET, "/entities/by-name/:kind/:namespace/:name")
        .meta("entityRef", Source::template(REF_FROM_PATH))
        .message("Fetch of entity {meta.entityRef} by {actor} {result}")
}

fn entity_fetch_by_uid() -> Event {
    catalog_event(events::CATALOG_ENTITY_FETCH_BY_UID)
        .on(Method::GET, "/entities/by-uid/:uid")
        .meta("uid", Source::param("uid"))
        .message("Fetch of the entity with uid {meta.uid} by {actor} {result}")
}

fn entity_refresh() -> Event {
    catalog_event(events::CATALOG_ENTITY_REFRESH)
        .on(Method::POST, "/entities/refresh")
        .on(Method::POST, "/refresh")
        .meta("entityRef", Source::request_body("/entityRef"))
        .message("Refresh of entity {meta.entityRef} by {actor} {result}")
}

fn entity_validate() -> Event {
    catalog_event(events::CATALOG_ENTITY_VALIDATE)
        .on(Method::POST, "/entities/validate")
        .on(Method::POST, "/validate-entity")
        .read()
        // The body holds the entity itself, whose namespace may be left out.
        .meta("entityRef", Source::template("{/entity/kind}:{/entity/metadata/namespace}/{/entity/metadata/name}"))
        .meta("entityRef", Source::template("{/entity/kind}:default/{/entity/metadata/name}"))
        .message("Validation of entity {meta.entityRef} by {actor} {result}")
}

/// What the body says about a location.
fn location(kind: &'static str, target: &'static str) -> Source {
    Source::object([("type", Source::request_body(kind)), ("target", Source::request_body(target))])
}

fn location_creation() -> Event {
    catalog_event(events::CATALOG_LOCATION_CREATION)
        .on(Method::POST, "/locations")
        .meta("location", location("/type", "/target"))
        .message("Creation of a location by {actor} {result}")
}

fn location_analyze() -> Event {
    catalog_event(events::CATALOG_LOCATION_ANALYZE)
        .on(Method::POST, "/locations/analyze")
        .on(Method::POST, "/analyze-location")
        .read()
        .meta("location", location("/location/type", "/location/target"))
        .message("Analysis of a location by {actor} {result}")
}

fn location_deletion() -> Event {
    catalog_event(events::CATALOG_LOCATION_DELETION)
        .on(Method::DELETE, "/locations/:id")
        .meta("id", Source::param("id"))
        .message("Deletion of location {meta.id} by {actor} {result}")
}

fn location_fetch() -> Event {
    catalog_event(events::CATALOG_LOCATION_FETCH)
        .on(Method::GET, "/locations")
        .message("Fetch of the list of locations by {actor} {result}")
}

fn location_fetch_by_entity_ref() -> Event {
    catalog_event(events::CATALOG_LOCATION_FETCH_BY_ENTITY_REF)
        .on(Method::GET, "/locations/by-entity")
        .on(Method::GET, "/locations/by-entity/:kind/:namespace/:name")
        .bodies(Bodies::Both)
        .meta("locationRef", Source::template(REF_FROM_PATH))
        .meta("locationRef", Source::query("entityRef"))
        .message("Fetch of the location of {meta.locationRef} by {actor} {result}")
}

fn location_fetch_by_id() -> Event {
    catalog_event(events::CATALOG_LOCATION_FETCH_BY_ID)
        .on(Method::GET, "/locations/:id")
        .bodies(Bodies::Both)
        .meta("id", Source::param("id"))
        .message("Fetch of location {meta.id} by {actor} {result}")
}

fn queried_entity_fetch() -> Event {
    catalog_event(events::QUERIED_CATALOG_ENTITY_FETCH)
        .on(Method::GET, "/entities/by-query")
        .message("Fetch of the entities that match a query by {actor} {result}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Compiled, Found, MetaSource, Strangers, StreamEnd, TextPart};

    /// Name, `METHOD concrete-path` of each route, meta with the sources of each key, response body shown.
    type Row = (&'static str, &'static [&'static str], &'static [&'static str], bool);

    /// The table of SPEC 7.1, with a concrete path for each route.
    const SCAFFOLDER: &[Row] = &[
        (
            "ScaffolderParameterSchemaFetch",
            &["GET /v2/templates/default/template/example/parameter-schema"],
            &["templateRef=<kind>:<namespace>/<name>"],
            false,
        ),
        ("ScaffolderInstalledActionsFetch", &["GET /v2/actions"], &[], false),
        (
            "ScaffolderTaskCreation",
            &["POST /v2/tasks"],
            &["taskId=response/id", "templateRef=request/templateRef"],
            true,
        ),
        ("ScaffolderTaskListFetch", &["GET /v2/tasks"], &[], false),
        ("ScaffolderTaskFetch", &["GET /v2/tasks/42"], &["taskId=<taskId>"], true),
        ("ScaffolderTaskCancellation", &["POST /v2/tasks/42/cancel"], &["taskId=<taskId>"], true),
        ("ScaffolderTaskStream", &["GET /v2/tasks/42/eventstream"], &["taskId=<taskId>"], false),
        ("ScaffolderTaskEventFetch", &["GET /v2/tasks/42/events"], &["taskId=<taskId>"], false),
        (
            "ScaffolderTaskDryRun",
            &["POST /v2/dry-run"],
            &[
                "templateRef=request/template/kind:request/template/metadata/namespace/request/template/metadata/name\
                 |request/template/kind:default/request/template/metadata/name",
                "isDryLog=true",
                "isDryRun=true",
            ],
            true,
        ),
        ("ScaffolderStaleTaskCancellation", &[], &[], false),
        ("ScaffolderTaskExecution", &[], &[], false),
        ("ScaffolderTaskStepExecution", &[], &[], false),
        ("ScaffolderTaskStepSkip", &[], &[], false),
        ("ScaffolderTaskStepIteration", &[], &[], false),
    ];

    const CATALOG: &[Row] = &[
        (
            "CatalogEntityAncestryFetch",
            &["GET /entities/by-name/component/default/example/ancestry"],
            &["entityRef=<kind>:<namespace>/<name>"],
            false,
        ),
        ("CatalogEntityBatchFetch", &["POST /entities/by-refs"], &[], false),
        ("CatalogEntityDeletion", &["DELETE /entities/by-uid/0-0"], &["uid=<uid>"], false),
        ("CatalogEntityFacetFetch", &["GET /entity-facets"], &[], false),
        ("CatalogEntityFetch", &["GET /entities"], &[], false),
        (
            "CatalogEntityFetchByName",
            &["GET /entities/by-name/component/default/example"],
            &["entityRef=<kind>:<namespace>/<name>"],
            false,
        ),
        ("CatalogEntityFetchByUid", &["GET /entities/by-uid/0-0"], &["uid=<uid>"], false),
        ("CatalogEntityRefresh", &["POST /entities/refresh", "POST /refresh"], &["entityRef=request/entityRef"], false),
        (
            "CatalogEntityValidate",
            &["POST /entities/validate", "POST /validate-entity"],
            &["entityRef=request/entity/kind:request/entity/metadata/namespace/request/entity/metadata/name\
               |request/entity/kind:default/request/entity/metadata/name"],
            false,
        ),
        (
            "CatalogLocationCreation",
            &["POST /locations"],
            &["location={type:request/type,target:request/target}"],
            false,
        ),
        (
            "CatalogLocationAnalyze",
            &["POST /locations/analyze", "POST /analyze-location"],
            &["location={type:request/location/type,target:request/location/target}"],
            false,
        ),
        ("CatalogLocationDeletion", &["DELETE /locations/7"], &["id=<id>"], false),
        ("CatalogLocationFetch", &["GET /locations"], &[], false),
        (
            "CatalogLocationFetchByEntityRef",
            &["GET /locations/by-entity", "GET /locations/by-entity/component/default/example"],
            &["locationRef=<kind>:<namespace>/<name>|?entityRef"],
            true,
        ),
        ("CatalogLocationFetchById", &["GET /locations/7"], &["id=<id>"], true),
        ("QueriedCatalogEntityFetch", &["GET /entities/by-query"], &[], false),
    ];

    fn compiled() -> Compiled {
        catalog().compile().unwrap()
    }

    fn rows() -> impl Iterator<Item = (&'static str, &'static Row)> {
        let scaffolder = SCAFFOLDER.iter().map(|row| ("scaffolder", row));
        scaffolder.chain(CATALOG.iter().map(|row| ("catalog", row)))
    }

    fn found(compiled: &Compiled, method: &Method, path: &str) -> Option<String> {
        match compiled.find(method, path) {
            Found::Event(found) => Some(compiled.event(found.event).name().to_owned()),
            Found::Skipped | Found::Unmatched => None,
        }
    }

    fn show(source: &MetaSource) -> String {
        match source {
            MetaSource::Param(name) => format!("<{name}>"),
            MetaSource::Query(name) => format!("?{name}"),
            MetaSource::RequestBody(pointer) => format!("request{pointer}"),
            MetaSource::ResponseBody(pointer) => format!("response{pointer}"),
            MetaSource::Value(value) => value.to_string(),
            MetaSource::Object(fields) => {
                let fields = fields.iter().map(|(key, source)| format!("{key}:{}", show(source)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            MetaSource::Template(template) => template.parts().iter().map(show_part).collect(),
        }
    }

    fn show_part(part: &TextPart) -> String {
        match part {
            TextPart::Text(text) => text.to_string(),
            TextPart::Param(name) => format!("<{name}>"),
            TextPart::RequestBody(pointer) => format!("request{pointer}"),
        }
    }

    #[test]
    fn the_preset_has_the_events_of_the_table_and_no_other() {
        let compiled = compiled();
        assert_eq!(compiled.len(), SCAFFOLDER.len() + CATALOG.len());
        for (_, (name, ..)) in rows() {
            assert!(compiled.by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_route_of_the_table_is_its_event() {
        let compiled = compiled();
        for (plugin, (name, routes, ..)) in rows() {
            for route in *routes {
                let (method, path) = route.split_once(' ').unwrap();
                let path = format!("/api/{plugin}{path}");
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                assert_eq!(found(&compiled, &method, &path).as_deref(), Some(*name), "{route}");
                if method == Method::GET {
                    assert_eq!(found(&compiled, &Method::HEAD, &path).as_deref(), Some(*name), "HEAD {route}");
                }
            }
        }
    }

    #[test]
    fn every_event_has_the_facts_of_the_product() {
        let compiled = compiled();
        for (plugin, (name, _, meta, response_body)) in rows() {
            let policy = compiled.event(compiled.by_name(name).unwrap());
            assert_eq!(policy.plugin(), Some(plugin), "{name}");
            assert_eq!(policy.kind(), Some(plugin), "{name}");
            assert_eq!(policy.service(), Some("backstage"), "{name}");
            let stages = match *name {
                "ScaffolderTaskStepSkip" => Stages::Completion,
                "ScaffolderTaskStepIteration" => Stages::Initiation,
                _ => Stages::Both,
            };
            assert_eq!(policy.stages(), Some(stages), "{name}");
            let bodies = if *response_body { Bodies::Both } else { Bodies::Request };
            assert_eq!((policy.bodies(), policy.captures()), (bodies, bodies), "{name}");
            let stream_end = if *name == "ScaffolderTaskStream" { StreamEnd::Client } else { StreamEnd::Server };
            assert_eq!((policy.stream_end(), policy.strangers()), (stream_end, Strangers::Hidden), "{name}");
            let bags: &[&str] = if plugin == "scaffolder" { &["secrets"] } else { &[] };
            assert_eq!(policy.value_masks(), bags, "{name}");
            let fields = policy
                .meta()
                .iter()
                .map(|field| format!("{}={}", field.key, field.sources.iter().map(show).collect::<Vec<_>>().join("|")));
            assert_eq!(fields.collect::<Vec<_>>(), *meta, "{name}");
        }
    }

    #[test]
    fn every_event_has_a_sentence_of_its_own() {
        let compiled = compiled();
        let mut sentences = std::collections::HashSet::new();
        for (_, (name, ..)) in rows() {
            let mut sentence = String::new();
            compiled.event(compiled.by_name(name).unwrap()).message().render(&mut sentence, &mut |_, _| {});
            assert!(sentence.ends_with(" unknown") && sentence.contains("somebody"), "{sentence}");
            assert!(sentences.insert(sentence), "{name}");
        }
    }

    #[test]
    fn neighbours_of_the_routes_are_not_taken_for_them() {
        let compiled = compiled();
        for (method, path, expected) in [
            (Method::GET, "/api/catalog/entities/by-name/a/b/c/ancestry", Some("CatalogEntityAncestryFetch")),
            (Method::GET, "/api/catalog/entities/by-name/a/b/ancestry", Some("CatalogEntityFetchByName")),
            (Method::GET, "/api/catalog/entities/by-name/a/b", None),
            (Method::GET, "/api/catalog/entities/by-name/a/b/c/d", None),
            (Method::GET, "/api/catalog/entities/by-uid", None),
            (Method::PUT, "/api/catalog/entities/by-uid/0-0", None),
            (Method::GET, "/api/catalog/entities/by-refs", None),
            (Method::GET, "/api/catalog/entity-facets/x", None),
            (Method::GET, "/api/catalog/locations/by-entity", Some("CatalogLocationFetchByEntityRef")),
            (Method::GET, "/api/catalog/locations/by-entities", Some("CatalogLocationFetchById")),
            (Method::GET, "/api/catalog/locations/by-entity/a/b", None),
            (Method::DELETE, "/api/catalog/locations/by-entity", Some("CatalogLocationDeletion")),
            (Method::DELETE, "/api/catalog/locations", None),
            (Method::GET, "/api/scaffolder/v2/tasks/42/eventstreams", None),
            (Method::GET, "/api/scaffolder/v2/tasks/42/cancel", None),
            (Method::GET, "/api/scaffolder/v2/dry-run", None),
            (Method::POST, "/api/scaffolder/v2/tasks/42", None),
            (Method::GET, "/api/scaffolder/v2/tasks/", None),
            (Method::GET, "/v2/tasks", None),
            (Method::GET, "/api/catalog/v2/tasks", None),
        ] {
            assert_eq!(found(&compiled, &method, path).as_deref(), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_prefixes_are_free_to_choose() {
        let compiled = catalog_at("/s", "/").compile().unwrap();
        assert_eq!(found(&compiled, &Method::GET, "/s/v2/tasks").as_deref(), Some("ScaffolderTaskListFetch"));
        assert_eq!(found(&compiled, &Method::GET, "/entities").as_deref(), Some("CatalogEntityFetch"));
    }
}
