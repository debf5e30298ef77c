//! Real forwarders, with the configurations of `examples/forwarders`, keep the audit lines of a real application byte for byte.
//!
//! rsyslog, syslog-ng, Vector and Fluent Bit are found where Debian installs them, or through `RSYSLOGD`, `SYSLOG_NG`, `VECTOR`
//! and `FLUENT_BIT`. A program that is missing is skipped, and the test says so. Nothing here listens but the example, on
//! 127.0.0.1.
//!
//! A forwarder that is stopped stays so until the test has seen what that does. With `FORWARDER_STOP_SECONDS=60` it stays so
//! for a minute.
#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "says which programs are missing")]

#[path = "../common/check.rs"]
mod check;

mod arrived;
mod container;
mod hub;
mod imitations;
mod manifests;
mod programs;
mod searches;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use arrived::{Written, gaps, lines, mix, positions, without_repetitions};
use hub::{CLIENTS, Hub};
use programs::{Forwarder, Place, Program, least_stop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const REQUESTS: usize = 1_000;

/// Lines as long as those of a large body, which nobody shortens.
const LONG_LINES: [(&str, &str); 2] =
    [("TOWER_AUDIT_MAX_LINE_BYTES", "384KiB"), ("TOWER_AUDIT_MAX_BODY_BYTES", "384KiB")];

/// Runs this with each program that can be had.
fn with_each(programs: &[Program], run: impl Fn(Program)) {
    for program in programs.iter().copied().filter(|program| program.find().is_some()) {
        println!("{}", program.name());
        run(program);
    }
}

/// Waits until everything has arrived, stops the forwarder, and compares every byte.
fn all_arrived(place: &Place, forwarder: Forwarder, written: &Written) {
    place.until("all lines", |place| {
        place.audit().len() >= written.audit.len() && place.rest().len() >= written.rest.len()
    });
    forwarder.stop();
    same(&place.audit(), &written.audit, "audit");
    same(&place.rest(), &written.rest, "other");
}

/// Compares whole files, and shows only where they differ.
fn same(arrived: &[u8], written: &[u8], kind: &str) {
    let (arrived, written) = (lines(arrived), lines(written));
    for (number, (arrived, written)) in arrived.iter().zip(&written).enumerate() {
        let (arrived, written) = (String::from_utf8_lossy(arrived), String::from_utf8_lossy(written));
        assert_eq!(arrived, written, "{kind} line {number}");
    }
    assert_eq!(arrived.len(), written.len(), "{kind} lines");
}

/// A stop of a forwarder: it lasts until this has happened, and as long as is asked for.
fn stopped(until: impl FnOnce()) {
    let began = Instant::now();
    until();
    // The length is what is tested.
    std::thread::sleep(least_stop().saturating_sub(began.elapsed()));
}

// ---------------------------------------------------------------------------------------------------------------------
// From a file
// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn each_forwarder_keeps_exactly_the_audit_lines_of_a_loaded_application() {
    with_each(&Program::ALL, |program| {
        let place = Place::new();
        let mut hub = Hub::start(Stdio::piped(), &LONG_LINES);
        let mixed = mix(hub.stdout(), place.stdout());
        let forwarder = Forwarder::start(program, "file", &place);
        hub.load(REQUESTS, || {
            for kibibytes in [16, 64, 256] {
                hub.ask(&imitations::large_request(kibibytes * 1024));
            }
        });
        hub.stop();
        let written = mixed.join().unwrap();
        for kibibytes in [16, 64, 256] {
            let length = kibibytes * 1024..kibibytes * 1024 * 3 / 2;
            assert!(
                lines(&written.audit).iter().any(|line| length.contains(&line.len())),
                "no line of {kibibytes} KiB"
            );
        }
        all_arrived(&place, forwarder, &written);
    });
}

#[test]
fn a_forwarder_that_is_slow_stops_and_starts_again_misses_nothing_and_repeats_nothing() {
    // What Vector and Fluent Bit promise is less: at least once.
    with_each(&[Program::Rsyslog, Program::SyslogNg], |program| {
        let place = Place::new();
        let mut hub = Hub::start(Stdio::piped(), &[]);
        let mixed = mix(hub.stdout(), place.stdout());
        let mut forwarder = Forwarder::start(program, "file", &place);
        for _ in 0..3 {
            hub.load(REQUESTS / 4, || forwarder.signal("STOP"));
            forwarder.signal("CONT");
            let mut stopped = Some(forwarder);
            hub.load(REQUESTS / 4, || stopped.take().expect("half comes once").stop());
            forwarder = Forwarder::start(program, "file", &place);
        }
        hub.stop();
        all_arrived(&place, forwarder, &mixed.join().unwrap());
    });
}

