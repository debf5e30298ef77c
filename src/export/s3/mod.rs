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
//! | `listing.rs` | listings without keys that have no name here |
//! | `drive.rs` | waiting for a request, within its time and the run's |
//! | `read.rs` | reading a bucket, for `verify` |

mod answer;
mod client;
mod credentials;
mod drive;
mod listing;
mod read;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use object_store::aws::{AmazonS3, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore as _, PutMode, PutOptions, PutPayload};

use self::answer::{Answer, Answers, clean, whole};
use self::credentials::{Credentials, Handed, have_ended};
use self::drive::{Drive, Ended};
pub(crate) use self::read::BucketReader;
pub(crate) use self::target::{AwsVars, Bucket};
use super::courier::IsOver;
use super::report::Failure;
use super::store::{NotPut, Put, Store};
use crate::diagnostics::caught;

/// How often a request is sent for one put. The exporter tries again later.
const ATTEMPTS: u32 = 4;
/// Before the second request; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// For keys: several requests to the machine or the STS.
const KEYS_LIMIT: Duration = Duration::from_secs(60);
/// For an object: this long, and a second for each 256 KiB, the first time.
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
    Never {
        answer: Answer,
        may_be_there: bool,
    },
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
        let mut may_be_there = put.is_repeated;
        self.create(put, &mut may_be_there, is_over).map_err(|not_put| match not_put {
            NotPut::Failed(failure) if !may_be_there => NotPut::NotBegun(Some(failure)),
            NotPut::Asked if !may_be_there => NotPut::NotBegun(None),
            not_put => not_put,
        })
    }
}

