//! Mask styles: what a record shows instead of a secret. A mask, nothing, or a fingerprint.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

#[cfg(feature = "fingerprint")]
use {
    hmac::{Hmac, KeyInit as _, Mac as _},
    sha2::Sha256,
    zeroize::Zeroizing,
};

use crate::Error;

/// A shorter key could be found by trying all keys.
#[cfg(feature = "fingerprint")]
const MIN_KEY_BYTES: usize = 16;

/// How secrets are shown.
pub(super) struct MaskStyle {
    text: String,
    kind: Kind,
}

enum Kind {
    Mask,
    Remove,
    #[cfg(feature = "fingerprint")]
    Fingerprint {
        prefix: String,
        key: Zeroizing<Vec<u8>>,
    },
}

impl MaskStyle {
    /// Writes a text, which needs no escaping in JSON, URLs or CSV.
    pub(super) fn mask(text: &str) -> Result<Self, Error> {
        let is_plain = |char: char| !char.is_control() && !"\"\\%&<>?#".contains(char);
        if text.is_empty() || text.len() > 64 || !text.chars().all(is_plain) {
            return Err(Error::redaction(format!(
                "redaction: the mask {text:?} must have 1 to 64 bytes, no control character and none of \" \\ % & < > ? #"
            )));
        }
        Ok(Self { text: text.to_owned(), kind: Kind::Mask })
    }

    pub(super) fn remove(self) -> Self {
        Self { kind: Kind::Remove, ..self }
    }

    #[cfg(feature = "fingerprint")]
    pub(super) fn fingerprint(self, key_id: &str, key: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if key_id.is_empty() || key_id.len() > 32 || !key_id.bytes().all(is_plain) {
            return Err(Error::redaction(format!(
                "redaction: the key id {key_id:?} must have 1 to 32 of the characters A-Z, a-z, 0-9, '_', '-', '.'"
            )));
        }
        if key.len() < MIN_KEY_BYTES {
            let given = key.len();
            return Err(Error::redaction(format!(
                "redaction: the key {key_id:?} has {given} bytes, at least {MIN_KEY_BYTES} are needed"
            )));
        }
        Ok(Self { kind: Kind::Fingerprint { prefix: format!("hmac:{key_id}:"), key }, ..self })
    }

    /// The mask of texts that cannot be searched, which have no fingerprint.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Writes what replaces a value.
    #[cfg_attr(
        not(feature = "fingerprint"),
        expect(unused_variables, reason = "only a fingerprint depends on the value")
    )]
    pub(super) fn push(&self, out: &mut String, value: &str) {
        #[cfg(feature = "fingerprint")]
        if let Some(fingerprint) = self.fingerprint_of(value) {
            out.push_str(&fingerprint);
            return;
        }
        out.push_str(&self.text);
    }

    /// Writes what replaces a spelling of a value; `value_of` reads it.
    #[cfg_attr(
        not(feature = "fingerprint"),
        expect(unused_variables, reason = "only a fingerprint depends on the value")
    )]
    pub(super) fn push_spelled<'t>(
        &self,
        out: &mut String,
        spelled: &'t str,
        value_of: impl Fn(&'t str) -> Cow<'t, str>,
    ) {
        match &self.kind {
            #[cfg(feature = "fingerprint")]
            Kind::Fingerprint { .. } => self.push(out, &value_of(spelled)),
            Kind::Mask | Kind::Remove => out.push_str(&self.text),
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
            self.push_spelled(&mut out, &text[place.clone()], &value_of);
            copied = place.end;
        }
        out.push_str(&text[copied..]);
        Some(out)
    }

    /// Whether a member with a secret value is removed.
    pub(super) fn removes(&self) -> bool {
        matches!(self.kind, Kind::Remove)
    }

    /// Whether a text is a mask or fingerprint of this style.
    pub(super) fn is_own(&self, text: &str) -> bool {
        #[cfg(feature = "fingerprint")]
        if let Kind::Fingerprint { prefix, .. } = &self.kind {
            let is_hex = |rest: &str| rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
            return text == self.text || text.strip_prefix(prefix.as_str()).is_some_and(is_hex);
        }
        text == self.text
    }

    /// `hmac:<key id>:<64 hex digits>`, if secrets are shown as fingerprints.
    #[cfg(feature = "fingerprint")]
    pub(super) fn fingerprint_of(&self, value: &str) -> Option<String> {
        let Kind::Fingerprint { prefix, key } = &self.kind else { return None };
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(value.as_bytes());
        let mut out = prefix.clone();
        for byte in mac.finalize().into_bytes() {
            for digit in [byte >> 4, byte & 0xf] {
                out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Some(out)
    }
}

impl fmt::Debug for MaskStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Mask => f.debug_tuple("Mask").field(&self.text).finish(),
            Kind::Remove => f.write_str("Remove"),
            #[cfg(feature = "fingerprint")]
            Kind::Fingerprint { prefix, .. } => f.debug_tuple("Fingerprint").field(prefix).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "fingerprint")]
    #[test]
    fn a_fingerprint_is_hmac_sha_256() {
        let style = MaskStyle::mask("***").unwrap().fingerprint("k1", Zeroizing::new(vec![0x0b; 20])).unwrap();
        // RFC 4231, test case 1.
        assert_eq!(
            style.fingerprint_of("Hi There").unwrap(),
            "hmac:k1:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(format!("{style:?}"), "Fingerprint(\"hmac:k1:\")");
    }

    #[test]
    fn bad_masks_are_refused() {
        for text in ["", "\n", "\"", "\\", "a%b", &"x".repeat(65)] {
            assert!(MaskStyle::mask(text).is_err(), "{text:?}");
        }
    }

    #[cfg(feature = "fingerprint")]
    #[test]
    fn bad_fingerprint_keys_are_refused() {
        let mask = || MaskStyle::mask("***").unwrap();
        assert!(mask().fingerprint("k:1", Zeroizing::new(vec![1; 32])).is_err());
        assert!(mask().fingerprint("k1", Zeroizing::new(vec![1; 15])).is_err());
    }
}
