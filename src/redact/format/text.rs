//! Free text: messages, stacks, logs. A secret is found by the name before it; prose is never masked.
//!
//! A name counts before `=`, `:`, `:=` and `=>`. Its value is masked if name and value are both quoted, or if the value looks
//! like a credential by itself. Each byte is read a bounded number of times: a name is read back to the separator before
//! it, and the search continues after a value.

use std::ops::Range;

use super::super::detect::{self, Scan};
use super::super::rules::{Action, Class, MIN_TEXT, begins_link};
use super::super::search::{Level, Search};
use super::super::session::Session;
use crate::block::find_either;
use crate::work;

/// Of a longer name, this number of bytes at its end is read.
const LONGEST_NAME: usize = 64;
/// More backslashes before a quote are not read: a string in a string in a string has seven.
const MAX_ESCAPES: usize = 7;
/// The bytes of names before the quotes of a value: `Some(Secret("…"))`.
const MAX_WRAPPER: usize = 24;
/// What ends a text that was cut.
const ELLIPSIS_BYTES: &[u8] = "…".as_bytes();

/// Appends the places of values that free text names.
pub(in crate::redact) fn names(session: &mut Session<'_>, text: &str, scan: Scan, places: &mut Vec<Range<usize>>) {
    if !scan.has(Scan::EQUALS | Scan::COLON) {
        return;
    }
    work::add(text.len());
    let bytes = text.as_bytes();
    let (mut at, mut read) = (0, 0);
    let mut known = Known::default();
    // Up to this place header lines were read.
    let mut line_until = 0;
    while let Some(sign) = find_either(bytes, at, b':', b'=') {
        at = sign + 1;
        let Some(name) = Name::before(bytes, read, sign, |end| session.may_be_secret(end)) else {
            read = at;
            continue;
        };
        work::add(sign - read);
        read = at;
        let named = &text[name.place.clone()];
        let class = session.class(named);
        if class == Class::Plain {
            continue;
        }
        if let Some(header) = Header::named(named).filter(|_| bytes[sign] == b':' && sign >= line_until) {
            let before = places.len();
            line_until = header.credentials(session, text, at, places);
            if places.len() > before {
                (at, read) = (line_until, line_until);
                continue;
            }
        }
        let mut value = Value::behind(bytes, sign, class, &mut known);
        while let Some(Value { place, quote }) = value {
            let said = &text[place.clone()];
            work::add(said.len());
            let is_named = name.is_quoted && quote.is_some();
            let is_open = quote.as_ref().is_some_and(|quote| quote.end.is_none());
            if !is_named && (is_open || !looks_like_credential(said)) {
                // Without its closing quote a text was cut, or is prose.
                known.plain_until = if quote.is_some() { known.plain_until } else { place.end };
            } else if !Action::of(class).masks_text(said) {
                known.link_until = if quote.is_some() { known.link_until } else { place.end };
            } else if !session.is_mask(said) {
                if is_open {
                    session.remember_beginning(said);
                } else {
                    session.remember(said, class == Class::Always);
                }
                places.push(place.clone());
                (at, read) = (place.end, place.end);
            }
            value = quote.and_then(|quote| quote.next_in_list(bytes, &mut known));
        }
    }
}

/// A header whose value is more than one word.
#[derive(Clone, Copy)]
enum Header {
    /// A scheme and credentials (RFC 9110, section 11.6.2).
    Authorization,
    /// Names and values (RFC 6265).
    Cookie,
}

impl Header {
    fn named(name: &str) -> Option<Self> {
        let is = |header: &&str| name.eq_ignore_ascii_case(header);
        if ["authorization", "proxy-authorization"].iter().any(is) {
            return Some(Self::Authorization);
        }
        ["cookie", "set-cookie"].iter().any(is).then_some(Self::Cookie)
    }

    /// Appends the places of the credentials in the line after a header's name, and returns the end of the line.
    fn credentials(self, session: &mut Session<'_>, text: &str, from: usize, places: &mut Vec<Range<usize>>) -> usize {
        let line = &text[from..];
        let line = &line[..line.find(['\n', '\r', '"', '\'']).unwrap_or(line.len())];
        work::add(line.len());
        let begin = from + line.len() - line.trim_start().len();
        let end = begin + line.trim().len();
        let mut mask = |place: Range<usize>| {
            let said = &text[place.clone()];
            if looks_like_credential(said) && !session.is_mask(said) {
                session.remember(said, false);
                places.push(place);
            }
        };
        match self {
            Self::Authorization => {
                // One word after the name of a scheme; several words are prose.
                if let Some((scheme, word)) = text[begin..end].split_once(' ')
                    && scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
                    && !word.contains(char::is_whitespace)
                {
                    mask(end - word.len()..end);
                }
            }
            Self::Cookie => {
                let mut at = begin;
                for pair in text[begin..end].split_inclusive([';', ',']) {
                    let next = at + pair.len();
                    let pair = pair.trim_end_matches([';', ',']);
                    if let Some((name, value)) = pair.split_once('=')
                        && !name.trim().is_empty()
                        && !name.trim().contains(char::is_whitespace)
                    {
                        mask(at + name.len() + 1..at + name.len() + 1 + value.trim_end().len());
                    }
                    at = next;
                }
            }
        }
        end
    }
}

