//! Whether a number fits into a 64-bit float, from its digits: the parser of std needs a table of 10 KiB for it.

use std::cmp::Ordering;

/// The digits of 2^1024 - 2^970, which lies between the largest float and the next power of two. From here on numbers round to
/// infinity.
const FIRST_INFINITE: &str = "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797758720\
     7096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959\
     622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

/// Whether a valid JSON number is too large for any 64-bit float, so that it would be read as infinity.
pub(crate) fn is_beyond_floats(number: &str) -> bool {
    let number = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits =
        whole.bytes().chain(fraction.bytes()).enumerate().skip_while(|(_, digit)| *digit == b'0').peekable();
    let Some((zeros, _)) = digits.peek().copied() else { return false };
    // An exponent that no integer holds decides alone: a body is never as long as that many digits.
    let Ok(exponent) = exponent.parse::<i64>() else { return !exponent.starts_with('-') };
    let before_point = whole.len() as i64 - zeros as i64;
    match exponent.saturating_add(before_point).cmp(&(FIRST_INFINITE.len() as i64)) {
        Ordering::Equal => digits.map(|(_, digit)| digit).cmp(FIRST_INFINITE.bytes()).is_ge(),
        order => order.is_gt(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn as_std_reads(number: &str) -> bool {
        number.parse::<f64>().unwrap().is_infinite()
    }

    #[test]
    fn the_limit_is_where_floats_round_to_infinity() {
        let before = FIRST_INFINITE.strip_suffix('2').unwrap().to_owned() + "1";
        let numbers = [
            "0",
            "-0.0e999",
            "1e308",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e309",
            "-1e309",
            "0.001e312",
            "0.0001e312",
            "1e-400",
            "1e99999999999999999999",
            "1E-99999999999999999999",
            "0e99999999999999999999",
            "2e+308",
            "1e+00000000000000000000000000308",
            "123456e303",
            "123456e304",
            FIRST_INFINITE,
            &before,
            &format!("{FIRST_INFINITE}.0"),
            &format!("{before}.9"),
            &format!("{FIRST_INFINITE}0e-1"),
        ];
        for number in numbers {
            assert_eq!(is_beyond_floats(number), as_std_reads(number), "{number}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_answer_of_the_parser_of_std(
            number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?(0{0,3}[0-9]{1,2}|2[6-9][0-9]|3[01][0-9]|[0-9]{1,22}))?",
        ) {
            prop_assert_eq!(is_beyond_floats(&number), as_std_reads(&number));
        }

        #[test]
        fn so_it_is_beside_the_limit(len in 1usize..40, last in "[0-9]{0,3}", point in 0usize..40, sign in "[+]?") {
            let digits = format!("{}{last}", &FIRST_INFINITE[..len]);
            let point = point.min(digits.len() - 1) + 1;
            let (whole, fraction) = digits.split_at(point);
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            let number = format!("{whole}.{fraction}e{sign}{}", FIRST_INFINITE.len() - point);
            prop_assert_eq!(is_beyond_floats(&number), as_std_reads(&number));
        }
    }
}
