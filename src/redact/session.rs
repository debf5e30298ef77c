//! A stand-in for the session: nothing is masked. The rules replace it whole.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use http::HeaderName;
use serde_json::Value;

use super::redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Part, Piece, Redacted};
use super::Reason;
use crate::Error;
use crate::json::{InString, Text as _, push_json_string};

/// What is kept from one record to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory;

/// What is secret, and what appears in its place.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    headers: Vec<HeaderName>,
}

impl Redactor {
    /// A builder that begins with the default rules.
    pub fn builder() -> RedactorBuilder {
        RedactorBuilder::default()
    }

    /// The headers that the application named as credentials.
    pub(crate) fn credential_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter()
    }
}

/// Builds a [`Redactor`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct RedactorBuilder {
    headers: Vec<HeaderName>,
}

#[allow(missing_docs, reason = "a stand-in")]
impl RedactorBuilder {
    pub fn key(self, _words: impl Into<String>) -> Self {
        self
    }
    pub fn except(self, _key: impl Into<String>) -> Self {
        self
    }
    pub fn header(mut self, name: &str) -> Self {
        self.headers.extend(HeaderName::from_bytes(name.as_bytes()));
        self
    }
    pub fn build(self) -> Result<Redactor, Error> {
        Ok(Redactor { headers: self.headers })
    }
}

/// What one event adds to the rules.
#[derive(Debug)]
pub(crate) struct EventRules;

impl EventRules {
    pub(crate) fn new(_bags: &[String], _pointers: &[String], _except: &[String]) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// What a redactor does to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The document as a record would show it.
    pub redacted: Option<String>,
}

/// One value that was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit {}

/// What made a value a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HitRule {
    /// The words of its key.
    Key,
}

pub(crate) fn open_card_number(_text: &[u8]) -> Option<usize> {
    None
}

/// A redacted body.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(ClientJson),
    Beginning(ClientJson, Reason),
    Omitted(Reason),
}

