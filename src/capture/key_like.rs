//! Tells a key from a name, where people put keys in the place of names.
//!
//! A mistake in one direction costs the unverified name of one request, in the other it writes somebody's key into the
//! audit log; so doubtful cases count as keys.

use crate::tokens::TokenFormats;

/// How long letters and digits have to go on unbroken before they can be a key without a known beginning.
const LONG: usize = 20;
const VERY_LONG: usize = 32;

/// Whether the name looks like a key.
pub(crate) fn looks_like_key(name: &str) -> bool {
    TokenFormats::shared().has_token(name) || name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
}

/// Whether an unbroken run of letters and digits looks like chance rather than words: hexadecimal, or changing between
/// capitals, small letters and digits more often than names do.
fn is_random(run: &str) -> bool {
    if run.len() < LONG {
        return false;
    }
    let hex = run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let changes = run.as_bytes().windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    let groups_of_digits = run.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).count();
    // Names are not that long, and have digits at one place only.
    let unlike_names = run.len() >= VERY_LONG || groups_of_digits >= 2;
    hex || changes * 5 >= run.len() * 2 || (unlike_names && changes * 4 >= run.len())
}

fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_no_keys() {
        for name in [
            "jane",
            "jane.doe@example.com",
            "user:default/jane",
            "oauth2",
            "x-access-token",
            "gitlab-ci-token",
            "__token__",
            "gitlab+deploy-token-123456",
            "build-agent-07-eu-west-1",
            "JaneDoeFromAccounting2",
            "serviceaccountforbackups",
            "SERVICEACCOUNTFORBACKUPS",
            "projectaccesstokenbot1234567",
            "hf_jane",
            "npm_publisher",
            "sk-jane",
            "AKIAmura",
            "123e4567-e89b-12d3-a456-426614174000",
            "+49 170 1234567890",
            "",
            "Jürgen Müller-Lüdenscheidt",
        ] {
            assert!(!looks_like_key(name), "{name}");
        }
    }

    #[test]
    fn keys_are_keys() {
        let some = |beginning: &str, times: usize| beginning.to_owned() + &"a1B2".repeat(times);
        for key in [
            some("glpat-", 5),
            some("gldt-", 5),
            some("ghp_", 9),
            some("github_pat_", 20),
            some("sk_live_", 6),
            some("sk-proj-", 12),
            some("xoxb-", 10),
            some("npm_", 9),
            some("oauth2:glpat-", 5),
            "hf_jklmnopqrstuvwxyzjklmnopqrstuvwxyzjk".to_owned(),
            "AKIAIOSFODNN7EXAMPLE".to_owned(),
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.signature".to_owned(),
        ] {
            assert!(looks_like_key(&key), "{key}");
        }
        for key in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "D41D8CD98F00B204E980",
            "mycorp_d41d8cd98f00b204e9800998ecf8427e",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
            "q7x2m9k4v1z8p3w6t5y0",
            "4eC39HqLyjWDarjtT1zd",
        ] {
            assert!(looks_like_key(key), "{key}");
        }
    }

    proptest! {
        #[test]
        fn any_long_hexadecimal_is_a_key(key in "[0-9a-f]{20,64}") {
            prop_assert!(looks_like_key(&key));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(name in ".{0,80}") {
            looks_like_key(&name);
        }
    }
}
