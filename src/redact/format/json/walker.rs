//! The walk through the structure of a document: containers, keys, and what applies to each value.

use std::ops::Range;

use super::Walked;
use super::frame::{Frame, JsonScratch, Keys, Leaf, Next, Pair, SeenKey, State};
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
    pub(super) next: Next,
    /// What leads on from the next value; `None` in a walk that follows no pointers, which is most of them.
    pub(super) paths: Option<Paths>,
    pub(super) keys: usize,
    /// The number of open values that a member beside them may name.
    pub(super) open_values: usize,
    pub(super) is_rejected: bool,
}

impl Walker<'_, '_> {
    pub(super) fn run(&mut self) -> Result<Walked, Reason> {
        let mut state = State::Value;
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            // All white space is below the exclamation mark.
            if *byte <= b' ' && self.skip_space() {
                continue;
            }
            state = match state {
                State::After if *byte == b',' => self.comma()?,
                State::After if matches!(byte, b'}' | b']') => self.close()?,
                State::Key | State::KeyOrEnd if *byte == b'"' => self.key()?,
                State::KeyOrEnd if *byte == b'}' => self.close()?,
                State::Colon if *byte == b':' => {
                    self.at += 1;
                    State::Value
                }
                State::Value => self.value(*byte)?,
                State::ElementOrEnd if *byte == b']' => self.close()?,
                State::Element | State::ElementOrEnd => {
                    self.begin_element();
                    self.value(*byte)?
                }
                State::Cut => break,
                _ => return Err(Reason::Invalid),
            };
        }
        self.end(state)
    }

    /// White space between tokens is not written. Whether there is any.
    #[inline(never)]
    pub(super) fn skip_space(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        if self.at > start && self.level.is_outside() {
            self.scratch.edits.remove(start..self.at);
        }
        self.at > start
    }

    /// The text ends, or a token in it is not complete.
    pub(super) fn end(&mut self, state: State) -> Result<Walked, Reason> {
        let is_whole = state == State::After && self.scratch.frames.is_empty();
        if !is_whole && !self.cut {
            return Err(Reason::Invalid);
        }
        let mut closers = String::new();
        while let Some(frame) = self.scratch.frames.pop() {
            // A hidden container was not written, so it is not closed.
            if frame.below.show != Show::Nothing {
                closers.push(if frame.is_object { '}' } else { ']' });
            }
            self.end_keys(frame.keys);
            // A member after the cut may have said that the value is secret.
            self.resolve(frame.pair.cut());
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

    pub(super) fn value(&mut self, first: u8) -> Result<State, Reason> {
        match first {
            b'{' | b'[' => self.open(first == b'{'),
            _ => self.scalar(),
        }
    }

    pub(super) fn open(&mut self, is_object: bool) -> Result<State, Reason> {
        if self.scratch.frames.len() == MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        let next = self.next;
        if !is_object
            && next.part == Part::Data
            && let Some(frame) = self.scratch.frames.last_mut()
        {
            // Many APIs answer with a list called `data`; that of a Kubernetes object is no list.
            self.open_values -= usize::from(frame.pair.recording.take().is_some());
        }
        let class = match next.class {
            Class::AsText | Class::Code if is_object => Class::Plain,
            // A list under such a key: its objects are read by their own keys.
            Class::MaskValuesUnder if !is_object => Class::AsText,
            Class::MaskValuesUnder => Class::Leaves,
            class => class,
        };
        let is_direct = next.is_direct && (!is_object || next.class == Class::MaskValuesUnder);
        self.scratch.frames.push(Frame {
            is_object,
            below: Next { class, is_direct, ..next },
            has_kept: false,
            last_comma: 0,
            index: 0,
            keys: Keys { from: self.scratch.keys.len(), seen: 0, may_repeat: false },
            pair: Pair::default(),
        });
        self.scratch.paths.extend(self.paths);
        self.at += 1;
        if next.show != Show::Nothing {
            self.upto = self.at;
        }
        Ok(if is_object { State::KeyOrEnd } else { State::ElementOrEnd })
    }

    pub(super) fn close(&mut self) -> Result<State, Reason> {
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        if frame.is_object != (self.text.as_bytes()[self.at] == b'}') {
            return Err(Reason::Invalid);
        }
        self.open_values -= usize::from(frame.pair.end_member(self.scratch.leaves.len()));
        let (Next { start, show, .. }, keys) = (frame.below, frame.keys);
        let noted = (!frame.pair.noted.is_empty()).then(|| std::mem::take(&mut frame.pair));
        self.scratch.frames.pop();
        self.scratch.paths.pop();
        self.end_keys(keys);
        noted.into_iter().for_each(|pair| self.resolve(pair));
        self.at += 1;
        self.finish_value(start, show == Show::Nothing);
        Ok(State::After)
    }

    /// Masks the values that a member beside them names or marks as secret.
    pub(super) fn resolve(&mut self, pair: Pair) {
        for (class, range) in pair.secrets() {
            for at in range.start..range.end.min(self.scratch.leaves.len()) {
                let Leaf { place, kind, hit } = std::mem::take(&mut self.scratch.leaves[at]);
                if class.masks(kind, &self.text[place.clone()]) {
                    self.mask(place, kind, class != Class::AsText, HitRule::Key, hit);
                }
            }
        }
    }

    pub(super) fn comma(&mut self) -> Result<State, Reason> {
        let at = self.at;
        let leaves = self.scratch.leaves.len();
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        self.open_values -= usize::from(frame.pair.end_member(leaves));
        frame.index += 1;
        frame.last_comma = at;
        let (is_object, has_kept) = (frame.is_object, frame.has_kept);
        self.at += 1;
        if !has_kept {
            self.scratch.edits.remove(at..self.at);
        }
        Ok(if is_object { State::Key } else { State::Element })
    }

    /// Decides what applies to the element that begins here.
    #[inline(never)]
    pub(super) fn begin_element(&mut self) {
        let Some(frame) = self.scratch.frames.last() else { return };
        self.next = Next { part: Part::Nothing, start: self.at, ..frame.below };
        if self.paths.is_some() {
            let index = frame.index.to_string();
            self.step(&index);
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

    pub(super) fn key(&mut self) -> Result<State, Reason> {
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Reason::TooDeep);
        }
        let (text, start) = (self.text, self.at + 1);
        if let Some(end) = plain_string_end(self.text.as_bytes(), self.at) {
            let key = &text[start..end - 1];
            return self.begin_member(start..end - 1, key, false);
        }
        let Some(end) = string_end(self.text.as_bytes(), self.at) else { return Ok(State::Cut) };
        let key = unescape(&text[start..end - 1]).ok_or(Reason::Invalid)?;
        self.begin_member(start..end - 1, &key, true)
    }

    /// Decides what applies to the value of a key.
    pub(super) fn begin_member(&mut self, place: Range<usize>, key: &str, has_escapes: bool) -> Result<State, Reason> {
        let hash = self.searcher.memory.hash(key);
        let facts = self.searcher.key_facts(hash, key);
        let leaves = self.scratch.leaves.len();
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        if self.level.is_outside() {
            frame.keys.add(hash);
            self.scratch.keys.push(SeenKey { hash, place: place.clone() });
        }
        self.open_values += usize::from(frame.pair.begin_member(facts.part, leaves));
        self.next = Next { part: facts.part, start: place.start - 1, ..frame.below };
        if facts.class != Class::Plain {
            self.next.is_direct = true;
            if self.next.class == Class::Plain {
                (self.next.class, self.next.rule) = (facts.class, HitRule::of(facts.class));
            }
        }
        if self.paths.is_some() {
            self.step(key);
        }
        self.at = place.end + 1;
        if (facts.is_odd || has_escapes) && self.level.is_outside() {
            self.odd_key(place, key)?;
        }
        if self.text.as_bytes().get(self.at) != Some(&b':') {
            // White space, at best.
            return Ok(State::Colon);
        }
        self.at += 1;
        Ok(State::Value)
    }

    /// Ends the keys of an object. A key that repeats is noted, because stores reject such a document.
    fn end_keys(&mut self, keys: Keys) {
        if keys.may_repeat {
            let keys = &mut self.scratch.keys[keys.from..];
            keys.sort_unstable_by_key(|key| key.hash);
            self.is_rejected |= keys.windows(2).any(|pair| pair[0].hash == pair[1].hash);
        }
        self.scratch.keys.truncate(keys.from);
    }

    /// Writes a key with escapes, characters that have to be escaped, or a token. Only tokens, and values of `Audit::secret`, are
    /// masked in keys.
    pub(super) fn odd_key(&mut self, place: Range<usize>, key: &str) -> Result<(), Reason> {
        let raw = &self.text[place.clone()];
        check_controls(raw)?;
        self.escape_odd(place.start, raw);
        let Some(masked) = self.searcher.masked(key, Search::Evidence) else { return Ok(()) };
        // Two keys may have become one.
        if let (Some(frame), Some(key)) = (self.scratch.frames.last_mut(), self.scratch.keys.last_mut()) {
            key.hash = self.searcher.memory.hash(&masked);
            frame.keys.add(key.hash);
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
        let is_shown = self.scratch.frames.last_mut().is_none_or(|frame| {
            frame.has_kept |= !is_removed;
            // What is in a hidden container is hidden too.
            frame.below.show != Show::Nothing
        });
        if is_shown {
            self.upto = self.at;
        }
    }

    #[inline(never)]
    pub(super) fn remove_value(&mut self, start: usize) {
        let place = match self.scratch.frames.last() {
            Some(frame) if frame.has_kept => frame.last_comma..self.at,
            Some(_) => start..self.at,
            None => return self.scratch.edits.replace(start..self.at, |out| out.push_str("null")),
        };
        self.scratch.edits.remove(place);
    }
}
