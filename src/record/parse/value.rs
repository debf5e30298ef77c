//! Tokens of JSON → values of a record, or what is wrong with them, with the key.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Micros;
use crate::json::unescape;

/// What was read, or what is wrong, without the value.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn bad(key: &str, what: &str) -> String {
    format!("`{key}` {what}")
}

/// The inside of a string token.
pub(super) fn inside<'l>(key: &str, value: &'l str) -> Read<&'l str> {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.ok_or_else(|| bad(key, "is not a string"))
}

pub(super) fn string<'l>(key: &str, value: &'l str) -> Read<Cow<'l, str>> {
    text_of(inside(key, value)?).ok_or_else(|| bad(key, "is no text"))
}

/// The text of the inside of a string token.
pub(super) fn text_of(inside: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        Some(inside.into())
    } else {
        unescape(inside).map(Cow::Owned)
    }
}

pub(super) fn number<N: TryFrom<u64>>(key: &str, value: &str) -> Read<N> {
    let number = value.parse::<u64>().ok().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| bad(key, "is no number, or too large"))
}

pub(super) fn ip(key: &str, value: &str) -> Read<IpAddr> {
    inside(key, value)?.parse().map_err(|_| bad(key, "is no address"))
}

/// A name that settings use too.
pub(super) fn named<T: FromStr>(key: &str, value: &str) -> Read<T> {
    inside(key, value)?.parse().map_err(|_| bad(key, "has a value that is not known"))
}

pub(super) fn known<T: Copy>(key: &str, value: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Read<T> {
    let given = inside(key, value)?;
    all.iter().copied().find(|one| name(*one) == given).ok_or_else(|| bad(key, "has a value that is not known"))
}

pub(super) fn time(key: &str, value: &str) -> Read<Micros> {
    let at: jiff::Timestamp = inside(key, value)?.parse().map_err(|_| bad(key, "is no time"))?;
    Micros::from_micros(at.as_microsecond()).ok_or_else(|| bad(key, "is no time between the years 0 and 9999"))
}

pub(super) fn milliseconds(key: &str, value: &str) -> Read<Duration> {
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let micros = || {
        let mut digits = part.bytes().chain(*b"000").take(3);
        let part = digits.try_fold(0, |sum, byte| Some(sum * 10 + char::from(byte).to_digit(10)?))?;
        whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part.into())
    };
    micros().map(Duration::from_micros).ok_or_else(|| bad(key, "is no duration in milliseconds"))
}
