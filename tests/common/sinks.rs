//! Sinks that a test holds in its hand.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use tower_audit::sink::Sink;

use super::{Written, check};

/// A door that can be shut before whoever goes through it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn set(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// A disk that forgets at a kill what was not synced, can be full, and can take its time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What was written, synced or not.
    pub(crate) written: Written,
    /// What a kill would leave.
    pub(crate) synced: Written,
    pub(crate) writing: Gate,
    pub(crate) syncing: Gate,
    fault: Arc<Mutex<Option<io::ErrorKind>>>,
    syncs: Arc<AtomicU64>,
}

impl Disk {
    pub(crate) fn break_with(&self, fault: impl Into<Option<io::ErrorKind>>) {
        *self.fault.lock().unwrap() = fault.into();
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    /// Whether a kill would leave a record that holds this.
    pub(crate) fn has_synced(&self, text: &str) -> bool {
        self.synced.text().contains(text)
    }

    pub(crate) fn sink(&self) -> impl Sink + use<> {
        DiskSink { disk: self.clone(), dirty: Vec::new() }
    }
}

struct DiskSink {
    disk: Disk,
    dirty: Vec<u8>,
}

impl DiskSink {
    fn fail(&self) -> io::Result<()> {
        self.disk.fault.lock().unwrap().map_or(Ok(()), |fault| Err(fault.into()))
    }
}

impl Sink for DiskSink {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.disk.writing.pass();
        self.fail()?;
        self.dirty.extend_from_slice(lines);
        self.disk.written.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.syncing.pass();
        self.fail()?;
        self.disk.synced.push(&self.dirty);
        self.dirty.clear();
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// The records of this name.
pub(crate) fn named<'r>(records: &'r [Value], name: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["eventName"] == name).collect()
}

/// How many were lost or refused, by the records of ours of this name.
pub(crate) fn told(records: &[Value], name: &str) -> u64 {
    named(records, name).iter().map(|record| record["meta"]["count"].as_u64().unwrap()).sum()
}

/// The lines of a sink that was given everything: in order and without a gap.
pub(crate) fn checked(written: &Written) -> Vec<Value> {
    check::lines(&written.text())
}
