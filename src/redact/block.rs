//! A text sixteen bytes at a time: which of them are of a kind, as one bit each, that of the first byte the lowest.

use wide::u8x16;

pub(super) const LEN: usize = 16;

/// Sixteen bytes of a text; or which of them are of a kind.
#[derive(Clone, Copy)]
pub(super) struct Block(u8x16);

impl Block {
    pub(super) const NONE: Self = Self(u8x16::splat(0));

    /// The bytes from a place on, if there are so many.
    #[inline(always)]
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().map(|block| Self(u8x16::new(*block)))
    }

    /// Those from a place on where fewer are left, and how many of the block stand before that place. In a shorter text,
    /// letters stand for those behind its end.
    #[inline(always)]
    pub(super) fn last(bytes: &[u8], at: usize) -> (Self, usize) {
        match bytes.last_chunk() {
            Some(block) => (Self(u8x16::new(*block)), (at + LEN).saturating_sub(bytes.len())),
            None => (Self(u8x16::new(padded(bytes))), at),
        }
    }

    #[inline(always)]
    pub(super) fn is(self, byte: u8) -> Self {
        Self(self.0.simd_eq(u8x16::splat(byte)))
    }

    #[inline(always)]
    pub(super) fn is_in(self, first: u8, last: u8) -> Self {
        let above = self.0 - u8x16::splat(first);
        Self(above.min(u8x16::splat(last - first)).simd_eq(above))
    }

    /// ASCII letters.
    #[inline(always)]
    pub(super) fn is_letter(self) -> Self {
        Self(self.0 | u8x16::splat(0x20)).is_in(b'a', b'z')
    }

    /// The bits of the bytes that are not the same.
    #[inline(always)]
    pub(super) fn differs(self, other: Self) -> u32 {
        Self(self.0.simd_eq(other.0)).not()
    }

    #[inline(always)]
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The bits of those that are not.
    #[inline(always)]
    pub(super) fn not(self) -> u32 {
        self.bits() ^ 0xffff
    }

    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0.to_bitmask()
    }
}

/// Where a byte that is no letter stands first. For short texts: those of some hundred bytes are for `memchr`.
#[inline]
pub(super) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let (block, before) = Block::at(bytes, at).map_or_else(|| Block::last(bytes, at), |block| (block, 0));
        let found = block.is(byte).bits() >> before;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += LEN;
    }
    None
}

/// Whether any of three bytes that are no letters stands in a text.
pub(super) fn has_any(bytes: &[u8], [first, second, third]: [u8; 3]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let (block, _) = Block::at(bytes, at).map_or_else(|| Block::last(bytes, at), |block| (block, 0));
        if block.is(first).or(block.is(second)).or(block.is(third)).bits() != 0 {
            return true;
        }
        at += LEN;
    }
    false
}

/// Whether four bytes stand somewhere in a row.
pub(super) fn has_four(bytes: &[u8], four: [u8; 4]) -> bool {
    const SPAN: usize = LEN + 3;
    let stands_in = |bytes: &[u8]| bytes.windows(four.len()).any(|here| here == four);
    let Some(last) = bytes.len().checked_sub(SPAN) else { return stands_in(bytes) };
    let mut at = 0;
    loop {
        if let (Some(first), Some(fourth)) = (Block::at(bytes, at), Block::at(bytes, at + 3))
            && first.is(four[0]).and(fourth.is(four[3])).bits() != 0
            && bytes.get(at..at + SPAN).is_some_and(stands_in)
        {
            return true;
        }
        if at == last {
            return false;
        }
        // The last ones overlap those before them.
        at = last.min(at + LEN);
    }
}

/// A text of fewer than sixteen bytes, and letters.
#[inline(never)]
fn padded(bytes: &[u8]) -> [u8; LEN] {
    let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    let half = |bytes: [u8; 4]| u64::from(u32::from_le_bytes(bytes));
    let letters = word([b'a'; 8]);
    // Never as much as a whole word, which no shift can be.
    let bits = |bytes: usize| 8 * (bytes.min(LEN - 1) % 8);
    let (low, high) = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Without those of the last bytes that are among the first.
        let more = bits(bytes.len());
        (word(*first), word(*last) >> 1 >> (63 - more) | letters << more)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // What stands in both is the same.
        (half(*first) | half(*last) << bits(bytes.len() - 4) | letters << bits(bytes.len()), letters)
    } else {
        let few = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        (few | letters << bits(bytes.len()), letters)
    };
    let mut block = [0; LEN];
    block[..8].copy_from_slice(&low.to_le_bytes());
    block[8..].copy_from_slice(&high.to_le_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_text_and_letters() {
        let text = b"0123456789ABCDEFGHIJ";
        for len in 0..LEN {
            let mut expected = [b'a'; LEN];
            expected[..len].copy_from_slice(&text[..len]);
            assert_eq!(padded(&text[..len]), expected);
        }
        for at in 5..text.len() {
            let (block, before) = Block::last(text, at);
            assert_eq!((block.is(text[at]).bits() >> before, before), (1, at - 4));
            assert!(Block::at(text, at).is_none());
        }
        assert_eq!(Block::at(text, 4).unwrap().is(b'4').bits(), 1);
    }

    #[test]
    fn a_byte_is_found_where_it_stands_first() {
        for len in 0..70 {
            let text = vec![b'-'; len];
            assert_eq!(find(&text, b'+'), None);
            for at in 0..len {
                let mut text = text.clone();
                text[at..].fill(b'+');
                assert_eq!(find(&text, b'+'), Some(at), "{len}");
            }
        }
    }

    #[test]
    fn four_bytes_are_found_wherever_they_stand() {
        for len in 0..70 {
            let text = vec![b'-'; len];
            assert!(!has_four(&text, *b"abca") && !has_any(&text, *b"+%\\"));
            for at in 0..len {
                let mut text = text.clone();
                text[at] = b"+%\\"[at % 3];
                assert!(has_any(&text, *b"+%\\"), "{len} {at}");
                text[at] = b'a';
                for (more, there) in (at + 1..len).zip(*b"bca") {
                    text[more] = there;
                }
                assert_eq!(has_four(&text, *b"abca"), at + 4 <= len, "{len} {at}");
            }
        }
    }

    #[test]
    fn each_byte_is_of_its_kinds() {
        for byte in 0..=u8::MAX {
            let block = Block(u8x16::splat(byte));
            let all = |is: bool| if is { 0xffff } else { 0 };
            assert_eq!(block.is_letter().bits(), all(byte.is_ascii_alphabetic()));
            assert_eq!(block.is_in(b'0', b'9').bits(), all(byte.is_ascii_digit()));
            assert_eq!(block.is(b'"').or(block.is(0xff)).bits(), all(matches!(byte, b'"' | 0xff)));
        }
    }
}
