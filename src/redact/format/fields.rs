//! Fields: names and values of a query, a form, headers, or a route's parameters. The result is a redacted object, and for a
//! query also the places of secrets in the text as it was sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use super::super::Reason;
use super::super::decode::{Decoded, decoded, form_decoded};
use super::super::edits::{Places, join};
use super::super::hit::HitRule;
use super::super::rules::{Class, Effect, Paths, Show};
use super::super::search::{Search, Searcher};
use super::inside::is_document;
use crate::json::push_json_string;

/// The names are compared one by one.
const MAX_FIELDS: usize = 1_024;

/// Where fields come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Origin {
    /// A form, or a multipart body. Only here exceptions by pointer and allow lists apply.
    Form,
    Query,
    /// The parameters of a path.
    Path,
}

/// What is decided about a value.
#[derive(Default)]
pub(super) struct Decision {
    /// The places that are masked.
    places: Places,
    /// All of it is secret.
    pub(super) is_secret: bool,
    /// The allow list does not show it.
    pub(super) is_hidden: bool,
}

impl Decision {
    fn secret(value: &str) -> Self {
        Self { places: iter::once(0..value.len()).collect(), is_secret: true, is_hidden: false }
    }

    /// The value as JSON; `None` if it is removed or hidden.
    pub(super) fn json(&self, searcher: &Searcher<'_>, value: &str) -> Option<String> {
        let is_removed = self.is_secret && searcher.rules.style.removes();
        (!is_removed && !self.is_hidden).then(|| json_string(searcher, value, &self.places))
    }
}

/// A text with these places masked, as a JSON string.
pub(in crate::redact) fn json_string(searcher: &Searcher<'_>, text: &str, places: &[Range<usize>]) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_json_string(&mut json, searcher.apply(text, places).as_deref().unwrap_or(text));
    json
}

/// A text without the secrets that a search finds, as a JSON string.
pub(super) fn searched(searcher: &mut Searcher<'_>, text: &str, search: Search) -> String {
    let places = searcher.places(text, search);
    json_string(searcher, text, &places)
}

/// Decides about the fields of a text, one after the other.
pub(super) struct Judge {
    origin: Origin,
    paths: Option<Paths>,
    /// The number of fields so far of each name below which a pointer goes on.
    met: HashMap<String, usize>,
}

impl Judge {
    pub(super) fn new(searcher: &Searcher<'_>, origin: Origin) -> Self {
        Self { origin, paths: searcher.paths(origin == Origin::Form), met: HashMap::new() }
    }

    /// Decides about a field. `pointer`: where it is, if hits are listed.
    pub(super) fn decide(
        &mut self,
        searcher: &mut Searcher<'_>,
        name: &str,
        value: &str,
        pointer: impl Fn() -> String,
    ) -> Decision {
        let (class, rule, is_hidden) = self.class(searcher, name);
        let (decision, rule) = if is_secret(searcher, class, value) {
            (Decision { is_hidden, ..Decision::secret(value) }, rule)
        } else {
            let places = searcher.places(value, Search::Client);
            (Decision { places, is_secret: false, is_hidden }, HitRule::Value)
        };
        let is_hit = decision.is_secret || !(decision.places.is_empty() || is_hidden);
        if is_hit && searcher.hits.is_some() {
            let pointer = pointer();
            let pointer = searcher.masked(&pointer, Search::Evidence).unwrap_or(pointer);
            searcher.note(pointer, rule);
        }
        decision
    }

    /// Decides about a field that the cut went through. Its value does not show.
    pub(super) fn open(&mut self, searcher: &mut Searcher<'_>, name: &str, value: &str) -> Decision {
        let (class, _, is_hidden) = self.class(searcher, name);
        if class != Class::Plain {
            searcher.memory.remembered.add_beginning(value);
        }
        Decision { is_hidden, ..Decision::default() }
    }

    /// The class of the next field of a name, the rule that gives it, and whether the allow list hides the field.
    fn class(&mut self, searcher: &mut Searcher<'_>, name: &str) -> (Class, HitRule, bool) {
        let (effect, is_hidden) = self.pointed(searcher, name);
        let class = match (effect, self.origin, searcher.facts(name)) {
            (Some(Effect::Mask), ..) => return (Class::Leaves, HitRule::Pointer, is_hidden),
            (Some(Effect::Except), Origin::Form, _) => Class::Plain,
            (_, Origin::Query, facts) if facts.is_signature => Class::Always,
            // Percent-encoding is decoded twice.
            (.., facts) if facts.class == Class::Plain && name.bytes().any(|byte| byte == b'%') => {
                searcher.class(&decoded(name))
            }
            (.., facts) => facts.class,
        };
        (class, HitRule::of(class), is_hidden)
    }

