//! From a request's method and raw path to its event, at a cost that does not grow with the number of routes.

use std::borrow::Cow;
use std::collections::HashMap;

use http::Method;
use matchit::InsertError;

use super::policy::EventPolicy;
use super::route::{Params, Template, shape};
use super::{TrailingSlash, slip};

/// A checked catalog.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(super) policies: Vec<EventPolicy>,
    pub(super) names: HashMap<Cow<'static, str>, u32>,
    pub(super) routes: Vec<Template>,
    pub(super) tables: Tables,
    pub(super) unmatched: Option<EventPolicy>,
    pub(super) trailing_slash: TrailingSlash,
}

/// What the catalog says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// It is an event.
    Event(MatchedRoute),
    /// Its route is left out of the audit trail.
    Skipped,
    /// No event claims it.
    Unmatched,
}

/// The route that a path matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchedRoute {
    pub(crate) event: u32,
    pub(crate) route: u32,
    /// Without the slash that was trimmed.
    len: usize,
}

/// What a route stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Event { event: u32, route: u32 },
    Skip { route: u32 },
}

impl Compiled {
    /// Matches a raw path, as it was sent.
    ///
    /// axum 0.8 gives its router the path undecoded, so `/v2/%74asks` does not reach the handler of `/v2/tasks`
    /// there, and is no event here. A router that decodes first would let it through: the request is then recorded as
    /// unmatched, or has its event named next to the route.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found {
        // `Uri` holds at most 64 KiB; ranges of parameters are 32 bits wide.
        if u32::try_from(path.len()).is_err() {
            return Found::Unmatched;
        }
        let table = self.tables.of(method);
        if let Some(trimmed) = self.trimmed(path)
            && let Some(found) = table.at(trimmed)
        {
            return found;
        }
        table.at(path).unwrap_or(Found::Unmatched)
    }

    /// Adds the parameters of the path that a route was found for. A `{*rest}` reaches past a slash that was trimmed.
    pub(crate) fn params(&self, found: MatchedRoute, path: &str, params: &mut Params) {
        // The path was matched: it can differ from the template in nothing but a trimmed slash at its end.
        let _is_whole = self.routes[found.route as usize].bind(&path[..found.len], path.len(), params);
    }

    fn trimmed<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.trailing_slash {
            TrailingSlash::Strict => None,
            TrailingSlash::Ignore => trim(path),
        }
    }

    /// Whether a route has an event or is left out; a route without a catch-all may also be a path of another route.
    #[cfg(feature = "testing")]
    pub(crate) fn covers(&self, method: &Method, route: &str) -> bool {
        let is_path = !route.contains("{*") && !route.contains("/*");
        let template = route.split('/').map(|part| match part.strip_prefix(':') {
            Some(name) => format!("{{{name}}}"),
            None => part.to_owned(),
        });
        let template = template.collect::<Vec<_>>().join("/");
        self.by_template(method, &template).is_some()
            || is_path && !matches!(self.find(method, route), Found::Unmatched)
    }

    #[cfg(any(test, feature = "testing"))]
    /// What a route template, such as axum's `MatchedPath`, stands for. Spelling and names of parameters do not matter;
    /// `HEAD` is `GET` here too.
    pub(crate) fn by_template(&self, method: &Method, template: &str) -> Option<Target> {
        let template = self.trimmed(template).unwrap_or(template);
        self.tables.of(method).by_text(template)
    }

    #[cfg(test)]
    /// An event's policy, by the index that a match or [`Self::by_name`] gave.
    pub(crate) fn event(&self, event: u32) -> &EventPolicy {
        &self.policies[event as usize]
    }

    /// All events, in the order of their indices.
    pub(crate) fn events(&self) -> impl Iterator<Item = &EventPolicy> {
        self.policies.iter()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// A name of the catalog that somebody may have meant by one that it does not have.
    pub(crate) fn meant_by(&self, name: &str) -> Option<&str> {
        slip::meant(name, self.names.keys().map(|known| &**known))
    }

    #[cfg(test)]
    /// How many events there are; their indices are below that.
    pub(crate) fn len(&self) -> usize {
        self.policies.len()
    }

    /// A route's template as the user wrote it with its outer catalogs' prefixes, in the `{name}` spelling. The n-th range of a
    /// match belongs to its n-th name.
    pub(crate) fn template(&self, route: u32) -> &Template {
        &self.routes[route as usize]
    }

    /// The policy of requests that no event claims; `None` if they are not recorded.
    pub(crate) fn unmatched(&self) -> Option<&EventPolicy> {
        self.unmatched.as_ref()
    }
}

/// The path without the one slash at its end.
pub(super) fn trim(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|trimmed| !trimmed.is_empty())
}

