//! Real files: what an operator sees in the folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::super::{FileSink, SyncPolicy, file};
use super::{StoppedClock, names_in, read, sealed_in};
use crate::sink::Sink;

const HOUR: Duration = Duration::from_secs(3_600);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    (folder, path)
}

fn open(path: &Path) -> impl Sink {
    file(path).open().unwrap()
}

fn complaint(sink: FileSink) -> String {
    let Err(error) = sink.open() else { panic!("it opened") };
    error.to_string()
}

#[test]
fn lines_are_appended_across_restarts() {
    let (folder, path) = folder();
    for line in ["one\n", "two\n"] {
        let mut sink = open(&path);
        assert_eq!(sink.write(line.as_bytes()).unwrap(), 4);
        sink.shutdown().unwrap();
    }
    assert_eq!(read(&path), "one\ntwo\n");
    assert_eq!(names_in(folder.path()), ["audit.log", "audit.log.lock"]);
}

#[test]
fn a_full_segment_is_sealed() {
    let (folder, path) = folder();
    let mut sink = file(&path).rotate_bytes(8).clock(StoppedClock::new()).open().unwrap();
    assert_eq!(sink.write(b"one\ntwo\nthree\nfour\n").unwrap(), 19);
    assert_eq!(sealed_in(folder.path()), ["one\ntwo\n", "three\n"]);
    assert_eq!(read(&path), "four\n");
    let names = names_in(folder.path());
    assert!(names[0].starts_with("audit-20261120T101530.000000Z-"), "{names:?}");
    assert!(
        names[1].starts_with("audit-20261120T101530.000001Z-"),
        "the clock stands still, and names sort: {names:?}"
    );
}

#[test]
fn names_sort_although_the_clock_goes_back_and_the_process_starts_again() {
    let (folder, path) = folder();
    let clock = StoppedClock::new();
    for line in ["1\n", "2\n", "3\n", "4\n"] {
        let mut sink = file(&path).rotate_bytes(2).clock(clock.clone()).open().unwrap();
        sink.write(line.as_bytes()).unwrap();
        clock.back(HOUR);
    }
    assert_eq!(sealed_in(folder.path()), ["1\n", "2\n", "3\n"]);
}

#[test]
fn a_segment_ends_with_its_period() {
    let (folder, path) = folder();
    let clock = StoppedClock::new();
    let mut sink = file(&path).rotate_every(HOUR).clock(clock.clone()).open().unwrap();
    // 10:15 and 10:59 are of one hour, 11:00 and 13:00 are not.
    sink.write(b"10:15\n").unwrap();
    clock.forward(Duration::from_secs(44 * 60));
    sink.write(b"10:59\n").unwrap();
    clock.forward(Duration::from_secs(60));
    sink.write(b"11:00\n").unwrap();
    clock.forward(2 * HOUR);
    sink.write(b"13:00\n").unwrap();
    assert_eq!(sealed_in(folder.path()), ["10:15\n10:59\n", "11:00\n"]);
    assert_eq!(read(&path), "13:00\n");
}

#[test]
fn a_restart_does_not_prolong_a_period() {
    let (folder, path) = folder();
    let clock = StoppedClock::new();
    let restart = |line: &[u8]| {
        let mut sink = file(&path).rotate_every(HOUR).clock(clock.clone()).open().unwrap();
        sink.write(line).unwrap();
        // The file system has a clock of its own.
        fs::File::options().append(true).open(&path).unwrap().set_modified(crate::Clock::now(&clock)).unwrap();
    };
    restart(b"10:15\n");
    clock.forward(Duration::from_secs(44 * 60));
    restart(b"10:59\n");
    clock.forward(Duration::from_secs(60));
    restart(b"11:00\n");
    assert_eq!(sealed_in(folder.path()), ["10:15\n10:59\n"]);
    assert_eq!(read(&path), "11:00\n");
}

