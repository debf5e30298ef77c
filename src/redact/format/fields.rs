//! Fields: names and values of a query, a form, headers, or a route's parameters. The result is a redacted object, and for a
//! query also the places of secrets in the text as it was sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::super::Reason;
use super::super::decode::{Decoded, decoded, form_decoded};
use super::super::edits::join;
use super::super::hit::HitRule;
use super::super::rules::{Action, Active, Class, Effect};
use super::super::search::{Search, Searcher};
use super::inside::is_document;
use crate::json::push_json_string;

/// The names are compared one by one.
const MAX_FIELDS: usize = 1_024;

/// Where fields come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Origin {
    /// A form. Only here exceptions by pointer and allow lists apply.
    Form,
    Query,
    Headers,
}

/// A redacted object under construction: names in order of appearance, repeated ones as lists.
#[derive(Debug)]
pub(in crate::redact) struct Fields<'k> {
    origin: Origin,
    pointers: Active,
    shown: Option<Active>,
    members: Vec<Member<'k>>,
    /// The number of fields so far of each name below which a pointer goes on.
    met: HashMap<String, usize>,
    count: usize,
}

#[derive(Debug)]
struct Member<'k> {
    name: Cow<'k, str>,
    /// The values, with commas between them.
    values: String,
    count: usize,
}

/// What becomes of a field's value.
pub(super) enum Fate {
    Shown,
    /// These places of the decoded value are masked.
    Partly(Vec<Range<usize>>),
    Masked,
    Removed,
}

impl<'k> Fields<'k> {
    pub(in crate::redact) fn new(searcher: &Searcher<'_>, origin: Origin) -> Self {
        Self {
            origin,
            pointers: searcher.pointers_at_root(),
            shown: searcher.shown_at_root().filter(|_| origin == Origin::Form),
            members: Vec::new(),
            met: HashMap::new(),
            count: 0,
        }
    }

    /// Takes a part that the cut went through. Its value does not show; returns whether its name does.
    pub(super) fn open_part(&mut self, searcher: &mut Searcher<'_>, name: &str, value: &str) -> bool {
        let (effect, is_shown) = self.pointed(searcher, name);
        if effect == Some(Effect::Mask) || class_of(searcher, name) != Class::Plain {
            searcher.remember_beginning(value);
        }
        is_shown
    }

    /// The places of a field's name and value. A field that is JSON has no name; it is a value. `None` if it names a secret
    /// as a form: nothing of it may show, and what it names is remembered.
    fn parts(&mut self, searcher: &mut Searcher<'_>, text: &str, place: Range<usize>) -> Option<NameAndValue> {
        let field = &text[place.clone()];
        if !is_json(searcher, field) {
            return Some(parts(text, &place));
        }
        if !names_a_secret(searcher, field) {
            return Some((place, None));
        }
        for place in split(field, false) {
            let (name, value) = parts(field, &place);
            let (name, value) = (form_decoded(&field[name]), form_decoded(value.map_or("", |value| &field[value])));
            self.fate(searcher, &name, &value, || pointer(&name));
        }
        None
    }

    /// Whether the allow list shows a file, by the name of its field.
    pub(super) fn shows_part(&mut self, searcher: &Searcher<'_>, name: &str) -> bool {
        self.pointed(searcher, name).1
    }

    /// Adds a decoded field.
    pub(in crate::redact) fn add(
        &mut self,
        searcher: &mut Searcher<'_>,
        name: Cow<'k, str>,
        value: &str,
    ) -> Result<(), Reason> {
        self.judge(searcher, name, value).map(|_| ())
    }

