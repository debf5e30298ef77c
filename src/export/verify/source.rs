//! What is read: the names below a destination, and its objects.

use std::io::{self, Read};

use crate::LogType;
use crate::export::recipe;

/// A destination that is read.
pub(super) trait Source {
    /// For messages.
    fn name(&self) -> String;
    /// The names directly in a folder: of its folders, and of its objects. None where it is not there.
    fn names_in(&self, folder: &str) -> io::Result<Names>;
    /// An object, from its beginning; `NotFound` if it is not there.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>>;
}

#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) folders: Vec<String>,
    pub(super) objects: Vec<String>,
}

/// Names below the destination, sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) manifests: Vec<String>,
    pub(super) objects: Vec<String>,
}

/// What exporters put there; other files are nobody's business. Temporary files of a put that goes on begin with a dot.
pub(super) fn list(source: &dyn Source) -> io::Result<Listing> {
    let mut listing = Listing::default();
    list_dates(source, "manifests", &mut listing.manifests)?;
    for log_type in LogType::ALL {
        list_dates(source, recipe::folder(*log_type), &mut listing.objects)?;
    }
    Ok(listing)
}

fn list_dates(source: &dyn Source, kind: &str, names: &mut Vec<String>) -> io::Result<()> {
    let from = names.len();
    let dates = source.names_in(kind)?;
    names.extend(dates.objects.iter().map(|name| format!("{kind}/{name}")));
    for date in dates.folders {
        let Names { folders, objects } = source.names_in(&format!("{kind}/{date}"))?;
        let files = folders.into_iter().chain(objects).filter(|name| !name.starts_with('.'));
        names.extend(files.map(|name| format!("{kind}/{date}/{name}")));
    }
    names[from..].sort_unstable();
    Ok(())
}

/// An object that is small if it is what it should be.
pub(super) fn read_small(object: impl Read) -> io::Result<Vec<u8>> {
    const MAX_BYTES: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    object.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a manifest"));
    }
    Ok(bytes)
}
