//! Values that no text has by chance, and a search for them in every spelling.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode;
use uuid::Uuid;

use crate::json::escape_at;

/// How often a text is decoded, in any order of decodings.
const DECODINGS: usize = 3;
/// As much of a canary is recognised too: what a cut or a clumsy mask leaves over.
const PIECE: usize = 12;

/// Random values to send as secrets, one of each kind, and the assertion that none of them was written.
///
/// Redaction promises that a canary is not written at a place for which there is a rule
/// ([`guide::redaction`](crate::guide::redaction)): under a secret key, as a token ([`key`](Self::key), [`jwt`](Self::jwt)),
/// in a credential header, given to [`Audit::secret`](crate::Audit::secret), and where clients and errors repeat such a
/// value. It promises nothing for a canary under a harmless key, in prose, or in evidence that the application sets, such as
/// `meta`: there the assertion finds what the application has to change.
///
/// Canaries are recognised raw, percent-encoded, escaped as in JSON or doubled as in CSV, up to three encodings in any order,
/// and in base64 and hexadecimal; and so are their pieces of twelve bytes.
///
/// ```
/// use tower_audit::testing::Canaries;
///
/// let canaries = Canaries::new();
/// canaries.assert_absent(&[r#"{"password":"***"}"#]);
///
/// let leak = format!(r#"{{"url":"/reset?token={}"}}"#, canaries.text());
/// assert_eq!(canaries.find(&leak)[0].kind, "text");
/// ```
#[derive(Clone)]
pub struct Canaries {
    all: [(&'static str, String); 5],
    needles: Arc<Needles>,
}

/// All that is searched for, at once.
struct Needles {
    all: AhoCorasick,
    /// For each, the canary and how it is spelled.
    meant: Vec<(usize, Form)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Base64,
    Hex,
    Piece,
}

impl Form {
    /// Unless its place shows its encoding.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Base64 => Some("base64"),
            Self::Hex => Some("hex"),
            Self::Whole | Self::Piece => None,
        }
    }
}

impl Needles {
    fn of(all: &[(&str, String)]) -> Self {
        let mut texts = Vec::new();
        let mut meant = Vec::new();
        for (at, (kind, value)) in all.iter().enumerate() {
            let mut add = |text: Vec<u8>, form| {
                texts.push(text);
                meant.push((at, form));
            };
            add(value.clone().into_bytes(), Form::Whole);
            base64s(value).into_iter().for_each(|text| add(text.into_bytes(), Form::Base64));
            hexes(value).into_iter().for_each(|text| add(text.into_bytes(), Form::Hex));
            pieces(kind, value).for_each(|piece| add(piece.to_vec(), Form::Piece));
        }
        let all = AhoCorasick::new(texts).expect("a few hundred short patterns are few enough");
        Self { all, meant }
    }
}

/// A canary that was found: its kind, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The kind of canary, by the name of its method: `text`, `odd`, `number`, `key`, `jwt`.
    pub kind: &'static str,
    /// How it was spelled: `raw`, `base64`, `hex`, or the decodings that lead to it.
    pub spelling: String,
    /// Whether only a piece of it was there.
    pub is_piece: bool,
}

impl Canaries {
    /// New random values.
    pub fn new() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        let base62: String = random().bytes().zip(random().bytes()).map(|(a, b)| letter(a, b)).collect();
        let claims = format!(r#"{{"sub":"{}","n":"{}"}}"#, random(), random());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let jwt = format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(claims), URL_SAFE_NO_PAD.encode(random()));
        // Fifteen digits: exact in every number type, and not as long as a card number.
        let number = 100_000_000_000_000 + Uuid::new_v4().as_u128() % 900_000_000_000_000;
        let all = [
            ("text", format!("canary{}", random())),
            ("odd", odd(&random())),
            ("number", number.to_string()),
            ("key", format!("ghp_{base62}abcd")),
            ("jwt", jwt),
        ];
        Self { needles: Arc::new(Needles::of(&all)), all }
    }

    /// Letters and digits that only their key or place marks as a secret, such as a password.
    pub fn text(&self) -> &str {
        &self.all[0].1
    }

    /// A text with a space, quotes, a backslash, `%`, `+`, `&` and a letter beyond ASCII in it: every encoding writes it
    /// differently.
    pub fn odd(&self) -> &str {
        &self.all[1].1
    }

    /// A number of fifteen digits, such as a PIN that is sent as a JSON number.
    pub fn number(&self) -> u64 {
        self.all[2].1.parse().expect("it was made from a number")
    }

