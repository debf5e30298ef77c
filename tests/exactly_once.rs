//! Whatever clients and handlers do, in whatever order: each exchange has exactly one completion, after its initiation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use common::bodies::{BoxError, Feed, data, fed, trailers};
use futures_util::FutureExt as _;
use http::{Method, Request, Response, header};
use http_body::Body as _;
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_audit::{Actor, Audit, Event, Failure, RequestBody, Stages};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    // The client.
    SendFrame,
    EndRequest,
    BreakRequest,
    Go,
    // The server: polls once.
    Poll,
    // The handler.
    ReadFrame,
    NameActor,
    NameEvent,
    SayMeta,
    SayError,
    Skip,
    Panic,
    Fail,
    Answer { status: u16, length: Option<u64> },
    // The body of the response.
    BodyFrame,
    BodyTrailers,
    BodyError,
    EndBody,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::SendFrame),
        1 => Just(Step::EndRequest),
        1 => Just(Step::BreakRequest),
        1 => Just(Step::Go),
        8 => Just(Step::Poll),
        3 => Just(Step::ReadFrame),
        1 => Just(Step::NameActor),
        1 => Just(Step::NameEvent),
        1 => Just(Step::SayMeta),
        1 => Just(Step::SayError),
        1 => Just(Step::Skip),
        1 => Just(Step::Panic),
        1 => Just(Step::Fail),
        4 => (
            prop_oneof![Just(200), Just(204), Just(304), Just(404), Just(500), Just(101)],
            prop_oneof![Just(None), (0_u64..20).prop_map(Some)],
        ).prop_map(|(status, length)| Step::Answer { status, length }),
        4 => Just(Step::BodyFrame),
        1 => Just(Step::BodyTrailers),
        1 => Just(Step::BodyError),
        1 => Just(Step::EndBody),
    ]
}

/// A handler that does what it is told, one thing at a time.
async fn handler(
    request: Request<RequestBody<common::bodies::FedBody>>,
    mut todo: mpsc::UnboundedReceiver<Step>,
    mut body: Option<common::bodies::FedBody>,
) -> Result<Response<Body>, BoxError> {
    let audit = request.extensions().get::<Audit>().cloned().unwrap_or_else(Audit::disabled);
    let mut upload = Some(request.into_body());
    loop {
        let Some(step) = todo.recv().await else { std::future::pending().await };
        match step {
            Step::ReadFrame => {
                if let Some(mut reading) = upload.take()
                    && let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut reading).await
                {
                    upload = Some(reading);
                }
            }
            Step::NameActor => drop(audit.actor(Actor::user("jane"))),
            Step::NameEvent => drop(audit.event("Renamed")),
            Step::SayMeta => drop(audit.meta("key", "value")),
            Step::SayError => drop(audit.failure(Failure::new("Said", "so"))),
            Step::Skip => drop(audit.skip()),
            Step::Panic => panic!("as the script says"),
            Step::Fail => return Err("as the script says".into()),
            Step::Answer { status, length } => {
                let mut answer = Response::new(Body::new(body.take().expect("it answers once")));
                *answer.status_mut() = http::StatusCode::from_u16(status)?;
                if let Some(length) = length {
                    answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                }
                return Ok(answer);
            }
            other => unreachable!("{other:?} is not the handler's"),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>>>>;

enum Stage {
    Future(Answer),
    Body(Pin<Box<Body>>),
    Over,
}

/// Plays one script. Panics of the handler are caught where a server's task would end.
fn play(log: &common::Log, method: &Method, script: Vec<Step>) {
    let (upload, upload_body) = fed();
    let mut upload = Some(upload);
    let (download, download_body) = fed();
    let mut download: Option<Feed> = Some(download);
    let (tell, todo) = mpsc::unbounded_channel();
    let parts = std::sync::Mutex::new(Some((todo, download_body)));
    let parts = std::sync::Arc::new(parts);
    let service = service_fn(move |request| {
        let (todo, body) = parts.lock().unwrap().take().expect("called once");
        handler(request, todo, Some(body))
    });
    let service = ServiceBuilder::new().layer(log.auditor.layer()).service(service);
    let request = Request::builder().method(method).uri("/").header("content-type", "application/json");
    let answer = service.oneshot(request.body(upload_body).unwrap());
    let answer = answer.map(|answer| answer.map(|answer| answer.map(Body::new)));
    let mut stage = Stage::Future(Box::pin(answer));
    // So that each script is an exchange.
    poll(&mut stage);
    for step in script {
        match step {
            Step::SendFrame => drop(upload.as_ref().map(|upload| upload.send(data("{}")))),
            Step::EndRequest => upload = None,
            Step::BreakRequest => drop(upload.take().map(|upload| upload.send(Err("broken".into())))),
            Step::Go => stage = Stage::Over,
            Step::Poll => poll(&mut stage),
            Step::BodyFrame => drop(download.as_ref().map(|download| download.send(data("12345")))),
            Step::BodyTrailers => drop(download.as_ref().map(|download| download.send(trailers("x-t", "1")))),
            Step::BodyError => drop(download.take().map(|download| download.send(Err("broken".into())))),
            Step::EndBody => download = None,
            handlers => drop(tell.send(handlers)),
        }
    }
}

fn poll(stage: &mut Stage) {
    let mut cx = Context::from_waker(Waker::noop());
    let next = std::panic::catch_unwind(AssertUnwindSafe(|| match stage {
        Stage::Future(answer) => match answer.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(answer)) => Some(Stage::Body(Box::pin(answer.into_body()))),
            Poll::Ready(Err(_)) => Some(Stage::Over),
            Poll::Pending => None,
        },
        Stage::Body(body) => match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) | Poll::Pending => None,
            Poll::Ready(None | Some(Err(_))) => Some(Stage::Over),
        },
        Stage::Over => None,
    }));
    match next {
        Ok(None) => {}
        Ok(Some(next)) => *stage = next,
        Err(_) => *stage = Stage::Over,
    }
}

/// Panics as the script says need not be told on stderr.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"as the script says") {
                before(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_exchange_has_exactly_one_completion(
        scripts in proptest::collection::vec(
            (prop_oneof![Just(Method::POST), Just(Method::HEAD), Just(Method::CONNECT)], any::<bool>(), proptest::collection::vec(step(), 0..30)),
            1..8,
        ),
    ) {
        quietly();
        let stages = if scripts[0].1 { Stages::Both } else { Stages::Completion };
        let events = [Event::new("Renamed"), Event::new("Post").on(Method::POST, "/").stages(stages).unauthenticated_bodies()];
        let log = common::log_of(events);
        let mut expected = Vec::new();
        for (method, _, script) in &scripts {
            // What was skipped before anything was written has no record; all else has one.
            play(&log, method, script.clone());
            expected.push(script.iter().any(|step| matches!(step, Step::Skip)));
        }
        let (report, lines) = block_on(log.stop());
        // `check` has found no id with two completions.
        prop_assert!(report.is_complete(), "{report:?}");
        let ids = |stage: &str| -> Vec<Value> {
            let ours = lines.iter().filter(|line| line.get("outcome").is_some() || line["stage"] == "initiation");
            ours.filter(|line| line["stage"] == stage).map(|line| line["auditId"].clone()).collect()
        };
        let completed = ids("completion");
        let certain = expected.iter().filter(|skips| !**skips).count();
        prop_assert!((certain..=scripts.len()).contains(&completed.len()), "{} of {}", completed.len(), scripts.len());
        for initiated in ids("initiation") {
            prop_assert!(completed.contains(&initiated));
        }
    }
}

/// Blocks this thread until a future is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
