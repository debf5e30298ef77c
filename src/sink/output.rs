//! A sink with what belongs to it: its name, its filter, and whether a request may go on without it.

use std::any::Any;
use std::fmt;

use super::{Sink, Stderr, Stdout, Stream};
use crate::filter::Filter;
use crate::format::{self, Format};
use crate::record::{FieldGroup, FieldGroups, LogType};

/// A [`Sink`] with its settings: name, filter, format, and whether it is required.
///
/// ```
/// use tower_audit::{Auditor, Filter, Level, sink};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (all, records) = sink::memory();
/// let (bad, failures) = sink::memory();
/// let auditor = Auditor::builder()
///     .sink(all)
///     .sink(sink::Output::new(bad).name("failures").best_effort().filter(Filter::level(Level::Warn)))
///     .build()?;
/// drop(auditor);
/// assert_eq!(records.lines().len(), 2); // `AuditStarted` and `AuditStopped`,
/// assert_eq!(failures.lines().len(), 2); // which no filter removes
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Output {
    pub(crate) sink: Box<dyn Sink>,
    /// Which standard stream it is, if it is one.
    pub(crate) standard: Option<Stream>,
    pub(crate) name: Option<String>,
    pub(crate) need: Option<Need>,
    pub(crate) filter: Option<Filter>,
    pub(crate) format: Box<dyn Format>,
    pub(crate) max_line_bytes: Option<usize>,
    pub(crate) omit: FieldGroups,
}

/// Whether a request may go on without a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    BestEffort,
}

impl Output {
    /// A sink with the defaults of the first sink: required, and with all records.
    pub fn new(sink: impl Sink) -> Self {
        let sink: Box<dyn Sink> = Box::new(sink);
        let standard = standard(&*sink);
        Self {
            sink,
            standard,
            name: None,
            need: None,
            filter: None,
            format: Box::new(format::json()),
            max_line_bytes: None,
            omit: FieldGroups::default(),
        }
    }

    /// Its name in counters, hooks and records of losses. By default `sink-1`, `sink-2`, … If another sink has the name
    /// already, a number is appended: `main`, `main-2`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A record counts as written only after this sink has written it. Requests whose records may not be lost wait for
    /// that. While it is given up, requests of the classes `durable` and `fail_closed` are refused. The default of the
    /// first sink.
    pub fn required(mut self) -> Self {
        self.need = Some(Need::Required);
        self
    }

    /// No request waits for this sink. Records that it cannot take in time are lost for this sink only, and it receives
    /// a report of the loss. The default of all sinks but the first.
    pub fn best_effort(mut self) -> Self {
        self.need = Some(Need::BestEffort);
        self
    }

    /// Which records it gets. If a filter was set before, a record has to pass both. No filter removes the library's own
    /// records, whose names begin with `Audit`. Called on a library thread; if it panics, the record is written.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(before) => before.and(filter),
            None => filter,
        });
        self
    }

    /// Records of this log type only: a shorthand for [`filter`](Self::filter) with [`Filter::log_type`].
    pub fn log_type(self, log_type: LogType) -> Self {
        self.filter(Filter::log_type(log_type))
    }

    /// The longest line, in bytes, its newline included. By default that of the auditor
    /// ([`max_line_bytes`](crate::AuditorBuilder::max_line_bytes)). A value that is shortened here can be complete in other
    /// outputs.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = Some(bytes);
        self
    }

    /// Groups of fields that it does not show; see [`FieldGroup`]. By default it shows all.
    pub fn omit(mut self, groups: impl IntoIterator<Item = FieldGroup>) -> Self {
        self.omit.extend(&groups.into_iter().collect::<Vec<_>>());
        self
    }

    /// The format of its lines, from [`format`](crate::format) or your own. By default [`json`](crate::format::json()).
    ///
    /// Called on a library thread. If it panics, the record is written as JSON, and the panic is counted
    /// ([`SinkCounters::panics`](crate::SinkCounters::panics)).
    pub fn format(mut self, format: impl Format) -> Self {
        self.format = format::boxed(format);
        self
    }
}

/// Which standard stream a sink is, in however many boxes.
fn standard(sink: &dyn Any) -> Option<Stream> {
    if let Some(boxed) = sink.downcast_ref::<Box<dyn Sink>>() {
        return standard(&**boxed);
    }
    let of = |is: bool, stream| is.then_some(stream);
    of(sink.is::<Stdout>() || sink.is::<Box<Stdout>>(), Stream::Output)
        .or_else(|| of(sink.is::<Stderr>() || sink.is::<Box<Stderr>>(), Stream::Error))
}

impl<S: Sink> From<S> for Output {
    fn from(sink: S) -> Self {
        Self::new(sink)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("name", &self.name).field("need", &self.need).finish_non_exhaustive()
    }
}

/// Whether a sink works.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkState {
    /// The sink wrote the last batch.
    #[default]
    Healthy,
    /// It failed, and is tried again.
    Failing,
    /// It failed for too long and was given up. Its records are lost and counted. It is tried again every 30 seconds, unless
    /// it is standard output or standard error and its reader has exited.
    GivenUp,
}

impl SinkState {
    /// The name in counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::GivenUp => "given_up",
        }
    }
}

impl fmt::Display for SinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::sink;

    #[test]
    fn a_standard_stream_is_known_in_its_box_too() {
        let boxed = |sink: Box<dyn Sink>| Output::new(sink).standard;
        assert_eq!(Output::new(sink::stderr().unwrap()).standard, Some(Stream::Error));
        assert_eq!(boxed(Box::new(sink::stderr().unwrap())), Some(Stream::Error));
        assert_eq!(boxed(Box::new(Box::new(sink::stderr().unwrap()))), Some(Stream::Error));
        let twice: Box<dyn Sink> = Box::new(sink::stderr().unwrap());
        assert_eq!(boxed(Box::new(twice)), Some(Stream::Error));
        assert_eq!(boxed(Box::new(sink::memory().0)), None);
    }
}
