//! The patterns of token formats: a small regular language without alternatives, matched in linear time.
//!
//! A pattern is literal text, classes such as `[A-Za-z0-9_-]`, each followed by a count (`{n}`, `{n,m}`, `{n,}`), and at most
//! one group `(…)` at its end, which is then the secret; without a group the whole match is. Every other character matches
//! itself. A run of a class takes as many characters as it can and gives none back, so nothing is tried twice.

use std::ops::Range;

use crate::work;

/// The number of different classes that the table may use.
pub(super) const MAX_CLASSES: usize = 48;
/// At the end of a text that was cut, this number of characters after the keyword is a token.
const MIN_CUT: usize = 6;

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u128);

impl Class {
    pub(crate) fn one(byte: u8) -> Self {
        Self(1 << byte)
    }

    /// Characters that may follow a token: neither letters nor digits.
    pub(crate) fn after_word() -> Self {
        Self((0..128_u8).filter(|byte| !byte.is_ascii_alphanumeric()).fold(0, |set, byte| set | 1 << byte))
    }

    pub(crate) fn has(self, byte: u8) -> bool {
        byte < 128 && self.0 >> byte & 1 == 1
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[derive(Debug)]
enum Part {
    Literal(Vec<u8>),
    /// A class, by its index in the list of all, and how often it may repeat.
    Run {
        class: usize,
        min: usize,
        max: Option<usize>,
    },
}

impl Part {
    fn min_len(&self) -> usize {
        match self {
            Self::Literal(text) => text.len(),
            Self::Run { min, .. } => *min,
        }
    }
}

/// A parsed pattern, in two halves around its keyword.
#[derive(Debug)]
pub(super) struct Pattern {
    before: Vec<Part>,
    keyword: &'static [u8],
    after: Vec<Part>,
    /// The part of `after` with which the secret begins, if the pattern has a group.
    secret: Option<usize>,
}

/// The text that is searched.
#[derive(Clone, Copy)]
pub(super) struct Subject<'t> {
    /// The text without the mark of a cut.
    pub(super) bytes: &'t [u8],
    /// Whether it may have been cut at its end.
    pub(super) cut: bool,
}

impl Pattern {
    /// Parses a pattern that holds its keyword. Classes that are not in the list yet are added to it.
    pub(super) fn parse(keyword: &'static str, pattern: &str, classes: &mut Vec<Class>) -> Option<Self> {
        let (before, after) = pattern.split_once(keyword)?;
        let (before, _) = parts(before, classes)?;
        let (after, secret) = parts(after, classes)?;
        Some(Self { before, keyword: keyword.as_bytes(), after, secret })
    }

    pub(super) fn keyword(&self) -> &'static [u8] {
        self.keyword
    }

    /// The length of the shortest text that it matches.
    pub(super) fn min_len(&self) -> usize {
        let parts = self.before.iter().chain(&self.after);
        self.keyword.len() + parts.map(Part::min_len).sum::<usize>()
    }

    /// Whether a part of the pattern precedes the keyword.
    pub(super) fn has_before(&self) -> bool {
        !self.before.is_empty()
    }

    /// The sets of the three characters from a place in the keyword on.
    pub(super) fn beginning(&self, from: usize, classes: &[Class]) -> [Class; 3] {
        let mut all: Vec<Class> = self.keyword[from..].iter().map(|byte| Class::one(*byte)).collect();
        let mut optional = None;
        for part in &self.after {
            match part {
                Part::Literal(text) => all.extend(text.iter().map(|byte| Class::one(*byte))),
                Part::Run { class, min, max } => {
                    all.extend(std::iter::repeat_n(classes[*class], (*min).min(3)));
                    if *max != Some(*min) {
                        optional = Some(classes[*class]);
                        break;
                    }
                }
            }
        }
        // After the required characters: more of the last run, or the end of the word.
        let rest = optional.map_or(Class::after_word(), |class| class.or(Class::after_word()));
        std::array::from_fn(|at| all.get(at).copied().unwrap_or(rest))
    }

    /// The secret, if the text matches around the keyword at this place.
    pub(super) fn find(
        &self,
        text: Subject<'_>,
        keyword: usize,
        classes: &[Class],
        runs: &mut Runs,
    ) -> Option<Range<usize>> {
        let start = self.start(text.bytes, keyword, classes)?;
        let body = keyword + self.keyword.len();
        let (secret, end) = self.end(text, body, classes, runs)?;
        let start = if self.secret.is_some() { secret } else { start };
        (start < end).then_some(start..end)
    }

    /// The beginning of the token that has its keyword at this place.
    fn start(&self, bytes: &[u8], keyword: usize, classes: &[Class]) -> Option<usize> {
        let mut at = keyword;
        for part in self.before.iter().rev() {
            match part {
                Part::Literal(text) if bytes[..at].ends_with(text) => at -= text.len(),
                Part::Literal(_) => return None,
                Part::Run { class, min, max } => {
                    let most = max.unwrap_or(*min);
                    let len =
                        bytes[..at].iter().rev().take(most).take_while(|byte| classes[*class].has(**byte)).count();
                    work::add(len + 1);
                    if len < *min {
                        return None;
                    }
                    at -= len;
                }
            }
        }
        let begins_word = self.before.is_empty() || at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        begins_word.then_some(at)
    }

