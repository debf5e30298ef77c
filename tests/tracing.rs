//! Records as events for any subscriber, and the trace that a record belongs to.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::Value;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_audit::{Audit, Auditor, AuditorBuilder, sink};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

type Body = Full<bytes::Bytes>;

/// Level and record of an event.
type Seen = (tracing::Level, String);

/// What the subscriber got, by the record's `instance`.
static EVENTS: Mutex<Option<HashMap<String, Vec<Seen>>>> = Mutex::new(None);
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps events of the target `audit`. Sinks have threads of their own, so it is the process's subscriber.
struct Capture;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "audit" {
            return;
        }
        let mut found = RecordField(String::new());
        event.record(&mut found);
        let record: Value = serde_json::from_str(&found.0).unwrap();
        let instance = record["instance"].as_str().unwrap().to_owned();
        let mut panics = lock(&PANICS);
        if let Some(at) = panics.iter().position(|text| found.0.contains(text.as_str())) {
            panics.remove(at);
            panic!("a subscriber that panics once");
        }
        let mut events = lock(&EVENTS);
        events.get_or_insert_default().entry(instance).or_default().push((*event.metadata().level(), found.0));
    }
}

struct RecordField(String);

impl Visit for RecordField {
    fn record_str(&mut self, field: &Field, value: &str) {
        assert_eq!(field.name(), "record");
        self.0 = value.to_owned();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        panic!("{} should be a string: {value:?}", field.name());
    }
}

fn events(instance: &str) -> Vec<Seen> {
    lock(&EVENTS).as_ref().and_then(|events| events.get(instance)).cloned().unwrap_or_default()
}

fn builder(instance: &str) -> AuditorBuilder {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Capture)).unwrap();
    });
    Auditor::builder().instance(instance)
}

async fn ask(auditor: &Auditor, request: Request<Empty<bytes::Bytes>>, work: impl Fn(&Audit) + Clone) {
    let service = service_fn(|request: Request<_>| {
        let work = work.clone();
        async move {
            let status = request.uri().path().trim_start_matches('/').parse().unwrap_or(StatusCode::OK);
            work(request.extensions().get::<Audit>().unwrap());
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::default()).unwrap())
        }
    });
    drop(auditor.layer().layer(service).oneshot(request).await.unwrap());
}

fn get(path: &str) -> Request<Empty<bytes::Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

async fn end(auditor: &Auditor) {
    assert!(auditor.shutdown(Duration::from_secs(20)).await.is_complete());
}

#[tokio::test]
async fn each_record_is_one_event_at_its_level() {
    let (lines, records) = sink::memory();
    let auditor = builder("levels").sink(lines).sink(sink::Output::new(sink::tracing()).required()).build().unwrap();
    for path in ["/200", "/404", "/500"] {
        ask(&auditor, get(path), |_| {}).await;
    }
    end(&auditor).await;
    let (levels, events): (Vec<_>, Vec<_>) = events("levels").into_iter().unzip();
    assert_eq!(events, records.lines());
    use tracing::Level;
    assert_eq!(levels, [Level::INFO, Level::INFO, Level::WARN, Level::ERROR, Level::INFO]);
}

#[tokio::test]
async fn a_subscriber_that_panics_gets_the_record_again_and_no_other_twice() {
    lock(&PANICS).push("/panics-once".to_owned());
    let (lines, records) = sink::memory();
    let auditor = builder("panics").sink(lines).sink(sink::Output::new(sink::tracing()).required()).build().unwrap();
    for path in ["/200", "/panics-once", "/404"] {
        ask(&auditor, get(path), |_| {}).await;
    }
    end(&auditor).await;
    assert!(lock(&PANICS).is_empty());
    assert_eq!(events("panics").into_iter().map(|(_, line)| line).collect::<Vec<_>>(), records.lines());
}

