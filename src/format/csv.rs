//! A record as a row of CSV (RFC 4180).
//!
//! - `row`: one row, cell by cell.
//! - `flat`: the cells of `flat`, straight from the record.

mod flat;
mod row;

use std::str::FromStr;

use self::row::Row;
use super::{Format, ends_something, internal_agent};
use crate::error::Error;
use crate::record::finished::Thing;
use crate::record::{FIXED, Field, FieldValue, Fixed, Plain, Record, time_text};
use crate::redact::Redacted;

/// A row of CSV for each record, below a header with the names of the columns.
///
/// Rows follow RFC 4180, except that each row ends with one line feed and that no cell has a line break. In a cell of text,
/// control characters, line breaks and bidirectional controls are escaped as in JSON (`\n`, `\u202e`), and a backslash is
/// doubled. JSON in a cell is not escaped again. If a value is unknown, its cell is empty.
///
/// If a value begins with `=`, `+`, `-` or `@` (ASCII or full-width), `'`, a tab or a carriage return, its cell begins with an
/// additional `'`, so that no spreadsheet reads the cell as a formula. A program that reads the file has to remove one `'` from
/// the beginning of a cell. A semicolon before `=`, `+`, `-`, `@` (ASCII or full-width) or a double quote is written as
/// `\u003b`, because some spreadsheets split cells at semicolons.
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
    /// Memory of a [`Row`].
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
    /// A column for each key of the record's schema, in the order of the JSON line. `meta`, `errors`, `actor.onBehalfOf`,
    /// params, query, headers, bodies and `bodyOmitted` have one column each, which contains JSON.
    pub fn flat() -> Self {
        Self(Layout::Flat)
    }

    /// The columns of Cloudsmith's client logs, which record requests for content. A CSV with these columns accepts records of
    /// requests, except initiations.
    pub fn client_log() -> Self {
        Self(Layout::ClientLog)
    }

    /// The columns of Cloudsmith's audit logs. A CSV with these columns accepts all records except initiations.
    pub fn audit_log() -> Self {
        Self(Layout::AuditLog)
    }

    /// A column for each of these fields, in this order.
    ///
    /// # Errors
    ///
    /// If there is no field, or if a field occurs twice.
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
        let text = Redacted::default();
        let mut cells = Row::new(&text, Plain::default(), &mut row, &mut cell);
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
        let mut row = Row::of(record, out, &mut self.cell);
        match &self.columns.0 {
            Layout::Flat => flat::write(record, &mut row),
            Layout::ClientLog => client_log(record, &mut row),
            Layout::AuditLog => audit_log(record, &mut row),
            Layout::Fields(fields) => fields.iter().for_each(|field| row.value(record.column(field))),
        }
        row.end();
    }
}

