//! Compression of sealed segments, and what a crash in the middle of it leaves.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;

use super::super::{Compress, file};
use super::{StoppedClock, names_in};
use crate::sink::Sink as _;

const SEGMENT: &str = "audit-20261120T101530.000000Z-0000000000000001.log";

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Waits for the thread; how long is no matter.
fn wait_until(folder: &Path, is_done: impl Fn(&[String]) -> bool) -> Vec<String> {
    loop {
        let names = names_in(folder);
        if is_done(&names) {
            return names;
        }
        std::thread::yield_now();
    }
}

#[test]
fn sealed_segments_are_compressed_beside_the_sink() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let sink = file(&path).rotate_bytes(4).compress(Compress::Gzip).clock(StoppedClock::new());
    let mut sink = sink.open().unwrap();
    sink.write(b"one\ntwo\nten\n").unwrap();
    let names =
        wait_until(folder.path(), |names| names.len() == 4 && names[..2].iter().all(|name| name.ends_with(".log.gz")));
    assert_eq!(unpacked(&folder.path().join(&names[0])), "one\n");
    assert_eq!(unpacked(&folder.path().join(&names[1])), "two\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(folder.path().join(&names[0])).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    sink.shutdown().unwrap();
}

#[test]
fn what_a_crash_left_half_compressed_is_compressed_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(SEGMENT), "one\n").unwrap();
    fs::write(folder.path().join(format!("{SEGMENT}.gz.tmp")), "half").unwrap();
    let suspect = "audit-20261120T101530.000000Z-0000000000000002.suspect-4.log";
    fs::write(folder.path().join(suspect), "one\ntwo\n").unwrap();
    let sink = file(folder.path().join("audit.log")).compress(Compress::Gzip).open().unwrap();
    let compressed = format!("{SEGMENT}.gz");
    let names = wait_until(folder.path(), |names| names[0] == compressed);
    assert_eq!(names, [&compressed, suspect, "audit.log", "audit.log.lock"]);
    assert_eq!(unpacked(&folder.path().join(compressed)), "one\n");
    drop(sink);
}

#[test]
fn a_crash_before_the_original_went_leaves_one_of_both() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(SEGMENT), "one\n").unwrap();
    let compressed = format!("{SEGMENT}.gz");
    fs::write(folder.path().join(&compressed), "whole, since it bears this name").unwrap();
    let sink = file(folder.path().join("audit.log")).compress(Compress::Gzip).open().unwrap();
    let names = wait_until(folder.path(), |names| names[0] == compressed);
    assert_eq!(names, [&compressed, "audit.log", "audit.log.lock"]);
    drop(sink);
}
