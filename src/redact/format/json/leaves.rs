//! The leaves of a document: strings, numbers, `true`, `false` and `null`.

use std::borrow::Cow;
use std::ops::Range;

use super::frame::{Leaf, Next, State};
use super::walker::Walker;
use crate::json::{
    is_beyond_floats, is_number, is_odd_at, plain_len, plain_string_end, push_json_text, scalar_end, string_end,
    unescape,
};
use crate::redact::Reason;
use crate::redact::decode::Decoded;
use crate::redact::detect::{Scan, is_card_number};
use crate::redact::hit::HitRule;
use crate::redact::rules::{Class, LeafKind, Part, Show};
use crate::redact::search::Search;

/// A longer number is none that a program counts with. It does not show.
const MAX_NUMBER: usize = 128;

impl Walker<'_, '_> {
    pub(super) fn scalar(&mut self) -> Result<State, Reason> {
        let next = self.next;
        let start = self.at;
        let is_named = if self.text.as_bytes()[start] == b'"' {
            let plain = plain_string_end(self.text.as_bytes(), start);
            let Some(end) = plain.or_else(|| string_end(self.text.as_bytes(), start)) else {
                self.remember_open(start + 1, next);
                return Ok(State::Cut);
            };
            self.at = end;
            self.string(start + 1..end - 1, plain.is_none(), next)?
        } else {
            let end = scalar_end(self.text.as_bytes(), start);
            if self.cut && end == self.text.len() {
                return Ok(State::Cut);
            }
            self.at = end;
            self.word(start..end, next)?
        };
        // With this mask style, a secret is removed with its member.
        let is_removed = is_named && self.level.is_outside() && self.searcher.rules.style.removes();
        self.finish_value(next.start, is_removed || next.show != Show::All);
        Ok(State::After)
    }

    /// Remembers a secret value that the cut went through. Nothing of it is written.
    pub(super) fn remember_open(&mut self, start: usize, next: Next) {
        let is_named = self.scratch.frames.last().is_some_and(|frame| frame.pair.class_of_value() != Class::Plain);
        if next.class != Class::Plain || (next.part == Part::Value && is_named) {
            let raw = self.text[start..].trim_end_matches('\\');
            let text = Decoded::json(raw).text;
            self.searcher.memory.remembered.add_beginning(&text);
        }
    }

    /// Takes a string. Whether it is secret by its name or place.
    pub(super) fn string(&mut self, place: Range<usize>, has_escapes: bool, next: Next) -> Result<bool, Reason> {
        let (text, start) = (self.text, place.start);
        let raw = &text[place.clone()];
        let is_named = next.class.masks_text(raw);
        let is_masked = is_named && !self.searcher.rules.style.is_own(raw);
        // What is masked needs no search.
        let scan = if is_masked { Scan::NOTHING } else { Scan::of(raw) };
        if self.level.is_outside() && (is_masked || scan.has(Scan::CONTROL | Scan::BACKSLASH)) {
            check_controls(raw)?;
            if has_escapes && unescape(raw).is_none() {
                return Err(Reason::Invalid);
            }
        }
        if next.part != Part::Nothing {
            self.name_of_pair(next.part, raw, has_escapes);
        }
        if self.open_values > 0 {
            self.record(place.clone(), LeafKind::Text);
        }
        // Before the masks: of equal places, the edit that is added last is applied.
        if scan.has(Scan::NON_ASCII | Scan::CONTROL) {
            self.escape_odd(start, raw);
        }
        if is_masked {
            self.mask(place, LeafKind::Text, next.class != Class::AsText && next.is_direct, next.rule, None);
        } else if self.searcher.may_find(raw, scan, self.search) {
            self.search_string(start, raw, scan);
        }
        Ok(is_named)
    }

    /// Masks what has the form of a secret in a string.
    pub(super) fn search_string(&mut self, start: usize, raw: &str, scan: Scan) {
        let text = self.text;
        let mut places = std::mem::take(&mut self.scratch.places);
        if scan.has(Scan::BACKSLASH) {
            let decoded = Decoded::json(raw);
            self.searcher.find(&decoded.text, self.level, self.search, &mut places);
            for found in &mut places {
                *found = decoded.source(found);
            }
        } else {
            self.searcher.find_scanned(raw, scan, self.level, self.search, &mut places);
        }
        if !places.is_empty() {
            self.note(HitRule::Value, None);
        }
        for found in places.drain(..) {
            let found = start + found.start..start + found.end;
            let style = &self.searcher.rules.style;
            self.scratch.edits.replace(found.clone(), |out| style.push(out, &text[found], Cow::Borrowed));
        }
        self.scratch.places = places;
    }

