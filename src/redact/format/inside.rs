//! What is inside of a text: JSON, a URL or a form, percent-encoding; and in free text, values that a name precedes.

use super::super::Reason;
use super::super::decode::Decoded;
use super::super::detect::Scan;
use super::super::edits::Places;
use super::super::rules::Class;
use super::super::search::{Level, Search, Searcher};
use super::{json, text, url};

impl Searcher<'_> {
    /// Appends the places of secrets inside of a text, which has this scan and is at this level.
    pub(crate) fn find_inside(&mut self, text: &str, scan: Scan, level: Level, search: Search, places: &mut Places) {
        let is_document = scan.has(Scan::BRACKET) && find_document(self, text, level, search, places);
        if !is_document && scan.has(Scan::EQUALS) {
            url::find_fields(self, text, scan, level, places);
        }
        if !is_document
            && scan.has(Scan::PERCENT)
            && let Some(level) = level.decoded()
            && let Some(decoded) = Decoded::percent(text)
        {
            let mut inside = Vec::new();
            self.find(&decoded.text, level, search, &mut inside);
            places.extend(inside.iter().map(|place| decoded.source(place)));
        }
        if search == Search::Free {
            text::names(self, text, scan, places);
        }
    }
}

/// Whether all of a text is an object or a list, or is too deep to know.
pub(super) fn is_document(searcher: &mut Searcher<'_>, text: &str) -> bool {
    json::document_in(text).is_some_and(|document| json::is_all(text, &document))
        && find_document(searcher, text, Level::TOP, Search::Client, &mut Vec::new())
}

/// Searches the document that a text is, or that it has in it. Whether all of the text is one.
fn find_document(searcher: &mut Searcher<'_>, text: &str, level: Level, search: Search, places: &mut Places) -> bool {
    let (Some(document), Some(inside)) = (json::document_in(text), level.inside()) else { return false };
    let is_all = json::is_all(text, &document);
    if !is_all && level != Level::TOP {
        return false;
    }
    let part = &text[document.clone()];
    let walked = json::walk(searcher, part, Class::Plain, inside, search, false, |walked, edits| {
        walked.map(|_| places.extend(edits.places(document.start)))
    });
    if walked == Err(Reason::TooDeep) {
        // What is beyond the limits was not read, so none of it shows, nor what may repeat it.
        places.push(document);
        searcher.memory.remembered.is_full = true;
    }
    is_all && matches!(walked, Ok(()) | Err(Reason::TooDeep))
}
