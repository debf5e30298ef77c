//! Requests come in here: the layer, its service, and the types that an exchange moves through.

mod body;
mod enter;
mod failure;
mod future;
mod guard;
mod refusal;
mod service;
mod unrecorded;

#[cfg(feature = "axum")]
pub(crate) use body::BoxError;
pub use body::{RequestBody, ResponseBody};
#[cfg(feature = "axum")]
pub(crate) use enter::note_route;
pub(crate) use failure::is_elapsed;
pub use future::ResponseFuture;
pub(crate) use guard::Guard;
pub use service::{AuditLayer, AuditService};
