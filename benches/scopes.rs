//! Measures two look-ups: the rules of a scope, for each request, and the location of an address, for each record.
//! Run it with `cargo bench --features __fuzzing,geoip --bench scopes`. With `-- --quick`, it takes a few seconds.
//!
//! The look-up of rules is measured with 10 and with 10,000 rules, and with 10,000 rules while another thread changes the rules
//! without a pause. The location is looked up as on the worker thread, for addresses that were not looked up before, for an
//! address that is in the cache, and for a private address.
#![allow(clippy::print_stdout, reason = "the table is the result")]

#[path = "../tests/location/mmdb.rs"]
mod mmdb;
mod support;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::{asked, machine, median, thread_cpu};
use tower_audit::fuzzing::Locator;
use tower_audit::scope::{ScopeChange, ScopeRules, Scopes};
use tower_audit::{Actor, Auditor, Scope, sink};

const EVENT: &str = "PackagePublished";

fn main() {
    let (rounds, least_changes) = if asked().quick { (15, 5) } else { (200, 100) };
    println!("{}\n\n| rules of scopes | ns |\n|---|---|", machine());
    scopes(rounds, least_changes);
    println!("\n| location of an address | ns |\n|---|---|");
    locations(rounds);
}

/// 100 groups of 100 projects.
fn rules(count: usize) -> ScopeRules {
    let scopes: Vec<String> =
        (0..count).map(|at| format!("\"group-{}/project-{at}\":{}", at % 100, at % 2 == 0)).collect();
    let json = format!(r#"{{"default":false,"scopes":{{{}}}}}"#, scopes.join(","));
    ScopeRules::from_json(&json).expect("they are rules")
}

fn scopes(rounds: usize, least_changes: u64) {
    let asked: Vec<Scope> = (0..1024)
        .map(|at| at * 7919 % 10_000)
        .map(|at| Scope::group(format!("group-{}/project-{at}/x", at % 100)))
        .collect();
    for count in [10, 10_000] {
        let auditor = auditor(rules(count));
        row(&format!("{count} rules, a scope of three segments"), rounds, &look_up(&auditor.scopes(), &asked));
    }
    let auditor = auditor(rules(10_000));
    let (scopes, stop, changes) = (auditor.scopes(), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            while !stop.load(Ordering::Relaxed) {
                let change = ScopeChange::on(Scope::group("group-1"));
                runtime.block_on(scopes.change(Actor::user("jane"), change)).expect("it is recorded");
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (one, mut times) = (look_up(&scopes, &asked), Vec::new());
        // A change takes longer than many look-ups, so the changes are counted, not the rounds.
        while changes.load(Ordering::Relaxed) < least_changes {
            times.push(time(&one));
        }
        println!("| 10,000 rules, while {least_changes} changes are made | {:.0} |", median(times));
        stop.store(true, Ordering::Relaxed);
    });
}

fn auditor(rules: ScopeRules) -> Auditor {
    let (lines, _records) = sink::memory();
    Auditor::builder().sink(lines).scope_rules(rules).build().expect("an auditor")
}

fn look_up<'s>(scopes: &'s Scopes, asked: &'s [Scope]) -> impl Fn() + 's {
    let next = Cell::new(0);
    move || {
        let scope = &asked[next.replace((next.get() + 1) % asked.len())];
        black_box(scopes.is_audited(Some(black_box(scope)), EVENT));
    }
}

fn locations(rounds: usize) {
    let networks: Vec<String> = (0..16_384).map(|at| format!("81.{}.{}.0/24", at / 256, at % 256)).collect();
    let entries = networks.iter().map(|network| (network.as_str(), mmdb::city("London", "GB", "Europe")));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), mmdb::file("GeoLite2-City", entries)).expect("it is written");
    let locator = RefCell::new(Locator::open(file.path().to_owned()).expect("it is whole"));
    let next = Cell::new(0_u32);
    let unseen = || {
        // A step that comes back to an address only after all others.
        let at = next.replace(next.get().wrapping_add(7919) % (64 << 16));
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x5100_0000 + at));
        assert!(locator.borrow_mut().find(black_box(ip)));
    };
    row("of one that was not seen before", rounds, &unseen);
    let seen = || assert!(locator.borrow_mut().find(black_box(IpAddr::V4(Ipv4Addr::new(81, 2, 69, 142)))));
    row("of one that was", rounds, &seen);
    let private = || assert!(!locator.borrow_mut().find(black_box(IpAddr::V4(Ipv4Addr::new(10, 2, 69, 142)))));
    row("of a private one", rounds, &private);
    let redacted = |ip: [u8; 4]| locator.borrow_mut().redact(black_box(IpAddr::from(ip)));
    row("of one that was seen, with its redaction", rounds, &|| assert_eq!(redacted([81, 2, 69, 142]), 14));
    row("of a private one, with the redaction of nothing", rounds, &|| assert_eq!(redacted([10, 2, 69, 142]), 0));
}

fn row(name: &str, rounds: usize, one: &dyn Fn()) {
    let times: Vec<_> = (0..rounds).map(|_| time(one)).collect();
    println!("| {name} | {:.0} |", median(times));
}

/// Nanoseconds for one, of as many as take some tenths of a millisecond, of this thread.
fn time(one: &dyn Fn()) -> f64 {
    const LEAST: Duration = Duration::from_micros(300);
    let began = thread_cpu();
    let mut count = 0_u32;
    while thread_cpu() - began < LEAST {
        (0..64).for_each(|_| one());
        count += 64;
    }
    (thread_cpu() - began).as_nanos() as f64 / f64::from(count)
}
