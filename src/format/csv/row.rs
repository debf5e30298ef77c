//! One row of CSV, cell by cell.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::block::{Block, ordinary_len};
use crate::clock::Micros;
use crate::format::is_like_internal;
use crate::json::push_line_text;
use crate::record::{FieldValue, Fixed, Plain, Record, id_text, push_ip, push_milliseconds, push_number, time_text};
use crate::redact::{Evidence, Piece, Redacted};

/// Writes one row. Each cell ends with a comma; the end of the row removes the last one.
pub(super) struct Row<'o> {
    out: &'o mut Vec<u8>,
    /// The record, whose texts are cells.
    text: &'o Redacted,
    /// Where nothing of its text has to be escaped or quoted.
    plain: Plain<'o>,
    /// A value that has to be escaped.
    cell: &'o mut Vec<u8>,
    /// Where the row begins.
    start: usize,
}

impl<'o> Row<'o> {
    pub(super) fn new(text: &'o Redacted, plain: Plain<'o>, out: &'o mut Vec<u8>, cell: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, text, plain, cell, start }
    }

    /// The row of a record.
    pub(super) fn of(record: &Record<'o>, out: &'o mut Vec<u8>, cell: &'o mut Vec<u8>) -> Self {
        Self::new(record.text, Plain::of(record, ordinary), out, cell)
    }

    /// The value of a key of the schema.
    pub(super) fn fixed(&mut self, record: &Record<'_>, fixed: Fixed) {
        match fixed {
            Fixed::AuditId => self.id(record.audit_id()),
            Fixed::Ip => self.ip(record.ip()),
            Fixed::ResponseStatus => self.number(record.response_status().map(|status| status.as_u16().into())),
            Fixed::ResponseBytes => self.number(record.response_bytes()),
            _ => self.value(record.fixed(fixed)),
        }
    }

    pub(super) fn value(&mut self, value: Option<FieldValue<'_>>) {
        match value {
            None => self.empty(1),
            Some(FieldValue::Text(text)) => self.text(Some(&text)),
            Some(FieldValue::Json(json)) => self.json(Some(&json)),
        }
    }

    pub(super) fn empty(&mut self, cells: usize) {
        self.out.resize(self.out.len() + cells, b',');
    }

    /// Cells of words that need no escaping, with a comma behind each.
    pub(super) fn plain(&mut self, cells: &'static str) {
        self.out.extend_from_slice(cells.as_bytes());
    }

    /// A word of this library's, which needs no escaping.
    pub(super) fn word(&mut self, word: Option<&'static str>) {
        self.out.extend_from_slice(word.unwrap_or_default().as_bytes());
        self.out.push(b',');
    }

