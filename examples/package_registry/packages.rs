//! The packages of a project: upload, download, list, delete, clean up, and who changed what last.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde_json::{Value, json};
use tower_audit::presets::gitlab_packages::events;
use tower_audit::{Actor, Audit, Entity};

use crate::App;
use crate::audit::scope_of;
use crate::error::ApiError;
use crate::registry::{self, Change, File, Package, Registry};
use crate::tokens::Caller;

/// What the registry keeps of each package: its newest version.
const POLICY: &str = "keep the newest version";

pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    audit: Audit,
    Extension(caller): Extension<Caller>,
    Path((project, name, version, file)): Path<(String, String, String, String)>,
    content: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let project = known(&project, &audit)?;
    let file = File::new(project, name, version, file)
        .ok_or(ApiError::Input("this name of a package or file is not allowed"))?;
    audit.object(object(&file.name, &file.version, None));
    let change = change("published", &caller, &audit);
    let done = work(&app, move |registry| registry.publish(file, &content, change)).await?;
    if done.is_update {
        audit.event(events::PACKAGE_UPDATED).map_err(ApiError::NotRecorded)?;
    }
    audit.object(object_of(&done.package));
    Ok((StatusCode::CREATED, Json(json!({ "id": done.package.id, "message": "201 Created" }))))
}

pub(crate) async fn download(
    State(app): State<Arc<App>>,
    audit: Audit,
    Path((project, name, version, file)): Path<(String, String, String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let project = known(&project, &audit)?;
    // The client log names a repository.
    audit.repository(project);
    let file = File::new(project, name, version, file).ok_or(ApiError::NotFound("Package"))?;
    audit.object(object(&file.name, &file.version, None));
    let (package, content) =
        work(&app, move |registry| registry.read(&file)).await?.ok_or(ApiError::NotFound("Package"))?;
    audit.object(object_of(&package));
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    audit: Audit,
    Path(project): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let project = known(&project, &audit)?;
    let shown = |package: Package| {
        json!({
            "id": package.id, "name": package.name, "version": package.version, "package_type": "generic",
            "files": package.files,
        })
    };
    Ok(Json(app.registry.list(project).into_iter().map(shown).collect()))
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    audit: Audit,
    Extension(caller): Extension<Caller>,
    Path((project, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let project = known(&project, &audit)?;
    let id: u64 = id.parse().map_err(|_| ApiError::NotFound("Package"))?;
    audit.object(Entity::new("package").id(id.to_string()).format("generic"));
    let change = change("deleted", &caller, &audit);
    let removed = work(&app, move |registry| registry.remove(project, id, change)).await?;
    audit.object(object_of(&removed.ok_or(ApiError::NotFound("Package"))?));
    Ok(StatusCode::NO_CONTENT)
}

/// Who last changed a package, with which key: also of one that was deleted.
pub(crate) async fn last_change(
    State(app): State<Arc<App>>,
    audit: Audit,
    Path((project, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let project = known(&project, &audit)?;
    let id: u64 = id.parse().map_err(|_| ApiError::NotFound("Package"))?;
    let package = app.registry.find(project, id).ok_or(ApiError::NotFound("Package"))?;
    Ok(Json(json!({
        "package": { "id": package.id, "name": package.name, "version": package.version },
        "who": { "id": package.last_change.who, "name": package.last_change.name },
        "credential": package.last_change.credential,
        "what": package.last_change.what,
        "when": package.last_change.when,
        "how": package.last_change.how,
        "auditId": package.last_change.audit_id,
    })))
}

/// Runs the retention policy, which is the actor of each deletion.
pub(crate) async fn clean_up(
    State(app): State<Arc<App>>,
    audit: Audit,
    Path(project): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let project = known(&project, &audit)?;
    let mut deleted = Vec::new();
    for package in app.registry.outdated(project) {
        let mut begin = app.auditor.begin(events::PACKAGE_DELETED);
        begin = begin.actor(Actor::system("retention_policy").name(POLICY)).context("retention_policy");
        begin = scope_of(project).into_iter().fold(begin, |begin, scope| begin.scope(scope));
        // If it cannot be recorded, it is not done.
        let activity = begin.object(object_of(&package)).await.map_err(ApiError::NotRecorded)?;
        activity.audit().project(project);
        let change = Change {
            who: "retention_policy".to_owned(),
            name: POLICY.to_owned(),
            credential: None,
            what: "deleted".to_owned(),
            when: registry::now(),
            how: "retention_policy".to_owned(),
            audit_id: activity.audit_id().map(|id| id.to_string()),
        };
        let id = package.id;
        let removed = activity.run(work(&app, move |registry| registry.remove(project, id, change))).await?;
        deleted.extend(removed.map(|package| package.id));
    }
    audit.meta("deleted", deleted.len());
    Ok(Json(json!({ "deleted": deleted })))
}

/// The project, if there is one of this name, noted on the record.
fn known(project: &str, audit: &Audit) -> Result<&'static str, ApiError> {
    let project = registry::project(project).ok_or(ApiError::NotFound("Project"))?;
    audit.project(project);
    Ok(project)
}

fn object(name: &str, version: &str, id: Option<u64>) -> Entity {
    let entity = Entity::new("package").name(name).version(version).format("generic");
    id.into_iter().fold(entity, |entity, id| entity.id(id.to_string()))
}

fn object_of(package: &Package) -> Entity {
    object(&package.name, &package.version, Some(package.id))
}

fn change(what: &str, caller: &Caller, audit: &Audit) -> Change {
    Change {
        who: caller.id.to_owned(),
        name: caller.name.to_owned(),
        credential: Some(caller.credential.clone()),
        what: what.to_owned(),
        when: registry::now(),
        how: caller.context.to_owned(),
        audit_id: audit.audit_id().map(|id| id.to_string()),
    }
}

/// Works on the registry where blocking is allowed.
async fn work<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Registry) -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app.registry)).await;
    done.map_err(|error| ApiError::Storage(std::io::Error::other(error)))?.map_err(ApiError::Storage)
}
