//! Values that give themselves away, whatever key they stand under: tokens and keys of known makes,
//! PEM blocks, card numbers, credentials in URLs and after authentication schemes, and the
//! application's own patterns.
//!
//! Each test looks ahead a bounded way or goes on behind what it has read: linear in the text.

mod cards;
mod makes;
mod schemes;
mod tells;
mod traits;
mod userinfo;

use std::ops::Range;

use regex::Regex;

pub(super) use self::cards::is_card_number;
pub(crate) use self::cards::open_at_end as open_card_number;
use self::makes::Makes;
pub(super) use self::traits::{Traits, is_name};
use super::cut::MARK;
use crate::Error;

/// No value of a known make is shorter.
const MIN_TOKEN: usize = 14;
/// A key shorter than any token or card number can only be one by a pattern of the application's.
const MIN_KEY: usize = 4;
const MAX_PATTERNS: usize = 64;
const MAX_HITS: usize = 100;

/// The value patterns of a redactor, compiled.
#[derive(Debug)]
pub(super) struct Values {
    makes: Makes,
    patterns: Vec<Regex>,
}

impl Values {
    pub(super) fn new(patterns: &[String]) -> Result<Self, Error> {
        if patterns.len() > MAX_PATTERNS {
            let given = patterns.len();
            return Err(Error::redaction(format!("redaction: {given} patterns, at most {MAX_PATTERNS} are allowed")));
        }
        let makes = Makes::new()?;
        let compile = |pattern: &String| match Regex::new(pattern) {
            Ok(regex) if regex.is_match("") => Err(Error::redaction(format!(
                "redaction: the pattern {pattern:?} matches the empty text, so everything"
            ))),
            Ok(regex) => Ok(regex),
            Err(cause) => {
                Err(Error::redaction(format!("redaction: the pattern {pattern:?} does not compile")).with_source(cause))
            }
        };
        Ok(Self { makes, patterns: patterns.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Whether the application has patterns of its own.
    pub(super) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether a text with these traits may hold a secret at all.
    #[inline]
    pub(super) fn may_find(&self, traits: Traits) -> bool {
        traits.has(Traits::MAKE | Traits::SPACE | Traits::DIGIT)
            || traits.has_all(Traits::AT | Traits::COLON)
            || self.has_patterns()
    }

    /// Whether a key gives itself away as a secret.
    pub(super) fn tells(&self, key: &str) -> bool {
        let mut found = Vec::new();
        if key.len() >= MIN_KEY {
            self.find(key, Traits::of(key), &mut found);
        }
        !found.is_empty()
    }

    /// Puts the places of all secrets in a text, each once.
    pub(super) fn find(&self, text: &str, traits: Traits, found: &mut Vec<Range<usize>>) {
        if traits.has(Traits::MAKE) && text.len() >= MIN_TOKEN {
            self.makes.find(text, found);
        }
        if traits.has(Traits::SPACE) {
            schemes::find(text, found);
        }
        if traits.has(Traits::DIGIT) {
            find_digits(text, traits, found);
        }
        if traits.has_all(Traits::AT | Traits::COLON) {
            userinfo::find(text, found);
        }
        for pattern in &self.patterns {
            // Each hit may have read on to the end: beyond so many, the rest is taken as one.
            for (count, hit) in pattern.find_iter(text).enumerate() {
                if count == MAX_HITS {
                    found.push(hit.start()..text.len());
                    break;
                }
                found.push(hit.range());
            }
        }
        if found.len() > 1 {
            found.sort_unstable_by_key(|place| (place.start, place.end));
            found.dedup();
        }
    }
}

/// Whether the digits of a text may be a secret. Those of most are too few in a row.
pub(super) fn digits_tell(text: &str) -> bool {
    cards::may_be(text) || text.ends_with(MARK)
}

/// What is a secret by its digits.
fn find_digits(text: &str, traits: Traits, found: &mut Vec<Range<usize>>) {
    if traits.has(Traits::MAKE) {
        makes::find_twilio(text, found);
    }
    if cards::may_be(text) {
        cards::find(text, found);
    }
    if let Some(cut) = text.strip_suffix(MARK)
        && let Some(open) = cards::open_at_end(cut.as_bytes())
    {
        found.push(open..cut.len());
    }
}

/// How far bytes of a class go on, at most `max`.
fn run(bytes: &[u8], at: usize, max: usize, class: impl Fn(u8) -> bool) -> usize {
    let rest = &bytes[at..];
    let rest = &rest[..rest.len().min(max)];
    at + rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// RFC 9110, section 11.2.
fn is_token68(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        Values::new(&[]).unwrap().find(text, Traits::of(text), &mut found);
        found.into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn known_makes_are_found() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(found(&format!("token {jwt}, ok")), [jwt]);
        assert_eq!(found("see AKIAIOSFODNN7EXAMPLE here"), ["AKIAIOSFODNN7EXAMPLE"]);
        let github = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(found(&github), [github.as_str()]);
        assert_eq!(found("x xoxb-1234567890-abc y"), ["xoxb-1234567890-abc"]);
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert_eq!(found(&format!("a {pem} b")), [pem]);
        assert_eq!(found("a -----BEGIN X-----\nMIIE b"), ["-----BEGIN X-----\nMIIE b"]);
        assert_eq!(found("Authorization: Bearer abcDEF123"), ["abcDEF123"]);
        assert_eq!(found("basic dXNlcjpwYXNz"), ["dXNlcjpwYXNz"]);
    }

    #[test]
    fn almost_matches_are_left() {
        for text in [
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJ.a.b",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7exampl",
            "ghp_short",
            "the bearer of news",
            "Basic authentication",
            "Basic information",
            "Bearer authentication",
            "-----BEGIN",
            "SG.x",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn credentials_in_urls_are_found() {
        assert_eq!(found("postgres://app:hunter2@db/x"), ["hunter2"]);
        assert_eq!(found("see https://u:p%40w@h/ and ftp://a:b@c"), ["p%40w", "b"]);
        assert_eq!(found("https://sometoken@github.com/x"), ["sometoken"]);
        assert_eq!(found("https://user:p@ss@host/"), ["p@ss"]);
        assert_eq!(found("//user:pass@host/x"), ["pass"]);
        assert_eq!(found("HTTPS://sometoken@github.com/x"), ["sometoken"]);
        assert_eq!(found("redis://:hunter2@h"), ["hunter2"]);
        assert_eq!(found("postgres://app:hun/ter2@db/x"), ["hun/ter2"]);
        assert_eq!(found("a//b//user:pass@host//c"), ["pass"]);
        for text in [
            "ssh://git@github.com/x",
            "https://host/a@b:c",
            "mail me: a@b.c",
            "https://host:80/@",
            "//git@host/x:y",
            "https://[::1]:8080/x@y",
            "https://host:/x@y",
            "// see: a@b",
            "https://h/a:b/c@d",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn card_numbers_are_found() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "2223003122003222",
            "4222222222222",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "4111\u{202f}1111\u{202f}1111\u{202f}1111",
            "4111.1111.1111.1111",
            "4111\u{2013}1111\u{2013}1111\u{2013}1111",
            "4111\u{2011}1111 1111.1111",
            "4111/1111/1111/1111",
            "4111_1111_1111_1111",
            "4111+1111+1111+1111",
            "4111\t1111\t1111\t1111",
            "4111 - 1111 - 1111 - 1111",
            "4111\u{200b}1111\u{200b}1111\u{200b}1111",
            "3782.822463.10005",
            "41111111 11111111",
            "4111 111111111111",
            "411111-1111111111",
            "378282246 310005",
        ] {
            assert_eq!(found(card), [card]);
            assert_eq!(found(&format!("12 {card}, x")), [card]);
            assert_eq!(found(&format!("1234 {card} 1234")), [card]);
            assert_eq!(found(&format!("n={card}.")), [card]);
        }
        for text in [
            "4111111111111112",
            "1732091234567",
            "0.4111111111111111",
            "x4111111111111111",
            "41111111111111111111111111",
            "4111  1111 1111 1111",
            "4111\n1111\n1111\n1111",
            "4111, 1111, 1111, 1111",
            "411 1111 1111 11111",
            "41 111111 11111111",
            "12345678-1234-1234-1234-123456789012",
            "2026-11-20 07:55:37.720973",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        assert!(is_card_number("4111111111111111") && !is_card_number("4111111111111.11"));
    }

    #[test]
    fn a_card_number_at_the_end_of_a_cut_text_is_found() {
        for (text, secret) in [
            ("paid with 4111 1111 1111 11…", "4111 1111 1111 11"),
            ("paid with 4111\u{a0}1111…", "4111\u{a0}1111"),
            ("paid with 4111 1111 …", "4111 1111 "),
            ("4111\u{2013}1111\u{2013}…", "4111\u{2013}1111\u{2013}"),
            ("x 4111.1111.1…", "4111.1111.1"),
            ("x 41111111…", "41111111"),
        ] {
            assert_eq!(found(text), [secret], "{text}");
        }
        for text in ["4111 11…", "in 2026…", "10.0.0.1…", "4111 1111", "x…", "…"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    /// Milliseconds each; minutes where a place is read once for each that comes before it.
    #[test]
    fn texts_that_almost_hold_secrets_take_linear_time() {
        for piece in [
            "token ",
            "Digest ",
            "digest username= ",
            "bearer  \t",
            "Negotiate aaaaaaaaaaaaaaaa1 ",
            "//a:b",
            "//a:b/",
            "https://a:",
            "//@",
            "hooks.slack.com/services/",
            "/webhooks/123456789012345678/",
            ".office.com/webhook/",
            "123456789:AA",
            ":AA",
            "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "SK0",
            "SKSK",
            "0123456789abcdef",
            "b3BlbnNzaC1rZXktdjE",
            "PuTTY-User-Key-File-",
            "4111 ",
            "4111\u{2013}",
            "411 ",
            "\u{a0}",
            "1",
            "1…",
        ] {
            for end in ["", "…"] {
                let text = piece.repeat((1 << 17) / piece.len()) + end;
                let began = std::time::Instant::now();
                let mut places = Vec::new();
                Values::new(&[]).unwrap().find(&text, Traits::of(&text), &mut places);
                assert!(places.iter().all(|place| text.get(place.clone()).is_some()), "{piece}");
                assert!(began.elapsed().as_secs() < 30, "{piece}: {:?}", began.elapsed());
            }
        }
    }

    #[test]
    fn own_patterns_are_found_and_checked() {
        let values = Values::new(&[r"ID-\d{6}".to_owned()]).unwrap();
        let mut places = Vec::new();
        values.find("an ID-123456!", Traits::of(""), &mut places);
        assert_eq!(places.first(), Some(&(3..12)));
        assert_eq!(places.len(), 1);
        assert!(Values::new(&["(".to_owned()]).is_err());
        assert!(Values::new(&["a*".to_owned()]).is_err());
    }
}
