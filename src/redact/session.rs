//! The redaction of one record, first phase: each text is redacted once and becomes a piece of the record.
//!
//! [`Session::finish`] ends the phase. It returns an [`EchoSearch`], which searches the client's texts for what was masked.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::Reason;
use super::decode::{decoded, form_decoded};
use super::echo::EchoSearch;
use super::format::fields::{self, Origin};
use super::format::{inside, multipart, text, url, walk};
use super::memory::Memory;
use super::redacted::{ClientJson, ClientText, Evidence, EvidenceJson, Part as TextPart, Piece, Redacted, Span};
use super::redactor::Redactor;
use super::rules::{Class, EventRules, Show};
use super::search::{LONG, Level, Search, Searcher};
use crate::json::push_json_string;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The redaction of one record, first phase.
pub(crate) struct Session<'a> {
    pub(super) searcher: Searcher<'a>,
    out: &'a mut Redacted,
}

/// A redacted body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Whole(ClientJson),
    /// The beginning that could be redacted with certainty, and why the rest is left out.
    Beginning(ClientJson, Reason),
    Omitted(Reason),
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        redactor: &'a Redactor,
        event: Option<&'a EventRules>,
        memory: &'a mut Memory,
        out: &'a mut Redacted,
    ) -> Self {
        Self { searcher: Searcher::new(redactor, event, memory, inside), out }
    }

    /// A value that the application calls secret: masked in everything that follows, in evidence too. With `cut`, only its
    /// beginning is known.
    pub(crate) fn secret(&mut self, value: &str, cut: bool) {
        self.searcher.memory.remembered.add_everywhere(value, cut);
    }

    /// Notes that more values are secret than were read or may be remembered: the texts of clients are then left out.
    pub(crate) fn overflow(&mut self) {
        self.searcher.memory.remembered.overflow();
    }

    /// Remembers the credentials in a request header, whether the header is shown or not.
    pub(crate) fn credential_header(&mut self, name: &str, value: &str) {
        self.searcher.memory.remembered.add_header(name, value);
    }

    /// The text of a piece that was made before.
    pub(crate) fn get(&self, piece: impl Piece) -> &str {
        self.out.get(piece)
    }

    pub(crate) fn constant(&mut self, text: &'static str) -> Evidence {
        self.out.constant(text)
    }

    pub(crate) fn parts(&mut self, parts: impl IntoIterator<Item = TextPart>) -> Evidence {
        self.out.parts(parts)
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
        Evidence(self.push(text, &places, Cow::Borrowed))
    }

    /// The parameters of a route, decoded, as an object; `None` if there are none. No name repeats.
    pub(crate) fn params<'p>(&mut self, pairs: impl Iterator<Item = (&'p str, Cow<'p, str>)>) -> Option<EvidenceJson> {
        let start = self.out.len();
        for (name, value) in pairs {
            let masked = fields::masked_param(&mut self.searcher, name, &value);
            let out = self.out.writer();
            out.push(if out.len() == start { '{' } else { ',' });
            push_json_string(out, name);
            out.push(':');
            push_json_string(out, masked.as_deref().unwrap_or(&value));
        }
        if self.out.len() == start {
            return None;
        }
        self.out.writer().push('}');
        Some(EvidenceJson(self.out.since(start)))
    }

    /// The path as it was sent. `params` are the places of its parameters; `None` if no route matched.
    pub(crate) fn path(&mut self, path: &str, params: Option<&[(&str, Range<usize>)]>) -> Evidence {
        let places = url::path(&mut self.searcher, path, params);
        Evidence(self.push(path, &places, decoded))
    }

    /// A value of `meta` that the application gave.
    pub(crate) fn meta(&mut self, key: &str, value: &Value) -> EvidenceJson {
        /// A value with more levels is masked: writing it could recurse too far.
        const MAX_LEVELS: usize = 64;
        let mut text = String::new();
        match push_json(&mut text, value, MAX_LEVELS) {
            Some(()) => self.meta_of(key, &text),
            None => self.masked_meta(),
        }
    }

    /// A parameter of the route as a value of `meta` under the same name, for which both have the same rules. None if it is absent,
    /// so long that `meta` is searched for names too, or has an escape, which `meta` is judged with.
    pub(crate) fn meta_of_param(&self, params: EvidenceJson, name: &str) -> Option<EvidenceJson> {
        let is_short = |value: &str| value.len() <= LONG && !value.as_bytes().contains(&b'\\');
        self.out.member(params, name).filter(|value| is_short(self.out.get(*value)))
    }

    /// The mask, for a value beyond the limits.
    fn masked_meta(&mut self) -> EvidenceJson {
        let start = self.out.len();
        push_json_string(self.out.writer(), self.searcher.style().text());
        EvidenceJson(self.out.since(start))
    }

    /// A value of `meta` as JSON text; sources make it of pieces that were redacted before.
    pub(crate) fn meta_of(&mut self, key: &str, fragment: &str) -> EvidenceJson {
        let (class, start) = (self.searcher.class(key), self.out.len());
        let out = self.out.writer();
        let walked = walk(&mut self.searcher, fragment, class, Level::TOP, Search::Meta, false, |walked, edits| {
            walked.map(|walked| edits.apply(fragment, walked.upto, out))
        });
        if walked.is_err() {
            return self.masked_meta();
        }
        EvidenceJson(self.out.since(start))
    }
}

