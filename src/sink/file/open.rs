//! The file that is written to: how long it is, whether its last line is closed, what a sync still has to reach.

use std::io;
use std::time::Duration;

use super::disk::{DiskFile, Status};

/// An open segment.
#[derive(Debug)]
pub(super) struct OpenSegment<F> {
    pub(super) file: F,
    /// What it was when it was opened; only its length and times change.
    opened: Status,
    /// Its length, as far as we know.
    pub(super) len: u64,
    /// Which period of [`super::FileOptions::rotate_every`] its records are of.
    pub(super) period: Option<i128>,
    /// Its last line has no newline and is none of ours: a process ended in the middle of it.
    torn: bool,
    /// How much of the header it has. `None`: it is not known yet.
    header: Option<usize>,
    /// Bytes that no sync has reached.
    pub(super) unsynced: usize,
    /// When the first of them was written.
    pub(super) unsynced_since: Option<Duration>,
    /// Its name may not be durable yet.
    pub(super) name_unsynced: bool,
}

impl<F: DiskFile> OpenSegment<F> {
    pub(super) fn new(mut file: F) -> io::Result<Self> {
        let opened = file.status()?;
        let torn = file.last_byte()?.is_some_and(|byte| byte != b'\n');
        Ok(Self {
            file,
            opened,
            len: opened.len,
            period: None,
            torn,
            header: None,
            unsynced: 0,
            unsynced_since: None,
            name_unsynced: true,
        })
    }

    pub(super) fn opened(&self) -> &Status {
        &self.opened
    }

    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Whether its first bytes are yet to be compared with the header.
    pub(super) fn is_unread(&self) -> bool {
        self.header.is_none()
    }

    /// Whether it has lines, and the first one is not the header. A last line that was cut off is removed before: each row is
    /// whole, and a header that was cut off is written again.
    pub(super) fn begins_otherwise(&mut self, header: &[u8]) -> io::Result<bool> {
        if std::mem::take(&mut self.torn) {
            let cut = self.file.cut_last_line();
            self.torn = cut.is_err();
            self.len = cut?;
        }
        Ok(self.len > 0 && !self.file.begins_with(header)?)
    }

    /// Writes what is missing of the header.
    pub(super) fn write_header(&mut self, header: &[u8], now: Duration) -> io::Result<()> {
        let written = self.header.get_or_insert(if self.len > 0 { header.len() } else { 0 });
        let mut written = *written;
        while written < header.len() {
            written += self.append_some(&header[written..], now)?;
            self.header = Some(written);
        }
        Ok(())
    }

    /// Appends bytes from the front, and says how many, at least one. A torn line is closed first.
    pub(super) fn append(&mut self, bytes: &[u8], now: Duration) -> io::Result<usize> {
        if self.torn {
            self.append_some(b"\n", now)?;
            self.torn = false;
        }
        self.append_some(bytes, now)
    }

    fn append_some(&mut self, bytes: &[u8], now: Duration) -> io::Result<usize> {
        let written = self.file.write(bytes)?.min(bytes.len());
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.len += written as u64;
        self.unsynced += written;
        self.unsynced_since.get_or_insert(now);
        Ok(written)
    }

    /// Makes the content durable; must not be called again once it failed.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.unsynced = 0;
        self.unsynced_since = None;
        Ok(())
    }

    /// Whether the file still has a name, and everything that was written to it.
    pub(super) fn is_intact(&self) -> io::Result<bool> {
        let is = self.file.status()?;
        Ok(is.names > 0 && is.len >= self.len)
    }
}