/// A text body: the places of its secrets, and how much of it can be shown.
pub(in crate::redact) fn body(session: &mut Session<'_>, text: &str, cut: bool) -> (Vec<Range<usize>>, usize) {
    // The last word of a text that was cut may be the beginning of a secret.
    let upto = if cut { text.rfind(char::is_whitespace).unwrap_or(0) } else { text.len() };
    let mut places = Vec::new();
    session.find(text, Level::TOP, Search::Free, &mut places);
    if upto < text.len() {
        let last = &text[upto..];
        let value = last.rsplit(['=', ':', '"', '\'']).next().unwrap_or_default();
        session.remember_beginning(value.trim());
    }
    // A secret that begins before the end and ends after it.
    let upto = places.iter().find(|place| place.end > upto).map_or(upto, |place| place.start.min(upto));
    places.retain(|place| place.end <= upto);
    (places, upto)
}

/// A name before a separator.
struct Name {
    place: Range<usize>,
    is_quoted: bool,
}

impl Name {
    /// The name that ends before the separator and begins at `from` or later. `None` too if a name with its end is never
    /// secret.
    fn before(bytes: &[u8], from: usize, sign: usize, may_be_secret: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let from = from.max(sign.saturating_sub(LONGEST_NAME + 12));
        let mut end = sign;
        while end > from && bytes[end - 1] == b' ' {
            end -= 1;
        }
        let quote = bytes[from..end].last().copied().filter(|byte| matches!(byte, b'"' | b'\''));
        if quote.is_some() {
            end -= 1;
            // An escaped quote.
            end -= bytes[from..end].iter().rev().take(MAX_ESCAPES).take_while(|byte| **byte == b'\\').count();
        }
        if !may_be_secret(&bytes[from..end]) {
            return None;
        }
        let len = bytes[from..end].iter().rev().take_while(|byte| is_name(**byte)).count();
        let mut start = end - len;
        let is_quoted = quote.is_some() && bytes.get(start.wrapping_sub(1)) == quote.as_ref();
        // The limit of a name's length may be inside a character.
        while start < end && bytes[start] & 0xc0 == 0x80 {
            start += 1;
        }
        (start < end && (quote.is_none() || is_quoted)).then_some(Self { place: start..end, is_quoted })
    }
}

fn is_name(byte: u8) -> bool {
    IS_NAME[usize::from(byte)]
}

static IS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$' | b'[' | b']' | 0x80..);
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

/// A value after a separator.
struct Value {
    place: Range<usize>,
    quote: Option<Quote>,
}

/// The quotes around a value.
struct Quote {
    /// Behind the closing quote. Without one, the value has all of the rest of the line.
    end: Option<usize>,
    is_in_list: bool,
}

/// What was found out about a text, so that nothing is searched twice.
#[derive(Default)]
struct Known {
    /// The places from which on there is no quote of a kind.
    no_double: Option<usize>,
    no_single: Option<usize>,
    /// Up to this place no unquoted value looks like a credential.
    plain_until: usize,
    /// Up to this place each unquoted link shows under a key that is secret as text.
    link_until: usize,
}

impl Value {
    fn behind(bytes: &[u8], sign: usize, class: Class, known: &mut Known) -> Option<Self> {
        let mut at = sign + 1;
        // `:=` and `=>`.
        if let (b':', Some(b'=')) | (b'=', Some(b'>')) = (bytes[sign], bytes.get(at)) {
            at += 1;
        }
        let blank = blanks(bytes, at, bytes[sign] == b':');
        let is_below = bytes[at..blank].contains(&b'\n');
        at = blank;
        let (inside, is_in_list) = without_wrapper(bytes, at);
        if let Some(value) = Self::quoted(bytes, inside, is_in_list, known) {
            return value;
        }
        if at < known.plain_until || (class == Class::AsText && at < known.link_until && begins_link(&bytes[at..])) {
            return None;
        }
        let len = bytes[at..].iter().take_while(|byte| !ends_value(**byte)).count();
        let mut end = at + len;
        // On a line of its own, what is not all of the line is the next name.
        if is_below && !bytes.get(end).is_none_or(|byte| matches!(byte, b'\n' | b'\r')) {
            return None;
        }
        while end > at && matches!(bytes[end - 1], b'.' | b':' | b'!') {
            end -= 1;
        }
        (end > at).then_some(Self { place: at..end, quote: None })
    }

