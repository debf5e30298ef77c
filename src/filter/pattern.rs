//! A name in which `*` is any text.

/// A text with `*` for any text, also none. Compared in time linear in both for each `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    first: Box<str>,
    /// The pieces behind each `*`; empty if there is none.
    rest: Vec<Box<str>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = text.split('*');
        Self { first: pieces.next().unwrap_or_default().into(), rest: pieces.map(Into::into).collect() }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else { return text == &*self.first };
        let Some(mut left) = text.strip_prefix(&*self.first) else { return false };
        for piece in middle {
            let Some(at) = left.find(&**piece) else { return false };
            left = &left[at + piece.len()..];
        }
        left.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, yes, no) in [
            ("a", &["a"][..], &["", "A", "aa"][..]),
            ("*", &["", "a", "*"], &[]),
            ("a*", &["a", "ab"], &["ba", ""]),
            ("*a", &["a", "ba"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("*b*b*", &["bb", "abcbd"], &["b", "abc"]),
            ("a**c", &["ac", "abc"], &["ab"]),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(yes.iter().all(|text| pattern.matches(text)), "{pattern:?}");
            assert!(!no.iter().any(|text| pattern.matches(text)), "{pattern:?}");
        }
    }
}
