//! What redaction changed: the places in which the body of a record differs from the body that was sent.

use super::json::{Node, escaped, unescaped};

/// A place that was changed.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    /// JSON Pointer into the body that was sent.
    pub(crate) pointer: String,
    pub(crate) part: Part,
    pub(crate) before: String,
    pub(crate) after: String,
    /// Null or empty before: nothing was hidden.
    pub(crate) was_empty: bool,
}

/// What of a place was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Value,
    Key,
}

/// All changes, from the beginning of the body to its end.
pub(crate) fn changes(sent: &Node, recorded: &Node) -> Vec<Change> {
    let mut found = Vec::new();
    walk(sent, recorded, &mut String::new(), &mut found);
    found
}

fn walk(sent: &Node, recorded: &Node, pointer: &mut String, found: &mut Vec<Change>) {
    let length = pointer.len();
    match (sent, recorded) {
        (Node::Object(before), Node::Object(after)) if before.len() == after.len() => {
            for ((key, value), (recorded_key, recorded_value)) in before.iter().zip(after) {
                pointer.push('/');
                pointer.push_str(&escaped(key));
                if key != recorded_key {
                    found.push(Change {
                        pointer: pointer.clone(),
                        part: Part::Key,
                        before: key.clone(),
                        after: recorded_key.clone(),
                        was_empty: false,
                    });
                }
                walk(value, recorded_value, pointer, found);
                pointer.truncate(length);
            }
        }
        (Node::List(before), Node::List(after)) if before.len() == after.len() => {
            for (at, (value, recorded_value)) in before.iter().zip(after).enumerate() {
                pointer.push_str(&format!("/{at}"));
                walk(value, recorded_value, pointer, found);
                pointer.truncate(length);
            }
        }
        _ if sent == recorded => {}
        _ => found.push(Change {
            pointer: pointer.clone(),
            part: Part::Value,
            before: sent.to_json(),
            after: recorded.to_json(),
            was_empty: sent.is_empty(),
        }),
    }
}

/// Whether one of two pointers names the other's place, or one above it.
pub(crate) fn is_one_line(one: &str, other: &str) -> bool {
    let is_at_or_above = |upper: &str, lower: &str| {
        lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_at_or_above(one, other) || is_at_or_above(other, one)
}

/// The last segment of a pointer that is not an index.
pub(crate) fn key_of(pointer: &str) -> String {
    let is_index = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_digit());
    pointer.rsplit('/').find(|segment| !is_index(segment)).map_or_else(|| "(whole body)".to_owned(), unescaped)
}
