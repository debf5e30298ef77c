//! Run with `cargo run --example quickstart`: the server of the README, complete.
//!
//! ```text
//! curl -H 'Content-Type: application/json' -d '{"item":"tea","cardNumber":"4111 1111 1111 1111"}' 127.0.0.1:3000/orders
//! ```
#![allow(clippy::print_stderr, reason = "says where it listens")]

use std::{env, error::Error, time::Duration};

use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tower_audit::{Actor, Audit, Auditor, Bodies, Catalog, Event, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Which requests are which events. Requests that match none are recorded as `HttpRequest`.
    let creation = Event::new("OrderCreation").on(Method::POST, "/orders").bodies(Bodies::Both);
    let creation = creation.meta("orderId", Source::response_body("/id"));
    let events = Catalog::new().event(creation).skip(Method::GET, "/healthz");
    let auditor = Auditor::builder().catalog(events).from_env()?.build()?;

    let app = Router::new().route("/orders", post(create_order)).route("/healthz", get(|| async { "ok" }));

    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);

    // Around the finished router, so that requests that match no route are recorded too.
    let server = axum::serve(listener, auditor.wrap_router(app)).with_graceful_shutdown(async move {
        tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
    });
    server.await?;

    // The server has stopped: write what is still in memory, for at most 5 seconds.
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn create_order(audit: Audit, Json(order): Json<Value>) -> (StatusCode, Json<Value>) {
    audit.actor(Actor::user("user:default/jane")); // the user that your authentication found
    (StatusCode::CREATED, Json(json!({"id": 17, "item": order["item"]})))
}
