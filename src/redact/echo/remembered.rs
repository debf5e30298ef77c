//! The values that one exchange remembers.

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::finder::Finder;

/// Shorter values under keys that are always secret are not remembered: they are in too many words.
const MIN_ALWAYS: usize = 6;
/// The same of other values, which must look like a credential too.
const MIN: usize = 8;
/// A longer value is looked for by its beginning, and compared where that is found.
const LONGEST: usize = 1024;
/// Bytes of values that one exchange remembers; of more, what cannot be searched is left out.
const MAX_BYTES: usize = 256 * 1024;

/// What is looked for.
#[derive(Debug, Default)]
pub(in crate::redact) struct Remembered {
    values: Vec<Value>,
    known: HashSet<Box<str>>,
    bytes: usize,
    is_full: bool,
    /// What the application calls secret, in evidence too.
    everywhere: Option<Finder>,
    everywhere_values: Vec<Value>,
}

/// A remembered value.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// What is searched for: the value, or its beginning.
    pub(super) text: Box<str>,
    /// The rest of a long value.
    tail: Box<str>,
    /// A cut took its end away.
    is_beginning: bool,
    /// It is a word, which counts only where it is a word of its own: `cassandra`, and not `/cassandra_data`.
    pub(super) is_word: bool,
}

impl Remembered {
    pub(in crate::redact) fn clear(&mut self) {
        self.values.clear();
        self.known.clear();
        self.known.shrink_to(256);
        self.everywhere_values.clear();
        (self.bytes, self.is_full, self.everywhere) = (0, false, None);
    }

    /// A value that was masked. `is_always`: under a key that is always secret.
    pub(in crate::redact) fn add(&mut self, value: &str, is_always: bool) {
        let is_kept = if is_always { value.len() >= MIN_ALWAYS && !is_state(value) } else { is_telling(value) };
        if is_kept {
            self.push(value, false);
        }
    }

    /// A secret value of which a cut left the beginning.
    pub(in crate::redact) fn add_beginning(&mut self, value: &str) {
        if value.len() >= MIN_ALWAYS {
            self.push(value, true);
        }
    }

    /// The credentials in a header's value.
    pub(in crate::redact) fn add_header(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("cookie") {
            for pair in value.split(';') {
                let value = pair.split_once('=').map_or("", |(_, value)| value);
                self.add(value.trim().trim_matches('"'), false);
            }
            return;
        }
        let Some((scheme, credentials)) = value.trim().split_once([' ', '\t']) else {
            return self.add(value.trim(), true);
        };
        let credentials = credentials.trim();
        if credentials.contains([' ', ',']) {
            // Digest and its kin: parameters, of which those that look like it are secret.
            credentials.split([' ', ',', '=', '"']).for_each(|part| self.add(part, false));
            return;
        }
        self.add(credentials, true);
        self.add(credentials.trim_end_matches('='), true);
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(credentials).or_else(|_| STANDARD_NO_PAD.decode(credentials)).unwrap_or_default();
            let decoded = String::from_utf8_lossy(&decoded);
            self.add(decoded.split_once(':').map_or("", |(_, password)| password), true);
        }
    }

    /// A value that the application calls secret.
    pub(in crate::redact) fn add_everywhere(&mut self, value: &str, is_beginning: bool) {
        if value.is_empty() {
            return;
        }
        let value = Value { is_word: false, ..Value::new(value, is_beginning) };
        self.everywhere_values.push(value.clone());
        self.push_value(value);
        self.everywhere = Some(Finder::new(&self.everywhere_values));
    }

    /// Appends the places of such values.
    pub(in crate::redact) fn find_everywhere(&self, text: &str, places: &mut Vec<Range<usize>>) {
        if let Some(finder) = &self.everywhere {
            finder.find(text, 0, places);
        }
    }

    /// Whether such a value is in a text, as it is.
    pub(in crate::redact) fn holds_everywhere(&self, text: &str) -> bool {
        self.everywhere.as_ref().is_some_and(|finder| finder.holds(text))
    }

    pub(in crate::redact) fn has_everywhere(&self) -> bool {
        self.everywhere.is_some()
    }

    /// More is secret than may be remembered.
    pub(in crate::redact) fn overflow(&mut self) {
        self.is_full = true;
    }

    pub(in crate::redact) fn len(&self) -> usize {
        self.values.len() + usize::from(self.is_full)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    fn push(&mut self, value: &str, is_beginning: bool) {
        if !self.known.contains(value) {
            self.push_value(Value::new(value, is_beginning));
            self.known.insert(value.into());
        }
    }

    fn push_value(&mut self, value: Value) {
        if self.is_full {
            return;
        }
        self.bytes += value.text.len() + value.tail.len();
        if self.bytes > MAX_BYTES {
            self.is_full = true;
            return;
        }
        self.values.push(value);
    }
}

impl Value {
    fn new(text: &str, is_beginning: bool) -> Self {
        let head = crate::record::text::head(text, LONGEST);
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
        Self { text: head.into(), tail: text[head.len()..].into(), is_beginning, is_word }
    }

    /// Whether more of the value may follow what is searched for.
    pub(super) fn goes_on(&self) -> bool {
        self.is_beginning || !self.tail.is_empty()
    }

    /// How much of a text is the rest of the value, and whether the value ends there.
    pub(super) fn rest_at(&self, text: &str) -> (usize, bool) {
        let pairs = self.tail.chars().zip(text.chars()).take_while(|(one, other)| one == other);
        let same = pairs.map(|(char, _)| char.len_utf8()).sum();
        (same, same == self.tail.len() && !self.is_beginning)
    }
}

/// Words for a state or a type, which are in the place of many secrets and are none.
fn is_state(value: &str) -> bool {
    const STATES: &[&str] =
        &["enabled", "disabled", "required", "optional", "string", "number", "object", "boolean", "password", "secret", "default"];
    STATES.iter().any(|state| state.eq_ignore_ascii_case(value))
}

/// Long enough, with letters and digits.
fn is_telling(value: &str) -> bool {
    value.len() >= MIN && value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}
