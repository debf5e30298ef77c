//! Tokens and keys of known makes, which begin in a way that nothing else does.
//!
//! Each test looks ahead a bounded way or goes on behind what it has read: linear in the text.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{is_token, is_token68, run};
use crate::Error;

/// What a secret of a known make begins with, and at least how many characters of a token follow.
/// At most 64 that differ in their first three characters: beyond, the search loses its vector instructions.
pub(super) const MAKES: &[(&str, Make)] = &[
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
    ("gloas-", Make::Token(16)),
    ("glft-", Make::Token(16)),
    ("glimt-", Make::Token(16)),
    ("glagent-", Make::Token(16)),
    ("glsoat-", Make::Token(16)),
    ("xoxa-", Make::Token(10)),
    ("xoxb-", Make::Token(10)),
    ("xoxc-", Make::Token(10)),
    ("xoxd-", Make::Token(10)),
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
    ("sk-", Make::Digits(32)),
    ("npm_", Make::Token(30)),
    ("pypi-", Make::Token(30)),
    ("SG.", Make::Token(30)),
    ("dop_v1_", Make::Token(30)),
    ("doo_v1_", Make::Token(30)),
    ("dor_v1_", Make::Token(30)),
    ("hvs.", Make::Token(20)),
    ("hvb.", Make::Token(20)),
    ("hf_", Make::Token(30)),
    ("dapi", Make::Hex(32)),
    ("ATATT3", Make::Token(30)),
    ("dckr_pat_", Make::Token(20)),
    ("AGE-SECRET-KEY-1", Make::Upper(50)),
    // The body of a private key of OpenSSH, without the lines around it.
    ("b3BlbnNzaC1rZXktdjE", Make::KeyBody),
    ("PuTTY-User-Key-File-", Make::Rest),
    // A Telegram bot: its number stands before.
    (":AA", Make::Telegram),
    ("hooks.slack.com/", Make::SlackHook),
    // Of Discord.
    ("/webhooks/", Make::NumberedHook),
    // Of Teams.
    (".office.com/webhook", Make::OfficeHook),
];

/// How a secret of a known make goes on after its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Make {
    Jwt,
    Pem,
    /// At least so many upper-case letters and digits.
    Upper(usize),
    /// At least so many characters of a token.
    Token(usize),
    /// The same, with more digits among them than words have.
    Digits(usize),
    /// At least so many hexadecimal digits.
    Hex(usize),
    /// Base64 in lines.
    KeyBody,
    /// All that follows.
    Rest,
    /// What goes on as a bot's token does, if a number stands before it.
    Telegram,
    /// A word, then ids and a secret with slashes between them.
    SlackHook,
    /// A long number, then a long token.
    NumberedHook,
    /// Ids and secrets with slashes between them, after the end of the word.
    OfficeHook,
}

/// How many characters of a beginning are searched for, and the rest compared.
const SEARCHED: usize = 3;
/// Beginnings of beginnings that stand in many texts, as in `github.com` and `/web`: these are searched for whole.
const COMMON: &[&str] = &["git", "/we", "---", ".of"];

/// A search for all makes at once.
#[derive(Debug)]
pub(super) struct Makes {
    beginnings: AhoCorasick,
    /// The makes of each beginning, in their order.
    of: Vec<Vec<&'static (&'static str, Make)>>,
}

impl Makes {
    pub(super) fn new() -> Result<Self, Error> {
        let mut beginnings: Vec<&[u8]> = Vec::new();
        let mut of: Vec<Vec<_>> = Vec::new();
        for make in MAKES {
            let short = make.0.get(..SEARCHED).filter(|short| !COMMON.contains(short));
            let beginning = short.unwrap_or(make.0).as_bytes();
            match beginnings.iter().position(|known| *known == beginning) {
                Some(known) => of[known].push(make),
                None => {
                    beginnings.push(beginning);
                    of.push(vec![make]);
                }
            }
        }
        let beginnings = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .kind(Some(AhoCorasickKind::DFA))
            .build(beginnings)
            .map_err(|cause| Error::redaction("redaction: the value patterns do not compile").with_source(cause))?;
        Ok(Self { beginnings, of })
    }

