//! Reads the ids that others gave to a request, and the host that it was addressed to; borrows, and never allocates. The
//! request's thread only keeps what was sent: whether it is right is looked at when its draft is read.
//!
//! Each of them counts only if its header stands there exactly once: of two values, one was added by somebody who could
//! not remove the other, and nothing shows which; joining logs on the wrong one misleads more than no id does.

use std::net::Ipv6Addr;
use std::ops::Range;

use http::Uri;
use http::header::{HeaderName, HeaderValue};

/// The header of the W3C's trace context.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(crate) const MAX_REQUEST_ID: usize = 128;

/// Where the two ids stand in a `traceparent`.
pub(crate) const TRACE_ID: Range<usize> = 3..35;
pub(crate) const SPAN_ID: Range<usize> = 36..52;
/// These characters are enough: whatever follows the first 55 begins with a dash, or is invalid.
pub(crate) const TRACEPARENT_BEGINNING: usize = 56;

/// DNS allows 253 characters; two more for the brackets of an address.
const MAX_HOST: usize = 255;
/// With a colon and a port.
pub(crate) const MAX_AUTHORITY: usize = MAX_HOST + 6;

/// A header as it is met on the way through all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Met<'a> {
    #[default]
    Never,
    Once(&'a HeaderValue),
    Again,
}

impl<'a> Met<'a> {
    pub(crate) fn meet(&mut self, value: &'a HeaderValue) {
        *self = if matches!(self, Self::Never) { Self::Once(value) } else { Self::Again };
    }

    /// Its value, if it stands there exactly once.
    pub(crate) fn only(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value.as_bytes()),
            Self::Never | Self::Again => None,
        }
    }
}

/// The id that a client or a proxy gave to the request: at most 128 visible ASCII characters.
///
/// Whatever is longer or holds anything else is not cut or cleaned, because it would then equal another id.
pub(crate) fn request_id(value: Option<&[u8]>) -> Option<&[u8]> {
    let id = value?;
    let fits = (1..=MAX_REQUEST_ID).contains(&id.len());
    (fits && all(id, |byte| byte.is_ascii_graphic())).then_some(id)
}

/// Trace id and parent span id of [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header).
pub(crate) fn traceparent(value: Option<&[u8]>) -> Option<(&[u8], &[u8])> {
    let (text, longer) = value?.split_at_checked(55)?;
    let hex = |range| text.get(range).filter(|part| all(part, is_lower_hex));
    let (version, trace, span, _flags) = (hex(0..2)?, hex(TRACE_ID)?, hex(SPAN_ID)?, hex(53..55)?);
    let dashes = [2, 35, 52].into_iter().all(|at| text[at] == b'-');
    if !dashes || longer.first().is_some_and(|&byte| byte != b'-') {
        return None;
    }
    // Version ff is forbidden; a later version may go on after another dash, version 00 may not.
    if version == b"ff" || (version == b"00" && !longer.is_empty()) || is_zero(trace) || is_zero(span) {
        return None;
    }
    Some((trace, span))
}

