//! Ordinary logs: they never wait, cannot pass for records, and never reach a sink of records.
#![cfg(feature = "tracing-subscriber")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_audit::sink::{MemoryRecords, Output, sink_fn};
use tower_audit::{Auditor, AuditorBuilder, Clock, sink};
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::layer::SubscriberExt as _;

const SOON: Duration = Duration::from_secs(20);

/// The ordinary lines while `work` logs.
fn logged(builder: AuditorBuilder, work: impl FnOnce()) -> Vec<String> {
    let (auditor, records) = started(builder);
    let (subscriber, logs) = subscriber(&auditor);
    dispatcher::with_default(&subscriber, work);
    auditor.shutdown_blocking(SOON);
    assert_eq!(records.lines().len(), 2, "only the records of the begin and the end");
    logs.lines()
}

/// An auditor whose records are kept.
fn started(builder: AuditorBuilder) -> (Auditor, MemoryRecords) {
    let (lines, records) = sink::memory();
    (builder.sink(lines).build().unwrap(), records)
}

/// A subscriber whose lines are kept.
fn subscriber(auditor: &Auditor) -> (Dispatch, MemoryRecords) {
    let (lines, logs) = sink::memory();
    (subscriber_on(auditor, lines), logs)
}

fn subscriber_on(auditor: &Auditor, lines: impl sink::Sink) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(auditor.log_layer_to(lines)))
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Always the same moment.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(1_795_161_337_720_973)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_line_has_this_shape() {
    let lines = logged(Auditor::builder().clock(Stopped), || {
        let _request = tracing::info_span!("request", method = "GET", id = 7, late = tracing::field::Empty).entered();
        tracing::Span::current().record("late", true);
        tracing::Span::current().record("id", 8);
        let _bare = tracing::error_span!("bare").entered();
        tracing::warn!(target: "app::db", rows = -1, ratio = 0.5, nan = f64::NAN, ok = false, r#type = ?Some("x"), "two\nlines, \"quoted\"");
        tracing::trace!(target: "app", error = &io::Error::other("it broke") as &dyn std::error::Error);
    });
    let spans = r#","spans":[{"name":"request","fields":{"method":"GET","id":8,"late":true}},{"name":"bare"}]}"#;
    assert_eq!(
        lines,
        [
            [
                r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"warn","target":"app::db","#,
                r#""message":"two\nlines, \"quoted\"","#,
                r#""fields":{"rows":-1,"ratio":0.5,"nan":"NaN","ok":false,"type":"Some(\"x\")"}"#,
                spans,
            ]
            .concat(),
            [
                r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"trace","target":"app","#,
                r#""fields":{"error":"it broke"}"#,
                spans,
            ]
            .concat(),
        ]
    );
}

#[test]
fn a_field_called_like_the_mark_is_left_out_and_the_word_is_escaped_elsewhere() {
    let lines = logged(Auditor::builder().clock(Stopped), || {
        let _span = tracing::info_span!("isAuditLog", isAuditLog = true, isauditlog = 1, kept = "isAuditLog").entered();
        tracing::info!(target: "isAuditLog", isAuditLog = true, ISAUDITLOG = 1, r#isAuditLog = 2, x.isAuditLog = 3, "{}", r#","isAuditLog":true,"#);
    });
    let line = &lines[0];
    assert!(!line.to_ascii_lowercase().contains("isauditlog"), "{line}");
    assert_eq!(
        parse(line),
        json!({
            "timestamp": "2026-11-20T07:55:37.720973Z",
            "level": "info",
            "target": "isAuditLog",
            "message": r#","isAuditLog":true,"#,
            "fields": {"x.isAuditLog": 3},
            "spans": [{"name": "isAuditLog", "fields": {"kept": "isAuditLog"}}],
        })
    );
}

/// An event or a span whose names are known only when the test runs; it lives for ever, as callsites do.
mod made {
    use super::*;
    use tracing::callsite::{Callsite, Identifier};
    use tracing::field::{FieldSet, Value};
    use tracing::metadata::Kind;
    use tracing::subscriber::Interest;
    use tracing::{Event, Level, Metadata, Span};

    struct Made(OnceLock<Metadata<'static>>);

    impl Callsite for Made {
        fn set_interest(&self, _: Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            self.0.get().unwrap()
        }
    }

    fn metadata(name: &str, target: &str, fields: &[&str], kind: Kind) -> &'static Metadata<'static> {
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let fields: &'static [&'static str] =
            Box::leak(fields.iter().map(|name| leak(name)).collect::<Vec<_>>().into());
        let callsite: &'static Made = Box::leak(Box::new(Made(OnceLock::new())));
        let fields = FieldSet::new(fields, Identifier(callsite));
        callsite.0.get_or_init(|| Metadata::new(leak(name), leak(target), Level::INFO, None, None, None, fields, kind))
    }

    pub(super) fn event(target: &str, message: &str, key: &str, value: &str) {
        let metadata = metadata("event", target, &["message", key], Kind::EVENT);
        let [m, k] = [0, 1].map(|at| metadata.fields().iter().nth(at).unwrap());
        let message = tracing::field::display(message);
        let values = [(&m, Some(&message as &dyn Value)), (&k, Some(&value as &dyn Value))];
        Event::dispatch(metadata, &metadata.fields().value_set(&values));
    }

    pub(super) fn span(name: &str, key: &str, value: &str) -> Span {
        let metadata = metadata(name, "app", &[key], Kind::SPAN);
        let field = metadata.fields().iter().next().unwrap();
        let value = tracing::field::debug(Said(value));
        let values = [(&field, Some(&value as &dyn Value))];
        Span::new(metadata, &metadata.fields().value_set(&values))
    }

    struct Said<'s>(&'s str);

    impl fmt::Debug for Said<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
}

/// Text as an attacker would choose it.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => any::<String>(),
        1 => "[\u{0}-\u{9f}\u{2028}\u{2029}\u{202e}\\\\\"]{0,8}",
        2 => prop::sample::select(vec![
            "isAuditLog", "ISAUDITLOG", "isauditlog", "isAuditLogisAuditLog", "isisAuditLog", "isAuditLo", "g",
            "is\\u0041uditLog", "\\", "\"isAuditLog\":true", "\",\"isAuditLog\":true,\"", "}\n{\"isAuditLog\":true}",
            "\u{1}sAuditLog", "i", "\\u0069sAuditLog",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn is_mark(name: &str) -> bool {
    name.eq_ignore_ascii_case("isAuditLog")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_text_makes_a_line_pass_for_a_record(
        target in hostile(), message in hostile(), key in hostile(), value in hostile(), span in hostile(),
    ) {
        prop_assume!(key != "message" && !key.starts_with("r#") && !target.starts_with("log"));
        // Longer names than programs have are cut, which is another test's.
        prop_assume!([&target, &key, &span].iter().all(|name| name.len() < 40));
        let lines = logged(Auditor::builder(), || {
            let _span = made::span(&span, &key, &value).entered();
            made::event(&target, &message, &key, &value);
        });
        prop_assert_eq!(lines.len(), 1);
        let line = &lines[0];
        prop_assert!(!line.to_ascii_lowercase().contains("isauditlog"), "{}", line);
        let line = parse(line);
        prop_assert_eq!(&line["target"], &json!(target));
        prop_assert_eq!(&line["message"], &json!(message));
        prop_assert_eq!(&line["spans"][0]["name"], &json!(span));
        prop_assert!(line.get("cut").is_none());
        if is_mark(&key) {
            prop_assert!(line.get("fields").is_none() && line["spans"][0].get("fields").is_none());
        } else {
            prop_assert_eq!(&line["fields"][&key], &json!(value));
            prop_assert_eq!(&line["spans"][0]["fields"][&key], &json!(value));
        }
    }
}

/// A `Debug` that misbehaves.
enum Bad {
    Panics,
    /// With a payload that panics when it is dropped.
    PanicsTwice,
    Endless,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a payload that panics");
    }
}

impl fmt::Debug for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("begun ")?;
        match self {
            Self::Panics => panic!("a Debug that panics"),
            Self::PanicsTwice => std::panic::panic_any(Bomb),
            Self::Endless => loop {
                f.write_str("\u{1b}isAuditLog ")?;
            },
        }
    }
}

