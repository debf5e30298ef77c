//! Ordinary logs as JSON lines beside the records, in the first sink: never waiting, and unable to pass for a record.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Micros;
use crate::counters::Counted;
use crate::diagnostics;
use crate::engine::Engine;
use crate::record::fragment::push_json_text;
use crate::record::text::head;
use crate::record::wire::push_time;
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
/// let (auditor, guard) = Auditor::builder().sink(lines).build()?;
/// let subscriber = tracing_subscriber::registry().with(auditor.log_layer().with_filter(LevelFilter::INFO));
/// tracing::subscriber::with_default(subscriber, || {
///     let _span = tracing::info_span!("import", file = "a.csv").entered();
///     tracing::info!(rows = 17, "imported");
/// });
/// drop(guard);
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

/// Longest copies of one value, and of all values of one event or span.
const VALUE: usize = 8 * 1024;
const EVENT_VALUES: usize = 32 * 1024;
const SPAN_VALUES: usize = 8 * 1024;
const MOST_EVENT_FIELDS: usize = 64;
const MOST_SPAN_FIELDS: usize = 32;

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

/// Values of one event or span, as text that is bounded while it is written.
#[derive(Debug)]
struct Fields {
    message: Option<Value>,
    /// The target of a record of the `log` crate.
    log_target: Option<Value>,
    values: Vec<(&'static str, Value)>,
    place: Place,
    /// More fields came than are kept.
    too_many: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Event,
    /// An event that the `log` crate's records become.
    LogRecord,
    Span,
}

#[derive(Debug)]
enum Value {
    /// A JSON literal that is short: a number, `true`, `false`.
    Literal(String),
    Text(Text),
}

#[derive(Debug)]
struct Text {
    text: String,
    cut: bool,
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::Literal(text) | Self::Text(Text { text, .. }) => text.len(),
        }
    }

    /// The room that it needs at least.
    fn least(&self) -> usize {
        match self {
            Self::Literal(literal) => literal.len(),
            Self::Text(_) => LEAST,
        }
    }
}

impl Fields {
    fn new(place: Place) -> Self {
        Self { message: None, log_target: None, values: Vec::new(), place, too_many: false }
    }

    fn of_span() -> Self {
        Self::new(Place::Span)
    }

    fn of_event(metadata: &Metadata<'_>) -> Self {
        Self::new(if metadata.target() == "log" { Place::LogRecord } else { Place::Event })
    }

    /// What is recorded later stands instead of what was recorded before.
    fn merge(&mut self, later: Self) {
        self.too_many |= later.too_many;
        for (name, value) in later.values {
            self.put(name, value);
        }
    }

