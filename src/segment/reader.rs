//! A segment's file → its lines, in bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::line::{Members, SegmentLine, begins_as_a_record};
use crate::error::Error;

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// Twice the longest line that the settings allow. What is longer is no record.
const LONGEST_LINE: usize = 32 * 1024 * 1024;
/// What is decompressed of one segment: the largest size that the settings allow to rotate by.
#[cfg(feature = "gzip")]
const MAX_DECOMPRESSED: u64 = 1 << 40;

/// Reads one segment, line by line. Made by [`Segment::open`](super::Segment::open).
pub struct SegmentReader {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    is_gzip: bool,
    buffer: Vec<u8>,
    /// What of the buffer is filled and not yet read.
    from: usize,
    to: usize,
    /// No newline stands before this place.
    searched: usize,
    at_end: bool,
    notes: Notes,
}

/// What a reader left out of a segment so far, and why.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The number of lines that are not audit records, empty ones included.
    pub skipped: u64,
    /// The number of incomplete records: a process ended while it wrote them.
    pub torn: u64,
    /// Why the file could not be read to its end: its compressed form ends early, or is damaged.
    pub damaged: Option<String>,
    /// The number of bytes that were read, after decompression.
    pub bytes: u64,
}

impl SegmentReader {
    pub(super) fn open(path: &Path, is_gzip: bool, suspect: Option<u64>) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let input = if is_gzip { decompress(file)? } else { Box::new(file) };
        Ok(Self::new(path, input, is_gzip, suspect))
    }

    fn new(path: &Path, input: Box<dyn Read + Send>, is_gzip: bool, suspect: Option<u64>) -> Self {
        let input = match suspect {
            Some(durable) => Box::new(input.take(durable)),
            None => input,
        };
        Self {
            path: path.to_owned(),
            input,
            is_gzip,
            buffer: vec![0; CHUNK],
            from: 0,
            to: 0,
            searched: 0,
            at_end: false,
            notes: Notes::default(),
        }
    }

    /// The next audit record; `None` at the end. Other lines are counted in [`SegmentReader::notes`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Read`](crate::ErrorKind::Read) if the file cannot be read. A damaged compressed file is not an error: it
    /// ends where the damage begins, and [`Notes::damaged`] has the reason.
    pub fn next_line(&mut self) -> Result<Option<SegmentLine<'_>>, Error> {
        while let Some((from, to)) = self.next_raw().map_err(|error| Error::read(self.path.display(), error))? {
            if let Some(members) = Members::of_record(&self.buffer[from..to]) {
                return Ok(Some(SegmentLine::of(&self.buffer[from..to], members)));
            }
            if begins_as_a_record(&self.buffer[from..to]) {
                self.notes.torn += 1;
            } else {
                self.notes.skipped += 1;
            }
        }
        Ok(None)
    }

    /// What was left out so far.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Where the next line is in the buffer, without its newline.
    fn next_raw(&mut self) -> io::Result<Option<(usize, usize)>> {
        loop {
            if let Some(len) = memchr(b'\n', &self.buffer[self.searched..self.to]) {
                let line = (self.from, self.searched + len);
                self.from = line.1 + 1;
                self.searched = self.from;
                return Ok(Some(line));
            }
            self.searched = self.to;
            if self.at_end {
                let line = (self.from, self.to);
                self.from = self.to;
                return Ok((line.0 < line.1).then_some(line));
            }
            if self.to - self.from >= LONGEST_LINE {
                self.skip_line()?;
            } else {
                self.fill()?;
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.searched -= self.from;
            self.from = 0;
        }
        if self.to == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else if self.to < CHUNK / 2 && self.buffer.len() > CHUNK {
            // A line of many megabytes was read; those that follow are short.
            self.buffer.truncate(CHUNK);
            self.buffer.shrink_to_fit();
        }
        let read = self.read_some()?;
        self.at_end = read == 0;
        self.to += read;
        Ok(())
    }

    fn read_some(&mut self) -> io::Result<usize> {
        loop {
            match self.input.read(&mut self.buffer[self.to..]) {
                Ok(read) => {
                    self.notes.bytes += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.is_gzip && is_damage(&error) => {
                    self.notes.damaged = Some(format!("its compressed form cannot be read to its end: {error}"));
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes over a line that no writer of records makes, without keeping it.
    fn skip_line(&mut self) -> io::Result<()> {
        self.notes.skipped += 1;
        loop {
            (self.from, self.to, self.searched) = (0, 0, 0);
            self.buffer.truncate(CHUNK);
            self.buffer.shrink_to_fit();
            self.fill()?;
            if let Some(end) = memchr(b'\n', &self.buffer[..self.to]) {
                (self.from, self.searched) = (end + 1, end + 1);
                return Ok(());
            }
            if self.at_end {
                return Ok(());
            }
        }
    }
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentReader").field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// What the decoder says of bytes that are not what they should be; what the disk says is of another kind.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

#[cfg(feature = "gzip")]
fn decompress(file: File) -> io::Result<Box<dyn Read + Send>> {
    let file = io::BufReader::with_capacity(64 * 1024, file);
    Ok(Box::new(Bounded { input: flate2::bufread::MultiGzDecoder::new(file), left: MAX_DECOMPRESSED }))
}

#[cfg(not(feature = "gzip"))]
fn decompress(_: File) -> io::Result<Box<dyn Read + Send>> {
    let message = "is compressed, which needs the feature `gzip` of the crate tower-audit";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Ends with an error where more is decompressed than any segment holds.
#[cfg(feature = "gzip")]
struct Bounded<R> {
    input: R,
    left: u64,
}

#[cfg(feature = "gzip")]
impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it holds more than a segment can, decompressed")
        })?;
        Ok(read)
    }
}
