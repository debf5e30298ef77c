//! The second phase of redaction: the search for remembered values in the texts of clients and errors.

use std::borrow::Cow;

use super::remembered::Remembered;
use super::values::Values;
use crate::json::{scalar_end, string_end};
use crate::redact::Reason;
use crate::redact::decode::Decoded;
use crate::redact::edits::Edits;
use crate::redact::mask::MaskStyle;
use crate::redact::redacted::{ClientJson, ClientText, Redacted};
use crate::redact::redactor::Trap;

/// The search for echoes in the pieces of one record. Its methods take [`ClientText`] and [`ClientJson`] only, so it cannot
/// change evidence.
#[derive(Debug)]
pub(crate) struct EchoSearch<'a> {
    style: &'a MaskStyle,
    trap: &'a Trap,
    out: &'a mut Redacted,
    /// The values to search for, if there are any.
    values: Option<&'a Values>,
    is_full: bool,
}

impl<'a> EchoSearch<'a> {
    pub(in crate::redact) fn new(
        style: &'a MaskStyle,
        trap: &'a Trap,
        remembered: &'a Remembered,
        out: &'a mut Redacted,
    ) -> Self {
        let Remembered { values, is_full, .. } = remembered;
        Self { style, trap, out, values: (values.len() > 0).then_some(values), is_full: *is_full }
    }

    /// Whether there is anything to search for.
    pub(crate) fn is_needed(&self) -> bool {
        self.values.is_some() || self.is_full
    }

    /// Masks echoes in a text. One that cannot be searched becomes a mask.
    pub(crate) fn text(&mut self, piece: &mut ClientText) {
        let text = self.out.get(*piece);
        self.trap.spring(text);
        if self.is_full {
            *piece = self.out.push(self.style.text());
            return;
        }
        let Some(values) = self.values.filter(|values| values.may_be_in(text)) else { return };
        if let Some(masked) = masked(self.style, values, text) {
            *piece = self.out.push(&masked);
        }
    }

    /// Masks echoes in the strings and numbers of a JSON value, not in keys.
    ///
    /// # Errors
    ///
    /// If it cannot be searched, because more values are secret than are remembered. It must then be left out.
    pub(crate) fn json(&mut self, piece: &mut ClientJson) -> Result<(), Reason> {
        if self.is_full {
            return Err(Reason::Budget);
        }
        let text = self.out.get(*piece);
        self.trap.spring(text);
        let Some(values) = self.values.filter(|values| values.may_be_in(text)) else { return Ok(()) };
        if let Some(masked) = masked_json(self.style, values, text) {
            *piece = self.out.push(&masked);
        }
        Ok(())
    }
}

/// A text with echoes masked; `None` if it has none.
fn masked(style: &MaskStyle, values: &Values, text: &str) -> Option<String> {
    let mut places = Vec::new();
    values.find_in_cut(text, &mut places);
    style.apply(text, &places, |spelled| values.value_of(spelled))
}

/// The same of a JSON value: its strings and numbers.
fn masked_json(style: &MaskStyle, values: &Values, json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut edits = Edits::default();
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at)?;
                if bytes.get(end) != Some(&b':') {
                    let raw = &json[at + 1..end - 1];
                    let decoded = raw.contains('\\').then(|| Decoded::json(raw));
                    values.find(decoded.as_ref().map_or(raw, |decoded| &decoded.text), 0, &mut places);
                    for place in places.drain(..) {
                        let place = decoded.as_ref().map_or(place.clone(), |decoded| decoded.source(&place));
                        let spelled = &raw[place.clone()];
                        edits.replace(at + 1 + place.start..at + 1 + place.end, |out| {
                            style.push(out, spelled, |spelled| values.value_of(spelled));
                        });
                    }
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let end = scalar_end(bytes, at);
                values.find(&json[at..end], 0, &mut places);
                if !places.is_empty() {
                    places.clear();
                    edits.replace(at..end, |out| {
                        out.push('"');
                        style.push(out, &json[at..end], Cow::Borrowed);
                        out.push('"');
                    });
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if edits.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(json.len());
    edits.apply(json, json.len(), &mut out);
    Some(out)
}
