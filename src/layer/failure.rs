//! What an error of the inner service tells: whether it is a timeout, and what stands in `errors`.

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
const MOST_SOURCES: usize = 16;

fn chain<'e>(first: Option<&'e (dyn Error + 'static)>) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(first, |&error| error.source()).take(MOST_SOURCES)
}

/// The default classifier: `Elapsed` of tower and of tokio, any version, and the I/O kind.
///
/// Both types print as `Elapsed(())`; naming the types instead would tie the core to one version of either.
pub(crate) fn is_elapsed(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => error.kind() == std::io::ErrorKind::TimedOut,
        None => format!("{error:?}") == "Elapsed(())",
    }
}

/// Puts the error's own words into the record.
pub(super) fn note_service_error<E: 'static>(exchange: &Exchange, error: &E) {
    if let Some(error) = known(error) {
        let failure = contained("an error's text", || Failure::of(error));
        exchange.with(|draft| failure.map(|failure| draft.late().add_error(failure)));
    }
}
