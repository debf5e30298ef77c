//! A disk that writes half, is full, fails to sync, or loses the file: what is kept, and what is said.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::name::Names;
use super::super::writer::{MAX_UNSYNCED, Writer};
use super::super::{Policy, SyncPolicy};
use super::StoppedClock;
use super::memory_disk::{MemoryDisk, State};

const PATH: &str = "/x/audit.log";

fn open(disk: &MemoryDisk, policy: &Policy) -> io::Result<Writer<MemoryDisk>> {
    open_at(disk, policy, &StoppedClock::new())
}

fn open_at(disk: &MemoryDisk, policy: &Policy, clock: &StoppedClock) -> io::Result<Writer<MemoryDisk>> {
    let names = Names::new(Path::new(PATH)).unwrap().unwrap();
    Writer::open(disk.clone(), names, policy.clone(), Arc::new(clock.clone()))
}

fn active(disk: &MemoryDisk) -> String {
    disk.state().text(Path::new(PATH)).unwrap()
}

/// Sealed segments, with their names without moment and id.
fn sealed(disk: &MemoryDisk) -> Vec<(String, String)> {
    let state = disk.state();
    let marker = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.starts_with("audit-").then(|| name["audit-20261120T101530.123456Z-9f86d081884c7d65".len()..].to_owned())
    };
    state.paths().iter().filter_map(|path| Some((marker(path)?, state.text(path).unwrap()))).collect()
}

fn is_durable(disk: &MemoryDisk, line: &str) -> bool {
    disk.state().durable_texts().iter().any(|text| text.lines().any(|it| it == line))
}

#[test]
fn a_batch_is_one_write_and_is_not_synced_by_default() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    assert_eq!(writer.write(b"one\ntwo\n").unwrap(), 8);
    assert_eq!(disk.state().writes, 1);
    assert_eq!(disk.state().syncs, 0);
    writer.flush().unwrap();
    assert!(is_durable(&disk, "one") && is_durable(&disk, "two"));
    writer.flush().unwrap();
    assert_eq!(disk.state().syncs, 1, "nothing new, nothing to sync");
}

#[test]
fn each_batch_is_synced_if_asked() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy { sync: SyncPolicy::EachBatch, ..Policy::default() }).unwrap();
    writer.write(b"one\n").unwrap();
    assert!(is_durable(&disk, "one"));
}

#[test]
fn the_first_unsynced_record_waits_no_longer_than_asked_even_if_none_follows() {
    let disk = MemoryDisk::default();
    let clock = StoppedClock::new();
    let every = Duration::from_secs(1);
    let mut writer = open_at(&disk, &Policy { sync: SyncPolicy::Every(every), ..Policy::default() }, &clock).unwrap();
    writer.write(b"one\n").unwrap();
    assert!(writer.tick() && !is_durable(&disk, "one"));
    clock.forward(every);
    assert!(writer.tick() && is_durable(&disk, "one"));
    writer.write(b"two\n").unwrap();
    clock.forward(every);
    writer.write(b"three\n").unwrap();
    assert!(is_durable(&disk, "two") && is_durable(&disk, "three"));
    assert_eq!(disk.state().syncs, 2);
}

#[test]
fn the_timer_looks_again_when_the_first_unsynced_record_is_due_and_not_a_whole_period_later() {
    let disk = MemoryDisk::default();
    let clock = StoppedClock::new();
    let every = Duration::from_secs(2);
    let mut writer = open_at(&disk, &Policy { sync: SyncPolicy::Every(every), ..Policy::default() }, &clock).unwrap();
    assert_eq!(writer.until_tick(), every);
    clock.forward(Duration::from_millis(100));
    writer.write(b"one\n").unwrap();
    clock.forward(Duration::from_millis(1_900));
    assert!(writer.tick() && !is_durable(&disk, "one"));
    assert_eq!(writer.until_tick(), Duration::from_millis(100));
    clock.forward(Duration::from_millis(100));
    assert!(writer.tick() && is_durable(&disk, "one"));
    assert_eq!(writer.until_tick(), every);
}

#[test]
fn no_more_than_a_mebibyte_waits_for_a_sync() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    let batch = "x".repeat(99_999) + "\n";
    for _ in 0..30 {
        assert_eq!(writer.write(batch.as_bytes()).unwrap(), batch.len());
    }
    assert_eq!(disk.state().syncs, 30 * batch.len() / (MAX_UNSYNCED + batch.len()));
    let huge = "y".repeat(5 * MAX_UNSYNCED) + "\n";
    assert_eq!(writer.write(huge.as_bytes()).unwrap(), huge.len(), "a line is never split, however long");
    assert!(is_durable(&disk, huge.trim_end()));
}

