//! Run with `cargo run --example axum_stack`: an axum server with the usual layers around the audit layer and inside of it, as
//! `guide::layer_order` lists them: request ids, compression, panics, traces, CORS, timeouts and JSON Web Tokens.
//!
//! ```text
//! token=$(curl -s -d '{"user":"jane","password":"correct horse"}' -H 'Content-Type: application/json' 127.0.0.1:3000/login)
//! curl --compressed -H "Authorization: Bearer $token" 127.0.0.1:3000/api/orders/17
//! TOWER_AUDIT_TRUSTED_PROXIES=10.0.0.0/8 TOWER_AUDIT_CLIENT_IP_HEADER=X-Forwarded-For cargo run --example axum_stack
//! ```

mod support;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_audit::{Actor, Audit, Auditor, Catalog, Credential, Entity, Event, Failure, Source};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

/// A server of yours reads it from where its secrets are.
const KEY: &[u8] = b"the key of this example, which signs its tokens";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let orders = Catalog::new()
        .event(Event::new("OrderCreation").on(Method::POST, "/").meta("orderId", Source::response_body("/id")))
        .event(Event::new("OrderFetch").on(Method::GET, "/{orderId}").meta("orderId", Source::param("orderId")))
        .event(Event::new("OrderExport").on(Method::POST, "/{orderId}/export"));
    let events = Catalog::new()
        .event(Event::new("Login").on(Method::POST, "/login"))
        .nest("/api/orders", orders)
        .skip(Method::GET, "/healthz");
    let auditor = Auditor::builder().catalog(events).from_env()?.build()?;

    let orders = Router::new()
        .route("/", post(create_order))
        .route("/{orderId}", get(fetch_order))
        .route("/{orderId}/export", post(export_order))
        .layer(from_fn(authenticate));
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .layer(auditor.axum_layer())
        .layer(TraceLayer::new_for_http())
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(500)));
    let app = Router::new()
        .route("/login", post(log_in))
        .route("/healthz", get(async || "ok"))
        .nest("/api/orders", orders)
        .layer(stack); // after all routes

    let (listener, stopped) = support::listen().await?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>(); // for `actor.ip`
    axum::serve(listener, service).with_graceful_shutdown(stopped).await?;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

// ---- authentication

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    exp: u64,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn log_in(audit: Audit, Json(login): Json<Login>) -> Result<String, ShopError> {
    if (&*login.user, &*login.password) != ("jane", "correct horse") {
        audit.actor(Actor::claimed(login.user));
        return Err(ShopError::WrongPassword);
    }
    audit.actor(Actor::user("user:default/jane"));
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) + 3_600;
    let claims = Claims { sub: "user:default/jane".to_owned(), jti: "token-7".to_owned(), exp };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY))?)
}

/// Inside of the audit layer, so that it can say who acts. What it refuses is recorded too.
async fn authenticate(audit: Audit, request: Request, next: Next) -> Result<Response, ShopError> {
    let token =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or(ShopError::NoToken)?;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(KEY), &Validation::default())?.claims;
    audit.actor(Actor::user(claims.sub).credential(Credential::new("jwt").id(claims.jti)));
    Ok(next.run(request).await)
}

// ---- handlers

async fn create_order(audit: Audit, Json(order): Json<Value>) -> Result<(StatusCode, Json<Value>), ShopError> {
    let item = order["item"].as_str().ok_or(ShopError::NoItem)?;
    audit.object(Entity::new("order").id("17"));
    Ok((StatusCode::CREATED, Json(json!({ "id": 17, "item": item }))))
}

async fn fetch_order(Path(id): Path<u64>) -> Result<Json<Value>, ShopError> {
    match id {
        17 => Ok(Json(json!({ "id": 17, "item": "tea", "note": "long enough to be worth compressing" }))),
        13 => panic!("order 13 brings bad luck"),
        _ => Err(ShopError::NoSuchOrder(id)),
    }
}

/// Takes too long.
async fn export_order() {
    std::future::pending::<()>().await;
}

// ---- errors

#[derive(Debug, thiserror::Error)]
enum ShopError {
    #[error("no token was sent")]
    NoToken,
    #[error("the token is not valid")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("wrong password")]
    WrongPassword,
    #[error("an order needs an item")]
    NoItem,
    #[error("order {0} does not exist")]
    NoSuchOrder(u64),
}

impl IntoResponse for ShopError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoToken | Self::Token(_) | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::NoItem => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoSuchOrder(_) => StatusCode::NOT_FOUND,
        };
        // For the record: the error's text, and as `stack` what caused it. The client sees the text only.
        (status, Extension(Failure::of(&self)), self.to_string()).into_response()
    }
}
