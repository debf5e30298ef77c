//! An object's bytes: their digest, and the exchanges that begin and end in them.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use flate2::write::MultiGzDecoder;
use memchr::memchr;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Finding;
use crate::export::object::hex;
use crate::segment::SegmentLine;

pub(super) struct Content {
    pub(super) len: u64,
    pub(super) sha256: String,
}

/// Initiations whose completion was not met yet.
#[derive(Debug, Default)]
pub(super) struct OpenExchanges {
    open: HashSet<Uuid>,
    are_too_many: bool,
}

impl OpenExchanges {
    fn take(&mut self, line: &SegmentLine<'_>) {
        /// 16 MiB of ids.
        const MAX_OPEN: usize = 1_000_000;
        let is_initiation = match line.stage() {
            "initiation" => true,
            "completion" => false,
            _ => return,
        };
        let Ok(id) = line.audit_id().parse() else { return };
        if !is_initiation {
            self.open.remove(&id);
        } else if self.open.len() < MAX_OPEN {
            self.open.insert(id);
        } else {
            self.are_too_many = true;
        }
    }

    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        let too_many = self.are_too_many.then(|| Finding::Unreadable {
            name: "initiations".to_owned(),
            reason: "too many are without completion to look for each".to_owned(),
        });
        let mut open: Vec<Uuid> = self.open.into_iter().collect();
        open.sort_unstable();
        let open = open.into_iter().map(|id| Finding::NotCompleted { audit_id: id.to_string() });
        open.chain(too_many)
    }
}

/// Reads an object once, from its beginning to its end.
pub(super) fn read(mut file: impl Read, format: &str, gzip: bool, open: &mut OpenExchanges) -> io::Result<Content> {
    let (mut digest, mut len, mut chunk) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    let lines = Lines { rest: Vec::new(), stamp: stamp_len(format), is_skipping: false, open };
    let mut lines = match (stamp_len(format), gzip) {
        (None, _) => Sink::None,
        (Some(_), false) => Sink::Plain(lines),
        (Some(_), true) => Sink::Gzip(Box::new(MultiGzDecoder::new(lines))),
    };
    loop {
        let read = match file.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(Content { len, sha256: hex(&digest.finalize()) });
        }
        digest.update(&chunk[..read]);
        len += read as u64;
        lines.take(&chunk[..read]);
    }
}

/// What stands before the JSON of a line; `None` where lines are no JSON.
fn stamp_len(format: &str) -> Option<usize> {
    match format {
        "json" => Some(0),
        "json_timestamp" => Some("2026-11-20T07:55:37.720973Z ".len()),
        _ => None,
    }
}

enum Sink<'a> {
    None,
    Plain(Lines<'a>),
    Gzip(Box<MultiGzDecoder<Lines<'a>>>),
}

impl Sink<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let taken = match self {
            Self::None => Ok(()),
            Self::Plain(lines) => lines.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        };
        if taken.is_err() {
            // It is not what its manifest says: the digest shows it.
            *self = Self::None;
        }
    }
}

/// Cuts what it is given into lines.
struct Lines<'a> {
    /// A line without its end.
    rest: Vec<u8>,
    stamp: Option<usize>,
    /// In a line that no record can be.
    is_skipping: bool,
    open: &'a mut OpenExchanges,
}

impl Lines<'_> {
    fn line(open: &mut OpenExchanges, line: &[u8], stamp: Option<usize>) {
        let json = line.get(stamp.unwrap_or_default()..).unwrap_or_default();
        if let Some(line) = SegmentLine::parse(json) {
            open.take(&line);
        }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const MAX_LINE: usize = 32 * 1024 * 1024;
        let mut from = 0;
        while let Some(len) = memchr(b'\n', &bytes[from..]) {
            let line = &bytes[from..from + len];
            from += len + 1;
            if std::mem::take(&mut self.is_skipping) {
                self.rest.clear();
            } else if self.rest.is_empty() {
                Self::line(self.open, line, self.stamp);
            } else {
                self.rest.extend_from_slice(line);
                Self::line(self.open, &self.rest, self.stamp);
                self.rest.clear();
            }
        }
        if self.rest.len() + bytes.len() - from > MAX_LINE {
            self.is_skipping = true;
            self.rest = Vec::new();
        }
        if !self.is_skipping {
            self.rest.extend_from_slice(&bytes[from..]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