#[test]
fn a_partial_write_goes_on_at_its_exact_byte() {
    let disk = MemoryDisk::default();
    disk.state().short_writes.extend([3, 1]);
    let mut writer = open(&disk, &Policy::default()).unwrap();
    assert_eq!(writer.write(b"one\ntwo\n").unwrap(), 8);
    assert_eq!(active(&disk), "one\ntwo\n");
    // An error in the middle of a line: what was written counts.
    disk.state().short_writes.extend([5, 0]);
    assert_eq!(writer.write(b"three\nfour\n").unwrap(), 5);
    writer.flush().unwrap();
    assert_eq!(writer.write(b"\nfour\n").unwrap(), 6);
    assert_eq!(active(&disk), "one\ntwo\nthree\nfour\n");
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    disk.state().room = Some(6);
    assert_eq!(writer.write(b"one\ntwo\n").unwrap(), 6);
    let error = writer.write(b"o\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().starts_with("/x/audit.log: "), "{error}");
    disk.state().room = None;
    assert_eq!(writer.write(b"o\nthree\n").unwrap(), 8);
    assert_eq!(active(&disk), "one\ntwo\nthree\n");
}

#[test]
fn a_line_that_is_half_written_when_its_file_goes_is_whole_in_the_next() {
    for go in [
        |state: &mut State| state.delete(Path::new(PATH)),
        |state: &mut State| {
            state.move_away(Path::new(PATH), Path::new("/x/moved"));
        },
    ] {
        let disk = MemoryDisk::default();
        let mut writer = open(&disk, &Policy::default()).unwrap();
        writer.write(b"one\n").unwrap();
        writer.flush().unwrap();
        disk.state().room = Some(2);
        assert_eq!(writer.write(b"two\n").unwrap(), 2);
        writer.flush().unwrap();
        go(&mut disk.state());
        disk.state().room = None;
        assert_eq!(writer.write(b"o\n").unwrap(), 2);
        assert_eq!(active(&disk), "two\n");
    }
}

#[test]
fn after_a_failed_sync_the_segment_is_suspect_and_the_rest_is_in_a_new_one() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    writer.flush().unwrap();
    disk.state().failing_syncs = 1;
    writer.write(b"two\nthree\n").unwrap();
    writer.flush().unwrap();
    assert_eq!(sealed(&disk), [(".suspect-4.log".into(), "one\ntwo\nthree\n".into())]);
    assert_eq!(active(&disk), "two\nthree\n");
    disk.state().cut_power(0, 0);
    assert_eq!(sealed(&disk), [(".suspect-4.log".into(), "one\n".into())], "the disk had forgotten it");
    assert_eq!(active(&disk), "two\nthree\n");
}

#[test]
fn a_sync_that_fails_again_and_again_is_an_error_and_loses_nothing() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    disk.state().failing_syncs = 5;
    for _ in 0..2 {
        let error = writer.flush().unwrap_err();
        assert!(error.to_string().starts_with("/x/audit.log: "), "{error}");
    }
    writer.write(b"two\n").unwrap();
    writer.flush().unwrap();
    assert!(is_durable(&disk, "one") && is_durable(&disk, "two"));
    assert_eq!(active(&disk), "one\ntwo\n");
}

#[test]
fn what_could_not_be_synced_although_each_batch_must_be_is_not_taken() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy { sync: SyncPolicy::EachBatch, ..Policy::default() }).unwrap();
    writer.write(b"one\n").unwrap();
    disk.state().failing_syncs = 2;
    assert!(writer.write(b"two\n").is_err());
    assert_eq!(writer.write(b"two\n").unwrap(), 4);
    assert!(is_durable(&disk, "one") && is_durable(&disk, "two"));
    assert_eq!(active(&disk), "two\n");
}

#[test]
fn a_suspect_file_is_never_synced_again_even_if_it_cannot_be_renamed() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    disk.state().failing_syncs = 1;
    disk.state().failing_renames = 3;
    assert!(writer.flush().is_err());
    assert!(writer.write(b"two\n").is_err());
    assert_eq!(disk.state().syncs, 1);
    writer.flush().unwrap();
    assert_eq!(sealed(&disk), [(".suspect-0.log".into(), "one\n".into())]);
    assert_eq!(active(&disk), "one\n");
}

