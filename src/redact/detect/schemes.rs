//! Finds credentials after the name of an authentication scheme, in any case, as in an `Authorization` header.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::credential::{is_uuid, looks_like};
use super::run;
use crate::work;

#[derive(Clone, Copy)]
pub(super) enum Credentials {
    /// A word that looks like a credential and is at least this long.
    Word(usize),
    /// Base64 of a name, a colon and a password.
    Basic,
    /// The values of these parameters, in a list of them.
    Parameters(&'static [&'static str]),
}

/// Schemes by name, in small letters.
pub(super) const SCHEMES: &[(&str, Credentials)] = &[
    // RFC 7617, RFC 6750, RFC 7616, RFC 9449, RFC 4559; Microsoft's MS-NLMP.
    ("basic", Credentials::Basic),
    ("bearer", Credentials::Word(8)),
    ("digest", Credentials::Parameters(&["response"])),
    ("dpop", Credentials::Word(8)),
    ("negotiate", Credentials::Word(16)),
    ("ntlm", Credentials::Word(16)),
    // Django REST framework and others; Elasticsearch; Okta; Opsgenie; Splunk; Discord.
    ("token", Credentials::Word(16)),
    ("apikey", Credentials::Word(16)),
    ("api-key", Credentials::Word(16)),
    ("ssws", Credentials::Word(16)),
    ("geniekey", Credentials::Word(16)),
    ("splunk", Credentials::Word(16)),
    ("bot", Credentials::Word(24)),
    // RFC 5849; Hawk; AWS Signature Version 4; Azure's shared access signatures.
    ("oauth", Credentials::Parameters(&["oauth_signature", "oauth_token"])),
    ("hawk", Credentials::Parameters(&["mac"])),
    ("aws4-hmac-sha256", Credentials::Parameters(&["signature"])),
    ("sharedaccesssignature", Credentials::Parameters(&["sig"])),
];
/// The length of the longest name.
const MAX_NAME: usize = 21;
/// At the end of a text that was cut, this number of characters of a credential is enough.
const MIN_CUT: usize = 6;

/// Where the name of a scheme ends that begins here and is followed by a space, and what its credentials are.
pub(super) fn scheme_at(bytes: &[u8], at: usize) -> Option<(usize, Credentials)> {
    let most = &bytes[at..bytes.len().min(at + MAX_NAME + 1)];
    let len = most.iter().position(|byte| !is_of_name(*byte)).filter(|len| is_blank(most[*len]))?;
    let (_, credentials) = SCHEMES.iter().find(|(name, _)| most[..len].eq_ignore_ascii_case(name.as_bytes()))?;
    Some((at + len, *credentials))
}

/// Appends the places of credentials. `cut`: the text may have been cut at its end.
pub(super) fn find(text: &str, cut: bool, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let Some((name, credentials)) = scheme_at(bytes, at) else {
            // The next word.
            at = run(bytes, at, is_of_name) + 1;
            continue;
        };
        at = run(bytes, name, is_blank);
        let credential = match credentials {
            Credentials::Word(min) => credential(text, at, min, cut),
            Credentials::Basic => name_and_password(text, at),
            Credentials::Parameters(names) => {
                at = find_parameters(bytes, at, names, found);
                None
            }
        };
        at = credential.as_ref().map_or(at, |credential| credential.end);
        found.extend(credential);
    }
}

/// A word that looks like a credential: the characters of RFC 6750 and those that some issuers add.
fn credential(text: &str, at: usize, min: usize, cut: bool) -> Option<Range<usize>> {
    let end = run(text.as_bytes(), at, |byte| byte.is_ascii_alphanumeric() || b"._~+/=-|:".contains(&byte));
    let word = text[at..end].trim_end_matches(['.', ':']);
    let min = if cut && at + word.len() == text.len() { MIN_CUT } else { min };
    // After schemes with a longer least length, a UUID is an id and no credential.
    let is_id = min > 8 && is_uuid(word);
    (looks_like(word, min) && !is_id).then_some(at..at + word.len())
}

/// Base64 of a name and a password. Logs join the next column with a sign that other credentials have.
fn name_and_password(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = run(bytes, at, |byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte));
    let end = run(bytes, end, |byte| byte == b'=');
    let decoded = basic_credentials(&text[at..end]);
    (decoded.contains(&b':') && !decoded.iter().any(u8::is_ascii_control)).then_some(at..end)
}

/// What Basic credentials decode to: a name, a colon and a password. Of a text that was cut, the last characters may decode to
/// nothing.
pub(in crate::redact) fn basic_credentials(encoded: &str) -> Vec<u8> {
    work::add(encoded.len());
    let encoded = encoded.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let whole = encoded.len() - usize::from(encoded.len() % 4 == 1);
    STANDARD_NO_PAD_ANY_BITS.decode(&encoded.as_bytes()[..whole]).unwrap_or_default()
}

