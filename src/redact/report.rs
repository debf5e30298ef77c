//! The report of a running auditor: which rule hit where, by names and pointers, never by values.
//!
//! Pointers are made of keys, and keys are the client's. A key is told only if the record shows it: what gives itself away is
//! masked, what was masked anywhere in the exchange is masked here too, and what does not stand in the record is left out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::{Value, json};

use super::Pass;
use super::explain::HitRule;
use super::standing::Shown;
use super::trail::{ANY, Before, Counts, LEFT_OUT, Note, Steps, keys};
use crate::record::finished::Record;
use crate::record::fragment::push_json_text;
use crate::sync::{Mutex, PoisonError};

/// What was masked in everything that an auditor recorded, and why: see
/// [`Auditor::redaction_report`](crate::Auditor::redaction_report).
///
/// It holds no values. A key stands in it only as far as records show that key: one that was masked there is masked here.
/// It is bounded: at most 1,024 entries are told apart, the rest is [`other`](Self::other).
///
/// Shown with `{}` it has a line for each entry, with columns.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactionReport {
    /// Each event, field, pointer and rule once, in this order.
    pub hits: Vec<HitCount>,
    /// Hits beyond the bound.
    pub other: u64,
}

/// How often a rule hit a place of an event's records.
///
/// Shown with `{}` it is one line: `Login request.body /password key 3`. A hyphen stands for an empty pointer.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HitCount {
    /// The event's name.
    pub event: String,
    /// The field of the record: `request.body`, `request.query`, `request.url`, `actor`, `meta`, `errors`, `message`, ….
    pub field: &'static str,
    /// Where in the field, as a JSON Pointer (RFC 6901); empty where it is all one text.
    ///
    /// `*` stands for any element of a list, for keys of digits only, and for what the record does not show, such as a member
    /// that was [removed](crate::RedactorBuilder::remove). `…` stands for keys of more than 64 bytes, and for the rest of
    /// pointers of more than 12 steps or 256 bytes. Control characters, quotes and backslashes are escaped as in JSON.
    pub pointer: String,
    /// What made it a secret.
    pub rule: HitRule,
    /// How often.
    pub count: u64,
}

impl RedactionReport {
    /// Every hit, those of [`other`](Self::other) included.
    pub fn total(&self) -> u64 {
        self.hits.iter().map(|hit| hit.count).sum::<u64>().saturating_add(self.other)
    }

    /// The report as JSON: `{"hits":[{"event":…,"field":…,"pointer":…,"rule":…,"count":…}],"other":0}`.
    pub fn to_json(&self) -> Value {
        let hit = |HitCount { event, field, pointer, rule, count }: &HitCount| json!({ "event": event, "field": field, "pointer": pointer, "rule": rule.as_str(), "count": count });
        json!({ "hits": self.hits.iter().map(hit).collect::<Vec<_>>(), "other": self.other })
    }
}

impl HitCount {
    fn columns(&self) -> [&str; 4] {
        let pointer = if self.pointer.is_empty() { "-" } else { &self.pointer };
        [&self.event, self.field, pointer, self.rule.as_str()]
    }
}

impl fmt::Display for HitCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.columns().iter().try_for_each(|column| write!(f, "{column} "))?;
        write!(f, "{}", self.count)
    }
}

impl fmt::Display for RedactionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; 4];
        for hit in &self.hits {
            for (width, column) in widths.iter_mut().zip(hit.columns()) {
                *width = column.chars().count().max(*width);
            }
        }
        for (line, hit) in self.hits.iter().enumerate() {
            if line > 0 {
                f.write_str("\n")?;
            }
            for (width, column) in widths.into_iter().zip(hit.columns()) {
                write!(f, "{column:width$}  ")?;
            }
            write!(f, "{}", hit.count)?;
        }
        if self.other > 0 {
            let line = if self.hits.is_empty() { "" } else { "\n" };
            write!(f, "{line}other  {}", self.other)?;
        }
        Ok(())
    }
}

/// The hits of everything that an auditor recorded.
#[derive(Debug, Default)]
pub(crate) struct Report {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    counts: HashMap<Entry, u64>,
    other: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Entry {
    event: Cow<'static, str>,
    note: Note,
}

impl Report {
    /// So many are told apart.
    const MOST: usize = 1_024;

    /// Adds the hits of a finished record.
    pub(super) fn add(&self, pass: &mut Pass<'_>, record: &Record) {
        let Some(mut trail) = pass.take_trail() else { return };
        let Some(counts) = trail.counts() else { return };
        let notes = Telling { pass, record }.told(counts);
        if notes.is_empty() && counts.other == 0 {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.other = kept.other.saturating_add(counts.other);
        for (note, count) in notes {
            let entry = Entry { event: record.event_name.clone(), note };
            let is_full = kept.counts.len() >= Self::MOST;
            let place = match kept.counts.get_mut(&entry) {
                Some(known) => known,
                None if is_full => &mut kept.other,
                None => kept.counts.entry(entry).or_default(),
            };
            *place = place.saturating_add(count);
        }
    }

    pub(crate) fn snapshot(&self) -> RedactionReport {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = |(Entry { event, note }, count): (&Entry, &u64)| HitCount {
            event: event.clone().into_owned(),
            field: note.field,
            pointer: note.pointer.clone(),
            rule: note.rule,
            count: *count,
        };
        let mut report = RedactionReport { hits: kept.counts.iter().map(hit).collect(), other: kept.other };
        drop(kept);
        report.hits.sort_unstable_by(|one, other| one.columns().cmp(&other.columns()));
        report
    }
}

/// What may be told of the hits of a record.
struct Telling<'t, 'a> {
    pass: &'t Pass<'a>,
    record: &'t Record,
}

impl Telling<'_, '_> {
    const MAX_POINTER: usize = 256;

