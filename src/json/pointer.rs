//! JSON Pointers (RFC 6901): parsing one, and finding the value that it names.

use std::fmt;

use super::scan::{string_end, unescape, value_end};
use crate::block::find_either;

/// A checked JSON Pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointer {
    segments: Box<[Segment]>,
}

/// One segment of a pointer, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    text: Box<str>,
}

impl Segment {
    /// The name of a member or the index of an element.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is `*`. In rules that is any member or element; in a look-up it is a name.
    pub(crate) fn is_any(&self) -> bool {
        &*self.text == "*"
    }
}

impl Pointer {
    /// Parses a pointer: empty, or segments that each begin with `/`. `~0` is `~`, `~1` is `/`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let Some(inner) = text.strip_prefix('/') else {
            return Err(format!("JSON Pointer `{text}` has to be empty or begin with `/`"));
        };
        let is_escaped = |segment: &str| segment.split('~').skip(1).all(|piece| piece.starts_with(['0', '1']));
        if !inner.split('/').all(is_escaped) {
            return Err(format!("JSON Pointer `{text}`: `~` has to be written as `~0` (and `/` as `~1`)"));
        }
        let unescaped = |segment: &str| Segment { text: segment.replace("~1", "/").replace("~0", "~").into() };
        Ok(Self { segments: inner.split('/').map(unescaped).collect() })
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The JSON text of the value that it names.
    pub(crate) fn find<'j>(&self, json: &'j str) -> Option<&'j str> {
        self.segments.iter().try_fold(json, |value, segment| child(value, &segment.text))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| {
            f.write_str("/")?;
            f.write_str(&segment.text.replace('~', "~0").replace('/', "~1"))
        })
    }
}

/// The value of a key of an object.
pub(crate) fn member<'j>(object: &'j str, key: &str) -> Option<&'j str> {
    let first = object.strip_prefix("{\"")?;
    // Often it is the first one, and stands there as it is.
    if let Some(value) = first.strip_prefix(key).and_then(|rest| rest.strip_prefix("\":"))
        && find_either(key.as_bytes(), 0, b'"', b'\\').is_none()
    {
        let bytes = value.as_bytes();
        let end = if bytes.first() == Some(&b'"') { string_end(bytes, 0) } else { value_end(bytes, 0) };
        return value.get(..end?);
    }
    child(object, key)
}

/// The members of an object: the inside of each key's string token, and the value. Ends where the text is invalid.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let bytes = object.as_bytes();
    let mut at = 1;
    std::iter::from_fn(move || {
        if !object.starts_with('{') {
            return None;
        }
        if *bytes.get(at)? == b',' {
            at += 1;
        }
        let end = string_end(bytes, at)?;
        let key = object.get(at + 1..end - 1)?;
        // The colon.
        at = value_end(bytes, end + 1)?;
        Some((key, object.get(end + 1..at)?))
    })
}

/// The elements of a list. Ends where the text is invalid.
pub(crate) fn elements(list: &str) -> impl Iterator<Item = &str> {
    let bytes = list.as_bytes();
    let mut at = 1;
    std::iter::from_fn(move || {
        if !list.starts_with('[') {
            return None;
        }
        if *bytes.get(at)? == b',' {
            at += 1;
        }
        let begin = at;
        at = value_end(bytes, begin)?;
        list.get(begin..at)
    })
}