    /// The effect of pointers on the next field of a name, and whether the allow list hides it.
    fn pointed(&mut self, searcher: &Searcher<'_>, name: &str) -> (Option<Effect>, bool) {
        let Some(root) = self.paths else { return (None, false) };
        let (mut below, effect) = searcher.step(root, 0, name);
        let mut element = None;
        if below.lead_on() {
            let met = self.met.entry(name.to_owned()).or_default();
            let index = met.to_string();
            *met += 1;
            (below, element) = searcher.step(below, 1, &index);
        }
        let effect = if element == Some(Effect::Mask) { element } else { effect.or(element) };
        (effect, below.show != Show::All)
    }
}

/// Whether a value under a name of a class is secret. It is then remembered.
fn is_secret(searcher: &mut Searcher<'_>, class: Class, value: &str) -> bool {
    let is_secret = class.masks_text(value) && !searcher.rules.style.is_own(value);
    if is_secret {
        searcher.remember(value, class != Class::AsText);
    }
    is_secret
}

/// Whether a parameter of a path is secret by its name or by a pointer.
pub(super) fn is_secret_param(searcher: &mut Searcher<'_>, name: &str, value: &str) -> bool {
    let (class, ..) = Judge::new(searcher, Origin::Path).class(searcher, name);
    is_secret(searcher, class, value)
}

/// A redacted object under construction: names in order of appearance, each with its values.
#[derive(Default)]
pub(super) struct Object<'k>(Vec<(Cow<'k, str>, String, bool)>);

impl<'k> Object<'k> {
    /// Adds a value; `None` if it is left out.
    pub(super) fn push(&mut self, name: impl Into<Cow<'k, str>>, json: Option<String>) {
        let (name, Some(json)) = (name.into(), json) else { return };
        match self.0.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, values, is_list)) => {
                *is_list = true;
                values.extend([",", &*json]);
            }
            None => self.0.push((name, json, false)),
        }
    }

    /// The object, with the values of a repeated name as a list; `None` if no field is left.
    pub(super) fn finish(self) -> Option<String> {
        let mut out = String::new();
        for (name, values, is_list) in &self.0 {
            out.push(if out.is_empty() { '{' } else { ',' });
            push_json_string(&mut out, name);
            let (begin, end) = if *is_list { (":[", "]") } else { (":", "") };
            out.extend([begin, values, end]);
        }
        (!out.is_empty()).then(|| out + "}")
    }
}

/// A query or a form that was read.
pub(in crate::redact) struct Read {
    /// The places of secrets in it as it was sent.
    pub(in crate::redact) places: Places,
    /// Its fields, if any is left.
    pub(in crate::redact) object: Option<String>,
    /// What is wrong with it as a body.
    pub(in crate::redact) problem: Option<Reason>,
}

/// Reads a query or a form. With `cut`, its last field is not complete.
pub(in crate::redact) fn read(searcher: &mut Searcher<'_>, raw: &str, origin: Origin, cut: bool) -> Read {
    let mut judge = Judge::new(searcher, origin);
    let mut object = Object::default();
    let (mut places, mut problem) = (Vec::new(), None);
    let is_one = origin == Origin::Query && is_json(searcher, raw);
    for (index, place) in split(raw, 0, |byte| byte == b'&' && !is_one).enumerate() {
        let field = &raw[place.clone()];
        let is_value = is_one || is_json(searcher, field);
        if is_value && names_a_secret(searcher, field) {
            places.push(place);
            problem = Some(Reason::Invalid);
            continue;
        }
        if index >= MAX_FIELDS {
            // Fields beyond the limit are not read, so they do not show, nor what may repeat them.
            searcher.memory.remembered.is_full = true;
            places.push(place.start..raw.len());
            problem = Some(Reason::TooDeep);
            break;
        }
        let (name_place, value_place) = if is_value { (place.clone(), None) } else { parts(raw, &place) };
        let name = form_decoded(&raw[name_place.clone()]);
        // A name may be a token; one without a value is a value itself. The search for echoes skips the object's keys.
        let mut found = searcher.places(&name, if value_place.is_some() { Search::Evidence } else { Search::Client });
        places.extend(sent(raw, &name_place, found.clone()));
        searcher.memory.remembered.everywhere.find(&name, 0, &mut found);
        let shown_name = searcher.apply(&name, &found);
        let value_place = value_place.unwrap_or(place.end..place.end);
        let value = form_decoded(&raw[value_place.clone()]);
        if cut && place.end == raw.len() {
            judge.open(searcher, &name, without_open_escape(&value));
            break;
        }
        let pointer = || format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let decision = judge.decide(searcher, &name, &value, pointer);
        object.push(shown_name.map_or(name, Cow::Owned), decision.json(searcher, &value));
        places.extend(sent(raw, &value_place, decision.places));
    }
    join(&mut places);
    Read { places, object: object.finish(), problem }
}

