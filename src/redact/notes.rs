//! What a pass notes to explain a document and to report on records. Without a trail each of these is one branch; with one,
//! none changes what the pass makes.

use super::hit::{Hit, HitRule};
use super::pass::Pass;
use super::trail::{Before, Place, Trail};

impl Pass<'_> {
    pub(super) fn is_explaining(&self) -> bool {
        self.trail.is_some()
    }

    /// Where hits are noted, of documents that stand inside so many strings.
    pub(super) fn trail_of(&mut self, level: u8) -> Option<&mut Trail> {
        self.trail.as_deref_mut().filter(|trail| trail.tells(level))
    }

    pub(super) fn take_hits(&mut self) -> Vec<Hit> {
        self.trail.take().map(|trail| trail.into_hits()).unwrap_or_default()
    }

    pub(super) fn take_trail(&mut self) -> Option<Box<Trail>> {
        self.trail.take()
    }

    /// What is redacted next stands in this field; `None` if the record does not show it.
    pub(super) fn at(&mut self, field: Option<&'static str>) {
        if let Some(trail) = &mut self.trail {
            trail.at(field);
        }
    }

    /// The documents that are redacted next stand under this key, until [`leave`](Self::leave).
    pub(super) fn enter(&mut self, key: &str) {
        if let Some(trail) = &mut self.trail {
            trail.enter(key);
        }
    }

    pub(super) fn leave(&mut self) {
        if let Some(trail) = &mut self.trail {
            trail.leave();
        }
    }

    /// A text of the record that stands at this place.
    pub(super) fn string_at(&mut self, place: Place, text: &str) -> String {
        self.redacted_at(place, text).unwrap_or_else(|| text.to_owned())
    }

    /// The same, if the text has to differ.
    pub(super) fn redacted_at(&mut self, place: Place, text: &str) -> Option<String> {
        let redacted = self.inspect(text, 0)?;
        self.note(place, HitRule::Value);
        Some(redacted)
    }

    /// What hit the text at a place.
    pub(super) fn note(&mut self, place: Place, rule: HitRule) {
        if let Some(trail) = &mut self.trail {
            trail.hit_at(place, rule);
        }
    }

    /// Where the value stands that is read next.
    pub(super) fn note_place(&mut self, path: &[&str]) {
        path.iter().enumerate().for_each(|(depth, step)| self.note_step(depth, step));
    }

    pub(super) fn note_step(&mut self, depth: usize, step: &str) {
        if let Some(trail) = &mut self.trail {
            trail.go_to(depth, step);
        }
    }

    /// What hit the value there.
    pub(super) fn note_hit(&mut self, rule: HitRule) {
        if let Some(trail) = &mut self.trail {
            trail.hit(usize::MAX, rule);
        }
    }

    /// What hit the value of a key whose text nobody has looked at yet.
    pub(super) fn note_pair(&mut self, key: &str, rule: HitRule) {
        if self.trail.is_none() {
            return;
        }
        // By a pass of its own: this one must remember no more than it would without a trail.
        let shown = Pass::of(self.rules, self.event).inspect_text_key(key);
        self.note_place(&[shown.as_deref().unwrap_or(key)]);
        self.note_hit(rule);
    }

    /// A text is redacted next: what is JSON has pointers, in anything else values have names.
    pub(super) fn note_text(&mut self, text: &str) {
        if let Some(trail) = &mut self.trail {
            trail.read_text(1, !text.trim_ascii_start().starts_with(['{', '[', '"']));
        }
    }

    pub(super) fn note_end_of_text(&mut self) {
        if let Some(trail) = &mut self.trail {
            trail.read_text(0, false);
        }
    }

    /// A name in a text, whose value is masked.
    pub(super) fn note_name(&mut self, name: &str) {
        if let Some(trail) = self.trail.as_deref_mut().filter(|trail| trail.tells_names()) {
            trail.go_to(0, name);
            trail.hit(1, HitRule::Key);
        }
    }

    /// So many values in a text, or in a document as a whole, give themselves away.
    pub(super) fn note_values(&mut self, count: usize) {
        if let Some(trail) = &mut self.trail {
            (0..count).for_each(|_| trail.hit(0, HitRule::Value));
        }
    }

    /// As [`inspect`](Self::inspect), for the rest of a text: a hit that has no place of its own has the text's.
    pub(super) fn inspect_rest(&mut self, text: &str) -> Option<String> {
        let hits = |pass: &Self| pass.trail.as_ref().map(|trail| trail.hits());
        let before = hits(self);
        let redacted = self.inspect(text, 0);
        if redacted.is_some() && hits(self) == before {
            self.note_values(1);
        }
        redacted
    }

    /// Fragments that were searched for what was masked elsewhere are compared with what they were.
    pub(super) fn note_before(&mut self, field: &'static str, member: Option<usize>, fragment: String) {
        if let Some(counts) = self.trail.as_mut().and_then(|trail| trail.counts()) {
            counts.before.push(Before { field, member, fragment });
        }
    }
}