/// The member or element of that name.
fn child<'f>(container: &'f str, wanted: &str) -> Option<&'f str> {
    let bytes = container.as_bytes();
    let object = match bytes.first()? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let index = if object { None } else { Some(wanted.parse::<usize>().ok()?) };
    let mut at = 1;
    let mut position = 0;
    while !matches!(bytes.get(at)?, b'}' | b']') {
        if bytes[at] == b',' {
            at += 1;
        }
        let mut found = index == Some(position);
        if object {
            let end = string_end(bytes, at)?;
            let raw = container.get(at + 1..end - 1)?;
            found = if raw.contains('\\') { unescape(raw)? == wanted } else { raw == wanted };
            // The colon.
            at = end + 1;
        }
        let end = value_end(bytes, at)?;
        if found {
            return container.get(at..end);
        }
        at = end;
        position += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find<'j>(json: &'j str, pointer: &str) -> Option<&'j str> {
        Pointer::parse(pointer).ok()?.find(json)
    }

    #[test]
    fn a_pointer_names_a_value() {
        let json = r#"{"a":{"b/c":[1,"x,]}",{"d":null}],"~":true,"*":0},"\u0062":"","":{}}"#;
        assert_eq!(find(json, ""), Some(json));
        assert_eq!(find(json, "/a/b~1c/0"), Some("1"));
        assert_eq!(find(json, "/a/b~1c/1"), Some(r#""x,]}""#));
        assert_eq!(find(json, "/a/b~1c/2/d"), Some("null"));
        assert_eq!(find(json, "/a/b~1c/3"), None);
        assert_eq!(find(json, "/a/b~1c/x"), None);
        assert_eq!(find(json, "/a/~0"), Some("true"));
        assert_eq!(find(json, "/a/*"), Some("0"));
        assert_eq!(find(json, "/b"), Some("\"\""));
        assert_eq!(find(json, "/"), Some("{}"));
        assert_eq!(find("12", "/a"), None);
        assert_eq!(find("{\"a", "/a"), None);
    }

    #[test]
    fn segments_are_unescaped_once() {
        let pointer = Pointer::parse("/a~1b//c~0d~01/*/0").unwrap();
        let segments: Vec<&str> = pointer.segments().iter().map(Segment::text).collect();
        assert_eq!(segments, ["a/b", "", "c~d~1", "*", "0"]);
        let any: Vec<bool> = pointer.segments().iter().map(Segment::is_any).collect();
        assert_eq!(any, [false, false, false, true, false]);
        assert_eq!(pointer.to_string(), "/a~1b//c~0d~01/*/0");
        assert_eq!(Pointer::parse("").unwrap().segments(), []);
        assert_eq!(Pointer::parse("/").unwrap().segments().len(), 1);
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_the_reason() {
        assert!(Pointer::parse("a").unwrap_err().contains("`a` has to be empty or begin with `/`"));
        for text in ["/a~", "/~2", "/a/~x"] {
            assert!(Pointer::parse(text).unwrap_err().contains("`~0`"), "{text}");
        }
    }

    #[test]
    fn only_an_object_has_members() {
        assert_eq!(member(r#"{"a":1,"0":2}"#, "0"), Some("2"));
        assert_eq!(member("[1]", "0"), None);
    }

    #[test]
    fn a_key_is_no_other_because_its_text_stands_there() {
        let json = r#"{"a":1,"b":2,"\u0063":3}"#;
        assert_eq!(["a", "b", "c"].map(|key| member(json, key)), [Some("1"), Some("2"), Some("3")]);
        assert_eq!(["a\":1,\"b", "", "\\u0063", "a\":1"].map(|key| member(json, key)), [None; 4]);
        assert_eq!(member(r#"{"\u0063":3}"#, "\\u0063"), None);
        assert_eq!((member(r#"{"":"a\"b","c":[]}"#, ""), member("{}", "")), (Some(r#""a\"b""#), None));
    }

    proptest! {
        #[test]
        fn a_member_is_what_its_pointer_names(
            object in prop::collection::btree_map("[ab\"\\\\]{0,2}", "[ab\"\\\\]{0,3}", 0..4),
            key in "[ab\"\\\\]{0,2}",
        ) {
            let json = serde_json::to_string(&object).unwrap();
            let expected = object.get(&key).map(|value| serde_json::to_string(value).unwrap());
            prop_assert_eq!(member(&json, &key).map(str::to_owned), expected);
        }

        #[test]
        fn any_text_is_searched_without_a_panic(text in any::<String>(), pointer in any::<String>()) {
            let _ = find(&text, &pointer);
            let _ = unescape(&text);
        }
    }
}
