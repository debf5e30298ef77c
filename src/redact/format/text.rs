//! Free text: messages, stacks, logs. A secret is found by the name before it; prose is never masked.
//!
//! A name counts before `=`, `:`, `:=` and `=>`. Its value is masked if name and value are both quoted, or if the value looks
//! like a credential by itself. Each byte is read a bounded number of times: a name is read back to the separator before
//! it, and the search continues after a value.

use std::ops::Range;

use super::super::detect::{self, Scan};
use super::super::edits::Places;
use super::super::rules::{Class, MIN_TEXT, begins_link};
use super::super::search::{Search, Searcher};
use super::fields::{parts, split};
use crate::block::find_either;
use crate::work;

/// The bytes that are read before the quotes of a value: `Some(Secret("…"))`.
const MAX_WRAPPER: usize = 24;
/// More backslashes before a quote are not read: a string in a string in a string has seven.
const MAX_ESCAPES: usize = 7;
/// Headers whose value is more than one word: a scheme and credentials (RFC 9110, section 11.6.2), or names and values
/// (RFC 6265).
const HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// What ends a text that was cut.
const ELLIPSIS_BYTES: &[u8] = "…".as_bytes();

/// Appends the places of values that free text names.
pub(in crate::redact) fn names(searcher: &mut Searcher<'_>, text: &str, scan: Scan, places: &mut Places) {
    if !scan.has(Scan::EQUALS | Scan::COLON) {
        return;
    }
    work::add(text.len());
    let bytes = text.as_bytes();
    let (mut at, mut read) = (0, 0);
    // Up to this place header lines were read.
    let mut line_until = 0;
    while let Some(sign) = find_either(bytes, at, b':', b'=') {
        at = sign + 1;
        let Some(name) = Name::before(bytes, read, sign) else {
            read = at;
            continue;
        };
        work::add(sign - read);
        read = at;
        let named = &text[name.place.clone()];
        let class = searcher.class(named);
        if class == Class::Plain {
            continue;
        }
        let is_header = || HEADERS.iter().any(|header| named.eq_ignore_ascii_case(header));
        if bytes[sign] == b':' && sign >= line_until && is_header() {
            let before = places.len();
            line_until = credentials(searcher, text, at, places);
            if places.len() > before {
                (at, read) = (line_until, line_until);
                continue;
            }
        }
        let mut next = Value::behind(bytes, sign, class);
        while let Some(Value { place, quote, is_cut, is_in_list }) = next {
            let said = &text[place.clone()];
            work::add(said.len());
            let is_named = name.is_quoted && quote.is_some();
            // Without its closing quote it is one word that the text was cut in, or prose.
            let is_word = !is_cut || (bytes[place.end..] == *ELLIPSIS_BYTES && !said.contains(' '));
            let is_secret = is_named || (is_word && looks_like_credential(said));
            next = quote.filter(|_| is_in_list).and_then(|quote| Value::next_in_list(bytes, place.end, quote));
            if is_secret && class.masks_text(said) && !searcher.rules.style.is_own(said) {
                if is_cut {
                    searcher.memory.remembered.add_beginning(said);
                } else {
                    searcher.remember(said, class == Class::Always);
                }
                (at, read) = (place.end, place.end);
                places.push(place);
            } else if !is_secret && quote.is_none() {
                // What is within it looks no more like a credential than all of it.
                at = place.end;
            }
        }
    }
}

/// Appends the places of the credentials in the line after a header's name, and returns the end of the line. Of more than
/// two words, only those behind a name count: the others are prose.
fn credentials(searcher: &mut Searcher<'_>, text: &str, from: usize, places: &mut Places) -> usize {
    let end = text[from..].find(['\n', '\r', '"', '\'']).map_or(text.len(), |len| from + len);
    work::add(end - from);
    let is_prose = text[from..end].split_whitespace().nth(2).is_some();
    for word in split(&text[..end], from, |byte| b";, \t".contains(&byte)) {
        let value = match parts(text, &word) {
            (_, Some(value)) if !text[value.clone()].trim_matches('=').is_empty() => value,
            _ if is_prose => continue,
            _ => word,
        };
        let said = &text[value.clone()];
        if looks_like_credential(said) && !searcher.rules.style.is_own(said) {
            searcher.remember(said, false);
            places.push(value);
        }
    }
    end
}