    /// Appends the places of secrets in a text.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let bytes = text.as_bytes();
        let mut at = 0;
        // So far the text has been read for a token with too few dots: other makes may stand in it.
        let mut no_jwt = 0;
        while let Some(hit) = bytes.get(at..).and_then(|rest| self.beginnings.find(rest)) {
            let start = at + hit.start();
            let mut makes = self.of[hit.pattern().as_usize()].iter();
            let Some((begins, make)) = makes.find(|(begins, _)| bytes[start..].starts_with(begins.as_bytes())) else {
                at = start + 1;
                continue;
            };
            let is_jwt = matches!(make, Make::Jwt);
            if is_jwt && start < no_jwt {
                at = start + begins.len();
                continue;
            }
            at = match make.secret(bytes, start, start + begins.len()) {
                Ok(secret) => {
                    let end = secret.end;
                    found.push(secret);
                    end.max(start + begins.len())
                }
                Err(end) if is_jwt => {
                    no_jwt = end;
                    start + begins.len()
                }
                Err(go_on) => go_on,
            };
        }
    }
}

/// `SK` and exactly 32 hexadecimal digits, as Twilio's keys are. One of their digits stands at one of every 32 places.
pub(super) fn find_twilio(text: &str, found: &mut Vec<Range<usize>>) {
    const DIGITS: usize = 32;
    let bytes = text.as_bytes();
    let mut at = DIGITS + 1;
    while at < bytes.len() {
        if bytes[at].is_ascii_hexdigit() {
            let before = bytes[..at].iter().rev().take(DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let start = at - before;
            let end = run(bytes, at, DIGITS + 1, |byte| byte.is_ascii_hexdigit());
            let named = bytes[..start].ends_with(b"SK") && begins_word(bytes, start - 2);
            if named && end - start == DIGITS && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
                found.push(start - 2..end);
            }
        }
        at += DIGITS;
    }
}

fn begins_word(bytes: &[u8], start: usize) -> bool {
    start == 0 || !bytes[start - 1].is_ascii_alphanumeric()
}

impl Make {
    /// Whether it is only looked for where a word begins.
    pub(super) const fn begins_a_word(self) -> bool {
        matches!(self, Self::Upper(_) | Self::Token(_) | Self::Digits(_) | Self::Hex(_))
    }

    /// Where the secret is that begins at `start` and goes on at `body`; else where to look on.
    fn secret(self, bytes: &[u8], start: usize, body: usize) -> Result<Range<usize>, usize> {
        let begins_word = || begins_word(bytes, start);
        let enough = |min: usize, class: fn(u8) -> bool| {
            let is_one = begins_word() && run(bytes, body, min, class) == body + min;
            if is_one { Ok(start..run(bytes, body, usize::MAX, class)) } else { Err(body) }
        };
        match self {
            Self::Jwt => {
                let end = run(bytes, body, usize::MAX, is_dotted);
                let dots = bytes[body..end].iter().filter(|byte| **byte == b'.').count();
                // Another beginning in the same run has no more dots. Five parts, encrypted, are a secret as three are.
                if dots >= 2 && end - start >= 20 { Ok(start..end) } else { Err(end) }
            }
            Self::Pem => Ok(start..pem_end(bytes, body)),
            Self::Upper(min) => enough(min, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            Self::Token(min) => enough(min, is_dotted),
            Self::Digits(min) => {
                let place = enough(min, is_dotted)?;
                let digits = bytes[place.clone()].iter().filter(|byte| byte.is_ascii_digit()).count();
                // A beginning within it is none: no word begins there.
                if digits >= 4 { Ok(place) } else { Err(place.end) }
            }
            Self::Hex(min) => enough(min, |byte| byte.is_ascii_hexdigit()),
            Self::KeyBody => Ok(start..run(bytes, body, usize::MAX, is_base64_in_lines)),
            Self::Rest => Ok(start..bytes.len()),
            Self::Telegram => {
                let digits = bytes[..start].iter().rev().take(12).take_while(|byte| byte.is_ascii_digit()).count();
                let end = run(bytes, body, 64, is_token);
                if (6..=12).contains(&digits) && (30..=40).contains(&(end - body)) {
                    Ok(start - digits..end)
                } else {
                    Err(body)
                }
            }
            Self::SlackHook => {
                let word = run(bytes, body, 16, |byte| byte.is_ascii_lowercase());
                hook(bytes, body, word, |byte| is_token(byte) || byte == b'/')
            }
            Self::NumberedHook => {
                let number = run(bytes, body, 24, |byte| byte.is_ascii_digit());
                if number - body < 15 { Err(body) } else { hook(bytes, body, number, is_token) }
            }
            Self::OfficeHook => {
                let word = run(bytes, body, 4, |byte| byte.is_ascii_alphanumeric());
                hook(bytes, body, word, |byte| is_token(byte) || matches!(byte, b'/' | b'@'))
            }
        }
    }
}

/// What follows the slash at `slash`, if it is as long as the secret of a webhook's URL.
fn hook(bytes: &[u8], body: usize, slash: usize, class: impl Fn(u8) -> bool) -> Result<Range<usize>, usize> {
    const MIN: usize = 20;
    if bytes.get(slash) != Some(&b'/') {
        return Err(body);
    }
    let end = run(bytes, slash + 1, usize::MAX, class);
    if end - slash > MIN { Ok(slash + 1..end) } else { Err(end) }
}

fn is_dotted(byte: u8) -> bool {
    is_token(byte) || byte == b'.'
}

/// With the line breaks as they are, or as JSON writes them.
fn is_base64_in_lines(byte: u8) -> bool {
    is_token68(byte) || matches!(byte, b'\n' | b'\r' | b'\\')
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::{Traits, Values};
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        Values::new(&[]).unwrap().find(text, Traits::of(text), &mut found);
        found.into_iter().map(|place| &text[place]).collect()
    }

