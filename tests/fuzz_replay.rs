//! What fuzzing starts from, and mutations of it, through the functions of the fuzz targets, with no fuzzer: no panic, no
//! canary, valid output. `PROPTEST_CASES` sets how many mutations each target gets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fmt, fs};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use tower_audit::fuzzing::TARGETS;

/// Mutations of each target, unless said otherwise.
const CASES: u32 = 512;

/// Pieces that mean something to some parser.
const PIECES: &[&str] = &[
    "password",
    "token",
    "secrets",
    "name",
    "value",
    "key",
    "\"",
    "\\",
    "\\u0061",
    "\\ud83d",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "=",
    "&",
    "%",
    "%25",
    "%3D",
    "%22",
    "+",
    "?",
    "#",
    "/",
    "<",
    "</a>",
    "<![CDATA[",
    "]]>",
    "<!--",
    ">",
    "'",
    "\r\n",
    "--x",
    "; ",
    "eyJ",
    "eyJhIjoxfQ.e30.x",
    "ghp_",
    "AKIAIOSFODNN7EXAMPLE",
    "4111 1111 1111 1111",
    "-----BEGIN ",
    "http://",
    "@",
    "Bearer ",
    "\u{feff}",
    "\u{2028}",
    "é",
    "\0",
    "***",
    "~1",
    "1e400",
    "00-",
    "for=",
    "::1",
    "KiB",
    "_",
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/tests/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// As a byte string that can be copied into a seed.
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Replace(Index, u8),
    Repeat(Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes =
        prop_oneof![4 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)];
    prop_oneof![
        8 => (any::<Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 1_usize..8).prop_map(|(at, len)| Change::Remove(at, len)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        1 => (any::<Index>(), 2_usize..80).prop_map(|(at, times)| Change::Repeat(at, times)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn changed(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let end = input.len();
        match change {
            Change::Insert(at, bytes) => {
                let at = at.index(end + 1);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, len) => {
                let at = at.index(end + 1);
                input.drain(at..(at + len).min(end));
            }
            Change::Replace(at, byte) if end > 0 => input[at.index(end)] = *byte,
            Change::Replace(..) => {}
            Change::Repeat(at, times) => {
                let at = at.index(end + 1);
                let piece = input[at..(at + 6).min(end)].repeat(*times);
                input.splice(at..at, piece);
            }
            Change::Cut(at) => input.truncate(at.index(end + 1)),
        }
    }
    input
}

#[test]
fn every_seed_passes() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| target(seed));
        target(b"");
        // Whatever the rules.
        seeds.iter().flat_map(|seed| (0..32).map(|kind| [&[kind], &seed[1..]].concat())).for_each(|seed| target(&seed));
    }
}

#[test]
fn every_mutation_passes() {
    let cases = std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    for (name, target) in TARGETS {
        let inputs =
            (select(seeds(name)), vec(change(), 1..12)).prop_map(|(seed, changes)| Input(changed(seed, &changes)));
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&inputs, |input| {
            target(&input.0);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
