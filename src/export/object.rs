//! Chosen records → objects: their bytes, their names, and what a manifest says of them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::recipe::{self, ExportFormat, Recipe};
use super::report::Failure;
use crate::format::{Format, combined, csv, json as json_lines, json_timestamp};
use crate::record::FieldGroups;
use crate::segment::SegmentLine;
use crate::{LogType, RecordLine};

/// No object grows above it by itself.
pub(crate) const MAX_OBJECT: u64 = 1024 * 1024 * 1024;

/// A finished object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) facts: Facts,
    pub(crate) bytes: bytes::Bytes,
}

/// What is known of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Below the destination, with `/` between the folders.
    pub(crate) name: String,
    pub(crate) log_type: LogType,
    pub(crate) records: u64,
    pub(crate) len: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
    /// `timestamp` of its first and its last record.
    pub(crate) first: String,
    pub(crate) last: String,
}

impl Facts {
    pub(crate) fn to_json(&self) -> Value {
        let mut facts = Map::new();
        facts.insert("name".into(), json!(self.name));
        facts.insert("logType".into(), json!(self.log_type.as_str()));
        facts.insert("records".into(), json!(self.records));
        facts.insert("bytes".into(), json!(self.len));
        facts.insert("sha256".into(), json!(self.sha256));
        facts.insert("first".into(), json!(self.first));
        facts.insert("last".into(), json!(self.last));
        Value::Object(facts)
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let number = |key: &str| value.get(key)?.as_u64();
        Some(Self {
            name: text("name")?,
            log_type: LogType::ALL.iter().copied().find(|log_type| value["logType"] == log_type.as_str())?,
            records: number("records")?,
            len: number("bytes")?,
            sha256: text("sha256")?,
            first: text("first")?,
            last: text("last")?,
        })
    }
}

/// A line, and where the format needs more of it, the record that it shows.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) line: SegmentLine<'a>,
    pub(crate) record: Option<&'a RecordLine>,
}

/// Writes the objects of one segment and one log type, one after another.
pub(crate) struct ObjectWriter {
    recipe: Recipe,
    log_type: LogType,
    /// `20261120T101530.123456Z-9f86d081884c7d65`
    segment: String,
    /// Where rows are made of records.
    format: Option<Box<dyn Format>>,
    omit: FieldGroups,
    /// The row that is added, where it is not the line itself.
    row: Vec<u8>,
    /// Objects that are finished.
    finished: u64,
    open: Option<Open>,
}

struct Open {
    bytes: Bytes,
    plain: u64,
    records: u64,
    date: String,
    first: String,
    last: String,
}

enum Bytes {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl ObjectWriter {
    pub(crate) fn new(recipe: &Recipe, log_type: LogType, segment: &str) -> Result<Self, Failure> {
        let columns =
            || recipe.columns(log_type).map_err(|error| Failure::new("the columns of the state file", &error));
        let format: Option<Box<dyn Format>> = match recipe.format {
            ExportFormat::Csv => Some(Box::new(csv(columns()?))),
            ExportFormat::Combined => Some(Box::new(combined())),
            ExportFormat::Json if recipe.reads_records() => Some(Box::new(json_lines())),
            ExportFormat::JsonTimestamp if recipe.reads_records() => Some(Box::new(json_timestamp())),
            ExportFormat::Json | ExportFormat::JsonTimestamp => None,
        };
        let mut omit = FieldGroups::default();
        omit.extend(&recipe.omit);
        let (recipe, segment) = (recipe.clone(), segment.to_owned());
        Ok(Self { recipe, log_type, segment, format, omit, row: Vec::new(), finished: 0, open: None })
    }

    /// Adds a record, if the format has a place for it; returns the object before it, if that is full.
    pub(crate) fn push(&mut self, row: Row<'_>, is_taken: &mut bool) -> Result<Option<Object>, Failure> {
        let is_line = self.format.is_none() && self.recipe.format == ExportFormat::Json;
        *is_taken = is_line || self.write_row(row);
        if !*is_taken {
            return Ok(None);
        }
        let len = if is_line { row.line.bytes().len() } else { self.row.len() } as u64 + 1;
        let most = object_bytes(&self.recipe, self.finished);
        let is_full = |open: &mut Open| open.records > 0 && open.plain + len > most;
        let full = self.open.take_if(is_full).map(|open| self.finish_open(open)).transpose()?;
        let time = row.line.timestamp();
        if self.open.is_none() {
            let header = self.format.as_ref().and_then(|format| format.header());
            self.open = Some(Open::new(self.recipe.gzip, header, time)?);
        }
        if let Some(open) = &mut self.open {
            open.bytes.write(if is_line { row.line.bytes() } else { &self.row })?;
            open.bytes.write(b"\n")?;
            open.plain += len;
            open.records += 1;
            time.clone_into(&mut open.last);
        }
        Ok(full)
    }

    /// Gives the buffer of an object that was put to the one that has begun since: the system would have to clear another. That of
    /// an object that grew beyond its limit, for one long record, is given up.
    pub(crate) fn recycle(&mut self, object: Object) {
        let most = object_bytes(&self.recipe, self.finished);
        let Some(open) = self.open.as_mut().filter(|_| object.bytes.is_unique()) else { return };
        let (current, mut buffer) = (open.bytes.buffer(), Vec::from(object.bytes));
        if current.len() < buffer.capacity() && buffer.capacity() as u64 <= 2 * most {
            buffer.clear();
            buffer.extend_from_slice(current);
            *current = buffer;
        }
    }

