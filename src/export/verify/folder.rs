//! The names in a folder, and small files of it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::LogType;
use crate::export::recipe;

/// Names below the destination, sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) manifests: Vec<String>,
    pub(super) objects: Vec<String>,
}

/// What exporters put there; other files are nobody's business. Temporary files of a put that goes on begin with a dot.
pub(super) fn list(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    if !fs::metadata(root)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    list_dates(root, "manifests", &mut listing.manifests)?;
    for log_type in LogType::ALL {
        list_dates(root, recipe::folder(*log_type), &mut listing.objects)?;
    }
    Ok(listing)
}

fn list_dates(root: &Path, kind: &str, names: &mut Vec<String>) -> io::Result<()> {
    let from = names.len();
    for date in names_in(&root.join(kind))? {
        let folder = root.join(kind).join(&date);
        if fs::symlink_metadata(&folder)?.is_dir() {
            let files = names_in(&folder)?.into_iter().filter(|name| !name.starts_with('.'));
            names.extend(files.map(|name| format!("{kind}/{date}/{name}")));
        } else {
            names.push(format!("{kind}/{date}"));
        }
    }
    names[from..].sort_unstable();
    Ok(())
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
}

/// A file that is small if it is what it should be.
pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    const MAX_BYTES: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a manifest"));
    }
    Ok(bytes)
}