    fn judge(&mut self, searcher: &mut Searcher<'_>, name: Cow<'k, str>, value: &str) -> Result<Fate, Reason> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(Reason::TooDeep);
        }
        let fate = self.fate(searcher, &name, value, || pointer(&name));
        if let Some(json) = self.json(searcher, value, &fate) {
            // Only odd names may hold a token.
            let masked = if searcher.facts(&name).is_odd { searcher.masked(&name, Search::Evidence) } else { None };
            let name = masked.map_or(name, Cow::Owned);
            self.push(name, json);
        }
        Ok(fate)
    }

    /// A value as JSON; `None` if it is removed.
    pub(super) fn json(&self, searcher: &Searcher<'_>, value: &str, fate: &Fate) -> Option<String> {
        let mut json = String::with_capacity(value.len() + 2);
        match fate {
            Fate::Shown => push_json_string(&mut json, value),
            Fate::Partly(places) => {
                push_json_string(&mut json, searcher.apply(value, places).as_deref().unwrap_or(value));
            }
            Fate::Masked if searcher.style().removes() => return None,
            Fate::Masked => {
                json.push('"');
                searcher.style().push(&mut json, value);
                json.push('"');
            }
            Fate::Removed => return None,
        }
        Some(json)
    }

    /// Decides about a field. `pointer`: where it is, if hits are listed.
    pub(super) fn fate(
        &mut self,
        searcher: &mut Searcher<'_>,
        name: &str,
        value: &str,
        pointer: impl Fn() -> String,
    ) -> Fate {
        let (effect, is_shown) = self.pointed(searcher, name);
        let facts = searcher.facts(name);
        let class = class_of(searcher, name);
        let (action, rule) = match effect {
            Some(Effect::Mask) => (Action::Leaves, HitRule::Pointer),
            Some(Effect::Except) => (Action::Show, HitRule::Key),
            _ if self.origin == Origin::Query && facts.is_signature => (Action::Always, HitRule::Key),
            _ => (
                Action::of(class),
                if class == Class::MaskValuesUnder { HitRule::MaskValuesUnder } else { HitRule::Key },
            ),
        };
        if action.masks_text(value) && !searcher.is_mask(value) {
            searcher.remember(value, action != Action::AsText);
            note(searcher, &pointer, rule);
            return if is_shown { Fate::Masked } else { Fate::Removed };
        }
        let places = searcher.places(value, Search::Client);
        if !is_shown {
            return Fate::Removed;
        }
        if places.is_empty() {
            return Fate::Shown;
        }
        note(searcher, &pointer, HitRule::Value);
        Fate::Partly(places)
    }

    /// The effect of pointers on the next field of a name, and whether the allow list shows it.
    fn pointed(&mut self, searcher: &Searcher<'_>, name: &str) -> (Option<Effect>, bool) {
        if self.pointers.is_none() && self.shown.is_none() {
            return (None, true);
        }
        let (below, mut effect) = searcher.step(self.pointers, 0, name);
        let (shown_below, mut is_shown) =
            self.shown.map_or((Active::NONE, true), |shown| searcher.step_shown(shown, 0, name));
        if !below.is_none() || !shown_below.is_none() {
            let met = self.met.entry(name.to_owned()).or_default();
            let index = met.to_string();
            *met += 1;
            let (_, element) = searcher.step(below, 1, &index);
            effect = if element == Some(Effect::Mask) { element } else { effect.or(element) };
            is_shown |= !shown_below.is_none() && searcher.step_shown(shown_below, 1, &index).1;
        }
        let holds = |effect: &Effect| *effect == Effect::Mask || self.origin == Origin::Form;
        (effect.filter(holds), is_shown)
    }

    fn push(&mut self, name: Cow<'k, str>, json: String) {
        if let Some(member) = self.members.iter_mut().find(|member| member.name == name) {
            member.values.push(',');
            member.values.push_str(&json);
            member.count += 1;
            return;
        }
        self.members.push(Member { name, values: json, count: 1 });
    }

    /// The object; `None` if no field is left.
    pub(in crate::redact) fn finish(self) -> Option<String> {
        if self.members.is_empty() {
            return None;
        }
        let len: usize = self.members.iter().map(|member| member.name.len() + member.values.len() + 6).sum();
        let mut out = String::with_capacity(len + 2);
        out.push('{');
        for member in &self.members {
            if out.len() > 1 {
                out.push(',');
            }
            push_json_string(&mut out, &member.name);
            out.push(':');
            let (open, close) = if member.count > 1 { ("[", "]") } else { ("", "") };
            out.push_str(open);
            out.push_str(&member.values);
            out.push_str(close);
        }
        out.push('}');
        Some(out)
    }
}

