//! JSON: a body, or a document inside of a string. One walk finds what is secret, without building a tree.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::super::Reason;
use super::super::decode::Decoded;
use super::super::detect::Scan;
use super::super::edits::Edits;
use super::super::hit::HitRule;
use super::super::memory::Part;
use super::super::rules::{Active, Class, Effect};
use super::super::session::{Search, Session};
use super::pairs::{Leaf, LeafKind, Leaves, Pair};
use crate::json::{is_odd_at, plain_len, plain_string_end, push_json_text, string_end, unescape};
use crate::work;

const MAX_DEPTH: usize = 64;
const MAX_KEYS: usize = 4_096;
const MAX_NUMBER: usize = 128;
/// Up to this number of keys of an object are compared one by one.
const FEW: usize = 16;
/// Shorter texts under keys that are secret as text show.
pub(in crate::redact) const MIN_TEXT: usize = 6;

/// What happens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Action {
    /// It is read by its own keys and values.
    Show,
    /// Strings are masked; objects are read by their own keys.
    AsText,
    /// Strings and numbers are masked; objects are read by their own keys.
    Code,
    /// Strings and numbers are masked, however deep.
    Always,
    /// It is a bag: of an object each leaf is masked, a list is read by its own strings and keys.
    Bag,
    /// Each leaf is masked.
    Leaves,
}

impl Action {
    pub(in crate::redact) fn of(class: Class) -> Self {
        match class {
            Class::Plain => Self::Show,
            Class::AsText => Self::AsText,
            Class::Code => Self::Code,
            Class::Always => Self::Always,
            Class::Bag => Self::Bag,
        }
    }

    /// Whether a string is masked.
    pub(in crate::redact) fn masks_text(self, text: &str) -> bool {
        match self {
            Self::Show => false,
            Self::AsText => text.len() >= MIN_TEXT && !is_link(text),
            Self::Code | Self::Always | Self::Bag | Self::Leaves => !text.is_empty(),
        }
    }
}

/// The result of a walk: edits, or places.
pub(in crate::redact) enum Target<'t> {
    /// The document is written with these edits: a body.
    Edits(&'t mut Edits),
    /// Only the places of secrets are wanted: a document inside of a string.
    Places(&'t mut Vec<Range<usize>>),
}

/// A document that was walked.
#[derive(Debug)]
pub(in crate::redact) struct Walked {
    /// The end of what is complete.
    pub(in crate::redact) upto: usize,
    /// What closes the containers that a cut left open.
    pub(in crate::redact) closers: String,
    /// The whole document is complete.
    pub(in crate::redact) is_whole: bool,
    /// Readers of JSON would reject it: a key repeats, or a number is beyond all floats.
    pub(in crate::redact) is_rejected: bool,
}

/// Lists that walks use, kept from one to the next.
#[derive(Debug, Default)]
pub(in crate::redact) struct JsonScratch {
    frames: Vec<Frame>,
    /// What leads on from each of them, in walks that follow pointers.
    paths: Vec<Paths>,
    keys: Vec<SeenKey>,
    many: HashSet<(u32, u64)>,
    leaves: Leaves,
    places: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug)]
struct SeenKey {
    hash: u64,
    start: usize,
    end: usize,
}

/// An open object or list.
#[derive(Debug)]
struct Frame {
    is_object: bool,
    /// What happens to the values in it.
    below: Action,
    rule: HitRule,
    /// Its own key says that what is in it is secret; not a key further out.
    is_direct: bool,
    show: Show,
    /// A member is kept. If none is yet, a removed member is removed with the comma after it.
    has_kept: bool,
    skips_comma: bool,
    last_comma: usize,
    index: usize,
    /// Its keys begin here in the list of keys.
    keys_from: usize,
    id: u32,
    pair: Pair,
    /// The container itself is removed when it ends.
    removed: bool,
    /// Where its member begins.
    start: usize,
}

