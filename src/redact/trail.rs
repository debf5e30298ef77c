//! Where a pass stands, and what hit there: kept only to explain a document, or to report on all records.

use std::collections::HashMap;

use super::hit::{Hit, HitRule};

/// A text of the record, by the names under which it stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    field: &'static str,
    /// The pointer within the field; empty where the field itself is the text.
    at: &'static str,
    /// How many actors stand before the one that it belongs to.
    behind: usize,
}

impl Place {
    pub(super) fn of(field: &'static str, at: &'static str) -> Self {
        Self { field, at, behind: 0 }
    }

    /// A text of an actor, or of one that it acts for.
    pub(super) fn of_actor(behind: usize, at: &'static str) -> Self {
        Self { field: "actor", at, behind }
    }
}

/// The hits of a pass, and where it stands.
///
/// What walks call is cold and never inlined, so that it takes no room where nothing is noted.
#[derive(Debug)]
pub(super) struct Trail {
    /// The field of the record that is redacted now; `None` if the record does not show it.
    field: Option<&'static str>,
    /// How many strings the document is inside of whose members are told: a text is one.
    level: u8,
    /// Names that a text gives its values are told.
    names: bool,
    /// So many steps lead to the document.
    base: usize,
    path: Steps,
    hits: u64,
    found: Found,
}

#[derive(Debug)]
enum Found {
    InOrder(Vec<Hit>),
    Counted(Box<Counts>),
}

impl Trail {
    /// For one document: every hit, in its order.
    pub(super) fn explaining() -> Self {
        Self::new(Steps::default(), Found::InOrder(Vec::new()))
    }

    /// For the report: so many times the same.
    pub(super) fn counting() -> Self {
        Self { field: None, ..Self::new(Steps::bounded(), Found::Counted(Box::default())) }
    }

    fn new(path: Steps, found: Found) -> Self {
        Self { field: Some(""), level: 0, names: false, base: 0, path, hits: 0, found }
    }

    /// The pass goes on to another field of the record.
    pub(super) fn at(&mut self, field: Option<&'static str>) {
        (self.field, self.base) = (field, 0);
        self.path.cut(0);
    }

    /// What is redacted next is a text: names, or members of the JSON that it is, are told; or it was one.
    pub(super) fn read_text(&mut self, level: u8, names: bool) {
        (self.level, self.names) = (level, names);
    }

    pub(super) fn tells(&self, level: u8) -> bool {
        self.level == level
    }

    pub(super) fn tells_names(&self) -> bool {
        self.names
    }

    /// The next document stands under this key.
    pub(super) fn enter(&mut self, key: &str) {
        self.path.go_to(self.base, key);
        self.base += 1;
    }

    pub(super) fn leave(&mut self) {
        self.base = self.base.saturating_sub(1);
        self.path.cut(self.base);
    }

    /// The walk goes on to a member or element of the container that is the `depth`th from the root.
    #[cold]
    #[inline(never)]
    pub(super) fn go_to(&mut self, depth: usize, key: &str) {
        self.path.go_to(self.base + depth, key);
    }

    /// A hit so many steps from the root.
    #[cold]
    #[inline(never)]
    pub(super) fn hit(&mut self, depth: usize, rule: HitRule) {
        let Some(field) = self.field else { return };
        self.hits += 1;
        let pointer = self.path.up_to(self.base.saturating_add(depth));
        match &mut self.found {
            Found::InOrder(hits) => hits.push(Hit { pointer: pointer.to_owned(), rule }),
            Found::Counted(counts) => counts.add(field, rule, pointer),
        }
    }

    /// A hit in a text whose place is known.
    #[cold]
    #[inline(never)]
    pub(super) fn hit_at(&mut self, place: Place, rule: HitRule) {
        self.at(Some(place.field));
        (0..place.behind).for_each(|depth| self.go_to(depth, "onBehalfOf"));
        let steps = place.at.split('/').skip(1);
        steps.zip(place.behind..).for_each(|(step, depth)| self.go_to(depth, step));
        self.hit(usize::MAX, rule);
    }

    /// How many hits there were.
    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    pub(super) fn counts(&mut self) -> Option<&mut Counts> {
        match &mut self.found {
            Found::InOrder(_) => None,
            Found::Counted(counts) => Some(counts),
        }
    }

    pub(super) fn into_hits(self) -> Vec<Hit> {
        match self.found {
            Found::InOrder(hits) => hits,
            Found::Counted(_) => Vec::new(),
        }
    }
}

/// The hits of one exchange, counted.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) all: HashMap<Note, u64>,
    /// Hits that were one too many to be told apart.
    pub(super) other: u64,
    /// Fragments of the record as they were before they were searched for what was masked elsewhere, if that changed them.
    pub(super) before: Vec<Before>,
    /// What is looked up, without an allocation.
    wanted: Note,
}

