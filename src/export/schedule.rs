//! When exports run: a cron expression in a time zone, from whatever clock is given.

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// What a schedule says at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// Not before this time has passed.
    In(Duration),
}

/// Runs that are asked for: none overlaps another, and what was missed is made up for once.
#[derive(Debug)]
pub(crate) struct Planner {
    schedule: Schedule,
    jitter: Duration,
    /// Up to here every run was made.
    since: SystemTime,
    /// When the next one is due, the jitter included; none is due any more if it is absent.
    next: Option<SystemTime>,
    /// The latest time that the clock said.
    latest: SystemTime,
}

/// A step back of the clock that is no adjustment: what is due is then found anew.
const STEP_BACK: Duration = Duration::from_secs(60 * 60);
/// How long nothing is looked at.
const LONGEST: Duration = Duration::from_secs(60 * 60);

pub(crate) const CRON_ALLOWED: &str = "a cron expression of 5 to 7 fields that fires at some time, such as \"0 3 * * *\" (each day at three), or @hourly, @daily";
pub(crate) const ZONE_ALLOWED: &str = "the name of a time zone such as UTC or Europe/Berlin";

impl Schedule {
    /// `None` if the expression is none, or never fires.
    pub(crate) fn parse(cron: &str, zone: &TimeZone) -> Option<Self> {
        let schedule = Self { cron: Cron::from_str(cron).ok()?, zone: zone.clone() };
        schedule.next_after(SystemTime::now()).map(|_| schedule)
    }

    pub(crate) fn zone(name: &str) -> Option<TimeZone> {
        if name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
    }

    /// The first occurrence after this moment.
    pub(crate) fn next_after(&self, moment: SystemTime) -> Option<SystemTime> {
        let moment = Timestamp::try_from(moment).ok()?;
        let next: Zoned = self.cron.find_next_occurrence(&moment.to_zoned(self.zone.clone()), false).ok()?;
        // What a change to summer time skips must not come again and again.
        (next.timestamp() > moment).then(|| next.timestamp().into())
    }
}

impl Planner {
    /// `ran`: the occurrence that the last run of an earlier process was made for.
    pub(crate) fn new(schedule: Schedule, jitter: Duration, ran: Option<SystemTime>, now: SystemTime) -> Self {
        // A moment that is still to come was noted by a clock that was wrong.
        let since = ran.filter(|ran| *ran <= now).unwrap_or(now);
        let mut this = Self { schedule, jitter, since, next: None, latest: now };
        this.plan();
        this
    }

    pub(crate) fn due(&mut self, now: SystemTime) -> Due {
        if now + STEP_BACK < self.latest {
            self.since = now;
            self.plan();
        }
        self.latest = now;
        match self.next {
            Some(next) if next <= now => Due::Now,
            Some(next) => Due::In(next.duration_since(now).unwrap_or_default().min(LONGEST)),
            None => Due::In(LONGEST),
        }
    }

    /// A run begins: it stands for all occurrences up to now. Gives what is to be remembered for the next process.
    pub(crate) fn begin(&mut self, now: SystemTime) -> SystemTime {
        self.since = self.since.max(now);
        self.plan();
        self.since
    }

    fn plan(&mut self) {
        let jitter = self.jitter.mul_f64(random());
        self.next = self.schedule.next_after(self.since).map(|next| next + jitter);
    }
}

