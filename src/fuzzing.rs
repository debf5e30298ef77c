//! What the fuzz targets, their replay and the benchmark of redaction run: any bytes in, and what must hold whatever they
//! are. Private: no promise that a version keeps it.
#![allow(missing_docs, reason = "each function is the fuzz target of its name")]

use std::net::SocketAddr;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::capture::{
    ClientIp, TrustedPeer, authority, host, request_id as read_request_id, traceparent as read_traceparent,
};
use crate::config::Settings;
use crate::record::fragment::push_json_string;
use crate::redact::{Body, EventRules, Pass, Redactor, said_by};

/// What is planted, and is too odd to stand in an input by chance. An input that holds its beginning proves nothing.
const CANARY: &str = "cAnArY7Qx0";
const BEGINNING: &str = "cAnArY";

/// What a target does with its input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("json", json),
    ("query", query),
    ("form", form),
    ("multipart", multipart),
    ("text", text),
    ("client_ip", client_ip),
    ("traceparent", traceparent),
    ("settings", settings),
];

fn redactor(kind: u8) -> &'static Redactor {
    static ALL: OnceLock<[Redactor; 3]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let builder = || Redactor::builder().pointer("/x/*/y").except_pointer("/public/key").key("badge").bag("bag");
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
        EventRules::new(&one("values"), &one("/list/0"), &one("sort_key")).expect("the rules are valid")
    })
}

fn pass(kind: u8) -> Pass<'static> {
    Pass::new(redactor(kind), (kind & 8 > 0).then(rules))
}

/// The first byte decides about the rules and the cut; the rest is the input.
fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn is_cut(kind: u8) -> bool {
    kind & 16 > 0
}

fn fragment(body: Body) -> Option<String> {
    match body {
        Body::Whole(json) | Body::Beginning(json, _) | Body::Text(json) => Some(json),
        Body::Omitted(_) => None,
    }
}

/// Every output is one JSON value on one line, without a canary, before and after what was masked is looked for again.
fn check(pass: &Pass<'_>, output: &str, input: &str) {
    let mut scrubbed = output.to_owned();
    pass.scrub_json(&mut scrubbed);
    for output in [output, &scrubbed] {
        // Deeper than `serde_json` reads: a body of 64 levels, quoted, is one string.
        assert!(!output.contains('\n'), "two lines: {output:?} of {input:?}");
        match serde_json::from_str(output) {
            Ok(value) => absent_from_strings(&value, input),
            Err(_) => {
                assert!(is_json(output), "not JSON: {output:?} of {input:?}");
                assert!(!output.contains(CANARY), "canary: {output:?} of {input:?}");
            }
        }
    }
}

/// Whether it is JSON; `serde_json` has no place for numbers beyond floats, which a record shows digit for digit.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).map_or_else(|error| error.to_string().contains("out of range"), |_| true)
}

/// As they read: the end of an escape may be the beginning of what only looks like a canary.
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

/// However it is encoded, and however often.
fn holds_canary(text: &str) -> bool {
    let mut read = text.to_owned();
    loop {
        if read.contains(BEGINNING) {
            return true;
        }
        let (decoded, _) = said_by(&read);
        if decoded == read {
            return false;
        }
        read = decoded;
    }
}

/// What the benchmark of redaction alone measures: a JSON body in, the text of its record out.
pub fn redacted_json(redactor: &Redactor, body: &[u8]) -> Option<String> {
    fragment(Pass::new(redactor, None).json(body, false))
}

/// The JSON walker.
pub fn json(data: &[u8]) {
    let (kind, input) = split(data);
    let mut pass = pass(kind);
    if let Some(json) = fragment(pass.json(input, is_cut(kind))) {
        assert!(std::str::from_utf8(input).is_ok() || is_cut(kind), "invalid UTF-8 was shown");
        let mut scrubbed = json.clone();
        pass.scrub_json(&mut scrubbed);
        for json in [&json, &scrubbed] {
            assert!(is_json(json), "not JSON: {json:?} of {:?}", lossy(input));
        }
    }
    drop(pass);

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
            let mut pass = self::pass(kind);
            let bytes = &document.as_bytes()[..cut.unwrap_or(document.len())];
            if let Some(json) = fragment(pass.json(bytes, cut.is_some())) {
                check(&pass, &json, &document);
            }
        }
    }
}

