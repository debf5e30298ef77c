//! Credentials after the name of their authentication scheme, in whatever case that is written.

use std::ops::Range;

use super::{is_token68, run};

#[derive(Clone, Copy)]
enum Scheme {
    /// Anything that looks like a token.
    Bearer,
    /// Base64 of a name, a colon and a password.
    Basic,
    /// A list of parameters, of which the first says that it is one.
    Digest,
    /// What looks like a credential and like no word at all.
    Other,
}

/// By the last letter, which tells them apart; and whether a word has to begin there.
fn scheme(last: u8) -> Option<(&'static [u8], Scheme, bool)> {
    Some(match last {
        b'r' => (b"bearer", Scheme::Bearer, false),
        b'c' => (b"basic", Scheme::Basic, false),
        b't' => (b"digest", Scheme::Digest, true),
        b'e' => (b"negotiate", Scheme::Other, true),
        b'm' => (b"ntlm", Scheme::Other, true),
        b'y' => (b"apikey", Scheme::Other, true),
        b'n' => (b"token", Scheme::Other, true),
        _ => return None,
    })
}

/// Parameters of RFC 7616.
const DIGEST: &[&str] = &[
    "username",
    "username*",
    "userhash",
    "realm",
    "nonce",
    "uri",
    "response",
    "qop",
    "algorithm",
    "cnonce",
    "nc",
    "opaque",
];

/// Appends the places of credentials. Only of texts with white space.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut read = 0;
    // Spaces are too close to each other to jump from one to the next.
    for (space, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b' ' | b'\t') || space < read {
            continue;
        }
        let Some(scheme) = scheme_before(bytes, space) else { continue };
        let at = run(bytes, space, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
        let end = match scheme {
            Scheme::Digest => end_of_digest(bytes, at),
            _ => run(bytes, at, usize::MAX, is_token68),
        };
        let word = &bytes[at..end];
        let is_credential = match scheme {
            Scheme::Bearer => word.len() >= 8 && (word.len() >= 20 || !word.iter().all(u8::is_ascii_lowercase)),
            Scheme::Basic => says_name_and_password(word),
            Scheme::Digest => !word.is_empty(),
            Scheme::Other => is_no_word(word),
        };
        if is_credential {
            found.push(at..end);
            read = end;
        }
    }
}

fn scheme_before(bytes: &[u8], space: usize) -> Option<Scheme> {
    let last = bytes.get(space.checked_sub(1)?)?.to_ascii_lowercase();
    let (name, scheme, begins_word) = scheme(last)?;
    let start = space.checked_sub(name.len())?;
    let is_it = bytes[start..space].eq_ignore_ascii_case(name);
    let stands_alone = !begins_word || start == 0 || !bytes[start - 1].is_ascii_alphanumeric();
    (is_it && stands_alone).then_some(scheme)
}

/// The end of the line, if what stands at its beginning is a parameter of a digest; else that beginning.
fn end_of_digest(bytes: &[u8], at: usize) -> usize {
    let name = run(bytes, at, 10, |byte| byte.is_ascii_alphabetic() || byte == b'*');
    let is_one = DIGEST.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&bytes[at..name]));
    if !is_one || bytes.get(name) != Some(&b'=') {
        return at;
    }
    memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |len| at + len)
}

/// Long, and with digits or capitals where words have none.
fn is_no_word(word: &[u8]) -> bool {
    let any = |class: fn(&u8) -> bool| word.iter().skip(1).any(class);
    let mixed = || any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase);
    word.len() >= 16 && (any(u8::is_ascii_digit) || (word.len() >= 20 && mixed()))
}

/// Whether Base64 text decodes to something with a colon in it, as Basic credentials do.
fn says_name_and_password(encoded: &[u8]) -> bool {
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in encoded {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            if bits >> count & 0xff == u32::from(b':') {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn what_follows_a_scheme_is_found_in_any_case() {
        let digest = "username=\"bob\", realm=\"x\", response=\"6629fae49393a05397450978507c4ef1\"";
        for (scheme, secret) in [
            ("Bearer", "abcDEF123"),
            ("Bearer", "abcdefghijklmnopqrst"),
            ("Basic", "dXNlcjpwYXNz"),
            ("Digest", digest),
            ("Negotiate", "YIIZWgYGKwYBBQUCoIIZTjCC"),
            ("NTLM", "TlRMTVNTUAABAAAAB4IIogAAAAA="),
            ("ApiKey", "VnVhQ2ZHY0JDZGJrUQ=="),
            ("Token", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"),
        ] {
            let mixed: String = scheme
                .chars()
                .enumerate()
                .map(|(at, char)| if at % 2 == 0 { char.to_ascii_lowercase() } else { char.to_ascii_uppercase() })
                .collect();
            for scheme in [scheme, &scheme.to_lowercase(), &scheme.to_uppercase(), &mixed] {
                assert_eq!(found(&format!("{scheme} {secret}")), [secret], "{scheme}");
                assert_eq!(found(&format!("a {scheme}  \t{secret}\nb")), [secret], "{scheme}");
            }
        }
        assert_eq!(found("Bearer abcDEF123, Token abcDEF1234567890"), ["abcDEF123", "abcDEF1234567890"]);
    }

    #[test]
    fn words_after_the_name_of_a_scheme_show() {
        for text in [
            "the bearer of news",
            "Bearer authentication",
            "Basic information",
            "basic dXNlcg==",
            "Digest of the week",
            "Digest: sha-256=x",
            "digest length=16",
            "digestx username=1",
            "Negotiate terms",
            "negotiate connection-upgrades",
            "the token has expired",
            "token 1234",
            "token introspection/revocation",
            "mytoken abcDEF1234567890",
            "apikey missing",
            " ",
            "\t\t",
            "token ",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
