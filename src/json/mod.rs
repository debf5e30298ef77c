//! JSON text: writing strings, finding values, shortening. It depends on `block` only.
//!
//! The input is one valid JSON value without white space between its tokens. Everything takes time linear in the text, does not
//! recurse, and does not panic: for other input the result is `None`, or text that is as invalid as the input.
//!
//! - `write`: text → JSON strings.
//! - `compact`: whether a text is valid, as lines of this library are.
//! - `scan`: where tokens and values end; the text of a string.
//! - `pointer`: JSON Pointers and look-up.
//! - `number`: numbers that no float holds.
//! - `shorten`: a valid beginning of a value; members as arrays.

mod compact;
mod number;
mod pointer;
mod scan;
mod shorten;
mod write;

pub(crate) use compact::{Flaw, check_compact, is_number};
pub(crate) use number::is_beyond_floats;
pub(crate) use pointer::{Pointer, elements, member, members};
pub(crate) use scan::{InString, escape_at, plain_string_end, scalar_end, string_end, unescape, value_end};
pub(crate) use shorten::{beginning, members_as_arrays, without_members};
pub(crate) use write::{
    Text, is_odd_at, needs_no_escape, plain_len, push_json_string, push_json_text, push_line_text, unescaped_len,
};
