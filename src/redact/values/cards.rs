//! Card numbers: 13 to 19 digits that begin as those of some network do and pass Luhn's check, in one piece or in groups.

use std::ops::Range;

use super::run;

const MIN_CARD: usize = 13;
const MAX_CARD: usize = 19;
/// So many digits tell the issuer only.
const MAX_OPEN: usize = 6;
/// How many characters may stand between two groups.
const MAX_GAP: usize = 3;

/// Whether there are enough digits and separators in a row for a card number. Such a row stands at one of every
/// [`MIN_CARD`] places.
pub(super) fn may_be(text: &str) -> bool {
    /// Bytes of digits and of separators; a few others do no harm.
    const PART: [bool; 256] = {
        let mut part = [false; 256];
        let mut byte = 0_u8;
        loop {
            part[byte as usize] = matches!(
                byte,
                b'0'..=b'9' | b' ' | b'\t' | b'-' | b'.' | b'/' | b'_' | b'+' | 0x80..=0xbf | 0xc2 | 0xe2 | 0xe3 | 0xef
            );
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        part
    };
    let is_part = |byte: &u8| PART[usize::from(*byte)];
    let bytes = text.as_bytes();
    (MIN_CARD - 1..bytes.len()).step_by(MIN_CARD).any(|at| {
        let before = || bytes[..at].iter().rev().take_while(|byte| is_part(byte)).count();
        let after = || bytes[at..].iter().take_while(|byte| is_part(byte)).count();
        is_part(&bytes[at]) && before() + after() >= MIN_CARD
    })
}

/// The length of the separator at a place: white space, a hyphen or dash of any kind, a dot, a slash, a plus sign (a space in
/// a query), an underscore, and what cannot be seen.
fn separator(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..).unwrap_or_default() {
        [b' ' | b'\t' | b'-' | b'.' | b'/' | b'_' | b'+', ..] => 1,
        // U+00A0, U+00AD, U+00B7.
        [0xc2, 0xa0 | 0xad | 0xb7, ..] => 2,
        // U+2000 to U+2015, U+2022, U+2024, U+2027, U+202F.
        [0xe2, 0x80, 0x80..=0x95 | 0xa2 | 0xa4 | 0xa7 | 0xaf, ..] => 3,
        // U+2043, U+205F, U+2060, U+2212.
        [0xe2, 0x81, 0x83 | 0x9f | 0xa0, ..] | [0xe2, 0x88, 0x92, ..] => 3,
        // U+3000, U+FE58, U+FE63, U+FEFF, U+FF0D, U+FF0E.
        [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xb9, 0x98 | 0xa3, ..]
        | [0xef, 0xbb, 0xbf, ..]
        | [0xef, 0xbc, 0x8d | 0x8e, ..] => 3,
        _ => 0,
    }
}

/// Where the next group begins, if there is one. Two spaces stand between columns.
fn behind_gap(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MAX_GAP {
        let len = separator(bytes, at);
        let columns = bytes.get(at) == Some(&b' ') && bytes.get(at + 1) == Some(&b' ');
        if len == 0 || columns {
            return None;
        }
        at += len;
        if bytes.get(at).is_some_and(u8::is_ascii_digit) {
            return Some(at);
        }
    }
    None
}

/// Where digits begin that go on to the end of a text, if they may be most of a card number: for texts that were cut.
pub(crate) fn open_at_end(bytes: &[u8]) -> Option<usize> {
    let mut digits = 0;
    let mut first = bytes.len();
    let mut at = bytes.len();
    loop {
        let before = &bytes[..at];
        let len = (1..=3).find(|len| at >= *len && separator(before, at - len) == *len);
        at = match (before.last(), len) {
            (Some(b'0'..=b'9'), _) => {
                digits += 1;
                first = at - 1;
                first
            }
            (Some(b'\n' | b'\r'), _) => at - 1,
            (_, Some(len)) => at - len,
            _ => break,
        };
    }
    (digits > MAX_OPEN).then_some(first)
}

/// Whether a JSON number is written like a card number.
pub(in crate::redact) fn is_card_number(number: &str) -> bool {
    (MIN_CARD..=MAX_CARD).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && is_card(number.bytes())
}

