//! Which records are written: conditions on a record, and lists of events.
//!
//! - `lists`: allow and deny lists. `pattern`: names with `*`.

mod lists;
mod pattern;

use std::fmt;

use http::Method;

pub use self::lists::Lists;
pub(crate) use self::lists::status_of;
use self::pattern::Pattern;
use crate::record::{Field, Level, LogType, Outcome, Record, Status};

/// Decides which records are written: for all outputs ([`AuditorBuilder::filter`](crate::AuditorBuilder::filter)) or for one
/// ([`Output::filter`](crate::sink::Output::filter)).
///
/// No filter removes internal records, whose names begin with `Audit`. If a filter panics, the record is written.
///
/// # Unverified actors
///
/// If an actor is unverified (`"verified": false`), no condition matches the actor's id, kind, name, URL, slug, claim,
/// credential or `onBehalfOf`, because every client can claim these values. For example, `Filter::actor("probe").not()` does
/// not leave out the record of a client that only claims to be `probe`. If the actor, or an actor on whose behalf this actor
/// acts, is unverified, no condition matches `actor.onBehalfOf` or `message`, because both can contain unverified names.
/// `Filter::field` with `actor.verified` finds the records of unverified actors. A closure receives unverified values too, and
/// has to check `actor.verified` itself.
///
/// # What is decided before a request is captured
///
/// If the filter can decide by the name, kind and log type of the event in the catalog, it is applied as soon as the
/// request arrives. A request that is left out at this time is handled like a request of a [skipped
/// route](crate::Catalog::skip), even if its handler names another event. If a condition concerns any other value, the
/// filter is applied later, to the complete record. The same is true if a request matches no event, because a handler may
/// still name an event.
///
/// ```
/// use tower_audit::{Filter, Level, Status};
///
/// let failures = Filter::level(Level::Warn).or(Filter::status(Status::Failed));
/// let without_reads = failures.and(Filter::event("*Fetch").not());
/// # let _ = without_reads;
/// ```
#[must_use = "a filter does nothing until an auditor or output has it"]
pub struct Filter(Node);

enum Node {
    Event(Pattern),
    Kind(Pattern),
    LogType(LogType),
    Level(Level),
    Status(Status),
    Outcome(Outcome),
    Stage(Box<str>),
    Actor(Pattern),
    CredentialKind(Pattern),
    Method(Method),
    Route(Pattern),
    Scope(Box<str>),
    Field(Field, Pattern),
    Lists(Box<Lists>),
    Closure(Box<dyn FnMut(&Record<'_>) -> bool + Send>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Not(Box<Node>),
}

/// The facts of an event that are known before a request is captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownEvent<'e> {
    pub(crate) name: &'e str,
    pub(crate) kind: Option<&'e str>,
    pub(crate) log_type: LogType,
}

impl Filter {
    /// Records of events with this name. In the name, `*` matches any text, as in `Scaffolder*`.
    pub fn event(name: &str) -> Self {
        Self(Node::Event(Pattern::new(name)))
    }

    /// Records of events of this kind. In the kind, `*` matches any text.
    pub fn kind(kind: &str) -> Self {
        Self(Node::Kind(Pattern::new(kind)))
    }

    /// Records of this log type.
    pub fn log_type(log_type: LogType) -> Self {
        Self(Node::LogType(log_type))
    }

    /// Records of this level or of a more severe level.
    pub fn level(least: Level) -> Self {
        Self(Node::Level(least))
    }

    /// Records with this status.
    pub fn status(status: Status) -> Self {
        Self(Node::Status(status))
    }

    /// Records with this outcome.
    ///
    /// Do not leave out [`Outcome::Aborted`]. A client can disconnect after its request has taken effect, and this request would
    /// then not be recorded.
    pub fn outcome(outcome: Outcome) -> Self {
        Self(Node::Outcome(outcome))
    }

    /// Records of this stage: `initiation`, `completion`, or the application's own name.
    pub fn stage(stage: &str) -> Self {
        Self(Node::Stage(stage.into()))
    }

    /// Records of actors with this id. In the id, `*` matches any text. Records of
    /// [unverified actors](Self#unverified-actors) do not match.
    pub fn actor(id: &str) -> Self {
        Self(Node::Actor(Pattern::new(id)))
    }

    /// Records of actors who used this kind of credential. In the kind, `*` matches any text. Records of
    /// [unverified actors](Self#unverified-actors) do not match.
    pub fn credential_kind(kind: &str) -> Self {
        Self(Node::CredentialKind(Pattern::new(kind)))
    }

