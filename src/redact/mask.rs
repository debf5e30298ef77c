//! Mask styles: what a record shows instead of a secret. A mask, nothing, or a fingerprint.

use std::borrow::Cow;
#[cfg(feature = "fingerprint")]
use std::fmt;
use std::ops::Range;

#[cfg(feature = "fingerprint")]
use {
    bytes::Bytes,
    hmac::{Hmac, KeyInit as _, Mac as _},
    sha2::Sha256,
    zeroize::Zeroizing,
};

use crate::Error;

/// How secrets are shown.
#[derive(Debug)]
pub(super) struct MaskStyle {
    text: String,
    kind: MaskKind,
}

/// What a record shows instead of the secret value of a member.
#[derive(Debug, Default)]
pub(super) enum MaskKind {
    #[default]
    Text,
    /// The member is removed.
    Nothing,
    #[cfg(feature = "fingerprint")]
    Fingerprint { key_id: String, key: Key },
}

/// A key of fingerprints, which is wiped from memory and not printed.
#[cfg(feature = "fingerprint")]
pub(super) struct Key(pub(super) Zeroizing<Vec<u8>>);

#[cfg(feature = "fingerprint")]
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl MaskStyle {
    /// `text`: what is written, which needs no escaping in JSON, URLs or CSV.
    pub(super) fn new(text: &str, kind: MaskKind) -> Result<Self, Error> {
        let is_plain = |char: char| !char.is_control() && !"\"\\%&<>?#".contains(char);
        if text.is_empty() || text.len() > 64 || !text.chars().all(is_plain) {
            return Err(Error::redaction(format!(
                "redaction: the mask {text:?} must have 1 to 64 bytes, no control character and none of \" \\ % & < > ? #"
            )));
        }
        #[cfg(feature = "fingerprint")]
        if let MaskKind::Fingerprint { key_id, key } = &kind {
            /// A shorter key could be found by trying all keys.
            const MIN_KEY_BYTES: usize = 16;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            if key_id.is_empty() || key_id.len() > 32 || !key_id.bytes().all(is_plain) {
                return Err(Error::redaction(format!(
                    "redaction: the key id {key_id:?} must have 1 to 32 of the characters A-Z, a-z, 0-9, '_', '-', '.'"
                )));
            }
            let given = key.0.len();
            if given < MIN_KEY_BYTES {
                return Err(Error::redaction(format!(
                    "redaction: the key {key_id:?} has {given} bytes, at least {MIN_KEY_BYTES} are needed"
                )));
            }
        }
        Ok(Self { text: text.to_owned(), kind })
    }

    /// The mask of texts that cannot be searched, which have no fingerprint.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Writes what replaces a spelling of a value; `value_of` reads it.
    #[cfg_attr(
        not(feature = "fingerprint"),
        expect(unused_variables, reason = "only a fingerprint depends on the value")
    )]
    pub(super) fn push<'t>(&self, out: &mut String, spelled: &'t str, value_of: impl Fn(&'t str) -> Cow<'t, str>) {
        match &self.kind {
            #[cfg(feature = "fingerprint")]
            MaskKind::Fingerprint { .. } => out.extend(self.fingerprint_of(&value_of(spelled))),
            MaskKind::Text | MaskKind::Nothing => out.push_str(&self.text),
        }
    }

    /// A text with these places masked, each as the value that `value_of` reads in it; `None` if there are none.
    pub(super) fn apply<'t>(
        &self,
        text: &'t str,
        places: &[Range<usize>],
        value_of: impl Fn(&'t str) -> Cow<'t, str>,
    ) -> Option<String> {
        if places.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for place in places {
            out.push_str(&text[copied..place.start]);
            self.push(&mut out, &text[place.clone()], &value_of);
            copied = place.end;
        }
        out.push_str(&text[copied..]);
        Some(out)
    }

    /// Whether a member with a secret value is removed.
    pub(super) fn removes(&self) -> bool {
        matches!(self.kind, MaskKind::Nothing)
    }

    /// Whether a text is a mask or fingerprint of this style.
    pub(super) fn is_own(&self, text: &str) -> bool {
        #[cfg(feature = "fingerprint")]
        if let MaskKind::Fingerprint { key_id, .. } = &self.kind {
            let digits = text.strip_prefix("hmac:").and_then(|text| text.strip_prefix(key_id)?.strip_prefix(':'));
            let is_hex = |digits: &str| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return text == self.text || digits.is_some_and(is_hex);
        }
        text == self.text
    }

    /// `hmac:<key id>:<64 hex digits>`, if secrets are shown as fingerprints.
    #[cfg(feature = "fingerprint")]
    pub(super) fn fingerprint_of(&self, value: &str) -> Option<String> {
        let MaskKind::Fingerprint { key_id, key } = &self.kind else { return None };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
        mac.update(value.as_bytes());
        // `Bytes` writes itself in hexadecimal.
        Some(format!("hmac:{key_id}:{:x}", Bytes::copy_from_slice(&mac.finalize().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "fingerprint")]
    fn fingerprint(key_id: &str, key: Vec<u8>) -> Result<MaskStyle, Error> {
        MaskStyle::new("***", MaskKind::Fingerprint { key_id: key_id.to_owned(), key: Key(Zeroizing::new(key)) })
    }

    #[cfg(feature = "fingerprint")]
    #[test]
    fn a_fingerprint_is_hmac_sha_256() {
        let style = fingerprint("k1", vec![0x0b; 20]).unwrap();
        // RFC 4231, test case 1.
        let expected = "hmac:k1:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(style.fingerprint_of("Hi There").unwrap(), expected);
        assert!(style.is_own(expected) && style.is_own("***"));
        assert!(!style.is_own(&expected.replace("k1", "k2")) && !style.is_own(&expected[..60]));
        let printed = format!("{style:?}");
        assert_eq!(printed, "MaskStyle { text: \"***\", kind: Fingerprint { key_id: \"k1\", key: Key } }");
    }

    #[test]
    fn bad_masks_are_refused() {
        for text in ["", "\n", "\"", "\\", "a%b", &"x".repeat(65)] {
            assert!(MaskStyle::new(text, MaskKind::Text).is_err(), "{text:?}");
        }
    }

    #[cfg(feature = "fingerprint")]
    #[test]
    fn bad_fingerprint_keys_are_refused() {
        assert!(fingerprint("k:1", vec![1; 32]).is_err());
        assert!(fingerprint("k1", vec![1; 15]).is_err());
    }
}
