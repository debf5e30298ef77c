//! One scan of a text: which signs are in it, and whether a token, a private key, the name of an authentication scheme or a
//! card number may be. Most texts have none of these and are not searched.
//!
//! The scan reads sixteen bytes at a time. Where a word begins, its first three characters are looked up in a table of bits;
//! the whole keyword is compared only if the table has them.

use std::sync::LazyLock;

use super::{pem, schemes, signatures};
use crate::block::{Block, LEN as BLOCK};
use crate::tokens::{Class, TokenFormats};
use crate::work;

/// The signs in a text, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) struct Scan(pub(super) u32);

impl Scan {
    pub(in crate::redact) const AT: u32 = 1;
    pub(in crate::redact) const COLON: u32 = 1 << 1;
    pub(in crate::redact) const EQUALS: u32 = 1 << 2;
    pub(in crate::redact) const PERCENT: u32 = 1 << 3;
    pub(in crate::redact) const BACKSLASH: u32 = 1 << 4;
    /// What separates the fields of a URL or a form: `&`, `;`, `?` or `#`.
    pub(in crate::redact) const SEPARATOR: u32 = 1 << 5;
    /// `{` or `[`.
    pub(in crate::redact) const BRACKET: u32 = 1 << 6;
    /// White space within a line.
    pub(in crate::redact) const SPACE: u32 = 1 << 7;
    pub(in crate::redact) const SLASH: u32 = 1 << 8;
    /// The name of a parameter that signs URLs.
    pub(in crate::redact) const SIGNATURE: u32 = 1 << 9;
    pub(in crate::redact) const NON_ASCII: u32 = 1 << 10;
    /// A run of digits that may be a card number.
    pub(in crate::redact) const DIGITS: u32 = 1 << 11;
    /// The keyword of a token format.
    pub(in crate::redact) const TOKEN: u32 = 1 << 12;
    /// The name of an authentication scheme, followed by a space.
    pub(in crate::redact) const SCHEME: u32 = 1 << 13;
    /// The beginning of a private key.
    pub(in crate::redact) const KEY: u32 = 1 << 14;
    /// A control character, a line break among them.
    pub(in crate::redact) const CONTROL: u32 = 1 << 15;
    /// The signs of a URL with a password; it needs all of them.
    pub(super) const USERINFO: u32 = Self::AT | Self::SLASH;

    /// For a text that is not searched.
    pub(in crate::redact) const NOTHING: Self = Self(0);

    /// Scans a text.
    #[inline]
    pub(in crate::redact) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let keywords = Keywords::shared();
        work::add(bytes.len());
        let mut all = match bytes.first_chunk() {
            Some([first, second, third]) if keywords.all.may_follow([b' ', *first, *second, *third]) => {
                keywords.begins_at(bytes, 0, [b' ', *first, *second, *third])
            }
            _ => 0,
        };
        let mut at = 0;
        // The bits of this block and the one before it, of those with digits.
        let mut number = 0;
        while at < bytes.len() {
            let (block, before) = Block::from(bytes, at);
            let rest = &bytes[at..];
            let digit = block.is_in(b'0', b'9');
            number >>= BLOCK;
            if digit.bits() >> before != 0 {
                // What card numbers are written with.
                number |= (digit.or(block.is(b' ')).or(block.is(b'-')).bits() >> before) << BLOCK;
                all |= if may_be_long(number) { Self::DIGITS } else { 0 };
            }
            let mut signs = block.is_letter().or(digit).not() >> before;
            while signs != 0 {
                let place = signs.trailing_zeros() as usize;
                signs &= signs - 1;
                if let Some(four) = rest.get(place..place + 4).and_then(<[u8]>::first_chunk::<4>) {
                    all |= OF[usize::from(four[0])];
                    if keywords.all.may_follow(*four) {
                        all |= keywords.begins_at(bytes, at + place + 1, *four);
                    }
                } else {
                    // Too near to the end for a keyword.
                    all |= rest.get(place).map_or(0, |sign| OF[usize::from(*sign)]);
                }
            }
            at += BLOCK;
        }
        Self(all)
    }

    /// Whether it has any of these.
    #[inline]
    pub(in crate::redact) fn has(self, any: u32) -> bool {
        self.0 & any != 0
    }

    /// Whether it has all of these.
    #[inline]
    pub(in crate::redact) fn has_all(self, all: u32) -> bool {
        self.0 & all == all
    }
}

