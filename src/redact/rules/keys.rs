//! The class of a key: the published rule, applied to one key.
//!
//! A key is split into words at case changes, digits and separators. It is secret if it ends with a listed phrase, singular or
//! plural; the longest of several decides. If it does not, and it ends with a word that only says how the value is written, that
//! word is dropped and the rest is looked at again.

use std::collections::HashMap;

use super::class::Class;
use super::words::{ALWAYS, AS_TEXT, CODES, DROPPED, HARMLESS, MASK_VALUES_UNDER};
use crate::error::{Error, Problems};

/// The number of phrases that an application may add.
const MAX_ADDED: usize = 256;
/// The number of bytes at the end of a key that are read: more than the longest phrase has.
const READ: usize = 64;
/// A phrase of at least this length also counts at the end of a longer word (`dbpassword`); a shorter one (`pin`) only as a
/// whole word.
const GLUED: usize = 5;

/// Of letters by their number, none.
const NO_LETTER: usize = 26;

/// The keys that are secret, compiled.
#[derive(Debug)]
pub(in crate::redact) struct KeyRules {
    /// The class of each phrase, by its letters without separators.
    phrases: HashMap<Box<str>, Class>,
    /// How phrases and dropped words end: for each letter, or none, those that may follow it at the end, as bits.
    ends: [u32; NO_LETTER + 1],
    own: Names,
}

/// Keys of `mask_values_under`, and exceptions: of a redactor, or of one event.
#[derive(Debug, Default)]
pub(in crate::redact) struct Names {
    mask_values_under: Vec<Box<str>>,
    except: Vec<String>,
}

impl Names {
    pub(in crate::redact) fn new<'n>(
        mask_values_under: &[String],
        except: impl IntoIterator<Item = &'n String>,
    ) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let keys = mask_values_under.iter().filter_map(|key| problems.take(letters(key, "the key")));
        let mask_values_under = keys.collect();
        let except: Vec<String> = except.into_iter().cloned().collect();
        if except.iter().any(String::is_empty) {
            problems.push(Error::redaction("redaction: an exception without a name"));
        }
        problems.finish().map(|()| Self { mask_values_under, except })
    }

    pub(in crate::redact) fn is_empty(&self) -> bool {
        self.mask_values_under.is_empty() && self.except.is_empty()
    }

    /// The class of a key after these names have been applied.
    pub(in crate::redact) fn apply(&self, key: &str, class: Class) -> Class {
        if self.except.iter().any(|name| name == key) {
            return Class::Plain;
        }
        let is_named = self.mask_values_under.iter().any(|name| *Words::of(key).letters == **name);
        if is_named { Class::MaskValuesUnder } else { class }
    }
}

impl KeyRules {
    /// `added`: phrases of the application, which are always secret.
    pub(in crate::redact) fn new(added: &[String], own: Names) -> Result<Self, Error> {
        let mut problems = Problems::default();
        problems.limit(added.len(), "secret keys added", MAX_ADDED);
        let mut phrases = HashMap::new();
        for (list, class) in
            [(HARMLESS, Class::Plain), (AS_TEXT, Class::AsText), (CODES, Class::Code), (ALWAYS, Class::Always)]
        {
            phrases.extend(list.iter().map(|phrase| (Words::of(phrase).letters.into(), class)));
        }
        let added = added.iter().take(MAX_ADDED).filter_map(|phrase| problems.take(letters(phrase, "the secret key")));
        phrases.extend(added.map(|letters| (letters, Class::Always)));
        let mut ends = [0; NO_LETTER + 1];
        let mut note = |word: &str| {
            for end in ["", "s", "es"] {
                let mut letters = word.bytes().chain(end.bytes()).rev().filter_map(letter);
                let last = letters.next().map_or(0, |last| 1 << last);
                match letters.next() {
                    Some(before) => ends[before] |= last,
                    None => ends.iter_mut().for_each(|ends| *ends |= last),
                }
            }
        };
        phrases.keys().for_each(|phrase| note(phrase));
        dropped().for_each(note);
        problems.finish().map(|()| Self { phrases, ends, own })
    }