/// The places of secrets in a decoded parameter of a path. None is removed: they are evidence.
pub(in crate::redact) fn param(searcher: &mut Searcher<'_>, name: &str, value: &str) -> Places {
    if is_secret_param(searcher, name, value) {
        return Decision::secret(value).places;
    }
    searcher.places(value, Search::Evidence)
}

/// Headers as an object.
pub(in crate::redact) fn headers<'h>(
    searcher: &mut Searcher<'_>,
    shown: impl Iterator<Item = (&'h str, &'h [u8], bool)>,
) -> Option<String> {
    let mut object = Object::default();
    for (name, value, is_sensitive) in shown {
        let value = String::from_utf8_lossy(value);
        let json = if is_sensitive {
            // Its value was not captured, so it has no fingerprint.
            (!searcher.rules.style.removes()).then(|| json_string(searcher, searcher.rules.style.text(), &[]))
        } else if searcher.class(name).masks_text(&value) {
            searcher.memory.remembered.add_header(name, &value);
            Decision::secret(&value).json(searcher, &value)
        } else {
            Some(searched(searcher, &value, Search::Free))
        };
        object.push(name, json);
    }
    object.finish()
}

/// Whether a text that is JSON names a secret if it is read as a form; the values of such names are then remembered. Nobody
/// knows which of the two the handler reads, and a secret of the one may be a key of the other.
pub(in crate::redact) fn names_a_secret(searcher: &mut Searcher<'_>, text: &str) -> bool {
    let (paths, mut judge, mut is_named) = (searcher.paths(false), Judge::new(searcher, Origin::Path), false);
    for place in split(text, 0, |byte| byte == b'&') {
        // A name without a sign has no value.
        let (name, Some(value)) = parts(text, &place) else { continue };
        let name = form_decoded(&text[name]);
        let step = paths.map(|paths| searcher.step(paths, 0, &name));
        let is_pointed = step.is_some_and(|(below, effect)| below.lead_on() || effect.is_some());
        let (class, ..) = judge.class(searcher, &name);
        is_secret(searcher, class, &form_decoded(&text[value]));
        is_named |= is_pointed || class != Class::Plain;
    }
    is_named
}

/// A decoded value without the escape, or the character, that a cut went through.
fn without_open_escape(value: &str) -> &str {
    let value = value.trim_end_matches('\u{fffd}');
    let escape = value.bytes().rev().take(2).position(|byte| byte == b'%');
    escape.map_or(value, |behind| &value[..value.len() - 1 - behind])
}

/// The places of fields from a place on, without those that are empty.
pub(super) fn split(text: &str, mut start: usize, ends: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let places = text.as_bytes()[start..].split(move |byte| ends(*byte)).map(move |field| {
        start += field.len() + 1;
        start - field.len() - 1..start - 1
    });
    places.filter(|place| !place.is_empty())
}

/// Whether a text that is encoded as in a form is JSON.
fn is_json(searcher: &mut Searcher<'_>, text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '[', '%', '+', '\u{feff}']) && is_document(searcher, &form_decoded(text))
}

/// The places of a field's name and value.
pub(super) fn parts(text: &str, place: &Range<usize>) -> (Range<usize>, Option<Range<usize>>) {
    match memchr::memchr(b'=', &text.as_bytes()[place.clone()]) {
        Some(len) => (place.start..place.start + len, Some(place.start + len + 1..place.end)),
        None => (place.clone(), None),
    }
}

/// Where places of a decoded name or value were sent. A plus sign and the space that it replaces have one byte, so their
/// places are the same.
fn sent(raw: &str, place: &Range<usize>, found: Places) -> impl Iterator<Item = Range<usize>> {
    let map = if found.is_empty() { None } else { Decoded::percent(&raw[place.clone()]) };
    let start = place.start;
    found.into_iter().map(move |found| {
        let found = map.as_ref().map_or_else(|| found.clone(), |map| map.source(&found));
        start + found.start..start + found.end
    })
}
