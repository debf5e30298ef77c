//! Looks into strings: one that is JSON, a form or a URL, or that only holds a secret somewhere,
//! percent-encoded or not, to a bounded depth.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::edit::{Edit, apply};
use super::extent::end_of_brackets;
use super::frame::Fate;
use super::json;
use super::markup::{entities_decoded, find_elements};
use super::names::{Name, find_named};
use super::pass::Pass;
use super::rules::Verdict;
use super::values::{Traits, digits_tell, is_name};
use super::xml;
use crate::record::Reason;
use crate::record::fragment::escape_at;

/// How many strings a value can be inside of and still be looked into. What lies deeper is masked.
const MAX_LEVEL: u8 = 4;
/// Too short for anything: the shortest secret in a text is `pw=x`.
const MIN_BYTES: usize = 4;
/// What is encoded when a decoded text goes back to where it was encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');

/// Texts that may have others inside of them.
impl Pass<'_> {
    pub(super) fn inspect(&mut self, text: &str, level: u8) -> Option<String> {
        inspect(self, text, level)
    }

    /// Whether there is nothing in any part of a text.
    pub(super) fn parts_say_nothing(&mut self, text: &str) -> bool {
        let traits = traits_of(self, text);
        !may_say(self, text, traits) && memchr::memchr3(b'[', b'{', b'"', text.as_bytes()).is_none()
    }

    /// Keys of JSON: only what gives itself away.
    pub(super) fn inspect_key(&mut self, key: &str) -> Option<String> {
        inspect_key(self, key)
    }

    /// Keys of queries and forms: whatever stands before the first equals sign, so perhaps anything.
    pub(super) fn inspect_text_key(&mut self, key: &str) -> Option<String> {
        inspect(self, key, 0)
    }

    fn has_patterns(&self) -> bool {
        self.rules.values.has_patterns()
    }

    pub(super) fn find_values(&mut self, text: &str, traits: Traits, edits: &mut Vec<Edit>) {
        if !self.rules.values.may_find(traits) {
            return;
        }
        let mut places = Vec::new();
        self.rules.values.find(text, traits, &mut places);
        edits.extend(places.into_iter().map(Edit::mask));
    }
}

/// The redacted text of a string, if it has to differ.
pub(super) fn inspect(pass: &mut Pass<'_>, text: &str, level: u8) -> Option<String> {
    if text.len() < MIN_BYTES {
        return None;
    }
    let traits = traits_of(pass, text);
    let may_say = may_say(pass, text, traits) || begins_like_json(text);
    if may_say { look_into(pass, text, traits, level) } else { None }
}

/// Whether there may be anything in a text that is no JSON.
fn may_say(pass: &Pass<'_>, text: &str, traits: Traits) -> bool {
    traits.has(Traits::ANY) || traits.has(Traits::DIGIT) && digits_tell(text) || pass.has_patterns()
}

#[inline(always)]
fn traits_of(pass: &mut Pass<'_>, text: &str) -> Traits {
    Traits::with_names(text, |name| pass.verdict(name) != Verdict::Plain)
}

fn may_be_encoded(traits: Traits) -> bool {
    traits.has(Traits::ENCODED) || traits.has_all(Traits::AMPERSAND | Traits::SEMICOLON)
}

/// The same of a text that may have something in it.
#[inline(never)]
fn look_into(pass: &mut Pass<'_>, text: &str, traits: Traits, level: u8) -> Option<String> {
    if begins_like_json(text) {
        match json_inside(pass, text, level) {
            Inside::Other => {}
            Inside::Clean => return None,
            Inside::Redacted(redacted) => return Some(redacted),
        }
    }
    if traits.has(Traits::LESS)
        && let Some(redacted) = markup_inside(pass, text, level)
    {
        // What it says between its tags has been looked into; what it says across them has not.
        return Some(plain(pass, &redacted, Traits::of(&redacted), level).unwrap_or(redacted));
    }
    let edited = plain(pass, text, traits, level);
    if may_be_encoded(traits)
        && let Some(redacted) = decoded(pass, edited.as_deref().unwrap_or(text), level)
    {
        return Some(redacted);
    }
    edited
}

/// The redacted text of one that is read as it stands.
fn plain(pass: &mut Pass<'_>, text: &str, traits: Traits, level: u8) -> Option<String> {
    let mut edits = Vec::new();
    pass.find_values(text, traits, &mut edits);
    if traits.has(Traits::NAME) {
        if traits.has(Traits::EQUALS) {
            find_pairs(pass, text, traits, level, &mut edits);
        }
        if traits.has(Traits::COLON | Traits::GREATER) {
            find_named(pass, text, &mut edits);
        }
    }
    if traits.has(Traits::LESS) {
        find_elements(pass, text, &mut edits);
    }
    if edits.is_empty() { None } else { apply(pass, text, edits) }
}