#[test]
fn a_forwarder_that_stops_while_the_application_goes_on_writing_catches_up() {
    with_each(&[Program::Rsyslog, Program::SyslogNg], |program| {
        let place = Place::new();
        let mut hub = Hub::start(Stdio::piped(), &[]);
        let mixed = mix(hub.stdout(), place.stdout());
        let forwarder = Forwarder::start(program, "file", &place);
        hub.load(REQUESTS / 4, || ());
        forwarder.signal("STOP");
        // Unread are more bytes than any forwarder takes at once.
        let behind = || place.until("lines that nobody reads", |place| place.unread() > 1 << 20);
        let ((), answers) = hub.load_during(|| {
            stopped(behind);
            forwarder.signal("CONT");
        });
        hub.load(REQUESTS / 4, || ());
        forwarder.stop();
        let (forwarder, more_answers) = hub.load_during(|| {
            stopped(behind);
            Forwarder::start(program, "file", &place)
        });
        hub.stop();
        let written = mixed.join().unwrap();
        all_arrived(&place, forwarder, &written);
        println!(
            "paused, then stopped, each {} s or more while lines were written, {} requests: {} audit lines and {} others \
             written, all kept byte for byte, none twice, in order",
            least_stop().as_secs(),
            answers + more_answers + REQUESTS / 2,
            lines(&written.audit).len(),
            lines(&written.rest).len()
        );
    });
}

#[test]
fn a_killed_forwarder_delivers_each_line_at_least_once_and_whole() {
    with_each(&Program::ALL, |program| {
        let place = Place::new();
        let mut hub = Hub::start(Stdio::piped(), &[]);
        let mixed = mix(hub.stdout(), place.stdout());
        let mut forwarder = Some(Forwarder::start(program, "file", &place));
        for _ in 0..3 {
            hub.load(REQUESTS / 3, || forwarder.take().expect("it runs").kill(&place));
            forwarder = Some(Forwarder::start(program, "file", &place));
        }
        hub.stop();
        let written = mixed.join().unwrap();
        place.until("each line", |place| without_repetitions(&place.audit()).len() >= written.audit.len());
        forwarder.expect("it runs").stop();
        same(&without_repetitions(&place.audit()), &written.audit, "audit");
    });
}

