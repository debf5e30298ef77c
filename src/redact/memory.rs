//! What the worker keeps from one record to the next: texts that many requests say alike, such as a user agent, for where
//! nothing was found once nothing is looked for again; and the memory of texts.

use super::Pass;
use super::trail::Place;
use crate::record::Record;

/// What is kept from one record to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Texts that hold nothing secret by any rule. Each has one place, which the next one takes over.
    familiar: Vec<String>,
    /// Empty ones.
    spare: Vec<String>,
}

impl Memory {
    const PLACES: usize = 64;
    const MOST_SPARE: usize = 16;
    /// Longer ones are rarely the same, and memory is bounded.
    const LONGEST: usize = 512;

    /// As [`Pass::string_at`].
    pub(super) fn string_at(&mut self, pass: &mut Pass<'_>, place: Place, text: &str) -> String {
        pass.redacted_at(place, text).unwrap_or_else(|| self.copy(text))
    }

    /// As [`Pass::string_at`], for a text that may have been said before; `None` if nothing is said.
    ///
    /// That nothing is found in a text depends on the text, the rules, and the names that an event adds to them: not on
    /// what else its exchange holds. What is masked elsewhere in that is masked later, here as anywhere.
    pub(super) fn familiar_at(&mut self, pass: &mut Pass<'_>, place: Place, said: &[u8]) -> Option<String> {
        if said.is_empty() {
            return None;
        }
        if !is_for_all(pass) || said.len() > Self::LONGEST {
            return Some(self.string_at(pass, place, &String::from_utf8_lossy(said)));
        }
        let at = place_of(said);
        if let Some(known) = self.familiar.get(at).filter(|known| known.as_bytes() == said) {
            return Some(copied(known, &mut self.spare));
        }
        let Ok(text) = std::str::from_utf8(said) else {
            return Some(pass.string_at(place, &String::from_utf8_lossy(said)));
        };
        // By a pass of its own: what this one remembers may come from another text.
        let mut own = Pass::of(pass.rules, pass.event);
        if own.inspect(text, 0).is_some() || own.has_masked() {
            return Some(pass.string_at(place, text));
        }
        self.familiar.resize_with(Self::PLACES, String::new);
        self.familiar[at].clear();
        self.familiar[at].push_str(text);
        Some(self.copy(text))
    }

    /// A text as a string.
    pub(super) fn copy(&mut self, text: &str) -> String {
        copied(text, &mut self.spare)
    }

    /// An empty string.
    pub(super) fn empty(&mut self) -> String {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes the texts of a record that is done with.
    pub(super) fn keep_texts_of(&mut self, record: &mut Record) {
        record.take_texts(|mut text| {
            if self.spare.len() < Self::MOST_SPARE && text.capacity() <= Self::LONGEST {
                text.clear();
                self.spare.push(text);
            }
        });
    }
}

fn copied(text: &str, spare: &mut Vec<String>) -> String {
    let mut copy = spare.pop().unwrap_or_default();
    copy.push_str(text);
    copy
}

/// Whether what a pass finds holds for any event, and is all that is asked of it.
fn is_for_all(pass: &Pass<'_>) -> bool {
    pass.event.is_none_or(|event| event.names.is_empty()) && !pass.is_explaining()
}

/// The place of a text. Any will do, for what stands there is compared.
fn place_of(text: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(23);
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| (hash << 8) | u64::from(*byte));
    usize::try_from(hash.wrapping_mul(ODD) >> 32).unwrap_or_default() % Memory::PLACES
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::super::redactor::EventRules;
    use super::*;

    fn said(memory: &mut Memory, event: Option<&EventRules>, said: &[u8]) -> Option<String> {
        memory.familiar_at(&mut Pass::new(&Redactor::default(), event), Place::of("actor", "/client"), said)
    }

    #[test]
    fn a_text_reads_the_same_whether_it_was_said_before() {
        let mut memory = Memory::default();
        let long = "x".repeat(Memory::LONGEST + 1);
        let texts =
            ["curl/8.5.0", "https://h/?token=abc&b=1", "a password=abc", "é\u{2028}", "a=1", "{\"pin\":1}", &long];
        for _ in 0..3 {
            for text in texts {
                let expected = Pass::new(&Redactor::default(), None).string(text);
                assert_eq!(said(&mut memory, None, text.as_bytes()), Some(expected), "{text}");
            }
            assert_eq!(said(&mut memory, None, b"a\xffb").as_deref(), Some("a\u{fffd}b"));
            assert_eq!(said(&mut memory, None, b""), None);
        }
        let kept = memory.familiar.concat();
        assert!(kept.contains("curl/8.5.0") && !kept.contains("abc") && !kept.contains("pin"), "{kept}");
    }

    #[test]
    fn what_one_event_calls_harmless_is_a_secret_of_another() {
        let mut memory = Memory::default();
        let event = EventRules::new(&[], &[], &["token".to_owned()]).unwrap();
        for _ in 0..2 {
            for (event, expected) in [(Some(&event), "{\"token\":\"abcdef\"}"), (None, "{\"token\":\"***\"}")] {
                assert_eq!(said(&mut memory, event, b"{\"token\":\"abcdef\"}").as_deref(), Some(expected));
            }
        }
    }
}
