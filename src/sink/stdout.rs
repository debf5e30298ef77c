//! The default sink: whole lines to standard output or standard error, in single writes that nothing can cut into.

use std::fs::File;
use std::io::{self, Write};

use super::Sink;
use crate::error::Error;

/// Standard output.
///
/// Batches are written under std's stdout lock, so that `println!` and `tracing` cannot cut into a line, but through a
/// duplicate of its descriptor: std reports success even if standard output is closed, and has its own buffer.
///
/// # Errors
///
/// If the process was started without a standard output.
pub fn stdout() -> Result<Stdout, Error> {
    let file = duplicate(io::stdout()).and_then(present);
    file.map(|file| Stdout { stream: WithHeader::new(file) })
        .map_err(|error| Error::start("there is no standard output").with_source(error))
}

/// Standard error, for programs whose standard output is their result.
///
/// Batches are written as by [`stdout`], under std's stderr lock, so that `eprintln!` and the message of a panic cannot cut
/// into a line.
///
/// # Errors
///
/// If the process was started without a standard error.
pub fn stderr() -> Result<Stderr, Error> {
    let file = duplicate(io::stderr()).and_then(present);
    file.map(|file| Stderr { stream: WithHeader::new(file) })
        .map_err(|error| Error::start("there is no standard error").with_source(error))
}

/// Standard output as a sink; made by [`stdout`].
#[derive(Debug)]
pub struct Stdout {
    stream: WithHeader,
}

/// Standard error as a sink; made by [`stderr`].
#[derive(Debug)]
pub struct Stderr {
    stream: WithHeader,
}

/// A stream, and what is to be written before its first line.
#[derive(Debug)]
struct WithHeader {
    file: File,
    header: Vec<u8>,
}

/// A stream that every process begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// On Unix, std opens the null device in place of a stream that the process was started without, and everything would be
/// lost in silence. It does so for reading too; who throws the output away on purpose (`> /dev/null`) opens it for writing.
#[cfg(unix)]
fn present(mut file: File) -> io::Result<File> {
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    let (is, null) = (file.metadata()?, std::fs::metadata("/dev/null"));
    let is_null = is.file_type().is_char_device() && null.is_ok_and(|null| null.rdev() == is.rdev());
    if is_null && file.read(&mut [0]).is_ok() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process was started without it"));
    }
    Ok(file)
}

#[cfg(not(unix))]
fn present(file: File) -> io::Result<File> {
    Ok(file)
}

#[cfg(unix)]
fn duplicate(stream: impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate(stream: impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}

impl WithHeader {
    fn new(file: File) -> Self {
        Self { file, header: Vec::new() }
    }

    /// Writes what is left of the header, then lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        while !self.header.is_empty() {
            let written = write_all(&mut self.file, &self.header)?;
            self.header.drain(..written);
        }
        write_all(&mut self.file, lines)
    }
}

impl Sink for Stdout {
    fn header(&mut self, line: &[u8]) {
        self.stream.header = line.to_vec();
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _whole_lines = io::stdout().lock();
        self.stream.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Stderr {
    fn header(&mut self, line: &[u8]) {
        self.stream.header = line.to_vec();
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _whole_lines = io::stderr().lock();
        self.stream.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until all is written or something fails, and waits for a reader who is slow behind a non-blocking pipe: whoever
/// started the process may have made the pipe so, and a line must not be cut by somebody else's.
fn write_all(file: &mut File, lines: &[u8]) -> io::Result<usize> {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(1);
    let mut written = 0;
    while written < lines.len() {
        match file.write(&lines[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => written += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::park_timeout(PAUSE),
            Err(error) if written == 0 => return Err(error),
            // What was written counts; the error comes again with the rest.
            Err(_) => break,
        }
    }
    Ok(written)
}
