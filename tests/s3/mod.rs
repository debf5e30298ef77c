//! A real S3 server in the process of the test, behind a front of the test's own: it notes requests, keeps the policy of an account
//! that may only put, breaks what a test asks it to break, and is the account's STS.
#![allow(dead_code, unused_imports, reason = "each test uses some of it")]

pub(crate) mod process;
mod sts;
mod tls;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tower_audit::export::{Verification, verify};

pub(crate) use self::sts::{NODE_ROLE, ROLE, Sts};

pub(crate) const BUCKET: &str = "acme-logs";
pub(crate) const KEY: &str = "AKIAEXPORTER";
pub(crate) const SECRET: &str = "hunter22/only+put";
/// May read, and nothing else.
pub(crate) const READER: &str = "AKIAREADER";
pub(crate) const READER_SECRET: &str = "hunter23/only+read";

/// What happens to a put instead of what should.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// An answer, with nothing stored.
    Answer(u16, &'static str),
    /// The same after the object was stored.
    StoreAndAnswer(u16, &'static str),
    /// A redirect to another server.
    Redirect(u16, String),
    /// The connection ends in the middle of the body.
    DropInTheMiddle,
    /// It ends after the object was stored.
    StoreAndDrop,
    /// No answer, ever.
    Hang,
    StoreAndHang,
    /// An error that does not end.
    Endless,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) requests: Vec<Seen>,
    /// Requests that the policy of the exporting account refuses.
    pub(crate) refused: Vec<String>,
    /// For the next puts, in their order.
    pub(crate) faults: VecDeque<Fault>,
    /// For all others whose path holds this text, but for the first of them.
    pub(crate) lasting: Option<Fault>,
    pub(crate) at: &'static str,
    pub(crate) pass: u32,
    /// Secrets by key.
    pub(crate) keys: HashMap<String, String>,
    /// Session tokens of keys that have one.
    pub(crate) tokens: HashMap<String, String>,
    pub(crate) sts: Sts,
    /// Puts without an answer, after what they store is stored.
    pub(crate) silent: u32,
    /// Added to the listings of this prefix.
    pub(crate) listed: (&'static str, &'static str),
}

struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

/// Stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Of the same server behind TLS.
    secure: SocketAddr,
    root: tempfile::TempDir,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct Keys(Arc<Shared>);

