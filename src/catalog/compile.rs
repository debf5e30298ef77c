//! Checks a catalog as a whole and lays it out for matching; all that is wrong is reported at once.

use std::borrow::Cow;
use std::collections::HashMap;

use http::Method;

use super::event::{Event, Group};
use super::matching::{Clash, Compiled, Table, Tables, Target, trim};
use super::policy::{EventPolicy, check_name, finish, initiation_on_a_route};
use super::route::Template;
use super::{Catalog, TrailingSlash, Unmatched};
use crate::error::Error;
use crate::record::Stages;

/// The name of requests that no event claims.
const UNMATCHED: &str = "HttpRequest";

pub(super) fn compile(mut catalog: Catalog) -> Result<Compiled, Error> {
    let unmatched = catalog.unmatched.take().unwrap_or_default();
    let trailing_slash = catalog.trailing_slash.take().unwrap_or_default();
    let group = catalog.group.clone();

    let mut compiler = Compiler::default();
    compiler.add(catalog, "", &Group::default());
    let unmatched = compiler.unmatched(unmatched, &group);
    let tables = compiler.link(trailing_slash);

    let Compiler { policies, names, routes, problems, .. } = compiler;
    finish(&problems)?;
    Ok(Compiled { policies, names, routes, tables, unmatched, trailing_slash })
}

#[derive(Default)]
struct Compiler {
    policies: Vec<EventPolicy>,
    names: HashMap<Cow<'static, str>, u32>,
    routes: Vec<Template>,
    /// What each route is for; no method means all.
    claims: Vec<(Option<Method>, Target)>,
    problems: Vec<String>,
}

impl Compiler {
    fn add(&mut self, catalog: Catalog, prefix: &str, outer: &Group) {
        let group = catalog.group.or(outer);
        for event in catalog.events {
            self.add_event(event, prefix, &group);
        }
        for (method, route) in catalog.skips {
            if let Some(template) = self.parse(prefix, &route, "a skipped route") {
                let route = self.push_route(template);
                self.claims.push((method, Target::Skip { route }));
            }
        }
        for (inner_prefix, inner) in catalog.nested {
            if inner.unmatched.is_some() || inner.trailing_slash.is_some() {
                self.problems.push(format!(
                    "the catalog nested at `{inner_prefix}` sets `unmatched` or `trailing_slash`: \
                     they hold for all requests and belong to the outermost catalog"
                ));
            }
            if !inner_prefix.is_empty() && !inner_prefix.starts_with('/') {
                self.problems.push(format!("the prefix `{inner_prefix}` of a nested catalog has to begin with `/`"));
                continue;
            }
            self.add(inner, &join(prefix, &inner_prefix), &group);
        }
    }

    fn add_event(&mut self, mut event: Event, prefix: &str, group: &Group) {
        let name = event.name.clone();
        let given = std::mem::take(&mut event.routes);
        let count = given.len();
        let mut templates = Vec::with_capacity(given.len());
        for (method, route) in given {
            if let Some(template) = self.parse(prefix, &route, &format!("event `{name}`")) {
                templates.push((method, template));
            }
        }
        if count > 0 && event.stages == Some(Stages::Initiation) {
            self.problems.push(initiation_on_a_route(&name));
        }
        let known: Vec<_> = templates.iter().map(|(_, template)| template).collect();
        // Without a route, or with one that could not be read, nobody knows what the path will bind.
        let params = (count > 0 && known.len() == count).then_some(&*known);
        let policy = EventPolicy::new(event, group, params, &mut self.problems);
        let Some(event) = self.define(policy) else { return };
        for (method, template) in templates {
            let route = self.push_route(template);
            self.claims.push((Some(method), Target::Event { event, route }));
        }
    }

    /// The event's index: a new one, or that of the same definition.
    fn define(&mut self, policy: EventPolicy) -> Option<u32> {
        let Some(&index) = self.names.get(policy.name()) else {
            let index = index(self.policies.len());
            self.names.insert(policy.name().to_owned().into(), index);
            self.policies.push(policy);
            return Some(index);
        };
        if self.policies[index as usize] == policy {
            return Some(index);
        }
        self.problems.push(format!(
            "event `{}` is defined twice, and differently: an event has one definition, which may have several routes",
            policy.name()
        ));
        None
    }

