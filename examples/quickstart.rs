//! Run with `cargo run --example quickstart`: what an audit log takes in a server of one's own.
//!
//! ```text
//! curl -H 'Content-Type: application/json' -d '{"item":"tea","cardNumber":"4111 1111 1111 1111"}' 127.0.0.1:3000/orders
//! ```

mod support;

use std::error::Error;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_audit::{Actor, Audit, Auditor, Bodies, Catalog, Event, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Which requests are which events, and which are none. Whatever is not listed is recorded as `HttpRequest`.
    let creation = Event::new("OrderCreation").on(Method::POST, "/orders").bodies(Bodies::Both);
    let events =
        Catalog::new().event(creation.meta("orderId", Source::response_body("/id"))).skip(Method::GET, "/healthz");
    let auditor = Auditor::builder().catalog(events).from_env()?.build()?;

    let app = Router::new().route("/orders", post(create_order)).route("/healthz", get(|| async { "ok" }));

    // Around the finished router, so that requests which no route matches are recorded too.
    let (listener, stopped) = support::listen().await?;
    axum::serve(listener, auditor.wrap_router(app)).with_graceful_shutdown(stopped).await?;

    // When the server has stopped: everything that is finished gets written.
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn create_order(audit: Audit, Json(order): Json<Value>) -> (StatusCode, Json<Value>) {
    audit.actor(Actor::user("user:default/jane")); // whomever your authentication has found
    (StatusCode::CREATED, Json(json!({"id": 17, "item": order["item"]})))
}
