//! How an exchange ended, and the small closed sets beside it.

use std::fmt;

/// Writes the wire names of a closed set once, for [`fmt::Display`] and `as_str` alike.
macro_rules! wire_names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name that records carry.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// How an exchange ended: the closed set of the record's `outcome`.
///
/// Each request that the layer lets in has exactly one of them. What no library can record: a process that is killed
/// (SIGKILL) or calls `process::exit`, a panic under `panic = "abort"`, and a future or body that is given to
/// `mem::forget`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The response was produced and handed over to its end.
    Completed,
    /// The inner service returned an error instead of a response, or an activity failed.
    HandlerError,
    /// A panic unwound out of the handler or the response body. Its payload is not recorded.
    ///
    /// That is so with a layer *outside* that catches panics, such as tower-http's `CatchPanicLayer`. One *inside* has made
    /// an answer with 500 of it before we see it: [`Outcome::Completed`], and failed.
    Panicked,
    /// The inner service's error was a timeout, as the classifier says. An answer with 408 from inside is
    /// [`Outcome::Completed`], and failed; a timeout outside drops us: [`Outcome::Aborted`].
    TimedOut,
    /// The future or body was dropped before its end: the client went away, or a layer outside gave up.
    /// From inside the two cannot be told apart. `meta.abortedAt` tells whether that was before the `head` or in the `body`.
    Aborted,
    /// The response's stream failed.
    BodyError,
    /// The connection was handed over: 101, or 2xx to CONNECT.
    Upgraded,
    /// We refused the request because it could not have been recorded.
    Rejected,
    /// Dropped after shutdown began.
    Shutdown,
}

wire_names!(Outcome {
    Completed => "completed",
    HandlerError => "handler_error",
    Panicked => "panicked",
    TimedOut => "timed_out",
    Aborted => "aborted",
    BodyError => "body_error",
    Upgraded => "upgraded",
    Rejected => "rejected",
    Shutdown => "shutdown",
});

/// Whether what was attempted succeeded: the record's `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It succeeded; an initiation always has.
    #[default]
    Succeeded,
    /// It failed; the record then has at least one error.
    Failed,
}

wire_names!(Status { Succeeded => "succeeded", Failed => "failed" });

/// The record's severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// For events that matter only when something is investigated.
    Debug,
    /// The default of what succeeded.
    #[default]
    Info,
    /// The default of 4xx answers and of exchanges that were broken off.
    Warn,
    /// The default of everything else that failed.
    Error,
}

wire_names!(Level { Debug => "debug", Info => "info", Warn => "warn", Error => "error" });

/// Which records an event writes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stages {
    /// One record, when the exchange has ended.
    Completion,
    /// One when it began and one when it ended.
    Both,
    /// Only the first; for activities such as one iteration of a step. A request with such an event is an error at build.
    Initiation,
}

wire_names!(Stages { Completion => "completion", Both => "both", Initiation => "initiation" });

/// What a request is worth: how its records are delivered.
///
/// A setting from outside never weakens a class that code demands.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// Never waits. When the queue is full the record is dropped, and the loss is told.
    #[default]
    Lossy,
    /// Waits for room before the handler runs, asynchronously and bounded; then 503. Nothing is handled unrecorded.
    Backpressure,
    /// Besides: the client cannot receive the end of a response before its record is written and synced by every required
    /// sink. If that takes too long the response is broken off, never sent as complete, and the record stays queued.
    Durable,
    /// Besides: the initiation record is durable before the handler runs; else 503.
    FailClosed,
}

wire_names!(Delivery {
    Lossy => "lossy",
    Backpressure => "backpressure",
    Durable => "durable",
    FailClosed => "fail_closed",
});