    /// The value in the quotes that open here, if any do; `Some(None)` if there is nothing in them.
    fn quoted(bytes: &[u8], at: usize, is_in_list: bool, known: &mut Known) -> Option<Option<Self>> {
        let escapes = bytes[at..].iter().take(MAX_ESCAPES).take_while(|byte| **byte == b'\\').count();
        let quote = at + escapes;
        let kind = bytes.get(quote).copied().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let start = quote + 1;
        if let Some((place, end)) = known.closing(bytes, start, kind, escapes) {
            return Some(Some(Self { place, quote: Some(Quote { end: Some(end), is_in_list }) }));
        }
        let line = &bytes[start..];
        let len = memchr::memchr2(b'\n', b'\r', line).unwrap_or(line.len());
        let len = line[..len].strip_suffix(ELLIPSIS_BYTES).map_or(len, <[u8]>::len);
        Some((len > 0).then_some(Self { place: start..start + len, quote: Some(Quote { end: None, is_in_list }) }))
    }
}

impl Quote {
    /// The value after this one, in a list.
    fn next_in_list(self, bytes: &[u8], known: &mut Known) -> Option<Value> {
        let comma = blanks(bytes, self.end.filter(|_| self.is_in_list)?, true);
        let next = blanks(bytes, comma + 1, true);
        let is_next = bytes.get(comma) == Some(&b',');
        if is_next { Value::quoted(bytes, next, true, known).flatten() } else { None }
    }
}

impl Known {
    /// The place of the value that begins here, up to its closing quote, and the end of that quote. `escapes`: the number of
    /// backslashes before the opening quote.
    fn closing(&mut self, bytes: &[u8], from: usize, kind: u8, escapes: usize) -> Option<(Range<usize>, usize)> {
        let none = if kind == b'"' { &mut self.no_double } else { &mut self.no_single };
        let mut at = from;
        while none.is_none_or(|none| at < none) {
            let Some(len) = memchr::memchr(kind, bytes.get(at..)?) else {
                *none = Some(at);
                break;
            };
            let quote = at + len;
            work::add(len);
            let before = bytes[from..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
            // A quote within the value has more backslashes, and backslashes at the end of the value are doubled as often. One
            // with fewer ends a text around it.
            if before < escapes || (before - escapes).is_multiple_of(2 * (escapes + 1)) {
                return Some((from..quote - before.min(escapes), quote + 1));
            }
            at = quote + 1;
        }
        None
    }
}

/// The end of the white space that begins here, within a line or with line breaks.
fn blanks(bytes: &[u8], at: usize, with_breaks: bool) -> usize {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t') || (with_breaks && matches!(byte, b'\n' | b'\r'));
    let len = bytes.get(at..).unwrap_or_default().iter().take_while(is_blank).count();
    work::add(len);
    at + len
}

/// What is before the quotes of a value in the notation of some languages: `Some("…")`, `["…"]`, `u'…'`. The place where the
/// quotes may open, and whether it is in a list.
fn without_wrapper(bytes: &[u8], from: usize) -> (usize, bool) {
    let word = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        rest.iter()
            .take(MAX_WRAPPER)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
            .count()
    };
    let (mut at, mut is_in_list) = (from, false);
    loop {
        let len = word(at);
        match bytes.get(at + len) {
            Some(b'(') if at + len - from < MAX_WRAPPER => at += len + 1,
            Some(b'[') if len == 0 && !is_in_list => (at, is_in_list) = (blanks(bytes, at + 1, true), true),
            Some(b'"' | b'\'')
                if matches!(
                    &bytes[at..at + len],
                    [b'b' | b'f' | b'r' | b'u' | b'B' | b'F' | b'R' | b'U'] | b"br" | b"rb"
                ) =>
            {
                return (at + len, is_in_list);
            }
            _ => return (at, is_in_list),
        }
    }
}

fn ends_value(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(
            byte,
            b',' | b';'
                | b'&'
                | b'"'
                | b'\''
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'{'
                | b'}'
                | b'['
                | b']'
                | b'|'
                | b'`'
                | b'?'
                | b'#'
        )
}

/// Whether a word after a name looks like a credential: letters and digits that are no word, number, version or time. Six
/// characters are enough if they have digits and letters.
pub(in crate::redact) fn looks_like_credential(word: &str) -> bool {
    let is_mixed = |run: &str| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        // Durations and sizes (`3m20s`) have fewer letters.
        let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
        run.len() >= MIN_TEXT && digits > 0 && letters >= 3
    };
    detect::looks_like_credential(word) || word.split(|char: char| "-_./:@".contains(char)).any(is_mixed)
}