#[test]
fn retention_removes_our_oldest_segments_and_nothing_else() {
    let (folder, path) = folder();
    let others =
        ["audit-1.log", "audit-20261120.log", "audit.log.1", "other-20200101T000000.000000Z-0000000000000000.log"];
    for other in others {
        fs::write(folder.path().join(other), "x").unwrap();
    }
    let clock = StoppedClock::new();
    let mut sink = file(&path).rotate_bytes(2).keep_files(2).keep_for(HOUR).clock(clock.clone()).open().unwrap();
    sink.write(b"1\n2\n3\n4\n5\n").unwrap();
    let sealed = |folder: &Path| {
        let is_ours = |name: &String| name.starts_with("audit-20261120T");
        let names = names_in(folder);
        names.iter().filter(|name| is_ours(name)).map(|name| read(&folder.join(name))).collect::<Vec<_>>()
    };
    assert_eq!(sealed(folder.path()), ["3\n", "4\n"]);
    clock.forward(HOUR + Duration::from_secs(1));
    sink.write(b"6\n").unwrap();
    assert_eq!(sealed(folder.path()), ["5\n"]);
    drop(sink);
    clock.forward(HOUR + Duration::from_secs(1));
    drop(file(&path).keep_for(HOUR).clock(clock).open().unwrap());
    assert_eq!(sealed(folder.path()), [""; 0], "also at the start");
    for other in others {
        assert!(folder.path().join(other).exists(), "{other}");
    }
}

