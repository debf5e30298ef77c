//! A folder that is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::source::{Names, Source};
use crate::export::folder::forget;

pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Source for Folder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn names_in(&self, folder: &str) -> io::Result<Names> {
        if !fs::metadata(&self.root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut names = Names::default();
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link is no folder.
            let is_folder = fs::symlink_metadata(entry.path())?.is_dir();
            if is_folder { names.folders.push(name) } else { names.objects.push(name) }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Object(File::open(self.root.join(name))?)))
    }
}

/// An object that is read once.
struct Object(File);

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        forget(&self.0);
    }
}
