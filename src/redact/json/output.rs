//! What a walk writes: the text as it stands, but for the places where something else goes.

/// The output so far. What has not been copied yet stays in the text until something else has to go in between: most of a
/// document is copied in one piece.
#[derive(Debug)]
pub(super) struct Output<'t> {
    text: &'t str,
    written: String,
    /// How far the text has been copied, or left out.
    copied: usize,
    /// Inside of what is masked as one: nothing is copied.
    hides: bool,
}

impl<'t> Output<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, written: String::with_capacity(text.len() + 8), copied: 0, hides: false }
    }

    /// Where the output ends, once the text is copied up to `at`.
    pub(super) fn end(&self, at: usize) -> usize {
        if self.hides { self.written.len() } else { self.written.len() + at.saturating_sub(self.copied) }
    }

    /// Leaves out the text between these places; what goes there instead is to be appended.
    pub(super) fn instead(&mut self, from: usize, to: usize) -> &mut String {
        if !self.hides
            && let Some(open) = self.text.get(self.copied..from)
        {
            self.written.push_str(open);
        }
        self.copied = self.copied.max(to);
        &mut self.written
    }

    /// From here on nothing is copied, until it is shown again.
    pub(super) fn hide(&mut self, at: usize) {
        self.instead(at, at);
        self.hides = true;
    }

    pub(super) fn hides(&self) -> bool {
        self.hides
    }

    pub(super) fn show(&mut self) {
        self.hides = false;
    }

    /// Puts something else where the output already is; `at` is where the text is read.
    pub(super) fn replace(&mut self, place: std::ops::Range<usize>, with: &str, at: usize) {
        self.instead(at, at).replace_range(place, with);
    }

    /// Ends the output where it ended when less of the text was read than up to `at`. The rest of the text is left out.
    pub(super) fn cut_back(&mut self, end: usize, at: usize) -> &mut String {
        self.instead(at, self.text.len()).truncate(end);
        &mut self.written
    }

    pub(super) fn finish(&mut self) -> String {
        std::mem::take(self.instead(self.text.len(), self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replaced_is_copied() {
        let mut out = Output::of("abcdefgh");
        out.instead(2, 4).push('X');
        assert_eq!(out.end(6), 5);
        out.instead(6, 6).push('Y');
        assert_eq!(out.finish(), "abXefYgh");
    }

    #[test]
    fn what_is_hidden_is_never_copied() {
        let mut out = Output::of("abcdefgh");
        out.hide(2);
        out.instead(3, 4);
        assert_eq!(out.end(5), 2);
        out.show();
        out.instead(2, 5).push('X');
        assert_eq!(out.finish(), "abXfgh");
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut out = Output::of("abcdefgh");
        let end = out.end(3);
        out.instead(4, 5).push('X');
        out.cut_back(end, 7).push(']');
        assert_eq!(out.finish(), "abc]");
        let mut out = Output::of("abcdefgh");
        out.replace(1..3, "Y", 4);
        assert_eq!(out.finish(), "aYdefgh");
    }
}
