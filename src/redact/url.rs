//! A request's path and query as they were sent, redacted, in at most 4 KiB.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::edit::Edit;
use super::fields::{Fields, Origin};
use super::hit::HitRule;
use super::pass::Pass;
use super::percent::percent_decoded;
use super::pointer::Effect;
use super::rules::Verdict;
use super::values::Traits;

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
    if shows_whole(pass, path, params) {
        out.piece(path);
    } else {
        redact_path(pass, path, params, &mut out);
    }
    if let Some(query) = query {
        self::query(pass, query, &mut out);
    }
    out.text
}

/// Whether nothing in a path is secret, as in most: then it is looked at once.
fn shows_whole(pass: &mut Pass<'_>, path: &str, params: &Params<'_>) -> bool {
    let Params::Known(params) = params else { return false };
    path.len() <= MAX_BYTES
        && !params.iter().any(|(name, _)| secret_param(pass, name).is_some())
        && pass.parts_say_nothing(path)
}

fn redact_path(pass: &mut Pass<'_>, path: &str, params: &Params<'_>, out: &mut Capped) {
    let wide = secrets_with_slashes(pass, path);
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
        let named = if matches!(params, Params::Unknown) { named_by(pass, previous, segment) } else { None };
        let is_wide = wide.iter().any(|place| place.start < end && at < place.end);
        if let Some(rule) = named.or(is_wide.then_some(HitRule::Value)) {
            pass.note_hit(rule);
            pass.remember_encoded(segment);
            out.piece(&masked(pass, segment));
        } else {
            out.piece(&shown_segment(pass, path, at..end));
        }
        previous = segment;
        at = end;
    }
}

/// What makes a segment secret where no route matched: the one before it, or a name before a slash that is encoded in it.
fn named_by(pass: &mut Pass<'_>, previous: &str, segment: &str) -> Option<HitRule> {
    pass.verdict(previous).rule().or_else(|| names_itself(pass, segment).then_some(HitRule::Key))
}

/// Whether a segment has slashes in it, encoded, and a secret name before one of them.
fn names_itself(pass: &mut Pass<'_>, segment: &str) -> bool {
    const DECODINGS: usize = 3;
    let mut said = Cow::Borrowed(segment);
    for _ in 0..DECODINGS {
        said = match percent_decoded(&said) {
            Cow::Owned(decoded) if decoded != said => Cow::Owned(decoded),
            _ => return false,
        };
        if let Some((before, _)) = said.rsplit_once('/')
            && before.split('/').any(|name| pass.verdict(name) != Verdict::Plain)
        {
            return true;
        }
    }
    false
}

/// Values that give themselves away and go on over slashes: webhooks, and passwords in URLs that a path carries.
fn secrets_with_slashes(pass: &mut Pass<'_>, path: &str) -> Vec<Range<usize>> {
    /// No path with a webhook's URL in it is shorter.
    const MIN: usize = 48;
    if path.len() < MIN && memchr::memmem::find(path.as_bytes(), b"//").is_none() {
        return Vec::new();
    }
    let mut edits = Vec::new();
    pass.find_values(path, Traits::of(path), &mut edits);
    let places = edits.into_iter().map(|Edit { place, .. }| place);
    places.filter(|place| path[place.clone()].contains('/')).collect()
}

/// A segment, or what shows of it. The one behind `//`, or behind a scheme, is the authority of a URL.
fn shown_segment<'p>(pass: &mut Pass<'_>, path: &'p str, place: Range<usize>) -> Cow<'p, str> {
    let segment = &path[place.clone()];
    let shown = inspected(pass, segment, false).map_or(Cow::Borrowed(segment), Cow::Owned);
    if memchr::memchr2(b'@', b'%', segment.as_bytes()).is_none() {
        return shown;
    }
    let before = &path[..place.start];
    let scheme = before.trim_end_matches('/');
    let slashes = before.len() - scheme.len();
    let scheme = decoded(&scheme[scheme.rfind('/').map_or(0, |slash| slash + 1)..], false);
    if slashes == 0 || (slashes == 1 && !scheme.ends_with(':')) {
        return shown;
    }
    let lead = format!("{scheme}//");
    let Some(redacted) = pass.inspect(&format!("{lead}{}", decoded(&shown, false)), 0) else { return shown };
    match redacted.strip_prefix(&lead) {
        Some(authority) => utf8_percent_encode(authority, ENCODED).to_string().into(),
        None => {
            pass.remember_encoded(segment);
            masked(pass, segment).into()
        }
    }
}

