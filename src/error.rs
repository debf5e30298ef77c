//! The one error type: what was wrong with a configuration, or what kept an audit trail from starting.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What was wrong, in words that name the setting or event, what was given, and what is allowed.
///
/// Errors of this crate appear when something is *built*; nothing about a configuration can fail
/// later. They never hold a header, query or body value of a request.
pub struct Error {
    kind: Kind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Setting,
    Catalog,
    Redaction,
    Start,
    Refused,
    Record,
}

impl Error {
    /// A setting of the environment, of the settings file, or of the builder is wrong.
    pub fn is_setting(&self) -> bool {
        self.kind == Kind::Setting
    }

    /// An event or a route of the catalog is wrong, doubled, or in conflict with another.
    pub fn is_catalog(&self) -> bool {
        self.kind == Kind::Catalog
    }

    /// A redaction rule is wrong.
    pub fn is_redaction(&self) -> bool {
        self.kind == Kind::Redaction
    }

    /// The system refused something that the audit trail cannot start without, such as a thread.
    pub fn is_start(&self) -> bool {
        self.kind == Kind::Start
    }

    /// There was no room to record what was about to begin, so it should not.
    pub fn is_refused(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// A text is not a line of an audit log.
    pub fn is_record(&self) -> bool {
        self.kind == Kind::Record
    }

    pub(crate) fn record(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Record, message)
    }

    pub(crate) fn setting(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Setting, message)
    }

    pub(crate) fn catalog(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Catalog, message)
    }

    pub(crate) fn redaction(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Redaction, message)
    }

    pub(crate) fn start(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Start, message)
    }

    pub(crate) fn refused(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The text of the error and its source, so that a `main` that returns it tells the operator what is wrong; `{:#?}` shows
/// its fields.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return match &self.source {
                Some(source) => write!(f, "{self}: {source}"),
                None => write!(f, "{self}"),
            };
        }
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_prints_its_text() {
        let error = Error::setting("A: given \"x\"\nB: given \"y\"").with_source(std::io::Error::other("disk on fire"));
        assert_eq!(format!("{error:?}"), "A: given \"x\"\nB: given \"y\": disk on fire");
        assert!(format!("{error:#?}").contains("kind: Setting"));
    }
}
