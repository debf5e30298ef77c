//! Keeps the promise of the file sink: what was taken and flushed is whole in a file, whatever the disk does meanwhile.
//!
//! One buffer carries it. `kept` holds all bytes from the start of the first line that is not durable as a whole; its first
//! `written` bytes stand at the end of the open segment. A sync empties it up to the last newline. If the segment is lost
//! (deleted, cut, or its sync failed), `written` becomes 0, and `kept` is written again to the next one: so every line is
//! whole in the file that it is durable in, even if its beginning had been written elsewhere.
//!
//! Every step can fail and be called again: [`Writer::settle`] brings any state back to an open segment that holds all
//! of `kept`, or says why it cannot.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use memchr::{memchr, memrchr};

use super::disk::{Disk, is_absent};
use super::hold::Hold;
use super::name::Names;
use super::open::OpenSegment;
use super::rotate::{Period, Stamps};
use super::{Policy, SyncPolicy};
use crate::clock::Clock;
use crate::diagnostics::report;

/// How many bytes may wait for a sync, since they are kept in memory until then. A sync for so many costs little of the
/// time that it takes to write them.
pub(super) const MAX_UNSYNCED: usize = 1024 * 1024;

/// The longest time between two looks at what is due.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

pub(super) struct Writer<D: Disk> {
    pub(super) disk: D,
    pub(super) names: Names,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    /// The line that each segment begins with; empty if there is none.
    pub(super) header: Vec<u8>,
    /// `None` only where the file system knows no locks.
    lock: Option<D::Lock>,
    pub(super) current: Current<D::File>,
    kept: Vec<u8>,
    written: usize,
    pub(super) stamps: Stamps,
    /// A rotation failed: not again before this moment.
    pub(super) not_before: Duration,
    /// Told when a segment was sealed.
    pub(super) sealed: Box<dyn Fn() + Send>,
    /// What the exporter has yet to read, where there is one.
    pub(super) hold: Option<Arc<Hold>>,
}

/// The file that the path leads to, as far as we know.
#[derive(Debug)]
pub(super) enum Current<F> {
    /// It was left or lost, and the next one is not open yet.
    None,
    Open(OpenSegment<F>),
    /// A sync failed. It must be put aside, and is not synced again.
    Suspect {
        segment: OpenSegment<F>,
        /// Where the bytes begin that are written again to the next segment.
        repeated_from: u64,
    },
}

impl<D: Disk> Writer<D> {
    /// Locks and opens the file.
    pub(super) fn open(disk: D, names: Names, policy: Policy, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mut writer = Self {
            disk,
            names,
            policy,
            clock,
            header: Vec::new(),
            lock: None,
            current: Current::None,
            kept: Vec::new(),
            written: 0,
            stamps: Stamps::default(),
            not_before: Duration::ZERO,
            sealed: Box::new(|| {}),
            hold: None,
        };
        writer.open_segment()?;
        writer.continue_stamps();
        Ok(writer)
    }

