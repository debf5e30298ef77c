//! Compresses sealed segments on a thread of its own, so that the sink never waits for it.
//!
//! There is no queue that could grow: whoever seals a segment only wakes the thread, which looks into the folder. So what a
//! crash, a full disk or a shutdown left undone is done the next time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::disk::{Disk, Os, create_new, is_absent, retry};
use super::name::{Form, Names, Sealed};
use crate::diagnostics::{contained, enter_own_thread, report};

/// Ends its thread when it is dropped, which leaves what it has not finished to the next process, and waits for it: the
/// next one must not meet it at work.
#[derive(Debug)]
pub(super) struct Compressor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_due: bool,
    ending: bool,
}

impl Compressor {
    /// Starts the thread, which begins with what an earlier process left.
    pub(super) fn start(names: Names, mode: u32) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        shared.wake();
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("audit-gzip".into()).spawn(move || run(&theirs, &names, mode))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What wakes the thread.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A segment was sealed.
    pub(super) fn wake(&self) {
        self.lock().is_due = true;
        self.wake.notify_one();
    }

    fn end(&self) {
        self.lock().ending = true;
        self.wake.notify_one();
    }

    fn is_ending(&self) -> bool {
        self.lock().ending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared, names: &Names, mode: u32) {
    enter_own_thread();
    loop {
        let mut state = shared.lock();
        while !state.is_due && !state.ending {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ending {
            return;
        }
        state.is_due = false;
        drop(state);
        // A panic costs this attempt: the next segment that is sealed brings another.
        let compressed = contained("compression of audit files", || compress_all(names, mode, &|| shared.is_ending()));
        if let Some(Err(error)) = compressed {
            let folder = names.folder().display();
            report(|| {
                tracing::warn!(
                    target: "tower_audit", %folder, %error,
                    "audit file: cannot compress sealed segments; they stay as they are until the next one is sealed"
                );
            });
        }
    }
}

/// Compresses what lies there uncompressed, oldest first. Suspect segments stay as they are, for whoever looks into them.
fn compress_all(names: &Names, mode: u32, is_ending: &dyn Fn() -> bool) -> io::Result<()> {
    let segments = names.segments(&Os.list(names.folder())?);
    // The lock of the sink says that nobody else is at work on them.
    for leftover in segments.iter().filter(|segment| segment.form == Form::GzipTemporary) {
        remove(&names.sealed(leftover))?;
    }
    for segment in segments.iter().filter(|segment| segment.form == Form::Plain && segment.suspect.is_none()) {
        let compressed = Sealed { form: Form::Gzip, ..*segment };
        if segments.contains(&compressed) {
            // A crash came between the last two steps. What bears the final name is whole.
            remove(&names.sealed(segment))?;
        } else if !is_ending() {
            compress(names, segment, mode, is_ending)?;
        }
    }
    Ok(())
}

fn compress(names: &Names, segment: &Sealed, mode: u32, is_ending: &dyn Fn() -> bool) -> io::Result<()> {
    let plain = names.sealed(segment);
    let temporary = names.sealed(&Sealed { form: Form::GzipTemporary, ..*segment });
    let source = match retry(|| File::open(&plain)) {
        // Retention was faster.
        Err(error) if is_absent(&error) => return Ok(()),
        source => source?,
    };
    let result = copy(source, create_new(&temporary, mode)?, is_ending);
    if !matches!(result, Ok(true)) || !plain.try_exists()? {
        remove(&temporary)?;
        return result.map(|_| ());
    }
    // The content is durable before the name says that it is whole, and the name before the original goes.
    fs::rename(&temporary, names.sealed(&Sealed { form: Form::Gzip, ..*segment }))?;
    Os.sync_folder(names.folder())?;
    remove(&plain)
}

/// Whether it came to the end.
fn copy(mut source: File, target: File, is_ending: &dyn Fn() -> bool) -> io::Result<bool> {
    let mut encoder = GzEncoder::new(BufWriter::new(target), Compression::default());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        if is_ending() {
            return Ok(false);
        }
        match retry(|| source.read(&mut chunk))? {
            0 => break,
            read => encoder.write_all(&chunk[..read])?,
        }
    }
    let target = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    retry(|| target.sync_all())?;
    Ok(true)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}
