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
use axum::extract::Path;
use axum::routing::get;
use common::{Log, eventually, log_with};
use http::{Method, Request};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tower_audit::scope::{ScopeChange, ScopeRules, scope_fn};
use tower_audit::{Actor, Audit, Catalog, Event, Scope, Stages};

const SCOPES: [&str; 3] = ["acme", "acme/tools", "jane"];
const CLIENTS: u64 = 6;
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

/// A change, and the ticks between which it began to hold.
struct Change {
    scope: usize,
    on: bool,
    asked: u64,
    made: u64,
}

/// A request, and the ticks between which it began.
struct Asked {
    id: u64,
    scope: usize,
    sent: u64,
    handled: u64,
}

impl Asked {
    /// What the rules said when it began, and how many changes had been made: `None` if a change fell into that moment.
    fn began_under(&self, changes: &[Change]) -> Option<(bool, usize)> {
        if changes.iter().any(|change| change.asked < self.handled && change.made > self.sent) {
            return None;
        }
        let before = changes.iter().take_while(|change| change.made < self.sent);
        let mut rules = [None; SCOPES.len()];
        let mut count = 0;
        for change in before {
            rules[change.scope] = Some(change.on);
            count += 1;
        }
        let nearest = match self.scope {
            1 => rules[1].or(rules[0]),
            other => rules[other],
        };
        Some((nearest.unwrap_or(false), count))
    }
}

fn log() -> Log {
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
    log_with(|builder| {
        builder.catalog(catalog).scope_resolver(resolver).scope_rules(ScopeRules::off()).queue_records(1 << 20)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_record_of_what_began_while_off_and_none_missing_of_what_began_while_on() {
    let (log, ticks, budget) = (log(), Ticks::default(), Arc::new(Semaphore::new(0)));
    let (ids, handled_at) = (Arc::new(AtomicU64::new(1)), Arc::<Mutex<HashMap<u64, u64>>>::default());
    let handler = {
        let (ticks, handled_at) = (ticks.clone(), handled_at.clone());
        move |audit: Audit, Path((scope, id)): Path<(String, u64)>| async move {
            handled_at.lock().unwrap().insert(id, ticks.now());
            // Changes fall between the beginning and the end.
            tokio::task::yield_now().await;
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
                    let url = format!("{route}/{}/{id}", SCOPES[scope].replace('/', "%2F"));
                    let sent = ticks.now();
                    app.clone().oneshot(Request::get(url).body(Body::empty()).unwrap()).await.unwrap();
                    let handled = handled_at.lock().unwrap().remove(&id).expect("its handler ran");
                    asked.push(Asked { id, scope, sent, handled });
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
        let asked = ticks.now();
        scopes.change(Actor::user("admin"), change).await.unwrap();
        changes.push(Change { scope, on, asked, made: ticks.now() });
    }
    budget.close();
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

    let (mut on, mut off) = (0, 0);
    for request in asked {
        let Some((is_on, count)) = request.began_under(changes) else { continue };
        match (is_on, completions.get(&request.id)) {
            (true, Some(at)) => {
                on += 1;
                let before = changed.iter().take_while(|(changed, _)| changed < at).count();
                assert!(before >= count, "request {} stands before the change under which it began", request.id);
            }
            (false, None) => off += 1,
            (true, None) => panic!("request {} began while {} was on: no record", request.id, SCOPES[request.scope]),
            (false, Some(_)) => {
                panic!("request {} began while {} was off: a record", request.id, SCOPES[request.scope])
            }
        }
    }
    // Or else nothing was tested.
    assert!(on > 100 && off > 100, "{on} were on, {off} were off, of {}", asked.len());
}
