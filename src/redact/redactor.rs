//! The rules of redaction, checked and compiled once, shared by all.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::pointer::{Effect, Pointers};
use super::rules::{KeyRules, Names};
use super::scratch::Pool;
use super::values::Values;
use super::way::Way;
use crate::Error;

/// The bag that every redactor knows: the secrets of a Backstage task.
const BAG: &str = "secrets";

/// What is secret, and what stands in its place.
///
/// The default knows the keys under which secrets stand in the wild (passwords, tokens, API keys,
/// cookies, card numbers, …), and values that give themselves away (JSON Web Tokens, PEM blocks, keys of
/// known makes, card numbers, credentials in URLs), and writes `***` for each. A redactor is made once
/// and is cheap to clone.
///
/// # Example: a word of one's own
///
/// ```
/// use tower_audit::Redactor;
///
/// let redactor = Redactor::builder().key("badge_number").except("sort_key").bag("overrides").build()?;
/// # let _ = redactor;
/// # Ok::<(), tower_audit::Error>(())
/// ```
#[derive(Clone)]
pub struct Redactor {
    rules: Arc<Rules>,
}

/// What a redactor and each [`Pass`](super::pass::Pass) share.
pub(super) struct Rules {
    pub(super) keys: KeyRules,
    pub(super) pointers: Pointers,
    pub(super) values: Values,
    pub(super) way: Way,
    pub(super) scratch: Pool,
}

impl Redactor {
    /// A builder that begins with the default rules.
    pub fn builder() -> RedactorBuilder {
        RedactorBuilder::default()
    }

