//! What a set of rules does to a document, told by names and pointers, never by values.

use std::fmt;

use super::pass::{Body, Pass};
use super::redactor::Redactor;

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

/// One value that was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit {
    /// Where it stands, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What made it a secret.
    pub rule: HitRule,
}

/// What made a value a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HitRule {
    /// The words of its key.
    Key,
    /// It stands in a bag of secrets.
    Bag,
    /// A pointer of the rules leads to it.
    Pointer,
    /// The value gives itself away, or something inside of it is secret.
    Value,
}

impl fmt::Display for HitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Bag => "bag",
            Self::Pointer => "pointer",
            Self::Value => "value",
        })
    }
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
        let mut pass = Pass::explaining(self);
        let (redacted, omitted) = match pass.json(document, false) {
            Body::Whole(json) | Body::Text(json) => (Some(json), None),
            Body::Beginning(json, reason) => (Some(json), Some(reason.as_str())),
            Body::Omitted(reason) => (None, Some(reason.as_str())),
        };
        Explanation { redacted, omitted, hits: pass.take_hits() }
    }
}

/// The hits of a walk, and where it stands.
#[derive(Debug, Default)]
pub(super) struct Trail {
    path: Vec<String>,
    pub(super) hits: Vec<Hit>,
}

impl Trail {
    /// The walk goes on to a member or element of the container that is the `depth`th from the root.
    pub(super) fn go_to(&mut self, depth: usize, key: &str) {
        self.path.truncate(depth);
        self.path.push(key.replace('~', "~0").replace('/', "~1"));
    }

    pub(super) fn hit(&mut self, depth: usize, rule: HitRule) {
        let steps = self.path.iter().take(depth);
        let pointer = steps.flat_map(|step| ["/", step.as_str()]).collect();
        self.hits.push(Hit { pointer, rule });
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
    }
}
