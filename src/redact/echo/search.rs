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
use crate::redact::redactor::Rules;

/// The search for echoes in the pieces of one record. Its methods take [`ClientText`] and [`ClientJson`] only, so it cannot
/// change evidence.
#[derive(Debug)]
pub(crate) struct EchoSearch<'a> {
    pub(in crate::redact) rules: &'a Rules,
    pub(in crate::redact) remembered: &'a Remembered,
    pub(in crate::redact) out: &'a mut Redacted,
}

impl EchoSearch<'_> {
    /// Whether there is anything to search for.
    pub(crate) fn is_needed(&self) -> bool {
        self.remembered.size() > 0
    }

    /// Masks echoes in a text. One that cannot be searched becomes a mask.
    pub(crate) fn text(&mut self, piece: &mut ClientText) {
        let (text, style, values) = (self.out.get(*piece), &self.rules.style, &self.remembered.values);
        self.rules.search_trap.spring(text);
        if self.remembered.is_full {
            *piece = self.out.push(style.text());
            return;
        }
        let mut places = Vec::new();
        values.find(text, 0, &mut places);
        if let Some(masked) = style.apply(text, &places, |spelled| values.value_of(spelled)) {
            *piece = self.out.push(&masked);
        }
    }

    /// Masks echoes in the strings and numbers of a JSON value, not in keys.
    ///
    /// # Errors
    ///
    /// If it cannot be searched, because more values are secret than are remembered. It must then be left out.
    pub(crate) fn json(&mut self, piece: &mut ClientJson) -> Result<(), Reason> {
        if self.remembered.is_full {
            return Err(Reason::Budget);
        }
        let json = self.out.get(*piece);
        self.rules.search_trap.spring(json);
        if let Some(masked) = masked_json(&self.rules.style, &self.remembered.values, json) {
            *piece = self.out.push(&masked);
        }
        Ok(())
    }
}

/// A JSON value with echoes in its strings and numbers masked; `None` if it has none.
fn masked_json(style: &MaskStyle, values: &Values, json: &str) -> Option<String> {
    if !values.may_be_in(json) {
        return None;
    }
    let bytes = json.as_bytes();
    let mut edits = Edits::default();
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        match byte {
            b'"' => {
                at = string_end(bytes, start)?;
                if bytes.get(at) != Some(&b':') {
                    let raw = &json[start + 1..at - 1];
                    let decoded = Decoded::json(raw);
                    values.find(&decoded.text, 0, &mut places);
                    for place in places.drain(..) {
                        let place = decoded.source(&place);
                        let spelled = &raw[place.clone()];
                        edits.replace(start + 1 + place.start..start + 1 + place.end, |out| {
                            style.push(out, spelled, |spelled| values.value_of(spelled));
                        });
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                at = scalar_end(bytes, start);
                let number = &json[start..at];
                if values.holds(number) {
                    edits.replace(start..at, |out| {
                        out.push('"');
                        style.push(out, number, Cow::Borrowed);
                        out.push('"');
                    });
                }
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
