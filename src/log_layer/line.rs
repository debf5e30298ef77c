//! One event as one line of JSON that fits its budget, and that nobody can take for an audit record.

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Fields, Text, Value};
use crate::clock::Micros;
use crate::json::push_json_text;
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

/// Shortest room in which a value is worth to be begun.
pub(super) const LEAST: usize = 16;

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
pub(super) fn passes_for_a_record(name: &str) -> bool {
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