/// Appends the places of card numbers, in one piece or in groups with a little between them.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut next_group = None;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = run(bytes, at, usize::MAX, |byte| byte.is_ascii_digit());
        let group = at..end;
        if (MIN_CARD..=MAX_CARD).contains(&group.len())
            && stands_alone(bytes, &group)
            && is_card(bytes[group.clone()].iter().copied())
        {
            found.push(group.clone());
        }
        if next_group != Some(at) {
            groups.clear();
        }
        if matches!(group.len(), 3..=12) {
            groups.push(group);
            find_grouped(bytes, &groups, found);
            next_group = behind_gap(bytes, end);
        } else {
            groups.clear();
            next_group = None;
        }
        at = end;
    }
}

/// A card number whose last group is the last of these.
fn find_grouped(bytes: &[u8], groups: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut digits = 0;
    let mut usual = true;
    for first in (0..groups.len()).rev() {
        let len = groups[first].len();
        digits += len;
        usual &= len <= 7;
        if digits > MAX_CARD {
            return;
        }
        let card = &groups[first..];
        let whole = card[0].start..card[card.len() - 1].end;
        // As cards are printed; or, of the usual length, torn somewhere.
        let shape = if usual && len == 4 { digits >= MIN_CARD } else { len >= 4 && matches!(digits, 15 | 16) };
        if shape && card.len() > 1 && stands_alone(bytes, &whole) {
            let all = card.iter().flat_map(|group| bytes[group.clone()].iter().copied());
            if is_card(all) {
                found.push(whole);
                return;
            }
        }
    }
}

/// Not a part of a longer word or of a number with a fraction.
fn stands_alone(bytes: &[u8], range: &Range<usize>) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let before = range.start.checked_sub(1).map(|at| &bytes[at]);
    let fraction = before == Some(&b'.') && range.start >= 2 && bytes[range.start - 2].is_ascii_digit();
    !word(before) && !word(bytes.get(range.end)) && !fraction
}

/// 13 to 19 digits that begin as the cards of some network do, and pass Luhn's check.
fn is_card(digits: impl Iterator<Item = u8>) -> bool {
    let mut all = [0_u8; MAX_CARD];
    let mut len = 0;
    for digit in digits {
        let Some(slot) = all.get_mut(len) else { return false };
        *slot = digit - b'0';
        len += 1;
    }
    let all = &all[..len];
    let first = |count: usize| all.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let network = match len {
        13 => first(1) == 4,
        14 => matches!(first(2), 30 | 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37) || matches!(first(4), 1800 | 2131),
        16..=19 => {
            first(1) == 4 || matches!(first(2), 35 | 36 | 50..=65 | 81) || matches!(first(4), 2200..=2204 | 2221..=2720)
        }
        _ => false,
    };
    network && luhn(all)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_card_is_passed_over() {
        for card in [
            "4111111111111111",
            "4111-1111-1111-1111",
            "4222222222222",
            "3782 822463 10005",
            "4111\u{2013}1111\u{a0}1111.1111",
        ] {
            for before in 0..40 {
                for around in ["x", "_", "-", "1"] {
                    let text = format!("{}.{card}.{}", around.repeat(before), around.repeat(before % 3));
                    let mut all = Vec::new();
                    find(&text, &mut all);
                    assert!(all.is_empty() || may_be(&text), "{text}");
                    assert!(around == "1" || !all.is_empty(), "{text}");
                }
            }
        }
    }

    #[test]
    fn every_separator_is_one_and_most_are_seen_ahead() {
        let all = " \t-./_+\u{a0}\u{ad}\u{b7}\u{2000}\u{2009}\u{200b}\u{2010}\u{2011}\u{2013}\u{2014}\u{2022}\u{2024}\u{202f}\u{2043}\u{2060}\u{2212}\u{3000}\u{fe63}\u{feff}\u{ff0d}";
        for one in all.chars() {
            let text = format!("4111{one}1111{one}1111{one}1111");
            let mut found = Vec::new();
            find(&text, &mut found);
            assert_eq!((found.first(), found.len()), (Some(&(0..text.len())), 1), "{one:?}");
            assert!(may_be(&text), "{one:?}");
            assert_eq!(open_at_end(format!("x {text}{one}").as_bytes()), Some(2), "{one:?}");
        }
        for one in [",", ":", "x", "é", "я", "  ", "\n"] {
            let mut found = Vec::new();
            find(&format!("4111{one}1111{one}1111{one}1111"), &mut found);
            assert!(found.is_empty(), "{one:?}");
        }
        for byte in 0..=u8::MAX {
            assert!(open_at_end(&[byte]).is_none() && open_at_end(&[0xe2, 0x80, byte, b'1']).is_none());
        }
    }
}
