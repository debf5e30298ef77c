//! Routes on locations: the markers that say where entities are found.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::entity::EntityRef;
use super::store::{Location, completed, component_at, location_entity};
use crate::error::ApiError;
use crate::extract::{JsonBody, Path, Query};
use crate::hub::Hub;

#[derive(Debug, Deserialize)]
pub(crate) struct LocationInput {
    #[serde(rename = "type")]
    kind: String,
    target: String,
}

impl LocationInput {
    fn check(&self) -> Result<(), ApiError> {
        if self.kind != "url" {
            return Err(ApiError::Input("Registered locations must be of an allowed type [\"url\"]".to_owned()));
        }
        if component_at(&self.target).is_none() {
            return Err(ApiError::Input("The given location.target is not a URL of a repository".to_owned()));
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Creation {
    #[serde(default)]
    dry_run: Option<String>,
}

pub(crate) async fn create(
    State(hub): State<Arc<Hub>>,
    Query(Creation { dry_run }): Query<Creation>,
    JsonBody(input): JsonBody<LocationInput>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    input.check()?;
    let created = if matches!(dry_run.as_deref(), Some("true" | "1" | "yes")) {
        preview(&hub, input)
    } else {
        let location = hub.catalog.add_location(&input.kind, &input.target)?;
        json!({"location": location, "entities": []})
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// What registering the location would find, and whether it is registered already.
fn preview(hub: &Hub, input: LocationInput) -> Value {
    let exists = hub.catalog.location_at(&input.target).is_some();
    let id = format!("{}:{}", input.kind, input.target);
    let location = Location { id, kind: input.kind, target: input.target };
    let found = component_at(&location.target).map(|component| completed(component, &location));
    let entities: Vec<_> = [location_entity(&location)].into_iter().chain(found).collect();
    json!({"exists": exists, "location": location, "entities": entities})
}

pub(crate) async fn list(State(hub): State<Arc<Hub>>) -> Json<Value> {
    let locations: Vec<_> = hub.catalog.locations().into_iter().map(|location| json!({"data": location})).collect();
    Json(json!(locations))
}

pub(crate) async fn by_id(State(hub): State<Arc<Hub>>, Path(id): Path<String>) -> Result<Json<Location>, ApiError> {
    hub.catalog.location(&id).map(Json).ok_or_else(|| no_location_with(&id))
}

pub(crate) async fn delete(State(hub): State<Arc<Hub>>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    if hub.catalog.remove_location(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(no_location_with(&id)) }
}

pub(crate) async fn by_entity(
    State(hub): State<Arc<Hub>>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Location>, ApiError> {
    location_of(&hub, &EntityRef::new(&kind, &namespace, &name)).map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ByEntity {
    entity_ref: String,
}

/// The form on Red Hat's page, which speaks of a list: `?entityRef=component:default/example`.
pub(crate) async fn list_by_entity(
    State(hub): State<Arc<Hub>>,
    Query(ByEntity { entity_ref }): Query<ByEntity>,
) -> Result<Json<Value>, ApiError> {
    let location = location_of(&hub, &EntityRef::parse(&entity_ref, None)?)?;
    Ok(Json(json!([{ "data": location }])))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Analyze {
    location: LocationInput,
}

/// The entities that are registered from a repository, or one that it could begin with.
pub(crate) async fn analyze(
    State(hub): State<Arc<Hub>>,
    JsonBody(Analyze { location }): JsonBody<Analyze>,
) -> Result<Json<Value>, ApiError> {
    let Some(suggestion) = component_at(&location.target) else {
        return Err(ApiError::Input("The given location.target is not a URL".to_owned()));
    };
    let registered = hub.catalog.entity(&EntityRef::of(&suggestion)).map(|entity| {
        let origin = json!({"type": location.kind, "target": location.target});
        json!({"location": origin, "isRegistered": true, "entity": entity})
    });
    Ok(Json(match registered {
        Some(file) => json!({"existingEntityFiles": [file], "generateEntities": []}),
        None => json!({"existingEntityFiles": [], "generateEntities": [{"entity": suggestion, "fields": []}]}),
    }))
}

fn location_of(hub: &Hub, reference: &EntityRef) -> Result<Location, ApiError> {
    hub.catalog.location_of(reference).ok_or_else(|| ApiError::NotFound(format!("found no entity for ref {reference}")))
}

fn no_location_with(id: &str) -> ApiError {
    ApiError::NotFound(format!("Found no location with ID {id}"))
}
