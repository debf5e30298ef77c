//! From a push to the sink.

use super::super::pace::LONGEST;
use super::*;
use crate::record::Record;

#[test]
fn every_record_is_written_once_and_in_order() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let pushers: Vec<_> = (1..=2)
            .map(|pusher| {
                let rig = rig.clone();
                thread::spawn(move || (0..3).for_each(|n| assert!(rig.push(id(pusher, n)).is_some())))
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(block_on(rig.flush()));
        let lines = book.durable_lines();
        assert_eq!(lines.len(), 6, "what was flushed is there");
        for pusher in 1..=2 {
            assert_eq!(of(pusher, &lines), [id(pusher, 0), id(pusher, 1), id(pusher, 2)]);
        }
        let report = rig.stop();
        assert_eq!((report.written, report.lost, report.flushed), (6 + 2, 0, true));
        assert_eq!(book.all(), 6 + 2);
    });
}

/// Nobody flushes, stops or pushes again: the push itself must wake the worker, whenever it goes to sleep.
#[test]
fn a_record_wakes_a_worker_that_goes_to_sleep() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        for n in 0..3 {
            let same = rig.clone();
            thread::spawn(move || same.push(id(1, n))).join().unwrap();
            until(|| book.lines().len() as u128 == n + 1);
        }
        rig.stop();
    });
}

/// Whether the worker pauses, sleeps or works when a record is handed over, it renders it within one pause of the longest sort.
/// Nothing takes time in a model but waiting: what is counted here is waits, on no machine's clock.
#[test]
fn a_record_waits_for_the_worker_no_longer_than_one_pause() {
    check(|| {
        let rendered: Arc<Mutex<Vec<(u128, Instant)>>> = Arc::default();
        let filter = {
            let rendered = rendered.clone();
            Filter::from_fn(move |record: &Record<'_>| {
                rendered.lock().unwrap().push((record.audit_id().as_u128(), Instant::now()));
                true
            })
        };
        let (sink, _book) = Scripted::new(&[], &[]);
        let rig = Arc::new(Rig::start_filtered(&Setting::default(), vec![(sink, Need::Required)], Some(filter)));
        let pushers: Vec<_> = (1..=2)
            .map(|pusher| {
                let (rig, rendered) = (rig.clone(), rendered.clone());
                thread::spawn(move || {
                    for n in 0..4 {
                        rig.push(id(pusher, n));
                        let pushed = Instant::now();
                        let at = |id| rendered.lock().unwrap().iter().find(|(of, _)| *of == id).map(|(_, at)| *at);
                        until(|| at(id(pusher, n)).is_some());
                        let latest = pushed.checked_add(LONGEST).unwrap();
                        assert!(at(id(pusher, n)).unwrap() <= latest, "it waited for longer than one pause");
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        rig.stop();
    });
}

/// Whoever is held up while he counts must not count those that came and went meanwhile: he would find no capacity where there
/// is some.
#[test]
fn no_more_are_unwritten_than_ever_were_at_one_moment() {
    check(|| {
        let (rig, _book) = Rig::healthy(&Setting { records: 1, ..Setting::default() });
        let same = rig.clone();
        let pusher = thread::spawn(move || {
            for n in 0..3 {
                same.push_lossy(id(1, n)).expect("there is room");
                until(|| same.queue().unwritten() == 0);
            }
        });
        while rig.queue().pushed() < 3 {
            assert!(rig.queue().unwritten() <= 1, "there was room");
            thread::yield_now();
        }
        pusher.join().unwrap();
        rig.stop();
    });
}

/// Nor may a sink's word get lost that it has written: the capacity that it freed would never be seen.
#[test]
fn what_was_written_leaves_the_queue() {
    check(|| written_leaves(2));
}

/// As before, where nobody needs the capacity, and what was written wakes nobody.
#[test]
fn what_was_written_leaves_the_queue_though_nobody_needs_the_room() {
    check(|| written_leaves(64));
}

/// With capacity for this number of records.
fn written_leaves(records: usize) {
    let (rig, book) = Rig::healthy(&Setting { records, ..Setting::default() });
    for round in 0..2 {
        rig.push_lossy(id(1, round * 2)).expect("there is room");
        rig.push_lossy(id(1, round * 2 + 1)).expect("there is room");
        until(|| rig.queue().unwritten() == 0);
    }
    assert_eq!(book.lines().len(), 4);
    rig.stop();
}

#[test]
fn what_may_be_lost_is_written_or_counted_and_told() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting { records: 1, ..Setting::default() });
        let pushers: Vec<_> = (1..=2)
            .map(|pusher| {
                let rig = rig.clone();
                thread::spawn(move || (0..3).filter(|n| rig.push_lossy(id(pusher, *n)).is_some()).count() as u64)
            })
            .collect();
        let entered: u64 = pushers.into_iter().map(|pusher| pusher.join().unwrap()).sum();
        assert_eq!(entered + rig.queue().lost(), 6);
        let report = rig.stop();
        assert_eq!((book.lines().len() as u64, report.lost), (entered, 6 - entered));
        assert_eq!(book.told_lost(), report.lost, "no loss is silent");
        assert_eq!((report.written, book.told_written()), (book.all(), book.all()));
    });
}