impl BucketStore {
    /// Sends a put until it is decided. `may_be_there` says whether the object may have arrived, if it was not put.
    fn create(&mut self, put: &Put<'_>, may_be_there: &mut bool, is_over: IsOver<'_>) -> Result<(), NotPut> {
        let opened = self.open.take().map_or_else(|| Open::new(&self.bucket), Ok)?;
        let open = self.open.insert(opened);
        let key = key(&self.bucket, put.name);
        let step = format!("cannot put {}/{}", self.bucket.url, put.name);
        let (mut pause, mut have_keys_ended) = (PAUSE, false);
        for attempt in 1.. {
            open.get_keys(is_over)?;
            let limit = limit(put.bytes, attempt);
            let answer = match open.attempt(&key, put.bytes, limit, is_over) {
                Err(Ended::Over) => {
                    *may_be_there = true;
                    return Err(NotPut::Asked);
                }
                Err(Ended::TimedOut) => {
                    *may_be_there = true;
                    Answer::Broken(format!("nothing within {limit:?}"))
                }
                Ok(Attempt::Done) => return Ok(()),
                Ok(Attempt::Exists(_)) if *may_be_there => return Ok(()),
                Ok(Attempt::Exists(answer)) => {
                    let answered = open.explain(&self.bucket, &answer);
                    let why = format!("{answered}; the name is taken by an object that this exporter did not begin");
                    return Err(Failure::new(&step, &why).into());
                }
                Ok(Attempt::Never { answer, may_be_there: arrived }) => {
                    *may_be_there |= arrived;
                    return Err(Failure::new(&step, &open.explain(&self.bucket, &answer)).into());
                }
                Ok(Attempt::KeysEnded(answer))
                    if !open.credentials.forget(!std::mem::replace(&mut have_keys_ended, true)) =>
                {
                    return Err(Failure::new(&step, &open.explain(&self.bucket, &answer)).into());
                }
                Ok(Attempt::KeysEnded(answer)) => answer,
                Ok(Attempt::Again { answer, may_be_there: arrived }) => {
                    *may_be_there |= arrived;
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
            Failure::new(format!("cannot make a client for {}", bucket.url), &whole(&error))
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

    /// Gets the keys of the next request. Nothing of an object is sent.
    fn get_keys(&mut self, is_over: IsOver<'_>) -> Result<(), NotPut> {
        let Self { drive, credentials, handed, .. } = self;
        // `object_store` panics at answers that it does not expect, such as a page in place of a token.
        let Some(got) = caught(|| drive.wait(KEYS_LIMIT, is_over, credentials.get())) else {
            let why = "panicked: is what was answered what it should be?";
            return Err(Failure::new(credentials.step(), &why).into());
        };
        match got {
            Ok(keys) => {
                handed.set(keys?);
                Ok(())
            }
            Err(Ended::Over) => Err(NotPut::Asked),
            Err(Ended::TimedOut) => {
                let why = format!("no answer within {KEYS_LIMIT:?}");
                Err(Failure::new(credentials.step(), &why).into())
            }
        }
    }

    /// Sends one request. If that ends without an answer, the object may have arrived.
    fn attempt(&mut self, key: &Path, bytes: &Bytes, limit: Duration, is_over: IsOver<'_>) -> Result<Attempt, Ended> {
        let Self { drive, store, answers, .. } = self;
        answers.take();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(bytes.clone());
        let sent = drive.wait(limit, is_over, store.put_opts(key, payload, options))?;
        Ok(judge(answers.take(), sent.err()))
    }
}

/// How long this request with this object may take: each twice as long as the one before, for a line that is slow.
fn limit(bytes: &Bytes, attempt: u32) -> Duration {
    let first = PUT_LIMIT + Duration::from_secs(bytes.len() as u64 / SLOWEST);
    first * (1 << (attempt.min(ATTEMPTS) - 1))
}

/// Decides by the answer of the server. What the client makes of it says less.
///
/// S3 refuses a put (3xx, 4xx, 503) before anything of it is stored, and says so with an error code. The same status without one may
/// be a proxy's, which may have passed the put on before: the object may be there. If it is not, the next put says so; and if it
/// were held for impossible, an object that was stored would be taken for somebody else's for ever.
fn judge(answer: Option<Answer>, error: Option<object_store::Error>) -> Attempt {
    let Some(answer) = answer else {
        let why = error.map_or_else(|| "no answer".to_owned(), |error| clean(&error.to_string(), 200));
        return Attempt::Never { answer: Answer::Broken(why), may_be_there: true };
    };
    let Some(status) = answer.status() else {
        let may_be_there = matches!(answer, Answer::Broken(_));
        return Attempt::Again { answer, may_be_there };
    };
    let is_refused = !answer.code().is_empty() && matches!(status.as_u16(), 300..500 | 503);
    match status.as_u16() {
        // Each S3 server answers with an ETag: without one it is another server, or a proxy.
        200..300 if error.is_none() => Attempt::Done,
        200..300 => Attempt::Never { answer, may_be_there: true },
        304 | 412 => Attempt::Exists(answer),
        _ if have_ended(&answer) => Attempt::KeysEnded(answer),
        // Somebody else is putting an object of this name: the next answer says what became of it.
        409 if matches!(answer.code(), "ConditionalRequestConflict" | "OperationAborted" | "") => {
            Attempt::Again { answer, may_be_there: !is_refused }
        }
        429 | 503 => Attempt::Again { answer, may_be_there: !is_refused },
        400 if matches!(answer.code(), "RequestTimeout" | "IncompleteBody" | "BadDigest") => {
            Attempt::Again { answer, may_be_there: false }
        }
        408 | 500 | 502 | 504 => Attempt::Again { answer, may_be_there: true },
        _ => Attempt::Never { answer, may_be_there: !is_refused },
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
    fn a_run_that_ends_before_a_request_is_sent_has_not_begun_the_put() {
        // Takes connections, and never answers.
        let metadata = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}", metadata.local_addr().unwrap());
        let vars = [("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &at)];
        let mut store = BucketStore::new(target::tests::bucket(&vars).unwrap());
        let mut put =
            |is_repeated| store.put(&Put { name: "audit-logs/x.json", bytes: &Bytes::new(), is_repeated }, &|| true);
        assert_eq!(put(false), Err(NotPut::NotBegun(None)));
        assert_eq!(put(true), Err(NotPut::Asked));
    }

    #[test]
    fn each_request_may_take_twice_as_long_as_the_one_before() {
        let limits = |len: usize| [1, 2, 3, 4, 5].map(|attempt| limit(&vec![0; len].into(), attempt).as_secs());
        assert_eq!(limits(0), [30, 60, 120, 240, 240]);
        assert_eq!(limits(1024 * 1024), [34, 68, 136, 272, 272]);
    }

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
                Attempt::Never { may_be_there: true, .. } => "never, may be there",
                Attempt::Never { .. } => "never",
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
            (409, "", "again, may be there"),
            (429, "SlowDown", "again"),
            (429, "", "again, may be there"),
            (500, "InternalError", "again, may be there"),
            (504, "", "again, may be there"),
            (400, "RequestTimeout", "again"),
            (400, "InvalidRequest", "never"),
            (400, "ExpiredToken", "keys ended"),
            (403, "AccessDenied", "never"),
            (403, "", "never, may be there"),
            (501, "NotImplemented", "never, may be there"),
            (404, "NoSuchBucket", "never"),
            (301, "PermanentRedirect", "never"),
            (307, "TemporaryRedirect", "never"),
            (200, "", "never, may be there"),
        ] {
            assert_eq!(judged(status, code), expected, "{status} {code}");
        }
        let broken = |answer| matches!(judge(Some(answer), None), Attempt::Again { may_be_there: true, .. });
        assert!(broken(Answer::Broken("reset".into())));
        assert!(!broken(Answer::Unreachable("refused".into())));
        assert!(matches!(judge(None, None), Attempt::Never { .. }));
    }
}
