//! Where objects are put: created, whole, and never in the place of something else.

use std::path::Path;

use super::folder::Folder;
use super::report::Failure;

/// One object on its way to its destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    /// Below the destination, with `/` between the folders.
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    /// Whether the state file noted earlier that this put had begun: then the object may be in its place already.
    pub(crate) is_repeated: bool,
}

/// A place for objects.
pub(crate) trait Store: Send {
    /// Returns when the object is durable under its name.
    ///
    /// What has the name already is never replaced. It counts as this object only if the put is repeated and, where that can
    /// be read, the bytes are the same.
    fn put(&mut self, put: &Put<'_>) -> Result<(), Failure>;
}

/// The store of a destination.
pub(crate) fn open(folder: &Path) -> Box<dyn Store> {
    Box::new(Folder::new(folder))
}
