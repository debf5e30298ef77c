//! The way in: which event a request belongs to, whether it is recorded, and whether it may enter now.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Uri};
use http_body::Body;

use super::guard::Guard;
use super::unrecorded::{Loss, ToBeLost, unrecorded};
use crate::audit::{Audit, LeftOut};
use crate::capture::{EventRef, Progress};
use crate::catalog::{Found, MatchedRoute, Params, is_read};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::plan::Plan;
use crate::promise::Answer;
use crate::queue::Admission;
use crate::record::{Delivery, Scope};
use crate::running::Running;
use crate::scope::{PathParams, Scoped, Scoping, Verdict};

/// What becomes of a request on its way in.
#[derive(Default)]
pub(crate) struct Entry {
    /// The exchange to which the request's body is reported, if it has to be.
    pub(crate) body: Option<Arc<Exchange>>,
    /// The exchange that this layer has to finish; none if it records nothing, or has joined another layer's.
    pub(crate) guard: Option<Guard>,
    /// The exchange that may not go on yet, and what the queue answered; none if it may.
    pub(crate) admission: Option<(Arc<Exchange>, Admission)>,
    /// Set where it is served without a record, which there were no bytes for.
    pub(crate) loss: Option<Loss>,
}

/// A request that this layer may record.
enum Opened {
    Recorded(Arc<Exchange>, Entry),
    Unrecorded(ToBeLost, Loss),
}

/// What the layer found for a request.
struct Match {
    event: EventRef,
    listed: Option<MatchedRoute>,
}

/// Lets a request into the layer.
pub(crate) fn enter<B: Body<Data = Bytes>>(
    log: &Arc<Running>,
    own: Option<&Arc<Plan>>,
    head: &mut Parts,
    body: &B,
) -> Entry {
    let engine = &log.engine;
    if !engine.enabled {
        head.extensions.insert(LeftOut);
        return Entry::default();
    }
    if let Some(exchange) = head.extensions.get::<Audit>().and_then(Audit::exchange).cloned() {
        if exchange.is_open() {
            return Entry { admission: join(engine, own, &exchange, head), ..Entry::default() };
        }
        if exchange.was_skipped() {
            return Entry::default();
        }
        // A handle that outlived its exchange, on a request that was made from that one: it is a request of its own.
    }
    let uri = original_uri(head);
    let Some(found) = find(engine, own, &head.method, uri.path()) else {
        head.extensions.insert(LeftOut);
        return Entry::default();
    };
    let mut scoped = None;
    if let Some(scoping) = &engine.scoping {
        match decide(engine, scoping, &found, head, uri) {
            Verdict::Recorded(began, scope) => scoped = Some((began, scope)),
            Verdict::LeftOut(began) => {
                head.extensions.insert(LeftOut);
                head.extensions.insert(began);
                return Entry::default();
            }
        }
    }
    let lost = head.extensions.get::<ToBeLost>();
    let demands_record = own.is_some_and(|plan| plan.delivery > Delivery::Lossy);
    if lost.is_some() && !demands_record {
        head.extensions.insert(LeftOut);
        return Entry::default();
    }
    match open(log, found, scoped, head, uri, body) {
        Opened::Recorded(exchange, entry) => {
            if let Some(lost) = lost {
                lost.is_recorded_in(log);
            }
            head.extensions.insert(Audit::of(exchange));
            entry
        }
        Opened::Unrecorded(lost, loss) => {
            head.extensions.insert(LeftOut);
            head.extensions.insert(lost);
            Entry { loss: Some(loss), ..Entry::default() }
        }
    }
}

/// One route match, before any work is done for a request.
fn find(engine: &Engine, own: Option<&Arc<Plan>>, method: &Method, path: &str) -> Option<Match> {
    if let Some(plan) = own {
        return (!plan.is_skipped).then(|| Match { event: EventRef::Own(plan.clone()), listed: None });
    }
    let (event, listed) = match engine.routes.find(method, path) {
        Found::Event(found) if engine.is_refused(found.event) => return None,
        Found::Event(found) => (EventRef::Listed(found.event), Some(found)),
        Found::Unmatched if is_read(method) => (EventRef::UnmatchedRead, None),
        Found::Unmatched => (EventRef::Unmatched, None),
        Found::Skipped => return None,
    };
    let is_recorded = engine.plan(&event).is_some_and(|plan| !plan.is_skipped);
    is_recorded.then_some(Match { event, listed })
}

/// Asks the rules of scopes, before anything is captured.
fn decide<'h>(engine: &'h Engine, scoping: &Scoping, found: &Match, head: &'h Parts, uri: &'h Uri) -> Verdict {
    let path = uri.path();
    let params = || match (found.listed, matched_path(head)) {
        (Some(listed), _) => {
            let mut params = Params::default();
            engine.routes.params(listed, path, &mut params);
            PathParams::listed(engine.routes.template(listed.route), params, path)
        }
        (None, Some(template)) => PathParams::new(template, path),
        (None, None) => PathParams::none(path),
    };
    scoping.begin(head, params, engine.event_name(&found.event))
}

