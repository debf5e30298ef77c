//! A folder as destination, on a local disk or a network mount.
//!
//! An object is written under a temporary name, synced, and then linked to its own: a link never replaces anything, and whoever
//! sees the name sees the whole object. Where the file system has no hard links, the name is reserved by an empty file of an
//! exclusive creation, over which the object is then renamed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::courier::IsOver;
use super::crash;
use super::report::Failure;
use super::store::{NotPut, Put, Store};
use crate::sink::disk::{Disk as _, Os, create_new, is_absent, retry};

/// Records name people: for the owner alone, as the file sink's.
const MODE: u32 = 0o600;

type SyncFolder = dyn Fn(&Path) -> io::Result<()> + Send;

pub(crate) struct Folder {
    root: PathBuf,
    /// Syncs a folder: the names in it.
    sync: Box<SyncFolder>,
    /// The destination was made here, and its name is not durable yet.
    is_root_new: bool,
    /// The folders of the last objects, whose own names are durable.
    durable: VecDeque<PathBuf>,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        let sync = Box::new(sync_folder);
        Self { root: root.to_owned(), sync, is_root_new: false, durable: VecDeque::new() }
    }

    /// Makes the folder of an object durably. An earlier attempt, or an earlier process, may have made it and not synced it.
    fn prepare(&mut self, folder: &Path, is_repeated: bool) -> io::Result<()> {
        /// A manifest and an object of each log type, at midnight of two days.
        const MOST: usize = 6;
        let is_made = self.make_folder(folder)?;
        if !is_made && !is_repeated && self.durable.iter().any(|known| known == folder) {
            return Ok(());
        }
        let mut child = folder;
        while child != self.root {
            let Some(above) = child.parent() else { break };
            (self.sync)(above)?;
            child = above;
        }
        if let Some(above) = self.root.parent() {
            match (self.sync)(above) {
                // A folder of others, which may not be ours to open.
                Err(_) if !self.is_root_new => {}
                synced => synced?,
            }
            self.is_root_new = false;
        }
        if self.durable.iter().all(|known| known != folder) {
            self.durable.truncate(MOST - 1);
            self.durable.push_front(folder.to_owned());
        }
        Ok(())
    }

    /// Makes the folder of an object; whether it was not there. The destination itself is made too, in a folder that exists: a
    /// misspelt path must not make a tree.
    fn make_folder(&mut self, folder: &Path) -> io::Result<bool> {
        match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return Ok(false),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "is no folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if folder != self.root {
            self.make_folder(folder.parent().ok_or(io::ErrorKind::NotFound)?)?;
        }
        match Os.create_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        self.is_root_new |= folder == self.root;
        Ok(true)
    }
}

impl Store for Folder {
    fn put(&mut self, put: &Put<'_>, _is_over: IsOver<'_>) -> Result<(), NotPut> {
        self.create(put)
    }
}

impl Folder {
    fn create(&mut self, put: &Put<'_>) -> Result<(), NotPut> {
        let path = self.root.join(put.name);
        let failed = |step: &str, error: &io::Error| Failure::new(format!("{step} {}", path.display()), error);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(Failure::because("an object without a name").into());
        };
        self.prepare(folder, put.is_repeated)
            .map_err(|error| Failure::new(format!("cannot make the folder {}", folder.display()), &error))?;
        let temporary = folder.join(format!(".{name}.tmp"));
        let is_done = take_for_done(&path, put).map_err(|error| {
            let failure = failed("cannot look at", &error);
            let is_taken = !put.is_repeated && error.kind() == io::ErrorKind::AlreadyExists;
            if is_taken { NotPut::NotBegun(Some(failure)) } else { NotPut::Failed(failure) }
        })?;
        if is_done {
            // Its second name may be left, and neither be durable yet.
            remove(&temporary).map_err(|error| failed("cannot remove the temporary file of", &error))?;
            return Ok((self.sync)(folder).map_err(|error| failed("cannot sync the folder of", &error))?);
        }
        write(&temporary, put.bytes).map_err(|error| failed("cannot write the temporary file of", &error))?;
        crash::point();
        publish(&temporary, &path, |from, to| fs::hard_link(from, to))
            .map_err(|error| failed("cannot give its name to", &error))?;
        crash::point();
        Ok((self.sync)(folder).map_err(|error| failed("cannot sync the folder of", &error))?)
    }
}