#[test]
fn values_that_panic_or_never_end_cost_only_themselves() {
    let (auditor, _records) = started(Auditor::builder());
    let (subscriber, logs) = subscriber(&auditor);
    dispatcher::with_default(&subscriber, || {
        let _span = tracing::info_span!("span", bad = ?Bad::Panics, good = 1).entered();
        tracing::info!(bad = ?Bad::PanicsTwice, good = 1, "panics");
        tracing::info!(bad = ?Bad::Endless, good = 1, "{:?}", Bad::Endless);
    });
    auditor.shutdown_blocking(SOON);
    let lines = logs.lines();
    let [panics, endless] = &lines[..] else { panic!("{lines:#?}") };
    let panics = parse(panics);
    assert_eq!(panics["fields"], json!({"bad": "begun [panicked]…", "good": 1}));
    assert_eq!(panics["spans"][0]["fields"], json!({"bad": "begun [panicked]…", "good": 1}));
    assert_eq!(panics["cut"], json!(["fields.bad", "spans.span.bad"]));
    assert!(endless.len() <= 15 * 1024);
    assert_eq!(parse(endless)["cut"], json!(["message", "fields.bad", "spans.span.bad"]));
    assert_eq!(parse(endless)["fields"]["good"], 1);
    assert_eq!(auditor.counters().dropped_log_lines, 0);
}

