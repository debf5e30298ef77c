//! What hit where: by pointers and rules, never by values.

use std::fmt;

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
    /// The value gives itself away, or something inside of it is secret, or it is too deep to be looked into. Where a key
    /// gives itself away, the pointer ends in what is shown of that key.
    Value,
    /// It is the value of a header that was marked as [sensitive](http::HeaderValue::set_sensitive).
    Header,
    /// It was masked elsewhere in the exchange, or named as a [secret](crate::Audit::secret) by the application.
    Echo,
}

impl HitRule {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Bag => "bag",
            Self::Pointer => "pointer",
            Self::Value => "value",
            Self::Header => "header",
            Self::Echo => "echo",
        }
    }
}

impl fmt::Display for HitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