/// Whether the object is in its place, from an earlier attempt.
fn take_for_done(path: &Path, put: &Put<'_>) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let taken = |why: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    if !there.is_file() {
        return taken("something else than a file has its name");
    }
    if !put.is_repeated {
        return taken("the name is taken by a file that this exporter did not begin");
    }
    if there.len() == 0 {
        // Its name was reserved, and it was not renamed any more.
        return Ok(false);
    }
    if !has_content(path, put.bytes)? {
        return taken("it was begun, and another content stands there now");
    }
    Ok(true)
}

fn has_content(path: &Path, expected: &[u8]) -> io::Result<bool> {
    let mut file = retry(|| File::open(path))?;
    let (mut chunk, mut at) = (vec![0; 64 * 1024], 0);
    loop {
        let read = retry(|| file.read(&mut chunk))?;
        if read == 0 {
            return Ok(at == expected.len());
        }
        if expected.get(at..at + read) != Some(&chunk[..read]) {
            return Ok(false);
        }
        at += read;
    }
}

fn write(temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(temporary)?;
    let mut file = create_new(temporary, MODE)?;
    let written = file.write_all(bytes).and_then(|()| retry(|| file.sync_all()));
    if written.is_ok() {
        forget(&file);
    }
    drop(file);
    if written.is_err() {
        // A full disk gets its space back.
        let _ = remove(temporary);
    }
    written
}

/// Gives back the memory in which the system keeps a file that is synced or was only read: nobody reads it here again. The next object
/// takes the same memory, and what the application has in the cache stays there.
#[cfg(target_os = "linux")]
pub(crate) fn forget(file: &File) {
    // It is advice: without it the system decides alone.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forget(_: &File) {}

/// Gives the file its name. `path` is free, or reserved by an empty file.
fn publish(temporary: &Path, path: &Path, link: fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(temporary, path) {
        Ok(()) => {
            crash::point();
            return remove(temporary);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_reserved(temporary, path)?;
        }
        Err(error) if has_no_links(&error) => {
            match create_new(path, MODE) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_reserved(temporary, path)?,
                reserved => drop(reserved?),
            }
            crash::point();
        }
        Err(error) => return Err(error),
    }
    fs::rename(temporary, path)
}

/// What has the name must be the empty file of an earlier attempt.
fn check_reserved(temporary: &Path, path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.len() == 0 {
        return Ok(());
    }
    let _ = remove(temporary);
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "it was made by somebody else meanwhile"))
}

/// What file systems without hard links answer.
fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::InvalidInput
    )
}

