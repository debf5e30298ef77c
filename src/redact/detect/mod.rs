//! Finds values that give themselves away, whatever the key of the text.
//!
//! [`Scan`] reads a text once and reports which signs are in it; each search runs only on texts that have its signs:
//! token formats (`crate::tokens`), `pem` (private keys), `schemes` (credentials in an `Authorization` header), `userinfo`
//! (passwords in URLs), `signatures` (of presigned URLs), `cards` (card numbers), and patterns of the application. All of
//! them are linear in the text; `crate::work` counts the bytes they look at.

mod cards;
mod credential;
mod pem;
mod scan;
mod schemes;
mod signatures;
#[cfg(test)]
mod tests;
mod userinfo;

use std::ops::Range;

use regex::Regex;

pub(in crate::redact) use self::cards::is_card_number;
pub(in crate::redact) use self::credential::looks_like_credential;
pub(in crate::redact) use self::scan::Scan;
pub(in crate::redact) use self::signatures::is_signature;
use crate::Error;
use crate::record::text::ELLIPSIS;
use crate::redact::edits::join;
use crate::tokens::TokenFormats;
use crate::work;

/// The number of patterns that an application may add.
const MAX_PATTERNS: usize = 64;
/// After this number of matches of a pattern, the rest of the text is masked as one.
const MAX_HITS: usize = 100;

/// Finds credentials in texts.
#[derive(Debug)]
pub(in crate::redact) struct Detector {
    patterns: Vec<Regex>,
}

impl Detector {
    /// A detector with the application's patterns, whose matches are credentials too.
    pub(in crate::redact) fn new(patterns: &[String]) -> Result<Self, Error> {
        if patterns.len() > MAX_PATTERNS {
            let given = patterns.len();
            return Err(Error::redaction(format!("redaction: {given} patterns, at most {MAX_PATTERNS} are allowed")));
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
        Ok(Self { patterns: patterns.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Whether a text with this scan can hold anything that [`find`](Self::find) finds.
    #[inline]
    pub(in crate::redact) fn may_find(&self, scan: Scan) -> bool {
        scan.has(Scan::TOKEN | Scan::KEY | Scan::SCHEME | Scan::DIGITS)
            || scan.has_all(Scan::USERINFO)
            || scan.has_all(Scan::SIGNATURE)
            || !self.patterns.is_empty()
    }

    /// Appends the places of credentials in a text, sorted and disjoint. `cut`: the text may have been cut at its end.
    pub(in crate::redact) fn find(&self, text: &str, scan: Scan, cut: bool, found: &mut Vec<Range<usize>>) {
        let whole = text;
        let text = if cut { text.strip_suffix(ELLIPSIS).unwrap_or(text) } else { text };
        if scan.has(Scan::TOKEN) {
            TokenFormats::shared().find(text, cut, &mut |place, _| found.push(place));
        }
        if scan.has(Scan::KEY) {
            pem::find(text, cut, found);
        }
        if scan.has(Scan::SCHEME) {
            schemes::find(text, cut, found);
        }
        if scan.has(Scan::DIGITS) {
            cards::find(text, cut, found);
        }
        if scan.has_all(Scan::USERINFO) {
            userinfo::find(text, found);
        }
        if scan.has_all(Scan::SIGNATURE) {
            signatures::find(text, found);
        }
        self.find_patterns(whole, found);
        join(found);
    }

    fn find_patterns(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for pattern in &self.patterns {
            work::add(text.len());
            // Each match may have read to the end of the text, so their number is bounded.
            for (count, hit) in pattern.find_iter(text).enumerate() {
                if count == MAX_HITS {
                    found.push(hit.start()..text.len());
                    break;
                }
                found.push(hit.range());
            }
        }
    }
}

/// Where a card number begins that may be cut at the end of a text.
pub(crate) fn open_card_number(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let mut found = Vec::new();
    cards::find(text, true, &mut found);
    found.last().filter(|place| place.end == text.len()).map(|place| place.start)
}

/// The end of the run of bytes of a class that begins at `at`.
fn run(bytes: &[u8], at: usize, class: impl Fn(u8) -> bool) -> usize {
    let rest = &bytes[at..];
    let len = rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len());
    work::add(len + 1);
    at + len
}