/// The class of a decoded name. Percent-encoding is decoded twice.
fn class_of(searcher: &mut Searcher<'_>, name: &str) -> Class {
    match searcher.class(name) {
        Class::Plain if name.contains('%') => searcher.class(&decoded(name)),
        class => class,
    }
}

fn note(searcher: &mut Searcher<'_>, pointer: impl Fn() -> String, rule: HitRule) {
    if searcher.is_explaining() {
        let pointer = pointer();
        let pointer = searcher.masked(&pointer, Search::Evidence).unwrap_or(pointer);
        searcher.note(pointer, rule);
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A query: the places of secrets in it as it was sent, and its fields as an object.
pub(in crate::redact) fn query(searcher: &mut Searcher<'_>, raw: &str) -> (Vec<Range<usize>>, Option<String>) {
    let mut fields = Fields::new(searcher, Origin::Query);
    let mut places = Vec::new();
    let is_one = is_json(searcher, raw);
    for place in split(raw, is_one) {
        let Some((name, value)) = fields.parts(searcher, raw, place.clone()) else {
            places.push(place);
            continue;
        };
        let name_text = FormText::of(raw, name.clone());
        // A name may be a token too; one without a value is a value itself.
        let search = if value.is_some() { Search::Evidence } else { Search::Client };
        let found = searcher.places(&name_text.text, search);
        places.extend(found.iter().map(|found| name_text.source(found)));
        let masked = searcher.apply(&name_text.text, &found);
        let name_text = masked.map_or(name_text.text, Cow::Owned);
        let value = FormText::of(raw, value.unwrap_or(name.end..name.end));
        let Ok(fate) = fields.judge(searcher, name_text, &value.text) else {
            // Fields beyond the limit are not read, so they do not show, nor what may repeat them.
            searcher.overflow();
            places.push(name.start..raw.len());
            break;
        };
        match fate {
            Fate::Shown => {}
            Fate::Masked | Fate::Removed => places.push(value.place),
            Fate::Partly(found) => places.extend(found.iter().map(|found| value.source(found))),
        }
    }
    join(&mut places);
    (places, fields.finish())
}

/// The masked value of a path parameter, which is evidence; `None` if nothing in it is secret.
pub(in crate::redact) fn masked_param(searcher: &mut Searcher<'_>, name: &str, value: &str) -> Option<String> {
    if is_secret_param(searcher, name, value) {
        let mut mask = String::new();
        searcher.style().push(&mut mask, value);
        return Some(mask);
    }
    searcher.masked(value, Search::Evidence)
}

/// Whether a parameter of a path is secret by its name or by a pointer.
pub(super) fn is_secret_param(searcher: &mut Searcher<'_>, name: &str, value: &str) -> bool {
    let pointers = searcher.pointers_at_root();
    let is_pointed = !pointers.is_none() && searcher.step(pointers, 0, name).1 == Some(Effect::Mask);
    let class = searcher.class(name);
    let is_secret = (is_pointed || Action::of(class).masks_text(value)) && !searcher.is_mask(value);
    if is_secret {
        searcher.remember(value, class != Class::AsText);
    }
    is_secret
}

/// Headers as an object.
pub(in crate::redact) fn headers<'h>(
    searcher: &mut Searcher<'_>,
    shown: impl Iterator<Item = (&'h str, &'h [u8], bool)>,
) -> Option<String> {
    let mut fields = Fields::new(searcher, Origin::Headers);
    for (name, value, is_sensitive) in shown {
        let value = String::from_utf8_lossy(value);
        let fate = if is_sensitive || Action::of(searcher.class(name)).masks_text(&value) {
            searcher.remember_header(name, &value);
            Fate::Masked
        } else {
            let places = searcher.places(&value, Search::Free);
            if places.is_empty() { Fate::Shown } else { Fate::Partly(places) }
        };
        if let Some(json) = fields.json(searcher, &value, &fate) {
            fields.push(Cow::Borrowed(name), json);
        }
    }
    fields.finish()
}

/// Whether a text that is JSON names a secret if it is read as a form. Nobody knows which of the two the handler reads, and
/// a secret of the one may be a key of the other.
pub(in crate::redact) fn names_a_secret(searcher: &mut Searcher<'_>, text: &str) -> bool {
    let pointers = searcher.pointers_at_root();
    // A name without a sign has no value.
    let names = split(text, false).map(|place| parts(text, &place)).filter(|(_, value)| value.is_some());
    names.map(|(name, _)| form_decoded(&text[name])).any(|name| {
        class_of(searcher, &name) != Class::Plain || searcher.step(pointers, 0, &name) != (Active::NONE, None)
    })
}

/// A form as an object. With `cut`, its last field is not complete.
pub(in crate::redact) fn form(searcher: &mut Searcher<'_>, text: &str, cut: bool) -> Result<String, Reason> {
    let mut fields = Fields::new(searcher, Origin::Form);
    let mut is_clear = true;
    for place in split(text, false) {
        let is_last = place.end == text.len();
        let Some((name_place, value)) = fields.parts(searcher, text, place) else {
            is_clear = false;
            continue;
        };
        let mut name = form_decoded(&text[name_place]);
        if value.is_none()
            && let Some(masked) = searcher.masked(&name, Search::Client)
        {
            name = Cow::Owned(masked);
        }
        let value = form_decoded(value.map_or("", |value| &text[value]));
        if cut && is_last {
            fields.open_part(searcher, &name, without_open_escape(&value));
            break;
        }
        fields.add(searcher, name, &value)?;
    }
    if !is_clear {
        return Err(Reason::Invalid);
    }
    Ok(fields.finish().unwrap_or_else(|| "{}".to_owned()))
}

/// A decoded value without the escape, or the character, that a cut went through.
fn without_open_escape(value: &str) -> &str {
    let value = value.trim_end_matches('\u{fffd}');
    let escape = value.bytes().rev().take(2).position(|byte| byte == b'%');
    escape.map_or(value, |behind| &value[..value.len() - 1 - behind])
}

/// The places of fields, separated by `&`. With `is_one`, there is no separator.
fn split(text: &str, is_one: bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < text.len() {
            let rest = &text.as_bytes()[start..];
            let len = if is_one { None } else { memchr::memchr(b'&', rest) };
            let place = start..start + len.unwrap_or(rest.len());
            start = place.end + 1;
            if !place.is_empty() {
                return Some(place);
            }
        }
        None
    })
}

