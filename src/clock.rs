//! Time and identity, passed in: so that tests never sleep and whole records can be compared.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::diagnostics::contained;

/// The source of times. By default the clocks of the system.
///
/// Called on the request's task: it must not block.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for `timestamp`. Read once for each request; its end is this plus what
    /// [`Clock::monotonic`] says went by, so that a step of the wall clock cannot turn a duration negative.
    fn now(&self) -> SystemTime;

    /// Time since any fixed moment; it never goes back. If it does, time does not move until it has caught up.
    fn monotonic(&self) -> Duration;
}

/// The source of the ids of requests and activities. By default UUIDv7 (RFC 9562), which sort by time.
///
/// Called on the request's task: it must not block.
pub trait IdSource: Send + Sync + 'static {
    /// A new `auditId` for a request that arrived at `at`.
    fn audit_id(&self, at: SystemTime) -> Uuid;
}

/// A moment of the wall clock, as its source returns it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall {
    /// Nanoseconds since 1970.
    Nanos(u64),
    Time(SystemTime),
}

impl Wall {
    pub(crate) fn micros(self) -> Micros {
        match self {
            // 584 years: within what `Micros` may say.
            Self::Nanos(nanos) => Micros((nanos / 1000).cast_signed()),
            Self::Time(time) => Micros::from_system(time),
        }
    }

    fn millis(self) -> u64 {
        match self {
            Self::Nanos(nanos) => nanos / 1_000_000,
            Self::Time(time) => in_millis(time),
        }
    }

    fn time(self) -> SystemTime {
        match self {
            Self::Nanos(nanos) => UNIX_EPOCH + Duration::from_nanos(nanos),
            Self::Time(time) => time,
        }
    }
}

/// Where an engine's ids come from.
pub(crate) enum Ids {
    Own(UuidV7),
    Given(Box<dyn IdSource>),
}

impl Ids {
    pub(crate) fn audit_id(&self, at: Wall) -> Uuid {
        match self {
            Self::Own(ids) => ids.at(at.millis()),
            Self::Given(ids) => contained("the id source", || ids.audit_id(at.time())).unwrap_or_else(Uuid::new_v4),
        }
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

/// Where an engine's time comes from.
pub(crate) enum Time {
    System(SystemClock),
    Given(Given),
}

/// A clock of the application. One that goes back stands still until it has caught up; one that panics is not asked for
/// monotonic time again, which then goes on with the system's clock.
pub(crate) struct Given {
    clock: Box<dyn Clock>,
    /// The latest reading, in nanoseconds.
    latest: AtomicU64,
    /// When the clock panicked, and its latest reading then.
    panicked: OnceLock<(Instant, u64)>,
}

impl Given {
    fn monotonic(&self) -> Duration {
        if self.panicked.get().is_none()
            && let Some(reading) = contained("the clock", || self.clock.monotonic())
        {
            let reading = in_nanos(reading);
            let before = self.latest.fetch_max(reading, Ordering::Relaxed);
            return Duration::from_nanos(before.max(reading));
        }
        let panicked = || (Instant::now(), self.latest.load(Ordering::Relaxed));
        let (since, latest) = *self.panicked.get_or_init(panicked);
        Duration::from_nanos(latest) + since.elapsed()
    }
}

impl Time {
    pub(crate) fn given(clock: impl Clock) -> Self {
        Self::Given(Given { clock: Box::new(clock), latest: AtomicU64::new(0), panicked: OnceLock::new() })
    }

    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System(clock) => clock.now(),
            Self::Given(given) => contained("the clock", || given.clock.now()).unwrap_or_else(SystemTime::now),
        }
    }

    pub(crate) fn monotonic(&self) -> Duration {
        match self {
            Self::System(clock) => clock.monotonic(),
            Self::Given(given) => given.monotonic(),
        }
    }

    /// What both say at this moment.
    pub(crate) fn both(&self) -> (Wall, Duration) {
        match self {
            Self::System(clock) => clock.both(),
            Self::Given(_) => (Wall::Time(self.now()), self.monotonic()),
        }
    }
}

impl Clock for Time {
    fn now(&self) -> SystemTime {
        self.now()
    }

    fn monotonic(&self) -> Duration {
        self.monotonic()
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

/// The system's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    origin: Instant,
    /// When [`SystemClock::both`] last read the wall clock: nanoseconds of the monotonic one.
    read: AtomicU64,
    /// How far the wall clock was ahead of the monotonic one then, in nanoseconds since 1970.
    ahead: AtomicU64,
}

/// The wall clock is read again after so many nanoseconds: a step of it shows that late.
const FRESH: u64 = 1_000_000;
/// Nanoseconds between the readings of both clocks that count as none.
const CLOSE: u64 = 100_000;

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), read: AtomicU64::new(u64::MAX - FRESH), ahead: AtomicU64::new(0) }
    }

    /// Both clocks, at the price of one while there is traffic: reading them is a good part of what a request pays.
    fn both(&self) -> (Wall, Duration) {
        let monotonic = self.monotonic();
        let nanos = in_nanos(monotonic);
        // Also if another thread has read it in between.
        if nanos.wrapping_sub(self.read.load(Ordering::Acquire)) < FRESH {
            let since_1970 = self.ahead.load(Ordering::Relaxed).wrapping_add(nanos);
            return (Wall::Nanos(since_1970), monotonic);
        }
        let wall = self.now();
        let took = in_nanos(self.monotonic()).saturating_sub(nanos);
        // A thread that had to wait between the two has not read them at one moment.
        if let Ok(since_1970) = wall.duration_since(UNIX_EPOCH)
            && took < CLOSE
        {
            self.ahead.store(in_nanos(since_1970).wrapping_sub(nanos), Ordering::Relaxed);
            self.read.store(nanos, Ordering::Release);
        }
        (Wall::Time(wall), monotonic)
    }
}

