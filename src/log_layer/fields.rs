//! Values of one event or span, as text that is bounded while it is written.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use tracing::Metadata;
use tracing::field::{Field, Visit};

use super::text::{LEAST, passes_for_a_record};
use crate::diagnostics::caught;
use crate::text::head;

/// Longest copies of one value, and of all values of one event or span.
pub(super) const VALUE: usize = 8 * 1024;
pub(super) const EVENT_VALUES: usize = 32 * 1024;
pub(super) const SPAN_VALUES: usize = 8 * 1024;
pub(super) const MAX_EVENT_FIELDS: usize = 64;
pub(super) const MAX_SPAN_FIELDS: usize = 32;

/// Values of one event or span, as text that is bounded while it is written.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) message: Option<Value>,
    /// The target of a record of the `log` crate.
    pub(super) log_target: Option<Value>,
    pub(super) values: Vec<(&'static str, Value)>,
    pub(super) place: Place,
    /// More fields came than are kept.
    pub(super) too_many: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Event,
    /// An event that the `log` crate's records become.
    LogRecord,
    Span,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A JSON literal that is short: a number, `true`, `false`.
    Literal(String),
    Text(Text),
}

#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) cut: bool,
}

impl Value {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Literal(text) | Self::Text(Text { text, .. }) => text.len(),
        }
    }

    /// The length that it needs at least.
    pub(super) fn least(&self) -> usize {
        match self {
            Self::Literal(literal) => literal.len(),
            Self::Text(_) => LEAST,
        }
    }
}

impl Fields {
    pub(super) fn new(place: Place) -> Self {
        Self { message: None, log_target: None, values: Vec::new(), place, too_many: false }
    }

    pub(super) fn of_span() -> Self {
        Self::new(Place::Span)
    }

    pub(super) fn of_event(metadata: &Metadata<'_>) -> Self {
        Self::new(if metadata.target() == "log" { Place::LogRecord } else { Place::Event })
    }

    /// What is recorded later stands instead of what was recorded before.
    pub(super) fn merge(&mut self, later: Self) {
        self.too_many |= later.too_many;
        for (name, value) in later.values {
            self.put(name, value);
        }
    }

    /// Where the value of a field belongs, and whether it is wanted at all.
    pub(super) fn name(field: &Field) -> Option<&'static str> {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        (!passes_for_a_record(name)).then_some(name)
    }

    pub(super) fn note(&mut self, field: &Field, value: impl FnOnce(&Self) -> Value) {
        let Some(name) = Self::name(field) else { return };
        let value = value(self);
        match (name, self.place) {
            ("message", Place::Event | Place::LogRecord) => self.message = Some(value),
            ("log.target", Place::LogRecord) => self.log_target = Some(value),
            ("log.module_path" | "log.file" | "log.line", Place::LogRecord) => {}
            _ => self.put(name, value),
        }
    }

    pub(super) fn put(&mut self, name: &'static str, value: Value) {
        let most = if self.place == Place::Span { MAX_SPAN_FIELDS } else { MAX_EVENT_FIELDS };
        if let Some((_, known)) = self.values.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.values.len() < most {
            self.values.push((name, value));
        } else {
            self.too_many = true;
        }
    }

    /// How long the next value may be.
    pub(super) fn room(&self) -> usize {
        let all = if self.place == Place::Span { SPAN_VALUES } else { EVENT_VALUES };
        let taken: usize =
            self.values.iter().map(|(_, value)| value.len()).chain(self.message.iter().map(Value::len)).sum();
        all.saturating_sub(taken).min(VALUE)
    }

    /// Runs the application's code, as far as the line has space for its output.
    pub(super) fn text(&self, say: impl FnOnce(&mut Bounded) -> fmt::Result) -> Value {
        let mut bounded = Bounded { text: Text { text: String::new(), cut: false }, room: self.room() };
        match caught(|| say(&mut bounded)) {
            Some(Ok(())) => {}
            Some(Err(_)) => bounded.text.cut = true,
            None => {
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
pub(super) struct Bounded {
    pub(super) text: Text,
    pub(super) room: usize,
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