#[test]
fn a_name_that_is_not_durable_is_no_promise() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    disk.state().failing_folder_syncs = 2;
    assert!(writer.flush().is_err());
    writer.flush().unwrap();
    assert!(is_durable(&disk, "one"));
}

#[test]
fn a_file_that_is_deleted_during_its_sync_is_written_again() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    writer.flush().unwrap();
    writer.write(b"two\n").unwrap();
    disk.state().during_sync = Some(|state| state.delete(Path::new(PATH)));
    writer.flush().unwrap();
    assert_eq!(active(&disk), "two\n");
    assert!(is_durable(&disk, "two"));
}

#[test]
fn what_is_not_synced_when_the_folder_goes_is_in_the_new_one() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    writer.flush().unwrap();
    writer.write(b"two\n").unwrap();
    disk.state().delete_folder();
    writer.flush().unwrap();
    assert_eq!(disk.state().folders_made, 1);
    assert_eq!(active(&disk), "two\n");
    assert!(open(&disk, &Policy::default()).is_err(), "the new folder has a new lock, and it is held");
}

#[test]
fn a_file_that_is_cut_gets_what_was_not_synced_again() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy::default()).unwrap();
    writer.write(b"one\n").unwrap();
    writer.flush().unwrap();
    writer.write(b"two\nthr").unwrap();
    disk.state().truncate(Path::new(PATH), 5);
    writer.write(b"ee\n").unwrap();
    assert_eq!(active(&disk), "one\nt\ntwo\nthree\n", "the torn rest is closed");
}

#[test]
fn a_torn_line_is_closed_before_the_next_record() {
    let disk = MemoryDisk::default();
    disk.state().put(Path::new(PATH), "one\ntw");
    disk.state().room = Some(0);
    let mut writer = open(&disk, &Policy::default()).unwrap();
    assert!(writer.write(b"three\n").is_err(), "a full disk does not keep the sink from opening");
    disk.state().room = None;
    writer.write(b"three\n").unwrap();
    assert_eq!(active(&disk), "one\ntw\nthree\n");
}

#[test]
fn a_segment_is_sealed_between_lines_only() {
    let disk = MemoryDisk::default();
    let mut writer = open(&disk, &Policy { rotate_bytes: Some(10), ..Policy::default() }).unwrap();
    disk.state().short_writes.extend([8, 0]);
    assert_eq!(writer.write(b"one\ntwo\nthree\n").unwrap(), 8);
    disk.state().short_writes.extend([2, 0]);
    assert_eq!(writer.write(b"three\nfour\n").unwrap(), 2);
    assert_eq!(writer.write(b"ree\nfour\n").unwrap(), 9);
    writer.write(b"a line that is too long for any segment\nx\n").unwrap();
    let contents: Vec<String> = sealed(&disk).into_iter().map(|(_, content)| content).collect();
    assert_eq!(
        contents,
        ["one\ntwo\n", "three\n", "four\n", "a line that is too long for any segment\n"],
        "as many lines as fit, and at least one"
    );
    assert_eq!(active(&disk), "x\n");
    assert!(is_durable(&disk, "three") && !is_durable(&disk, "x"), "sealed is synced");
}

#[test]
fn a_segment_that_cannot_be_sealed_goes_on() {
    let disk = MemoryDisk::default();
    let clock = StoppedClock::new();
    let mut writer = open_at(&disk, &Policy { rotate_bytes: Some(4), ..Policy::default() }, &clock).unwrap();
    disk.state().failing_renames = 1;
    writer.write(b"one\ntwo\n").unwrap();
    writer.write(b"six\n").unwrap();
    assert_eq!(active(&disk), "one\ntwo\nsix\n");
    clock.forward(Duration::from_secs(10));
    writer.write(b"ten\n").unwrap();
    assert_eq!(sealed(&disk).len(), 1);
    assert_eq!(active(&disk), "ten\n");
}

#[test]
fn what_a_segment_of_an_earlier_process_holds_is_synced_when_it_is_sealed() {
    let disk = MemoryDisk::default();
    disk.state().put(Path::new(PATH), "one\n");
    let mut writer = open(&disk, &Policy { rotate_bytes: Some(4), ..Policy::default() }).unwrap();
    writer.write(b"two\n").unwrap();
    assert!(is_durable(&disk, "one"));
}
