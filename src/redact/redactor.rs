//! The rules of redaction, checked and compiled once, shared by all.

use std::sync::Arc;

use http::HeaderName;
#[cfg(feature = "fingerprint")]
use zeroize::Zeroizing;

use super::detect::Pattern;
#[cfg(feature = "fingerprint")]
use super::mask::Key;
use super::mask::{MaskKind, MaskStyle};
use super::rules::{Effect, KeyRules, Names, Pointers};
use crate::error::{Error, Problems};

/// The rules of redaction: which values are secret, and what a record shows instead.
///
/// By default it masks values under keys that end with a word for secrets (`password`, `access_token`, `apiKey`, …), values
/// that have the form of a secret (tokens of known formats, private keys, card numbers, passwords in URLs), and repetitions
/// of these values; each is replaced by `***`. Values that a client sends are never searched for in evidence: who did what,
/// and to what.
/// [`guide::redaction`](crate::guide::redaction) has all rules. For bodies that are sensitive as a whole, list what they
/// show: [`Event::show`](crate::Event::show).
///
/// Reach for a redactor to add rules with [`builder`](Self::builder), or to try them out with [`explain`](Self::explain). It is
/// cheap to clone.
///
/// # Example: a phrase that makes keys secret
///
/// ```
/// use tower_audit::Redactor;
///
/// let redactor = Redactor::builder().key("badge_number").except("reset_token").build()?;
/// let shown = redactor.explain(br#"{"badgeNumber":"B-7","reset_token":"tomorrow"}"#).redacted;
/// assert_eq!(shown.as_deref(), Some(r#"{"badgeNumber":"***","reset_token":"tomorrow"}"#));
/// # Ok::<(), tower_audit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redactor {
    pub(super) rules: Arc<Rules>,
}

/// What a redactor and each session share.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) keys: KeyRules,
    pub(super) pointers: Pointers,
    pub(super) patterns: Vec<Pattern>,
    pub(super) style: MaskStyle,
    headers: Vec<HeaderName>,
    pub(super) session_trap: Trap,
    pub(super) search_trap: Trap,
}

/// A text at which redaction panics, for tests of what a record then shows. Only the feature `__fuzzing` sets it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trap(Option<String>);

impl Trap {
    pub(super) fn spring(&self, text: &str) {
        let is_here = cfg!(feature = "__fuzzing") && self.0.as_ref().is_some_and(|trap| text.contains(trap));
        assert!(!is_here, "a trap of a test");
    }
}

impl Redactor {
    /// A builder that begins with the default rules.
    pub fn builder() -> RedactorBuilder {
        RedactorBuilder::default()
    }

    /// The fingerprint that records show for a value, to search for it; `None` unless secrets are shown as
    /// [fingerprints](RedactorBuilder::fingerprint).
    #[cfg(feature = "fingerprint")]
    #[cfg_attr(docsrs, doc(cfg(feature = "fingerprint")))]
    pub fn fingerprint(&self, value: &str) -> Option<String> {
        self.rules.style.fingerprint_of(value)
    }

    /// The request headers whose values are credentials.
    pub(crate) fn credential_headers(&self) -> &[HeaderName] {
        &self.rules.headers
    }
}

impl Default for Redactor {
    /// The default rules.
    fn default() -> Self {
        Self::builder().build().expect("the default rules are valid, as the tests of this module show")
    }
}

/// Builds a [`Redactor`]: the default rules, and what the application adds. No default rule can be removed as a whole;
/// [`except`](Self::except) and [`except_pointer`](Self::except_pointer) show single values.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct RedactorBuilder {
    keys: Vec<String>,
    except: Vec<String>,
    mask_values_under: Vec<String>,
    pointers: Vec<(String, Effect)>,
    #[cfg(feature = "regex")]
    patterns: Vec<String>,
    headers: Vec<HeaderName>,
    mask: Option<String>,
    kind: MaskKind,
    session_trap: Trap,
    search_trap: Trap,
}

impl RedactorBuilder {
    /// Adds a phrase that makes a key secret if the key ends with it: `badge_number` matches `badgeNumber`,
    /// `X-Badge-Number` and `staff_badge_numbers` too. Strings and numbers under such a key are masked, however deep. At most
    /// 256 phrases of at most 64 bytes, in any language.
    pub fn key(mut self, phrase: impl Into<String>) -> Self {
        self.keys.push(phrase.into());
        self
    }

    /// Shows the value under exactly this key (in this case), though the rules call it secret. Values that have the form of
    /// a secret stay masked.
    pub fn except(mut self, key: impl Into<String>) -> Self {
        self.except.push(key.into());
        self
    }

