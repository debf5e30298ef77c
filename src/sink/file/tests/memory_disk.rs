//! A disk in memory that fails on demand, forgets what was not synced when its power is cut, and, like Linux, takes a page
//! that it could not write for clean.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use super::super::disk::{Disk, DiskFile, Kind, Status};

#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<State>>);

/// What the disk holds, and what it does wrong next.
#[derive(Default)]
pub(super) struct State {
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no sync has reached.
    changes: Vec<Change>,
    pub(super) folder_is_gone: bool,
    locked: Option<usize>,
    /// Bytes until the disk is full.
    pub(super) room: Option<usize>,
    /// How many bytes the next writes take at most.
    pub(super) short_writes: VecDeque<usize>,
    pub(super) failing_syncs: usize,
    pub(super) failing_folder_syncs: usize,
    pub(super) failing_renames: usize,
    /// Called by the next sync of a file, before it is done.
    pub(super) during_sync: Option<fn(&mut State)>,
    pub(super) folders_made: usize,
    pub(super) writes: usize,
    pub(super) syncs: usize,
    pub(super) now: Option<SystemTime>,
}

#[derive(Default)]
struct Inode {
    data: Vec<u8>,
    durable: usize,
    /// From here on, a failed sync has dropped what was written.
    dropped_from: Option<usize>,
}

#[derive(Clone)]
enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

