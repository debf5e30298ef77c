//! Token formats: the tokens, keys and secret URLs of known issuers, and the search for them in a text.
//!
//! `table` is the data; `pattern` is the language of its patterns. A pattern is tried only where its keyword is found. A keyword
//! is looked for only where a word begins; if it begins with a sign, from the first word in it on. The search is linear in
//! the text.

#[cfg(test)]
pub(crate) mod examples;
mod pattern;
mod table;

use std::ops::Range;
use std::sync::LazyLock;

pub(crate) use self::pattern::Class;
use self::pattern::{MAX_CLASSES, Pattern, Runs, Subject};
use self::table::FORMATS;
use crate::work;

/// The sign at which the formats are looked for that have their keyword in the middle of a word.
const SIGN: u8 = b'~';
/// Mark that the layer appends to a text that it cut.
const CUT_MARK: &[u8] = "…".as_bytes();

/// One token format.
#[derive(Debug)]
pub(crate) struct TokenFormat {
    id: &'static str,
    pattern: Pattern,
    /// The place in the keyword where a word begins; the format is looked for there.
    anchor: usize,
}

impl TokenFormat {
    #[cfg_attr(not(test), allow(dead_code, reason = "for reports"))]
    pub(crate) fn id(&self) -> &'static str {
        self.id
    }

    /// The length of the shortest token of this format.
    #[cfg_attr(not(test), allow(dead_code, reason = "for reports"))]
    pub(crate) fn min_len(&self) -> usize {
        self.pattern.min_len()
    }

    fn anchored(&self) -> &'static [u8] {
        &self.pattern.keyword()[self.anchor..]
    }

    /// Where the keyword begins, if this is the place where the format is looked for.
    fn keyword_at(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let start = at.checked_sub(self.anchor)?;
        bytes[start..].starts_with(self.pattern.keyword()).then_some(start)
    }
}

/// All formats of the table, ready for a search.
#[derive(Debug)]
pub(crate) struct TokenFormats {
    /// Sorted by the buckets of their first two characters.
    words: Vec<TokenFormat>,
    /// Where the formats of each bucket begin in `words`.
    buckets: [u16; BUCKETS + 1],
    /// The formats that are looked for at [`SIGN`].
    signs: Vec<TokenFormat>,
    classes: Vec<Class>,
}

impl TokenFormats {
    /// The table's formats, parsed once.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<TokenFormats> = LazyLock::new(TokenFormats::new);
        &SHARED
    }

    fn new() -> Self {
        let mut classes = Vec::new();
        let (mut words, mut signs) = (Vec::new(), Vec::new());
        for (id, keyword, pattern) in &FORMATS {
            let pattern = Pattern::parse(keyword, pattern, &mut classes).expect("the tests parse every pattern");
            let in_word = pattern.has_before() && keyword.starts_with(|first: char| first.is_ascii_alphanumeric());
            let anchor = keyword.bytes().position(|byte| byte.is_ascii_alphanumeric()).unwrap_or(0);
            let format = TokenFormat { id, pattern, anchor };
            if in_word {
                signs.push(format);
            } else {
                // Behind those of its bucket: within one, the order is the table's.
                let of = |format: &TokenFormat| bucket(format.anchored());
                words.insert(words.partition_point(|other| of(other) <= of(&format)), format);
            }
        }
        assert!(classes.len() <= MAX_CLASSES, "the table uses more classes than a search keeps runs of");
        let buckets = std::array::from_fn(|next| {
            let count = words.iter().take_while(|format| bucket(format.anchored()) < next).count();
            u16::try_from(count).expect("a table has fewer than 65536 rows")
        });
        Self { words, buckets, signs, classes }
    }

    /// The keywords of all formats.
    #[cfg(any(test, feature = "__fuzzing"))]
    #[cfg_attr(not(test), allow(dead_code, reason = "the fuzz targets will use it"))]
    pub(crate) fn keywords(&self) -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(_, keyword, _)| *keyword)
    }

    /// For each format, the sets of its first three characters from the place on where it is looked for.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = [Class; 3]> {
        self.words.iter().map(|format| format.pattern.beginning(format.anchor, &self.classes))
    }

    /// Whether a word that begins here is the keyword of a format.
    pub(crate) fn begins_at(&self, bytes: &[u8], at: usize) -> bool {
        self.candidates(bytes, at).any(|format| format.keyword_at(bytes, at).is_some())
    }

    /// Calls `found` with the place and format of each token in a text, in order. `cut`: the text may have been cut at its end,
    /// so six characters after the keyword are enough for a token that reaches the end.
    pub(crate) fn find(&self, text: &str, cut: bool, found: &mut impl FnMut(Range<usize>, &'static str)) {
        let bytes = text.as_bytes();
        let bytes = if cut { bytes.strip_suffix(CUT_MARK).unwrap_or(bytes) } else { bytes };
        let text = Subject { bytes, cut };
        let mut runs = Runs::new();
        // Where the last token ended: tokens do not overlap.
        let mut free = 0;
        work::add(bytes.len());
        for at in 0..bytes.len() {
            let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
            if before.is_ascii_alphanumeric() {
                continue;
            }
            let words = self.candidates(bytes, at);
            let signs = if before == SIGN { self.signs.as_slice() } else { &[] };
            let mut best: Option<(Range<usize>, &'static str)> = None;
            let places = words.filter_map(|format| Some((format, format.keyword_at(bytes, at)?)));
            let ends = signs.iter().filter(|format| bytes[..at].ends_with(format.pattern.keyword()));
            for (format, keyword) in places.chain(ends.map(|format| (format, at - format.pattern.keyword().len()))) {
                if let Some(place) = format.pattern.find(text, keyword, &self.classes, &mut runs)
                    && place.start >= free
                    && best.as_ref().is_none_or(|(best, _)| place.end >= best.end)
                {
                    best = Some((place, format.id));
                }
            }
            if let Some((place, id)) = best {
                free = place.end;
                found(place, id);
            }
        }
    }

    /// Whether a text holds a token of a known format.
    pub(crate) fn has_token(&self, text: &str) -> bool {
        let mut has = false;
        self.find(text, false, &mut |_, _| has = true);
        has
    }

    /// The formats that a word that begins here may have.
    fn candidates(&self, bytes: &[u8], at: usize) -> impl Iterator<Item = &TokenFormat> {
        let bucket = bytes.get(at..).map_or(BUCKETS - 1, bucket);
        self.words[usize::from(self.buckets[bucket])..usize::from(self.buckets[bucket + 1])].iter()
    }
}

const BUCKETS: usize = 256;

/// The bucket of the formats that begin with the same two characters as a text, and of some others.
fn bucket(text: &[u8]) -> usize {
    text.first_chunk().map_or(BUCKETS - 1, |[first, second]| usize::from(first.wrapping_mul(31) ^ second))
}
