//! One sink's thread: positions, failures, the end.

use super::*;
use crate::sink::{Progress, SinkState, Watcher};

struct Nobody;

impl Watcher for Nobody {
    fn moved(&self) {}

    fn has_room(&self) {}

    fn changed(&self, _name: &str, _state: SinkState, _error: &io::Error) {}
}

const RECORDS: u64 = 4;

/// Feeds a sink from one thread while another wants durability and a third watches the positions.
fn feed(writes: &'static [Turn], flushes: &'static [Turn], at_the_end: fn(Progress, Book)) {
    check(move || {
        let (sink, book) = Scripted::new(writes, flushes);
        let retry = Retry::new(Duration::from_secs(60), 1);
        let outlet = Outlet::start("sink".to_owned(), Box::new(sink), retry, Arc::new(Nobody)).unwrap();
        let same = outlet.clone();
        let feeder = thread::spawn(move || {
            for upto in 1..=RECORDS {
                same.append(&mut format!("{upto}\n").into_bytes(), 1, upto);
            }
        });
        let same = outlet.clone();
        let wanter = thread::spawn(move || (1..=2).for_each(|half| same.want(half * RECORDS / 2)));
        let mut before = Progress::default();
        for _ in 0..4 {
            before = look(&outlet, &book, before);
            thread::yield_now();
        }
        feeder.join().unwrap();
        wanter.join().unwrap();
        // What was wanted comes without anybody's asking again, unless the sink is given up.
        until(|| {
            before = look(&outlet, &book, before);
            before.settled == RECORDS && (before.durable == RECORDS || before.state == SinkState::Dead)
        });
        outlet.end();
        until(|| outlet.has_ended());
        let progress = outlet.progress();
        assert_eq!((progress.settled, progress.buffered), (RECORDS, 0));
        assert_eq!(progress.written + progress.lost, RECORDS);
        assert_eq!(outlet.has_ended_well(), progress.state == SinkState::Healthy);
        at_the_end(progress, book);
    });
}

/// Positions never run ahead of the sink, and never go back.
fn look(outlet: &Outlet, book: &Book, before: Progress) -> Progress {
    let progress = outlet.progress();
    let (written, durable) = book.read(|pages| {
        let count = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        (count(&pages.bytes), count(&pages.bytes[..pages.durable]))
    });
    assert!(progress.settled <= written + progress.lost, "{progress:?} but {written} written");
    assert!(progress.durable <= durable, "{progress:?} but {durable} flushed");
    assert!(progress.durable <= progress.settled);
    assert!(before.settled <= progress.settled && before.durable <= progress.durable);
    progress
}

#[test]
fn a_sink_that_works() {
    feed(&[], &[], |progress, book| {
        assert_eq!((progress.written, progress.durable), (RECORDS, RECORDS));
        assert_eq!(book.read(|pages| pages.bytes.clone()), b"1\n2\n3\n4\n");
    });
}

#[test]
fn a_sink_that_fails_and_recovers() {
    const WRITES: &[Turn] = &[Turn::Fail, Turn::Half, Turn::Fail, Turn::Panic, Turn::Take, Turn::Half];
    feed(WRITES, &[Turn::Fail, Turn::Panic, Turn::Take, Turn::Fail], |progress, book| {
        assert_eq!((progress.written, progress.durable), (RECORDS, RECORDS));
        assert_eq!(book.read(|pages| pages.bytes.clone()), b"1\n2\n3\n4\n", "each once, in order");
    });
}

#[test]
fn a_sink_that_dies_writing() {
    feed(&[Turn::Take, Turn::Half, Turn::Die], &[], |progress, book| {
        let whole = book.read(|pages| pages.bytes.iter().filter(|&&byte| byte == b'\n').count() as u64);
        assert_eq!(progress.written, whole);
    });
}

#[test]
fn a_sink_that_dies_flushing() {
    feed(&[], &[Turn::Take, Turn::Fail, Turn::Die], |progress, _| {
        assert!(progress.durable <= progress.settled);
    });
}