/// What makes a parameter of the path secret: its name, or a pointer.
fn secret_param(pass: &mut Pass<'_>, name: &str) -> Option<HitRule> {
    let pointed = Fields::of(pass, Origin::Url).next(pass, name) == Some(Effect::Mask);
    pass.verdict(name).rule().or(pointed.then_some(HitRule::Pointer))
}

/// The secret parameter that begins at a place of the path.
fn secret_param_at(pass: &mut Pass<'_>, path: &str, at: usize, params: &Params<'_>) -> Option<(Range<usize>, HitRule)> {
    let Params::Known(params) = params else { return None };
    params.iter().find_map(|(name, place)| {
        let begins = place.start == at && !place.is_empty() && path.get(place.clone()).is_some();
        begins.then(|| secret_param(pass, name)).flatten().map(|rule| (place.clone(), rule))
    })
}

/// The end of the segment; earlier, where a secret parameter begins within it.
fn segment_end(pass: &mut Pass<'_>, path: &str, at: usize, params: &Params<'_>) -> usize {
    let slash = memchr::memchr(b'/', &path.as_bytes()[at..]).map_or(path.len(), |len| at + len);
    let Params::Known(params) = params else { return slash };
    let begins = params.iter().filter(|(name, place)| {
        (at + 1..slash).contains(&place.start)
            && path.get(place.clone()).is_some()
            && secret_param(pass, name).is_some()
    });
    begins.map(|(_, place)| place.start).min().unwrap_or(slash)
}

