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
    /// A piece is appended here, and [`since`](Self::since) returns it.
    pub(super) text: String,
}

impl Redacted {
    /// A buffer of more bytes is freed when it is cleared.
    const KEPT: usize = 64 * 1024;

    /// The text of a piece.
    pub(crate) fn get<const C: bool, const J: bool>(&self, piece: Piece<C, J>) -> &str {
        self.text.get(piece.range()).unwrap_or_default()
    }

    /// All text: what no piece refers to any more is in it too.
    pub(crate) fn all(&self) -> &str {
        &self.text
    }

    /// The text of a piece, if there is one.
    pub(crate) fn some<const C: bool, const J: bool>(&self, piece: Option<Piece<C, J>>) -> Option<&str> {
        piece.map(|piece| self.get(piece))
    }

    /// Adds a constant, which needs no redaction.
    pub(crate) fn constant(&mut self, text: &'static str) -> Evidence {
        self.push(text)
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
        self.since(start)
    }

    /// Removes all text. Pieces of it must not be used any more: they would read text of the next record.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
    }

    pub(super) fn push<const C: bool, const J: bool>(&mut self, text: &str) -> Piece<C, J> {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    /// The piece from a place to the end of the buffer.
    pub(super) fn since<const C: bool, const J: bool>(&self, start: usize) -> Piece<C, J> {
        Piece::of(start..self.text.len())
    }

    /// The place of a text that is part of a piece.
    pub(super) fn part<const C: bool, const J: bool>(&self, text: &str) -> Piece<C, J> {
        let start = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Piece::of(start..start + text.len())
    }
}

/// A line that was written once, and its texts without their escapes. It only lends its [`Redacted`], so that no record which a
/// sink gets can be made of it.
#[derive(Debug)]
pub(crate) struct ReadBack {
    /// The line, then the texts that had escapes.
    text: Redacted,
    line: ClientText,
}

impl ReadBack {
    pub(crate) fn new(line: &str) -> Self {
        let mut text = Redacted::default();
        let line = text.push(line);
        Self { text, line }
    }

    pub(crate) fn line(&self) -> &str {
        self.text.get(self.line)
    }

    pub(crate) fn text(&self) -> &Redacted {
        &self.text
    }

    /// A piece of the line.
    pub(crate) fn piece<const C: bool, const J: bool>(&self, range: Range<usize>) -> Piece<C, J> {
        Piece::of(range)
    }

    /// A piece that is a text of its own.
    pub(crate) fn add<const C: bool, const J: bool>(&mut self, text: &str) -> Piece<C, J> {
        self.text.push(text)
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

/// A place in a [`Redacted`], with the kind of its text: whether a client or an error may have chosen it, and whether it is a
/// JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<const CLIENT: bool, const JSON: bool> {
    start: u32,
    end: u32,
}

impl<const CLIENT: bool, const JSON: bool> Piece<CLIENT, JSON> {
    /// A place beyond 4 GiB would be empty.
    fn of(range: Range<usize>) -> Self {
        let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: at(range.start), end: at(range.end) }
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Text that says who did what. No value of a client changes it.
pub(crate) type Evidence = Piece<false, false>;
/// The same as a JSON value.
pub(crate) type EvidenceJson = Piece<false, true>;
/// Text that a client or an error may have chosen. The echo search may mask more of it.
pub(crate) type ClientText = Piece<true, false>;
/// The same as a JSON value.
pub(crate) type ClientJson = Piece<true, true>;
