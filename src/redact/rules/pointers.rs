//! JSON Pointers with `*`, matched step by step while a document is walked.

use crate::error::{Error, Problems};
use crate::json::Pointer;

/// The number of pointers that a list may have: each is one bit of [`Paths`].
const MAX_POINTERS: usize = 64;

/// The effect of a pointer on the value that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Effect {
    /// The value is masked.
    Mask,
    /// The value shows, whatever its key.
    Except,
    /// The value is on the allow list.
    Show,
}

/// What an allow list shows of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Show {
    /// All of it: there is no list, or it names the value or a container of it.
    All,
    /// It names something inside of it.
    Inside,
    Nothing,
}

/// A list of pointers, compiled.
#[derive(Debug, Default)]
pub(in crate::redact) struct Pointers(Vec<(Pointer, Effect)>);

impl Pointers {
    /// # Errors
    ///
    /// All pointers that are wrong, one line each.
    pub(in crate::redact) fn new<'p>(all: impl IntoIterator<Item = (&'p str, Effect)>) -> Result<Self, Error> {
        let (mut problems, mut compiled) = (Problems::default(), Vec::new());
        for (pointer, effect) in all {
            let parsed = match pointer {
                "" => Err("an empty pointer names the whole document".to_owned()),
                _ => Pointer::parse(pointer),
            };
            let parsed = parsed.map_err(|problem| Error::redaction(format!("redaction: {problem}")));
            compiled.extend(problems.take(parsed).map(|parsed| (parsed, effect)));
        }
        problems.limit(compiled.len(), "pointers", MAX_POINTERS);
        problems.finish().map(|()| Self(compiled))
    }
}

/// The lists of pointers that apply to a text: those of a redactor and of an event, and the allow list of the event.
pub(in crate::redact) type Lists<'a> = [Option<&'a Pointers>; 3];

/// The pointers of each list that lead on from a value, and what the allow list shows of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) struct Paths {
    active: [u64; 3],
    pub(in crate::redact) show: Show,
}

impl Paths {
    /// At the root of a document: all pointers.
    pub(in crate::redact) fn root(lists: Lists<'_>) -> Self {
        // A bit for each pointer.
        let active = lists.map(|list| list.map_or(0, |list| list.0.iter().fold(0, |bits, _| bits << 1 | 1)));
        Self { active, show: if active[2] == 0 { Show::All } else { Show::Inside } }
    }

    /// Whether any pointer leads on.
    pub(in crate::redact) fn lead_on(&self) -> bool {
        self.active != [0; 3]
    }

    /// One step to a member or element: what leads on from it, and the effect of the pointers that name it. A mask wins over
    /// an exception.
    pub(in crate::redact) fn step(mut self, lists: Lists<'_>, depth: usize, key: &str) -> (Self, Option<Effect>) {
        let (mut reached, mut is_shown) = (None, false);
        for (list, active) in lists.into_iter().zip(&mut self.active) {
            let before = std::mem::take(active);
            let all = list.into_iter().flat_map(|list| &list.0).enumerate();
            for (bit, (pointer, effect)) in all.filter(|(bit, _)| before >> bit & 1 != 0) {
                let segment = pointer.segments().get(depth);
                if !segment.is_some_and(|segment| segment.is_any() || segment.text() == key) {
                    continue;
                }
                if depth + 1 < pointer.segments().len() {
                    *active |= 1 << bit;
                } else if *effect == Effect::Show {
                    is_shown = true;
                } else if reached != Some(Effect::Mask) {
                    reached = Some(*effect);
                }
            }
        }
        if self.show == Show::Inside {
            self.show = match (is_shown, self.active[2]) {
                (true, _) => Show::All,
                (false, 0) => Show::Nothing,
                (false, _) => Show::Inside,
            };
        }
        (self, reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_followed() {
        let own = Pointers::new([("/a/*/b~1c", Effect::Mask), ("/a/x", Effect::Except)]).unwrap();
        let event = Pointers::new([("/*", Effect::Mask)]).unwrap();
        let show = Pointers::new([("/a/x", Effect::Show), ("/b", Effect::Show)]).unwrap();
        let lists = [Some(&own), Some(&event), Some(&show)];
        let root = Paths::root(lists);
        assert_eq!(root.show, Show::Inside);
        let (at_a, reached) = root.step(lists, 0, "a");
        assert_eq!((at_a.show, reached), (Show::Inside, Some(Effect::Mask)));
        let (at_x, reached) = at_a.step(lists, 1, "x");
        assert_eq!((at_x.show, reached), (Show::All, Some(Effect::Except)));
        let (end, reached) = at_x.step(lists, 2, "b/c");
        assert_eq!((end.lead_on(), end.show, reached), (false, Show::All, Some(Effect::Mask)));
        let (end, reached) = at_x.step(lists, 2, "b");
        assert_eq!((end.lead_on(), reached), (false, None));
        assert_eq!(root.step(lists, 0, "c").0.show, Show::Nothing);
    }

    #[test]
    fn wrong_pointers_are_refused() {
        let of = |pointers: &[&str]| Pointers::new(pointers.iter().map(|pointer| (*pointer, Effect::Mask)));
        assert!(of(&["a"]).is_err());
        assert!(of(&[""]).is_err());
        let most = of(&["/a"; 64]).unwrap();
        assert!(of(&["/a"; 65]).is_err());
        assert!(Paths::root([Some(&most), None, Some(&most)]).lead_on());
    }
}