/// A table for each method that has routes.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By [`standard`]: no hashing for methods that everybody uses.
    standard: [Option<Box<Table>>; 9],
    extensions: HashMap<Method, Table>,
    /// For methods without routes of their own: what is skipped whatever the method.
    any: Table,
}

/// The place of a method that everybody uses.
fn standard(method: &Method) -> Option<usize> {
    Some(match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::PATCH => 5,
        Method::OPTIONS => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => return None,
    })
}

impl Tables {
    fn of(&self, method: &Method) -> &Table {
        let own = self.existing(method);
        let table = if *method == Method::HEAD { own.or_else(|| self.existing(&Method::GET)) } else { own };
        table.unwrap_or(&self.any)
    }

    fn existing(&self, method: &Method) -> Option<&Table> {
        match standard(method) {
            Some(index) => self.standard[index].as_deref(),
            None => self.extensions.get(method),
        }
    }

    pub(super) fn has(&self, method: &Method) -> bool {
        self.existing(method).is_some()
    }

    pub(super) fn of_mut(&mut self, method: &Method) -> &mut Table {
        match standard(method) {
            Some(index) => self.standard[index].get_or_insert_default(),
            None => self.extensions.entry(method.clone()).or_default(),
        }
    }

    /// All tables, the one for methods without routes last.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        let standard = self.standard.iter_mut().flatten().map(|table| &mut **table);
        standard.chain(self.extensions.values_mut()).chain([&mut self.any])
    }
}

/// The routes of one method.
#[derive(Default)]
pub(super) struct Table {
    tree: matchit::Router<Target>,
    /// By template and by shape.
    texts: HashMap<Box<str>, Target>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.texts).finish()
    }
}

/// Why a route cannot be added.
#[derive(Debug)]
pub(super) enum Clash {
    /// The same route, but for the names of its parameters.
    Same(Target),
    /// The router could not tell it from this one.
    Conflict(Option<Target>),
    /// The router's syntax does not have it.
    Syntax(String),
}

impl Table {
    fn at(&self, path: &str) -> Option<Found> {
        let found = self.tree.at(path).ok()?;
        Some(match *found.value {
            Target::Event { event, route } => Found::Event(MatchedRoute { event, route, len: path.len() }),
            Target::Skip { .. } => Found::Skipped,
        })
    }

    pub(super) fn insert(&mut self, template: &str, target: Target) -> Result<(), Clash> {
        let shape = shape(template);
        if let Some(other) = self.texts.get(&*shape) {
            return Err(Clash::Same(*other));
        }
        self.tree.insert(template, target).map_err(|error| match error {
            InsertError::Conflict { with } => Clash::Conflict(self.by_text(&with)),
            other => Clash::Syntax(other.to_string()),
        })?;
        self.texts.insert(shape.into(), target);
        self.texts.insert(template.into(), target);
        Ok(())
    }

    fn by_text(&self, template: &str) -> Option<Target> {
        // A shape is put together only where names differ.
        self.texts.get(template).or_else(|| self.texts.get(&*shape(template))).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, Event};

    fn tasks() -> Catalog {
        Catalog::new()
            .event(Event::new("List").on(Method::GET, "/v2/tasks"))
            .event(Event::new("Creation").on(Method::POST, "/v2/tasks"))
            .event(Event::new("Fetch").on(Method::GET, "/v2/tasks/:taskId"))
            .event(Event::new("Stream").on(Method::GET, "/v2/tasks/{taskId}/eventstream"))
            .event(Event::new("File").on(Method::GET, "/files/{*path}"))
            .event(Event::new("Purge").on(Method::from_bytes(b"PURGE").unwrap(), "/cache/{key}"))
            .skip(Method::GET, "/healthz")
            .skip_all("/internal/{*rest}")
    }

    fn strict() -> Compiled {
        tasks().compile().unwrap()
    }

    fn ignoring() -> Compiled {
        tasks().trailing_slash(TrailingSlash::Ignore).compile().unwrap()
    }

    /// `Name key=value …`, or what else was found.
    fn found(compiled: &Compiled, method: &Method, path: &str) -> String {
        match compiled.find(method, path) {
            Found::Event(found) => {
                let mut params = Params::default();
                compiled.params(found, path, &mut params);
                let names = compiled.template(found.route).names().iter().zip(params.iter());
                let params = names.map(|(name, range)| format!(" {name}={}", &path[range]));
                [compiled.event(found.event).name().to_owned()].into_iter().chain(params).collect()
            }
            Found::Skipped => "skipped".to_owned(),
            Found::Unmatched => "unmatched".to_owned(),
        }
    }

