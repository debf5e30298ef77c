//! The model of a record: what one line says. It knows nobody else.

mod actor;
mod entity;
mod failure;
pub(crate) mod finished;
pub(crate) mod fragment;
mod labels;
mod omitted;
mod outcome;
mod response_status;
pub(crate) mod text;
pub(crate) mod wire;

pub use actor::{Actor, Credential, Location};
pub use entity::{Entity, Eula, Scope};
pub use failure::Failure;
pub use finished::Record;
pub(crate) use labels::Labels;
pub(crate) use omitted::Reason;
pub use outcome::{Delivery, Level, Outcome, Stages, Status};
pub use response_status::ResponseStatus;
pub use wire::{BodyAs, UserAgentKey};