    fn unmatched(&mut self, unmatched: Unmatched, group: &Group) -> Option<EventPolicy> {
        let name = match unmatched {
            Unmatched::Record => UNMATCHED.into(),
            Unmatched::Named(name) => name,
            Unmatched::Ignore => return None,
        };
        if self.names.contains_key(&name) && check_name(&name).is_ok() {
            self.problems.push(format!(
                "event `{name}` has the name of requests that no event claims; give one of them another name"
            ));
        }
        Some(EventPolicy::unmatched(name, group, &mut self.problems))
    }

    fn link(&mut self, trailing_slash: TrailingSlash) -> Tables {
        let mut tables = Tables::default();
        let claims = std::mem::take(&mut self.claims);
        for (method, target) in &claims {
            let Some(method) = method else { continue };
            self.insert(tables.of_mut(method), Some(method), *target, trailing_slash);
        }
        if tables.has(&Method::HEAD) {
            // A HEAD of its own comes before what it would take from GET.
            let head = tables.of_mut(&Method::HEAD);
            for (_, target) in claims.iter().filter(|(method, _)| *method == Some(Method::GET)) {
                let _overridden = head.insert(self.key(*target, trailing_slash), *target);
            }
        }
        for (_, target) in claims.iter().filter(|(method, _)| method.is_none()) {
            for table in tables.all_mut() {
                self.insert(table, None, *target, trailing_slash);
            }
        }
        tables
    }

