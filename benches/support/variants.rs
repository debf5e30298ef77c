//! The ways to record requests that are compared, each around or inside the same router.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http::{Request, header};
use http_body::Body as HttpBody;
use serde_json::{Value, json};
use tower::{Layer as _, Service};
use tower_audit::{Auditor, Stages};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::workload::{Handlers, catalog, router, serve};
use super::{Drained, LinePipe, Piped, block_on, drained_pipe};

/// One way, ready to run.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Serves a batch on this thread.
    pub(crate) run: Box<dyn FnMut(Vec<Request<Body>>)>,
    pub(crate) records: Records,
    /// Requests served so far.
    pub(crate) served: u64,
}

/// Where its records go.
pub(crate) enum Records {
    None,
    /// Ours, and how many a request.
    Audit(Piped, u64),
    /// Lines that the request's thread writes itself.
    Lines(Arc<Drained>),
}

impl Variant {
    pub(crate) fn serve(&mut self, requests: Vec<Request<Body>>) {
        self.served += requests.len() as u64;
        (self.run)(requests);
    }

    /// Waits until what was served is written, so that it is not on the clock of the next.
    pub(crate) fn settle(&self) {
        match &self.records {
            Records::Audit(piped, _) => piped.flush(),
            Records::Lines(drained) => assert!(drained.wait_for(self.served), "{}: lines are missing", self.name),
            Records::None => {}
        }
    }

    /// The reader of its lines.
    pub(crate) fn drained(&self) -> Option<&Drained> {
        match &self.records {
            Records::None => None,
            Records::Audit(piped, _) => Some(&piped.drained),
            Records::Lines(drained) => Some(drained),
        }
    }

    /// Ends it; tells what is missing.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.records {
            Records::Audit(piped, each) => piped.finish(self.name, self.served * each),
            Records::None | Records::Lines(_) => Ok(()),
        }
    }
}

pub(crate) const BARE: &str = "bare router";
pub(crate) const AROUND: &str = "around the router";
pub(crate) const HAND: &str = "written by hand, to the pipe";
pub(crate) const TRACE: &str = "TraceLayer + JSON, to the pipe";

/// All of them, in the order of the table.
pub(crate) const NAMES: [&str; 9] = [
    BARE,
    AROUND,
    "around the router, both stages",
    "`Router::layer`",
    "`wrap_router(..)`, for `axum::serve`",
    "the same, handlers use `Audit`",
    "TraceLayer + JSON, to nothing",
    TRACE,
    HAND,
];

/// Builds the variant of a name.
pub(crate) fn variant(name: &'static str) -> Variant {
    let at = NAMES.iter().position(|known| *known == name).expect("the name is one of `NAMES`");
    let plain = || router(Handlers::Silent);
    let (run, records): (Run, Records) = match at {
        0 => (running(plain()), Records::None),
        1 => audited(1, |auditor| running(auditor.layer().layer(plain()))),
        2 => audited(2, |auditor| running(auditor.layer().layer(plain()))),
        3 => audited(1, |auditor| running(plain().layer(auditor.layer()))),
        4 => audited(1, |auditor| running(auditor.wrap_router(plain()).into_service())),
        5 => audited(1, |auditor| running(auditor.wrap_router(router(Handlers::Speaking)).into_service())),
        6 => (traced(plain(), false).0, Records::None),
        7 => {
            let (run, drained) = traced(plain(), true);
            (run, Records::Lines(drained))
        }
        _ => {
            let (pipe, drained) = drained_pipe();
            (running(written_by_hand(plain(), LinePipe::new(pipe))), Records::Lines(drained))
        }
    };
    Variant { name, run, records, served: 0 }
}

type Run = Box<dyn FnMut(Vec<Request<Body>>)>;

