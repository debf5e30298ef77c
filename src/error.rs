//! The one error type: what was wrong with a configuration, or what kept an audit log from starting.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// An error of this crate: a wrong configuration, an activity that was refused, or a log that cannot be read. The text of a
/// configuration error names the setting or event, what was given, and what is allowed.
///
/// A configuration is checked when the auditor is *built*; it causes no errors later. Errors never contain a header, query
/// or body value of a request.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What an [`Error`] is about.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A setting of the environment, of the settings file, or of a builder is wrong.
    Setting,
    /// An event or a route of the catalog is wrong, given twice, or in conflict with another.
    Catalog,
    /// A redaction rule is wrong.
    Redaction,
    /// The system refused something that the audit log cannot start without, such as a thread or a file.
    Start,
    /// The record of an activity could not be admitted: do not start the operation, or do not confirm it.
    Refused,
    /// A text that was to be read as a record is not a line of an audit log.
    Record,
    /// A file, folder or bucket of an audit log cannot be read.
    Read,
}

impl Error {
    /// The kind of the error. If a configuration has several problems, that of the first.
    ///
    /// ```
    /// use tower_audit::{Auditor, ErrorKind};
    ///
    /// let error = Auditor::builder().queue_records(0).build().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Setting);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn record(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Record, message)
    }

    /// With the cause in the text too, which most programs print alone.
    pub(crate) fn read(what: impl fmt::Display, cause: std::io::Error) -> Self {
        Self::new(ErrorKind::Read, format!("cannot read {what}: {cause}")).with_source(cause)
    }

    pub(crate) fn setting(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Setting, message)
    }

    pub(crate) fn catalog(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Catalog, message)
    }

    pub(crate) fn redaction(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Redaction, message)
    }

    pub(crate) fn start(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Start, message)
    }

    pub(crate) fn refused(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// The same, said of a setting.
    pub(crate) fn within(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message).into();
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }
}

/// What is wrong with a configuration, gathered so that all of it is reported at once: one line each.
#[derive(Default)]
pub(crate) struct Problems(Vec<Error>);

impl Problems {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// Adds a problem if there are more of something than are allowed.
    pub(crate) fn limit(&mut self, given: usize, what: &str, most: usize) {
        if given > most {
            self.push(Error::redaction(format!("redaction: {given} {what}, at most {most} are allowed")));
        }
    }

    /// The value, or none and one more problem.
    pub(crate) fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// All of them as one error: of the first one's kind, with the first source.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let mut errors = self.0.into_iter();
        let Some(mut all) = errors.next() else { return Ok(()) };
        for error in errors {
            all.message = format!("{}\n{}", all.message, error.message).into();
            all.source = all.source.or(error.source);
        }
        Err(all)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The text of the error and its source, so that a `main` that returns it prints what is wrong; `{:#?}` shows
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
