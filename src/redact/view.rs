//! A text as it reads once it is unescaped or percent-decoded, and where in the original each byte of that stands.

use std::borrow::Cow;

use crate::record::fragment::escape_at;

/// A text as it reads after decoding, and where each byte of it came from.
pub(super) struct View<'t> {
    pub(super) bytes: Cow<'t, [u8]>,
    /// Where each byte came from and, last, the length of the origin; none if nothing was decoded.
    origin: Option<Vec<usize>>,
}

impl<'t> View<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { bytes: text.as_bytes().into(), origin: None }
    }

    /// What a JSON string token says: the text between its quotes, unescaped.
    pub(super) fn of_json_string(raw: &'t str) -> Self {
        let view = Self::of(raw);
        if view.has(b'\\') { view.unescaped() } else { view }
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        memchr::memchr(byte, &self.bytes).is_some()
    }

    pub(super) fn origin(&self, at: usize) -> usize {
        match &self.origin {
            Some(origin) => origin[at],
            None => at,
        }
    }

    pub(super) fn unescaped(&self) -> View<'static> {
        self.decoded(|bytes, at, out| {
            let Some((char, len)) = (bytes[at] == b'\\').then(|| escape_at(bytes, at)).flatten() else { return 0 };
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            len
        })
    }

    pub(super) fn percent_decoded(&self) -> View<'static> {
        self.decoded(|bytes, at, out| {
            let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
            if bytes[at] != b'%' {
                return 0;
            }
            let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return 0 };
            out.extend(u8::try_from(high << 4 | low));
            3
        })
    }

    /// Decodes with a function that appends what is encoded at a place, and tells how long that is; 0 if nothing is.
    fn decoded(&self, decode: impl Fn(&[u8], usize, &mut Vec<u8>) -> usize) -> View<'static> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut origin = Vec::with_capacity(self.bytes.len() + 1);
        let mut at = 0;
        while at < self.bytes.len() {
            let from = self.origin(at);
            let step = decode(&self.bytes, at, &mut bytes);
            if step == 0 {
                bytes.push(self.bytes[at]);
            }
            origin.resize(bytes.len(), from);
            at += step.max(1);
        }
        origin.push(self.origin(self.bytes.len()));
        View { bytes: bytes.into(), origin: Some(origin) }
    }
}
