//! What is inside of a text: JSON, a URL or a form, percent-encoding; and in free text, values that a name precedes.

use std::ops::Range;

use super::super::Reason;
use super::super::decode::Decoded;
use super::super::detect::Scan;
use super::super::rules::Class;
use super::super::search::{Level, Search, Searcher};
use super::{json, text, url};

/// Appends the places of secrets inside of a text.
pub(in crate::redact) fn inside(
    searcher: &mut Searcher<'_>,
    text: &str,
    scan: Scan,
    level: Level,
    search: Search,
    places: &mut Vec<Range<usize>>,
) {
    let mut is_document = false;
    if let Some(inside) = level.inside() {
        let document = if scan.has(Scan::BRACKET) { json::document_in(text) } else { None };
        if let Some(document) = document {
            let is_all = json::is_all(text, &document);
            if is_all || level == Level::TOP {
                is_document = find_in_document(searcher, text, document, inside, search, places) && is_all;
            }
        }
        if !is_document && scan.has(Scan::EQUALS) {
            url::find_fields(searcher, text, scan, level.is_outside().then_some(inside), places);
        }
    }
    if !is_document
        && scan.has(Scan::PERCENT)
        && let Some(level) = level.decoded()
        && let Some(decoded) = Decoded::percent(text)
    {
        let mut inside = Vec::new();
        searcher.find(&decoded.text, level, search, &mut inside);
        places.extend(inside.iter().map(|place| decoded.source(place)));
    }
    if search == Search::Free {
        text::names(searcher, text, scan, places);
    }
}

/// Whether all of a text is an object or a list, or is too deep to know.
pub(super) fn is_document(searcher: &mut Searcher<'_>, text: &str) -> bool {
    let document = json::document_in(text).filter(|document| json::is_all(text, document));
    let (Some(document), Some(inside)) = (document, Level::TOP.inside()) else { return false };
    find_in_document(searcher, text, document, inside, Search::Client, &mut Vec::new())
}

/// Searches a document within a text. Whether it is one.
fn find_in_document(
    searcher: &mut Searcher<'_>,
    text: &str,
    document: Range<usize>,
    level: Level,
    search: Search,
    places: &mut Vec<Range<usize>>,
) -> bool {
    let part = &text[document.clone()];
    let walked = json::walk(searcher, part, Class::Plain, level, search, false, |walked, edits| {
        walked.map(|_| places.extend(edits.places(document.start)))
    });
    if walked == Err(Reason::TooDeep) {
        // What is beyond the limits was not read, so none of it shows, nor what may repeat it.
        places.push(document);
        searcher.memory.remembered.overflow();
    }
    matches!(walked, Ok(()) | Err(Reason::TooDeep))
}