    /// The fingerprint that stands for a value in records, to search for it; `None` unless secrets are
    /// shown as [fingerprints](RedactorBuilder::fingerprint).
    pub fn fingerprint(&self, value: &str) -> Option<String> {
        self.rules.way.fingerprint_of(value)
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl Default for Redactor {
    /// The default rules.
    fn default() -> Self {
        Self::builder().build().expect("the default rules are valid, as the tests of this module show")
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redactor").field(&self.rules).finish()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("keys", &self.keys)
            .field("pointers", &self.pointers)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Redactor`]: the default rules, and what is added to them.
#[derive(Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct RedactorBuilder {
    keys: Vec<String>,
    except: Vec<String>,
    bags: Vec<String>,
    pointers: Vec<(String, Effect)>,
    patterns: Vec<String>,
    mask: Option<String>,
    shown: Shown,
}

#[derive(Default)]
enum Shown {
    #[default]
    Mask,
    Nothing,
    Fingerprint {
        key_id: String,
        key: Zeroizing<Vec<u8>>,
    },
}

impl RedactorBuilder {
    /// Adds a secret key: one or more words, matched as whole words in any spelling, so that
    /// `badge_number` stands for `badgeNumber` and `X-Badge-Number` too. What is not written in Latin letters is found
    /// anywhere in a key, for not every script has words. At most 256.
    pub fn key(mut self, words: impl Into<String>) -> Self {
        self.keys.push(words.into());
        self
    }

    /// Shows what stands under exactly this key, though the rules call it secret. Values that give
    /// themselves away stay masked.
    pub fn except(mut self, key: impl Into<String>) -> Self {
        self.except.push(key.into());
        self
    }

    /// Shows what stands under the key at the end of this JSON Pointer (RFC 6901; `*` for any member or
    /// element), in bodies only: JSON, forms and multipart, where `/name` is the field of that name, and `/name/0` the
    /// first of several. It does not reach the query or the parameters of the path: what is harmless at one place of
    /// a body may be a secret under the same name in a URL. At most 64 pointers of both sorts.
    pub fn except_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointers.push((pointer.into(), Effect::Except));
        self
    }

    /// Names an object whose keys show while every value in it is masked, as in `secrets`.
    pub fn bag(mut self, key: impl Into<String>) -> Self {
        self.bags.push(key.into());
        self
    }

    /// Masks what stands at this JSON Pointer (RFC 6901; `*` for any member or element): in JSON bodies, and in the fields
    /// of forms, multipart, the query and the parameters of the path (in the URL too), where `/name` is each field of that
    /// name, `/name/0` and `/name/*` one or all of several. It wins over any exception. At most 64 pointers of both sorts.
    ///
    /// # Example: a field wherever a client puts it
    ///
    /// ```
    /// use tower_audit::{Event, Redactor};
    ///
    /// let redactor = Redactor::builder().pointer("/badge").build()?;
    /// let form = "application/x-www-form-urlencoded";
    /// let shown = |media, body: &[u8]| redactor.explain_for(&Event::new("BadgeIssue"), media, body);
    /// assert_eq!(shown(form, b"badge=7&a=1")?.redacted.as_deref(), Some(r#"{"badge":"***","a":"1"}"#));
    /// assert_eq!(shown("text/json", br#"{"badge":7}"#)?.redacted.as_deref(), Some(r#"{"badge":"***"}"#));
    /// # Ok::<(), tower_audit::Error>(())
    /// ```
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointers.push((pointer.into(), Effect::Mask));
        self
    }

    /// Masks what this regular expression (of the `regex` crate) finds in any string. At most 64.
    pub fn pattern(mut self, regex: impl Into<String>) -> Self {
        self.patterns.push(regex.into());
        self
    }

    /// The text that stands for a secret; `***` by default, at most 64 bytes.
    pub fn mask(mut self, text: impl Into<String>) -> Self {
        self.mask = Some(text.into());
        self
    }

    /// Leaves out the member of a secret, key and all. A secret that is only a part of a text, or a
    /// segment of a path, is masked.
    pub fn remove(mut self) -> Self {
        self.shown = Shown::Nothing;
        self
    }

    /// Writes `hmac:<key id>:<HMAC-SHA-256 in hex>` for a secret, so that equal secrets match across
    /// records without being known. The key has at least 16 bytes and is wiped from memory with the
    /// redactor.
    pub fn fingerprint(mut self, key_id: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        self.shown = Shown::Fingerprint { key_id: key_id.into(), key: Zeroizing::new(key.into()) };
        self
    }

    /// Checks and compiles the rules.
    ///
    /// # Errors
    ///
    /// If a key, bag or exception is empty, a pointer does not begin with `/`, a pattern does not compile
    /// or matches the empty text, a mask or fingerprint key is out of its bounds, or there are too many.
    pub fn build(self) -> Result<Redactor, Error> {
        let names =
            Names::new(self.bags.iter().map(String::as_str).chain([BAG]), self.except.iter().map(String::as_str))?;
        let mut pointers = Pointers::default();
        for (pointer, effect) in &self.pointers {
            pointers.add(pointer, *effect)?;
        }
        let mask = Way::mask(self.mask.as_deref().unwrap_or("***"))?;
        let way = match self.shown {
            Shown::Mask => mask,
            Shown::Nothing => mask.remove(),
            Shown::Fingerprint { key_id, key } => mask.fingerprint(&key_id, key)?,
        };
        let rules = Rules {
            keys: KeyRules::new(&self.keys, names)?,
            pointers,
            values: Values::new(&self.patterns)?,
            way,
            scratch: Pool::default(),
        };
        Ok(Redactor { rules: Arc::new(rules) })
    }
}

impl fmt::Debug for RedactorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactorBuilder")
            .field("keys", &self.keys)
            .field("except", &self.except)
            .field("bags", &self.bags)
            .field("pointers", &self.pointers)
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

/// What one event adds to the rules.
#[derive(Debug)]
pub(crate) struct EventRules {
    pub(super) names: Names,
    pub(super) pointers: Pointers,
}

impl EventRules {
    /// Bags by name; pointers to what is masked; exceptions by exact name, or by pointer if they begin with `/`.
    pub(crate) fn new(bags: &[String], pointers: &[String], except: &[String]) -> Result<Self, Error> {
        let mut compiled = Pointers::default();
        for pointer in pointers {
            compiled.add(pointer, Effect::Mask)?;
        }
        let mut names = Vec::new();
        for one in except {
            if one.starts_with('/') {
                compiled.add(one, Effect::Except)?;
            } else {
                names.push(one.as_str());
            }
        }
        Ok(Self { names: Names::new(bags.iter().map(String::as_str), names)?, pointers: compiled })
    }
}
