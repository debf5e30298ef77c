//! What an error of the inner service means: whether it is a timeout, and what appears in `errors`.

use std::any::Any;
use std::error::Error;

use crate::diagnostics::contained;
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::record::Failure;

type BoxError = Box<dyn Error + Send + Sync>;

/// Tower's middleware speaks `BoxError`. Of a type of its own nothing is known but that it is an error: Rust has no way
/// to ask a type parameter whether it has a trait.
fn known<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let error: &dyn Any = error;
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return Some(&**error);
    }
    if let Some(error) = error.downcast_ref::<Box<dyn Error>>() {
        return Some(&**error);
    }
    error.downcast_ref::<std::io::Error>().map(|error| error as _)
}

/// Asks the classifier about the error and its sources.
pub(super) fn is_timeout<E: 'static>(engine: &Engine, error: &E) -> bool {
    contained("the classifier of timeouts", || chain(known(error)).any(|error| (engine.is_timeout)(error)))
        .unwrap_or(false)
}

/// Errors that are their own source are followed so far.
const MAX_SOURCES: usize = 16;

fn chain<'e>(first: Option<&'e (dyn Error + 'static)>) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(first, |&error| inner(error)).take(MAX_SOURCES)
}

/// What is behind an error. An I/O error that was made of another one does not tell that one as its source.
fn inner<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as _).or_else(|| error.source())
}

/// The default classifier: `Elapsed` of tower and of tokio, and the I/O kind. By type alone: what an error prints is the
/// application's text, of any length.
pub(crate) fn is_elapsed(error: &(dyn Error + 'static)) -> bool {
    let is_io = |error: &std::io::Error| error.kind() == std::io::ErrorKind::TimedOut;
    error.is::<tower::timeout::error::Elapsed>()
        || error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<std::io::Error>().is_some_and(is_io)
}

/// Puts the error's own words into the record.
pub(super) fn note_service_error<E: 'static>(exchange: &Exchange, error: &E) {
    if let Some(error) = known(error) {
        let failure = contained("an error's text", || Failure::of(error));
        exchange.with(|draft| failure.map(|failure| draft.late().add_error(failure)));
    }
}
