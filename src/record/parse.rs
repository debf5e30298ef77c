//! A line of JSON that this library wrote → the record that it shows.
//!
//! What is read back is no [`Finished`](super::Finished): a sink's line can only be made of one of those.
//!
//! - `parts`: the members of the line, and those that each must have.
//! - `reader`: the objects among them, as pieces of the line.
//! - `value`: strings, numbers, times and names.

mod parts;
mod reader;
mod value;

use std::sync::Arc;

use serde_core::de::IgnoredAny;

use self::parts::Parts;
use self::reader::Reader;
use super::finished::Fields;
use super::labels::LabelTexts;
use super::wire::Process;
use super::{Labels, Record, UserAgentKey};
use crate::error::Error;
use crate::json::{Flaw, check_compact, members};
use crate::redact::ReadBack;

/// One line of an audit log in JSON, read back into a [`Record`].
///
/// For programs that read an existing log: exports, reports, tests. A record that was read back can be filtered and written
/// in any [format](crate::format), but not to a sink.
///
/// ```
/// use tower_audit::{RecordLine, Status};
///
/// let line = r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"info","isAuditLog":true,"schema":"1.0","eventName":"Login","stage":"completion","status":"succeeded","auditId":"019a9f3c-5b14-7000-8000-000000000001","instance":"a","seq":7,"actor":{"actorId":"jane"}}"#;
/// let read = RecordLine::parse(line)?;
/// let record = read.record();
/// assert_eq!((record.event_name(), record.actor_id(), record.seq()), ("Login", Some("jane"), Some(7)));
/// # Ok::<(), tower_audit::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordLine {
    text: ReadBack,
    fields: Fields,
    process: Arc<Process>,
    seq: Option<u64>,
}

/// What lines of one file have in common, made once.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    process: Option<Arc<Process>>,
    labels: Vec<Arc<Labels>>,
}

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// Most levels of lists and objects in a line.
const MAX_DEPTH: u32 = 100;

impl RecordLine {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    ///
    /// If it is not a line of JSON that this library wrote: not valid JSON, longer than 64 MiB, nested deeper than 100 levels,
    /// without a key that every record has, or with a value that no record has. The error names the key.
    pub fn parse(line: &str) -> Result<Self, Error> {
        LineReader::default().parse(line)
    }

    /// The record.
    pub fn record(&self) -> Record<'_> {
        let record = Record::new(self.text.text(), &self.fields, &self.process);
        Record { seq: self.seq, line: Some(self.text.line()), ..record }
    }

    /// The line itself, without its newline.
    pub fn as_str(&self) -> &str {
        self.text.line()
    }
}

impl LineReader {
    /// As [`RecordLine::parse`].
    pub(crate) fn parse(&mut self, line: &str) -> Result<RecordLine, Error> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        check(line)?;
        let mut reader = Reader { line, text: ReadBack::new(line) };
        let mut read = Parts::default();
        for (key, value) in members(line) {
            read.take(&mut reader, key, value).map_err(|what| wrong(&what))?;
        }
        let (fields, process, seq) = read.finish(self).map_err(|what| wrong(&what))?;
        Ok(RecordLine { text: reader.text, fields, process, seq })
    }

    fn process(&mut self, instance: &str, host: Option<&str>, key: UserAgentKey) -> Arc<Process> {
        let is_its = |known: &&Arc<Process>| known.is_read_back_of(instance, host, key);
        let known = self.process.as_ref().filter(is_its).cloned();
        let process = known.unwrap_or_else(|| Arc::new(Process::read_back(instance, host, key)));
        self.process = Some(process.clone());
        process
    }

    fn labels(&mut self, new: &LabelTexts<'_>) -> Arc<Labels> {
        /// Most that are kept: those of few kinds of events are looked for faster than they are made.
        const MOST: usize = 32;
        /// Longer texts, of all together, are not kept: they are no names of kinds.
        const LONGEST: usize = 4 * 1024;
        if let Some(known) = self.labels.iter().find(|known| known.texts() == *new) {
            return known.clone();
        }
        let labels = Arc::new(Labels::new(new.name, new.kind, new.log_type, new.service, new.plugin, new.component));
        if new.len() > LONGEST {
            return labels;
        }
        if self.labels.len() == MOST {
            self.labels.clear();
        }
        self.labels.push(labels.clone());
        labels
    }
}

