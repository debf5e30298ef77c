//! Texts that many requests say alike, such as a user agent: where nothing was found once, nothing is looked for again.

use super::Pass;
use super::trail::Place;

/// Texts of earlier records that hold nothing secret by any rule. Each has one place, which the next one takes over.
#[derive(Debug, Default)]
pub(crate) struct Familiar {
    texts: Vec<String>,
}

impl Familiar {
    const PLACES: usize = 64;
    /// Longer ones are rarely the same, and memory is bounded.
    const LONGEST: usize = 512;

    /// As [`Pass::string_at`], for a text that may have been said before; `None` if nothing is said.
    ///
    /// That nothing is found in a text depends on the text, the rules, and the names that an event adds to them: not on
    /// what else its exchange holds. What is masked elsewhere in that is masked later, here as anywhere.
    pub(super) fn string_at(&mut self, pass: &mut Pass<'_>, place: Place, said: &[u8]) -> Option<String> {
        if said.is_empty() {
            return None;
        }
        let Some(text) = std::str::from_utf8(said).ok().filter(|text| Self::may_know(text, pass)) else {
            return Some(pass.string_at(place, &String::from_utf8_lossy(said)));
        };
        let at = place_of(said);
        if self.texts.get(at).is_some_and(|known| known == text) {
            return Some(text.to_owned());
        }
        // By a pass of its own, which tells apart what this text has it remember.
        let mut own = Pass::of(pass.rules, pass.event);
        if own.inspect(text, 0).is_some() || own.has_masked() {
            return Some(pass.string_at(place, text));
        }
        self.texts.resize_with(Self::PLACES, String::new);
        self.texts[at].clear();
        self.texts[at].push_str(text);
        Some(text.to_owned())
    }

    /// Whether what is known of a text says all: not where more than its redaction is asked for.
    fn may_know(text: &str, pass: &Pass<'_>) -> bool {
        let has_own_names = pass.event.is_some_and(|event| !event.names.is_empty());
        text.len() <= Self::LONGEST && !has_own_names && !pass.is_explaining()
    }
}

/// The place of a text: nearly any will do, for what stands there is compared.
fn place_of(text: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(23);
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| (hash << 8) | u64::from(*byte));
    usize::try_from(hash.wrapping_mul(ODD) >> 58).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::super::redactor::EventRules;
    use super::*;

    fn said(familiar: &mut Familiar, event: Option<&EventRules>, said: &[u8]) -> Option<String> {
        familiar.string_at(&mut Pass::new(&Redactor::default(), event), Place::of("actor", "/client"), said)
    }

    #[test]
    fn a_text_reads_the_same_whether_it_was_said_before() {
        let mut familiar = Familiar::default();
        let long = "x".repeat(Familiar::LONGEST + 1);
        let texts =
            ["curl/8.5.0", "https://h/?token=abc&b=1", "Bearer abcdef", "é\u{2028}", "a=1", "{\"pin\":1}", &long];
        for _ in 0..3 {
            for text in texts {
                let expected = Pass::new(&Redactor::default(), None).string(text);
                assert_eq!(said(&mut familiar, None, text.as_bytes()), Some(expected), "{text}");
            }
            assert_eq!(said(&mut familiar, None, b"a\xffb").as_deref(), Some("a\u{fffd}b"));
            assert_eq!(said(&mut familiar, None, b""), None);
        }
        let kept = familiar.texts.concat();
        assert!(kept.contains("curl/8.5.0") && !kept.contains("abc") && !kept.contains("pin"), "{kept}");
    }

    #[test]
    fn what_one_event_calls_harmless_is_a_secret_of_another() {
        let mut familiar = Familiar::default();
        let event = EventRules::new(&[], &[], &["token".to_owned()]).unwrap();
        for _ in 0..2 {
            for (event, expected) in [(Some(&event), "{\"token\":\"abcdef\"}"), (None, "{\"token\":\"***\"}")] {
                assert_eq!(said(&mut familiar, event, b"{\"token\":\"abcdef\"}").as_deref(), Some(expected));
            }
        }
    }
}
