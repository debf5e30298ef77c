//! The contract of tower and of bodies: readiness, clones, cancellation, ends, sizes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::convert::Infallible;
use std::future::{Future as _, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::bodies::{BoxError, FedBody, data, fed, of, trailers};
use common::{expected, failed, log, record};
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::{Value, json};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_audit::{Delivery, Event, RequestBody, ResponseBody};

type Plain = Request<RequestBody<Empty<Bytes>>>;

fn request() -> Request<Empty<Bytes>> {
    Request::get("/").body(Empty::new()).unwrap()
}

fn in_memory(patch: Value) -> Value {
    record(expected::with(json!({ "actor": { "ip": null, "port": null, "hostname": null } }), patch))
}

/// A service that insists on the contract: each clone has to be asked before each call.
struct Strict {
    ready: bool,
    asked: Arc<AtomicUsize>,
    called: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, asked: self.asked.clone(), called: self.called.clone() }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.called.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new(Full::from("ok"))))
    }
}

fn strict() -> Strict {
    Strict { ready: false, asked: Arc::default(), called: Arc::default() }
}

/// Which of the layer's implementations is meant, nobody could tell from `ready` alone.
async fn ready<S>(service: &mut S) -> &mut S
where
    S: Service<Request<Empty<Bytes>>, Error: std::fmt::Debug>,
{
    service.ready().await.unwrap()
}

// ---- readiness

#[tokio::test]
async fn readiness_is_asked_once_for_each_call_and_only_forwarded() {
    let log = log();
    let inner = strict();
    let (asked, called) = (inner.asked.clone(), inner.called.clone());
    let mut service = log.auditor.layer().layer(inner);
    for _ in 0..3 {
        ready(&mut service).await.call(request()).await.unwrap();
    }
    assert_eq!((asked.load(Ordering::SeqCst), called.load(Ordering::SeqCst)), (3, 3));
    log.records(3).await;
}

#[tokio::test]
async fn an_inner_service_that_is_not_ready_makes_the_layer_not_ready() {
    let log = log();
    let (mock, mut handle) = tower_test::mock::pair::<Plain, Response<Full<Bytes>>>();
    let mut service = log.auditor.layer().layer(mock);
    handle.allow(0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, &mut cx).is_pending());
    handle.allow(1);
    assert!(Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, &mut cx).is_ready());
    let answer = tokio::spawn(service.call(request()));
    let (asked, send) = handle.next_request().await.unwrap();
    assert_eq!(asked.uri(), "/");
    send.send_response(Response::new(Full::from("ok")));
    answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(log.only().await, in_memory(json!({ "response": { "bytes": 2 } })));
}

#[tokio::test]
async fn an_error_of_readiness_is_passed_on_and_is_no_request() {
    let log = log();
    let (mock, mut handle) = tower_test::mock::pair::<Plain, Response<Full<Bytes>>>();
    let mut service = log.auditor.layer().layer(mock);
    handle.send_error("gone");
    assert_eq!(ready_error(&mut service).await, "gone");
    assert_eq!(log.records(0).await.len(), 0);
}

async fn ready_error<S: Service<Request<Empty<Bytes>>, Error = BoxError>>(service: &mut S) -> String {
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap_err().to_string()
}

/// A log whose queue has room for one record, and whose sink stops as soon as something comes.
fn full() -> (common::Log, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(true));
    let (gate, written) = (open.clone(), common::Written::default());
    let lines = written.clone();
    let sink = tower_audit::sink::sink_fn(move |batch: &[u8]| {
        while !gate.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        lines.push(batch);
        Ok(())
    });
    let event = Event::new("Strict").on(Method::GET, "/").delivery(Delivery::Backpressure);
    let catalog = tower_audit::Catalog::new().event(event);
    let log = common::log_to(written, |builder| builder.sink(sink).catalog(catalog).queue_records(1));
    (log, open)
}

async fn fill(log: &common::Log, open: &AtomicBool) {
    log.all().await;
    open.store(false, Ordering::SeqCst);
    let lossy = Request::get("/lossy").body(Empty::<Bytes>::new()).unwrap();
    log.auditor.layer().layer(strict()).oneshot(lossy).await.unwrap().into_body().collect().await.unwrap();
}

