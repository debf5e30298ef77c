//! Finds the address of the client behind trusted proxies, and trusts nothing that is not configured as trusted.
//!
//! The walk: the connection's peer is hop zero. While the hop at hand is trusted, the entry that it appended to the
//! header names the next one; the first hop that is not trusted is the client. Entries are read from the right, because
//! each proxy appends on the right and whoever is left of the last trusted one can write anything. So
//!
//! * an entry that does not parse (`unknown`, `_hidden`, nothing at all) ends the walk at the last trusted hop: what
//!   stands left of it was not vouched for by anybody we know;
//! * of more than [`MAX_ENTRIES`] entries the rightmost ones count, and if all of them are trusted, the last one that was
//!   looked at is the client: filling the header from the left changes nothing;
//! * if every hop is trusted, the leftmost one is the client: the request began inside the trusted networks, and nobody
//!   stands before it. A network that is too wide (`0.0.0.0/0`) therefore lets clients write their own address.
//!
//! A Unix socket has no address, and its headers count only if `unix` is among the trusted peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use super::resolver::Peer;
use crate::error::Error;

/// How far the walk goes. Real chains have a handful of proxies; a header is under the control of strangers.
const MAX_ENTRIES: usize = 32;

/// The longest node that can be an address: `[`, 45 characters of IPv6, `%` and a zone, `]`, `:` and a port.
const MAX_NODE: usize = 96;

/// What a trusted peer can be, for messages about settings.
pub(crate) const TRUSTED_PEER_ALLOWED: &str =
    "networks such as 10.0.0.0/8 or fd00::/8, single addresses such as ::1, or the word unix for Unix sockets";

/// One peer that is trusted: a network, or every Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrustedPeer {
    Net(IpNet),
    /// A connection without a network address. To be trusted only where the server listens on Unix sockets, or tells
    /// the layer the address of every other connection.
    Unix,
}

impl FromStr for TrustedPeer {
    type Err = Error;

    /// Bits beyond the prefix are ignored (`127.0.0.1/8` is `127.0.0.0/8`), as every other program reads them.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.eq_ignore_ascii_case("unix") {
            return Ok(Self::Unix);
        }
        let net = match text.parse::<IpNet>() {
            Ok(net) => net.trunc(),
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| {
                Error::setting(format!("trusted proxies: given {text:?}, allowed are {TRUSTED_PEER_ALLOWED}"))
            })?),
        };
        Ok(Self::Net(canonical_net(net)))
    }
}

/// Who is believed, and what is read from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientIp {
    trusted: Vec<IpNet>,
    unix: bool,
    header: Option<ProxyHeader>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// The client's address, as far as trusted hops vouch for it.
    pub(crate) ip: Option<IpAddr>,
    /// The client's port, if the hop that named the client gave one.
    pub(crate) port: Option<u16>,
    /// The connection's other end, when that is not the client.
    pub(crate) peer_ip: Option<IpAddr>,
    /// Whether the connection's other end is trusted: only then do identity headers count.
    pub(crate) peer_trusted: bool,
    /// The connection's other end, always.
    direct: Option<IpAddr>,
}

impl Address {
    /// What resolvers get to know about the connection.
    pub(crate) fn peer(&self) -> Peer {
        Peer::new(self.direct, self.peer_trusted)
    }
}

impl ClientIp {
    /// The client is who these peers name in this header.
    pub(crate) fn new(trusted: impl IntoIterator<Item = TrustedPeer>, header: HeaderName) -> Self {
        let mut this = Self { header: Some(ProxyHeader::new(header)), ..Self::default() };
        for peer in trusted {
            match peer {
                TrustedPeer::Net(net) => this.trusted.push(net),
                TrustedPeer::Unix => this.unix = true,
            }
        }
        this
    }

    /// Walks from the peer to the client. `peer` is `None` for a Unix socket. Does not allocate.
    pub(crate) fn resolve(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Address {
        let direct = peer.map(|peer| peer.ip().to_canonical());
        let peer_trusted = direct.map_or(self.unix, |ip| self.trusts(ip));
        let mut address =
            Address { ip: direct, port: peer.map(|peer| peer.port()), peer_trusted, direct, peer_ip: None };
        if peer_trusted && let Some(header) = &self.header {
            for entry in header.entries_from_right(headers) {
                let Some(hop) = header.hop(entry) else { break };
                (address.ip, address.port) = (Some(hop.ip), hop.port);
                if !self.trusts(hop.ip) {
                    break;
                }
            }
        }
        address.peer_ip = direct.filter(|_| direct != address.ip);
        address
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&ip))
    }
}

