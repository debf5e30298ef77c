//! What a set of rules does to a document, told by names and pointers, never by values.

use super::front::Body;
use super::hit::Hit;
use super::pass::Pass;
use super::redactor::Redactor;
use super::trail::Trail;
use crate::capture::Media;
use crate::catalog::Event;
use crate::error::Error;
use crate::record::Reason;

/// What a [`Redactor`] makes of a document, and why: see [`Redactor::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The document as a record would show it; `None` if it would be left out.
    pub redacted: Option<String>,
    /// Why the document, or the rest of it, would be left out, by the name that stands in the record.
    pub omitted: Option<&'static str>,
    /// What was masked, in the order of the document.
    pub hits: Vec<Hit>,
}

impl Redactor {
    /// Tells what these rules do to a JSON document, to try them out.
    ///
    /// # Example: why is this masked?
    ///
    /// ```
    /// use tower_audit::Redactor;
    ///
    /// let explanation = Redactor::default().explain(br#"{"user":{"api_key":"x","key_id":1}}"#);
    /// assert_eq!(explanation.redacted.as_deref(), Some(r#"{"user":{"api_key":"***","key_id":1}}"#));
    /// assert_eq!(explanation.hits[0].pointer, "/user/api_key");
    /// ```
    pub fn explain(&self, document: &[u8]) -> Explanation {
        let mut pass = Pass::with_trail(self, None, Trail::explaining());
        let body = pass.json(document, false);
        Explanation::of(body, pass.take_hits())
    }

    /// Tells what these rules and those of an event do to a body of a content type: JSON, a form (or a query), multipart,
    /// or text where the event [shows it](Event::text_bodies).
    ///
    /// In a form a hit's pointer is `/` and the field's name; in multipart it leads into the list of parts; in a text it is
    /// `/` and the name before the value, or empty where the value gave itself away.
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
    /// let explanation = Redactor::default().explain_for(&event, form, b"badge=7&pin=2&token=3")?;
    /// assert_eq!(explanation.redacted.as_deref(), Some(r#"{"badge":"***","pin":"2","token":"***"}"#));
    /// let hits: Vec<_> = explanation.hits.iter().map(|hit| (hit.pointer.as_str(), hit.rule)).collect();
    /// assert_eq!(hits, [("/badge", HitRule::Pointer), ("/token", HitRule::Key)]);
    /// # Ok::<(), tower_audit::Error>(())
    /// ```
    pub fn explain_for(&self, event: &Event, content_type: &str, body: &[u8]) -> Result<Explanation, Error> {
        let rules = event.rules()?;
        let media = Media::of(content_type.as_bytes());
        let mut pass = Pass::with_trail(self, Some(&rules), Trail::explaining());
        let body = match media {
            Media::Json => pass.json(body, false),
            Media::Form => pass.form(body, false),
            Media::Multipart => pass.multipart(content_type, body, false),
            Media::Text if event.shows_text() => pass.text_of(content_type, body, false),
            Media::Text => Body::Omitted(Reason::Text),
            Media::Binary => Body::Omitted(Reason::Binary),
            Media::Unknown => Body::Omitted(Reason::Unsupported),
        };
        Ok(Explanation::of(body, pass.take_hits()))
    }
}

impl Explanation {
    fn of(body: Body, hits: Vec<Hit>) -> Self {
        let (redacted, omitted) = match body {
            Body::Whole(json) | Body::Text(json) => (Some(json), None),
            Body::Beginning(json, reason) => (Some(json), Some(reason.as_str())),
            Body::Omitted(reason) => (None, Some(reason.as_str())),
        };
        Self { redacted, omitted, hits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_named_where_it_hit() {
        let redactor = Redactor::builder().pointer("/list/*/x").build().unwrap();
        let text = br#"{"a/b":{"token":{"p":1}},"list":[{"x":1},{"y":"x=1&pin=2"},4111111111111111],"secrets":{"s":[1,{}]},"pin":"1"}"#;
        let explanation = redactor.explain(text);
        let hits: Vec<String> = explanation.hits.iter().map(|hit| format!("{} {}", hit.pointer, hit.rule)).collect();
        assert_eq!(
            hits,
            [
                "/a~1b/token key",
                "/list/0/x pointer",
                "/list/1/y value",
                "/list/2 value",
                "/secrets/s/0 bag",
                "/pin key"
            ]
        );
        assert_eq!(
            explanation.redacted.as_deref(),
            Some(
                r#"{"a/b":{"token":"***"},"list":[{"x":"***"},{"y":"x=1&pin=***"},"***"],"secrets":{"s":["***",{}]},"pin":"***"}"#
            )
        );
        assert_eq!(redactor.explain(b"\"AKIAIOSFODNN7EXAMPLE\"").hits[0].pointer, "");
        assert_eq!(redactor.explain(b"{").omitted, Some("invalid"));
        let pair = redactor.explain(br#"[{"value":{"x":1},"name":"pin"},{"name":"pin","value":1}]"#);
        assert_eq!(pair.hits.iter().map(|hit| hit.pointer.as_str()).collect::<Vec<_>>(), ["/0/value", "/1/value"]);
    }

    #[test]
    fn no_kind_of_body_has_its_values_told() {
        let event = Event::new("X").secret_bag("bag").secret_pointer("/point").not_secret("pin").text_bodies();
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let multipart = format!("{}{}{}--x--", part("a", "1"), part("token", "cAnArY"), part("b", "pw=cAnArY"));
        for (content_type, body, hits) in [
            ("application/json", r#"{"bag":{"a":"cAnArY"},"point":"cAnArY","pin":1}"#, "/bag/a bag, /point pointer"),
            (
                "application/x-www-form-urlencoded",
                "bag=cAnArY&point=cAnArY&pin=1&token=cAnArY&a=pw%3DcAnArY",
                "/bag bag, /point pointer, /token key, /a value",
            ),
            ("multipart/form-data; boundary=x", &multipart, "/1/value key, /2/value value"),
            ("text/plain", "token: cAnArY\npw=cAnArY\nAKIAIOSFODNN7EXAMPLE", "/token key,  value, /pw key"),
            ("text/xml", "<a token='cAnArY'><pwd>cAnArY</pwd></a>", "/token key, /pwd key"),
            ("text/plain", r#"{"a":{"token":"cAnArY"}}"#, "/a/token key"),
            (
                "text/plain",
                r#"{"a":{"x":"y=1&pwd=cAnArY","token":1},"l":[{"value":"cAnArY","name":"pwd"}]}"#,
                "/a/x value, /a/token key, /l/0/value key",
            ),
            ("text/plain", "a=%7B%22pwd%22%3A%22cAnArY%22%7D", " value"),
            ("application/json", r#"{"AKIAIOSFODNN7EXAMPLE":{"token":1}}"#, "/*** value, /***/token key"),
            ("application/x-www-form-urlencoded", "AKIAIOSFODNN7EXAMPLE=1", "/*** value"),
            ("image/png", "cAnArY", ""),
        ] {
            let explanation = Redactor::default().explain_for(&event, content_type, body.as_bytes()).unwrap();
            let told: Vec<String> =
                explanation.hits.iter().map(|hit| format!("{} {}", hit.pointer, hit.rule)).collect();
            assert_eq!(told.join(", "), hits, "{content_type}");
            assert!(!format!("{explanation:?}").contains("cAnArY"), "{explanation:?}");
        }
        assert!(Redactor::default().explain_for(&Event::new("X").secret_pointer("a"), "text/json", b"1").is_err());
    }
}
