//! Sixteen bytes of a text at a time. It depends on no other module.

use wide::u8x16;

/// The bytes of a block.
pub(crate) const LEN: usize = 16;

/// Sixteen bytes of a text; or which of them are of a kind.
#[derive(Clone, Copy)]
pub(crate) struct Block(u8x16);

impl Block {
    /// The bytes from a place on, if there are as many as a block has.
    #[inline(always)]
    pub(crate) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().map(|block| Self(u8x16::new(*block)))
    }

    /// The bytes from a place in a text on, and how many of the block precede the place: at the end of the text, some may.
    #[inline(always)]
    pub(crate) fn from(bytes: &[u8], at: usize) -> (Self, usize) {
        Self::at(bytes, at).map_or_else(|| Self::last(bytes, at), |block| (block, 0))
    }

    /// The last bytes of a text, and how many of the block precede the place. A shorter text is filled with letters.
    #[inline(always)]
    fn last(bytes: &[u8], at: usize) -> (Self, usize) {
        if let Some(block) = bytes.last_chunk() {
            return (Self(u8x16::new(*block)), at + LEN - bytes.len());
        }
        let mut block = [b'a'; LEN];
        // Two halves, which may overlap.
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            block[..8].copy_from_slice(first);
            block[bytes.len() - 8..bytes.len()].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            block[..4].copy_from_slice(first);
            block[bytes.len() - 4..bytes.len()].copy_from_slice(last);
        } else {
            block.iter_mut().zip(bytes).for_each(|(filled, byte)| *filled = *byte);
        }
        (Self(u8x16::new(block)), at)
    }

    #[inline(always)]
    pub(crate) fn is(self, byte: u8) -> Self {
        Self(self.0.simd_eq(u8x16::splat(byte)))
    }

    #[inline(always)]
    pub(crate) fn is_in(self, first: u8, last: u8) -> Self {
        let above = self.0 - u8x16::splat(first);
        Self(above.min(u8x16::splat(last - first)).simd_eq(above))
    }

    /// ASCII letters.
    #[inline(always)]
    pub(crate) fn is_letter(self) -> Self {
        Self(self.0 | u8x16::splat(0x20)).is_in(b'a', b'z')
    }

    #[inline(always)]
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The bits of those that are not, that of the first byte the lowest.
    #[inline(always)]
    pub(crate) fn not(self) -> u32 {
        self.bits() ^ 0xffff
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        self.0.to_bitmask()
    }
}

/// The number of bytes before the first special one. `special` gives the bits of a block's special bytes; letters are none.
#[inline(always)]
pub(crate) fn ordinary_len(bytes: &[u8], special: impl Fn(Block) -> u32) -> usize {
    let (blocks, rest) = bytes.as_chunks::<LEN>();
    for (at, block) in blocks.iter().enumerate() {
        let found = special(Block(u8x16::new(*block)));
        if found != 0 {
            return at * LEN + found.trailing_zeros() as usize;
        }
    }
    let at = bytes.len() - rest.len();
    if rest.is_empty() {
        return at;
    }
    let (block, before) = Block::last(bytes, at);
    match special(block) >> before {
        0 => bytes.len(),
        found => at + found.trailing_zeros() as usize,
    }
}

/// Where the first of two bytes is, from a place on. They are no letters.
#[inline(always)]
pub(crate) fn find_either(bytes: &[u8], at: usize, one: u8, other: u8) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let len = ordinary_len(rest, |block| block.is(one).or(block.is(other)).bits());
    (len < rest.len()).then_some(at + len)
}

/// Whether a text holds another one: its first and its last byte are compared in blocks, and nothing is prepared. Where they
/// are often those of other texts, the rest is left to a search whose time is linear for any text.
pub(crate) fn holds(bytes: &[u8], text: &[u8]) -> bool {
    const MISSES: usize = 16;
    let (Some(first), Some(last)) = (text.first(), text.last()) else { return true };
    // Of each place where the text may begin, its first byte and its last.
    let Some(tails) = bytes.get(text.len() - 1..) else { return false };
    let heads = &bytes[..tails.len()];
    let (first, last) = (u8x16::splat(*first), u8x16::splat(*last));
    let places = |heads: &[u8; LEN], tails: &[u8; LEN]| {
        (u8x16::new(*heads).simd_eq(first) & u8x16::new(*tails).simd_eq(last)).to_bitmask()
    };
    let mut misses = 0;
    // Whether the text is at one of these places; `None` if it is not, and may be behind them.
    let mut is_at = |from: usize, mut found: u32| {
        while found != 0 {
            let rest = &bytes[from + found.trailing_zeros() as usize..];
            found &= found - 1;
            if rest.starts_with(text) {
                return Some(true);
            }
            misses += 1;
            if misses == MISSES {
                return Some(memchr::memmem::find(rest, text).is_some());
            }
        }
        None
    };
    for (at, (heads, tails)) in heads.as_chunks().0.iter().zip(tails.as_chunks().0).enumerate() {
        if let Some(is_held) = is_at(at * LEN, places(heads, tails)) {
            return is_held;
        }
    }
    // The last places, some of them once more.
    match (heads.last_chunk(), tails.last_chunk()) {
        (Some(last_heads), Some(last_tails)) => {
            is_at(heads.len() - LEN, places(last_heads, last_tails)).unwrap_or(false)
        }
        _ => (0..heads.len()).any(|place| bytes[place..].starts_with(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_texts_are_found_wherever_they_are() {
        for len in 0..70 {
            let text = vec![b'-'; len];
            assert_eq!((find_either(&text, 0, b'+', b'*'), holds(&text, b"+abc")), (None, false));
            for at in 0..len {
                let mut text = text.clone();
                text[at..].fill(b'+');
                assert_eq!(find_either(&text, 0, b'*', b'+'), Some(at));
                for (place, byte) in (at..len).zip(*b"+abc") {
                    text[place] = byte;
                }
                assert_eq!(holds(&text, b"+abc"), at + 4 <= len, "{len} {at}");
            }
        }
        let long = [&[b'a'; 40][..], b"b"].concat();
        assert!(holds(b"aaaa", b"a") && holds(b"aXbaXc", b"aXc") && holds(&[b"xa", &long[..]].concat(), &long));
        assert!(!holds(b"Xc", b"aXc") && !holds(&[b"xb", &long[1..]].concat(), &long));
    }
}
