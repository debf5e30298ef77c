//! A record as a line of keys and values, as Psono writes its audit log.

use super::{Format, ends_something};
use crate::block::{Block, ordinary_len};
use crate::json::{Text as _, members, needs_no_escape, push_json_string};
use crate::record::{FieldValue, Record, Status, push_ip, time_text};

/// Keys and values, as Psono's audit log has them.
///
/// ```text
/// 2020-05-24T07:55:41.473771 logger=restapi.views.datastore, user_ip=10.10.10.145, req_method=GET, req_url=/datastore/…/, success=True, hostname=0a5048185933, status=HTTP_200_OK, event=LIST_DATASTORE_SUCCESS, user=demo2@example.com, user_id=…, kwarg_datastore_id=…
/// ```
///
/// The line begins with `startedAt` (else `timestamp`) in UTC without a zone; then come `logger` (the component), the address,
/// method, path without query, whether it succeeded, the server's host, the status under its name in Django REST framework, the
/// event in upper snake case with `_SUCCESS` or `_ERROR`, the actor's name and id, and as `kwarg_…` the parameters of the path,
/// then the keys of `meta`. A key without a value is left out. A value with `, `, `=`, `"`, a character that is escaped in JSON,
/// or a comma at its end is written as a JSON string, so that no value can pass for another key.
///
/// It accepts all records except initiations.
pub fn key_value() -> KeyValue {
    KeyValue(())
}

/// See [`key_value()`].
#[derive(Clone, Debug, Default)]
pub struct KeyValue(());

impl Format for KeyValue {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        ends_something(record)
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let started = record.fields.started_at.unwrap_or(record.fields.timestamp);
        out.extend_from_slice(&time_text(started)[..26]);
        out.push(b' ');
        let mut pairs = Pairs { out };
        pairs.some("logger=", record.fields.labels.as_ref().and_then(|labels| labels.component()));
        if let Some(ip) = record.ip() {
            pairs.out.push_text("user_ip=");
            push_ip(pairs.out, ip);
            pairs.end();
        }
        pairs.some("req_method=", record.method());
        pairs.some("req_url=", record.path().as_deref());
        let is_success = record.status() == Status::Succeeded;
        pairs.out.push_text(if is_success { "success=True, " } else { "success=False, " });
        pairs.some("hostname=", record.host());
        if let Some(status) = record.response_status() {
            pairs.out.push_text("status=HTTP_");
            pairs.out.push_text(status.as_str());
            if let Some(name) = status_name(status.as_u16()) {
                pairs.out.push(b'_');
                pairs.out.push_text(name);
            }
            pairs.end();
        }
        pairs.out.push_text("event=");
        push_upper_snake(pairs.out, record.event_name());
        pairs.out.push_text(if is_success { "_SUCCESS, " } else { "_ERROR, " });
        pairs.some("user=", record.actor_name());
        pairs.some("user_id=", record.actor_id());
        if let Some(params) = record.params() {
            members(&params).for_each(|(name, value)| pairs.kwarg(name, value));
        }
        record.meta().for_each(|(key, value)| pairs.kwarg(key, &value));
        out.truncate(out.len() - Pairs::END.len());
    }
}

/// Keys and values. Each pair ends with a comma and a space; the end of the line removes the last ones.
struct Pairs<'o> {
    out: &'o mut Vec<u8>,
}

impl Pairs<'_> {
    const END: &'static str = ", ";

    fn end(&mut self) {
        self.out.push_text(Self::END);
    }

    /// A key and its `=`, and the value, if there is one. Inlined, so that the length of the key is known.
    #[inline(always)]
    fn some(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.out.push_text(key);
            self.value(value);
            self.end();
        }
    }

    fn value(&mut self, value: &str) {
        if is_plain(value) {
            self.out.push_text(value);
        } else {
            push_json_string(self.out, value);
        }
    }

    /// A value of JSON under a key that a client cannot choose; what could end a key is replaced all the same.
    fn kwarg(&mut self, key: &str, json: &str) {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        self.out.push_text("kwarg_");
        if key.as_bytes().iter().all(is_word) {
            self.out.push_text(key);
        } else {
            let word = |char| u8::try_from(char).ok().filter(is_word).unwrap_or(b'_');
            self.out.extend(key.chars().map(word));
        }
        self.out.push(b'=');
        match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) if is_ordinary(inside) => self.out.push_text(inside),
            _ => self.value(FieldValue::of_json(json.into()).as_str()),
        }
        self.end();
    }
}

/// Whether nothing in it could be taken for the end of the value.
fn is_plain(value: &str) -> bool {
    if is_ordinary(value) {
        return true;
    }
    let ends = value.contains(", ") || value.ends_with(',') || value.contains(['=', '"']);
    !ends && needs_no_escape(value)
}

