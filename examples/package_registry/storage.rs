//! The registry's folder: `packages.json`, and a folder of files for each package.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::registry::Package;

pub(crate) struct Storage {
    folder: PathBuf,
}

impl Storage {
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Vec<Package>)> {
        fs::create_dir_all(folder.join("files"))?;
        let packages = match fs::read(folder.join("packages.json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok((Self { folder: folder.to_owned() }, packages))
    }

    /// Keeps the list of packages, whole or not at all.
    pub(crate) fn save(&self, packages: &[Package]) -> io::Result<()> {
        self.replace(&self.folder.join("packages.json"), &serde_json::to_vec(packages)?)
    }

    pub(crate) fn write(&self, package: u64, file: &str, content: &[u8]) -> io::Result<()> {
        let folder = self.files(package);
        fs::create_dir_all(&folder)?;
        self.replace(&folder.join(file), content)
    }

    pub(crate) fn read(&self, package: u64, file: &str) -> io::Result<Vec<u8>> {
        fs::read(self.files(package).join(file))
    }

    pub(crate) fn remove(&self, package: u64) -> io::Result<()> {
        fs::remove_dir_all(self.files(package))
    }

    fn files(&self, package: u64) -> PathBuf {
        self.folder.join("files").join(package.to_string())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}
