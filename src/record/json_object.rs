//! Writes one JSON object member by member, and times and numbers.

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;

use crate::clock::Micros;
use crate::json::{Text as _, push_json_string, push_json_text};

/// A key of the schema, which needs no escaping.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// The key and its colon.
    pub(super) plain: &'static str,
    /// The same with the opening quote of a string.
    pub(super) quote: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        $crate::record::json_object::Key { plain: concat!("\"", $name, "\":"), quote: concat!("\"", $name, "\":\"") }
    };
}

pub(super) use key;

/// Writes one JSON object, member by member. Each member ends with a comma; closing the object removes the last one.
///
/// What knows the length of its text is inlined, so that its copy needs no call. The rest is not: a line has dozens of members,
/// and at low rates the code is read from memory for each record.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// Text of which nothing needs an escape.
    plain: &'o str,
}

impl<'o> Object<'o> {
    /// Continues an object that has been opened, or writes members alone.
    pub(super) fn of(out: &'o mut Vec<u8>) -> Self {
        Self { out, plain: "" }
    }

    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        Self::open_with(out, "")
    }

    /// As [`Object::open`]. Values that are pieces of `plain` are copied as they are: nothing of it needs an escape.
    pub(super) fn open_with(out: &'o mut Vec<u8>, plain: &'o str) -> Self {
        out.push(b'{');
        Self { out, plain }
    }

    pub(super) fn close(self) {
        close(self.out, b'}');
    }

    /// A value that needs no escaping.
    #[inline(always)]
    pub(super) fn plain(&mut self, key: Key, value: &str) {
        self.out.push_text(key.quote);
        self.out.push_text(value);
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn text(&mut self, key: Key, value: &str) {
        self.out.push_text(key.quote);
        self.end_text(value);
    }

    #[inline(never)]
    fn end_text(&mut self, value: &str) {
        self.push(value);
        self.out.push_text("\",");
    }

    /// A path, and its query if there is one.
    pub(super) fn url(&mut self, key: Key, path: &str, query: Option<&str>) {
        self.out.push_text(key.quote);
        self.push(path);
        if let Some(query) = query {
            self.out.push(b'?');
            self.push(query);
        }
        self.out.push_text("\",");
    }

    #[inline(always)]
    fn push(&mut self, text: &str) {
        let begin = (text.as_ptr() as usize).wrapping_sub(self.plain.as_ptr() as usize);
        if begin <= self.plain.len() && text.len() <= self.plain.len() - begin {
            self.out.push_text(text);
        } else {
            push_json_text(self.out, text);
        }
    }

    pub(super) fn texts(&mut self, key: Key, values: &[impl AsRef<str>]) {
        self.out.push_text(key.plain);
        self.out.push(b'[');
        for value in values {
            push_json_string(self.out, value.as_ref());
            self.out.push(b',');
        }
        close(self.out, b']');
        self.out.push(b',');
    }

    pub(super) fn some_text(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn nullable_text(&mut self, key: Key, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    #[inline(always)]
    pub(super) fn raw(&mut self, key: Key, fragment: &str) {
        self.out.push_text(key.plain);
        self.out.push_text(fragment);
        self.out.push(b',');
    }

    pub(super) fn some_raw(&mut self, key: Key, fragment: Option<&str>) {
        if let Some(fragment) = fragment {
            self.raw(key, fragment);
        }
    }

    /// Members that were written before.
    pub(super) fn members(&mut self, members: &[u8]) {
        self.out.extend_from_slice(members);
    }

    /// A member whose key the application chose.
    pub(super) fn named(&mut self, key: &str, fragment: &str) {
        self.out.push(b'"');
        self.push(key);
        self.out.push_text("\":");
        self.out.push_text(fragment);
        self.out.push(b',');
    }

    #[inline(never)]
    pub(super) fn ip(&mut self, key: Key, ip: IpAddr) {
        self.out.push_text(key.quote);
        push_ip(self.out, ip);
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn number(&mut self, key: Key, value: u64) {
        self.out.push_text(key.plain);
        push_number(self.out, value, 1);
        self.out.push(b',');
    }

    pub(super) fn milliseconds(&mut self, key: Key, value: std::time::Duration) {
        self.out.push_text(key.plain);
        push_milliseconds(self.out, value);
        self.out.push(b',');
    }

    #[inline(never)]
    pub(super) fn time(&mut self, key: Key, at: Micros) {
        self.out.push_text(key.quote);
        self.out.extend_from_slice(&time_text(at));
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn object(&mut self, key: Key, members: impl FnOnce(&mut Object<'_>)) {
        self.out.push_text(key.plain);
        let mut object = Object::open_with(self.out, self.plain);
        members(&mut object);
        object.close();
        self.out.push(b',');
    }

    pub(super) fn list<T>(&mut self, key: Key, items: &[T], member: impl Fn(&mut Object<'_>, usize, &T)) {
        self.out.push_text(key.plain);
        push_list(self.out, items, member);
        self.out.push(b',');
    }
}

/// Appends a list of objects.
pub(super) fn push_list<T>(out: &mut Vec<u8>, items: &[T], member: impl Fn(&mut Object<'_>, usize, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        let mut object = Object::open(out);
        member(&mut object, at, item);
        object.close();
        out.push(b',');
    }
    close(out, b']');
}

/// Ends an object or a list whose members each end in a comma.
fn close(out: &mut Vec<u8>, bracket: u8) {
    out.pop_if(|last| *last == b',');
    out.push(bracket);
}

/// An address, without `core::fmt` for most.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let (mut text, mut len) = ([0; 16], 0);
            for octet in ip.octets().map(|octet| OCTETS[usize::from(octet)]) {
                text[len..len + 4].copy_from_slice(&octet);
                len += 2 + usize::from(octet[2] != 0) + usize::from(octet[3] != 0);
            }
            // The last point goes.
            out.extend_from_slice(&text[..len - 1]);
        }
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// `0.` to `255.`, each filled up with zeros.
static OCTETS: [[u8; 4]; 256] = {
    let mut all = [[0; 4]; 256];
    let mut at = 0;
    while at < all.len() {
        let ([_, hundreds], [tens, ones]) = (PAIRS[at / 100], PAIRS[at % 100]);
        all[at] = match at {
            0..10 => [ones, b'.', 0, 0],
            10..100 => [tens, ones, b'.', 0],
            _ => [hundreds, tens, ones, b'.'],
        };
        at += 1;
    }
    all
};

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut all = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        all[at as usize] = [b'0' + at / 10, b'0' + at % 10];
        at += 1;
    }
    all
};

/// A number with at least `least` digits. `core::fmt` takes ten times as long, and a line has a dozen numbers.
#[inline]
pub(crate) fn push_number(out: &mut Vec<u8>, value: u64, least: usize) {
    let (digits, begin) = digits(value);
    out.extend_from_slice(&digits[begin.min(digits.len() - least)..]);
}

/// A duration in milliseconds, with three digits behind the point.
pub(crate) fn push_milliseconds(out: &mut Vec<u8>, duration: std::time::Duration) {
    let (digits, begin) = digits(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    let [.., tenths, hundredths, thousandths] = digits;
    out.extend_from_slice(&digits[begin.min(digits.len() - 4)..digits.len() - 3]);
    out.extend_from_slice(&[b'.', tenths, hundredths, thousandths]);
}

/// The digits of a number, behind zeros, and where they begin.
#[inline(always)]
fn digits(value: u64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    let mut rest = value;
    while rest > 0 && begin > 0 {
        begin -= 1;
        digits[begin] = digit(rest);
        rest /= 10;
    }
    (digits, begin)
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// The last two digits of a number.
fn pair(number: u64) -> [u8; 2] {
    static TABLE: [[u8; 2]; 100] = PAIRS;
    TABLE[usize::try_from(number % 100).unwrap_or_default()]
}

/// RFC 3339 in UTC with microseconds.
pub(crate) fn push_time(out: &mut String, at: Micros) {
    out.push_str(std::str::from_utf8(&time_text(at)).unwrap_or_default());
}

/// The same as bytes.
pub(crate) fn time_text(at: Micros) -> [u8; 27] {
    /// What comes before the digits of a second's fraction.
    const WHOLE: usize = 20;
    thread_local! {
        // Most times of a thread are in the same second as the one before, so that part is kept. It needs no `Drop`, because
        // loggers may still write while the thread ends.
        static LAST: Cell<(i64, [u8; 27])> = const { Cell::new((i64::MIN, *b"0000-00-00T00:00:00.000000Z")) };
    }
    let second = at.0.div_euclid(1_000_000);
    let (last, mut text) = LAST.get();
    if last != second {
        // `Micros` is clamped when it is made: years have four digits.
        let time = jiff::Timestamp::from_second(second).unwrap_or_default();
        text[..WHOLE].copy_from_slice(&format!("{time:.1}").as_bytes()[..WHOLE]);
        LAST.set((second, text));
    }
    let micros = (at.0 - second * 1_000_000).unsigned_abs();
    for (place, pair) in (WHOLE..).step_by(2).zip([pair(micros / 10_000), pair(micros / 100), pair(micros)]) {
        text[place..place + 2].copy_from_slice(&pair);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_jiff_writes() {
        for at in [0, 1, -1, 999_999, 1_795_162_537_720_973, -62_167_219_200_000_000, 253_402_207_200_000_000] {
            for at in [at, at] {
                let mut text = String::new();
                push_time(&mut text, Micros(at));
                let expected = jiff::Timestamp::from_microsecond(at).unwrap();
                assert_eq!(text, format!("{expected:.6}"));
            }
        }
    }

    #[test]
    fn an_address_is_what_core_writes() {
        for octets in [[0, 9, 10, 99], [100, 101, 110, 199], [200, 249, 250, 255]] {
            let mut text = Vec::new();
            push_ip(&mut text, octets.into());
            assert_eq!(text, IpAddr::from(octets).to_string().into_bytes());
        }
    }

    #[test]
    fn a_duration_has_three_digits_behind_the_point() {
        for (micros, expected) in [(0, "0.000"), (7, "0.007"), (999, "0.999"), (1000, "1.000"), (123_456, "123.456")] {
            let mut text = Vec::new();
            push_milliseconds(&mut text, std::time::Duration::from_micros(micros));
            assert_eq!(text, expected.as_bytes());
        }
        let mut longest = Vec::new();
        push_milliseconds(&mut longest, std::time::Duration::MAX);
        assert_eq!(longest, b"18446744073709551.615");
    }

    #[test]
    fn a_number_is_what_core_writes() {
        for value in [0, 7, 10, 999, 1000, 65_535, u64::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, value, 1);
            push_number(&mut text, value, 3);
            assert_eq!(text, format!("{value}{value:03}").into_bytes());
        }
    }
}
