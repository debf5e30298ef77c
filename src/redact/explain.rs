//! Shows what a set of rules does to a document, for those who write rules.

use super::hit::Hit;
use super::memory::Memory;
use super::redacted::Redacted;
use super::redactor::Redactor;
use super::session::{Body, Session};
use super::{EventRules, Reason};
use crate::catalog::Event;
use crate::error::Error;
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
        self.explained(None, |session| session.json_body(document, false))
    }

    /// Shows what these rules and those of an event do to a body of a content type: JSON, a form (or a query), multipart,
    /// or text where the event [shows it](Event::text_bodies).
    ///
    /// The pointer of a hit is `/` and the field's name in a form, and a pointer into the list of parts in multipart. Values
    /// in free text are not listed.
    ///
    /// # Errors
    ///
    /// If the event's pointers or names are wrong.
    ///
    /// # Example: a form, and a key that one event adds
    ///
    /// ```
    /// use tower_audit::{Event, HitRule, Redactor};
    ///
    /// let event = Event::new("BadgeIssue").secret_pointer("/badge").not_secret("pin");
    /// let form = "application/x-www-form-urlencoded";
    /// let explanation = Redactor::default().explain_for(&event, form, b"badge=7&pin=2&token=a1b2c3d4")?;
    /// assert_eq!(explanation.redacted.as_deref(), Some(r#"{"badge":"***","pin":"2","token":"***"}"#));
    /// let hits: Vec<_> = explanation.hits.iter().map(|hit| (hit.pointer.as_str(), hit.rule)).collect();
    /// assert_eq!(hits, [("/badge", HitRule::Pointer), ("/token", HitRule::Key)]);
    /// # Ok::<(), tower_audit::Error>(())
    /// ```
    pub fn explain_for(&self, event: &Event, content_type: &str, body: &[u8]) -> Result<Explanation, Error> {
        let rules = event.rules()?;
        Ok(self.explained(Some(&rules), |session| match Media::of(content_type.as_bytes()) {
            Media::Json => session.json_body(body, false),
            Media::Form => session.form_body(body, false),
            Media::Multipart => session.multipart_body(content_type, body, false),
            Media::Text if event.shows_text() => session.text_body(body, false),
            Media::Text => Body::Omitted(Reason::Text),
            Media::Binary => Body::Omitted(Reason::Binary),
            Media::Unknown => Body::Omitted(Reason::Unsupported),
        }))
    }

    fn explained(&self, event: Option<&EventRules>, redact: impl FnOnce(&mut Session<'_>) -> Body) -> Explanation {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(self, event, &mut memory, &mut out).explaining();
        let body = redact(&mut session);
        let hits = session.take_hits();
        let mut search = session.finish();
        let (piece, reason) = match body {
            Body::Whole(piece) => (Some(piece), None),
            Body::Beginning(piece, reason) => (Some(piece), Some(reason)),
            Body::Omitted(reason) => (None, Some(reason)),
        };
        let (piece, reason) = match piece {
            Some(mut piece) => match search.json(&mut piece) {
                Ok(()) => (Some(piece), reason),
                Err(reason) => (None, Some(reason)),
            },
            None => (None, reason),
        };
        let redacted = piece.map(|piece| out.get(piece).to_owned());
        Explanation { redacted, omitted: reason.map(Reason::as_str), hits }
    }
}
