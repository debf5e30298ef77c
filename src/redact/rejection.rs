//! What serde and `serde_json` say of a value that they refuse, `token: invalid type: integer `5`, expected a string`:
//! only what quotes the value is secret in it.

use std::ops::Range;

/// What is said in the program's own words alone.
const SAYINGS: &[&str] = &[
    "EOF while parsing a list",
    "EOF while parsing a string",
    "EOF while parsing a value",
    "EOF while parsing an object",
    "control character (\\u0000-\\u001F) found while parsing a string",
    "expected `,` or `]`",
    "expected `,` or `}`",
    "expected `,`",
    "expected `:`",
    "expected ident",
    "expected value",
    "invalid escape",
    "invalid number",
    "invalid unicode code point",
    "key must be a string",
    "lone leading surrogate in hex escape",
    "number out of range",
    "recursion limit exceeded",
    "trailing characters",
    "trailing comma",
    "unexpected end of hex escape",
];

/// What serde calls a value that it does not quote.
const UNQUOTED: &[&str] = &[
    "byte array",
    "enum",
    "map",
    "newtype struct",
    "newtype variant",
    "null",
    "Option value",
    "sequence",
    "struct variant",
    "tuple variant",
    "unit value",
    "unit variant",
];

/// What it calls one that it does.
const QUOTED: &[&str] = &["boolean `", "character `", "floating point `", "integer `", "string \""];

/// Where such a text quotes the value; `None` if it is anything else.
pub(super) fn secrets(text: &str) -> Option<Vec<Range<usize>>> {
    if SAYINGS.iter().any(|saying| text.strip_prefix(saying).is_some_and(is_position)) {
        return Some(Vec::new());
    }
    let refused = ["invalid type: ", "invalid value: "].into_iter().find_map(|lead| text.strip_prefix(lead))?;
    if let Some(rest) = UNQUOTED.iter().find_map(|kind| refused.strip_prefix(kind)) {
        return is_expectation(rest).then(Vec::new);
    }
    let quoted = QUOTED.iter().find_map(|kind| refused.strip_prefix(kind))?;
    let start = text.len() - quoted.len();
    // The last place where it may end: the value may hold what looks like the rest of the text.
    let quote = char::from(text.as_bytes()[start - 1]);
    let end = quoted.rfind(&format!("{quote}, expected "))?;
    is_expectation(&quoted[end + 1..]).then(|| std::iter::once(start..start + end).collect())
}

/// What the program expects, in its own words. What has a line break or a colon in it says more than that.
fn is_expectation(text: &str) -> bool {
    text.starts_with(", expected ") && !text.contains(['\n', '\r', ':'])
}

/// Nothing, or ` at line 1 column 2`.
fn is_position(rest: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = rest.strip_prefix(" at line ").and_then(|rest| rest.split_once(" column "));
    rest.is_empty() || numbers.is_some_and(|(line, column)| is_number(line) && is_number(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_quoted_is_secret() {
        for (text, quoted) in [
            ("invalid type: integer `5`, expected a string at line 1 column 12", Some("5")),
            ("invalid value: string \"a\\\"b\", expected u8", Some("a\\\"b")),
            ("invalid type: string \"a\", expected b\", expected u8", Some("a\", expected b")),
            ("invalid type: character ```, expected u8", Some("`")),
            ("invalid type: null, expected a string", Some("")),
            ("invalid type: map, expected a string", Some("")),
            ("expected `,` or `}` at line 1 column 5", Some("")),
            ("EOF while parsing a value", Some("")),
            ("invalid type: hunter2, expected a string", None),
            ("invalid type: integer `5`, expected a string\nhunter2", None),
            ("invalid type: map, expected x, password: hunter2", None),
            ("invalid type: integer `5", None),
            ("expected value: hunter2", None),
            ("expected value at line hunter column 2", None),
            ("hunter2", None),
            ("", None),
        ] {
            let found = secrets(text).map(|places| places.into_iter().map(|place| &text[place]).collect::<String>());
            assert_eq!(found.as_deref(), quoted, "{text}");
        }
    }
}
