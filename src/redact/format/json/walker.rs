//! The walk through the structure of a document: containers, keys, and what applies to each value.

use std::ops::Range;

use super::Walked;
use super::frame::{Frame, JsonScratch, Leaf, Next};
use super::leaves::check_controls;
use crate::json::{plain_string_end, push_json_text, string_end, unescape};
use crate::redact::Reason;
use crate::redact::hit::HitRule;
use crate::redact::rules::{Class, Effect, Part, Paths, Show};
use crate::redact::search::{Level, Search, Searcher};

const MAX_DEPTH: usize = 64;
const MAX_KEYS: usize = 4_096;

pub(super) struct Walker<'w, 's> {
    pub(super) searcher: &'w mut Searcher<'s>,
    pub(super) text: &'w str,
    pub(super) level: Level,
    pub(super) search: Search,
    pub(super) cut: bool,
    pub(super) at: usize,
    /// The end of what is complete.
    pub(super) upto: usize,
    pub(super) scratch: JsonScratch,
    /// The innermost that is open. Those around it are in `scratch`.
    pub(super) frame: Frame,
    pub(super) next: Next,
    /// What leads on from the next value; `None` in a walk that follows no pointers, which is most of them.
    pub(super) paths: Option<Paths>,
    pub(super) keys: usize,
    pub(super) is_rejected: bool,
}

impl Walker<'_, '_> {
    pub(super) fn run(&mut self) -> Result<Walked, Reason> {
        match self.document() {
            Err(Reason::Truncated) if self.cut => self.end(false),
            Err(Reason::Truncated) => Err(Reason::Invalid),
            done => done.and_then(|()| self.end(true)),
        }
    }

    /// Takes one value, and nothing behind it. `Truncated`: the text ends before, or in a token.
    fn document(&mut self) -> Result<(), Reason> {
        let mut byte = self.peek()?;
        loop {
            // Here begins a value.
            let mut is_first = matches!(byte, b'{' | b'[');
            if is_first {
                self.open(byte)?;
            } else {
                self.scalar(byte)?;
            }
            // What is closed, up to the next member or element.
            loop {
                if self.frame.closing == 0 {
                    return valid(self.peek().is_err());
                }
                byte = self.peek()?;
                if byte != self.frame.closing {
                    break;
                }
                self.close();
                is_first = false;
            }
            if !is_first {
                valid(byte == b',')?;
                self.comma();
                byte = self.peek()?;
            }
            if self.frame.closing == b'}' {
                valid(byte == b'"')?;
                self.key()?;
                valid(self.peek()? == b':')?;
                self.at += 1;
                byte = self.peek()?;
            } else {
                self.begin_element();
            }
        }
    }

    /// The next byte that is no white space; an error at the end of the text.
    #[inline(always)]
    fn peek(&mut self) -> Result<u8, Reason> {
        match self.text.as_bytes().get(self.at) {
            // All white space is below the exclamation mark.
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.skip_space(),
        }
    }

    /// White space between tokens is not written.
    #[inline(never)]
    fn skip_space(&mut self) -> Result<u8, Reason> {
        let start = self.at;
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        if self.at > start && self.level.is_outside() {
            self.scratch.edits.remove(start..self.at);
        }
        self.text.as_bytes().get(self.at).copied().ok_or(Reason::Truncated)
    }

    /// The text ends.
    fn end(&mut self, is_whole: bool) -> Result<Walked, Reason> {
        let mut closers = String::new();
        while let Some(outer) = self.scratch.frames.pop() {
            // A hidden container was not written, so it is not closed.
            if self.frame.below.show != Show::Nothing {
                closers.push(char::from(self.frame.closing));
            }
            self.end_member();
            // A member after the cut may have said that the value is secret.
            self.frame.pair.cut(&self.scratch.noted[self.frame.noted_from..]);
            self.end_keys();
            self.resolve();
            self.frame = outer;
        }
        if !is_whole && self.upto == 0 {
            return Err(Reason::Truncated);
        }
        Ok(Walked {
            upto: if is_whole { self.text.len() } else { self.upto },
            closers,
            is_whole,
            is_rejected: self.is_rejected,
        })
    }