impl Frame {
    /// What holds for a value in it, as far as its own key says nothing.
    fn next(&self, part: Part, start: usize) -> Next {
        Next { action: self.below, show: self.show, rule: self.rule, part, is_direct: self.is_direct, start }
    }
}

/// What an allow list shows of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// All of it: there is no list, or it names the value or a container of it.
    All,
    /// It names something inside of it.
    Inside,
    Nothing,
}

/// The pointers that lead on from a value, and those of the allow list.
#[derive(Clone, Copy, Debug)]
struct Paths {
    active: Active,
    shown: Active,
}

/// What applies to the next value.
#[derive(Clone, Copy, Debug)]
struct Next {
    action: Action,
    show: Show,
    rule: HitRule,
    part: Part,
    /// Its own key, or that of its list or bag, says that it is secret; not a key further out.
    is_direct: bool,
    /// Where its member begins.
    start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    After,
}

struct Walker<'w, 's> {
    session: &'w mut Session<'s>,
    text: &'w str,
    bytes: &'w [u8],
    target: Target<'w>,
    level: u8,
    search: Search,
    cut: bool,
    at: usize,
    /// The end of what is complete.
    upto: usize,
    scratch: JsonScratch,
    next: Next,
    /// What leads on from the next value; `None` in a walk that follows no pointers, which is most of them.
    paths: Option<Paths>,
    keys: usize,
    ids: u32,
    /// The number of open values that a member beside them may name.
    open_values: usize,
    is_rejected: bool,
}

/// Walks a document. `level`: the number of strings that it is inside of.
pub(in crate::redact) fn walk(
    session: &mut Session<'_>,
    text: &str,
    target: Target<'_>,
    root: Action,
    level: u8,
    search: Search,
    cut: bool,
) -> Result<Walked, Reason> {
    work::add(text.len());
    let scratch = session.memory.json.pop().unwrap_or_default();
    let active = session.pointers_at_root();
    let is_body = level == 0 && search == Search::Client;
    let shown = session.shown_at_root().filter(|_| is_body);
    let show = if shown.is_some() { Show::Inside } else { Show::All };
    let next = Next { action: root, show, rule: HitRule::Key, part: Part::Nothing, is_direct: false, start: 0 };
    let paths = (!active.is_none() || shown.is_some()).then(|| Paths { active, shown: shown.unwrap_or(Active::NONE) });
    let bytes = text.as_bytes();
    let mut walker = Walker {
        session,
        text,
        bytes,
        target,
        level,
        search,
        cut,
        at: 0,
        upto: 0,
        scratch,
        next,
        paths,
        keys: 0,
        ids: 0,
        open_values: 0,
        is_rejected: false,
    };
    let walked = walker.run();
    let Walker { session, mut scratch, .. } = walker;
    scratch.frames.clear();
    scratch.paths.clear();
    scratch.keys.clear();
    scratch.many.clear();
    scratch.leaves.clear();
    session.memory.json.push(scratch);
    walked
}