    /// Shows the value at this JSON Pointer (RFC 6901; `*` for any member or element), in bodies only: JSON, forms and
    /// multipart, where `/name` is the field of that name, and `/name/0` the first of several. Not in the query, in the
    /// parameters of the path, in `meta`, or in JSON that a string holds: a value that is harmless at one place of a body may
    /// be a secret under the same name elsewhere. At most 64 pointers, those of [`pointer`](Self::pointer) included.
    pub fn except_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointers.push((pointer.into(), Effect::Except));
        self
    }

    /// Under this key, all values of an object are masked and its keys are shown, as under `secrets`. In a list, strings of
    /// six or more bytes are masked, and the keys of its objects decide about their values.
    pub fn mask_values_under(mut self, key: impl Into<String>) -> Self {
        self.mask_values_under.push(key.into());
        self
    }

    /// Masks the value at this JSON Pointer (RFC 6901; `*` for any member or element): in JSON bodies, and in the fields of
    /// forms, multipart, the query and the parameters of the path (in the URL too), where `/name` is each field of that
    /// name, `/name/0` and `/name/*` one or all of several. In an object or a list, all values are masked. It takes
    /// precedence over any exception. At most 64 pointers, those of [`except_pointer`](Self::except_pointer) included.
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

    /// Masks what this regular expression (of the `regex` crate) matches in any text of a client or an error, and in texts of
    /// more than 256 bytes in `meta`, but in no other evidence. At most 64. Needs the feature `regex`.
    #[cfg(feature = "regex")]
    #[cfg_attr(docsrs, doc(cfg(feature = "regex")))]
    pub fn pattern(mut self, regex: impl Into<String>) -> Self {
        self.patterns.push(regex.into());
        self
    }

    /// Names a request header that carries a credential, besides `Authorization`, `Proxy-Authorization`, `Cookie`,
    /// `X-Api-Key` and `X-Auth-Token`. Its value is masked where a body, a query or an error repeats it. At most 8.
    pub fn credential_header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// The text that replaces a secret: `***` by default; 1 to 64 bytes, without control characters and `" \ % & < > ? #`.
    pub fn mask(mut self, text: impl Into<String>) -> Self {
        self.mask = Some(text.into());
        self
    }

    /// Removes the member of a secret, with its key. A secret that is only a part of a text, or a segment of a path, is
    /// masked.
    pub fn remove(mut self) -> Self {
        self.kind = MaskKind::Nothing;
        self
    }

    /// Writes `hmac:<key id>:<HMAC-SHA-256 in hex>` for a secret, so that equal secrets can be recognised across records
    /// without being shown. The key has at least 16 bytes and is wiped from memory with the redactor. Needs the feature
    /// `fingerprint`.
    #[cfg(feature = "fingerprint")]
    #[cfg_attr(docsrs, doc(cfg(feature = "fingerprint")))]
    pub fn fingerprint(mut self, key_id: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        self.kind = MaskKind::Fingerprint { key_id: key_id.into(), key: Key(Zeroizing::new(key.into())) };
        self
    }

    /// Panics at a text of the session that holds this.
    #[cfg(feature = "__fuzzing")]
    #[doc(hidden)]
    pub fn panic_at(mut self, text: impl Into<String>) -> Self {
        self.session_trap = Trap(Some(text.into()));
        self
    }

    /// Panics where the search for echoes comes to a text that holds this.
    #[cfg(feature = "__fuzzing")]
    #[doc(hidden)]
    pub fn panic_in_search_at(mut self, text: impl Into<String>) -> Self {
        self.search_trap = Trap(Some(text.into()));
        self
    }

    /// Checks and compiles the rules.
    ///
    /// # Errors
    ///
    /// If a key or exception is empty, a pointer does not begin with `/`, a pattern does not compile or matches the empty
    /// text, a mask or fingerprint key is out of its bounds, or a limit on their number is exceeded. All problems at once,
    /// one line each.
    pub fn build(self) -> Result<Redactor, Error> {
        const MAX_HEADERS: usize = 8;
        const COMPLETE: &str = "what is missing was a problem";
        let mut problems = Problems::default();
        problems.limit(self.headers.len(), "credential headers", MAX_HEADERS);
        let names = problems.take(Names::new(&self.mask_values_under, &self.except));
        let keys = problems.take(KeyRules::new(&self.keys, names.unwrap_or_default()));
        let pointers = Pointers::new(self.pointers.iter().map(|(pointer, effect)| (pointer.as_str(), *effect)));
        let pointers = problems.take(pointers);
        let style = problems.take(MaskStyle::new(self.mask.as_deref().unwrap_or("***"), self.kind));
        #[cfg(feature = "regex")]
        let patterns = problems.take(super::detect::compile(&self.patterns)).unwrap_or_default();
        #[cfg(not(feature = "regex"))]
        let patterns = Vec::new();
        problems.finish()?;
        let rules = Rules {
            keys: keys.expect(COMPLETE),
            pointers: pointers.expect(COMPLETE),
            patterns,
            style: style.expect(COMPLETE),
            headers: self.headers,
            session_trap: self.session_trap,
            search_trap: self.search_trap,
        };
        Ok(Redactor { rules: Arc::new(rules) })
    }
}