    /// Records of requests with this method.
    pub fn method(method: Method) -> Self {
        Self(Node::Method(method))
    }

    /// Records of requests whose route has this template. In the template given here, `*` matches any text.
    pub fn route(template: &str) -> Self {
        Self(Node::Route(Pattern::new(template)))
    }

    /// Records of this scope and of all scopes below it. Paths are compared by whole segments, so `group` matches
    /// `group/project`, but not `groups`.
    pub fn scope(path: &str) -> Self {
        Self(Node::Scope(path.trim_end_matches('/').into()))
    }

    /// Records whose field has this value. In the value, `*` matches any text. If the field of a record is not a string, its
    /// JSON text is compared. A record without the field does not match. The unverified values of an
    /// [unverified actor](Self#unverified-actors) do not match either.
    ///
    /// Do not leave out records by values that the client chooses. Such values are the user agent, the referer, headers, URL,
    /// query, params, bodies, `actor.hostname` (the `Host` header), `requestId`, `traceId`, `spanId`, the protocol, and a
    /// `message` that shows any of these values. Do not leave out records by `outcome`, `status` or `response` either, because
    /// a client can change these values by disconnecting.
    pub fn field(field: Field, value: &str) -> Self {
        Self(Node::Field(field, Pattern::new(value)))
    }

    /// Records that these lists allow.
    pub fn lists(lists: Lists) -> Self {
        Self(Node::Lists(Box::new(lists)))
    }

    /// Records for which the closure returns `true`. The closure is called on a library thread and must not block.
    pub fn from_fn(keep: impl FnMut(&Record<'_>) -> bool + Send + 'static) -> Self {
        Self(Node::Closure(Box::new(keep)))
    }

    /// Records that pass both filters.
    pub fn and(self, other: Self) -> Self {
        Self(Node::And(Box::new([self.0, other.0])))
    }

    /// Records that pass at least one of the filters.
    pub fn or(self, other: Self) -> Self {
        Self(Node::Or(Box::new([self.0, other.0])))
    }

    /// Records that do not pass this filter.
    #[expect(clippy::should_implement_trait, reason = "it reads in a row with `and` and `or`")]
    pub fn not(self) -> Self {
        Self(Node::Not(Box::new(self.0)))
    }

    /// Whether the record is written.
    pub fn passes(&mut self, record: &Record<'_>) -> bool {
        record.is_internal() || self.0.passes(record)
    }

    /// The decision by the event alone; `None` if the filter needs other values too.
    pub(crate) fn decide(&self, event: KnownEvent<'_>) -> Option<bool> {
        self.0.decide(event)
    }

    /// The entries of lists that match no known event.
    pub(crate) fn unknown<'f>(&'f self, is_known: &dyn Fn(&str) -> bool) -> Vec<&'f str> {
        let mut unknown = Vec::new();
        self.0.each_list(&mut |lists| unknown.extend(lists.unknown(is_known)));
        unknown
    }
}

impl Node {
    fn passes(&mut self, record: &Record<'_>) -> bool {
        let matches = |pattern: &Pattern, value: Option<&str>| value.is_some_and(|value| pattern.matches(value));
        match self {
            Self::Event(name) => name.matches(record.event_name()),
            Self::Kind(kind) => matches(kind, record.event_kind()),
            Self::LogType(log_type) => record.log_type() == *log_type,
            Self::Level(least) => record.level() >= *least,
            Self::Status(status) => record.status() == *status,
            Self::Outcome(outcome) => record.outcome() == Some(*outcome),
            Self::Stage(stage) => record.stage() == &**stage,
            Self::Actor(id) => matches(id, record.actor_id().filter(|_| record.is_verified())),
            Self::CredentialKind(kind) => matches(kind, record.credential_kind().filter(|_| record.is_verified())),
            Self::Method(method) => record.method() == Some(method.as_str()),
            Self::Route(template) => matches(template, record.route()),
            Self::Scope(path) => {
                let below = record.scope_path().and_then(|scope| scope.strip_prefix(&**path));
                below.is_some_and(|below| below.is_empty() || below.starts_with('/') || path.is_empty())
            }
            Self::Field(field, _) if field.is_of_identity() && !record.is_verified() => false,
            Self::Field(field, _) if field.is_of_others() && record.has_claims() => false,
            Self::Field(field, value) => record.get(field).is_some_and(|found| value.matches(found.as_str())),
            Self::Lists(lists) => lists.pass(record.event_name(), record.event_kind(), record.status()),
            Self::Closure(keep) => keep(record),
            Self::And(both) => both.iter_mut().all(|one| one.passes(record)),
            Self::Or(both) => both.iter_mut().any(|one| one.passes(record)),
            Self::Not(inner) => !inner.passes(record),
        }
    }

