//! One line of a segment, and the members that decide what becomes of it. Everything else stays text.

use super::marks::Marks;
use crate::json::{scalar_end, value_end};

/// An audit record as a line of JSON, without its newline.
#[derive(Clone, Copy, Debug)]
pub struct SegmentLine<'a> {
    /// UTF-8.
    line: &'a [u8],
    members: Members,
}

/// Where the values are in the line, as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Members {
    timestamp: Place,
    event_name: Place,
    event_kind: Place,
    log_type: Place,
    stage: Place,
    audit_id: Place,
    instance: Place,
    schema: Place,
    repository: Place,
    scope: Place,
    meta: Place,
    seq: u64,
    is_audit_log: bool,
}

/// From one byte of the line to another.
#[derive(Clone, Copy, Debug, Default)]
struct Place(usize, usize);

impl<'a> SegmentLine<'a> {
    /// Returns `None` if the line is not a complete audit record: not an object that ends with the line, or without the
    /// members that every record has.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        Some(Self::of(line, Members::of_record(line)?))
    }

    /// With the members that were found in this line before.
    pub(super) fn of(line: &'a [u8], members: Members) -> Self {
        Self { line, members }
    }

    fn text(&self, Place(from, to): Place) -> &'a str {
        self.line.get(from..to).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// The whole line.
    pub fn json(&self) -> &'a str {
        std::str::from_utf8(self.line).unwrap_or_default()
    }

    /// The bytes of the whole line.
    #[cfg(feature = "export")]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.line
    }

    /// `timestamp`: RFC 3339 in UTC with microseconds, so that the order of the texts is the order of the times.
    pub fn timestamp(&self) -> &'a str {
        self.text(self.members.timestamp)
    }

    /// `eventName`
    pub fn event_name(&self) -> &'a str {
        self.text(self.members.event_name)
    }

    /// `eventKind`; empty where the event has none.
    pub fn event_kind(&self) -> &'a str {
        self.text(self.members.event_kind)
    }

    /// `logType`; empty where the record has none.
    pub fn log_type(&self) -> &'a str {
        self.text(self.members.log_type)
    }

    /// `stage`
    pub fn stage(&self) -> &'a str {
        self.text(self.members.stage)
    }

    /// `auditId`
    pub fn audit_id(&self) -> &'a str {
        self.text(self.members.audit_id)
    }

    /// `instance`: the run of the process that wrote it.
    pub fn instance(&self) -> &'a str {
        self.text(self.members.instance)
    }

    /// `seq`: its number in the file, from 1 on for each run.
    pub fn seq(&self) -> u64 {
        self.members.seq
    }

    /// `schema`, such as `1.0`.
    pub fn schema(&self) -> &'a str {
        self.text(self.members.schema)
    }

    /// Whether the record is one of this library, whose names begin with `Audit`.
    pub fn is_internal(&self) -> bool {
        self.event_kind() == "audit" && self.event_name().starts_with("Audit")
    }

    /// `repository`, unescaped; `None` where the record has none.
    #[cfg(feature = "export")]
    pub(crate) fn repository(&self) -> Option<std::borrow::Cow<'a, str>> {
        text(self.text(self.members.repository))
    }

    /// `scope.path`, unescaped.
    #[cfg(feature = "export")]
    pub(crate) fn scope_path(&self) -> Option<std::borrow::Cow<'a, str>> {
        let scope: serde_json::Value = serde_json::from_str(self.text(self.members.scope)).ok()?;
        scope.get("path")?.as_str().map(|path| path.to_owned().into())
    }

    /// `meta`, for the few records that it is asked of.
    #[cfg(feature = "export")]
    pub(crate) fn meta(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.text(self.members.meta)).ok()
    }
}

impl Members {
    /// Those of an audit record; `None` if the line is none.
    pub(super) fn of_record(line: &[u8]) -> Option<Self> {
        std::str::from_utf8(line).ok()?;
        let members = Self::of(line)?;
        let is_empty = |Place(from, to): Place| from >= to;
        let is_record = members.is_audit_log
            && members.seq > 0
            && is_time(line.get(members.timestamp.0..members.timestamp.1)?)
            && !is_empty(members.instance)
            && !is_empty(members.event_name);
        is_record.then_some(members)
    }

    /// Walks the members once, to the line's end.
    fn of(line: &[u8]) -> Option<Self> {
        let mut members = Self::default();
        if line.first() != Some(&b'{') {
            return None;
        }
        let mut marks = Marks::new(line)?;
        let mut at = 1;
        loop {
            if line.get(at) != Some(&b'"') {
                return None;
            }
            let key_end = marks.next_quote(at + 1)?;
            if line.get(key_end + 1) != Some(&b':') {
                return None;
            }
            let from = key_end + 2;
            let to = match line.get(from)? {
                b'"' => marks.next_quote(from + 1)? + 1,
                b'{' | b'[' => marks.nested_end(from)?,
                b',' | b':' | b'}' | b']' => return None,
                _ => scalar_end(line, from),
            };
            members.take(&line[at + 1..key_end], &line[from..to], from)?;
            match line.get(to)? {
                b',' => at = to + 1,
                b'}' if to + 1 == line.len() => return Some(members),
                _ => return None,
            }
        }
    }