/// Reads a list of `name=value` and `name="value"`, and returns where it ends.
fn find_parameters(bytes: &[u8], from: usize, names: &[&str], found: &mut Vec<Range<usize>>) -> usize {
    let mut at = from;
    loop {
        let name = run(bytes, at, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'*'));
        if name == at || bytes.get(name) != Some(&b'=') {
            return at;
        }
        let quoted = bytes.get(name + 1) == Some(&b'"');
        let start = name + 1 + usize::from(quoted);
        let end = run(bytes, start, |byte| if quoted { byte != b'"' } else { !b",& \t\r\n\"'".contains(&byte) });
        if end > start && names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&bytes[at..name])) {
            found.push(start..end);
        }
        at = run(bytes, end, |byte| b"\",;& \t".contains(&byte));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Base64 without padding. Bits at the end that belong to no byte are not checked.
const STANDARD_NO_PAD_ANY_BITS: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

#[cfg(test)]
mod tests {
    use super::super::tests::found_by;
    use super::*;

    fn found(text: &str, cut: bool) -> Vec<&str> {
        found_by(|text, found| find(text, cut, found), text)
    }

    #[test]
    fn what_follows_a_scheme_is_found_in_any_case() {
        for (scheme, secret) in [
            ("Bearer", "abcDEF123"),
            ("Bearer", "mF_9.B5f-4.1JqM"),
            ("Bearer", "550e8400-e29b-41d4-a716-446655440000"),
            ("Bearer", "12|AbCdEf0123456789"),
            ("DPoP", "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
            ("Basic", "dXNlcjpwYXNz"),
            ("Basic", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("Negotiate", "YIIZWgYGKwYBBQUCoIIZTjCC"),
            ("NTLM", "TlRMTVNTUAABAAAAB4IIogAAAAA="),
            ("ApiKey", "VnVhQ2ZHY0JDZGJrUQ=="),
            ("Token", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"),
            ("SSWS", "00QCjAl4MlV-WPXM-ThisIsNotReal"),
            ("GenieKey", "a1b2c3d4e5f6a7b8c9d0"),
        ] {
            let mixed: String = scheme
                .chars()
                .enumerate()
                .map(|(at, char)| if at % 2 == 0 { char.to_ascii_lowercase() } else { char.to_ascii_uppercase() })
                .collect();
            for scheme in [scheme, &scheme.to_lowercase(), &scheme.to_uppercase(), &mixed] {
                for text in [
                    format!("{scheme} {secret}"),
                    format!("a {scheme}  \t{secret}\nb"),
                    format!("Authorization: {scheme} {secret}."),
                    format!("\"{scheme} {secret}\""),
                    format!("({scheme} {secret}) is refused"),
                ] {
                    assert_eq!(found(&text, false), [secret], "{text}");
                }
            }
        }
        assert_eq!(found("Bearer abcDEF123, Token abcDEF1234567890", false), ["abcDEF123", "abcDEF1234567890"]);
        assert_eq!(found("with bearer abcDE1", true), ["abcDE1"]);
        for (text, secret) in [
            ("upstream: Basic dXNlcjpodW50ZXIyLXg=|GET|/x 401", "dXNlcjpodW50ZXIyLXg="),
            ("upstream: Basic dXNlcjpodW50ZXIyLXg=:401", "dXNlcjpodW50ZXIyLXg="),
            ("upstream: Basic dXNlcjpodW50ZXIy|GET|/x 401", "dXNlcjpodW50ZXIy"),
        ] {
            assert_eq!(found(text, false), [secret], "{text}");
        }
    }

    #[test]
    fn no_name_is_longer_than_what_is_read() {
        assert_eq!(SCHEMES.iter().map(|(name, _)| name.len()).max(), Some(MAX_NAME));
    }

    #[test]
    fn of_parameters_only_the_proof_is_secret() {
        for (text, secrets) in [
            ("Digest username=\"bob\", realm=\"x\", response=\"6629fae4\", opaque=\"y\"", vec!["6629fae4"]),
            (
                "Hawk id=\"dh37fgj492je\", ts=\"1353832234\", mac=\"6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE=\"",
                vec!["6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="],
            ),
            (
                "AWS4-HMAC-SHA256 Credential=x/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;date, Signature=f0e8bdb8",
                vec!["f0e8bdb8"],
            ),
            ("SharedAccessSignature sr=x&sig=a%2Bb&se=1&skn=send", vec!["a%2Bb"]),
        ] {
            assert_eq!(found(text, false), secrets, "{text}");
        }
    }

    #[test]
    fn words_after_the_name_of_a_scheme_show() {
        for text in [
            "the bearer of news",
            "Bearer authentication",
            "Bearer realm=\"x\", error=\"invalid_token\"",
            "Bearer <token>",
            "Bearer undefined",
            "Basic information",
            "Basic authentication",
            "basic dXNlcg==",
            "Digest of the week",
            "Digest: sha-256=x",
            "digest length=16",
            "Negotiate terms",
            "negotiate connection-upgrades",
            "the token has expired",
            "Token revoked: id 4711",
            "token 550e8400-e29b-41d4-a716-446655440000 was revoked",
            "token 1234",
            "token introspection/revocation",
            "mytoken abcDEF1234567890",
            "apikey missing",
            "oauth client_id=x",
            "bot ",
            " ",
            "token ",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text}");
        }
    }
}