impl S3Auth for Keys {
    fn get_secret_key<'life0, 'life1, 'call>(
        &'life0 self,
        key: &'life1 str,
    ) -> Pin<Box<dyn Future<Output = S3Result<SecretKey>> + Send + 'call>>
    where
        'life0: 'call,
        'life1: 'call,
        Self: 'call,
    {
        let secret = self.0.state.lock().unwrap().keys.get(key).cloned();
        Box::pin(async move {
            secret
                .map(SecretKey::from)
                .ok_or_else(|| s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist."))
        })
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl Server {
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let keys = [(KEY, SECRET), (READER, READER_SECRET)].map(|(key, secret)| (key.to_owned(), secret.to_owned()));
        let state = State { keys: keys.into(), ..State::default() };
        let shared =
            Arc::new(Shared { root: root.path().to_owned(), state: Mutex::new(state), changed: Condvar::new() });
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        builder.set_auth(Keys(shared.clone()));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listen = || runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (listener, secure_listener) = (listen(), listen());
        let (address, secure) = (listener.local_addr().unwrap(), secure_listener.local_addr().unwrap());
        let theirs = (shared.clone(), service.clone());
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(theirs.clone(), stream));
            }
        });
        let (theirs, acceptor) = ((shared.clone(), service), tls::acceptor());
        runtime.spawn(async move {
            loop {
                let (stream, _) = secure_listener.accept().await.unwrap();
                let (theirs, acceptor) = (theirs.clone(), acceptor.clone());
                tokio::spawn(async move {
                    // Who does not trust it ends the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(theirs, stream).await;
                    }
                });
            }
        });
        Self { address, secure, root, shared, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// With a certificate of [`Server::authority`].
    pub(crate) fn secure_url(&self) -> String {
        format!("https://localhost:{}", self.secure.port())
    }

    /// The file of who signed the server's certificate, whom nobody trusts unless told.
    pub(crate) fn authority() -> PathBuf {
        tls::folder().join("ca.pem")
    }

    pub(crate) fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.shared.state.lock().unwrap())
    }

    pub(crate) fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state(|state| state.faults.extend(faults));
    }

    /// Waits until what has arrived is as it should be.
    pub(crate) fn wait_until(&self, is_so: impl Fn(&State) -> bool) {
        let state = self.shared.state.lock().unwrap();
        let patience = Duration::from_secs(60);
        let (_state, waited) = self.shared.changed.wait_timeout_while(state, patience, |state| !is_so(state)).unwrap();
        assert!(!waited.timed_out(), "it did not come");
    }

    /// Where the server keeps a bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// Puts that arrived, by what they put.
    pub(crate) fn puts(&self) -> Vec<Seen> {
        self.state(|state| state.requests.iter().filter(|seen| seen.method == Method::PUT).cloned().collect())
    }

    /// Reads what is there, past the server.
    pub(crate) fn verify(&self, prefix: &str) -> Verification {
        verify(self.bucket().join(prefix).to_str().unwrap()).unwrap()
    }

    /// The names of all objects, sorted.
    pub(crate) fn objects(&self) -> Vec<String> {
        fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(root, &path, names);
                } else {
                    names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut names = Vec::new();
        collect(&self.bucket(), &self.bucket(), &mut names);
        names.sort();
        names
    }

    /// No request was sent that an account needs more for than `s3:PutObject`.
    pub(crate) fn assert_only_puts(&self) {
        self.state(|state| assert_eq!(state.refused, [""; 0]));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

/// An error in the words of S3.
fn refusal(status: u16, code: &str) -> Answer {
    answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said the test</Message></Error>"))
}

async fn serve(
    (shared, service): (Arc<Shared>, S3Service),
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
) {
    let handle = hyper::service::service_fn(move |request| handle(shared.clone(), service.clone(), request));
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // A connection that a fault drops ends with an error.
    let _ = server.serve_connection(TokioIo::new(stream), handle).await;
}

async fn handle(shared: Arc<Shared>, service: S3Service, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let seen =
        Seen { method: parts.method.clone(), path: parts.uri.path().to_owned(), query, headers: parts.headers.clone() };
    if let Some(keys) = machine(&parts.method, parts.uri.path(), &parts.headers) {
        return Ok(keys);
    }
    let is_object_put =
        parts.method == Method::PUT && seen.query.split('&').all(|pair| matches!(pair, "" | "x-id=PutObject"));
    let fault = {
        let mut state = shared.state.lock().unwrap();
        let fault = if is_object_put { state.next_fault(&seen.path) } else { None };
        state.requests.push(seen.clone());
        fault
    };
    shared.changed.notify_all();
    if let Some(Fault::DropInTheMiddle) = fault {
        let mut body = body;
        let _ = body.frame().await;
        return Err(io::Error::other("dropped"));
    }
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if parts.method == Method::POST && seen.path == "/" {
        let mut state = shared.state.lock().unwrap();
        let answered = if seen.query.contains("WebIdentity") {
            state.assume_role_with_web_identity(&seen)
        } else {
            state.assume_role(&seen, &bytes)
        };
        return Ok(answered.unwrap_or_else(|(status, code)| refusal(status, code)));
    }
    if let Some(answered) = shared.state.lock().unwrap().enforce(&seen, is_object_put) {
        return Ok(answered);
    }
    // Which `s3s-fs` does not ask when it puts.
    if is_object_put && !is_bucket(&shared, &seen.path) {
        return Ok(refusal(404, "NoSuchBucket"));
    }
    let stores = matches!(fault, None | Some(Fault::StoreAndAnswer(..) | Fault::StoreAndDrop | Fault::StoreAndHang));
    let (prefix, listed) = shared.state.lock().unwrap().listed;
    let of_prefix =
        form_urlencoded::parse(seen.query.as_bytes()).any(|(name, value)| name == "prefix" && value == prefix);
    if of_prefix && !listed.is_empty() {
        let answered = service.call(Request::from_parts(parts, s3s::Body::from(bytes))).await;
        let answered = answered.map_err(|_| io::Error::other("the server failed"))?;
        let status = answered.status().as_u16();
        let body = answered.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        return Ok(answer(status, text.replace("</ListBucketResult>", &format!("{listed}</ListBucketResult>"))));
    }
    let stored = if stores {
        let answered = service.call(Request::from_parts(parts, s3s::Body::from(bytes))).await;
        Some(
            answered
                .map_err(|_| io::Error::other("the server failed"))?
                .map(|body| body.map_err(io::Error::other).boxed_unsync()),
        )
    } else {
        None
    };
    if let Some(Fault::Hang | Fault::StoreAndHang) = fault {
        shared.state.lock().unwrap().silent += 1;
        shared.changed.notify_all();
    }
    Ok(match fault {
        None => stored.unwrap(),
        Some(Fault::Answer(status, body) | Fault::StoreAndAnswer(status, body)) if body.starts_with('<') => {
            answer(status, body)
        }
        Some(Fault::Answer(status, code) | Fault::StoreAndAnswer(status, code)) => refusal(status, code),
        Some(Fault::Redirect(status, to)) => {
            let mut answer = refusal(status, "TemporaryRedirect");
            answer.headers_mut().insert(http::header::LOCATION, to.parse().unwrap());
            answer.headers_mut().insert("x-amz-bucket-region", "eu-west-1".parse().unwrap());
            answer
        }
        Some(Fault::StoreAndDrop | Fault::DropInTheMiddle) => return Err(io::Error::other("dropped")),
        Some(Fault::Hang | Fault::StoreAndHang) => std::future::pending().await,
        Some(Fault::Endless) => {
            let frames = futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 65_536]))));
            Response::builder().status(StatusCode::FORBIDDEN).body(StreamBody::new(frames).boxed_unsync()).unwrap()
        }
    })
}

