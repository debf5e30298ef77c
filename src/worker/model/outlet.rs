//! One sink's thread: positions, failures, the end.

use super::*;
use crate::sink::{Progress, SinkState, Start, Watcher};

struct Nobody;

/// The watcher panics, and so the sink's thread.
struct Bomb;

impl Watcher for Bomb {
    fn written(&self) {
        self.moved();
    }

    fn moved(&self) {
        std::panic::resume_unwind(Box::new("a watcher's own panic"));
    }

    fn usable(&self, _usable: bool) {}

    fn changed(&self, _name: &str, _state: SinkState, _error: &io::Error) {}
}

impl Watcher for Nobody {
    fn written(&self) {}

    fn moved(&self) {}

    fn usable(&self, _usable: bool) {}

    fn changed(&self, _name: &str, _state: SinkState, _error: &io::Error) {}
}

const RECORDS: u64 = 4;

/// Feeds a sink from one thread while another wants durability and a third watches the positions.
fn feed(writes: &'static [Turn], flushes: &'static [Turn], at_the_end: fn(Progress, Book)) {
    feed_watched(writes, flushes, || Arc::new(Nobody), at_the_end);
}

fn feed_watched(
    writes: &'static [Turn],
    flushes: &'static [Turn],
    watcher: fn() -> Arc<dyn Watcher>,
    at_the_end: fn(Progress, Book),
) {
    check(move || {
        let (sink, book) = Scripted::new(writes, flushes);
        let start = Start {
            name: "sink".to_owned(),
            sink: Box::new(sink),
            retry: Retry::new(Duration::from_secs(60), 1),
            ends_with_reader: true,
            watcher: watcher(),
        };
        let outlet = Outlet::start(start).unwrap();
        let same = outlet.clone();
        let feeder = thread::spawn(move || {
            for upto in 1..=RECORDS {
                same.append(&mut format!("{upto}\n").into_bytes(), 1, 0, upto);
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
            before.settled == RECORDS && (before.durable == RECORDS || before.state == SinkState::GivenUp)
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
    assert!(progress.settled <= written + progress.lost + progress.torn, "{progress:?} but {written} written");
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

#[test]
fn a_thread_that_panics_by_itself_settles_what_it_has_and_comes_to_its_end() {
    feed_watched(
        &[Turn::Half],
        &[],
        || Arc::new(Bomb),
        |progress, _| {
            assert!(progress.panics > 0);
            assert_eq!(progress.state, SinkState::GivenUp);
        },
    );
}

/// The thread takes what waits for it, and what is tried with it, in any order; nothing is counted twice.
#[test]
fn a_sink_that_is_given_up_and_tried_again_gets_the_rest_of_its_line_first() {
    check(|| {
        let (sink, book) = Scripted::new(&[Turn::Half, Turn::Fail, Turn::Fail, Turn::Half, Turn::Fail], &[]);
        let start = Start {
            name: "sink".to_owned(),
            sink: Box::new(sink),
            retry: Retry::new(Duration::ZERO, 1),
            ends_with_reader: true,
            watcher: Arc::new(Nobody),
        };
        let outlet = Outlet::start(start).unwrap();
        let same = outlet.clone();
        let feeder = thread::spawn(move || {
            for upto in 1..=RECORDS {
                same.append(&mut format!("record {upto}\n").into_bytes(), 1, 0, upto);
            }
        });
        let mut tried = 0;
        until(|| outlet.progress().state == SinkState::GivenUp);
        while outlet.progress().state == SinkState::GivenUp {
            outlet.try_again(b"report\n".to_vec());
            until(|| !outlet.progress().trying);
            tried += 1;
        }
        feeder.join().unwrap();
        outlet.end();
        until(|| outlet.has_ended());
        let progress = outlet.progress();
        let text = book.read(|pages| String::from_utf8(pages.bytes.clone()).unwrap());
        let (records, reports): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("record "));
        assert!(reports.iter().all(|line| *line == "report"), "{text}");
        assert!((2..=3).contains(&tried) && !reports.is_empty() && reports.len() <= tried, "{tried} {text}");
        assert_eq!(progress.written, (records.len() + reports.len()) as u64);
        assert_eq!(records.len() as u64 + progress.lost, RECORDS, "{progress:?} {text}");
        assert_eq!((progress.settled, progress.torn, progress.state), (RECORDS, 0, SinkState::Healthy));
        assert!(outlet.has_ended_well());
    });
}
