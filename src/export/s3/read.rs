//! Reading a bucket: lists, and objects in pieces. With other credentials than those that put.

use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::answer::{Answer, Answers, clean, whole};
use super::client::PIECE;
use super::drive::Drive;
use super::target::Bucket;
use crate::diagnostics::caught;
use crate::export::report::Failure;

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
    /// What is listed there and has no name here: keys with empty parts, below the destination.
    pub(crate) strays: Vec<String>,
}

impl BucketReader {
    pub(crate) fn new(bucket: Bucket) -> Result<Self, Failure> {
        let answers = Answers::default();
        let store = bucket.builder(&answers).build();
        let store = store.map_err(|error| Failure::new("cannot make a client", &whole(&error)))?;
        Ok(Self { inner: Rc::new(Inner { bucket, store, answers, drive: Drive::new()? }) })
    }

    /// What is directly below this name, which is below the destination.
    pub(crate) fn below(&self, name: &str) -> io::Result<Below> {
        let prefix = super::key(&self.inner.bucket, name);
        self.inner.answers.take_strays();
        let listed = self.inner.ask(|| self.inner.store.list_with_delimiter(Some(&prefix)))?;
        // Of a page that was asked for twice, too.
        let mut strays: Vec<_> =
            self.inner.answers.take_strays().iter().map(|key| self.below_destination(key)).collect();
        strays.sort_unstable();
        strays.dedup();
        let last = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let objects = listed.objects.iter().filter(|object| object.location != prefix);
        Ok(Below {
            folders: listed.common_prefixes.iter().map(last).collect(),
            // Consoles mark a folder by an object with its name and a slash.
            objects: objects.map(|object| last(&object.location)).collect(),
            strays,
        })
    }

    /// The key without the destination's prefix, for a message.
    fn below_destination(&self, key: &str) -> String {
        let prefix = super::key(&self.inner.bucket, "");
        clean(key.strip_prefix(prefix.as_ref()).unwrap_or(key).trim_start_matches('/'), 1_024)
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
            // As for puts, where keys are asked for on the way.
            let asked = caught(|| self.drive.wait(LIMIT, &|| false, request()));
            let asked = asked.ok_or_else(|| io::Error::other("panicked: is what was answered what it should be?"))?;
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
        // What was answered, and could not be read, is in the error.
        let is_success = |answer: &Answer| answer.status().is_some_and(|status| status.is_success());
        let answer = answer.filter(|answer| !is_success(answer));
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
            let range: Range<u64> = self.at..self.len.min(self.at + PIECE as u64);
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::super::target::tests::bucket;
    use super::*;

    /// A reader of a server that answers each request by its first line.
    fn reader(answer: fn(&str) -> Vec<u8>) -> BucketReader {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 16 * 1024];
                let len = stream.read(&mut request).unwrap();
                let _ = stream.write_all(&answer(&String::from_utf8_lossy(&request[..len])));
            }
        });
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hunter22")];
        let vars = [&[("AWS_ENDPOINT_URL_S3", &*url)], &keys[..]].concat();
        BucketReader::new(bucket(&vars).unwrap()).unwrap()
    }

    fn listing(keys: &[&str]) -> Vec<u8> {
        let object = |key: &&str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-20T00:00:00.000Z</LastModified><ETag>x</ETag><Size>0</Size></Contents>"
            )
        };
        let body = format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
            keys.iter().map(object).collect::<String>()
        );
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn the_marker_of_a_folder_is_none_of_its_objects() {
        let reader = reader(|_| listing(&["app/audit-logs/date=X/", "app/audit-logs/date=X/a.json"]));
        assert_eq!(reader.below("audit-logs/date=X").unwrap().objects, ["a.json"]);
    }

    #[test]
    fn a_key_that_cannot_be_named_is_apart_from_the_others() {
        let below = reader(|_| listing(&["app/manifests//x", "app/manifests/y"])).below("manifests").unwrap();
        assert_eq!((below.objects, below.strays), (vec!["y".to_owned()], vec!["manifests//x".to_owned()]));
    }

    #[test]
    fn a_piece_that_does_not_end_is_an_error() {
        let reader = reader(|request| {
            let head = "etag: x\r\nlast-modified: Fri, 20 Nov 2026 00:00:00 GMT\r\nconnection: close\r\n";
            if request.starts_with("HEAD") {
                return format!("HTTP/1.1 200 OK\r\n{head}content-length: 10\r\n\r\n").into_bytes();
            }
            let range = "content-range: bytes 0-9/10\r\n\r\n";
            let mut answer = format!("HTTP/1.1 206 Partial Content\r\n{head}{range}").into_bytes();
            answer.resize(answer.len() + PIECE + 2, b'x');
            answer
        });
        let error = reader.open("x").unwrap().read(&mut [0; 10]).unwrap_err();
        assert!(format!("{error:?}").contains("asked for"), "{error:?}");
    }
}