/// The keys of a machine: of an instance's metadata (IMDSv2), and of a container.
fn machine(method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let keys = format!(
        r#"{{"Code":"Success","AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","Token":"","Expiration":"2126-01-01T00:00:00Z"}}"#
    );
    let is_instance = header("x-aws-ec2-metadata-token") == Some("t0ken");
    match (method.as_str(), path) {
        ("PUT", "/latest/api/token") => Some(answer(200, "t0ken")),
        ("GET", ROLE) if is_instance => Some(answer(200, "app")),
        ("GET", path) if is_instance && path.strip_prefix(ROLE) == Some("app") => Some(answer(200, keys)),
        ("GET", "/container") if header("authorization") == Some("pod-t0ken") => Some(answer(200, keys)),
        ("GET", "/container") => Some(refusal(401, "Unauthorized")),
        _ => None,
    }
}

fn is_bucket(shared: &Shared, path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|bucket| shared.root.join(bucket).is_dir())
}

impl State {
    fn next_fault(&mut self, path: &str) -> Option<Fault> {
        if let Some(next) = self.faults.pop_front() {
            return Some(next);
        }
        let lasting = self.lasting.clone().filter(|_| path.contains(self.at))?;
        match self.pass.checked_sub(1) {
            None => Some(lasting),
            Some(left) => {
                self.pass = left;
                None
            }
        }
    }

    /// The policies of the accounts: one puts, one reads.
    fn enforce(&mut self, seen: &Seen, is_object_put: bool) -> Option<Answer> {
        let key = seen.header("authorization")?.split("Credential=").nth(1)?.split('/').next()?.to_owned();
        let may = if key == READER { matches!(seen.method, Method::GET | Method::HEAD) } else { is_object_put };
        if !may {
            self.refused.push(format!("{} {}?{} by {key}", seen.method, seen.path, seen.query));
            return Some(refusal(403, "AccessDenied"));
        }
        // The keys of a machine come with an empty one here.
        if self.tokens.get(&key).map_or("", String::as_str) != seen.header("x-amz-security-token").unwrap_or_default() {
            return Some(refusal(403, "InvalidToken"));
        }
        None
    }
}
