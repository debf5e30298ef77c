//! A record as a row of CSV (RFC 4180).

use std::str::FromStr;

use super::{Format, ends_something, internal_agent};
use crate::error::Error;
use crate::json::{plain_len, push_line_text};
use crate::record::finished::Thing;
use crate::record::{FIXED, Field, FieldValue, Fixed, Record, time_text};

/// A row of CSV for each record, below a header with the names of the columns.
///
/// Rows follow RFC 4180, except that each ends in one line feed and that no cell has a line break. In a cell of text, control
/// characters, line breaks and bidirectional controls are escaped as in JSON (`\n`, `\u202e`), and a backslash is doubled. A cell
/// of JSON is written as it is. A cell that begins with `=`, `+`, `-`, `@`, `'`, a tab or a carriage return gets a `'` in front,
/// so that no spreadsheet takes it for a formula: who reads it back removes one `'` from the front of any cell. A value that is
/// unknown is an empty cell.
///
/// ```
/// use tower_audit::format::{Columns, Format as _, csv};
///
/// let columns: Columns = "timestamp,eventName,actor.ip".parse()?;
/// assert_eq!(csv(columns).header().as_deref(), Some("timestamp,eventName,actor.ip"));
/// # Ok::<(), tower_audit::Error>(())
/// ```
pub fn csv(columns: Columns) -> Csv {
    Csv { columns, cell: Vec::new() }
}

/// See [`csv()`].
#[derive(Clone, Debug)]
pub struct Csv {
    columns: Columns,
    /// A value that has to be escaped.
    cell: Vec<u8>,
}

/// The columns of a CSV. By default [`flat`](Self::flat).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Layout);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    Flat,
    ClientLog,
    AuditLog,
    Fields(Vec<Field>),
}

impl Columns {
    /// A column for each key that the record's schema fixes, in the order of the line. `meta`, `errors`, params, query, headers and
    /// bodies are JSON.
    pub fn flat() -> Self {
        Self(Layout::Flat)
    }

    /// The columns of Cloudsmith's client logs: requests for content. It accepts records of requests that end something.
    pub fn client_log() -> Self {
        Self(Layout::ClientLog)
    }

    /// The columns of Cloudsmith's audit logs. It accepts records that end something.
    pub fn audit_log() -> Self {
        Self(Layout::AuditLog)
    }

    /// A column for each of these fields, in this order.
    ///
    /// # Errors
    ///
    /// If there is none, or one of them twice.
    pub fn fields(fields: impl IntoIterator<Item = Field>) -> Result<Self, Error> {
        let fields: Vec<Field> = fields.into_iter().collect();
        if fields.is_empty() {
            return Err(Error::setting("columns: none are given; at least one is needed"));
        }
        let doubled = fields.iter().enumerate().find(|(at, field)| fields[..*at].contains(field));
        if let Some((_, field)) = doubled {
            return Err(Error::setting(format!("columns: `{field}` is given twice")));
        }
        Ok(Self(Layout::Fields(fields)))
    }

    fn header(&self) -> String {
        let names: Vec<&str> = match &self.0 {
            Layout::Flat => FIXED.iter().map(|(name, _)| *name).collect(),
            Layout::ClientLog => return CLIENT_LOG.to_owned(),
            Layout::AuditLog => return AUDIT_LOG.to_owned(),
            Layout::Fields(fields) => fields.iter().map(Field::as_str).collect(),
        };
        let (mut row, mut cell) = (Vec::new(), Vec::new());
        let mut cells = Row { out: &mut row, cell: &mut cell, start: 0 };
        names.iter().for_each(|name| cells.text(Some(name)));
        cells.end();
        String::from_utf8(row).unwrap_or_default()
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::flat()
    }
}

impl FromStr for Columns {
    type Err = Error;

    /// `flat`, `client_log`, `audit_log`, or fields separated by commas.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim() {
            "flat" => Ok(Self::flat()),
            "client_log" => Ok(Self::client_log()),
            "audit_log" => Ok(Self::audit_log()),
            list => Self::fields(list.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<Field>, _>>()?),
        }
    }
}

const CLIENT_LOG: &str = "datetime,repository,status,method,uri,host,ip_address,bytes,city,country,edge,eula,format,package,\
                          recorded,referer,request_id,token,user,user_agent";

const AUDIT_LOG: &str = "actor,actor_ip_address,actor_kind,actor_location,actor_slug_perm,actor_url,context,event,event_at,\
                         object,object_kind,object_slug_perm,target,target_kind,target_slug_perm,uuid";

impl Format for Csv {
    fn header(&self) -> Option<String> {
        Some(self.columns.header())
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        match self.columns.0 {
            Layout::Flat | Layout::Fields(_) => true,
            Layout::ClientLog => ends_something(record) && record.request().is_some(),
            Layout::AuditLog => ends_something(record),
        }
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let mut row = Row { out, cell: &mut self.cell, start };
        match &self.columns.0 {
            Layout::Flat => FIXED.iter().for_each(|(_, fixed)| row.value(record.fixed(*fixed))),
            Layout::ClientLog => client_log(record, &mut row),
            Layout::AuditLog => audit_log(record, &mut row),
            Layout::Fields(fields) => fields.iter().for_each(|field| row.value(record.column(field))),
        }
        row.end();
    }
}

