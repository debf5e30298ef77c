//! Writes one JSON object member by member, and times and numbers.

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;

use uuid::Uuid;

use super::Record;
use crate::clock::Micros;
use crate::json::{Text as _, push_json_string, push_json_text};
use crate::redact::{Evidence, EvidenceJson, Piece, Redacted};

/// A key of the schema, which needs no escaping.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// The key and its colon.
    pub(super) plain: &'static str,
    /// The same with the opening quote of a string.
    pub(super) quote: &'static str,
    /// The same with the opening brace of an object.
    pub(super) brace: &'static str,
    /// The whole member, for a value that is not known.
    pub(super) null: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        $crate::record::json_object::Key {
            plain: concat!("\"", $name, "\":"),
            quote: concat!("\"", $name, "\":\""),
            brace: concat!("\"", $name, "\":{"),
            null: concat!("\"", $name, "\":null,"),
        }
    };
}

pub(super) use key;

/// Writes one JSON object, member by member. Each member ends with a comma; closing the object removes the last one.
///
/// What knows the length of its text is inlined, so that its copy needs no call. The rest is not: a line has dozens of members,
/// and at low rates the code is read from memory for each record.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// The text of the record, of which many values are pieces.
    text: &'o str,
    /// Where in it nothing needs an escape.
    plain: Plain<'o>,
}

impl<'o> Object<'o> {
    /// Writes members that are no pieces of a record, alone or into an object that has been opened.
    pub(super) fn of(out: &'o mut Vec<u8>) -> Self {
        Self { out, text: "", plain: Plain::default() }
    }

    /// Writes what is in a record, of whose text nothing in `plain` needs an escape.
    pub(super) fn of_record(out: &'o mut Vec<u8>, text: &'o Redacted, plain: Plain<'o>) -> Self {
        Self { out, text: text.all(), plain }
    }

    pub(super) fn open(self) -> Self {
        self.out.push(b'{');
        self
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
        push_json_text(self.out, value);
        self.out.push_text("\",");
    }

