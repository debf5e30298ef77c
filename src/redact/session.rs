//! The redaction of one record, first phase: each text is redacted once and becomes a piece of the record.
//!
//! [`Session::finish`] ends the phase. It returns an [`EchoSearch`], which searches the client's texts for what was masked.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::Reason;
use super::decode::{decoded, form_decoded};
use super::echo::EchoSearch;
use super::format::fields::{self, Origin, json_string};
use super::format::{multipart, text, url, walk};
use super::memory::Memory;
use super::redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Piece, Redacted};
use super::redactor::Redactor;
use super::rules::{Class, EventRules, Show};
use super::search::{LONG, Level, Search, Searcher};
use crate::json::{member, push_json_string};
use crate::media::Media;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The redaction of one record, first phase.
pub(crate) struct Session<'a> {
    pub(super) searcher: Searcher<'a>,
    pub(crate) out: &'a mut Redacted,
}

/// A redacted body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// What could be redacted with certainty: all of it, or a beginning.
    pub(crate) shown: Option<ClientJson>,
    /// Why the body, or the rest of it, is left out.
    pub(crate) omitted: Option<Reason>,
}

impl Body {
    pub(crate) fn omitted(reason: Reason) -> Self {
        Self { shown: None, omitted: Some(reason) }
    }

    fn shown(json: ClientJson, is_whole: bool) -> Self {
        Self { shown: Some(json), omitted: (!is_whole).then_some(Reason::Truncated) }
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        redactor: &'a Redactor,
        event: Option<&'a EventRules>,
        memory: &'a mut Memory,
        out: &'a mut Redacted,
    ) -> Self {
        Self { searcher: Searcher::new(redactor, event, memory), out }
    }

    /// A value that the application calls secret: masked in everything that follows, in evidence too. With `cut`, only its
    /// beginning is known.
    pub(crate) fn secret(&mut self, value: &str, cut: bool) {
        self.searcher.memory.remembered.add_everywhere(value, cut);
    }

    /// Notes that more values are secret than were read or may be remembered: the texts of clients are then left out.
    pub(crate) fn overflow(&mut self) {
        self.searcher.memory.remembered.is_full = true;
    }

    /// Remembers the credentials in a request header, whether the header is shown or not.
    pub(crate) fn credential_header(&mut self, name: &str, value: &str) {
        self.searcher.memory.remembered.add_header(name, value);
    }

    /// Ends the first phase. The search for what was masked follows.
    pub(crate) fn finish(self) -> EchoSearch<'a> {
        let Searcher { rules, memory, .. } = self.searcher;
        EchoSearch { rules, remembered: &memory.remembered, out: self.out }
    }
}

