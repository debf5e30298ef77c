//! What was written, what arrived, and what is missing or there twice.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::imitations;

/// The lines that went to the forwarder, by what they are.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) audit: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

/// Copies the application's standard output to a file, line by line, with an imitation after every third line.
pub(crate) fn mix(stdout: impl Read + Send + 'static, path: PathBuf) -> JoinHandle<Written> {
    thread::spawn(move || {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        let mut imitations = imitations::lines().into_iter().cycle();
        let mut written = Written::default();
        for (number, line) in BufReader::new(stdout).split(b'\n').enumerate() {
            let mut line = line.unwrap();
            line.push(b'\n');
            let is_record = serde_json::from_slice::<Value>(&line).unwrap()["isAuditLog"] == true;
            if is_record { &mut written.audit } else { &mut written.rest }.extend(&line);
            if number % 3 == 0 {
                let mut imitation = imitations.next().expect("it begins again");
                imitation.push(b'\n');
                written.rest.extend(&imitation);
                line.extend(imitation);
            }
            file.write_all(&line).unwrap();
        }
        // Each kept line is a record that the application wrote, and it wrote `seq` without a gap.
        assert!(gaps(&written.audit).is_empty());
        written
    })
}

/// Whole lines, with their newlines.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The first of each line, in order: what remains when what was delivered twice is removed.
pub(crate) fn without_repetitions(text: &[u8]) -> Vec<u8> {
    let mut seen = HashSet::new();
    lines(text).into_iter().filter(|line| seen.insert(*line)).flatten().copied().collect()
}

/// The run and the number of each record.
pub(crate) fn positions(text: &[u8]) -> Vec<(String, u64)> {
    let position = |line: &[u8]| {
        let record: Value = serde_json::from_slice(line).expect("a kept line is whole");
        (record["instance"].as_str().unwrap().to_owned(), record["seq"].as_u64().unwrap())
    };
    lines(text).into_iter().map(position).collect()
}

/// The numbers that are missing, of each run, between 1 and the last that arrived.
pub(crate) fn gaps(text: &[u8]) -> Vec<(String, u64)> {
    let mut runs: BTreeMap<String, HashSet<u64>> = BTreeMap::new();
    for (instance, seq) in positions(text) {
        runs.entry(instance).or_default().insert(seq);
    }
    let missing = |(instance, seen): (String, HashSet<u64>)| {
        let last = seen.iter().copied().max().unwrap_or_default();
        (1..=last).filter(move |seq| !seen.contains(seq)).map(move |seq| (instance.clone(), seq)).collect::<Vec<_>>()
    };
    runs.into_iter().flat_map(missing).collect()
}
