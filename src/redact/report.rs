//! The report of a running auditor: which rule hit where, by names and pointers, never by values.
//!
//! Pointers are made of keys, and keys are the client's. A key is told only if the record shows it: what gives itself away is
//! masked, what was masked anywhere in the exchange is masked here too, and what does not stand in the record is left out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::{Value, json};

use super::Pass;
use super::hit::HitRule;
use super::standing::Shown;
use super::trail::{ANY, Before, Counts, LEFT_OUT, Note, Steps, keys};
use crate::record::finished::Record;
use crate::record::fragment::push_json_text;
use crate::sync::{Mutex, PoisonError};

/// What was masked in everything that an auditor recorded, and why: see
/// [`Auditor::redaction_report`](crate::Auditor::redaction_report).
///
/// It holds no values. A key stands in it only as far as records show that key: one that was masked there is masked here.
/// It is bounded, and nobody can fill it alone: of one field of one event at most 128 entries are told apart, the rest stands
/// under the pointer `/…`; of all together at most 1,024, the rest is [`other`](Self::other).
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
    /// pointers of more than 12 steps or 256 bytes, and for pointers beyond the bound of their field. Control characters, quotes and backslashes are escaped as in JSON.
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
    /// A test wants it to fail.
    #[cfg(test)]
    pub(crate) is_broken: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    counts: HashMap<Entry, u64>,
    /// How many entries a field of an event has.
    entries: HashMap<(Cow<'static, str>, &'static str), usize>,
    other: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Entry {
    event: Cow<'static, str>,
    note: Note,
}

impl Report {
    /// So many are told apart, of all and of one field of one event.
    const MOST: usize = 1_024;
    const MOST_OF_A_FIELD: usize = 128;

