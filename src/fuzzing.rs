//! What the fuzz targets, their replay and the benchmark of redaction run: any bytes in, and what must hold whatever they
//! are. Private: no promise that a version keeps it.
#![allow(missing_docs, reason = "each function is the fuzz target of its name")]

mod record_line;

use std::net::SocketAddr;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub use self::record_line::record_line;
use crate::capture::{
    ClientIp, TrustedPeer, authority, host, request_id as read_request_id, traceparent as read_traceparent,
};
use crate::config::Settings;
use crate::json::push_json_string;
use crate::media::Media;
use crate::redact::{Body, EventRules, Memory, Redacted, Redactor, Session};

/// What is planted, and is too odd to be in an input by chance. An input that holds its beginning proves nothing.
const CANARY: &str = "cAnArY7Qx0";
const BEGINNING: &str = "cAnArY";

/// What a target does with its input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 9] = [
    ("json", json),
    ("query", query),
    ("form", form),
    ("multipart", multipart),
    ("text", text),
    ("client_ip", client_ip),
    ("traceparent", traceparent),
    ("settings", settings),
    ("record_line", record_line),
];

fn redactor(kind: u8) -> &'static Redactor {
    static ALL: OnceLock<[Redactor; 3]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let builder = || {
            let builder = Redactor::builder().pointer("/x/*/y").except_pointer("/public/key");
            builder.key("badge").mask_values_under("bag")
        };
        let key = b"0123456789abcdef".to_vec();
        [builder(), builder().remove(), builder().fingerprint("k1", key)]
            .map(|builder| builder.build().expect("the rules are valid, as each run shows"))
    });
    &all[usize::from(kind) % all.len()]
}

fn rules() -> &'static EventRules {
    static RULES: OnceLock<EventRules> = OnceLock::new();
    RULES.get_or_init(|| {
        let one = |text: &str| vec![text.to_owned()];
        EventRules::new(&one("values"), &one("/list/0"), &one("sort_key"), &[]).expect("the rules are valid")
    })
}

/// The first byte decides about the rules and the cut; the rest is the input.
fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn is_cut(kind: u8) -> bool {
    kind & 16 > 0
}

