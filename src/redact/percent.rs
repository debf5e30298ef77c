//! Percent-decoding of texts that mostly have nothing to decode.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What a text says once it is percent-decoded; what is not UTF-8 then shows as U+FFFD.
pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    // Most has nothing to decode, and to know that takes far less than to decode it.
    if !text.as_bytes().contains(&b'%') {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8_lossy()
}
