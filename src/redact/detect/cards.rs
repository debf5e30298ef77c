//! Card numbers: 15 or 16 digits of an issuer's range that pass Luhn's check, in one piece or in the groups in which cards
//! are printed, with nothing alphanumeric beside them.

use std::ops::Range;

use super::run;
use crate::work;

/// The groups in which 16 and 15 digits are printed.
const GROUPS: [&[usize]; 2] = [&[4, 4, 4, 4], &[4, 6, 5]];
const MAX_DIGITS: usize = 16;
/// With fewer digits, the beginning of a card number cannot be distinguished from other numbers.
const MIN_CUT_DIGITS: usize = 12;

/// Appends the places of card numbers. At the end of a text that was cut, most of one is enough.
pub(super) fn find(text: &str, cut: bool, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at = run(bytes, at, |byte| !byte.is_ascii_digit());
            continue;
        }
        let end = run(bytes, at, |byte| byte.is_ascii_digit());
        if let Some(card) = card_at(bytes, at, end, cut) {
            at = card.end;
            found.push(card);
        } else {
            at = end;
        }
    }
}

/// Whether a number is written like a card number in one piece.
pub(in crate::redact) fn is_card_number(number: &str) -> bool {
    let bytes = number.as_bytes();
    matches!(bytes.len(), 15 | 16) && bytes.iter().all(u8::is_ascii_digit) && is_card(bytes)
}

/// The card number that begins with the digits from `start` to `end`.
fn card_at(bytes: &[u8], start: usize, end: usize, cut: bool) -> Option<Range<usize>> {
    if !begins_number(bytes, start) {
        return None;
    }
    if is_card(&bytes[start..end]) && ends_number(bytes, end) {
        return Some(start..end);
    }
    if cut && end == bytes.len() && is_open_card(&bytes[start..end]) {
        return Some(start..end);
    }
    let separator = *bytes.get(end).filter(|byte| matches!(byte, b' ' | b'-'))?;
    GROUPS.iter().find_map(|groups| grouped(bytes, start, groups, separator, cut))
}

/// The card number of these groups.
fn grouped(bytes: &[u8], start: usize, groups: &[usize], separator: u8, cut: bool) -> Option<Range<usize>> {
    let mut digits = [0; MAX_DIGITS];
    let (mut at, mut count) = (start, 0);
    for (place, len) in groups.iter().enumerate() {
        if place > 0 {
            match bytes.get(at) {
                Some(byte) if *byte == separator => at += 1,
                None => break,
                Some(_) => return None,
            }
        }
        let group = &bytes[at..bytes.len().min(at + len)];
        let is_whole = group.len() == *len || at + group.len() == bytes.len();
        work::add(group.len());
        if !is_whole || !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        digits[count..count + group.len()].copy_from_slice(group);
        count += group.len();
        at += group.len();
    }
    let digits = &digits[..count];
    if count == groups.iter().sum::<usize>() {
        // Longer sequences of hyphenated digits are ids.
        let goes_on =
            separator == b'-' && bytes.get(at) == Some(&b'-') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        return (is_card(digits) && ends_number(bytes, at) && !goes_on).then_some(start..at);
    }
    (cut && is_open_card(digits)).then_some(start..at)
}

/// Whether a number begins here: nothing alphanumeric before it, not in a fraction, not in a longer sequence of hyphenated
/// digits.
fn begins_number(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| bytes[at]);
    let Some(first) = before(1) else { return true };
    let joined = matches!(first, b'.' | b'-') && before(2).is_some_and(|byte| byte.is_ascii_digit());
    !first.is_ascii_alphanumeric() && first != b'_' && !joined
}

fn ends_number(bytes: &[u8], at: usize) -> bool {
    let Some(first) = bytes.get(at) else { return true };
    let joined = *first == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    !first.is_ascii_alphanumeric() && *first != b'_' && !joined
}

fn is_card(digits: &[u8]) -> bool {
    matches!(digits.len(), 15 | 16) && has_issuer(digits, digits.len()) && luhn(digits)
}

/// Whether digits may be the beginning of a card number that was cut.
fn is_open_card(digits: &[u8]) -> bool {
    (MIN_CUT_DIGITS..MAX_DIGITS).contains(&digits.len()) && (has_issuer(digits, 16) || has_issuer(digits, 15))
}

/// Whether digits begin like the cards of an issuer that have this length (ISO/IEC 7812, and the issuers' own tables).
fn has_issuer(digits: &[u8], len: usize) -> bool {
    let first =
        |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    match len {
        // American Express, JCB.
        15 => matches!(first(2), 34 | 37) || matches!(first(4), 1800 | 2131),
        // Visa; Mastercard; JCB; Discover and RuPay; UnionPay; Maestro; Mir.
        16 => {
            first(1) == 4
                || matches!(first(2), 51..=55 | 60 | 62 | 65 | 67 | 81 | 82)
                || matches!(first(3), 508 | 644..=649)
                || matches!(first(4), 2200..=2204 | 2221..=2720 | 3528..=3589 | 5018 | 5020 | 5038 | 5893 | 6304 | 6390)
        }
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::super::tests::found_by;
    use super::*;

    fn found(text: &str, cut: bool) -> Vec<&str> {
        found_by(|text, found| find(text, cut, found), text)
    }

    #[test]
    fn card_numbers_are_found() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "378282246310005",
            "3782 822463 10005",
            "3782-822463-10005",
            "6011111111111117",
            "3530111333300000",
            "2223003122003222",
        ] {
            for text in [
                card.to_owned(),
                format!("12 {card}, x"),
                format!("n={card}."),
                format!("\"{card}\""),
                format!("{card} 12/28 123"),
                format!("é{card}é"),
                format!("id-{card}"),
            ] {
                assert_eq!(found(&text, false), [card], "{text}");
            }
        }
    }

    #[test]
    fn other_numbers_show() {
        for text in [
            "4111111111111112",
            "1732091234567",
            "0.4111111111111111",
            "4111111111111111.5",
            "x4111111111111111",
            "4111111111111111x",
            "_4111111111111111",
            "41111111111111111111111111",
            "4111  1111 1111 1111",
            "4111\n1111\n1111\n1111",
            "4111.1111.1111.1111",
            "4111 1111-1111 1111",
            "411 1111 1111 11111",
            "41111111 11111111",
            "30569309025904",
            "4222222222222",
            "12345678-1234-1234-1234-123456789012",
            "4111-1111-1111-1111-0000",
            "2026-11-20 07:55:37.720973",
            "+49 170 1234567890",
            "1763711737720973",
            "DE89 3704 0044 0532 0130 00",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text}");
        }
        assert!(is_card_number("4111111111111111") && !is_card_number("411111111111111.11"));
    }

    #[test]
    fn most_of_a_card_number_is_found_where_a_text_was_cut() {
        for card in
            ["411111111111", "4111 1111 1111", "4111 1111 1111 ", "4111-1111-1111-11", "378282246310", "3782 822463 10"]
        {
            assert_eq!(found(&format!("paid with {card}"), true), [card]);
            assert_eq!(found(&format!("paid with {card}"), false), [""; 0]);
            assert_eq!(found(&format!("paid with {card}, ok"), true), [""; 0]);
        }
        for text in ["4111 1111 11", "in 2026", "10.0.0.1", "170123456789", "x411111111111", "4111 11111 111"] {
            assert_eq!(found(text, true), [""; 0], "{text}");
        }
    }
}
