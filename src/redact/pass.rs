//! The redaction of one exchange: each text of its record goes through it once, then all of them are
//! searched for the values that were masked in any.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::echo::Echo;
use super::explain::HitRule;
use super::fields::Origin;
use super::json::{self, Fate, Frame};
use super::keys::{Expected, KeyFacts, KeyMark, KeySet, Verdicts};
use super::multipart;
use super::pair;
use super::pointer::{Active, Effect, Pointers};
use super::query;
use super::redactor::{EventRules, Redactor, Rules};
use super::rules::Verdict;
use super::strings::{self, Edit};
use super::table;
use super::text;
use super::trail::Trail;
use super::url::{self, Params};
use super::values::{Traits, open_card_number};
use crate::record::Reason;
use crate::record::fragment::push_json_string;

/// How deep a `meta` value may be: deeper ones cannot be written without deep recursion.
const MAX_DEPTH: usize = 64;

/// A redacted body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// All of it, as a JSON fragment.
    Whole(String),
    /// As much as could be redacted with certainty, as a JSON fragment, and why not all.
    Beginning(String, Reason),
    /// All of it as a JSON string: it is text, or would repeat a key as an object.
    Text(String),
    /// Nothing of it.
    Omitted(Reason),
}

/// Redacts the text of a body of some type, which a cut may have gone through.
type ReadText<'a> = fn(&mut Pass<'a>, &str, bool) -> Result<String, Reason>;

/// The redaction of one exchange.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(super) rules: &'a Rules,
    pub(super) event: Option<&'a EventRules>,
    objects: u64,
    scratch: Scratch,
    /// Only to explain and to report: costs nothing otherwise.
    pub(super) trail: Option<Box<Trail>>,
}

