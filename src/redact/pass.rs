//! The redaction of one exchange: each text of its record goes through it once, then all of them are
//! searched for the values that were masked in any.

use std::borrow::Cow;

use super::frame::Frame;
use super::keys::{Expected, KeyFacts, KeyHash, Met, Object};
use super::pair::{self, Pair};
use super::percent::percent_decoded;
use super::pointer::{Active, Effect, Pointers};
use super::redactor::{EventRules, Redactor, Rules};
use super::rules::Verdict;
use super::scratch::Lent;
use super::trail::Trail;
use crate::record::fragment::push_json_string;

/// The redaction of one exchange.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(super) rules: &'a Rules,
    pub(super) event: Option<&'a EventRules>,
    scratch: Lent<'a>,
    /// Only to explain and to report: costs nothing otherwise.
    pub(super) trail: Option<Box<Trail>>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(redactor: &'a Redactor, event: Option<&'a EventRules>) -> Self {
        Self::of(redactor.rules(), event)
    }

    pub(super) fn of(rules: &'a Rules, event: Option<&'a EventRules>) -> Self {
        let mut scratch = rules.scratch.lend();
        scratch.keys.start();
        Self { rules, event, scratch, trail: None }
    }

    /// A pass that notes what hits where.
    pub(super) fn with_trail(redactor: &'a Redactor, event: Option<&'a EventRules>, trail: Trail) -> Self {
        let mut pass = Self::new(redactor, event);
        pass.trail = Some(Box::new(trail));
        pass
    }

    /// What stands for a value that was not even copied.
    pub(crate) fn masked(&self) -> String {
        quoted(self.mask_text())
    }

    /// Whether anything was masked that may stand elsewhere in the exchange too.
    pub(crate) fn has_masked(&self) -> bool {
        !self.scratch.echo.is_empty()
    }

    /// Masks whatever was masked anywhere in the exchange. Only after all of it went through the pass.
    pub(crate) fn scrub_text(&self, text: &mut String) {
        self.scratch.echo.scrub_text(text, self.mask_text());
    }

    /// Masks what is left of such a value at the end of a text that may have been cut there.
    pub(crate) fn scrub_cut(&self, text: &mut String) {
        self.scratch.echo.scrub_cut(text, self.mask_text());
    }

    /// The same in the strings of a fragment.
    pub(crate) fn scrub_cut_json(&self, fragment: &mut String) {
        self.scratch.echo.scrub_cut_json(fragment, self.mask_text());
    }

    /// The same in the strings and numbers of a fragment, which stays valid.
    pub(crate) fn scrub_json(&self, fragment: &mut String) {
        self.scratch.echo.scrub_json(fragment, self.mask_text());
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.scratch.echo.clear();
    }
}