/// Some network file systems cannot sync a folder: they write names at once.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match Os.sync_folder(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if is_absent(&error) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NAME: &str = "audit-logs/date=2026-11-20/a.json";

    fn put(folder: &Path, bytes: &[u8], is_repeated: bool) -> Result<(), Failure> {
        let put = Put { name: NAME, bytes: &Bytes::copy_from_slice(bytes), is_repeated };
        Folder::new(folder).create(&put).map_err(|not_put| match not_put {
            NotPut::NotBegun(Some(failure)) => {
                assert!(!is_repeated && failure.to_string().contains("did not begin"));
                failure
            }
            NotPut::Failed(failure) => {
                assert!(!failure.to_string().contains("did not begin"));
                failure
            }
            NotPut::NotBegun(None) | NotPut::Asked => panic!("nobody asked"),
        })
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(NAME).parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn an_object_is_put_whole_for_its_owner_alone_and_leaves_no_temporary_file() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("made");
        put(&folder, b"one\n", false).unwrap();
        assert_eq!(fs::read(folder.join(NAME)).unwrap(), b"one\n");
        assert_eq!(names(&folder), ["a.json"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(folder.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_there_is_never_replaced_and_counts_only_if_it_was_begun_and_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), b"one\n", false).unwrap();
        let error = put(folder.path(), b"one\n", false).unwrap_err().to_string();
        assert!(error.contains(NAME) && error.contains("did not begin"), "{error}");
        put(folder.path(), b"one\n", true).unwrap();
        let error = put(folder.path(), b"two\n", true).unwrap_err().to_string();
        assert!(error.contains("another content"), "{error}");
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"one\n");
    }

    #[test]
    fn a_temporary_file_and_a_reserved_name_of_an_earlier_attempt_are_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("audit-logs/date=2026-11-20")).unwrap();
        fs::write(folder.path().join("audit-logs/date=2026-11-20/.a.json.tmp"), b"half").unwrap();
        fs::write(folder.path().join(NAME), b"").unwrap();
        put(folder.path(), b"one\n", true).unwrap();
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"one\n");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_folder_whose_sync_failed_is_synced_before_anything_in_it_counts() {
        use std::sync::{Arc, Mutex};
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("made");
        let synced = Arc::<Mutex<Vec<PathBuf>>>::default();
        let folder = |fails_at: Option<PathBuf>| {
            let noted = synced.clone();
            let sync = move |folder: &Path| {
                if fails_at.as_deref() == Some(folder) {
                    return Err(io::Error::other("the disk failed"));
                }
                noted.lock().unwrap().push(folder.to_owned());
                Ok(())
            };
            Folder { sync: Box::new(sync), ..Folder::new(&root) }
        };
        let one = Bytes::from_static(b"one\n");
        let put = |folder: &mut Folder, is_repeated| folder.create(&Put { name: NAME, bytes: &one, is_repeated });
        let kind = root.join("audit-logs");
        let date = kind.join("date=2026-11-20");
        for above in [parent.path(), &root, &kind] {
            let _ = fs::remove_dir_all(&root);
            assert!(put(&mut folder(Some(above.to_owned())), false).is_err());
            assert!(date.is_dir() && !root.join(NAME).exists(), "{above:?}");
            synced.lock().unwrap().clear();
            // Another process: it finds the folders.
            let mut next = folder(None);
            put(&mut next, true).unwrap();
            let chain = [kind.clone(), root.clone(), parent.path().to_owned(), date.clone()];
            assert_eq!(std::mem::take(&mut *synced.lock().unwrap()), chain);
            // Once for a folder, unless the put is repeated.
            let other = "audit-logs/date=2026-11-20/b.json";
            next.create(&Put { name: other, bytes: &Bytes::new(), is_repeated: false }).unwrap();
            assert_eq!(std::mem::take(&mut *synced.lock().unwrap()), std::slice::from_ref(&date));
            put(&mut next, true).unwrap();
            assert_eq!(*synced.lock().unwrap(), chain);
        }
    }

    #[test]
    fn without_hard_links_the_name_is_reserved_first_and_nothing_is_replaced_either() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, path) = (folder.path().join(".a.tmp"), folder.path().join("a"));
        let no_links = |_: &Path, _: &Path| Err(io::ErrorKind::Unsupported.into());
        // The name is free, then reserved by an attempt that ended there.
        for reserved in [false, true] {
            let _ = fs::remove_file(&path);
            if reserved {
                fs::write(&path, b"").unwrap();
            }
            fs::write(&temporary, b"one\n").unwrap();
            publish(&temporary, &path, no_links).unwrap();
            assert_eq!((fs::read(&path).unwrap(), temporary.exists()), (b"one\n".to_vec(), false));
        }
        fs::write(&temporary, b"two\n").unwrap();
        let error = publish(&temporary, &path, no_links).unwrap_err();
        assert_eq!((error.kind(), fs::read(&path).unwrap()), (io::ErrorKind::AlreadyExists, b"one\n".to_vec()));
    }

    #[test]
    fn a_destination_that_is_a_file_or_whose_parent_is_missing_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        for wrong in [file.clone(), folder.path().join("missing/export")] {
            let error = put(&wrong, b"one\n", false).unwrap_err().to_string();
            assert!(error.contains(wrong.to_str().unwrap()), "{error}");
        }
        assert!(!folder.path().join("missing").exists());
    }
}