/// The memory that a pass works with, and leaves to the next one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    echo: Echo,
    keys: KeySet,
    verdicts: Verdicts,
    stack: Vec<Frame>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(redactor: &'a Redactor, event: Option<&'a EventRules>) -> Self {
        Self::of(redactor.rules(), event)
    }

    pub(super) fn of(rules: &'a Rules, event: Option<&'a EventRules>) -> Self {
        Self { rules, event, objects: 0, scratch: rules.scratch.take(), trail: None }
    }

    /// A pass that notes what hits where.
    pub(super) fn with_trail(redactor: &'a Redactor, event: Option<&'a EventRules>, trail: Trail) -> Self {
        let mut pass = Self::new(redactor, event);
        pass.trail = Some(Box::new(trail));
        pass
    }

    /// A JSON body. With `cut`, only a prefix of it was captured.
    pub(crate) fn json(&mut self, bytes: &[u8], cut: bool) -> Body {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match valid_text(bytes, cut) {
            Ok(text) => text,
            Err(reason) => return Body::Omitted(reason),
        };
        self.scratch.keys.clear();
        self.scratch.verdicts.start();
        match json::walk(self, text, cut, Fate::Show, 0) {
            Err(reason) => Body::Omitted(reason),
            // The document was one secret, and secrets are removed.
            Ok(walked) if walked.json.is_empty() => Body::Whole("null".to_owned()),
            Ok(walked) => {
                let fragment = if walked.repeated { quoted(&walked.json) } else { walked.json };
                match (walked.whole, walked.repeated) {
                    (true, false) => Body::Whole(fragment),
                    (true, true) => Body::Text(fragment),
                    (false, _) => Body::Beginning(fragment, Reason::Truncated),
                }
            }
        }
    }

    /// A body of type `application/x-www-form-urlencoded`.
    pub(crate) fn form(&mut self, bytes: &[u8], cut: bool) -> Body {
        match (query::form(self, bytes, cut), cut) {
            (Err(reason), _) => Body::Omitted(reason),
            (Ok(Some(object)), false) => Body::Whole(object),
            (Ok(Some(object)), true) => Body::Beginning(object, Reason::Truncated),
            (Ok(None), false) => Body::Whole("{}".to_owned()),
            (Ok(None), true) => Body::Omitted(Reason::Truncated),
        }
    }

    /// A multipart body as the list of its parts, with the values of small fields that are no files.
    pub(crate) fn multipart(&mut self, content_type: &str, bytes: &[u8], cut: bool) -> Body {
        match multipart::parts(self, content_type, bytes, cut) {
            Err(reason) => Body::Omitted(reason),
            Ok(list) if cut && list == "[]" => Body::Omitted(Reason::Truncated),
            Ok(list) if cut => Body::Beginning(list, Reason::Truncated),
            Ok(list) => Body::Whole(list),
        }
    }

    /// A text body, where the event asks for it, as a JSON string.
    #[cfg(test)]
    pub(crate) fn text(&mut self, bytes: &[u8], cut: bool) -> Body {
        self.text_read_by(text::text, bytes, cut)
    }

    /// A text body of a content type: tables are read by their columns.
    pub(crate) fn text_of(&mut self, content_type: &str, bytes: &[u8], cut: bool) -> Body {
        let read = if table::is_table(content_type) { table::redact } else { text::text };
        self.text_read_by(read, bytes, cut)
    }

    fn text_read_by(&mut self, read: ReadText<'a>, bytes: &[u8], cut: bool) -> Body {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let redacted = valid_text(bytes, cut).and_then(|text| {
            let text = if cut { without_open_card_number(text) } else { text };
            self.note_text(text);
            read(self, text, cut)
        });
        self.note_end_of_text();
        match redacted {
            Err(reason) => Body::Omitted(reason),
            Ok(redacted) if cut && redacted.is_empty() => Body::Omitted(Reason::Truncated),
            Ok(redacted) if cut => Body::Beginning(quoted(&redacted), Reason::Truncated),
            Ok(redacted) => Body::Text(quoted(&redacted)),
        }
    }

    /// A raw query as a JSON object; `None` if there is nothing in it.
    pub(crate) fn query(&mut self, raw: &str) -> Option<String> {
        query::query(self, raw)
    }

    /// A route's parameters, decoded, as a JSON object; `None` if there are none.
    pub(crate) fn params<'p>(&mut self, pairs: impl Iterator<Item = (&'p str, Cow<'p, str>)>) -> Option<String> {
        let mut object = query::Pairs::of(self, Origin::Url);
        for (name, value) in pairs {
            if !object.add(self, Cow::Borrowed(name), &value) {
                break;
            }
        }
        object.finish()
    }

    /// Path and query as they were sent, redacted, in at most 4 KiB. `params` says where in the path
    /// the values of the route's parameters stand.
    pub(crate) fn url(&mut self, path: &str, query: Option<&str>, params: &[(&str, Range<usize>)]) -> String {
        url::url(self, path, query, &Params::Known(params))
    }

    /// The same where no route matched: whatever follows a segment with a secret name is masked.
    pub(crate) fn url_of_no_route(&mut self, path: &str, query: Option<&str>) -> String {
        url::url(self, path, query, &Params::Unknown)
    }

    /// A free text: a message, a user agent, an id, a URL.
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn string(&mut self, text: &str) -> String {
        self.inspect(text, 0).unwrap_or_else(|| text.to_owned())
    }

    /// The value of a header; one that is marked as sensitive, or has a secret name, is masked whole.
    /// `None` if it is removed.
    pub(crate) fn header(&mut self, name: &str, value: &[u8], is_sensitive: bool) -> Option<String> {
        let text = String::from_utf8_lossy(value);
        self.note_place(&[name]);
        let rule = if is_sensitive { Some(HitRule::Header) } else { self.verdict(name).rule() };
        if let Some(rule) = rule {
            self.note_hit(rule);
            self.remember_encoded(&text);
            let mut mask = String::new();
            return self.push_mask_text(&mut mask, &text).then_some(mask);
        }
        let redacted = self.inspect(&text, 0);
        if redacted.is_some() {
            self.note_hit(HitRule::Value);
        }
        Some(redacted.unwrap_or_else(|| text.into_owned()))
    }

    /// A value of `meta` under its key, as a JSON fragment.
    pub(crate) fn member(&mut self, key: &str, value: &Value) -> String {
        let fate = match self.verdict(key) {
            Verdict::Plain => Fate::Show,
            Verdict::Secret => Fate::Mask,
            Verdict::Bag => Fate::Leaf,
        };
        self.scratch.keys.clear();
        let walked = is_shallow(value).then(|| json::walk(self, &value.to_string(), false, fate, 0));
        match walked {
            Some(Ok(walked)) if walked.repeated => quoted(&walked.json),
            Some(Ok(walked)) if !walked.json.is_empty() => walked.json,
            // To be removed: a member's key stays.
            Some(Ok(_)) => self.masked(),
            // Beyond the limits.
            None | Some(Err(_)) => {
                self.note_values(1);
                self.masked()
            }
        }
    }

    /// A value that has been through the pass already, under a key of `meta` that may be secret in itself.
    pub(crate) fn finished_member(&mut self, key: &str, fragment: String) -> String {
        match self.verdict(key) {
            Verdict::Plain => fragment,
            Verdict::Secret | Verdict::Bag => match serde_json::from_str(&fragment) {
                Ok(value) => self.member(key, &value),
                Err(_) => self.masked(),
            },
        }
    }

    /// What stands for a value that was not even copied.
    pub(crate) fn masked(&self) -> String {
        quoted(self.mask_text())
    }

    /// Whether anything was masked that may stand elsewhere in the exchange too.
    pub(crate) fn has_masked(&self) -> bool {
        !self.scratch.echo.is_empty()
    }

    /// Masks whatever was masked anywhere in the exchange. Only after all of it went through the pass.
    pub(crate) fn scrub_text(&self, text: &mut String) {
        self.scratch.echo.scrub_text(text, self.mask_text());
    }

    /// Masks what is left of such a value at the end of a text that may have been cut there.
    pub(crate) fn scrub_cut(&self, text: &mut String) {
        self.scratch.echo.scrub_cut(text, self.mask_text());
    }

    /// The same in the strings of a fragment.
    pub(crate) fn scrub_cut_json(&self, fragment: &mut String) {
        self.scratch.echo.scrub_cut_json(fragment, self.mask_text());
    }

    /// The same in the strings and numbers of a fragment, which stays valid.
    pub(crate) fn scrub_json(&self, fragment: &mut String) {
        self.scratch.echo.scrub_json(fragment, self.mask_text());
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.scratch.echo.clear();
        self.scratch.keys.clear();
        self.rules.scratch.put(std::mem::take(&mut self.scratch));
    }
}

