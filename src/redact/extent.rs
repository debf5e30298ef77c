//! Where a value in free text ends. When in doubt, more belongs to it.
//!
//! A quoted value ends with its quotes; one in brackets with them, on whatever line, or with the text. Anything else goes
//! on to the end of the line and over the lines below it that are indented deeper, but not into a bracket that closes what
//! was opened before the name, nor over a comma with another name after it.

use std::ops::Range;

use super::values::is_name;

/// How far ahead the name of a following pair is looked for.
const MAX_AHEAD: usize = 96;

/// What has been passed on the way to a name.
#[derive(Debug, Default)]
pub(super) struct Around {
    until: usize,
    /// Where the line begins.
    line: usize,
    /// Which line has which column, so that names of one line share it.
    known: Option<(usize, usize)>,
    /// What closes the brackets that are open.
    open: Vec<u8>,
}

impl Around {
    /// Goes on to `until`.
    pub(super) fn advance(&mut self, bytes: &[u8], until: usize) {
        for (at, byte) in bytes.iter().enumerate().take(until).skip(self.until) {
            match *byte {
                b'\n' => self.line = at + 1,
                b'(' | b'[' | b'{' => self.open.extend(closing(*byte)),
                b')' | b']' | b'}' => {
                    self.open.pop_if(|open| open == byte);
                }
                _ => {}
            }
        }
        self.until = self.until.max(until);
        if self.known.is_none_or(|known| known.0 != self.line) {
            self.known = Some((self.line, self.column_of_line(bytes)));
        }
    }

    /// Goes on to `until` over a value, whose brackets are its own.
    pub(super) fn skip(&mut self, bytes: &[u8], until: usize) {
        if let Some(newline) = bytes.get(self.until..until).and_then(|value| memchr::memrchr(b'\n', value)) {
            self.line = self.until + newline + 1;
        }
        self.until = self.until.max(until);
    }

    /// At which column the first thing on the line stands that is no dash of a list.
    fn column(&self) -> usize {
        self.known.map_or(0, |known| known.1)
    }

    fn column_of_line(&self, bytes: &[u8]) -> usize {
        let lead = bytes[self.line..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = &bytes[self.line + lead..];
        let dashes = rest.chunks(2).take_while(|pair| **pair == *b"- ").count();
        lead + 2 * dashes
    }
}

fn closing(open: u8) -> Option<u8> {
    match open {
        b'(' => Some(b')'),
        b'[' => Some(b']'),
        b'{' => Some(b'}'),
        _ => None,
    }
}

/// The value that begins at or after `start`; empty if there is none.
pub(super) fn extent(bytes: &[u8], start: usize, around: &Around) -> Range<usize> {
    let Some(start) = beginning(bytes, start, around) else { return start..start };
    let value = behind_marks(bytes, start);
    if let Some(string) = Quoted::at(bytes, value) {
        let Some(end) = string.end(bytes) else { return string.start..bytes.len() };
        let after = end + string.closing_len();
        if !goes_on(bytes, after) {
            // A comment before the string may say anything; the `b` of `b'x'` says nothing.
            return if value - start < 3 { string.start..end } else { start..after };
        }
        return start..rest(bytes, after, around);
    }
    start..rest(bytes, value, around)
}

/// Where a value begins: on the same line, or on the next one that says something, if that does not name a value itself.
fn beginning(bytes: &[u8], start: usize, around: &Around) -> Option<usize> {
    let lead = bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let at = start + lead;
    if at == bytes.len() {
        return None;
    }
    let Some(newline) = memchr::memrchr(b'\n', &bytes[start..at]) else { return Some(at) };
    let deeper = at - (start + newline + 1) > around.column();
    (deeper || !a_name_follows(bytes, at)).then_some(at)
}

/// Behind what only marks a value: comments, tags and anchors of YAML, prefixes of strings as in `b'x'`.
fn behind_marks(bytes: &[u8], start: usize) -> usize {
    let blanks = |at: usize| at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut at = start;
    loop {
        let rest = &bytes[at..];
        if rest.starts_with(b"/*") {
            let Some(end) = memchr::memmem::find(rest, b"*/") else { return bytes.len() };
            at = blanks(at + end + 2);
        } else if rest.starts_with(b"//") {
            let Some(end) = memchr::memchr(b'\n', rest) else { return bytes.len() };
            at = blanks(at + end);
        } else if matches!(rest.first(), Some(b'!' | b'&')) {
            let word = rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\''));
            let Some(word) = word else { return at };
            at = blanks(at + word);
        } else {
            let letters = rest.iter().take(3).take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'@').count();
            let is_prefix = letters < 3 && matches!(rest.get(letters), Some(b'"' | b'\''));
            return if is_prefix { at + letters } else { at };
        }
    }
}

