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

#[test]
fn each_bad_pattern_and_each_bad_rule_of_an_event_is_reported() {
    let error = Redactor::builder().pattern("(").pattern("a*").pattern("[").build().unwrap_err();
    let beginnings = [
        "redaction: the pattern \"(\" does not compile",
        "redaction: the pattern \"a*\" matches the empty text",
        "redaction: the pattern \"[\" does not compile",
    ];
    let found = lines(&error);
    assert_eq!(found.len(), beginnings.len(), "{found:#?}");
    for (line, beginning) in found.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}, expected {beginning}");
    }
    let event = Event::new("Order").on(Method::GET, "/orders").secret_pointer("no").not_secret("").show(["neither"]);
    let error = Auditor::builder().sink(sink::memory().0).catalog(Catalog::new().event(event)).build().unwrap_err();
    let found = lines(&error);
    assert!(found.len() == 3 && found.iter().all(|line| line.starts_with("event `Order`: redaction: ")), "{found:#?}");
}

/// The environment belongs to the process, so this test runs in one of its own.
#[test]
fn bad_settings_are_reported_together_with_what_is_wrong_in_the_code() {
    const CHILD: &str = "BUILD_ERRORS_CHILD";
    let test = "bad_settings_are_reported_together_with_what_is_wrong_in_the_code";
    if std::env::var_os(CHILD).is_some() {
        let catalog = Catalog::new().event(Event::new("A").on(Method::GET, "/a?b"));
        let builder =
            Auditor::builder().catalog(catalog).redactor(Redactor::builder().mask("")).stages(Stages::Initiation);
        let error = builder.from_env().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting);
        let beginnings = [
            "TOWER_AUDIT_DELIVERY: given \"strong\"",
            "TOWER_AUDIT_TRUSTED_PROXIES: given \"nobody\"",
            "stages: `initiation` cannot be the default",
            "redaction: the mask",
            "event `A`: route `/a?b`",
        ];
        let found = lines(&error);
        // The header is right: that its proxies are missing follows from their error, and is no other one.
        assert_eq!(found.len(), beginnings.len(), "{found:#?}");
        for (line, beginning) in found.iter().zip(beginnings) {
            assert!(line.starts_with(beginning), "{line}, expected {beginning}");
        }
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let settings = [
        ("TOWER_AUDIT_DELIVERY", "strong"),
        ("TOWER_AUDIT_TRUSTED_PROXIES", "nobody"),
        ("TOWER_AUDIT_CLIENT_IP_HEADER", "X-Forwarded-For"),
    ];
    let output = command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").envs(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
