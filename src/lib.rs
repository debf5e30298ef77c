//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(dead_code)]
mod capture;
#[allow(dead_code, unused_imports)]
mod catalog;
#[allow(dead_code)]
mod config;
#[allow(dead_code)]
mod error;
pub mod presets;
#[allow(dead_code)]
mod record;

pub use capture::resolver;
pub use catalog::{Bodies, Catalog, Event, Source, TrailingSlash, Unclaimed};
pub use config::UserAgentKey;
pub use error::Error;
pub use record::{Actor, Credential, Delivery, Entity, Level, Location, Outcome, Scope, Stages, Status};
