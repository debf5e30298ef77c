//! A chaos test: clients of every kind on real sockets, handlers that panic, fail and never answer, all delivery classes at
//! once, and sinks that take parts, fail, panic, hang, die and come back. A checker compares what clients and handlers saw
//! with the records.
//!
//! `TOWER_AUDIT_CHAOS_REQUESTS` is the number of requests, `TOWER_AUDIT_CHAOS_SEED` repeats a run: the same requests meet
//! the same sinks, in another schedule. `TOWER_AUDIT_CHAOS_ROUND` repeats one round of it.
//! `.ci/chaos` runs more than a million.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "the seed, without which a run cannot be repeated")]

mod checker;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod outcome;
mod plan;
mod server;
mod sinks;

use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use checker::{Round, Summary};
use ledger::Ledger;
use plan::{Plan, Random};
use server::{Handlers, Running, Server};
use sinks::{AS_PLANNED, HastyClock, Sinks, Witness};
use tokio::task::JoinSet;
use tower_audit::Auditor;

/// The number of connections at a time.
const SESSIONS: usize = 48;
/// The number of faults after which a run ends.
const MAX_FAULTS: usize = 20;

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Keeps planned panics out of the output.
fn quietly() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
        if text != Some(AS_PLANNED) {
            before(info);
        }
    }));
}

#[test]
fn what_clients_and_handlers_saw_is_what_is_recorded() {
    quietly();
    let seed = setting("TOWER_AUDIT_CHAOS_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let requests: usize = setting("TOWER_AUDIT_CHAOS_REQUESTS").unwrap_or(4000);
    println!("TOWER_AUDIT_CHAOS_SEED={seed} TOWER_AUDIT_CHAOS_REQUESTS={requests}");
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let mut total = Summary::default();
    // Constant, so that a round is the same at every scale.
    const ROUND: usize = 1000;
    let only: Option<usize> = setting("TOWER_AUDIT_CHAOS_ROUND");
    for (at, first) in (0..requests).step_by(ROUND).enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at)) {
        let summary = runtime.block_on(round(seed, first as u64, ROUND.min(requests - first)));
        for fault in summary.faults.iter().take(MAX_FAULTS.saturating_sub(total.faults.len())) {
            println!("seed {seed}, round {at}: {fault}\n");
        }
        total.add(summary);
        if at % 20 == 19 {
            println!("{} requests in {:.0?}, {} faults", total.entered, began.elapsed(), total.faults.len());
        }
        if total.faults.len() > MAX_FAULTS {
            break;
        }
    }
    println!(
        "{} requests entered, {} records in the first sinks, {} lost and reported, {} refused, {} deaths of sinks, {} \
         of which came back, {:.0?}",
        total.entered,
        total.records,
        total.lost,
        total.refused,
        total.deaths,
        total.revivals,
        began.elapsed()
    );
    for (what, count) in &total.counts {
        println!("  {count:>8} {what}");
    }
    assert!(total.faults.is_empty(), "{} faults with seed {seed}", total.faults.len());
    // Otherwise the test could pass because nothing happened.
    if requests >= 4000 && only.is_none() {
        for outcome in ["completed", "aborted", "panicked", "handler_error", "timed_out", "body_error", "upgraded"] {
            assert!(total.counts.contains_key(&format!("outcome {outcome}")), "nothing was {outcome}");
        }
        assert!(total.entered > requests as u64 * 7 / 10, "most requests should come in: {}", total.entered);
    }
}

/// Runs one auditor, one server and one set of sinks with this number of requests, and checks them.
async fn round(seed: u64, first: u64, requests: usize) -> Summary {
    let random = &mut Random::of(seed, first ^ 0xc0ffee);
    // The log is stopped while requests come in.
    let stops_early = random.percent(8);
    let sinks = if stops_early { Sinks::calm(random) } else { Sinks::draw(random, requests) };
    let Sinks { witnesses, outputs, gate, retry_limit } = sinks;
    let required = witnesses.iter().filter(|witness| witness.required).cloned().collect();
    let ledger = Arc::new(Ledger::new(Plan::of(seed, first, requests), required));
    // Small limits, so that they are reached; in some rounds requests do not wait for room.
    let queue_records = random.pick(&[(2, 16), (2, 128), (1, 8192)]);
    let queue_bytes = random.pick(&[(1, 1024 * 1024), (2, 64 * 1024 * 1024)]);
    let is_patient = random.percent(75);
    let clock = HastyClock::default();
    let builder = Auditor::builder()
        .catalog(server::catalog())
        .queue_records(queue_records)
        .queue_bytes(queue_bytes)
        .admission_timeout(if is_patient { Duration::from_secs(600) } else { Duration::from_millis(5) })
        .clock(clock.clone())
        .sink_retry_limit(retry_limit)
        .on_sink_state(sinks::note_states(&witnesses));
    let running = Running::build(outputs.into_iter().fold(builder, |builder, output| builder.sink(output)));
    let (other, others_records) = server::other();
    let handlers = Handlers {
        ledger: ledger.clone(),
        auditor: running.auditor.clone(),
        other: other.auditor.clone(),
        kept: Arc::new(Mutex::default()),
    };
    let (kept, auditor) = (handlers.kept.clone(), running.auditor.clone());
    let server = Server::start(handlers).await;
    let hurry = tokio::spawn(hurry(clock, witnesses.clone()));
    let stop_at = if stops_early { random.below(ledger.plan.sessions.len()) } else { usize::MAX };
    let (mut running, mut stopped) = (Some(running), None);
    let mut sessions = JoinSet::new();
    for (at, session) in ledger.plan.sessions.clone().into_iter().enumerate() {
        if let Some(running) = running.take_if(|_| at == stop_at) {
            // Some requests are still open at that deadline.
            stopped = Some(tokio::spawn(running.stop(Duration::from_millis(200 + random.next() % 400))));
        }
        if sessions.len() >= SESSIONS {
            sessions.join_next().await.expect("there are some").unwrap();
        }
        sessions.spawn(clients::play(ledger.clone(), server.address, session));
    }
    while let Some(played) = sessions.join_next().await {
        played.unwrap();
    }
    server.stop().await;
    // Each stream of HTTP/2 has its own task, which may end later.
    common::eventually("every exchange ends", || auditor.counters().open == 0).await;
    kept.lock().unwrap().clear();
    gate.set(false);
    let report = match (running, stopped) {
        (Some(running), _) => running.stop(Duration::from_secs(120)).await,
        (None, Some(stopped)) => stopped.await.unwrap(),
        (None, None) => unreachable!("it is stopped once"),
    };
    let counters = auditor.counters();
    hurry.abort();
    let mut summary = Summary::default();
    other.stop(Duration::from_secs(60)).await;
    if others_records.lines().len() != 2 {
        summary.faults.push(format!("an inner layer recorded for itself: {}", others_records.text()));
    }
    let round = Round { ledger: &ledger, witnesses: &witnesses, report, counters, is_patient, stops_early, summary };
    let summary = round.check();
    if !summary.faults.is_empty() {
        println!(
            "stops_early {stops_early}, queue_records {queue_records}, queue_bytes {queue_bytes}, is_patient {is_patient}, {retry_limit:?}"
        );
        witnesses.iter().for_each(|witness| println!("{witness:?}"));
    }
    summary
}

/// Moves the clock forward while a sink is given up.
async fn hurry(clock: HastyClock, witnesses: Vec<Arc<Witness>>) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if witnesses.iter().any(|witness| witness.is_dead()) {
            clock.skip();
        }
    }
}