/// Queries, URLs and parameters.
pub fn query(data: &[u8]) {
    let (kind, input) = split(data);
    let input = lossy(input);
    let input = input.as_str();
    let mut pass = pass(kind);
    let shown = [pass.query(input), pass.params([(input, input.into()), ("token", input.into())].into_iter())];
    shown.iter().flatten().for_each(|json| assert!(is_json(json), "{json:?}"));
    let (path, query) = input.split_once('?').map_or((input, None), |(path, query)| (path, Some(query)));
    let (start, end) = (usize::from(kind) % (path.len() + 1), path.len());
    let mut url = pass.url(path, query, &[("token", start..end), ("id", 0..start)]);
    let mut other = pass.url_of_no_route(path, query);
    pass.scrub_text(&mut url);
    pass.scrub_text(&mut other);
    assert!(url.len() <= 4096 + 64 && other.len() <= 4096 + 64, "longer than its cap");
    drop(pass);

    // The query of a URL has no fragment: what stands around its sign comes together.
    if holds_canary(input) || holds_canary(&input.replace('#', "")) {
        return;
    }
    let mut pass = self::pass(kind);
    let encoded = utf8_percent_encode(CANARY, NON_ALPHANUMERIC).to_string();
    let raw = format!("{input}&access_token={CANARY}&to%6ben={encoded}&next=https%3A%2F%2Fh%2F%3Fsig%3D{CANARY}");
    let shown = pass.query(&raw);
    let mut url = pass.url(&format!("/a/{CANARY}"), Some(&raw.replace('#', "")), &[("token", 3..3 + CANARY.len())]);
    pass.scrub_text(&mut url);
    shown.iter().for_each(|json| check(&pass, json, &raw));
    absent(&url, &raw);
}

/// Forms.
pub fn form(data: &[u8]) {
    let (kind, input) = split(data);
    let mut pass = pass(kind);
    if let Some(json) = fragment(pass.form(input, is_cut(kind))) {
        assert!(is_json(&json), "{json:?}");
    }
    drop(pass);
    let text = lossy(input);
    if holds_canary(&text) {
        return;
    }
    let raw = [input, b"&user%5Bpassword%5D=", CANARY.as_bytes(), b"&a=", input].concat();
    let at = usize::from(kind).wrapping_mul(131) % (raw.len() + 1);
    for cut in [None, Some(at)] {
        let mut pass = self::pass(kind);
        if let Some(json) = fragment(pass.form(&raw[..cut.unwrap_or(raw.len())], cut.is_some())) {
            check(&pass, &json, &lossy(&raw));
        }
    }
}

/// Multipart bodies and their content type.
pub fn multipart(data: &[u8]) {
    let (kind, input) = split(data);
    let content_type = "multipart/form-data; boundary=x";
    let mut pass = pass(kind);
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    for content_type in [content_type, &lossy(&input[..line])] {
        if let Some(json) = fragment(pass.multipart(content_type, input, is_cut(kind))) {
            assert!(is_json(&json), "{json:?}");
        }
    }
    drop(pass);
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
        let mut pass = self::pass(kind);
        if let Some(json) = fragment(pass.multipart(content_type, &raw[..cut.unwrap_or(raw.len())], cut.is_some())) {
            check(&pass, &json, &lossy(&raw));
        }
    }
}

/// Text and XML bodies, headers, free texts, and the search for what was masked.
pub fn text(data: &[u8]) {
    let (kind, input) = split(data);
    let mut pass = pass(kind);
    let shown = fragment(pass.text_of(if kind & 32 > 0 { "text/csv" } else { "text/plain" }, input, is_cut(kind)));
    let shown = shown.into_iter().chain([{
        let mut json = String::new();
        push_json_string(&mut json, &pass.string(&lossy(input)));
        json
    }]);
    for mut json in shown {
        pass.scrub_json(&mut json);
        assert!(is_json(&json), "{json:?}");
    }
    let _ = pass.header(&lossy(input), input, false);
    let _ = pass.member(&lossy(input), &Value::from(lossy(input)));
    drop(pass);

    let Ok(text) = std::str::from_utf8(input) else { return };
    if holds_canary(text) {
        return;
    }
    let line = text.lines().next().unwrap_or_default();
    for body in [
        format!("{text}\npassword: {CANARY}\n"),
        format!("password={CANARY}\n{text}"),
        format!("<a>{text}<password>{CANARY}</password></a>"),
        format!("<a b=\"{}\" password=\"{CANARY}\"/>", line.replace(['"', '<', '>', '&'], " ")),
        format!("<a><value>{CANARY}</value><name>pin</name>{text}</a>"),
    ] {
        let at = usize::from(kind).wrapping_mul(131) % (body.len() + 1);
        for cut in [None, Some(at)] {
            let mut pass = self::pass(kind);
            let bytes = &body.as_bytes()[..cut.unwrap_or(body.len())];
            if let Some(json) = fragment(pass.text_of("text/plain", bytes, cut.is_some())) {
                check(&pass, &json, &body);
            }
        }
    }

    // Where a value was masked once, it stands nowhere else.
    let mut pass = self::pass(kind);
    let _ = pass.header("authorization", format!("Bearer {CANARY}").as_bytes(), false);
    let encoded: String = CANARY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let escaped: String = CANARY.bytes().map(|byte| format!("\\u{:04X}", u32::from(byte))).collect();
    for said in [CANARY, &encoded, &utf8_percent_encode(&encoded, NON_ALPHANUMERIC).to_string(), &escaped] {
        // A backslash before it would make it read as something else, on more levels than are looked at.
        let apart = if text.ends_with('\\') { " " } else { "" };
        let mut all = format!("{text}{apart}{said}{text}");
        let mut json = String::new();
        push_json_string(&mut json, &all);
        pass.scrub_text(&mut all);
        pass.scrub_json(&mut json);
        let inside: String = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json:?}"));
        assert!(!all.contains(said) && !inside.contains(said), "{said} is still in {all:?} or {json:?}");
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
