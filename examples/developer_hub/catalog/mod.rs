//! The software catalog: entities, and the locations that they come from.

mod entities;
mod locations;
mod processing;
mod query;
mod seed;
mod validation;

pub(crate) mod entity;
pub(crate) mod store;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::hub::Hub;

pub(crate) use processing::process_forever;

/// Where Red Hat's page and the running product name a route differently, both are here.
pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/entities", get(entities::list))
        .route("/entities/by-query", get(entities::query))
        .route("/entities/by-refs", post(entities::by_refs))
        .route("/entities/by-uid/{uid}", get(entities::by_uid).delete(entities::delete))
        .route("/entities/by-name/{kind}/{namespace}/{name}", get(entities::by_name))
        .route("/entities/by-name/{kind}/{namespace}/{name}/ancestry", get(entities::ancestry))
        .route("/entity-facets", get(entities::facets))
        .route("/entities/refresh", post(entities::refresh))
        .route("/refresh", post(entities::refresh))
        .route("/entities/validate", post(validation::validate))
        .route("/validate-entity", post(validation::validate))
        .route("/locations", get(locations::list).post(locations::create))
        .route("/locations/{id}", get(locations::by_id).delete(locations::delete))
        .route("/locations/by-entity", get(locations::list_by_entity))
        .route("/locations/by-entity/{kind}/{namespace}/{name}", get(locations::by_entity))
        .route("/locations/analyze", post(locations::analyze))
        .route("/analyze-location", post(locations::analyze))
}