/// What the walkers of single formats need.
impl Pass<'_> {
    pub(super) fn verdict(&mut self, key: &str) -> Verdict {
        let hash = KeyHash::of(key);
        let facts = self.scratch.keys.known(hash, key).unwrap_or_else(|| {
            let facts = self.judge(key);
            self.scratch.keys.keep(hash, key, facts);
            facts
        });
        self.with_event(facts, key).verdict
    }

    /// A document begins: none of its keys has been met.
    pub(super) fn start_document(&mut self) {
        self.scratch.keys.start();
    }

    /// What stands around a document, which may be a string in another one.
    pub(super) fn around(&self) -> Object {
        self.scratch.keys.around()
    }

    pub(super) fn begin_object(&mut self, outer: Object) -> Object {
        self.scratch.keys.begin(outer)
    }

    /// Whether the event adds keys to the rules.
    pub(super) fn event_has_keys(&self) -> bool {
        self.event.is_some_and(|event| !event.names.is_empty())
    }

    /// Meets the key that came next last time, if it stands here again with a quote and a colon behind it.
    #[inline(always)]
    pub(super) fn meet_expected(&mut self, object: Object, text: &str, at: usize) -> Option<Expected> {
        self.scratch.keys.meet_expected(object, text.as_bytes(), at)
    }

    /// What is said of the key that was met last.
    pub(super) fn facts_of_last(&self, key: &str) -> KeyFacts {
        self.with_event(self.scratch.keys.last(), key)
    }

    /// Meets a key in an object.
    pub(super) fn meet_key(&mut self, object: Object, key: &str) -> Met {
        let hash = KeyHash::of(key);
        let met = self.scratch.keys.meet(object, hash, key).unwrap_or_else(|| self.meet_new(object, hash, key));
        Met { facts: self.with_event(met.facts, key), ..met }
    }

    #[inline(never)]
    fn meet_new(&mut self, object: Object, hash: KeyHash, key: &str) -> Met {
        let facts = self.judge(key);
        let keys = &mut self.scratch.keys;
        let kept = keys.keep(hash, key, facts).then(|| keys.meet(object, hash, key)).flatten();
        kept.unwrap_or_else(|| Met { facts, is_new: keys.meet_long(object, hash) })
    }

    /// With what the event adds to the rules.
    #[inline(always)]
    fn with_event(&self, facts: KeyFacts, key: &str) -> KeyFacts {
        match self.event {
            Some(event) if !event.names.is_empty() => {
                KeyFacts { verdict: self.judge_for(event, key, facts.verdict), ..facts }
            }
            _ => facts,
        }
    }

    #[inline(never)]
    fn judge_for(&self, event: &EventRules, key: &str, own: Verdict) -> Verdict {
        self.rules.keys.verdict_for(key, own, &event.names)
    }

    /// What the rules say of a key that was not seen lately.
    #[inline(never)]
    fn judge(&self, key: &str) -> KeyFacts {
        KeyFacts { verdict: self.rules.keys.verdict(key), part: pair::part(key), tells: self.rules.values.tells(key) }
    }

    pub(super) fn remember(&mut self, value: &str) {
        self.scratch.echo.remember(value);
    }

    pub(super) fn remember_beginning(&mut self, value: &str) {
        self.scratch.echo.remember_beginning(value);
    }

    /// Remembers a value that may be percent-encoded where it stands.
    pub(super) fn remember_encoded(&mut self, value: &str) {
        self.scratch.echo.remember(value);
        if let Cow::Owned(decoded) = percent_decoded(value) {
            self.scratch.echo.remember(&decoded);
        }
    }

    pub(super) fn mask_text(&self) -> &str {
        self.rules.way.mask_text()
    }

    /// Whether a secret has been masked here before.
    pub(super) fn is_mask(&self, text: &str) -> bool {
        self.rules.way.is_own(text)
    }

    /// Writes what stands for a whole value; false if its member goes.
    pub(super) fn mask_json(&self, out: &mut String, value: &str) -> bool {
        self.rules.way.push_json(out, value)
    }

    /// The same in plain text.
    pub(super) fn push_mask_text(&self, out: &mut String, value: &str) -> bool {
        self.rules.way.push_text(out, value)
    }

    /// What stands for a part of a text.
    pub(super) fn push_mask_in_text(&self, out: &mut String, value: &str) {
        if !self.rules.way.push_text(out, value) {
            out.push_str(self.mask_text());
        }
    }

    /// Whether members with a secret value go as a whole.
    pub(super) fn removes(&self) -> bool {
        self.rules.way.removes()
    }

    pub(super) fn pointers_at_root(&self) -> Active {
        Active::all(&self.rules.pointers, self.event_pointers())
    }

    pub(super) fn step(&self, active: Active, depth: usize, key: &str) -> (Active, Option<Effect>) {
        active.step(&self.rules.pointers, self.event_pointers(), depth, key)
    }

    fn event_pointers(&self) -> Option<&Pointers> {
        self.event.map(|event| &event.pointers)
    }

    /// The stack of open containers, and the pairs among them, whose memory walks share.
    pub(super) fn take_open(&mut self) -> (Vec<Frame>, Vec<Pair>) {
        (std::mem::take(&mut self.scratch.stack), std::mem::take(&mut self.scratch.pairs))
    }

    pub(super) fn put_open(&mut self, mut stack: Vec<Frame>, mut pairs: Vec<Pair>) {
        stack.clear();
        pairs.clear();
        self.scratch.stack = stack;
        self.scratch.pairs = pairs;
    }
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_json_string(&mut out, text);
    out
}
