//! Credentials in URLs.

use std::ops::Range;

use super::run;

/// How far a password may go on that has a slash in it.
const MAX_PASSWORD: usize = 256;

/// `scheme://user:password@host`, `//user:password@host` and `https://token@host`.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(hit) = memchr::memmem::find(&bytes[at..], b"//") {
        let slashes = at + hit;
        let start = slashes + 2;
        let end = run(bytes, start, usize::MAX, |byte| !matches!(byte, b'/' | b'?' | b'#') && !ends_url(byte));
        at = end;
        if let Some(len) = memchr::memrchr(b'@', &bytes[start..end]) {
            let info = start..start + len;
            match memchr::memchr(b':', &bytes[info.clone()]) {
                Some(colon) if colon + 1 < len => found.push(start + colon + 1..info.end),
                None if len > 0 && is_http(&bytes[..slashes]) => found.push(info),
                _ => {}
            }
        } else if let Some(password) = password_with_slash(bytes, start, end) {
            at = password.end;
            found.push(password);
        }
    }
}

/// `user:pass/word@host`: no URL, but what people write. After a colon that is no port's.
fn password_with_slash(bytes: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let host = &bytes[start..end];
    let colon = start + memchr::memchr(b':', host).filter(|_| host.first() != Some(&b'['))? + 1;
    if bytes[colon..end].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let most = run(bytes, end, MAX_PASSWORD, |byte| !ends_url(byte));
    let len = memchr::memrchr(b'@', &bytes[end..most])?;
    Some(colon..end + len)
}

fn ends_url(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | 0..=b' ')
}

fn is_http(before: &[u8]) -> bool {
    let ends = |scheme: &[u8]| {
        before.len().checked_sub(scheme.len()).is_some_and(|at| before[at..].eq_ignore_ascii_case(scheme))
    };
    ends(b"http:") || ends(b"https:")
}