/// The slower one may lose for itself; the required one has everything.
#[test]
fn a_sink_that_dies_leaves_the_other_complete() {
    check(|| {
        let (required, kept) = Scripted::new(&[Turn::Take, Turn::Half, Turn::Panic, Turn::Fail], &[]);
        let (other, _) = Scripted::new(&[Turn::Take, Turn::Die], &[]);
        let sinks = vec![(required, Need::Required), (other, Need::BestEffort)];
        let rig = Arc::new(Rig::start(&Setting::default(), sinks));
        let same = rig.clone();
        let pusher = thread::spawn(move || (0..3).for_each(|n| assert!(same.push(id(1, n)).is_some())));
        (0..2).for_each(|n| assert!(rig.push(id(2, n)).is_some()));
        pusher.join().unwrap();
        let report = rig.stop();
        let lines = kept.lines();
        assert_eq!((of(1, &lines).len(), of(2, &lines).len(), lines.len()), (3, 2, 5));
        assert!(of(1, &lines).is_sorted() && of(2, &lines).is_sorted());
        assert!(report.flushed);
    });
}

/// It dies twice, once in the middle of a line, and is tried in vain in between.
#[test]
fn a_sink_that_dies_and_comes_back_reports_what_it_lost() {
    check(|| {
        let writes = [Turn::Take, Turn::Fail, Turn::Fail, Turn::Take, Turn::Half, Turn::Fail];
        let (sink, book) = Scripted::new(&writes, &[]);
        let (other, other_book) = Scripted::new(&[], &[]);
        let setting = Setting { patience: Duration::ZERO, ..Setting::default() };
        let sinks = vec![(sink, Need::Required), (other, Need::BestEffort)];
        let rig = Arc::new(Rig::start(&setting, sinks));
        let pushers: Vec<_> = (1..=2)
            .map(|pusher| {
                let rig = rig.clone();
                thread::spawn(move || (0..3).for_each(|n| assert!(rig.push(id(pusher, n)).is_some())))
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        let report = rig.stop();
        assert_eq!(other_book.lines().len(), 6);
        let lost = 6 - book.lines().len() as u64;
        assert_eq!((report.lost, rig.queue().unwritten()), (lost, 0), "{report:?}");
        assert_eq!(report.written, book.all());
        if report.flushed {
            assert_eq!(book.told_lost(), lost, "no loss is silent");
        } else {
            assert!(book.told_lost() <= lost);
            assert_eq!(other_book.told_lost(), lost, "the other tells what it lost at its end");
        }
    });
}
