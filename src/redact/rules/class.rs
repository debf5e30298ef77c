//! What happens to a value, by the class of its key.

/// Shorter texts under keys that are secret as text show.
pub(in crate::redact) const MIN_TEXT: usize = 6;

/// What happens to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::redact) enum Class {
    /// It is read by its own keys and values.
    #[default]
    Plain,
    /// Strings are masked; objects are read by their own keys.
    AsText,
    /// Strings and numbers are masked; objects are read by their own keys.
    Code,
    /// Strings and numbers are masked, however deep.
    Always,
    /// Of an object each leaf is masked; a list is read by its own strings and keys.
    MaskValuesUnder,
    /// Each leaf is masked. No key has this class by itself: a pointer says so, or the key of an object further out.
    Leaves,
}

/// A value that is no object and no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::redact) enum LeafKind {
    Text,
    Number,
    /// `true` or `false`.
    Boolean,
    #[default]
    Null,
}

impl Class {
    /// Whether a leaf is masked.
    pub(in crate::redact) fn masks(self, kind: LeafKind, text: &str) -> bool {
        match (self, kind) {
            // A link without user info is no credential by itself. What it holds is searched.
            (Self::AsText, LeafKind::Text) => {
                text.len() >= MIN_TEXT && (!begins_link(text.as_bytes()) || text.contains('@'))
            }
            (Self::Plain | Self::AsText, _) | (_, LeafKind::Null) => false,
            (Self::Code | Self::Always, LeafKind::Boolean) => false,
            (Self::Code | Self::Always | Self::MaskValuesUnder | Self::Leaves, _) => !text.is_empty(),
        }
    }

    /// Whether a string is masked.
    pub(in crate::redact) fn masks_text(self, text: &str) -> bool {
        self.masks(LeafKind::Text, text)
    }
}

pub(in crate::redact) fn begins_link(text: &[u8]) -> bool {
    text.starts_with(b"https://") || text.starts_with(b"http://")
}
