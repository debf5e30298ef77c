//! The model of a record: its fields, and how they are written. It uses `redact` (the types of text), `json` and `clock`.

mod actor;
pub(crate) mod cuts;
mod entity;
mod failure;
mod field;
pub(crate) mod finished;
mod group;
mod json_object;
mod labels;
mod omit;
mod outcome;
mod parse;
mod reads;
mod response_status;
mod serialize;
pub(crate) mod setting;
mod view;
pub(crate) mod wire;

pub(crate) use actor::write_credential;
pub use actor::{Actor, Credential, Location};
pub use entity::{Entity, Scope};
pub use failure::Failure;
pub(crate) use field::{FIXED, Fixed};
pub use field::{Field, FieldValue};
pub(crate) use finished::Finished;
pub use group::FieldGroup;
pub(crate) use group::FieldGroups;
pub(crate) use json_object::{Plain, id_text, push_ip, push_milliseconds, push_number, push_time, time_text};
pub(crate) use labels::{Labels, RouteLabel};
pub use outcome::{Delivery, Level, LogType, Outcome, Stages, Status};
#[cfg(feature = "export")]
pub(crate) use parse::LineReader;
pub use parse::RecordLine;
pub use reads::Reads;
pub use response_status::ResponseStatus;
pub use view::Record;
pub use wire::{BodyAs, UserAgentKey};