/// Opens the exchange of a request, unless it may be lost and there are no bytes for it.
fn open<B: Body<Data = Bytes>>(
    log: &Arc<Running>,
    found: Match,
    scoped: Option<(Scoped, Option<Scope>)>,
    head: &Parts,
    uri: &Uri,
    body: &B,
) -> Opened {
    let engine = &log.engine;
    let has_body = !body.is_end_stream();
    let (mut draft, exchange) = engine.take_both();
    engine.stamp(&mut draft);
    draft.class = engine.class(&found.event);
    draft.event = found.event;
    if let Some((scoped, scope)) = scoped {
        draft.scoped = Some(scoped);
        scope.into_iter().for_each(|scope| draft.late().set_scope(scope));
    }
    if let Some(found) = found.listed {
        // Where they stay: they are not moved once more.
        let (_, params) = draft.route.listed.insert((found.route, Params::default()));
        engine.routes.params(found, uri.path(), params);
    }
    engine.head.request(head, uri, &mut draft);
    if let Some(template) = matched_path(head) {
        draft.route.reported = draft.keep(template.as_bytes(), TEMPLATE);
    }
    if has_body {
        draft.request_body.progress = Progress::Open;
        engine.decide_request_capture(&mut draft);
    }
    let needs = draft.needs();
    let admission = match engine.count_and_admit(&draft, needs, draft.began) {
        Admission::Granted => {
            draft.let_in(needs);
            (!engine.only_completes(&draft.event)).then_some(Admission::Granted)
        }
        Admission::Refused if draft.class == Delivery::Lossy => {
            engine.keep_exchange(exchange);
            let (lost, loss) = unrecorded(log, draft);
            return Opened::Unrecorded(lost, loss);
        }
        other => Some(other),
    };
    let exchange = Exchange::open_in(exchange, log.clone(), draft);
    let admission = admission.map(|admission| (exchange.clone(), admission));
    let body = has_body.then(|| exchange.clone());
    Opened::Recorded(exchange.clone(), Entry { body, guard: Some(Guard::new(exchange)), admission, loss: None })
}

/// Adds to an exchange that another layer has opened, and records nothing of its own.
fn join(
    engine: &Arc<Engine>,
    own: Option<&Arc<Plan>>,
    exchange: &Arc<Exchange>,
    head: &Parts,
) -> Option<(Arc<Exchange>, Admission)> {
    let same_auditor = Arc::ptr_eq(engine, exchange.engine());
    let event = match own {
        Some(plan) => Some(EventRef::Own(plan.clone())),
        // The same catalog has been asked already.
        None if same_auditor => None,
        None => foreign_event(engine, head),
    };
    let template = matched_path(head);
    if let Some(template) = template {
        note_route(exchange, template);
    }
    let class_before = exchange.with(|draft| draft.class)?;
    let event = event.filter(|_| own.is_some() || exchange.is_unmatched())?;
    exchange.claim(event.clone());
    if exchange.engine().plan(&event).is_some_and(|plan| plan.is_skipped) && exchange.skip() {
        return None;
    }
    let class = exchange.engine().class(&event);
    if class <= class_before {
        return None;
    }
    let now = exchange.engine().monotonic();
    // What it holds was counted when it was opened.
    // Without its lock: a refusal may be reported to a subscriber.
    let admission = exchange.is_open().then(|| exchange.engine().queue.admit(class, 0, now))?;
    Some((exchange.clone(), admission))
}

/// Notes the template that a router inside the layer matched.
pub(crate) fn note_route(exchange: &Exchange, template: &str) {
    exchange.with(|draft| {
        if draft.route.reported.is_empty() {
            draft.route.reported = draft.keep(template.as_bytes(), TEMPLATE);
        }
    });
}

/// An event of another auditor's catalog, with what it means there.
fn foreign_event(engine: &Engine, head: &Parts) -> Option<EventRef> {
    match engine.routes.find(&head.method, original_uri(head).path()) {
        Found::Event(found) => engine.plans.get(found.event as usize).cloned().map(EventRef::Own),
        Found::Unmatched | Found::Skipped => None,
    }
}

/// Longest copy of a router's template.
const TEMPLATE: usize = 1024;

/// The URI as the client sent it, not what a nested router sees.
pub(crate) fn original_uri(head: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = head.extensions.get() {
        return uri;
    }
    &head.uri
}

/// The template that the router matched, where the router is axum's and has matched already.
fn matched_path(head: &Parts) -> Option<&str> {
    #[cfg(feature = "axum")]
    return head.extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str);
    #[cfg(not(feature = "axum"))]
    return {
        let _ = head;
        None
    };
}

/// Notes that an exchange was admitted, with so many bytes of the budget. An answer says whether its initiation record is
/// durable, where the handler has to wait for that.
pub(crate) fn admitted(exchange: &Exchange, bytes: usize) -> Option<Answer<bool>> {
    let class = exchange.with(|draft| {
        draft.let_in(bytes);
        draft.class = draft.class.max(exchange.engine().class(&draft.event));
        if draft.class < Delivery::FailClosed {
            exchange.initiate_if_known(draft);
        }
        draft.class
    });
    match class {
        Some(Delivery::FailClosed) => Some(exchange.initiate_durably()),
        Some(_) => None,
        None => {
            exchange.engine().queue.release(bytes);
            None
        }
    }
}