    fn insert(&mut self, table: &mut Table, method: Option<&Method>, target: Target, trailing_slash: TrailingSlash) {
        let Err(clash) = table.insert(self.key(target, trailing_slash), target) else { return };
        let problem = match clash {
            // Left out twice is left out.
            Clash::Same(Target::Skip { .. }) if matches!(target, Target::Skip { .. }) => return,
            Clash::Same(other) => {
                format!("{} and {} have the same route", self.describe(method, other), self.describe(method, target))
            }
            Clash::Conflict(Some(other)) => format!(
                "{} and {} have routes that cannot be told apart",
                self.describe(method, other),
                self.describe(method, target)
            ),
            Clash::Conflict(None) => format!("{} cannot be told from another route", self.describe(method, target)),
            Clash::Syntax(reason) => format!("{}: {reason}", self.describe(method, target)),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What the router gets: with slashes ignored, routes lose theirs as paths do.
    fn key(&self, target: Target, trailing_slash: TrailingSlash) -> &str {
        let text = self.template(target).text();
        match trailing_slash {
            TrailingSlash::Strict => text,
            TrailingSlash::Ignore => trim(text).unwrap_or(text),
        }
    }

    fn describe(&self, method: Option<&Method>, target: Target) -> String {
        let method = method.map(|method| format!("{method} ")).unwrap_or_default();
        let route = self.template(target).text();
        match target {
            Target::Event { event, .. } => {
                format!("event `{}` at `{method}{route}`", self.policies[event as usize].name())
            }
            Target::Skip { .. } => format!("the skipped `{method}{route}`"),
        }
    }

    fn template(&self, target: Target) -> &Template {
        let (Target::Event { route, .. } | Target::Skip { route }) = target;
        &self.routes[route as usize]
    }

    fn parse(&mut self, prefix: &str, route: &str, whose: &str) -> Option<Template> {
        // Before the prefix hides it.
        let parsed =
            if route.starts_with('/') { Template::parse(&join(prefix, route)) } else { Template::parse(route) };
        parsed.map_err(|problem| self.problems.push(format!("{whose}: {problem}"))).ok()
    }

    fn push_route(&mut self, template: Template) -> u32 {
        let route = index(self.routes.len());
        self.routes.push(template);
        route
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("a catalog has fewer than 2^32 events and routes")
}

/// Joins a prefix and a route as axum's `nest` does.
fn join(prefix: &str, route: &str) -> String {
    match prefix {
        "" | "/" => route.to_owned(),
        _ if route == "/" => prefix.to_owned(),
        _ => format!("{}{route}", prefix.strip_suffix('/').unwrap_or(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Found, Params, Source};

    fn problem(catalog: Catalog) -> String {
        let error = compile(catalog).unwrap_err();
        assert!(error.is_catalog());
        error.to_string()
    }

    fn get(name: &'static str, route: &'static str) -> Event {
        Event::new(name).on(Method::GET, route)
    }

    #[test]
    fn two_events_on_one_route_are_an_error_that_names_both() {
        let same = Catalog::new().event(get("A", "/tasks/:id")).event(get("B", "/tasks/{taskId}"));
        assert_eq!(
            problem(same),
            "event `A` at `GET /tasks/{id}` and event `B` at `GET /tasks/{taskId}` have the same route"
        );
        let twice = Catalog::new().event(get("A", "/a").on(Method::GET, "/a"));
        assert!(problem(twice).contains("event `A` at `GET /a` and event `A` at `GET /a`"));
    }

    #[test]
    fn routes_that_the_router_cannot_tell_apart_are_an_error_that_names_both() {
        let catalog = Catalog::new().event(get("A", "/files/{*rest}")).event(get("B", "/files/{id}"));
        assert_eq!(
            problem(catalog),
            "event `A` at `GET /files/{*rest}` and event `B` at `GET /files/{id}` have routes that cannot be told apart"
        );
    }

    #[test]
    fn an_event_on_a_skipped_route_is_an_error() {
        let catalog = Catalog::new().event(get("A", "/healthz")).skip(Method::GET, "/healthz");
        assert!(problem(catalog).contains("event `A` at `GET /healthz` and the skipped `GET /healthz`"));
        let catalog = Catalog::new().event(get("A", "/x/{id}").on(Method::POST, "/x/{id}")).skip_all("/x/{key}");
        let problem = problem(catalog);
        assert_eq!(problem.matches("the skipped `/x/{key}`").count(), 1, "{problem}");
    }

    #[test]
    fn one_route_may_have_different_events_by_method() {
        let catalog = Catalog::new().event(get("A", "/a/{id}")).event(Event::new("B").on(Method::PUT, "/a/{other}"));
        assert!(compile(catalog).is_ok());
        assert!(compile(Catalog::new().skip_all("/a").skip(Method::GET, "/a").skip_all("/a")).is_ok());
    }

    #[test]
    fn a_name_has_one_definition() {
        let different = Catalog::new().event(get("A", "/a")).event(get("A", "/b").level(crate::Level::Debug));
        assert!(problem(different).contains("event `A` is defined twice, and differently"));

        let one = || Catalog::new().event(get("A", "/{id}").meta("id", Source::param("id")));
        let compiled = compile(Catalog::new().nest("/v1", one()).nest("/v2", one())).unwrap();
        assert_eq!(compiled.len(), 1);
        for path in ["/v1/7", "/v2/7"] {
            assert!(matches!(compiled.find(&Method::GET, path), Found::Event(found) if found.event == 0));
        }
        // The same catalog in another group says something else.
        let groups = Catalog::new().nest("/v1", one()).nest("/v2", one().plugin("two"));
        assert!(problem(groups).contains("defined twice"));
    }

    #[test]
    fn the_name_of_unmatched_requests_is_checked_too() {
        assert!(problem(Catalog::new().event(get("HttpRequest", "/a"))).contains("no event claims"));
        assert!(problem(Catalog::new().unmatched(Unmatched::Named("a b".into()))).contains("1 to 128"));
        assert!(problem(Catalog::new().unmatched(Unmatched::Named("Audit".into()))).contains("reserved"));
        let renamed = Catalog::new().event(get("HttpRequest", "/a")).unmatched(Unmatched::Named("Other".into()));
        assert_eq!(compile(renamed).unwrap().unmatched().unwrap().name(), "Other");
        assert!(compile(Catalog::new().unmatched(Unmatched::Ignore)).unwrap().unmatched().is_none());
    }

    #[test]
    fn unmatched_requests_are_lossy_and_belong_to_the_outermost_group() {
        let compiled = compile(Catalog::new().service("shop")).unwrap();
        let policy = compiled.unmatched().unwrap();
        assert_eq!((policy.name(), policy.service()), ("HttpRequest", Some("shop")));
        assert_eq!(policy.delivery(), Some(crate::Delivery::Lossy));
    }

    #[test]
    fn groups_fill_what_events_and_inner_groups_leave_open() {
        let inner =
            Catalog::new().plugin("inner").event(get("A", "/a").component("own")).event(get("B", "/b").plugin("own"));
        let compiled = compile(Catalog::new().plugin("outer").service("outer").nest("/x", inner)).unwrap();
        let policy = |name| compiled.event(compiled.by_name(name).unwrap());
        let (a, b) = (policy("A"), policy("B"));
        assert_eq!((a.plugin(), a.service(), a.component()), (Some("inner"), Some("outer"), Some("own")));
        assert_eq!((b.plugin(), b.service(), b.component()), (Some("own"), Some("outer"), None));
        assert_eq!(compiled.by_name("C"), None);
    }

    #[test]
    fn catalogs_nest_as_routers_do() {
        let inner = Catalog::new().event(get("Root", "/")).event(get("Leaf", "/{id}/")).skip(Method::GET, "/up");
        let middle = Catalog::new().nest("/{tenant}/", inner);
        let compiled = compile(Catalog::new().nest("/api", middle)).unwrap();
        let template = |path| match compiled.find(&Method::GET, path) {
            Found::Event(found) => compiled.template(found.route).text().to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(template("/api/t1/"), "/api/{tenant}/");
        assert_eq!(template("/api/t1/7/"), "/api/{tenant}/{id}/");
        assert_eq!(template("/api/t1/up"), "Skipped");
        assert_eq!(template("/api/t1"), "Unmatched");
    }

    #[test]
    fn what_holds_for_all_requests_is_not_nested() {
        for inner in [Catalog::new().unmatched(Unmatched::Record), Catalog::new().trailing_slash(TrailingSlash::Strict)]
        {
            assert!(problem(Catalog::new().nest("/a", inner)).contains("nested at `/a`"));
        }
        assert!(problem(Catalog::new().nest("a", Catalog::new())).contains("prefix `a`"));
    }

    #[test]
    fn malformed_routes_name_their_event() {
        assert_eq!(problem(Catalog::new().event(get("A", "a"))), "event `A`: route `a` has to begin with `/`");
        assert!(problem(Catalog::new().skip_all("/{a}b")).contains("a skipped route: route `/{a}b`"));
        let nested = Catalog::new().nest("/p", Catalog::new().event(get("A", "a")));
        assert_eq!(problem(nested), "event `A`: route `a` has to begin with `/`");
    }

    #[test]
    fn an_initiation_alone_is_for_events_without_a_route() {
        let event = || Event::new("A").stages(Stages::Initiation);
        assert!(compile(Catalog::new().event(event())).is_ok());
        assert!(
            problem(Catalog::new().event(event().on(Method::GET, "/a"))).contains("each request has its completion")
        );
    }

    #[test]
    fn a_parameter_that_no_route_has_is_an_error() {
        let event = || get("A", "/{id}").on(Method::GET, "/{id}/{name}");
        assert!(compile(Catalog::new().event(event().meta("n", Source::param("name")))).is_ok());
        for bad in [
            event().meta("n", Source::param("nam")),
            event().meta("n", Source::template("{id}/{nam}")),
            event().message("{params.nam}"),
        ] {
            let text = problem(Catalog::new().event(bad));
            assert_eq!(text, "event `A`: none of its routes has the parameter `nam`");
        }
        // Background work may be named by a route later.
        assert!(compile(Catalog::new().event(Event::new("B").meta("n", Source::param("x")))).is_ok());
    }

    #[test]
    fn problems_of_all_events_come_at_once() {
        let text =
            problem(Catalog::new().event(get("a b", "/a")).event(get("B", "b")).event(get("C", "/c").message("{")));
        for part in ["`a b`", "event `B`", "event `C`"] {
            assert!(text.contains(part), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_catalog_panics(
            routes in proptest::collection::vec("(/(a|é|è|:x|\\{y\\}|a\\{z\\}|\\{\\{|\\*r|ab|)){1,4}", 0..12),
            paths in proptest::collection::vec("(/(a|é|è|\\{|ab|)){0,5}", 0..8),
            ignore in any::<bool>(),
        ) {
            // Routes that clash are dropped one by one, so that large tables are reached too.
            let slash = if ignore { TrailingSlash::Ignore } else { TrailingSlash::Strict };
            let mut catalog = Catalog::new().trailing_slash(slash);
            for (index, route) in routes.into_iter().enumerate() {
                let method = if index % 3 == 0 { Method::HEAD } else { Method::GET };
                let grown = catalog.clone().event(Event::new(format!("E{index}")).on(method, route));
                if compile(grown.clone()).is_ok() {
                    catalog = grown;
                }
            }
            let compiled = compile(catalog).unwrap();
            for path in &paths {
                for method in [Method::HEAD, Method::GET, Method::POST] {
                    if let Found::Event(found) = compiled.find(&method, path) {
                        let mut params = Params::default();
                        compiled.params(found, path, &mut params);
                        prop_assert_eq!(params.len(), compiled.template(found.route).names().len());
                        prop_assert!(params.iter().all(|range| path.get(range).is_some()));
                    }
                }
            }
        }
    }
}