    /// Where the value of a field belongs, and whether it is wanted at all.
    fn name(field: &Field) -> Option<&'static str> {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        (!passes_for_a_record(name)).then_some(name)
    }

    fn note(&mut self, field: &Field, value: impl FnOnce(&Self) -> Value) {
        let Some(name) = Self::name(field) else { return };
        let value = value(self);
        match (name, self.place) {
            ("message", Place::Event | Place::LogRecord) => self.message = Some(value),
            ("log.target", Place::LogRecord) => self.log_target = Some(value),
            ("log.module_path" | "log.file" | "log.line", Place::LogRecord) => {}
            _ => self.put(name, value),
        }
    }

    fn put(&mut self, name: &'static str, value: Value) {
        let most = if self.place == Place::Span { MOST_SPAN_FIELDS } else { MOST_EVENT_FIELDS };
        if let Some((_, known)) = self.values.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.values.len() < most {
            self.values.push((name, value));
        } else {
            self.too_many = true;
        }
    }

    /// How long the next value may be.
    fn room(&self) -> usize {
        let all = if self.place == Place::Span { SPAN_VALUES } else { EVENT_VALUES };
        let taken: usize =
            self.values.iter().map(|(_, value)| value.len()).chain(self.message.iter().map(Value::len)).sum();
        all.saturating_sub(taken).min(VALUE)
    }

    /// Runs the application's code, as far as there is room for what it says.
    fn text(&self, say: impl FnOnce(&mut Bounded) -> fmt::Result) -> Value {
        let mut bounded = Bounded { text: Text { text: String::new(), cut: false }, room: self.room() };
        match catch_unwind(AssertUnwindSafe(|| say(&mut bounded))) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => bounded.text.cut = true,
            Err(_) => {
                bounded.text.cut = true;
                bounded.text.text.push_str("[panicked]");
            }
        }
        Value::Text(bounded.text)
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, |fields| match serde_json::Number::from_f64(value) {
            Some(number) => Value::Literal(number.to_string()),
            None => fields.text(|out| write!(out, "{value}")),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, |_| Value::Literal(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, |_| Value::Literal(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, |_| Value::Literal(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, |fields| fields.text(|out| out.write_str(value)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.note(field, |fields| fields.text(|out| write!(out, "{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, |fields| fields.text(|out| write!(out, "{value:?}")));
    }
}

/// Takes text up to a length, and then fails, which ends most of what writes without end.
struct Bounded {
    text: Text,
    room: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let kept = head(piece, self.room);
        self.text.text.push_str(kept);
        self.room -= kept.len();
        if kept.len() < piece.len() {
            self.room = 0;
            self.text.cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// One event as one line, its newline included, of at most `budget` bytes.
fn line<S>(event: &Event<'_>, context: &Context<'_, S>, at: Micros, budget: usize) -> String
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    /// Room for the names of what was cut, and for the end of the line.
    const END: usize = 640;
    const TARGET: usize = 512;
    let metadata = event.metadata();
    let mut fields = Fields::of_event(metadata);
    event.record(&mut fields);
    let mut cuts = Vec::new();
    let mut out = String::with_capacity(256);

    out.push_str("{\"timestamp\":\"");
    push_time(&mut out, at);
    out.push_str("\",\"level\":\"");
    out.push_str(level(*metadata.level()));
    out.push_str("\",\"target\":");
    let target = match &fields.log_target {
        Some(Value::Text(target)) => &target.text,
        Some(Value::Literal(_)) | None => metadata.target(),
    };
    if push_within(&mut out, target, false, TARGET) {
        cuts.push("target".to_owned());
    }
    if let Some(message) = &fields.message {
        out.push_str(",\"message\":");
        let room = (budget / 2).saturating_sub(out.len());
        if push_value(&mut out, message, room) {
            cuts.push("message".to_owned());
        }
    }
    if !fields.values.is_empty() {
        out.push_str(",\"fields\":");
        let limit = budget / 4 * 3;
        push_fields(&mut out, &fields, limit, "fields", &mut cuts);
    }
    if let Some(scope) = context.event_scope(event) {
        push_spans(&mut out, scope, budget - END, &mut cuts);
    }
    push_cuts(&mut out, &cuts, budget);
    out.push_str("}\n");
    out
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Shortest room in which a value is worth to be begun.
const LEAST: usize = 16;

/// Appends an object of the fields, its end included within `limit` bytes of the whole.
fn push_fields(out: &mut String, fields: &Fields, limit: usize, prefix: &str, cuts: &mut Vec<String>) {
    const KEY: usize = 256;
    /// What a long value leaves at least to each short one that comes after it.
    const SHORT: usize = 48;
    let least = |name: &str, value: &Value| name.len() + value.len().clamp(LEAST, SHORT) + "\"\":\"\",".len();
    let mut rest: usize = fields.values.iter().map(|(name, value)| least(name, value)).sum();
    out.push('{');
    let begin = out.len();
    for (name, value) in &fields.values {
        rest -= least(name, value);
        let before = out.len();
        if before > begin {
            out.push(',');
        }
        let key_cut = push_within(out, name, false, KEY);
        out.push(':');
        let room = limit.saturating_sub(out.len() + 1);
        let room = room.saturating_sub(rest).max(room / 2);
        if room < value.least() {
            out.truncate(before);
            cuts.push(format!("{prefix}.{name}"));
        } else if push_value(out, value, room) || key_cut {
            cuts.push(format!("{prefix}.{name}"));
        }
    }
    if fields.too_many {
        cuts.push(prefix.to_owned());
    }
    out.push('}');
}

/// Appends the spans, outermost first. Where not all fit, those that are nearest to the event stand.
fn push_spans<'r, S>(
    out: &mut String,
    scope: tracing_subscriber::registry::Scope<'r, S>,
    limit: usize,
    cuts: &mut Vec<String>,
) where
    S: LookupSpan<'r>,
{
    const OPEN: &str = ",\"spans\":[";
    /// What stands around the fields of a span, and its name.
    const NAME: usize = 256;
    let mut room = limit.saturating_sub(out.len() + OPEN.len() + 1);
    let mut spans = Vec::new();
    for span in scope {
        let mut fragment = String::from("{\"name\":");
        push_within(&mut fragment, span.name(), false, NAME);
        let mut cuts_here = Vec::new();
        if let Some(fields) = span.extensions().get::<Fields>().filter(|fields| !fields.values.is_empty()) {
            fragment.push_str(",\"fields\":");
            let prefix = ["spans.", head(span.name(), 64)].concat();
            push_fields(&mut fragment, fields, room.saturating_sub(2), &prefix, &mut cuts_here);
        }
        fragment.push('}');
        let Some(left) = room.checked_sub(fragment.len() + 1) else {
            cuts.push("spans".to_owned());
            break;
        };
        room = left;
        cuts.append(&mut cuts_here);
        spans.push(fragment);
    }
    if spans.is_empty() {
        return;
    }
    out.push_str(OPEN);
    for (at, span) in spans.iter().rev().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(span);
    }
    out.push(']');
}

/// Names what does not stand on the line as it was said.
fn push_cuts(out: &mut String, cuts: &[String], budget: usize) {
    const MOST_NAMED: usize = 16;
    /// The end of the list and of the line, and a comma.
    const END: usize = 4;
    for (at, name) in cuts.iter().take(MOST_NAMED).enumerate() {
        let before = out.len();
        out.push_str(if at == 0 { ",\"cut\":[" } else { "," });
        push_string(out, head(name, 96));
        if out.len() + END > budget {
            out.truncate(before);
            if at > 0 {
                out.push(']');
            }
            return;
        }
    }
    if !cuts.is_empty() {
        out.push(']');
    }
}

/// Appends a value within `room` bytes; true if it had to be cut. A literal is as long as it is.
fn push_value(out: &mut String, value: &Value, room: usize) -> bool {
    match value {
        Value::Literal(literal) => {
            out.push_str(literal);
            false
        }
        Value::Text(Text { text, cut }) => push_within(out, text, *cut, room),
    }
}

/// Appends text as a JSON string of at most `room` bytes, which are [`LEAST`] or more; true if it is not whole.
fn push_within(out: &mut String, text: &str, already_cut: bool, room: usize) -> bool {
    const ELLIPSIS: &str = "…";
    let start = out.len();
    if !already_cut {
        push_string(out, text);
        if out.len() - start <= room {
            return false;
        }
    }
    let mut kept = head(text, room);
    loop {
        out.truncate(start);
        push_string(out, kept);
        // Before the closing quote.
        out.insert_str(out.len() - 1, ELLIPSIS);
        let len = out.len() - start;
        if len <= room || kept.is_empty() {
            return true;
        }
        // Escapes make text longer: the guess is too long again if they stand in its beginning.
        kept = head(kept, (kept.len() * room / len).min(kept.len() - 1));
    }
}

/// The word by which forwarders know audit records.
const WORD: &str = "isAuditLog";

/// Appends text as a JSON string in which that word does not stand in any letter case, but when it is decoded.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = find_word(rest) {
        let letter = at + 2;
        push_json_text(out, &rest[..letter]);
        out.push_str(if rest.as_bytes()[letter] == b'A' { "\\u0041" } else { "\\u0061" });
        rest = &rest[letter + 1..];
    }
    push_json_text(out, rest);
    out.push('"');
}

fn find_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'i', b'I', bytes)
        .find(|&at| bytes.get(at..at + WORD.len()).is_some_and(|found| found.eq_ignore_ascii_case(WORD.as_bytes())))
}

/// Whether a reader that folds the case of keys could read this one as the mark of a record. Folded beyond ASCII as well:
/// dotted and dotless i, and the long s.
fn passes_for_a_record(name: &str) -> bool {
    let folded = name.chars().map(|char| match char {
        'ı' | 'İ' => 'i',
        'ſ' => 's',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(WORD.chars().map(|char| char.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, room: usize) -> (String, bool) {
        let mut out = String::new();
        let cut = push_within(&mut out, text, false, room);
        (out, cut)
    }

    #[test]
    fn one_letter_of_the_word_is_escaped_in_any_case() {
        let text = r#"{"isAuditLog":true} ISAUDITLOG isauditlogisAuditLog isisAuditLog is\u0041uditLog"#;
        let (line, _) = written(text, 1024);
        assert!(!line.to_ascii_lowercase().contains("isauditlog"), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn names_that_a_reader_may_fold_to_the_mark_are_known() {
        for name in ["isAuditLog", "isauditlog", "ISAUDITLOG", "ıſAudıtLog", "İSAUDİTLOG"] {
            assert!(passes_for_a_record(name), "{name}");
        }
        for name in ["", "isAuditLogs", "is_audit_log", "isAuditLo", "auditLog", " isAuditLog"] {
            assert!(!passes_for_a_record(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_string_stays_within_its_room_and_is_a_beginning(
            text in "(\\PC|[\u{0}-\u{ff}]|isAuditLog|ISauditLOG){0,200}",
            room in LEAST..400_usize,
        ) {
            let (line, cut) = written(&text, room);
            prop_assert!(line.len() <= room);
            prop_assert!(!line.to_ascii_lowercase().contains("isauditlog"));
            let read: String = serde_json::from_str(&line).unwrap();
            if cut {
                prop_assert!(text.starts_with(read.strip_suffix('…').unwrap()));
            } else {
                prop_assert_eq!(read, text);
            }
        }
    }
}
