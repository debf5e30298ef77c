//! Values that give themselves away, whatever key they stand under: tokens and keys of known makes,
//! PEM blocks, card numbers, credentials in URLs and after authentication schemes, and the
//! application's own patterns.
//!
//! Each test looks ahead a bounded way or goes on behind what it has read: linear in the text.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::Regex;

use crate::Error;

/// No value of a known make is shorter.
const MIN_TOKEN: usize = 14;
const MIN_CARD: usize = 13;
const MAX_CARD: usize = 19;
const MAX_PATTERNS: usize = 64;
const MAX_HITS: usize = 100;

/// What a secret of a known make begins with, and at least how many characters of a token follow.
const MAKES: &[(&str, Make)] = &[
    ("eyJ", Make::Jwt),
    ("-----BEGIN ", Make::Pem),
    ("AKIA", Make::Upper(16)),
    ("ASIA", Make::Upper(16)),
    ("AIza", Make::Token(30)),
    ("ya29.", Make::Token(20)),
    ("GOCSPX-", Make::Token(20)),
    ("ghp_", Make::Token(30)),
    ("gho_", Make::Token(30)),
    ("ghu_", Make::Token(30)),
    ("ghs_", Make::Token(30)),
    ("ghr_", Make::Token(30)),
    ("github_pat_", Make::Token(20)),
    ("glpat-", Make::Token(16)),
    ("gldt-", Make::Token(16)),
    ("glrt-", Make::Token(16)),
    ("glcbt-", Make::Token(16)),
    ("glptt-", Make::Token(16)),
    ("xoxa-", Make::Token(10)),
    ("xoxb-", Make::Token(10)),
    ("xoxe-", Make::Token(10)),
    ("xoxp-", Make::Token(10)),
    ("xoxr-", Make::Token(10)),
    ("xoxs-", Make::Token(10)),
    ("xapp-", Make::Token(10)),
    ("sk_live_", Make::Token(10)),
    ("sk_test_", Make::Token(10)),
    ("rk_live_", Make::Token(10)),
    ("rk_test_", Make::Token(10)),
    ("whsec_", Make::Token(16)),
    ("sk-proj-", Make::Token(16)),
    ("sk-ant-", Make::Token(16)),
    ("npm_", Make::Token(30)),
    ("pypi-", Make::Token(30)),
    ("SG.", Make::Token(30)),
    ("dop_v1_", Make::Token(30)),
    ("hvs.", Make::Token(20)),
    ("hf_", Make::Token(30)),
    ("Bearer ", Make::Scheme),
    ("bearer ", Make::Scheme),
    ("BEARER ", Make::Scheme),
    ("Basic ", Make::Basic),
    ("basic ", Make::Basic),
    ("BASIC ", Make::Basic),
];

/// How a secret of a known make goes on after its beginning.
#[derive(Clone, Copy, Debug)]
enum Make {
    Jwt,
    Pem,
    /// At least so many upper-case letters and digits.
    Upper(usize),
    /// At least so many characters of a token.
    Token(usize),
    /// An authentication scheme, then anything that looks like a token.
    Scheme,
    /// The Basic scheme, then Base64 of a name, a colon and a password.
    Basic,
}

/// The value patterns of a redactor, compiled.
#[derive(Debug)]
pub(super) struct Values {
    makes: AhoCorasick,
    patterns: Vec<Regex>,
}

