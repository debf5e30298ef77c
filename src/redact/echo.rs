//! Values that were masked in an exchange are masked wherever they stand again in its records: as they
//! were, percent-encoded, or escaped as in JSON, each to two levels.
//!
//! All remembered values are looked for at once, in time linear in the text, whatever the values are.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem;
use zeroize::optimization_barrier;

use super::block;
use super::cut::{Beginnings, MIN_BYTES, may_be_cut};
use super::view::View;
use crate::record::fragment::{push_json_text, scalar_end, string_end, unescape};

/// Bounds of what is remembered of one exchange. Two bodies of the default size cannot reach them.
const MAX_VALUES: usize = 8_192;
const MAX_BYTES: usize = 256 * 1024;
/// Memory for values that the next exchange finds ready.
const KEPT_BYTES: usize = 4_096;
/// Up to here each value has a search of its own, which costs less to prepare than one for all.
const FEW: usize = 32;
/// Of a long value among many only so many bytes are looked for, and what follows is compared: the search goes back at most
/// so far after each hit, which keeps it linear whatever the values are.
const LOOKED_FOR: usize = 64;
/// Up to here it costs less to look for the beginnings of all values first than to prepare any search.
const VERY_FEW: usize = 8;
/// No word of a phrase is longer.
const LONGEST_WORD: usize = 48;
/// Authentication schemes: what follows one is the secret, and often stands alone elsewhere.
const SCHEMES: &[&str] = &["bearer", "basic", "token", "digest", "negotiate", "apikey"];
const LONGEST_SCHEME: usize = "negotiate".len();

/// The masked values of one exchange.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// All values, one after the other, with `+` as a space: a form writes spaces as `+`.
    text: Vec<u8>,
    values: Vec<Value>,
    /// The length of the shortest.
    shortest: usize,
    finder: OnceCell<Finder>,
}

#[derive(Debug)]
struct Value {
    range: Range<usize>,
    /// Only the beginning of the value was captured: what follows belongs to it, the rest of the word
    /// if it is one, else of the line.
    cut: bool,
}

