//! Audit log for tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod record;
#[allow(dead_code, unused_imports)] // until the worker calls it
mod redact;

pub use error::Error;
pub use record::{Actor, Credential, Delivery, Entity, Level, Location, Outcome, Scope, Stages, Status};
pub use redact::{Explanation, Hit, HitRule, Redactor, RedactorBuilder};