/// What the walkers of single formats need.
impl Pass<'_> {
    pub(super) fn verdict(&mut self, key: &str) -> Verdict {
        self.facts_of(&KeyMark::of(key.as_bytes()), key).verdict
    }

    /// Meets the key that came next last time, if it stands here again: its length, all that the rules say of it, and
    /// whether it is new in its object.
    #[inline(always)]
    pub(super) fn meet_expected(&mut self, object: u64, text: &str, at: usize) -> Option<(usize, KeyFacts, bool)> {
        let Expected { hash, len, facts } = self.scratch.verdicts.expected(text.as_bytes().get(at..)?)?;
        let is_new = self.scratch.keys.insert(object, hash);
        Some((len, self.with_event(facts, || &text[at..at + len]), is_new))
    }

    /// Meets a key in an object: all that the rules say of it, and whether it is new there.
    pub(super) fn meet_key(&mut self, object: u64, key: &str) -> (KeyFacts, bool) {
        let mark = KeyMark::of(key.as_bytes());
        let is_new = self.scratch.keys.insert(object, mark.hash);
        let facts = self.facts_of(&mark, key);
        self.scratch.verdicts.follow(&mark);
        (facts, is_new)
    }

    #[inline(always)]
    fn facts_of(&mut self, mark: &KeyMark, key: &str) -> KeyFacts {
        let facts = self.scratch.verdicts.known(mark).unwrap_or_else(|| self.judge(mark, key));
        self.with_event(facts, || key)
    }

    /// With what the event adds to the rules.
    #[inline(always)]
    fn with_event<'k>(&self, facts: KeyFacts, key: impl FnOnce() -> &'k str) -> KeyFacts {
        match self.event {
            Some(event) if !event.names.is_empty() => {
                KeyFacts { verdict: self.judge_for(event, key(), facts.verdict), ..facts }
            }
            _ => facts,
        }
    }

    #[inline(never)]
    fn judge_for(&self, event: &EventRules, key: &str, own: Verdict) -> Verdict {
        self.rules.keys.verdict_for(key, own, &event.names)
    }

    /// What the rules say of a key that was not seen lately.
    #[inline(never)]
    fn judge(&mut self, mark: &KeyMark, key: &str) -> KeyFacts {
        let facts = KeyFacts {
            verdict: self.rules.keys.verdict(key),
            part: pair::part(key),
            tells: strings::tells(&self.rules.values, key),
        };
        self.scratch.verdicts.keep(mark, key, facts);
        facts
    }

    pub(super) fn inspect(&mut self, text: &str, level: u8) -> Option<String> {
        strings::inspect(self, text, level, true)
    }

    /// A string of a document; `makes`: whether it may hold a secret of a known make.
    pub(super) fn inspect_value(&mut self, text: &str, level: u8, makes: bool) -> Option<String> {
        strings::inspect(self, text, level, makes)
    }

    /// Keys of JSON: only what gives itself away.
    pub(super) fn inspect_key(&mut self, key: &str) -> Option<String> {
        strings::inspect_key(self, key)
    }

    /// Keys of queries and forms: whatever stands before the first equals sign, so perhaps anything.
    pub(super) fn inspect_text_key(&mut self, key: &str) -> Option<String> {
        strings::inspect(self, key, 0, true)
    }

    /// The first place from `at` on where something begins like a secret of a known make.
    pub(super) fn next_make(&self, text: &str, at: usize) -> usize {
        self.rules.values.next_make(text, at)
    }

    pub(super) fn may_find_values(&self, traits: Traits, makes: bool) -> bool {
        self.rules.values.may_find(traits, makes)
    }

    pub(super) fn find_values(&mut self, text: &str, traits: Traits, makes: bool, edits: &mut Vec<Edit>) {
        if !self.may_find_values(traits, makes) {
            return;
        }
        let mut places = Vec::new();
        self.rules.values.find(text, traits, makes, &mut places);
        edits.extend(places.into_iter().map(Edit::mask));
    }

    pub(super) fn remember(&mut self, value: &str) {
        self.scratch.echo.remember(value);
    }

    pub(super) fn remember_beginning(&mut self, value: &str) {
        self.scratch.echo.remember_beginning(value);
    }

    /// Remembers a value that may be percent-encoded where it stands.
    pub(super) fn remember_encoded(&mut self, value: &str) {
        self.scratch.echo.remember(value);
        if let Cow::Owned(decoded) = url::percent_decoded(value) {
            self.scratch.echo.remember(&decoded);
        }
    }

    pub(super) fn mask_text(&self) -> &str {
        self.rules.way.mask_text()
    }

    /// Whether a secret has been masked here before.
    pub(super) fn is_mask(&self, text: &str) -> bool {
        self.rules.way.is_own(text)
    }

    /// Writes what stands for a whole value; false if its member goes.
    pub(super) fn mask_json(&self, out: &mut String, value: &str) -> bool {
        self.rules.way.push_json(out, value)
    }

    /// The same in plain text.
    pub(super) fn push_mask_text(&self, out: &mut String, value: &str) -> bool {
        self.rules.way.push_text(out, value)
    }

    /// What stands for a part of a text.
    pub(super) fn push_mask_in_text(&self, out: &mut String, value: &str) {
        if !self.rules.way.push_text(out, value) {
            out.push_str(self.mask_text());
        }
    }

    pub(super) fn pointers_at_root(&self) -> Active {
        Active::all(&self.rules.pointers, self.event_pointers())
    }

    pub(super) fn step(&self, active: Active, depth: usize, key: &str) -> (Active, Option<Effect>) {
        active.step(&self.rules.pointers, self.event_pointers(), depth, key)
    }

    fn event_pointers(&self) -> Option<&Pointers> {
        self.event.map(|event| &event.pointers)
    }

    pub(super) fn next_object(&mut self) -> u64 {
        self.objects += 1;
        self.objects
    }

    /// The stack of open containers, whose memory walks share.
    pub(super) fn take_stack(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.scratch.stack)
    }

    pub(super) fn put_stack(&mut self, mut stack: Vec<Frame>) {
        stack.clear();
        self.scratch.stack = stack;
    }
}

/// The text of a body; of a cut one, up to the character that the cut went through.
fn valid_text(bytes: &[u8], cut: bool) -> Result<&str, Reason> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).map_err(|_| Reason::Invalid)
        }
        Err(_) => Err(Reason::Invalid),
    }
}

/// The text before the digits at its end that may be most of a card number.
fn without_open_card_number(text: &str) -> &str {
    open_card_number(text.as_bytes()).and_then(|at| text.get(..at)).unwrap_or(text)
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_json_string(&mut out, text);
    out
}

/// Whether a value can be written without deep recursion.
fn is_shallow(value: &Value) -> bool {
    let mut left = vec![(value, 0)];
    while let Some((value, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return false;
        }
        match value {
            Value::Array(elements) => left.extend(elements.iter().map(|element| (element, depth + 1))),
            Value::Object(members) => left.extend(members.values().map(|member| (member, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    true
}
