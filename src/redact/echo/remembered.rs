//! The values that are remembered for one record.

use super::values::Values;
use crate::redact::detect::basic_credentials;

/// Shorter values under keys that are always secret are not remembered: too many words contain them.
const MIN_ALWAYS: usize = 6;
/// The same for other values, which must look like a credential too.
const MIN: usize = 8;
/// Bytes of values that are remembered for one record. With more, texts that cannot be searched for all are left out.
const MAX_BYTES: usize = 256 * 1024;

/// The values that the echo search looks for.
#[derive(Debug, Default)]
pub(in crate::redact) struct Remembered {
    pub(super) values: Values,
    /// Values of `Audit::secret`, which are searched in evidence too.
    pub(in crate::redact) everywhere: Values,
    /// More values are secret than are known or may be remembered.
    pub(in crate::redact) is_full: bool,
}

impl Remembered {
    pub(in crate::redact) fn clear(&mut self) {
        self.is_full = false;
        self.values.clear();
        self.everywhere.clear();
    }

    /// Adds a value that was masked. `is_always`: under a key that is always secret.
    pub(in crate::redact) fn add(&mut self, value: &str, is_always: bool) {
        let is_kept = if is_always { value.len() >= MIN_ALWAYS && !is_state(value) } else { is_telling(value) };
        if is_kept {
            self.push(value, false);
        }
    }

    /// Adds the beginning of a secret value that a cut went through.
    pub(in crate::redact) fn add_beginning(&mut self, value: &str) {
        if value.len() >= MIN_ALWAYS {
            self.push(value, true);
        }
    }

    /// Adds the credentials in a header's value.
    pub(in crate::redact) fn add_header(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("cookie") {
            for pair in value.split(';') {
                let value = pair.split_once('=').map_or("", |(_, value)| value);
                self.add(value.trim_matches(|char: char| char == '"' || char.is_whitespace()), false);
            }
            return;
        }
        let value = value.trim();
        let suffix = name.as_bytes().last_chunk::<{ "authorization".len() }>();
        if !suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"authorization")) {
            // Only those have a scheme for certain.
            self.add(value, true);
        }
        let Some((scheme, credentials)) = value.split_once([' ', '\t']) else { return self.add(value, true) };
        let credentials = credentials.trim();
        if memchr::memchr2(b' ', b',', credentials.as_bytes()).is_some() {
            // Schemes with parameters, such as Digest: those that look like a credential are secret.
            credentials.split([' ', ',', '=', '"']).for_each(|part| self.add(part, false));
            return;
        }
        self.add(credentials, true);
        if credentials.ends_with('=') {
            self.add(credentials.trim_end_matches('='), true);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = basic_credentials(credentials);
            let decoded = String::from_utf8_lossy(&decoded);
            self.add(decoded.split_once(':').map_or("", |(_, password)| password), true);
        }
    }

    /// A value that the application calls secret.
    pub(in crate::redact) fn add_everywhere(&mut self, value: &str, is_beginning: bool) {
        if !value.is_empty() {
            self.everywhere.push(value, is_beginning, false);
            self.values.push(value, is_beginning, false);
        }
    }

    /// Grows with each value that is added; 0 if there is nothing to search for.
    pub(in crate::redact) fn size(&self) -> usize {
        self.values.text.len() + usize::from(self.is_full)
    }

    fn push(&mut self, value: &str, is_beginning: bool) {
        self.is_full |= self.values.text.len() + value.len() > MAX_BYTES;
        if !self.is_full {
            self.values.push(value, is_beginning, value.bytes().all(|byte| byte.is_ascii_alphabetic()));
        }
    }
}

/// Whether a value is a word for a state or a type, which many APIs have under secret keys.
fn is_state(value: &str) -> bool {
    const STATES: &[&str] = &[
        "enabled", "disabled", "required", "optional", "string", "number", "object", "boolean", "password", "secret",
        "default",
    ];
    STATES.iter().any(|state| state.eq_ignore_ascii_case(value))
}

/// Whether a value looks like a credential: long enough, with letters and digits.
fn is_telling(value: &str) -> bool {
    value.len() >= MIN
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}
