//! The systems whose audit logs this crate knows, as plain data built with its public API.
//!
//! Nothing here can do what your own catalog cannot.

pub mod backstage_auditor;
pub mod cloudsmith;
pub mod developer_hub;
pub mod gitlab_packages;
pub mod package_security_manager;
pub mod psono;
