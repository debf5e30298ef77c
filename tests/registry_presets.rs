//! The presets of package registries: each event of their sources comes from a call of the public API, with its golden record.
#![cfg(feature = "axum")]

mod common;

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use common::{log_with, record};
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::presets::{gitlab_packages, package_security_manager};
use tower_audit::{Actor, Audit, Catalog, Credential, Entity, Scope};

const GOLDEN: &str = include_str!("registry_golden/package_security_manager.jsonl");

#[tokio::test]
async fn each_of_the_40_events_in_11_groups_has_its_golden_record() {
    let log = log_with(|builder| builder.catalog(package_security_manager::catalog()));
    let golden: Vec<Value> = GOLDEN.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(golden.len(), 40);
    for (group, event) in package_security_manager::groups()
        .flat_map(|group| package_security_manager::group(group).iter().map(move |event| (group, *event)))
    {
        let object = Entity::new(group).id("42").name("main");
        let activity = log.auditor.begin(event).actor(Actor::user("jane").name("Jane Doe")).object(object);
        activity.emit().await.expect("it is recorded");
    }
    assert_eq!(log.records(40).await, golden);
    assert_eq!(package_security_manager::groups().count(), 11);
    assert!(package_security_manager::group("artifacts").is_empty());
}

#[test]
fn the_groups_are_those_of_the_source() {
    let names = |group| package_security_manager::group(group).len();
    let sizes: Vec<_> = package_security_manager::groups().map(|group| (group, names(group))).collect();
    let source = [
        ("artifact", 8),
        ("authentication", 3),
        ("build", 1),
        ("channel", 9),
        ("cve", 3),
        ("group", 2),
        ("mirror", 3),
        ("mirroring", 4),
        ("report", 1),
        ("sbom", 2),
        ("user", 4),
    ];
    assert_eq!(sizes, source);
    let all: BTreeSet<_> = package_security_manager::groups().flat_map(package_security_manager::group).collect();
    assert_eq!(all.len(), 40);
}

#[tokio::test]
async fn an_event_can_be_given_a_route() {
    use package_security_manager::events;
    let events = package_security_manager::catalog_with(|name, event| match name {
        events::ARTIFACT_DOWNLOADED => event.on(Method::GET, "/{channel}/{file}"),
        _ => event,
    });
    let log = log_with(|builder| builder.catalog(Catalog::new().nest("/repo", events)));
    let download = |audit: Audit| async move {
        audit.actor(Actor::user("jane")).object(Entity::new("artifact").name("numpy").version("2.3"));
    };
    let app = Router::new().route("/repo/{channel}/{file}", get(download));
    let request = Request::get("/repo/main/numpy.conda").body(Body::empty()).expect("a request");
    log.auditor.wrap_router(app).into_service().oneshot(request).await.expect("infallible");
    let record = log.only().await;
    assert_eq!((&record["eventName"], &record["eventKind"]), (&json!("artifact_downloaded"), &json!("artifact")));
    assert_eq!(record["message"], "artifact_downloaded of artifact numpy 2.3 by jane succeeded");
    assert_eq!(record["request"]["route"], "/repo/{channel}/{file}");
}

#[tokio::test]
async fn a_message_tells_who_did_what_to_what_where_and_with_which_key() {
    use gitlab_packages::events;
    let log = log_with(|builder| builder.catalog(gitlab_packages::catalog()));
    let key = Credential::new("deploy_token").id("7").owner("acme/tools").name("ci-publish");
    let package = Entity::new("package").id("1742").name("left-pad").version("1.3.0").format("npm");
    for event in
        [events::PACKAGE_PUBLISHED, events::PACKAGE_UPDATED, events::PACKAGE_DELETED, events::PACKAGE_DOWNLOADED]
    {
        let actor = Actor::new("7").kind("deploy_token").name("ci").credential(key.clone());
        let activity = log.auditor.begin(event).actor(actor).object(package.clone()).scope(Scope::group("acme/tools"));
        activity.context("pipeline").emit().await.expect("it is recorded");
    }
    let golden = |event: &str, verb: &str, log_type: &str| {
        record(json!({
            "eventName": event,
            "eventKind": "package",
            "logType": log_type,
            "message":
                format!("{verb} of package left-pad 1.3.0 in group acme/tools by ci with deploy token acme/tools ci-publish succeeded"),
            "actor": {
                "actorId": "7", "kind": "deploy_token", "name": "ci", "ip": null, "port": null, "hostname": null,
                "credential": { "kind": "deploy_token", "id": "7", "name": "ci-publish", "owner": "acme/tools" },
            },
            "object": { "kind": "package", "id": "1742", "name": "left-pad", "version": "1.3.0", "format": "npm" },
            "scope": { "kind": "group", "path": "acme/tools" },
            "context": "pipeline",
            "request": null,
            "response": null,
        }))
    };
    assert_eq!(
        log.records(4).await,
        [
            golden("PackagePublished", "Publishing", "audit"),
            golden("PackageUpdated", "Update", "audit"),
            golden("PackageDeleted", "Deletion", "audit"),
            golden("PackageDownloaded", "Download", "client"),
        ]
    );
}

#[tokio::test]
async fn placeholders_of_what_nobody_said_leave_a_sentence() {
    let event = tower_audit::Event::new("Odd").message("{actor.name}|{credential}|{object}|{target}|{scope}|{context}");
    let log = log_with(|builder| builder.catalog(Catalog::new().event(event)));
    log.auditor.begin("Odd").emit().await.expect("it is recorded");
    let some = log.auditor.begin("Odd").actor(Actor::user("u-1").credential(Credential::new("ssh_key").id("3")));
    let some =
        some.object(Entity::new("task").id("9")).target(Entity::new("board").slug("b")).scope(Scope::project("a/b"));
    some.context("web").emit().await.expect("it is recorded");
    let messages: Vec<Value> = log.records(2).await.iter().map(|record| record["message"].clone()).collect();
    assert_eq!(
        messages,
        ["somebody|no credential|unknown|unknown|unknown|unknown", "u-1|ssh key 3|task 9|board b|project a/b|web"]
    );
}
