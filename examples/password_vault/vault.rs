//! The nine routes of Psono's sample, with one user whose token is `demo`.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_audit::{Actor, Audit};

const USER: &str = "demo2@example.com";
const USER_ID: &str = "ba504938-9a23-4162-867f-6840c301bc20";
const TOKEN: &str = "demo";
const TOKEN_ID: &str = "a1398962-05a7-433d-a8f3-999df3e157b8";

/// The server, without its audit log.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/info/", get(|| async { Json(json!({ "version": "1.0" })) }))
        .route("/authentication/login/", post(login))
        .route("/authentication/activate-token/", post(activate_token))
        .route("/user/status/", get(|_: User| async { Json(json!({ "unaccepted_shares_count": 0 })) }))
        .route("/datastore/", get(|_: User| async { Json(json!({ "datastores": [] })) }))
        .route(
            "/datastore/{datastore_id}/",
            get(|_: User, Path(id): Path<String>| async move { Json(json!({ "id": id })) }),
        )
        .route("/share/right/", get(|_: User| async { Json(json!({ "share_rights": [] })) }))
        .route("/share/{share_id}/", get(|_: User, Path(id): Path<String>| async move { Json(json!({ "id": id })) }))
        .route("/healthcheck/", get(|| async { Json(json!({ "healthy": true })) }))
}

/// Who sent a token that is known.
pub(crate) struct User;

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let audit = Audit::from_request_parts(parts, state).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        authenticate(&parts.headers, &audit)
    }
}

fn authenticate(headers: &HeaderMap, audit: &Audit) -> Result<User, StatusCode> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Token "));
    if token != Some(TOKEN) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    audit.actor(Actor::user(USER_ID).name(USER));
    Ok(User)
}

async fn login(audit: Audit, Json(login): Json<Value>) -> Result<Json<Value>, StatusCode> {
    if login["username"] != USER {
        return Err(StatusCode::BAD_REQUEST);
    }
    audit.actor(Actor::user(USER_ID).name(USER));
    Ok(Json(json!({ "login_info": "…" })))
}

async fn activate_token(_: User, audit: Audit) -> Json<Value> {
    audit.meta("token_id", TOKEN_ID);
    Json(json!({ "user": { "id": USER_ID } }))
}
