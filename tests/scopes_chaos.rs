//! Scopes are switched on and off while requests run: what began while its scope was off is not recorded, nothing is missing of
//! what began while it was on, and each change is recorded before it holds.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::routing::get;
use common::sinks::Disk;
use common::{DEADLINE, Log, eventually, log_to};
use http::{Method, Request};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;
use tower_audit::scope::{ScopeChange, ScopeRules, scope_fn};
use tower_audit::{Actor, Audit, Catalog, Event, Scope, Stages};

const SCOPES: [&str; 3] = ["acme", "acme/tools", "jane"];
const CLIENTS: u64 = 6;
/// Clients whose requests last until a scope has been switched.
const WAITING: u64 = 3;
const CHANGES: u64 = 150;
const REQUESTS: usize = 20;

/// A clock of all that happens, so that two things can be put in order.
#[derive(Clone, Default)]
struct Ticks(Arc<AtomicU64>);

impl Ticks {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

#[derive(serde::Deserialize)]
struct Waits {
    waits: bool,
}

/// A change, and the ticks between which it began to hold: the first before its record could be on the disk.
struct Change {
    scope: usize,
    on: bool,
    asked: u64,
    made: u64,
}

/// A request, the ticks between which it began, and the one after its end.
struct Asked {
    id: u64,
    scope: usize,
    sent: u64,
    handled: u64,
    ended: u64,
}

impl Asked {
    /// What the rules may have said when it began: after each number of changes that may have been made by then.
    fn may_have_begun_under<'c>(&'c self, changes: &'c [Change]) -> impl Iterator<Item = (usize, bool)> + 'c {
        let made = changes.iter().take_while(|change| change.made < self.sent).count();
        let asked = changes.iter().take_while(|change| change.asked < self.handled).count();
        (made..=asked.max(made)).map(|count| (count, self.is_on(&changes[..count])))
    }

    fn is_on(&self, changes: &[Change]) -> bool {
        let rule = |scope| changes.iter().rev().find(|change| change.scope == scope).map(|change| change.on);
        let nearest = if self.scope == 1 { rule(1).or(rule(0)) } else { rule(self.scope) };
        nearest.unwrap_or(false)
    }
}

fn log(disk: &Disk) -> Log {
    let event = |name, route, stages| Event::new(name).on(Method::GET, route).stages(stages);
    let catalog = Catalog::new()
        .event(event("Known", "/known/{scope}/{id}", Stages::Completion))
        .event(event("KnownBoth", "/both/{scope}/{id}", Stages::Both))
        .event(event("Late", "/late/{scope}/{id}", Stages::Completion))
        .event(event("LateBoth", "/late-both/{scope}/{id}", Stages::Both));
    let resolver = scope_fn(|request, params| {
        let is_known = !request.uri.path().starts_with("/late");
        is_known.then(|| Scope::group(params.get("scope").expect("the route has it")))
    });
    log_to(disk.written.clone(), |builder| {
        let builder = builder.sink(disk.sink()).catalog(catalog).queue_records(1 << 20).admission_timeout(DEADLINE);
        builder.scope_resolver(resolver).scope_rules(ScopeRules::off())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_record_of_what_began_while_off_and_none_missing_of_what_began_while_on() {
    let disk = Disk::default();
    let (log, ticks, budget) = (log(&disk), Ticks::default(), Arc::new(Semaphore::new(0)));
    let (ids, handled_at) = (Arc::new(AtomicU64::new(1)), Arc::<Mutex<HashMap<u64, u64>>>::default());
    let changes_made = watch::Sender::new(0_u64);
    let handler = {
        let (ticks, handled_at) = (ticks.clone(), handled_at.clone());
        let made = changes_made.subscribe();
        move |audit: Audit, Path((scope, id)): Path<(String, u64)>, Query(Waits { waits }): Query<Waits>| async move {
            let mut made = made.clone();
            handled_at.lock().unwrap().insert(id, ticks.now());
            // The requests of some clients last until a scope has been switched.
            if waits {
                let now = *made.borrow();
                made.wait_for(|made| *made > now || *made == u64::MAX).await.unwrap();
            }
            audit.actor(Actor::user("jane")).meta("id", id).scope(Scope::group(scope));
        }
    };
    let routes = ["/known", "/both", "/late", "/late-both"];
    let router = routes
        .iter()
        .fold(Router::new(), |router, route| router.route(&format!("{route}/{{scope}}/{{id}}"), get(handler.clone())));
    let app = log.auditor.wrap_router(router).into_service();

    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (app, ticks, budget, ids) = (app.clone(), ticks.clone(), budget.clone(), ids.clone());
            let handled_at = handled_at.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while let Ok(permit) = budget.acquire().await {
                    permit.forget();
                    let id = ids.fetch_add(1, Ordering::SeqCst);
                    let scope = usize::try_from((id + client) % 3).unwrap();
                    let route = routes[usize::try_from(id / 3 % 4).unwrap()];
                    let waits = client < WAITING;
                    let url = format!("{route}/{}/{id}?waits={waits}", SCOPES[scope].replace('/', "%2F"));
                    let sent = ticks.now();
                    app.clone().oneshot(Request::get(url).body(Body::empty()).unwrap()).await.unwrap();
                    let handled = handled_at.lock().unwrap().remove(&id).expect("its handler ran");
                    asked.push(Asked { id, scope, sent, handled, ended: ticks.now() });
                }
                asked
            })
        })
        .collect();

