//! What is wrong with an auditor is found when it is built: all of it at once, each with its name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use http::{HeaderName, Method};
use tower_audit::{Auditor, Catalog, ErrorKind, Event, Redactor, Source, Stages, sink};

fn lines(error: &tower_audit::Error) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn everything_wrong_with_an_auditor_is_reported_at_once() {
    let catalog = Catalog::new()
        .event(Event::new("TaskFetch").on(Method::GET, "/tasks/{taskId}"))
        .event(Event::new("JobFetch").on(Method::GET, "/tasks/:id"));
    let rules = Redactor::builder().key("42").key("").mask("\n").pointer("name").except("");
    let error = Auditor::builder()
        .sink(sink::memory().0)
        .catalog(catalog)
        .redactor(rules)
        .stages(Stages::Initiation)
        .queue_records(0)
        .queue_bytes(1)
        .max_line_bytes(1)
        .max_body_bytes(1 << 30)
        .behind_proxies(["10.0.0.0/33", "nonsense"], HeaderName::from_static("x-forwarded-for"))
        .instance("a b")
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setting);
    let beginnings = [
        "queue_records: 0 records",
        "max_line_bytes: 1 is too short",
        "max_body_bytes: 1073741824 is too much",
        "queue_bytes: 1 is too little for the two bodies of one request and other requests; at least 64 KiB and 4 × max_body_bytes",
        "stages: `initiation` cannot be the default",
        "redaction: an exception without a name",
        "redaction: the secret key \"42\" must have a letter",
        "redaction: the secret key \"\" must have a letter",
        "redaction: JSON Pointer",
        "redaction: the mask",
        "trusted proxies: given \"10.0.0.0/33\"",
        "trusted proxies: given \"nonsense\"",
        "instance: given \"a b\"",
        "event `TaskFetch` at `GET /tasks/{taskId}` and event `JobFetch` at `GET /tasks/{id}` have the same route",
    ];
    let lines = lines(&error);
    assert_eq!(lines.len(), beginnings.len(), "{lines:#?}");
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}, expected {beginning}");
    }
}

#[test]
fn everything_wrong_with_a_redactor_or_a_file_is_reported_at_once() {
    let error = Redactor::builder().mask_values_under("").except("").key("7").pointer("").build().unwrap_err();
    assert_eq!((error.kind(), lines(&error).len()), (ErrorKind::Redaction, 4), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = sink::file(folder.path().join("missing/audit.log")).rotate_bytes(0).keep_files(0).mode(0);
    let error = file.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setting);
    let lines = lines(&error);
    for (line, part) in
        lines.iter().zip(["rotate_bytes: given 0", "keep_files: given 0", "mode: given 0", "does not exist"])
    {
        assert!(line.contains(part) && line.contains("missing/audit.log"), "{lines:#?}");
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn events_that_demand_what_cannot_be_are_reported_at_once() {
    let stream = |name: &'static str| Event::new(name).client_ends_stream().delivery(tower_audit::Delivery::Durable);
    let catalog = Catalog::new().event(stream("Follow")).event(stream("Watch"));
    let error = Auditor::builder().sink(sink::memory().0).catalog(catalog).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Catalog);
    assert!(error.to_string().contains("`Follow`") && error.to_string().contains("`Watch`"), "{error}");
}

#[test]
fn an_event_twice_a_route_that_no_request_can_have_and_a_reserved_key_are_found() {
    let get = |name: &'static str, route: &'static str| Event::new(name).on(Method::GET, route);
    for (catalog, problem) in [
        (
            Catalog::new().event(get("A", "/a")).event(get("A", "/b").kind("k")),
            "event `A` is defined twice, and differently",
        ),
        (
            Catalog::new().event(get("A", "/a").on(Method::GET, "/a")),
            "event `A` at `GET /a` and event `A` at `GET /a` have the same route",
        ),
        (
            Catalog::new().event(get("A", "/a")).skip_all("/a"),
            "event `A` at `/a` and the skipped `/a` have the same route",
        ),
        (
            Catalog::new().event(get("A", "/a b")),
            "event `A`: route `/a b` can match no request: in the path of a URL, spaces",
        ),
        (Catalog::new().event(get("A", "/a\n")), "event `A`: route `/a\\n` can match no request"),
        (Catalog::new().event(get("A", "/a?b")), "event `A`: route `/a?b` is a path: it cannot hold `?` or `#`"),
        (Catalog::new().skip(Method::GET, "/<a>"), "a skipped route: route `/<a>` can match no request"),
        (
            Catalog::new().event(get("A", "/a").meta("shortened", Source::value(1))),
            "the key `shortened` of `meta` is one that the library writes itself",
        ),
        (Catalog::new().event(Event::new("AuditStarted")), "reserved for our own records"),
    ] {
        let error = Auditor::builder().sink(sink::memory().0).catalog(catalog.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Catalog);
        assert!(error.to_string().contains(problem), "{error}\nexpected: {problem}");
        assert_eq!(catalog.check().unwrap_err().to_string(), error.to_string());
    }
}