impl Values {
    pub(super) fn new(patterns: &[String]) -> Result<Self, Error> {
        if patterns.len() > MAX_PATTERNS {
            let given = patterns.len();
            return Err(Error::redaction(format!("redaction: {given} patterns, at most {MAX_PATTERNS} are allowed")));
        }
        let makes = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .kind(Some(AhoCorasickKind::DFA))
            .build(MAKES.iter().map(|(begins, _)| begins))
            .map_err(|cause| Error::redaction("redaction: the value patterns do not compile").with_source(cause))?;
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

    /// The first place from `at` on where something begins like a secret of a known make; else the last of all.
    pub(super) fn next_make(&self, text: &str, at: usize) -> usize {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        self.makes.find(rest).map_or(usize::MAX, |hit| at + hit.start())
    }

    /// Appends the places of all secrets in a text, in no order. `makes`: whether to look for known makes.
    pub(super) fn find(&self, text: &str, traits: Traits, makes: bool, found: &mut Vec<Range<usize>>) {
        if makes && text.len() >= MIN_TOKEN && may_be_make(text) {
            self.find_makes(text, found);
        }
        if may_be_card(text) {
            find_cards(text, found);
        }
        if traits.has(Traits::AT) && traits.has(Traits::COLON) {
            find_userinfo(text, found);
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
    }

    fn find_makes(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(hit) = bytes.get(at..).and_then(|rest| self.makes.find(rest)) {
            let (start, body) = (at + hit.start(), at + hit.end());
            let secret = MAKES[hit.pattern().as_usize()].1.secret(bytes, start, body);
            at = match secret {
                Ok(secret) => {
                    let end = secret.end;
                    found.push(secret);
                    end.max(body)
                }
                Err(go_on) => go_on,
            };
        }
    }
}

/// Whether the first three characters of a make stand anywhere in a text, or something alike: most texts are too short for
/// a search to be worth its start.
fn may_be_make(text: &str) -> bool {
    const SHORT: usize = 64;
    /// For each byte, in which groups of makes it is the first, the second and the third: 16 bits each.
    const TABLE: [u64; 256] = {
        let mut table = [0; 256];
        let mut make = 0;
        while make < MAKES.len() {
            let mut place = 0;
            while place < 3 {
                table[MAKES[make].0.as_bytes()[place] as usize] |= 1 << (16 * place + group(make));
                place += 1;
            }
            make += 1;
        }
        table
    };
    if text.len() > SHORT {
        return true;
    }
    let mut all = 0;
    let (mut first, mut second) = (0, 0);
    for byte in text.bytes() {
        let groups = TABLE[usize::from(byte)];
        all |= groups & second;
        second = (groups & first) << 16;
        first = groups << 16;
    }
    all != 0
}

/// Makes whose first letter is the same, whatever its case, are one group; no more groups than a word has bits for.
const fn group(make: usize) -> usize {
    let mut groups = 0;
    let mut before = 0;
    while before < make {
        let letter = MAKES[before].0.as_bytes()[0];
        if letter.eq_ignore_ascii_case(&MAKES[make].0.as_bytes()[0]) {
            return group(before);
        }
        let mut earlier = 0;
        while earlier < before && !letter.eq_ignore_ascii_case(&MAKES[earlier].0.as_bytes()[0]) {
            earlier += 1;
        }
        groups += (earlier == before) as usize;
        before += 1;
    }
    assert!(groups < 16, "the groups of makes do not fit");
    groups
}

/// Whether there are enough digits, spaces and hyphens in a row for a card number. Such a row stands at one of every
/// [`MIN_CARD`] places.
fn may_be_card(text: &str) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-');
    let bytes = text.as_bytes();
    (MIN_CARD - 1..bytes.len()).step_by(MIN_CARD).any(|at| {
        let before = || bytes[..at].iter().rev().take_while(|byte| is_part(byte)).count();
        let after = || bytes[at..].iter().take_while(|byte| is_part(byte)).count();
        is_part(&bytes[at]) && before() + after() >= MIN_CARD
    })
}

impl Make {
    /// Where the secret is that begins at `start` and goes on at `body`; else where to look on.
    fn secret(self, bytes: &[u8], start: usize, body: usize) -> Result<Range<usize>, usize> {
        let begins_word = start == 0 || !bytes[start - 1].is_ascii_alphanumeric();
        match self {
            Self::Jwt => {
                let end = run(bytes, body, usize::MAX, |byte| is_token(byte) || byte == b'.');
                let dots = bytes[body..end].iter().filter(|byte| **byte == b'.').count();
                // Another beginning in the same run has no more dots.
                if dots >= 2 && end - start >= 20 { Ok(start..end) } else { Err(end) }
            }
            Self::Pem => Ok(start..pem_end(bytes, body)),
            Self::Upper(min) => {
                let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
                let enough = run(bytes, body, min, is_upper) == body + min;
                if begins_word && enough { Ok(start..run(bytes, body, usize::MAX, is_upper)) } else { Err(body) }
            }
            Self::Token(min) => {
                let is_token = |byte: u8| is_token(byte) || byte == b'.';
                let enough = run(bytes, body, min, is_token) == body + min;
                if begins_word && enough { Ok(start..run(bytes, body, usize::MAX, is_token)) } else { Err(body) }
            }
            Self::Scheme => {
                let end = run(bytes, body, usize::MAX, is_token68);
                let word = &bytes[body..end];
                let telling =
                    word.len() >= 8 && (word.len() >= 20 || word.iter().any(|byte| !byte.is_ascii_lowercase()));
                if telling { Ok(body..end) } else { Err(end) }
            }
            Self::Basic => {
                let end = run(bytes, body, usize::MAX, is_token68);
                if says_name_and_password(&bytes[body..end]) { Ok(body..end) } else { Err(end) }
            }
        }
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

/// The end of a PEM block; of the text, if it is not closed.
fn pem_end(bytes: &[u8], body: usize) -> usize {
    const END: &[u8] = b"-----END ";
    let Some(end) = memchr::memmem::find(&bytes[body..], END) else { return bytes.len() };
    let label = body + end + END.len();
    match memchr::memmem::find(&bytes[label..], b"-----") {
        Some(dashes) => label + dashes + 5,
        None => bytes.len(),
    }
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

/// `scheme://user:password@host` and `https://token@host`.
fn find_userinfo(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(hit) = memchr::memmem::find(&bytes[at..], b"://") {
        let start = at + hit + 3;
        let end = run(bytes, start, usize::MAX, |byte| {
            !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | 0..=b' ')
        });
        if let Some(len) = memchr::memrchr(b'@', &bytes[start..end]) {
            let info = start..start + len;
            match memchr::memchr(b':', &bytes[info.clone()]) {
                Some(colon) if colon + 1 < len => found.push(start + colon + 1..info.end),
                None if len > 0 && bytes[..at + hit].ends_with(b"http") | bytes[..at + hit].ends_with(b"https") => {
                    found.push(info);
                }
                _ => {}
            }
        }
        at = end.max(start);
    }
}

/// Whether a JSON number is written like a card number.
pub(super) fn is_card_number(number: &str) -> bool {
    (MIN_CARD..=MAX_CARD).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && is_card(number.bytes())
}

/// Card numbers, in one piece or in groups with a space or a hyphen between them.
fn find_cards(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = run(bytes, at, usize::MAX, |byte| byte.is_ascii_digit());
        let group = at..end;
        if (MIN_CARD..=MAX_CARD).contains(&group.len())
            && stands_alone(bytes, &group)
            && is_card(bytes[group.clone()].iter().copied())
        {
            found.push(group.clone());
        }
        if matches!(group.len(), 3..=7) {
            // Only a group behind one separator goes on.
            let goes_on =
                groups.last().is_some_and(|last| last.end + 1 == at && matches!(bytes[last.end], b' ' | b'-'));
            if !goes_on {
                groups.clear();
            }
            groups.push(group);
            find_grouped_card(bytes, &groups, found);
        } else {
            groups.clear();
        }
        at = end;
    }
}

/// A card number whose last group is the last of these.
fn find_grouped_card(bytes: &[u8], groups: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut digits = 0;
    for first in (0..groups.len()).rev() {
        digits += groups[first].len();
        if digits > MAX_CARD {
            return;
        }
        let card = &groups[first..];
        let whole = card[0].start..card[card.len() - 1].end;
        if digits >= MIN_CARD && card[0].len() == 4 && stands_alone(bytes, &whole) {
            let all = card.iter().flat_map(|group| bytes[group.clone()].iter().copied());
            if is_card(all) {
                found.push(whole);
                return;
            }
        }
    }
}

/// Not a part of a longer word or of a number with a fraction.
fn stands_alone(bytes: &[u8], range: &Range<usize>) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let before = range.start.checked_sub(1).map(|at| &bytes[at]);
    let fraction = before == Some(&b'.') && range.start >= 2 && bytes[range.start - 2].is_ascii_digit();
    !word(before) && !word(bytes.get(range.end)) && !fraction
}

/// 13 to 19 digits that begin as the cards of some network do, and pass Luhn's check.
fn is_card(digits: impl Iterator<Item = u8>) -> bool {
    let mut all = [0_u8; MAX_CARD];
    let mut len = 0;
    for digit in digits {
        let Some(slot) = all.get_mut(len) else { return false };
        *slot = digit - b'0';
        len += 1;
    }
    let all = &all[..len];
    let first = |count: usize| all.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let network = match len {
        13 => first(1) == 4,
        14 => matches!(first(2), 30 | 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37) || matches!(first(4), 1800 | 2131),
        16..=19 => {
            first(1) == 4 || matches!(first(2), 35 | 36 | 50..=65 | 81) || matches!(first(4), 2200..=2204 | 2221..=2720)
        }
        _ => false,
    };
    network && luhn(all)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Which telling characters a text has: found in one pass, asked before each test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits(u8);

impl Traits {
    pub(super) const AT: u8 = 1;
    pub(super) const COLON: u8 = 2;
    pub(super) const EQUALS: u8 = 4;
    pub(super) const PERCENT: u8 = 8;
    pub(super) const GREATER: u8 = 16;
    pub(super) const LESS: u8 = 32;
    pub(super) const AMPERSAND: u8 = 64;
    pub(super) const BACKSLASH: u8 = 128;

    pub(super) fn of(text: &str) -> Self {
        const TABLE: [u8; 256] = {
            let mut table = [0; 256];
            table[b'@' as usize] = Traits::AT;
            table[b':' as usize] = Traits::COLON;
            table[b'=' as usize] = Traits::EQUALS;
            table[b'%' as usize] = Traits::PERCENT;
            table[b'>' as usize] = Traits::GREATER;
            table[b'<' as usize] = Traits::LESS;
            table[b'&' as usize] = Traits::AMPERSAND;
            table[b'\\' as usize] = Traits::BACKSLASH;
            table
        };
        Self(text.bytes().fold(0, |traits, byte| traits | TABLE[usize::from(byte)]))
    }

    pub(super) fn has(self, one: u8) -> bool {
        self.0 & one != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        Values::new(&[]).unwrap().find(text, Traits::of(text), true, &mut found);
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
    fn every_make_is_seen_wherever_it_stands_in_a_short_text() {
        assert!(!may_be_make("4d3c1f0a-6f0e-4f7c-9a55-0d7f6b6f4a11") && !may_be_make(""));
        for (begins, _) in MAKES {
            for before in 0..32 {
                for after in 0..16 {
                    let text = format!("{}{begins}{}", "gxs-B".repeat(8).split_at(before).0, "e".repeat(after));
                    assert!(may_be_make(&text), "{text}");
                }
            }
        }
    }

    #[test]
    fn no_card_is_passed_over() {
        for card in ["4111111111111111", "4111-1111-1111-1111", "4222222222222", "3782 822463 10005"] {
            for before in 0..40 {
                for around in ["x", "_", "-", "1"] {
                    let text = format!("{}.{card}.{}", around.repeat(before), around.repeat(before % 3));
                    let mut all = Vec::new();
                    find_cards(&text, &mut all);
                    assert!(all.is_empty() || may_be_card(&text), "{text}");
                    assert!(around == "1" || !all.is_empty(), "{text}");
                }
            }
        }
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
        for text in ["ssh://git@github.com/x", "https://host/a@b:c", "mail me: a@b.c", "https://host:80/@"] {
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
            "12345678-1234-1234-1234-123456789012",
            "2026-11-20 07:55:37.720973",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        assert!(is_card_number("4111111111111111") && !is_card_number("4111111111111.11"));
    }

    #[test]
    fn own_patterns_are_found_and_checked() {
        let values = Values::new(&[r"ID-\d{6}".to_owned()]).unwrap();
        let mut places = Vec::new();
        values.find("an ID-123456!", Traits::of(""), true, &mut places);
        assert_eq!(places.first(), Some(&(3..12)));
        assert_eq!(places.len(), 1);
        assert!(Values::new(&["(".to_owned()]).is_err());
        assert!(Values::new(&["a*".to_owned()]).is_err());
    }
}
