//! One line of a segment, and the members that decide what becomes of it. Everything else stays text.

use crate::json::{string_end, value_end};

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
    /// `None` if the line is no whole audit record: no object that is closed at the line's end, or without the members that
    /// every record has.
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

    /// `timestamp`: RFC 3339 in UTC with microseconds, so that texts sort as the moments do.
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
        let json = std::str::from_utf8(line).ok()?;
        let members = Self::of(json)?;
        let is_empty = |Place(from, to): Place| from >= to;
        let is_record = members.is_audit_log
            && members.seq > 0
            && is_time(json.get(members.timestamp.0..members.timestamp.1)?)
            && !is_empty(members.instance)
            && !is_empty(members.event_name);
        is_record.then_some(members)
    }

    /// Walks the members once, to the line's end.
    fn of(json: &str) -> Option<Self> {
        let bytes = json.as_bytes();
        let mut members = Self::default();
        if bytes.first() != Some(&b'{') {
            return None;
        }
        let mut at = 1;
        loop {
            let colon = string_end(bytes, at)?;
            if bytes.get(colon) != Some(&b':') {
                return None;
            }
            let end = value_end(bytes, colon + 1).filter(|end| *end > colon + 1)?;
            members.take(&json[at + 1..colon - 1], &json[colon + 1..end], colon + 1)?;
            match bytes.get(end)? {
                b',' => at = end + 1,
                b'}' if end + 1 == bytes.len() => return Some(members),
                _ => return None,
            }
        }
    }

    /// `None` if a member that every record has is of another type.
    fn take(&mut self, key: &str, value: &str, at: usize) -> Option<()> {
        let whole = Place(at, at + value.len());
        let inside = || {
            let text = value.strip_prefix('"')?.strip_suffix('"')?;
            Some(Place(at + 1, at + 1 + text.len()))
        };
        match key {
            "timestamp" => self.timestamp = inside()?,
            "eventName" => self.event_name = inside()?,
            "eventKind" => self.event_kind = inside()?,
            "logType" => self.log_type = inside()?,
            "stage" => self.stage = inside()?,
            "auditId" => self.audit_id = inside()?,
            "instance" => self.instance = inside()?,
            "schema" => self.schema = inside()?,
            "seq" => self.seq = value.parse().ok()?,
            "isAuditLog" => self.is_audit_log = value == "true",
            "repository" => self.repository = whole,
            "scope" => self.scope = whole,
            "meta" => self.meta = whole,
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
fn is_time(text: &str) -> bool {
    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let fits = |(is, form): (&u8, &u8)| if *form == b'0' { is.is_ascii_digit() } else { is == form };
    text.len() == FORM.len() && text.as_bytes().iter().zip(FORM).all(fits)
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

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at in 0..LINE.len(), byte: u8) {
            let _ = (SegmentLine::parse(&bytes).is_some(), begins_as_a_record(&bytes));
            let mut damaged = LINE.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = (SegmentLine::parse(&damaged).is_some(), begins_as_a_record(&damaged));
        }
    }
}
