//! Finds the places of secrets in one text: by the form of values, and by what is inside of the text. What that is,
//! `format::inside` knows: it has the method that this search calls, because text can hold JSON, which holds text.

use std::borrow::Cow;
use std::ops::Range;

use super::detect::{self, Scan, is_signature};
use super::edits::{Places, join};
use super::hit::{Hit, HitRule};
use super::memory::{KeyFacts, Memory};
use super::redactor::{Redactor, Rules};
use super::rules::{Class, Effect, EventRules, KeyRules, Lists, Names, Part, Paths};
use crate::json::plain_len;
use crate::text::ELLIPSIS;
use crate::tokens::TokenFormats;

/// The number of strings inside of each other in which JSON and URLs are read; percent-encoding is decoded as often.
const MAX_LEVEL: u8 = 2;

/// What a text is inside of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// The number of documents and URLs.
    strings: u8,
    /// How often percent-encoding was decoded.
    decoded: u8,
}

impl Level {
    /// Of a text that is inside of nothing.
    pub(super) const TOP: Self = Self { strings: 0, decoded: 0 };

    /// Whether it is inside of no string.
    pub(super) fn is_outside(self) -> bool {
        self.strings == 0
    }

    /// The level of what is in a string at this one, if it is read.
    pub(super) fn inside(self) -> Option<Self> {
        (self.strings < MAX_LEVEL).then_some(Self { strings: self.strings + 1, ..self })
    }

    /// The level of a text that is decoded once more, if it is.
    pub(super) fn decoded(self) -> Option<Self> {
        (self.decoded < MAX_LEVEL).then_some(Self { decoded: self.decoded + 1, ..self })
    }
}

/// Evidence of more bytes than this is also searched for names, as free text.
pub(super) const LONG: usize = 256;

/// How a text is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// A value of a client: values that have the form of a secret, and JSON, URLs and encodings inside.
    Client,
    /// Free text of a client or an error: the same, and values that a name precedes.
    Free,
    /// Evidence: token formats and values of `Audit::secret`; names in long texts.
    Evidence,
    /// A value of `meta`: evidence, and free text if it is long.
    Meta,
}

/// The rules, and what is known of the texts of one record.
pub(super) struct Searcher<'a> {
    pub(super) rules: &'a Rules,
    pub(super) event: Option<&'a EventRules>,
    /// The keys of `mask_values_under` and the exceptions of the event, if it has any.
    pub(super) names: Option<&'a Names>,
    pub(super) memory: &'a mut Memory,
    /// What was masked, if hits are listed.
    pub(super) hits: Option<Vec<Hit>>,
}

impl<'a> Searcher<'a> {
    pub(super) fn new(redactor: &'a Redactor, event: Option<&'a EventRules>, memory: &'a mut Memory) -> Self {
        memory.begin(redactor);
        let names = event.map(|event| &event.names).filter(|names| !names.is_empty());
        Self { rules: &redactor.rules, event, names, memory, hits: None }
    }

    /// Whether a text with this scan can hold anything that [`find`](Self::find) finds.
    #[inline]
    pub(super) fn may_find(&self, text: &str, scan: Scan, search: Search) -> bool {
        /// The signs of JSON, URLs and encodings inside of a text.
        const INSIDE: u32 = Scan::EQUALS | Scan::PERCENT | Scan::BRACKET | Scan::BACKSLASH;
        self.rules.session_trap.spring(text);
        match search {
            Search::Meta if text.len() > LONG => true,
            Search::Evidence | Search::Meta => {
                scan.has(Scan::TOKEN | Scan::BACKSLASH) || !self.memory.remembered.everywhere.is_empty()
            }
            Search::Client => scan.has(INSIDE) || detect::may_find(&self.rules.patterns, scan),
            Search::Free => scan.has(INSIDE | Scan::COLON) || detect::may_find(&self.rules.patterns, scan),
        }
    }

    /// Appends the places of secrets in a text, sorted and disjoint.
    pub(super) fn find(&mut self, text: &str, level: Level, search: Search, places: &mut Places) {
        let scan = Scan::of(text);
        if self.may_find(text, scan, search) {
            self.find_scanned(text, scan, level, search, places);
        }
    }