/// The sign that a byte is.
static OF: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: usize = 0;
    while byte < table.len() {
        table[byte] = match byte.to_le_bytes()[0] {
            b'@' => Scan::AT,
            b':' => Scan::COLON,
            b'=' => Scan::EQUALS,
            b'%' => Scan::PERCENT,
            b'\\' => Scan::BACKSLASH,
            b'&' | b';' | b'?' | b'#' => Scan::SEPARATOR,
            b'{' | b'[' => Scan::BRACKET,
            b' ' => Scan::SPACE,
            b'\t' => Scan::SPACE | Scan::CONTROL,
            b'/' => Scan::SLASH,
            0..0x20 | 0x7f => Scan::CONTROL,
            // A few token formats have their keyword in the middle of a word, before this sign.
            b'~' => Scan::TOKEN,
            0x80.. => Scan::NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Whether twelve of these bits follow each other: a card number, or what a cut left of it, has as many digits. Two blocks that
/// follow each other hold them. Hexadecimal numbers have letters between.
#[inline(always)]
fn may_be_long(signs: u32) -> bool {
    // A bit stays set where twelve follow each other.
    let two = signs & signs >> 1;
    let four = two & two >> 2;
    four & four >> 4 & four >> 8 != 0
}

/// The keywords that a scan looks for.
struct Keywords {
    all: Beginnings,
    /// Those of no token format.
    others: Beginnings,
}

impl Keywords {
    #[inline(always)]
    fn shared() -> &'static Self {
        static SHARED: LazyLock<Box<Keywords>> = LazyLock::new(|| Box::new(Keywords::new()));
        &SHARED
    }

    fn new() -> Self {
        let schemes = schemes::SCHEMES.iter().map(|(name, _)| name);
        let words = schemes.chain(signatures::NAMES).chain([&pem::WORD]);
        let others = words.filter_map(|word| Some(word.as_bytes().first_chunk::<3>()?.map(Class::one)));
        let all = others.clone().chain(TokenFormats::shared().beginnings());
        Self { all: Beginnings::of(all), others: Beginnings::of(others) }
    }

    /// The sign of the keyword that begins at this place, behind the first of these characters; none if no keyword does.
    #[inline(never)]
    fn begins_at(&self, bytes: &[u8], at: usize, four: [u8; 4]) -> u32 {
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let may_be_other = self.others.may_follow(four);
        flag(TokenFormats::shared().begins_at(bytes, at), Scan::TOKEN)
            | flag(may_be_other && pem::begins_at(bytes, at), Scan::KEY)
            | flag(may_be_other && schemes::scheme_at(bytes, at).is_some(), Scan::SCHEME)
            | flag(may_be_other && signatures::begins_at(bytes, at), Scan::SIGNATURE)
    }
}

/// The first three characters of keywords, as a set of bits by their hash. Capital letters are as small ones.
struct Beginnings([u64; BITS / 64]);

const BITS: usize = 1 << 15;
/// First bytes of what often follows a token and is no ASCII: of dashes, quotation marks and the mark of a cut, and of
/// full-width punctuation.
const NON_ASCII_ENDS: [u8; 4] = [0xc2, 0xe2, 0xe3, 0xef];

impl Beginnings {
    /// Of all that begin with a character of each class.
    fn of(keywords: impl Iterator<Item = [Class; 3]>) -> Self {
        let mut bits = [0; BITS / 64];
        for [first, second, third] in keywords.map(|classes| classes.map(characters)) {
            for first in &first {
                for second in &second {
                    for third in &third {
                        let (word, bit) = place([0, *first, *second, *third]);
                        bits[word] |= 1 << bit;
                    }
                }
            }
        }
        Self(bits)
    }

    /// Whether what follows the first of these characters may be the beginning of a keyword.
    #[inline(always)]
    fn may_follow(&self, four: [u8; 4]) -> bool {
        let (word, bit) = place(four);
        self.0[word] >> bit & 1 != 0
    }
}

/// The first bytes of the characters of a class, with the bit set that makes a capital letter a small one.
#[inline(never)]
fn characters(class: Class) -> Vec<u8> {
    let small = (0..128_u8).filter(|byte| byte & 0x20 != 0);
    let mut bytes: Vec<u8> = small.filter(|byte| class.has(*byte) || class.has(byte & !0x20)).collect();
    if class.has(b' ') {
        bytes.extend(NON_ASCII_ENDS);
    }
    bytes
}

/// Where the bit of the last three of these characters is.
#[inline(always)]
fn place(four: [u8; 4]) -> (usize, u32) {
    // Capital letters differ from small ones by a bit.
    let three = u32::from_le_bytes(four) & !0x2020_20ff;
    let hash = three.wrapping_mul(0x9e37_79b1) >> (32 - BITS.trailing_zeros());
    (hash as usize / 64, hash % 64)
}