    /// See [`crate::sink::Sink::write`].
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        let Err(error) = self.take(lines, &mut taken) else { return Ok(taken) };
        // What no file holds is not taken: the caller would believe it written while it is in memory only.
        let given_back = (self.kept.len() - self.written).min(taken);
        self.kept.truncate(self.kept.len() - given_back);
        taken -= given_back;
        // What was taken counts; the error comes again with the rest.
        if taken == 0 { Err(self.name(&error)) } else { Ok(taken) }
    }

    /// See [`crate::sink::Sink::flush`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.make_durable().map_err(|error| self.name(&error))
    }

    /// How long the next [`Writer::tick`] can wait.
    pub(super) fn until_tick(&self) -> Duration {
        let sync = match (&self.current, self.policy.sync) {
            // What is written while nobody waits for it yet is due no earlier than `every` from now.
            (Current::Open(segment), SyncPolicy::Every(every)) => segment
                .unsynced_since
                .map_or(every, |since| every.saturating_sub(self.clock.monotonic().saturating_sub(since))),
            (_, SyncPolicy::Every(every)) => every,
            (_, SyncPolicy::OnFlush | SyncPolicy::EachBatch) => Duration::MAX,
        };
        let rotation = self.policy.rotate_every.map_or(Duration::MAX, |every| Period::left(self.clock.now(), every));
        // Also the longest, since clocks of the wall are set.
        sync.min(rotation).clamp(Duration::from_millis(1), LONGEST)
    }

    /// Does what is due even if no batch comes; false if it failed.
    pub(super) fn tick(&mut self) -> bool {
        let result = if self.is_sync_due() { self.make_durable() } else { Ok(()) };
        let result = result.and_then(|()| self.rotate_if_due(0));
        if let Err(error) = &result {
            // Nothing is lost by it: the next batch or flush meets the same state, and says so to its caller.
            let path = self.names.active().display();
            report(
                || tracing::warn!(target: "tower_audit", %path, %error, "audit file: cannot sync or rotate in time"),
            );
        }
        if self.policy.keep_for.is_some() {
            self.prune();
        }
        result.is_ok()
    }

    fn take(&mut self, lines: &[u8], taken: &mut usize) -> io::Result<()> {
        while *taken < lines.len() {
            let rest = &lines[*taken..];
            self.settle()?;
            self.rotate_if_due(memchr(b'\n', rest).map_or(rest.len(), |at| at + 1))?;
            let part = &rest[..self.room_for(rest)];
            let now = self.clock.monotonic();
            let period = self.period();
            let Current::Open(segment) = &mut self.current else { continue };
            if let Some(hold) = &self.hold {
                hold.check_room(segment.len.saturating_add(part.len() as u64))?;
            }
            if segment.len <= self.header.len() as u64 {
                segment.period = period;
            }
            let written = segment.append(part, now)?;
            self.kept.extend_from_slice(&part[..written]);
            self.written += written;
            *taken += written;
            if segment.unsynced >= MAX_UNSYNCED {
                self.make_durable()?;
            }
        }
        if matches!(self.policy.sync, SyncPolicy::EachBatch) || self.is_sync_due() {
            self.make_durable()?;
        }
        Ok(())
    }

    /// How much of `rest` is written at once: whole lines, as many as fit into the segment. A line that is begun, or that is
    /// too long for any segment, is written to its end.
    fn room_for(&self, rest: &[u8]) -> usize {
        let room = match (&self.current, self.policy.rotate_bytes) {
            (Current::Open(segment), Some(most)) if self.may_rotate() => most.saturating_sub(segment.len),
            _ => u64::MAX,
        };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(MAX_UNSYNCED);
        if rest.len() <= room {
            return rest.len();
        }
        let (fits, beyond) = rest.split_at(room);
        let end = memrchr(b'\n', fits).or_else(|| memchr(b'\n', beyond).map(|at| room + at));
        end.map_or(rest.len(), |at| at + 1)
    }

    /// Makes everything that was taken durable. If a sync fails, one more segment is tried; after that, it is the caller's
    /// to wait and to call again.
    pub(super) fn make_durable(&mut self) -> io::Result<()> {
        for last in [false, true] {
            self.settle()?;
            let Current::Open(segment) = &mut self.current else { continue };
            if segment.unsynced > 0 || segment.name_unsynced {
                let synced = segment.sync();
                if let Err(error) = synced {
                    self.condemn(&error);
                    if last {
                        return Err(error);
                    }
                    continue;
                }
                // Only now, so that a file that was deleted or cut before its sync returned is noticed.
                if !segment.is_intact()? {
                    continue;
                }
            }
            if !self.sync_name(last)? {
                continue;
            }
            self.forget_durable();
            return Ok(());
        }
        Err(io::Error::other("it is moved or deleted again and again"))
    }

    /// Makes the name of the open segment durable; `false` if there is to be another segment.
    fn sync_name(&mut self, last: bool) -> io::Result<bool> {
        let Current::Open(segment) = &mut self.current else { return Ok(false) };
        if !segment.name_unsynced {
            return Ok(true);
        }
        match self.disk.sync_folder(self.names.folder()) {
            Ok(()) => {
                segment.name_unsynced = false;
                Ok(true)
            }
            // The next step notices that the folder is gone.
            Err(error) if is_absent(&error) && !last => Ok(false),
            Err(error) => {
                self.condemn(&error);
                if last { Err(error) } else { Ok(false) }
            }
        }
    }

    /// Lines that are durable as a whole need not be kept.
    fn forget_durable(&mut self) {
        let durable = memrchr(b'\n', &self.kept[..self.written]).map_or(0, |at| at + 1);
        self.kept.drain(..durable);
        self.kept.shrink_to(2 * MAX_UNSYNCED);
        self.written -= durable;
    }

    fn period(&self) -> Option<i128> {
        self.policy.rotate_every.map(|every| Period::of(self.clock.now(), every))
    }

    /// Whether the next byte begins a line.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.kept.last().is_none_or(|&byte| byte == b'\n')
    }

    fn is_sync_due(&self) -> bool {
        match (&self.current, self.policy.sync) {
            (Current::Open(segment), SyncPolicy::Every(every)) => {
                segment.unsynced_since.is_some_and(|since| self.clock.monotonic().saturating_sub(since) >= every)
            }
            _ => false,
        }
    }

    /// Brings about what every batch starts from: the path leads to the open segment, and that holds all of `kept`.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.put_aside()?;
        self.leave_if_lost()?;
        if matches!(self.current, Current::None) {
            self.open_segment()?;
        }
        self.write_header()?;
        let Current::Open(segment) = &mut self.current else { return Ok(()) };
        while self.written < self.kept.len() {
            self.written += segment.append(&self.kept[self.written..], self.clock.monotonic())?;
        }
        Ok(())
    }

    /// The open segment begins with the header. One that begins with another line is sealed before anything is written to it.
    fn write_header(&mut self) -> io::Result<()> {
        if self.header.is_empty() {
            return Ok(());
        }
        if let Current::Open(segment) = &mut self.current
            && segment.is_unread()
            && segment.begins_otherwise(&self.header)?
        {
            let path = self.names.active().display();
            report(|| {
                tracing::warn!(
                    target: "tower_audit", %path, "audit file: it begins with another line than the header; it is sealed"
                );
            });
            self.seal_other()?;
            self.open_segment()?;
        }
        let now = self.clock.monotonic();
        match &mut self.current {
            Current::Open(segment) => segment.write_header(&self.header, now),
            Current::None | Current::Suspect { .. } => Ok(()),
        }
    }

    fn open_segment(&mut self) -> io::Result<()> {
        self.ensure_folder()?;
        self.ensure_lock()?;
        let (file, _) = self.disk.open(self.names.active(), self.policy.mode)?;
        let mut segment = OpenSegment::new(file)?;
        if segment.is_torn() {
            let path = self.names.active().display();
            report(|| {
                tracing::warn!(
                    target: "tower_audit", %path,
                    "audit file: its last line is cut off, probably by a crash; the next record begins a new one"
                );
            });
        }
        segment.period = match self.policy.rotate_every {
            // All records of a segment are of one period, so the last write shows it even after a restart.
            Some(every) if segment.len > 0 => Some(Period::of(segment.opened().modified, every)),
            _ => self.period(),
        };
        self.written = 0;
        self.current = Current::Open(segment);
        Ok(())
    }

    /// A folder that goes away while we run is made again, for its owner alone: an audit trail that somebody can end with
    /// `rm -r` is none.
    fn ensure_folder(&self) -> io::Result<()> {
        let folder = self.names.folder();
        if self.disk.status(folder)?.is_some() {
            return Ok(());
        }
        self.disk.create_folder(folder)?;
        let path = folder.display();
        report(|| tracing::warn!(target: "tower_audit", %path, "audit file: its folder was gone and is made again"));
        match folder.parent().map(|above| self.disk.sync_folder(above)) {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn ensure_lock(&mut self) -> io::Result<()> {
        let path = self.names.lock();
        if self.lock.as_ref().is_some_and(|lock| self.disk.holds(lock, &path)) {
            return Ok(());
        }
        match self.disk.lock(&path, self.policy.mode) {
            Ok(lock) => self.lock = Some(lock),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.lock = None;
                let path = path.display();
                report(|| {
                    tracing::warn!(
                        target: "tower_audit", %path,
                        "audit file: its file system has no locks, so nothing keeps a second process away"
                    );
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(is_locked()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Leaves a segment that the path no longer leads to, or that was cut.
    fn leave_if_lost(&mut self) -> io::Result<()> {
        let Current::Open(segment) = &mut self.current else { return Ok(()) };
        let named = self.disk.status(self.names.active())?;
        let what = match named {
            Some(named) if named.is_same_file(segment.opened()) => {
                if named.len >= segment.len {
                    segment.len = named.len;
                    return Ok(());
                }
                "was cut"
            }
            Some(_) => "was replaced",
            None => "was moved or deleted",
        };
        let path = self.names.active().display();
        report(|| tracing::warn!(target: "tower_audit", %path, "audit file: it {what}; going on in another"));
        // What was moved away keeps its lines, if they can be made durable there. Else they are written again.
        let kept_there = segment.is_intact().unwrap_or(false)
            && (segment.unsynced == 0 || segment.sync().is_ok())
            && (!segment.name_unsynced || self.disk.sync_folder(self.names.folder()).is_ok());
        if kept_there {
            self.forget_durable();
        }
        self.written = 0;
        self.current = Current::None;
        Ok(())
    }

    /// Gives up a segment whose sync failed. What the sync should have reached is written again to the next one.
    pub(super) fn condemn(&mut self, error: &io::Error) {
        let Current::Open(segment) = std::mem::replace(&mut self.current, Current::None) else { return };
        let path = self.names.active().display();
        report(|| {
            tracing::error!(
                target: "tower_audit", %path, %error,
                "audit file: a sync failed; the segment is put aside as suspect, and what was not synced is written again to a new one"
            );
        });
        let repeated_from = segment.len.saturating_sub(self.written as u64);
        self.written = 0;
        self.current = Current::Suspect { segment, repeated_from };
        // If it cannot be put aside now, the next call tries again before it does anything else.
        let _ = self.put_aside();
    }

    /// The error with the path: the io error alone does not say which file.
    fn name(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.names.active().display()))
    }
}

pub(super) fn is_locked() -> io::Error {
    io::Error::new(
        io::ErrorKind::WouldBlock,
        "is written to by another process, or by another sink of this one; each needs a file of its own",
    )
}
