//! Text that has been through redaction, packed into one buffer, and the pieces of it that a record holds.
//!
//! Only `redact` can add text from outside, so a [`Redacted`] is safe to write. Each piece has a type. [`Evidence`] is text that
//! says who did what: no value that a client sends changes it. [`ClientText`] is text that a client or an error may have
//! chosen: the echo search may mask more of it. Both also exist as JSON.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// The redacted text of one record.
#[derive(Default)]
pub(crate) struct Redacted {
    text: String,
}

impl Redacted {
    /// A buffer of more bytes is freed when it is cleared.
    const KEPT: usize = 64 * 1024;

    /// The text of a piece.
    pub(crate) fn get(&self, piece: impl Piece) -> &str {
        self.texts().get(piece)
    }

    /// All of it, to look pieces up in.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts(&self.text)
    }

    /// Adds a constant, which needs no redaction.
    pub(crate) fn constant(&mut self, text: &'static str) -> Evidence {
        Evidence(self.push(text))
    }

    /// Adds constants and numbers, which need no redaction.
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

    /// Removes all text. Pieces of it must not be used any more: they would read text of the next record.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
    }

    pub(super) fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    /// The piece from a place to the end of the buffer.
    pub(super) fn since(&self, start: usize) -> Span {
        Span::of(start..self.text.len())
    }

    /// The place of a text that is part of a piece.
    pub(super) fn part(&self, text: &str) -> Span {
        let start = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Span::of(start..start + text.len())
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The buffer, to append a piece to; [`since`](Self::since) then returns the piece.
    pub(super) fn writer(&mut self) -> &mut String {
        &mut self.text
    }
}

/// The text that the pieces of a record refer to.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'t>(&'t str);

impl<'t> Texts<'t> {
    /// The text of a piece.
    pub(crate) fn get(self, piece: impl Piece) -> &'t str {
        self.0.get(piece.range()).unwrap_or_default()
    }

    /// All text from the beginning of a piece on.
    pub(crate) fn from(self, piece: impl Piece) -> &'t str {
        self.0.get(piece.range().start..).unwrap_or_default()
    }

    /// The text of a piece, if there is one.
    pub(crate) fn some(self, piece: Option<impl Piece>) -> Option<&'t str> {
        piece.map(|piece| self.get(piece))
    }
}

impl fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").field("bytes", &self.0.len()).finish_non_exhaustive()
    }
}

/// A line that was written once, and its texts without their escapes. It is no [`Redacted`], so that no record which a sink gets
/// can be made of it.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// The line, then the texts that had escapes.
    text: String,
    line: usize,
}

impl ReadBack {
    pub(crate) fn new(line: &str) -> Self {
        Self { text: line.to_owned(), line: line.len() }
    }

    pub(crate) fn line(&self) -> &str {
        self.text.get(..self.line).unwrap_or_default()
    }

    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts(&self.text)
    }

    /// A piece of the line.
    pub(crate) fn piece<P: Piece>(&self, range: Range<usize>) -> P {
        P::of(Span::of(range))
    }

    /// A piece that is a text of its own.
    pub(crate) fn add<P: Piece>(&mut self, text: &str) -> P {
        let start = self.text.len();
        self.text.push_str(text);
        self.piece(start..self.text.len())
    }
}

/// A part of a text that needs no redaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Text(&'static str),
    Number(u64),
}

/// Does not print the text: texts from before the echo search are still in the buffer, where no piece refers to them.
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

impl Span {
    /// A place beyond 4 GiB would be empty.
    fn of(range: Range<usize>) -> Self {
        let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: at(range.start), end: at(range.end) }
    }
}

/// A piece of a [`Redacted`], of any type.
pub(crate) trait Piece: Copy {
    fn range(self) -> Range<usize>;

    fn of(span: Span) -> Self;
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

            fn of(span: Span) -> Self {
                Self(span)
            }
        }
    )*};
}

pieces! {
    /// Text that says who did what. No value of a client changes it.
    Evidence;
    /// The same as a JSON value.
    EvidenceJson;
    /// Text that a client or an error may have chosen. The echo search may mask more of it.
    ClientText;
    /// The same as a JSON value.
    ClientJson;
}
