//! The model of a record: what one line says. It knows nobody else.

mod actor;
mod entity;
#[allow(dead_code)] // until the formats call it
pub(crate) mod fragment;
#[allow(dead_code)] // until the capture calls it
mod omitted;
mod outcome;

pub use actor::{Actor, Credential, Location};
pub use entity::{Entity, Scope};
pub(crate) use omitted::Reason;
pub use outcome::{Delivery, Level, Outcome, Stages, Status};
