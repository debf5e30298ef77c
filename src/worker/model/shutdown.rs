//! The end, while everything else goes on.

use shuttle::rand::Rng as _;

use super::*;
use crate::exchange::Exchange;
use crate::layer::Guard;
use crate::queue::Admission;
use crate::queue::LossReason;
use crate::sync::atomic::Ordering;
use crate::worker::{TRAP_INSIDE, TRAP_OUTSIDE};

/// The bytes of one exchange.
const ONE: usize = 2;

#[test]
fn what_comes_before_the_end_is_written_and_what_comes_after_is_counted() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting { records: 2, ..Setting::default() });
        let pusher = {
            let rig = rig.clone();
            thread::spawn(move || (0..3).filter(|n| rig.push(id(1, *n)).is_some()).count() as u64)
        };
        let lossy = {
            let rig = rig.clone();
            thread::spawn(move || (0..2).filter(|n| rig.push_lossy(id(2, *n)).is_some()).count() as u64)
        };
        let waiter = {
            let rig = rig.clone();
            thread::spawn(move || {
                let allowed = match rig.queue().admit(Delivery::Backpressure, 1, rig.engine.monotonic()) {
                    Admission::Granted => Some(0),
                    Admission::Wait(waiting) => block_on(waiting),
                    Admission::Refused => None,
                };
                let Some(allowed) = allowed else { return (0, 0) };
                let entered = rig.engine.hand_over(rig.draft(id(3, 0), Delivery::Backpressure, allowed));
                (1, u64::from(entered.is_some()))
            })
        };
        let flusher = {
            let rig = rig.clone();
            thread::spawn(move || block_on(rig.flush()))
        };
        let report = block_on(rig.begin_stop(LONG));
        let entered = pusher.join().unwrap() + lossy.join().unwrap();
        let (tried, let_in) = waiter.join().unwrap();
        let _ = flusher.join().unwrap();
        let queue = rig.queue();
        assert_eq!(queue.pushed(), entered + let_in);
        assert_eq!(book.lines().len() as u64, entered + let_in, "what could enter is written");
        assert_eq!(entered + let_in + queue.lost(), 5 + tried, "what could not is counted");
        assert_eq!((report.written, book.told_written()), (book.all(), book.all()));
        assert!(report.lost <= queue.lost() && report.flushed);
        assert_eq!((queue.held_bytes(), queue.waiting(), queue.unwritten()), (0, 0, 0));
        assert!(!block_on(rig.flush()), "nobody would answer now but at once");
    });
}

/// A request is over for the worker with its record; its response still waits for the record to be durable.
#[test]
fn a_response_that_waits_for_its_record_is_answered_by_what_became_of_it() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let requests: Vec<_> = (0..2)
            .map(|number| {
                let rig = rig.clone();
                thread::spawn(move || {
                    let position = rig.push(id(1, number))?;
                    let answer = rig.engine.control.flush(position, Reach::Required, LONG);
                    rig.queue().call();
                    Some(block_on(answer))
                })
            })
            .collect();
        let report = block_on(rig.begin_stop(LONG));
        let answers: Vec<_> = requests.into_iter().map(|request| request.join().unwrap()).collect();
        assert!(report.flushed);
        assert!(answers.iter().all(|answer| *answer != Some(false)), "{answers:?}");
        assert_eq!(book.durable_lines().len(), answers.iter().flatten().count());
    });
}

/// Nothing but our own records: the last may be made before the sink has taken the first.
#[test]
fn the_last_record_counts_the_first() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let report = rig.stop();
        assert_eq!((report.written, book.told_written(), book.all()), (2, 2, 2));
    });
}

#[test]
fn whoever_asks_for_the_end_is_answered() {
    check(|| {
        let (rig, _book) = Rig::healthy(&Setting::default());
        let askers: Vec<_> = (0..2)
            .map(|_| {
                let rig = rig.clone();
                thread::spawn(move || block_on(rig.begin_stop(LONG)))
            })
            .collect();
        let reports: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
        assert!(reports.iter().all(|report| report.written == 2 && report.flushed), "{reports:?}");
        assert!(!block_on(rig.flush()));
        block_on(rig.begin_stop(LONG));
    });
}

/// A deadline that strikes while the sink is at work: each record is written or lost, and not both.
#[test]
fn a_report_at_the_deadline_adds_up() {
    check_some(|| {
        let (sink, book) = Scripted::new(&[Turn::Take, Turn::Take, Turn::Fail, Turn::Half], &[]);
        let rig = Arc::new(Rig::start(&Setting::default(), vec![(sink, Need::Required)]));
        book.shut(true);
        let same = rig.clone();
        let pusher = thread::spawn(move || (0..3).for_each(|n| assert!(same.push(id(1, n)).is_some())));
        (0..3).for_each(|n| assert!(rig.push(id(2, n)).is_some()));
        pusher.join().unwrap();
        let began = Instant::now();
        let (at, pages) = (shuttle::rand::thread_rng().gen_range(45..55), book.clone());
        let opener = thread::spawn(move || {
            until(|| began.elapsed() >= Duration::from_millis(at) || !pages.read(|pages| pages.shut));
            pages.shut(false);
        });
        // The shortest deadline there is, which is 50 milliseconds.
        let report = block_on(rig.begin_stop(Duration::ZERO));
        book.shut(false);
        opener.join().unwrap();
        let sum = report.written + report.lost;
        // Our own two are among those written, as far as the sink came.
        assert!((6..=6 + 2).contains(&sum), "{report:?}");
        assert!(!report.flushed || sum == 6 + 2, "{report:?}");
    });
}

