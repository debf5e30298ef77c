//! The promises of the file sink: on real files, on a disk that breaks, and under scripts of chance.

#[cfg(feature = "gzip")]
mod compressed;
mod faults;
mod memory_disk;
mod ordinary;
mod scripts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;

/// A clock that stands still until it is moved: 2026-11-20 10:15:30 UTC at first.
#[derive(Clone, Debug)]
struct StoppedClock(Arc<AtomicU64>);

const BEGIN: u64 = 1_795_169_730_000_000;

impl StoppedClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(BEGIN)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }

    fn back(&self, by: Duration) {
        self.0.fetch_sub(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The contents of the sealed segments in a folder, oldest first.
fn sealed_in(folder: &Path) -> Vec<String> {
    let is_sealed = |name: &String| name.starts_with("audit-");
    names_in(folder).iter().filter(|name| is_sealed(name)).map(|name| read(&folder.join(name))).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
