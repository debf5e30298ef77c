//! Where objects are put: created, whole, and never in the place of something else.

use std::path::PathBuf;

use bytes::Bytes;

use super::courier::IsOver;
use super::folder::Folder;
use super::report::Failure;
#[cfg(feature = "s3")]
use super::s3::{Bucket, BucketStore};

/// One object on its way to its destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    /// Below the destination, with `/` between the folders.
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a Bytes,
    /// Whether the state file noted earlier that this put had begun: then the object may be in its place already.
    pub(crate) is_repeated: bool,
}

/// Why an object is not in its place.
#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "a folder says at once what became of a put"))]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPut {
    /// It may be there all the same: its put has begun.
    Failed(Failure),
    /// Nothing of it arrived: it has not begun, and what has its name is something else. Without a failure the run ended first.
    NotBegun(Option<Failure>),
    /// The run ended first. It may be there all the same.
    Asked,
}

impl From<Failure> for NotPut {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A place for objects.
pub(crate) trait Store: Send {
    /// Returns when the object is durable under its name.
    ///
    /// What has the name already is never replaced. It counts as this object only if the put is repeated and, where that can
    /// be read, the bytes are the same. A put that takes long ends early when the run is over.
    fn put(&mut self, put: &Put<'_>, is_over: IsOver<'_>) -> Result<(), NotPut>;
}

/// A checked destination.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(Box<Bucket>),
}

impl Target {
    /// The store of the destination. Nothing is opened yet.
    pub(crate) fn store(self) -> Box<dyn Store> {
        match self {
            Self::Folder(folder) => Box::new(Folder::new(&folder)),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Box::new(BucketStore::new(*bucket)),
        }
    }
}
