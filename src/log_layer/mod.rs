//! Ordinary logs as JSON lines beside the records, on a standard stream: never waiting, and unable to pass for a record.

mod fields;
mod line;
mod text;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use self::fields::Fields;
use self::line::line;
use crate::clock::Micros;
use crate::diagnostics::{self, caught};
use crate::engine::Engine;
use crate::sink::Ordinary;

/// Writes ordinary logs to standard output, one JSON line an event. Made by
/// [`Auditor::log_layer`](crate::Auditor::log_layer).
///
/// For services whose standard output is what a forwarder reads: two writers on one stream can mix their lines, and if the
/// reader stops, each thread that logs blocks. Through this layer, logging never blocks: a separate thread writes whole
/// lines, and while 1 MiB of lines waits, further lines are dropped. Dropped lines are counted
/// ([`Counters::dropped_log_lines`](crate::Counters::dropped_log_lines)) and reported by the next line that is written.
/// After the shutdown every line is dropped, and counted. Where records go to a standard stream as well, `AuditStarted`
/// comes before the first ordinary line.
///
/// ```
/// use tower_audit::{Auditor, sink};
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use tracing_subscriber::{Layer as _, filter::LevelFilter};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let auditor = Auditor::builder().sink(sink::memory().0).build()?;
/// let (sink, lines) = sink::memory(); // in a service: `auditor.log_layer()`, which writes to standard output
/// let layer = auditor.log_layer_to(sink);
/// let subscriber = tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO));
/// tracing::subscriber::with_default(subscriber, || {
///     let _span = tracing::info_span!("import", file = "a.csv").entered();
///     tracing::info!(rows = 17, "imported");
/// });
/// drop(auditor); // ends the log, and the thread of its log layers
/// assert!(lines.text().contains(
///     r#""message":"imported","fields":{"rows":17},"spans":[{"name":"import","fields":{"file":"a.csv"}}]}"#
/// ));
/// # Ok(())
/// # }
/// ```
///
/// # The line
///
/// Close to the JSON format of `tracing-subscriber`, with keys in this order:
///
/// | key | type | meaning |
/// |---|---|---|
/// | `timestamp` | string | RFC 3339, UTC, microseconds |
/// | `level` | string | `trace`, `debug`, `info`, `warn`, `error` |
/// | `target` | string | the event's target; that of the `log` crate's record where it is one |
/// | `message` | string | the event's message, if it has one |
/// | `fields` | object | the event's other fields, if it has any: numbers and booleans as they are, everything else as text |
/// | `spans` | array | the spans around it, outermost first: `name`, and `fields` as above |
/// | `cut` | array | what was cut short or left out so that the line fits: `message`, `fields.body`, `spans.import.file`, `spans` |
///
/// A line is no longer than [`AuditorBuilder::max_line_bytes`](crate::AuditorBuilder::max_line_bytes), a value no longer
/// than 8 KiB. Cut text ends in `…`. An event keeps 64 fields, a span 32. If a `Debug` or `Display` panics, the rest of the
/// value is missing.
///
/// # What it cannot be taken for
///
/// Forwarders select audit records by `isAuditLog`, some by a substring of the raw line. So a field of that name, in an
/// event or a span and in any letter case, is left out; and wherever else the word occurs, in a text or in a key, one letter
/// of it is escaped (`is\u0041uditLog`), so that a search in the raw line does not find it, while a JSON parser reads the
/// same text.
///
/// # What it does not do
///
/// **Ordinary lines are not redacted.** They contain what the application logs, unchanged: only records are redacted.
///
/// Events that are logged on library threads are left out, also those of the application's sinks and filters: a sink that
/// logs what it writes would otherwise write to itself without end. To see it, put another layer beside this one, with a
/// filter for the target `tower_audit`, that writes to standard error.
#[derive(Clone)]
#[must_use = "a layer does nothing until a subscriber has it"]
pub struct LogLayer {
    engine: Arc<Engine>,
    lines: Arc<Ordinary>,
}

impl LogLayer {
    pub(crate) fn new(engine: Arc<Engine>, lines: Arc<Ordinary>) -> Self {
        Self { engine, lines }
    }
}

impl fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        note_span(id, &context, |fields| attributes.record(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        note_span(id, &context, |fields| values.record(fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if diagnostics::is_own_thread() {
            return;
        }
        let line = caught(|| {
            let _formatting = Formatting::begin()?;
            let at = Micros::from_system(self.engine.clock.now());
            Some((line(event, &context, at, self.lines.line_budget), at))
        });
        match line.flatten() {
            Some((line, at)) => self.lines.write(&line, at),
            None => self.lines.note_dropped(),
        }
    }
}

/// Marks that this thread formats values, so that a `Debug` that logs cannot go round for ever.
struct Formatting;

thread_local! {
    static FORMATTING: Cell<bool> = const { Cell::new(false) };
}

impl Formatting {
    /// None if it does so already, or is about to end.
    fn begin() -> Option<Self> {
        let was = FORMATTING.try_with(|formatting| formatting.replace(true)).unwrap_or(true);
        (!was).then_some(Self)
    }
}

impl Drop for Formatting {
    fn drop(&mut self) {
        let _ = FORMATTING.try_with(|formatting| formatting.set(false));
    }
}

/// Keeps a span's fields in the registry.
fn note_span<S>(id: &Id, context: &Context<'_, S>, record: impl FnOnce(&mut Fields))
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    // A span without its fields is still a span.
    let _ = caught(|| {
        let formatting = Formatting::begin()?;
        let span = context.span(id)?;
        // The application's code runs before the lock on the span's extensions is taken, not under it.
        let mut fields = Fields::of_span();
        record(&mut fields);
        drop(formatting);
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Fields>() {
            Some(known) => known.merge(fields),
            None => extensions.insert(fields),
        }
        Some(())
    });
}