    /// The beginning of the group and the end of the match whose keyword ends at `body`.
    fn end(&self, text: Subject<'_>, body: usize, classes: &[Class], runs: &mut Runs) -> Option<(usize, usize)> {
        let bytes = text.bytes;
        let (mut at, mut secret) = (body, body);
        // The least end of the part that was matched last, and whether that is a class.
        let (mut least, mut is_run) = (body, false);
        let cut = |secret: usize| {
            (text.cut && bytes.len() >= body + MIN_CUT && secret < bytes.len()).then_some((secret, bytes.len()))
        };
        let mut is_open = false;
        for (place, part) in self.after.iter().enumerate() {
            if self.secret == Some(place) {
                secret = at;
            }
            match part {
                Part::Literal(literal) => {
                    let rest = &bytes[at..];
                    work::add(literal.len());
                    if !rest.starts_with(literal) {
                        return if literal.starts_with(rest) { cut(secret) } else { None };
                    }
                    at += literal.len();
                    (least, is_run, is_open) = (at, false, false);
                }
                Part::Run { class, min, max } => {
                    let whole = runs.end(bytes, at, *class, classes);
                    let end = max.map_or(whole, |max| whole.min(at + max));
                    if end - at < *min {
                        return if end == bytes.len() { cut(secret) } else { None };
                    }
                    (least, is_run, is_open) = (at + min, true, max.is_none());
                    at = end;
                }
            }
        }
        // A count with an upper bound must end at the end of a word.
        if !is_open && bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        // The full stop of a sentence does not belong to the token.
        while is_run && at > least && bytes[at - 1] == b'.' {
            at -= 1;
        }
        Some((secret, at))
    }
}

/// The last run of each class, so that no byte is read twice for one class.
pub(super) struct Runs([(usize, usize); MAX_CLASSES]);

impl Runs {
    pub(super) fn new() -> Self {
        Self([(usize::MAX, 0); MAX_CLASSES])
    }

    /// The end of the run of a class that begins at `at`.
    fn end(&mut self, bytes: &[u8], at: usize, class: usize, classes: &[Class]) -> usize {
        let (start, end) = self.0[class];
        if (start..=end).contains(&at) {
            return end;
        }
        // Up to the known run, if this one continues in it.
        let known = if at < start && start != usize::MAX { start } else { bytes.len() };
        let rest = &bytes[at..known];
        let len = rest.iter().position(|byte| !classes[class].has(*byte)).unwrap_or(rest.len());
        work::add(len + 1);
        let end = if at + len == start { end } else { at + len };
        self.0[class] = (at, end);
        end
    }
}

/// The parts of one half of a pattern, and the one with which its group begins.
fn parts(pattern: &str, classes: &mut Vec<Class>) -> Option<(Vec<Part>, Option<usize>)> {
    let mut parts = Vec::new();
    let mut group = None;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        match first {
            '[' => {
                let (class, behind) = rest[1..].split_once(']')?;
                let (counts, behind) = behind.strip_prefix('{')?.split_once('}')?;
                let class = parse_class(class)?;
                let (min, max) = parse_counts(counts)?;
                let place = classes.iter().position(|known| *known == class).unwrap_or_else(|| {
                    classes.push(class);
                    classes.len() - 1
                });
                parts.push(Part::Run { class: place, min, max });
                rest = behind;
                continue;
            }
            '(' if group.is_none() => group = Some(parts.len()),
            ')' if group.is_some() && rest.len() == 1 => {}
            '(' | ')' | ']' | '{' | '}' => return None,
            _ if !first.is_ascii() => return None,
            _ => {
                let begins_group = group == Some(parts.len());
                match parts.last_mut() {
                    Some(Part::Literal(text)) if !begins_group => text.push(first as u8),
                    _ => parts.push(Part::Literal(vec![first as u8])),
                }
            }
        }
        rest = &rest[first.len_utf8()..];
    }
    Some((parts, group))
}

fn parse_class(text: &str) -> Option<Class> {
    let bytes = text.as_bytes();
    let mut set = 0_u128;
    let mut at = 0;
    while at < bytes.len() {
        let first = bytes[at];
        let range = bytes.get(at + 1) == Some(&b'-') && at + 2 < bytes.len();
        let last = if range { bytes[at + 2] } else { first };
        if !first.is_ascii() || !last.is_ascii() || first > last {
            return None;
        }
        set |= (first..=last).fold(0, |set, byte| set | 1 << byte);
        at += if range { 3 } else { 1 };
    }
    (set != 0).then_some(Class(set))
}

fn parse_counts(text: &str) -> Option<(usize, Option<usize>)> {
    let Some((min, max)) = text.split_once(',') else {
        let count = text.parse().ok()?;
        return Some((count, Some(count)));
    };
    let min = min.parse().ok()?;
    if max.is_empty() {
        return Some((min, None));
    }
    let max = max.parse().ok()?;
    (min <= max).then_some((min, Some(max)))
}