    /// Adds the hits of a finished record.
    pub(super) fn add(&self, pass: &mut Pass<'_>, record: &Record) {
        #[cfg(test)]
        assert!(!self.is_broken.load(std::sync::atomic::Ordering::Relaxed), "broken by a test");
        let Some(mut trail) = pass.take_trail() else { return };
        let Some(counts) = trail.counts() else { return };
        let notes = Telling { pass, record }.told(counts);
        if notes.is_empty() && counts.other == 0 {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.other = kept.other.saturating_add(counts.other);
        for (note, count) in notes {
            kept.add(Entry { event: record.event_name.clone(), note }, count);
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

impl Kept {
    fn add(&mut self, mut entry: Entry, count: u64) {
        let Self { counts, entries, other } = self;
        if !counts.contains_key(&entry) {
            let field = (entry.event.clone(), entry.note.field);
            if entries.get(&field).is_some_and(|entries| *entries >= Report::MOST_OF_A_FIELD) {
                entry.note.pointer = format!("/{LEFT_OUT}");
            } else if counts.len() < Report::MOST {
                *entries.entry(field).or_default() += 1;
            }
        }
        let is_full = counts.len() >= Report::MOST;
        let place = match counts.get_mut(&entry) {
            Some(known) => known,
            None if is_full => other,
            None => counts.entry(entry).or_default(),
        };
        *place = place.saturating_add(count);
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
        let room = Self::MAX_POINTER - LEFT_OUT.len() - 1;
        let end = escaped.rmatch_indices('/').map(|(at, _)| at).find(|at| *at <= room).unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trail::Trail;
    use super::super::{Body, Redactor};
    use super::*;
    use crate::record::fragment::unescape;

    fn entry(event: usize, field: &'static str, pointer: usize) -> Entry {
        let note = Note { field, pointer: format!("/k{pointer}"), rule: HitRule::Key };
        Entry { event: format!("E{event:02}").into(), note }
    }

    fn of(kept: Kept) -> RedactionReport {
        Report { kept: Mutex::new(kept), ..Report::default() }.snapshot()
    }

    #[test]
    fn one_field_cannot_fill_the_report() {
        let mut kept = Kept::default();
        (0..1_000).for_each(|pointer| kept.add(entry(0, "request.query", pointer), 2));
        kept.add(entry(0, "request.query", 0), 1);
        kept.add(entry(0, "request.body", 0), 1);
        let report = of(kept);
        assert_eq!((report.hits.len(), report.other, report.total()), (130, 0, 2_002));
        let rest = report.hits.iter().find(|hit| hit.pointer == "/…").unwrap();
        assert_eq!(rest.to_string(), format!("E00 request.query /… key {}", 2 * (1_000 - 128)));
    }

    #[test]
    fn all_together_are_bounded() {
        let mut kept = Kept::default();
        for event in 0..20 {
            (0..100).for_each(|pointer| kept.add(entry(event, "meta", pointer), 1));
        }
        kept.add(entry(0, "meta", 7), 1);
        assert!(kept.entries.len() <= Report::MOST);
        let report = of(kept);
        assert_eq!((report.hits.len(), report.other, report.total()), (1_024, 2_000 - 1_024, 2_001));
    }

    #[test]
    fn it_is_readable() {
        let mut kept = Kept::default();
        assert_eq!(of(Kept::default()).to_string(), "");
        kept.add(entry(1, "request.body", 1), 12);
        let note = Note { field: "message", pointer: String::new(), rule: HitRule::Echo };
        kept.add(Entry { event: "Login".into(), note }, 1);
        kept.other = 3;
        let report = of(kept);
        assert_eq!(
            report.to_string(),
            "E01    request.body  /k1  key   12\nLogin  message       -    echo  1\nother  3"
        );
        let hit = json!({ "event": "Login", "field": "message", "pointer": "", "rule": "echo", "count": 1 });
        assert_eq!((&report.to_json()["hits"][1], &report.to_json()["other"]), (&hit, &json!(3)));
    }

    #[test]
    fn what_does_not_stand_there_is_a_star() {
        let standing = ["/a", "/a/*"].map(str::to_owned).into_iter().collect();
        for (pointer, told) in
            [("/a/*", "/a/*"), ("/a/*/b/c", "/a/*/*"), ("/a/b", "/a/*"), ("/b/c", "/*"), ("/", "/*"), ("", "")]
        {
            assert_eq!(without_unshown(pointer, &standing), told, "{pointer}");
        }
    }

    /// What is told of a JSON body, and the body as a record shows it.
    fn told(redactor: &Redactor, text: &str, cut: bool) -> (RedactionReport, String) {
        let mut pass = Pass::with_trail(redactor, None, Trail::counting());
        pass.at(Some("request.body"));
        let shown = match pass.json(text.as_bytes(), cut) {
            Body::Whole(shown) | Body::Text(shown) | Body::Beginning(shown, _) => Some(shown),
            Body::Omitted(_) => None,
        };
        let mut record = Record::default();
        record.request.get_or_insert_default().body.shown = shown.clone();
        if let Some(shown) = &mut record.request.get_or_insert_default().body.shown {
            let before = shown.clone();
            pass.scrub_json(shown);
            pass.note_before("request.body", None, before);
        }
        let report = Report::default();
        report.add(&mut pass, &record);
        (report.snapshot(), record.request.and_then(|request| request.body.shown).unwrap_or_default())
    }

    proptest! {
        #[test]
        fn only_keys_of_the_record_are_told(
            keys in prop::collection::vec(prop::sample::select(vec!["token", "cAnArY7", "x cAnArY7_pin", "a", "value", "name", "7", "cAnA", "rY7", "%63AnArY7", "é\u{202e}\"", "~/"]), 9),
            leaves in prop::collection::vec(prop::sample::select(vec![json!("cAnArY7"), json!("t=cAnArY7"), json!("AKIAIOSFODNN7EXAMPLE"), json!(7), json!("DB_PASSWORD")]), 5),
            shape in any::<[bool; 8]>(),
            cut in prop::option::of(any::<prop::sample::Index>()),
            removes in any::<bool>(),
        ) {
            let redactor = if removes { Redactor::builder().remove().build().unwrap() } else { Redactor::default() };
            let mut value = leaves[0].clone();
            for (at, key) in keys.iter().enumerate().skip(1) {
                let leaf = leaves[at % leaves.len()].clone();
                value = if shape[at % 8] { json!({ *key: value, keys[at - 1]: leaf }) } else { json!([leaf, value]) };
            }
            let text = json!({ "password": "cAnArY7", keys[0]: value }).to_string();
            let end = cut.map_or(text.len(), |cut| (0..=cut.index(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
            let (report, shown) = told(&redactor, &text[..end], cut.is_some());
            let forms = format!("{report}\n{report:?}\n{}", report.to_json());
            // A cut may come before it is called a secret: then the record shows it too.
            prop_assert!(shown.contains("cAnArY") || !forms.contains("cAnArY"), "{} told {}", text, forms);
            let said = unescape(&shown).unwrap_or_default();
            for hit in &report.hits {
                for key in super::keys(&unescape(&hit.pointer).unwrap()) {
                    let stands = key == ANY || said.contains(&key) || unescape(&said).is_some_and(|said| said.contains(&key));
                    prop_assert!(stands, "{} of {} does not stand in {}", key, hit, shown);
                }
            }
        }
    }
}
