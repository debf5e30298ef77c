//! What stands where a secret stood: a mask, nothing, or a fingerprint.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Error;
use crate::record::fragment::push_json_string;

/// A shorter key could be tried out.
const MIN_KEY_BYTES: usize = 16;

/// How secrets are shown.
pub(super) struct Way {
    /// The mask as text, and as a JSON string. Removed members too leave it inside of other text.
    text: String,
    json: String,
    kind: Kind,
}

enum Kind {
    Mask,
    Remove,
    Fingerprint { prefix: String, key: Zeroizing<Vec<u8>> },
}

impl Way {
    pub(super) fn mask(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            return Err(Error::redaction(format!(
                "redaction: the mask {text:?} must have 1 to 64 bytes and no control character"
            )));
        }
        let mut json = String::new();
        push_json_string(&mut json, text);
        Ok(Self { text: text.to_owned(), json, kind: Kind::Mask })
    }

    pub(super) fn remove(self) -> Self {
        Self { kind: Kind::Remove, ..self }
    }

    pub(super) fn fingerprint(self, key_id: &str, key: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if key_id.is_empty() || key_id.len() > 32 || !key_id.bytes().all(plain) {
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

    /// The mask where no fingerprint is possible: where only a part of a text is a secret.
    pub(super) fn mask_text(&self) -> &str {
        &self.text
    }

    /// Writes what stands for a whole value; false if its member goes.
    pub(super) fn push_json(&self, out: &mut String, value: &str) -> bool {
        match &self.kind {
            Kind::Mask => out.push_str(&self.json),
            Kind::Remove => return false,
            Kind::Fingerprint { .. } => {
                out.push('"');
                self.push_text(out, value);
                out.push('"');
            }
        }
        true
    }

    /// The same in plain text.
    pub(super) fn push_text(&self, out: &mut String, value: &str) -> bool {
        match self.fingerprint_of(value) {
            Some(fingerprint) => out.push_str(&fingerprint),
            None if self.removes() => return false,
            None => out.push_str(&self.text),
        }
        true
    }

    /// Whether whole members go.
    pub(super) fn removes(&self) -> bool {
        matches!(self.kind, Kind::Remove)
    }

    /// Whether this is what stands for a secret already.
    pub(super) fn is_own(&self, text: &str) -> bool {
        let Kind::Fingerprint { prefix, .. } = &self.kind else { return text == self.text };
        let hex = |rest: &str| rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        text == self.text || text.strip_prefix(prefix.as_str()).is_some_and(hex)
    }

    /// `hmac:<key id>:<64 hex digits>`, if secrets are shown so.
    pub(super) fn fingerprint_of(&self, value: &str) -> Option<String> {
        let Kind::Fingerprint { prefix, key } = &self.kind else { return None };
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
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

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Mask => f.debug_tuple("Mask").field(&self.text).finish(),
            Kind::Remove => f.write_str("Remove"),
            Kind::Fingerprint { prefix, .. } => f.debug_tuple("Fingerprint").field(prefix).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_hmac_sha_256() {
        let way = Way::mask("***").unwrap();
        let way = way.fingerprint("k1", Zeroizing::new(vec![0x0b; 20])).unwrap();
        // RFC 4231, test case 1.
        assert_eq!(
            way.fingerprint_of("Hi There").unwrap(),
            "hmac:k1:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(format!("{way:?}"), "Fingerprint(\"hmac:k1:\")");
    }

    #[test]
    fn bad_masks_and_keys_are_refused() {
        let mask = || Way::mask("***").unwrap();
        assert!(Way::mask("").is_err());
        assert!(Way::mask("\n").is_err());
        assert!(mask().fingerprint("k:1", Zeroizing::new(vec![1; 32])).is_err());
        assert!(mask().fingerprint("k1", Zeroizing::new(vec![1; 15])).is_err());
    }
}