/// Whether these are ids as `traceparent` has them, but for the case of their letters: 32 and 16 hexadecimal digits, and
/// neither all zero.
pub(crate) fn are_trace_ids(trace: &str, span: &str) -> bool {
    let is_id = |id: &str, digits| {
        id.len() == digits && !is_zero(id.as_bytes()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    is_id(trace, 32) && is_id(span, 16)
}

/// What the actor addressed, as it was sent.
///
/// The authority of the target (HTTP/2's `:authority`, HTTP/1's absolute form) comes before `Host`, as
/// [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2) says.
pub(crate) fn authority<'a>(uri: &'a Uri, value: Option<&'a [u8]>) -> Option<&'a [u8]> {
    uri.host().map(str::as_bytes).or_else(|| value.map(<[u8]>::trim_ascii))
}

/// The host of an authority, without the port; an IPv6 address keeps its brackets, as in a URL. What is no host name is
/// left out.
pub(crate) fn host(authority: Option<&[u8]>) -> Option<&[u8]> {
    let authority = authority?;
    // Most have neither port nor brackets.
    if is_host(authority) { Some(authority) } else { without_port(authority).filter(|host| is_host(host)) }
}

/// Without a way out before the end, so that the compiler looks at many bytes at once: these texts are short, and right.
fn all(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    text.iter().fold(true, |all, &byte| all & is(byte))
}

/// The part before a colon and a port of at most five digits, or none.
fn without_port(authority: &[u8]) -> Option<&[u8]> {
    let colon = authority.iter().rposition(|&byte| byte == b':')?;
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    (port.len() <= 5 && port.iter().all(u8::is_ascii_digit)).then_some(host)
}

/// `host` of [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2), but for the comma, with which proxies
/// join what several parties said.
fn is_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > MAX_HOST {
        return false;
    }
    match host.strip_prefix(b"[") {
        Some(rest) => rest.strip_suffix(b"]").is_some_and(is_ipv6),
        None => all(host, |byte| NAME_CHARACTERS[usize::from(byte)]),
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// `unreserved`, `pct-encoded` and `sub-delims` without the comma. A table, because every request asks it for every byte.
const NAME_CHARACTERS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(byte, b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_zero(id: &[u8]) -> bool {
    all(id, |byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, HeaderMap};
    use proptest::prelude::*;

    use super::*;

    const ID: HeaderName = HeaderName::from_static("x-request-id");
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    fn only<'a>(headers: &'a HeaderMap, wanted: &HeaderName) -> Option<&'a [u8]> {
        let mut met = Met::default();
        headers.iter().filter(|(name, _)| *name == wanted).for_each(|(_, value)| met.meet(value));
        met.only()
    }

    #[test]
    fn a_request_id_is_128_visible_characters_at_most() {
        let longest = "x".repeat(128);
        for id in ["a", "7f3c-{\"\\}~!", longest.as_str()] {
            assert_eq!(request_id(only(&headers("x-request-id", &[id]), &ID)), Some(id.as_bytes()));
        }
        for id in ["", "a b", "a\tb", "\u{fc}", "x".repeat(129).as_str()] {
            assert_eq!(request_id(only(&headers("x-request-id", &[id]), &ID)), None, "{id}");
        }
        assert_eq!(request_id(only(&headers("x-request-id", &["a", "a"]), &ID)), None);
        assert_eq!(request_id(only(&headers("x-request-id", &["a"]), &HeaderName::from_static("x-other"))), None);
    }

    #[test]
    fn traceparent_is_read_as_w3c_says() {
        for value in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"),
            format!("fe-{TRACE}-{SPAN}-01-"),
        ] {
            assert_eq!(
                traceparent(only(&headers("traceparent", &[&value]), &TRACEPARENT)),
                Some((TRACE.as_bytes(), SPAN.as_bytes())),
                "{value}"
            );
        }
    }

    #[test]
    fn a_traceparent_that_breaks_a_rule_is_none() {
        for value in [
            String::new(),
            "00".into(),
            "-".repeat(55),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("cc-{TRACE}-{SPAN}-01more"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}0-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}\u{e9}-{SPAN}-01", &TRACE[2..]),
            format!("00_{TRACE}_{SPAN}_01"),
        ] {
            assert_eq!(traceparent(only(&headers("traceparent", &[&value]), &TRACEPARENT)), None, "{value}");
        }
        let value = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(traceparent(only(&headers("traceparent", &[&value, &value]), &TRACEPARENT)), None);
        assert_eq!(traceparent(None), None);
    }

    #[test]
    fn ids_that_an_application_names_keep_the_same_rules() {
        assert!(are_trace_ids(TRACE, SPAN));
        assert!(are_trace_ids(&TRACE.to_uppercase(), &SPAN.to_uppercase()));
        let zero = "0".repeat(32);
        for (trace, span) in [
            ("", ""),
            (TRACE, ""),
            (&TRACE[1..], SPAN),
            (TRACE, TRACE),
            (&zero, SPAN),
            (TRACE, &zero[..16]),
            (&TRACE.replace('4', "x"), SPAN),
            (&TRACE.replacen("4b", "\u{e9}", 1), SPAN),
        ] {
            assert!(!are_trace_ids(trace, span), "{trace} {span}");
        }
    }

    #[test]
    fn the_host_is_what_the_actor_addressed() {
        for (uri, value, expected) in [
            ("/", "example.com", Some("example.com")),
            ("/", "example.com:7007", Some("example.com")),
            ("/", "Example.com:", Some("Example.com")),
            ("/", "127.0.0.1:80", Some("127.0.0.1")),
            ("/", "[::1]:8080", Some("[::1]")),
            ("/", "[::1]", Some("[::1]")),
            ("/", "my_service", Some("my_service")),
            ("http://a.example:80/x", "b.example", Some("a.example")),
            ("http://user:pw@a.example/x", "b.example", Some("a.example")),
            ("https://[2001:db8::1]:1/", "b.example", Some("[2001:db8::1]")),
            ("/", "", None),
            ("/", ":80", None),
            ("/", "user@example.com", None),
            ("/", "example.com/path", None),
            ("/", "example.com:80:80", None),
            ("/", "example.com::80", None),
            ("/", "example.com:http", None),
            ("/", "example.com:123456", None),
            ("/", "a,b", None),
            ("/", "a b", None),
            ("/", "a\"b", None),
            ("/", "\u{fc}.example", None),
            ("/", "[::1", None),
            ("/", "::1", None),
            ("/", "[::1]x", None),
            ("/", "x[::1]", None),
            ("/", "[::1]]", None),
            ("/", "[example]", None),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let expected = expected.map(str::as_bytes);
            let headers = headers("host", &[value]);
            assert_eq!(host(authority(&uri, only(&headers, &HOST))), expected, "{uri} {value}");
        }
        let uri = Uri::from_static("/");
        for values in [&["a.example", "b.example"][..], &["a".repeat(256).as_str()], &[]] {
            assert_eq!(host(authority(&uri, only(&headers("host", values), &HOST))), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(0x20_u8..=0xff, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers: HeaderMap =
                    [(HOST, value.clone()), (ID, value.clone()), (HeaderName::from_static("traceparent"), value)]
                        .into_iter()
                        .collect();
                request_id(only(&headers, &ID));
                traceparent(only(&headers, &TRACEPARENT));
                host(authority(&Uri::from_static("/"), only(&headers, &HOST)));
            }
        }
    }
}
