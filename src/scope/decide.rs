//! Whether a request is audited: decided when it begins, if its scope is known then, else when it ends, by the same rules.

use std::fmt;
use std::sync::{Arc, Mutex};

use http::request::Parts;

use super::published::Published;
use super::resolver::{PathParams, ScopeResolver};
use super::rules::ScopeRules;
use super::store::ScopeStore;
use super::tree::Tree;
use crate::diagnostics::contained;
use crate::record::Scope;

/// Scopes of one audit log.
pub(crate) struct Scoping {
    resolver: Option<Box<dyn ScopeResolver>>,
    pub(super) store: Option<Box<dyn ScopeStore>>,
    pub(super) tree: Published<Tree>,
    /// Held by the one change that is being made.
    pub(super) changing: Mutex<()>,
    /// Changes that are being made or wait for that.
    pub(super) pending: std::sync::atomic::AtomicUsize,
}

/// The rules under which a request began.
#[derive(Clone, Debug)]
pub(crate) struct Scoped {
    tree: Arc<Tree>,
    /// Nobody knows whether it has a scope: without one that the handler names it is recorded.
    resolver_panicked: bool,
}

/// Marks a request that was left out because of its scope, with the rules under which it began: an inner layer of the same log
/// must not decide by newer ones.
#[derive(Clone, Debug)]
pub(crate) struct BeganUnder {
    tree: Arc<Tree>,
    /// Where the rules of its log are.
    owner: usize,
}

/// What is decided when a request begins.
pub(crate) enum Verdict {
    /// It is not recorded, and nothing of it is captured.
    LeftOut(BeganUnder),
    /// It is recorded as far as is known now; the scope, if the resolver knows it.
    Recorded(Scoped, Option<Scope>),
}

impl Scoping {
    pub(crate) fn new(
        resolver: Option<Box<dyn ScopeResolver>>,
        store: Option<Box<dyn ScopeStore>>,
        rules: ScopeRules,
    ) -> Self {
        let tree = Published::new(Tree::new(rules));
        Self { resolver, store, tree, changing: Mutex::new(()), pending: std::sync::atomic::AtomicUsize::new(0) }
    }

    /// Decides about a request of an event.
    pub(crate) fn begin<'r>(&self, head: &'r Parts, params: impl FnOnce() -> PathParams<'r>, event: &str) -> Verdict {
        let owner = std::ptr::from_ref(self).addr();
        let began = head.extensions.get::<BeganUnder>().filter(|began| began.owner == owner);
        let tree = began.map_or_else(|| self.tree.get(), |began| began.tree.clone());
        let found = match &self.resolver {
            Some(resolver) => contained("the scope resolver", || resolver.resolve(head, &params())),
            None => Some(None),
        };
        let resolver_panicked = found.is_none();
        match found.flatten() {
            Some(scope) if !tree.is_audited(Some(&scope), event) => Verdict::LeftOut(BeganUnder { tree, owner }),
            scope => Verdict::Recorded(Scoped { tree, resolver_panicked }, scope),
        }
    }

    /// The rules for work without a request that begins now.
    pub(crate) fn begin_activity(&self) -> Scoped {
        Scoped { tree: self.tree.get(), resolver_panicked: false }
    }

    /// A digest of the rules, for the record of the start.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let tree = self.tree.get();
        let rules = tree.rules();
        serde_json::json!({ "default": rules.default.all, "rules": rules.len(), "crc32": super::store::checksum(&rules.to_json()) })
    }
}

impl Scoped {
    /// Whether an event is audited, with the scope as it is known now.
    pub(crate) fn is_audited(&self, scope: Option<&Scope>, event: &str) -> bool {
        if scope.is_none() && self.resolver_panicked {
            return true;
        }
        self.tree.is_audited(scope, event)
    }
}

impl fmt::Debug for Scoping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoping").field("tree", &self.tree).finish_non_exhaustive()
    }
}
