//! Tells a key from a name, where people put keys in the place of names.
//!
//! A mistake in one direction costs the unverified name of one request, in the other it writes somebody's key into the
//! audit log; so doubtful cases count as keys.

/// How the keys of well-known services begin. Short beginnings, which names could share, count from a length on.
const PREFIXES: &[(&str, usize)] = &[
    // GitLab: personal, deploy, runner, CI build, trigger, feed, OAuth, SCIM, mail, agent, feature flags.
    ("glpat-", 0),
    ("gldt-", 0),
    ("glrt-", 0),
    ("glcbt-", 0),
    ("glptt-", 0),
    ("glft-", 0),
    ("gloas-", 0),
    ("glsoat-", 0),
    ("glimt-", 0),
    ("glagent-", 0),
    ("glffct-", 0),
    // GitHub.
    ("ghp_", 0),
    ("gho_", 0),
    ("ghu_", 0),
    ("ghs_", 0),
    ("ghr_", 0),
    ("github_pat_", 0),
    // Stripe.
    ("sk_live_", 0),
    ("sk_test_", 0),
    ("rk_live_", 0),
    ("rk_test_", 0),
    ("pk_live_", 0),
    ("pk_test_", 0),
    ("whsec_", 0),
    // Slack.
    ("xoxa-", 0),
    ("xoxb-", 0),
    ("xoxe-", 0),
    ("xoxo-", 0),
    ("xoxp-", 0),
    ("xoxr-", 0),
    ("xoxs-", 0),
    ("xapp-", 0),
    // Cloud accounts: AWS key ids, Google, Azure DevOps and Atlassian, DigitalOcean.
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 16),
    ("ya29.", 0),
    ("ATATT3", 16),
    ("ATCTT3", 16),
    ("ATBB", 20),
    ("dop_v1_", 0),
    ("doo_v1_", 0),
    ("dor_v1_", 0),
    // Package registries.
    ("npm_", 20),
    ("pypi-", 20),
    ("rubygems_", 20),
    ("dckr_pat_", 0),
    ("oy2", 40),
    // Vault, Grafana, Sentry, Shopify, SendGrid, Hugging Face, Linear, and those that begin with `sk-`.
    ("hvs.", 16),
    ("hvb.", 16),
    ("glsa_", 16),
    ("glc_", 20),
    ("sntrys_", 16),
    ("sntryu_", 16),
    ("shpat_", 16),
    ("shpss_", 16),
    ("SG.", 20),
    ("hf_", 20),
    ("lin_api_", 16),
    ("sk-", 20),
    ("AGE-SECRET-KEY-", 0),
    // JSON in base64, as in a JWT.
    ("eyJ", 16),
];

/// How long letters and digits have to go on unbroken before they can be a key without a known beginning.
const LONG: usize = 20;
const VERY_LONG: usize = 32;

/// Whether the name looks like a key.
pub(crate) fn looks_like_key(name: &str) -> bool {
    PREFIXES.iter().any(|(prefix, length)| name.len() >= *length && name.starts_with(prefix))
        || name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
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
        for key in [
            "glpat-abc",
            "gldt-Zx8_yT-pQ2",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11AAAA",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "sk-proj-4eC39HqLyjWDarjtT1zdp7dc",
            "AKIAIOSFODNN7EXAMPLE",
            "xoxb-1-2",
            "npm_4eC39HqLyjWDarjtT1zdp7dc",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.sig",
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
