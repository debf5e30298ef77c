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
            // A link is not a folder.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => names.folders.push(name),
                Ok(_) => names.objects.push(name),
                // An exporter has removed its temporary file meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn files_that_are_removed_while_a_folder_is_listed_are_no_errors() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.json"), "").unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let temporary: Vec<_> = (0..64).map(|at| root.path().join(format!(".{at}.tmp"))).collect();
                while !is_over.load(Ordering::SeqCst) {
                    temporary.iter().for_each(|path| fs::write(path, "").unwrap());
                    temporary.iter().for_each(|path| fs::remove_file(path).unwrap());
                }
            });
            let listed: Vec<_> = (0..2_000).map(|_| Folder::new(root.path()).names_in("")).collect();
            is_over.store(true, Ordering::SeqCst);
            for names in listed {
                assert!(names.unwrap().objects.contains(&"a.json".to_owned()));
            }
        });
    }
}