fn running<S, B>(service: S) -> Run
where
    S: Service<Request<Body>, Response = http::Response<B>> + Clone + 'static,
    B: HttpBody<Data = Bytes> + 'static,
{
    Box::new(move |requests| {
        block_on(async {
            for request in requests {
                std::hint::black_box(serve(&service, request).await);
            }
        });
    })
}

fn audited(each: u64, run: impl FnOnce(&Auditor) -> Run) -> (Run, Records) {
    let stages = if each == 2 { Stages::Both } else { Stages::Completion };
    let piped = Piped::new(Auditor::builder().catalog(catalog(0)).stages(stages));
    (run(&piped.auditor), Records::Audit(piped, each))
}

/// One line a request, with method, path and version from the span, and status and latency from the event.
pub(crate) fn with_trace_layer(app: Router) -> Router {
    let layer = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_request(())
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    app.layer(layer)
}

fn traced(app: Router, to_pipe: bool) -> (Run, Arc<Drained>) {
    let target = Target::of_subscriber();
    let mut run = running(with_trace_layer(app));
    let to = target.clone();
    let run = Box::new(move |requests| {
        to.0.to_pipe.store(to_pipe, Ordering::Relaxed);
        run(requests);
    });
    (run, target.0.drained.clone())
}

/// Where the one subscriber of the process writes to.
#[derive(Clone)]
struct Target(Arc<Targets>);

struct Targets {
    to_pipe: AtomicBool,
    pipe: LinePipe,
    drained: Arc<Drained>,
}

impl Target {
    /// Installs the subscriber at the first call.
    fn of_subscriber() -> Self {
        static TARGET: std::sync::OnceLock<Target> = std::sync::OnceLock::new();
        let target = TARGET.get_or_init(|| {
            let (pipe, drained) = drained_pipe();
            let targets = Targets { to_pipe: AtomicBool::new(false), pipe: LinePipe::new(pipe), drained };
            let target = Target(Arc::new(targets));
            tracing_subscriber::fmt().json().with_max_level(Level::INFO).with_writer(target.clone()).init();
            target
        });
        target.clone()
    }
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.0.to_pipe.load(Ordering::Relaxed).then_some(&self.0.pipe))
    }
}

struct Line<'a>(Option<&'a LinePipe>);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(pipe) => pipe.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What people write today: buffer the request's body, parse, redact, print. Of the response it records what the layer does by
/// default: its status and its length.
pub(crate) fn written_by_hand(app: Router, out: LinePipe) -> Router {
    app.layer(from_fn_with_state(out, by_hand))
}

async fn by_hand(State(out): State<LinePipe>, request: Request<Body>, next: Next) -> Response {
    const LIMIT: usize = 1024 * 1024;
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let sent = axum::body::to_bytes(body, LIMIT).await.unwrap_or_default();
    let header =
        |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (user_agent, host) = (header(header::USER_AGENT), header(header::HOST));
    let (method, path, query) =
        (head.method.to_string(), head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
    let response = next.run(Request::from_parts(head, Body::from(sent.clone()))).await;
    let status = response.status().as_u16();
    let mut body = serde_json::from_slice::<Value>(&sent).unwrap_or_default();
    mask_secrets(&mut body);
    let record = json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "isAuditLog": true,
        "auditId": uuid::Uuid::new_v4().to_string(),
        "actor": {"actorId": Value::Null, "hostname": host, "client": user_agent},
        "status": if status < 400 { "succeeded" } else { "failed" },
        "durationMs": began.elapsed().as_secs_f64() * 1000.0,
        "request": {"method": method, "url": path, "query": query, "body": body},
        "response": {"status": status, "bytes": response.body().size_hint().exact()},
    });
    out.print_line(&record.to_string());
    response
}

fn mask_secrets(value: &mut Value) {
    const WORDS: [&str; 6] = ["secret", "token", "password", "apikey", "authorization", "cookie"];
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let key = key.to_lowercase();
                if WORDS.iter().any(|word| key.contains(word)) {
                    *value = Value::from("***");
                } else {
                    mask_secrets(value);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