/// An IPv4 network written as IPv4-mapped IPv6 is that IPv4 network, since addresses are compared in canonical form.
fn canonical_net(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).map_or(net, IpNet::V4),
        _ => net,
    }
}

/// One hop, as a proxy named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    ip: IpAddr,
    port: Option<u16>,
}

/// The one header that is read, and how.
#[derive(Clone, Debug)]
struct ProxyHeader {
    name: HeaderName,
    syntax: Syntax,
    max_entries: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    /// Addresses separated by commas, as in `X-Forwarded-For`.
    List,
    /// [RFC 7239](https://www.rfc-editor.org/rfc/rfc7239#section-4).
    Forwarded,
}

impl ProxyHeader {
    fn new(name: HeaderName) -> Self {
        let syntax = if name == FORWARDED { Syntax::Forwarded } else { Syntax::List };
        // `X-Real-IP` holds one address, the client as the proxy sees it, and no chain. Should there be more, the
        // rightmost was written last, and nothing vouches for the others.
        let max_entries = if name.as_str() == "x-real-ip" { 1 } else { MAX_ENTRIES };
        Self { name, syntax, max_entries }
    }

    fn entries_from_right<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let quoted_strings = self.syntax == Syntax::Forwarded;
        headers
            .get_all(&self.name)
            .iter()
            .rev()
            .flat_map(move |line| EntriesFromRight { rest: Some(line.as_bytes()), quoted_strings })
            .take(self.max_entries)
    }

    fn hop(&self, entry: &[u8]) -> Option<Hop> {
        match self.syntax {
            Syntax::List => parse_node(std::str::from_utf8(entry.trim_ascii()).ok()?, self.syntax),
            Syntax::Forwarded => parse_forwarded(entry),
        }
    }
}

/// Splits one header line at its commas, from the right.
///
/// Reading from the right is what keeps an attacker out: an unbalanced quotation mark in what he sent can spoil his own
/// entries, but never swallow the comma that an honest proxy put after them.
struct EntriesFromRight<'a> {
    rest: Option<&'a [u8]>,
    quoted_strings: bool,
}

impl<'a> Iterator for EntriesFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(comma) = last_comma(rest, self.quoted_strings) else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = Some(&rest[..comma]);
        Some(&rest[comma + 1..])
    }
}

fn last_comma(line: &[u8], quoted_strings: bool) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' if quoted_strings && !is_escaped(&line[..at]) => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether what follows is escaped. Exact from the right as well: a backslash stands only inside a quoted string, and
/// the mark that opens one follows a `=`.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` node of one `forwarded-element`, all of which has to be well-formed, with at most one `for`.
fn parse_forwarded(element: &[u8]) -> Option<Hop> {
    let mut node = None;
    let mut rest = element.trim_ascii();
    while !rest.is_empty() {
        // The grammar allows empty pairs.
        if let [b';', tail @ ..] = rest {
            rest = tail.trim_ascii_start();
            continue;
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&rest[..equals], &rest[equals + 1..]);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        let (value, tail) = take_value(value)?;
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
        rest = tail.trim_ascii_start();
        if !matches!(rest, [] | [b';', ..]) {
            return None;
        }
    }
    let mut buffer = [0; MAX_NODE];
    let node = node?.unescape(&mut buffer)?;
    parse_node(std::str::from_utf8(node).ok()?, Syntax::Forwarded)
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Token(&'a [u8]),
    Quoted(&'a [u8]),
}

impl<'a> Value<'a> {
    fn unescape<'b>(self, buffer: &'b mut [u8; MAX_NODE]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        let quoted = match self {
            Self::Token(token) => return Some(token),
            Self::Quoted(quoted) => quoted,
        };
        let mut length = 0;
        let mut bytes = quoted.iter();
        while let Some(byte) = bytes.next() {
            let byte = if *byte == b'\\' { bytes.next()? } else { byte };
            *buffer.get_mut(length)? = *byte;
            length += 1;
        }
        Some(&buffer[..length])
    }
}

/// A token or a quoted string, and what follows it.
fn take_value(text: &[u8]) -> Option<(Value<'_>, &[u8])> {
    if let [b'"', inner @ ..] = text {
        let mut at = 0;
        while let Some(byte) = inner.get(at) {
            match byte {
                b'"' => return Some((Value::Quoted(&inner[..at]), &inner[at + 1..])),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        return None;
    }
    // Colons and brackets would have to be quoted; many proxies do not, and nothing else can be meant.
    let end = text.iter().position(|byte| !(is_token(*byte) || b":[]".contains(byte))).unwrap_or(text.len());
    (end > 0).then(|| (Value::Token(&text[..end]), &text[end..]))
}

/// `tchar` of [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An address with an optional port. `unknown` and obfuscated names are no addresses.
fn parse_node(node: &str, syntax: Syntax) -> Option<Hop> {
    if let Some(rest) = node.strip_prefix('[') {
        let (ip, tail) = rest.split_once(']')?;
        let port = if tail.is_empty() { None } else { parse_port(tail.strip_prefix(':')?, syntax)? };
        return Some(Hop { ip: parse_ipv6(ip)?, port });
    }
    // RFC 7239 wants brackets around IPv6: without them a port cannot be told from the last group. Lists never had them.
    if syntax == Syntax::List && node.matches(':').take(2).count() == 2 {
        return Some(Hop { ip: parse_ipv6(node)?, port: None });
    }
    let (ip, port) = match node.split_once(':') {
        Some((ip, port)) => (ip, parse_port(port, syntax)?),
        None => (node, None),
    };
    Some(Hop { ip: ip.parse::<Ipv4Addr>().ok()?.into(), port })
}

/// A zone (`fe80::1%eth0`) means something on the proxy only, so it is checked and left out.
fn parse_ipv6(text: &str) -> Option<IpAddr> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let ip = ip.parse::<Ipv6Addr>().ok()?;
    if let Some(zone) = zone {
        let named = (1..=32).contains(&zone.len())
            && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte));
        if !named || !ip.is_unicast_link_local() {
            return None;
        }
    }
    Some(IpAddr::V6(ip).to_canonical())
}

