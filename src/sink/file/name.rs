//! Names of segments: they sort by time, never repeat, and tell ours from everybody else's.
//!
//! `audit.log` is written to; sealed, it becomes `audit-20261120T101530.123456Z-9f86d081884c7d65.log`: the moment of
//! sealing in UTC, and 64 random bits. Moments of one folder never go back, even if the clock does, so that the order of
//! names is the order of records.
//!
//! - `….log.gz`: compressed; `….log.gz.tmp`: the compression is not finished, and the segment still there.
//! - `….suspect-4096.log`: a sync failed. The first 4,096 bytes are durable, and what follows is repeated at the
//!   beginning of the next segment.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::clock::Micros;

/// Where the file is, and how its segments are called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    active: PathBuf,
    folder: PathBuf,
    /// `audit` and `.log`.
    stem: OsString,
    extension: OsString,
}

/// A sealed segment of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// When it was sealed.
    pub(crate) at: Micros,
    /// What no other segment has.
    pub(crate) id: u64,
    /// A sync failed: how many bytes are durable all the same.
    pub(crate) suspect: Option<u64>,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Plain,
    Gzip,
    /// A compression that is not finished, or never will be.
    GzipTemporary,
}

impl Ord for Sealed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.id, self.form).cmp(&(other.at, other.id, other.form))
    }
}

impl PartialOrd for Sealed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Names {
    /// `None` if the path does not end in a name.
    pub(crate) fn new(path: &Path) -> io::Result<Option<Self>> {
        let Some(stem) = path.file_stem() else { return Ok(None) };
        // The process may change its folder later.
        let active = std::path::absolute(path)?;
        let Some(folder) = active.parent().map(Path::to_owned) else { return Ok(None) };
        let mut extension = OsString::new();
        if let Some(given) = path.extension() {
            extension.push(".");
            extension.push(given);
        }
        Ok(Some(Self { stem: stem.to_owned(), extension, folder, active }))
    }

    /// The file that is written to.
    pub(crate) fn active(&self) -> &Path {
        &self.active
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn lock(&self) -> PathBuf {
        let mut path = self.active.clone().into_os_string();
        path.push(".lock");
        path.into()
    }

    pub(crate) fn sealed(&self, segment: &Sealed) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!("-{}-{:016x}", stamp(segment.at), segment.id));
        if let Some(durable) = segment.suspect {
            name.push(format!(".suspect-{durable}"));
        }
        name.push(&self.extension);
        name.push(match segment.form {
            Form::Plain => "",
            Form::Gzip => ".gz",
            Form::GzipTemporary => ".gz.tmp",
        });
        self.folder.join(name)
    }

    /// The segment of that name, if the name is one that we give. Whatever else lies in the folder is not ours.
    pub(crate) fn parse(&self, name: &OsStr) -> Option<Sealed> {
        let rest = name.as_encoded_bytes().strip_prefix(self.stem.as_encoded_bytes())?;
        let (form, rest) = match (rest.strip_suffix(b".gz"), rest.strip_suffix(b".gz.tmp")) {
            (Some(rest), _) => (Form::Gzip, rest),
            (_, Some(rest)) => (Form::GzipTemporary, rest),
            _ => (Form::Plain, rest),
        };
        let middle = rest.strip_suffix(self.extension.as_encoded_bytes())?;
        let middle = std::str::from_utf8(middle).ok()?.strip_prefix('-')?;
        let (at, rest) = middle.split_once('-')?;
        let (id, suspect) = match rest.split_once(".suspect-") {
            Some((id, durable)) => (id, Some(decimal(durable)?)),
            None => (rest, None),
        };
        let segment = Sealed { at: moment(at)?, id: hexadecimal(id)?, suspect, form };
        // Only one spelling is ours: no sign, no capitals, no leading zero.
        (self.sealed(&segment).file_name() == Some(name)).then_some(segment)
    }

    /// The sealed segments among these names, oldest first.
    pub(crate) fn segments(&self, names: &[OsString]) -> Vec<Sealed> {
        let mut segments: Vec<Sealed> = names.iter().filter_map(|name| self.parse(name)).collect();
        segments.sort_unstable();
        segments
    }
}

/// The moment as names write it: `20261120T101530.123456Z`.
pub(crate) fn stamp(at: Micros) -> String {
    let time = Offset::UTC.to_datetime(Timestamp::from_microsecond(at.0).unwrap_or_default());
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let micros = time.subsec_nanosecond() / 1_000;
    format!("{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}.{micros:06}Z", date.year(), date.month(), date.day())
}