/// The redacted text of one that is XML and has to differ.
fn markup_inside(pass: &mut Pass<'_>, text: &str, level: u8) -> Option<String> {
    if level >= MAX_LEVEL || !text.trim_ascii().starts_with('<') {
        return None;
    }
    match xml::redact(pass, text, false, level + 1) {
        Err(Reason::TooDeep) => {
            pass.remember(text);
            Some(pass.mask_text().to_owned())
        }
        // What is no XML is read as text, with what looks like elements in it.
        Err(_) => None,
        Ok(redacted) => (redacted != text).then_some(redacted),
    }
}

/// The redacted text of a key that does.
pub(super) fn inspect_key(pass: &mut Pass<'_>, key: &str) -> Option<String> {
    let mut edits = Vec::new();
    pass.find_values(key, Traits::of(key), &mut edits);
    apply(pass, key, edits)
}

enum Inside {
    /// Not JSON.
    Other,
    /// JSON without secrets.
    Clean,
    Redacted(String),
}

/// An object, an array or a string: a number or a word alone is read as text.
fn begins_like_json(text: &str) -> bool {
    // Most texts say no with their first byte.
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let trimmed = text.trim_ascii();
    matches!(
        (trimmed.as_bytes().first(), trimmed.as_bytes().last()),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"'))
    )
}

fn json_inside(pass: &mut Pass<'_>, text: &str, level: u8) -> Inside {
    if level >= MAX_LEVEL {
        pass.remember(text);
        return Inside::Redacted(pass.mask_text().to_owned());
    }
    match json::walk(pass, text, false, Fate::Show, level + 1) {
        Err(Reason::TooDeep) => {
            pass.remember(text);
            Inside::Redacted(pass.mask_text().to_owned())
        }
        // Whatever it is, what stands behind a secret name is found in it.
        Err(_) => Inside::Other,
        Ok(walked) if walked.changed => Inside::Redacted(walked.json),
        Ok(_) => Inside::Clean,
    }
}

/// What a text says once it is decoded, redacted; encoded again, if it was only percent-encoded.
fn decoded(pass: &mut Pass<'_>, text: &str, level: u8) -> Option<String> {
    let (said, is_percent) = said_by(text);
    if said == text {
        return None;
    }
    if level >= MAX_LEVEL {
        pass.remember(text);
        return Some(pass.mask_text().to_owned());
    }
    let redacted = inspect(pass, &said, level + 1)?;
    Some(if is_percent { utf8_percent_encode(&redacted, ENCODED).to_string() } else { redacted })
}

/// What a text says once it is decoded, in every way once; and whether it was only percent-encoded.
pub(crate) fn said_by(text: &str) -> (String, bool) {
    let percent = percent_decode_str(text).decode_utf8_lossy();
    let entities = entities_decoded(&percent);
    let said = wide_signs_decoded(unicode_decoded(&entities));
    let is_percent = matches!((&entities, &said), (Cow::Borrowed(_), Cow::Borrowed(_)));
    (said.into_owned(), is_percent)
}

/// What a text says with the colons and equals signs of full width that Chinese and Japanese texts have.
fn wide_signs_decoded(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(['：', '＝']) { text.replace('：', ":").replace('＝', "=").into() } else { text }
}