    /// Whether the format has a place for the record; then it is in `row`.
    fn write_row(&mut self, Row { line, record }: Row<'_>) -> bool {
        self.row.clear();
        match (&mut self.format, record.map(RecordLine::record)) {
            (Some(format), Some(record)) => {
                if !record.is_internal() && !format.accepts(&record) {
                    return false;
                }
                format.write(&record.without(self.omit), &mut self.row);
            }
            (Some(_), None) => return false,
            (None, _) => {
                self.row.extend_from_slice(line.timestamp().as_bytes());
                self.row.push(b' ');
                self.row.extend_from_slice(line.bytes());
            }
        }
        true
    }

    /// The last object, if it has a record.
    pub(crate) fn finish(&mut self) -> Result<Option<Object>, Failure> {
        self.open.take().map(|open| self.finish_open(open)).transpose()
    }

    fn finish_open(&mut self, open: Open) -> Result<Object, Failure> {
        self.finished += 1;
        let bytes = match open.bytes {
            Bytes::Plain(bytes) => bytes,
            Bytes::Gzip(encoder) => {
                encoder.finish().map_err(|error| Failure::new("cannot compress an object", &error))?
            }
        };
        let number = if self.finished == 1 { String::new() } else { format!("-{}", self.finished) };
        let name = format!(
            "{}/date={}/{}{number}.{}{}",
            recipe::folder(self.log_type),
            open.date,
            self.segment,
            self.recipe.format.extension(),
            if self.recipe.gzip { ".gz" } else { "" }
        );
        let facts = Facts {
            name,
            log_type: self.log_type,
            records: open.records,
            len: bytes.len() as u64,
            sha256: sha256(&bytes),
            first: open.first,
            last: open.last,
        };
        Ok(Object { facts, bytes: bytes.into() })
    }
}

/// How large the next object of a segment may be, after so many. Each is named in the state file, which is written again for
/// each, and in the manifest: the more there are, the larger they become, and a segment of 1 TiB has a few thousand.
fn object_bytes(recipe: &Recipe, finished: u64) -> u64 {
    /// Objects of one size.
    const OF_ONE_SIZE: u64 = 256;
    let doublings = u32::try_from(finished / OF_ONE_SIZE).unwrap_or(u32::MAX).min(32);
    recipe.object_bytes.saturating_mul(1 << doublings).min(MAX_OBJECT.max(recipe.object_bytes))
}

impl Open {
    fn new(gzip: bool, header: Option<String>, first: &str) -> Result<Self, Failure> {
        // The header of gzip has no time and no name: the same records are the same bytes.
        let mut bytes = if gzip {
            Bytes::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::default())))
        } else {
            Bytes::Plain(Vec::new())
        };
        let mut plain = 0;
        if let Some(header) = header {
            bytes.write(header.as_bytes())?;
            bytes.write(b"\n")?;
            plain = header.len() as u64 + 1;
        }
        let date = first.get(..10).unwrap_or(first).to_owned();
        Ok(Self { bytes, plain, records: 0, date, first: first.to_owned(), last: String::new() })
    }
}

impl Bytes {
    /// What was written so far.
    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Plain(all) => all.extend_from_slice(bytes),
            Self::Gzip(encoder) => {
                encoder.write_all(bytes).map_err(|error| Failure::new("cannot compress an object", &error))?;
            }
        }
        Ok(())
    }
}

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"schema":"1.0","eventName":"E","#,
        r#""instance":"a","seq":1}"#
    );

    #[test]
    fn the_more_objects_a_segment_has_the_larger_they_become() {
        let object_bytes = LINE.len() as u64 + 1;
        let recipe = Recipe { format: ExportFormat::Json, object_bytes, ..Recipe::default() };
        let mut writer =
            ObjectWriter::new(&recipe, LogType::Audit, "20261120T101530.123456Z-9f86d081884c7d65").unwrap();
        let line = SegmentLine::parse(LINE.as_bytes()).unwrap();
        let mut records = Vec::new();
        for _ in 0..256 * (1 + 2 + 4) {
            let mut is_taken = false;
            let full = writer.push(Row { line, record: None }, &mut is_taken).unwrap();
            assert!(is_taken);
            records.extend(full.map(|object| object.facts.records));
        }
        records.extend(writer.finish().unwrap().map(|object| object.facts.records));
        assert_eq!(records, [[1; 256], [2; 256], [4; 256]].concat());
    }

    #[test]
    fn what_a_state_file_lists_is_bounded_for_the_longest_segment() {
        let recipe = Recipe { object_bytes: 64 * 1024, ..Recipe::default() };
        let (mut objects, mut bytes) = (0, 0);
        while bytes < 1_u64 << 40 {
            let next = object_bytes(&recipe, objects);
            assert!(next <= MAX_OBJECT);
            bytes += next;
            objects += 1;
        }
        assert!(objects < 6_000, "{objects}");
        // An object that is larger than they grow by themselves is what the setting says.
        let recipe = Recipe { object_bytes: 2 * MAX_OBJECT, ..Recipe::default() };
        assert_eq!(object_bytes(&recipe, u64::MAX), 2 * MAX_OBJECT);
    }
}
