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
    find(searcher, text, scan, level, search, places);
    if search == Search::Free {
        text::names(searcher, text, scan, places);
    }
}

fn find(
    searcher: &mut Searcher<'_>,
    text: &str,
    scan: Scan,
    level: Level,
    search: Search,
    places: &mut Vec<Range<usize>>,
) {
    if let Some(inside) = level.inside() {
        if scan.has(Scan::BRACKET)
            && let Some(document) = json::document_in(text)
            && (level == Level::TOP || json::is_all(text, &document))
        {
            let is_read = find_in_document(searcher, text, document.clone(), inside, search, places);
            if is_read && json::is_all(text, &document) {
                return;
            }
        }
        if scan.has(Scan::EQUALS) {
            let is_url = level.is_outside();
            url::find_fields(searcher, text, scan, is_url.then_some(inside), places);
        }
    }
    if scan.has(Scan::PERCENT)
        && let Some(level) = level.decoded()
        && let Some(decoded) = Decoded::percent(text)
    {
        let mut inside = Vec::new();
        searcher.find(&decoded.text, level, search, &mut inside);
        places.extend(inside.iter().map(|place| decoded.source(place)));
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
        searcher.overflow();
    }
    matches!(walked, Ok(()) | Err(Reason::TooDeep))
}
