//! One entry of a record's `errors`.

use std::error::Error;
use std::fmt::{self, Write as _};

use crate::text::head;

/// The number of sources of an error that are followed. Some errors are their own source.
const MAX_SOURCES: usize = 16;

/// One entry of `errors`: what failed, in the words of the application.
///
/// ```
/// use tower_audit::Failure;
///
/// let failure = Failure::of(&"x".parse::<u32>().unwrap_err());
/// assert_eq!(failure.name(), "ParseIntError");
/// assert_eq!(failure.message(), "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a failure does nothing until a record has it"]
pub struct Failure {
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) stack: Option<String>,
}

impl Failure {
    /// A failure with the name of its kind, such as `NotFoundError`, and a sentence.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), stack: None }
    }

    /// The failure of an error: its type's name, its text, and as `stack` the texts of its sources (at most 16).
    pub fn of<E: Error + ?Sized>(error: &E) -> Self {
        let mut stack = String::new();
        let mut source = error.source();
        for _ in 0..MAX_SOURCES {
            let Some(cause) = source else { break };
            if !stack.is_empty() {
                stack.push('\n');
            }
            stack.push_str("caused by: ");
            push_text(&mut stack, cause);
            source = cause.source();
        }
        let mut message = String::new();
        push_text(&mut message, error);
        Self { name: short_type_name::<E>().to_owned(), message, stack: (!stack.is_empty()).then_some(stack) }
    }

    /// Where it failed, such as a stack trace.
    pub fn stack(mut self, stack: impl Into<String>) -> Self {
        self.stack = Some(stack.into());
        self
    }

    /// The name of its kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Appends what an error says of itself. More than a record keeps is not even formatted, because this runs on the request's
/// task. If the error's own `Display` fails, what it wrote until then is kept.
fn push_text<E: Error + ?Sized>(text: &mut String, error: &E) {
    struct Bounded<'t>(&'t mut String);
    impl fmt::Write for Bounded<'_> {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            const MOST: usize = 16 * 1024;
            if self.0.len() > MOST {
                return Err(fmt::Error);
            }
            self.0.push_str(head(more, MOST));
            Ok(())
        }
    }
    let _ = write!(Bounded(text), "{error}");
}

/// `Error` for `dyn Error`, `Elapsed` for `tower::timeout::error::Elapsed`, `Wrapped` for `a::Wrapped<b::Inner>`.
fn short_type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let path = full.split(['<', '+']).next().unwrap_or(full).trim_end();
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_become_the_stack() {
        let inner = std::io::Error::other("disk on fire");
        let error = crate::Error::start("cannot start").with_source(inner);
        let failure = Failure::of(&error);
        assert_eq!(failure, Failure::new("Error", "cannot start").stack("caused by: disk on fire"));
        let dynamic: &(dyn Error + Send + Sync) = &error;
        assert_eq!(Failure::of(dynamic).name, "Error");
    }

    #[test]
    fn an_error_whose_display_fails_does_no_harm() {
        #[derive(Debug)]
        struct Mute;
        impl fmt::Display for Mute {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        impl Error for Mute {}
        assert_eq!(Failure::of(&Mute), Failure::new("Mute", "half"));
    }
}
