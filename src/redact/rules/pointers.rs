//! JSON Pointers with `*`, matched step by step while a document is walked.

use crate::Error;
use crate::json::Pointer;

/// The number of pointers that a redactor, and an event, may have: each is one bit of [`Active`].
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

/// The pointers of a redactor or of an event, compiled.
#[derive(Debug, Default)]
pub(in crate::redact) struct Pointers {
    all: Vec<(Pointer, Effect)>,
}

impl Pointers {
    pub(in crate::redact) fn add(&mut self, pointer: &str, effect: Effect) -> Result<(), Error> {
        if pointer.is_empty() {
            return Err(Error::redaction("redaction: an empty pointer names the whole document"));
        }
        let compiled = Pointer::parse(pointer).map_err(|problem| Error::redaction(format!("redaction: {problem}")))?;
        if self.all.len() == MAX_POINTERS {
            return Err(Error::redaction(format!(
                "redaction: more than {MAX_POINTERS} pointers, {pointer:?} is one too many"
            )));
        }
        self.all.push((compiled, effect));
        Ok(())
    }
}

/// The pointers whose first segments match the way to the current value: of a redactor (low half) and an event (high half).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) struct Active(u128);

impl Active {
    pub(in crate::redact) const NONE: Self = Self(0);

    /// All pointers, at the root of a document.
    pub(in crate::redact) fn all(own: &Pointers, event: Option<&Pointers>) -> Self {
        let bits = |pointers: &Pointers| (1_u128 << pointers.all.len()) - 1;
        Self(bits(own) | event.map_or(0, bits) << MAX_POINTERS)
    }

    pub(in crate::redact) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// One step to a member or element: the pointers that go on below it, and the effect of those that name it. A mask wins
    /// over an exception.
    pub(in crate::redact) fn step(
        self,
        own: &Pointers,
        event: Option<&Pointers>,
        depth: usize,
        key: &str,
    ) -> (Self, Option<Effect>) {
        let mut next = 0;
        let mut reached = None;
        let mut left = self.0;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            let pointer = if bit < MAX_POINTERS {
                own.all.get(bit)
            } else {
                event.and_then(|event| event.all.get(bit - MAX_POINTERS))
            };
            let Some((pointer, effect)) = pointer else { continue };
            let segments = pointer.segments();
            if !segments.get(depth).is_some_and(|segment| segment.is_any() || segment.text() == key) {
                continue;
            }
            if depth + 1 < segments.len() {
                next |= 1 << bit;
            } else if reached != Some(Effect::Mask) {
                reached = Some(*effect);
            }
        }
        (Self(next), reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_followed() {
        let mut own = Pointers::default();
        own.add("/a/*/b~1c", Effect::Mask).unwrap();
        own.add("/a/x", Effect::Except).unwrap();
        let mut event = Pointers::default();
        event.add("/*", Effect::Mask).unwrap();
        let root = Active::all(&own, Some(&event));
        let (at_a, reached) = root.step(&own, Some(&event), 0, "a");
        assert_eq!(reached, Some(Effect::Mask));
        let (at_x, reached) = at_a.step(&own, Some(&event), 1, "x");
        assert_eq!(reached, Some(Effect::Except));
        let (end, reached) = at_x.step(&own, Some(&event), 2, "b/c");
        assert_eq!((end, reached), (Active::NONE, Some(Effect::Mask)));
        assert_eq!(at_x.step(&own, Some(&event), 2, "b"), (Active::NONE, None));
    }

    #[test]
    fn wrong_pointers_are_refused() {
        let mut own = Pointers::default();
        assert!(own.add("a", Effect::Mask).is_err());
        assert!(own.add("", Effect::Mask).is_err());
        for _ in 0..64 {
            own.add("/a", Effect::Mask).unwrap();
        }
        assert!(own.add("/a", Effect::Mask).is_err());
        assert!(!Active::all(&own, Some(&own)).is_none());
    }
}