/// A text body: the places of its secrets, and how much of it can be shown.
pub(in crate::redact) fn body(searcher: &mut Searcher<'_>, text: &str, cut: bool) -> (Places, usize) {
    // The last word of a text that was cut may be the beginning of a secret.
    let upto = if cut { text.rfind(char::is_whitespace).unwrap_or(0) } else { text.len() };
    let mut places = searcher.places(text, Search::Free);
    if upto < text.len() {
        let last = &text[upto..];
        let value = last.rsplit(['=', ':', '"', '\'']).next().unwrap_or_default();
        searcher.memory.remembered.add_beginning(value.trim());
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
    /// The name that ends before the separator and begins at `from` or later.
    fn before(bytes: &[u8], from: usize, sign: usize) -> Option<Self> {
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
        let len = bytes[from..end].iter().rev().take_while(|byte| is_name(**byte)).count();
        let start = end - len;
        let is_quoted = quote.is_some() && bytes.get(start.wrapping_sub(1)) == quote.as_ref();
        (start < end && (quote.is_none() || is_quoted)).then_some(Self { place: start..end, is_quoted })
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$' | b'[' | b']' | 0x80..)
}

/// A value after a separator.
struct Value {
    place: Range<usize>,
    /// The quote before it.
    quote: Option<OpenQuote>,
    /// There is no closing quote: the value has all of the rest of the line.
    is_cut: bool,
    is_in_list: bool,
}

impl Value {
    fn behind(bytes: &[u8], sign: usize, class: Class) -> Option<Self> {
        let mut at = sign + 1;
        // `:=` and `=>`.
        if let (b':', Some(b'=')) | (b'=', Some(b'>')) = (bytes[sign], bytes.get(at)) {
            at += 1;
        }
        let blank = blanks(bytes, at, bytes[sign] == b':');
        let is_below = bytes[at..blank].contains(&b'\n');
        at = blank;
        let (inside, is_in_list) = without_wrapper(bytes, at);
        if let Some(quote) = OpenQuote::at(bytes, inside) {
            return Self::quoted(bytes, quote, is_in_list);
        }
        // A link is no credential by itself.
        if class == Class::AsText && begins_link(&bytes[at..]) {
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
        (end > at).then_some(Self { place: at..end, quote: None, is_cut: false, is_in_list: false })
    }

    /// The value behind an opening quote.
    fn quoted(bytes: &[u8], open: OpenQuote, is_in_list: bool) -> Option<Self> {
        let (start, quote) = (open.end, Some(open));
        if let Some(end) = open.closing(bytes) {
            return Some(Self { place: start..end, quote, is_cut: false, is_in_list });
        }
        let line = &bytes[start..];
        let len = memchr::memchr2(b'\n', b'\r', line).unwrap_or(line.len());
        let len = line[..len].strip_suffix(ELLIPSIS_BYTES).map_or(len, <[u8]>::len);
        (len > 0).then_some(Self { place: start..start + len, quote, is_cut: true, is_in_list: false })
    }

    /// The value after one that ends here, in a list. Other quotes than its own end a text around the list.
    fn next_in_list(bytes: &[u8], end: usize, open: OpenQuote) -> Option<Self> {
        let (escapes, behind) = bytes[end..].split_at_checked(open.escapes)?;
        if behind.first() != Some(&open.kind) || escapes.iter().any(|byte| *byte != b'\\') {
            return None;
        }
        let comma = blanks(bytes, end + open.escapes + 1, true);
        let next = bytes.get(comma).filter(|byte| **byte == b',').map(|_| blanks(bytes, comma + 1, true))?;
        Self::quoted(bytes, OpenQuote::at(bytes, next)?, true)
    }
}

/// An opening quote.
#[derive(Clone, Copy)]
struct OpenQuote {
    kind: u8,
    end: usize,
    /// The number of backslashes before it.
    escapes: usize,
}

impl OpenQuote {
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let escapes = bytes[at..].iter().take(MAX_ESCAPES).take_while(|byte| **byte == b'\\').count();
        let kind = bytes.get(at + escapes).copied().filter(|byte| matches!(byte, b'"' | b'\''))?;
        Some(Self { kind, end: at + escapes + 1, escapes })
    }

    /// The end of the value behind it, before its closing quote. The next quote of the same kind with as many backslashes
    /// closes it, so that for each kind and number a text is read once.
    fn closing(self, bytes: &[u8]) -> Option<usize> {
        let Self { kind, end: start, escapes } = self;
        let mut quotes = memchr::memchr_iter(kind, &bytes[start..]).map(|len| start + len);
        let end = quotes.find_map(|quote| {
            let before = bytes[start..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
            // A quote within the value has more backslashes, and backslashes at the end of the value are doubled as often.
            // One with fewer ends a text around it.
            let is_end = before < escapes || (before - escapes).is_multiple_of(2 * (escapes + 1));
            is_end.then(|| quote - before.min(escapes))
        });
        work::add(end.unwrap_or(bytes.len()) - start);
        end
    }
}

/// The place behind what precedes the quotes of a value in the notation of some languages (`Some("…")`, `["…"]`, `u'…'`),
/// and whether that opens a list.
fn without_wrapper(bytes: &[u8], from: usize) -> (usize, bool) {
    let is_wrapper = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_:([".contains(byte);
    let len = bytes[from..].iter().take(MAX_WRAPPER).take_while(is_wrapper).count();
    let at = from + len;
    match bytes[from..at] {
        [.., b'['] => (blanks(bytes, at, true), true),
        [.., b'('] | [_] | [_, _] => (at, false),
        _ => (from, false),
    }
}

/// The end of the white space that begins here, within a line or with line breaks.
fn blanks(bytes: &[u8], at: usize, with_breaks: bool) -> usize {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t') || (with_breaks && matches!(byte, b'\n' | b'\r'));
    let len = bytes.get(at..).unwrap_or_default().iter().take_while(is_blank).count();
    work::add(len);
    at + len
}

fn ends_value(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;&\"'<>(){}[]|`?#".contains(&byte)
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