/// Redaction of what clients and errors say.
impl Session<'_> {
    /// Free text: an error's message or stack.
    pub(crate) fn text(&mut self, text: &str) -> ClientText {
        let places = self.searcher.places(text, Search::Free);
        ClientText(self.push(text, &places, Cow::Borrowed))
    }

    /// A short text that many requests share, such as a user agent. One without secrets by shared rules is not searched again.
    pub(crate) fn shared_text(&mut self, text: &str) -> ClientText {
        let is_shared = self.searcher.names.is_none() && self.searcher.paths(false).is_none();
        if is_shared && self.searcher.memory.knows(text) {
            return ClientText(self.out.push(text));
        }
        let before = self.searcher.memory.remembered.len();
        let places = self.searcher.places(text, Search::Free);
        if is_shared && places.is_empty() && self.searcher.memory.remembered.len() == before {
            self.searcher.memory.keep(text);
        }
        ClientText(self.push(text, &places, Cow::Borrowed))
    }

    /// The headers that the configuration shows, as an object: name, value, and whether the value is marked as sensitive.
    pub(crate) fn headers<'h>(&mut self, shown: impl Iterator<Item = (&'h str, &'h [u8], bool)>) -> Option<ClientJson> {
        let object = fields::headers(&mut self.searcher, shown)?;
        Some(ClientJson(self.out.push(&object)))
    }

    /// A query as it was sent, without the question mark, and its fields as an object, if there are any.
    pub(crate) fn query(&mut self, raw: &str) -> (ClientText, Option<ClientJson>) {
        let read = fields::read(&mut self.searcher, raw, Origin::Query, false);
        let text = ClientText(self.push(raw, &read.places, form_decoded));
        (text, read.object.map(|object| ClientJson(self.out.push(&object))))
    }

    /// A JSON body. With `cut`, only its beginning was captured.
    pub(crate) fn json_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        let text = match valid_text(bytes, cut) {
            Ok(text) => text,
            Err(reason) => return Body::Omitted(reason),
        };
        let start = self.out.len();
        let out = self.out.writer();
        let walked = walk(&mut self.searcher, text, Class::Plain, Level::TOP, Search::Client, cut, |walked, edits| {
            let walked = walked?;
            if walked.is_rejected {
                let mut plain = String::with_capacity(text.len());
                edits.apply(text, walked.upto, &mut plain);
                push_json_string(out, &(plain + &walked.closers));
            } else {
                edits.apply(text, walked.upto, out);
                out.push_str(&walked.closers);
            }
            Ok(walked.is_whole)
        });
        match walked {
            Err(reason) => self.omitted(reason),
            Ok(is_whole) => Self::shown(ClientJson(self.out.since(start)), !is_whole),
        }
    }

    fn shown(json: ClientJson, cut: bool) -> Body {
        if cut { Body::Beginning(json, Reason::Truncated) } else { Body::Whole(json) }
    }

    /// A body of type `application/x-www-form-urlencoded`.
    pub(crate) fn form_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        // Clients that name no type send JSON so.
        let begin = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
        if begin.starts_with(b"{") || begin.starts_with(b"[") {
            let body = self.json_body(bytes, cut);
            return match valid_text(bytes, cut) {
                Ok(text) if fields::names_a_secret(&mut self.searcher, text) => {
                    // The values of the form are remembered.
                    let read = fields::read(&mut self.searcher, text, Origin::Form, cut);
                    self.omitted(read.problem.unwrap_or(Reason::Invalid))
                }
                _ => body,
            };
        }
        let object = valid_text(bytes, cut).and_then(|text| {
            let read = fields::read(&mut self.searcher, text, Origin::Form, cut);
            read.problem.map_or_else(|| Ok(read.object.unwrap_or_else(|| "{}".to_owned())), Err)
        });
        self.body_of(object, cut)
    }

    /// A multipart body as the list of its parts.
    pub(crate) fn multipart_body(&mut self, content_type: &str, bytes: &[u8], cut: bool) -> Body {
        let list = multipart::parts(&mut self.searcher, content_type, bytes, cut);
        self.body_of(list, cut)
    }

    fn body_of(&mut self, json: Result<String, Reason>, cut: bool) -> Body {
        match json {
            Err(reason) => self.omitted(reason),
            Ok(json) if cut && json.len() <= 2 => Body::Omitted(Reason::Truncated),
            Ok(json) => Self::shown(ClientJson(self.out.push(&json)), cut),
        }
    }

    /// A body that is left out. What is beyond the limits was not read, so what may repeat it is left out too.
    fn omitted(&mut self, reason: Reason) -> Body {
        if reason == Reason::TooDeep {
            self.overflow();
        }
        Body::Omitted(reason)
    }

    /// A text body, where the event asks for it, as a JSON string.
    pub(crate) fn text_body(&mut self, bytes: &[u8], cut: bool) -> Body {
        if self.searcher.paths(true).is_some_and(|paths| paths.show != Show::All) {
            return Body::Omitted(Reason::Text);
        }
        let text = match valid_text(bytes, cut) {
            Ok(text) => text,
            Err(reason) => return Body::Omitted(reason),
        };
        let (places, upto) = text::body(&mut self.searcher, text, cut);
        let kept = &text[..upto];
        let shown = self.searcher.apply(kept, &places);
        let mut json = String::with_capacity(kept.len() + 2);
        push_json_string(&mut json, shown.as_deref().unwrap_or(kept));
        self.body_of(Ok(json), cut)
    }

    /// Appends a text with these places masked, each as the value that `value_of` reads in it.
    fn push<'t>(&mut self, text: &'t str, places: &[Range<usize>], value_of: fn(&'t str) -> Cow<'t, str>) -> Span {
        let masked = self.searcher.style().apply(text, places, value_of);
        self.out.push(masked.as_deref().unwrap_or(text))
    }
}

/// The text of a body; of a cut one, up to the character that the cut went through.
fn valid_text(bytes: &[u8], cut: bool) -> Result<&str, Reason> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).map_err(|_| Reason::Invalid)
        }
        Err(_) => Err(Reason::Invalid),
    }
}

/// Appends a value as JSON text; `None` if it has more levels of lists and objects below it.
fn push_json(out: &mut String, value: &Value, levels: usize) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        // Writing to a string cannot fail.
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::String(text) => push_json_string(out, text),
        Value::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                push_json(out, element, levels.checked_sub(1)?)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, member)) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                push_json_string(out, key);
                out.push(':');
                push_json(out, member, levels.checked_sub(1)?)?;
            }
            out.push('}');
        }
    }
    Some(())
}