#[tokio::test]
async fn a_request_that_waits_is_called_on_the_service_that_was_ready() {
    let (log, open) = full();
    fill(&log, &open).await;
    let inner = strict();
    let called = inner.called.clone();
    let mut service = log.auditor.layer().layer(inner);
    let mut first = pin!(ready(&mut service).await.call(request()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert_eq!(called.load(Ordering::SeqCst), 0);
    // The service that stays is a clone, and has to be asked anew: it is.
    let unaudited = Request::post("/").body(Empty::<Bytes>::new()).unwrap();
    ready(&mut service).await.call(unaudited).await.unwrap().into_body().collect().await.unwrap();
    open.store(true, Ordering::SeqCst);
    first.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 2);
}

// ---- cancellation

#[tokio::test]
async fn a_future_that_is_never_polled_is_aborted() {
    let log = log();
    let mut service =
        log.auditor.layer().layer(service_fn(|_: Plain| pending::<Result<Response<Full<Bytes>>, Infallible>>()));
    drop(ready(&mut service).await.call(request()));
    let failure = failed("warn", "aborted", "Aborted", "the request was dropped before it ended");
    let change = json!({ "response": null, "meta": { "abortedAt": "head" } });
    assert_eq!(log.only().await, in_memory(expected::with(failure, change)));
}

#[tokio::test]
async fn a_cancellation_at_every_await_writes_one_record() {
    // The handler awaits 4 times, the body yields 3 frames; each run is cancelled one step later.
    const STEPS: usize = 9;
    for steps in 0..STEPS {
        let log = log();
        let handler = service_fn(async |request: Request<RequestBody<FedBody>>| {
            let mut body = request.into_body();
            for _ in 0..2 {
                tokio::task::yield_now().await;
                body.frame().await.unwrap()?;
            }
            tokio::task::yield_now().await;
            let (feed, body) = fed();
            tokio::spawn(async move {
                for part in ["a", "b", "c"] {
                    tokio::task::yield_now().await;
                    let _ = feed.send(data(part));
                }
            });
            Ok::<_, BoxError>(Response::new(body))
        });
        let sent = Request::post("/").body(of([data("1"), data("2")])).unwrap();
        let exchange = async {
            let answer = log.auditor.layer().layer(handler).oneshot(sent).await.unwrap();
            answer.into_body().collect().await.unwrap();
        };
        let mut exchange = Box::pin(exchange);
        let mut ended = false;
        let mut left = steps;
        std::future::poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            ended = exchange.as_mut().poll(cx).is_ready();
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(exchange);
        if steps == 0 {
            // `oneshot` has not called anything yet.
            assert_eq!(log.records(0).await.len(), 0);
            continue;
        }
        let got = log.only().await;
        assert_eq!(got["outcome"], if ended { "completed" } else { "aborted" }, "{steps}: {got}");
        let (report, _) = log.stop().await;
        assert!(report.is_complete(), "{steps}: {report:?}");
    }
}

#[tokio::test]
async fn a_cancellation_while_it_waits_is_told_and_the_handler_never_runs() {
    let (log, open) = full();
    fill(&log, &open).await;
    let inner = strict();
    let called = inner.called.clone();
    let mut service = log.auditor.layer().layer(inner);
    let mut waiting = Box::pin(ready(&mut service).await.call(request()));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    open.store(true, Ordering::SeqCst);
    let (report, lines) = log.stop().await;
    assert_eq!((called.load(Ordering::SeqCst), report.open, report.refused, report.lost), (0, 0, 0, 1));
    assert!(lines.iter().any(|line| line["eventName"] == "AuditRecordsLost"));
}

#[tokio::test]
async fn the_inner_future_is_dropped_before_the_record_is_closed() {
    /// Says its last words when it is dropped.
    struct LastWords(tower_audit::Audit);
    impl Drop for LastWords {
        fn drop(&mut self) {
            self.0.meta("lastWords", "cleaned up");
        }
    }
    let log = log();
    let handler = service_fn(async |request: Plain| {
        let _words = LastWords(request.extensions().get::<tower_audit::Audit>().unwrap().clone());
        pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let mut future = Box::pin(log.auditor.layer().layer(handler).oneshot(request()));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    assert_eq!(log.only().await["meta"], json!({ "lastWords": "cleaned up", "abortedAt": "head" }));
}

// ---- bodies

/// Notes how it is asked, and panics when it is polled after its end.
struct Watched {
    frames: Vec<Frame<Bytes>>,
    hint: SizeHint,
    polls: Arc<AtomicUsize>,
    ended: bool,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert!(!self.ended, "polled after its end");
        self.polls.fetch_add(1, Ordering::SeqCst);
        match self.frames.is_empty() {
            true => {
                self.ended = true;
                Poll::Ready(None)
            }
            false => Poll::Ready(Some(Ok(self.frames.remove(0)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

fn hint(lower: u64, upper: Option<u64>) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(lower);
    if let Some(upper) = upper {
        hint.set_upper(upper);
    }
    hint
}

fn same(one: &SizeHint, other: &SizeHint) -> bool {
    (one.lower(), one.upper()) == (other.lower(), other.upper())
}

#[tokio::test]
async fn a_response_body_says_of_itself_what_the_inner_one_says_and_is_polled_as_often() {
    for expected in [hint(0, None), hint(3, Some(100)), hint(6, Some(6))] {
        let log = log();
        let polls = Arc::<AtomicUsize>::default();
        let body = Watched {
            frames: ["one", "two"].map(|part| Frame::data(Bytes::from(part))).into(),
            hint: expected,
            polls: polls.clone(),
            ended: false,
        };
        let body = Arc::new(Mutex::new(Some(body)));
        let handler = service_fn(move |_: Plain| {
            std::future::ready(Ok::<_, Infallible>(Response::new(body.lock().unwrap().take().unwrap())))
        });
        let answer = log.auditor.layer().layer(handler).oneshot(request()).await.unwrap();
        let mut body: ResponseBody<Watched> = answer.into_body();
        for (at, part) in ["one", "two"].into_iter().enumerate() {
            assert!(same(&body.size_hint(), &expected) && !body.is_end_stream());
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), part);
            assert_eq!(polls.load(Ordering::SeqCst), at + 1);
        }
        assert!(!body.is_end_stream());
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
        assert_eq!(polls.load(Ordering::SeqCst), 3);
        assert_eq!(log.only().await, in_memory(json!({ "response": { "bytes": 6 } })));
    }
}

#[tokio::test]
async fn a_request_body_says_of_itself_what_the_inner_one_says_and_is_polled_as_often() {
    let log = log();
    let polls = Arc::<AtomicUsize>::default();
    let body = Watched {
        frames: ["one", "two"].map(|part| Frame::data(Bytes::from(part))).into(),
        hint: hint(3, Some(100)),
        polls: polls.clone(),
        ended: false,
    };
    let seen = polls.clone();
    let handler = service_fn(move |request: Request<RequestBody<Watched>>| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            for at in 0..2 {
                assert!(same(&body.size_hint(), &hint(3, Some(100))) && !body.is_end_stream());
                body.frame().await.unwrap().unwrap();
                assert_eq!(seen.load(Ordering::SeqCst), at + 1);
            }
            assert!(body.frame().await.is_none());
            assert!(body.is_end_stream());
            Ok::<_, Infallible>(Response::new(Full::from("ok")))
        }
    });
    let sent = Request::post("/").body(body).unwrap();
    log.auditor.layer().layer(handler).oneshot(sent).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(polls.load(Ordering::SeqCst), 3);
    log.only().await;
}

#[tokio::test]
async fn trailers_pass_unchanged_both_ways() {
    let log = log();
    let handler = service_fn(async |request: Request<RequestBody<FedBody>>| {
        let all = request.into_body().collect().await?;
        assert_eq!(all.trailers().unwrap()["x-in"], "1");
        Ok::<_, BoxError>(Response::new(of([data("body"), trailers("x-out", "2")])))
    });
    let sent = Request::post("/").body(of([data("body"), trailers("x-in", "1")])).unwrap();
    let answer = log.auditor.layer().layer(handler).oneshot(sent).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().trailers().unwrap()["x-out"], "2");
    log.only().await;
}

#[tokio::test]
async fn what_follows_the_declared_length_still_passes() {
    let log = log();
    let handler = service_fn(async |_: Plain| {
        let mut answer = Response::new(of([data("four"), data("more"), trailers("x-sum", "8")]));
        answer.headers_mut().insert("content-length", 4.into());
        Ok::<_, BoxError>(answer)
    });
    let answer = log.auditor.layer().layer(handler).oneshot(request()).await.unwrap();
    let all = answer.into_body().collect().await.unwrap();
    assert_eq!(all.trailers().unwrap()["x-sum"], "8");
    assert_eq!(all.to_bytes(), "fourmore");
    // Nothing after the end counts.
    assert_eq!(log.only().await, in_memory(json!({ "response": { "bytes": 4 } })));
}

#[tokio::test]
async fn an_answer_that_ends_at_its_head_keeps_its_body() {
    let log = log();
    let handler = service_fn(async |_: Plain| Ok::<_, BoxError>(Response::new(of([data("body")]))));
    let head = Request::head("/").body(Empty::new()).unwrap();
    let answer = log.auditor.layer().layer(handler).oneshot(head).await.unwrap();
    assert_eq!(log.only().await, in_memory(json!({ "request": { "method": "HEAD" } })));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "body");
    log.only().await;
}

#[tokio::test]
async fn a_second_poll_of_the_refusal_body_ends() {
    let (log, open) = full();
    fill(&log, &open).await;
    let mut service = log.auditor.layer().layer(strict());
    let mut waiting = tokio::spawn(ready(&mut service).await.call(request()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    tokio::task::yield_now().await;
    log.clock.advance(Duration::from_secs(5));
    let mut body = waiting.await.unwrap().unwrap().into_body();
    let length = body.size_hint().exact().unwrap();
    assert!(!body.is_end_stream());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64, length);
    assert!(body.is_end_stream() && body.frame().await.is_none());
    assert_eq!(body.size_hint().exact(), Some(0));
    open.store(true, Ordering::SeqCst);
}

#[tokio::test]
async fn a_route_that_is_left_out_passes_unchanged() {
    let catalog = tower_audit::Catalog::new().skip_all("/");
    let log = common::log_with(|builder| builder.catalog(catalog));
    let answer = log.auditor.layer().layer(strict()).oneshot(request()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(log.records(0).await.len(), 0);
}