#[test]
fn a_sink_that_dies_does_not_hold_up_the_end() {
    check(|| {
        let (sink, book) = Scripted::new(&[Turn::Take, Turn::Half, Turn::Die], &[]);
        let rig = Arc::new(Rig::start(&Setting { records: 2, ..Setting::default() }, vec![(sink, Need::Required)]));
        let same = rig.clone();
        let pusher = thread::spawn(move || (0..4).filter(|n| same.push(id(1, *n)).is_some()).count() as u64);
        let report = block_on(rig.begin_stop(LONG));
        let entered = pusher.join().unwrap();
        let queue = rig.queue();
        let whole = book.read(|pages| {
            let end = pages.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            lines(&pages.bytes[..end]).len() as u64
        });
        let lost = queue.lost_by(LossReason::SinkFailed);
        assert_eq!(entered + queue.lost_by(LossReason::Shutdown), 4);
        assert_eq!(whole + lost, entered, "{report:?}");
        assert_eq!((queue.held_bytes(), queue.unwritten()), (0, 0));
    });
}

/// Between "nothing is open" and the close: who is admitted is waited for and written, everybody else is refused, and
/// what may be lost is written or counted, once.
#[test]
fn whoever_is_admitted_while_the_end_comes_is_written() {
    check(|| {
        let (rig, book) = Rig::healthy(&Setting::default());
        let request = |class: Delivery, number: u128| {
            let rig = rig.clone();
            thread::spawn(move || {
                let mut draft = rig.draft(id(1, number), class, 0);
                draft.outcome = None;
                draft.admitted = false;
                let bytes = match rig.queue().count_and_admit(class, ONE, rig.engine.monotonic()) {
                    Admission::Granted => Some(ONE),
                    Admission::Wait(_) => panic!("there is room"),
                    Admission::Refused => None,
                };
                let exchange = Exchange::open_in(rig.engine.take_exchange(), rig.log.clone(), draft);
                let guard = Guard::new(exchange.clone());
                match bytes {
                    Some(bytes) => {
                        exchange.with(|draft| draft.let_in(bytes));
                        thread::yield_now();
                        guard.finish(Outcome::Completed);
                    }
                    None => {
                        exchange.close(Outcome::Rejected);
                    }
                }
                bytes.is_some()
            })
        };
        let firm: Vec<_> = (0..2).map(|number| request(Delivery::Backpressure, number)).collect();
        let lossy = request(Delivery::Lossy, 2);
        let report = block_on(rig.begin_stop(LONG));
        let admitted = firm.into_iter().map(|one| u64::from(one.join().unwrap())).sum::<u64>();
        assert!(lossy.join().unwrap());
        let queue = rig.queue();
        let lines = of(1, &book.lines());
        let handled = lines.iter().filter(|id| **id != super::id(1, 2));
        let rejected = queue.refused();
        assert!(handled.count() as u64 >= admitted, "whoever was admitted is written");
        assert_eq!(admitted + rejected, 2);
        let lossy_written = u64::from(lines.contains(&id(1, 2)));
        assert_eq!(queue.lost() + lossy_written, 1, "the lossy one is written or counted");
        // The one that is lost is open at the time of the report, or counted as lost in it, or begins later.
        assert!(report.lost + report.open + lossy_written <= 1, "{report:?}");
        assert_eq!((rig.engine.open(), queue.held_bytes(), queue.unwritten()), (0, 0, 0));
    });
}

/// No known code lets the worker panic. Where it does in the middle of a round the round is handed over; where nothing
/// contains it, what it had is counted. Everybody is answered.
#[test]
fn a_worker_that_panics_settles_what_it_had_and_answers_everybody() {
    for trap in [TRAP_INSIDE, TRAP_OUTSIDE] {
        check(move || {
            let (rig, book) = Rig::healthy(&Setting { records: 2, ..Setting::default() });
            let pusher = {
                let rig = rig.clone();
                thread::spawn(move || {
                    (0..4).for_each(|n| {
                        let _ = rig.push(id(1, n));
                        rig.queue().trap.store(if n == 1 { trap } else { 0 }, Ordering::SeqCst);
                    });
                })
            };
            let waiter = {
                let rig = rig.clone();
                thread::spawn(move || match rig.queue().admit(Delivery::Backpressure, 0, rig.engine.monotonic()) {
                    Admission::Wait(waiting) => drop(block_on(waiting)),
                    Admission::Granted | Admission::Refused => {}
                })
            };
            let flusher = {
                let rig = rig.clone();
                thread::spawn(move || block_on(rig.flush()))
            };
            waiter.join().unwrap();
            pusher.join().unwrap();
            flusher.join().unwrap();
            let report = block_on(rig.begin_stop(LONG));
            until(|| book.read(|pages| pages.ended));
            let queue = rig.queue();
            assert_eq!(book.lines().len() as u64 + queue.lost(), 4, "each is written or counted: {report:?}");
            assert_eq!((queue.held_bytes(), queue.waiting(), queue.unwritten()), (0, 0, 0));
            assert!(queue.panics() <= 1);
            let written = of(1, &book.lines());
            assert!(written.is_sorted(), "in the order of their positions: {written:?}");
            let is_stopped = trap == TRAP_OUTSIDE && queue.panics() == 1;
            assert!(report.flushed != is_stopped, "{report:?}");
            assert!(queue.is_closed());
        });
    }
}
