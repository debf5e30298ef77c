//! Cutting text to a length in bytes, never within a character.

/// The longest beginning of at most `most` bytes.
pub(crate) fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// The longest end of at most `most` bytes.
pub(crate) fn tail(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let start = (from..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let text = "aé€𝄞";
        assert_eq!(["", "a", "a", "aé", "aé", "aé", "aé€"], [0, 1, 2, 3, 4, 5, 6].map(|most| head(text, most)));
        assert_eq!((head(text, 10), head(text, 99)), (text, text));
        assert_eq!(["", "", "", "", "𝄞", "𝄞", "𝄞", "€𝄞"], [0, 1, 2, 3, 4, 5, 6, 7].map(|most| tail(text, most)));
    }
}
