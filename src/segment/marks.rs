//! One line of JSON → where its strings and its nested values end, 64 bytes at a time.
//!
//! Every byte is looked at once, whatever the line holds. Brackets in strings are none, and a quote after a backslash ends nothing; so
//! what a member's text says never counts as a member.

use crate::block::{self, Block};

/// Bytes of one step.
const STEP: usize = 4 * block::LEN;

/// Finds ends in a line, only forwards.
pub(super) struct Marks<'a> {
    line: &'a [u8],
    /// Where the step begins.
    from: usize,
    /// Of the step: quotes that begin or end strings, and brackets that are in none.
    quotes: u64,
    brackets: u64,
    /// All bits if the step before ends in a string.
    in_string: u64,
    /// Whether the step before ends with a backslash that escapes the next byte.
    is_escaped: bool,
}

impl<'a> Marks<'a> {
    /// `None` as for [`Marks::next_quote`].
    pub(super) fn new(line: &'a [u8]) -> Option<Self> {
        let mut marks = Self { line, from: 0, quotes: 0, brackets: 0, in_string: 0, is_escaped: false };
        marks.look()?;
        Some(marks)
    }

    /// The first quote at this place or after it that begins or ends a string. `None` if there is none, or a backslash before it is
    /// in no string.
    #[inline(always)]
    pub(super) fn next_quote(&mut self, place: usize) -> Option<usize> {
        loop {
            let found = self.quotes & after(place, self.from);
            if found != 0 {
                return Some(self.from + found.trailing_zeros() as usize);
            }
            self.step()?;
        }
    }

    /// The place behind the nested value that begins at this one.
    #[inline(always)]
    pub(super) fn nested_end(&mut self, place: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut found = self.brackets & after(place, self.from);
        loop {
            while found != 0 {
                let at = self.from + found.trailing_zeros() as usize;
                found &= found - 1;
                match self.line[at] {
                    b'{' | b'[' => depth += 1,
                    _ => depth = depth.checked_sub(1)?,
                }
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            self.step()?;
            found = self.brackets;
        }
    }

    fn step(&mut self) -> Option<()> {
        self.from += STEP;
        self.look()
    }

    #[inline(always)]
    fn look(&mut self) -> Option<()> {
        (self.quotes, self.brackets) = (0, 0);
        let rest = self.line.get(self.from..).filter(|rest| !rest.is_empty())?;
        let [quotes, backslashes, brackets] = match rest.first_chunk() {
            Some(step) => marks(step),
            None => {
                let mut step = [b' '; STEP];
                step[..rest.len()].copy_from_slice(rest);
                marks(&step)
            }
        };
        let quotes = if backslashes == 0 && !self.is_escaped { quotes } else { quotes & !self.escaped(backslashes) };
        let in_string = prefix_xor(quotes) ^ self.in_string;
        // Of a string, its opening quote is in it here, and its closing one is not.
        self.quotes = quotes;
        self.brackets = brackets & !in_string;
        self.in_string = if in_string >> (STEP - 1) == 0 { 0 } else { !0 };
        (backslashes & !in_string == 0).then_some(())
    }

    /// The bytes of the step that a backslash escapes.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = u64::from(std::mem::take(&mut self.is_escaped));
        let mut left = backslashes & !escaped;
        while left != 0 {
            let at = left.trailing_zeros();
            match 2_u64.checked_shl(at) {
                Some(next) if next != 0 => escaped |= next,
                _ => self.is_escaped = true,
            }
            left &= !(3_u64 << at);
        }
        escaped
    }
}

/// All bits of a step that are at this place or after it.
#[inline(always)]
fn after(place: usize, from: usize) -> u64 {
    match place.checked_sub(from) {
        None => !0,
        Some(within) if within < STEP => !0 << within,
        Some(_) => 0,
    }
}

#[inline(always)]
fn marks(step: &[u8; STEP]) -> [u64; 3] {
    let mut marks = [0; 3];
    for at in 0..4 {
        let Some(block) = Block::at(step, at * block::LEN) else { continue };
        let brackets = block.is(b'{').or(block.is(b'}')).or(block.is(b'[')).or(block.is(b']'));
        let found = [block.is(b'"'), block.is(b'\\'), brackets].map(Block::bits);
        for (marks, found) in marks.iter_mut().zip(found) {
            *marks |= u64::from(found) << (at * block::LEN);
        }
    }
    marks
}

/// Each bit is whether the number of bits up to it is odd.
#[inline(always)]
fn prefix_xor(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, by| bits ^ (bits << by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::InString;

    /// Byte by byte.
    fn slowly(line: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let (mut quotes, mut brackets, mut state) = (Vec::new(), Vec::new(), InString::default());
        let mut was_in_string = false;
        for (at, byte) in line.iter().enumerate() {
            let is_inside = state.take(*byte);
            let in_string = state != InString::default();
            if was_in_string != in_string {
                quotes.push(at);
            }
            was_in_string = in_string;
            if !is_inside && b"{}[]".contains(byte) {
                brackets.push(at);
            }
        }
        (quotes, brackets)
    }

    fn quickly(line: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let (mut quotes, mut brackets) = (Vec::new(), Vec::new());
        let Some(mut marks) = Marks::new(line) else { return (quotes, brackets) };
        loop {
            let all = |bits: u64| (0..STEP).filter(move |at| bits >> at & 1 == 1);
            quotes.extend(all(marks.quotes).map(|at| marks.from + at));
            brackets.extend(all(marks.brackets).map(|at| marks.from + at));
            if marks.step().is_none() {
                return (quotes, brackets);
            }
        }
    }

    #[test]
    fn what_a_string_holds_is_no_mark_at_any_place_of_a_step() {
        for before in 0..2 * STEP {
            let line = [&vec![b'x'; before][..], br#"{"a\\":["\"]}{[","\\\"]"],"b":{}}"#].concat();
            assert_eq!(quickly(&line), slowly(&line), "{before}");
            assert_eq!(Marks::new(&line).unwrap().next_quote(0), Some(before + 1));
            let mut marks = Marks::new(&line).unwrap();
            assert_eq!(marks.nested_end(before), Some(line.len()));
            assert_eq!((marks.next_quote(line.len()), marks.nested_end(line.len())), (None, None));
        }
    }

    #[test]
    fn a_backslash_outside_of_strings_is_refused() {
        assert!(Marks::new(br#"{\"a":1}"#).is_none());
        assert!(Marks::new(b"").is_none());
    }

    proptest! {
        /// Backslashes in strings only, as in any JSON.
        #[test]
        fn marks_are_those_of_a_walk_byte_by_byte(line in r#"([\[\]{},:x ]|"([^"\\]|\\["\\n]){0,9}"|x{60,70}){0,40}"#) {
            prop_assert_eq!(quickly(line.as_bytes()), slowly(line.as_bytes()));
        }

        #[test]
        fn any_bytes_are_walked_without_a_panic(line: Vec<u8>, place in 0..200_usize) {
            if let Some(mut marks) = Marks::new(&line) {
                let _ = (marks.next_quote(place), marks.nested_end(place));
            }
        }
    }
}