    pub(super) fn some_text(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A value that is a piece of the record.
    #[inline(always)]
    pub(super) fn piece<const C: bool>(&mut self, key: Key, piece: Piece<C, false>) {
        self.out.push_text(key.quote);
        self.end_piece(piece.range());
    }

    #[inline(always)]
    pub(super) fn some_piece<const C: bool>(&mut self, key: Key, piece: Option<Piece<C, false>>) {
        if let Some(piece) = piece {
            self.piece(key, piece);
        }
    }

    #[inline(always)]
    pub(super) fn nullable_piece<const C: bool>(&mut self, key: Key, piece: Option<Piece<C, false>>) {
        match piece {
            Some(piece) => self.piece(key, piece),
            None => self.out.push_text(key.null),
        }
    }

    #[inline(never)]
    fn end_piece(&mut self, place: Range<usize>) {
        self.push_piece(place);
        self.out.push_text("\",");
    }

    /// A path, and its query if there is one.
    pub(super) fn url<const P: bool, const Q: bool>(
        &mut self,
        key: Key,
        path: Piece<P, false>,
        query: Option<Piece<Q, false>>,
    ) {
        self.out.push_text(key.quote);
        self.push_piece(path.range());
        if let Some(query) = query {
            self.out.push(b'?');
            self.push_piece(query.range());
        }
        self.out.push_text("\",");
    }

    #[inline(always)]
    fn push_piece(&mut self, place: Range<usize>) {
        debug_assert!(place.end <= self.text.len(), "a piece of another record");
        match self.plain.get(place.clone()) {
            Some(plain) => self.out.extend_from_slice(plain),
            None => push_json_text(self.out, self.text.get(place).unwrap_or_default()),
        }
    }

    #[inline(always)]
    fn push_raw(&mut self, place: Range<usize>) {
        debug_assert!(place.end <= self.text.len(), "a piece of another record");
        if let Some(json) = self.text.as_bytes().get(place) {
            self.out.extend_from_slice(json);
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

    /// A value that is JSON, and a piece of the record.
    #[inline(always)]
    pub(super) fn some_raw_piece<const C: bool>(&mut self, key: Key, piece: Option<Piece<C, true>>) {
        if let Some(piece) = piece {
            self.out.push_text(key.plain);
            self.push_raw(piece.range());
            self.out.push(b',');
        }
    }

    /// Members that were written before.
    pub(super) fn members(&mut self, members: &[u8]) {
        self.out.extend_from_slice(members);
    }

    /// A member whose key the application chose.
    pub(super) fn named(&mut self, key: &str, fragment: &str) {
        push_json_string(self.out, key);
        self.out.push(b':');
        self.out.push_text(fragment);
        self.out.push(b',');
    }

    /// The same for a key and a value that are pieces of the record.
    pub(super) fn named_piece(&mut self, key: Evidence, value: EvidenceJson) {
        self.out.push(b'"');
        self.push_piece(key.range());
        self.out.push_text("\":");
        self.push_raw(value.range());
        self.out.push(b',');
    }

    #[inline(always)]
    pub(super) fn ip(&mut self, key: Key, ip: IpAddr) {
        self.out.push_text(key.quote);
        push_ip(self.out, ip);
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn id(&mut self, key: Key, id: Uuid) {
        self.out.push_text(key.quote);
        self.out.extend_from_slice(&id_text(id));
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn number(&mut self, key: Key, value: u64) {
        self.out.push_text(key.plain);
        push_number(self.out, value);
        self.out.push(b',');
    }

    pub(super) fn milliseconds(&mut self, key: Key, value: std::time::Duration) {
        self.out.push_text(key.plain);
        push_milliseconds(self.out, value);
        self.out.push(b',');
    }

    #[inline(always)]
    pub(super) fn time(&mut self, key: Key, at: Micros) {
        self.out.push_text(key.quote);
        self.end_time(at);
    }

    #[inline(never)]
    fn end_time(&mut self, at: Micros) {
        self.out.extend_from_slice(&time_text(at));
        self.out.push_text("\",");
    }

    #[inline(always)]
    pub(super) fn object(&mut self, key: Key, members: impl FnOnce(&mut Self)) {
        self.out.push_text(key.brace);
        members(self);
        close(self.out, b'}');
        self.out.push(b',');
    }

    pub(super) fn list<T>(&mut self, key: Key, items: &[T], member: impl Fn(&mut Self, usize, &T)) {
        self.out.push_text(key.plain);
        self.items(items, member);
        self.out.push(b',');
    }

    /// A list of objects.
    pub(super) fn items<T>(&mut self, items: &[T], member: impl Fn(&mut Self, usize, &T)) {
        self.out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            self.out.push(b'{');
            member(self, at, item);
            close(self.out, b'}');
            self.out.push(b',');
        }
        close(self.out, b']');
    }
}

/// Where in a record's text nothing is special to a format. To look for that once is cheaper than in each value.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plain<'r> {
    from: usize,
    /// The text up to the end of that part.
    text: &'r [u8],
}

impl<'r> Plain<'r> {
    /// The text of a record from its method on, up to what is special: what follows in the buffer are the path, the ids, the host,
    /// the user agent, the actor and the message. `plain_len` gives the number of bytes of a text before the first special one.
    #[inline(always)]
    pub(crate) fn of(record: &Record<'r>, plain_len: impl Fn(&[u8]) -> usize) -> Self {
        let Some(request) = &record.fields.request else { return Self::default() };
        let (from, text) = (request.method.range().start, record.text.all().as_bytes());
        let len = text.get(from..).map_or(0, plain_len);
        Self { from, text: text.get(..from + len).unwrap_or_default() }
    }

    /// The text of a place, if nothing in it is special.
    #[inline(always)]
    pub(crate) fn get(&self, place: Range<usize>) -> Option<&'r [u8]> {
        if place.start < self.from { None } else { self.text.get(place) }
    }
}

/// Ends an object or a list whose members each end in a comma.
#[inline(always)]
fn close(out: &mut Vec<u8>, bracket: u8) {
    match out.last_mut() {
        Some(last @ b',') => *last = bracket,
        _ => out.push(bracket),
    }
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
            // Nothing follows the last point.
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

/// A number. `core::fmt` takes ten times as long, and a line has a dozen numbers.
pub(crate) fn push_number(out: &mut Vec<u8>, value: u64) {
    let (first, last) = (|| pair(value / 100), || pair(value));
    match value {
        0..10 => out.push(last()[1]),
        10..100 => out.extend_from_slice(&last()),
        100..1000 => {
            let ([_, hundreds], [tens, ones]) = (first(), last());
            out.extend_from_slice(&[hundreds, tens, ones]);
        }
        _ => {
            if value >= 10_000 {
                push_number(out, value / 10_000);
            }
            out.extend_from_slice([first(), last()].as_flattened());
        }
    }
}

/// A duration in milliseconds, with three digits behind the point.
pub(crate) fn push_milliseconds(out: &mut Vec<u8>, duration: std::time::Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    push_number(out, micros / 1000);
    let ([_, tenths], [hundredths, thousandths]) = (pair(micros / 100), pair(micros));
    out.extend_from_slice(&[b'.', tenths, hundredths, thousandths]);
}

/// The last two digits of a number.
fn pair(number: u64) -> [u8; 2] {
    static TABLE: [[u8; 2]; 100] = PAIRS;
    TABLE[usize::try_from(number % 100).unwrap_or_default()]
}

/// A UUID with hyphens, in lower case.
pub(crate) fn id_text(id: Uuid) -> [u8; 36] {
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut text = [b'-'; 36];
    for (place, byte) in PLACES.into_iter().zip(id.as_bytes()) {
        text[place..place + 2].copy_from_slice(&HEX[usize::from(*byte)]);
    }
    text
}

/// `00` to `ff`.
static HEX: [[u8; 2]; 256] = {
    let mut all = [[0; 2]; 256];
    let mut at = 0;
    while at < all.len() {
        all[at] = [b"0123456789abcdef"[at / 16], b"0123456789abcdef"[at % 16]];
        at += 1;
    }
    all
};

/// RFC 3339 in UTC with microseconds.
pub(crate) fn push_time(out: &mut String, at: Micros) {
    out.push_str(std::str::from_utf8(&time_text(at)).unwrap_or_default());
}

/// The same, as bytes.
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
        text[..WHOLE].copy_from_slice(&second_text(second)[..WHOLE]);
        LAST.set((second, text));
    }
    let micros = (at.0 - second * 1_000_000).unsigned_abs();
    for (place, pair) in (WHOLE..).step_by(2).zip([pair(micros / 10_000), pair(micros / 100), pair(micros)]) {
        text[place..place + 2].copy_from_slice(&pair);
    }
    text
}

#[cold]
fn second_text(second: i64) -> Vec<u8> {
    // `Micros` is clamped when it is made: years have four digits.
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    format!("{time:.1}").into_bytes()
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
        for value in [0, 7, 10, 99, 100, 999, 1000, 9999, 10_000, 65_535, 100_000_007, u64::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, value);
            assert_eq!(text, value.to_string().into_bytes());
        }
    }

    #[test]
    fn an_id_is_what_uuid_writes() {
        for id in [0, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210, 0x9a0f_a90a << 60] {
            let id = Uuid::from_u128(id);
            assert_eq!(id_text(id), id.to_string().as_bytes());
        }
    }
}
