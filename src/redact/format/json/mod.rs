//! JSON: a body, or a document inside of a string. One walk finds what is secret, without building a tree.
//!
//! `walker` follows the structure of a document and decides what happens to each value; `leaves` treats strings, numbers
//! and words; `pairs` tracks values that a member beside them names; `frame` has what is kept of open containers.

mod frame;
mod leaves;
mod pairs;
mod walker;

use std::ops::Range;

pub(in crate::redact) use self::frame::JsonScratch;
use self::frame::{Next, Paths, Show};
use self::walker::Walker;
use crate::redact::Reason;
use crate::redact::edits::Edits;
use crate::redact::hit::HitRule;
use crate::redact::rules::{Action, Active, Part};
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

/// Walks a document. Its edits write it as a record shows it; those of a document inside of a string only mask.
pub(in crate::redact) fn walk(
    searcher: &mut Searcher<'_>,
    text: &str,
    edits: &mut Edits,
    root: Action,
    level: Level,
    search: Search,
    cut: bool,
) -> Result<Walked, Reason> {
    work::add(text.len());
    let scratch = searcher.memory.json.pop().unwrap_or_default();
    let active = searcher.pointers_at_root();
    let is_body = level.is_outside() && search == Search::Client;
    let shown = searcher.shown_at_root().filter(|_| is_body);
    let show = if shown.is_some() { Show::Inside } else { Show::All };
    let next = Next { action: root, show, rule: HitRule::Key, part: Part::Nothing, is_direct: false, start: 0 };
    let paths = (!active.is_none() || shown.is_some()).then(|| Paths { active, shown: shown.unwrap_or(Active::NONE) });
    let bytes = text.as_bytes();
    let mut walker = Walker {
        searcher,
        text,
        bytes,
        edits,
        level,
        search,
        cut,
        at: 0,
        upto: 0,
        scratch,
        next,
        paths,
        keys: 0,
        open_values: 0,
        is_rejected: false,
    };
    let walked = walker.run();
    let Walker { searcher, mut scratch, .. } = walker;
    scratch.frames.clear();
    scratch.paths.clear();
    scratch.keys.clear();
    scratch.leaves.clear();
    searcher.memory.json.push(scratch);
    walked
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
