//! Reads from a request who sent it, from where, and under which ids.

pub(crate) mod client_ip;
mod key_like;
pub(crate) mod request_id;
pub mod resolver;