/// The port, or `None` inside for one that RFC 7239 lets a proxy hide (`_http`).
fn parse_port(text: &str, syntax: Syntax) -> Option<Option<u16>> {
    if syntax == Syntax::Forwarded
        && let Some(hidden) = text.strip_prefix('_')
    {
        let named =
            !hidden.is_empty() && hidden.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        return named.then_some(None);
    }
    // `u16::from_str` takes a sign.
    if text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(Some)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client_ip(trusted: &[&str], header: &str) -> ClientIp {
        ClientIp::new(trusted.iter().map(|text| text.parse().unwrap()), header.parse().unwrap())
    }

    fn headers(name: &str, lines: &[&str]) -> HeaderMap {
        let name: HeaderName = name.parse().unwrap();
        lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The client as seen by a server whose trusted proxy 10.0.0.1 connects from port 5000.
    fn behind_proxy(header: &str, lines: &[&str]) -> String {
        let address = client_ip(&["10.0.0.0/8", "fd00::/8", "fe80::/10"], header)
            .resolve(Some("10.0.0.1:5000".parse().unwrap()), &headers(header, lines));
        match (address.ip, address.port) {
            (Some(ip), Some(port)) => format!("{ip} {port}"),
            (Some(ip), None) => ip.to_string(),
            _ => String::new(),
        }
    }

    const PEER: &str = "10.0.0.1 5000";

    #[test]
    fn nothing_is_trusted_by_default() {
        let peer = "10.0.0.1:5000".parse().unwrap();
        let headers = headers("x-forwarded-for", &["6.6.6.6"]);
        for client_ip in [ClientIp::default(), client_ip(&[], "X-Forwarded-For")] {
            let address = client_ip.resolve(Some(peer), &headers);
            assert_eq!((address.ip, address.port), (Some(peer.ip()), Some(5000)));
            assert_eq!((address.peer_ip, address.peer_trusted), (None, false));
        }
    }

    #[test]
    fn a_stranger_cannot_name_another_client() {
        let stranger = "203.0.113.9:4000".parse().unwrap();
        let address = client_ip(&["10.0.0.0/8"], "X-Forwarded-For")
            .resolve(Some(stranger), &headers("x-forwarded-for", &["6.6.6.6"]));
        assert_eq!((address.ip, address.peer_ip, address.peer_trusted), (Some(stranger.ip()), None, false));
    }

    #[test]
    fn the_peer_is_told_when_it_is_not_the_client() {
        let proxy = "10.0.0.1:5000".parse().unwrap();
        let address = client_ip(&["10.0.0.1"], "X-Forwarded-For")
            .resolve(Some(proxy), &headers("x-forwarded-for", &["203.0.113.9"]));
        assert_eq!((address.ip, address.port), (Some(ip("203.0.113.9")), None));
        assert_eq!((address.peer_ip, address.peer_trusted), (Some(proxy.ip()), true));
        assert_eq!((address.peer().ip, address.peer().trusted), (Some(proxy.ip()), true));
    }

    #[test]
    fn another_header_than_the_named_one_is_never_read() {
        let address = client_ip(&["10.0.0.0/8"], "X-Forwarded-For")
            .resolve(Some("10.0.0.1:1".parse().unwrap()), &headers("forwarded", &["for=6.6.6.6"]));
        assert_eq!(address.ip, Some(ip("10.0.0.1")));
    }

    #[test]
    fn lists_are_walked_from_the_right() {
        for (lines, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
            (&["6.6.6.6,203.0.113.9 ,\t10.0.0.7 "], "203.0.113.9"),
            (&["6.6.6.6", "203.0.113.9", "10.0.0.7"], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9", "10.0.0.7, 10.0.0.8"], "203.0.113.9"),
            // All hops trusted: the leftmost one.
            (&["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
            // What does not parse ends the walk at the last trusted hop.
            (&["203.0.113.9, unknown"], PEER),
            (&["203.0.113.9, unknown, 10.0.0.7"], "10.0.0.7"),
            (&["203.0.113.9, _hidden, 10.0.0.7"], "10.0.0.7"),
            (&["203.0.113.9,, 10.0.0.7"], "10.0.0.7"),
            (&["203.0.113.9,"], PEER),
            (&["203.0.113.9", ""], PEER),
            (&[""], PEER),
            (&[], PEER),
            (&["203.0.113.9 10.0.0.7"], PEER),
            (&["203.0.113"], PEER),
            (&["203.0.113.256"], PEER),
            (&["0203.0.113.9"], PEER),
            (&["0xcb.0.113.9"], PEER),
            (&["\u{fc}"], PEER),
            (&["\"203.0.113.9\""], PEER),
        ] {
            assert_eq!(behind_proxy("X-Forwarded-For", lines), expected, "{lines:?}");
            assert_eq!(behind_proxy("Client-Chain", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn addresses_in_lists_come_with_and_without_ports() {
        for (entry, expected) in [
            ("203.0.113.9:4711", "203.0.113.9 4711"),
            ("203.0.113.9:0", "203.0.113.9 0"),
            ("203.0.113.9:65535", "203.0.113.9 65535"),
            ("203.0.113.9:65536", PEER),
            ("203.0.113.9:000001", PEER),
            ("203.0.113.9:+80", PEER),
            ("203.0.113.9:_http", PEER),
            ("203.0.113.9:", PEER),
            ("2001:db8::9", "2001:db8::9"),
            ("2001:DB8:0:0:0:0:0:9", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("[2001:db8::9]:4711", "2001:db8::9 4711"),
            ("[2001:db8::9]4711", PEER),
            ("[2001:db8::9", PEER),
            ("[203.0.113.9]", PEER),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9 80"),
            ("fe80::9%eth0", "fe80::9"),
            ("[fe80::9%25eth0]:80", "fe80::9 80"),
            ("fe80::9%", PEER),
            ("2001:db8::9%eth0", PEER),
            ("203.0.113.9%eth0", PEER),
        ] {
            assert_eq!(behind_proxy("X-Forwarded-For", &[entry]), expected, "{entry}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_says() {
        for (lines, expected) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["For=203.0.113.9"], "203.0.113.9"),
            (&["FOR=\"203.0.113.9\""], "203.0.113.9"),
            (&["for=\"203.0.113.9:4711\""], "203.0.113.9 4711"),
            (&["for=203.0.113.9:4711"], "203.0.113.9 4711"),
            (&["for=\"203.0.113.9:_http\""], "203.0.113.9"),
            (&["for=\"203.0.113.9:_\""], PEER),
            (&["for=\"203.0.113.9:http\""], PEER),
            (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17 4711"),
            (&["for=\"[2001:db8:cafe::17]\""], "2001:db8:cafe::17"),
            (&["for=[2001:db8:cafe::17]"], "2001:db8:cafe::17"),
            (&["for=\"2001:db8:cafe::17\""], PEER),
            (&["for=\"[::ffff:203.0.113.9]\""], "203.0.113.9"),
            (&["for=\"\\2\\03.0.113.9\""], "203.0.113.9"),
            (&["for=203.0.113.9;proto=http;by=10.0.0.1"], "203.0.113.9"),
            (&["by=10.0.0.1;proto=http;for=203.0.113.9"], "203.0.113.9"),
            (&["proto=http; for=203.0.113.9 ;;"], "203.0.113.9"),
            (&["for=6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
            (&["for=6.6.6.6, for=203.0.113.9, for=10.0.0.7"], "203.0.113.9"),
            (&["for=6.6.6.6", "for=203.0.113.9;proto=https", "for=10.0.0.7"], "203.0.113.9"),
            // A comma or a semicolon inside a quoted string separates nothing.
            (&["for=203.0.113.9;host=\"a, for=6.6.6.6\""], "203.0.113.9"),
            (&["for=203.0.113.9;host=\"a\\\", for=6.6.6.6\""], "203.0.113.9"),
            (&["for=203.0.113.9;host=\"a;for=6.6.6.6\""], "203.0.113.9"),
            (&["for=203.0.113.9;host=\"a\\\\\", for=10.0.0.7"], "203.0.113.9"),
            // Nor can a mark that is left open reach into what a proxy appended.
            (&["for=\"6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
            (&["host=\"\\, for=203.0.113.9"], "203.0.113.9"),
            // Not an address, or not well-formed.
            (&["for=unknown"], PEER),
            (&["for=\"unknown:80\""], PEER),
            (&["for=_gazonk"], PEER),
            (&["for=\"_SEVKISEK\", for=10.0.0.7"], "10.0.0.7"),
            (&["for=203.0.113.9, proto=http"], PEER),
            (&["for=203.0.113.9;for=6.6.6.6"], PEER),
            (&["for=203.0.113.9 proto=http"], PEER),
            (&["for =203.0.113.9"], PEER),
            (&["for= 203.0.113.9"], PEER),
            (&["for=\"203.0.113.9"], PEER),
            (&["for=\"203.0.113.9\\"], PEER),
            (&["for="], PEER),
            (&["for"], PEER),
            (&["=203.0.113.9"], PEER),
            (&["203.0.113.9"], PEER),
            (&[";"], PEER),
            (&[""], PEER),
        ] {
            assert_eq!(behind_proxy("Forwarded", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_long_quoted_node_is_no_address() {
        assert_eq!(behind_proxy("Forwarded", &[&format!("for=\"{}\"", "1".repeat(5000))]), PEER);
        assert_eq!(behind_proxy("Forwarded", &[&format!("for={}", "1".repeat(5000))]), PEER);
    }

    #[test]
    fn x_real_ip_is_one_address_and_no_chain() {
        assert_eq!(behind_proxy("X-Real-IP", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind_proxy("X-Real-IP", &["6.6.6.6", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind_proxy("X-Real-IP", &["6.6.6.6", "10.0.0.7"]), "10.0.0.7");
        assert_eq!(behind_proxy("X-Real-IP", &["nonsense"]), PEER);
    }

    #[test]
    fn only_the_rightmost_entries_count() {
        let line = |trusted: usize| {
            let chain: Vec<String> = (1..=trusted).rev().map(|at| format!("10.0.1.{at}")).collect();
            format!("203.0.113.9, {}", chain.join(", "))
        };
        assert_eq!(behind_proxy("X-Forwarded-For", &[&line(31)]), "203.0.113.9");
        assert_eq!(behind_proxy("X-Forwarded-For", &[&line(32)]), "10.0.1.32");
        assert_eq!(behind_proxy("X-Forwarded-For", &[&line(200)]), "10.0.1.32");
        let stuffed = format!("{}203.0.113.9", "6.6.6.6,".repeat(5000));
        assert_eq!(behind_proxy("X-Forwarded-For", &[&stuffed]), "203.0.113.9");
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = "[::ffff:10.0.0.1]:5000".parse().unwrap();
        for trusted in ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1"] {
            let address = client_ip(&[trusted], "X-Forwarded-For")
                .resolve(Some(mapped), &headers("x-forwarded-for", &["::ffff:203.0.113.9"]));
            assert_eq!(address.ip, Some(ip("203.0.113.9")), "{trusted}");
            assert_eq!(address.peer_ip, Some(ip("10.0.0.1")), "{trusted}");
        }
        // All of IPv6 is not all of IPv4.
        assert!(!client_ip(&["::/0"], "X-Forwarded-For").resolve(Some(mapped), &HeaderMap::new()).peer_trusted);
    }

    #[test]
    fn a_unix_socket_has_no_address_and_is_trusted_only_by_name() {
        let headers = headers("x-forwarded-for", &["6.6.6.6, 203.0.113.9"]);
        let stranger = client_ip(&["0.0.0.0/0", "::/0"], "X-Forwarded-For").resolve(None, &headers);
        assert_eq!(stranger, Address::default());
        let local = client_ip(&["Unix"], "X-Forwarded-For").resolve(None, &headers);
        assert_eq!((local.ip, local.peer_ip, local.peer_trusted), (Some(ip("203.0.113.9")), None, true));
        let silent = client_ip(&["unix"], "X-Forwarded-For").resolve(None, &HeaderMap::new());
        assert_eq!((silent.ip, silent.port, silent.peer_trusted), (None, None, true));
    }

    #[test]
    fn what_is_no_peer_is_refused_with_what_is_allowed() {
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/", "::1%lo", "*", "10.0.0.1:80"] {
            let error = text.parse::<TrustedPeer>().unwrap_err();
            assert!(error.kind() == crate::ErrorKind::Setting && error.to_string().contains("10.0.0.0/8"), "{error}");
        }
        assert_eq!("127.0.0.1/8".parse::<TrustedPeer>().unwrap(), "127.0.0.0/8".parse().unwrap());
    }

    fn public_ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        ]
        .prop_map(|ip| ip.to_canonical())
        .prop_filter("not one of the proxies", |ip| !"10.0.0.0/8".parse::<IpNet>().unwrap().contains(ip))
    }

    /// What an attacker sends: any bytes a header can carry, with the characters that matter made likely.
    fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => proptest::sample::select(&b"\",\\;=[]:% for1.unknown_"[..]),
            1 => (0x20_u8..=0xff).prop_filter("not allowed in a header", |byte| *byte != 0x7f),
        ];
        proptest::collection::vec(byte, 0..60)
    }

    fn forwarded(ip: IpAddr, host: &str) -> String {
        let node = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let host = host.replace('\\', "\\\\").replace('"', "\\\"");
        format!("for={node};host=\"{host}\"")
    }

    proptest! {
        #[test]
        fn an_attacker_left_of_honest_proxies_changes_nothing(
            client in public_ip(),
            mut lines in proptest::collection::vec(hostile_line(), 0..4),
            host in "[ -~]{0,20}",
            inner in proptest::collection::vec((any::<u16>(), any::<bool>()), 0..4),
            new_line in any::<bool>(),
            rfc in any::<bool>(),
        ) {
            let name = if rfc { "forwarded" } else { "x-forwarded-for" };
            let entry = |ip: IpAddr| if rfc { forwarded(ip, &host) } else { ip.to_string() };
            let mut append = |entry: String, new_line: bool| match lines.last_mut() {
                Some(line) if !new_line => {
                    line.extend_from_slice(b", ");
                    line.extend_from_slice(entry.as_bytes());
                }
                _ => lines.push(entry.into_bytes()),
            };
            append(entry(client), new_line);
            for (host, new_line) in inner {
                append(entry(Ipv4Addr::from(0x0a00_0000 | u32::from(host)).into()), new_line);
            }
            let name: HeaderName = name.parse().unwrap();
            let headers: HeaderMap =
                lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap())).collect();
            let address = client_ip(&["10.0.0.0/8"], name.as_str()).resolve(Some("10.0.0.1:1".parse().unwrap()), &headers);
            prop_assert_eq!(address.ip, Some(client));
        }

        #[test]
        fn any_bytes_end_at_an_address(lines in proptest::collection::vec(hostile_line(), 0..5), rfc in any::<bool>()) {
            let name = if rfc { FORWARDED } else { HeaderName::from_static("x-forwarded-for") };
            let headers: HeaderMap =
                lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap())).collect();
            let address = client_ip(&["0.0.0.0/0", "::/0"], name.as_str())
                .resolve(Some("10.0.0.1:1".parse().unwrap()), &headers);
            prop_assert!(address.ip.is_some());
        }

        #[test]
        fn splitting_from_the_right_agrees_with_reading_from_the_left(
            hosts in proptest::collection::vec("[ -~]{0,20}", 1..6),
        ) {
            let elements: Vec<String> = hosts.iter().map(|host| forwarded(Ipv4Addr::LOCALHOST.into(), host)).collect();
            let line = elements.join(",");
            let mut split: Vec<&[u8]> =
                EntriesFromRight { rest: Some(line.as_bytes()), quoted_strings: true }.collect();
            split.reverse();
            let elements: Vec<&[u8]> = elements.iter().map(String::as_bytes).collect();
            prop_assert_eq!(split, elements);
        }
    }
}