fn client_log(record: &Record<'_>, row: &mut Row<'_>) {
    let fields = record.fields;
    let eula = || record.meta().find(|(key, _)| *key == "eula").map(|(_, value)| value);
    let started = time_text(fields.started_at.unwrap_or(fields.timestamp));
    row.time(&started[..19]);
    row.fixed(record, Fixed::Repository);
    row.fixed(record, Fixed::ResponseStatus);
    row.fixed(record, Fixed::Method);
    row.text(record.path().as_deref());
    row.fixed(record, Fixed::Hostname);
    row.fixed(record, Fixed::Ip);
    row.fixed(record, Fixed::ResponseBytes);
    row.fixed(record, Fixed::City);
    row.fixed(record, Fixed::Country);
    row.value(record.meta().find(|(key, _)| *key == "edge").map(|(_, value)| FieldValue::of_json(value.into())));
    let number = eula().and_then(|eula| crate::json::member(eula, "number"));
    row.value(number.map(|number| FieldValue::of_json(number.into())));
    row.fixed(record, Fixed::ObjectFormat);
    row.fixed(record, Fixed::ObjectId);
    row.time(&time_text(fields.timestamp)[..26]);
    row.fixed(record, Fixed::Referer);
    row.fixed(record, Fixed::RequestId);
    row.fixed(record, Fixed::CredentialId);
    row.value(record.fixed(Fixed::ActorSlug).or_else(|| record.fixed(Fixed::ActorId)));
    if record.is_internal() {
        row.text(Some(&internal_agent(record)));
    } else {
        row.fixed(record, Fixed::Client);
    }
}

fn audit_log(record: &Record<'_>, row: &mut Row<'_>) {
    let fields = record.fields;
    let context = fields.context.as_ref();
    row.value(record.fixed(Fixed::ActorName).or_else(|| record.fixed(Fixed::ActorId)));
    row.fixed(record, Fixed::Ip);
    row.fixed(record, Fixed::ActorKind);
    let places = [record.fixed(Fixed::City), record.fixed(Fixed::Country)];
    let places: Vec<String> = places.into_iter().flatten().map(|place| place.to_string()).collect();
    row.text(Some(&places.join(", ")));
    row.fixed(record, Fixed::ActorSlug);
    row.fixed(record, Fixed::ActorUrl);
    row.fixed(record, Fixed::Context);
    row.text(Some(record.event_name()));
    row.time(&time_text(fields.started_at.unwrap_or(fields.timestamp))[..26]);
    for thing in [context.and_then(|context| context.object), context.and_then(|context| context.target)] {
        thing_cells(record, thing, row);
    }
    row.fixed(record, Fixed::AuditId);
}

fn thing_cells(record: &Record<'_>, thing: Option<Thing>, row: &mut Row<'_>) {
    row.text(thing.and_then(|thing| record.text.some(thing.name.or(thing.id))));
    row.text(thing.map(|thing| record.text.get(thing.kind)));
    row.text(thing.and_then(|thing| record.text.some(thing.slug)));
}

/// Writes one row, cell by cell.
struct Row<'o> {
    out: &'o mut Vec<u8>,
    cell: &'o mut Vec<u8>,
    /// Where the row begins.
    start: usize,
}

impl Row<'_> {
    fn fixed(&mut self, record: &Record<'_>, fixed: Fixed) {
        self.value(record.fixed(fixed));
    }

    fn value(&mut self, value: Option<FieldValue<'_>>) {
        match value {
            None => self.out.push(b','),
            Some(FieldValue::Text(text)) => self.text(Some(&text)),
            Some(FieldValue::Json(json)) => self.json(&json),
        }
    }

    /// Date and time in UTC, without a zone.
    fn time(&mut self, time: &[u8]) {
        self.out.extend_from_slice(time);
        self.out.extend_from_slice(b"+00:00,");
    }

    fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        let is_plain = |bytes: &[u8]| plain_len(bytes, |byte| is_special(byte) | (byte == b'\\')) == bytes.len();
        if is_plain(text.as_bytes()) {
            self.prefix(text);
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.cell.clear();
            push_line_text(self.cell, text);
            self.quoted(text);
        }
        self.out.push(b',');
    }

    fn json(&mut self, json: &str) {
        if plain_len(json.as_bytes(), is_special) == json.len() {
            self.prefix(json);
            self.out.extend_from_slice(json.as_bytes());
        } else {
            self.cell.clear();
            self.cell.extend_from_slice(json.as_bytes());
            self.quoted(json);
        }
        self.out.push(b',');
    }

    /// The cell in quotes, which are doubled inside; `value` is what it says.
    fn quoted(&mut self, value: &str) {
        self.out.push(b'"');
        self.prefix(value);
        for piece in self.cell.split_inclusive(|byte| *byte == b'"') {
            self.out.extend_from_slice(piece);
            if piece.ends_with(b"\"") {
                self.out.push(b'"');
            }
        }
        self.out.push(b'"');
    }

    fn prefix(&mut self, value: &str) {
        if value.starts_with(['=', '+', '-', '@', '\'', '\t', '\r']) {
            self.out.push(b'\'');
        }
    }

    /// Ends the row: without the last comma.
    fn end(self) {
        self.out.pop_if(|last| *last == b',');
        if self.out.len() == self.start {
            // One empty column is no empty line.
            self.out.extend_from_slice(b"\"\"");
        }
    }
}

/// Bytes that a cell without quotes does not have. Beyond ASCII there may be characters to escape.
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b',') | !(0x20..0x7f).contains(&byte)
}

impl<'r> Record<'r> {
    /// The value of a column: JSON where the field itself is a body, `meta` and the like.
    fn column(&self, field: &Field) -> Option<FieldValue<'r>> {
        match field.as_fixed() {
            Some(fixed) => self.fixed(fixed),
            None => self.get(field),
        }
    }
}

/// Reads a cell back: without its quotes, the `'` in front, and the escapes of a text.
#[cfg(test)]
fn read_text(cell: &str) -> Cow<'_, str> {
    let cell = cell.strip_prefix('\'').unwrap_or(cell);
    crate::json::unescape(cell).map_or(Cow::Borrowed(cell), Cow::Owned)
}
