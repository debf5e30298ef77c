//! Ordinary logs as JSON lines beside the records, in the first sink: never waiting, and unable to pass for a record.

mod fields;
mod line;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use self::fields::Fields;
use self::line::line;
use crate::clock::Micros;
use crate::counters::Counted;
use crate::diagnostics;
use crate::engine::Engine;
use crate::sink::Ordinary;

/// Writes ordinary logs into the first sink of an auditor, one JSON line an event, in one stream with the records. Made by
/// [`Auditor::log_layer`](crate::Auditor::log_layer).
///
/// For services whose standard output is what a forwarder reads: two writers on one stream cut into each other's lines, and
/// a reader that stops blocks whoever logs. Through this layer nobody waits: a line goes into the sink's buffer, or, once
/// 1 MiB of such lines waits there, is dropped. What was dropped is counted
/// ([`Counters::dropped_log_lines`](crate::Counters::dropped_log_lines)) and told by the next line that is written. After
/// the shutdown every line is dropped, and counted.
///
/// ```
/// use tower_audit::{Auditor, sink};
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use tracing_subscriber::{Layer as _, filter::LevelFilter};
///
/// # fn main() -> Result<(), tower_audit::Error> {
/// let (lines, records) = sink::memory(); // in a service: standard output, which is the default
/// let auditor = Auditor::builder().sink(lines).build()?;
/// let subscriber = tracing_subscriber::registry().with(auditor.log_layer().with_filter(LevelFilter::INFO));
/// tracing::subscriber::with_default(subscriber, || {
///     let _span = tracing::info_span!("import", file = "a.csv").entered();
///     tracing::info!(rows = 17, "imported");
/// });
/// drop(auditor);
/// assert!(records.text().contains(
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
/// A line is no longer than [`AuditorBuilder::max_line_bytes`](crate::AuditorBuilder::max_line_bytes), a value no longer than
/// 8 KiB. Cut text ends in `…`. An event keeps 64 fields, a span 32. A `Debug` or `Display` that panics costs the rest
/// of its value.
///
/// # What it cannot be taken for
///
/// Forwarders select audit records by `isAuditLog`, some by a substring of the raw line. So a field of that name, in an event
/// or a span and in any letter case, is left out; and wherever else the word stands, in a text or in a key, one letter of it
/// is escaped (`is\u0041uditLog`), so that nothing finds it in the raw line, and whoever parses the line reads the same text.
///
/// # What it does not do
///
/// **Ordinary lines are not redacted.** They hold what the application logs, as it is: redaction works on records.
///
/// What is logged on this library's own threads is left out, by sinks and filters of the application too: a sink that
/// fails or logs whatever it writes would write to itself for ever. To see it, put another layer beside this one, with a
/// filter for the target `tower_audit`, that writes to standard error.
#[derive(Clone)]
pub struct LogLayer {
    engine: Arc<Engine>,
    counted: Arc<Counted>,
}

impl LogLayer {
    pub(crate) fn new(engine: Arc<Engine>, counted: Arc<Counted>) -> Self {
        Self { engine, counted }
    }

    fn lines(&self) -> &Ordinary {
        &self.counted.ordinary
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
        let line = catch_unwind(AssertUnwindSafe(|| {
            let _formatting = Formatting::begin()?;
            let at = Micros::from_system(self.engine.clock.now());
            Some((line(event, &context, at, self.lines().line_budget), at))
        }));
        match line {
            Ok(Some((line, at))) => self.lines().write(&line, at),
            Ok(None) | Err(_) => self.lines().note_dropped(),
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
    let noted = catch_unwind(AssertUnwindSafe(|| {
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
    }));
    // A span without its fields is still a span.
    drop(noted);
}