    pub(super) fn number(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            push_number(self.out, number);
        }
        self.out.push(b',');
    }

    pub(super) fn milliseconds(&mut self, duration: Option<Duration>) {
        if let Some(duration) = duration {
            push_milliseconds(self.out, duration);
        }
        self.out.push(b',');
    }

    pub(super) fn ip(&mut self, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            push_ip(self.out, ip);
        }
        self.out.push(b',');
    }

    pub(super) fn id(&mut self, id: Uuid) {
        self.out.extend_from_slice(&id_text(id));
        self.out.push(b',');
    }

    /// A time as the record has it.
    pub(super) fn time(&mut self, at: Option<Micros>) {
        if let Some(at) = at {
            self.out.extend_from_slice(&time_text(at));
        }
        self.out.push(b',');
    }

    /// Date and time in UTC, without a zone.
    pub(super) fn time_in_utc(&mut self, time: &[u8]) {
        self.out.extend_from_slice(time);
        self.out.extend_from_slice(b"+00:00,");
    }

    pub(super) fn text(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.out.push(b',') };
        if ordinary(text.as_bytes()) == text.len() {
            self.ordinary(text.as_bytes());
        } else {
            self.cell.clear();
            push_line_text(self.cell, text);
            self.quoted_cell(text);
        }
        self.out.push(b',');
    }

    /// A text that is a piece of the record.
    pub(super) fn piece<const C: bool>(&mut self, piece: Option<Piece<C, false>>) {
        let Some(piece) = piece else { return self.out.push(b',') };
        match self.plain.get(piece.range()) {
            Some(plain) => {
                self.ordinary(plain);
                self.out.push(b',');
            }
            None => self.text(Some(self.text.get(piece))),
        }
    }

    pub(super) fn pieces<const N: usize>(&mut self, pieces: [Option<Evidence>; N]) {
        pieces.into_iter().for_each(|piece| self.piece(piece));
    }

    /// A text that needs no quotes.
    fn ordinary(&mut self, text: &[u8]) {
        self.prefix(text);
        self.out.extend_from_slice(text);
    }

    /// A client's user agent. The first byte of one that begins like the name of the library's own records is escaped.
    pub(super) fn agent(&mut self, agent: Option<&str>) {
        let Some(agent) = agent.filter(|agent| is_like_internal(agent)) else { return self.text(agent) };
        self.cell.clear();
        self.cell.extend_from_slice(if agent.starts_with('t') { b"\\u0074" } else { b"\\u0054" });
        push_line_text(self.cell, &agent[1..]);
        self.quoted_cell(agent);
        self.out.push(b',');
    }

    pub(super) fn json(&mut self, json: Option<&str>) {
        if let Some(json) = json {
            push_json(self.out, json.as_bytes());
        }
        self.out.push(b',');
    }

    /// A cell of JSON that is written by a function, which returns false if there is none.
    pub(super) fn json_by(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        self.cell.clear();
        if write(self.cell) {
            push_json(self.out, self.cell);
        }
        self.out.push(b',');
    }

    /// The escaped text of `cell` in quotes; `value` is the text itself.
    fn quoted_cell(&mut self, value: &str) {
        self.out.push(b'"');
        self.prefix(value.as_bytes());
        push_doubled(self.out, self.cell);
        self.out.push(b'"');
    }

    fn prefix(&mut self, value: &[u8]) {
        push_prefix(self.out, value);
    }

    /// Ends the row: without the last comma, and without a semicolon behind which a cell could begin as a formula.
    pub(super) fn end(self) {
        self.out.pop_if(|last| *last == b',');
        if self.out.len() == self.start {
            // One empty column is no empty line.
            self.out.extend_from_slice(b"\"\"");
        }
        let row = &self.out[self.start..];
        // Behind a quote too: a spreadsheet that splits here removes it.
        let is_risky = |at: usize| begins_formula(&row[at + 1..]) || row.get(at + 1) == Some(&b'"');
        let mut risky = memchr::memchr_iter(b';', row).filter(|at| is_risky(*at)).peekable();
        let Some(first) = risky.peek().copied() else { return };
        // All that follows is written anew, once: a row can have as many of them as half its bytes.
        self.cell.clear();
        let mut from = first;
        for at in risky {
            self.cell.extend_from_slice(&row[from..at]);
            self.cell.extend_from_slice(b"\\u003b");
            from = at + 1;
        }
        self.cell.extend_from_slice(&row[from..]);
        self.out.truncate(self.start + first);
        self.out.extend_from_slice(self.cell);
    }
}

/// Appends JSON, which is one line: in quotes if it has any sign that a cell without quotes does not have.
fn push_json(out: &mut Vec<u8>, json: &[u8]) {
    // Most JSON is an object with members, which has quotes: that is seen without looking at all of it.
    let is_plain = !json.starts_with(b"{\"") && ordinary_len(json, special) == json.len();
    if is_plain {
        push_prefix(out, json);
        return out.extend_from_slice(json);
    }
    out.push(b'"');
    push_prefix(out, json);
    push_doubled(out, json);
    out.push(b'"');
}

