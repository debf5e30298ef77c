use proptest::prelude::*;

use super::*;
use crate::tokens::examples::{EXAMPLES, spelt};

/// What a search finds in a text.
pub(super) fn found_by(find: impl Fn(&str, &mut Vec<Range<usize>>), text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    find(text, &mut found);
    found.into_iter().map(|place| &text[place]).collect()
}

fn found(text: &str) -> Vec<&str> {
    found_by(|text, found| find(&[], text, Scan::of(text), found), text)
}

#[test]
fn every_token_is_found_wherever_it_is_in_a_text() {
    for (_, before, secret, _) in EXAMPLES {
        let (before, secret) = (spelt(before), spelt(secret));
        for column in 0..34 {
            let lead = "a-b. c/".repeat(5).chars().take(column).collect::<String>();
            for text in [
                format!("{lead} {before}{secret}"),
                format!("{lead}\"{before}{secret}\" {lead}"),
                format!("{lead}={before}{secret}… {lead}"),
            ] {
                let scan = Scan::of(&text);
                assert!(scan.has(Scan::TOKEN) && may_find(&[], scan), "{text}");
                assert!(found(&text).contains(&secret.as_str()), "{text}");
            }
        }
    }
}

#[test]
fn each_kind_of_credential_is_found_in_one_text() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "Ab0/".repeat(16));
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let text = format!(
        "use {token}, Bearer abcDEF123 or https://jane:hunter2@host/x, 4111 1111 1111 1111 and {key}; not id 4711"
    );
    assert_eq!(found(&text), [token.as_str(), "abcDEF123", "hunter2", "4111 1111 1111 1111", &key]);
    // A place that two searches find is one.
    assert_eq!(found(&format!("Bearer {token}, x")), [token.as_str()]);
}

