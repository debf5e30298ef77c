//! What the file sink asks of the operating system, behind a trait, so that tests can break every one of its answers.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

/// Files and folders. Nothing here retries, but for calls that a signal interrupted.
pub(crate) trait Disk: Send + 'static {
    type File: DiskFile;
    type Lock: Send + 'static;

    /// Opens for appending, and says whether the file is new. Never follows a symbolic link at the path's end, and never
    /// opens anything but a regular file.
    fn open(&self, path: &Path, mode: u32) -> io::Result<(Self::File, bool)>;
    /// What the path leads to; a link is not followed. `None`: nothing is there.
    fn status(&self, path: &Path) -> io::Result<Option<Status>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Makes a folder in a folder that exists, for its owner alone.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes names in a folder as durable as its files.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes the lock, or says `WouldBlock`. It goes when it is dropped, and when the process ends however it ends.
    fn lock(&self, path: &Path, mode: u32) -> io::Result<Self::Lock>;
    /// Whether the lock is still the one that the next process would meet at the path.
    fn holds(&self, lock: &Self::Lock, path: &Path) -> bool;
}

/// A file that is appended to.
pub(crate) trait DiskFile: Send + 'static {
    /// Appends bytes from the front, and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the content durable. After an error, a second call would prove nothing: the system may have forgotten what
    /// it could not write.
    fn sync(&mut self) -> io::Result<()>;
    fn status(&self) -> io::Result<Status>;
    /// `None` if the file is empty.
    fn last_byte(&mut self) -> io::Result<Option<u8>>;
    /// Whether these are its first bytes.
    fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool>;
    /// Removes what follows its last newline, and returns its length then.
    fn cut_last_line(&mut self) -> io::Result<u64>;
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) kind: Kind,
    /// Device and inode. `None` where std has no such thing: two files are then taken for the same.
    pub(crate) identity: Option<(u64, u64)>,
    pub(crate) len: u64,
    /// Under how many names the file can be found; at least 1 where std does not tell.
    pub(crate) names: u64,
    pub(crate) modified: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Folder,
    Link,
    /// A pipe, a socket, a device.
    Other,
}

impl Status {
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.kind == other.kind && self.identity == other.identity
    }

    fn of(metadata: &fs::Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::Regular,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let (identity, names) = identity(metadata);
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { kind, identity, len: metadata.len(), names, modified }
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> (Option<(u64, u64)>, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (Some((metadata.dev(), metadata.ino())), metadata.nlink())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (Option<(u64, u64)>, u64) {
    (None, 1)
}

/// The real one.
#[derive(Debug)]
pub(crate) struct Os;

/// Unlocks when it is dropped. Closing the file would not do: a child that another thread is just starting shares it
/// until it runs its own program.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Disk for Os {
    type File = File;
    type Lock = Lock;

    fn open(&self, path: &Path, mode: u32) -> io::Result<(File, bool)> {
        // An exclusive creation follows no link. For a file that exists, it is compared what the name says without
        // following with what was opened: no moment is left in which a link can be slipped in unseen.
        match create_new(path, mode) {
            Ok(file) => return Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let named = Status::of(&fs::symlink_metadata(path)?);
        if named.kind != Kind::Regular {
            return Err(not_regular(named.kind));
        }
        let file = retry(|| OpenOptions::new().read(true).append(true).open(path))?;
        if !Status::of(&file.metadata()?).is_same_file(&named) {
            return Err(io::Error::other("was replaced while it was opened"));
        }
        Ok((file, false))
    }

    fn status(&self, path: &Path) -> io::Result<Option<Status>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Status::of(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let folder = File::open(folder)?;
        retry(|| folder.sync_all())
    }

    #[cfg(not(unix))]
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened as a file; names are the file system's own care.
        Ok(())
    }

    fn lock(&self, path: &Path, mode: u32) -> io::Result<Lock> {
        let (file, _) = self.open(path, mode)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let lock = Lock(file);
        // Whoever removed the file between our opening and locking may let another process lock a new one.
        if self.holds(&lock, path) { Ok(lock) } else { Err(io::Error::other("was replaced while it was locked")) }
    }

    fn holds(&self, lock: &Lock, path: &Path) -> bool {
        let held = DiskFile::status(&lock.0);
        matches!((held, self.status(path)), (Ok(held), Ok(Some(named))) if held.is_same_file(&named))
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| io::Write::write(self, bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        // The length is data too: `fdatasync` writes it, and leaves out times only.
        retry(|| self.sync_data())
    }

    fn status(&self) -> io::Result<Status> {
        self.metadata().map(|metadata| Status::of(&metadata))
    }

    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        if self.metadata()?.len() == 0 {
            return Ok(None);
        }
        self.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        Ok(Some(byte[0]))
    }

    fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.seek(SeekFrom::Start(0))?;
        let mut begins = Vec::new();
        io::Read::take(&mut *self, bytes.len() as u64).read_to_end(&mut begins)?;
        Ok(begins == bytes)
    }

    fn cut_last_line(&mut self) -> io::Result<u64> {
        const CHUNK: u64 = 64 * 1024;
        let mut end = self.metadata()?.len();
        let mut chunk = Vec::new();
        while end > 0 {
            let begin = end.saturating_sub(CHUNK);
            chunk.clear();
            self.seek(SeekFrom::Start(begin))?;
            io::Read::take(&mut *self, end - begin).read_to_end(&mut chunk)?;
            if let Some(at) = memchr::memrchr(b'\n', &chunk) {
                end = begin + at as u64 + 1;
                break;
            }
            end = begin;
        }
        retry(|| self.set_len(end))?;
        Ok(end)
    }
}

/// A new file with exactly this mode, whatever the process's mask.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode & 0o600);
    let file = retry(|| options.open(path))?;
    #[cfg(unix)]
    set_mode(&file, mode)?;
    #[cfg(not(unix))]
    let _ = mode;
    Ok(file)
}

/// Some file systems know no modes, and refuse even one that is there already.
#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let is = file.metadata()?.permissions().mode() & 0o7777;
    if is == mode { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(mode)) }
}

fn not_regular(kind: Kind) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        match kind {
            Kind::Folder => "is a folder",
            Kind::Link => "is a symbolic link, which is not followed: name the file that it leads to",
            Kind::Other | Kind::Regular => "is no regular file, and can be neither rotated nor synced",
        },
    )
}

/// Whether nothing is at a path: the name is missing, or a folder above it is, or is none.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Again, as long as a signal comes between.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
