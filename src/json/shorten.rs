//! JSON text → shorter or flatter JSON text.

use super::scan::{escape_at, scalar_end, string_end, unescape, value_end};

/// A valid beginning of a value in at most `max_bytes`: an incomplete member or element at its end is dropped, and the
/// containers around it are closed. A value that is a string is cut inside. `None` if nothing would be left.
pub(crate) fn beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    if fragment.len() <= max_bytes {
        return Some(fragment.to_owned());
    }
    match fragment.as_bytes().first()? {
        b'"' => string_beginning(fragment, max_bytes),
        b'{' | b'[' => container_beginning(fragment, max_bytes),
        _ => None,
    }
}

fn container_beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    let bytes = fragment.as_bytes();
    let mut open = Vec::new();
    let mut kept: Option<(usize, usize)> = None;
    let mut at = 0;
    let mut before_value = true;
    // `at` plus the number of open containers never shrinks, so after the first place that does not fit none does.
    while at < bytes.len() && at + open.len() <= max_bytes {
        let mut complete = false;
        match bytes[at] {
            b'{' | b'[' => {
                before_value = bytes[at] == b'[';
                open.push(if bytes[at] == b'{' { '}' } else { ']' });
                at += 1;
            }
            b'}' | b']' => {
                open.pop();
                complete = true;
                at += 1;
            }
            b',' => {
                before_value = open.last() == Some(&']');
                at += 1;
            }
            b':' => {
                before_value = true;
                at += 1;
            }
            b'"' => {
                at = string_end(bytes, at)?;
                complete = before_value;
            }
            _ => {
                at = scalar_end(bytes, at);
                complete = true;
            }
        }
        if complete && at + open.len() <= max_bytes {
            kept = Some((at, open.len()));
        }
    }
    let (len, depth) = kept?;
    let mut out = fragment.get(..len)?.to_owned();
    // The containers that were open there are still open: closing one would have been a later place to keep.
    out.extend(open.get(..depth)?.iter().rev());
    Some(out)
}

fn string_beginning(fragment: &str, max_bytes: usize) -> Option<String> {
    let bytes = fragment.as_bytes();
    let room = max_bytes.checked_sub(1)?;
    let mut at = 1;
    while at < bytes.len() {
        let step = match bytes[at] {
            b'\\' => escape_at(bytes, at)?.1,
            lead => utf8_len(lead),
        };
        if at + step > room {
            break;
        }
        at += step;
    }
    if at <= 1 {
        return None;
    }
    let mut out = fragment.get(..at)?.to_owned();
    out.push('"');
    Some(out)
}

