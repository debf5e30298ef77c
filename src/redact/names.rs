//! Names in free text: what stands after `name: value`, `"name": value`, `name => value`, `name -> value` and
//! `name := value` with a secret name, as messages, dumps and pieces of JSON or YAML have it.
//!
//! Each place is looked at once. What is looked at before a name is bounded, and what is read of a value is not read
//! again: linear in the text.

use std::ops::Range;

use super::edit::Edit;
use super::extent::{Around, extent, strings_in};
use super::frame::Fate;
use super::json;
use super::pass::Pass;
use super::rejection;
use super::rules::Verdict;
use super::values::is_name;
use crate::record::fragment::unescape;

/// How far before its end a quoted name, or the words of a name, may begin.
const MAX_NAME: usize = 128;
/// The longest closing tag behind a name that is passed over.
const MAX_TAG: usize = 16;
/// A name of more words is a sentence, of which only the last word and what makes a name with it count.
const MAX_WORDS: usize = 3;

/// Finds what is named by a secret name, and remembers the parts of it that may stand elsewhere by themselves.
pub(super) fn find_named(pass: &mut Pass<'_>, text: &str, edits: &mut Vec<Edit>) {
    let bytes = text.as_bytes();
    let mut around = Around::default();
    let mut from = 0;
    let mut at = 0;
    while let Some(mark) = memchr::memchr2(b':', b'>', &bytes[at..]).map(|len| at + len) {
        at = mark + 1;
        let Some(separator) = separator_at(bytes, mark) else { continue };
        let name = Name::before(bytes, from, separator.start);
        from = separator.end;
        at = separator.end;
        if !name.is_secret(pass, text) || is_time(bytes, &name, &separator) || is_address(bytes, &name, &separator) {
            continue;
        }
        around.advance(bytes, name.range.start);
        let value = extent(bytes, separator.end, &around);
        if value.is_empty() || name.says_missing(bytes, &value) {
            continue;
        }
        at = value.end.max(at);
        from = at;
        around.skip(bytes, at);
        let said = &text[value.clone()];
        if pass.is_mask(said) {
            continue;
        }
        pass.note_name(text.get(name.range.clone()).unwrap_or_default());
        match rejection::secrets(said) {
            Some(secrets) => {
                edits.extend(
                    secrets.into_iter().map(|place| Edit::mask(value.start + place.start..value.start + place.end)),
                );
            }
            None => {
                remember_parts(pass, said);
                edits.push(Edit::mask(value));
            }
        }
    }
}

/// The separator that a colon or an angle bracket belongs to. Paths as in `Key::Value` have none.
fn separator_at(bytes: &[u8], mark: usize) -> Option<Range<usize>> {
    let next = bytes.get(mark + 1);
    if bytes[mark] == b'>' {
        let before = mark.checked_sub(1).map(|at| bytes[at]);
        return matches!(before, Some(b'-' | b'=')).then(|| mark - 1..mark + 1);
    }
    match next {
        Some(b'=') => Some(mark..mark + 2),
        Some(b':') if bytes.get(mark + 2).is_some_and(|byte| is_name(*byte) || *byte == b'<') => None,
        Some(b':') => Some(mark..mark + 2),
        _ if mark > 0 && bytes[mark - 1] == b':' => None,
        _ => Some(mark..mark + 1),
    }
}

/// What stands before a separator.
pub(super) struct Name {
    /// The last word of it.
    pub(super) range: Range<usize>,
    /// Where the quotes close around it.
    quote: Option<usize>,
}

impl Name {
    /// The name that ends before `until`, not beginning before `from`.
    pub(super) fn before(bytes: &[u8], from: usize, until: usize) -> Self {
        let mut end = until;
        let mut quote = None;
        while end > from {
            match bytes[end - 1] {
                byte if byte.is_ascii_whitespace() && quote.is_none() => {}
                b'"' | b'\'' | b'`' if quote.is_none() => quote = Some(end - 1),
                b'\\' if quote.is_some() => {}
                // As in `["name"]`, `**name**`, `name?:`, `name !=`.
                b'*' | b'?' | b'!' | b'|' | b'~' | b']' | b')' => {}
                // As in `<b>name</b>:`.
                b'>' if quote.is_none() => {
                    let bound = from.max(end.saturating_sub(MAX_TAG));
                    let Some(tag) = memchr::memrchr(b'<', &bytes[bound..end]) else { break };
                    end = bound + tag + 1;
                }
                _ => break,
            }
            end -= 1;
        }
        let mut start = end;
        while start > from && is_name(bytes[start - 1]) {
            start -= 1;
        }
        Self { range: start..end, quote }
    }

