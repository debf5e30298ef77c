//! Container logs, as a Kubernetes runtime writes and rotates them: each line has a prefix, and is cut at 16 KiB.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::arrived::{gaps, lines};
use crate::hub::Hub;
use crate::imitations;
use crate::programs::{Forwarder, Place, Program};
use crate::{LONG_LINES, REQUESTS, same, with_each};

/// What containerd and CRI-O keep of a line in one piece.
const PIECE: usize = 16 * 1024;

/// The log of one container.
struct ContainerLog {
    folder: PathBuf,
    rotations: usize,
}

impl ContainerLog {
    fn new(place: &Place) -> Self {
        let folder = place.path("pods/hub_developer-hub-0_8a3c/hub");
        fs::create_dir_all(&folder).unwrap();
        File::create(folder.join("0.log")).unwrap();
        Self { folder, rotations: 0 }
    }

    fn write(&self, lines: &[Vec<u8>]) {
        let mut text = Vec::new();
        for line in lines {
            let mut pieces = line.chunks(PIECE).peekable();
            while let Some(piece) = pieces.next() {
                let tag = if pieces.peek().is_some() { "P" } else { "F" };
                text.extend(format!("2026-11-20T07:55:37.720973123Z stdout {tag} ").bytes());
                text.extend(piece);
                text.push(b'\n');
            }
        }
        File::options().append(true).open(self.folder.join("0.log")).unwrap().write_all(&text).unwrap();
    }

    /// As the kubelet does: renames, and lets the runtime open a new file.
    fn rotate(&mut self) {
        self.rotations += 1;
        let renamed = format!("0.log.20261120-0756{:02}", self.rotations);
        fs::rename(self.folder.join("0.log"), self.folder.join(renamed)).unwrap();
        File::create(self.folder.join("0.log")).unwrap();
    }
}

/// Everything that the application prints under load, with imitations among it, without newlines.
fn printed(settings: &[(&str, &str)], large: &[usize]) -> Vec<Vec<u8>> {
    let mut hub = Hub::start(Stdio::piped(), settings);
    let stdout = BufReader::new(hub.stdout());
    let reader = std::thread::spawn(move || stdout.split(b'\n').map(Result::unwrap).collect::<Vec<_>>());
    hub.load(REQUESTS, || {
        for bytes in large {
            hub.ask(&imitations::large_request(*bytes));
        }
    });
    hub.stop();
    let mut imitations = imitations::lines().into_iter().cycle();
    let line_and_imitation = |line| [line, imitations.next().expect("it begins again")];
    reader.join().unwrap().into_iter().flat_map(line_and_imitation).collect()
}

/// The audit lines among them, with newlines.
fn audit<'l>(lines: impl IntoIterator<Item = &'l Vec<u8>>) -> Vec<u8> {
    // Imitations with this key on top are known by what they lack.
    let is_record = |line: &&Vec<u8>| {
        serde_json::from_slice::<Value>(line)
            .is_ok_and(|json| json["isAuditLog"] == true && json["instance"].is_string())
    };
    lines.into_iter().filter(is_record).flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

#[test]
fn a_container_log_that_is_rotated_is_kept_whole() {
    let printed = printed(&[], &[]);
    with_each(&Program::ALL, |program| {
        let place = Place::new();
        let mut log = ContainerLog::new(&place);
        let forwarder = Forwarder::start(program, "containers", &place);
        let mut written = Vec::new();
        for part in printed.chunks(printed.len() / 4) {
            log.write(part);
            let before = written.len();
            written.extend(audit(part));
            // A forwarder has to know a file before it is renamed. syslog-ng leaves what it has not read by then.
            let read = if program == Program::SyslogNg { written.len() } else { before + 1 };
            place.until("what has to be read", |place| place.audit().len() >= read);
            log.rotate();
        }
        place.until("all lines", |place| place.audit().len() >= written.len());
        forwarder.stop();
        same(&place.audit(), &written, "audit");
    });
}

#[test]
fn what_is_rotated_away_while_a_forwarder_is_stopped_shows_as_a_gap() {
    let printed = printed(&[], &[]);
    with_each(&[Program::Rsyslog, Program::SyslogNg], |program| {
        let place = Place::new();
        let mut log = ContainerLog::new(&place);
        let forwarder = Forwarder::start(program, "containers", &place);
        let (before, rest) = printed.split_at(printed.len() / 3);
        let (missed, after) = rest.split_at(rest.len() / 2);
        log.write(before);
        place.until("what is written so far", |place| place.audit().len() >= audit(before).len());
        forwarder.stop();
        log.write(missed);
        log.rotate();
        log.write(after);
        let forwarder = Forwarder::start(program, "containers", &place);
        let arrives = audit(before.iter().chain(after));
        place.until("all other lines", |place| place.audit().len() >= arrives.len());
        forwarder.stop();
        same(&place.audit(), &arrives, "audit");
        let missing: Vec<u64> = gaps(&place.audit()).into_iter().map(|(_, seq)| seq).collect();
        let seq = |line: &&[u8]| serde_json::from_slice::<Value>(line).unwrap()["seq"].as_u64().unwrap();
        assert_eq!(missing, lines(&audit(missed)).iter().map(seq).collect::<Vec<_>>());
    });
}

#[test]
fn a_line_that_the_runtime_cuts_is_joined_or_kept_apart_in_pieces_and_missing_by_its_number() {
    let printed = printed(&LONG_LINES, &[16 * 1024, 64 * 1024, 256 * 1024]);
    let (long, short): (Vec<_>, Vec<_>) = printed.iter().partition(|line| line.len() > PIECE);
    let long = audit(long);
    assert!(lines(&long).len() >= 3, "no line is long enough");
    with_each(&Program::ALL, |program| {
        let place = Place::new();
        let log = ContainerLog::new(&place);
        log.write(&printed);
        let forwarder = Forwarder::start(program, "containers", &place);
        let joins = matches!(program, Program::Vector | Program::FluentBit);
        let arrives = if joins { audit(&printed) } else { audit(short.iter().copied()) };
        place.until("all lines", |place| place.audit().len() >= arrives.len());
        if !joins {
            let long_in_pieces = long.len();
            place.until("all pieces", |place| place.rest().len() >= long_in_pieces);
        }
        forwarder.stop();
        same(&place.audit(), &arrives, "audit");
        if !joins {
            let mut missing = gaps(&place.audit());
            missing.sort();
            let mut numbers = crate::arrived::positions(&long);
            numbers.sort();
            assert_eq!(missing, numbers);
            for line in lines(&long) {
                for piece in line.strip_suffix(b"\n").unwrap_or(line).chunks(PIECE) {
                    assert!(memchr::memmem::find(&place.rest(), piece).is_some(), "a piece is missing");
                }
            }
        }
    });
}
