//! Which scopes are audited: decided when a request begins, or at its end where only the handler knows the scope; and every
//! change of that is recorded before it holds.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use common::sinks::Disk;
use common::{DEADLINE, Log, eventually, expected, log_to, log_with, record};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tower_audit::scope::{FileScopeStore, ScopeChange, ScopeNode, ScopeRules, ScopeStore, scope_fn};
use tower_audit::sink::{Output, sink_fn};
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Catalog, Delivery, Event, Filter, Scope, Stages, Unmatched, sink,
};

const PUBLISHED: &str = "PackagePublished";

fn group(path: &str) -> Scope {
    Scope::group(path.to_owned())
}

fn rules(changes: impl IntoIterator<Item = ScopeChange>) -> ScopeRules {
    changes.into_iter().fold(ScopeRules::off(), |rules, change| rules.with(change).unwrap())
}

fn catalog() -> Catalog {
    Catalog::new()
        .event(Event::new(PUBLISHED).on(Method::PUT, "/{group}/packages"))
        .event(Event::new("PackageDownloaded").on(Method::GET, "/{group}/packages"))
        .event(Event::new("Both").on(Method::POST, "/{group}/both").stages(Stages::Both))
        .event(Event::new("Cleanup").stages(Stages::Both))
}

/// The scope is the group that the path names, percent-encoded; `-` names none.
fn scoped(builder: AuditorBuilder, rules: ScopeRules) -> AuditorBuilder {
    let resolver = scope_fn(|_, params| {
        let group = params.get("group").filter(|group| group != "-")?;
        assert_ne!(group, "panic", "a resolver that panics");
        Some(Scope::group(group))
    });
    builder.catalog(catalog()).scope_resolver(resolver).scope_rules(rules)
}

fn log(rules: ScopeRules) -> Log {
    log_with(|builder| scoped(builder, rules))
}

/// Answers `true` if its request is being recorded; names the scope that a header asks for.
fn app(auditor: &Auditor) -> Router {
    let handler = |audit: Audit, request: axum::extract::Request| async move {
        if let Some(scope) = request.headers().get("scope") {
            audit.actor(Actor::user("jane")).scope(Scope::group(scope.to_str().unwrap()));
        }
        let (_, body) = request.into_parts();
        body.collect().await.unwrap();
        (!audit.is_disabled()).to_string()
    };
    let router = Router::new()
        .route("/{group}/packages", get(handler).put(handler))
        .route("/{group}/both", post(handler))
        .route("/other", get(handler));
    Router::new().fallback_service(auditor.wrap_router(router).into_service())
}

/// Sends a request to its end; true if it was being recorded when its handler ran.
async fn ask(auditor: &Auditor, method: &str, url: &str, scope: Option<&str>) -> bool {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(scope) = scope {
        request = request.header("scope", scope);
    }
    let answer = app(auditor).oneshot(request.body(Body::from("{\"a\":1}")).unwrap()).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes() == "true"
}

fn names(records: &[Value]) -> Vec<String> {
    let name = |record: &Value| {
        let scope = record["scope"]["path"].as_str().unwrap_or("-");
        format!("{} {} {scope}", record["eventName"].as_str().unwrap(), record["stage"].as_str().unwrap())
    };
    records.iter().map(name).collect()
}

/// The records of requests and activities, once everything is written.
async fn recorded(log: &Log) -> Vec<String> {
    names(&expected::normal(log.all().await))
}