/// Whether it has nothing but printable ASCII without a sign of this format or a backslash, as nearly all values.
fn is_ordinary(value: &str) -> bool {
    let special = |block: Block| {
        let signs = block.is(b',').or(block.is(b'=')).or(block.is(b'"')).or(block.is(b'\\'));
        block.is_in(0x20, 0x7e).not() | signs.bits()
    };
    ordinary_len(value.as_bytes(), special) == value.len()
}

/// `READ_INFO` of `ReadInfo`, `read.info` and `READ_INFO`.
pub(crate) fn upper_snake(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len() + 8);
    push_upper_snake(&mut out, name);
    String::from_utf8(out).expect("each byte is ASCII")
}

fn push_upper_snake(out: &mut Vec<u8>, name: &str) {
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let behind = bytes.get(at + 1);
        let begins_word = byte.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit() && behind.is_some_and(u8::is_ascii_lowercase)
                    || before.is_ascii_uppercase() && behind.is_some_and(u8::is_ascii_lowercase)
            });
        if begins_word {
            out.push(b'_');
        }
        out.push(if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' });
    }
}

/// The name of a status in Django REST framework: <https://www.django-rest-framework.org/api-guide/status-codes/>.
fn status_name(status: u16) -> Option<&'static str> {
    let at = STATUS_NAMES.binary_search_by_key(&status, |(known, _)| *known).ok()?;
    Some(STATUS_NAMES[at].1)
}

