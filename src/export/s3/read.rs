//! Reading a bucket: lists, and objects in pieces. With other credentials than those that put.

use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::answer::{Answer, Answers, clean};
use super::drive::Drive;
use super::target::Bucket;
use crate::export::report::Failure;

/// One request for a piece of an object.
const PIECE: u64 = 8 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// A bucket that is read.
pub(crate) struct BucketReader {
    inner: Rc<Inner>,
}

struct Inner {
    bucket: Bucket,
    store: AmazonS3,
    answers: Answers,
    drive: Drive,
}

/// What is directly below a name.
pub(crate) struct Below {
    /// Names that end in `/` in a listing, without it.
    pub(crate) folders: Vec<String>,
    pub(crate) objects: Vec<String>,
}

impl BucketReader {
    pub(crate) fn new(bucket: Bucket) -> Result<Self, Failure> {
        let answers = Answers::default();
        let store = bucket.builder(&answers).build();
        let store = store.map_err(|error| Failure::new("cannot make a client", &clean(&error.to_string(), 200)))?;
        Ok(Self { inner: Rc::new(Inner { bucket, store, answers, drive: Drive::new()? }) })
    }

    /// What is directly below this name, which is below the destination.
    pub(crate) fn below(&self, name: &str) -> io::Result<Below> {
        let prefix = super::key(&self.inner.bucket, name);
        let listed = self.inner.ask(|| self.inner.store.list_with_delimiter(Some(&prefix)))?;
        let last = |path: &Path| path.filename().unwrap_or_default().to_owned();
        Ok(Below {
            folders: listed.common_prefixes.iter().map(last).collect(),
            objects: listed.objects.iter().map(|object| last(&object.location)).collect(),
        })
    }

    /// An object, from its beginning.
    pub(crate) fn open(&self, name: &str) -> io::Result<impl Read + use<>> {
        let key = super::key(&self.inner.bucket, name);
        let found = self.inner.ask(|| self.inner.store.head(&key))?;
        Ok(Object { inner: self.inner.clone(), key, len: found.size, at: 0, piece: Bytes::new() })
    }
}

impl Inner {
    /// Sends a request that changes nothing, some times.
    fn ask<T, F: Future<Output = object_store::Result<T>>>(&self, request: impl Fn() -> F) -> io::Result<T> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            self.answers.take();
            let asked = self.drive.wait(LIMIT, &|| false, request());
            let error = match asked {
                Ok(Ok(answered)) => return Ok(answered),
                Ok(Err(error)) => error,
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {LIMIT:?}"))),
            };
            let answer = self.answers.take();
            let is_passing = match &answer {
                Some(answer) => answer.status().is_none_or(|status| status.is_server_error() || status.as_u16() == 429),
                None => false,
            };
            if !is_passing || attempt == ATTEMPTS {
                return Err(self.explain(answer, &error));
            }
            let _ = self.drive.pause(pause, &|| false);
            pause *= 2;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn explain(&self, answer: Option<Answer>, error: &object_store::Error) -> io::Error {
        let kind = match error {
            object_store::Error::NotFound { .. } if answer.as_ref().is_none_or(|it| it.code() != "NoSuchBucket") => {
                io::ErrorKind::NotFound
            }
            _ => io::ErrorKind::Other,
        };
        let secrets: Vec<&str> = self.bucket.secrets().collect();
        let why = answer.map_or_else(|| clean(&error.to_string(), 300), |answer| answer.explain(&secrets));
        io::Error::new(kind, why)
    }
}

struct Object {
    inner: Rc<Inner>,
    key: Path,
    len: u64,
    at: u64,
    piece: Bytes,
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.at < self.len {
            let range: Range<u64> = self.at..self.len.min(self.at + PIECE);
            let wanted = range.end - range.start;
            let piece = self.inner.ask(|| self.inner.store.get_range(&self.key, range.clone()))?;
            if piece.len() as u64 != wanted {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a piece was answered with another length"));
            }
            self.at += wanted;
            self.piece = piece;
        }
        let len = self.piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.piece.split_to(len));
        Ok(len)
    }
}
