//! Run with `cargo run --example delivery_classes`: one route of each delivery class, and a health check that shows the
//! state of the audit log.
//!
//! ```text
//! TOWER_AUDIT_SINK=file:///tmp/audit.log cargo run --example delivery_classes
//! curl -d '{"amount":17}' -H 'Content-Type: application/json' 127.0.0.1:3000/payments/1
//! curl 127.0.0.1:3000/healthz
//! ```

mod support;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tower_audit::{Auditor, Catalog, Delivery, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let events = Catalog::new()
        // Many of them, each worth little: nobody waits, and what is lost is told.
        .event(Event::new("ArticleRead").on(Method::GET, "/articles/{id}").delivery(Delivery::Lossy))
        // The default: nothing is handled that cannot be recorded.
        .event(Event::new("ArticleUpdate").on(Method::PUT, "/articles/{id}").delivery(Delivery::Backpressure))
        // Who has the whole answer can rely on the record.
        .event(Event::new("Payment").on(Method::POST, "/payments/{id}").delivery(Delivery::Durable))
        .event(Event::new("StatementRead").on(Method::GET, "/statements/{id}").delivery(Delivery::Durable))
        // It is not even tried before its record is on the disk.
        .event(Event::new("AccountDeletion").on(Method::DELETE, "/accounts/{id}").delivery(Delivery::FailClosed))
        .skip(Method::GET, "/healthz");
    let auditor = Auditor::builder().catalog(events).from_env()?.build()?;

    let bank: &'static Bank = Box::leak(Box::new(Bank { auditor: auditor.clone(), deleted: AtomicU64::new(0) }));
    let app = Router::new()
        .route("/articles/{id}", get(read_article).put(update_article))
        .route("/payments/{id}", post(pay))
        .route("/statements/{id}", get(read_statement))
        .route("/accounts/{id}", delete(delete_account))
        .route("/healthz", get(health))
        .with_state(bank);

    let (listener, stopped) = support::listen().await?;
    axum::serve(listener, auditor.wrap_router(app)).with_graceful_shutdown(stopped).await?;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

struct Bank {
    auditor: Auditor,
    deleted: AtomicU64,
}

async fn read_article(Path(id): Path<u64>) -> Json<Value> {
    Json(json!({"id": id}))
}

async fn update_article(Path(id): Path<u64>, Json(_article): Json<Value>) -> Json<Value> {
    Json(json!({"id": id}))
}

async fn pay(Path(id): Path<u64>, Json(_payment): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"id": id})))
}

/// A stream of a length that nobody knows: its end waits for the record, what comes before does not.
async fn read_statement(Path(id): Path<u64>) -> Body {
    let lines = (1..=3).map(move |line| Ok::<_, std::io::Error>(Bytes::from(format!("statement {id}, line {line}\n"))));
    Body::from_stream(stream::iter(lines))
}

async fn delete_account(State(bank): State<&'static Bank>, Path(_id): Path<u64>) -> StatusCode {
    bank.deleted.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// Never waits for the audit log, and shows its state.
async fn health(State(bank): State<&'static Bank>) -> Json<Value> {
    let counters = bank.auditor.counters();
    let sinks = counters.sinks.iter().map(|sink| (sink.name.clone(), json!(sink.state.as_str())));
    Json(json!({
        "deletedAccounts": bank.deleted.load(Ordering::Relaxed),
        "audit": {
            "written": counters.written,
            "lost": counters.lost.total(),
            "refused": counters.refused,
            "waiting": counters.waiting,
            "unhealthy": counters.unhealthy().map(|reason| reason.to_string()),
            "sinks": sinks.collect::<serde_json::Map<_, _>>(),
        },
    }))
}
