//! Retention: removes the oldest sealed segments, and nothing that does not bear a name of ours.

use std::io;
use std::time::SystemTime;

use super::Policy;
use super::disk::{Disk, is_absent};
use super::hold::Hold;
use super::name::{Form, Names, Sealed};
use crate::clock::Micros;

pub(super) fn prune(
    disk: &impl Disk,
    names: &Names,
    policy: &Policy,
    hold: Option<&Hold>,
    now: SystemTime,
) -> io::Result<()> {
    if policy.keep_files.is_none() && policy.keep_for.is_none() {
        return Ok(());
    }
    let segments = names.segments(&disk.list(names.folder())?);
    let is_held = |segment: &Sealed| hold.is_some_and(|hold| hold.holds((segment.at, segment.id)));
    for segment in superfluous(&segments, policy, now).into_iter().filter(|segment| !is_held(segment)) {
        match disk.remove(&names.sealed(&segment)) {
            Err(error) if !is_absent(&error) => return Err(error),
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

/// Of these segments, oldest first, those that go. A segment and its compressed form are one.
fn superfluous(segments: &[Sealed], policy: &Policy, now: SystemTime) -> Vec<Sealed> {
    let key = |segment: &Sealed| (segment.at, segment.id);
    let mut all: Vec<_> = segments.iter().filter(|segment| segment.form != Form::GzipTemporary).map(key).collect();
    all.dedup();
    let too_many = policy.keep_files.map_or(0, |keep| all.len().saturating_sub(keep));
    let oldest_kept = all.get(too_many).copied();
    let is_too_many = |segment: &Sealed| oldest_kept.is_some_and(|oldest| key(segment) < oldest);
    let is_too_old =
        |segment: &Sealed| policy.keep_for.is_some_and(|age| segment.at.plus(age) < Micros::from_system(now));
    segments.iter().copied().filter(|segment| is_too_many(segment) || is_too_old(segment)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn sealed(second: i64, form: Form) -> Sealed {
        Sealed { at: Micros(second * 1_000_000), id: 1, suspect: None, form }
    }

    #[test]
    fn the_newest_stay_and_a_compressed_segment_counts_once() {
        let segments = [
            sealed(1, Form::Plain),
            sealed(2, Form::Plain),
            sealed(2, Form::Gzip),
            sealed(3, Form::Plain),
            sealed(3, Form::GzipTemporary),
            sealed(4, Form::Plain),
        ];
        let now = UNIX_EPOCH + Duration::from_secs(10);
        let gone = |policy: &Policy| superfluous(&segments, policy, now).len();
        let keep = |keep_files| Policy { keep_files, ..Policy::default() };
        assert_eq!(gone(&keep(None)), 0);
        assert_eq!(gone(&keep(Some(4))), 0);
        assert_eq!(gone(&keep(Some(3))), 1);
        assert_eq!(gone(&keep(Some(2))), 3);
        assert_eq!(gone(&keep(Some(1))), 5);
        let keep_for = |seconds| Policy { keep_for: Some(Duration::from_secs(seconds)), ..Policy::default() };
        assert_eq!(gone(&keep_for(7)), 3, "sealed more than 7 seconds ago");
        assert_eq!(gone(&keep_for(100)), 0);
        assert_eq!(gone(&Policy { keep_files: Some(1), ..keep_for(100) }), 5);
        assert_eq!(gone(&keep_for(0)), 6);
    }
}
