//! Edits of a text: places, and what is written there instead. A text without edits is copied in one piece.

use std::cmp::Reverse;
use std::ops::Range;

/// The edits of one text.
#[derive(Debug, Default)]
pub(super) struct Edits {
    list: Vec<Edit>,
    /// The replacements of all edits, one after the other.
    written: String,
}

#[derive(Debug)]
struct Edit {
    place: Range<usize>,
    /// Where its replacement is in those of all edits.
    written: Range<usize>,
}

impl Edits {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.written.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The places that are edited, in a text in which this one begins at `start`.
    pub(super) fn places(&self, start: usize) -> impl Iterator<Item = Range<usize>> {
        self.list.iter().map(move |edit| start + edit.place.start..start + edit.place.end)
    }

    /// Removes a place.
    pub(super) fn remove(&mut self, place: Range<usize>) {
        self.replace(place, |_| {});
    }

    /// Replaces a place by what `write` appends.
    pub(super) fn replace(&mut self, place: Range<usize>, write: impl FnOnce(&mut String)) {
        let from = self.written.len();
        write(&mut self.written);
        self.list.push(Edit { place, written: from..self.written.len() });
    }

    /// Appends the edited text up to a place. Of edits that overlap, the one that begins first is applied; of those that begin
    /// at one place, the longest; of equal ones, a removal, because a comma is removed with it; else the one that was added
    /// last.
    pub(super) fn apply(&mut self, text: &str, upto: usize, out: &mut String) {
        self.list.sort_unstable_by_key(|Edit { place, written }| {
            (place.start, Reverse(place.end), !written.is_empty(), Reverse(written.start))
        });
        let mut copied = 0;
        for Edit { place, written } in &self.list {
            if place.start < copied || place.end > upto {
                continue;
            }
            out.push_str(&text[copied..place.start]);
            out.push_str(&self.written[written.clone()]);
            copied = place.end;
        }
        out.push_str(&text[copied..upto]);
    }
}

/// Places in a text.
pub(super) type Places = Vec<Range<usize>>;

/// Sorts places, and joins those that overlap.
pub(super) fn join(places: &mut Places) {
    places.sort_unstable_by_key(|place| place.start);
    places.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
}
