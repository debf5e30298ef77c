//! Waiting for capacity.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::*;
use crate::queue::{Admission, Waiting};

/// The bytes of one exchange.
const ONE: usize = 2;

impl Rig {
    fn admit(&self) -> Admission {
        let admission = self.queue().admit(Delivery::Backpressure, ONE, self.engine.monotonic());
        if matches!(admission, Admission::Granted) {
            self.queue().hold(ONE);
        }
        admission
    }

    /// Asks to keep bytes of a body.
    fn keep(&self, bytes: usize) -> Admission {
        let deadline = self.engine.monotonic() + self.engine.admission_timeout;
        self.queue().admit_body(Delivery::Backpressure, bytes, Some(deadline)).expect("it has a deadline")
    }

    /// Finishes as somebody who was admitted.
    fn finish(&self, id: u128, bytes: usize) {
        assert!(self.engine.hand_over(self.draft(id, Delivery::Backpressure, bytes)).is_some());
    }

    /// Stands in line behind what a sink that takes nothing holds up.
    fn stand_in_line(&self, people: usize) -> Vec<Waiting> {
        let admissions = (0..people).map(|_| match self.admit() {
            Admission::Wait(waiting) => waiting,
            other => panic!("there is no room, but: {other:?}"),
        });
        admissions.collect()
    }
}

/// Where one stands: still waiting, or answered with what.
fn ask(waiting: &mut Waiting) -> Poll<Option<usize>> {
    block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut *waiting).poll(cx))))
}

/// Room for one record, and a sink that holds it up.
fn full(setting: &Setting) -> (Arc<Rig>, Book) {
    let (rig, book) = Rig::healthy(setting);
    book.shut(true);
    (0..setting.records as u128).for_each(|n| assert!(rig.push(id(9, n)).is_some()));
    (rig, book)
}

#[test]
fn those_who_wait_are_let_in_in_order_and_nobody_overtakes() {
    check(|| {
        // The line is as long as the queue; the bytes are enough for one at a time.
        let (rig, book) = full(&Setting { records: 4, bytes: ONE, ..Setting::default() });
        let mut line = rig.stand_in_line(3);
        let places: Vec<_> = line.iter().map(Waiting::watch).collect();
        let same = rig.clone();
        let newcomer = thread::spawn(move || {
            let allowed = match same.admit() {
                Admission::Granted => {
                    assert!(places.iter().all(|waits| !waits()), "a newcomer overtook those who wait");
                    Some(ONE)
                }
                Admission::Wait(waiting) => {
                    let allowed = block_on(waiting);
                    assert!(places.iter().all(|waits| !waits()), "the last in line overtook others");
                    allowed
                }
                Admission::Refused => panic!("the line is not full"),
            };
            same.finish(id(1, 9), allowed.expect("room comes before the wait is over"));
        });
        book.shut(false);
        let mut let_in = 0;
        while let_in < line.len() {
            thread::yield_now();
            let answers: Vec<_> = line[let_in..].iter_mut().rev().map(ask).collect();
            // Asked from behind: whoever stands before somebody who was let in has been let in too.
            let answered: Vec<_> = answers.iter().rev().map(Poll::is_ready).collect();
            assert!(answered.is_sorted_by(|before, behind| before >= behind), "{answered:?}");
            for answer in answers {
                if let Poll::Ready(allowed) = answer {
                    rig.finish(id(1, let_in as u128), allowed.expect("room comes before the wait is over"));
                    let_in += 1;
                }
            }
        }
        newcomer.join().unwrap();
        drop(line);
        rig.stop();
        assert_eq!(book.lines().len(), 4 + 4);
    });
}

#[test]
fn a_wait_that_is_given_up_at_any_point_leaks_nothing_and_stops_nobody() {
    check(|| {
        // Bytes for one exchange at a time: what leaks is missed.
        let (rig, book) = full(&Setting { records: 1, bytes: ONE, ..Setting::default() });
        // One who stands in line already frees no place in it for others: the line is as long as the queue.
        let mut line = rig.stand_in_line(1);
        let quitter = line.pop().unwrap();
        let quit = thread::spawn(move || {
            let mut quitter = quitter;
            for _ in 0..3 {
                if ask(&mut quitter).is_ready() {
                    // Has the bytes now, and would have to give them back.
                    return true;
                }
                thread::yield_now();
            }
            false
        });
        let same = rig.clone();
        let stayer = thread::spawn(move || {
            let waiting = loop {
                match same.admit() {
                    Admission::Wait(waiting) => break waiting,
                    Admission::Granted => return same.finish(id(1, 1), ONE),
                    Admission::Refused => thread::yield_now(),
                }
            };
            same.finish(id(1, 1), block_on(waiting).expect("whoever stays is let in"));
        });
        book.shut(false);
        if quit.join().unwrap() {
            rig.finish(id(1, 0), ONE);
        }
        stayer.join().unwrap();
        rig.stop();
    });
}

