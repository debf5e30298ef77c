//! A bucket as destination: single puts that only create, and nothing else.
//!
//! A put asks for keys, sends the object with its checksum and `If-None-Match: *`, and decides by the answer. What may have
//! arrived although it was not confirmed is sent again, and is then there already. Reading, listing, deleting and multipart
//! uploads are never asked for: credentials that can only put are enough.
//!
//! | file | what it holds |
//! |---|---|
//! | `target.rs` | the bucket, the `AWS_…` variables, and the settings, checked |
//! | `credentials.rs` | keys of the environment or the machine, and those of an assumed role |
//! | `client.rs` | the HTTP client: no redirects, bounded answers |
//! | `answer.rs` | what was answered, for decisions and for errors |
//! | `drive.rs` | waiting for a request, within its time and the run's |
//! | `read.rs` | reading a bucket, for `verify` |

mod answer;
mod client;
mod credentials;
mod drive;
mod read;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use object_store::aws::{AmazonS3, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore as _, PutMode, PutOptions, PutPayload};

use self::answer::{Answer, Answers, clean};
use self::credentials::{Credentials, Handed, have_ended};
use self::drive::{Drive, Ended};
pub(crate) use self::read::BucketReader;
pub(crate) use self::target::{AwsVars, Bucket};
use super::courier::IsOver;
use super::report::Failure;
use super::store::{NotPut, Put, Store};

/// How often a request is sent for one put. The exporter tries again later.
const ATTEMPTS: u32 = 4;
/// Before the second request; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// For keys: several requests to the machine or the STS.
const KEYS_LIMIT: Duration = Duration::from_secs(60);
/// For an object: this long, and a second for each 256 KiB.
const PUT_LIMIT: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 256 * 1024;

pub(crate) struct BucketStore {
    bucket: Bucket,
    /// Made on the exporter's thread, with the first put.
    open: Option<Open>,
}

/// With a runtime of its own: none is asked of the application.
struct Open {
    drive: Drive,
    credentials: Credentials,
    handed: Arc<Handed>,
    store: AmazonS3,
    answers: Answers,
}

/// What an attempt came to.
enum Attempt {
    Done,
    /// Something has the name.
    Exists(Answer),
    /// Not this time. `may_be_there`: the object may have arrived.
    Again {
        answer: Answer,
        may_be_there: bool,
    },
    Never(Answer),
    /// Keys ended sooner than they said.
    KeysEnded(Answer),
}

impl BucketStore {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, open: None }
    }
}

impl Store for BucketStore {
    fn put(&mut self, put: &Put<'_>, is_over: IsOver<'_>) -> Result<(), NotPut> {
        let opened = self.open.take().map_or_else(|| Open::new(&self.bucket), Ok)?;
        let open = self.open.insert(opened);
        let key = key(&self.bucket, put.name);
        let step = format!("cannot put {}/{}", self.bucket.url, put.name);
        let (mut may_be_there, mut pause) = (put.is_repeated, PAUSE);
        for attempt in 1.. {
            let answer = match open.attempt(&key, put.bytes, is_over)? {
                Attempt::Done => return Ok(()),
                Attempt::Exists(_) if may_be_there => return Ok(()),
                Attempt::Exists(answer) => {
                    let answered = open.explain(&self.bucket, &answer);
                    let why = format!("{answered}; an object has its name that this exporter did not begin");
                    return Err(NotPut::Taken(Failure::new(&step, &why)));
                }
                Attempt::Never(answer) => {
                    return Err(Failure::new(&step, &open.explain(&self.bucket, &answer)).into());
                }
                Attempt::KeysEnded(answer) if !open.credentials.forget() => {
                    return Err(Failure::new(&step, &open.explain(&self.bucket, &answer)).into());
                }
                Attempt::KeysEnded(answer) => answer,
                Attempt::Again { answer, may_be_there: arrived } => {
                    may_be_there |= arrived;
                    answer
                }
            };
            if attempt == ATTEMPTS {
                let why = format!("{}, {ATTEMPTS} times", open.explain(&self.bucket, &answer));
                return Err(Failure::new(&step, &why).into());
            }
            if open.drive.pause(pause, is_over).is_err() {
                return Err(NotPut::Asked);
            }
            pause *= 2;
        }
        Err(NotPut::Asked)
    }
}