    /// The same, with the scan of the text.
    pub(super) fn find_scanned(&mut self, text: &str, scan: Scan, level: Level, search: Search, places: &mut Places) {
        debug_assert!(places.is_empty(), "places of another text");
        match search {
            Search::Meta if text.len() > LONG => self.find(text, level, Search::Free, places),
            Search::Evidence | Search::Meta if scan.has(Scan::TOKEN) => {
                TokenFormats::shared().find(text, text.ends_with(ELLIPSIS), &mut |place, _| places.push(place));
            }
            Search::Evidence | Search::Meta => {}
            Search::Client | Search::Free => {
                detect::find(&self.rules.patterns, text, scan, places);
                for place in places.iter() {
                    self.memory.remembered.add(&text[place.clone()], false);
                }
                self.find_inside(text, scan, level, search, places);
            }
        }
        if matches!(search, Search::Evidence | Search::Meta) {
            self.memory.remembered.everywhere.find(text, 0, places);
        }
        join(places);
    }

    /// A text with these places masked; `None` if there are none.
    #[inline]
    pub(super) fn apply(&self, text: &str, places: &[Range<usize>]) -> Option<String> {
        self.rules.style.apply(text, places, Cow::Borrowed)
    }

    /// The places of secrets in a text that is inside of nothing.
    pub(super) fn places(&mut self, text: &str, search: Search) -> Places {
        let mut places = Vec::new();
        self.find(text, Level::TOP, search, &mut places);
        places
    }

    /// The text with what a search finds masked; `None` if that is nothing.
    pub(super) fn masked(&mut self, text: &str, search: Search) -> Option<String> {
        let places = self.places(text, search);
        self.apply(text, &places)
    }

    pub(super) fn class(&mut self, key: &str) -> Class {
        self.facts(key).class
    }

    pub(super) fn facts(&mut self, key: &str) -> KeyFacts {
        let hash = self.memory.hash(key);
        self.key_facts(hash, key)
    }

    #[inline(always)]
    pub(super) fn key_facts(&mut self, hash: u64, key: &str) -> KeyFacts {
        let keys = &self.rules.keys;
        let mut facts = self.memory.facts(hash, key, || judge(keys, key));
        facts.is_odd |= !self.memory.remembered.everywhere.is_empty();
        if let Some(names) = self.names {
            facts.class = names.apply(key, facts.class);
        }
        facts
    }

    pub(super) fn remember(&mut self, value: &str, is_always: bool) {
        if !self.rules.style.is_own(value) {
            self.memory.remembered.add(value, is_always);
        }
    }

    /// The pointers at the root of a document, if there are any: with the allow list if it is a body.
    pub(super) fn paths(&self, is_body: bool) -> Option<Paths> {
        let [own, event, show] = self.pointers();
        let paths = Paths::root([own, event, show.filter(|_| is_body)]);
        paths.lead_on().then_some(paths)
    }

    /// One step of a walk that follows pointers.
    pub(super) fn step(&self, paths: Paths, depth: usize, key: &str) -> (Paths, Option<Effect>) {
        paths.step(self.pointers(), depth, key)
    }

    fn pointers(&self) -> Lists<'_> {
        let event = self.event;
        [Some(&self.rules.pointers), event.map(|event| &event.pointers), event.map(|event| &event.show)]
    }

    pub(super) fn note(&mut self, pointer: String, rule: HitRule) {
        if let Some(hits) = &mut self.hits {
            hits.push(Hit { pointer, rule });
        }
    }
}

#[inline(never)]
fn judge(keys: &KeyRules, key: &str) -> KeyFacts {
    KeyFacts {
        class: keys.class(key),
        part: Part::of(key),
        is_odd: plain_len(key.as_bytes(), |byte| !(0x20..0x7f).contains(&byte)) < key.len()
            || TokenFormats::shared().has_token(key),
        is_signature: is_signature(key),
    }
}