    let scopes = log.auditor.scopes();
    let mut changes = Vec::new();
    for at in 0..CHANGES {
        // Some requests between two changes, and as many while one is made.
        budget.add_permits(REQUESTS);
        eventually("the requests are sent", || budget.available_permits() == 0).await;
        budget.add_permits(REQUESTS);
        let (scope, on) = (usize::try_from(at * 7 / 3 % 3).unwrap(), at % 2 == 0);
        let node = Scope::group(SCOPES[scope]);
        let change = if on { ScopeChange::on(node) } else { ScopeChange::off(node) };
        // While its record is not on the disk, the change cannot hold, however many requests begin.
        disk.syncing.set(true);
        let change = tokio::spawn(scopes.change(Actor::user("admin"), change));
        eventually("the requests are sent", || budget.available_permits() == 0).await;
        let asked = ticks.now();
        disk.syncing.set(false);
        change.await.unwrap().unwrap();
        changes.push(Change { scope, on, asked, made: ticks.now() });
        changes_made.send_replace(at + 1);
    }
    budget.close();
    changes_made.send_replace(u64::MAX);
    let mut asked = Vec::new();
    for client in clients {
        asked.extend(client.await.unwrap());
    }
    let (report, records) = log.stop().await;
    assert!(report.is_complete(), "{report:?}");

    check(&records, &changes, &asked);
}

fn check(records: &[Value], changes: &[Change], asked: &[Asked]) {
    let changed: Vec<(usize, &Value)> =
        records.iter().enumerate().filter(|(_, record)| record["eventName"] == "AuditScopeChanged").collect();
    assert_eq!(changed.len(), changes.len());
    for ((_, record), change) in changed.iter().zip(changes) {
        assert_eq!(
            (&record["scope"]["path"], &record["meta"]["after"]),
            (&SCOPES[change.scope].into(), &change.on.into())
        );
    }
    let completion = |record: &&(usize, &Value)| record.1["stage"] == "completion";
    let of_requests: Vec<(usize, &Value)> =
        records.iter().enumerate().filter(|(_, record)| record["meta"]["id"].is_u64()).collect();
    let completions: HashMap<u64, usize> = of_requests
        .iter()
        .filter(completion)
        .map(|(at, record)| (record["meta"]["id"].as_u64().unwrap(), *at))
        .collect();
    assert_eq!(completions.len(), of_requests.iter().filter(completion).count(), "one completion for a request");

    let (mut on, mut off, mut across) = (0, 0, 0);
    for request in asked {
        let began: Vec<(usize, bool)> = request.may_have_begun_under(changes).collect();
        let is_certain = began.iter().all(|(_, is_on)| *is_on == began[0].1);
        match completions.get(&request.id) {
            Some(at) => {
                let first_on = began.iter().find(|(_, is_on)| *is_on);
                let (count, _) = first_on.unwrap_or_else(|| {
                    panic!("request {} began while {} was off: a record", request.id, SCOPES[request.scope])
                });
                let before = changed.iter().take_while(|(changed, _)| changed < at).count();
                assert!(before >= *count, "request {} stands before the change under which it began", request.id);
                on += u64::from(is_certain);
            }
            None => {
                let was_off = began.iter().any(|(_, is_on)| !is_on);
                assert!(was_off, "request {} began while {} was on: no record", request.id, SCOPES[request.scope]);
                off += u64::from(is_certain);
            }
        }
        // Its scope was switched between its beginning and its end.
        let at_end = changes.iter().take_while(|change| change.made < request.ended).count();
        across += u64::from(is_certain && request.is_on(&changes[..at_end]) != began[0].1);
    }
    // Or else nothing was tested.
    let of = asked.len();
    assert!(on > 100 && off > 100 && across > 20, "{on} were on, {off} off, {across} switched meanwhile, of {of}");
}
