//! Audit log for tower services: one redacted JSON line for every request.
//!
//! A tower [`Layer`](tower_layer::Layer) around an axum, hyper or tonic server captures for every request the method, URL,
//! route parameters, query, redacted body, status, actor and address, maps the route to an event name such as
//! `ScaffolderTaskCreation`, and writes one JSON line flagged `"isAuditLog":true` to standard output, where a cluster's log
//! forwarder selects on the flag.
//!
//! - **Exactly one completion record** is written for each recorded request, however the request ends: success, error, panic,
//!   timeout, a client that disconnects, a stream that breaks, an upgrade, a shutdown.
//! - **Secrets are masked, evidence is kept.** Every text of a record passes through redaction before it leaves the process.
//!   A body that cannot be parsed is left out of the record. Nothing that a client sends can hide who did what.
//! - **Losses are reported, threads are not blocked.** When the queue of records is full, a request either waits for queue
//!   space and is refused after a time limit, or is served while its record is dropped and the loss is reported. Each sink
//!   has a thread of its own.
//!
//! # Quick start
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, routing::post};
//! use http::{Method, Request};
//! use tower::ServiceExt as _;
//! use tower_audit::{Actor, Audit, Auditor, Catalog, Event, sink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let catalog = Catalog::new().event(Event::new("TaskCreation").on(Method::POST, "/tasks"));
//! let (lines, records) = sink::memory(); // leave `.sink(lines)` out for standard output
//! let auditor = Auditor::builder().catalog(catalog).sink(lines).build()?;
//!
//! let app = Router::new().route("/tasks", post(|audit: Audit, body: String| async move {
//!     audit.actor(Actor::user("user:default/jane"));
//!     format!("created from {} bytes", body.len())
//! }));
//! // For a server: `axum::serve(listener, auditor.wrap_router(app)).await?`
//! let request = Request::post("/tasks?token=s3cr3t")
//!     .header("content-type", "application/json")
//!     .body(axum::body::Body::from(r#"{"name":"demo","password":"hunter22"}"#))?;
//! let response = auditor.wrap_router(app).into_service().oneshot(request).await?;
//! axum::body::to_bytes(response.into_body(), usize::MAX).await?;
//! auditor.shutdown(Duration::from_secs(5)).await;
//!
//! let record = &records.lines()[1]; // between `AuditStarted` and `AuditStopped`
//! assert!(record.contains(r#""isAuditLog":true,"schema":"1.0","eventName":"TaskCreation""#));
//! assert!(record.contains(r#""actor":{"actorId":"user:default/jane","kind":"user"}"#));
//! assert!(record.contains(r#""url":"/tasks?token=***","route":"/tasks""#));
//! assert!(record.contains(r#""body":{"name":"demo","password":"***"}"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Where the layer goes
//!
//! Around the finished router (`Auditor::wrap_router`): there it sees every request, also those that match no route. If other
//! layers must be outside of it, such as request ids and compression, use `Auditor::axum_layer` in one `ServiceBuilder`. Authentication runs inside, and sets the actor through [`Audit`]. An outer layer can cancel a
//! request (load shedding, an outer timeout); the cause is then unknown, and the record says `aborted`.
//! [`guide::layer_order`] has the whole stack, and what each layer does to the records.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | matched route, original URI and peer address of axum; the extractor [`Audit`]; `Auditor::wrap_router` and `Auditor::axum_layer` |
//! | `toml` | no | settings from the TOML file that `TOWER_AUDIT_CONFIG` names |
//! | `gzip` | no | compression of rotated files |
//! | `export` | no | scheduled exports of what a file sink wrote: `AuditorBuilder::export`, `export::verify` |
//! | `s3` | no | destinations `s3://bucket/prefix` of exports |
//! | `tracing-subscriber` | no | `Auditor::log_layer`: ordinary logs as JSON lines on standard output |
//! | `geoip` | no | `actor.location` from a file in MaxMind's format |
//! | `metrics` | no | the counters of [`Auditor::counters`] through the `metrics` facade |
//! | `regex` | no | masking of what regular expressions match: `RedactorBuilder::pattern` |
//! | `fingerprint` | no | HMAC-SHA-256 of a secret in place of the mask: `RedactorBuilder::fingerprint` |
//! | `testing` | no | `testing`: canaries, a log in memory, checks of routes and of sinks, to test an application's own audit log |
//!
//! Features are additive: enabling one does not change what the log writes otherwise.
//!
//! # Pages
//!
//! [`guide::record`] (the record, field by field) · [`guide::layer_order`] · [`guide::delivery`] · [`guide::errors`] ·
//! [`guide::formats`] · [`guide::addresses`] · [`guide::who_acted`] (actors, keys, locations) ·
//! [`guide::scopes`] (audit per group or project) · [`guide::reads`] · [`guide::redaction`] ·
//! `guide::export` (scheduled exports; feature `export`) · [`guide::forwarding`] (forwarders, searches, alerts) ·
//! [`guide::settings`] · `guide::testing` (features `testing` and `axum`) · [`guide::architecture`]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod activity;
mod activity_result;
mod audit;
mod auditor;
#[cfg(feature = "axum")]
mod axum_layer;
#[cfg(feature = "axum")]
mod axum_support;
mod block;
mod capture;
mod catalog;
mod clock;
mod compose;
mod config;
mod counters;
mod diagnostics;
mod engine;
mod error;
mod exchange;
#[cfg(feature = "export")]
#[cfg_attr(docsrs, doc(cfg(feature = "export")))]
pub mod export;
mod filter;
pub mod format;
#[cfg(feature = "__fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "geoip")]
mod geoip;
pub mod guide;
mod json;
mod layer;
#[cfg(feature = "tracing-subscriber")]
mod log_layer;
mod media;
mod plan;
pub mod presets;
mod promise;
#[cfg(feature = "metrics")]
mod publish;
mod queue;
mod record;
mod redact;
mod running;
pub mod scope;
pub mod segment;
pub mod sink;
mod sync;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod text;
mod tokens;
mod work;
mod worker;

pub use activity::{Activity, ActivityBuilder};
pub use activity_result::{ActivityResult, ActivityRun, AsFailure};
pub use audit::{Audit, SkipRefused};
pub use auditor::{Auditor, AuditorBuilder};
#[cfg(feature = "axum")]
pub use axum_layer::{AxumAuditFuture, AxumAuditLayer, AxumAuditService};
#[cfg(feature = "axum")]
pub use axum_support::{AuditedRouter, AuditedRouterFuture, AuditedRouterService, MissingAuditLayer};
pub use capture::{PeerAddr, resolver};
pub use catalog::{Bodies, Catalog, Event, Source, TrailingSlash, Unmatched};
pub use clock::{Clock, IdSource};
pub use counters::{Counters, Losses, SinkCounters, Unhealthy};
pub use error::{Error, ErrorKind};
pub use filter::{Filter, Lists};
pub use layer::{AuditLayer, AuditService, RequestBody, ResponseBody, ResponseFuture};
#[cfg(feature = "tracing-subscriber")]
pub use log_layer::LogLayer;
pub use queue::ShutdownReport;
pub use record::{
    Actor, BodyAs, Credential, Delivery, Entity, Failure, Field, FieldGroup, FieldValue, Level, Location, LogType,
    Outcome, Reads, Record, RecordLine, ResponseStatus, Scope, Stages, Status, UserAgentKey,
};
pub use redact::{Explanation, Hit, HitRule, Redactor, RedactorBuilder};
pub use sink::output::SinkState;

/// The README's code compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
