//! A record as a line of an Apache access log.

use super::{Format, ends_something, internal_agent, is_like_internal};
use crate::block::{Block, ordinary_len};
use crate::record::{FieldValue, Fixed, Record, push_ip, push_number, time_text};

/// Apache's combined log format: `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.
///
/// ```text
/// 82.1.4.8 - eP1B3YCtTlJX [01/Apr/2021:19:40:55 +0000] "GET /a.rpm HTTP/1.1" 200 10421 "-" "libdnf"
/// ```
///
/// The user is the actor's slug, or else its id; the time is `startedAt`. An unknown value is `-`, also the status of a
/// request without a response. `"`, `\`, control characters and bytes beyond ASCII are escaped as Apache does (`\"`, `\\`,
/// `\n`, `\xhh`). Spaces in the method, the URL and the user are escaped too, and brackets in the user, because a reader
/// would take them for the end of the value.
///
/// It accepts records of requests, except initiations. Internal records have their name and counts in the place of the user
/// agent: `tower-audit/AuditRecordsLost count=3`. If a client's user agent begins with `tower-audit/`, its first byte is
/// escaped: `\x74ower-audit/`.
pub fn combined() -> Combined {
    Combined(())
}

/// Apache's common log format: `%h %l %u %t "%r" %>s %b`, like [`combined()`] without referer and user agent. Internal
/// records have their name and counts in the place of the request.
pub fn common() -> Common {
    Common(())
}

/// See [`combined()`].
#[derive(Clone, Debug, Default)]
pub struct Combined(());

/// See [`common()`].
#[derive(Clone, Debug, Default)]
pub struct Common(());

impl Format for Combined {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        ends_something(record) && record.request().is_some()
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        write_common(record, None, out);
        out.push(b' ');
        push_quoted(out, record.referer().as_deref());
        out.push(b' ');
        if record.is_internal() {
            push_quoted(out, Some(&internal_agent(record)));
        } else {
            push_agent(out, record.user_agent().as_deref());
        }
    }
}

impl Format for Common {
    fn header(&self) -> Option<String> {
        None
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        ends_something(record) && record.request().is_some()
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let internal = record.is_internal().then(|| internal_agent(record));
        write_common(record, internal.as_deref(), out);
    }
}