/// Enough for 584 years.
fn in_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// UUIDv7 without a system call for each: a random key from the system, and a counter mixed with it.
///
/// The mix is a bijection of the counter, so ids of one process never repeat; the 64 random bits of the key,
/// and the milliseconds in front, keep processes apart. Ids are unique, not secret.
#[derive(Debug)]
pub(crate) struct UuidV7 {
    key: u64,
    salt: u16,
}

/// Numbers that a thread draws at once, so that threads do not meet at one counter with each request.
const DRAWN: u64 = 1024;

thread_local! {
    static NEXT_HERE: Cell<u64> = const { Cell::new(0) };
}

/// A number that nobody else in this process gets.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT_HERE.get();
    let number = if next.is_multiple_of(DRAWN) { NEXT.fetch_add(DRAWN, Ordering::Relaxed) } else { next };
    NEXT_HERE.set(number + 1);
    number
}

impl UuidV7 {
    pub(crate) fn new() -> Self {
        let (key, salt) = Uuid::new_v4().as_u64_pair();
        // The version and variant bits of a v4 are fixed; the low bits of both halves are random.
        Self { key: key ^ salt.rotate_left(32), salt: (salt & 0xffff) as u16 }
    }
}

impl UuidV7 {
    /// An id with 48 bits of milliseconds, four of salt, eight of the mix, six of salt, and the rest of the mix.
    fn at(&self, millis: u64) -> Uuid {
        let mix = splitmix64(self.key.wrapping_add(number()));
        let salt = u64::from(self.salt);
        let version = 7 << 12;
        let variant = 0b10 << 62;
        let high = (millis << 16) | version | ((salt & 0xf) << 8) | (mix >> 56);
        let low = variant | (((salt >> 4) & 0x3f) << 56) | (mix & (u64::MAX >> 8));
        Uuid::from_u64_pair(high, low)
    }
}

fn in_millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl IdSource for UuidV7 {
    fn audit_id(&self, at: SystemTime) -> Uuid {
        self.at(in_millis(at))
    }
}

/// Sebastiano Vigna's splitmix64 finaliser: <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A wall-clock moment in microseconds since 1970-01-01 UTC, as records carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) i64);

impl Micros {
    /// Moments outside RFC 3339's years 0000 to 9999 are moved to the nearest that it can say.
    pub(crate) fn from_system(time: SystemTime) -> Self {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Self(micros.clamp(-62_167_219_200_000_000, 253_402_207_200_000_000))
    }

    /// None outside of those years.
    pub(crate) fn from_micros(micros: i64) -> Option<Self> {
        (-62_167_219_200_000_000..=253_402_207_200_000_000).contains(&micros).then_some(Self(micros))
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        let later = self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
        Self(later.min(253_402_207_200_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says these, one after another, and then panics.
    struct Said(std::sync::Mutex<std::vec::IntoIter<u64>>);

    impl Clock for Said {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            let next = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            Duration::from_secs(next.expect("a clock that panics at last"))
        }
    }

    #[test]
    fn a_clock_that_goes_back_stands_still_and_one_that_panics_goes_on() {
        let time = Time::given(Said(std::sync::Mutex::new(vec![5, 9, 7, 8, 10].into_iter())));
        let seconds: Vec<u64> = (0..5).map(|_| time.monotonic().as_secs()).collect();
        assert_eq!(seconds, [5, 9, 9, 9, 10]);
        let readings: Vec<Duration> = (0..1000).map(|_| time.monotonic()).collect();
        assert!(readings[0] >= Duration::from_secs(10) && readings.is_sorted());
        let later = std::iter::repeat_with(|| time.monotonic()).find(|reading| *reading > readings[0]);
        assert!(later.is_some());
    }

    #[test]
    fn both_clocks_together_say_what_each_says_alone() {
        let clock = SystemClock::new();
        for _ in 0..1000 {
            let before = (clock.now(), clock.monotonic());
            let (wall, monotonic) = clock.both();
            let wall = wall.time();
            let after = (clock.now(), clock.monotonic());
            assert!((before.1..=after.1).contains(&monotonic));
            // Not more exactly than that: others may set the clock of this machine.
            let slack = Duration::from_millis(100);
            assert!(wall + slack >= before.0 && wall <= after.0 + slack);
        }
    }

    #[test]
    fn ids_are_version_7_sorted_by_millisecond_and_never_repeat() {
        let source = UuidV7::new();
        let at = UNIX_EPOCH + Duration::from_millis(1_763_600_000_123);
        let ids: std::collections::HashSet<Uuid> = (0..100_000).map(|_| source.audit_id(at)).collect();
        assert_eq!(ids.len(), 100_000);
        let elsewhere = std::thread::scope(|scope| {
            let draw = || (0..3000).map(|_| source.audit_id(at)).collect::<Vec<_>>();
            [scope.spawn(draw), scope.spawn(draw)].map(|thread| thread.join().unwrap()).concat()
        });
        let all: std::collections::HashSet<Uuid> = ids.iter().chain(&elsewhere).copied().collect();
        assert_eq!(all.len(), 106_000);
        for id in ids.iter().take(100) {
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_763_600_000, 123_000_000));
        }
        assert!(source.audit_id(at) < source.audit_id(at + Duration::from_millis(1)));
    }
}
