//! Patterns of the application, whose matches are credentials too. Without the feature `regex` there are none.

use std::ops::Range;

#[cfg(feature = "regex")]
use regex::Regex;

#[cfg(feature = "regex")]
use crate::error::{Error, Problems};
#[cfg(feature = "regex")]
use crate::work;

/// The number of patterns that an application may add.
#[cfg(feature = "regex")]
pub(super) const MAX_PATTERNS: usize = 64;
/// After this number of matches of a pattern, the rest of the text is masked as one.
#[cfg(feature = "regex")]
const MAX_HITS: usize = 100;

/// Compiled patterns.
#[derive(Debug, Default)]
pub(in crate::redact) struct Patterns {
    #[cfg(feature = "regex")]
    regexes: Vec<Regex>,
}

#[cfg(feature = "regex")]
impl Patterns {
    /// # Errors
    ///
    /// All patterns that are wrong, one line each.
    pub(in crate::redact) fn new(patterns: &[String]) -> Result<Self, Error> {
        let mut problems = Problems::default();
        if patterns.len() > MAX_PATTERNS {
            let given = patterns.len();
            problems.push(Error::redaction(format!("redaction: {given} patterns, at most {MAX_PATTERNS} are allowed")));
        }
        let compile = |pattern: &String| match Regex::new(pattern) {
            Ok(regex) if regex.is_match("") => Err(Error::redaction(format!(
                "redaction: the pattern {pattern:?} matches the empty text, so everything"
            ))),
            Ok(regex) => Ok(regex),
            Err(cause) => {
                Err(Error::redaction(format!("redaction: the pattern {pattern:?} does not compile")).with_source(cause))
            }
        };
        let regexes =
            patterns.iter().take(MAX_PATTERNS).filter_map(|pattern| problems.take(compile(pattern))).collect();
        problems.finish().map(|()| Self { regexes })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.regexes.is_empty()
    }

    /// Appends the places of all matches.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for regex in &self.regexes {
            work::add(text.len());
            // Each match may have read to the end of the text, so their number is bounded.
            for (count, hit) in regex.find_iter(text).enumerate() {
                if count == MAX_HITS {
                    found.push(hit.start()..text.len());
                    break;
                }
                found.push(hit.range());
            }
        }
    }
}

#[cfg(not(feature = "regex"))]
#[expect(clippy::unused_self, reason = "the same calls with and without the feature")]
impl Patterns {
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn find(&self, _text: &str, _found: &mut Vec<Range<usize>>) {}
}