#[test]
fn a_line_keeps_to_its_budget_and_names_what_was_cut() {
    for budget in [4 * 1024, 15 * 1024] {
        for text in ["x", "\u{1}", "é", "isAuditLog", "\"", "𝄞"] {
            let long = text.repeat(40_000 / text.len());
            let lines = logged(Auditor::builder().max_line_bytes(budget), || {
                let _outer = made::span("outer", "long", &long).entered();
                let _inner: Vec<_> =
                    (0..80).map(|_| made::span(&long, "long", &long[..text.len()]).entered()).collect();
                made::event(&long, &long, "key", &long);
                made::event("app", "short", &long, "short");
            });
            let [first, second] = &lines[..] else { panic!("{}", lines.len()) };
            assert!(first.len() < budget && second.len() < budget, "{} {} {budget}", first.len(), second.len());
            assert!(first.len() > budget / 2, "{}", first.len());
            let (first, second) = (parse(first), parse(second));
            assert_eq!(first["cut"].as_array().unwrap()[..3], ["target", "message", "fields.key"]);
            let is_beginning = |value: &Value| long.starts_with(value.as_str().unwrap().strip_suffix('…').unwrap());
            assert!(is_beginning(&first["target"]) && is_beginning(&first["message"]));
            assert!(is_beginning(&first["fields"]["key"]));
            // The spans that are nearest to the event stand.
            assert!(second["cut"].as_array().unwrap().contains(&json!("spans")), "{second}");
            assert!(second["spans"].as_array().unwrap().iter().all(|span| span["name"] != "outer"));
            assert_eq!((&second["target"], &second["message"]), (&json!("app"), &json!("short")));
        }
    }
}

#[test]
fn records_of_the_log_crate_show_the_target_that_they_had() {
    let lines = logged(Auditor::builder(), || {
        tracing::info!(target: "log", { log.target = "hyper::proto", log.module_path = "m", log.line = 3, kept = 1 }, "text");
    });
    let line = parse(&lines[0]);
    assert_eq!((&line["target"], &line["fields"]), (&json!("hyper::proto"), &json!({"kept": 1})));
}

/// A sink that stands still until the sender is dropped; and what it wrote.
fn stuck() -> (impl sink::Sink, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
    let (open, gate) = mpsc::channel::<()>();
    let written = Arc::new(Mutex::new(Vec::new()));
    let into = written.clone();
    let sink = sink_fn(move |lines: &[u8]| {
        let _ = gate.recv();
        into.lock().unwrap().extend_from_slice(lines);
        Ok(())
    });
    (sink, open, written)
}