#[tokio::test]
async fn the_nearest_rule_upwards_decides_and_nothing_of_what_is_off_is_captured() {
    let log = log(rules([
        ScopeChange::on(group("acme")),
        ScopeChange::off(group("acme/lab")),
        ScopeChange::on(group("acme/lab/open")),
        ScopeChange::off(group("acme")).event("PackageDownloaded"),
    ]));
    for (method, path, is_recorded) in [
        ("PUT", "acme", true),
        ("PUT", "acme%2Ftools%2Fcli", true),
        ("PUT", "acme%2Flab", false),
        ("PUT", "acme%2Flab%2Fx%2Fy", false),
        ("PUT", "acme%2Flab%2Fopen%2Fx", true),
        ("PUT", "acme-evil", false),
        ("PUT", "ACME", false),
        ("PUT", "jane%2Fscripts", false),
        ("GET", "acme%2Ftools", false),
        // A rule for all events that is nearer than the one for this event.
        ("GET", "acme%2Flab%2Fopen", true),
        // What cannot be the path of a scope is not hidden.
        ("PUT", "acme%2F..%2Fjane", true),
        ("PUT", "jane%2F%2Fx", true),
    ] {
        assert_eq!(ask(&log.auditor, method, &format!("/{path}/packages"), None).await, is_recorded, "{method} {path}");
    }
    assert_eq!(
        recorded(&log).await,
        [
            "PackagePublished completion acme",
            "PackagePublished completion acme/tools/cli",
            "PackagePublished completion acme/lab/open/x",
            "PackageDownloaded completion acme/lab/open",
            "PackagePublished completion acme/../jane",
            "PackagePublished completion jane//x",
        ]
    );
    let (report, records) = log.stop().await;
    assert!(report.is_complete());
    assert_eq!(records.len(), 6 + 2, "start and end are always there");
}

#[tokio::test]
async fn a_scope_of_64_kib_is_recorded_with_its_beginning() {
    let log = log(ScopeRules::off());
    let resolver = format!("{}/x", "a".repeat(64 * 1024));
    let set = log_with(|builder| {
        builder
            .scope_rules(ScopeRules::off())
            .scope_resolver(scope_fn(move |_, _| Some(Scope::group(resolver.clone()))))
    });
    assert!(ask(&set.auditor, "GET", "/other", None).await);
    let path = set.only().await["scope"]["path"].as_str().unwrap().to_owned();
    assert!(path.len() < 600 && path.ends_with('…'), "{path}");
    drop(log);
}

#[tokio::test]
async fn a_request_without_a_scope_follows_the_rule_of_the_instance_and_else_the_default() {
    for (rules, is_recorded) in [
        (ScopeRules::on(), true),
        (ScopeRules::off(), false),
        (rules([ScopeChange::on(ScopeNode::Instance)]), true),
        (
            rules([ScopeChange::on(ScopeNode::Instance), ScopeChange::off(ScopeNode::Instance).event("HttpRequest")]),
            false,
        ),
        (rules([ScopeChange::on(ScopeNode::Default).event("HttpRequest")]), true),
    ] {
        let log = log(rules.clone());
        ask(&log.auditor, "GET", "/other", None).await;
        let expected: &[&str] = if is_recorded { &["HttpRequest completion -"] } else { &[] };
        assert_eq!(recorded(&log).await, expected, "{rules:?}");
        assert_eq!(log.auditor.counters().open, 0);
    }
}

#[tokio::test]
async fn where_only_the_handler_knows_the_scope_the_completion_decides() {
    let log = log(rules([ScopeChange::on(group("acme"))]));
    ask(&log.auditor, "PUT", "/-/packages", Some("acme/tools")).await;
    ask(&log.auditor, "PUT", "/-/packages", Some("jane")).await;
    // The handler's word comes before the resolver's.
    ask(&log.auditor, "PUT", "/acme/packages", Some("jane")).await;
    ask(&log.auditor, "PUT", "/acme/packages", Some("acme/lab")).await;
    assert_eq!(
        recorded(&log).await,
        ["PackagePublished completion acme/tools", "PackagePublished completion acme/lab"]
    );
    let counters = log.auditor.counters();
    assert_eq!((counters.open, counters.lost.total()), (0, 0));
}

