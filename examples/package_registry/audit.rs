//! What is audited: events, the scope of a request, and the settings of groups and projects.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_audit::scope::{ScopeChange, ScopeNode, ScopeResolver, scope_fn};
use tower_audit::{Audit, Catalog, Event, Scope, presets};

use crate::App;
use crate::error::ApiError;
use crate::registry;
use crate::tokens::Caller;

/// A run of the retention policy; each deletion in it has a record of its own.
const PACKAGE_CLEANUP: &str = "PackageCleanup";

/// GitLab's events, and one of this registry.
pub(crate) fn catalog() -> Catalog {
    let cleanup = Event::new(PACKAGE_CLEANUP).kind("package").on(Method::POST, "/projects/:project/packages/cleanup");
    let cleanup = cleanup.message("Cleanup of packages in {scope} by {actor.name} with {credential} {result}");
    let api = presets::gitlab_packages::catalog()
        .event(cleanup)
        // The record of a change is `AuditScopeChanged`.
        .skip_all("/groups/:group/audit")
        .skip_all("/projects/:project/audit");
    Catalog::new().nest("/api/v4", api)
}

/// The scope of a request, by the project that its path names.
pub(crate) fn resolver() -> impl ScopeResolver {
    scope_fn(|_request, params| scope_of(&params.get("project")?))
}

/// The group that a project is in, else the project, if it belongs to a user. The project's own setting comes before that of its
/// groups.
pub(crate) fn scope_of(project: &str) -> Option<Scope> {
    let project = registry::project(project)?;
    Some(match registry::parent_group(project) {
        Some(group) => Scope::group(group).rules_at(project),
        None => Scope::project(project),
    })
}

#[derive(Deserialize)]
pub(crate) struct Setting {
    /// `null` takes the setting away, so that what is above decides.
    enabled: Option<bool>,
}

pub(crate) async fn group_setting(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(shown(&app, known_group(&group)?))
}

pub(crate) async fn project_setting(
    State(app): State<Arc<App>>,
    Path(project): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(shown(&app, known_project(&project)?))
}

pub(crate) async fn set_group(
    State(app): State<Arc<App>>,
    audit: Audit,
    Extension(caller): Extension<Caller>,
    Path(group): Path<String>,
    setting: Result<Json<Setting>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    set(&app, &audit, caller, known_group(&group)?, setting).await
}

pub(crate) async fn set_project(
    State(app): State<Arc<App>>,
    audit: Audit,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    setting: Result<Json<Setting>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    set(&app, &audit, caller, known_project(&project)?, setting).await
}

/// Changes a setting. It is recorded first; without that it is refused, and nothing has changed.
async fn set(
    app: &App,
    audit: &Audit,
    caller: Caller,
    scope: Scope,
    setting: Result<Json<Setting>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Ok(Json(setting)) = setting else { return Err(ApiError::Input(r#"expected {"enabled":true}, false or null"#)) };
    let change = match setting.enabled {
        Some(true) => ScopeChange::on(scope.clone()),
        Some(false) => ScopeChange::off(scope.clone()),
        None => ScopeChange::inherit(scope.clone()),
    };
    app.auditor.scopes().change_for(audit, caller.actor, change).await.map_err(ApiError::NotRecorded)?;
    Ok(shown(app, scope))
}

fn shown(app: &App, scope: Scope) -> Json<Value> {
    let scopes = app.auditor.scopes();
    let enabled = scopes.is_audited(Some(&scope), presets::gitlab_packages::events::PACKAGE_PUBLISHED);
    let own = scopes.rules().rule(&ScopeNode::from(scope), None);
    Json(json!({ "enabled": enabled, "inherited": own.is_none() }))
}

fn known_group(path: &str) -> Result<Scope, ApiError> {
    registry::group(path).map(Scope::group).ok_or(ApiError::NotFound("Group"))
}

fn known_project(path: &str) -> Result<Scope, ApiError> {
    registry::project(path).map(Scope::project).ok_or(ApiError::NotFound("Project"))
}
