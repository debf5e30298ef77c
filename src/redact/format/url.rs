//! URLs: the path of the request, and the fields of a URL or form that is a value of something else.

use std::ops::Range;

use super::super::decode::{Decoded, decoded};
use super::super::detect::Scan;
use super::super::edits::{Places, join};
use super::super::rules::Class;
use super::super::search::{Level, Search, Searcher};
use super::fields;
use super::text::looks_like_credential;
use crate::work;

/// The places of secrets in a path: parameters with secret names; tokens; and, if no route matched, segments that look like a
/// credential after a segment with a secret name.
pub(in crate::redact) fn path(
    searcher: &mut Searcher<'_>,
    path: &str,
    params: Option<&[(&str, Range<usize>)]>,
) -> Places {
    let mut places = searcher.places(path, Search::Evidence);
    if let Some(decoded) = Decoded::percent(path) {
        let inside = searcher.places(&decoded.text, Search::Evidence);
        places.extend(inside.iter().map(|place| decoded.source(place)));
    }
    match params {
        Some(params) => {
            for (name, place) in params {
                let place = place.start.min(path.len())..place.end.min(path.len());
                let value = path.get(place.clone()).map(decoded).unwrap_or_default();
                if fields::is_secret_param(searcher, name, &value) {
                    places.push(place);
                }
            }
        }
        None => {
            let mut is_named = false;
            // An empty segment hides no name.
            for place in fields::split(path, 0, |byte| byte == b'/') {
                let segment = decoded(&path[place.clone()]);
                if is_named && looks_like_credential(&segment) {
                    searcher.remember(&path[place.clone()], false);
                    places.push(place);
                }
                is_named = searcher.class(&segment) != Class::Plain;
            }
        }
    }
    join(&mut places);
    places
}

/// Appends the places of secret fields in a text that is a URL, or a form. Their values are searched too, unless the text is
/// in a string.
pub(super) fn find_fields(searcher: &mut Searcher<'_>, text: &str, scan: Scan, level: Level, places: &mut Places) {
    let Some(inside) = level.inside() else { return };
    work::add(text.len());
    // White space around it is not a part of it.
    let text = text.trim_ascii_end();
    let bytes = text.as_bytes();
    // A single assignment is neither a URL nor a form.
    if !scan.has(Scan::SEPARATOR) {
        return;
    }
    // Nor is a text with white space, unless all of it is a list of assignments.
    if scan.has(Scan::SPACE | Scan::CONTROL)
        && bytes.trim_ascii_start().iter().any(u8::is_ascii_whitespace)
        && !(bytes.contains(&b';') && text.split(';').all(|part| part.trim().is_empty() || part.contains('=')))
    {
        return;
    }
    let begin = memchr::memchr(b'?', bytes).map_or(0, |at| at + 1);
    for place in fields::split(text, begin, |byte| matches!(byte, b'&' | b';' | b'?' | b'#')) {
        let (name, value) = fields::parts(text, &place);
        let Some(value) = value else { continue };
        let name = decoded(text[name].trim_ascii_start());
        let raw = &text[value.clone()];
        let facts = searcher.facts(&name);
        if facts.is_signature || facts.class.masks_text(raw) {
            if !searcher.rules.style.is_own(raw) && !raw.is_empty() {
                searcher.remember(&decoded(raw), facts.class == Class::Always);
                places.push(value);
            }
        } else if raw.len() > 2
            && level.is_outside()
            && (raw.bytes().any(|byte| matches!(byte, b'%' | b'=')) || (scan.has(Scan::BRACKET) && raw.contains('{')))
        {
            let mut found = Vec::new();
            searcher.find(raw, inside, Search::Client, &mut found);
            places.extend(found.into_iter().map(|place| value.start + place.start..value.start + place.end));
        }
    }
}