pub(crate) struct Session<'a> {
    out: &'a mut Redacted,
    secrets: Vec<String>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        _redactor: &'a Redactor,
        _event: Option<&'a EventRules>,
        _memory: &'a mut Memory,
        out: &'a mut Redacted,
    ) -> Self {
        Self { out, secrets: Vec::new() }
    }
    pub(crate) fn secret(&mut self, value: &str) {
        self.secrets.push(value.to_owned());
    }
    pub(crate) fn credential_header(&mut self, _name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        self.secret(value.split_once(' ').map_or(&*value, |(_, rest)| rest));
    }
    pub(crate) fn get(&self, piece: impl Piece) -> &str {
        self.out.get(piece)
    }
    pub(crate) fn constant(&mut self, text: &'static str) -> Evidence {
        self.out.constant(text)
    }
    /// Text of the program itself with numbers in it.
    pub(crate) fn parts(&mut self, parts: impl IntoIterator<Item = Part>) -> Evidence {
        self.out.parts(parts)
    }
    pub(crate) fn evidence(&mut self, text: &str) -> Evidence {
        Evidence(self.out.push(text))
    }
    pub(crate) fn params<'p>(
        &mut self,
        pairs: impl Iterator<Item = (&'p str, Cow<'p, str>)>,
    ) -> Option<EvidenceJson> {
        let pairs: Vec<_> = pairs.map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        self.pairs(&pairs).map(EvidenceJson)
    }
    pub(crate) fn path(&mut self, path: &str, _params: Option<&[(&str, Range<usize>)]>) -> Evidence {
        Evidence(self.out.push(path))
    }
    pub(crate) fn meta(&mut self, _key: &str, value: &Value) -> EvidenceJson {
        EvidenceJson(self.out.push(&value.to_string()))
    }
    pub(crate) fn meta_of(&mut self, _key: &str, fragment: &str) -> EvidenceJson {
        EvidenceJson(self.out.push(fragment))
    }
    pub(crate) fn text(&mut self, text: &str) -> ClientText {
        ClientText(self.out.push(text))
    }
    pub(crate) fn shared_text(&mut self, bytes: &[u8]) -> ClientText {
        ClientText(self.out.push(&String::from_utf8_lossy(bytes)))
    }
    pub(crate) fn shared_evidence(&mut self, bytes: &[u8]) -> Evidence {
        Evidence(self.out.push(&String::from_utf8_lossy(bytes)))
    }
    pub(crate) fn headers<'h>(&mut self, shown: impl Iterator<Item = (&'h str, &'h [u8], bool)>) -> Option<ClientJson> {
        let pairs: Vec<_> =
            shown.map(|(name, value, _)| (Cow::Borrowed(name), String::from_utf8_lossy(value))).collect();
        self.pairs(&pairs).map(ClientJson)
    }
    pub(crate) fn query(&mut self, raw: &str) -> Option<ClientJson> {
        let pairs: Vec<_> = form_urlencoded::parse(raw.as_bytes()).collect();
        self.pairs(&pairs).map(ClientJson)
    }
    pub(crate) fn url_query(&mut self, raw: &str) -> ClientText {
        ClientText(self.out.push(raw))
    }
    pub(crate) fn json_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        let Ok(text) = std::str::from_utf8(bytes) else { return Body::Omitted(Reason::Invalid) };
        if cut || serde_json::from_str::<Value>(text).is_err() {
            return Body::Omitted(if cut { Reason::Truncated } else { Reason::Invalid });
        }
        let mut state = InString::default();
        let keep = |c: &char| u8::try_from(*c).is_ok_and(|byte| state.take(byte)) || !c.is_ascii_whitespace();
        let compact: String = text.chars().filter(keep).collect();
        Body::Whole(ClientJson(self.out.push(&compact)))
    }
    pub(crate) fn form_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        let pairs: Vec<_> = form_urlencoded::parse(bytes).collect();
        match (self.pairs(&pairs), cut) {
            (Some(span), true) => Body::Beginning(ClientJson(span), Reason::Truncated),
            (Some(span), false) => Body::Whole(ClientJson(span)),
            (None, _) => Body::Whole(ClientJson(self.out.push("{}"))),
        }
    }
    pub(crate) fn multipart_body(&mut self, _content_type: &str, _bytes: &[u8], _cut: bool) -> Body {
        Body::Omitted(Reason::Unsupported)
    }
    pub(crate) fn text_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        let start = self.out.len();
        push_json_string(self.out.writer(), &String::from_utf8_lossy(bytes));
        let json = ClientJson(self.out.since(start));
        if cut { Body::Beginning(json, Reason::Truncated) } else { Body::Whole(json) }
    }
    pub(crate) fn finish(self) -> EchoSearch<'a> {
        EchoSearch { out: self.out, secrets: self.secrets }
    }

    fn pairs(&mut self, pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<super::Span> {
        if pairs.is_empty() {
            return None;
        }
        let start = self.out.len();
        let out = self.out.writer();
        let mut known: Vec<&str> = Vec::new();
        for (key, _) in pairs {
            if known.contains(&&**key) {
                continue;
            }
            out.push_text(if known.is_empty() { "{" } else { "," });
            known.push(key);
            push_json_string(out, key);
            let values: Vec<_> = pairs.iter().filter(|(other, _)| other == key).collect();
            out.push_text(if values.len() > 1 { ":[" } else { ":" });
            for (at, (_, value)) in values.iter().enumerate() {
                out.push_text(if at > 0 { "," } else { "" });
                push_json_string(out, value);
            }
            out.push_text(if values.len() > 1 { "]" } else { "" });
        }
        out.push('}');
        Some(self.out.since(start))
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

pub(crate) struct EchoSearch<'a> {
    out: &'a mut Redacted,
    secrets: Vec<String>,
}

impl EchoSearch<'_> {
    pub(crate) fn is_needed(&self) -> bool {
        !self.secrets.is_empty()
    }
    pub(crate) fn text(&mut self, text: &mut ClientText) {
        let masked = self.masked(self.out.get(*text));
        *text = ClientText(self.out.push(&masked));
    }
    pub(crate) fn json(&mut self, json: &mut ClientJson) -> Result<(), Reason> {
        let masked = self.masked(self.out.get(*json));
        *json = ClientJson(self.out.push(&masked));
        Ok(())
    }
    fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}
