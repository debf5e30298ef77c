//! Card numbers: 15 or 16 digits of an issuer's range that pass Luhn's check, in one piece or in the groups in which cards
//! are printed, with nothing alphanumeric beside them.

use std::ops::Range;

use super::run;
use crate::work;

/// How card numbers are written: digits, with spaces or hyphens between groups of them.
const FORMS: [&[u8]; 4] = [b"0000000000000000", b"000000000000000", b"0000 0000 0000 0000", b"0000 000000 00000"];
/// Of a number that was cut, at least this many digits are needed to recognise a card number.
const CUT_DIGITS: Range<usize> = 12..16;

/// Appends the places of card numbers. At the end of a text that was cut, most of one is enough.
pub(super) fn find(text: &str, cut: bool, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = run(bytes, 0, |byte| !byte.is_ascii_digit());
    while at < bytes.len() {
        // None begins in a word, in a fraction, or in a longer sequence of hyphenated digits.
        let before = |back: usize| bytes.get(at.checked_sub(back)?);
        let len = issued_len(&bytes[at..]).filter(|_| !goes_on(before(1), before(2), b".-"));
        let card = len.and_then(|len| FORMS.iter().find_map(|form| written_as(form, bytes, at, len, cut)));
        let end = card.as_ref().map_or_else(|| run(bytes, at, |byte| byte.is_ascii_digit()), |card| card.end);
        found.extend(card);
        at = run(bytes, end, |byte| !byte.is_ascii_digit());
    }
}

/// Whether a number is written like a card number in one piece.
pub(in crate::redact) fn is_card_number(number: &str) -> bool {
    let bytes = number.as_bytes();
    issued_len(bytes) == Some(bytes.len()) && bytes.iter().all(u8::is_ascii_digit) && luhn(bytes)
}

/// The card number of this length that begins here in one of the forms, or what a cut left of it.
fn written_as(form: &[u8], bytes: &[u8], start: usize, len: usize, cut: bool) -> Option<Range<usize>> {
    let end = bytes.len().min(start + form.len());
    let written = &bytes[start..end];
    work::add(written.len());
    // In all forms, the first separator follows four digits.
    let separator = if written.get(4) == Some(&b'-') { b'-' } else { b' ' };
    let mut signs = written.iter().zip(form);
    if !signs.all(|(byte, sign)| if *sign == b' ' { *byte == separator } else { byte.is_ascii_digit() }) {
        return None;
    }
    let digits = written.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_number = if written.len() == form.len() {
        // Longer sequences of hyphenated digits are ids.
        let joins: &[u8] = if separator == b'-' { b".-" } else { b"." };
        digits == len && luhn(written) && !goes_on(bytes.get(end), bytes.get(end + 1), joins)
    } else {
        cut && CUT_DIGITS.contains(&digits)
    };
    is_number.then_some(start..end)
}

/// Whether the sign beside digits, and the one behind it, make them a part of something longer.
fn goes_on(beside: Option<&u8>, behind: Option<&u8>, joins: &[u8]) -> bool {
    let is_joined = |sign: &u8| joins.contains(sign) && behind.is_some_and(u8::is_ascii_digit);
    beside.is_some_and(|sign| sign.is_ascii_alphanumeric() || *sign == b'_' || is_joined(sign))
}

/// The length of the card numbers that begin with these four digits (ISO/IEC 7812, and the issuers' own tables).
fn issued_len(bytes: &[u8]) -> Option<usize> {
    let first = bytes.first_chunk::<4>().filter(|first| first.iter().all(u8::is_ascii_digit))?;
    let first = first.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    // American Express, JCB.
    if matches!(first / 100, 34 | 37) || matches!(first, 1800 | 2131) {
        return Some(15);
    }
    // Visa; Mastercard; JCB; Discover and RuPay; UnionPay; Maestro; Mir.
    let is_issued = matches!(first / 100, 40..=49 | 51..=55 | 60 | 62 | 65 | 67 | 81 | 82)
        || matches!(first / 10, 508 | 644..=649)
        || matches!(first, 2200..=2204 | 2221..=2720 | 3528..=3589 | 5018 | 5020 | 5038 | 5893 | 6304 | 6390);
    is_issued.then_some(16)
}

/// Luhn's check of the digits in a text.
fn luhn(written: &[u8]) -> bool {
    let digits = written.iter().rev().filter(|byte| byte.is_ascii_digit());
    let values = digits.enumerate().map(|(place, digit)| {
        // Every other digit is doubled; of what is above nine, the two digits are added.
        let value = u32::from(digit - b'0') << (place % 2);
        value / 10 + value % 10
    });
    values.sum::<u32>().is_multiple_of(10)
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