    /// A value of a known token format, which is masked wherever it is.
    pub fn key(&self) -> &str {
        &self.all[3].1
    }

    /// A JSON Web Token, which is masked wherever it is.
    pub fn jwt(&self) -> &str {
        &self.all[4].1
    }

    /// Each canary with the name of its kind.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.all.iter().map(|(kind, value)| (*kind, value.as_str()))
    }

    /// The canaries in a text, or bytes, in any spelling; each kind once.
    pub fn find(&self, text: impl AsRef<[u8]>) -> Vec<Leak> {
        let readings = readings(text.as_ref());
        // The plainest of each kind: whole before encoded before a piece.
        let mut plainest: [Option<(u8, Leak)>; 5] = Default::default();
        for (text, spelling) in &readings {
            for hit in self.needles.all.find_overlapping_iter(text) {
                let (kind, form) = self.needles.meant[hit.pattern().as_usize()];
                let spelling = form.name().map_or_else(|| spelling.clone(), str::to_owned);
                let leak = Leak { kind: self.all[kind].0, spelling, is_piece: form == Form::Piece };
                if plainest[kind].as_ref().is_none_or(|(known, _)| (form as u8) < *known) {
                    plainest[kind] = Some((form as u8, leak));
                }
            }
        }
        plainest.into_iter().flatten().map(|(_, leak)| leak).collect()
    }

    /// Asserts that no canary is in any of these lines, or bytes, in any spelling.
    ///
    /// # Panics
    ///
    /// If one is. The message has its kind, its spelling and the number of the line.
    #[track_caller]
    pub fn assert_absent<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) {
        for (at, line) in lines.into_iter().enumerate() {
            let found = self.find(&line);
            assert!(found.is_empty(), "canaries in line {}: {}", at + 1, Told(&found));
        }
    }

    /// Asserts that no canary is in a file, or in any file below a folder: the segments of a file sink, logs of the
    /// application, exports. Compressed files are not opened.
    ///
    /// # Panics
    ///
    /// If one is: the message has its kind, its spelling and the file. If something cannot be read: what was not read was not
    /// searched.
    #[track_caller]
    pub fn assert_absent_below(&self, path: impl AsRef<Path>) {
        let mut left = vec![path.as_ref().to_owned()];
        while let Some(path) = left.pop() {
            let mut read = || -> io::Result<Option<Vec<u8>>> {
                if !path.is_dir() {
                    return fs::read(&path).map(Some);
                }
                for entry in fs::read_dir(&path)? {
                    left.push(entry?.path());
                }
                Ok(None)
            };
            match read() {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    let found = self.find(bytes);
                    assert!(found.is_empty(), "canaries in {}: {}", path.display(), Told(&found));
                }
                Err(error) => panic!("cannot search {}: {error}", path.display()),
            }
        }
    }
}

impl Default for Canaries {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the values: a test's output is a log too.
impl fmt::Debug for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(kind, _)| kind)).finish()
    }
}

struct Told<'f>(&'f [Leak]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Leak { kind, spelling, is_piece }) in self.0.iter().enumerate() {
            let (comma, piece) = (if at > 0 { ", " } else { "" }, if *is_piece { "a piece of " } else { "" });
            write!(f, "{comma}{piece}`{kind}` ({spelling})")?;
        }
        Ok(())
    }
}

/// No piece of it is the same in two canaries.
fn odd(random: &str) -> String {
    let part = |at: usize| &random[at * 8..at * 8 + 8];
    format!("c{} \"ä{}\\/%41{}+&=<{}", part(0), part(1), part(2), part(3))
}

fn letter(a: u8, b: u8) -> char {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(LETTERS[(usize::from(a) * 16 + usize::from(b)) % LETTERS.len()])
}

/// The pieces of a canary that nothing else has; what all tokens of a kind begin with is none.
fn pieces<'v>(kind: &str, value: &'v str) -> impl Iterator<Item = &'v [u8]> {
    let common = match kind {
        "jwt" => value.find('.').map_or(0, |dot| dot + 12),
        "text" => "canary".len(),
        _ => 0,
    };
    // Of a number a piece is too short to be nobody else's.
    let bytes = if kind == "number" { &[] } else { &value.as_bytes()[common..] };
    bytes.windows(PIECE)
}

/// The parts of its base64 that do not depend on what stands around it, wherever in three bytes it begins.
fn base64s(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    for lead in 0..3_usize {
        let text = [&b"xxx"[..lead], value.as_bytes()].concat();
        let whole = &text[..text.len() - text.len() % 3];
        // Four letters hold the three bytes in which the value begins.
        let from = if lead == 0 { 0 } else { 4 };
        all.extend([STANDARD.encode(whole), URL_SAFE_NO_PAD.encode(whole)].map(|text| text[from..].to_owned()));
    }
    all
}