#[tokio::test]
async fn where_an_initiation_stands_its_completion_follows_and_one_that_was_held_back_comes_before_it() {
    // Known at the beginning: both. Named by the handler when the initiation is written already: both.
    let log = log(rules([ScopeChange::on(group("acme")), ScopeChange::on(ScopeNode::Instance).event("Both")]));
    ask(&log.auditor, "POST", "/acme/both", None).await;
    let changes = |audit: Audit, body: Body| async move {
        audit.actor(Actor::user("jane"));
        body.collect().await.unwrap();
        audit.scope(Scope::group("jane"));
    };
    let router = Router::new().route("/{group}/both", post(changes));
    let request = |url: &str| Request::post(url).body(Body::from("x")).unwrap();
    log.auditor.wrap_router(router.clone()).into_service().oneshot(request("/-/both")).await.unwrap();
    assert_eq!(
        recorded(&log).await,
        ["Both initiation acme", "Both completion acme", "Both initiation -", "Both completion jane"]
    );

    // Nobody knows the scope when the initiation is due, and the instance is off: it waits for the end.
    let log = log_with(|builder| scoped(builder, rules([ScopeChange::on(group("jane"))])));
    log.auditor.wrap_router(router.clone()).into_service().oneshot(request("/-/both")).await.unwrap();
    ask(&log.auditor, "POST", "/-/both", None).await;
    assert_eq!(recorded(&log).await, ["Both initiation jane", "Both completion jane"]);
}

#[tokio::test]
async fn fail_closed_without_a_known_scope_is_recorded_from_its_beginning() {
    let event = Event::new("Payment").on(Method::GET, "/other").delivery(Delivery::FailClosed);
    let log = log_with(|builder| builder.catalog(Catalog::new().event(event)).scope_rules(ScopeRules::off()));
    ask(&log.auditor, "GET", "/other", None).await;
    assert_eq!(recorded(&log).await, ["Payment initiation -", "Payment completion -"]);
}

#[tokio::test]
async fn a_resolver_that_panics_hides_nothing() {
    let log = log(rules([ScopeChange::off(ScopeNode::Instance)]));
    assert!(ask(&log.auditor, "PUT", "/panic/packages", None).await);
    ask(&log.auditor, "PUT", "/panic/packages", Some("jane")).await;
    assert_eq!(recorded(&log).await, ["PackagePublished completion -"]);
}

#[tokio::test]
async fn work_without_a_request_asks_the_same_rules() {
    let log = log(rules([ScopeChange::on(group("acme"))]));
    let begin = || log.auditor.begin("Cleanup");
    begin().scope(group("acme/tools")).await.unwrap().succeed();
    assert!(begin().scope(group("jane")).await.unwrap().audit().is_disabled());
    begin().await.unwrap().succeed();
    let late = begin().await.unwrap();
    late.audit().scope(group("acme"));
    late.succeed();
    begin().scope(group("acme/x")).try_emit().unwrap();
    assert_eq!(
        recorded(&log).await,
        [
            "Cleanup initiation acme/tools",
            "Cleanup completion acme/tools",
            "Cleanup initiation acme",
            "Cleanup completion acme",
            "Cleanup initiation acme/x",
            "Cleanup completion acme/x",
        ]
    );
    assert_eq!(log.auditor.counters().open, 0);
}

#[tokio::test]
async fn an_inner_layer_of_the_same_log_decides_by_the_rules_under_which_the_request_began() {
    let log = log(rules([ScopeChange::on(group("acme")).event("Inner")]));
    let scopes = log.auditor.scopes();
    let switch = axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
        let scopes = scopes.clone();
        async move {
            scopes.change(Actor::user("jane"), ScopeChange::on(group("acme"))).await.unwrap();
            next.run(request).await
        }
    });
    let route = |event| {
        let inner = log.auditor.route_layer(Event::new(event)).unwrap();
        Router::new().route("/{group}/packages", get(|| async {})).layer(inner).layer(switch.clone())
    };
    for event in ["Other", "Inner"] {
        let request = Request::get("/acme/packages").body(Body::empty()).unwrap();
        log.auditor.scopes().change(Actor::user("jane"), ScopeChange::inherit(group("acme"))).await.unwrap();
        log.auditor.wrap_router(route(event)).into_service().oneshot(request).await.unwrap();
    }
    assert_eq!(recorded(&log).await, ["Inner completion acme"]);
}

/// What is the same on every record of a change.
fn changed(patch: Value) -> Value {
    let base = json!({
        "eventName": "AuditScopeChanged", "eventKind": "audit", "logType": "audit",
        "actor": { "actorId": "jane", "kind": "user", "ip": null, "port": null, "hostname": null },
        "response": null, "request": null,
    });
    record(expected::with(base, patch))
}

