//! The leaves of a document: strings, numbers, `true`, `false` and `null`.

use std::borrow::Cow;
use std::ops::Range;

use super::frame::Leaf;
use super::walker::{Walker, valid};
use crate::block::ordinary_len;
use crate::json::{
    is_beyond_floats, is_number, is_odd_at, plain_string_end, push_json_text, scalar_end, string_end, unescape,
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
    pub(super) fn scalar(&mut self, first: u8) -> Result<(), Reason> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let is_named = if first == b'"' {
            let plain = plain_string_end(bytes, start);
            let Some(end) = plain.or_else(|| string_end(bytes, start)) else {
                self.remember_open(start + 1);
                return Err(Reason::Truncated);
            };
            self.at = end;
            self.string(start + 1..end - 1, plain.is_none())?
        } else {
            let end = scalar_end(bytes, start);
            if self.cut && end == bytes.len() {
                return Err(Reason::Truncated);
            }
            self.at = end;
            self.word(start..end)?
        };
        // With this mask style, a secret is removed with its member.
        let is_removed = is_named && self.level.is_outside() && self.searcher.rules.style.removes();
        self.finish_value(self.next.start, is_removed || self.next.show != Show::All);
        Ok(())
    }

    /// Remembers a secret value that the cut went through. Nothing of it is written.
    fn remember_open(&mut self, start: usize) {
        let is_named = self.next.part == Part::Value && self.frame.pair.class_of(Part::Value) != Class::Plain;
        if is_named || self.next.class != Class::Plain {
            let raw = self.text[start..].trim_end_matches('\\');
            self.searcher.memory.remembered.add_beginning(&Decoded::json(raw).text);
        }
    }

    /// Takes a string. Whether it is secret by its name or place.
    fn string(&mut self, place: Range<usize>, has_escapes: bool) -> Result<bool, Reason> {
        let (raw, start) = (&self.text[place.clone()], place.start);
        let is_named = self.next.class.masks_text(raw);
        let is_masked = is_named && !self.searcher.rules.style.is_own(raw);
        // What is masked needs no search.
        let scan = if is_masked { Scan::NOTHING } else { Scan::of(raw) };
        if (is_masked || scan.has(Scan::CONTROL | Scan::BACKSLASH)) && self.level.is_outside() {
            check_controls(raw)?;
            valid(!has_escapes || unescape(raw).is_some())?;
        }
        if self.next.part != Part::Nothing {
            self.name_of_pair(raw, has_escapes);
        }
        if self.next.is_noted {
            self.record(place.clone(), LeafKind::Text);
        }
        // Before the masks: of equal places, the edit that is added last is applied.
        if scan.has(Scan::NON_ASCII | Scan::CONTROL) {
            self.escape_odd(start, raw);
        }
        if is_masked {
            self.note(self.next.rule, None);
            self.mask(place, LeafKind::Text, self.next.class != Class::AsText && self.next.is_direct);
        } else if self.searcher.may_find(raw, scan, self.search) {
            self.search_string(start, raw, scan);
        }
        Ok(is_named)
    }

    /// Masks what has the form of a secret in a string.
    pub(super) fn search_string(&mut self, start: usize, raw: &str, scan: Scan) {
        let text = self.text;
        let mut places = Vec::new();
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
        for found in places {
            let found = start + found.start..start + found.end;
            let style = &self.searcher.rules.style;
            self.scratch.edits.replace(found.clone(), |out| style.push(out, &text[found], Cow::Borrowed));
        }
    }

    /// Takes a string that may name or mark the value beside it.
    #[inline(never)]
    fn name_of_pair(&mut self, raw: &str, has_escapes: bool) {
        let text = if has_escapes { Cow::Owned(unescape(raw).unwrap_or_default()) } else { Cow::Borrowed(raw) };
        let class = match self.next.part {
            Part::Name => self.searcher.class(&text),
            Part::Path => self.searcher.class(text.rsplit(['/', '.', ':']).next().unwrap_or_default()),
            _ => Class::Plain,
        };
        self.frame.pair.say(self.next.part, &text, class);
    }

    /// A number, or `true`, `false`, `null`. Whether it is secret by its name or place.
    fn word(&mut self, place: Range<usize>) -> Result<bool, Reason> {
        let (word, next) = (&self.text[place.clone()], self.next);
        let kind = match word {
            "true" | "false" => LeafKind::Boolean,
            "null" => LeafKind::Null,
            _ if is_number(word) => LeafKind::Number,
            _ => return Err(Reason::Invalid),
        };
        if next.part != Part::Nothing && word == "true" {
            self.frame.pair.say(next.part, word, Class::Plain);
        }
        if self.next.is_noted {
            self.record(place.clone(), kind);
        }
        // Strict readers reject a number that is beyond all floats, and would reject the record.
        let may_be_beyond = kind == LeafKind::Number && word.bytes().any(|byte| byte | 0x20 == b'e');
        self.is_rejected |= may_be_beyond && is_beyond_floats(word);
        let everywhere = &self.searcher.memory.remembered.everywhere;
        let is_secret = || is_card_number(word) || (!everywhere.is_empty() && everywhere.holds(word));
        let is_named = next.class.masks(kind, word);
        let is_long = kind == LeafKind::Number && word.len() > MAX_NUMBER;
        if is_named || is_long || (kind == LeafKind::Number && is_secret()) {
            self.note(if next.class == Class::Plain { HitRule::Value } else { next.rule }, None);
            self.mask(place, kind, is_long || next.is_direct);
        }
        Ok(is_named)
    }

    /// Notes a leaf that a name after it may mark as secret.
    pub(super) fn record(&mut self, place: Range<usize>, kind: LeafKind) {
        let hit = self.searcher.hits.is_some().then(|| self.pointer());
        self.scratch.leaves.push(Leaf { place, kind, hit });
    }

    /// Masks a leaf and remembers it.
    pub(super) fn mask(&mut self, place: Range<usize>, kind: LeafKind, is_always: bool) {
        let raw = &self.text[place.clone()];
        let has_escapes = ordinary_len(raw.as_bytes(), |block| block.is(b'\\').bits()) < raw.len();
        let text = if has_escapes { Cow::Owned(Decoded::json(raw).text) } else { Cow::Borrowed(raw) };
        self.searcher.remember(&text, is_always);
        let style = &self.searcher.rules.style;
        self.scratch.edits.replace(place, |out| match kind {
            LeafKind::Text => style.push(out, &text, Cow::Borrowed),
            _ => {
                out.push('"');
                style.push(out, &text, Cow::Borrowed);
                out.push('"');
            }
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
        // What is inside of a string has no pointer.
        if self.searcher.hits.is_some() && self.level.is_outside() {
            let pointer = hit.unwrap_or_else(|| self.pointer());
            self.searcher.note(pointer, rule);
        }
    }

    /// The JSON Pointer of the current value.
    pub(super) fn pointer(&mut self) -> String {
        let frames = || self.scratch.frames.iter().chain([&self.frame]);
        // Where the open member of each begins.
        let starts = frames().skip(1).map(|inner| inner.below.start).chain([self.next.start]);
        let mut pointer = String::new();
        for (frame, start) in frames().zip(starts).skip(1) {
            pointer.push('/');
            if frame.closing == b'}' {
                let end = string_end(self.text.as_bytes(), start);
                let key = end.and_then(|end| unescape(&self.text[start + 1..end - 1])).unwrap_or_default();
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
    valid(ordinary_len(raw.as_bytes(), |block| block.is_in(0, 0x1f).bits()) == raw.len())
}