/// What a text says once escapes as in `\u003c` are read.
fn unicode_decoded(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    for at in memchr::memmem::find_iter(bytes, b"\\u") {
        if at >= copied
            && let Some((char, len)) = escape_at(bytes, at)
        {
            out.push_str(&text[copied..at]);
            out.push(char);
            copied = at + len;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Finds `name=value` with a secret name, as in forms, queries, connection strings and messages.
pub(super) fn find_pairs(pass: &mut Pass<'_>, text: &str, traits: Traits, level: u8, edits: &mut Vec<Edit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut behind = Behind::default();
    while let Some(equals) = memchr::memchr(b'=', &bytes[at..]).map(|len| at + len) {
        let name = Name::before(bytes, at, equals);
        // An arrow is read with the other names.
        if bytes.get(equals + 1) == Some(&b'>') {
            at = equals + 1;
            continue;
        }
        if name.is_secret(pass, text) {
            // Only now: each look at a value reads on to its end.
            behind.advance(bytes, name.range.start);
            let value = value_after(bytes, equals + 1, behind.in_url());
            at = value.end.max(equals + 1);
            if !value.is_empty() && !pass.is_mask(&text[value.clone()]) {
                pass.note_name(text.get(name.range).unwrap_or_default());
                edits.push(Edit::mask(value));
            }
            continue;
        }
        at = equals + 1;
        if !traits.has(Traits::PERCENT) {
            continue;
        }
        let plain = &text[equals + 1..end_of_plain(bytes, equals + 1)];
        if plain.contains('%')
            && let Some(redacted) = decoded(pass, plain, level)
        {
            edits.push(Edit { place: at..at + plain.len(), redacted: Some(redacted) });
            at += plain.len();
        }
    }
}

/// What has been passed on the way to a name.
#[derive(Default)]
struct Behind {
    until: usize,
    question: Option<usize>,
    space: Option<usize>,
}

impl Behind {
    fn advance(&mut self, bytes: &[u8], until: usize) {
        for (at, byte) in bytes.iter().enumerate().take(until).skip(self.until) {
            match *byte {
                b'?' | b'#' => self.question = Some(at),
                byte if byte.is_ascii_whitespace() => self.space = Some(at),
                _ => {}
            }
        }
        self.until = self.until.max(until);
    }

    /// Whether this is the query of a URL, which no white space can stand in.
    fn in_url(&self) -> bool {
        self.question.is_some() && self.question > self.space
    }
}

/// The name that stands before an equals sign, not beginning before `from`.
pub(super) fn name_before(bytes: &[u8], from: usize, equals: usize) -> Range<usize> {
    let mut end = equals;
    while end > from && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    if end > from && matches!(bytes[end - 1], b'"' | b'\'' | b'`') {
        end -= 1;
        while end > from && bytes[end - 1] == b'\\' {
            end -= 1;
        }
    }
    let mut start = end;
    while start > from && is_name(bytes[start - 1]) {
        start -= 1;
    }
    start..end
}

/// The value after an equals sign. In a URL it ends where the URL does; elsewhere it goes on over
/// spaces, for a password may have them, up to the next name with an equals sign.
fn value_after(bytes: &[u8], mut start: usize, in_url: bool) -> Range<usize> {
    while !in_url && bytes.get(start).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'=' | b'>')) {
        start += 1;
    }
    let quote = bytes.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    if let (Some(quote), false) = (quote, in_url) {
        if bytes[start..].starts_with(&[quote; 3]) {
            let len = memchr::memmem::find(&bytes[start + 3..], &[quote; 3]);
            return start + 3..len.map_or(bytes.len(), |len| start + 3 + len);
        }
        return start + 1..end_of_quotes(bytes, start + 1, quote);
    }
    if let (Some(end), false) = (end_of_brackets(bytes, start), in_url) {
        return start..end;
    }
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'&' | b';' | b'\n' | b'\r' => break,
            b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b' ' | b'\t' if in_url => break,
            b' ' | b'\t' if a_pair_follows(bytes, end + 1) => break,
            _ => end += 1,
        }
    }
    start..end
}

/// Where the last of the strings ends that stand one directly behind the other: SQL doubles a quote in a string, and a shell
/// joins what touches.
fn end_of_quotes(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = closing_quote(bytes, at, quote);
    loop {
        match bytes.get(end + 1) {
            Some(next @ (b'"' | b'\'' | b'`')) => end = closing_quote(bytes, end + 2, *next),
            Some(next) if next.is_ascii_alphanumeric() => {
                let rest = &bytes[end + 1..];
                let stops = |byte: &u8| {
                    byte.is_ascii_whitespace() || matches!(byte, b'&' | b';' | b',' | b'"' | b'\'' | b'`' | b')' | b'}')
                };
                let len = rest.iter().position(stops).unwrap_or(rest.len());
                match rest.get(len) {
                    Some(quote @ (b'"' | b'\'' | b'`')) => end = closing_quote(bytes, end + len + 2, *quote),
                    _ => return end + 1 + len,
                }
            }
            _ => return end,
        }
    }
}

fn closing_quote(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' => at += 1,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn a_pair_follows(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    let len = rest.iter().position(|byte| !is_name(*byte));
    len.is_some_and(|len| len > 0 && rest[len] == b'=')
}

/// Where a value that is not secret ends, at the latest.
fn end_of_plain(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let stops = |byte: &u8| {
        matches!(byte, b'&' | b';' | b'#' | b'=' | b'"' | b'\'' | b'<' | b'>') || byte.is_ascii_whitespace()
    };
    at + rest.iter().position(stops).unwrap_or(rest.len())
}
