//! How work without a request ended, read from its result: success, or the error's own words.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::activity::Activity;
use crate::layer::Guard;
use crate::record::{Failure, Outcome};

/// A result that [`Activity::finish`] and [`Activity::run`] understand: a `Result`, or a reference to one, whose error is an
/// [`Error`], an `anyhow::Error` (or another that gives out a `dyn Error`), or a boxed error.
///
/// `K` distinguishes the kinds of errors; the compiler infers it.
pub trait ActivityResult<K>: sealed::Sealed {
    /// Why it failed; `None` if it did not.
    #[doc(hidden)]
    fn why_failed(&self) -> Option<Failure>;
}

/// An error that can be put into a record. `K` distinguishes the kinds of errors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded as an error",
    note = "it must be an `Error`, an `anyhow::Error` or a boxed error; for others use `Activity::fail_with`"
)]
pub trait AsFailure<K> {
    #[doc(hidden)]
    fn as_failure(&self) -> Failure;
}

/// The kinds of errors of [`AsFailure`]: without them the implementations would overlap.
mod kinds {
    #[derive(Debug)]
    pub enum Typed {}
    #[derive(Debug)]
    pub enum Dynamic {}
    #[derive(Debug)]
    pub enum Boxed {}
}

impl<E: Error> AsFailure<kinds::Typed> for E {
    fn as_failure(&self) -> Failure {
        Failure::of(self)
    }
}

impl<E: AsRef<dyn Error + Send + Sync>> AsFailure<kinds::Dynamic> for E {
    fn as_failure(&self) -> Failure {
        Failure::of(self.as_ref())
    }
}

impl AsFailure<kinds::Boxed> for Box<dyn Error> {
    fn as_failure(&self) -> Failure {
        Failure::of(&**self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
    impl<T, E> Sealed for &Result<T, E> {}
}

impl<T, E: AsFailure<K>, K> ActivityResult<K> for Result<T, E> {
    fn why_failed(&self) -> Option<Failure> {
        self.as_ref().err().map(AsFailure::as_failure)
    }
}

impl<T, E: AsFailure<K>, K> ActivityResult<K> for &Result<T, E> {
    fn why_failed(&self) -> Option<Failure> {
        (*self).why_failed()
    }
}

pin_project! {
    /// A future that records how its work ends. Made by [`Activity::run`].
    #[must_use = "the work does not begin before this is awaited"]
    pub struct ActivityRun<F, K> {
        // Dropped before the guard: what its destructors say is still recorded.
        #[pin]
        work: F,
        // None where nothing is recorded.
        guard: Option<Guard>,
        kind: PhantomData<fn(K)>,
    }
}

impl<F, K> ActivityRun<F, K> {
    pub(crate) fn new(activity: Activity, work: F) -> Self {
        let guard = activity.into_audit().exchange().cloned().map(Guard::new);
        Self { work, guard, kind: PhantomData }
    }
}

impl<F, K> Future for ActivityRun<F, K>
where
    F: Future,
    F::Output: ActivityResult<K>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(Guard::watch_if(this.guard.as_ref(), || this.work.poll(cx)));
        if let Some(guard) = this.guard.take() {
            let outcome = match guard.watch(|| result.why_failed()) {
                None => Outcome::Completed,
                Some(failure) => {
                    guard.exchange().bind(|draft| draft.late().set_failed(failure));
                    Outcome::HandlerError
                }
            };
            // Whoever has to wait for the record uses `emit`.
            drop(guard.finish(outcome));
        }
        Poll::Ready(result)
    }
}

impl<F, K> fmt::Debug for ActivityRun<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityRun").finish_non_exhaustive()
    }
}
