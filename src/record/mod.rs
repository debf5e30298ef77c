//! The model of a record: what one line says. It knows nobody else.

mod actor;
mod entity;
mod outcome;

pub use actor::{Actor, Credential, Location};
pub use entity::{Entity, Scope};
pub use outcome::{Delivery, Level, Outcome, Stages, Status};