#[test]
fn several_give_up_while_room_comes() {
    check(|| {
        let (rig, book) = full(&Setting { records: 3, bytes: 2 * ONE, ..Setting::default() });
        let mut line = rig.stand_in_line(3);
        let last = line.pop().unwrap();
        let quitters: Vec<_> = line
            .into_iter()
            .map(|mut waiting| {
                thread::spawn(move || match ask(&mut waiting) {
                    Poll::Ready(allowed) => allowed,
                    Poll::Pending => {
                        thread::yield_now();
                        drop(waiting);
                        None
                    }
                })
            })
            .collect();
        book.shut(false);
        for quitter in quitters {
            if let Some(allowed) = quitter.join().unwrap() {
                // Finishes without a record.
                rig.queue().release(allowed);
            }
        }
        let allowed = block_on(last).expect("whoever stays is let in");
        rig.finish(id(1, 0), allowed);
        rig.stop();
    });
}

/// Bytes that another exchange gives back call nobody; the worker looks on its own while somebody stands in line.
#[test]
fn bytes_that_come_free_are_room() {
    check(|| {
        let (rig, _book) = Rig::healthy(&Setting { bytes: ONE, ..Setting::default() });
        assert!(matches!(rig.admit(), Admission::Granted), "there is room");
        let mut line = rig.stand_in_line(2);
        let (second, first) = (line.pop().unwrap(), line.pop().unwrap());
        let same = rig.clone();
        let other = thread::spawn(move || {
            let allowed = block_on(second).expect("there is room");
            same.finish(id(1, 0), allowed);
        });
        rig.queue().release(ONE);
        let allowed = block_on(first).expect("there is room");
        rig.queue().release(allowed);
        other.join().unwrap();
        rig.stop();
    });
}

#[test]
fn a_wait_that_is_too_long_is_refused_and_the_next_one_is_not() {
    check(|| {
        let (rig, book) =
            full(&Setting { records: 2, admission_timeout: Duration::from_millis(3), ..Setting::default() });
        let mut line = rig.stand_in_line(2);
        let (second, first) = (line.pop().unwrap(), line.pop().unwrap());
        let other = thread::spawn(move || block_on(second));
        assert_eq!(block_on(first), None, "no room came");
        assert_eq!(other.join().unwrap(), None, "no room came");
        book.shut(false);
        until(|| rig.queue().unwritten() == 0);
        assert!(matches!(rig.admit(), Admission::Granted), "there is room");
        rig.finish(id(1, 0), ONE);
        rig.stop();
    });
}

/// Room and the end of the wait come at the same time: either answer, and nothing leaks.
#[test]
fn expiry_races_with_room() {
    check(|| {
        let (rig, book) =
            full(&Setting { records: 2, admission_timeout: Duration::from_millis(6), ..Setting::default() });
        let people: Vec<_> = rig
            .stand_in_line(2)
            .into_iter()
            .map(|waiting| {
                let rig = rig.clone();
                thread::spawn(move || {
                    if let Some(allowed) = block_on(waiting) {
                        rig.finish(id(1, 0), allowed);
                    }
                })
            })
            .collect();
        book.shut(false);
        people.into_iter().for_each(|one| one.join().unwrap());
        rig.stop();
    });
}

/// Those who cannot wait overtake nobody either, and hand over or count what was refused.
#[test]
fn outsiders_are_written_or_told() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting { records: 1, ..Setting::default() });
        let refused = || {
            let mut draft = rig.draft(id(1, 0), Delivery::Backpressure, 0);
            draft.outcome = Some(Outcome::Rejected);
            draft.admitted = false;
            draft
        };
        let drafts: Vec<_> = (0..2).map(|_| refused()).collect();
        let tasks: Vec<_> = drafts
            .into_iter()
            .map(|draft| {
                let rig = rig.clone();
                thread::spawn(move || rig.engine.hand_over(draft).is_some())
            })
            .collect();
        let entered = tasks.into_iter().map(|task| u64::from(task.join().unwrap())).sum::<u64>();
        let report = rig.stop();
        assert_eq!((report.refused, report.lost), (2, 0));
        assert_eq!(book.lines().len() as u64, entered);
        assert_eq!(book.told_refused(), 2 - entered);
    });
}

