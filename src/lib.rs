//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod activity;
mod audit;
mod auditor;
#[cfg(feature = "axum")]
mod axum_support;
mod capture;
mod catalog;
mod clock;
mod config;
mod counters;
mod diagnostics;
mod engine;
mod error;
mod exchange;
mod format;
mod layer;
#[cfg(feature = "tracing-subscriber")]
mod log_layer;
mod plan;
pub mod presets;
#[cfg(feature = "metrics")]
mod publish;
mod queue;
mod record;
mod redact;
pub mod sink;

pub use activity::{Activity, ActivityBuilder};
pub use audit::{Audit, SkipRefused};
pub use auditor::{Auditor, AuditorBuilder, ShutdownGuard};
#[cfg(feature = "axum")]
pub use axum_support::{Audited, MakeAudited, MissingAuditLayer};
pub use capture::{PeerAddr, resolver};
pub use catalog::{Bodies, Catalog, Event, Source, TrailingSlash, Unclaimed};
pub use clock::{Clock, IdSource};
pub use counters::{Counters, Losses, SinkCounters};
pub use error::Error;
pub use layer::{AuditLayer, AuditService, RequestBody, ResponseBody, ResponseFuture};
#[cfg(feature = "tracing-subscriber")]
pub use log_layer::LogLayer;
pub use queue::ShutdownReport;
pub use record::{
    Actor, Credential, Delivery, Entity, Eula, Failure, Level, Location, Outcome, Record, Scope, Stages, Status,
    UserAgentKey,
};
pub use redact::{Redactor, RedactorBuilder};
pub use sink::SinkState;
