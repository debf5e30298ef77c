//! Sealing: when a segment is full or its time is over, it gets its final name, and a new one begins.

use std::io;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::disk::Disk;
use super::name::{Form, Sealed};
use super::retain;
use super::writer::{Current, Writer};
use crate::clock::Micros;
use crate::diagnostics::report;

/// After a rotation that failed, records go on into the same segment, and the next attempt waits so long.
const PAUSE: Duration = Duration::from_secs(10);

/// The moments in names of segments, which never go back.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: Micros,
}

impl Stamps {
    fn next(&mut self, now: SystemTime) -> Micros {
        let next = Micros::from_system(now).max(self.last.plus(Duration::from_micros(1)));
        self.last = next;
        next
    }
}

/// Periods begin at whole multiples since 1970-01-01 UTC.
#[derive(Debug)]
pub(super) struct Period;

impl Period {
    /// The number of the period that a moment is in.
    pub(super) fn of(moment: SystemTime, every: Duration) -> i128 {
        i128::from(Micros::from_system(moment).0).div_euclid(micros(every))
    }

    /// How long the period of this moment goes on.
    pub(super) fn left(moment: SystemTime, every: Duration) -> Duration {
        let left = micros(every) - i128::from(Micros::from_system(moment).0).rem_euclid(micros(every));
        Duration::from_micros(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

fn micros(every: Duration) -> i128 {
    i128::try_from(every.as_micros()).unwrap_or(i128::MAX).max(1)
}

impl<D: Disk> Writer<D> {
    /// Names go on after those that are there.
    pub(super) fn continue_stamps(&mut self) {
        let names = self.disk.list(self.names.folder()).unwrap_or_default();
        self.stamps.last = self.names.segments(&names).last().map_or(Micros::default(), |segment| segment.at);
    }

    /// Names also go on after this moment.
    #[cfg(feature = "export")]
    pub(super) fn continue_stamps_after(&mut self, moment: Micros) {
        self.stamps.last = self.stamps.last.max(moment);
    }

    pub(super) fn may_rotate(&self) -> bool {
        self.clock.monotonic() >= self.not_before
    }

    /// Seals the segment if its time is over, or if a line of `next` bytes no longer fits; never in the middle of a line.
    pub(super) fn rotate_if_due(&mut self, next: usize) -> io::Result<()> {
        if !self.is_rotation_due(next) {
            return Ok(());
        }
        // A sealed segment is durable as a whole, also what an earlier process wrote to it.
        if let Current::Open(segment) = &mut self.current {
            segment.unsynced = segment.unsynced.max(1);
        }
        self.make_durable()?;
        // If its sync failed, another one is open now.
        if self.is_rotation_due(next) { self.rotate() } else { Ok(()) }
    }

    fn is_rotation_due(&self, next: usize) -> bool {
        let Current::Open(segment) = &self.current else { return false };
        // A header alone is no content.
        if segment.len <= self.header.len() as u64 || !self.is_at_line_start() || !self.may_rotate() {
            return false;
        }
        let is_full =
            next > 0 && self.policy.rotate_bytes.is_some_and(|most| segment.len.saturating_add(next as u64) > most);
        let is_over = || match self.policy.rotate_every {
            // Not "later": the clock may have been wrong, and is right now.
            Some(every) => segment.period.is_some_and(|period| period != Period::of(self.clock.now(), every)),
            None => false,
        };
        is_full || is_over()
    }

    /// Seals what is there, whatever its size and age, also where a rotation has just failed. Nothing happens if there is nothing,
    /// and in the middle of a line.
    #[cfg_attr(not(feature = "export"), allow(dead_code, reason = "the exporter seals before it reads"))]
    pub(super) fn seal_now(&mut self) -> io::Result<()> {
        self.settle()?;
        if !self.can_seal() {
            return Ok(());
        }
        if let Current::Open(segment) = &mut self.current {
            segment.unsynced = segment.unsynced.max(1);
        }
        self.make_durable()?;
        // If its sync failed, it is sealed as suspect, and another one is open now.
        if !self.can_seal() {
            return Ok(());
        }
        self.rename_sealed()?;
        self.open_next()
    }

    fn can_seal(&self) -> bool {
        let has_bytes = matches!(&self.current, Current::Open(segment) if segment.len > 0);
        has_bytes && self.is_at_line_start()
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Err(error) = self.rename_sealed() {
            let path = self.names.active().display();
            report(|| {
                tracing::warn!(
                    target: "tower_audit", %path, %error, "audit file: cannot be rotated; going on in the same segment"
                );
            });
            self.not_before = self.clock.monotonic() + PAUSE;
            return Ok(());
        }
        self.open_next()
    }

    fn rename_sealed(&mut self) -> io::Result<()> {
        let name = self.seal(None);
        self.disk.rename(self.names.active(), &name)
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.count_as_waiting();
        self.current = Current::None;
        self.after_seal();
        self.settle()?;
        // One sync for both names, the sealed one and the new one.
        match (&mut self.current, self.disk.sync_folder(self.names.folder())) {
            (Current::Open(segment), Ok(())) => segment.name_unsynced = false,
            (_, Ok(())) => {}
            (_, Err(error)) => self.condemn(&error),
        }
        self.settle()
    }

    /// Seals a segment of an earlier process, to which nothing has been written yet.
    pub(super) fn seal_other(&mut self) -> io::Result<()> {
        if let Current::Open(segment) = &mut self.current {
            segment.sync()?;
        }
        let name = self.seal(None);
        self.disk.rename(self.names.active(), &name)?;
        self.count_as_waiting();
        self.current = Current::None;
        self.after_seal();
        Ok(())
    }

    /// The path of a segment that is sealed now.
    fn seal(&mut self, suspect: Option<u64>) -> std::path::PathBuf {
        let at = self.stamps.next(self.clock.now());
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // The version stands in the one half, the variant in the other; between them, all bits are random.
        let id = high ^ low.rotate_left(32);
        self.names.sealed(&Sealed { at, id, suspect, form: Form::Plain })
    }

    /// Takes a suspect segment out of the way.
    pub(super) fn put_aside(&mut self) -> io::Result<()> {
        let Current::Suspect { segment, repeated_from } = &self.current else { return Ok(()) };
        let repeated_from = *repeated_from;
        match self.disk.status(self.names.active())? {
            Some(named) if named.is_same_file(segment.opened()) => {
                if named.len == 0 {
                    self.disk.remove(self.names.active())?;
                } else {
                    let name = self.seal(Some(repeated_from));
                    self.disk.rename(self.names.active(), &name)?;
                    self.count_as_waiting();
                }
            }
            // Somebody else has taken it away.
            _ => {}
        }
        self.current = Current::None;
        self.after_seal();
        Ok(())
    }

    /// What was sealed waits for the exporter.
    fn count_as_waiting(&self) {
        let (Current::Open(segment) | Current::Suspect { segment, .. }) = &self.current else { return };
        if let Some(hold) = &self.hold {
            hold.add_waiting(segment.len);
        }
    }

    fn after_seal(&self) {
        self.prune();
        (self.sealed)();
    }

    /// Removes sealed segments that need not be kept.
    pub(super) fn prune(&self) {
        if let Err(error) = retain::prune(&self.disk, &self.names, &self.policy, self.hold.as_deref(), self.clock.now())
        {
            let folder = self.names.folder().display();
            report(|| tracing::warn!(target: "tower_audit", %folder, %error, "audit file: cannot remove old segments"));
        }
    }
}
