//! Finds private keys in PEM (RFC 7468), as a whole or without their end. Certificates and public keys show.

use std::ops::Range;

use memchr::memmem;

use super::run;
use crate::work;

/// The keyword of private keys, looked for where a word begins.
pub(super) const WORD: &str = "BEGIN ";

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const LABEL: &[u8] = b"PRIVATE KEY";
const MAX_LABEL: usize = 64;
/// Lines before the body, such as `Proc-Type: 4,ENCRYPTED`.
const MAX_HEADERS: usize = 4;
const MAX_HEADER: usize = 96;
/// The first line of a body is at least this long.
const MIN_LINE: usize = 16;

/// Whether [`WORD`] begins here, after dashes.
pub(super) fn begins_at(bytes: &[u8], at: usize) -> bool {
    bytes[at..].starts_with(WORD.as_bytes()) && bytes[..at].ends_with(DASHES.as_bytes())
}

/// Appends the places of private keys. `cut`: the text may have been cut at its end.
pub(super) fn find(text: &str, cut: bool, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let ends: Vec<usize> = memmem::find_iter(bytes, END).collect();
    work::add(bytes.len());
    let mut at = 0;
    while let Some(hit) = memmem::find(&bytes[at..], BEGIN.as_bytes()) {
        work::add(hit);
        let start = at + hit;
        let label = start + BEGIN.len();
        at = label;
        let most = &bytes[label..bytes.len().min(label + MAX_LABEL + DASHES.len())];
        let Some(len) = memmem::find(most, DASHES.as_bytes()) else { continue };
        let label = &bytes[label..label + len];
        if memmem::find(label, LABEL).is_none() {
            continue;
        }
        let body = at + len + DASHES.len();
        // Where the label of the next end line begins.
        let next_end = ends.get(ends.partition_point(|end| *end < body)).map(|end| end + END.len());
        let closed = next_end.filter(|end| bytes[*end..].starts_with(label)).map(|end| {
            let end = end + len;
            run(&bytes[..bytes.len().min(end + DASHES.len())], end, |byte| byte == b'-')
        });
        let Some(end) = closed.or_else(|| open_body(bytes, body, cut)) else { continue };
        found.push(start..end);
        at = end;
    }
}

/// The end of the body of a block without an end line; `None` if it has no body.
fn open_body(bytes: &[u8], from: usize, cut: bool) -> Option<usize> {
    let mut at = behind_breaks(bytes, from);
    for _ in 0..MAX_HEADERS {
        let most = &bytes[..bytes.len().min(at + MAX_HEADER)];
        let name = run(most, at, |byte| byte.is_ascii_alphabetic() || byte == b'-');
        if name == at || bytes.get(name) != Some(&b':') {
            break;
        }
        at = behind_breaks(bytes, run(most, name, |byte| !matches!(byte, b'\n' | b'\r' | b'\\')));
    }
    base64_lines(bytes, at, cut)
}

/// The end of lines of base64; `None` if there are none. A line that is shorter than the first is the last.
fn base64_lines(bytes: &[u8], at: usize, cut: bool) -> Option<usize> {
    let mut end = run(bytes, at, is_base64);
    let width = end - at;
    if width == 0 || (width < MIN_LINE && !(cut && end == bytes.len())) {
        return None;
    }
    let mut len = width;
    while len >= width {
        let next = behind_breaks(bytes, end);
        len = if next > end { run(bytes, next, is_base64) - next } else { 0 };
        if len > 0 {
            end = next + len;
        }
    }
    Some(end)
}

/// The first place after line breaks and spaces, plain or escaped as in JSON.
fn behind_breaks(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n' | b'\\') => at += 1,
            Some(b'n' | b'r' | b't') if at > 0 && bytes[at - 1] == b'\\' => at += 1,
            _ => return at,
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::super::tests::found_by;
    use super::*;

    fn found(text: &str, cut: bool) -> Vec<&str> {
        found_by(|text, found| find(text, cut, found), text)
    }

    fn body(line_break: &str) -> String {
        format!("{0}{line_break}{0}{line_break}{1}==", "Ab0/".repeat(16), "Cd1+".repeat(5))
    }

    #[test]
    fn private_keys_are_found_with_and_without_their_end() {
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
        {
            for line_break in ["\n", "\r\n", "\\n", "\\\\n", " ", ""] {
                let body = body(line_break);
                let open = format!("-----BEGIN {label}-----{line_break}{body}");
                let whole = format!("{open}{line_break}-----END {label}-----");
                assert_eq!(found(&format!("a {whole} b"), false), [whole.as_str()]);
                assert_eq!(found(&format!("a {open}, b"), false), [open.as_str()]);
                for len in open.len() - body.len() + 8..open.len() {
                    let cut = found(&open[..len], true);
                    assert_eq!(cut.len(), 1, "{}", &open[..len]);
                    assert!(open[..len].trim_end_matches(['\n', '\r', '\\', 'n', ' ']).len() <= cut[0].len());
                }
            }
        }
        let headers = format!(
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{}",
            body("\n")
        );
        assert_eq!(found(&format!("{headers}, b"), false), [headers.as_str()]);
    }

    #[test]
    fn what_is_public_shows() {
        let body = body("\n");
        for text in [
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"),
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"),
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}"),
            "expected -----BEGIN PRIVATE KEY----- at line 1".to_owned(),
            "-----BEGIN RSA PRIVATE".to_owned(),
        ] {
            assert_eq!(found(&text, true), [""; 0], "{text}");
        }
    }
}