/// Appends text with each quote twice.
fn push_doubled(out: &mut Vec<u8>, text: &[u8]) {
    const PIECE: usize = 128;
    /// Bytes that are copied at once.
    const STEP: usize = 8;
    for piece in text.chunks(PIECE) {
        let mut doubled = [0; 2 * PIECE + STEP];
        let (mut from, mut to) = (0, 0);
        while let Some(step) = piece.get(from..).and_then(|rest| rest.first_chunk::<STEP>()) {
            doubled[to..to + STEP].copy_from_slice(step);
            let until_quote = first_quote(*step);
            (from, to) = (from + STEP, to + STEP);
            if let Some(before) = until_quote {
                // What was copied behind the quote is written again.
                (from, to) = (from + before + 1 - STEP, to + before + 2 - STEP);
                doubled[to - 1] = b'"';
            }
        }
        for byte in &piece[from..] {
            doubled[to] = *byte;
            to += 1;
            if *byte == b'"' {
                doubled[to] = *byte;
                to += 1;
            }
        }
        out.extend_from_slice(&doubled[..to]);
    }
}

/// The number of bytes before the first quote: <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>.
fn first_quote(bytes: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let others = u64::from_le_bytes(bytes) ^ (ONES * b'"' as u64);
    // The lowest bit that is set is that of the first byte that is zero; only bits above it may be wrong.
    let zeros = others.wrapping_sub(ONES) & !others & (ONES << 7);
    (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
}

/// Keeps spreadsheets from taking the value for a formula.
fn push_prefix(out: &mut Vec<u8>, value: &[u8]) {
    if begins_formula(value) || matches!(value.first(), Some(b'\'' | b'\t' | b'\r')) {
        out.push(b'\'');
    }
}

/// Whether a spreadsheet takes a cell that begins so for a formula; some do if the character is a full-width one.
fn begins_formula(cell: &[u8]) -> bool {
    matches!(cell, [b'=' | b'+' | b'-' | b'@', ..] | [0xef, 0xbc, 0x8b | 0x8d | 0x9d | 0xa0, ..])
}

/// The number of bytes before the first that a text in a cell without quotes does not have.
#[inline(always)]
fn ordinary(text: &[u8]) -> usize {
    ordinary_len(text, |block| special(block) | block.is(b'\\').bits())
}

/// Bytes that a cell without quotes does not have. Beyond ASCII there may be characters to escape.
#[inline(always)]
fn special(block: Block) -> u32 {
    block.is_in(0x20, 0x7e).not() | block.is(b'"').or(block.is(b',')).bits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_quote_is_doubled(text in "[\"#!a\u{a2}é]{0,300}") {
            let mut out = b"x".to_vec();
            push_doubled(&mut out, text.as_bytes());
            prop_assert_eq!(String::from_utf8(out).unwrap(), ["x", &text.replace('"', "\"\"")].concat());
        }

        #[test]
        fn each_risky_semicolon_is_escaped_as_if_alone(
            texts in prop::collection::vec("[;=+@a\",'\\\\＝ü-]{0,40}", 1..4),
        ) {
            let (mut out, mut cell) = (b"before;=\n".to_vec(), Vec::new());
            let text = Redacted::default();
            let mut row = Row::new(&text, Plain::default(), &mut out, &mut cell);
            texts.iter().for_each(|text| row.text(Some(text)));
            let mut expected = row.out.clone();
            row.end();
            expected.pop();
            if expected.ends_with(b"\n") {
                expected.extend_from_slice(b"\"\"");
            }
            // From the end, so that what is found first is still where it was.
            for at in (9..expected.len()).rev() {
                let behind = expected.get(at + 1..).unwrap_or_default();
                if expected[at] == b';' && (begins_formula(behind) || behind.first() == Some(&b'"')) {
                    expected.splice(at..=at, *b"\\u003b");
                }
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
        }
    }
}