#[cfg(feature = "tracing-subscriber")]
#[tokio::test]
async fn ordinary_lines_are_not_repeated_to_the_subscriber() {
    let auditor = builder("ordinary").sink(sink::tracing()).build().unwrap();
    let (lines, logs) = sink::memory();
    let subscriber = tracing_subscriber::registry().with(auditor.log_layer_to(lines));
    tracing::subscriber::with_default(subscriber, || tracing::info!("an ordinary line"));
    ask(&auditor, get("/200"), |_| {}).await;
    end(&auditor).await;
    let events = events("ordinary");
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events.iter().all(|(_, line)| line.contains("\"isAuditLog\":true")));
    assert_eq!((auditor.counters().dropped_log_lines, logs.lines().len()), (0, 1));
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const OTHER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER_SPAN: &str = "b7ad6b7169203331";

/// `traceId` and `spanId` of one request's record.
async fn traced(
    builder: AuditorBuilder,
    header: Option<&str>,
    work: impl Fn(&Audit) + Clone,
) -> (Option<String>, Option<String>) {
    let (lines, records) = sink::memory();
    let auditor = builder.sink(lines).build().unwrap();
    let mut request = get("/200");
    if let Some(header) = header {
        request.headers_mut().insert("traceparent", header.parse().unwrap());
    }
    ask(&auditor, request, work).await;
    end(&auditor).await;
    let record: Value = serde_json::from_str(&records.lines()[1]).unwrap();
    let text = |key| record.get(key).map(|value: &Value| value.as_str().unwrap().to_owned());
    (text("traceId"), text("spanId"))
}

fn ids(trace: &str, span: &str) -> (Option<String>, Option<String>) {
    (Some(trace.to_owned()), Some(span.to_owned()))
}

#[tokio::test]
async fn what_the_application_says_of_the_trace_comes_before_the_header() {
    let header = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(traced(builder("t"), Some(&header), |_| {}).await, ids(TRACE, SPAN));
    let said = |audit: &Audit| {
        audit.trace(&OTHER_TRACE.to_uppercase(), OTHER_SPAN);
    };
    assert_eq!(traced(builder("t"), Some(&header), said).await, ids(OTHER_TRACE, OTHER_SPAN));
    assert_eq!(traced(builder("t"), None, said).await, ids(OTHER_TRACE, OTHER_SPAN));
}

#[tokio::test]
async fn ids_that_are_none_are_ignored() {
    let header = format!("00-{TRACE}-{SPAN}-01");
    let zero = "0".repeat(32);
    for (trace, span) in [("", ""), (zero.as_str(), SPAN), (TRACE, &zero[..16]), (SPAN, TRACE), ("\u{e9}", SPAN)] {
        let (trace, span) = (trace.to_owned(), span.to_owned());
        let said = |audit: &Audit| {
            audit.trace(&trace, &span);
        };
        assert_eq!(traced(builder("t"), Some(&header), said).await, ids(TRACE, SPAN));
        let (trace, span) = (trace.clone(), span.clone());
        let current = move || Some((trace.clone(), span.clone()));
        assert_eq!(traced(builder("t").trace_context(current), None, |_| {}).await, (None, None));
    }
}

#[tokio::test]
async fn the_trace_context_is_asked_where_no_header_says_it() {
    let current = || Some((OTHER_TRACE.to_uppercase(), OTHER_SPAN.to_owned()));
    let header = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(traced(builder("t").trace_context(current), None, |_| {}).await, ids(OTHER_TRACE, OTHER_SPAN));
    assert_eq!(traced(builder("t").trace_context(current), Some("what"), |_| {}).await, ids(OTHER_TRACE, OTHER_SPAN));
    let never = || -> Option<(String, String)> { panic!("asked although the header says it") };
    assert_eq!(traced(builder("t").trace_context(never), Some(&header), |_| {}).await, ids(TRACE, SPAN));
    assert_eq!(traced(builder("t").trace_context(|| None), None, |_| {}).await, (None, None));
}

#[tokio::test]
async fn a_trace_context_that_panics_costs_only_its_answer() {
    let panics = || -> Option<(String, String)> { panic!("no context") };
    assert_eq!(traced(builder("t").trace_context(panics), None, |_| {}).await, (None, None));
}
