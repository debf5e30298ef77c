//! Finds passwords in URLs: `scheme://user:password@host`. The user name shows, unless it looks like a credential itself.

use std::ops::Range;

use super::credential::looks_like;
use super::run;
use crate::work;

/// The number of bytes that are read of a password with a slash in it.
const MAX_PASSWORD: usize = 256;
/// A user name that looks like a credential is masked from this length on.
const MIN_TOKEN: usize = 20;
/// The hexadecimal digits of a digest, at least (OCI image specification, descriptors).
const MIN_DIGEST: usize = 32;

/// Appends the places of passwords.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(hit) = memchr::memmem::find(&bytes[at..], b"//") {
        work::add(hit);
        let start = at + hit + 2;
        let end = run(bytes, start, |byte| !matches!(byte, b'/' | b'?' | b'#') && !ends_url(byte));
        let secret = match memchr::memrchr(b'@', &bytes[start..end]) {
            Some(len) if is_digest(&bytes[start + len + 1..]) => None,
            Some(len) => secret(text, start..start + len),
            None => password_with_slash(bytes, start, end),
        };
        at = secret.as_ref().map_or(end, |secret| secret.end.max(end));
        found.extend(secret);
    }
}

/// The place of the secret in a user name and a password.
fn secret(text: &str, info: Range<usize>) -> Option<Range<usize>> {
    let whole = &text[info.clone()];
    let (user, password) = whole.split_once(':').unwrap_or((whole, ""));
    if !is_placeholder(password) {
        return Some(info.end - password.len()..info.end);
    }
    looks_like(user, MIN_TOKEN).then_some(info.start..info.start + user.len())
}

/// `user:pass/word@host` is no valid URL, but is written. The colon is not that of a port or of an IPv6 address.
fn password_with_slash(bytes: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let host = &bytes[start..end];
    let colon = start + memchr::memchr(b':', host).filter(|_| host.first() != Some(&b'['))? + 1;
    if colon == end || bytes[colon..end].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let most = bytes.len().min(end + MAX_PASSWORD);
    let most = run(&bytes[..most], end, |byte| !ends_url(byte));
    let len = memchr::memchr(b'@', &bytes[end..most])?;
    let has_host = bytes.get(end + len + 1).is_some_and(u8::is_ascii_alphanumeric);
    (has_host && !is_digest(&bytes[end + len + 1..])).then_some(colon..end + len)
}

/// Whether a digest follows, as in the name of an image, `registry/name:tag@sha256:…`. A host may be called `sha256` too.
fn is_digest(behind: &[u8]) -> bool {
    let digits = behind.strip_prefix(b"sha256:").or_else(|| behind.strip_prefix(b"sha512:"));
    digits.and_then(|digits| digits.get(..MIN_DIGEST)).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a password is empty, masked already, or a placeholder.
fn is_placeholder(password: &str) -> bool {
    let all = |sign: u8| password.bytes().all(|byte| byte == sign);
    all(b'*') || all(b'x') || password.starts_with("${") || (password.starts_with('{') && password.ends_with('}'))
}

fn ends_url(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | 0..=b' ')
}

#[cfg(test)]
mod tests {
    use super::super::tests::found_by;
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        found_by(find, text)
    }

    #[test]
    fn passwords_in_urls_are_found() {
        for (text, secret) in [
            ("postgres://app:hunter2@db/x", "hunter2"),
            ("https://user:p@ss@host/", "p@ss"),
            ("//user:pass@host/x", "pass"),
            ("redis://:hunter2@h", "hunter2"),
            ("postgres://app:hunter2@sha256:5432/db", "hunter2"),
            ("postgres://app:hun/ter2@sha512:5432/db", "hun/ter2"),
            ("postgres://app:hun/ter2@db/x", "hun/ter2"),
            ("mongodb+srv://u:p%40w@a.b,c.d/?x=y", "p%40w"),
            ("(amqp://guest:guest@h:5672)", "guest"),
            (
                "https://9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b@github.com/x",
                "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
            ),
            (
                "https://9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b:@github.com/x",
                "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
            ),
        ] {
            assert_eq!(found(text), [secret], "{text}");
        }
        assert_eq!(found("see https://u:p%40w@h/ and ftp://a:b@c"), ["p%40w", "b"]);
    }

    #[test]
    fn other_urls_show() {
        for text in [
            "ssh://git@github.com/x",
            "https://jane.doe@example.com",
            "https://host/a@b:c",
            "mail me: a@b.c",
            "https://host:80/@",
            "https://host:3000/@scope/name",
            "//git@host/x:y",
            "https://[::1]:8080/x@y",
            "https://host:/x@y",
            "// see: a@b",
            "https://h/a:b/c@d",
            "docker://alpine:3.12@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "postgres://app:***@db",
            "postgres://app:${PASSWORD}@db",
            "http://example.com",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
