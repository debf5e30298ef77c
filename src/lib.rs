//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(dead_code)]
mod capture;
#[allow(dead_code)]
mod config;
#[allow(dead_code)]
mod error;
#[allow(dead_code)]
mod record;

pub use capture::resolver;
pub use config::UserAgentKey;
pub use error::Error;
pub use record::{Actor, Credential, Delivery, Entity, Level, Location, Outcome, Scope, Stages, Status};