/// The records of changes, without ids and numbers.
async fn changes(log: &Log) -> Vec<Value> {
    changes_of(log.all().await)
}

fn changes_of(mut records: Vec<Value>) -> Vec<Value> {
    records.retain(|record| record["eventName"] == "AuditScopeChanged");
    for record in &mut records {
        record.as_object_mut().unwrap().retain(|key, _| key != "seq" && key != "auditId");
    }
    records
}

#[tokio::test]
async fn each_change_is_recorded_with_who_which_scope_before_and_after() {
    let log = log(ScopeRules::off());
    let scopes = log.auditor.scopes();
    let jane = || Actor::user("jane");
    scopes.change(jane(), ScopeChange::on(group("acme"))).await.unwrap();
    scopes.change(jane(), ScopeChange::off(group("acme/tools")).event("PackageDownloaded")).await.unwrap();
    scopes.change(jane(), ScopeChange::inherit(group("acme"))).await.unwrap();
    scopes.change(jane(), ScopeChange::on(ScopeNode::Instance)).await.unwrap();
    scopes.change(jane(), ScopeChange::on(ScopeNode::Default)).await.unwrap();
    let patch = |scope: Value, before: (bool, &str), after: (bool, &str)| {
        let name = format!("{} {}", scope["kind"].as_str().unwrap(), scope["path"].as_str().unwrap());
        json!({
            "message": format!("Audit rule of {name} changed from {} to {} by jane: succeeded", before.1, after.1),
            "scope": scope,
            "meta": { "before": before.0, "after": after.0, "ruleBefore": before.1, "ruleAfter": after.1 },
        })
    };
    let acme = json!({ "kind": "group", "path": "acme" });
    let tools = json!({ "kind": "group", "path": "acme/tools" });
    let instance = json!({ "kind": "instance", "path": "*" });
    let default = json!({ "kind": "default", "path": "*" });
    assert_eq!(
        changes(&log).await,
        [
            changed(patch(acme.clone(), (false, "inherit"), (true, "on"))),
            changed(expected::with(
                patch(tools, (true, "inherit"), (false, "off")),
                json!({ "meta": { "event": "PackageDownloaded" } })
            )),
            changed(patch(acme, (true, "on"), (false, "inherit"))),
            changed(patch(instance, (false, "inherit"), (true, "on"))),
            changed(patch(default, (false, "off"), (true, "on"))),
        ]
    );
    let off = ScopeChange::off(group("acme/tools")).event("PackageDownloaded");
    let rules = ScopeRules::on().with(off).and_then(|rules| rules.with(ScopeChange::on(ScopeNode::Instance)));
    assert_eq!(scopes.rules(), rules.unwrap());
}

#[tokio::test]
async fn a_change_names_the_request_that_asked_for_it() {
    let log = log(rules([ScopeChange::on(group("acme"))]));
    let scopes = log.auditor.scopes();
    let handler = move |audit: Audit| async move {
        let change = ScopeChange::off(group("acme"));
        scopes.change_for(&audit, Actor::user("jane"), change).await.unwrap();
    };
    let router = Router::new().route("/{group}/packages", get(handler));
    let request = Request::get("/acme/packages").body(Body::empty()).unwrap();
    log.auditor.wrap_router(router).into_service().oneshot(request).await.unwrap();
    let records = log.all().await;
    // The request began while its scope was on, so it stands in the log though it switched its own scope off.
    let request = records.iter().find(|record| record["eventName"] == "PackageDownloaded").unwrap();
    let change = records.iter().find(|record| record["eventName"] == "AuditScopeChanged").unwrap();
    assert_eq!(change["meta"]["requestAuditId"], request["auditId"]);
}

