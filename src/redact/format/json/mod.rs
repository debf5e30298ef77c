//! JSON: a body, or a document inside of a string. One walk finds what is secret, without building a tree.
//!
//! `walker` follows the structure of a document and decides what happens to each value; `leaves` treats strings, numbers
//! and words; `frame` has what is kept of open containers, and of values that a member beside them names.

mod frame;
mod leaves;
mod walker;

use std::ops::Range;

pub(in crate::redact) use self::frame::JsonScratch;
use self::frame::{Frame, Next};
use self::walker::Walker;
use crate::redact::Reason;
use crate::redact::edits::Edits;
use crate::redact::hit::HitRule;
use crate::redact::rules::{Class, Part, Show};
use crate::redact::search::{Level, Search, Searcher};
use crate::work;

/// A document that was walked.
#[derive(Debug)]
pub(in crate::redact) struct Walked {
    /// The end of what is complete.
    pub(in crate::redact) upto: usize,
    /// What closes the containers that a cut left open.
    pub(in crate::redact) closers: String,
    /// The whole document is complete.
    pub(in crate::redact) is_whole: bool,
    /// Readers of JSON would reject it: a key repeats, or a number is beyond all floats.
    pub(in crate::redact) is_rejected: bool,
}

/// Walks a document, and passes what it found on. The edits write the document as a record shows it; those of a document
/// inside of a string only mask.
pub(in crate::redact) fn walk<T>(
    searcher: &mut Searcher<'_>,
    text: &str,
    root: Class,
    level: Level,
    search: Search,
    cut: bool,
    then: impl FnOnce(Result<Walked, Reason>, &mut Edits) -> T,
) -> T {
    work::add(text.len());
    let is_body = level.is_outside() && search == Search::Client;
    let paths = searcher.paths(is_body);
    let show = paths.map_or(Show::All, |paths| paths.show);
    let (rule, part) = (HitRule::Key, Part::Nothing);
    let next = Next { class: root, show, rule, part, is_direct: false, is_noted: false, start: 0 };
    let mut walker = Walker {
        scratch: searcher.memory.json.pop().unwrap_or_default(),
        searcher,
        text,
        level,
        search,
        cut,
        at: 0,
        upto: 0,
        frame: Frame::new(0, next, 0, 0),
        next,
        paths,
        keys: 0,
        is_rejected: false,
    };
    let walked = walker.run();
    let Walker { searcher, mut scratch, .. } = walker;
    let done = then(walked, &mut scratch.edits);
    scratch.clear();
    searcher.memory.json.push(scratch);
    done
}

/// The place of an object or a list in a text, if there may be one: from the first opening bracket to the last closing one.
pub(in crate::redact) fn document_in(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = memchr::memchr2(b'{', b'[', bytes)?;
    let closing = if bytes[start] == b'{' { b'}' } else { b']' };
    let end = memchr::memrchr(closing, bytes)? + 1;
    (start < end).then_some(start..end)
}

/// Whether there is nothing but white space, and a byte order mark, around a document.
pub(in crate::redact) fn is_all(text: &str, document: &Range<usize>) -> bool {
    let before = text[..document.start].trim_start();
    before.strip_prefix('\u{feff}').unwrap_or(before).trim_start().is_empty() && text[document.end..].trim().is_empty()
}
