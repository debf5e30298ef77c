//! Shows what the rules of an event do to a body, for those who write catalogs.

use super::Event;
use crate::error::Error;
use crate::media::Media;
use crate::redact::{Body, Explanation, Reason, Redactor};

impl Redactor {
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
        let media = Media::of(content_type.as_bytes());
        Ok(self.explained(Some(&rules), |session| match media {
            Media::Text if !event.shows_text() => Body::omitted(Reason::Text),
            media => session.body(media, content_type, body, false),
        }))
    }
}