/// A body as a record shows it, before and after the search for echoes.
fn shown(kind: u8, redact: impl FnOnce(&mut Session<'_>) -> Body) -> Vec<String> {
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let mut session = Session::new(redactor(kind), (kind & 8 > 0).then(rules), &mut memory, &mut out);
    let Some(mut piece) = redact(&mut session).shown else { return Vec::new() };
    let before = session.out.get(piece).to_owned();
    let searched = session.finish().json(&mut piece).is_ok();
    let mut all = vec![before];
    if searched {
        all.push(out.get(piece).to_owned());
    }
    all
}

/// Every output is one JSON value on one line, without a canary.
fn check(shown: Vec<String>, input: &str) {
    for output in shown {
        assert!(!output.contains('\n'), "two lines: {output:?} of {input:?}");
        match serde_json::from_str(&output) {
            Ok(value) => absent_from_strings(&value, input),
            Err(_) => {
                // Deeper than `serde_json` reads: a body of 64 levels, quoted, is one string.
                assert!(is_json(&output), "not JSON: {output:?} of {input:?}");
                assert!(!output.contains(CANARY), "canary: {output:?} of {input:?}");
            }
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

fn absent_from_strings(value: &Value, input: &str) {
    match value {
        Value::String(text) => absent(text, input),
        Value::Array(elements) => elements.iter().for_each(|element| absent_from_strings(element, input)),
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| {
                absent(key, input);
                absent_from_strings(member, input);
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn absent(output: &str, input: &str) {
    assert!(!output.contains(BEGINNING), "canary: {output:?} of {input:?}");
}

/// As it is, or percent-encoded or escaped, however often.
fn holds_canary(text: &str) -> bool {
    let mut read = text.to_owned();
    for _ in 0..8 {
        if read.contains(BEGINNING) {
            return true;
        }
        let escaped = read.replace("\\u00", "%").replace("\\U00", "%");
        read = percent_encoding::percent_decode_str(&escaped).decode_utf8_lossy().into_owned();
    }
    false
}

/// What the benchmark of redaction alone measures: a body in, its redacted text out, in memory that is kept.
#[derive(Debug, Default)]
pub struct Bench {
    redactor: Redactor,
    memory: Memory,
    out: Redacted,
}

impl Bench {
    /// A JSON body.
    pub fn json(&mut self, body: &[u8]) -> &str {
        let body = self.session().body(Media::Json, "", body, false);
        self.get(body)
    }

    /// A form.
    pub fn form(&mut self, body: &[u8]) -> &str {
        let body = self.session().body(Media::Form, "", body, false);
        self.get(body)
    }

    /// A JSON body and the text of an error, and the search of both for what was masked in the body.
    pub fn echoes(&mut self, body: &[u8], error: &str) -> (&str, &str) {
        let mut session = self.session();
        let Some(mut body) = session.body(Media::Json, "", body, false).shown else {
            return ("", "");
        };
        let mut error = session.text(error);
        let mut search = session.finish();
        let is_searched = search.json(&mut body).is_ok();
        search.text(&mut error);
        (if is_searched { self.out.get(body) } else { "" }, self.out.get(error))
    }

    /// The text of an error.
    pub fn text(&mut self, text: &str) -> &str {
        let piece = self.session().text(text);
        self.out.get(piece)
    }

    fn session(&mut self) -> Session<'_> {
        self.out.clear();
        Session::new(&self.redactor, None, &mut self.memory, &mut self.out)
    }

    fn get(&self, body: Body) -> &str {
        body.shown.map_or("", |piece| self.out.get(piece))
    }
}

/// JSON bodies.
pub fn json(data: &[u8]) {
    let (kind, input) = split(data);
    for json in shown(kind, |session| session.body(Media::Json, "", input, is_cut(kind))) {
        assert!(std::str::from_utf8(input).is_ok() || is_cut(kind), "invalid UTF-8 was shown");
        assert!(is_json(&json), "not JSON: {json:?} of {:?}", lossy(input));
    }

    // The same as a value beside canaries, and in a string.
    let Ok(text) = std::str::from_utf8(input) else { return };
    if holds_canary(text) {
        return;
    }
    let mut quoted = String::new();
    push_json_string(&mut quoted, text);
    let is_value = serde_json::from_str::<Value>(text).is_ok();
    let value = if is_value { text } else { &quoted };
    for document in [
        format!(r#"{{"a":{value},"password":"{CANARY}","b":{quoted}}}"#),
        format!(r#"{{"password":[{value},{{"a":"{CANARY}"}}],"a":{quoted}}}"#),
        format!(r#"{{"secrets":{{"a":{value},"b":["{CANARY}",{quoted}]}}}}"#),
        format!(r#"[{{"value":["{CANARY}",{value}],"b":{value},"name":"DB_PASSWORD"}},{value}]"#),
        format!(r#"{{"a":"{{\"b\":1,\"to\\u006ben\":\"{CANARY}\"}}","c":{value}}}"#),
    ] {
        let at = usize::from(kind).wrapping_mul(131) % (document.len() + 1);
        for cut in [None, Some(at)] {
            let bytes = &document.as_bytes()[..cut.unwrap_or(document.len())];
            check(shown(kind, |session| session.body(Media::Json, "", bytes, cut.is_some())), &document);
        }
    }
}

/// Queries, URLs and parameters.
pub fn query(data: &[u8]) {
    let (kind, input) = split(data);
    let input = lossy(input);
    let input = input.as_str();
    let (path, raw) = input.split_once('?').unwrap_or((input, ""));
    let (start, end) = (usize::from(kind) % (path.len() + 1), path.len());
    in_session(kind, |session| {
        let places = [("token", start..end), ("id", 0..start)];
        for params in [Some(&places[..]), None] {
            session.path(path, params);
        }
        let params = session.params([(input, input.into()), ("token", input.into())].into_iter());
        let (_, object) = session.query(raw);
        assert!(params.is_none_or(|json| is_json(session.out.get(json))), "{input:?}");
        assert!(object.is_none_or(|json| is_json(session.out.get(json))), "{input:?}");
    });

    if holds_canary(input) {
        return;
    }
    let encoded = utf8_percent_encode(CANARY, NON_ALPHANUMERIC).to_string();
    let raw = format!("{raw}&access_token={CANARY}&to%6ben={encoded}&next=https%3A%2F%2Fh%2F%3Fsig%3D{CANARY}");
    in_session(kind, |session| {
        let path = session.path(&format!("/a/{CANARY}"), Some(&[("token", 3..3 + CANARY.len())]));
        absent(session.out.get(path), &raw);
        let (text, object) = session.query(&raw);
        absent(session.out.get(text), &raw);
        check(object.map(|object| session.out.get(object).to_owned()).into_iter().collect(), &raw);
    });
}

fn in_session(kind: u8, redact: impl FnOnce(&mut Session<'_>)) {
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    redact(&mut Session::new(redactor(kind), (kind & 8 > 0).then(rules), &mut memory, &mut out));
}

/// Forms.
pub fn form(data: &[u8]) {
    let (kind, input) = split(data);
    for json in shown(kind, |session| session.body(Media::Form, "", input, is_cut(kind))) {
        assert!(is_json(&json), "{json:?}");
    }
    let text = lossy(input);
    if holds_canary(&text) {
        return;
    }
    let raw = [input, b"&user%5Bpassword%5D=", CANARY.as_bytes(), b"&a=", input].concat();
    let at = usize::from(kind).wrapping_mul(131) % (raw.len() + 1);
    for cut in [None, Some(at)] {
        let bytes = &raw[..cut.unwrap_or(raw.len())];
        check(shown(kind, |session| session.body(Media::Form, "", bytes, cut.is_some())), &lossy(&raw));
    }
}

/// Multipart bodies and their content type.
pub fn multipart(data: &[u8]) {
    let (kind, input) = split(data);
    let content_type = "multipart/form-data; boundary=x";
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    for content_type in [content_type, &lossy(&input[..line])] {
        for json in shown(kind, |session| session.body(Media::Multipart, content_type, input, is_cut(kind))) {
            assert!(is_json(&json), "{json:?}");
        }
    }
    let text = lossy(input);
    if holds_canary(&text) {
        return;
    }
    let part = |head: &[u8], content: &[u8]| {
        let lead = b"--x\r\nContent-Disposition: form-data; name=";
        [lead, head, b"\r\n\r\n", content, b"\r\n"].concat()
    };
    let secret = part(b"\"api_key\"", CANARY.as_bytes());
    let raw = [part(b"a", input), secret, part(b"b", input), b"--x--\r\n".to_vec()].concat();
    let at = usize::from(kind).wrapping_mul(131) % (raw.len() + 1);
    for cut in [None, Some(at)] {
        let bytes = &raw[..cut.unwrap_or(raw.len())];
        check(shown(kind, |session| session.body(Media::Multipart, content_type, bytes, cut.is_some())), &lossy(&raw));
    }
}

/// Text bodies, headers, free texts, and the search for what was masked.
pub fn text(data: &[u8]) {
    let (kind, input) = split(data);
    for json in shown(kind, |session| session.body(Media::Text, "", input, is_cut(kind))) {
        assert!(is_json(&json), "{json:?}");
    }
    in_session(kind, |session| {
        session.text(&lossy(input));
        session.shared_text(&lossy(input));
        let meta = session.meta(&lossy(input), &Value::from(lossy(input)));
        assert!(is_json(session.out.get(meta)));
        let headers = session.headers([(lossy(input).as_str(), input, kind & 1 > 0)].into_iter());
        assert!(headers.is_none_or(|headers| is_json(session.out.get(headers))));
    });

    let Ok(text) = std::str::from_utf8(input) else { return };
    if holds_canary(text) {
        return;
    }
    for body in [format!("{text}\npassword: {CANARY}\n"), format!("password={CANARY}\n{text}")] {
        let at = usize::from(kind).wrapping_mul(131) % (body.len() + 1);
        for cut in [None, Some(at)] {
            let bytes = &body.as_bytes()[..cut.unwrap_or(body.len())];
            check(shown(kind, |session| session.body(Media::Text, "", bytes, cut.is_some())), &body);
        }
    }

    // A value that a header carried is masked wherever it is repeated, and evidence stays.
    let encoded: String = CANARY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let escaped: String = CANARY.bytes().map(|byte| format!("\\u{:04X}", u32::from(byte))).collect();
    for said in [CANARY, &encoded, &utf8_percent_encode(&encoded, NON_ALPHANUMERIC).to_string(), &escaped] {
        // A backslash in front of it would make it read as something else, on more levels than are searched.
        let apart = if text.ends_with('\\') { " " } else { "" };
        let all = format!("{text}{apart}{said}{text}");
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(redactor(kind), None, &mut memory, &mut out);
        session.credential_header("authorization", &format!("Bearer {CANARY}"));
        let evidence = session.evidence(CANARY);
        let mut plain = session.text(&all);
        let mut quoted = String::new();
        push_json_string(&mut quoted, &all);
        let Some(mut body) = session.body(Media::Json, "", quoted.as_bytes(), false).shown else {
            panic!("a JSON string is a JSON body: {quoted:?}")
        };
        let mut search = session.finish();
        search.text(&mut plain);
        search.json(&mut body).expect("one value is not too much to remember");
        let inside: String = serde_json::from_str(out.get(body)).unwrap_or_else(|error| panic!("{error}: {quoted:?}"));
        assert!(!out.get(plain).contains(said) && !inside.contains(said), "{said} is still in {inside:?}");
        assert_eq!(out.get(evidence), CANARY);
    }
}

/// Headers that say where a request came from.
pub fn client_ip(data: &[u8]) {
    let (kind, input) = split(data);
    let name = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"][usize::from(kind) % 4];
    let name = HeaderName::from_static(name);
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(40) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
        }
    }
    let proxies = ["10.0.0.0/8", "::1", "unix"].iter().filter_map(|net| net.parse::<TrustedPeer>().ok());
    let client = ClientIp::new(proxies, name);
    let stranger: SocketAddr = ([203, 0, 113, 9], 80).into();
    let address = client.resolve(Some(stranger), &headers);
    assert_eq!((address.ip, address.peer_ip), (Some(stranger.ip()), None), "a stranger's header was believed");
    let proxy: SocketAddr = ([10, 0, 0, 1], 80).into();
    for peer in [Some(proxy), None] {
        let address = client.resolve(peer, &headers);
        assert!(address.peer_trusted);
        assert!(peer.is_none() || address.ip.is_some(), "the peer is known");
        assert!(address.port.is_none() || address.ip.is_some(), "a port without an address");
    }
}

/// Ids and names that clients send.
pub fn traceparent(data: &[u8]) {
    let (kind, input) = split(data);
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    if let Some((trace, span)) = read_traceparent(Some(value.as_bytes())) {
        let is_hex = |text: &[u8]| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!((trace.len(), span.len()) == (32, 16) && is_hex(trace) && is_hex(span), "{value:?}");
    }
    if let Some(id) = read_request_id(Some(value.as_bytes())) {
        assert!((1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic), "{value:?}");
    }
    let uri = if kind & 1 > 0 { Uri::try_from(input).unwrap_or_default() } else { Uri::default() };
    if let Some(name) = host(authority(&uri, Some(value.as_bytes()))) {
        assert!(name.len() <= 255 && !name.iter().any(|byte| b"@/ ".contains(byte)), "{value:?}");
    }
}

/// Settings from the environment: each line a name and its value. No file is read.
pub fn settings(data: &[u8]) {
    let text = lossy(data);
    let pairs = text.split('\n').filter_map(|line| line.split_once('='));
    let pairs = pairs.filter(|(name, _)| !name.eq_ignore_ascii_case("CONFIG"));
    let vars: Vec<(String, String)> = pairs
        .map(|(name, value)| (format!("TOWER_AUDIT_{name}"), value.to_owned()))
        .filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
        .collect();
    match Settings::from_vars(vars.clone()) {
        Ok(settings) => {
            let _ = settings.describe();
        }
        // It is for a terminal and a log.
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && !told.chars().any(|char| char.is_control() && char != '\n'), "{told:?}");
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The look-up of locations, as the worker does it, for its benchmark.
#[cfg(feature = "geoip")]
#[derive(Debug)]
pub struct Locator {
    places: crate::geoip::Places,
    cache: crate::geoip::Cache,
    memory: Memory,
    text: Redacted,
}

#[cfg(feature = "geoip")]
impl Locator {
    pub fn open(path: std::path::PathBuf) -> Result<Self, crate::Error> {
        Ok(Self {
            places: crate::geoip::Places::open(path)?,
            cache: crate::geoip::Cache::default(),
            memory: Memory::default(),
            text: Redacted::default(),
        })
    }

    /// Looks the address up; whether it is somewhere.
    pub fn find(&mut self, ip: std::net::IpAddr) -> bool {
        self.cache.find(&self.places, ip).is_some()
    }

    /// Looks the address up, and redacts what a record shows of its location; the length of that.
    pub fn redact(&mut self, ip: std::net::IpAddr) -> usize {
        let location = self.cache.find(&self.places, ip);
        self.text.clear();
        let mut session = Session::new(redactor(0), None, &mut self.memory, &mut self.text);
        let mut length = 0;
        for text in location.into_iter().flat_map(|at| [&at.city, &at.country, &at.continent]).flatten() {
            let piece = session.evidence(text);
            length += session.out.get(piece).len();
        }
        length
    }
}
