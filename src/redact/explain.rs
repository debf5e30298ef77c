//! Shows what a set of rules does to a document, for those who write rules.

use super::hit::Hit;
use super::memory::Memory;
use super::redacted::Redacted;
use super::redactor::Redactor;
use super::session::{Body, Session};
use super::{EventRules, Reason};
use crate::media::Media;

/// The redacted document, and what was masked by which rule: the result of [`Redactor::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The document as a record would show it; `None` if it would be left out.
    pub redacted: Option<String>,
    /// Why the document, or the rest of it, would be left out, by the name that a record uses.
    pub omitted: Option<&'static str>,
    /// What was masked, in the order of the document. A value whose name comes after it is listed where its object ends.
    pub hits: Vec<Hit>,
}

impl Redactor {
    /// Shows what these rules do to a JSON document, to try them out.
    ///
    /// # Example: why is this masked?
    ///
    /// ```
    /// use tower_audit::{HitRule, Redactor};
    ///
    /// let explanation = Redactor::default().explain(br#"{"user":{"api_key":"k-4711-x","key_id":1}}"#);
    /// assert_eq!(explanation.redacted.as_deref(), Some(r#"{"user":{"api_key":"***","key_id":1}}"#));
    /// assert_eq!((&*explanation.hits[0].pointer, explanation.hits[0].rule), ("/user/api_key", HitRule::Key));
    /// ```
    pub fn explain(&self, document: &[u8]) -> Explanation {
        self.explained(None, |session| session.body(Media::Json, "", document, false))
    }

    /// What a set of rules does to a body, which `redact` reads.
    pub(crate) fn explained(
        &self,
        event: Option<&EventRules>,
        redact: impl FnOnce(&mut Session<'_>) -> Body,
    ) -> Explanation {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(self, event, &mut memory, &mut out);
        session.searcher.hits = Some(Vec::new());
        let body = redact(&mut session);
        let hits = session.searcher.hits.take().unwrap_or_default();
        let mut search = session.finish();
        let Body { mut shown, mut omitted } = body;
        if let Some(Err(budget)) = shown.as_mut().map(|piece| search.json(piece)) {
            (shown, omitted) = (None, Some(budget));
        }
        let redacted = shown.map(|piece| out.get(piece).to_owned());
        Explanation { redacted, omitted: omitted.map(Reason::as_str), hits }
    }
}