/// Whether a text that is encoded as in a form is JSON.
fn is_json(searcher: &mut Searcher<'_>, text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '[', '%', '+', '\u{feff}']) && is_document(searcher, &form_decoded(text))
}

/// The places of a field's name and value.
type NameAndValue = (Range<usize>, Option<Range<usize>>);

pub(super) fn parts(text: &str, place: &Range<usize>) -> NameAndValue {
    match memchr::memchr(b'=', &text.as_bytes()[place.clone()]) {
        Some(len) => (place.start..place.start + len, Some(place.start + len + 1..place.end)),
        None => (place.clone(), None),
    }
}

/// A name or value of a query, decoded, and its place as it was sent.
struct FormText<'t> {
    text: Cow<'t, str>,
    map: Option<Decoded>,
    place: Range<usize>,
}

impl<'t> FormText<'t> {
    fn of(raw: &'t str, place: Range<usize>) -> Self {
        let raw = &raw[place.clone()];
        let text = form_decoded(raw);
        // A plus sign and the space that it replaces have one byte, so their places are the same.
        let map = if text.len() < raw.len() { Decoded::percent(raw) } else { None };
        Self { text, map, place }
    }

    /// Where a place of the decoded text was sent.
    fn source(&self, found: &Range<usize>) -> Range<usize> {
        let found = self.map.as_ref().map_or_else(|| found.clone(), |map| map.source(found));
        self.place.start + found.start..self.place.start + found.end
    }
}
