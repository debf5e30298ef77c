//! Whether every route that changes state has an event.

use http::Method;

use crate::catalog::Catalog;
use crate::error::Error;

/// The routes that change state and for which the catalog has no event: neither an event nor a
/// [skip](Catalog::skip), which is a decision too. Routes with `GET`, `HEAD`, `OPTIONS` or `TRACE` change none.
///
/// Routes are templates as axum has them, or paths. axum does not list its routes, so declare them once, in a list from
/// which the router and this test are made.
///
/// # Errors
///
/// What is wrong with the catalog.
///
/// ```
/// use http::Method;
/// use tower_audit::testing::uncovered;
/// use tower_audit::{Catalog, Event};
///
/// let routes = [(Method::GET, "/tasks"), (Method::POST, "/tasks"), (Method::DELETE, "/tasks/{taskId}")];
/// let catalog = Catalog::new().event(Event::new("TaskCreation").on(Method::POST, "/tasks"));
/// assert_eq!(uncovered(&catalog, routes)?, ["DELETE /tasks/{taskId}"]);
/// # Ok::<(), tower_audit::Error>(())
/// ```
pub fn uncovered<R: AsRef<str>>(
    catalog: &Catalog,
    routes: impl IntoIterator<Item = (Method, R)>,
) -> Result<Vec<String>, Error> {
    let compiled = catalog.clone().compile()?;
    let changes_state = |method: &Method| ![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method);
    let missing = |(method, route): &(Method, R)| changes_state(method) && !compiled.covers(method, route.as_ref());
    Ok(routes.into_iter().filter(missing).map(|(method, route)| format!("{method} {}", route.as_ref())).collect())
}

/// Asserts that every route that changes state has an event name; see [`uncovered`].
///
/// # Panics
///
/// If one has none, with all of them; or if the catalog is wrong.
///
/// ```
/// use http::Method;
/// use tower_audit::testing::assert_covers;
/// use tower_audit::{Catalog, Event};
///
/// let routes = [(Method::GET, "/tasks"), (Method::POST, "/tasks")];
/// let catalog = Catalog::new().event(Event::new("TaskCreation").on(Method::POST, "/tasks"));
/// assert_covers(&catalog, routes);
/// ```
#[track_caller]
pub fn assert_covers<R: AsRef<str>>(catalog: &Catalog, routes: impl IntoIterator<Item = (Method, R)>) {
    match uncovered(catalog, routes) {
        Ok(missing) => {
            assert!(missing.is_empty(), "routes that change state without an event name: {}", missing.join(", "));
        }
        Err(error) => panic!("the catalog is wrong: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Event;

    #[test]
    fn only_what_changes_state_has_to_be_named() {
        let catalog = Catalog::new()
            .event(Event::new("Update").on(Method::PUT, "/a/:id"))
            .event(Event::new("Files").on(Method::DELETE, "/files/{*path}"))
            .skip(Method::POST, "/metrics");
        let routes = [
            (Method::GET, "/x"),
            (Method::HEAD, "/x"),
            (Method::PUT, "/a/{other}"),
            (Method::PUT, "/a/fixed"),
            (Method::PUT, "/a/{*all}"),
            (Method::DELETE, "/files/{*rest}"),
            (Method::POST, "/metrics"),
            (Method::PATCH, "/a/{id}"),
        ];
        assert_eq!(uncovered(&catalog, routes).unwrap(), ["PUT /a/{*all}", "PATCH /a/{id}"]);
        assert!(uncovered(&catalog.event(Event::new("Audit")), [(Method::GET, "/")]).is_err());
    }

    #[test]
    #[should_panic(expected = "without an event name: POST /tasks")]
    fn a_route_without_a_name_fails_the_test() {
        assert_covers(&Catalog::new(), [(Method::POST, "/tasks")]);
    }
}
