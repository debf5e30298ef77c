//! One event as one line of JSON that fits its budget, and that nobody can take for an audit record.

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Fields, Text, Value};
use super::text::{LEAST, push_string, push_within};
use crate::clock::Micros;
use crate::record::push_time;
use crate::text::head;

/// One event as one line, its newline included, of at most `budget` bytes.
pub(super) fn line<S>(event: &Event<'_>, context: &Context<'_, S>, at: Micros, budget: usize) -> String
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
    const MAX_NAMED: usize = 16;
    /// The end of the list and of the line, and a comma.
    const END: usize = 4;
    for (at, name) in cuts.iter().take(MAX_NAMED).enumerate() {
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