#[test]
fn what_a_cut_left_is_found_before_its_mark() {
    for (text, secret) in [
        ("with ghp_a1B2a1…", "ghp_a1B2a1"),
        ("with Bearer abcDE1…", "abcDE1"),
        ("paid with 4111 1111 1111 1…", "4111 1111 1111 1"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ…", "-----BEGIN PRIVATE KEY-----\nMIIEvQ"),
    ] {
        assert_eq!(found(text), [secret], "{text}");
        assert_eq!(found(text.trim_end_matches('…')), [""; 0], "{text}");
        assert_eq!(found(&format!("{text} ")), [""; 0], "{text}");
    }
}

#[test]
fn ordinary_messages_show() {
    for text in [
        "secretsmanager:GetSecretValue",
        "auth-service:v2",
        "Token revoked: id 4711",
        "jwt: token is expired by 3m",
        "Invalid token: expired",
        "Bearer authentication is required",
        "failed to pull docker.io/library/alpine:3.12@sha256:4661fb57f7890b9145907a1fe2555091d333ff3d28db86c3bb906f6a2be93c87",
        "2026-11-20T07:55:37.720973Z request 550e8400-e29b-41d4-a716-446655440000 failed",
        "github.com/npm/cli/pull/1234 by task-runner sk-team at hf_hub",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

#[cfg(feature = "regex")]
#[test]
fn patterns_of_the_application_are_found_and_checked() {
    let patterns = compile(&[r"ID-\d{6}".to_owned()]).unwrap();
    let text = "an ID-123456 and ID-654321!";
    let scan = Scan::of("");
    assert!(may_find(&patterns, scan) && !may_find(&[], scan));
    // A place that was there before stays.
    let mut places = Vec::new();
    places.push(0..1);
    find(&patterns, text, scan, &mut places);
    assert_eq!(places, [0..1, 3..12, 17..26]);
    for wrong in ["(", "a*"] {
        assert!(compile(&[wrong.to_owned()]).unwrap_err().to_string().contains(wrong));
    }
    let too_many = vec!["a".to_owned(); patterns::MAX_PATTERNS + 1];
    assert!(compile(&too_many).is_err());
}

/// Bytes looked at in a text of about this length.
fn work_on(fragment: &str, len: usize, cut: bool) -> usize {
    let mut text = fragment.repeat(len / fragment.len());
    if cut {
        text.push(ELLIPSIS);
    }
    let mut places = Vec::new();
    work::of(|| find(&[], &text, Scan::of(&text), &mut places))
}

#[test]
fn the_work_grows_with_the_text_and_not_with_its_square() {
    let keywords: Vec<String> = TokenFormats::shared().keywords().map(str::to_owned).collect();
    let signs = [
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nA",
        "-----END ",
        "Bearer ",
        "Basic ",
        "Digest a=b,",
        "Digest a=\"",
        "Hawk mac=\"x\" ",
        "token ",
        "bot \t ",
        "//a:b/",
        "//@",
        "https://a:",
        "@",
        ":",
        "/",
        "4111 ",
        "4111-",
        "411111",
        "1",
        "a",
        "A",
        "0",
        "~",
        "_",
        "-",
        ".",
        "=",
        "\"",
        "\\n",
        "\n",
        " ",
        "é",
        "…",
        "eyJa.",
        "SK0123456789abcdef",
        "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    let check = |fragment: &str, len: usize, cut: bool| {
        let (few, many) = (work_on(fragment, len, cut), work_on(fragment, len * 8, cut));
        assert!(many <= few * 12, "{fragment:?}: {few} bytes, then {many}");
        assert!(many <= len * 8 * 300, "{fragment:?}: {many} bytes");
    };
    for first in keywords.iter().map(String::as_str).chain(signs) {
        check(first, 1 << 12, false);
        check(first, 1 << 12, true);
    }
    for first in signs.iter().chain(&[
        "ghp_",
        "eyJ",
        "sk-",
        "dp.st.",
        ":AA",
        "secret-token:",
        "glpat-",
        "hooks.slack.com/services/",
    ]) {
        for second in signs {
            check(&format!("{first}{second}"), 1 << 10, true);
        }
    }
}

proptest! {
    #[test]
    fn places_are_sorted_disjoint_and_told_by_the_scan(
        parts in prop::collection::vec(0..EXAMPLES.len() + 12, 1..6),
        more in "[a-zA-Z0-9_.é/@: -]{0,40}",
        cut: bool,
    ) {
        let signs = ["-", ".", "//a:b@", "a", "Z0", "é", " ", "Bearer abcDEF123", "4111 1111 1111 1111", "~", "\n", "…"];
        let part = |part: &usize| match EXAMPLES.get(*part) {
            Some((_, before, secret, _)) => spelt(before) + &spelt(secret),
            None => signs[part - EXAMPLES.len()].to_owned(),
        };
        let text = parts.iter().map(part).collect::<String>() + &more + if cut { "…" } else { "" };
        let every = Scan(u32::MAX);
        let (mut all, mut some) = (Vec::new(), Vec::new());
        find(&[], &text, every, &mut all);
        let scan = Scan::of(&text);
        find(&[], &text, scan, &mut some);
        prop_assert_eq!(&all, &some, "{}", text);
        prop_assert!(all.is_empty() || may_find(&[], scan));
        for place in &all {
            prop_assert!(place.start < place.end && text.get(place.clone()).is_some());
        }
        for pair in all.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start);
        }
    }

    #[test]
    fn a_scan_reports_what_a_text_has(text in "[ -~é\t\n]{0,60}") {
        let scan = Scan::of(&text);
        for (flag, signs) in [
            (Scan::AT, "@"), (Scan::COLON, ":"), (Scan::EQUALS, "="), (Scan::PERCENT, "%"), (Scan::BACKSLASH, "\\"),
            (Scan::SEPARATOR, "&;?#"), (Scan::BRACKET, "{["), (Scan::SPACE, " \t"), (Scan::SLASH, "/"),
            (Scan::NON_ASCII, "é"),
        ] {
            prop_assert_eq!(scan.has(flag), text.contains(|char| signs.contains(char)), "{}", signs);
        }
    }
}