    fn told(&self, counts: &mut Counts) -> HashMap<Note, u64> {
        for before in std::mem::take(&mut counts.before) {
            self.echoes(&before, counts);
        }
        let mut notes: HashMap<Note, u64> = HashMap::new();
        for (mut note, count) in counts.all.drain() {
            note.pointer = self.scrubbed(&note.pointer);
            *notes.entry(note).or_default() += count;
        }
        let standing = self.standing(&notes);
        let mut told: HashMap<Note, u64> = HashMap::new();
        for (mut note, count) in notes {
            // A body that the record does not show: nothing of it was masked there.
            let Some(standing) = standing.get(note.field) else { continue };
            if let Some(standing) = standing {
                note.pointer = without_unshown(&note.pointer, standing);
            }
            note.pointer = self.escaped(note.pointer);
            *told.entry(note).or_default() += count;
        }
        told
    }

    /// What was masked in a fragment because it was masked elsewhere.
    fn echoes(&self, before: &Before, counts: &mut Counts) {
        let shown = self.shown(before.field).and_then(|shown| shown.get(before.member.unwrap_or(0)).copied());
        if let Some(shown) = shown {
            let echo = |pointer: &str| counts.add(before.field, HitRule::Echo, pointer);
            shown.changes(self.pass.mask_text(), &before.fragment, echo);
        }
    }

    /// A pointer without what was masked in the exchange, as the record is without it.
    fn scrubbed(&self, pointer: &str) -> String {
        if !self.pass.has_masked() {
            return pointer.to_owned();
        }
        let mut steps = Steps::default();
        for (depth, mut key) in keys(pointer).enumerate() {
            self.pass.scrub_text(&mut key);
            steps.go_to(depth, &key);
        }
        steps.text().to_owned()
    }

    /// Of each field the pointers that lead to something; `None` for fields whose names no client chooses.
    fn standing(&self, notes: &HashMap<Note, u64>) -> HashMap<&'static str, Option<HashSet<String>>> {
        let mut standing = HashMap::new();
        for field in notes.keys().map(|note| note.field) {
            if standing.contains_key(field) {
                continue;
            }
            match (field, self.shown(field)) {
                ("request.body" | "response.body" | "request.query" | "meta", Some(shown)) => {
                    let pointers = notes.keys().filter(|note| note.field == field);
                    let wanted = pointers.flat_map(|note| beginnings(&note.pointer)).collect();
                    let mut found = HashSet::new();
                    shown.iter().for_each(|one| one.find(self.pass.mask_text(), &wanted, &mut found));
                    standing.insert(field, Some(found.into_iter().map(str::to_owned).collect()));
                }
                ("request.body" | "response.body", None) => {}
                // All of it was removed.
                ("request.query", None) => drop(standing.insert(field, Some(HashSet::new()))),
                _ => drop(standing.insert(field, None)),
            }
        }
        standing
    }

    /// The fragments of a field; `None` if the record does not show it.
    fn shown(&self, field: &str) -> Option<Vec<Shown<'_>>> {
        let request = self.record.request.as_ref();
        let fragment = match field {
            "request.body" => request?.body.shown.as_ref(),
            "response.body" => self.record.response.as_ref()?.body.shown.as_ref(),
            "request.query" => request?.query.as_ref(),
            "request.params" => request?.params.as_ref(),
            "request.headers" => request?.headers.as_ref(),
            "meta" => {
                let members = self.record.meta.iter();
                return Some(members.map(|(key, fragment)| Shown { key: Some(key), fragment }).collect());
            }
            _ => None,
        };
        Some(vec![Shown { key: None, fragment: fragment? }])
    }

    /// On one line, bounded, and without a value that several keys spell together.
    fn escaped(&self, mut pointer: String) -> String {
        self.pass.scrub_text(&mut pointer);
        let mut escaped = String::with_capacity(pointer.len());
        push_json_text(&mut escaped, &pointer);
        if escaped.len() <= Self::MAX_POINTER {
            return escaped;
        }
        let room = escaped.floor_char_boundary(Self::MAX_POINTER - LEFT_OUT.len() - 1);
        let end = escaped[..room].rfind('/').unwrap_or(0);
        escaped.truncate(end);
        escaped + "/" + LEFT_OUT
    }
}

/// A pointer as far as it leads to something, and a star if it goes on.
fn without_unshown(pointer: &str, standing: &HashSet<String>) -> String {
    match beginnings(pointer).take_while(|beginning| standing.contains(*beginning)).last() {
        Some(all) if all.len() == pointer.len() => all.to_owned(),
        None if pointer.is_empty() => String::new(),
        beginning => format!("{}/{ANY}", beginning.unwrap_or_default()),
    }
}

/// Each pointer on the way to where a pointer leads, that one included; the empty one is none.
fn beginnings(pointer: &str) -> impl Iterator<Item = &str> {
    let ends = pointer.match_indices('/').map(|(at, _)| at).skip(1).chain([pointer.len()]);
    ends.filter(|end| *end > 0).map(|end| &pointer[..end])
}