impl Walker<'_, '_> {
    fn run(&mut self) -> Result<Walked, Reason> {
        let mut state = State::Value;
        loop {
            self.skip_space();
            let Some(byte) = self.bytes.get(self.at) else { return self.end(state) };
            let next = match (state, byte) {
                (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') | (State::After, b'}' | b']') => self.close()?,
                (State::Value | State::ValueOrEnd, _) => self.value(*byte)?,
                (State::Key | State::KeyOrEnd, b'"') => self.member()?,
                (State::After, b',') => Some(self.comma()?),
                _ => return Err(Reason::Invalid),
            };
            match next {
                Some(next) => state = next,
                // A token that the cut went through.
                None => return self.end(state),
            }
        }
    }

    /// White space between tokens is not written.
    #[inline]
    fn skip_space(&mut self) {
        // All white space is below the exclamation mark.
        if self.bytes.get(self.at).is_none_or(|byte| *byte > b' ') {
            return;
        }
        let start = self.at;
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at > start && self.level == 0 {
            self.remove(start..self.at);
        }
    }

    fn remove(&mut self, place: Range<usize>) {
        if let Target::Edits(edits) = &mut self.target {
            edits.remove(place);
        }
    }

    /// The text ends, or a token in it is not complete.
    fn end(&mut self, state: State) -> Result<Walked, Reason> {
        let is_whole = state == State::After && self.scratch.frames.is_empty();
        if !is_whole && !self.cut {
            return Err(Reason::Invalid);
        }
        let mut closers = String::new();
        while let Some(frame) = self.scratch.frames.pop() {
            // A hidden container was not written, so it is not closed.
            if frame.show != Show::Nothing {
                closers.push(if frame.is_object { '}' } else { ']' });
            }
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

    fn value(&mut self, first: u8) -> Result<Option<State>, Reason> {
        match first {
            b'{' | b'[' => Ok(Some(self.open(first == b'{')?)),
            _ => self.scalar(),
        }
    }

    /// A key, and the value behind it.
    fn member(&mut self) -> Result<Option<State>, Reason> {
        if !self.key()? {
            return Ok(None);
        }
        self.skip_space();
        match self.bytes.get(self.at) {
            Some(first) => self.value(*first),
            None => Ok(None),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<State, Reason> {
        if self.scratch.frames.len() == MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        let Next { action, show, start, is_direct, rule, .. } = self.begin_value();
        let below = match action {
            Action::AsText | Action::Code if is_object => Action::Show,
            // A list under the key of a bag: its objects are read by their own keys.
            Action::Bag if !is_object => Action::AsText,
            Action::Bag => Action::Leaves,
            action => action,
        };
        self.ids += 1;
        self.scratch.frames.push(Frame {
            is_object,
            below,
            rule,
            is_direct: is_direct && (!is_object || action == Action::Bag),
            show,
            has_kept: false,
            skips_comma: false,
            last_comma: 0,
            index: 0,
            keys_from: self.scratch.keys.len(),
            id: self.ids,
            pair: Pair::default(),
            removed: show == Show::Nothing,
            start,
        });
        self.scratch.paths.extend(self.paths);
        self.at += 1;
        if show != Show::Nothing {
            self.upto = self.at;
        }
        Ok(if is_object { State::KeyOrEnd } else { State::ValueOrEnd })
    }

    fn close(&mut self) -> Result<Option<State>, Reason> {
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        if frame.is_object != (self.bytes[self.at] == b'}') {
            return Err(Reason::Invalid);
        }
        let (start, removed) = (frame.start, frame.removed);
        self.scratch.keys.truncate(frame.keys_from);
        self.open_values -= usize::from(frame.pair.end_member(self.scratch.leaves.len()));
        let noted = frame.pair.first_leaf().map(|first| (first, frame.pair.clone()));
        self.scratch.frames.pop();
        self.scratch.paths.pop();
        if let Some((first, pair)) = noted {
            self.resolve(pair);
            // No open value further out needs them.
            if self.open_values == 0 {
                self.scratch.leaves.truncate(first);
            }
        }
        self.at += 1;
        self.finish_value(start, removed);
        Ok(Some(State::After))
    }

    /// Masks the values that a member beside them names or marks as secret.
    fn resolve(&mut self, pair: Pair) {
        for (class, range) in pair.secrets() {
            let leaves: Vec<Leaf> = self.scratch.leaves.take(range);
            for leaf in leaves.into_iter().filter(|leaf| leaf.is_masked_as(class)) {
                self.mask(leaf.place, leaf.kind, class != Class::AsText, HitRule::Key, leaf.hit);
            }
        }
    }

    fn comma(&mut self) -> Result<State, Reason> {
        let at = self.at;
        let leaves = self.scratch.leaves.len();
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        self.open_values -= usize::from(frame.pair.end_member(leaves));
        frame.index += 1;
        frame.last_comma = at;
        let (is_object, skips) = (frame.is_object, std::mem::take(&mut frame.skips_comma));
        self.at += 1;
        if skips {
            self.remove(at..self.at);
        }
        Ok(if is_object { State::Key } else { State::Value })
    }

    /// What applies to the value that begins here.
    #[inline(always)]
    fn begin_value(&mut self) -> Next {
        match self.scratch.frames.last() {
            Some(frame) if !frame.is_object => self.begin_element(),
            // Its key said it.
            _ => self.next,
        }
    }

    #[inline(never)]
    fn begin_element(&mut self) -> Next {
        let Some(frame) = self.scratch.frames.last() else { return self.next };
        let next = frame.next(Part::Nothing, self.at);
        if self.paths.is_none() {
            return next;
        }
        let index = frame.index.to_string();
        self.step(next, self.scratch.frames.len() - 1, &index)
    }

    /// Applies pointers and the allow list to a member or element.
    #[inline(never)]
    fn step(&mut self, mut next: Next, depth: usize, key: &str) -> Next {
        let Some(paths) = self.scratch.paths.last() else { return next };
        let (active, effect) = self.session.step(paths.active, depth, key);
        match effect {
            Some(Effect::Mask) => (next.action, next.rule, next.is_direct) = (Action::Leaves, HitRule::Pointer, true),
            Some(Effect::Except) => next.action = Action::Show,
            Some(Effect::Show) | None => {}
        }
        let mut shown = Active::NONE;
        if next.show == Show::Inside {
            let is_named;
            (shown, is_named) = self.session.step_shown(paths.shown, depth, key);
            next.show = match is_named {
                true => Show::All,
                false if shown.is_none() => Show::Nothing,
                false => Show::Inside,
            };
        }
        self.paths = Some(Paths { active, shown });
        next
    }

    /// Whether the key is complete.
    fn key(&mut self) -> Result<bool, Reason> {
        let start = self.at;
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Reason::TooDeep);
        }
        let plain = plain_string_end(self.bytes, start);
        let Some(end) = plain.or_else(|| string_end(self.bytes, start)) else { return Ok(false) };
        let raw = &self.text[start + 1..end - 1];
        let decoded = match plain {
            Some(_) => None,
            None => Some(unescape(raw).ok_or(Reason::Invalid)?),
        };
        let key = decoded.as_deref().unwrap_or(raw);
        let hash = self.session.memory.hash(key);
        self.check_repeated(hash, start + 1..end - 1);
        let facts = self.session.key_facts(hash, key);
        let (depth, leaves) = (self.scratch.frames.len() - 1, self.scratch.leaves.len());
        let Some(frame) = self.scratch.frames.last_mut() else { return Err(Reason::Invalid) };
        self.open_values += usize::from(frame.pair.begin_member(facts.part, leaves));
        let own = Action::of(facts.class);
        let mut next = frame.next(facts.part, start);
        if own != Action::Show {
            next.is_direct = true;
            if frame.below == Action::Show {
                next.action = own;
                next.rule = if own == Action::Bag { HitRule::Bag } else { HitRule::Key };
            }
        }
        self.next = if self.paths.is_some() { self.step(next, depth, key) } else { next };
        if (facts.is_odd || decoded.is_some()) && self.level == 0 {
            self.odd_key(start + 1..end - 1, raw, key)?;
        }
        self.at = end;
        self.skip_space();
        match self.bytes.get(self.at) {
            Some(b':') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(Reason::Invalid),
            None => Ok(false),
        }
    }

    /// Notes a key that repeats, because stores reject such a document.
    fn check_repeated(&mut self, hash: u64, place: Range<usize>) {
        if self.level > 0 {
            return;
        }
        let Some(frame) = self.scratch.frames.last() else { return };
        let seen = &self.scratch.keys[frame.keys_from..];
        if seen.len() < FEW {
            self.is_rejected |= seen.iter().any(|key| key.hash == hash && self.is_same_key(key, &place));
        } else {
            if seen.len() == FEW {
                let id = frame.id;
                self.scratch.many.extend(seen.iter().map(|key| (id, key.hash)));
            }
            self.is_rejected |= !self.scratch.many.insert((frame.id, hash));
        }
        self.scratch.keys.push(SeenKey { hash, start: place.start, end: place.end });
    }

    fn is_same_key(&self, seen: &SeenKey, place: &Range<usize>) -> bool {
        let (one, other) = (&self.text[seen.start..seen.end], &self.text[place.clone()]);
        one == other || one.contains('\\') || other.contains('\\')
    }

    /// Writes a key with escapes, characters that have to be escaped, or a token. Only tokens, and values of `Audit::secret`, are
    /// masked in keys.
    fn odd_key(&mut self, place: Range<usize>, raw: &str, key: &str) -> Result<(), Reason> {
        check_controls(raw)?;
        self.escape_odd(place.start, raw);
        let Some(masked) = self.session.masked_key(key) else { return Ok(()) };
        let hash = self.session.memory.hash(&masked);
        let Some(frame) = self.scratch.frames.last() else { return Ok(()) };
        // Two keys may have become one.
        self.is_rejected |= !self.scratch.many.insert((frame.id, hash));
        self.note(HitRule::Value);
        if let Target::Edits(edits) = &mut self.target {
            edits.replace(place, |out| push_json_text(out, &masked));
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<Option<State>, Reason> {
        let next = self.begin_value();
        let start = self.at;
        if self.bytes[start] == b'"' {
            let plain = plain_string_end(self.bytes, start);
            let Some(end) = plain.or_else(|| string_end(self.bytes, start)) else {
                self.remember_open(start + 1, next);
                return Ok(None);
            };
            self.string(start + 1..end - 1, plain.is_none(), next)?;
            self.at = end;
        } else {
            let end = scalar_end(self.bytes, start);
            if self.cut && end == self.bytes.len() {
                return Ok(None);
            }
            self.word(start..end, next)?;
            self.at = end;
        }
        let removes = next.show != Show::All || (self.removes(next) && self.is_masked(next, start));
        self.finish_value(next.start, removes);
        Ok(Some(State::After))
    }

    /// Remembers a secret value that the cut went through. Nothing of it is written.
    fn remember_open(&mut self, start: usize, next: Next) {
        let is_named = self.scratch.frames.last().is_some_and(|frame| frame.pair.names_a_secret());
        if next.action != Action::Show || (next.part == Part::Value && is_named) {
            let raw = self.text[start..].trim_end_matches('\\');
            let text = Decoded::json(raw).text;
            self.session.remember_beginning(&text);
        }
    }

    fn string(&mut self, place: Range<usize>, has_escapes: bool, next: Next) -> Result<(), Reason> {
        let text = self.text;
        let raw = &text[place.clone()];
        let is_masked = next.action.masks_text(raw) && !self.session.is_mask(raw);
        // What is masked needs no search.
        let scan = if is_masked { Scan::NOTHING } else { Scan::of(raw) };
        if self.level == 0 && (is_masked || scan.has(Scan::CONTROL | Scan::BACKSLASH)) {
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
        if is_masked {
            self.mask(place, LeafKind::Text, next.action != Action::AsText && next.is_direct, next.rule, None);
        } else if self.session.may_find(raw, scan, self.search) {
            self.search_string(place, raw, scan);
        } else if scan.has(Scan::NON_ASCII | Scan::CONTROL) {
            self.escape_odd(place.start, raw);
        }
        Ok(())
    }

    /// Masks what gives itself away in a string.
    fn search_string(&mut self, place: Range<usize>, raw: &str, scan: Scan) {
        let text = self.text;
        let mut places = std::mem::take(&mut self.scratch.places);
        if scan.has(Scan::BACKSLASH) {
            let decoded = Decoded::json(raw);
            self.session.find(&decoded.text, self.level, self.search, &mut places);
            for found in &mut places {
                *found = decoded.source(found);
            }
        } else {
            self.session.find_scanned(raw, scan, self.level, self.search, &mut places);
        }
        if !places.is_empty() {
            self.note(HitRule::Value);
        }
        for found in places.drain(..) {
            let found = place.start + found.start..place.start + found.end;
            match &mut self.target {
                Target::Edits(edits) => edits.mask(found.clone(), &text[found], self.session.style()),
                Target::Places(all) => all.push(found),
            }
        }
        self.scratch.places = places;
        if scan.has(Scan::NON_ASCII | Scan::CONTROL) {
            self.escape_odd(place.start, raw);
        }
    }

    /// Takes a string that may name or mark the value beside it.
    fn name_of_pair(&mut self, part: Part, raw: &str, has_escapes: bool) {
        let text = if has_escapes { Cow::Owned(unescape(raw).unwrap_or_default()) } else { Cow::Borrowed(raw) };
        let class = match part {
            Part::Name => self.session.class(&text),
            Part::Path => self.session.class(text.rsplit(['/', '.', ':']).next().unwrap_or_default()),
            _ => Class::Plain,
        };
        if let Some(frame) = self.scratch.frames.last_mut() {
            frame.pair.say(part, &text, class);
        }
    }

    /// A number, or `true`, `false`, `null`.
    fn word(&mut self, place: Range<usize>, next: Next) -> Result<(), Reason> {
        let word = &self.text[place.clone()];
        let kind = match word {
            "true" | "false" => LeafKind::Boolean,
            "null" => return Ok(()),
            _ => LeafKind::Number,
        };
        if kind == LeafKind::Number {
            if word.len() > MAX_NUMBER {
                return Err(Reason::TooDeep);
            }
            if !is_number(word.as_bytes()) {
                return Err(Reason::Invalid);
            }
            // Strict readers reject a number that is beyond all floats, and would reject the record.
            let has_exponent = word.bytes().any(|byte| byte | 0x20 == b'e');
            self.is_rejected |= has_exponent && word.parse::<f64>().is_ok_and(f64::is_infinite);
        }
        if word == "true"
            && let Some(frame) = self.scratch.frames.last_mut().filter(|frame| frame.is_object)
        {
            frame.pair.say(next.part, word, Class::Plain);
        }
        if self.open_values > 0 {
            self.record(place.clone(), kind);
        }
        let is_masked = match kind {
            LeafKind::Boolean => matches!(next.action, Action::Bag | Action::Leaves),
            _ => {
                matches!(next.action, Action::Code | Action::Always | Action::Bag | Action::Leaves)
                    || self.session.is_secret_number(word)
            }
        };
        if is_masked {
            let rule = if next.action == Action::Show { HitRule::Value } else { next.rule };
            self.mask(place, kind, next.is_direct, rule, None);
        }
        Ok(())
    }

    /// Notes a leaf that a name after it may mark as secret.
    fn record(&mut self, place: Range<usize>, kind: LeafKind) {
        let hit = self.session.is_explaining().then(|| self.pointer());
        self.scratch.leaves.push(Leaf { place, kind, hit });
    }

    /// Masks a leaf and remembers it.
    fn mask(&mut self, place: Range<usize>, kind: LeafKind, is_always: bool, rule: HitRule, hit: Option<String>) {
        let raw = &self.text[place.clone()];
        let has_escapes = memchr::memchr(b'\\', raw.as_bytes()).is_some();
        let text = if has_escapes { Cow::Owned(Decoded::json(raw).text) } else { Cow::Borrowed(raw) };
        self.session.remember(&text, is_always);
        if self.session.is_explaining() {
            let pointer = hit.unwrap_or_else(|| self.pointer());
            self.session.note(pointer, rule);
        }
        let style = self.session.style();
        match &mut self.target {
            Target::Places(places) => places.push(place),
            Target::Edits(edits) if kind == LeafKind::Text => edits.mask(place, &text, style),
            Target::Edits(edits) => edits.replace(place, |out| {
                out.push('"');
                style.push(out, &text);
                out.push('"');
            }),
        }
    }

    /// Whether a secret is removed with its member.
    fn removes(&self, next: Next) -> bool {
        next.action != Action::Show && self.level == 0 && self.session.style().removes()
    }

    fn is_masked(&self, next: Next, start: usize) -> bool {
        match self.bytes[start] {
            b'"' => next.action.masks_text(&self.text[start + 1..self.at - 1]),
            b'n' => false,
            b't' | b'f' => matches!(next.action, Action::Bag | Action::Leaves),
            _ => next.action != Action::AsText,
        }
    }

    /// Ends a value whose member began at `start`.
    #[inline]
    fn finish_value(&mut self, start: usize, is_removed: bool) {
        if is_removed {
            self.remove_value(start);
        }
        let is_shown = self.scratch.frames.last_mut().is_none_or(|frame| {
            frame.has_kept |= !is_removed;
            // What is in a hidden container is hidden too.
            frame.show != Show::Nothing
        });
        if is_shown {
            self.upto = self.at;
        }
    }

    #[inline(never)]
    fn remove_value(&mut self, start: usize) {
        let place = match self.scratch.frames.last_mut() {
            Some(frame) if frame.has_kept => frame.last_comma..self.at,
            Some(frame) => {
                frame.skips_comma = true;
                start..self.at
            }
            None => {
                if let Target::Edits(edits) = &mut self.target {
                    edits.replace(start..self.at, |out| out.push_str("null"));
                }
                return;
            }
        };
        self.remove(place);
    }

    /// Escapes characters that JSON allows and a record does not.
    fn escape_odd(&mut self, start: usize, raw: &str) {
        if self.level > 0 || raw.bytes().all(|byte| byte < 0x7f) {
            return;
        }
        let Target::Edits(edits) = &mut self.target else { return };
        for (at, char) in raw.char_indices().filter(|(_, char)| *char >= '\u{7f}') {
            if char == '\u{7f}' || is_odd_at(raw.as_bytes(), at) {
                edits.replace(start + at..start + at + char.len_utf8(), |out| {
                    push_json_text(out, char.encode_utf8(&mut [0; 4]));
                });
            }
        }
    }

    fn note(&mut self, rule: HitRule) {
        if self.session.is_explaining() {
            let pointer = self.pointer();
            self.session.note(pointer, rule);
        }
    }

    /// The JSON Pointer of the current value.
    fn pointer(&mut self) -> String {
        let mut pointer = String::new();
        let frames = &self.scratch.frames;
        for (depth, frame) in frames.iter().enumerate() {
            pointer.push('/');
            if frame.is_object {
                let keys_end = frames.get(depth + 1).map_or(self.scratch.keys.len(), |next| next.keys_from);
                let key = self.scratch.keys[..keys_end].last().map_or("", |key| &self.text[key.start..key.end]);
                let key = unescape(key).unwrap_or_default();
                let key = self.session.masked_key(&key).unwrap_or(key);
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            } else {
                pointer.push_str(&frame.index.to_string());
            }
        }
        pointer
    }
}

/// Whether a text is a link without user info, which is no credential by itself. What it holds is searched.
fn is_link(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://")) && !text.contains('@')
}

/// Whether a text may be an object or a list.
pub(in crate::redact) fn may_be_document(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'))
}

fn check_controls(raw: &str) -> Result<(), Reason> {
    if plain_len(raw.as_bytes(), |byte| byte < 0x20) < raw.len() { Err(Reason::Invalid) } else { Ok(()) }
}

/// Where a number or word ends.
fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let len = rest
        .iter()
        .position(|byte| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b'{' | b'[' | b' ' | b'\n' | b'\t' | b'\r'));
    at + len.unwrap_or(rest.len()).max(1)
}

/// RFC 8259, section 6.
fn is_number(word: &[u8]) -> bool {
    let digits = |word: &[u8]| word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let len = digits(exponent);
        if len == 0 {
            return false;
        }
        rest = &exponent[len..];
    }
    rest.is_empty()
}
