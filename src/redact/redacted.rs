//! Text that has been through redaction, packed into one buffer, and the pieces of it that a record holds.
//!
//! Only this room can add text that came from outside: whatever is in a [`Redacted`] is safe to write. Each piece has a
//! type that says how it got there. [`Evidence`] says who did what: no value that a client sends changes it.
//! [`ClientText`] is what clients and errors say: the search for echoes may mask more of it. Both also exist as JSON.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// The redacted text of one record.
#[derive(Default)]
pub(crate) struct Redacted {
    text: String,
}

impl Redacted {
    /// A larger buffer is freed when it is cleared.
    const KEPT: usize = 64 * 1024;

    /// The text of a piece.
    pub(crate) fn get(&self, piece: impl Piece) -> &str {
        self.text.get(piece.range()).unwrap_or_default()
    }

    /// Adds text of the program itself, which needs no redaction.
    pub(crate) fn constant(&mut self, text: &'static str) -> Evidence {
        Evidence(self.push(text))
    }

    /// Adds text of the program itself with numbers in it, which needs no redaction either.
    pub(crate) fn parts(&mut self, parts: impl IntoIterator<Item = Part>) -> Evidence {
        let start = self.text.len();
        for part in parts {
            match part {
                Part::Text(text) => self.text.push_str(text),
                // Writing to a string cannot fail.
                Part::Number(number) => drop(write!(self.text, "{number}")),
            }
        }
        Evidence(self.since(start))
    }

    /// Forgets all text; its pieces read as empty afterwards, or as the text of the next record.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
    }

    pub(super) fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    /// The piece from a place to the end.
    pub(super) fn since(&self, start: usize) -> Span {
        let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Span { start: at(start), end: at(self.text.len()) }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The end of the buffer, to write a piece to; [`since`](Self::since) then makes it.
    pub(super) fn writer(&mut self) -> &mut String {
        &mut self.text
    }
}

/// A part of a text that needs no redaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Text(&'static str),
    Number(u64),
}

/// What was masked may still be in the buffer, behind no piece.
impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacted").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// A place in a [`Redacted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// A piece of a [`Redacted`], of any type.
pub(crate) trait Piece: Copy {
    fn range(self) -> Range<usize>;
}

macro_rules! pieces {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(in crate::redact) Span);

        impl Piece for $name {
            fn range(self) -> Range<usize> {
                self.0.start as usize..self.0.end as usize
            }
        }
    )*};
}

pieces! {
    /// Plain text of evidence: who did what. No value of a client changes it.
    Evidence;
    /// The same as a JSON value.
    EvidenceJson;
    /// Plain text that a client or an error may have chosen.
    ClientText;
    /// The same as a JSON value.
    ClientJson;
}