    fn open(&mut self, bracket: u8) -> Result<(), Reason> {
        if self.scratch.frames.len() == MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        let (mut next, is_object) = (self.next, bracket == b'{');
        if !is_object && next.part == Part::Data {
            // Many APIs answer with a list called `data`; that of a Kubernetes object is no list.
            (self.frame.pair.recording, next.is_noted) = (None, self.frame.below.is_noted);
        }
        let class = match next.class {
            Class::AsText | Class::Code if is_object => Class::Plain,
            // A list under such a key: its objects are read by their own keys.
            Class::MaskValuesUnder if !is_object => Class::AsText,
            Class::MaskValuesUnder => Class::Leaves,
            class => class,
        };
        let is_direct = next.is_direct && (!is_object || next.class == Class::MaskValuesUnder);
        self.scratch.frames.push(self.frame);
        let (closing, below) = (if is_object { b'}' } else { b']' }, Next { class, is_direct, ..next });
        self.frame = Frame::new(closing, below, self.scratch.keys.len(), self.scratch.noted.len());
        self.scratch.paths.extend(self.paths);
        self.at += 1;
        if next.show != Show::Nothing {
            self.upto = self.at;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.end_member();
        self.end_keys();
        self.resolve();
        let Next { start, show, .. } = self.frame.below;
        self.scratch.paths.pop();
        if let Some(outer) = self.scratch.frames.pop() {
            self.frame = outer;
        }
        self.at += 1;
        self.finish_value(start, show == Show::Nothing);
    }

    /// Masks the values that a member beside them names or marks as secret, those noted last first.
    fn resolve(&mut self) {
        let Frame { pair, noted_from, .. } = self.frame;
        while self.scratch.noted.len() > noted_from
            && let Some((part, leaves)) = self.scratch.noted.pop()
        {
            let class = pair.class_of(part);
            for at in leaves.filter(|_| class != Class::Plain) {
                let Leaf { place, kind, hit } = std::mem::take(&mut self.scratch.leaves[at]);
                if class.masks(kind, &self.text[place.clone()]) {
                    self.note(HitRule::Key, hit);
                    self.mask(place, kind, class != Class::AsText);
                }
            }
        }
    }

    /// Ends a member or element. The leaves of its value are noted if a member beside it may name it.
    #[inline(always)]
    fn end_member(&mut self) {
        if let Some((part, from)) = self.frame.pair.recording.take() {
            self.scratch.noted.push((part, from..self.scratch.leaves.len()));
        }
    }

    fn comma(&mut self) {
        self.end_member();
        self.frame.index += 1;
        self.frame.last_comma = self.at;
        self.at += 1;
        if !self.frame.has_kept {
            self.scratch.edits.remove(self.frame.last_comma..self.at);
        }
    }

    /// Decides what applies to the element that begins here.
    fn begin_element(&mut self) {
        self.next = Next { part: Part::Nothing, start: self.at, ..self.frame.below };
        if self.paths.is_some() {
            self.step(&self.frame.index.to_string());
        }
    }

    /// Applies pointers and the allow list to a member or element. Exceptions name places of a body.
    #[inline(never)]
    pub(super) fn step(&mut self, key: &str) {
        let Some(paths) = self.scratch.paths.last() else { return };
        let (paths, effect) = self.searcher.step(*paths, self.scratch.paths.len() - 1, key);
        let is_body = self.level.is_outside() && self.search == Search::Client;
        let next = &mut self.next;
        match effect {
            Some(Effect::Mask) => (next.class, next.rule, next.is_direct) = (Class::Leaves, HitRule::Pointer, true),
            Some(Effect::Except) if is_body => next.class = Class::Plain,
            Some(Effect::Except | Effect::Show) | None => {}
        }
        next.show = paths.show;
        self.paths = Some(paths);
    }

    /// Takes a key.
    #[inline(always)]
    fn key(&mut self) -> Result<(), Reason> {
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Reason::TooDeep);
        }
        let (text, start) = (self.text, self.at);
        if let Some(end) = plain_string_end(text.as_bytes(), start) {
            self.at = end;
            return self.begin_member(start + 1..end - 1, &text[start + 1..end - 1], false);
        }
        self.at = string_end(text.as_bytes(), start).ok_or(Reason::Truncated)?;
        let place = start + 1..self.at - 1;
        let key = unescape(&text[place.clone()]).ok_or(Reason::Invalid)?;
        self.begin_member(place, &key, true)
    }

    /// Decides what applies to the value of a key.
    #[inline(always)]
    fn begin_member(&mut self, place: Range<usize>, key: &str, has_escapes: bool) -> Result<(), Reason> {
        let hash = self.searcher.memory.hash(key);
        let facts = self.searcher.key_facts(hash, key);
        if self.level.is_outside() {
            self.frame.add_key(hash);
            self.scratch.keys.push(hash);
        }
        self.next = Next { part: facts.part, start: place.start - 1, ..self.frame.below };
        if facts.part != Part::Nothing {
            self.next.is_noted |= self.frame.pair.begin_member(facts.part, self.scratch.leaves.len());
        }
        if facts.class != Class::Plain {
            self.next.is_direct = true;
            if self.next.class == Class::Plain {
                (self.next.class, self.next.rule) = (facts.class, HitRule::of(facts.class));
            }
        }
        if self.paths.is_some() {
            self.step(key);
        }
        if (facts.is_odd || has_escapes) && self.level.is_outside() {
            self.odd_key(place, key)?;
        }
        Ok(())
    }

    /// Ends the keys of an object. A key that repeats is noted, because stores reject such a document.
    fn end_keys(&mut self) {
        if self.frame.may_repeat {
            let keys = &mut self.scratch.keys[self.frame.keys_from..];
            keys.sort_unstable();
            self.is_rejected |= keys.windows(2).any(|pair| pair[0] == pair[1]);
        }
        self.scratch.keys.truncate(self.frame.keys_from);
    }

    /// Writes a key with escapes, characters that have to be escaped, or a token. Only tokens, and values of `Audit::secret`, are
    /// masked in keys.
    pub(super) fn odd_key(&mut self, place: Range<usize>, key: &str) -> Result<(), Reason> {
        let raw = &self.text[place.clone()];
        check_controls(raw)?;
        self.escape_odd(place.start, raw);
        let Some(masked) = self.searcher.masked(key, Search::Evidence) else { return Ok(()) };
        // Two keys may have become one.
        if let Some(hash) = self.scratch.keys.last_mut() {
            *hash = self.searcher.memory.hash(&masked);
            self.frame.add_key(*hash);
        }
        self.note(HitRule::Value, None);
        self.scratch.edits.replace(place, |out| push_json_text(out, &masked));
        Ok(())
    }

    /// Ends a value whose member began at `start`.
    #[inline]
    pub(super) fn finish_value(&mut self, start: usize, is_removed: bool) {
        if is_removed {
            self.remove_value(start);
        }
        self.frame.has_kept |= !is_removed;
        // What is in a hidden container is hidden too.
        if self.frame.below.show != Show::Nothing {
            self.upto = self.at;
        }
    }

    #[inline(never)]
    fn remove_value(&mut self, start: usize) {
        match self.frame {
            Frame { closing: 0, .. } => self.scratch.edits.replace(start..self.at, |out| out.push_str("null")),
            Frame { has_kept: true, last_comma, .. } => self.scratch.edits.remove(last_comma..self.at),
            _ => self.scratch.edits.remove(start..self.at),
        }
    }
}

pub(super) fn valid(is_valid: bool) -> Result<(), Reason> {
    if is_valid { Ok(()) } else { Err(Reason::Invalid) }
}