/// The first seven fields; `instead` is written where the request is.
fn write_common(record: &Record<'_>, instead: Option<&str>, out: &mut Vec<u8>) {
    match record.ip() {
        Some(ip) => push_ip(out, ip),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - ");
    let user = record.fixed(Fixed::ActorSlug).or_else(|| record.fixed(Fixed::ActorId));
    push_word(out, user.as_ref().map(FieldValue::as_str));
    out.extend_from_slice(b" [");
    push_time(out, &time_text(record.fields.started_at.unwrap_or(record.fields.timestamp)));
    out.extend_from_slice(b"] ");
    match (instead, record.method(), record.url()) {
        (None, Some(method), Some(url)) => {
            out.push(b'"');
            push_escaped(out, method, b" ");
            out.push(b' ');
            push_escaped(out, &url, b" ");
            if let Some(protocol) = record.protocol() {
                out.push(b' ');
                out.extend_from_slice(protocol.as_bytes());
            }
            out.push(b'"');
        }
        (instead, ..) => push_quoted(out, instead),
    }
    for number in [record.response_status().map(|status| status.as_u16().into()), record.response_bytes()] {
        out.push(b' ');
        match number {
            Some(number) => push_number(out, number),
            None => out.push(b'-'),
        }
    }
}

/// `01/Apr/2021:19:40:55 +0000` of `2021-04-01T19:40:55.000000Z`.
fn push_time(out: &mut Vec<u8>, time: &[u8; 27]) {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let month = usize::from(time[5] - b'0') * 10 + usize::from(time[6] - b'0');
    out.extend_from_slice(&time[8..10]);
    out.push(b'/');
    out.extend_from_slice(MONTHS[(month + 11) % 12]);
    out.push(b'/');
    out.extend_from_slice(&time[..4]);
    out.push(b':');
    out.extend_from_slice(&time[11..19]);
    out.extend_from_slice(b" +0000");
}

fn push_word(out: &mut Vec<u8>, word: Option<&str>) {
    match word.filter(|word| !word.is_empty()) {
        Some(word) => push_escaped(out, word, b" []"),
        None => out.push(b'-'),
    }
}

fn push_quoted(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(b'"');
    match text.filter(|text| !text.is_empty()) {
        Some(text) => push_escaped(out, text, b""),
        None => out.push(b'-'),
    }
    out.push(b'"');
}

/// A client's user agent. The first byte of one that begins like the name of the library's own records is escaped.
fn push_agent(out: &mut Vec<u8>, agent: Option<&str>) {
    match agent.filter(|agent| is_like_internal(agent)) {
        Some(agent) => {
            let (first, rest) = agent.split_at(1);
            out.push(b'"');
            push_escaped(out, first, first.as_bytes());
            push_escaped(out, rest, b"");
            out.push(b'"');
        }
        None => push_quoted(out, agent),
    }
}

/// As Apache's `ap_escape_logitem`: <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes>.
///
/// Bytes of `more` are escaped too.
fn push_escaped(out: &mut Vec<u8>, text: &str, more: &[u8]) {
    let special = |block: Block| {
        let found = block.is_in(0x20, 0x7e).not() | block.is(b'"').or(block.is(b'\\')).bits();
        more.iter().fold(found, |found, byte| found | block.is(*byte).bits())
    };
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(ordinary_len(rest, special));
        out.extend_from_slice(plain);
        let Some((byte, behind)) = behind.split_first() else { return };
        match byte {
            byte if more.contains(byte) => push_hex(out, *byte),
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\x08' => out.extend_from_slice(b"\\b"),
            b'\x0b' => out.extend_from_slice(b"\\v"),
            other => push_hex(out, *other),
        }
        rest = behind;
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend([b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::format::sample::{line, written};

    #[test]
    fn a_request_is_apaches_line() {
        let read = line(&json!({
            "startedAt": "2021-04-01T19:40:55.999999Z", "durationMs": 1.0,
            "actor": { "actorId": "u", "ip": "82.1.4.8", "slug": "eP1B3YCtTlJX", "client": "libdnf \"x\\\" é\n" },
            "response": { "status": 200, "bytes": 10421 },
            "request": { "method": "GET", "protocol": "HTTP/1.1", "url": "/a.rpm?b=c", "referer": "https://x/" },
        }));
        let common_part = "82.1.4.8 - eP1B3YCtTlJX [01/Apr/2021:19:40:55 +0000] \"GET /a.rpm?b=c HTTP/1.1\" 200 10421";
        assert_eq!(written(common(), &read), common_part);
        let rest = r#" "https://x/" "libdnf \"x\\\" \xc3\xa9\n""#;
        assert_eq!(written(combined(), &read), common_part.to_owned() + rest);
    }

    #[test]
    fn what_is_unknown_is_a_dash() {
        let request = json!({ "method": "GET", "protocol": "HTTP/2", "url": "/" });
        let read = line(&json!({ "request": request }));
        assert_eq!(written(combined(), &read), "- - - [01/Apr/2021:19:46:23 +0000] \"GET / HTTP/2\" - - \"-\" \"-\"");
        assert!(!combined().accepts(&line(&json!({})).record()) && !common().accepts(&line(&json!({})).record()));
        let begun = line(&json!({ "stage": "initiation", "request": request }));
        assert!(!combined().accepts(&begun.record()) && combined().accepts(&read.record()));
        let lost = line(&json!({ "eventName": "AuditRecordsLost", "meta": { "count": 3 } }));
        assert_eq!(
            written(combined(), &lost),
            "- - - [01/Apr/2021:19:46:23 +0000] \"-\" - - \"-\" \"tower-audit/AuditRecordsLost count=3\""
        );
        assert_eq!(
            written(common(), &lost),
            "- - - [01/Apr/2021:19:46:23 +0000] \"tower-audit/AuditRecordsLost count=3\" - -"
        );
    }

    #[test]
    fn no_client_passes_for_the_library() {
        let agent = |agent: &str| {
            let request = json!({ "method": "GET", "protocol": "HTTP/2", "url": "/" });
            let line = written(
                combined(),
                &line(&json!({ "request": request, "actor": { "actorId": "u", "client": agent } })),
            );
            line.split_once("\"-\" ").unwrap().1.to_owned()
        };
        let forged = "tower-audit/AuditRecordsLost count=9";
        assert_eq!(agent(forged), r#""\x74ower-audit/AuditRecordsLost count=9""#);
        assert_eq!(agent("Tower-Audit/x"), r#""\x54ower-Audit/x""#);
        assert_eq!(agent("tower-auditor/1"), r#""tower-auditor/1""#);
    }

    /// The fields of a line: words, quoted texts and the time, by the rules of Apache's escapes.
    fn fields(line: &str) -> Vec<String> {
        let bytes = line.as_bytes();
        let (mut fields, mut field, mut at, mut until) = (Vec::new(), Vec::new(), 0, b' ');
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => {
                    let escaped = bytes[at + 1];
                    let known = br#""\nrtbv"#.iter().zip(b"\"\\\n\r\t\x08\x0b").find(|(name, _)| **name == escaped);
                    if let Some((_, byte)) = known {
                        field.push(*byte);
                        at += 1;
                    } else {
                        field.push(u8::from_str_radix(&line[at + 2..at + 4], 16).unwrap());
                        at += 3;
                    }
                }
                b'"' if until == b' ' => until = b'"',
                b'[' if until == b' ' && field.is_empty() => until = b']',
                byte if byte == until && until == b' ' => fields.push(std::mem::take(&mut field)),
                byte if byte == until => until = b' ',
                byte => field.push(byte),
            }
            at += 1;
        }
        fields.push(field);
        fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn every_value_reads_back_and_forges_no_field(
            texts in prop::collection::vec("(?s)[ \"'\\\\\\[\\]\n\r\u{0}\u{202e}\u{85}a€]{1,12}|(?s).{1,24}", 4),
        ) {
            let read = line(&json!({
                "actor": { "actorId": texts[0], "client": texts[1] }, "response": { "status": 404, "bytes": 1 },
                "request": { "method": "GET", "protocol": "HTTP/2", "url": texts[3], "referer": texts[2] },
            }));
            let line = written(combined(), &read);
            prop_assert!(line.is_ascii());
            let fields = fields(&line);
            prop_assert_eq!(fields.len(), 9, "{}", line);
            prop_assert_eq!([&fields[2], &fields[8], &fields[7]], [&texts[0], &texts[1], &texts[2]]);
            prop_assert_eq!(&fields[4], &format!("GET {} HTTP/2", texts[3]));
        }
    }
}