fn client_log(record: &Record<'_>, row: &mut Row<'_>) {
    let fields = record.fields;
    let eula = record.meta().find(|(key, _)| *key == "eula").map(|(_, value)| value);
    let started = time_text(fields.started_at.unwrap_or(fields.timestamp));
    row.time_in_utc(&started[..19]);
    row.fixed(record, Fixed::Repository);
    row.fixed(record, Fixed::ResponseStatus);
    row.fixed(record, Fixed::Method);
    row.text(record.path().as_deref());
    row.fixed(record, Fixed::Hostname);
    row.fixed(record, Fixed::Ip);
    row.fixed(record, Fixed::ResponseBytes);
    row.fixed(record, Fixed::City);
    row.fixed(record, Fixed::Country);
    row.value(record.meta().find(|(key, _)| *key == "edge").map(|(_, value)| FieldValue::of_json(value)));
    let number = eula.as_deref().and_then(|eula| crate::json::member(eula, "number"));
    row.value(number.map(|number| FieldValue::of_json(number.into())));
    row.fixed(record, Fixed::ObjectFormat);
    row.fixed(record, Fixed::ObjectId);
    row.time_in_utc(&time_text(fields.timestamp)[..26]);
    row.fixed(record, Fixed::Referer);
    row.fixed(record, Fixed::RequestId);
    row.fixed(record, Fixed::CredentialId);
    row.value(record.fixed(Fixed::ActorSlug).or_else(|| record.fixed(Fixed::ActorId)));
    if record.is_internal() {
        row.text(Some(&internal_agent(record)));
    } else {
        row.agent(record.user_agent().as_deref());
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
    row.time_in_utc(&time_text(fields.started_at.unwrap_or(fields.timestamp))[..26]);
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

impl<'r> Record<'r> {
    /// The value of a column, which is JSON if the field itself is JSON, such as a body or `meta`.
    fn column(&self, field: &Field) -> Option<FieldValue<'r>> {
        match field.as_fixed() {
            Some(fixed) => self.fixed(fixed),
            None => self.get(field),
        }
    }
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::format::sample::line;
    use crate::format::write_line;
    use crate::record::{FieldGroup, FieldGroups, RecordLine};

    /// The cells of one row, by RFC 4180. No cell has a line break.
    fn cells(row: &str) -> Vec<String> {
        let (mut cells, mut cell, mut chars, mut quoted) = (Vec::new(), String::new(), row.chars().peekable(), false);
        while let Some(char) = chars.next() {
            match char {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                char => cell.push(char),
            }
        }
        assert!(!quoted, "{row}");
        cells.push(cell);
        cells.iter().map(|cell| cell.strip_prefix('\'').unwrap_or(cell).to_owned()).collect()
    }

    fn text(cell: &str) -> String {
        crate::json::unescape(cell).unwrap()
    }

    fn row(columns: Columns, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write_line(&mut csv(columns), *record, 1 << 20, &mut out);
        let row = String::from_utf8(out).unwrap();
        let row = row.strip_suffix('\n').unwrap();
        assert!(!row.chars().any(|char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char)), "{row:?}");
        row.to_owned()
    }

    /// The record of Cloudsmith's page on log exports.
    fn download() -> RecordLine {
        line(&json!({
            "startedAt": "2021-04-01T19:40:55.000000Z", "durationMs": 1.5,
            "requestId": "dZ3DmJ8yHU36FyH9uHoyWH4LocmlkzdKXSEuOBmnvLhA4ZF7exa5Qw==",
            "actor": {
                "actorId": "u-1", "ip": "82.1.4.8", "hostname": "dl.cloudsmith.io", "client": "libdnf", "kind": "user",
                "slug": "eP1B3YCtTlJX", "credential": { "kind": "entitlement_token", "id": "wKSkBFHpsNWB" },
                "location": { "city": "Newmarket", "country": "GB" },
            },
            "object": { "kind": "package", "id": "vmN1OlMDi3Iy", "format": "RedHat" },
            "repository": "cloudsmith/testing-private", "meta": { "edge": "LHR61-C2" },
            "response": { "status": 200, "bytes": 10421 },
            "request": {
                "method": "GET", "protocol": "HTTP/1.1",
                "url": "/rpm/fedora/29/x86_64/cloudsmith-redhat-example-1.0.16173057145-1.x86_64.rpm?a=b",
            },
        }))
    }

    #[test]
    fn a_client_log_is_cloudsmiths_sample_byte_for_byte() {
        let mut format = csv(Columns::client_log());
        assert_eq!(
            format.header().unwrap(),
            "datetime,repository,status,method,uri,host,ip_address,bytes,city,country,edge,eula,format,package,recorded,\
             referer,request_id,token,user,user_agent"
        );
        let read = download();
        assert!(format.accepts(&read.record()));
        let mut out = Vec::new();
        write_line(&mut format, read.record(), 15 * 1024, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2021-04-01T19:40:55+00:00,cloudsmith/testing-private,200,GET,/rpm/fedora/29/x86_64/cloudsmith-redhat-example-\
             1.0.16173057145-1.x86_64.rpm,dl.cloudsmith.io,82.1.4.8,10421,Newmarket,GB,LHR61-C2,,RedHat,vmN1OlMDi3Iy,\
             2021-04-01T19:46:23.817658+00:00,,dZ3DmJ8yHU36FyH9uHoyWH4LocmlkzdKXSEuOBmnvLhA4ZF7exa5Qw==,wKSkBFHpsNWB,\
             eP1B3YCtTlJX,libdnf\n"
        );
    }

    #[test]
    fn an_audit_log_has_the_columns_of_its_source() {
        let read = line(&json!({
            "actor": {
                "actorId": "u-1", "ip": "2001:db8::1", "kind": "user", "name": "Jane, \"JD\"", "url": "/users/jane",
                "slug": "jd", "location": { "city": "Paris", "country": "FR" },
            },
            "object": { "kind": "package", "id": "1", "slug": "lp" }, "context": "web",
            "target": { "kind": "repository", "id": "2", "name": "=cmd|' /C calc'!A0" },
        }));
        assert_eq!(
            row(Columns::audit_log(), &read.record()),
            "\"Jane, \"\"JD\"\"\",2001:db8::1,user,\"Paris, FR\",jd,/users/jane,web,PackageDownloaded,\
             2021-04-01T19:46:23.817658+00:00,1,package,lp,'=cmd|' /C calc'!A0,repository,,\
             00000000-0000-7000-8000-000000000001"
        );
        assert!(!csv(Columns::client_log()).accepts(&read.record()), "it has no request");
        let begun = line(&json!({ "stage": "initiation" }));
        assert!(!csv(Columns::audit_log()).accepts(&begun.record()) && csv(Columns::flat()).accepts(&begun.record()));
    }

    #[test]
    fn a_record_of_the_library_names_itself_where_the_user_agent_is() {
        let lost = line(&json!({
            "eventName": "AuditRecordsLost", "meta": { "count": 3, "reason": "queue_full" },
            "startedAt": "2021-04-01T19:40:55.000000Z",
        }));
        assert_eq!(
            row(Columns::client_log(), &lost.record()),
            "2021-04-01T19:40:55+00:00,,,,,,,,,,,,,,2021-04-01T19:46:23.817658+00:00,,,,,tower-audit/AuditRecordsLost count=3"
        );
        assert!(row(Columns::audit_log(), &lost.record()).contains(",AuditRecordsLost,"));
    }

    #[test]
    fn no_client_passes_for_the_library() {
        for (agent, expected) in [
            ("tower-audit/AuditRecordsLost count=9", r#""\u0074ower-audit/AuditRecordsLost count=9""#),
            ("Tower-Audit/x \"y\"", r#""\u0054ower-Audit/x ""y""""#),
            ("tower-auditor/1", "tower-auditor/1"),
        ] {
            let request = json!({ "method": "GET", "protocol": "HTTP/2", "url": "/" });
            let read = line(&json!({ "actor": { "actorId": "u", "client": agent }, "request": request }));
            let row = row(Columns::client_log(), &read.record());
            assert_eq!(row.rsplit_once(",u,").unwrap().1, expected);
            assert_eq!(text(cells(&row).last().unwrap()), agent);
        }
    }

    #[test]
    fn flat_has_a_column_for_each_key_and_json_as_it_is() {
        let read = download();
        let header = csv(Columns::flat()).header().unwrap();
        let names: Vec<&str> = header.split(',').collect();
        let cells = cells(&row(Columns::flat(), &read.record()));
        assert_eq!(names.len(), cells.len());
        let of = |name: &str| &cells[names.iter().position(|known| *known == name).unwrap()];
        assert_eq!((of("seq").as_str(), of("instance").as_str(), of("isAuditLog").as_str()), ("7", "test", "true"));
        assert_eq!((of("meta").as_str(), of("durationMs").as_str()), (r#"{"edge":"LHR61-C2"}"#, "1.500"));
        assert_eq!(of("errors"), "");
    }

    /// A record with every key that a record can have, except keys that exclude each other.
    fn full() -> Value {
        json!({
            "level": "warn", "eventKind": "package", "logType": "client", "stage": "re;\"=view", "status": "failed",
            "outcome": "timed_out", "message": "a \"quoted\" \u{202e}, sentence", "startedAt": "2026-11-20T07:55:36.000001Z",
            "durationMs": 1720.972, "requestId": "r-1", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "00f067aa0ba902b7", "service": "registry", "plugin": "npm", "component": "+api", "host": "web-1",
            "actor": {
                "actorId": "u,1", "ip": "2001:db8::1", "port": 443, "hostname": "dl.example", "client": "npm/10 \\",
                "kind": "job", "name": "Jané", "url": "/jane", "slug": "jane", "verified": false, "claimed": "j",
                "credential": { "kind": "deploy_token", "id": "17", "name": "ci", "owner": "g/p" },
                "onBehalfOf": { "actorId": null, "kind": "user", "onBehalfOf": { "actorId": "u-3", "kind": "user" } },
                "location": { "city": "Newmarket", "country": "GB", "continent": "EU" }, "peerIp": "10.0.0.1",
            },
            "object": { "kind": "package", "id": "1", "name": "left-pad", "version": "1.3.0", "slug": "lp", "format": "npm" },
            "target": { "kind": "repository", "id": "2", "name": "g/p", "version": "v", "slug": "s", "format": "f" },
            "scope": { "kind": "group", "path": "g" }, "project": "g/p", "repository": "g/p/npm", "namespace": "g",
            "context": "web", "meta": { "taskId": "t-1", "a": { "c": [1, { "d": ";\"=x" }] }, "n": -1.5 },
            "errors": [{ "name": "Timeout", "message": "too late", "stack": "a\nb" }, { "name": "Other", "message": "é" }],
            "response": { "status": 504, "bytes": 12, "bodyOmitted": { "reason": "binary", "contentType": "a/b", "bytes": 12 } },
            "request": {
                "method": "DELETE", "url": "/g/p?x=%20&y&repo=a", "route": "/{g}/{repo}", "protocol": "HTTP/2",
                "referer": "https://x/", "params": { "g": "g", "repo": "p" }, "query": { "x": [" ", "y"], "y": "" },
                "headers": { "x-a": "1", "user-agent": "npm" }, "body": ["b", true, null],
            },
        })
    }

    /// The cells of `flat`, each by the name of its field.
    fn by_names() -> Columns {
        Columns::fields(FIXED.iter().map(|(name, _)| name.parse().unwrap())).unwrap()
    }

    #[test]
    fn flat_is_what_its_fields_are_one_by_one() {
        let groups: [&[FieldGroup]; 4] = [
            &[],
            &[FieldGroup::Repository, FieldGroup::Namespace],
            &[FieldGroup::Addresses, FieldGroup::Location, FieldGroup::UserAgent],
            &[FieldGroup::Bodies, FieldGroup::Eula],
        ];
        let mut records = vec![full()];
        // In each record, another key is absent. This includes the keys of objects.
        for (key, value) in full().as_object().unwrap() {
            let mut without = full();
            without.as_object_mut().unwrap().remove(key);
            records.push(without);
            for inner in value.as_object().into_iter().flatten().map(|(inner, _)| inner) {
                let mut without = full();
                without[key].as_object_mut().unwrap().remove(inner);
                let is_needed = ["kind", "path", "method", "url", "protocol"].contains(&inner.as_str());
                if !is_needed || key == "actor" {
                    records.push(without);
                }
            }
        }
        for body in [json!(-5), json!("text, \"x\""), json!({}), json!([]), json!({ "": "" })] {
            let mut other = full();
            other["request"]["body"] = body.clone();
            other["response"] = json!({ "status": 200, "body": body });
            records.push(other);
        }
        for members in records {
            let read = line(&members);
            for groups in groups {
                let mut omitted = FieldGroups::default();
                omitted.extend(groups);
                let record = read.record().without(omitted);
                assert_eq!(row(Columns::flat(), &record), row(by_names(), &record), "{members}");
                let (mut flat, mut named) = (Vec::new(), Vec::new());
                write_line(&mut csv(Columns::flat()), record, 1024, &mut flat);
                write_line(&mut csv(by_names()), record, 1024, &mut named);
                assert_eq!(String::from_utf8(flat), String::from_utf8(named), "shortened");
            }
        }
    }

    #[test]
    fn no_formula_begins_a_cell_at_commas_or_at_semicolons() {
        let value = |text: &str| line(&json!({ "message": text, "meta": { "a": text } }));
        let written = |text: &str| row("message,meta".parse().unwrap(), &value(text).record());
        let json = |text: &str| format!("\"{{\"\"a\"\":\"\"{text}\"\"}}\"");
        assert_eq!(written("x;=1"), format!(r"x\u003b=1,{}", json(r"x\u003b=1")));
        assert_eq!(written(";a; b;'c"), format!(";a; b;'c,{}", json(";a; b;'c")));
        assert_eq!(written(r"x\;@y"), format!(r#""x\\\u003b@y",{}"#, json(r"x\\\u003b@y")));
        assert_eq!(written("x;\"=1"), format!(r#""x\u003b""=1",{}"#, json(r#"x;\""=1"#)));
        for wide in ['\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'] {
            let text = format!("{wide}1;{wide}2;\u{ff21}");
            let escaped = format!("{wide}1\\u003b{wide}2;\u{ff21}");
            assert_eq!(written(&text), format!("\"'{escaped}\",{}", json(&escaped)));
            let cells = cells(&written(&text));
            let meta: Value = serde_json::from_str(&cells[1]).unwrap();
            assert_eq!((crate::json::unescape(&cells[0]).unwrap(), &meta["a"]), (text.clone(), &json!(text)));
        }
    }

    #[test]
    fn columns_are_parsed_and_refused_with_what_is_meant() {
        let error = |text: &str| text.parse::<Columns>().unwrap_err().to_string();
        assert!(error("actor.ipp").contains("`actor.ip`"));
        assert!(error("").contains("nearest") && error("seq, seq").contains("twice"));
        assert_eq!("flat".parse::<Columns>().unwrap(), Columns::default());
        let mut one = csv("meta.a".parse().unwrap());
        let mut out = Vec::new();
        write_line(&mut one, line(&json!({})).record(), 4096, &mut out);
        assert_eq!(out, b"\"\"\n", "one empty cell is no empty line");
        let odd = Columns::fields(["meta.a,\"b".parse().unwrap()]).unwrap();
        assert_eq!(csv(odd).header().unwrap(), "\"meta.a,\"\"b\"");
    }

    #[test]
    fn a_row_that_is_too_long_is_shortened_and_names_what() {
        let long = "é\"".repeat(8_000);
        let read = line(&json!({
            "message": long, "meta": { "long": long, "short": 1 }, "response": { "status": 200, "body": long },
            "request": { "method": "GET", "protocol": "HTTP/2", "url": long, "body": [long, long] },
        }));
        let mut out = Vec::new();
        write_line(&mut csv(Columns::flat()), read.record(), 4096, &mut out);
        assert!(out.len() <= 4096, "{}", out.len());
        let row = String::from_utf8(out).unwrap();
        let cells = cells(row.strip_suffix('\n').unwrap());
        assert_eq!(cells.len(), FIXED.len());
        assert!(
            cells.iter().any(|cell| cell == r#"{"short":1,"shortened":["meta.long","message","url"]}"#),
            "{cells:?}"
        );
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_forges_nothing(
            texts in prop::collection::vec("(?s)[=+@;＝＠'\t\r,\"\\\\\n\u{0}\u{202e}\u{2028}\u{85}a-c€-]{0,12}|(?s).{0,24}", 6),
        ) {
            let read = line(&json!({
                "message": texts[0], "meta": { "a": texts[1] },
                "actor": { "actorId": texts[2], "client": texts[3], "name": texts[4], "location": { "city": texts[5] } },
            }));
            let columns: Columns = "message,meta.a,actor.actorId,actor.client,actor.name,actor.location.city".parse().unwrap();
            let found: Vec<String> = cells(&row(columns, &read.record())).iter().map(|cell| text(cell)).collect();
            prop_assert_eq!(&found, &texts);
            let flat_row = row(Columns::flat(), &read.record());
            let flat = cells(&flat_row);
            prop_assert_eq!(flat.len(), FIXED.len());
            prop_assert_eq!(&flat_row, &row(by_names(), &read.record()));
            // The cells of a spreadsheet that splits at semicolons.
            for cell in flat_row.split(';').skip(1) {
                prop_assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@', '＝', '＠']), "{}", cell);
            }
            let meta = flat.iter().find(|cell| cell.starts_with("{\"a\"")).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(meta).unwrap(), json!({ "a": texts[1] }));
            prop_assert_eq!(cells(&row(Columns::audit_log(), &read.record())).len(), 16);
            prop_assert_eq!(cells(&row(Columns::client_log(), &read.record())).len(), 20);
        }
    }
}