    pub(super) fn is_secret(&self, pass: &mut Pass<'_>, text: &str) -> bool {
        let mut is =
            |name: Option<&str>| name.is_some_and(|name| !name.is_empty() && pass.verdict(name) != Verdict::Plain);
        let Range { start, end } = self.range;
        if is(text.get(start..end)) {
            return true;
        }
        let bytes = text.as_bytes();
        // A line break that is written as two characters.
        if start > 0 && bytes[start - 1] == b'\\' && is(text.get(start + 1..end)) {
            return true;
        }
        if let Some(quote) = self.quote {
            let from = end.saturating_sub(MAX_NAME);
            let opened = bytes.get(from..start).and_then(|before| memchr::memrchr(bytes[quote], before));
            let Some(raw) = opened.and_then(|opened| text.get(from + opened + 1..end)) else { return false };
            return is(Some(raw)) || raw.contains('\\') && is(unescape(raw).as_deref());
        }
        if start == 0 || bytes[start - 1] != b' ' {
            return false;
        }
        let words = Words::before(bytes, end);
        if words.is_all {
            return words.count > 1 && is(text.get(words.starts[words.count - 1]..end));
        }
        // Only together are they secret, as in `card number`: a secret word further ahead is prose.
        (1..words.count).any(|first| {
            let first = words.starts[first];
            is(text.get(first..end)) && !text[first..start].split(' ').any(|word| is(Some(word)))
        })
    }

    /// Whether the one word after it says what is missing, as in `missing cookie: session`.
    fn says_missing(&self, bytes: &[u8], value: &Range<usize>) -> bool {
        let before = bytes[..self.range.start].trim_ascii_end();
        let word = before.len().checked_sub(b"missing".len()).map(|at| &before[at..]);
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"missing"))
            && bytes[value.clone()].iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
    }
}

/// The last words of a phrase.
struct Words {
    /// Where they begin, the last first.
    starts: [usize; MAX_WORDS],
    count: usize,
    /// There are no more before them.
    is_all: bool,
}

impl Words {
    fn before(bytes: &[u8], end: usize) -> Self {
        let mut words = Self { starts: [0; MAX_WORDS], count: 0, is_all: true };
        let bound = end.saturating_sub(MAX_NAME);
        let mut at = end;
        loop {
            let mut start = at;
            while start > bound && (is_name(bytes[start - 1]) && !matches!(bytes[start - 1], b'[' | b']')) {
                start -= 1;
            }
            if start == at {
                return words;
            }
            if words.count == MAX_WORDS || start == bound && bound > 0 {
                words.is_all = false;
                return words;
            }
            words.starts[words.count] = start;
            words.count += 1;
            at = start;
            while at > bound && bytes[at - 1] == b' ' {
                at -= 1;
            }
        }
    }
}

/// Whether a colon stands in a time, as in `key 12:30`.
fn is_time(bytes: &[u8], name: &Name, separator: &Range<usize>) -> bool {
    bytes[name.range.clone()].iter().all(u8::is_ascii_digit)
        && name.range.end == separator.start
        && bytes.get(separator.end).is_some_and(u8::is_ascii_digit)
}

