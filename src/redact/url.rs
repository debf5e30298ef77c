//! A request's path and query as they were sent, redacted, in at most 4 KiB.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::explain::HitRule;
use super::pass::Pass;
use super::rules::Verdict;

const MAX_BYTES: usize = 4_096;
/// What cannot stand in a segment or a query as it is.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'^')
    .add(b'&')
    .add(b'+');

/// The parameters of a path: their names, and where their values stand in it.
pub(super) enum Params<'p> {
    /// Of the route that matched.
    Known(&'p [(&'p str, Range<usize>)]),
    /// No route matched: a segment is named by the one before it.
    Unknown,
}

/// Path and query, redacted.
pub(super) fn url(pass: &mut Pass<'_>, path: &str, query: Option<&str>, params: &Params<'_>) -> String {
    let room = path.len() + query.map_or(0, |query| query.len() + 1);
    let mut out = Capped { text: String::with_capacity(room.min(MAX_BYTES)), full: false };
    let mut at = 0;
    let mut previous = "";
    while at < path.len() {
        if let Some((place, rule)) = secret_param_at(pass, path, at, params) {
            pass.note_hit(rule);
            let value = &path[place.clone()];
            pass.remember_encoded(value);
            out.piece(&masked(pass, value));
            at = place.end;
            continue;
        }
        if path.as_bytes()[at] == b'/' {
            out.piece("/");
            at += 1;
            continue;
        }
        let end = segment_end(pass, path, at, params);
        let segment = &path[at..end];
        let named = if matches!(params, Params::Unknown) { pass.verdict(previous).rule() } else { None };
        if let Some(rule) = named {
            pass.note_hit(rule);
            pass.remember_encoded(segment);
            out.piece(&masked(pass, segment));
        } else {
            match inspected(pass, segment, false) {
                Some(redacted) => out.piece(&redacted),
                None => out.piece(segment),
            }
        }
        previous = segment;
        at = end;
    }
    if let Some(query) = query {
        self::query(pass, query, &mut out);
    }
    out.text
}

/// The secret parameter that begins at a place of the path.
fn secret_param_at(pass: &mut Pass<'_>, path: &str, at: usize, params: &Params<'_>) -> Option<(Range<usize>, HitRule)> {
    let Params::Known(params) = params else { return None };
    params.iter().find_map(|(name, place)| {
        let begins = place.start == at && !place.is_empty() && path.get(place.clone()).is_some();
        begins.then(|| pass.verdict(name).rule()).flatten().map(|rule| (place.clone(), rule))
    })
}

/// The end of the segment; earlier, where a secret parameter begins within it.
fn segment_end(pass: &mut Pass<'_>, path: &str, at: usize, params: &Params<'_>) -> usize {
    let slash = memchr::memchr(b'/', &path.as_bytes()[at..]).map_or(path.len(), |len| at + len);
    let Params::Known(params) = params else { return slash };
    let begins = params.iter().filter(|(name, place)| {
        (at + 1..slash).contains(&place.start)
            && path.get(place.clone()).is_some()
            && pass.verdict(name) != Verdict::Plain
    });
    begins.map(|(_, place)| place.start).min().unwrap_or(slash)
}

fn query(pass: &mut Pass<'_>, query: &str, out: &mut Capped) {
    let mut separator = "?";
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        let decoded = decoded(name, true);
        let secret = pass.verdict(&decoded).rule();
        if let (Some(rule), Some(value)) = (secret, value) {
            pass.note_hit(rule);
            pass.remember_encoded(value);
            let mut mask = String::new();
            if !pass.push_mask_text(&mut mask, &self::decoded(value, true)) {
                continue;
            }
            out.piece(&format!("{separator}{name}={}", utf8_percent_encode(&mask, ENCODED)));
        } else {
            let shown_name = inspected(pass, name, true);
            let shown_name = shown_name.as_deref().unwrap_or(name);
            let shown_value = value.and_then(|value| inspected(pass, value, true));
            match shown_value.as_deref().or(value) {
                Some(value) => out.piece(&format!("{separator}{shown_name}={value}")),
                None => out.piece(&format!("{separator}{shown_name}")),
            }
        }
        separator = "&";
    }
}

/// The redacted and encoded form of an encoded piece, if it has to differ.
fn inspected(pass: &mut Pass<'_>, piece: &str, plus: bool) -> Option<String> {
    let redacted = pass.inspect(&decoded(piece, plus), 0)?;
    pass.note_hit(HitRule::Value);
    Some(utf8_percent_encode(&redacted, ENCODED).to_string())
}

fn decoded(piece: &str, plus: bool) -> Cow<'_, str> {
    if plus && piece.contains('+') {
        let spaced = piece.replace('+', " ");
        return percent_decoded(&spaced).into_owned().into();
    }
    percent_decoded(piece)
}

/// What a text says once it is percent-decoded; what is not UTF-8 then shows as U+FFFD.
pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    // Most has nothing to decode, and to know that takes far less than to decode it.
    if !text.as_bytes().contains(&b'%') {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// What stands for a secret segment: it cannot go, or the path would be another.
fn masked(pass: &Pass<'_>, value: &str) -> String {
    let mut mask = String::new();
    pass.push_mask_in_text(&mut mask, &decoded(value, false));
    utf8_percent_encode(&mask, ENCODED).to_string()
}

/// A text that takes whole pieces as long as they fit, and none after the first that does not.
struct Capped {
    text: String,
    full: bool,
}

impl Capped {
    fn piece(&mut self, piece: &str) {
        self.full |= self.text.len() + piece.len() > MAX_BYTES;
        if !self.full {
            self.text.push_str(piece);
        }
    }
}
