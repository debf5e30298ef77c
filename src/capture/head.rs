//! The head of a request and of a response → draft: one pass over the headers, bounded copies.

use std::fmt;
use std::net::SocketAddr;

use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::client_ip::ClientIp;
use super::draft::{Draft, HeaderUse, KeptHeader, Span};
use super::request_id::{self, Met};
use super::resolver::{ActorResolver, Peer};
use crate::diagnostics::contained;
use crate::redact::open_card_number;
use crate::text::ELLIPSIS;

/// Longest copies of what a client may make as long as it likes; the record's caps are smaller or equal.
const PATH: usize = 4 * 1024;
const QUERY: usize = 16 * 1024;
const HEADER: usize = 512;
const SHOWN_HEADER: usize = 1024;
const MAX_HEADERS: usize = 64;
/// Of a longer credential its beginning is remembered.
const CREDENTIAL: usize = 4 * 1024;
const MAX_CREDENTIALS: usize = 8;

/// Finds the peer's address in what a server left in the request's extensions.
pub(crate) type PeerFn = Box<dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync>;

/// Tells the trace and the span in which the current task works.
pub(crate) type TraceFn = Box<dyn Fn() -> Option<(String, String)> + Send + Sync>;

/// What is taken from heads, decided once.
pub(crate) struct HeadPolicy {
    pub(crate) client_ip: ClientIp,
    pub(crate) request_id: HeaderName,
    pub(crate) shown: Vec<HeaderName>,
    pub(crate) credentials: CredentialHeaders,
    pub(crate) peer: Option<PeerFn>,
    pub(crate) resolvers: Vec<Box<dyn ActorResolver>>,
    pub(crate) trace: Option<TraceFn>,
}

impl fmt::Debug for HeadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadPolicy")
            .field("request_id", &self.request_id)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

impl HeadPolicy {
    /// Copies the request's head. `path` is the path as the client sent it.
    pub(crate) fn request(&self, head: &Parts, uri: &http::Uri, draft: &mut Draft) {
        draft.method = draft.keep(head.method.as_str().as_bytes(), 64);
        draft.version = head.version;
        self.url(uri, draft);
        let peer = self.peer(&head.extensions);
        let address = self.client_ip.resolve(peer, &head.headers);
        draft.ip = address.ip;
        draft.port = address.port;
        draft.peer_ip = address.peer_ip;
        self.headers(uri, &head.headers, draft);
        self.resolve(head, address.peer(), draft);
    }

    fn url(&self, uri: &http::Uri, draft: &mut Draft) {
        let path = uri.path().as_bytes();
        draft.path = draft.keep(path, PATH);
        draft.url_cut = path.len() > PATH;
        let Some(query) = uri.query().map(str::as_bytes) else { return };
        draft.has_query = true;
        if query.len() <= QUERY {
            draft.query = draft.keep(query, QUERY);
        } else {
            // Half a pair could be half a secret under a key that nobody can tell any more.
            let whole_pairs = query[..QUERY].iter().rposition(|&byte| byte == b'&').unwrap_or(0);
            draft.query = draft.keep(query, whole_pairs);
            draft.url_cut = true;
        }
    }

    fn headers(&self, uri: &http::Uri, headers: &HeaderMap, draft: &mut Draft) {
        let (mut id, mut host, mut trace) = (Met::default(), Met::default(), Met::default());
        let (mut shown, mut credentials) = (0, 0);
        for (name, value) in headers {
            if *name == self.request_id {
                id.meet(value);
            }
            match *name {
                header::HOST => host.meet(value),
                header::USER_AGENT => draft.user_agent = keep_words(draft, value.as_bytes(), HEADER),
                header::REFERER => draft.referer = keep_words(draft, value.as_bytes(), HEADER),
                // The first counts, as it does for those who read it: a second one must not hide a body.
                header::CONTENT_TYPE if draft.request_type.is_empty() => {
                    draft.request_type = draft.keep(value.as_bytes(), 256);
                }
                header::CONTENT_ENCODING => draft.request_encoded |= is_encoded(value.as_bytes()),
                _ if *name == request_id::TRACEPARENT => trace.meet(value),
                _ => {}
            }
            if self.shown.contains(name) && shown < MAX_HEADERS {
                shown += 1;
                let name = draft.keep(name.as_str().as_bytes(), 128);
                let (value, used) = if value.is_sensitive() {
                    (Span::default(), HeaderUse::Sensitive)
                } else {
                    (keep_words(draft, value.as_bytes(), SHOWN_HEADER), HeaderUse::Shown)
                };
                draft.headers.push(KeptHeader { name, value, used });
            }
            if self.credentials.contain(name) && credentials < MAX_CREDENTIALS {
                credentials += 1;
                let name = draft.keep(name.as_str().as_bytes(), 128);
                let value = draft.keep(value.as_bytes(), CREDENTIAL);
                draft.headers.push(KeptHeader { name, value, used: HeaderUse::Credential });
            }
        }
        draft.sent_id = draft.keep_whole(id.only(), request_id::MAX_REQUEST_ID);
        draft.authority = draft.keep_whole(request_id::authority(uri, host.only()), request_id::MAX_AUTHORITY);
        if self.trace.is_some() && request_id::traceparent(trace.only()).is_none() {
            self.current_trace(draft);
        } else {
            let trace = trace.only().unwrap_or_default();
            draft.traceparent = draft.keep(trace, request_id::TRACEPARENT_BEGINNING);
        }
    }

