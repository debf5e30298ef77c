//! What one look at a text tells: which telling characters it has, whether a name of a secret may stand beside a sign, and
//! whether a secret of a known make may begin. Most texts have nothing of it, and are not looked at again.
//!
//! Sixteen characters are looked at at a time; only those that are no letters or digits are looked at one by one.

use super::super::block::{self, Block};
use super::tells::{RARE, begins_at, tells_at, tells_beside};

/// What a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) struct Traits(u16);

impl Traits {
    pub(in crate::redact) const AT: u16 = 1;
    pub(in crate::redact) const COLON: u16 = 1 << 1;
    pub(in crate::redact) const EQUALS: u16 = 1 << 2;
    pub(in crate::redact) const PERCENT: u16 = 1 << 3;
    pub(in crate::redact) const GREATER: u16 = 1 << 4;
    pub(in crate::redact) const LESS: u16 = 1 << 5;
    pub(in crate::redact) const AMPERSAND: u16 = 1 << 6;
    pub(in crate::redact) const BACKSLASH: u16 = 1 << 7;
    pub(in crate::redact) const SEMICOLON: u16 = 1 << 8;
    /// The first byte of signs of full width.
    pub(in crate::redact) const WIDE: u16 = 1 << 9;
    /// White space within a line.
    pub(super) const SPACE: u16 = 1 << 10;
    pub(in crate::redact) const DIGIT: u16 = 1 << 11;
    /// A secret of a known make may stand in it.
    pub(super) const MAKE: u16 = 1 << 12;
    /// A secret may be named in it.
    pub(in crate::redact) const NAME: u16 = 1 << 13;
    /// It ends a word, and nothing else.
    const APART: u16 = 1 << 14;
    /// It may belong to a name that is more than a word.
    const BEYOND: u16 = 1 << 15;
    /// A word ends before it.
    const ENDS: u16 = Self::COLON | Self::EQUALS | Self::APART;
    /// What names stand before.
    const SIGNS: u16 = Self::COLON | Self::EQUALS | Self::GREATER;
    /// What encoded texts have.
    pub(in crate::redact) const ENCODED: u16 = Self::PERCENT | Self::BACKSLASH | Self::WIDE;

    /// A text that has none of these says nothing, unless by its digits.
    pub(in crate::redact) const ANY: u16 =
        Self::NAME | Self::LESS | Self::ENCODED | Self::SEMICOLON | Self::MAKE | Self::SPACE | Self::AT;

    /// What a text has; any name in it may be that of a secret.
    pub(in crate::redact) fn of(text: &str) -> Self {
        Self::with_names(text, |_| true)
    }

    /// The same, but in a short text that has nothing but plain words before its colons and equals signs, as references and
    /// URLs do, only those may name a secret that are secret by themselves.
    #[inline(always)]
    pub(in crate::redact) fn with_names(text: &str, mut is_secret: impl FnMut(&str) -> bool) -> Self {
        const MAX: usize = 256;
        let bytes = text.as_bytes();
        let mut all = 0;
        let mut names = bytes.len() > MAX;
        let mut makes = tells_at(bytes, 0) && begins_at(bytes, 0);
        let (mut digits, mut rare) = (Block::NONE, Block::NONE);
        let (mut at, mut word) = (0, 0);
        while at < bytes.len() {
            let (block, before) = Block::at(bytes, at).map_or_else(|| Block::last(bytes, at), |block| (block, 0));
            let digit = block.is_in(b'0', b'9');
            digits = digits.or(digit);
            rare = rare.or(block.is(RARE[0]).or(block.is(RARE[1])));
            let mut breaks = block.is_letter().or(digit).not() >> before;
            while breaks != 0 {
                let place = at + breaks.trailing_zeros() as usize;
                breaks &= breaks - 1;
                let has = bytes.get(place).map_or(0, |byte| OF[usize::from(*byte)]);
                all |= has;
                if tells_beside(bytes, place) && !makes {
                    makes = begins_at(bytes, place);
                }
                if has & Self::ENDS == 0 {
                    continue;
                }
                if has & Self::APART == 0 && !names {
                    names = text.get(word..place).is_none_or(|word| word.is_empty() || is_secret(word));
                }
                word = place + 1;
            }
            at += block::LEN;
        }
        let names = all & Self::SIGNS != 0 && (names || all & Self::BEYOND != 0);
        let flag = |is: bool, flag: u16| if is { flag } else { 0 };
        Self(
            all | flag(digits.bits() != 0, Self::DIGIT)
                | flag(makes || rare.bits() != 0, Self::MAKE)
                | flag(names, Self::NAME),
        )
    }

    /// Whether it has any of these.
    pub(in crate::redact) fn has(self, any: u16) -> bool {
        self.0 & any != 0
    }

    pub(in crate::redact) fn has_all(self, all: u16) -> bool {
        self.0 & all == all
    }

    const fn of_byte(byte: u8) -> u16 {
        match byte {
            b':' => Self::COLON,
            b'=' => Self::EQUALS,
            b'/' | b'?' | b',' | b'#' => Self::APART,
            b'&' => Self::AMPERSAND | Self::APART,
            b';' => Self::SEMICOLON | Self::APART,
            b'@' => Self::AT,
            0xef => Self::WIDE,
            b'%' => Self::PERCENT | Self::BEYOND,
            byte if is_name(byte) => 0,
            b'>' => Self::GREATER | Self::BEYOND,
            b'<' => Self::LESS | Self::BEYOND,
            b'\\' => Self::BACKSLASH | Self::BEYOND,
            b' ' | b'\t' => Self::SPACE | Self::BEYOND,
            _ => Self::BEYOND,
        }
    }
}

static OF: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = Traits::of_byte(byte);
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

/// Whether a byte may be a part of a name.
pub(in crate::redact) const fn is_name(byte: u8) -> bool {
    const NAME: [bool; 256] = {
        let mut name = [false; 256];
        let mut byte = 0_u8;
        loop {
            name[byte as usize] = matches!(
                byte,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80.. |
                b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$' | b'@' | b'+'
            );
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        name
    };
    NAME[byte as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(text: &str) -> bool {
        Traits::with_names(text, |name| name == "token").has(Traits::NAME)
    }

    #[test]
    fn names_are_told() {
        for text in ["a", "group:default/x", "a.b?c=d&e=f", "a/token?b=c", "hello, token", "a token"] {
            assert!(!named(text), "{text}");
        }
        let long = format!("{}:", "a".repeat(256));
        for text in ["token:x", "a/token=", "a?b=c&token=d", ":x", "a/=x", "a b:c", "a=>b", "a%3Db=c", "<a>", &long] {
            assert!(named(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_there(text in "[ -~é＝\t]{0,40}") {
            let traits = Traits::of(&text);
            for (flag, said) in [
                (Traits::AT, "@"), (Traits::COLON, ":"), (Traits::EQUALS, "="), (Traits::PERCENT, "%"), (Traits::GREATER, ">"),
                (Traits::LESS, "<"), (Traits::AMPERSAND, "&"), (Traits::BACKSLASH, "\\"), (Traits::SEMICOLON, ";"),
                (Traits::WIDE, "＝"), (Traits::SPACE, " \t"), (Traits::DIGIT, "0123456789"),
            ] {
                prop_assert_eq!(traits.has(flag), text.contains(|char| said.contains(char)), "{}", said);
            }
            prop_assert_eq!(traits.has(Traits::NAME), text.contains([':', '=', '>']));
        }
    }
}