    /// `None` if a member that every record has is of another type.
    #[inline(always)]
    fn take(&mut self, key: &[u8], value: &[u8], at: usize) -> Option<()> {
        let whole = Place(at, at + value.len());
        let inside = || (value.first() == Some(&b'"')).then(|| Place(at + 1, at + value.len() - 1));
        match key {
            b"timestamp" => self.timestamp = inside()?,
            b"eventName" => self.event_name = inside()?,
            b"eventKind" => self.event_kind = inside()?,
            b"logType" => self.log_type = inside()?,
            b"stage" => self.stage = inside()?,
            b"auditId" => self.audit_id = inside()?,
            b"instance" => self.instance = inside()?,
            b"schema" => self.schema = inside()?,
            b"seq" => self.seq = std::str::from_utf8(value).ok()?.parse().ok()?,
            b"isAuditLog" => self.is_audit_log = value == b"true",
            b"repository" => self.repository = whole,
            b"scope" => self.scope = whole,
            b"meta" => self.meta = whole,
            _ => {}
        }
        Some(())
    }
}

/// The text of a string token.
#[cfg(feature = "export")]
fn text(token: &str) -> Option<std::borrow::Cow<'_, str>> {
    let raw = token.strip_prefix('"')?.strip_suffix('"')?;
    if raw.contains('\\') { crate::json::unescape(raw).map(Into::into) } else { Some(raw.into()) }
}

/// Whether it is written as records write times: `2026-11-20T07:55:37.720973Z`.
fn is_time(text: &[u8]) -> bool {
    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let fits = |(is, form): (&u8, &u8)| if *form == b'0' { is.is_ascii_digit() } else { is == form };
    text.len() == FORM.len() && text.iter().zip(FORM).all(fits)
}

/// Whether a line that is no whole record begins as one: it was cut.
pub(super) fn begins_as_a_record(line: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"{\"timestamp\":\"";
    let len = line.len().min(BEGINNING.len());
    if len == 0 || line[..len] != BEGINNING[..len] {
        return false;
    }
    // A whole object that is no record was not cut.
    value_end(line, 0) != Some(line.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const LINE: &str = concat!(
        r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"info","isAuditLog":true,"schema":"1.0","#,
        r#""eventName":"TaskCreation","eventKind":"scaffolder","stage":"completion","status":"succeeded","#,
        r#""auditId":"00000000-0000-0000-0000-000000000001","instance":"run-1","seq":17,"actor":{"actorId":"a\"}{"},"#,
        r#""meta":{"taskId":"1"},"request":{"body":{"seq":3,"instance":"x"}}}"#
    );

    #[test]
    fn the_members_that_decide_are_found_at_the_top_only() {
        let line = SegmentLine::parse(LINE.as_bytes()).unwrap();
        assert_eq!((line.instance(), line.seq(), line.schema()), ("run-1", 17, "1.0"));
        assert_eq!((line.event_name(), line.event_kind(), line.log_type()), ("TaskCreation", "scaffolder", ""));
        assert_eq!((line.timestamp(), line.stage()), ("2026-11-20T07:55:37.720973Z", "completion"));
        assert_eq!(line.audit_id(), "00000000-0000-0000-0000-000000000001");
        assert!(!line.is_internal());
    }

    #[test]
    fn every_beginning_of_a_line_is_cut_and_no_record() {
        for len in 0..LINE.len() {
            let cut = &LINE.as_bytes()[..len];
            assert!(SegmentLine::parse(cut).is_none(), "{len}");
            assert_eq!(begins_as_a_record(cut), len > 0, "{len}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in [
            "",
            "{}",
            "[]",
            "hello",
            r#"{"isAuditLog":true}"#,
            r#"{"a":}"#,
            r#"{"a"}"#,
            r#"{"a":1}}"#,
            &LINE.replace("true", "false"),
            &LINE.replace(":17,", ":\"17\","),
            &LINE.replace(":17,", ":0,"),
            &LINE.replace("\"run-1\"", "\"\""),
            &LINE.replace("T07", " 07"),
            &format!("{LINE}{LINE}"),
        ] {
            assert!(SegmentLine::parse(line.as_bytes()).is_none(), "{line}");
        }
    }

    /// Any JSON, with the names of members that decide anywhere in it.
    fn any_value() -> impl Strategy<Value = Value> {
        let text = || prop_oneof![any::<String>(), "(instance|seq|a\\\\\"|[{}\\[\\],:\"]){0,4}".boxed()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 60, 6, move |inner| {
            let members = prop::collection::vec((text(), inner.clone()), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever an actor, a body or a key says: what decides is what a parser finds at the top.
        #[test]
        fn no_value_of_another_member_counts_as_one_that_decides(value in any_value(), key: String, number in 1..u64::MAX) {
            prop_assume!(!matches!(&*key, "timestamp" | "isAuditLog" | "eventName" | "instance" | "seq"));
            let head = r#""timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"eventName":"E""#;
            let (key, value) = (Value::from(key.clone()).to_string(), value.to_string());
            let line = format!(r#"{{{head},{key}:{value},"instance":"run-1","seq":{number},"request":{value}}}"#);
            let read = SegmentLine::parse(line.as_bytes());
            if let Some(read) = read {
                prop_assert_eq!((read.instance(), read.seq(), read.event_name()), ("run-1", number, "E"));
            } else {
                // A known member of another type.
                let is_known = ["eventKind", "logType", "stage", "auditId", "schema"].map(|known| format!("{known:?}")).contains(&key);
                prop_assert!(is_known, "{line}");
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at in 0..LINE.len(), byte: u8) {
            let _ = (SegmentLine::parse(&bytes).is_some(), begins_as_a_record(&bytes));
            let mut damaged = LINE.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = (SegmentLine::parse(&damaged).is_some(), begins_as_a_record(&damaged));
        }
    }
}