    /// Notes the trace in which this task works, where nobody sent one.
    pub(crate) fn current_trace(&self, draft: &mut Draft) {
        let Some(current) = &self.trace else { return };
        let ids = contained("the function for the trace context", current).flatten();
        if let Some((trace, span)) = ids.filter(|(trace, span)| request_id::are_trace_ids(trace, span)) {
            let traceparent = format!("00-{trace}-{span}-00").to_ascii_lowercase();
            draft.traceparent = draft.keep(traceparent.as_bytes(), request_id::TRACEPARENT_BEGINNING);
        }
    }

    fn peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        if let Some(PeerAddr(peer)) = extensions.get() {
            return Some(*peer);
        }
        #[cfg(feature = "axum")]
        if let Some(axum::extract::ConnectInfo(peer)) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
            return Some(*peer);
        }
        let peer = self.peer.as_ref()?;
        contained("the peer function", || peer(extensions)).flatten()
    }

    fn resolve(&self, head: &Parts, peer: Peer, draft: &mut Draft) {
        draft.resolved = self
            .resolvers
            .iter()
            .find_map(|one| contained("an actor resolver", || one.resolve(head, peer)).flatten())
            .map(Box::new);
    }
}

/// The headers that carry credentials: the known ones, and those that the application names.
#[derive(Debug)]
pub(crate) struct CredentialHeaders {
    names: Vec<HeaderName>,
    /// A bit for the length of each name, because most names are compared in vain.
    lengths: u128,
}

impl CredentialHeaders {
    pub(crate) fn new<'n>(further: impl Iterator<Item = &'n HeaderName>) -> Self {
        let custom = ["x-api-key", "x-auth-token"].map(HeaderName::from_static);
        let mut names = vec![header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
        names.extend(custom);
        names.extend(further.cloned());
        let lengths = names.iter().fold(0, |lengths, name| lengths | Self::bit(name));
        Self { names, lengths }
    }

    fn bit(name: &HeaderName) -> u128 {
        1 << name.as_str().len().min(127)
    }

    fn contain(&self, name: &HeaderName) -> bool {
        self.lengths & Self::bit(name) != 0 && self.names.contains(name)
    }
}

/// What counts of a response's headers, found in one pass over them. Of headers that stand there twice, the first.
#[derive(Debug, Default)]
pub(crate) struct ResponseHeaders<'a> {
    content_type: Option<&'a HeaderValue>,
    content_length: Option<&'a HeaderValue>,
    encoding: Option<&'a HeaderValue>,
    grpc_status: Option<&'a HeaderValue>,
    grpc_message: Option<&'a HeaderValue>,
}

impl<'a> ResponseHeaders<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let first = match *name {
                header::CONTENT_TYPE => &mut found.content_type,
                header::CONTENT_LENGTH => &mut found.content_length,
                header::CONTENT_ENCODING => &mut found.encoding,
                _ if *name == GRPC_STATUS => &mut found.grpc_status,
                _ if *name == GRPC_MESSAGE => &mut found.grpc_message,
                _ => continue,
            };
            first.get_or_insert(value);
        }
        found
    }

    /// Copies the response's head.
    pub(crate) fn note(&self, status: StatusCode, draft: &mut Draft) {
        draft.status = Some(status);
        if let Some(value) = self.content_type {
            draft.response_type = draft.keep(value.as_bytes(), 256);
        }
        draft.response_encoded = self.encoding.is_some_and(|value| is_encoded(value.as_bytes()));
        note_grpc(self.grpc_status, self.grpc_message, draft);
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
    }

    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.content_length.and_then(|value| value.to_str().ok()?.parse().ok())
    }
}

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Longest copy of a `grpc-message`.
const MESSAGE: usize = 8 * 1024;

/// Notes gRPC's own status and message, which are in the trailers, or in the head of an answer without any.
pub(crate) fn grpc_trailers(trailers: &HeaderMap, draft: &mut Draft) {
    note_grpc(trailers.get(&GRPC_STATUS), trailers.get(&GRPC_MESSAGE), draft);
}

fn note_grpc(status: Option<&HeaderValue>, message: Option<&HeaderValue>, draft: &mut Draft) {
    let Some(code) = status.and_then(grpc_code) else { return };
    draft.grpc_status = Some(code);
    if let Some(message) = message.filter(|_| code != 0) {
        draft.grpc_message = keep_words(draft, message.as_bytes(), MESSAGE);
    }
}

fn grpc_code(value: &HeaderValue) -> Option<u32> {
    value.to_str().ok()?.trim().parse().ok()
}

/// Keeps a text; of a longer one the beginning, without half a word at its end: what is cut within a token or before the `@` of
/// credentials cannot be recognised as a secret any more; nor can a card number that lost its last digits. The mark of a cut
/// says that a secret may begin at the end, because some have the signs that end words.
fn keep_words(draft: &mut Draft, text: &[u8], most: usize) -> Span {
    if text.len() <= most {
        return draft.keep(text, most);
    }
    let kept = &text[..most - ELLIPSIS.len_utf8()];
    let end = kept.iter().rposition(|byte| b" \t/?&;,".contains(byte)).unwrap_or(0);
    let words = &kept[..end];
    let words = open_card_number(words).and_then(|at| words.get(..at)).unwrap_or(words);
    let mut kept = words.to_vec();
    kept.extend_from_slice(ELLIPSIS.encode_utf8(&mut [0; 4]).as_bytes());
    draft.keep(&kept, most)
}

fn is_encoded(value: &[u8]) -> bool {
    !value.trim_ascii().eq_ignore_ascii_case(b"identity") && !value.trim_ascii().is_empty()
}

/// The address of the peer, for servers that are not axum's: put it into the request's extensions.
///
/// ```
/// use std::net::SocketAddr;
/// use tower_audit::PeerAddr;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(SocketAddr::from(([127, 0, 0, 1], 4711))));
/// assert_eq!(request.extensions().get::<PeerAddr>().unwrap().0.port(), 4711);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);
