//! What redacting a body costs, alone: `cargo bench --features __fuzzing --bench redaction`; `-- --quick` in seconds.
//!
//! One thread, a body in, the text of its record out, by the full default rules: parsed strictly, every key judged, every
//! string looked into, secrets masked and remembered. Beside it, in the same interleaved rounds, what the same body costs
//! to copy, to parse with `serde_json`, and to redact by hand, as a tree and streamed. `-- --once N [body]` redacts the 330 B body, or the
//! one of that name, N times and nothing else, for callgrind.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use support::workload::{BODY, Shape, shapes};
use support::{asked, machine, median, thread_cpu};
use tower_audit::fuzzing::Bench;

/// An ordinary error of 200 bytes without anything secret.
const ERROR: &str = "InputError: invalid entity reference 'component:default/artist-lookup' in step fetch:template (line 12, \
                     column 7): expected kind, namespace and name; see https://backstage.example.com/docs/features for the form\u{20}";

fn main() {
    let bench = RefCell::new(Bench::default());
    let redact = |body: &[u8]| {
        black_box(bench.borrow_mut().json(black_box(body)));
    };
    if let Some((times, body)) = once() {
        (0..times).for_each(|_| redact(&body));
        return;
    }
    let rounds = if asked().quick { 15 } else { 200 };
    let ways: [Way<'_>; 6] = [
        ("copied", &|body| drop(black_box(black_box(body).to_owned()))),
        ("parsed by serde_json", &|body| drop(black_box(serde_json::from_str::<Value>(black_box(body))))),
        ("redacted by hand: parsed, walked, written", &|body| drop(black_box(by_hand(black_box(body))))),
        ("redacted by hand: streamed", &|body| drop(black_box(streamed(black_box(body))))),
        ("redacted here", &|body| redact(body.as_bytes())),
        ("an error text of 200 bytes, redacted here", &|_| {
            black_box(bench.borrow_mut().text(black_box(ERROR)));
        }),
    ];
    let tree = |text: Option<String>| text.map(|text| serde_json::from_str::<Value>(&text).expect("both write JSON"));
    let ours = tree(Some(bench.borrow_mut().json(BODY.as_bytes()).to_owned()));
    assert_eq!(ours, tree(by_hand(BODY)), "all ways must do the same work");
    assert_eq!(ours, tree(streamed(BODY)), "all ways must do the same work");
    assert_eq!(bench.borrow_mut().text(ERROR), ERROR, "nothing in it is secret");

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
    let bodies: Vec<Vec<String>> = shapes.iter().map(with_new_keys).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); shapes.len()];
    for _ in 0..rounds {
        for (bodies, times) in bodies.iter().zip(&mut times) {
            let next = Cell::new(0);
            times.push(time(|| {
                let body = &bodies[next.replace((next.get() + 1) % bodies.len())];
                redact(body.as_bytes());
            }));
        }
    }
    for (Shape { name, body }, times) in shapes.iter().zip(times) {
        let time = median(times);
        println!("| {name} | {} | {time:.0} | {:.2} |", body.len(), time / body.len() as f64);
    }
    println!(
        "\n| different secrets in a body, all of which an error repeats | shape | ns | ns a secret |\n|---|---|---|---|"
    );
    let ways: [Secrets; 3] = [
        ("apart", |n| format!("s3cret-{n:05}"), " "),
        ("overlapping", |n| format!("{n:05}a1{n:05}"), ""),
        ("one within the next", |n| format!("s3cret{}", "x7".repeat(usize::from(n) % 16) + &n.to_string()), "x7x7"),
    ];
    for (shape, make, between) in ways {
        for count in [160_u16, 640, 2_560, 10_000] {
            let secrets: Vec<String> = (0..count).map(make).collect();
            let (body, error) = (format!(r#"{{"password":["{}"]}}"#, secrets.join(r#"",""#)), secrets.join(between));
            let shown = bench.borrow_mut().echoes(body.as_bytes(), &error).1.to_owned();
            assert!(!shown.contains(&secrets[1]), "they are remembered");
            let echoes = || {
                black_box(bench.borrow_mut().echoes(black_box(body.as_bytes()), black_box(&error)));
            };
            let time = median((0..rounds.min(15)).map(|_| time(echoes)));
            println!("| {count} | {shape} | {time:.0} | {:.0} |", time / f64::from(count));
        }
    }
}

/// The bodies of many keys, with others each time: more than are kept from one body to the next.
fn with_new_keys(shape: &Shape) -> Vec<String> {
    let body = String::from_utf8_lossy(&shape.body);
    let times = if body.contains("\"key0\"") || body.contains("\"token0\"") { 100 } else { 1 };
    let keys = |time: u32| (format!("\"k{time:02}"), format!("\"t{time:02}token"));
    (0..times).map(keys).map(|(key, token)| body.replace("\"key", &key).replace("\"token", &token)).collect()
}

/// A name, how a secret is made of its number, and what is between two of them.
type Secrets = (&'static str, fn(u16) -> String, &'static str);

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
                    mask(value, all || names_a_secret(key));
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

/// As it is written by hand where speed matters: from `serde_json`'s parser to the output, without a tree.
fn streamed(body: &str) -> Option<String> {
    let mut out = Vec::with_capacity(body.len());
    let mut parser = serde_json::Deserializer::from_str(body);
    Streamed { out: &mut out, masks: false }.deserialize(&mut parser).ok()?;
    parser.end().ok()?;
    String::from_utf8(out).ok()
}

fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["password", "token", "secret"].iter().any(|word| key.contains(word))
}

/// A value on its way from the parser to the output.
struct Streamed<'o> {
    out: &'o mut Vec<u8>,
    masks: bool,
}

impl Streamed<'_> {
    fn scalar<E: Error>(self, value: impl Serialize) -> Result<(), E> {
        let written =
            if self.masks { serde_json::to_writer(self.out, "***") } else { serde_json::to_writer(self.out, &value) };
        written.map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Streamed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Streamed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let begins = self.out.len();
        loop {
            let end = self.out.len();
            if end > begins {
                self.out.push(b',');
            }
            let element = Streamed { out: &mut *self.out, masks: self.masks };
            if elements.next_element_seed(element)?.is_none() {
                self.out.truncate(end);
                break;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let begins = self.out.len();
        while let Some(key) = members.next_key::<&'de str>()? {
            if self.out.len() > begins {
                self.out.push(b',');
            }
            serde_json::to_writer(&mut *self.out, key).map_err(A::Error::custom)?;
            self.out.push(b':');
            let masks = self.masks || names_a_secret(key);
            members.next_value_seed(Streamed { out: &mut *self.out, masks })?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
