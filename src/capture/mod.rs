//! Request and response → draft: bounded copies, and who sent it, from where, under which ids.

mod body;
mod client_ip;
mod draft;
mod head;
mod key_like;
mod late;
mod request_id;
pub mod resolver;

pub(crate) use body::{BodyCopy, Progress};
pub(crate) use client_ip::{ClientIp, TRUSTED_PEER_ALLOWED, TrustedPeer};
pub(crate) use draft::{Draft, EntryPoint, EventRef, HeaderUse, Reading, Span, Stage};
pub use head::PeerAddr;
pub(crate) use head::{CredentialHeaders, HeadPolicy, PeerFn, ResponseHeaders, TraceFn, grpc_trailers};
pub(crate) use late::{Late, name};
pub(crate) use request_id::are_trace_ids;
#[cfg(feature = "__fuzzing")]
pub(crate) use request_id::{authority, host, request_id, traceparent};
