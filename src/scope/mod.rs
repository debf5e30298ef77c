//! Which scopes are audited: groups, projects and tenants that switch their audit log on and off while the server runs.
//!
//! A [`ScopeResolver`] finds the scope of a request. [`ScopeRules`] say for scopes and events whether they are audited; the
//! nearest rule upwards wins. [`Auditor::scopes`](crate::Auditor::scopes) reads and changes the rules; each change is recorded
//! before it holds. A [`ScopeStore`] keeps them. See [`guide::scopes`](crate::guide::scopes).
//!
//! The files: `resolver` (request → scope), `rules` (plain data), `tree` (the same, laid out for the look-up), `published` (the
//! tree in force, read without a lock that a change could hold up), `decide` (what a request asks), `change` (the handle),
//! `store`.

mod change;
mod decide;
mod published;
mod resolver;
mod rules;
mod store;
mod tree;

pub use change::Scopes;
pub(crate) use decide::{Scoped, Scoping, Verdict};
pub use resolver::{PathParams, ScopeFn, ScopeResolver, scope_fn};
pub use rules::{ScopeChange, ScopeNode, ScopeRules};
pub use store::{FileScopeStore, ScopeStore};