pub(super) struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl MemoryDisk {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    pub(super) fn text(&self, path: &Path) -> Option<String> {
        self.names.get(path).map(|&inode| String::from_utf8(self.files[inode].data.clone()).unwrap())
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.names.keys().cloned().collect()
    }

    /// What is there and a power cut would leave, under whichever name.
    pub(super) fn durable_texts(&self) -> Vec<String> {
        let is_there = |inode: &&usize| self.names.values().any(|named| named == *inode);
        let durable = |&inode: &usize| {
            let file = &self.files[inode];
            String::from_utf8(file.data[..file.durable].to_vec()).unwrap()
        };
        self.durable_names.values().filter(is_there).map(durable).collect()
    }

    pub(super) fn move_away(&mut self, from: &Path, to: &Path) {
        if let Some(inode) = self.names.remove(from) {
            self.names.insert(to.to_owned(), inode);
            self.changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        }
    }

    pub(super) fn delete(&mut self, path: &Path) {
        if self.names.remove(path).is_some() {
            self.changes.push(Change::Unlink(path.to_owned()));
        }
    }

    pub(super) fn put(&mut self, path: &Path, content: &str) {
        self.delete(path);
        self.files.push(Inode { data: content.into(), ..Inode::default() });
        self.link(path, self.files.len() - 1);
    }

    fn link(&mut self, path: &Path, inode: usize) {
        self.names.insert(path.to_owned(), inode);
        self.changes.push(Change::Link(path.to_owned(), inode));
    }

    pub(super) fn truncate(&mut self, path: &Path, len: usize) {
        if let Some(&inode) = self.names.get(path) {
            let file = &mut self.files[inode];
            file.data.truncate(len);
            file.durable = file.durable.min(len);
        }
    }

    pub(super) fn delete_folder(&mut self) {
        self.names.clear();
        self.durable_names.clear();
        self.changes.clear();
        self.locked = None;
        self.folder_is_gone = true;
    }

    /// The process is killed; what it wrote stays. That a sync failed and nobody could rename the file any more is what the
    /// next process cannot know: its writes to the same pages take the forgotten bytes along, or nothing does.
    pub(super) fn kill(&mut self) {
        self.locked = None;
        for file in &mut self.files {
            file.dropped_from = None;
        }
    }

    /// The machine dies. Of what was not synced, the first changes of names and the first bytes may have been written.
    pub(super) fn cut_power(&mut self, changes: usize, bytes: usize) {
        for change in self.changes.drain(..).take(changes).collect::<Vec<_>>() {
            apply(&mut self.durable_names, change);
        }
        self.changes.clear();
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            let most = file.dropped_from.unwrap_or(file.data.len());
            file.data.truncate(most.min(file.durable + bytes).max(file.durable));
            (file.durable, file.dropped_from) = (file.data.len(), None);
        }
        self.locked = None;
    }

    fn status(&self, inode: usize) -> Status {
        let names = self.names.values().filter(|&&named| named == inode).count();
        Status {
            kind: Kind::Regular,
            identity: Some((1, inode as u64)),
            len: self.files[inode].data.len() as u64,
            names: names as u64,
            modified: self.now.unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: Change) {
    match change {
        Change::Link(path, inode) => {
            names.insert(path, inode);
        }
        Change::Unlink(path) => {
            names.remove(&path);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

fn fails(counter: &mut usize) -> io::Result<()> {
    if *counter == 0 {
        return Ok(());
    }
    *counter -= 1;
    Err(io::Error::other("injected"))
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = usize;

    fn open(&self, path: &Path, _: u32) -> io::Result<(MemoryFile, bool)> {
        let mut state = self.state();
        if state.folder_is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(&inode) = state.names.get(path) {
            return Ok((MemoryFile { disk: self.clone(), inode }, false));
        }
        state.files.push(Inode::default());
        let inode = state.files.len() - 1;
        state.link(path, inode);
        Ok((MemoryFile { disk: self.clone(), inode }, true))
    }

    fn status(&self, path: &Path) -> io::Result<Option<Status>> {
        let state = self.state();
        if path == Path::new("/x") {
            let folder =
                Status { kind: Kind::Folder, identity: None, len: 0, names: 1, modified: SystemTime::UNIX_EPOCH };
            return Ok((!state.folder_is_gone).then_some(folder));
        }
        Ok(state.names.get(path).map(|&inode| state.status(inode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        fails(&mut state.failing_renames)?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.move_away(from, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().delete(path);
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.state().names.keys().filter_map(|path| path.file_name()).map(OsString::from).collect())
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.folder_is_gone = false;
        state.folders_made += 1;
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if folder != Path::new("/x") {
            return Ok(());
        }
        if state.folder_is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        fails(&mut state.failing_folder_syncs)?;
        let State { durable_names, changes, .. } = &mut *state;
        for change in changes.drain(..) {
            apply(durable_names, change);
        }
        Ok(())
    }

    fn lock(&self, path: &Path, mode: u32) -> io::Result<usize> {
        let (file, _) = self.open(path, mode)?;
        let mut state = self.state();
        if state.locked.is_some_and(|locked| locked == file.inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = Some(file.inode);
        Ok(file.inode)
    }

    fn holds(&self, lock: &usize, path: &Path) -> bool {
        self.state().names.get(path) == Some(lock)
    }
}

impl DiskFile for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.writes += 1;
        let short = state.short_writes.pop_front().unwrap_or(usize::MAX);
        let room = state.room.unwrap_or(usize::MAX);
        let taken = bytes.len().min(short).min(room);
        if taken == 0 {
            return Err(if room == 0 { io::ErrorKind::StorageFull.into() } else { io::Error::other("injected") });
        }
        state.room = state.room.map(|room| room - taken);
        state.files[self.inode].data.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.syncs += 1;
        if let Some(meanwhile) = state.during_sync.take() {
            meanwhile(&mut state);
        }
        let result = fails(&mut state.failing_syncs);
        let file = &mut state.files[self.inode];
        match result {
            Ok(()) => file.durable = file.dropped_from.unwrap_or(file.data.len()),
            Err(_) => file.dropped_from = Some(file.dropped_from.unwrap_or(file.durable)),
        }
        result
    }

    fn status(&self) -> io::Result<Status> {
        Ok(self.disk.state().status(self.inode))
    }

    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        Ok(self.disk.state().files[self.inode].data.last().copied())
    }

    fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool> {
        Ok(self.disk.state().files[self.inode].data.starts_with(bytes))
    }

    fn cut_last_line(&mut self) -> io::Result<u64> {
        let mut state = self.disk.state();
        let data = &mut state.files[self.inode].data;
        let end = memchr::memrchr(b'\n', data).map_or(0, |at| at + 1);
        data.truncate(end);
        Ok(end as u64)
    }
}
