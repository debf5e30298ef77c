//! Places in a text that are masked, or replaced.

use std::ops::Range;

use super::pass::Pass;

/// A place in a text, and what goes there if it is not a mask.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) place: Range<usize>,
    pub(super) redacted: Option<String>,
}

impl Edit {
    pub(super) fn mask(place: Range<usize>) -> Self {
        Self { place, redacted: None }
    }
}

/// Makes the edits, and remembers what they mask; `None` if there are none.
pub(super) fn apply(pass: &mut Pass<'_>, text: &str, mut edits: Vec<Edit>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    // Of two edits of one place the mask comes first.
    edits.sort_unstable_by_key(|edit| (edit.place.start, usize::MAX - edit.place.end, edit.redacted.is_some()));
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for edit in edits {
        if edit.redacted.is_none() {
            pass.remember_encoded(&text[edit.place.clone()]);
        }
        if edit.place.start < copied {
            // Within the one before, or going on behind it.
            copied = copied.max(edit.place.end);
            continue;
        }
        out.push_str(&text[copied..edit.place.start]);
        match &edit.redacted {
            Some(redacted) => out.push_str(redacted),
            None => pass.push_mask_in_text(&mut out, &text[edit.place.clone()]),
        }
        copied = edit.place.end;
    }
    out.push_str(&text[copied..]);
    Some(out)
}
