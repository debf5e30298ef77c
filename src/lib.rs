//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(dead_code, unused_imports)] // until the layer asks it
mod catalog;
mod error;
pub mod presets;
mod record;

pub use catalog::{Bodies, Catalog, Event, Source, TrailingSlash, Unclaimed};
pub use error::Error;
pub use record::{Actor, Credential, Delivery, Entity, Level, Location, Outcome, Scope, Stages, Status};
