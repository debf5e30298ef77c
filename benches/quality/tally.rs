//! Counts what was hidden, what was erased, and what was altered that must never be.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::compare::{Part, changes, is_one_line, key_of};
use super::json::Node;
use super::layer::Recorded;
use super::set::{LabelledBody, LabelledText, Set};

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) whole: usize,
}

impl Share {
    fn count(&mut self, is_part: bool) {
        self.part += usize::from(is_part);
        self.whole += 1;
    }

    /// `if_none` where there is nothing to count.
    pub(crate) fn percent(self, if_none: f64) -> f64 {
        if self.whole == 0 { if_none } else { 100.0 * self.part as f64 / self.whole as f64 }
    }
}

/// Findings that share a key, with one of them as the example.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) example: String,
}

/// Findings by key, most frequent first.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, (usize, String)>);

impl Groups {
    fn count(&mut self, name: String, example: impl FnOnce() -> String) {
        self.0.entry(name).or_insert_with(|| (0, example())).0 += 1;
    }

    pub(crate) fn sorted(&self) -> Vec<Group> {
        let group = |(name, (count, example)): (&String, &(usize, String))| Group {
            name: name.clone(),
            count: *count,
            example: example.clone(),
        };
        let mut groups: Vec<Group> = self.0.iter().map(group).collect();
        groups.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.name.cmp(&other.name)));
        groups
    }
}

/// What a whole set came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Secret places that are hidden, of all.
    pub(crate) recall: Share,
    /// Masked places that hide a secret, of all that are not arguable and held something.
    pub(crate) precision: Share,
    /// Texts that are not as they have to be, of all.
    pub(crate) texts: Share,
    /// Bodies that are left out whole, by reason.
    pub(crate) omitted: BTreeMap<String, usize>,
    pub(crate) changed_keys: usize,
    /// Labels that name no place of their body.
    pub(crate) lost_labels: usize,
    pub(crate) false_masks: Groups,
    pub(crate) missed_secrets: Groups,
    pub(crate) changed_texts: Groups,
    pub(crate) altered_evidence: Groups,
    /// Every finding, for a file.
    pub(crate) findings: Vec<Value>,
}

impl Tally {
    /// Judges a set by the records of its bodies and texts.
    pub(crate) fn of(set: &Set, bodies: &[Recorded], texts: &[Recorded]) -> Result<Self, String> {
        let mut tally = Self::default();
        for recorded in bodies.iter().chain(texts) {
            tally.judge_evidence(recorded);
        }
        for (labelled, recorded) in set.bodies.iter().zip(bodies) {
            tally.judge_body(labelled, recorded)?;
        }
        for (labelled, recorded) in set.texts.iter().zip(texts) {
            tally.judge_text(labelled, recorded);
        }
        Ok(tally)
    }

    fn judge_evidence(&mut self, recorded: &Recorded) {
        for (place, before, after) in &recorded.altered {
            self.altered_evidence.count((*place).to_owned(), || format!("{before} → {after}"));
            self.findings.push(json!({
                "finding": "altered evidence", "place": place, "before": before, "after": after,
            }));
        }
    }