fn query(pass: &mut Pass<'_>, query: &str, out: &mut Capped) {
    let mut separator = "?";
    let mut fields = Fields::of(pass, Origin::Url);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        let decoded = decoded(name, true);
        let pointed = (fields.next(pass, &decoded) == Some(Effect::Mask)).then_some(HitRule::Pointer);
        let secret = pointed.or_else(|| pass.verdict(&decoded).rule());
        // A name may hold a pair itself once it is decoded.
        let shown_name = inspected(pass, name, true);
        let name = shown_name.as_deref().unwrap_or(name);
        if let (Some(rule), Some(value)) = (secret, value) {
            pass.note_hit(rule);
            pass.remember_encoded(value);
            let mut mask = String::new();
            if !pass.push_mask_text(&mut mask, &self::decoded(value, true)) {
                continue;
            }
            out.piece(&format!("{separator}{name}={}", utf8_percent_encode(&mask, ENCODED)));
        } else {
            let shown_value = value.and_then(|value| inspected(pass, value, true));
            match shown_value.as_deref().or(value) {
                Some(value) => out.piece(&format!("{separator}{name}={value}")),
                None => out.piece(&format!("{separator}{name}")),
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

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::*;

    fn shown(path: &str, query: Option<&str>) -> String {
        Pass::new(&Redactor::default(), None).url(path, query, &[])
    }

    #[test]
    fn names_of_a_query_are_looked_into() {
        for (query, expected) in [
            ("pin%3D1234=1", "pin%3D***=***"),
            ("pin%3D1234", "pin%3D***"),
            ("pin%253D1234=1", "pin%253D***=***"),
            ("pin%25253D1234=1", "pin%25253D***=***"),
            ("a%26password%3Dhunter2%26b=1", "a%26password=***%26b=***"),
            ("a[password%3Dhunter2]=1", "a[password=***=***"),
            ("q=pin%3D1234", "q=pin=***"),
            ("q=pin%253D1234", "q=pin%253D***"),
            ("a=1;password=x", "a=1;password=***"),
            ("u=//user:pass@host", "u=//user:***@host"),
            ("u=https%3A%2F%2Fuser%3Apass%40host%2Fx", "u=https:%2F%2Fuser:***@host%2Fx"),
            ("u=https%253A%252F%252Fuser%253Apass%2540host", "u=https%253A%252F%252Fuser%253A%2A%2A%2A%2540host"),
            ("u=/a%23access_token%3Dabc", "u=%2Fa%23access_token=***"),
            ("a%3Db=1&c=%41", "a%3Db=1&c=%41"),
        ] {
            let url = shown("/x", Some(query));
            assert_eq!(decoded(&url, false), decoded(&format!("/x?{expected}"), false), "{query}: {url}");
        }
    }

    #[test]
    fn secrets_in_a_path_are_found_wherever_they_stand() {
        for (path, expected) in [
            ("/a;password=x/b", "/a;password=***/b"),
            ("/a;v=1;jsessionid=ABC;w=2", "/a;v=1;jsessionid=***;w=2"),
            ("/a%3Bpassword%3Dx", "/a;password=***"),
            ("/proxy/https://user:pass@host/x", "/proxy/https://user:***@host/x"),
            ("/proxy/https:/user:pass@host/x", "/proxy/https:/user:***@host/x"),
            ("/proxy/https%3A//user:pass@host/x", "/proxy/https%3A//user:***@host/x"),
            ("/proxy/https://user%3Apass%40host/x", "/proxy/https://user:***@host/x"),
            ("/proxy/https%3A%2F%2Fuser:pass@host", "/proxy/https:%2F%2Fuser:***@host"),
            ("/proxy/https://sometoken@host/x", "/proxy/https://***@host/x"),
            ("//user:pass@host/x", "//user:***@host/x"),
            ("/a//user:pass@host", "/a//user:***@host"),
            ("/p/https://u:pa/ss@host/x", "/p/https://***/***/x"),
            // What is no URL.
            ("/acct:bob@example.com/x", "/acct:bob@example.com/x"),
            ("/a/b@c:d", "/a/b@c:d"),
            ("/pkg:npm/foo@1.0", "/pkg:npm/foo@1.0"),
            ("/git@host", "/git@host"),
            ("/a//b", "/a//b"),
        ] {
            assert_eq!(shown(path, None), expected, "{path}");
        }
        let hook = format!("/p/https://hooks.slack.com/services/T0A0A0A0A/B0A0A0A0A/{}", "aB1".repeat(8));
        assert_eq!(shown(&hook, None), "/p/https://hooks.slack.com/services/***/***/***");
    }

    #[test]
    fn where_no_route_matched_encoded_slashes_are_slashes() {
        let redactor = Redactor::default();
        let shown = |path: &str| Pass::new(&redactor, None).url_of_no_route(path, None);
        assert_eq!(shown("/reset-token%2Fabc/x"), "/***/***");
        assert_eq!(shown("/a%252Ftoken%252Fabc"), "/***");
        assert_eq!(shown("/a%2Fb/c"), "/a%2Fb/c");
    }

    #[test]
    fn pointers_reach_the_query_and_the_parameters() {
        let redactor = Redactor::builder().pointer("/badge").pointer("/ids/1").except_pointer("/pin").build().unwrap();
        let mut pass = Pass::new(&redactor, None);
        let raw = "badge=7&ids=1&ids=2&ids=3&pin=4&b%61dge=8&x=badge";
        assert_eq!(
            pass.url("/b/7/x", Some(raw), &[("badge", 3..4)]),
            "/b/***/x?badge=***&ids=1&ids=***&ids=3&pin=***&b%61dge=***&x=badge"
        );
        assert_eq!(
            pass.query(raw).as_deref(),
            Some(r#"{"badge":["***","***"],"ids":["1","***","3"],"pin":"***","x":"badge"}"#)
        );
        let params = [("badge", Cow::Borrowed("7")), ("pin", Cow::Borrowed("4")), ("x", Cow::Borrowed("5"))];
        assert_eq!(pass.params(params.into_iter()).as_deref(), Some(r#"{"badge":"***","pin":"***","x":"5"}"#));
    }
}
