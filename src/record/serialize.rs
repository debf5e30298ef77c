//! A record through serde, in the structure of its JSON line.

use serde_core::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::{Record, wire};
use crate::json::{elements, members, unescape};

/// The record as its JSON line shows it, keys in the same order.
impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = Vec::new();
        wire::write(self, &mut line);
        Json(std::str::from_utf8(&line).unwrap_or_default()).serialize(serializer)
    }
}

/// JSON text as the value that it says. Its depth is bounded where it was captured or read.
struct Json<'j>(&'j str);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = self.0;
        match json.as_bytes().first() {
            Some(b'{') => {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in members(json) {
                    map.serialize_entry(&unescape(key).unwrap_or_default(), &Json(value))?;
                }
                map.end()
            }
            Some(b'[') => {
                let mut list = serializer.serialize_seq(None)?;
                for element in elements(json) {
                    list.serialize_element(&Json(element))?;
                }
                list.end()
            }
            Some(b'"') => {
                let inside = json.get(1..json.len() - 1).unwrap_or_default();
                serializer.serialize_str(&unescape(inside).unwrap_or_default())
            }
            Some(b't') => serializer.serialize_bool(true),
            Some(b'f') => serializer.serialize_bool(false),
            Some(b'-' | b'0'..=b'9') => number(json, serializer),
            _ => serializer.serialize_unit(),
        }
    }
}

fn number<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(number) = json.parse::<u64>() {
        serializer.serialize_u64(number)
    } else if let Ok(number) = json.parse::<i64>() {
        serializer.serialize_i64(number)
    } else {
        serializer.serialize_f64(json.parse().unwrap_or_default())
    }
}
