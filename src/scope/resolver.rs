//! The scope of a request, as far as its head names one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use percent_encoding::percent_decode;

use crate::catalog::{Params, Template};
use crate::record::Scope;

/// Finds the scope of a request from its head and the parameters of its path.
///
/// Runs on the request's task before anything is captured, so it must be quick and must not block: a look-up in memory, no
/// query. A request whose scope only its handler knows has [`Audit::scope`](crate::Audit::scope). Closures become resolvers
/// through [`scope_fn`].
pub trait ScopeResolver: Send + Sync + 'static {
    /// The scope, or `None` if the head does not show it.
    ///
    /// Give the canonical path, not the spelling of the client: rules are compared byte by byte. A resolver that panics is
    /// contained; its request is recorded, unless the handler names a scope that is off.
    fn resolve(&self, request: &Parts, params: &PathParams<'_>) -> Option<Scope>;
}

impl<R: ScopeResolver + ?Sized> ScopeResolver for Box<R> {
    fn resolve(&self, request: &Parts, params: &PathParams<'_>) -> Option<Scope> {
        (**self).resolve(request, params)
    }
}

impl<R: ScopeResolver + ?Sized> ScopeResolver for Arc<R> {
    fn resolve(&self, request: &Parts, params: &PathParams<'_>) -> Option<Scope> {
        (**self).resolve(request, params)
    }
}

/// A closure as a resolver.
///
/// ```
/// use tower_audit::Scope;
/// use tower_audit::scope::{PathParams, ScopeResolver, scope_fn};
///
/// // The group of a project is everything before the last slash of its path.
/// let resolver = scope_fn(|_request, params| {
///     let project = params.get("project")?;
///     let (group, _name) = project.rsplit_once('/')?;
///     Some(Scope::group(group).rules_at(project))
/// });
/// let (head, ()) = http::Request::get("/projects/acme%2Ftools%2Fcli").body(())?.into_parts();
/// let params = PathParams::new("/projects/{project}", head.uri.path());
/// assert_eq!(resolver.resolve(&head, &params), Some(Scope::group("acme/tools").rules_at("acme/tools/cli")));
/// # Ok::<(), http::Error>(())
/// ```
pub fn scope_fn<F>(resolve: F) -> ScopeFn<F>
where
    F: Fn(&Parts, &PathParams<'_>) -> Option<Scope> + Send + Sync + 'static,
{
    ScopeFn(resolve)
}

/// A closure as a resolver: see [`scope_fn`].
#[derive(Clone, Copy)]
pub struct ScopeFn<F>(F);

impl<F> fmt::Debug for ScopeFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeFn")
    }
}

impl<F> ScopeResolver for ScopeFn<F>
where
    F: Fn(&Parts, &PathParams<'_>) -> Option<Scope> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Parts, params: &PathParams<'_>) -> Option<Scope> {
        self.0(request, params)
    }
}

/// The parameters of a request's path: those of the catalog's route, or else of the route that axum matched.
#[derive(Clone, Debug)]
pub struct PathParams<'r> {
    path: &'r str,
    bound: Bound<'r>,
}

#[derive(Clone, Debug)]
enum Bound<'r> {
    Nothing,
    Listed(&'r Template, Params),
    /// Parsed only if somebody asks.
    Reported(&'r str),
}

impl<'r> PathParams<'r> {
    /// The parameters that a route template binds in a path as it was sent, for testing a resolver. A path that is not one of the
    /// template has none.
    pub fn new(template: &'r str, path: &'r str) -> Self {
        Self { path, bound: Bound::Reported(template) }
    }

    pub(crate) fn none(path: &'r str) -> Self {
        Self { path, bound: Bound::Nothing }
    }

    pub(crate) fn listed(template: &'r Template, params: Params, path: &'r str) -> Self {
        Self { path, bound: Bound::Listed(template, params) }
    }

    /// A parameter, percent-decoded; `None` if the route has none of this name, or it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'r, str>> {
        match &self.bound {
            Bound::Nothing => None,
            Bound::Listed(template, params) => decoded(self.path, template, params, name),
            Bound::Reported(template) => {
                let template = Template::parse(template).ok()?;
                let mut params = Params::default();
                let is_bound = template.bind(self.path, self.path.len(), &mut params);
                is_bound.then(|| decoded(self.path, &template, &params, name))?
            }
        }
    }
}

fn decoded<'r>(path: &'r str, template: &Template, params: &Params, name: &str) -> Option<Cow<'r, str>> {
    let at = template.names().iter().position(|known| **known == *name)?;
    let sent = path.as_bytes().get(params.iter().nth(at)?)?;
    percent_decode(sent).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_what_is_not_utf_8_is_none() {
        let params = PathParams::new("/p/{project}/f/{*rest}", "/p/acme%2Ftools/f/a/b%20c");
        assert_eq!(params.get("project").as_deref(), Some("acme/tools"));
        assert_eq!(params.get("rest").as_deref(), Some("a/b c"));
        assert_eq!(params.get("other"), None);
        assert_eq!(PathParams::new("/p/{project}", "/p/%ff").get("project"), None);
        assert_eq!(PathParams::new("/p/{project}", "/q/acme").get("project"), None);
        assert_eq!(PathParams::new("no template", "/p/acme").get("project"), None);
        assert_eq!(PathParams::none("/p/acme").get("project"), None);
    }
}
