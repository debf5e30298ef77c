//! What redacting a body costs, alone: `cargo bench --features __fuzzing --bench redaction`; `-- --quick` in seconds.
//!
//! One thread, a body in, the text of its record out, by the full default rules: parsed strictly, every key judged, every
//! string looked into, secrets masked and remembered. Beside it, in the same interleaved rounds, what the same body costs
//! to copy, to parse with `serde_json`, and to redact by hand as a tree. `-- --once N [body]` redacts the 330 B body, or the
//! one of that name, N times and nothing else, for callgrind.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use support::workload::{BODY, Shape, shapes};
use support::{asked, machine, median, thread_cpu};
use tower_audit::Redactor;
use tower_audit::fuzzing::redacted_json;

fn main() {
    let redactor = Redactor::default();
    if let Some((times, body)) = once() {
        (0..times).for_each(|_| drop(black_box(redacted_json(&redactor, black_box(&body)))));
        return;
    }
    let rounds = if asked().quick { 15 } else { 200 };
    let ways: [Way<'_>; 4] = [
        ("copied", &|body| drop(black_box(black_box(body).to_owned()))),
        ("parsed by serde_json", &|body| drop(black_box(serde_json::from_str::<Value>(black_box(body))))),
        ("redacted by hand: parsed, walked, written", &|body| drop(black_box(by_hand(black_box(body))))),
        ("redacted here", &|body| drop(black_box(redacted_json(&redactor, black_box(body.as_bytes()))))),
    ];
    let tree = |text: Option<String>| text.map(|text| serde_json::from_str::<Value>(&text).expect("both write JSON"));
    let ours = tree(redacted_json(&redactor, BODY.as_bytes()));
    assert_eq!(ours, tree(by_hand(BODY)), "both ways must do the same work");

    println!("{}\n\n| the 330 B body | ns |\n|---|---|", machine());
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for ((_, way), times) in ways.iter().zip(&mut times) {
            times.push(time(|| way(BODY)));
        }
    }
    for ((name, _), times) in ways.iter().zip(times) {
        println!("| {name} | {:.0} |", median(times));
    }

    println!("\n| body | bytes | ns | ns a byte |\n|---|---|---|---|");
    let shapes = shapes();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); shapes.len()];
    for _ in 0..rounds {
        for (Shape { body, .. }, times) in shapes.iter().zip(&mut times) {
            times.push(time(|| drop(black_box(redacted_json(&redactor, black_box(body))))));
        }
    }
    for (Shape { name, body }, times) in shapes.iter().zip(times) {
        let time = median(times);
        println!("| {name} | {} | {time:.0} | {:.2} |", body.len(), time / body.len() as f64);
    }
}

/// A way to treat a body, and its name.
type Way<'a> = (&'a str, &'a dyn Fn(&str));

/// How often which body, if only one is asked for.
fn once() -> Option<(u32, Bytes)> {
    let mut args = std::env::args().skip_while(|arg| arg != "--once");
    let times = args.nth(1)?.parse().ok()?;
    let shape = args.next().and_then(|name| shapes().into_iter().find(|shape| shape.name == name));
    Some((times, shape.map_or(Bytes::from_static(BODY.as_bytes()), |shape| shape.body)))
}

/// Nanoseconds for one, of as many as take some tenths of a millisecond.
fn time(one: impl Fn()) -> f64 {
    const LEAST: Duration = Duration::from_micros(300);
    // Of this thread: others are not on the clock.
    let began = thread_cpu();
    let mut count = 0_u32;
    while thread_cpu() - began < LEAST {
        (0..16).for_each(|_| one());
        count += 16;
    }
    (thread_cpu() - began).as_nanos() as f64 / f64::from(count)
}

/// As it is written by hand today: a tree, a list of names, and the tree's text.
fn by_hand(body: &str) -> Option<String> {
    fn mask(value: &mut Value, all: bool) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let key = key.to_lowercase();
                    let is_secret = ["password", "token", "secret"].iter().any(|word| key.contains(word));
                    mask(value, all || is_secret);
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| mask(element, all)),
            other if all => *other = Value::String("***".to_owned()),
            _ => {}
        }
    }
    let mut tree = serde_json::from_str(body).ok()?;
    mask(&mut tree, false);
    serde_json::to_string(&tree).ok()
}