#[test]
fn a_log_file_that_is_renamed_is_read_to_its_end() {
    with_each(&Program::ALL, |program| {
        let place = Place::new();
        let mut hub = Hub::start(Stdio::piped(), &[]);
        let lines_before = mix(hub.stdout(), place.stdout());
        let forwarder = Forwarder::start(program, "file", &place);
        hub.load(REQUESTS / 2, || ());
        hub.stop();
        let mut written = lines_before.join().unwrap();
        // A forwarder has to know a file before it is renamed. syslog-ng leaves what it has not read by then.
        let (audit, rest) =
            if program == Program::SyslogNg { (written.audit.len(), written.rest.len()) } else { (1, 0) };
        place.until("what has to be read", |place| place.audit().len() >= audit && place.rest().len() >= rest);
        fs::rename(place.stdout(), place.path("in/stdout.log.1")).unwrap();
        let mut hub = Hub::start(Stdio::piped(), &[]);
        let lines_after = mix(hub.stdout(), place.stdout());
        hub.load(REQUESTS / 2, || ());
        hub.stop();
        let after = lines_after.join().unwrap();
        written.audit.extend(after.audit);
        written.rest.extend(after.rest);
        all_arrived(&place, forwarder, &written);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// From a pipe
// ---------------------------------------------------------------------------------------------------------------------

/// Waits for room for ten minutes before a request is refused, and has little of it.
const FULL_SOON: [(&str, &str); 2] = [("TOWER_AUDIT_QUEUE_RECORDS", "64"), ("TOWER_AUDIT_ADMISSION_TIMEOUT", "10m")];

/// Reads and writes: the application is its own reader, and a forwarder that ends does not break the pipe.
fn pipe(place: &Place) -> File {
    let path = place.path("in/stdout.pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    File::options().read(true).write(true).open(path).unwrap()
}

/// Waits until the next write to the pipe blocks.
fn full(place: &Place, pipe: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    place.until("a full pipe", |_| poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&now)).unwrap() == 0);
}

/// Waits until the forwarder has taken everything and written it: a marker that was written last arrives. The application
/// must not be writing: its large writes are not atomic, and the marker would cut a line.
fn caught_up(place: &Place, pipe: &File, marker: &str) {
    use std::io::Write as _;
    let mut pipe = pipe;
    pipe.write_all(format!("{marker}\n").as_bytes()).unwrap();
    let marker = format!("\n{marker}\n");
    place.until("the marker", |place| memchr::memmem::find(&place.rest(), marker.as_bytes()).is_some());
}

#[test]
fn a_forwarder_that_stops_with_the_pipe_full_delays_requests_and_misses_nothing() {
    with_each(&[Program::SyslogNg, Program::Vector], |program| {
        let place = Place::new();
        let pipe = pipe(&place);
        let hub = Hub::start(pipe.try_clone().unwrap(), &FULL_SOON);
        let forwarder = Forwarder::start(program, "pipe", &place);
        let stuck = || {
            full(&place, &pipe);
            place.until("a request of each client that waits", |_| hub.waiting() >= CLIENTS as u64);
        };
        forwarder.signal("STOP");
        let ((), answers) = hub.load_during(|| {
            stopped(stuck);
            forwarder.signal("CONT");
        });
        hub.load(REQUESTS, || ());
        // It is stopped while it holds nothing, and started when the pipe is full.
        hub.idle();
        hub.signal("STOP");
        caught_up(&place, &pipe, "caught up");
        forwarder.stop();
        hub.signal("CONT");
        let (forwarder, more_answers) = hub.load_during(|| {
            stopped(stuck);
            Forwarder::start(program, "pipe", &place)
        });
        hub.load(REQUESTS, || ());
        hub.stop();
        caught_up(&place, &pipe, "the end");
        forwarder.stop();
        // In order, without a gap, each of the application's records once and whole: see `check`.
        let records = check::lines(std::str::from_utf8(&place.audit()).unwrap());
        let last = records.last().unwrap();
        assert_eq!((&last["eventName"], &last["meta"]["lost"]), (&"AuditStopped".into(), &0.into()));
        assert_eq!(last["meta"]["written"], records.len());
        assert!(records.len() > 2 * REQUESTS, "{}", records.len());
        // Nothing that the application wrote elsewhere has the word.
        assert!(memchr::memmem::find(&place.rest(), b"isAuditLog").is_none());
        println!(
            "paused, then stopped, each {} s or more with the pipe full and {CLIENTS} requests waiting, {} requests: {} \
             records written, {} kept, none missing, none twice, in order",
            least_stop().as_secs(),
            answers + more_answers + 2 * REQUESTS,
            last["meta"]["written"],
            records.len()
        );
    });
}

#[test]
fn what_a_forwarder_has_read_from_a_pipe_and_loses_shows_as_a_gap() {
    with_each(&[Program::SyslogNg, Program::Vector], |program| {
        let place = Place::new();
        let pipe = pipe(&place);
        let hub = Hub::start(pipe.try_clone().unwrap(), &[]);
        let mut forwarder = Some(Forwarder::start(program, "pipe", &place));
        for _ in 0..3 {
            hub.load(REQUESTS / 3, || forwarder.take().expect("it runs").kill(&place));
            forwarder = Some(Forwarder::start(program, "pipe", &place));
        }
        hub.stop();
        caught_up(&place, &pipe, "the end");
        forwarder.expect("it runs").stop();
        let audit = place.audit();
        // What arrived is whole, in order and there once; what did not is a gap before the last line.
        let seqs: Vec<u64> = positions(&audit).into_iter().map(|(_, seq)| seq).collect();
        assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
        let last: serde_json::Value = serde_json::from_slice(lines(&audit).last().unwrap()).unwrap();
        assert_eq!(last["eventName"], "AuditStopped");
        assert_eq!(last["meta"]["written"].as_u64().unwrap(), (seqs.len() + gaps(&audit).len()) as u64);
        println!(
            "killed three times on a pipe: {} of {} records are missing",
            gaps(&audit).len(),
            last["meta"]["written"]
        );
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// The tools for those who run it
// ---------------------------------------------------------------------------------------------------------------------

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/forwarders").join(name)
}

#[test]
fn one_command_starts_the_example_a_forwarder_and_a_check_of_what_arrived() {
    with_each(&Program::ALL, |program| {
        let mut command = Command::new(example("check"));
        command.arg(program.name()).env("HUB", hub::binary());
        let output = command.env(program.variable(), program.find().expect("it was found before")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let (gaps, arrived) = said.trim_end().split_once('\n').expect("two lines");
        assert!(gaps.ends_with("0 missing, 0 twice, ended"), "{said}");
        assert!(arrived.contains("audit lines arrived byte for byte"), "{said}");
    });
}
