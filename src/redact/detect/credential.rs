//! Whether a word looks like a credential by itself, as opposed to a word of prose, a name or a number.

use crate::work;

/// A credential is at least this long.
const MIN: usize = 8;
/// No word of letters is longer.
const MAX_WORD: usize = 24;

/// Whether a text without spaces looks like a credential: long enough, and with a run of letters and digits that is neither a
/// word nor a number. Words are written in one case, or with a capital at their beginning, and may end in digits.
pub(in crate::redact) fn looks_like_credential(text: &str) -> bool {
    looks_like(text, MIN)
}

/// The same with another least length.
pub(super) fn looks_like(text: &str, min: usize) -> bool {
    work::add(text.len());
    text.len() >= min && text.split(|sign: char| !sign.is_alphanumeric()).any(|piece| !is_word(piece))
}

/// Whether a text is a UUID, which is an id more often than a credential.
pub(super) fn is_uuid(text: &str) -> bool {
    let hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// Whether letters and digits are a word of prose, a name, a number, or a word with a number such as `oauth2` and `v12`.
fn is_word(piece: &str) -> bool {
    let bytes = piece.as_bytes();
    if !piece.is_ascii() {
        return true;
    }
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, digits) = bytes.split_at(letters);
    if digits.iter().any(|byte| !byte.is_ascii_digit()) {
        // Ordinals and amounts: `3m`, `10ms`, `2nd`.
        let number = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let unit = &bytes[number..];
        return number > 0 && unit.len() <= 3 && unit.iter().all(u8::is_ascii_alphabetic);
    }
    let (few_digits, rest) = (digits.len() <= 4 || word.is_empty(), word.get(1..).unwrap_or_default());
    let capitals = word.iter().all(u8::is_ascii_uppercase);
    // `OAuth2`, `GitHub`, `JavaScript`: at most three capitals, each of which begins a part of the word.
    let humps = rest.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    few_digits
        && word.len() <= MAX_WORD
        && (capitals || humps <= 2 && (humps == 0 || digits.is_empty() || humps == 1 && letters <= 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_no_credentials() {
        for text in [
            "authentication",
            "Authentication",
            "AUTHENTICATION",
            "connection-upgrades",
            "introspection/revocation",
            "OAuth2",
            "JavaScript-object",
            "sha256-digest",
            "rfc6750-compliant",
            "expired",
            "20260101",
            "2026-01-01",
            "4711",
            "short1A",
            "unauthenticated-über-alles",
            "v2.13.4-rc1",
            "30m-timeout",
        ] {
            assert!(!looks_like_credential(text), "{text}");
        }
    }

    #[test]
    fn what_no_word_is_like_is_a_credential() {
        for text in [
            "abcDEF123",
            "dXNlcjpwYXNz",
            "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
            "550e8400-e29b-41d4-a716-446655440000",
            "s3cr3t-token",
            "VnVhQ2ZHY0JDZGJrUQ==",
            "mF_9.B5f-4.1JqM",
            "abcdefghijklmnopqrstuvwxyz",
        ] {
            assert!(looks_like_credential(text), "{text}");
        }
    }
}
