//! Patterns of the application, whose matches are credentials too.

use std::ops::Range;

use regex::Regex;

use crate::error::{Error, Problems};
use crate::work;

/// The number of patterns that an application may add.
pub(super) const MAX_PATTERNS: usize = 64;
/// After this number of matches of a pattern, the rest of the text is masked as one.
const MAX_HITS: usize = 100;

/// Compiles patterns.
///
/// # Errors
///
/// All patterns that are wrong, one line each.
pub(in crate::redact) fn compile(patterns: &[String]) -> Result<Vec<Regex>, Error> {
    let mut problems = Problems::default();
    problems.limit(patterns.len(), "patterns", MAX_PATTERNS);
    let compiled = |pattern: &String| match Regex::new(pattern) {
        Ok(regex) if regex.is_match("") => {
            Err(Error::redaction(format!("redaction: the pattern {pattern:?} matches the empty text, so everything")))
        }
        Ok(regex) => Ok(regex),
        Err(cause) => {
            Err(Error::redaction(format!("redaction: the pattern {pattern:?} does not compile")).with_source(cause))
        }
    };
    let patterns = patterns.iter().take(MAX_PATTERNS).filter_map(|pattern| problems.take(compiled(pattern))).collect();
    problems.finish().map(|()| patterns)
}

/// Appends the places of all matches.
pub(super) fn find(patterns: &[Regex], text: &str, found: &mut Vec<Range<usize>>) {
    for regex in patterns {
        work::add(text.len());
        // Each match may have read to the end of the text, so their number is bounded.
        let mut matches = regex.find_iter(text);
        found.extend(matches.by_ref().take(MAX_HITS).map(|hit| hit.range()));
        found.extend(matches.next().map(|hit| hit.start()..text.len()));
    }
}
