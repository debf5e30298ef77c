//! Finds values that have the form of a secret, whatever the key of the text.
//!
//! [`Scan`] reads a text once and reports which signs are in it; each search runs only on texts that have its signs:
//! token formats (`crate::tokens`), `pem` (private keys), `schemes` (credentials in an `Authorization` header), `userinfo`
//! (passwords in URLs), `signatures` (of presigned URLs), `cards` (card numbers), and patterns of the application. All of
//! them are linear in the text; `crate::work` counts the bytes they look at.

mod cards;
mod credential;
#[cfg(feature = "regex")]
mod patterns;
mod pem;
mod scan;
mod schemes;
mod signatures;
#[cfg(test)]
mod tests;
mod userinfo;

use std::ops::Range;

pub(in crate::redact) use self::cards::is_card_number;
pub(in crate::redact) use self::credential::looks_like_credential;
#[cfg(feature = "regex")]
pub(in crate::redact) use self::patterns::compile;
pub(in crate::redact) use self::scan::Scan;
pub(in crate::redact) use self::schemes::basic_credentials;
pub(in crate::redact) use self::signatures::is_signature;
use crate::redact::edits::join;
use crate::text::ELLIPSIS;
use crate::tokens::TokenFormats;
use crate::work;

/// A pattern of the application, whose matches are credentials too.
#[cfg(feature = "regex")]
pub(in crate::redact) type Pattern = regex::Regex;
/// Without the feature `regex` there is none.
#[cfg(not(feature = "regex"))]
pub(in crate::redact) type Pattern = std::convert::Infallible;

/// Appends places; the text may have been cut at its end.
type Find = fn(&str, bool, &mut Vec<Range<usize>>);

/// Each search, and the signs of which a text has all if it finds anything.
const SEARCHES: [(u32, Find); 6] = [
    (Scan::TOKEN, |text, cut, found| TokenFormats::shared().find(text, cut, &mut |place, _| found.push(place))),
    (Scan::KEY, pem::find),
    (Scan::SCHEME, schemes::find),
    (Scan::DIGITS, cards::find),
    (Scan::USERINFO, |text, _, found| userinfo::find(text, found)),
    (Scan::SIGNATURE, |text, _, found| signatures::find(text, found)),
];

/// Whether a text with this scan can hold anything that [`find`] finds.
#[inline]
pub(in crate::redact) fn may_find(patterns: &[Pattern], scan: Scan) -> bool {
    scan.has(Scan::TOKEN | Scan::KEY | Scan::SCHEME | Scan::DIGITS | Scan::SIGNATURE)
        || scan.has_all(Scan::USERINFO)
        || !patterns.is_empty()
}

/// Appends the places of credentials in a text, sorted and disjoint. One that ends with an ellipsis may have been cut there.
#[cfg_attr(not(feature = "regex"), expect(unused_variables, reason = "without the feature there are no patterns"))]
pub(in crate::redact) fn find(patterns: &[Pattern], whole: &str, scan: Scan, found: &mut Vec<Range<usize>>) {
    let beginning = whole.strip_suffix(ELLIPSIS);
    let (text, cut) = (beginning.unwrap_or(whole), beginning.is_some());
    for (_, find) in SEARCHES.iter().filter(|(signs, _)| scan.has_all(*signs)) {
        find(text, cut, found);
    }
    #[cfg(feature = "regex")]
    patterns::find(patterns, whole, found);
    join(found);
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
