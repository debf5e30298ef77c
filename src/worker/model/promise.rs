//! Answers: to flushes, to those who wait for durability, and in general.

use super::*;
use crate::promise::promise;

#[test]
fn an_answer_comes_whether_it_is_given_or_its_promise_dropped() {
    check(|| {
        let (given, first) = promise(0);
        let (dropped, second) = promise(0);
        let (late, third) = promise(0);
        let giver = thread::spawn(move || {
            given.give(1);
            drop(dropped);
            late.give(1);
        });
        let waiter = thread::spawn(move || block_on(second));
        // In the time that it waits the answer came or not, and later it is there.
        let early = third.wait(Duration::from_millis(1));
        assert_eq!(block_on(first), 1);
        assert_eq!(waiter.join().unwrap(), 0);
        giver.join().unwrap();
        assert_eq!(early.or_else(|| third.wait(Duration::ZERO)), Some(1));
    });
}

#[test]
fn what_is_said_to_be_durable_is() {
    check(|| {
        let (sink, book) = Scripted::new(&[Turn::Take, Turn::Half, Turn::Fail], &[Turn::Fail, Turn::Panic]);
        let rig = Arc::new(Rig::start(&Setting::default(), vec![(sink, Need::Required)]));
        let tasks: Vec<_> = (1..=2)
            .map(|pusher| {
                let (rig, book) = (rig.clone(), book.clone());
                thread::spawn(move || {
                    for n in 0..2 {
                        let position = rig.push(id(pusher, n));
                        assert!(block_on(rig.engine.durable(position)), "the sink works in the end");
                        let durable = of(pusher, &book.durable_lines());
                        assert!(durable.contains(&id(pusher, n)), "told to be durable and is not");
                    }
                })
            })
            .collect();
        assert!(block_on(rig.flush()));
        tasks.into_iter().for_each(|task| task.join().unwrap());
        rig.stop();
    });
}

#[test]
fn a_sink_that_dies_does_not_keep_anybody_waiting() {
    check(|| {
        let (sink, book) = Scripted::new(&[Turn::Take], &[Turn::Fail, Turn::Die]);
        let setting = Setting { admission_timeout: Duration::from_millis(20), ..Setting::default() };
        let rig = Arc::new(Rig::start(&setting, vec![(sink, Need::Required)]));
        let same = rig.clone();
        let other = thread::spawn(move || block_on(same.engine.durable(same.push(id(1, 0)))));
        let answer = block_on(rig.engine.durable(rig.push(id(2, 0))));
        let durable = book.durable_lines();
        assert_eq!(answer, !of(2, &durable).is_empty());
        let _ = other.join().unwrap();
        let report = rig.stop();
        assert!(!report.flushed, "it never confirmed its end");
    });
}

/// Nothing was handed over: the first record of the run is the worker's own.
#[test]
fn a_flush_right_after_the_start_waits_for_the_record_of_the_start() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        assert!(block_on(rig.flush()), "the sink works");
        let durable = Book::values(&book.read(|pages| pages.bytes[..pages.durable].to_vec()));
        assert_eq!(durable[0]["eventName"], "AuditStarted");
        rig.stop();
    });
}

/// Positions of records that a sink lost while it was given up are never reached, also when it works again.
#[test]
fn what_a_sink_lost_is_never_said_to_be_durable() {
    check(|| {
        let (sink, book) = Scripted::new(&[Turn::Take, Turn::Fail, Turn::Fail], &[Turn::Fail]);
        let setting = Setting { patience: Duration::ZERO, ..Setting::default() };
        let rig = Arc::new(Rig::start(&setting, vec![(sink, Need::Required)]));
        let tasks: Vec<_> = (1..=2)
            .map(|pusher| {
                let (rig, book) = (rig.clone(), book.clone());
                thread::spawn(move || {
                    for n in 0..2 {
                        let position = rig.push(id(pusher, n));
                        if block_on(rig.engine.durable(position)) {
                            let durable = of(pusher, &book.durable_lines());
                            assert!(durable.contains(&id(pusher, n)), "told to be durable and is not");
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let report = rig.stop();
        assert_eq!(book.lines().len() as u64 + report.lost, 4, "{report:?}");
    });
}