const STATUS_NAMES: &[(u16, &str)] = &[
    (100, "CONTINUE"),
    (101, "SWITCHING_PROTOCOLS"),
    (102, "PROCESSING"),
    (103, "EARLY_HINTS"),
    (200, "OK"),
    (201, "CREATED"),
    (202, "ACCEPTED"),
    (203, "NON_AUTHORITATIVE_INFORMATION"),
    (204, "NO_CONTENT"),
    (205, "RESET_CONTENT"),
    (206, "PARTIAL_CONTENT"),
    (207, "MULTI_STATUS"),
    (208, "ALREADY_REPORTED"),
    (226, "IM_USED"),
    (300, "MULTIPLE_CHOICES"),
    (301, "MOVED_PERMANENTLY"),
    (302, "FOUND"),
    (303, "SEE_OTHER"),
    (304, "NOT_MODIFIED"),
    (305, "USE_PROXY"),
    (306, "RESERVED"),
    (307, "TEMPORARY_REDIRECT"),
    (308, "PERMANENT_REDIRECT"),
    (400, "BAD_REQUEST"),
    (401, "UNAUTHORIZED"),
    (402, "PAYMENT_REQUIRED"),
    (403, "FORBIDDEN"),
    (404, "NOT_FOUND"),
    (405, "METHOD_NOT_ALLOWED"),
    (406, "NOT_ACCEPTABLE"),
    (407, "PROXY_AUTHENTICATION_REQUIRED"),
    (408, "REQUEST_TIMEOUT"),
    (409, "CONFLICT"),
    (410, "GONE"),
    (411, "LENGTH_REQUIRED"),
    (412, "PRECONDITION_FAILED"),
    (413, "REQUEST_ENTITY_TOO_LARGE"),
    (414, "REQUEST_URI_TOO_LONG"),
    (415, "UNSUPPORTED_MEDIA_TYPE"),
    (416, "REQUESTED_RANGE_NOT_SATISFIABLE"),
    (417, "EXPECTATION_FAILED"),
    (418, "IM_A_TEAPOT"),
    (421, "MISDIRECTED_REQUEST"),
    (422, "UNPROCESSABLE_ENTITY"),
    (423, "LOCKED"),
    (424, "FAILED_DEPENDENCY"),
    (425, "TOO_EARLY"),
    (426, "UPGRADE_REQUIRED"),
    (428, "PRECONDITION_REQUIRED"),
    (429, "TOO_MANY_REQUESTS"),
    (431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    (451, "UNAVAILABLE_FOR_LEGAL_REASONS"),
    (500, "INTERNAL_SERVER_ERROR"),
    (501, "NOT_IMPLEMENTED"),
    (502, "BAD_GATEWAY"),
    (503, "SERVICE_UNAVAILABLE"),
    (504, "GATEWAY_TIMEOUT"),
    (505, "HTTP_VERSION_NOT_SUPPORTED"),
    (506, "VARIANT_ALSO_NEGOTIATES"),
    (507, "INSUFFICIENT_STORAGE"),
    (508, "LOOP_DETECTED"),
    (509, "BANDWIDTH_LIMIT_EXCEEDED"),
    (510, "NOT_EXTENDED"),
    (511, "NETWORK_AUTHENTICATION_REQUIRED"),
];

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::format::sample::{line, written};

    #[test]
    fn a_request_is_psonos_line_byte_for_byte() {
        let read = line(&json!({
            "timestamp": "2020-05-24T07:55:41.480000Z", "startedAt": "2020-05-24T07:55:41.473771Z", "durationMs": 6.229,
            "eventName": "LIST_DATASTORE", "component": "restapi.views.datastore", "host": "0a5048185933",
            "actor": {
                "actorId": "ba504938-9a23-4162-867f-6840c301bc20", "name": "demo2@example.com", "ip": "10.10.10.145",
            },
            "response": { "status": 200, "bytes": 2 },
            "request": {
                "method": "GET", "protocol": "HTTP/1.1", "url": "/datastore/bed4572d-6a28-4c00-94c2-dd45322de1d0/?a=b",
                "params": { "datastore_id": "bed4572d-6a28-4c00-94c2-dd45322de1d0" },
            },
        }));
        assert_eq!(
            written(key_value(), &read),
            "2020-05-24T07:55:41.473771 logger=restapi.views.datastore, user_ip=10.10.10.145, req_method=GET, \
             req_url=/datastore/bed4572d-6a28-4c00-94c2-dd45322de1d0/, success=True, hostname=0a5048185933, \
             status=HTTP_200_OK, event=LIST_DATASTORE_SUCCESS, user=demo2@example.com, \
             user_id=ba504938-9a23-4162-867f-6840c301bc20, kwarg_datastore_id=bed4572d-6a28-4c00-94c2-dd45322de1d0"
        );
    }

    #[test]
    fn what_is_unknown_is_left_out_and_the_library_reports_its_counts() {
        let lost = line(&json!({
            "eventName": "AuditRecordsLost", "status": "failed", "meta": { "count": 3, "sink=a, b": "x, event=Y" },
        }));
        assert_eq!(
            written(key_value(), &lost),
            "2021-04-01T19:46:23.817658 success=False, event=AUDIT_RECORDS_LOST_ERROR, kwarg_count=3, \
             kwarg_sink_a__b=\"x, event=Y\""
        );
        assert!(!key_value().accepts(&line(&json!({ "stage": "initiation" })).record()));
    }

    #[test]
    fn names_and_statuses_are_psonos() {
        let names = ["ReadInfo", "READ_INFO", "read.info", "HTTPRequest", "V2Task", "ReadV2", "a-b"].map(upper_snake);
        assert_eq!(names, ["READ_INFO", "READ_INFO", "READ_INFO", "HTTP_REQUEST", "V2_TASK", "READ_V2", "A_B"]);
        assert!(STATUS_NAMES.is_sorted());
        assert_eq!([404, 599, 299].map(status_name), [Some("NOT_FOUND"), None, None]);
        let request = json!({ "method": "GET", "protocol": "HTTP/1.1", "url": "/" });
        let odd = line(&json!({ "request": request, "response": { "status": 599 } }));
        assert!(written(key_value(), &odd).contains(", status=HTTP_599, "));
    }

    /// The keys and values of a line, as a reader that knows the rule takes them apart.
    fn pairs(line: &str) -> Vec<(String, String)> {
        let mut rest = line.get(27..).unwrap();
        let mut pairs = Vec::new();
        loop {
            let (key, behind) = rest.split_once('=').unwrap();
            let end = if behind.starts_with('"') {
                let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
                pairs.push((key.to_owned(), values.next().unwrap().unwrap()));
                values.byte_offset()
            } else {
                let end = behind.find(", ").unwrap_or(behind.len());
                pairs.push((key.to_owned(), behind[..end].to_owned()));
                end
            };
            match behind[end..].strip_prefix(", ") {
                Some(next) => rest = next,
                None => {
                    assert_eq!(end, behind.len(), "{line}");
                    return pairs;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_reads_back_and_forges_no_key(
            texts in prop::collection::vec("(?s)[, =\"'\\\\\n\r\u{0}\u{202e}\u{85}a€]{0,12}|(?s).{0,24}", 4),
        ) {
            let read = line(&json!({
                "actor": { "actorId": texts[0], "name": texts[1] }, "component": texts[2], "meta": { "a": texts[3] },
            }));
            let found = pairs(&written(key_value(), &read));
            let keys: Vec<&str> = found.iter().map(|(key, _)| &**key).collect();
            prop_assert_eq!(keys, ["logger", "success", "event", "user", "user_id", "kwarg_a"]);
            let values: Vec<&String> = [4, 3, 0, 5].map(|at| &found[at].1).into_iter().collect();
            prop_assert_eq!(values, texts.iter().collect::<Vec<_>>());
        }
    }
}
