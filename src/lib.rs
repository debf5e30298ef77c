//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod record;

pub use error::Error;
pub use record::{Actor, Credential, Delivery, Entity, Level, Location, Outcome, Scope, Stages, Status};
