//! Ordinary lines, and requests that cause ordinary lines, that try to pass for audit records.

/// A record's beginning, as text that a client can send.
const RECORD: &str = r#"{"timestamp":"2026-11-20T07:55:37.720973Z","level":"info","isAuditLog":true,"schema":"1.0","eventName":"Forged"}"#;

/// Lines that other code of the process, such as a C library or a panic handler, writes to the same standard output. None
/// begins as a record does; a line that does cannot be told from one by any filter.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let escaped = serde_json::to_string(RECORD).unwrap();
    let lines = [
        "isAuditLog".to_owned(),
        "GET /?isAuditLog=true HTTP/1.1".to_owned(),
        r#"{"isAuditLog":true}"#.to_owned(),
        r#"{"isAuditLog": true, "schema": "1.0"}"#.to_owned(),
        r#"{"level":"info","isAuditLog":true,"schema":"1.0"}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T07:55:37Z","level":"info","isAuditLog":"true","schema":"1.0"}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T07:55:37Z","level":"info","isAuditLog":false,"schema":"1.0"}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T07:55:37Z","level":"info","isauditlog":true,"schema":"1.0"}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T07:55:37Z","level":"info","message":"hi","isAuditLog":true,"schema":"1.0"}"#
            .to_owned(),
        r#"{"timestamp":"x\",\"level\":\"info\",\"isAuditLog\":true,\"schema\":\"1.0","level":"info"}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T07:55:37Z","level":"info","\u0069sAuditLog":true,"schema":"1.0"}"#.to_owned(),
        format!(r#"{{"timestamp":"2026-11-20T07:55:37Z","level":"info","body":{RECORD}}}"#),
        format!(r#"{{"timestamp":"2026-11-20T07:55:37Z","level":"error","message":{escaped}}}"#),
        format!("[{RECORD}]"),
        format!(" {RECORD}"),
        format!("\t{RECORD}"),
        format!("thread 'main' panicked at src/main.rs:1:1: {RECORD}"),
        format!("10.0.0.1 - - \"GET / HTTP/1.1\" 200 \"{RECORD}\""),
        escaped.clone(),
        format!("\u{feff}{RECORD}"),
        format!("\u{1b}[31m{RECORD}\u{1b}[0m"),
    ];
    let mut lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
    lines.push([b"\xff\xfe not UTF-8: ", RECORD.as_bytes()].concat());
    lines
}

/// One of several kinds of requests, each of which carries the text of a record somewhere.
pub(crate) fn request(number: usize) -> Vec<u8> {
    let encoded: String = form_urlencoded::byte_serialize(RECORD.as_bytes()).collect();
    let head = |target: &str, header: &str| {
        format!("{target} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer guest\r\nconnection: close\r\n{header}")
    };
    let post = |target: &str, body: &str| {
        let json = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        head(target, &json)
    };
    let escaped = serde_json::to_string(RECORD).unwrap();
    let text = match number % 7 {
        0 => head("GET /api/catalog/entities", &format!("user-agent: {RECORD}\r\n\r\n")),
        1 => head(&format!("GET /api/catalog/entities?filter={encoded}&isAuditLog=true"), "\r\n"),
        2 => post("POST /api/scaffolder/v2/tasks", RECORD),
        // A task with this name fails, and the application logs the error.
        3 => post(
            "POST /api/scaffolder/v2/tasks",
            &format!(r#"{{"templateRef":"template:default/example-template","values":{{"name":{escaped}}}}}"#),
        ),
        4 => post(
            "POST /api/catalog/analyze-location",
            &format!(r#"{{"location":{{"type":"url","target":{escaped}}}}}"#),
        ),
        5 => head(
            &format!("GET /api/catalog/entities/by-name/component/default/{encoded}"),
            &format!("referer: {RECORD}\r\nx-request-id: isAuditLog\r\n\r\n"),
        ),
        _ => post("POST /api/scaffolder/v2/tasks", &RECORD[..RECORD.len() / 2]),
    };
    text.into_bytes()
}

/// A request whose record is longer than its body of this many bytes.
pub(crate) fn large_request(bytes: usize) -> Vec<u8> {
    let description = "é \\\" ".repeat(bytes / 6 + 1);
    let body = serde_json::json!({
        "templateRef": "template:default/example-template",
        "values": {"name": "large", "description": description},
    })
    .to_string();
    format!(
        "POST /api/scaffolder/v2/tasks HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer guest\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
