//! Writes small files in MaxMind's format, by its specification: <https://maxmind.github.io/MaxMind-DB/>.
#![allow(clippy::cast_possible_truncation, reason = "the files are small")]

use std::net::{IpAddr, Ipv6Addr};

/// A value of the data section.
pub(crate) enum Data {
    Text(String),
    U16(u16),
    U32(u32),
    U64(u64),
    Map(Vec<(&'static str, Data)>),
    List(Vec<Data>),
}

pub(crate) fn text(text: &str) -> Data {
    Data::Text(text.to_owned())
}

/// An entry as GeoLite2-City has it, with what else such entries have around the fields that are read.
pub(crate) fn city(city: &str, country: &str, continent: &str) -> Data {
    let names = |name: &str| Data::Map(vec![("de", text("anders")), ("en", text(name)), ("fr", text("autrement"))]);
    Data::Map(vec![
        ("city", Data::Map(vec![("geoname_id", Data::U32(2_643_743)), ("names", names(city))])),
        (
            "continent",
            Data::Map(vec![("code", text("XX")), ("geoname_id", Data::U32(6_255_148)), ("names", names(continent))]),
        ),
        ("country", Data::Map(vec![("iso_code", text(country)), ("names", names("country"))])),
        ("location", Data::Map(vec![("accuracy_radius", Data::U16(10)), ("time_zone", text("Europe/London"))])),
        ("subdivisions", Data::List(vec![Data::Map(vec![("iso_code", text("ENG")), ("names", names("England"))])])),
    ])
}

impl Data {
    fn write(&self, out: &mut Vec<u8>) {
        let number = |kind: u8, bytes: &[u8], out: &mut Vec<u8>| {
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            control(kind, bytes.len(), out);
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::U16(value) => number(5, &value.to_be_bytes(), out),
            Self::U32(value) => number(6, &value.to_be_bytes(), out),
            Self::U64(value) => number(9, &value.to_be_bytes(), out),
            Self::Map(members) => {
                control(7, members.len(), out);
                for (key, value) in members {
                    text(key).write(out);
                    value.write(out);
                }
            }
            Self::List(items) => {
                control(11, items.len(), out);
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

/// The type and the size of a value.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, long) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    out.extend(long);
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A file of this type with these networks.
pub(crate) fn file<'n>(kind: &str, networks: impl IntoIterator<Item = (&'n str, Data)>) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[Child::Nothing; 2]], Vec::new());
    for (network, value) in networks {
        let (bits, length) = bits(network);
        let at = data.len();
        value.write(&mut data);
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = Child::Data(at);
                break;
            }
            node = match nodes[node][side] {
                Child::Node(next) => next,
                Child::Nothing | Child::Data(_) => {
                    nodes.push([Child::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Child::Node(next);
                    next
                }
            };
        }
    }
    let mut out = Vec::new();
    for child in nodes.iter().flatten() {
        let value = match *child {
            Child::Nothing => nodes.len(),
            Child::Node(node) => node,
            Child::Data(at) => nodes.len() + 16 + at,
        };
        out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = Data::Map(vec![
        ("binary_format_major_version", Data::U16(2)),
        ("binary_format_minor_version", Data::U16(0)),
        ("build_epoch", Data::U64(1_795_000_000)),
        ("database_type", text(kind)),
        ("description", Data::Map(vec![("en", text("a test"))])),
        ("ip_version", Data::U16(6)),
        ("languages", Data::List(vec![text("en")])),
        ("node_count", Data::U32(nodes.len() as u32)),
        ("record_size", Data::U16(24)),
    ]);
    metadata.write(&mut out);
    out
}

/// The bits of a network and how many they are, in IPv6: IPv4 is below `::/96`.
fn bits(network: &str) -> (u128, u32) {
    let (address, length) = network.split_once('/').expect("a network has a length");
    let length: u32 = length.parse().expect("a length is a number");
    match address.parse().expect("an address") {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), length + 96),
        IpAddr::V6(ip) => (Ipv6Addr::to_bits(ip), length),
    }
}
