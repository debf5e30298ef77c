//! Whether a secret of a known make may stand somewhere, told by three characters of its beginning.
//!
//! A beginning stands where a word begins, or has a character in it that is no letter or digit, or has one of two letters
//! that are rare: so only a few places of a text have to be looked at.

use super::makes::MAKES;

/// What `SK…` of Twilio begins with: it is no make among the others, for they are searched for by three characters.
const TWILIO: &str = "SK";
/// Letters of the beginnings that may stand in the middle of a word, and have nothing but letters and digits.
pub(super) const RARE: [u8; 2] = *b"JX";

/// Where the characters stand by which a make is told.
const TELLS: [Option<usize>; MAKES.len()] = {
    let mut tells = [None; MAKES.len()];
    let mut make = 0;
    while make < MAKES.len() {
        let (begins, kind) = &MAKES[make];
        tells[make] = if kind.begins_a_word() { Some(0) } else { first_sign(begins.as_bytes()) };
        assert!(tells[make].is_some() || has_rare(begins.as_bytes()), "a make that nothing tells");
        make += 1;
    }
    assert!(MAKES.len() < 64, "the makes do not fit into a word");
    tells
};

const fn first_sign(begins: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < begins.len() {
        if !begins[at].is_ascii_alphanumeric() {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn has_rare(begins: &[u8]) -> bool {
    let mut at = 0;
    while at < begins.len() {
        if begins[at] == RARE[0] || begins[at] == RARE[1] {
            return true;
        }
        at += 1;
    }
    false
}

/// For each byte, the makes that have it as the first, the second and the third of the characters that tell them: one bit each.
static TABLES: [[u64; 256]; 3] = {
    let mut tables = [[0; 256]; 3];
    let mut make = 0;
    while make < MAKES.len() {
        if let Some(tell) = TELLS[make] {
            let mut place = 0;
            while place < 3 {
                tables[place][MAKES[make].0.as_bytes()[tell + place] as usize] |= 1 << make;
                place += 1;
            }
        }
        make += 1;
    }
    let [first, second, third] = &mut tables;
    first[TWILIO.as_bytes()[0] as usize] |= 1 << MAKES.len();
    second[TWILIO.as_bytes()[1] as usize] |= 1 << MAKES.len();
    let mut byte = 0;
    while byte < third.len() {
        third[byte] |= 1 << MAKES.len();
        byte += 1;
    }
    tables
};

/// Whether the characters that tell a make may stand at a place where a word begins.
#[inline(always)]
pub(super) fn tells_at(text: &[u8], at: usize) -> bool {
    let Some([first, second, _]) = text.get(at..).and_then(<[u8]>::first_chunk::<3>) else { return false };
    pair(*first, *second) != 0
}

/// The same at one that is no letter or digit, or directly behind it.
#[inline(always)]
pub(super) fn tells_beside(text: &[u8], at: usize) -> bool {
    let Some([first, second, third, _]) = text.get(at..).and_then(<[u8]>::first_chunk::<4>) else { return false };
    pair(*first, *second) | pair(*second, *third) != 0
}

#[inline(always)]
fn pair(first: u8, second: u8) -> u64 {
    TABLES[0][usize::from(first)] & TABLES[1][usize::from(second)]
}

/// Whether the whole beginning of a make stands around the characters that tell it, there or directly behind.
#[inline(never)]
pub(super) fn begins_at(text: &[u8], at: usize) -> bool {
    (at..=at + 1).any(|at| {
        let Some([first, second, third]) = text.get(at..).and_then(<[u8]>::first_chunk::<3>) else { return false };
        let mut makes = pair(*first, *second) & TABLES[2][usize::from(*third)];
        while makes != 0 {
            let make = makes.trailing_zeros() as usize;
            let Some((begins, _)) = MAKES.get(make) else { return true };
            let start = TELLS[make].and_then(|tell| at.checked_sub(tell));
            if start.and_then(|start| text.get(start..)).is_some_and(|text| text.starts_with(begins.as_bytes())) {
                return true;
            }
            makes &= makes - 1;
        }
        false
    })
}
