//! How a request or activity ended, and the other closed sets of a record: status, level, stages, delivery.

use super::setting::setting_names;
use crate::text::wire_names;

/// How a request or activity ended: the closed set of the record's `outcome`.
///
/// Each admitted request has exactly one of them. What no library can record: a process that is killed (SIGKILL) or calls
/// `process::exit`, a panic under `panic = "abort"`, and a future or body that is passed to `mem::forget`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The whole response was passed to the server.
    Completed,
    /// The inner service returned an error instead of a response, or an activity failed.
    HandlerError,
    /// A panic unwound out of the handler or the response body. Its payload is not recorded.
    ///
    /// A layer *outside* that catches panics, such as tower-http's `CatchPanicLayer`, does not change that. One *inside* turns the
    /// panic into a response with 500, which is [`Outcome::Completed`], and failed.
    Panicked,
    /// The inner service's error was a timeout, by the timeout classifier. A response with 408 from inside is
    /// [`Outcome::Completed`], and failed; a timeout outside cancels the request: [`Outcome::Aborted`].
    TimedOut,
    /// The future or body was dropped before its end: the client disconnected, or an outer layer cancelled the request; the layer
    /// cannot distinguish the two. `meta.abortedAt` is `head` if that was before the response's head, else `body`.
    Aborted,
    /// The response's stream failed.
    BodyError,
    /// The connection was upgraded: 101, or 2xx to CONNECT.
    Upgraded,
    /// The layer refused the request because it could not have been recorded.
    Rejected,
    /// The request was dropped after the shutdown had begun.
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

/// Whether what was attempted succeeded: the record's `status`. The record's schema has these two, so a `match` can be complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It succeeded. An initiation has this status too.
    #[default]
    Succeeded,
    /// It failed; the record then has at least one error.
    Failed,
}

wire_names!(Status { Succeeded => "succeeded", Failed => "failed" });

/// The record's severity. The record's schema has these four, so a `match` can be complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// For events that matter only when something is investigated.
    Debug,
    /// The default of requests that succeeded.
    #[default]
    Info,
    /// The default of 4xx responses and of aborted requests.
    Warn,
    /// The default of all other failures.
    Error,
}

setting_names!(Level { Debug => "debug", Info => "info", Warn => "warn", Error => "error" });

/// Which records an event writes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stages {
    /// One record, when the request or activity has ended.
    Completion,
    /// One record when it began and one when it ended.
    Both,
    /// Only the record at the beginning; for activities such as one iteration of a step. A request with such an event is an
    /// error at build.
    Initiation,
}

setting_names!(Stages { Completion => "completion", Both => "both", Initiation => "initiation" });

/// Which of two logs a record belongs to: the record's `logType`. The record's schema has these two, so a `match` can be complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogType {
    /// An action, such as a change. The default.
    #[default]
    Audit,
    /// A request for content, such as the download of a package.
    Client,
}

setting_names!(LogType { Audit => "audit", Client => "client" });

#[cfg(feature = "export")]
impl LogType {
    pub(crate) const ALL: &[Self] = &[Self::Audit, Self::Client];
}

/// The delivery class: how the records of a request are delivered.
///
/// A setting from outside never weakens a class that code demands.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// The request never waits. When the queue is full, the record is dropped, and the loss is reported.
    Lossy,
    /// The request waits for queue space before its handler runs, without blocking a thread and with a time limit; after
    /// that, it gets 503. No request is handled without a record.
    #[default]
    Backpressure,
    /// Like [`Backpressure`](Self::Backpressure); and the response completes only after its record is written and synced by
    /// every required sink. If that takes too long, the response is cut off, never sent as complete; the record stays in the
    /// queue.
    Durable,
    /// Like [`Durable`](Self::Durable); and the initiation record is written and synced before the handler runs, or the
    /// request gets 503.
    FailClosed,
}

setting_names!(Delivery {
    Lossy => "lossy",
    Backpressure => "backpressure",
    Durable => "durable",
    FailClosed => "fail_closed",
});