#[derive(Debug)]
enum Finder {
    None,
    Few(Vec<memmem::Finder<'static>>),
    /// All at once; beginnings by themselves too, for what follows them may be hidden by a longer value.
    Many(Box<AhoCorasick>, Vec<(usize, memmem::Finder<'static>)>),
}

impl Echo {
    /// Forgets all values, and wipes them: this memory serves the next exchange.
    pub(super) fn clear(&mut self) {
        if self.is_empty() {
            return;
        }
        self.text.fill(0);
        optimization_barrier(self.text.as_slice());
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.values.clear();
        self.finder = OnceCell::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Remembers a value that was masked whole.
    pub(super) fn remember(&mut self, value: &str) {
        self.add_with_scheme(trimmed(value), false);
    }

    /// Remembers the beginning of a value whose end was not captured.
    pub(super) fn remember_beginning(&mut self, value: &str) {
        self.add_with_scheme(trimmed(value), true);
    }

    fn add_with_scheme(&mut self, value: &str, cut: bool) {
        self.add(value, cut);
        if !value.bytes().next().is_some_and(begins_scheme) {
            return;
        }
        let beginning = &value.as_bytes()[..value.len().min(LONGEST_SCHEME + 1)];
        let Some(space) = block::find(beginning, b' ') else { return };
        if SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(&value[..space])) {
            self.add(trimmed(&value[space + 1..]), cut);
        }
    }

    fn add(&mut self, value: &str, cut: bool) {
        if value.len() < MIN_BYTES || self.values.len() == MAX_VALUES || self.text.len() + value.len() > MAX_BYTES {
            return;
        }
        let has_plus = block::find(value.as_bytes(), b'+').is_some();
        let is_same = |known: &Value| {
            let text = &self.text[known.range.clone()];
            known.cut == cut
                && text.len() == value.len()
                && if has_plus {
                    text.iter().copied().eq(value.bytes().map(plus_as_space))
                } else {
                    text == value.as_bytes()
                }
        };
        if self.values.iter().rev().take(FEW).any(is_same) {
            return;
        }
        let start = self.text.len();
        self.text.extend_from_slice(value.as_bytes());
        if has_plus {
            self.text[start..].iter_mut().for_each(|byte| *byte = plus_as_space(*byte));
        }
        self.shortest = if self.is_empty() { value.len() } else { self.shortest.min(value.len()) };
        self.values.push(Value { range: start..self.text.len(), cut });
        self.finder = OnceCell::new();
    }

    /// Masks every remembered value in a text; whether there was one.
    pub(super) fn scrub_text(&self, text: &mut String, mask: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let found = self.find(&View::of(text));
        if found.is_empty() {
            return false;
        }
        *text = replaced(text, &found, |out| out.push_str(mask));
        true
    }

    /// Masks every remembered value in the strings and numbers of a fragment; whether there was one.
    pub(super) fn scrub_json(&self, fragment: &mut String, mask: &str) -> bool {
        if self.is_empty() || self.find(&View::of_json_string(fragment)).is_empty() {
            return false;
        }
        let mut names = None;
        let bytes = fragment.as_bytes();
        let mut out = String::with_capacity(fragment.len());
        let mut changed = false;
        let mut copied = 0;
        let mut at = 0;
        while at < bytes.len() {
            let token = match bytes[at] {
                b'"' => at + 1..string_end(bytes, at).map_or(bytes.len(), |end| end - 1),
                b'-' | b'0'..=b'9' => at..scalar_end(bytes, at),
                _ => {
                    at += 1;
                    continue;
                }
            };
            let is_string = bytes[at] == b'"';
            let after = if is_string { (token.end + 1).min(bytes.len()) } else { token.end };
            let raw = &fragment[token.clone()];
            let found = self.find(&if is_string { View::of_json_string(raw) } else { View::of(raw) });
            if !found.is_empty() {
                changed = true;
                out.push_str(&fragment[copied..token.start]);
                if is_string {
                    out.push_str(&replaced(raw, &found, |out| push_json_text(out, mask)));
                    if bytes.get(after) == Some(&b':') {
                        let names: &mut FreeNames = names.get_or_insert_with(|| FreeNames::beside(fragment));
                        names.push_suffix(&mut out);
                    }
                } else {
                    out.push('"');
                    push_json_text(&mut out, mask);
                    out.push('"');
                }
                copied = token.end;
            }
            at = after;
        }
        if changed {
            out.push_str(&fragment[copied..]);
            *fragment = out;
        }
        changed
    }

    /// The places of all values in a text, in order, none overlapping another.
    fn find(&self, base: &View<'_>) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        // Decoding never makes a text longer.
        if base.bytes.len() < self.shortest {
            return found;
        }
        if !block::has_any(&base.bytes, [b'\\', b'%', b'+']) {
            self.find_in(base, &base.bytes, &mut found);
            return merged(found);
        }
        if base.has(b'\\') {
            let unescaped = base.unescaped();
            if unescaped.has(b'\\') {
                self.find_spaced_in(&unescaped.unescaped(), &mut found);
            }
            if unescaped.has(b'%') {
                self.find_spaced_in(&unescaped.percent_decoded(), &mut found);
            }
            self.find_spaced_in(&unescaped, &mut found);
        }
        if base.has(b'%') {
            let decoded = base.percent_decoded();
            if decoded.has(b'%') {
                self.find_spaced_in(&decoded.percent_decoded(), &mut found);
            }
            if decoded.has(b'\\') {
                self.find_spaced_in(&decoded.unescaped(), &mut found);
            }
            self.find_spaced_in(&decoded, &mut found);
        }
        self.find_spaced_in(base, &mut found);
        merged(found)
    }

    fn find_spaced_in(&self, view: &View<'_>, found: &mut Vec<Range<usize>>) {
        if view.has(b'+') {
            let spaced: Vec<u8> = view.bytes.iter().copied().map(plus_as_space).collect();
            self.find_in(view, &spaced, found);
        } else {
            self.find_in(view, &view.bytes, found);
        }
    }

    /// The places of all values in the bytes of a view, in which `+` is a space.
    fn find_in(&self, view: &View<'_>, bytes: &[u8], found: &mut Vec<Range<usize>>) {
        if self.values.len() <= VERY_FEW && !self.has_beginning_in(bytes) {
            return;
        }
        // Hits in one word or line share its end, which is looked for once.
        let mut shared = [0..0, 0..0];
        let mut hit = |start: usize, end: usize, value: usize| {
            let mut end = end;
            let value = &self.values[value];
            if value.cut {
                let is_word = is_one_word(&self.text[value.range.clone()]);
                let known = &mut shared[usize::from(is_word)];
                if !known.contains(&end) {
                    *known = end..if is_word { word_end(bytes, end) } else { line_end(bytes, end) };
                }
                end = known.end;
            }
            found.push(view.origin(start)..view.origin(end));
        };
        match self.finder.get_or_init(|| self.prepare()) {
            Finder::None => {}
            Finder::Few(finders) => {
                for (value, finder) in finders.iter().enumerate() {
                    let len = finder.needle().len();
                    finder.find_iter(bytes).for_each(|start| hit(start, start + len, value));
                }
            }
            Finder::Many(all, beginnings) => {
                for (value, finder) in beginnings {
                    finder.find_iter(bytes).for_each(|start| hit(start, start + finder.needle().len(), *value));
                }
                for one in all.find_iter(bytes) {
                    let end = one.end() + self.more_of(&bytes[one.start()..one.end()], &bytes[one.end()..]);
                    hit(one.start(), end, one.pattern().as_usize());
                }
            }
        }
    }

    /// How far a text goes on as a long value does, of which only the beginning was looked for.
    fn more_of(&self, found: &[u8], rest: &[u8]) -> usize {
        if found.len() < LOOKED_FOR {
            return 0;
        }
        let long = self.values.iter().filter(|value| value.range.len() > LOOKED_FOR);
        let tails = long.filter_map(|value| self.text[value.range.clone()].strip_prefix(found));
        tails.map(|tail| tail.iter().zip(rest).take_while(|(known, there)| known == there).count()).max().unwrap_or(0)
    }

    /// Whether any value may begin in a text.
    fn has_beginning_in(&self, text: &[u8]) -> bool {
        let values = self.values.iter().map(|value| &self.text[value.range.clone()]);
        values.filter_map(<[u8]>::first_chunk).any(|beginning| block::has_four(text, *beginning))
    }

    fn prepare(&self) -> Finder {
        let values = self.values.iter().map(|value| &self.text[value.range.clone()]);
        if self.values.is_empty() {
            Finder::None
        } else if self.values.len() <= FEW {
            Finder::Few(values.map(|value| memmem::Finder::new(value).into_owned()).collect())
        } else {
            let cut = self.values.iter().enumerate().filter(|(_, value)| value.cut).take(FEW);
            let finder = |value: &Value| memmem::Finder::new(&self.text[value.range.clone()]).into_owned();
            let beginnings = cut.map(|(at, value)| (at, finder(value))).collect();
            // It fails only on more states than 256 KiB of values can make.
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                // It searches one record: what is cheap to make wins over what is fast to run.
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .dense_depth(1)
                .prefilter(false)
                .build(values.map(|value| &value[..value.len().min(LOOKED_FOR)]))
                .map_or(Finder::None, |all| Finder::Many(Box::new(all), beginnings))
        }
    }
}

/// What is left of a value that a cut went through.
impl Echo {
    /// Masks the beginning of a remembered value at the end of a text that may have been cut there.
    pub(super) fn scrub_cut(&self, text: &mut String, mask: &str) {
        if may_be_cut(text)
            && let Some(at) = self.beginnings().at_end_of(text)
        {
            text.truncate(at);
            text.push_str(mask);
        }
    }

    /// The same in the strings of a fragment that are no keys.
    pub(super) fn scrub_cut_json(&self, fragment: &mut String, mask: &str) {
        let bytes = fragment.as_bytes();
        let mut cuts = Vec::new();
        let mut at = 0;
        while let Some(start) = memchr::memchr(b'"', &bytes[at..]).map(|len| at + len) {
            at = string_end(bytes, start).unwrap_or(bytes.len());
            let raw = fragment.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
            if bytes.get(at) == Some(&b':') {
                continue;
            }
            if let Some(said) = unescape(raw).filter(|said| may_be_cut(said)) {
                let mut scrubbed = said.clone();
                self.scrub_cut(&mut scrubbed, mask);
                if scrubbed != said {
                    cuts.push((start..at, scrubbed));
                }
            }
        }
        for (place, said) in cuts.into_iter().rev() {
            let mut string = String::from("\"");
            push_json_text(&mut string, &said);
            string.push('"');
            fragment.replace_range(place, &string);
        }
    }

    fn beginnings(&self) -> Beginnings<'_> {
        Beginnings::of(self.values.iter().map(|value| &self.text[value.range.clone()]))
    }
}

/// Suffixes for keys that were masked: two keys of an object must not become the same.
struct FreeNames {
    taken: HashSet<u32>,
    last: u32,
}

impl FreeNames {
    /// Every suffix that no string of the fragment ends in.
    fn beside(fragment: &str) -> Self {
        let ends = fragment.split('"').filter_map(|text| text.rsplit_once('~')?.1.parse().ok());
        Self { taken: ends.collect(), last: 0 }
    }

    fn push_suffix(&mut self, out: &mut String) {
        self.last += 1;
        while self.taken.contains(&self.last) {
            self.last += 1;
        }
        out.push('~');
        out.push_str(&self.last.to_string());
    }
}

fn plus_as_space(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// Whether a value of which only the beginning is known has no spaces in what is not: a phrase would have had one by now.
fn is_one_word(beginning: &[u8]) -> bool {
    beginning.len() >= LONGEST_WORD && !beginning.iter().any(|byte| matches!(byte, 0..=b' '))
}

/// Where the line that goes on at `at` ends.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |len| at + len)
}

/// Where the word that goes on at `at` ends.
fn word_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let len = rest.iter().position(|byte| matches!(byte, 0..=b' ' | b'"' | b'\'' | b'`' | b'&' | b'<' | b'>' | b','));
    at + len.unwrap_or(rest.len())
}

/// Without the white space around it, which most values do not have.
fn trimmed(value: &str) -> &str {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = value.as_bytes();
    if is_word(bytes.first()) && is_word(bytes.last()) { value } else { value.trim() }
}

/// Whether the name of an authentication scheme begins with a letter.
fn begins_scheme(letter: u8) -> bool {
    const LETTERS: [bool; 256] = {
        let mut letters = [false; 256];
        let mut scheme = 0;
        while scheme < SCHEMES.len() {
            let letter = SCHEMES[scheme].as_bytes()[0];
            letters[letter as usize] = true;
            letters[letter.to_ascii_uppercase() as usize] = true;
            scheme += 1;
        }
        letters
    };
    LETTERS[usize::from(letter)]
}

/// Ranges in order, those that touch or overlap as one.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The text with something else in these places.
fn replaced(text: &str, places: &[Range<usize>], put: impl Fn(&mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for place in places {
        // Values begin and end with whole characters, and so do escapes; but never rely on it here.
        let start = (copied..=place.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(copied);
        let end = (place.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        out.push_str(&text[copied..start]);
        put(&mut out);
        copied = end;
    }
    out.push_str(&text[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn echo(values: &[&str]) -> Echo {
        let mut echo = Echo::default();
        values.iter().for_each(|value| echo.remember(value));
        echo
    }

    fn text(values: &[&str], text: &str) -> String {
        let mut text = text.to_owned();
        echo(values).scrub_text(&mut text, "***");
        text
    }

    fn json(values: &[&str], fragment: &str) -> String {
        let mut fragment = fragment.to_owned();
        echo(values).scrub_json(&mut fragment, "***");
        assert!(serde_json::from_str::<serde_json::Value>(&fragment).is_ok(), "{fragment}");
        fragment
    }

    #[test]
    fn a_value_is_found_raw_encoded_and_escaped() {
        let value = "hün\t \"er2/+";
        for haystack in [
            value.to_owned(),
            format!("x{value}y"),
            utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
            utf8_percent_encode(value, NON_ALPHANUMERIC).to_string().to_lowercase(),
            utf8_percent_encode(&utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(), NON_ALPHANUMERIC)
                .to_string(),
            form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>(),
            serde_json::to_string(value).unwrap(),
            serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
            serde_json::to_string(&utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()).unwrap(),
            utf8_percent_encode(&serde_json::to_string(value).unwrap(), NON_ALPHANUMERIC).to_string(),
        ] {
            let found = text(&[value], &haystack);
            assert!(found.contains("***") && !found.contains("er2"), "{haystack} -> {found}");
        }
        assert_eq!(text(&["hunter2"], "a hunter2, and hunter2!"), "a ***, and ***!");
        assert_eq!(text(&["short"], "short"), "short");
    }

    #[test]
    fn a_fragment_stays_valid() {
        assert_eq!(json(&["nabcdef"], r#"{"a":"\nabcdef"}"#), r#"{"a":"\nabcdef"}"#);
        assert_eq!(json(&["nabcdef"], r#"{"a":"\\nabcdef"}"#), r#"{"a":"\\***"}"#);
        assert_eq!(json(&["é\nabcd"], r#"["\u00e9\nabcd","x"]"#), r#"["***","x"]"#);
        assert_eq!(
            json(&["12345678"], r#"{"n":12345678,"m":[123456789],"o":1234567}"#),
            r#"{"n":"***","m":["***"],"o":1234567}"#
        );
        assert_eq!(json(&["a\":\"b\",\"c"], r#"{"a":"b","c":1}"#), r#"{"a":"b","c":1}"#);
    }

    #[test]
    fn masked_keys_stay_apart() {
        assert_eq!(
            json(&["hunter2"], r#"{"hunter2":1,"xhunter2":2,"hunter2x":3,"***~2":4}"#),
            r#"{"***~1":1,"x***~3":2,"***x~4":3,"***~2":4}"#
        );
    }

    #[test]
    fn each_value_is_found_however_many_there_are() {
        for count in [1, VERY_FEW, VERY_FEW + 1, FEW, FEW + 1, 3 * FEW] {
            let values: Vec<String> = (0..count).map(|number| format!("{number}-secret-{number}")).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            for value in &values {
                assert_eq!(text(&values, &format!("is {value}?")), "is ***?");
                assert_eq!(json(&values, &format!("[\"{value}\",1]")), "[\"***\",1]");
            }
        }
    }

    #[test]
    fn a_scheme_is_not_part_of_the_secret() {
        assert_eq!(text(&["Bearer abcdefgh"], "got abcdefgh"), "got ***");
    }

    #[test]
    fn a_cut_value_takes_the_rest_of_the_line_or_of_a_long_word() {
        let token = "eyJhbGciOiJIUzI1NiJ9".repeat(3);
        for (beginning, haystack, shown) in [
            ("hunter", "is hunter2000 wrong?", "is ***"),
            ("correct hor", "is correct horse battery\nat line 1", "is ***\nat line 1"),
            ("correct hor", "/x/correct%20horse%20battery/y", "/x/***"),
            ("correct hor", "q=correct+horse+battery", "q=***"),
            ("correct hor", "correct hose", "correct hose"),
            (&token, &format!("is {token}.x wrong?"), "is *** wrong?"),
        ] {
            let mut echo = Echo::default();
            echo.remember_beginning(beginning);
            let mut text = haystack.to_owned();
            echo.scrub_text(&mut text, "***");
            assert_eq!(text, shown, "{haystack}");
        }
        let mut echo = Echo::default();
        echo.remember_beginning("correct hor");
        let mut json = r#"{"a":"is correct horse \"battery\"","b":"staple"}"#.to_owned();
        echo.scrub_json(&mut json, "***");
        assert_eq!(json, r#"{"a":"is ***","b":"staple"}"#);
    }

    #[test]
    fn a_beginning_is_found_however_many_values_there_are() {
        for count in [0, VERY_FEW, FEW, 3 * FEW] {
            let mut echo = Echo::default();
            for number in 0..count {
                echo.remember(&format!("{number}-secret-{number}"));
            }
            ["correct", "correct horse", "a correct"].into_iter().for_each(|value| echo.remember(value));
            echo.remember_beginning("correct");
            let mut text = "is a correct horse battery".to_owned();
            echo.scrub_text(&mut text, "***");
            assert_eq!(text, "is ***", "{count}");
        }
    }

    #[test]
    fn many_hits_of_a_cut_value_share_the_end_of_their_line() {
        let mut echo = Echo::default();
        (0..40).for_each(|number| echo.remember_beginning(&format!("{number} word")));
        let mut text = "1 word 2 word ".repeat(2_000);
        assert!(echo.scrub_text(&mut text, "***"));
        assert_eq!(text, "***");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut echo = Echo::default();
        for number in 0..20_000 {
            echo.remember(&format!("value{number}"));
        }
        echo.remember(&"x".repeat(MAX_BYTES));
        assert_eq!(echo.values.len(), MAX_VALUES);
        let mut text = "value8191 value8192".to_owned();
        echo.scrub_text(&mut text, "*");
        assert_eq!(text, "* *2");
    }

    proptest! {
        #[test]
        fn no_value_survives_in_a_fragment(values in prop::collection::vec("[a-c\"\\\\é+% \n]{6,9}", 1..8), around in any::<(String, String)>(), nested in any::<bool>()) {
            let values: Vec<&str> = values.iter().map(|value| value.trim()).filter(|value| value.len() >= MIN_BYTES).collect();
            for value in &values {
                let mut said = format!("{}{value}{}", around.0, around.1);
                if nested {
                    said = serde_json::to_string(&said).unwrap();
                }
                let fragment = serde_json::json!({ "a": [said.clone()], said: 1 }).to_string();
                let clean = json(&values, &fragment);
                let back: serde_json::Value = serde_json::from_str(&clean).unwrap();
                prop_assert!(!back["a"][0].as_str().unwrap().contains(value), "{} in {}", value, clean);
                prop_assert!(!back.as_object().unwrap().keys().any(|key| key.contains(value)), "{} in {}", value, clean);
            }
        }

        #[test]
        fn nothing_panics(values in prop::collection::vec(any::<String>(), 0..8), mut text in any::<String>()) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let echo = echo(&values);
            echo.scrub_json(&mut text, "***");
            echo.scrub_text(&mut text, "***");
        }
    }
}