pub(crate) fn moment(stamp: &str) -> Option<Micros> {
    let bytes: &[u8; 23] = stamp.as_bytes().try_into().ok()?;
    if !stamp.is_ascii() || (bytes[8], bytes[15], bytes[22]) != (b'T', b'.', b'Z') {
        return None;
    }
    let number = |from: usize, to: usize| i16::try_from(decimal(&stamp[from..to])?).ok();
    let short = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let micros = i32::try_from(decimal(&stamp[16..22])?).ok()?;
    let time =
        DateTime::new(number(0, 4)?, short(4)?, short(6)?, short(9)?, short(11)?, short(13)?, micros * 1_000).ok()?;
    Some(Micros(Offset::UTC.to_timestamp(time).ok()?.as_microsecond()))
}

fn decimal(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn hexadecimal(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &str) -> Names {
        Names::new(Path::new(path)).unwrap().unwrap()
    }

    fn sealed(micros: i64, id: u64) -> Sealed {
        Sealed { at: Micros(micros), id, suspect: None, form: Form::Plain }
    }

    #[test]
    fn a_segment_is_called_by_its_moment_and_id() {
        let names = names("/var/log/app/audit.log");
        let segment = sealed(1_795_169_730_123_456, 0x9f86_d081_884c_7d65);
        let path = |segment: &Sealed| names.sealed(segment).to_str().unwrap().to_owned();
        assert_eq!(path(&segment), "/var/log/app/audit-20261120T101530.123456Z-9f86d081884c7d65.log");
        let suspect = Sealed { suspect: Some(4_096), ..segment };
        assert_eq!(path(&suspect), "/var/log/app/audit-20261120T101530.123456Z-9f86d081884c7d65.suspect-4096.log");
        let compressed = Sealed { form: Form::Gzip, ..segment };
        assert_eq!(path(&compressed), "/var/log/app/audit-20261120T101530.123456Z-9f86d081884c7d65.log.gz");
        assert_eq!(names.lock(), Path::new("/var/log/app/audit.log.lock"));
    }

    #[test]
    fn only_our_own_names_are_ours() {
        let with_extension = names("/x/audit.log");
        let ours = "audit-20261120T101530.123456Z-9f86d081884c7d65.log";
        assert!(with_extension.parse(OsStr::new(ours)).is_some());
        for other in [
            "audit.log",
            "audit.log.lock",
            "audit.log.1",
            "audit-.log",
            "audit-20261120.log",
            "audit-20261120T101530.123456Z.log",
            "audit-20261120T101530.123456Z-9f86d081884c7d6.log",
            "audit-20261120T101530.123456Z-9F86D081884C7D65.log",
            "audit-20261120T101530.123456Z-+f86d081884c7d65.log",
            "audit-20261320T101530.123456Z-9f86d081884c7d65.log",
            "audit-20261120T101530.123456Z-9f86d081884c7d65",
            "audit-20261120T101530.123456Z-9f86d081884c7d65.log.bz2",
            "audit-20261120T101530.123456Z-9f86d081884c7d65.log.gz.gz",
            "audit-20261120T101530.123456Z-9f86d081884c7d65.suspect-.log",
            "audit-20261120T101530.123456Z-9f86d081884c7d65.suspect-01.log",
            "audit-x-20261120T101530.123456Z-9f86d081884c7d65.log",
            "Audit-20261120T101530.123456Z-9f86d081884c7d65.log",
            "-20261120T101530.123456Z-9f86d081884c7d65.log",
            "audit-20261120T101530.123é6Z-9f86d081884c7d65.log",
        ] {
            assert_eq!(with_extension.parse(OsStr::new(other)), None, "{other}");
        }
        let bare = names("/x/audit");
        assert!(bare.parse(OsStr::new("audit-20261120T101530.123456Z-9f86d081884c7d65")).is_some());
        assert_eq!(bare.parse(OsStr::new(ours)), None);
        assert!(Names::new(Path::new("/")).unwrap().is_none());
        assert!(Names::new(Path::new("/x/..")).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn every_name_is_read_back_and_names_sort_like_their_moments(
            // To the last moment of the year 9998.
            one in 0..253_370_764_799_999_999_i64, two in 0..253_370_764_799_999_999_i64, id: u64, suspect: Option<u64>,
            form in prop_oneof![Just(Form::Plain), Just(Form::Gzip), Just(Form::GzipTemporary)],
        ) {
            let names = names("/x/audit.log");
            let segment = Sealed { at: Micros(one), id, suspect, form };
            let name = names.sealed(&segment);
            prop_assert_eq!(names.parse(name.file_name().unwrap()), Some(segment));
            let later = names.sealed(&sealed(two, id));
            let earlier = names.sealed(&sealed(one, id));
            prop_assert_eq!(earlier.cmp(&later), one.cmp(&two));
        }

        #[test]
        fn any_name_is_read_without_a_panic(name in any::<String>(), middle in "[-.0-9TZa-f]{0,60}") {
            let names = names("/x/a");
            let _ = names.parse(OsStr::new(&name));
            let _ = names.parse(OsStr::new(&format!("a{middle}")));
        }
    }
}
