//! Why a body, or the rest of one, is not in the record.

use crate::text::wire_names;

/// The reason beside an absent body, or beside a redacted beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// Only its beginning was captured.
    Truncated,
    /// The content type is not one of text.
    Binary,
    /// It has a content encoding.
    Encoded,
    /// It is not what its content type says.
    Invalid,
    /// Nested deeper, or with more keys, fields, parts or longer heads of parts, than the limits allow.
    TooDeep,
    /// The handler has not read it, or not to its end.
    Unread,
    /// The upload broke.
    Failed,
    /// Text, which shows only if the event asks for it.
    Text,
    /// Its media type is not supported.
    Unsupported,
    /// The queue had no capacity for it, or more secrets were remembered than are allowed.
    Budget,
    /// Shortened so that the line fits.
    Line,
    /// The redactor failed on it.
    RedactorFailed,
}

wire_names!(Reason {
    Truncated => "truncated",
    Binary => "binary",
    Encoded => "encoded",
    Invalid => "invalid",
    TooDeep => "too_deep",
    Unread => "unread",
    Failed => "failed",
    Text => "text",
    Unsupported => "unsupported",
    Budget => "budget",
    Line => "line",
    RedactorFailed => "redactor_failed",
});