#[test]
fn a_file_that_was_moved_keeps_its_records_and_a_new_one_begins() {
    let (folder, path) = folder();
    let mut sink = open(&path);
    sink.write(b"one\n").unwrap();
    let moved = folder.path().join("audit.log.1");
    fs::rename(&path, &moved).unwrap();
    sink.write(b"two\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("one\n".into(), "two\n".into()));
    // As logrotate does it: moved, and made again.
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "").unwrap();
    sink.write(b"three\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("two\n".into(), "three\n".into()));
}

#[test]
fn a_file_that_was_copied_and_cut_has_no_hole() {
    let (_folder, path) = folder();
    let mut sink = open(&path);
    sink.write(b"one\n").unwrap();
    sink.flush().unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    sink.write(b"two\n").unwrap();
    assert_eq!(read(&path), "two\n");
}

#[test]
fn a_file_that_was_deleted_is_made_again_with_what_was_not_synced() {
    let (_folder, path) = folder();
    let mut sink = open(&path);
    sink.write(b"one\n").unwrap();
    sink.flush().unwrap();
    sink.write(b"two\n").unwrap();
    fs::remove_file(&path).unwrap();
    sink.write(b"three\n").unwrap();
    assert_eq!(read(&path), "two\nthree\n");
}

#[test]
fn a_folder_that_is_gone_is_made_again() {
    let (folder, _) = folder();
    let below = folder.path().join("app");
    fs::create_dir(&below).unwrap();
    let path = below.join("audit.log");
    let mut sink = open(&path);
    sink.write(b"one\n").unwrap();
    fs::remove_dir_all(&below).unwrap();
    sink.flush().unwrap();
    assert_eq!(read(&path), "one\n");
    // Moved away as a whole: it keeps what it has.
    fs::rename(&below, folder.path().join("old")).unwrap();
    sink.write(b"two\n").unwrap();
    assert_eq!(read(&path), "two\n");
    assert_eq!(read(&folder.path().join("old/audit.log")), "one\n");
    assert!(file(&path).open().is_err(), "the lock went with the folder, and was taken again");
    // Above the folder, nothing is made.
    fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(sink.write(b"three\n").unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::create_dir(folder.path()).unwrap();
    sink.write(b"three\n").unwrap();
    assert_eq!(read(&path), "two\nthree\n");
}

#[test]
fn a_torn_last_line_is_closed() {
    let (_folder, path) = folder();
    fs::write(&path, "one\ntw").unwrap();
    let mut sink = open(&path);
    sink.write(b"three\n").unwrap();
    assert_eq!(read(&path), "one\ntw\nthree\n");
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone_unless_said_otherwise() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let (folder, path) = folder();
    let mut sink = file(&path).rotate_bytes(2).open().unwrap();
    sink.write(b"1\n2\n").unwrap();
    for name in names_in(folder.path()) {
        assert_eq!(mode(&folder.path().join(&name)), 0o600, "{name}");
    }
    drop(sink);
    let other = folder.path().join("other.log");
    drop(file(&other).mode(0o666).open().unwrap());
    assert_eq!(mode(&other), 0o666, "whatever the mask");
    drop(file(&path).mode(0o644).open().unwrap());
    assert_eq!(mode(&path), 0o600, "a file that exists keeps its own");
}

#[test]
fn a_second_sink_is_refused_and_told_which_file() {
    let (_folder, path) = folder();
    let first = open(&path);
    let Err(error) = file(&path).open() else { panic!("it opened") };
    assert!(error.is_start());
    let expected = format!("audit file {}: is written to by another process", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    drop(first);
    drop(open(&path));
}

/// The child of the test below; without its variable, it does nothing.
#[test]
fn child_that_opens_the_file() {
    let Ok(path) = std::env::var("TEST_AUDIT_FILE") else { return };
    match file(path).open() {
        Ok(mut sink) => {
            sink.write(b"child\n").unwrap();
            // No shutdown, no drop: the process ends as if it was killed.
            std::process::abort();
        }
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone_however_it_ended() {
    let (_folder, path) = folder();
    let child = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "sink::file::tests::ordinary::child_that_opens_the_file", "--nocapture"]);
        let output = command.env("TEST_AUDIT_FILE", &path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = open(&path);
    let said = child();
    assert!(said.contains("refused: ") && said.contains("another process"), "{said}");
    assert_eq!(read(&path), "");
    drop(first);
    assert!(!child().contains("refused"));
    assert_eq!(read(&path), "child\n");
    let mut sink = open(&path);
    sink.write(b"parent\n").unwrap();
    assert_eq!(read(&path), "child\nparent\n");
}

#[test]
fn a_wrong_path_is_refused_by_name_and_makes_nothing() {
    let (folder, path) = folder();
    let missing = folder.path().join("missing");
    let text = complaint(file(missing.join("audit.log")));
    assert!(text.ends_with(&format!("the folder {} does not exist", missing.display())), "{text}");
    assert!(!missing.exists());
    assert!(complaint(file(folder.path())).contains("is a folder"));
    assert!(complaint(file("/")).contains("does not end in the name of a file"));
    fs::write(&path, "").unwrap();
    assert!(complaint(file(path.join("audit.log"))).contains("is no folder"));
}

#[cfg(unix)]
#[test]
fn links_pipes_and_devices_are_refused_and_links_to_folders_followed() {
    use std::os::unix::fs::symlink;
    let (folder, path) = folder();
    let target = folder.path().join("target");
    symlink(&target, &path).unwrap();
    let Err(error) = file(&path).open() else { panic!("it opened") };
    assert!(error.is_setting() && error.to_string().contains("symbolic link"), "{error}");
    assert!(!target.exists(), "nothing is made where the link leads");
    assert!(complaint(file("/dev/null")).contains("is no regular file"));
    let pipe = folder.path().join("pipe.log");
    if Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        assert!(complaint(file(&pipe)).contains("is no regular file"));
    }
    let linked = folder.path().join("linked");
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", &linked).unwrap();
    let mut sink = open(&linked.join("audit.log"));
    sink.write(b"one\n").unwrap();
    assert_eq!(read(&folder.path().join("real/audit.log")), "one\n");
}

#[test]
fn settings_out_of_range_are_refused() {
    let (folder, path) = folder();
    for (sink, expected) in [
        (file(&path).rotate_bytes(0), "rotate_bytes: given 0"),
        (file(&path).rotate_every(Duration::from_millis(999)), "rotate_every: given 999ms"),
        (file(&path).keep_files(0), "keep_files: given 0"),
        (file(&path).mode(0o444), "mode: given 444"),
        (file(&path).mode(0o100_600), "mode: given 100600"),
    ] {
        let text = complaint(sink);
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(names_in(folder.path()), [""; 0]);
}

/// The one test that waits for the real time, since the thread does; until it happens, not for a while.
#[test]
fn the_last_records_are_synced_and_sealed_although_none_follows() {
    let (folder, path) = folder();
    let clock = StoppedClock::new();
    let sync = SyncPolicy::Every(Duration::from_millis(10));
    let mut sink = file(&path).rotate_every(HOUR).sync(sync).clock(clock.clone()).open().unwrap();
    sink.write(b"one\n").unwrap();
    clock.forward(HOUR);
    while sealed_in(folder.path()).is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(sealed_in(folder.path()), ["one\n"]);
    sink.shutdown().unwrap();
}

/// Needs the right to mount; elsewhere it says that it is skipped.
#[cfg(target_os = "linux")]
#[test]
fn a_real_disk_that_is_full_and_freed_again() {
    let (folder, _) = folder();
    let mount = folder.path().join("small");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no tmpfs can be mounted");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let path = mount.join("audit.log");
        let mut sink = open(&path);
        let ballast = mount.join("ballast");
        fs::write(&ballast, vec![0; 40_000]).unwrap();
        let lines: String = (0..2_000).map(|number| format!("line {number:05} of many\n")).collect();
        let mut rest = lines.as_bytes();
        let error = loop {
            match sink.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        sink.flush().unwrap();
        assert_eq!(read(&path), lines[..lines.len() - rest.len()]);
        fs::remove_file(&ballast).unwrap();
        assert_eq!(sink.write(rest).unwrap(), rest.len());
        assert_eq!(read(&path), lines);
    });
    let unmounted = Command::new("umount").arg(&mount).status();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    assert!(unmounted.unwrap().success());
}

#[test]
fn each_segment_begins_with_the_header_and_has_whole_rows() {
    let (folder, path) = folder();
    let open = || {
        let mut sink = file(&path).rotate_bytes(12).clock(StoppedClock::new()).open().unwrap();
        sink.header(b"a,b\n");
        sink
    };
    let mut sink = open();
    sink.write(b"1,2\n3,4\n5,6\n").unwrap();
    assert_eq!((sealed_in(folder.path()), read(&path)), (vec!["a,b\n1,2\n3,4\n".to_owned()], "a,b\n5,6\n".to_owned()));
    fs::remove_file(&path).unwrap();
    sink.write(b"7,8\n").unwrap();
    sink.shutdown().unwrap();
    drop(sink);
    // What was not synced when the file was deleted is there again.
    assert_eq!(read(&path), "a,b\n5,6\n7,8\n");

    // Another process was killed in the middle of a row, and before that in the middle of the header.
    for (left, expected) in [("a,b\n5,6\n7,", "a,b\n5,6\n9,0\n"), ("a,", "a,b\n9,0\n"), ("", "a,b\n9,0\n")] {
        fs::write(&path, left).unwrap();
        let mut sink = open();
        sink.write(b"9,0\n").unwrap();
        sink.shutdown().unwrap();
        assert_eq!(read(&path), expected);
    }
    assert_eq!(sealed_in(folder.path()).len(), 1);
}

#[test]
fn a_file_that_begins_with_another_line_is_sealed_before_the_header() {
    for other in ["a,c\n1,2\n", "{\"a\":1}\n", "a,b,c\n", "a\n"] {
        let (folder, path) = folder();
        fs::write(&path, other).unwrap();
        let mut sink = file(&path).clock(StoppedClock::new()).open().unwrap();
        sink.header(b"a,b\n");
        sink.write(b"3,4\n").unwrap();
        sink.shutdown().unwrap();
        assert_eq!((sealed_in(folder.path()), read(&path)), (vec![other.to_owned()], "a,b\n3,4\n".to_owned()));
    }
}

#[test]
fn a_header_alone_is_not_sealed() {
    let (folder, path) = folder();
    let clock = StoppedClock::new();
    let mut sink = file(&path).rotate_every(HOUR).clock(clock.clone()).open().unwrap();
    sink.header(b"a\n");
    for line in ["1\n", "2\n"] {
        clock.forward(3 * HOUR);
        sink.flush().unwrap();
        sink.write(line.as_bytes()).unwrap();
    }
    assert_eq!((sealed_in(folder.path()), read(&path)), (vec!["a\n1\n".to_owned()], "a\n2\n".to_owned()));
}