fn hexes(value: &str) -> Vec<String> {
    let hex = |digits: &[u8; 16]| {
        let digit = |byte: u8| [byte >> 4, byte & 0xf].map(|half| char::from(digits[usize::from(half)]));
        value.bytes().flat_map(digit).collect()
    };
    vec![hex(b"0123456789abcdef"), hex(b"0123456789ABCDEF")]
}

/// A text as it is, and decoded in every order of decodings that changes it.
fn readings(text: &[u8]) -> Vec<(Cow<'_, [u8]>, String)> {
    type Decode = fn(&[u8]) -> Vec<u8>;
    let decodings: [(&str, Decode); 4] = [
        ("unescaped", unescaped),
        ("percent-decoded", |text| percent_decode(text).collect()),
        ("plus as space", |text| text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()),
        ("undoubled quotes", undoubled),
    ];
    let mut seen = HashSet::from([text.to_vec()]);
    let mut all = vec![(Cow::Borrowed(text), "raw".to_owned())];
    let mut from = 0;
    for _ in 0..DECODINGS {
        let until = all.len();
        for at in from..until {
            for (name, decode) in decodings {
                let decoded = decode(&all[at].0);
                if seen.insert(decoded.clone()) {
                    let spelling = if at == 0 { name.to_owned() } else { format!("{}, {name}", all[at].1) };
                    all.push((Cow::Owned(decoded), spelling));
                }
            }
        }
        from = until;
    }
    all
}

/// Every JSON escape as its character; what is none stays.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at] == b'\\').then(|| escape_at(text, at)).flatten() {
            Some((char, len)) => {
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                at += len;
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

fn undoubled(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        out.push(text[at]);
        at += if text[at..].starts_with(b"\"\"") { 2 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    fn kinds(canaries: &Canaries, text: &str) -> Vec<&'static str> {
        canaries.find(text).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn every_spelling_of_every_kind_is_found() {
        let canaries = Canaries::new();
        for (kind, value) in canaries.iter() {
            let json = serde_json::to_string(value).unwrap();
            let escaped: String = value.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            let percent = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
            let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            for spelled in [
                value.to_owned(),
                json.clone(),
                serde_json::to_string(&json).unwrap(),
                escaped,
                utf8_percent_encode(&percent, NON_ALPHANUMERIC).to_string(),
                percent,
                form_urlencoded::byte_serialize(form.as_bytes()).collect(),
                form,
                value.replace('"', "\"\""),
                STANDARD.encode(value),
                URL_SAFE_NO_PAD.encode(format!("user:{value}")),
                STANDARD.encode(format!("ab{value}!")),
                hexes(value)[0].clone(),
            ] {
                let line = format!("{{\"a\":\"x {spelled} y\"}}");
                assert!(kinds(&canaries, &line).contains(&kind), "{kind}: {line}");
            }
        }
    }

    #[test]
    fn a_piece_is_found_and_nothing_else_is() {
        let canaries = Canaries::new();
        let found = canaries.find(&canaries.text()[9..25]);
        assert!(matches!(found.as_slice(), [Leak { kind: "text", is_piece: true, .. }]), "{found:?}");
        assert_eq!(canaries.find(format!("{}", Canaries::new().number())), []);
        let other = Canaries::new();
        canaries.assert_absent(other.iter().map(|(_, value)| value));
        assert_eq!(canaries.find("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9 canary ghp_ *** %25 \\ \\u00"), []);
        assert!(!format!("{canaries:?} {found:?}").contains(canaries.text()));
    }

    #[test]
    #[should_panic(expected = "canaries in line 2: `number` (raw)")]
    fn a_canary_that_is_there_fails_the_test() {
        let canaries = Canaries::new();
        canaries.assert_absent(["{}".to_owned(), canaries.number().to_string()]);
    }

    #[test]
    fn files_are_searched() {
        let canaries = Canaries::new();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), "clean").unwrap();
        canaries.assert_absent_below(folder.path());
        fs::write(folder.path().join("a/b"), canaries.jwt()).unwrap();
        assert!(std::panic::catch_unwind(|| canaries.assert_absent_below(folder.path())).is_err());
        assert!(std::panic::catch_unwind(|| canaries.assert_absent_below(folder.path().join("none"))).is_err());
    }
}