fn wrong(what: &str) -> Error {
    Error::record(format!("not a line of an audit log: {what}"))
}

/// Whether it is one object of valid JSON, as this library writes it: without white space between the tokens, and with every
/// character escaped that could end or turn a line.
fn check(line: &str) -> Result<(), Error> {
    if line.len() > MAX_LINE {
        return Err(wrong("it has more than 64 MiB"));
    }
    if !line.starts_with('{') {
        return Err(wrong("it is not a JSON object"));
    }
    check_compact(line, MAX_DEPTH).map_err(|flaw| match flaw {
        Flaw::Odd => wrong("it has a character that is always escaped"),
        Flaw::WhiteSpace => wrong("it has white space between its values"),
        Flaw::TooDeep => wrong("it is nested deeper than 100 levels"),
        Flaw::Syntax => match serde_json::from_str::<IgnoredAny>(line) {
            Err(error) => wrong("invalid JSON").with_source(error),
            Ok(_) => wrong("invalid JSON"),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{self, Format as _};
    use crate::record::FieldGroups;
    use crate::record::{FIXED, Field, FieldGroup, FieldValue};

    /// Every key that a record can have, in the order of the line.
    const LINE: &str = concat!(
        r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"warn","isAuditLog":true,"schema":"1.0","eventName":"PackageDeleted","#,
        r#""eventKind":"package","logType":"client","stage":"review","status":"failed","outcome":"timed_out","message":"a \"quoted\" \u202e sentence","#,
        r#""auditId":"019a9f3c-5b14-7000-8000-000000000001","instance":"a","seq":7,"startedAt":"2026-11-20T07:55:36.000001Z","#,
        r#""durationMs":1720.972,"requestId":"r-1","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","#,
        r#""service":"registry","plugin":"npm","component":"api","host":"web-1","actor":{"actorId":"u-1","ip":"2001:db8::1","#,
        r#""port":443,"hostname":"dl.example","client":"npm/10 \\","kind":"job","name":"Jane","url":"/jane","slug":"jane","#,
        r#""verified":false,"claimed":"j","credential":{"kind":"deploy_token","id":"17","name":"ci","owner":"g/p"},"#,
        r#""onBehalfOf":{"actorId":null,"kind":"user","onBehalfOf":{"actorId":"u-3","kind":"user"}},"#,
        r#""location":{"city":"Newmarket","country":"GB","continent":"EU"},"peerIp":"10.0.0.1"},"#,
        r#""object":{"kind":"package","id":"1","name":"left-pad","version":"1.3.0","slug":"lp","format":"npm"},"#,
        r#""target":{"kind":"repository","name":"g/p"},"scope":{"kind":"group","path":"g"},"project":"g/p","#,
        r#""repository":"g/p/npm","namespace":"g","context":"web","meta":{"taskId":"t-1","a.b":{"c":[1,{"d":"x"}]},"n":-1.5e3},"#,
        r#""errors":[{"name":"Timeout","message":"too late","stack":"a\nb"},{"name":"Other","message":"é"}],"#,
        r#""response":{"status":504,"bytes":12,"bodyOmitted":{"reason":"binary","contentType":"a/b","bytes":12}},"#,
        r#""request":{"method":"DELETE","url":"/g/p?x=%20&y","route":"/{g}/{p}","protocol":"HTTP/2","referer":"https://x/","#,
        r#""params":{"g":"g","p":"p"},"query":{"x":[" ","y"],"y":""},"headers":{"x-a":"1"},"body":["b",true,null]}}"#,
    );

    fn get(record: &Record<'_>, field: &str) -> Option<FieldValue<'static>> {
        record.get(&field.parse().unwrap()).map(|value| match value {
            FieldValue::Text(text) => FieldValue::Text(text.into_owned().into()),
            FieldValue::Json(json) => FieldValue::Json(json.into_owned().into()),
        })
    }

    #[test]
    fn a_line_that_was_read_back_is_written_again_from_its_values() {
        let read = RecordLine::parse(LINE).unwrap();
        assert_eq!(read.as_str(), LINE);
        let (mut whole, mut remade) = (Vec::new(), Vec::new());
        format::json().write(&read.record(), &mut whole);
        assert_eq!(String::from_utf8(whole).unwrap(), LINE);
        format::json().write(&Record { line: None, ..read.record() }, &mut remade);
        assert_eq!(String::from_utf8(remade).unwrap(), LINE);
    }

    #[test]
    fn keys_of_meta_are_read_back_with_and_without_escapes() {
        let meta = r#"{"":0,"a\"b\\":"x","seq":9,"é":{"instance":"b"},"\u202e\n":[]}"#;
        let line = LINE.replace(r#"{"taskId":"t-1","a.b":{"c":[1,{"d":"x"}]},"n":-1.5e3}"#, meta);
        let read = RecordLine::parse(&line).unwrap();
        let record = read.record();
        assert_eq!((record.instance(), record.seq()), ("a", Some(7)));
        let keys: Vec<_> = record.meta().map(|(key, _)| key).collect();
        assert_eq!(keys, ["", "a\"b\\", "seq", "é", "\u{202e}\n"]);
        let mut remade = Vec::new();
        format::json().write(&Record { line: None, ..record }, &mut remade);
        assert_eq!(String::from_utf8(remade).unwrap(), line);
    }

    #[test]
    fn a_line_that_was_read_back_keeps_the_key_of_its_user_agent() {
        const CLIENT: &str = r#""client":"npm/10 \\","#;
        const USER_AGENT: &str = r#""userAgent":"npm/10 \\","#;
        for keys in [CLIENT.to_owned(), USER_AGENT.to_owned(), [CLIENT, USER_AGENT].concat(), String::new()] {
            let line = LINE.replace(CLIENT, &keys);
            let (read, mut remade) = (RecordLine::parse(&line).unwrap(), Vec::new());
            format::json().write(&Record { line: None, ..read.record() }, &mut remade);
            assert_eq!(String::from_utf8(remade).unwrap(), line);
        }
    }

    #[test]
    fn what_is_left_out_by_name_is_left_out_of_bodies_that_are_texts_too() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Repository]);
        for (body, shown) in [
            (r#""{\"repo\":\"acme\",\"a\":[{\"repository\":{\"b\":1}},\" x \"]}""#, Some(r#""{\"a\":[{},\" x \"]}""#)),
            (r#""{ \"repo\" : \"acme\", \"a b\" : 1 }""#, Some(r#""{\"a b\":1}""#)),
            (r#""{ \"a\" : 1 }""#, Some(r#""{ \"a\" : 1 }""#)),
            (r#""[\"repo\",7""#, None),
            (r#""{\"r\\u0065po\":\"acme""#, None),
            (r#""{\"a\":\"b""#, Some(r#""{\"a\":\"b""#)),
            (r#""the repo acme""#, Some(r#""the repo acme""#)),
            (r#"{"repo":"acme","a":1}"#, Some(r#"{"a":1}"#)),
        ] {
            let line = LINE.replace(r#"["b",true,null]"#, body);
            let read = RecordLine::parse(&line).unwrap();
            let record = read.record().without(omitted);
            assert_eq!(get(&record, "request.body").map(|value| json_of(&value)).as_deref(), shown, "{body}");
            let mut out = Vec::new();
            format::json().write(&record, &mut out);
            let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let expected = shown.map(|shown| serde_json::from_str::<serde_json::Value>(shown).unwrap());
            assert_eq!(line["request"].get("body"), expected.as_ref());
        }
    }

    fn json_of(value: &FieldValue<'_>) -> String {
        match value {
            FieldValue::Text(text) => {
                let mut json = String::new();
                crate::json::push_json_string(&mut json, text);
                json
            }
            FieldValue::Json(json) => json.to_string(),
        }
    }

    #[test]
    fn a_message_of_a_line_that_was_shortened_is_left_out_with_the_names() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Repository]);
        for (meta, message) in [("", Some("read it")), (r#""shortened":["params"],"#, None)] {
            let line = LINE.replace(r#""a \"quoted\" \u202e sentence""#, "\"read it\"");
            let line = line.replace(r#""meta":{"#, &[r#""meta":{"#, meta].concat());
            let read = RecordLine::parse(&line).unwrap();
            assert_eq!(read.record().without(omitted).message().as_deref(), message);
            assert_eq!(read.record().message().as_deref(), Some("read it"));
        }
    }

    #[test]
    fn a_record_serializes_as_its_line() {
        let read = RecordLine::parse(LINE).unwrap();
        let value = serde_json::to_value(read.record()).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(LINE).unwrap());
    }

    #[test]
    fn every_field_has_the_value_at_its_path() {
        let read = RecordLine::parse(LINE).unwrap();
        let line: serde_json::Value = serde_json::from_str(LINE).unwrap();
        let mut missing = Vec::new();
        for (name, _) in FIXED {
            let at = line.pointer(&format!("/{}", name.replace('.', "/")));
            let Some(at) = at else {
                missing.push(*name);
                assert_eq!(get(&read.record(), name), None, "{name}");
                continue;
            };
            let value = get(&read.record(), name).unwrap_or_else(|| panic!("{name}"));
            match (&value, at) {
                (FieldValue::Text(text), serde_json::Value::String(expected)) => assert_eq!(text, expected, "{name}"),
                (FieldValue::Json(json), expected) => {
                    assert_eq!(&serde_json::from_str::<serde_json::Value>(json).unwrap(), expected, "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        // The target of the sample has a name only; a body is there or left out.
        let without =
            ["target.id", "target.version", "target.slug", "target.format", "response.body", "request.bodyOmitted"];
        assert_eq!(missing, without);
    }

    #[test]
    fn fields_go_on_inside_of_values() {
        let read = RecordLine::parse(LINE).unwrap();
        let record = read.record();
        let text = |text: &'static str| Some(FieldValue::Text(text.into()));
        let json = |json: &'static str| Some(FieldValue::Json(json.into()));
        assert_eq!(get(&record, "actor.userAgent"), text("npm/10 \\"));
        assert_eq!(get(&record, "meta.taskId"), text("t-1"));
        assert_eq!(get(&record, "meta.a.b"), json(r#"{"c":[1,{"d":"x"}]}"#));
        assert_eq!(get(&record, "meta.n"), json("-1.5e3"));
        assert_eq!(get(&record, "meta.absent.b"), None);
        assert_eq!(get(&record, "errors.0.message"), text("too late"));
        assert_eq!(get(&record, "errors.1.stack"), None);
        assert_eq!(get(&record, "errors.x"), None);
        assert_eq!(get(&record, "request.query.x.1"), text("y"));
        assert_eq!(get(&record, "request.params.g"), text("g"));
        assert_eq!(get(&record, "request.headers.x-a"), text("1"));
        assert_eq!(get(&record, "request.body.1"), json("true"));
        assert_eq!(get(&record, "response.bodyOmitted.reason"), text("binary"));
        assert_eq!(get(&record, "actor.onBehalfOf.onBehalfOf.actorId"), text("u-3"));
        assert_eq!(get(&record, "actor.onBehalfOf.actorId"), json("null"));
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest() {
        let error = |name: &str| name.parse::<Field>().unwrap_err().to_string();
        assert!(error("actor.ipp").ends_with("the nearest is `actor.ip`"), "{}", error("actor.ipp"));
        assert!(error("eventname").ends_with("the nearest is `eventName`"));
        assert!(error("actor.credential").contains("actor.credential.kind, actor.credential.id"));
        assert!(error("").contains("the nearest is"));
        assert!(error("meta.").contains("`meta`"));
        assert!(error(&"x".repeat(1 << 20)).len() < 256);
        assert!("meta.".to_owned().parse::<Field>().is_err());
        assert!(format!("meta.{}", "a.".repeat(40)).parse::<Field>().is_err());
    }

    #[test]
    fn what_is_no_line_of_ours_is_refused_and_the_key_is_named() {
        let error = |line: &str| {
            let error = RecordLine::parse(line).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Record);
            error.to_string()
        };
        assert!(error("").contains("not a JSON object") && error("[]").contains("not a JSON object"));
        assert!(error("{}").contains("`isAuditLog` is not true"));
        assert!(error(&LINE.replace(r#""a","seq""#, "\"\u{202e}\",\"seq\"")).contains("always escaped"));
        assert!(error(&LINE[..LINE.len() - 1]).contains("invalid JSON"));
        assert!(error(&LINE.replace("\"level\":", "\"level\": ")).contains("white space"));
        for (from, to, what) in [
            (r#""level":"warn""#, r#""level":"bad""#, "`level` has a value"),
            (r#""level":"warn""#, r#""level":7"#, "`level` is not a string"),
            (r#""schema":"1.0""#, r#""schema":"2.0""#, "version 1"),
            ("2026-11-20T07:55:37.720973Z", "yesterday", "`timestamp` is no time"),
            ("2001:db8::1", "2001", "`ip` is no address"),
            ("1720.972", "-1", "`durationMs`"),
            (r#""seq":7"#, r#""seq":-7"#, "`seq`"),
            (r#""status":504"#, r#""status":99"#, "`response.status`"),
            (r#""actor":{"#, r#""actor":[],"x":{"#, "`actor` is not an object"),
            (r#""reason":"binary""#, r#""reason":"x""#, "`reason`"),
            (r#""instance":"a","#, "", "`instance` is missing"),
            (r#""a \"quoted\" \u202e sentence""#, r#""\ud800""#, "`message` is no text"),
        ] {
            let changed = LINE.replace(from, to);
            assert_ne!(changed, LINE, "{from}");
            assert!(error(&changed).contains(what), "{}", error(&changed));
        }
        let deep = LINE.replace("[1,{\"d\"", &format!("{}[1,{{\"d\"", "[".repeat(200)));
        assert!(error(&deep).contains("100 levels"));
    }

    #[test]
    fn labels_whose_texts_are_long_are_not_kept() {
        let mut reader = LineReader::default();
        reader.parse(LINE).unwrap();
        let long = "x".repeat(4_096);
        let read = reader.parse(&LINE.replace("PackageDeleted", &long)).unwrap();
        assert_eq!(read.record().event_name(), long);
        assert_eq!(reader.labels.len(), 1);
    }

    #[test]
    fn a_key_of_a_later_minor_version_is_kept() {
        let later = LINE.replace(r#","seq":7"#, r#","seq":7,"new":{"x":1}"#).replace("\"1.0\"", "\"1.1\"");
        let read = RecordLine::parse(&later).unwrap();
        let mut out = Vec::new();
        format::json().write(&read.record(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), later);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>(), at in 0..LINE.len(), put in "[\\x00-\\x7f]{0,3}", skip in 0..8_usize) {
            let _ = RecordLine::parse(&line);
            let end = (at + skip).min(LINE.len());
            if let (Some(before), Some(behind)) = (LINE.get(..at), LINE.get(end..))
                && let Ok(read) = RecordLine::parse(&[before, &put, behind].concat())
            {
                let mut out = Vec::new();
                format::write_line(&mut format::json(), Record { line: None, ..read.record() }, 4096, &mut out);
                format::write_line(&mut format::csv(format::Columns::flat()), read.record(), 4096, &mut out);
                prop_assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 2);
            }
        }
    }
}