/// A string in quotes, in a text that may have been escaped before: its quotes then have backslashes before them.
struct Quoted {
    /// Where what it says begins.
    start: usize,
    quote: u8,
    /// As in Python and TOML.
    is_triple: bool,
    slashes: usize,
}

impl Quoted {
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let slashes = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
        let rest = &bytes[at + slashes..];
        let quote = *rest.first().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
        let is_triple = slashes == 0 && rest.starts_with(&[quote; 3]);
        Some(Self { start: at + slashes + if is_triple { 3 } else { 1 }, quote, is_triple, slashes })
    }

    fn end(&self, bytes: &[u8]) -> Option<usize> {
        if self.is_triple {
            return memchr::memmem::find(&bytes[self.start..], &[self.quote; 3]).map(|len| self.start + len);
        }
        // Each time a text is escaped, the backslashes before what it quotes double, and one more comes.
        let period = 2 * (self.slashes + 1);
        let mut run = 0;
        for (at, byte) in bytes.iter().enumerate().skip(self.start) {
            match *byte {
                b'\\' => run += 1,
                byte if byte == self.quote && run % period == self.slashes => return Some(at - self.slashes),
                _ => run = 0,
            }
        }
        None
    }

    fn closing_len(&self) -> usize {
        self.slashes + if self.is_triple { 3 } else { 1 }
    }
}

/// Where the strings in a value stand, without their quotes.
pub(super) fn strings_in(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(quote) = memchr::memchr2(b'"', b'\'', &bytes[at..]).map(|len| at + len) {
        let slashes = bytes[at..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        at = quote + 1;
        if !begins_string(bytes, quote) {
            continue;
        }
        let Some(string) = Quoted::at(bytes, quote - slashes) else { break };
        let Some(end) = string.end(bytes) else { break };
        found.push(string.start..end);
        at = end + string.closing_len();
    }
    found
}

/// The end of a value that begins with a bracket, or with a type and a bracket; `None` if this one does not.
pub(super) fn end_of_brackets(bytes: &[u8], start: usize) -> Option<usize> {
    let head = bytes[start..].iter().take_while(|byte| is_name(**byte) || matches!(byte, b':' | b'&')).count();
    let blank = usize::from(bytes[start + head..].starts_with(b" {"));
    closing(*bytes.get(start + head + blank)?)?;
    Some(rest(bytes, start, &Around::default()))
}

/// Whether a string does not end with its quotes: another one, or a word, stands directly behind them.
fn goes_on(bytes: &[u8], after: usize) -> bool {
    let rest = &bytes[after..];
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match (blanks, rest.get(blanks)) {
        (0, Some(byte)) => {
            byte.is_ascii_alphanumeric() || matches!(byte, b'"' | b'\'' | b'_' | b'@' | b'$' | b'#' | b'+')
        }
        (_, Some(byte)) => matches!(byte, b'+' | b'"'),
        (_, None) => false,
    }
}

/// The end of a value that is not only a string, from somewhere in it on.
fn rest(bytes: &[u8], from: usize, around: &Around) -> usize {
    let column = around.column();
    let mut open: Vec<u8> = Vec::new();
    // Brackets that the value begins with, or a line ends with, are closed wherever that is; others on their line.
    let mut is_block = false;
    let mut is_head = true;
    let mut at = from;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'(' | b'[' | b'{' => {
                is_block |= is_head;
                open.extend(closing(byte));
            }
            b')' | b']' | b'}' if open.is_empty() && around.open.last() == Some(&byte) && ends_there(bytes, at + 1) => {
                return trimmed(bytes, from, at);
            }
            b')' | b']' | b'}' => {
                open.pop_if(|open| *open == byte);
                is_block &= !open.is_empty();
            }
            b'"' | b'\'' | b'`' if is_block && begins_string(bytes, at) => {
                let slashes = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                let Some(string) = Quoted::at(bytes, at - slashes) else { return bytes.len() };
                let Some(end) = string.end(bytes) else { return bytes.len() };
                at = end + string.closing_len();
                continue;
            }
            b',' if open.is_empty() && a_name_follows(bytes, at + 1) => return trimmed(bytes, from, at),
            b'\n' if !is_block => {
                let opens = bytes[from..at].trim_ascii_end().last().copied().and_then(closing);
                if opens.is_some() && opens == open.last().copied() {
                    is_block = true;
                } else if !line_belongs(bytes, from, at, column) {
                    return trimmed(bytes, from, at);
                } else {
                    open.clear();
                }
            }
            _ => {}
        }
        is_head &= is_name(byte) || matches!(byte, b':' | b'&' | b'#' | b'<' | b' ' | b'(' | b'[' | b'{');
        // One space at most between a type and its brackets.
        is_head &= byte != b' ' || bytes.get(at + 1) == Some(&b'{');
        at += 1;
    }
    trimmed(bytes, from, bytes.len())
}