#[tokio::test]
async fn a_change_holds_for_requests_that_begin_later() {
    let log = log(rules([ScopeChange::on(group("on"))]));
    let (inside, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (inside, goes_on) = (inside.clone(), goes_on.clone());
        move |audit: Audit| async move {
            audit.actor(Actor::user("jane"));
            inside.add_permits(1);
            goes_on.acquire().await.unwrap().forget();
        }
    };
    let app = log.auditor.wrap_router(Router::new().route("/{group}/packages", get(handler))).into_service();
    let ask = |group: &str| {
        let request = Request::get(format!("/{group}/packages")).body(Body::empty()).unwrap();
        tokio::spawn(app.clone().oneshot(request))
    };
    let first = [ask("on"), ask("off")];
    inside.acquire_many(2).await.unwrap().forget();
    let scopes = log.auditor.scopes();
    scopes.change(Actor::user("jane"), ScopeChange::off(group("on"))).await.unwrap();
    scopes.change(Actor::user("jane"), ScopeChange::on(group("off"))).await.unwrap();
    let second = [ask("on"), ask("off")];
    inside.acquire_many(2).await.unwrap().forget();
    goes_on.add_permits(4);
    for answer in first.into_iter().chain(second) {
        answer.await.unwrap().unwrap();
    }
    let mut recorded = recorded(&log).await;
    recorded.sort();
    assert_eq!(recorded, ["PackageDownloaded completion off", "PackageDownloaded completion on"]);
}

#[tokio::test]
async fn no_filter_removes_the_record_of_a_change() {
    let (lines, records) = sink::memory();
    let output = Output::new(lines).filter(Filter::from_fn(|_| false));
    let auditor = Auditor::builder().sink(output).scope_rules(ScopeRules::off()).build().unwrap();
    auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme"))).await.unwrap();
    assert!(records.text().contains("AuditScopeChanged"), "{}", records.text());
}

#[tokio::test]
async fn a_change_whose_record_is_not_durable_in_time_is_refused_and_taken_back() {
    let disk = Disk::default();
    let log = log_to(disk.written.clone(), |builder| {
        scoped(builder.sink(disk.sink()).admission_timeout(Duration::from_millis(50)), ScopeRules::off())
    });
    disk.syncing.set(true);
    let change = log.auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme")));
    let error = change.await.unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("as they were"), "{error}");
    assert_eq!(log.auditor.scopes().rules(), ScopeRules::off());
    assert!(!ask(&log.auditor, "PUT", "/acme/packages", None).await);
    disk.syncing.set(false);
    let changes = changes(&log).await;
    let seen: Vec<_> = changes.iter().map(|change| (&change["status"], &change["errors"][0]["name"])).collect();
    assert_eq!(seen, [(&json!("succeeded"), &Value::Null), (&json!("failed"), &json!("NotChanged"))]);
    // And it can be made once the disk works again.
    log.auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme"))).await.unwrap();
    assert!(ask(&log.auditor, "PUT", "/acme/packages", None).await);
}

#[tokio::test]
async fn a_change_is_refused_while_a_required_sink_is_given_up_and_after_the_end() {
    let broken = Arc::new(AtomicBool::new(true));
    let writes = broken.clone();
    let sink = sink_fn(move |_: &[u8]| match writes.load(Ordering::SeqCst) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    });
    let builder = Auditor::builder().sink(sink).sink_retry_limit(Duration::ZERO).scope_rules(ScopeRules::off());
    let auditor = builder.build().unwrap();
    let begun = std::time::Instant::now();
    while auditor.counters().is_healthy() {
        assert!(begun.elapsed() < DEADLINE, "the sink is not given up");
        tokio::task::yield_now().await;
    }
    let change = || auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme")));
    let error = change().await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(auditor.scopes().rules(), ScopeRules::off());
    auditor.shutdown(DEADLINE).await;
    assert!(change().await.unwrap_err().is_refused());
    assert_eq!(auditor.scopes().rules(), ScopeRules::off());
}

/// A store that keeps its rules in memory, and can fail.
#[derive(Default)]
struct Kept {
    rules: Mutex<Option<ScopeRules>>,
    fails: AtomicBool,
    panics: AtomicBool,
}

impl ScopeStore for Kept {
    fn load(&self) -> io::Result<Option<ScopeRules>> {
        Ok(self.rules.lock().unwrap().clone())
    }