/// Three quarters of 16 bytes are for bodies. One that needs fewer bytes does not wait behind one that needs more.
#[test]
fn a_body_waits_for_bytes_and_nobody_waits_behind_it() {
    check(|| {
        let (rig, _book) = Rig::healthy(&Setting { bytes: 16, ..Setting::default() });
        assert!(matches!(rig.keep(8), Admission::Granted));
        let Admission::Wait(large) = rig.keep(12) else { panic!("there are no bytes") };
        let Admission::Wait(small) = rig.keep(5) else { panic!("there are no bytes") };
        assert!(matches!(rig.admit(), Admission::Granted), "an exchange does not wait behind bodies");
        rig.queue().release(ONE);
        let same = rig.clone();
        let other = thread::spawn(move || same.queue().release(1));
        assert_eq!(block_on(small), Some(5));
        other.join().unwrap();
        rig.queue().release(5 + 7);
        assert_eq!(block_on(large), Some(12));
        rig.queue().release(12);
        rig.stop();
    });
}

/// Bytes, the end of the wait and a client that goes come at the same time: any answer, and nothing leaks.
#[test]
fn bodies_that_wait_expire_or_are_dropped_and_leak_nothing() {
    check(|| {
        let (rig, _book) =
            Rig::healthy(&Setting { bytes: 16, admission_timeout: Duration::from_millis(3), ..Setting::default() });
        assert!(matches!(rig.keep(12), Admission::Granted));
        let waits: Vec<_> = (0..3)
            .map(|_| match rig.keep(6) {
                Admission::Wait(waiting) => waiting,
                other => panic!("there are no bytes, but: {other:?}"),
            })
            .collect();
        let bodies: Vec<_> = waits
            .into_iter()
            .enumerate()
            .map(|(n, mut waiting)| {
                let rig = rig.clone();
                thread::spawn(move || {
                    let granted = if n == 0 {
                        // Polled once, and dropped whatever came.
                        match ask(&mut waiting) {
                            Poll::Ready(granted) => granted,
                            Poll::Pending => None,
                        }
                    } else {
                        block_on(waiting)
                    };
                    rig.queue().release(granted.unwrap_or(0));
                })
            })
            .collect();
        rig.queue().release(12);
        bodies.into_iter().for_each(|body| body.join().unwrap());
        rig.stop();
    });
}

/// A required sink is given up while bodies wait: one whose record could not become durable is left out, the other goes on
/// waiting.
#[test]
fn a_body_that_waits_for_a_sink_that_dies_is_left_out() {
    check(|| {
        let (sink, _book) = Scripted::new(&[Turn::Die], &[]);
        let rig = Arc::new(Rig::start(&Setting { bytes: 16, ..Setting::default() }, vec![(sink, Need::Required)]));
        assert!(matches!(rig.keep(12), Admission::Granted));
        let Admission::Wait(patient) = rig.keep(5) else { panic!("there are no bytes") };
        match rig.queue().admit_body(Delivery::Durable, 6, Some(LONG)) {
            Some(Admission::Wait(waiting)) => assert_eq!(block_on(waiting), None),
            Some(Admission::Refused) => {}
            other => panic!("there are no bytes, but: {other:?}"),
        }
        rig.queue().release(12);
        assert_eq!(block_on(patient), Some(5));
        rig.queue().release(5);
        rig.stop();
    });
}

/// At the end nobody is left waiting for bytes.
#[test]
fn a_body_that_waits_when_the_end_comes_is_left_out() {
    check(|| {
        let (rig, _book) = Rig::healthy(&Setting { bytes: 16, ..Setting::default() });
        assert!(matches!(rig.keep(12), Admission::Granted));
        let Admission::Wait(waiting) = rig.keep(6) else { panic!("there are no bytes") };
        let body = thread::spawn(move || block_on(waiting));
        let stop = rig.begin_stop(LONG);
        assert_eq!(body.join().unwrap(), None);
        block_on(stop);
        assert_eq!(rig.queue().held_bytes(), 12);
    });
}
