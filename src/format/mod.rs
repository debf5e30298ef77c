//! Record → bytes, pure.

mod json;

pub(crate) use json::line;
