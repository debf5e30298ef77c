//! Why a body, or the rest of one, is not in the record.

use std::fmt;

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
    /// Nested deeper, or with more keys or longer numbers, than the limits allow.
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

impl Reason {
    pub(crate) const ALL: &[Self] = &[
        Self::Truncated,
        Self::Binary,
        Self::Encoded,
        Self::Invalid,
        Self::TooDeep,
        Self::Unread,
        Self::Failed,
        Self::Text,
        Self::Unsupported,
        Self::Budget,
        Self::Line,
        Self::RedactorFailed,
    ];

    /// The name in the record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Binary => "binary",
            Self::Encoded => "encoded",
            Self::Invalid => "invalid",
            Self::TooDeep => "too_deep",
            Self::Unread => "unread",
            Self::Failed => "failed",
            Self::Text => "text",
            Self::Unsupported => "unsupported",
            Self::Budget => "budget",
            Self::Line => "line",
            Self::RedactorFailed => "redactor_failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