    #[test]
    fn routes_are_found_by_method_and_path() {
        let compiled = strict();
        for (method, path, expected) in [
            (Method::GET, "/v2/tasks", "List"),
            (Method::POST, "/v2/tasks", "Creation"),
            (Method::PUT, "/v2/tasks", "unmatched"),
            (Method::GET, "/v2/tasks/42", "Fetch taskId=42"),
            (Method::GET, "/v2/tasks/eventstream", "Fetch taskId=eventstream"),
            (Method::GET, "/v2/tasks/42/eventstream", "Stream taskId=42"),
            (Method::GET, "/v2/tasks/42/other", "unmatched"),
            (Method::GET, "/files/a/b.txt", "File path=a/b.txt"),
            (Method::GET, "/files/", "unmatched"),
            (Method::GET, "/healthz", "skipped"),
            (Method::POST, "/healthz", "unmatched"),
            (Method::GET, "", "unmatched"),
            (Method::OPTIONS, "*", "unmatched"),
        ] {
            assert_eq!(found(&compiled, &method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn head_is_get_unless_it_is_mapped() {
        assert_eq!(found(&strict(), &Method::HEAD, "/v2/tasks/42"), "Fetch taskId=42");
        assert_eq!(found(&strict(), &Method::HEAD, "/healthz"), "skipped");

        let mapped = tasks().event(Event::new("Probe").on(Method::HEAD, "/v2/tasks/{id}")).compile().unwrap();
        assert_eq!(found(&mapped, &Method::HEAD, "/v2/tasks/42"), "Probe id=42");
        assert_eq!(found(&mapped, &Method::GET, "/v2/tasks/42"), "Fetch taskId=42");
        assert_eq!(found(&mapped, &Method::HEAD, "/v2/tasks/42/eventstream"), "Stream taskId=42");
        assert_eq!(found(&mapped, &Method::HEAD, "/healthz"), "skipped");
    }

    #[test]
    fn what_is_skipped_whatever_the_method_is_skipped_for_unknown_methods_too() {
        let compiled = strict();
        let strange = Method::from_bytes(b"BREW").unwrap();
        for method in
            [Method::GET, Method::HEAD, Method::DELETE, strange.clone(), Method::from_bytes(b"PURGE").unwrap()]
        {
            assert_eq!(found(&compiled, &method, "/internal/a/b"), "skipped", "{method}");
        }
        assert_eq!(found(&compiled, &strange, "/v2/tasks"), "unmatched");
    }

    #[test]
    fn an_extension_method_has_its_own_routes() {
        let purge = Method::from_bytes(b"PURGE").unwrap();
        assert_eq!(found(&strict(), &purge, "/cache/k"), "Purge key=k");
        assert_eq!(found(&strict(), &Method::GET, "/cache/k"), "unmatched");
    }

    #[test]
    fn the_more_specific_route_wins_over_a_skipped_one() {
        let compiled = tasks().event(Event::new("Keys").on(Method::GET, "/internal/keys")).compile().unwrap();
        assert_eq!(found(&compiled, &Method::GET, "/internal/keys"), "Keys");
        assert_eq!(found(&compiled, &Method::GET, "/internal/keys2"), "skipped");
        assert_eq!(found(&compiled, &Method::POST, "/internal/keys"), "skipped");
    }

    #[test]
    fn paths_are_compared_as_they_are_sent() {
        assert_eq!(found(&strict(), &Method::GET, "/v2/%74asks"), "unmatched");
        assert_eq!(found(&strict(), &Method::GET, "/v2/tasks/a%2Fb%20c"), "Fetch taskId=a%2Fb%20c");
        assert_eq!(found(&strict(), &Method::GET, "/v2/tasks/é"), "Fetch taskId=é");
    }

    #[test]
    fn a_trailing_slash_matters_unless_it_is_made_not_to() {
        assert_eq!(found(&strict(), &Method::GET, "/v2/tasks/"), "unmatched");
        let compiled = ignoring();
        for (path, expected) in [
            ("/v2/tasks", "List"),
            ("/v2/tasks/", "List"),
            ("/v2/tasks//", "unmatched"),
            ("/v2/tasks/42/", "Fetch taskId=42"),
            ("/files/a/", "File path=a/"),
            ("/files//", "File path=/"),
            ("/healthz/", "skipped"),
            ("/", "unmatched"),
        ] {
            assert_eq!(found(&compiled, &Method::GET, path), expected, "{path}");
        }
        let routes =
            Catalog::new().event(Event::new("A").on(Method::GET, "/a/")).event(Event::new("Root").on(Method::GET, "/"));
        let compiled = routes.trailing_slash(TrailingSlash::Ignore).compile().unwrap();
        assert_eq!(found(&compiled, &Method::GET, "/a"), "A");
        assert_eq!(found(&compiled, &Method::GET, "/"), "Root");
        assert!(matches!(compiled.by_template(&Method::GET, "/a/"), Some(Target::Event { event: 0, .. })));
    }

    #[test]
    fn a_catch_all_does_not_take_a_route_whose_slash_is_ignored() {
        let catalog = Catalog::new()
            .event(Event::new("A").on(Method::GET, "/a"))
            .event(Event::new("Rest").on(Method::GET, "/{*rest}"))
            .trailing_slash(TrailingSlash::Ignore);
        let compiled = catalog.compile().unwrap();
        assert_eq!(found(&compiled, &Method::GET, "/a/"), "A");
        assert_eq!(found(&compiled, &Method::GET, "/b/"), "Rest rest=b/");
    }

    #[test]
    fn templates_of_the_router_find_their_event_in_either_spelling() {
        let compiled = strict();
        let fetch = compiled.by_name("Fetch").unwrap();
        for template in ["/v2/tasks/{taskId}", "/v2/tasks/:taskId", "/v2/tasks/{id}", "/v2/tasks/:id"] {
            let target = compiled.by_template(&Method::HEAD, template).unwrap();
            assert!(matches!(target, Target::Event { event, .. } if event == fetch), "{template}");
        }
        assert!(matches!(compiled.by_template(&Method::GET, "/healthz"), Some(Target::Skip { .. })));
        for template in ["/v2/tasks/42", "/v2/tasks/{*id}", "/v2/tasks/{", ""] {
            assert_eq!(compiled.by_template(&Method::GET, template), None, "{template}");
        }
    }

    #[test]
    fn templates_are_in_the_spelling_of_axum() {
        let Found::Event(found) = strict().find(&Method::GET, "/v2/tasks/42") else { panic!("it is mapped") };
        assert_eq!(strict().template(found.route).text(), "/v2/tasks/{taskId}");
    }

    #[test]
    fn ten_thousand_routes_compile_and_match() {
        let catalog = (0..10_000).fold(Catalog::new(), |catalog, index| {
            let route = format!("/service{}/resource{index}/{{id}}/items/{{item}}", index % 100);
            catalog.event(Event::new(format!("Event{index}")).on(Method::GET, route))
        });
        let compiled = catalog.compile().unwrap();
        assert_eq!(compiled.len(), 10_000);
        for index in (0..10_000).step_by(97) {
            let path = format!("/service{}/resource{index}/7/items/x", index % 100);
            assert_eq!(found(&compiled, &Method::GET, &path), format!("Event{index} id=7 item=x"));
        }
        assert_eq!(found(&compiled, &Method::GET, "/service0/resource1/7/items/x"), "unmatched");
    }

    /// What axum's own router says, in the words of `found`; HEAD is asked as HEAD.
    async fn axum_found(method: &Method, path: &str) -> String {
        use axum::extract::MatchedPath;
        use axum::routing::get;
        use tower::ServiceExt;

        let answer = |matched: MatchedPath| async move { [("route", matched.as_str().to_owned())] };
        let router = axum::Router::new()
            .route("/v2/tasks", get(answer).post(answer))
            .route("/v2/tasks/{id}", get(answer))
            .route("/v2/tasks/{id}/eventstream", get(answer))
            .route("/files/{*rest}", get(answer));
        let request = http::Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        match response.headers().get("route") {
            Some(route) => route.to_str().unwrap().to_owned(),
            None => "unmatched".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_reaches_a_handler_in_axum_is_its_event_here() {
        let compiled = strict();
        for path in [
            "/v2/tasks",
            "/v2/tasks/",
            "/v2/%74asks",
            "/V2/tasks",
            "//v2/tasks",
            "/v2//tasks",
            "/v2/./tasks",
            "/v2/tasks/42",
            "/v2/tasks/42?x=/eventstream",
            "/v2/tasks/a%2Fb",
            "/v2/tasks/%ff",
            "/v2/tasks//eventstream",
            "/v2/tasks/42/eventstream",
            "/v2/tasks/42/eventstream/",
            "/files",
            "/files/",
            "/files//",
            "/files/a/../b",
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
                let axum = axum_found(&method, path).await;
                let raw = path.parse::<http::Uri>().unwrap();
                let ours = match compiled.find(&method, raw.path()) {
                    Found::Event(found) => {
                        let target = compiled.by_template(&method, &axum);
                        assert_eq!(target, Some(Target::Event { event: found.event, route: found.route }), "{axum}");
                        let mut params = Params::default();
                        compiled.params(found, raw.path(), &mut params);
                        let mut theirs = Params::default();
                        assert!(Template::parse(&axum).unwrap().bind(raw.path(), raw.path().len(), &mut theirs));
                        assert!(theirs.iter().eq(params.iter()), "{path}");
                        continue;
                    }
                    Found::Skipped => "skipped",
                    Found::Unmatched => "unmatched",
                };
                assert_eq!(ours, axum, "{method} {path}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(method in "[A-Z]{1,9}", path in any::<String>(), slash in any::<bool>()) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let compiled = if slash { ignoring() } else { strict() };
            let _ = (found(&compiled, &method, &path), compiled.by_template(&method, &path));
        }
    }
}
