//! Exactly once: everybody who holds an exchange races for its end.

use super::*;
use crate::capture::Progress;
use crate::exchange::Exchange;
use crate::layer::Guard;
use crate::record::Actor;

impl Rig {
    /// An exchange that was let in, with its guard.
    fn open(&self, id: u128) -> (Guard, Arc<Exchange>) {
        let mut draft = self.draft(id, Delivery::Backpressure, 16);
        draft.outcome = None;
        draft.request_body.keep(8, false);
        draft.request_body.progress = Progress::Open;
        let exchange = Exchange::open(self.log.clone(), draft);
        (Guard::new(exchange.clone()), exchange)
    }
}

fn both() -> Setting {
    Setting { stages: Stages::Both, ..Setting::default() }
}

/// The stages of an exchange's records, in the order in which they were written.
fn stages(book: &Book, id: u128) -> Vec<String> {
    book.lines().into_iter().filter(|line| line.id == id).map(|line| line.stage).collect()
}

#[test]
fn guard_handle_and_body_make_one_completion() {
    check(|| {
        let (rig, book) = Rig::healthy(&both());
        let (guard, exchange) = rig.open(7);
        let handle = exchange.clone();
        let handler = thread::spawn(move || handle.bind(|draft| draft.late().set_actor(Actor::user("jane"))));
        let body = thread::spawn(move || {
            assert!(exchange.request_passed(Some(b"0123456789"), Progress::Open).is_none());
            assert!(exchange.request_passed(None, Progress::Ended).is_none());
        });
        guard.finish(Outcome::Completed);
        let bound = handler.join().unwrap();
        body.join().unwrap();
        rig.stop();
        assert_eq!(stages(&book, 7), ["initiation", "completion"]);
        assert_eq!(rig.engine.late(), u64::from(!bound), "what comes too late is counted");
    });
}

#[test]
fn after_a_skip_there_is_no_record_and_otherwise_one() {
    check(|| {
        let (rig, book) = Rig::healthy(&both());
        let (guard, exchange) = rig.open(7);
        let (skipper, binder, body) = (exchange.clone(), exchange.clone(), exchange.clone());
        let event = rig.event.clone();
        let skip = thread::spawn(move || skipper.skip());
        let bind = thread::spawn(move || {
            binder.claim(event);
            binder.bind(|draft| draft.late().set_actor(Actor::user("jane")));
        });
        let pass = thread::spawn(move || assert!(body.request_passed(Some(b"01"), Progress::Ended).is_none()));
        drop(guard);
        let skipped = skip.join().unwrap();
        bind.join().unwrap();
        pass.join().unwrap();
        rig.stop();
        assert_eq!(exchange.was_skipped(), skipped);
        let expected: &[&str] = if skipped { &[] } else { &["initiation", "completion"] };
        assert_eq!(stages(&book, 7), expected);
    });
}

/// An exchange whose guard is gone goes back to the pool only if nobody holds it: a handle that was kept never reaches the
/// record of the next one.
#[test]
fn a_handle_that_was_kept_never_reaches_a_later_exchange() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let (guard, kept) = rig.open(7);
        let handle = thread::spawn(move || kept.skip() || kept.close(Outcome::Panicked).is_some());
        drop(guard);
        let (next, _) = rig.open(8);
        next.finish(Outcome::Completed);
        handle.join().unwrap();
        rig.stop();
        assert_eq!(stages(&book, 8), ["completion"]);
        assert!(stages(&book, 7).len() <= 1);
    });
}

#[test]
fn exchanges_that_end_during_the_shutdown_are_written_or_counted() {
    check(|| {
        let (rig, book) = Rig::healthy(&both());
        let (guard, exchange) = rig.open(7);
        let closer = thread::spawn(move || drop(guard));
        let binder = thread::spawn(move || exchange.bind(|draft| draft.late().set_actor(Actor::user("jane"))));
        let report = block_on(rig.begin_stop(LONG));
        closer.join().unwrap();
        binder.join().unwrap();
        assert_eq!((report.open, report.lost, report.flushed), (0, 0, true), "an open exchange is waited for");
        assert_eq!(stages(&book, 7), ["initiation", "completion"]);
        assert_eq!(rig.queue().held_bytes(), 0);
    });
}

/// The response's end waits for its record.
#[test]
fn an_end_that_waits_for_its_record_is_answered() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let (guard, exchange) = rig.open(7);
        exchange.with(|draft| draft.class = Delivery::Durable);
        let handle = thread::spawn(move || exchange.close(Outcome::Aborted).map(block_on));
        let answer = guard.finish(Outcome::Completed).map(block_on);
        let other = handle.join().unwrap();
        assert!(matches!((answer, other), (Some(true), None) | (None, Some(true))), "{answer:?} {other:?}");
        assert_eq!(book.durable_lines().len(), 1);
        rig.stop();
    });
}