/// Redaction of evidence.
impl Session<'_> {
    /// A name, an id, a message. Masked are tokens and values of `Audit::secret`, and in long texts values that a name precedes.
    pub(crate) fn evidence(&mut self, text: &str) -> Evidence {
        let places = self.searcher.places(text, Search::Evidence);
        self.push(text, &places, Cow::Borrowed)
    }

    /// The parameters of a route, decoded, as an object; `None` if there are none. No name repeats.
    pub(crate) fn params<'p>(&mut self, pairs: impl Iterator<Item = (&'p str, Cow<'p, str>)>) -> Option<EvidenceJson> {
        let start = self.out.text.len();
        for (name, value) in pairs {
            let places = fields::param(&mut self.searcher, name, &value);
            let masked = self.searcher.apply(&value, &places);
            let out = &mut self.out.text;
            out.push(if out.len() == start { '{' } else { ',' });
            push_json_string(out, name);
            out.push(':');
            push_json_string(out, masked.as_deref().unwrap_or(&value));
        }
        let is_empty = self.out.text.len() == start;
        self.out.text.push_str(if is_empty { "" } else { "}" });
        (!is_empty).then(|| self.out.since(start))
    }

    /// The path as it was sent. `params` are the places of its parameters; `None` if no route matched.
    pub(crate) fn path(&mut self, path: &str, params: Option<&[(&str, Range<usize>)]>) -> Evidence {
        let places = url::path(&mut self.searcher, path, params);
        self.push(path, &places, decoded)
    }

    /// A value of `meta` that the application gave.
    pub(crate) fn meta(&mut self, key: &str, value: &Value) -> EvidenceJson {
        /// A value with more levels is masked: writing it could recurse too far.
        const MAX_LEVELS: usize = 64;
        let text = if is_deeper(value, MAX_LEVELS) { None } else { serde_json::to_string(value).ok() };
        self.meta_of(key, &text.unwrap_or_default())
    }

    /// A parameter of the route as a value of `meta` under the same name, for which both have the same rules. None if it is absent,
    /// so long that `meta` is searched for names too, or has an escape, which `meta` is judged with.
    pub(crate) fn meta_of_param(&self, params: EvidenceJson, name: &str) -> Option<EvidenceJson> {
        let is_short = |value: &&str| value.len() <= LONG && memchr::memchr(b'\\', value.as_bytes()).is_none();
        member(self.out.get(params), name).filter(is_short).map(|value| self.out.part(value))
    }

    /// A value of `meta` as JSON text; sources make it of pieces that were redacted before. What is no JSON, or is beyond the
    /// limits, is masked.
    pub(crate) fn meta_of(&mut self, key: &str, fragment: &str) -> EvidenceJson {
        let (class, start) = (self.searcher.class(key), self.out.text.len());
        let out = &mut self.out.text;
        let walked = walk(&mut self.searcher, fragment, class, Level::TOP, Search::Meta, false, |walked, edits| {
            walked.map(|walked| edits.apply(fragment, walked.upto, out))
        });
        if walked.is_err() {
            push_json_string(&mut self.out.text, self.searcher.rules.style.text());
        }
        self.out.since(start)
    }
}