    fn judge_body(&mut self, labelled: &LabelledBody, recorded: &Recorded) -> Result<(), String> {
        let LabelledBody { set, id, content_type, body, secret, arguable } = labelled;
        let (None, Some(recorded_body)) = (&recorded.omitted, &recorded.body) else {
            let reason = recorded.omitted.as_deref().unwrap_or("no reason given");
            *self.omitted.entry(reason.to_owned()).or_default() += 1;
            self.findings.push(json!({ "finding": "body left out", "set": set, "id": id, "reason": reason }));
            secret.iter().for_each(|_| self.recall.count(true));
            return Ok(());
        };
        let sent = if content_type.contains("json") { Node::parse(body) } else { Some(Node::parse_form(body)) };
        let sent = sent.ok_or_else(|| format!("{set} {id}: the body is recorded but cannot be parsed here"))?;
        // A body with a repeated key is recorded as its text.
        let as_text = recorded_body.text().filter(|_| sent.text().is_none());
        let changes = match as_text.map(Node::parse) {
            Some(Some(parsed)) => changes(&sent, &parsed),
            Some(None) => return Err(format!("{set} {id}: the text of the recorded body is not JSON")),
            None => changes(&sent, recorded_body),
        };
        let finding = |kind: &str, pointer: &str, before: &str, after: &str| {
            json!({
                "finding": kind, "set": set, "id": id, "pointer": pointer, "before": before, "after": after,
            })
        };
        for place in secret {
            let value = sent.at(place).map(Node::to_json);
            self.lost_labels += usize::from(value.is_none());
            let is_hidden =
                changes.iter().any(|change| change.part == Part::Value && is_one_line(place, &change.pointer));
            self.recall.count(is_hidden);
            if !is_hidden {
                let value = value.unwrap_or_default();
                self.missed_secrets.count(format!("{} ({set})", key_of(place)), || value.clone());
                self.findings.push(finding("missed secret", place, &value, &value));
            }
        }
        for change in &changes {
            let is_at = |place: &String| is_one_line(place, &change.pointer);
            let kind = match change.part {
                Part::Key => {
                    self.changed_keys += 1;
                    "changed key"
                }
                Part::Value if change.was_empty || arguable.iter().any(is_at) => continue,
                Part::Value => "false mask",
            };
            let is_right = change.part == Part::Value && secret.iter().any(is_at);
            self.precision.count(is_right);
            if !is_right {
                let key = key_of(&change.pointer);
                let name = if change.part == Part::Key { format!("{key} (the key)") } else { key };
                self.false_masks.count(name, || difference(&change.before, &change.after));
                self.findings.push(finding(kind, &change.pointer, &change.before, &change.after));
            }
        }
        Ok(())
    }

    fn judge_text(&mut self, labelled: &LabelledText, recorded: &Recorded) {
        let LabelledText { set, text, secret } = labelled;
        let found = recorded.error.as_deref().unwrap_or_default();
        let finding =
            |kind: &str| json!({ "finding": kind, "set": set, "before": text, "after": found, "secret": secret });
        let mut shows_secret = false;
        for secret in secret {
            let is_hidden = !found.contains(secret.as_str());
            shows_secret |= !is_hidden;
            self.recall.count(is_hidden);
            self.lost_labels += usize::from(!text.contains(secret.as_str()));
        }
        let is_changed =
            if secret.is_empty() { found != text } else { !shows_secret && !keeps_the_rest(text, secret, found) };
        self.texts.count(is_changed);
        if shows_secret {
            self.missed_secrets.count(format!("text ({set})"), || text.clone());
            self.findings.push(finding("missed secret"));
        }
        if is_changed {
            let shape = shape(text, found);
            self.changed_texts.count(format!("{shape} ({set})"), || difference(text, found));
            self.findings.push(finding("changed text"));
        }
    }
}

/// Whether the words of a text that hold no secret are still there, in their order.
fn keeps_the_rest(text: &str, secrets: &[String], found: &str) -> bool {
    let without = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "\0"));
    let mut found = found.split_whitespace();
    without.split_whitespace().filter(|word| !word.contains('\0')).all(|word| found.any(|it| it == word))
}

/// Both texts from shortly before their first difference.
fn difference(before: &str, after: &str) -> String {
    let (from, dots) = differs_from(before, after);
    format!("{dots}{} → {dots}{}", part(before, from), part(after, from))
}

/// The changed part with its numbers replaced: equal for log lines of one kind.
fn shape(before: &str, after: &str) -> String {
    let (from, _) = differs_from(before, after);
    let mut shape = String::new();
    for character in part(before, from).chars() {
        match character {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            _ => shape.push(character),
        }
    }
    shape
}

/// Number of characters that both examples leave out at their beginning, and the sign that replaces them.
fn differs_from(before: &str, after: &str) -> (usize, &'static str) {
    /// Characters before the change.
    const CONTEXT: usize = 24;
    let shared = before.chars().zip(after.chars()).take_while(|(one, other)| one == other).count();
    let from = shared.saturating_sub(CONTEXT);
    (from, if from > 0 { "…" } else { "" })
}

/// At most `LENGTH` characters.
fn part(text: &str, from: usize) -> String {
    const LENGTH: usize = 64;
    let mut rest = text.chars().skip(from);
    let mut part: String = rest.by_ref().take(LENGTH).collect();
    if rest.next().is_some() {
        part.push('…');
    }
    part
}