impl Open {
    fn new(bucket: &Bucket) -> Result<Self, Failure> {
        let (answers, handed) = (Answers::default(), Arc::<Handed>::default());
        let mut headers = HeaderMap::new();
        if let Some(acl) = bucket.options.acl {
            headers.insert(HeaderName::from_static("x-amz-acl"), HeaderValue::from_static(acl.as_str()));
        }
        let builder = bucket.builder(&answers);
        let allows_http = builder
            .get_config_value(&object_store::aws::AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp));
        let options =
            ClientOptions::new().with_allow_http(allows_http.as_deref() == Some("true")).with_default_headers(headers);
        let mut builder = builder
            .with_client_options(options)
            .with_credentials(handed.clone())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Buckets with Object Lock ask for a checksum.
            .with_checksum_algorithm(Checksum::SHA256);
        if let Some(key) = &bucket.options.kms_key_id {
            builder = builder.with_sse_kms_encryption(key);
        }
        let cannot = |error: object_store::Error| {
            Failure::new(format!("cannot make a client for {}", bucket.url), &clean(&error.to_string(), 200))
        };
        let store = builder.build().map_err(cannot)?;
        Ok(Self { drive: Drive::new()?, credentials: Credentials::new(bucket)?, handed, store, answers })
    }

    /// In words, without secrets: those that were given, and those of the role.
    fn explain(&self, bucket: &Bucket, answer: &Answer) -> String {
        let keys = self.handed.get();
        let of_keys = keys.iter().flat_map(|keys| [&*keys.secret_key, keys.token.as_deref().unwrap_or_default()]);
        answer.explain(&bucket.secrets().chain(of_keys).collect::<Vec<_>>())
    }

    /// Sends one request.
    fn attempt(&mut self, key: &Path, bytes: &Bytes, is_over: IsOver<'_>) -> Result<Attempt, NotPut> {
        let Self { drive, credentials, handed, store, answers } = self;
        match drive.wait(KEYS_LIMIT, is_over, credentials.get()) {
            Ok(keys) => handed.set(keys?),
            Err(Ended::Over) => return Err(NotPut::Asked),
            Err(Ended::TimedOut) => {
                let why = format!("no answer within {KEYS_LIMIT:?}");
                return Err(Failure::new(credentials.step(), &why).into());
            }
        }
        answers.take();
        let limit = PUT_LIMIT + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let sent = drive.wait(limit, is_over, store.put_opts(key, PutPayload::from_bytes(bytes.clone()), options));
        match sent {
            Err(Ended::Over) => Err(NotPut::Asked),
            Err(Ended::TimedOut) => {
                let answer = Answer::Broken(format!("nothing within {limit:?}"));
                Ok(Attempt::Again { answer, may_be_there: true })
            }
            Ok(sent) => Ok(judge(answers.take(), sent.err())),
        }
    }
}

/// Decides by the answer of the server. What the client makes of it says less.
fn judge(answer: Option<Answer>, error: Option<object_store::Error>) -> Attempt {
    let Some(answer) = answer else {
        let why = error.map_or_else(|| "no answer".to_owned(), |error| clean(&error.to_string(), 200));
        return Attempt::Never(Answer::Broken(why));
    };
    let Some(status) = answer.status() else {
        let may_be_there = matches!(answer, Answer::Broken(_));
        return Attempt::Again { answer, may_be_there };
    };
    match status.as_u16() {
        // Each S3 server answers with an ETag: without one it is another server, or a proxy.
        200..300 if error.is_none() => Attempt::Done,
        200..300 => Attempt::Never(answer),
        304 | 412 => Attempt::Exists(answer),
        _ if have_ended(&answer) => Attempt::KeysEnded(answer),
        // Somebody else is putting an object of this name: the next answer says what became of it.
        409 if matches!(answer.code(), "ConditionalRequestConflict" | "OperationAborted" | "") => {
            Attempt::Again { answer, may_be_there: false }
        }
        429 => Attempt::Again { answer, may_be_there: false },
        // In the words of S3 nothing was stored; in those of a proxy nobody knows.
        503 => Attempt::Again { may_be_there: answer.code().is_empty(), answer },
        400 if matches!(answer.code(), "RequestTimeout" | "IncompleteBody" | "BadDigest") => {
            Attempt::Again { answer, may_be_there: false }
        }
        408 | 500 | 502 | 504 => Attempt::Again { answer, may_be_there: true },
        _ => Attempt::Never(answer),
    }
}

/// The key of a name: below the prefix.
fn key(bucket: &Bucket, name: &str) -> Path {
    let prefix = &bucket.url.prefix;
    Path::from_iter(prefix.split('/').chain(name.split('/')).filter(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_answer_has_its_consequence() {
        let judged = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let answer = Answer::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            let error = object_store::Error::NotImplemented { operation: "x".into(), implementer: "x".into() };
            match judge(Some(answer), Some(error)) {
                Attempt::Done => "done",
                Attempt::Exists(_) => "exists",
                Attempt::Again { may_be_there: true, .. } => "again, may be there",
                Attempt::Again { .. } => "again",
                Attempt::Never(_) => "never",
                Attempt::KeysEnded(_) => "keys ended",
            }
        };
        for (status, code, expected) in [
            (412, "PreconditionFailed", "exists"),
            (304, "", "exists"),
            (409, "ConditionalRequestConflict", "again"),
            (409, "InvalidBucketState", "never"),
            (503, "SlowDown", "again"),
            (503, "", "again, may be there"),
            (429, "", "again"),
            (500, "InternalError", "again, may be there"),
            (504, "", "again, may be there"),
            (400, "RequestTimeout", "again"),
            (400, "InvalidRequest", "never"),
            (400, "ExpiredToken", "keys ended"),
            (403, "AccessDenied", "never"),
            (404, "NoSuchBucket", "never"),
            (301, "PermanentRedirect", "never"),
            (307, "TemporaryRedirect", "never"),
            (200, "", "never"),
        ] {
            assert_eq!(judged(status, code), expected, "{status} {code}");
        }
        let broken = |answer| matches!(judge(Some(answer), None), Attempt::Again { may_be_there: true, .. });
        assert!(broken(Answer::Broken("reset".into())));
        assert!(!broken(Answer::Unreachable("refused".into())));
        assert!(matches!(judge(None, None), Attempt::Never(_)));
    }
}