/// The length of a character by its first byte in UTF-8.
fn utf8_len(lead: u8) -> usize {
    match lead {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// An object in which each value is an array: other values are put into an array, for indexes that need one type for a key.
pub(crate) fn members_as_arrays(object: &str) -> Option<String> {
    let bytes = object.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let mut out = String::with_capacity(object.len() + 16);
    let mut copied = 0;
    let mut at = 1;
    while *bytes.get(at)? != b'}' {
        if bytes[at] == b',' {
            at += 1;
        }
        let start = string_end(bytes, at)? + 1;
        let end = value_end(bytes, start)?;
        if bytes.get(start) != Some(&b'[') {
            out.push_str(object.get(copied..start)?);
            out.push('[');
            out.push_str(object.get(start..end)?);
            out.push(']');
            copied = end;
        }
        at = end;
    }
    out.push_str(object.get(copied..)?);
    Some(out)
}

/// The value without the members of its objects, at any depth, whose key is to be left out. `None` if the text is invalid.
pub(crate) fn without_members(json: &str, is_left_out: impl Fn(&str) -> bool) -> Option<String> {
    let bytes = json.as_bytes();
    let mut out = String::with_capacity(json.len());
    // Whether each open container is an object.
    let mut open = Vec::new();
    let (mut at, mut copied, mut is_key) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => {
                is_key = bytes[at] == b'{';
                open.push(is_key);
                at += 1;
            }
            b'}' | b']' => {
                open.pop();
                is_key = false;
                at += 1;
            }
            b',' => {
                is_key = open.last() == Some(&true);
                at += 1;
            }
            b':' => {
                is_key = false;
                at += 1;
            }
            b'"' => {
                let end = string_end(bytes, at)?;
                if is_key && is_left_out(&unescape(json.get(at + 1..end - 1)?)?) {
                    // The colon, the value, and the comma behind it, or else the one before.
                    let behind = value_end(bytes, end + 1)?;
                    out.push_str(json.get(copied..at)?);
                    if bytes.get(behind) == Some(&b',') {
                        copied = behind + 1;
                    } else {
                        out.truncate(out.strip_suffix(',').map_or(out.len(), str::len));
                        copied = behind;
                    }
                    at = copied;
                } else {
                    at = end;
                }
            }
            _ => at = scalar_end(bytes, at),
        }
    }
    out.push_str(json.get(copied..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn members_are_left_out_at_any_depth() {
        let without = |json: &str| without_members(json, |key| key == "x").unwrap();
        for (json, expected) in [
            (r#"{"x":1}"#, "{}"),
            (r#"{"x":1,"a":"x"}"#, r#"{"a":"x"}"#),
            (r#"{"a":["x",{"x":{"x":[1,2]}}],"x":"},"}"#, r#"{"a":["x",{}]}"#),
            (r#"{"a":1,"x":2,"\u0078":3,"b":4}"#, r#"{"a":1,"b":4}"#),
            (r#""x""#, r#""x""#),
            ("7", "7"),
        ] {
            assert_eq!(without(json), expected);
        }
    }

    #[test]
    fn values_become_arrays() {
        assert_eq!(
            members_as_arrays(r#"{"a":"b","c":["d","e"],"f":""}"#).as_deref(),
            Some(r#"{"a":["b"],"c":["d","e"],"f":[""]}"#)
        );
        assert_eq!(members_as_arrays("{}").as_deref(), Some("{}"));
        assert_eq!(members_as_arrays("[]"), None);
        assert_eq!(members_as_arrays("{\"a"), None);
    }

    #[test]
    fn a_beginning_drops_what_is_open() {
        let fragment = r#"{"a":1,"b":[{"c":"dd"},2],"e":3}"#;
        assert_eq!(beginning(fragment, 100).as_deref(), Some(fragment));
        assert_eq!(beginning(fragment, 27).as_deref(), Some(r#"{"a":1,"b":[{"c":"dd"},2]}"#));
        assert_eq!(beginning(fragment, 25).as_deref(), Some(r#"{"a":1,"b":[{"c":"dd"}]}"#));
        assert_eq!(beginning(fragment, 23).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(beginning(fragment, 7).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(beginning(fragment, 6), None);
        assert_eq!(beginning("123456", 3), None);
        assert_eq!(beginning(r#""añ\nb""#, 5).as_deref(), Some(r#""añ""#));
        assert_eq!(beginning(r#""a\ud83d\ude00b""#, 10).as_deref(), Some(r#""a""#));
        assert_eq!(beginning("\"ñ\"", 3), None);
    }

    proptest! {
        #[test]
        fn every_beginning_parses(text in prop::collection::vec((".{0,6}", prop::collection::vec(".{0,6}", 0..4)), 0..8), max in 0_usize..200) {
            let map: serde_json::Map<String, Value> = text.into_iter().map(|(k, v)| (k, v.into())).collect();
            let fragment = Value::Object(map).to_string();
            if let Some(short) = beginning(&fragment, max) {
                prop_assert!(short.len() <= max.max(2));
                prop_assert!(serde_json::from_str::<Value>(&short).is_ok(), "{}", short);
            }
        }

        #[test]
        fn any_text_is_shortened_without_a_panic(text in any::<String>(), max in 0_usize..50) {
            let _ = beginning(&text, max);
            let _ = members_as_arrays(&text);
        }
    }
}