    /// Whether a key ends like one that is secret. Most do not, and need not be read.
    fn may_be_secret(&self, key: &str) -> bool {
        let mut letters = key.bytes().rev().filter_map(letter);
        let (last, before) = (letters.next(), letters.next().unwrap_or(NO_LETTER));
        !key.is_ascii() || last.is_some_and(|last| self.ends[before] >> last & 1 != 0)
    }

    pub(in crate::redact) fn class(&self, key: &str) -> Class {
        if MASK_VALUES_UNDER.iter().any(|name| name.eq_ignore_ascii_case(key)) {
            return self.own.apply(key, Class::MaskValuesUnder);
        }
        let mut words = Words::of(if self.may_be_secret(key) { key } else { "" });
        let mut class = self.by_phrase(&words);
        while class == Class::Plain && words.drop_last() {
            class = self.by_phrase(&words);
        }
        self.own.apply(key, class)
    }

    /// The class of the longest phrase at the end of a key: one that begins with a word, or a long one at the end of the last
    /// word (`dbpassword`).
    fn by_phrase(&self, Words { letters, starts }: &Words) -> Class {
        let last_word = starts.last().copied().unwrap_or_default();
        let class_from = |(at, _)| match starts.contains(&at) {
            true => self.find(&letters[at..], 0),
            false if at > last_word => self.find(&letters[at..], GLUED),
            false => None,
        };
        letters.char_indices().find_map(class_from).unwrap_or_default()
    }

    /// The class of a phrase in the singular or plural, if its singular has at least this length.
    fn find(&self, phrase: &str, least: usize) -> Option<Class> {
        let singular = |phrase: &str| if phrase.len() < least { None } else { self.phrases.get(phrase) };
        let plural = || ["s", "es"].iter().find_map(|end| singular(phrase.strip_suffix(end)?));
        singular(phrase).or_else(plural).copied()
    }
}

/// Whether a text can be a phrase that makes keys secret.
pub(crate) fn is_phrase(text: &str) -> bool {
    text.len() <= READ && !Words::of(text).letters.is_empty()
}

/// The letters of a phrase, without separators.
fn letters(phrase: &str, what: &str) -> Result<Box<str>, Error> {
    if !is_phrase(phrase) {
        return Err(Error::redaction(format!(
            "redaction: {what} {phrase:?} must have a letter, and at most {READ} bytes"
        )));
    }
    Ok(Words::of(phrase).letters.into())
}

/// The words that only say how a value is written. Words have no digits, so `base64` is the word `base`.
fn dropped() -> impl Iterator<Item = &'static str> {
    DROPPED.iter().map(|word| word.trim_end_matches(|char: char| char.is_ascii_digit()))
}

/// The number of an ASCII letter, in whatever case.
fn letter(byte: u8) -> Option<usize> {
    Some(usize::from((byte | 0x20).wrapping_sub(b'a'))).filter(|number| *number < NO_LETTER)
}

/// The words at the end of a key, in lower case.
struct Words {
    /// Without separators.
    letters: String,
    /// Where each word begins in `letters`.
    starts: Vec<usize>,
}

impl Words {
    fn of(key: &str) -> Self {
        let from = (key.len().saturating_sub(READ)..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(0);
        let mut words = Self { letters: String::with_capacity(key.len() - from), starts: Vec::new() };
        let mut chars = key[from..].chars().peekable();
        let mut before = ' ';
        while let Some(char) = chars.next() {
            if !char.is_alphabetic() {
                before = ' ';
                continue;
            }
            let after = chars.peek().copied().unwrap_or(' ');
            // A capital after a small letter (`camelCase`), or before one (`APIKey`).
            let begins =
                !before.is_alphabetic() || (char.is_uppercase() && (!before.is_uppercase() || after.is_lowercase()));
            if begins {
                words.starts.push(words.letters.len());
            }
            words.letters.extend(char.to_lowercase());
            before = char;
        }
        words
    }

    /// Drops the last word if it only says how the value is written. Such a word may be written as one with the word before
    /// it (`passwordhash`), or without a capital of its own (`PASSWORDhash`).
    fn drop_last(&mut self) -> bool {
        // The longest: `plaintext` ends with `text`.
        let rests = dropped().filter_map(|word| self.letters.strip_suffix(word));
        let Some(rest) = rests.min_by_key(|rest| rest.len()) else { return false };
        self.letters.truncate(rest.len());
        self.starts.retain(|start| *start < self.letters.len());
        true
    }
}