#[test]
fn a_reader_that_stands_still_blocks_nobody_who_logs_and_what_is_dropped_is_told() {
    const TASKS: u64 = 64;
    const LINES: u64 = 500;
    let (sink, open, written) = stuck();
    let (auditor, records) = started(Auditor::builder());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let subscriber = subscriber_on(&auditor, sink);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let work = async move {
                for line in 0..LINES {
                    tracing::info!(task, line, "something that is said, and padded: {:64}", "");
                    tokio::task::yield_now().await;
                }
            };
            runtime.spawn(work.with_subscriber(subscriber.clone()))
        })
        .collect();
    runtime.block_on(async {
        tokio::time::timeout(SOON, async {
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await
        .expect("nobody waits for the sink");
    });
    let dropped = auditor.counters().dropped_log_lines;
    assert!(dropped > 0 && dropped < TASKS * LINES, "{dropped}");
    drop(open);
    // Reported although nothing else is logged, or with the next line.
    dispatcher::with_default(&subscriber, || tracing::info!("after it"));
    auditor.shutdown_blocking(SOON);
    assert_eq!(records.lines().len(), 2);

    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    // What waited while nobody read: 1 MiB, beside what was being written.
    assert!(written.len() < 3 * 1024 * 1024, "{}", written.len());
    let lines: Vec<Value> = written.lines().map(parse).collect();
    let (told, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line["target"] == "tower_audit");
    assert!(told.iter().all(|line| line["level"] == "warn"), "{told:?}");
    let dropped = auditor.counters().dropped_log_lines;
    assert_eq!(told.iter().map(|line| line["fields"]["dropped"].as_u64().unwrap()).sum::<u64>(), dropped);
    assert_eq!(lines.len() as u64 + dropped, TASKS * LINES + 1);
    // The lines of each task are in their order.
    let mut last = HashMap::new();
    for line in lines.iter().filter_map(|line| line.get("fields")) {
        let (task, line) = (line["task"].as_u64().unwrap(), line["line"].as_u64());
        assert!(last.insert(task, line) < Some(line));
    }
}

#[test]
fn what_was_dropped_is_told_although_nothing_else_is_logged() {
    let (sink, open, written) = stuck();
    let (auditor, _records) = started(Auditor::builder());
    let text = "x".repeat(4000);
    dispatcher::with_default(&subscriber_on(&auditor, sink), || {
        while auditor.counters().dropped_log_lines < 10 {
            tracing::info!(text);
        }
    });
    drop(open);
    let begin = Instant::now();
    while !String::from_utf8_lossy(&written.lock().unwrap()).contains("\"message\":\"10 log lines were dropped\"") {
        assert!(begin.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    auditor.shutdown_blocking(SOON);
}

#[test]
fn lines_after_the_shutdown_or_for_a_reader_that_is_gone_are_dropped_and_counted() {
    let (auditor, _records) = started(Auditor::builder());
    let (before, logs) = subscriber(&auditor);
    dispatcher::with_default(&before, || tracing::info!("before"));
    auditor.shutdown_blocking(SOON);
    dispatcher::with_default(&before, || tracing::info!("after"));
    let (late, late_logs) = subscriber(&auditor);
    dispatcher::with_default(&late, || tracing::info!("after, with a new layer"));
    assert_eq!(auditor.counters().dropped_log_lines, 2);
    assert_eq!((logs.lines().len(), late_logs.lines().len()), (1, 0));

    let (auditor, _records) = started(Auditor::builder());
    let gone = sink_fn(|_: &[u8]| Err(io::ErrorKind::BrokenPipe.into()));
    dispatcher::with_default(&subscriber_on(&auditor, gone), || tracing::info!("nobody reads it"));
    auditor.shutdown_blocking(SOON);
    let begin = Instant::now();
    while auditor.counters().dropped_log_lines < 1 {
        assert!(begin.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(auditor.counters().dropped_log_lines, 1);
}

#[test]
fn a_sink_of_ordinary_lines_that_fails_or_panics_is_tried_again_and_loses_none() {
    let (auditor, _records) = started(Auditor::builder());
    let (mut lines, logs) = sink::memory();
    let mut calls = 0;
    let moody = sink_fn(move |batch: &[u8]| {
        calls += 1;
        match calls {
            1 => Err(io::Error::other("not now")),
            2 => panic!("as it does now and then"),
            _ => sink::Sink::write(&mut lines, batch).map(drop),
        }
    });
    dispatcher::with_default(&subscriber_on(&auditor, moody), || tracing::info!("kept"));
    let begin = Instant::now();
    while logs.lines().is_empty() {
        assert!(begin.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    auditor.shutdown_blocking(SOON);
    assert_eq!(parse(&logs.text())["message"], "kept");
    assert_eq!(auditor.counters().dropped_log_lines, 0);
}

#[test]
fn ordinary_lines_never_reach_a_file_of_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let auditor = Auditor::builder().sink(sink::file(&path).open().unwrap()).build().unwrap();
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(auditor.log_layer()));
    dispatcher::with_default(&subscriber, || tracing::info!("a line that the harness of the tests shows"));
    auditor.begin_unlisted("Work").try_emit().unwrap();
    auditor.shutdown_blocking(SOON);
    let names: Vec<_> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| parse(line)["eventName"].clone()).collect();
    assert_eq!(names, ["AuditStarted", "Work", "AuditStopped"]);
}

#[test]
fn our_own_diagnostics_do_not_come_round() {
    let layer: Arc<OnceLock<Dispatch>> = Arc::default();
    let works = Arc::new(AtomicBool::new(false));
    let attempts = Arc::new(AtomicU64::new(0));
    let written = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let (layer, works, attempts, written) = (layer.clone(), works.clone(), attempts.clone(), written.clone());
        sink_fn(move |lines: &[u8]| {
            if let Some(layer) = layer.get() {
                // The thread keeps it: what is told about the failure goes through it as well.
                thread_local!(static SUBSCRIBED: std::cell::OnceCell<tracing::subscriber::DefaultGuard> = const { std::cell::OnceCell::new() });
                SUBSCRIBED.with(|subscribed| {
                    subscribed.get_or_init(|| dispatcher::set_default(layer));
                });
            }
            tracing::error!("a sink that logs whatever it writes");
            attempts.fetch_add(1, Ordering::Relaxed);
            if !works.load(Ordering::Relaxed) {
                return Err(io::Error::other("it always fails"));
            }
            written.lock().unwrap().extend_from_slice(lines);
            Ok(())
        })
    };
    let auditor = Auditor::builder().sink(sink).build().unwrap();
    let (subscriber, logs) = subscriber(&auditor);
    layer.set(subscriber.clone()).unwrap();
    dispatcher::with_default(&subscriber, || tracing::info!("one line"));
    // Of our own target, but from a thread that is not ours: a resolver of the application panicked, say.
    dispatcher::with_default(&subscriber, || tracing::warn!(target: "tower_audit", "another"));
    let begin = Instant::now();
    while attempts.load(Ordering::Relaxed) < 6 {
        assert!(begin.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    works.store(true, Ordering::Relaxed);
    auditor.shutdown_blocking(SOON);
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert!(written.lines().map(parse).all(|line| line["isAuditLog"] == true));
    let lines: Vec<Value> = logs.lines().iter().map(|line| parse(line)).collect();
    assert_eq!(lines.iter().map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>(), ["one line", "another"]);
    assert_eq!(auditor.counters().dropped_log_lines, 0);
}

#[test]
fn two_auditors_can_share_a_subscriber() {
    let (one, _records) = started(Auditor::builder());
    let (two, _records_too) = started(Auditor::builder());
    let (first, first_logs) = sink::memory();
    let (second, second_logs) = sink::memory();
    let layers = tracing_subscriber::registry().with(one.log_layer_to(first)).with(two.log_layer_to(second));
    dispatcher::with_default(&Dispatch::new(layers), || {
        let _span = tracing::info_span!("span", a = 1).entered();
        tracing::info!("both");
    });
    drop((one, two));
    for logs in [first_logs, second_logs] {
        assert_eq!(parse(&logs.text())["spans"], json!([{"name": "span", "fields": {"a": 1}}]));
    }
}

#[test]
fn a_record_that_becomes_an_event_does_not_become_an_ordinary_line() {
    let (lines, records) = sink::memory();
    let layer: Arc<OnceLock<Dispatch>> = Arc::default();
    let subscribed = {
        let layer = layer.clone();
        let mut events = sink::tracing();
        sink_fn(move |lines: &[u8]| {
            let subscriber = layer.get().cloned().unwrap_or_default();
            dispatcher::with_default(&subscriber, || sink::Sink::write(&mut events, lines)).map(drop)
        })
    };
    let auditor = Auditor::builder().sink(lines).sink(Output::new(subscribed).required()).build().unwrap();
    let (subscriber, logs) = subscriber(&auditor);
    layer.set(subscriber).unwrap();
    auditor.begin_unlisted("Work").try_emit().unwrap();
    auditor.shutdown_blocking(SOON);
    assert_eq!(records.lines().len(), 3);
    assert_eq!(logs.lines(), [""; 0]);
}

#[test]
fn the_record_of_the_start_comes_before_the_first_ordinary_line() {
    const CHILD: &str = "TOWER_AUDIT_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let auditor = Auditor::builder().sink(sink::stdout().unwrap()).build().unwrap();
        let subscriber = Dispatch::new(tracing_subscriber::registry().with(auditor.log_layer()));
        dispatcher::with_default(&subscriber, || tracing::info!("at once"));
        auditor.shutdown_blocking(SOON);
        return;
    }
    let test = "the_record_of_the_start_comes_before_the_first_ordinary_line";
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The harness writes to the same stream.
    let lines: Vec<Value> = text.lines().filter_map(|line| line.find('{').map(|at| parse(&line[at..]))).collect();
    let what: Vec<_> = lines.iter().map(|line| line.get("eventName").unwrap_or(&line["message"])).collect();
    assert_eq!(what[0], "AuditStarted", "{text}");
    let mut rest: Vec<_> = what[1..].iter().map(|what| what.as_str().unwrap()).collect();
    rest.sort_unstable();
    assert_eq!(rest, ["AuditStopped", "at once"], "{text}");
}