/// Whether the line after a newline goes on with the value: it is indented deeper than the name, or an element of its list.
fn line_belongs(bytes: &[u8], from: usize, newline: usize, column: usize) -> bool {
    let rest = &bytes[newline..];
    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let line = newline + memchr::memrchr(b'\n', &rest[..blanks]).unwrap_or(0) + 1;
    let lead = newline + blanks - line;
    let Some(first) = bytes.get(newline + blanks) else { return true };
    if lead > column {
        return !is_frame(&bytes[newline + blanks..]);
    }
    let is_element = *first == b'-' && matches!(bytes.get(newline + blanks + 1), Some(b' ' | b'\n'));
    lead == column && is_element && bytes[from] == b'-'
}

/// Whether a line is one of a stack trace, `at f (file.js:1:2)`.
fn is_frame(rest: &[u8]) -> bool {
    let line = &rest[..rest.len().min(MAX_AHEAD)];
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    let is_place = |pair: &[u8]| pair[0] == b':' && pair[1].is_ascii_digit();
    line.starts_with(b"at ") && line.windows(2).any(is_place)
}

/// Whether nothing but the end of something follows.
fn ends_there(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_punctuation() && *byte != b'_')
}

/// Whether a quote in brackets is none inside of a word, as an apostrophe is.
fn begins_string(bytes: &[u8], at: usize) -> bool {
    bytes[at] != b'\'' || at == 0 || !bytes[at - 1].is_ascii_alphanumeric()
}

/// Whether `name:`, `"name":`, `name =>` or `name ->` follows, after white space.
fn a_name_follows(bytes: &[u8], at: usize) -> bool {
    let ahead = &bytes[at..bytes.len().min(at + MAX_AHEAD)];
    let ahead = ahead.trim_ascii_start();
    let slashes = ahead.iter().take_while(|byte| **byte == b'\\').count();
    let ahead = &ahead[slashes..];
    let quote = ahead.first().copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let (name, after) = if let Some(quote) = quote {
        let Some(end) = memchr::memchr(quote, &ahead[1..]) else { return false };
        (&ahead[1..=end], &ahead[end + 2..])
    } else {
        let lead = ahead.iter().take_while(|byte| **byte == b':').count();
        let ahead = &ahead[lead.min(1)..];
        let len = ahead.iter().take_while(|byte| is_name(**byte)).count();
        ahead.split_at(len)
    };
    let is_name = name.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let after = after.trim_ascii_start();
    let is_separator = match after {
        [b':', b':' | b'/', ..] => false,
        [b':', ..] | [b'=' | b'-', b'>', ..] => true,
        _ => false,
    };
    is_name && is_separator
}

/// Without white space at its end.
fn trimmed(bytes: &[u8], from: usize, end: usize) -> usize {
    from + bytes[from..end].trim_ascii_end().len()
}
