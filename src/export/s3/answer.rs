//! What a server answered, or why it did not: read for a decision, and for an error that names no secret.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use http::header::{HeaderMap, LOCATION};
use object_store::client::{HttpError, HttpErrorKind};

/// The last answer to a request of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    last: Arc<Mutex<Option<Answer>>>,
    /// Keys that were left out of listings.
    strays: Arc<Mutex<Vec<String>>>,
}

impl Answers {
    pub(super) fn note(&self, answer: Answer) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// What was answered since the last time.
    pub(super) fn take(&self) -> Option<Answer> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn note_strays(&self, strays: Vec<String>) {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner).extend(strays);
    }

    /// The keys that were left out of listings since the last time.
    pub(super) fn take_strays(&self) -> Vec<String> {
        std::mem::take(&mut self.strays.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With a status.
    Status(Status),
    /// No connection was made: the server got nothing.
    Unreachable(String),
    /// It ended before there was an answer: what the server got is unknown.
    Broken(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) status: StatusCode,
    /// The server's word for it, such as `AccessDenied`; empty where it gives none. Cut where it is shown.
    pub(super) code: String,
    /// Its sentence, cut where it is shown: what is cut may hide a secret.
    message: String,
    /// The host of a redirect, and the region of the bucket, where a header has them.
    elsewhere: String,
    pub(super) sha256: Option<String>,
}

impl Answer {
    /// Reads a response whose body is cut.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let region = header("x-amz-bucket-region").map(|region| format!("; the bucket is in {}", clean(region, 32)));
        let host = header(LOCATION.as_str()).and_then(|to| to.parse::<http::Uri>().ok()?.host().map(str::to_owned));
        let host = host.map(|host| format!("; redirected to {}, which is not followed", clean(&host, 253)));
        Self::Status(Status {
            status,
            code: element(&text, "Code").map(|code| clean(&code, usize::MAX)).unwrap_or_default(),
            message: element(&text, "Message").map(|message| clean(&message, usize::MAX)).unwrap_or_default(),
            elsewhere: format!("{}{}", host.unwrap_or_default(), region.unwrap_or_default()),
            sha256: header("x-amz-checksum-sha256").map(str::to_owned),
        })
    }

    /// Reads why there was no response. Nothing of a URL is in it.
    pub(super) fn failed(error: &HttpError) -> Self {
        let is_connect = |error: &(dyn std::error::Error + 'static)| {
            error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
        };
        // A connection that took too long is a timeout by its kind.
        let is_unconnected = error.kind() == HttpErrorKind::Connect || sources(error).any(is_connect);
        let why = words(sources(error));
        if is_unconnected { Self::Unreachable(why) } else { Self::Broken(why) }
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(status) => Some(status.status),
            Self::Unreachable(_) | Self::Broken(_) => None,
        }
    }

    pub(super) fn code(&self) -> &str {
        match self {
            Self::Status(status) => &status.code,
            Self::Unreachable(_) | Self::Broken(_) => "",
        }
    }

    /// In words, without what the server repeats of these secrets.
    pub(super) fn explain(&self, secrets: &[&str]) -> String {
        let text = self.to_string();
        match self {
            Self::Status(status)
                if secrets.iter().any(|secret| {
                    let texts = [&*text, &*status.code, &*status.message];
                    secret.len() >= 4 && texts.iter().any(|text| text.contains(*secret))
                }) =>
            {
                format!("answered {}, with a secret in its message", status.status.as_u16())
            }
            _ => text,
        }
    }

    /// In words, with nothing of the server's but a code: for requests whose secrets are not known here.
    pub(super) fn brief(&self) -> String {
        let Self::Status(answer) = self else { return self.to_string() };
        let (message, elsewhere) = (String::new(), String::new());
        let is_code = answer.code.len() <= 64 && answer.code.bytes().all(|byte| byte.is_ascii_alphabetic());
        let code = if is_code { answer.code.clone() } else { String::new() };
        Self::Status(Status { status: answer.status, code, message, elsewhere, sha256: None }).to_string()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self {
            Self::Unreachable(why) => return write!(f, "cannot be reached: {why}"),
            Self::Broken(why) => return write!(f, "no answer: {why}"),
            Self::Status(answer) => answer,
        };
        write!(f, "answered {}", answer.status.as_u16())?;
        match (&*clean(&answer.code, 64), &*clean(&answer.message, 300)) {
            ("", "") => f.write_str(
                answer.status.canonical_reason().map(|reason| format!(" {reason}")).as_deref().unwrap_or_default(),
            )?,
            (code, "") => write!(f, " {code}")?,
            ("", message) => write!(f, ": {message}")?,
            (code, message) => write!(f, " {code}: {message}")?,
        }
        f.write_str(&answer.elsewhere)
    }
}

/// Why there is an error, from its nearest source to the last.
fn sources<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| std::error::Error::source(*error))
}

/// What an error and its sources say, each once.
pub(super) fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    words(std::iter::once(error).chain(sources(error)))
}

fn words<'a>(errors: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut words = String::new();
    for text in errors.map(ToString::to_string) {
        if !words.contains(&text) {
            words = if words.is_empty() { text } else { format!("{words}: {text}") };
        }
    }
    clean(&words, 300)
}

/// On one line, and no longer than this.
pub(super) fn clean(text: &str, longest: usize) -> String {
    let shown = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let cut: String = shown.take(longest).collect();
    cut.trim().to_owned()
}