impl Default for Counts {
    fn default() -> Self {
        let wanted = Note { field: "", pointer: String::new(), rule: HitRule::Key };
        Self { all: HashMap::new(), other: 0, before: Vec::new(), wanted }
    }
}

/// What hit where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Note {
    pub(super) field: &'static str,
    pub(super) pointer: String,
    pub(super) rule: HitRule,
}

/// A fragment as it was.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) field: &'static str,
    /// Which member of the field it is, where it is not all of it.
    pub(super) member: Option<usize>,
    pub(super) fragment: String,
}

impl Counts {
    /// So many places of one exchange are told apart.
    const MOST: usize = 1_024;

    pub(super) fn add(&mut self, field: &'static str, rule: HitRule, pointer: &str) {
        (self.wanted.field, self.wanted.rule) = (field, rule);
        self.wanted.pointer.clear();
        self.wanted.pointer.push_str(pointer);
        if let Some(count) = self.all.get_mut(&self.wanted) {
            *count += 1;
        } else if self.all.len() < Self::MOST {
            self.all.insert(self.wanted.clone(), 1);
        } else {
            self.other += 1;
        }
    }
}

/// What stands for steps, or for a key, that are too long to be told.
pub(super) const LEFT_OUT: &str = "…";
/// What stands for any element of a list, and for whatever may not be told.
pub(super) const ANY: &str = "*";

/// The way to a value, as a JSON Pointer (RFC 6901).
#[derive(Debug, Default)]
pub(super) struct Steps {
    text: String,
    ends: Vec<usize>,
    is_bounded: bool,
}

impl Steps {
    /// Longer keys are not told, not even their beginnings: those may be of secrets, which only whole keys are searched for.
    const MAX_KEY: usize = 64;
    const MAX_STEPS: usize = 12;

    /// Without what would make too many of them, and too long ones.
    pub(super) fn bounded() -> Self {
        Self { is_bounded: true, ..Self::default() }
    }

    /// Goes on to a member or element of the container to which so many steps lead.
    pub(super) fn go_to(&mut self, depth: usize, key: &str) {
        self.cut(depth);
        if self.is_bounded {
            self.push_bounded(key);
        } else {
            self.push(key);
        }
        self.ends.push(self.text.len());
    }

    pub(super) fn cut(&mut self, depth: usize) {
        self.ends.truncate(depth);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }

    fn push_bounded(&mut self, key: &str) {
        match self.ends.len() {
            Self::MAX_STEPS => self.push(LEFT_OUT),
            deeper if deeper > Self::MAX_STEPS => {}
            _ if key.len() > Self::MAX_KEY => self.push(LEFT_OUT),
            // Indices, and ids that are keys.
            _ if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) => self.push(ANY),
            _ => self.push(key),
        }
    }

    fn push(&mut self, key: &str) {
        self.text.push('/');
        for char in key.chars() {
            match char {
                '~' => self.text.push_str("~0"),
                '/' => self.text.push_str("~1"),
                other => self.text.push(other),
            }
        }
    }

    pub(super) fn up_to(&self, depth: usize) -> &str {
        let end = depth.min(self.ends.len()).checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.text[..end]
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The keys of a pointer.
pub(super) fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_bounded_without_a_beginning_of_any_key() {
        let mut steps = Steps::bounded();
        steps.go_to(0, "a~/b");
        steps.go_to(1, "17");
        steps.go_to(2, &"x".repeat(65));
        assert_eq!(steps.text(), "/a~0~1b/*/…");
        assert_eq!(keys(steps.text()).collect::<Vec<_>>(), ["a~/b", "*", "…"]);
        (3..64).for_each(|depth| steps.go_to(depth, "k"));
        assert_eq!(steps.text(), format!("/a~0~1b/*/…{}/…", "/k".repeat(9)));
        assert_eq!(steps.up_to(2), "/a~0~1b/*");
        assert_eq!(steps.up_to(0), "");
        steps.go_to(1, "");
        assert_eq!((steps.text(), steps.len()), ("/a~0~1b/", 2));
    }

    #[test]
    fn the_places_of_one_exchange_are_bounded() {
        let mut counts = Counts::default();
        for at in 0..Counts::MOST + 2 {
            counts.add("x", HitRule::Key, &format!("/a{at}"));
        }
        counts.add("x", HitRule::Key, "/a0");
        assert_eq!((counts.all.len(), counts.other), (Counts::MOST, 2));
        assert_eq!(counts.all.values().sum::<u64>(), Counts::MOST as u64 + 1);
    }

    #[test]
    fn a_place_is_a_pointer() {
        let mut trail = Trail::explaining();
        trail.hit_at(Place::of_actor(2, "/credential/id"), HitRule::Value);
        trail.hit_at(Place::of("context", ""), HitRule::Echo);
        let hits: Vec<String> = trail.into_hits().into_iter().map(|hit| hit.pointer).collect();
        assert_eq!(hits, ["/onBehalfOf/onBehalfOf/credential/id", ""]);
    }
}
