//! Run with `cargo run --example own_events`: a catalog of one's own, for changes to roles and permission policies.
//!
//! Red Hat's page on the audit log of Developer Hub speaks of changes to the RBAC system and names no events for them.
//! These are such events, beside those of the preset, for routes as the RBAC back end has them.
//!
//! ```text
//! roles=127.0.0.1:3000/api/permission/roles
//! curl -H 'Content-Type: application/json' -d '{"name":"role:default/readers","memberReferences":["user:default/jane"]}' $roles
//! curl -X PUT -H 'Content-Type: application/json' -d '{"memberReferences":[]}' $roles/role/default/readers
//! curl -X DELETE $roles/role/default/readers
//! ```

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tower_audit::{Actor, Audit, Auditor, Catalog, Entity, Event, Failure, Source, Stages, presets};

/// Members by role.
type Roles = Arc<Mutex<BTreeMap<String, Value>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let events = presets::developer_hub::catalog().nest("/api/permission", rbac());
    let auditor = Auditor::builder().catalog(events).service("backstage").from_env()?.build()?;

    let roles = Roles::default();
    // Work without a request is an event too.
    let seeding = auditor.begin("RoleSeeding").actor(Actor::service("service:permission-backend")).await?;
    roles
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert("role:default/rbac_admin".into(), Value::Array(Vec::new()));
    seeding.succeed();

    let app = Router::new()
        .route("/api/permission/roles", get(list).post(create))
        .route("/api/permission/roles/{kind}/{namespace}/{name}", put(update).delete(delete))
        .with_state(roles);

    let (listener, stopped) = support::listen().await?;
    axum::serve(listener, auditor.wrap_router(app)).with_graceful_shutdown(stopped).await?;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// The events of role changes, with routes as below the back end's prefix.
fn rbac() -> Catalog {
    let event = |name: &'static str| Event::new(name).kind("rbac").stages(Stages::Both);
    let role = || Source::template("{kind}:{namespace}/{name}");
    Catalog::new()
        .plugin("permission")
        .event(event("RoleListFetch").on(Method::GET, "/roles").message("Fetch of all roles by {actor} {result}"))
        .event(
            event("RoleCreation")
                .on(Method::POST, "/roles")
                .meta("roleRef", Source::request_body("/name"))
                .message("Creation of {meta.roleRef} by {actor} {result}"),
        )
        .event(
            event("RoleUpdate")
                .on(Method::PUT, "/roles/:kind/:namespace/:name")
                .meta("roleRef", role())
                .message("Update of {meta.roleRef} by {actor} {result}"),
        )
        .event(
            event("RoleDeletion")
                .on(Method::DELETE, "/roles/:kind/:namespace/:name")
                .meta("roleRef", role())
                .message("Deletion of {meta.roleRef} by {actor} {result}"),
        )
        // No route: the application begins it.
        .event(event("RoleSeeding").message("Seeding of roles by {actor} {result}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Creation {
    name: String,
    member_references: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    member_references: Value,
}

async fn list(State(roles): State<Roles>) -> Json<BTreeMap<String, Value>> {
    Json(roles.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn create(audit: Audit, State(roles): State<Roles>, Json(role): Json<Creation>) -> StatusCode {
    audit.object(Entity::new("role").id(&*role.name));
    let mut roles = roles.lock().unwrap_or_else(PoisonError::into_inner);
    if roles.contains_key(&role.name) {
        audit.failure(Failure::new("ConflictError", format!("{} exists", role.name)));
        return StatusCode::CONFLICT;
    }
    roles.insert(role.name, role.member_references);
    StatusCode::CREATED
}

async fn update(
    audit: Audit,
    State(roles): State<Roles>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    Json(role): Json<Update>,
) -> StatusCode {
    let mut roles = roles.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(members) = roles.get_mut(&format!("{kind}:{namespace}/{name}")) else { return StatusCode::NOT_FOUND };
    // What was there before is something that only the application knows.
    audit.meta("membersBefore", members.clone());
    *members = role.member_references;
    StatusCode::OK
}

async fn delete(
    audit: Audit,
    State(roles): State<Roles>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> StatusCode {
    let mut roles = roles.lock().unwrap_or_else(PoisonError::into_inner);
    match roles.remove(&format!("{kind}:{namespace}/{name}")) {
        Some(members) => {
            audit.meta("membersBefore", members);
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}
