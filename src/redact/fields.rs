//! What the pointers of the rules say of fields that are no JSON: those of a query, of a route's parameters, of a form and
//! of multipart. `/name` leads to each field of that name, `/name/0` and `/name/*` to one and to all of several.

use std::collections::HashMap;

use super::pass::Pass;
use super::pointer::{Active, Effect};

/// Where fields stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// In a body: exceptions hold.
    Body,
    /// In the URL: masks hold, exceptions do not. Whoever excepts a place of a body does not think of a query that has
    /// a field of that name.
    #[default]
    Url,
}

/// The fields of one document, in their order.
#[derive(Debug)]
pub(super) struct Fields {
    root: Active,
    origin: Origin,
    /// How many fields there were of each name that a pointer leads into.
    seen: HashMap<String, usize>,
}

impl Fields {
    pub(super) fn of(pass: &Pass<'_>, origin: Origin) -> Self {
        Self { root: pass.pointers_at_root(), origin, seen: HashMap::new() }
    }

    /// What holds for the next field, which has this name. A mask wins.
    pub(super) fn next(&mut self, pass: &Pass<'_>, name: &str) -> Option<Effect> {
        if self.root.is_none() {
            return None;
        }
        let (below, reached) = pass.step(self.root, 0, name);
        let mut effect = reached;
        if !below.is_none() {
            let seen = self.seen.entry(name.to_owned()).or_default();
            let (_, element) = pass.step(below, 1, &seen.to_string());
            *seen += 1;
            effect = if element == Some(Effect::Mask) { element } else { reached.or(element) };
        }
        effect.filter(|effect| *effect == Effect::Mask || self.origin == Origin::Body)
    }

    /// Whether a field of this name may be masked by a pointer, whatever its place among others of the name.
    pub(super) fn may_mask(&self, pass: &Pass<'_>, name: &str) -> bool {
        if self.root.is_none() {
            return false;
        }
        let (below, reached) = pass.step(self.root, 0, name);
        reached == Some(Effect::Mask) || !below.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::*;

    #[test]
    fn fields_are_led_to_by_name_and_place() {
        let redactor = Redactor::builder()
            .pointer("/all")
            .pointer("/second/1")
            .pointer("/each/*")
            .pointer("/a~1b")
            .pointer("/deep/0/x")
            .except_pointer("/shown")
            .except_pointer("/all/0")
            .except_pointer("/one/0")
            .build()
            .unwrap();
        let pass = Pass::new(&redactor, None);
        let mask = Some(Effect::Mask);
        for origin in [Origin::Body, Origin::Url] {
            let except = Some(Effect::Except).filter(|_| origin == Origin::Body);
            let mut fields = Fields::of(&pass, origin);
            let mut next = |name: &str| fields.next(&pass, name);
            assert_eq!((next("all"), next("other"), next("all")), (mask, None, mask));
            assert_eq!((next("second"), next("second"), next("second")), (None, mask, None));
            assert_eq!((next("each"), next("each"), next("a/b"), next("a")), (mask, mask, mask, None));
            assert_eq!((next("deep"), next("shown"), next("shown")), (None, except, except));
            assert_eq!((next("one"), next("one")), (except, None));
        }
        let fields = Fields::of(&pass, Origin::Url);
        assert!(fields.may_mask(&pass, "second") && !fields.may_mask(&pass, "shown"));
        assert!(!Fields::of(&Pass::new(&Redactor::default(), None), Origin::Body).may_mask(&pass, "all"));
    }
}
