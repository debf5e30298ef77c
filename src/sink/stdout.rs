//! The default sink: whole lines to standard output, in single writes that nothing can cut into.

use std::fs::File;
use std::io::{self, Write};

use super::Sink;

/// Standard output.
///
/// Batches are written under std's stdout lock, so that `println!` and `tracing` cannot cut into a line, but
/// through a duplicate of its descriptor: std reports success for a stdout that is closed, and keeps a buffer of its own.
///
/// # Errors
///
/// If the process was started without a standard output.
pub fn stdout() -> io::Result<impl Sink> {
    Ok(Stdout { file: duplicate()? })
}

#[derive(Debug)]
struct Stdout {
    file: File,
}

#[cfg(unix)]
fn duplicate() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

impl Sink for Stdout {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _whole_lines = io::stdout().lock();
        write_all(&mut self.file, lines)
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
