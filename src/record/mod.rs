//! The model of a record: its fields, and how they are written. It uses `redact` (the types of text), `json` and `clock`.

mod actor;
mod entity;
mod failure;
pub(crate) mod finished;
mod labels;
mod object;
mod outcome;
mod reads;
mod response_status;
mod setting;

pub(crate) mod wire;

pub use actor::{Actor, Credential, Location};
pub use entity::{Entity, Scope};
pub use failure::Failure;
pub use finished::Record;
pub(crate) use labels::{Labels, RouteLabel};
pub(crate) use object::push_time;
pub use outcome::{Delivery, Level, Outcome, Stages, Status};
pub use reads::Reads;
pub use response_status::ResponseStatus;
pub use wire::{BodyAs, UserAgentKey};