/// Redaction of what clients and errors say.
impl Session<'_> {
    /// Free text: an error's message or stack.
    pub(crate) fn text(&mut self, text: &str) -> ClientText {
        let places = self.searcher.places(text, Search::Free);
        self.push(text, &places, Cow::Borrowed)
    }

    /// A short text that many requests share, such as a user agent. One without secrets by shared rules is not searched again.
    pub(crate) fn shared_text(&mut self, text: &str) -> ClientText {
        let is_shared = self.searcher.names.is_none() && self.searcher.paths(false).is_none();
        if is_shared && self.searcher.memory.knows(text) {
            return self.out.push(text);
        }
        let before = self.searcher.memory.remembered.size();
        let places = self.searcher.places(text, Search::Free);
        if is_shared && places.is_empty() && self.searcher.memory.remembered.size() == before {
            self.searcher.memory.keep(text);
        }
        self.push(text, &places, Cow::Borrowed)
    }

    /// The headers that the configuration shows, as an object: name, value, and whether the value is marked as sensitive.
    pub(crate) fn headers<'h>(&mut self, shown: impl Iterator<Item = (&'h str, &'h [u8], bool)>) -> Option<ClientJson> {
        fields::headers(&mut self.searcher, shown).map(|object| self.out.push(&object))
    }

    /// A query as it was sent, without the question mark, and its fields as an object, if there are any.
    pub(crate) fn query(&mut self, raw: &str) -> (ClientText, Option<ClientJson>) {
        let read = fields::read(&mut self.searcher, raw, Origin::Query, false);
        let text = self.push(raw, &read.places, form_decoded);
        (text, read.object.map(|object| self.out.push(&object)))
    }

    /// A body of a kind that records show. With `cut`, only its beginning was captured.
    pub(crate) fn body(&mut self, media: Media, content_type: &str, bytes: &[u8], cut: bool) -> Body {
        let body = match media {
            Media::Json => self.json_body(bytes, cut),
            Media::Form => self.form_body(bytes, cut),
            Media::Multipart => {
                let list = multipart::parts(&mut self.searcher, content_type, bytes, cut);
                list.and_then(|list| self.push_body(&list, cut))
            }
            Media::Text => self.text_body(bytes, cut),
            Media::Binary => Err(Reason::Binary),
            Media::Unknown => Err(Reason::Unsupported),
        };
        // What is beyond the limits was not read, so what may repeat it is left out too.
        if body == Err(Reason::TooDeep) {
            self.overflow();
        }
        body.unwrap_or_else(Body::omitted)
    }

    fn json_body(&mut self, bytes: &[u8], cut: bool) -> Result<Body, Reason> {
        let text = valid_text(bytes, cut)?;
        let start = self.out.text.len();
        let out = &mut self.out.text;
        let is_whole =
            walk(&mut self.searcher, text, Class::Plain, Level::TOP, Search::Client, cut, |walked, edits| {
                let walked = walked?;
                edits.apply(text, walked.upto, out);
                out.push_str(&walked.closers);
                if walked.is_rejected {
                    let json = out.split_off(start);
                    push_json_string(out, &json);
                }
                Ok(walked.is_whole)
            })?;
        Ok(Body::shown(self.out.since(start), is_whole))
    }

    /// A body of type `application/x-www-form-urlencoded`.
    fn form_body(&mut self, bytes: &[u8], cut: bool) -> Result<Body, Reason> {
        let text = valid_text(bytes, cut)?;
        // Clients that name no type send JSON so.
        let is_json = text.trim_ascii_start().starts_with(['{', '[']);
        if is_json {
            let body = self.body(Media::Json, "", bytes, cut);
            if !fields::names_a_secret(&mut self.searcher, text) {
                return Ok(body);
            }
        }
        // With both readings, the values of the form are remembered, and nothing shows.
        let read = fields::read(&mut self.searcher, text, Origin::Form, cut);
        match read.problem.or(is_json.then_some(Reason::Invalid)) {
            Some(problem) => Err(problem),
            None => self.push_body(read.object.as_deref().unwrap_or("{}"), cut),
        }
    }

    /// A text body, where the event asks for it, as a JSON string.
    fn text_body(&mut self, bytes: &[u8], cut: bool) -> Result<Body, Reason> {
        if self.searcher.paths(true).is_some_and(|paths| paths.show != Show::All) {
            return Err(Reason::Text);
        }
        let text = valid_text(bytes, cut)?;
        let (places, upto) = text::body(&mut self.searcher, text, cut);
        self.push_body(&json_string(&self.searcher, &text[..upto], &places), cut)
    }

    fn push_body(&mut self, json: &str, cut: bool) -> Result<Body, Reason> {
        if cut && json.len() <= 2 {
            return Err(Reason::Truncated);
        }
        Ok(Body::shown(self.out.push(json), !cut))
    }

    /// Appends a text with these places masked, each as the value that `value_of` reads in it.
    fn push<'t, const C: bool, const J: bool>(
        &mut self,
        text: &'t str,
        places: &[Range<usize>],
        value_of: fn(&'t str) -> Cow<'t, str>,
    ) -> Piece<C, J> {
        let masked = self.searcher.rules.style.apply(text, places, value_of);
        self.out.push(masked.as_deref().unwrap_or(text))
    }
}

/// The text of a body; of a cut one, up to the character that the cut went through.
fn valid_text(bytes: &[u8], cut: bool) -> Result<&str, Reason> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).or_else(|error| match error.error_len() {
        None if cut => std::str::from_utf8(&bytes[..error.valid_up_to()]),
        _ => Err(error),
    });
    text.map_err(|_| Reason::Invalid)
}

/// Whether a value has more levels of lists and objects below it.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let is_too_deep = |inner: &Value| levels == 0 || is_deeper(inner, levels - 1);
    match value {
        Value::Array(elements) => elements.iter().any(is_too_deep),
        Value::Object(members) => members.values().any(is_too_deep),
        _ => false,
    }
}
