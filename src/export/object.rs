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

/// A finished object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) facts: Facts,
    pub(crate) bytes: Vec<u8>,
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
    /// The row that is added.
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

    /// Adds a record, if the format has a place for it; gives the object before it, if that has no room.
    pub(crate) fn push(&mut self, row: Row<'_>, is_taken: &mut bool) -> Result<Option<Object>, Failure> {
        *is_taken = self.write_row(row);
        if !*is_taken {
            return Ok(None);
        }
        let len = self.row.len() as u64;
        let is_full = |open: &mut Open| open.records > 0 && open.plain + len > self.recipe.object_bytes;
        let full = self.open.take_if(is_full).map(|open| self.finish_open(open)).transpose()?;
        let time = row.line.timestamp();
        if self.open.is_none() {
            self.open =
                Some(Open::new(self.recipe.gzip, self.format.as_ref().and_then(|format| format.header()), time)?);
        }
        if let Some(open) = &mut self.open {
            open.bytes.write(&self.row)?;
            open.plain += len;
            open.records += 1;
            time.clone_into(&mut open.last);
        }
        Ok(full)
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
                if self.recipe.format == ExportFormat::JsonTimestamp {
                    self.row.extend_from_slice(line.timestamp().as_bytes());
                    self.row.push(b' ');
                }
                self.row.extend_from_slice(line.json().as_bytes());
            }
        }
        self.row.push(b'\n');
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
        Ok(Object { facts, bytes })
    }
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
