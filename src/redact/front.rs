//! What a record asks of a pass: each kind of text that comes from outside, redacted.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::fields::Origin;
use super::frame::Fate;
use super::hit::HitRule;
use super::json;
use super::multipart;
use super::pass::{Pass, quoted};
use super::query;
use super::rules::Verdict;
use super::table;
use super::text;
use super::url::{self, Params};
use super::values::open_card_number;
use crate::record::Reason;

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

impl<'a> Pass<'a> {
    /// A JSON body. With `cut`, only a prefix of it was captured.
    pub(crate) fn json(&mut self, bytes: &[u8], cut: bool) -> Body {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match valid_text(bytes, cut) {
            Ok(text) => text,
            Err(reason) => return Body::Omitted(reason),
        };
        self.start_document();
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
        self.start_document();
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