/// Whether a name is a host before its port, the user in a URL (whose password is found by its place), or a part of a
/// name with colons in it.
fn is_address(bytes: &[u8], name: &Name, separator: &Range<usize>) -> bool {
    if name.quote.is_some() || name.range.end != separator.start || separator.len() != 1 {
        return false;
    }
    let rest = &bytes[separator.end..];
    let before = &bytes[..name.range.start];
    if before.ends_with(b"://") {
        let end = rest
            .iter()
            .position(|byte| matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`'));
        let authority = &rest[..end.unwrap_or(rest.len())];
        let digits = authority.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_port = digits > 0 && authority[digits..].first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
        return is_port || memchr::memchr(b'@', authority).is_some();
    }
    let goes_on = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric());
    goes_on && before.ends_with(b":") && {
        let bound = before.len().saturating_sub(MAX_NAME);
        let inside = |byte: &u8| is_name(*byte) || *byte == b':';
        let len = before[bound..].iter().rev().take_while(|byte| inside(byte)).count();
        let chain = &before[before.len() - len..];
        [&b"urn:"[..], b"arn:", b"system:serviceaccount:"].into_iter().any(|scheme| chain.starts_with(scheme))
    }
}

/// Remembers what may stand elsewhere without the rest: strings, lines, elements, and a first word that is no prose.
fn remember_parts(pass: &mut Pass<'_>, value: &str) {
    if value.starts_with(['{', '[']) && json::walk(pass, value, false, Fate::Mask, u8::MAX).is_ok() {
        return;
    }
    let is_edge = |char: char| matches!(char, '"' | '\'' | '`' | '\\' | ' ' | '\t' | '-' | '|' | '>' | ';');
    let first = value.split_ascii_whitespace().next().unwrap_or_default();
    if first.len() < value.len() && !first.bytes().all(|byte| byte.is_ascii_lowercase()) {
        pass.remember_encoded(first.trim_matches([',', '(', ')', '[', ']', '{', '}']).trim_matches(is_edge));
    }
    for part in value.split(['\n', '\r', ',', '{', '}', '[', ']', '(', ')']) {
        let said = part.trim_matches(is_edge);
        // A name of a member by itself is no secret.
        if said.len() < value.len() && !part.trim_ascii_end().ends_with([':', '"', '\'']) {
            pass.remember_encoded(said);
        }
        if let Some((_, said)) = part.split_once(": ").or_else(|| part.split_once("=>")) {
            pass.remember_encoded(said.trim_matches(is_edge));
        }
    }
    for string in strings_in(value.as_bytes()) {
        let Some(said) = value.get(string.clone()) else { continue };
        // Bounded, for there may be as many strings as quotes.
        let mut ahead = value.as_bytes()[string.end..].iter().take(MAX_NAME);
        if ahead.find(|byte| !matches!(byte, b'\\' | b'"' | b'\'' | b' ')) == Some(&b':') {
            continue;
        }
        pass.remember(said);
        remember_unescaped(pass, said);
    }
    remember_unescaped(pass, value);
}

fn remember_unescaped(pass: &mut Pass<'_>, said: &str) {
    if said.contains('\\')
        && let Some(said) = unescape(said)
    {
        pass.remember(&said);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Redactor;
    use super::*;

    fn shown(text: &str) -> String {
        Pass::new(&Redactor::default(), None).string(text)
    }

    #[test]
    fn what_a_secret_name_names_is_masked() {
        for (given, expected) in [
            ("password: hunter2", "password: ***"),
            ("password:hunter2", "password:***"),
            ("Token : abc", "Token : ***"),
            ("password: \"x y\"", "password: \"***\""),
            ("the password: 'x y' is wrong", "the password: '***' is wrong"),
            (
                "Login { user: \"bob\", password: \"hunter2\", pin: Some(\"1234\") }",
                "Login { user: \"bob\", password: \"***\", pin: *** }",
            ),
            (
                "A { token: B { c: \"x\", d: (1, [2]) }, user: \"bob\", pin: None }",
                "A { token: ***, user: \"bob\", pin: *** }",
            ),
            ("A {\n    password: \"x\",\n    b: 1,\n}", "A {\n    password: \"***\",\n    b: 1,\n}"),
            ("{User:bob Password:hunter2 Port:1}", "{User:bob Password:***}"),
            ("map[a:b password:x y]", "map[a:b password:***]"),
            ("password := x", "password := ***"),
            ("password -> x", "password -> ***"),
            ("password => x", "password => ***"),
            ("{:user=>\"bob\", :password=>\"x\"}", "{:user=>\"bob\", :password=>\"***\"}"),
            ("{'password': 'x', 'user': 'bob'}", "{'password': '***', 'user': 'bob'}"),
            ("{'password': b'x\\'y', 'user': 'bob'}", "{'password': b'***', 'user': 'bob'}"),
            (
                "Array\n(\n    [password] => a b\n    [user] => c\n)",
                "Array\n(\n    [password] => ***\n    [user] => c\n)",
            ),
            ("[\"password\"]=>\n  string(1) \"x\"\n", "[\"password\"]=>\n  ***\n"),
            ("user: bob\npassword: |\n  one\n\n  two\nport: 1", "user: bob\npassword: ***\nport: 1"),
            ("- password: !!str \"x\"\n  user: bob", "- password: ***\n  user: bob"),
            ("password:\n- one\n- two\nport: 1", "password:\n***\nport: 1"),
            ("password:\nport: 1", "password:\nport: 1"),
            ("password: \"one\n  two\"\nport: 1", "password: \"***\"\nport: 1"),
            ("password: '''it's\nx''' b", "password: '''***''' b"),
            ("password: 'it''s x'", "password: ***"),
            ("{password: a, b, user: c}", "{password: ***, user: c}"),
            ("(password: a}b) c", "(password: ***) c"),
            ("card number: 1234, a", "card number: ***"),
            ("the session id: x", "the session id: ***"),
            ("**Password**: x", "**Password**: ***"),
            ("\"pin code\": 1, \"a\": 2", "\"pin code\": ***, \"a\": 2"),
            ("\\\"password\\\":\\\"a\\\\\\\"b\\\",\\\"c\\\":1", "\\\"password\\\":\\\"***\\\",\\\"c\\\":1"),
            ("{\"p\\u0061ssword\": \"x\", \"a\": y}", "{\"p\\u0061ssword\": \"***\", \"a\": y}"),
            ("\"password\"\n:\n\"x\" y", "\"password\"\n:\n\"***\" y"),
            ("password: /* c */ \"x\"; a", "password: ***; a"),
            ("Cookie: a=b; c=d, e=f", "Cookie: ***"),
            ("sent\\npin: 1234", "sent\\npin: ***"),
            ("password%3A%20x%20y", "password%3A%20***"),
            ("password: é, ü: x", "password: ***, ü: x"),
            ("pin != 12345, ok", "pin != ***"),
            ("card number = 12", "card number = ***"),
            ("SET password = 'it''s x', b = 'c'", "SET password = '***', b = 'c'"),
            ("password=\"a\"'b c'd e", "password=\"*** e"),
            ("password=\"a\"x\"b c\" e", "password=\"***\" e"),
            ("password=\"a\" b=\"c\"", "password=\"***\" b=\"c\""),
            ("<p><b>Password</b>: x y", "<p><b>Password</b>: ***"),
            ("token={\n \"a\": 1,\n \"b\": 2}\nc", "token=***\nc"),
            ("password = \"\"\"\nx\n\"\"\" y", "password = \"\"\"***\"\"\" y"),
            ("http://password:x/", "http://password:***"),
            ("Error: bad token: x\n    at f (/a.js:1:2)", "Error: bad token: ***\n    at f (/a.js:1:2)"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
    }

    #[test]
    fn json_on_several_lines_is_masked_to_its_end() {
        for (given, expected) in [
            ("got {\"password\": {\n \"a\": \"x\",\n \"b\":\"y\" }\n, \"c\": 1", "got {\"password\": ***\n, \"c\": 1"),
            ("\"password\": [\n \"x}]\",\n 'y'\n ] z", "\"password\": ***"),
            ("\"password\": [\n \"x\",\n \"y\"\n", "\"password\": ***\n"),
            ("{\"password\": {\"a\": [\n\"x\\\"]}\",\n{}]},\n\"b\": 1,}", "{\"password\": ***,\n\"b\": 1,}"),
            ("{\\\"password\\\": {\\\"a}\\\":\n \\\"x\\\"}, \\\"b\\\": 1", "{\\\"password\\\": ***, \\\"b\\\": 1"),
            ("{\"password\":\n\n \"x\"\n, }", "{\"password\":\n\n \"***\"\n, }"),
            ("{\"secrets\": {\"a\": \"x\"}, \"b\": 1,}", "{\"secrets\": ***, \"b\": 1,}"),
            ("{\"password\": 12.5, \"b\": tru}", "{\"password\": ***, \"b\": tru}"),
            ("{\"a\": 1, \"password\": \"x", "{\"a\": 1, \"password\": \"***"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
        let deep = format!("{{\"x\":{}\"a\"{}}}", "[".repeat(70), "]".repeat(70));
        let wide: Vec<String> = (0..5_000).map(|key| format!("\"{key}\":0")).collect();
        for text in [deep, format!("{{{}}}", wide.join(",")), format!("[{}]", "1".repeat(200))] {
            assert_eq!(shown(&text), "***");
        }
    }

    #[test]
    fn what_names_nothing_shows() {
        for text in [
            "at 12:30 key 12:30",
            "https://example.com/a:b",
            "Key::Value and token::Kind",
            "std::token::<T>",
            "missing cookie: session",
            "invalid token: expected `,` at line 1 column 5",
            "token: EOF while parsing a value at line 1 column 5",
            "token_id: 5, key type: rsa",
            "http://auth:8080/login",
            "urn:ietf:params:oauth:grant-type:device_code",
            "arn:aws:secretsmanager:eu:1:secret:x",
            "system:serviceaccount:auth:default",
            "user:default/jane",
            "monkey: x, author: y",
            "token:",
            "password: ***",
            "{\"password\": \"***\", x}",
            "a -> b => c",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(
            shown(
                "Failed to deserialize the JSON body into the target type: token: invalid type: integer `5`, expected a string at line 1 column 12"
            ),
            "Failed to deserialize the JSON body into the target type: token: invalid type: integer `***`, expected a string at line 1 column 12"
        );
        assert_eq!(shown("https://oauth2:hunter2@gitlab.com/x"), "https://oauth2:***@gitlab.com/x");
        // Prose that follows a secret word is lost: nobody can tell it from a passphrase.
        assert_eq!(shown("The key: to be or not"), "The key: ***");
    }

    #[test]
    fn parts_of_what_is_masked_are_remembered() {
        for (given, echo) in [
            ("Login { pin: Some(\"12345678\") }", "12345678"),
            ("\"password\": {\n \"a\": \"hün\\\"ter22\" }", "hün\"ter22"),
            ("\"password\": \"hun\\\"ter22\"", "hun\"ter22"),
            ("password: Hunter22 was wrong", "Hunter22"),
            ("password:\n  - one-two-three\n  - four-five", "four-five"),
            ("password: |\n  line one\n  line two", "line two"),
            ("token: A { b: bcdefgh, c: 1 }", "bcdefgh"),
            ("password: hunter2%20three", "hunter2 three"),
            ("token: invalid type: string \"hunter22\", expected u8", "hunter22"),
        ] {
            let redactor = Redactor::default();
            let mut pass = Pass::new(&redactor, None);
            pass.string(given);
            let mut text = format!("is {echo}!");
            pass.scrub_text(&mut text);
            assert_eq!(text, "is ***!", "{given}");
        }
    }

    /// Minutes where each string is followed to the end of what stands behind it, milliseconds where it is not.
    #[test]
    fn a_value_of_many_quotes_takes_no_longer_than_another() {
        for piece in ["\"", " \"", "\\\"\"", "'", "\"\\"] {
            let text = format!("password: {}", piece.repeat((1 << 17) / piece.len()));
            let began = std::time::Instant::now();
            let shown = shown(&text);
            assert!(shown.len() < 64, "{piece}");
            assert!(began.elapsed().as_secs() < 30, "{piece}: {:?}", began.elapsed());
        }
    }

    proptest! {
        #[test]
        fn no_canary_behind_a_secret_name_appears(
            before in "(x |\\{|\\(|a: b, |\\[\"|\"|'|é\n){0,3}",
            name in prop::sample::select(vec!["password", "\"api_key\"", "'Token'", ":pin", "[auth]", "\\\"secret\\\"", "card number"]),
            separator in prop::sample::select(vec![":", ": ", " : ", "=>", " => ", " -> ", " := ", ":\n  ", "=", " = "]),
            value in prop::sample::select(vec![
                "cAnArY", "\"cAnArY\"", "'a cAnArY'", "Some(\"cAnArY\")", "{\n\"a\": \"cAnArY\",\n\"b\": \"}cAnArY\" }",
                "[1,\n\"cAnArY\"\n", "B { c: [1], d: \"cAnArY\" }", "a, cAnArY", "\\\"a \\\\\\\" cAnArY\\\"", "|\n  a\n\n  cAnArY", "(a) cAnArY",
                "b'a cAnArY'", "\"\"\"a\n\"cAnArY\"\"\"", "a;b&c cAnArY", "invalid type: string \"cAnArY\", expected u8",
            ]),
            after in "(, b: c|\\}|\\)|\\]|\"| x|\n|\ny: z){0,3}",
        ) {
            // A quoted value has to end with its quotes in the same text, and a block needs a line of its own.
            let text = format!("{before}{name}{separator}{value}{after}");
            let pairs = separator.contains('=') && !separator.contains(['>', ':']) && value.contains(['\n', ';']);
            if pairs || value.starts_with('|') && separator.contains('\n') {
                return Ok(());
            }
            let shown = shown(&text);
            prop_assert!(!shown.contains("cAnArY"), "{} became {}", text, shown);
        }

        #[test]
        fn nothing_panics(text in "(password|\"|'|`|\\\\|:|::|=|>|-|\\{|\\}|\\(|\\)|\\[|\\]|,|\n| |é|- |!|/\\*|//|at a:1|missing |invalid type: |, expected ){0,24}") {
            let _ = shown(&text);
            let _ = Pass::new(&Redactor::default(), None).text(text.as_bytes(), false);
        }
    }
}
