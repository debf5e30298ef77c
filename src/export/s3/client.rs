//! The HTTP client of a bucket: follows no redirect, bounds each answer, and keeps it for the error.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use http::{Method, Uri};
use http_body::Body as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};

use super::answer::{Answer, Answers};
use super::listing::without_strays;
use super::target::is_loopback;

const CONNECT: Duration = Duration::from_secs(10);
/// The addresses of instance metadata answer at once, or are not there.
const CONNECT_METADATA: Duration = Duration::from_secs(2);
/// Shorter than servers keep idle connections open.
const IDLE: Duration = Duration::from_secs(15);
/// No list, token or error is longer.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
const MAX_ERROR: usize = 64 * 1024;
/// One request for a piece of an object.
pub(super) const PIECE: usize = 8 * 1024 * 1024;

/// Makes clients that note what was answered.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) answers: Answers,
    /// The server and port of the environment at which keys are asked for.
    pub(super) keys_at: Option<String>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let failed =
            |error: reqwest::Error| object_store::Error::Generic { store: "HTTP client", source: Box::new(error) };
        let builder = || {
            reqwest::Client::builder()
                // A redirect would take records, or keys, to a host that nobody chose.
                .redirect(reqwest::redirect::Policy::none())
                .https_only(!allows_http)
                .pool_idle_timeout(IDLE)
                .user_agent(concat!("tower-audit/", env!("CARGO_PKG_VERSION")))
                // The bytes that are stored are those whose digest is in the manifest.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
        };
        let client = builder().connect_timeout(CONNECT).build().map_err(failed)?;
        // Keys of this machine are not asked for through a proxy.
        let metadata = builder().connect_timeout(CONNECT_METADATA).no_proxy().build().map_err(failed)?;
        let (answers, keys_at) = (self.answers.clone(), self.keys_at.clone());
        Ok(HttpClient::new(Client { client, metadata, answers, keys_at }))
    }
}

#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    metadata: reqwest::Client,
    answers: Answers,
    keys_at: Option<String>,
}

impl HttpService for Client {
    fn call<'life, 'call>(
        &'life self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'life: 'call,
        Self: 'call,
    {
        Box::pin(self.send(request))
    }
}

impl Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let is_metadata = is_metadata(request.uri()) || authority.is_some() && authority == self.keys_at.as_deref();
        let is_object = !is_metadata && request.method() == Method::GET && !is_list(request.uri());
        let is_direct = is_metadata || request.uri().host().is_some_and(is_loopback);
        let is_list = is_list(request.uri());
        let client = if is_direct { &self.metadata } else { &self.client };
        let answered = client.call(request).await;
        let response = answered.inspect_err(|error| self.answers.note(Answer::failed(error)))?;
        let (parts, body) = response.into_parts();
        let is_success = parts.status.is_success();
        let most = match (is_success, is_object) {
            (false, _) => MAX_ERROR,
            (true, false) => MAX_ANSWER,
            (true, true) => PIECE + 1,
        };
        let read = read(body, most).await;
        let body = match read {
            // Whatever was asked for: no request asks for more.
            Ok(body) if is_object && body.len() > PIECE => {
                let longer = std::io::Error::other(format!("more than the {PIECE} bytes that were asked for"));
                return Err(HttpError::new(HttpErrorKind::Decode, longer));
            }
            Ok(body) => body,
            // Its status stands, whatever became of the words.
            Err(_) if !is_success => Vec::new(),
            Err(error) => {
                self.answers.note(Answer::failed(&error));
                return Err(error);
            }
        };
        let body = if is_success && is_list { self.without_strays(body) } else { body };
        if !is_success || !is_object {
            self.answers.note(Answer::of(parts.status, &parts.headers, &body));
        }
        Ok(HttpResponse::from_parts(parts, if is_success { body.into() } else { Vec::new().into() }))
    }
}

impl Client {
    fn without_strays(&self, body: Vec<u8>) -> Vec<u8> {
        let Some((kept, strays)) = std::str::from_utf8(&body).ok().and_then(without_strays) else { return body };
        self.answers.note_strays(strays);
        kept.into_bytes()
    }
}

/// The beginning of a body.
async fn read(mut body: object_store::client::HttpResponseBody, most: usize) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = most - bytes.len();
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        if bytes.len() == most {
            break;
        }
    }
    Ok(bytes)
}

/// The addresses at which machines and containers get their keys.
fn is_metadata(uri: &Uri) -> bool {
    matches!(
        uri.host(),
        Some("169.254.169.254" | "169.254.170.2" | "169.254.170.23" | "[fd00:ec2::254]" | "[fd00:ec2::23]")
    )
}

fn is_list(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("list-type=")))
}