    /// Not written out, so that nobody takes them for real: `#` is followed by what is repeated, and how often.
    fn spelt(pattern: &str) -> String {
        let mut parts = pattern.split('#');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (piece, rest) = part.split_once('*').unwrap();
            let (count, rest) = rest.split_once(';').unwrap();
            text += &piece.repeat(count.parse().unwrap());
            text += rest;
        }
        text
    }

    #[test]
    fn there_are_no_more_makes_than_the_search_is_fast_with() {
        let beginnings = Makes::new().unwrap().of.len();
        assert!(beginnings <= 64 && MAKES.iter().all(|(begins, _)| begins.len() >= SEARCHED), "{beginnings}");
    }

    #[test]
    fn every_make_has_a_row_and_near_misses_show() {
        // What is found whole; then what is not.
        const ROWS: &[(&str, &[&str], &[&str])] = &[
            (
                "eyJ",
                &[
                    "eyJ#a1*9;.eyJ#b2*9;.#c*20;",
                    "eyJ#a1*9;..#b2*9;.#c3*9;.#d4*9;",
                    "eyJ#a1*9;.#e5*9;.#b2*9;.#c3*9;.#d4*9;",
                ],
                &["eyJ#a*30;", "eyJ#a*30;.b"],
            ),
            ("-----BEGIN ", &["-----BEGIN X-----\nabc\n-----END X-----"], &["----BEGIN X----"]),
            ("AKIA", &["AKIA#A1*8;"], &["AKIA#A*15;", "xAKIA#A1*8;", "AKIA#a*16;"]),
            ("ASIA", &["ASIA#A1*8;"], &["ASIA#A*15;"]),
            ("AIza", &["AIza#a-*18;"], &["AIza#a*20;"]),
            ("ya29.", &["ya29.#a0*20;"], &["ya29.x"]),
            ("GOCSPX-", &["GOCSPX-#a*28;"], &["GOCSPX-#a*9;"]),
            ("ghp_", &["ghp_#a1B2*9;"], &["ghp_#a*29;", "xghp_#a*36;"]),
            ("gho_", &["gho_#a1B2*9;"], &["gho_x"]),
            ("ghu_", &["ghu_#a1B2*9;"], &["ghu_x"]),
            ("ghs_", &["ghs_#a1B2*9;"], &["ghs_x"]),
            ("ghr_", &["ghr_#a1B2*9;"], &["ghr_x"]),
            ("github_pat_", &["github_pat_#a1B*7;_#c*59;"], &["github_pat_x", "github_patterns_and_anti_patterns"]),
            ("glpat-", &["glpat-#a_*10;"], &["glpat-#a*15;"]),
            ("gldt-", &["gldt-#a_*10;"], &["gldt-x"]),
            ("glrt-", &["glrt-#a_*10;"], &["glrt-x"]),
            ("glcbt-", &["glcbt-64_#a*20;"], &["glcbt-x"]),
            ("glptt-", &["glptt-#a0*20;"], &["glptt-x"]),
            ("gloas-", &["gloas-#a0*32;"], &["gloas-x"]),
            ("glft-", &["glft-#a0*10;"], &["glft-x"]),
            ("glimt-", &["glimt-#a0*12;"], &["glimt-x"]),
            ("glagent-", &["glagent-#a0*25;"], &["glagent-x"]),
            ("glsoat-", &["glsoat-#a0*10;"], &["glsoat-x"]),
            ("xoxa-", &["xoxa-#1*12;-#a*9;"], &["xoxa-1"]),
            ("xoxb-", &["xoxb-#1*12;-#a*9;"], &["xoxb-1"]),
            ("xoxc-", &["xoxc-#1*12;-#a*9;"], &["xoxc-1"]),
            ("xoxd-", &["xoxd-#1*12;-#a*9;"], &["xoxd-1"]),
            ("xoxe-", &["xoxe-#1*12;-#a*9;"], &["xoxe-1"]),
            ("xoxp-", &["xoxp-#1*12;-#a*9;"], &["xoxp-1"]),
            ("xoxr-", &["xoxr-#1*12;-#a*9;"], &["xoxr-1"]),
            ("xoxs-", &["xoxs-#1*12;-#a*9;"], &["xoxs-1"]),
            ("xapp-", &["xapp-1-#A1*8;-#2*9;"], &["xapp-1"]),
            ("sk_live_", &["sk_live_#a1*12;"], &["sk_live_x", "task_live_#a1*12;", "ask_live_#a1*12;"]),
            ("sk_test_", &["sk_test_#a1*12;"], &["sk_test_x"]),
            ("rk_live_", &["rk_live_#a1*12;"], &["rk_live_x"]),
            ("rk_test_", &["rk_test_#a1*12;"], &["rk_test_x"]),
            ("whsec_", &["whsec_#a1*16;"], &["whsec_x"]),
            ("sk-proj-", &["sk-proj-#a1*24;"], &["sk-proj-x"]),
            ("sk-ant-", &["sk-ant-api03-#a1*24;"], &["sk-ant-x"]),
            ("sk-", &["sk-#aB3d*12;", "sk-or-v1-#0a*32;"], &["sk-SK", "sk-#slug-*9;", "task-#a1*24;", "sk-#a1*9;"]),
            ("npm_", &["npm_#a1B*12;"], &["npm_config_registry"]),
            ("pypi-", &["pypi-AgE#a1*40;"], &["pypi-mirror"]),
            ("SG.", &["SG.#a1*11;.#b2*20;"], &["SG.x", "MSG.#a*40;"]),
            ("dop_v1_", &["dop_v1_#0a*32;"], &["dop_v1_x"]),
            ("doo_v1_", &["doo_v1_#0a*32;"], &["doo_v1_x"]),
            ("dor_v1_", &["dor_v1_#0a*32;"], &["dor_v1_x"]),
            ("hvs.", &["hvs.#aB1*9;"], &["hvs.x"]),
            ("hvb.", &["hvb.#aB1*40;"], &["hvb.x"]),
            ("hf_", &["hf_#aB*17;"], &["hf_hub_download"]),
            ("dapi", &["dapi#0a*16;"], &["dapi#0a*15;", "dapi#z*32;", "xdapi#0a*16;"]),
            ("ATATT3", &["ATATT3xFf#a1*40;"], &["ATATT3"]),
            ("dckr_pat_", &["dckr_pat_#a1*13;x"], &["dckr_pat_x"]),
            ("AGE-SECRET-KEY-1", &["AGE-SECRET-KEY-1#QP*29;"], &["AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1#qp*29;"]),
            ("b3BlbnNzaC1rZXktdjE", &["b3BlbnNzaC1rZXktdjE#AA*9;\n#bc*35;\n#d*8;=="], &["b3BlbnNzaA"]),
            ("PuTTY-User-Key-File-", &["PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\nAAAA\n"], &["PuTTY 0.8"]),
            (
                ":AA",
                &["123456789:AA#a-*16;b"],
                &["12345:AA#a-*16;b", "id:AA#a-*16;b", "123456789:AA#a*9;", "123456789:AA#a*60;"],
            ),
            ("hooks.slack.com/", &[], &["https://hooks.slack.com/services/T0", "https://hooks.slack.com/#a*40;"]),
            ("/webhooks/", &[], &["/webhooks/1234/#a*60;", "/webhooks/#1*18;/x", "/webhooks/#1*18;"]),
            (".office.com/webhook", &[], &["https://x.office.com/webhookb2/docs", "https://x.office.com/webhooks"]),
        ];
        let rows: Vec<_> = ROWS.iter().map(|(make, ..)| *make).collect();
        let makes: Vec<_> = MAKES.iter().map(|(begins, _)| *begins).collect();
        for make in makes {
            assert!(rows.contains(&make), "{make} has no row");
        }
        for (_, hits, misses) in ROWS {
            for hit in *hits {
                let hit = spelt(hit);
                assert_eq!(found(&hit), [hit.as_str()], "{hit}");
                if !hit.starts_with("PuTTY") && !hit.starts_with("b3B") {
                    assert_eq!(found(&format!("a \"{hit}\", b")), [hit.as_str()], "{hit}");
                }
            }
            for miss in *misses {
                let miss = spelt(miss);
                assert_eq!(found(&miss), [""; 0], "{miss}");
            }
        }
    }

    #[test]
    fn urls_that_are_secrets_show_whose_they_are() {
        for (url, secret) in [
            ("https://hooks.slack.com/services/", "T#0A*4;/B#0A*4;/#aB1*8;"),
            ("https://hooks.slack.com/workflows/", "T#0A*4;/A#0A*4;/#1*18;/#aB1*8;"),
            ("https://hooks.slack.com/triggers/", "T#0A*4;/#1*13;/#aB1*8;"),
            ("https://discord.com/api/webhooks/#1*18;/", "#aB-_*17;"),
            ("https://canary.discordapp.com/api/v10/webhooks/#1*19;/", "#aB-_*17;"),
            ("https://acme.webhook.office.com/webhookb2/", "#0a*18;@#1b*18;/IncomingWebhook/#2c*16;/#3d*18;"),
            ("https://outlook.office.com/webhook/", "#0a*18;@#1b*18;/IncomingWebhook/#2c*16;/#3d*18;"),
            ("https://api.telegram.org/bot", "123456789:AA#aB1*11;"),
        ] {
            let (url, secret) = (spelt(url), spelt(secret));
            assert_eq!(found(&format!("see {url}{secret}?x=1 or not")), [secret.as_str()], "{url}");
            assert_eq!(found(&format!("{url}{secret}")), [secret.as_str()], "{url}");
        }
    }

    #[test]
    fn what_begins_like_a_token_hides_no_other_make() {
        let github = spelt("ghp_#a1B2*9;");
        for before in ["eyJhbGciOiJIUzI1NiJ9-", "eyJeyJeyJ.", "eyJ_eyJ_"] {
            assert_eq!(found(&format!("{before}{github} x")), [github.as_str()], "{before}");
        }
    }

    #[test]
    fn a_twilio_key_is_found_wherever_it_stands() {
        let key = spelt("SK#0f*16;");
        for before in 0..70 {
            for around in [" ", "-", "a ", "SK"] {
                let text = format!("{}-{key}{}", around.repeat(before), if before % 2 == 0 { "" } else { ", x" });
                assert_eq!(found(&text), [key.as_str()], "{text}");
            }
        }
        for miss in ["SK#0f*15;", "SK#0f*17;", "sk#0f*16;", "ASK#0f*16;", "SK#0f*15;0", "SK#0f*16;g", "#0f*99;"] {
            assert_eq!(found(&spelt(miss)), [""; 0], "{miss}");
        }
    }

    #[test]
    fn every_make_is_told_wherever_it_may_begin() {
        for text in ["4d3c1f0a-6f0e-4f7c-9a55-0d7f6b6f4a11", "", "github.com/a-b_c.d", "task-sku", "a/web/hooks"] {
            assert!(!Traits::of(text).has(Traits::MAKE), "{text}");
        }
        for (begins, make) in MAKES {
            for before in 0..32 {
                for after in 0..16 {
                    let before = "g.xs-éB".repeat(8).chars().take(before).collect::<String>();
                    let word = if make.begins_a_word() && before.ends_with(char::is_alphanumeric) { "-" } else { "" };
                    let text = format!("{before}{word}{begins}{}", "e".repeat(after.max(20 - begins.len().min(20))));
                    assert!(Traits::of(&text).has(Traits::MAKE), "{text}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_told(parts in prop::collection::vec(0..MAKES.len() + 8, 1..6), more in "[a-zA-Z0-9_.é/-]{0,40}") {
            let signs = ["-", ".", "/", "a", "Z0", "é", " ", "SK00112233445566778899aabbccddeeff"];
            let text = parts.iter().map(|part| MAKES.get(*part).map_or_else(|| signs[part - MAKES.len()], |make| make.0));
            let text = text.collect::<String>() + &more;
            let mut all = Vec::new();
            static ALL: LazyLock<Makes> = LazyLock::new(|| Makes::new().unwrap());
            ALL.find(&text, &mut all);
            find_twilio(&text, &mut all);
            prop_assert!(all.is_empty() || Traits::of(&text).has(Traits::MAKE), "{}", text);
        }
    }
}