    /// Takes a string that may name or mark the value beside it.
    pub(super) fn name_of_pair(&mut self, part: Part, raw: &str, has_escapes: bool) {
        let text = if has_escapes { Cow::Owned(unescape(raw).unwrap_or_default()) } else { Cow::Borrowed(raw) };
        let class = match part {
            Part::Name => self.searcher.class(&text),
            Part::Path => self.searcher.class(text.rsplit(['/', '.', ':']).next().unwrap_or_default()),
            _ => Class::Plain,
        };
        if let Some(frame) = self.scratch.frames.last_mut() {
            frame.pair.say(part, &text, class);
        }
    }

    /// A number, or `true`, `false`, `null`. Whether it is secret by its name or place.
    pub(super) fn word(&mut self, place: Range<usize>, next: Next) -> Result<bool, Reason> {
        let word = &self.text[place.clone()];
        let kind = match word {
            "true" | "false" => LeafKind::Boolean,
            "null" => LeafKind::Null,
            _ if is_number(word) => LeafKind::Number,
            _ => return Err(Reason::Invalid),
        };
        // Strict readers reject a number that is beyond all floats, and would reject the record.
        let may_be_beyond = kind == LeafKind::Number && word.bytes().any(|byte| byte | 0x20 == b'e');
        self.is_rejected |= may_be_beyond && is_beyond_floats(word);
        if word == "true"
            && let Some(frame) = self.scratch.frames.last_mut().filter(|frame| frame.is_object)
        {
            frame.pair.say(next.part, word, Class::Plain);
        }
        if self.open_values > 0 {
            self.record(place.clone(), kind);
        }
        let is_long = kind == LeafKind::Number && word.len() > MAX_NUMBER;
        let is_named = next.class.masks(kind, word);
        let is_secret = || is_card_number(word) || self.searcher.memory.remembered.everywhere.holds(word);
        if is_long || is_named || (kind == LeafKind::Number && is_secret()) {
            let rule = if next.class == Class::Plain { HitRule::Value } else { next.rule };
            self.mask(place, kind, is_long || next.is_direct, rule, None);
        }
        Ok(is_named)
    }

    /// Notes a leaf that a name after it may mark as secret.
    pub(super) fn record(&mut self, place: Range<usize>, kind: LeafKind) {
        let hit = self.searcher.hits.is_some().then(|| self.pointer());
        self.scratch.leaves.push(Leaf { place, kind, hit });
    }

    /// Masks a leaf and remembers it.
    pub(super) fn mask(
        &mut self,
        place: Range<usize>,
        kind: LeafKind,
        is_always: bool,
        rule: HitRule,
        hit: Option<String>,
    ) {
        let raw = &self.text[place.clone()];
        let has_escapes = memchr::memchr(b'\\', raw.as_bytes()).is_some();
        let text = if has_escapes { Cow::Owned(Decoded::json(raw).text) } else { Cow::Borrowed(raw) };
        self.searcher.remember(&text, is_always);
        self.note(rule, hit);
        let style = &self.searcher.rules.style;
        let quote = if kind == LeafKind::Text { "" } else { "\"" };
        self.scratch.edits.replace(place, |out| {
            out.push_str(quote);
            style.push(out, &text, Cow::Borrowed);
            out.push_str(quote);
        });
    }

    /// Escapes characters that JSON allows and a record does not.
    pub(super) fn escape_odd(&mut self, start: usize, raw: &str) {
        if !self.level.is_outside() || raw.bytes().all(|byte| byte < 0x7f) {
            return;
        }
        for (at, char) in raw.char_indices().filter(|(_, char)| *char >= '\u{7f}') {
            if is_odd_at(raw.as_bytes(), at) {
                self.scratch.edits.replace(start + at..start + at + char.len_utf8(), |out| {
                    push_json_text(out, char.encode_utf8(&mut [0; 4]));
                });
            }
        }
    }

    /// Lists a hit, if hits are listed: at the current value, if it is not said where.
    pub(super) fn note(&mut self, rule: HitRule, hit: Option<String>) {
        if self.searcher.hits.is_some() {
            let pointer = hit.unwrap_or_else(|| self.pointer());
            self.searcher.note(pointer, rule);
        }
    }

    /// The JSON Pointer of the current value.
    pub(super) fn pointer(&mut self) -> String {
        let mut pointer = String::new();
        let frames = &self.scratch.frames;
        for (depth, frame) in frames.iter().enumerate() {
            pointer.push('/');
            if frame.is_object {
                let keys_end = frames.get(depth + 1).map_or(self.scratch.keys.len(), |next| next.keys.from);
                let key = self.scratch.keys[..keys_end].last().map_or("", |key| &self.text[key.place.clone()]);
                let key = unescape(key).unwrap_or_default();
                let key = self.searcher.masked(&key, Search::Evidence).unwrap_or(key);
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            } else {
                pointer.push_str(&frame.index.to_string());
            }
        }
        pointer
    }
}

pub(super) fn check_controls(raw: &str) -> Result<(), Reason> {
    if plain_len(raw.as_bytes(), |byte| byte < 0x20) < raw.len() { Err(Reason::Invalid) } else { Ok(()) }
}