    fn save(&self, rules: &ScopeRules) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "in the store");
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *self.rules.lock().unwrap() = Some(rules.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_change_that_the_store_does_not_keep_is_refused_and_taken_back() {
    let store = Arc::new(Kept::default());
    let log = log_with(|builder| scoped(builder, ScopeRules::off()).scope_store(store.clone()));
    let change = || log.auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme")));
    store.fails.store(true, Ordering::SeqCst);
    assert!(change().await.unwrap_err().is_refused());
    store.panics.store(true, Ordering::SeqCst);
    assert!(change().await.unwrap_err().is_refused());
    assert_eq!(log.auditor.scopes().rules(), ScopeRules::off());
    store.panics.store(false, Ordering::SeqCst);
    store.fails.store(false, Ordering::SeqCst);
    change().await.unwrap();
    assert_eq!(store.load().unwrap().as_ref(), Some(&log.auditor.scopes().rules()));
    let statuses: Vec<Value> = changes(&log).await.iter().map(|change| change["status"].clone()).collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded", "failed", "succeeded"]);
}

#[tokio::test]
async fn a_change_whose_future_is_dropped_is_made_as_a_whole() {
    let log = log(ScopeRules::off());
    let scopes = log.auditor.scopes();
    drop(scopes.change(Actor::user("jane"), ScopeChange::on(group("acme"))));
    eventually("the change is made", || scopes.is_audited(Some(&group("acme")), PUBLISHED)).await;
    assert_eq!(changes(&log).await.len(), 1);
}

#[tokio::test]
async fn changes_at_once_are_made_one_after_another() {
    let log = log(ScopeRules::off());
    let changes_made = (0..20).map(|at| {
        let change = if at % 2 == 0 { ScopeChange::on(group("acme")) } else { ScopeChange::off(group("acme")) };
        tokio::spawn(log.auditor.scopes().change(Actor::user("jane"), change))
    });
    for change in changes_made.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    let changes = changes(&log).await;
    assert_eq!(changes.len(), 20);
    assert_eq!(changes[0]["meta"]["before"], false);
    for pair in changes.windows(2) {
        assert_eq!(pair[0]["meta"]["ruleAfter"], pair[1]["meta"]["ruleBefore"], "{pair:#?}");
    }
    let last = &changes[19]["meta"]["after"];
    assert_eq!(log.auditor.scopes().is_audited(Some(&group("acme")), PUBLISHED), *last);
}

#[tokio::test]
async fn what_was_changed_holds_after_a_restart_and_a_torn_file_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scopes.json");
    let first = log_with(|builder| scoped(builder, ScopeRules::off()).scope_store(FileScopeStore::new(&path)));
    first.auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme"))).await.unwrap();
    first.stop().await;

    let second = log_with(|builder| scoped(builder, ScopeRules::off()).scope_store(FileScopeStore::new(&path)));
    assert!(ask(&second.auditor, "PUT", "/acme%2Ftools/packages", None).await);
    let started = &second.all().await[0]["meta"]["settings"]["scopes"];
    assert_eq!((&started["default"], &started["rules"]), (&json!(false), &json!(1)));
    second.stop().await;

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let builder = Auditor::builder().sink(sink::memory().0).scope_store(FileScopeStore::new(&path));
    let error = builder.build().unwrap_err();
    assert!(error.is_start() && error.to_string().contains("scopes.json"), "{error}");
}

#[tokio::test]
async fn without_rules_everything_is_audited_and_a_change_is_an_error() {
    let log = log_with(|builder| builder.catalog(Catalog::new().unmatched(Unmatched::Record)));
    let scopes = log.auditor.scopes();
    assert!(scopes.is_audited(None, PUBLISHED) && scopes.rules() == ScopeRules::on());
    let error = scopes.change(Actor::user("jane"), ScopeChange::off(group("acme"))).await.unwrap_err();
    assert!(error.is_setting(), "{error}");
    let bad = self::log(ScopeRules::off());
    let error = bad.auditor.scopes().change(Actor::user("jane"), ScopeChange::on(group("acme//x"))).await.unwrap_err();
    assert!(error.is_setting(), "{error}");
    assert!(changes(&bad).await.is_empty());
}
