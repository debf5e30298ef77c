//! Why a body, or the rest of one, is not in the record.

use std::fmt;

/// The reason beside an absent body, or beside a redacted beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// Only a prefix was captured.
    Truncated,
    /// The content type is not one of text.
    Binary,
    /// A content encoding stands over it.
    Encoded,
    /// It is not what its content type says.
    Invalid,
    /// Nested deeper, or with more keys or longer numbers, than the limits allow.
    TooDeep,
    /// Nobody read it, or not yet.
    Unread,
    /// The upload broke.
    Failed,
    /// Text, which an event must ask for.
    Text,
    /// Of a media type that we do not look into.
    Unsupported,
    /// No room for it was left in the queue.
    Budget,
    /// Shortened so that the line fits.
    Line,
    /// The redactor failed on it.
    RedactorFailed,
}

impl Reason {
    /// The name that stands in the record.
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