    fn decide(&self, event: KnownEvent<'_>) -> Option<bool> {
        match self {
            Self::Event(name) => Some(name.matches(event.name)),
            Self::Kind(kind) => Some(event.kind.is_some_and(|known| kind.matches(known))),
            Self::LogType(log_type) => Some(event.log_type == *log_type),
            Self::Lists(lists) => {
                let pass = |status| lists.pass(event.name, event.kind, status);
                let (succeeded, failed) = (pass(Status::Succeeded), pass(Status::Failed));
                (succeeded == failed).then_some(succeeded)
            }
            Self::And(both) => match both.each_ref().map(|one| one.decide(event)) {
                [Some(false), _] | [_, Some(false)] => Some(false),
                [Some(true), Some(true)] => Some(true),
                _ => None,
            },
            Self::Or(both) => match both.each_ref().map(|one| one.decide(event)) {
                [Some(true), _] | [_, Some(true)] => Some(true),
                [Some(false), Some(false)] => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.decide(event).map(|passes| !passes),
            _ => None,
        }
    }

    fn each_list<'f>(&'f self, visit: &mut dyn FnMut(&'f Lists)) {
        match self {
            Self::Lists(lists) => visit(lists),
            Self::And(both) | Self::Or(both) => both.iter().for_each(|one| one.each_list(visit)),
            Self::Not(inner) => inner.each_list(visit),
            _ => {}
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::format::sample::line;
    use crate::record::RecordLine;

    fn record() -> RecordLine {
        line(&json!({
            "eventName": "TaskFetch", "eventKind": "tasks", "logType": "client", "level": "warn", "status": "failed",
            "actor": { "actorId": "user:jane", "credential": { "kind": "deploy_token" } },
            "scope": { "kind": "group", "path": "a/b" }, "meta": { "n": 7 },
            "request": { "method": "GET", "protocol": "HTTP/2", "url": "/t/1", "route": "/t/{id}" },
        }))
    }

    #[test]
    fn each_condition_holds_for_what_it_names() {
        let read = record();
        let passes = |filter: Filter| {
            let mut filter = filter;
            filter.passes(&read.record())
        };
        let field = |name: &str| name.parse::<Field>().unwrap();
        for filter in [
            Filter::event("Task*"),
            Filter::event("*Fetch"),
            Filter::kind("tasks"),
            Filter::log_type(LogType::Client),
            Filter::level(Level::Info),
            Filter::status(Status::Failed),
            Filter::outcome(Outcome::Completed),
            Filter::stage("completion"),
            Filter::actor("user:*"),
            Filter::credential_kind("deploy_*"),
            Filter::method(Method::GET),
            Filter::route("/t/{id}"),
            Filter::scope("a"),
            Filter::scope("a/b/"),
            Filter::scope(""),
            Filter::field(field("meta.n"), "7"),
            Filter::from_fn(|record| record.ip().is_none()),
            Filter::event("x").or(Filter::event("TaskFetch")),
        ] {
            assert!(passes(filter));
        }
        for filter in [
            Filter::event("Task"),
            Filter::event("taskfetch"),
            Filter::kind("task"),
            Filter::log_type(LogType::Audit),
            Filter::level(Level::Error),
            Filter::outcome(Outcome::Aborted),
            Filter::actor("jane"),
            Filter::method(Method::POST),
            Filter::scope("a/bc"),
            Filter::scope("b"),
            Filter::scope("a/b/c"),
            Filter::field(field("actor.ip"), "*"),
            Filter::event("*").and(Filter::event("x")),
            Filter::event("*").not(),
        ] {
            assert!(!passes(filter));
        }
    }

    #[test]
    fn nobody_leaves_the_log_by_claiming_an_id() {
        let actor = |verified: &[(&str, bool)]| {
            let mut actor = json!({ "actorId": "svc-probe", "kind": "service" });
            verified.iter().for_each(|(key, value)| actor[*key] = json!(value));
            line(&json!({ "actor": actor }))
        };
        let (known, claimed) = (actor(&[]), actor(&[("verified", false)]));
        assert!(Filter::actor("svc-probe").passes(&known.record()));
        assert!(!Filter::actor("svc-probe").not().passes(&known.record()));
        for id in ["svc-probe", "svc-*", "*"] {
            assert!(!Filter::actor(id).passes(&claimed.record()));
            assert!(Filter::actor(id).not().passes(&claimed.record()));
        }
    }

    #[test]
    fn a_claim_of_those_on_whose_behalf_matches_no_condition() {
        let chain = |is_verified: bool| {
            let mut last = json!({ "actorId": "svc-probe" });
            if !is_verified {
                last["verified"] = json!(false);
            }
            let actor = json!({ "actorId": "gateway", "onBehalfOf": { "actorId": "jane", "onBehalfOf": last } });
            line(&json!({ "actor": actor, "message": "gateway for svc-probe" }))
        };
        let (known, claimed) = (chain(true), chain(false));
        for (name, pattern) in [
            ("actor.onBehalfOf.actorId", "jane"),
            ("actor.onBehalfOf.onBehalfOf.actorId", "svc-probe"),
            ("actor.onBehalfOf", "*"),
            ("message", "*svc-probe*"),
        ] {
            let field = || Filter::field(name.parse().unwrap(), pattern);
            assert!(field().passes(&known.record()), "{name}");
            assert!(!field().passes(&claimed.record()), "{name}");
            assert!(field().not().passes(&claimed.record()), "{name}");
        }
        // The first of them is known.
        assert!(Filter::actor("gateway").passes(&claimed.record()));
        // Without an actor there is no claim.
        let nobody = line(&json!({ "message": "said" }));
        assert!(Filter::field("message".parse().unwrap(), "said").passes(&nobody.record()));
    }

    #[test]
    fn a_claim_matches_no_condition() {
        let actor = |is_verified: bool| {
            let mut actor = json!({
                "actorId": "svc", "ip": "192.0.2.1", "client": "curl", "kind": "service", "name": "probe", "url": "/svc",
                "slug": "s", "claimed": "svc", "credential": { "kind": "job", "id": "1", "name": "n", "owner": "o" },
                "onBehalfOf": { "actorId": "jane" }, "location": { "city": "Paris" }, "peerIp": "192.0.2.2",
            });
            if !is_verified {
                actor["verified"] = json!(false);
            }
            line(&json!({ "actor": actor }))
        };
        let (known, claimed) = (actor(true), actor(false));
        let field = |name: &str| Filter::field(name.parse().unwrap(), "*");
        for name in ["actorId", "kind", "name", "url", "slug", "claimed", "onBehalfOf", "onBehalfOf.actorId"]
            .into_iter()
            .chain(["credential.kind", "credential.id", "credential.name", "credential.owner"])
        {
            let name = format!("actor.{name}");
            assert!(field(&name).passes(&known.record()), "{name}");
            assert!(!field(&name).passes(&claimed.record()), "{name}");
            assert!(field(&name).not().passes(&claimed.record()), "{name}");
        }
        assert!(Filter::credential_kind("job").passes(&known.record()));
        assert!(Filter::credential_kind("job").not().passes(&claimed.record()));
        // What the request itself has, and that the actor is unverified, are no claims.
        for name in ["actor.ip", "actor.client", "actor.location.city", "actor.peerIp", "actor.verified"] {
            assert!(field(name).passes(&claimed.record()), "{name}");
        }
        let internal = line(&json!({ "actor": { "actorId": null } }));
        assert!(!field("actor.actorId").passes(&internal.record()), "there is no id");
    }

    #[test]
    fn no_filter_removes_records_of_the_library() {
        let lost = line(&json!({ "eventName": "AuditRecordsLost" }));
        assert!(Filter::event("*").not().passes(&lost.record()));
    }

    #[test]
    fn what_the_event_decides_is_known_before() {
        let event = KnownEvent { name: "TaskFetch", kind: Some("tasks"), log_type: LogType::Audit };
        let failed = || Filter::status(Status::Failed);
        assert_eq!(Filter::event("Task*").decide(event), Some(true));
        assert_eq!(failed().decide(event), None);
        assert_eq!(failed().and(Filter::kind("x")).decide(event), Some(false));
        assert_eq!(failed().or(Filter::kind("tasks")).decide(event), Some(true));
        assert_eq!(failed().or(Filter::kind("x")).decide(event), None);
        assert_eq!(Filter::log_type(LogType::Client).not().decide(event), Some(true));
        let lists = |entry: &str| Filter::lists(Lists::new().deny([entry]));
        assert_eq!(lists("TaskFetch").decide(event), Some(false));
        assert_eq!(lists("TASK_FETCH_ERROR").decide(event), None);
        assert_eq!(lists("Other").decide(event), Some(true));
    }
}