/// From 0 to 1.
fn random() -> f64 {
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule::parse(cron, &Schedule::zone(zone).unwrap()).unwrap()
    }

    /// Runs through a time in steps, and gives when runs were made.
    fn runs(planner: &mut Planner, from: &str, to: &str, step: u64) -> Vec<String> {
        let (mut now, mut runs) = (at(from), Vec::new());
        while now < at(to) {
            if planner.due(now) == Due::Now {
                planner.begin(now);
                runs.push(Timestamp::try_from(now).unwrap().to_string());
            }
            now += Duration::from_secs(step);
        }
        runs
    }

    #[test]
    fn five_to_seven_fields_and_macros_are_read_and_what_never_fires_is_refused() {
        let utc = TimeZone::UTC;
        for cron in
            ["0 3 * * *", "*/2 * * * * *", "0 0 3 * * * *", "@hourly", "@daily", "@weekly", "0 0 29 2 *", "0 0 L * *"]
        {
            assert!(Schedule::parse(cron, &utc).is_some(), "{cron}");
        }
        for cron in [
            "",
            "* * * *",
            "* * * * * * * *",
            "61 * * * *",
            "0 0 30 2 *",
            "0 0 0 1 1 * 1999",
            "@never",
            "0 3 * * * ; rm",
        ] {
            assert!(Schedule::parse(cron, &utc).is_none(), "{cron}");
        }
        assert!(Schedule::zone("Europe/Berlin").is_some());
        assert!(Schedule::zone("Mars/Olympus").is_none());
    }

    #[test]
    fn a_year_of_days_has_one_run_each_across_both_changes_of_summer_time() {
        for (zone, cron) in [("Europe/Berlin", "30 2 * * *"), ("America/New_York", "30 1 * * *"), ("UTC", "0 3 * * *")]
        {
            let start = "2026-01-01T12:00:00Z";
            let mut planner = Planner::new(schedule(cron, zone), Duration::ZERO, None, at(start));
            let runs = runs(&mut planner, start, "2027-01-01T12:00:00Z", 600);
            let days: std::collections::BTreeSet<&str> = runs.iter().map(|run| &run[..10]).collect();
            assert_eq!((runs.len(), days.len()), (365, 365), "{zone}");
        }
    }

    #[test]
    fn in_summer_the_same_hour_is_another_moment() {
        let berlin = schedule("0 8 * * *", "Europe/Berlin");
        let next = |moment| Timestamp::try_from(berlin.next_after(at(moment)).unwrap()).unwrap().to_string();
        assert_eq!(next("2026-03-28T00:00:00Z"), "2026-03-28T07:00:00Z");
        assert_eq!(next("2026-03-29T00:00:00Z"), "2026-03-29T06:00:00Z");
        assert_eq!(next("2026-10-24T00:00:00Z"), "2026-10-24T06:00:00Z");
        assert_eq!(next("2026-10-25T00:00:00Z"), "2026-10-25T07:00:00Z");
    }

    #[test]
    fn missed_runs_are_made_up_for_once() {
        let hourly = schedule("0 * * * *", "UTC");
        let now = at("2026-11-20T10:30:00Z");
        let mut late = Planner::new(hourly.clone(), Duration::ZERO, Some(at("2026-11-20T04:00:00Z")), now);
        assert_eq!(late.due(now), Due::Now);
        late.begin(now);
        assert_eq!(late.due(now), Due::In(Duration::from_secs(30 * 60)));
        // While a run takes three hours no other begins, and one is made up for.
        let after = at("2026-11-20T14:01:00Z");
        assert_eq!(late.due(after), Due::Now);
        late.begin(after);
        assert_eq!(late.due(after), Due::In(Duration::from_secs(59 * 60)));
        let mut first = Planner::new(hourly, Duration::ZERO, None, now);
        assert_eq!(first.due(now), Due::In(Duration::from_secs(30 * 60)), "a first start has missed nothing");
    }

    #[test]
    fn a_clock_that_is_set_back_a_year_does_not_stop_the_runs() {
        let hourly = schedule("0 * * * *", "UTC");
        let mut planner = Planner::new(hourly.clone(), Duration::ZERO, None, at("2027-11-20T10:30:00Z"));
        assert_eq!(planner.due(at("2026-11-20T10:30:00Z")), Due::In(Duration::from_secs(30 * 60)));
        assert_eq!(planner.due(at("2026-11-20T11:00:00Z")), Due::Now);
        let noted_later = Some(at("2027-11-20T10:30:00Z"));
        let mut planner = Planner::new(hourly, Duration::ZERO, noted_later, at("2026-11-20T10:59:00Z"));
        assert_eq!(planner.due(at("2026-11-20T11:00:00Z")), Due::Now);
    }

    #[test]
    fn jitter_delays_within_its_limit() {
        let jitter = Duration::from_secs(600);
        let start = at("2026-11-20T10:30:00Z");
        for _ in 0..100 {
            let mut planner = Planner::new(schedule("0 * * * *", "UTC"), jitter, None, start);
            let Due::In(delay) = planner.due(start) else { panic!("too early") };
            assert!((Duration::from_secs(1_800)..=Duration::from_secs(2_400)).contains(&delay), "{delay:?}");
        }
    }
}