/// The text of the first element of this name in an answer of AWS, which nests none of a name and has no attributes on those
/// that are read here.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    if text.contains('<') {
        return None;
    }
    Some(unescape(text))
}

/// The text that references to characters are in; one that is none stays as it is.
fn unescape(xml: &str) -> String {
    /// No name is longer. What follows is not searched for its end: each sign of a hostile answer may begin a reference.
    const LONGEST: usize = 16;
    let (mut text, mut rest) = (String::with_capacity(xml.len()), xml);
    while let Some((before, reference)) = rest.split_once('&') {
        text.push_str(before);
        let end = reference.bytes().take(LONGEST + 1).position(|byte| byte == b';');
        let known = end.and_then(|end| Some((character(&reference[..end])?, &reference[end + 1..])));
        let (char, after) = match known {
            Some((char, after)) => (char, after),
            None => ('&', reference),
        };
        text.push(char);
        rest = after;
    }
    text + rest
}

fn character(name: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match (name, name.strip_prefix('#')) {
        ("lt", _) => Some('<'),
        ("gt", _) => Some('>'),
        ("quot", _) => Some('"'),
        ("apos", _) => Some('\''),
        ("amp", _) => Some('&'),
        (_, Some(digits)) => digits.strip_prefix('x').map_or_else(|| number(digits, 10), |digits| number(digits, 16)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_told_in_the_servers_words_and_its_secrets_are_not() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided\ntoken &lt;x&gt; has expired.</Message>\
                   <Token-0>hunter22hunter22</Token-0></Error>";
        let answer = Answer::of(StatusCode::FORBIDDEN, &HeaderMap::new(), xml.as_bytes());
        assert_eq!(answer.to_string(), "answered 403 ExpiredToken: The provided token <x> has expired.");
        assert_eq!(answer.code(), "ExpiredToken");
        let xml = "<Error><Code>Bad</Code><Message>What is hunter22hunter22?</Message></Error>";
        let answer = Answer::of(StatusCode::BAD_REQUEST, &HeaderMap::new(), xml.as_bytes());
        assert_eq!(answer.explain(&["hunter22hunter22"]), "answered 400, with a secret in its message");
        // Also where only a part of it would be shown.
        let token = "t0ken".repeat(100);
        for before in [0, 290] {
            let xml = format!("<Error><Code>Bad</Code><Message>{}{token}</Message></Error>", "x".repeat(before));
            let answer = Answer::of(StatusCode::BAD_REQUEST, &HeaderMap::new(), xml.as_bytes());
            assert_eq!(answer.explain(&[&token]), "answered 400, with a secret in its message");
            assert_eq!(answer.brief(), "answered 400 Bad");
        }
        let code = Answer::of(StatusCode::BAD_REQUEST, &HeaderMap::new(), b"<Code>What is hunter22?</Code>");
        assert_eq!(code.brief(), "answered 400 Bad Request");
        let garbage = Answer::of(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"\0\xff<html>");
        assert_eq!(garbage.explain(&[""]), "answered 502 Bad Gateway");
    }

    #[test]
    fn a_redirect_names_the_host_and_the_region_and_nothing_else_of_its_url() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://user:hunter22@other.example/x?token=hunter22".parse().unwrap());
        headers.insert("x-amz-bucket-region", "eu-west-1".parse().unwrap());
        let answer = Answer::of(StatusCode::TEMPORARY_REDIRECT, &headers, b"");
        assert_eq!(
            answer.to_string(),
            "answered 307 Temporary Redirect; redirected to other.example, which is not followed; the bucket is in eu-west-1"
        );
    }

    #[test]
    fn a_connection_that_takes_too_long_got_nothing_to_the_server() {
        // Takes connections, and never answers: no TLS comes about.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let failed = |scheme: &str| {
            let limit = std::time::Duration::from_millis(50);
            let builder = reqwest::Client::builder().no_proxy();
            let builder = if scheme == "https" { builder.connect_timeout(limit) } else { builder.timeout(limit) };
            let client = object_store::client::HttpClient::new(builder.build().unwrap());
            let request = http::Request::get(format!("{scheme}://{address}/")).body(Vec::new().into()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            Answer::failed(&runtime.block_on(client.execute(request)).unwrap_err())
        };
        assert!(matches!(failed("https"), Answer::Unreachable(_)), "{:?}", failed("https"));
        assert!(matches!(failed("http"), Answer::Broken(_)), "{:?}", failed("http"));
    }

    #[test]
    fn references_to_characters_are_read_and_what_is_none_stays() {
        for (xml, expected) in [
            ("&lt;&gt;&quot;&apos;&amp;amp;", "<>\"'&amp;"),
            ("&#65;&#x42;&#0000000000067;", "ABC"),
            ("&#xd800;&#-1;&x;&;&lt &", "&#xd800;&#-1;&x;&;&lt &"),
            ("€&€€€€€€€€€€€€€€€€;", "€&€€€€€€€€€€€€€€€€;"),
        ] {
            assert_eq!(unescape(xml), expected);
        }
        // Read once, however many may begin one.
        let hostile = "&".repeat(4 << 20);
        assert!(unescape(&hostile) == hostile);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in any::<Vec<u8>>(), name in "[A-Z]{0,3}") {
            let _ = Answer::of(StatusCode::OK, &HeaderMap::new(), &body).to_string();
            let text = String::from_utf8_lossy(&body);
            let _ = element(&format!("<{name}>{text}</{name}>"), &name);
        }
    }
}
