//! Keys that are not ASCII: words of other languages, and letters that only look like a to z.
//!
//! Such a key is folded: what cannot be seen and what is set upon letters goes, and each letter that looks like one of a to
//! z becomes it (`ｐａｓｓｗｏｒｄ`, `pаsswоrd` with Cyrillic letters, `contraseña`). Then the rule for ASCII reads it once
//! more, and what is left of it is searched for [`FOREIGN`] words. ASCII keys never come here.

use std::sync::LazyLock;

/// A key is secret if its letters contain one of these.
pub(in crate::redact) const FOREIGN: &[&str] = &[
    // Russian and its neighbours, in all their cases.
    "парол",
    "токен",
    "секрет",
    // Chinese.
    "密码",
    "密碼",
    "令牌",
    "密钥",
    "密鑰",
    "私钥",
    "私鑰",
    "口令",
    // Japanese; the first of them is Chinese too.
    "秘密",
    "パスワード",
    "パスコード",
    "暗証番号",
    "トークン",
    // Korean.
    "비밀번호",
    "비밀",
    "암호",
    "토큰",
    // Greek, Arabic, Hebrew, Hindi, Thai.
    "συνθηματικ",
    "ΣΥΝΘΗΜΑΤΙΚ",
    "كلمة المرور",
    "كلمة السر",
    "סיסמה",
    "סיסמא",
    "पासवर्ड",
    "รหัสผ่าน",
];

/// A key is secret if one of its words is one of these.
pub(in crate::redact) const FOREIGN_WORDS: &[&str] = &["ключ", "ключи"];

/// Beginnings of words that contain one of those and mean something else: secretary, secretariat.
pub(in crate::redact) const FOREIGN_INNOCENT: &[&str] = &["секретар"];

/// Letters that look like the first of their line.
const LOOK_ALIKES: &[&str] = &[
    "aаαɑᴀⱥᵃₐ",
    "AАΑᎪꓮ",
    "bвьЬƅϐʙβᵇ",
    "BВΒᏴꓐℬ",
    "cсϲᴄⅽᶜƈ¢",
    "CСϹᏟꓚⅭℂℭ",
    "dԁɗᴅⅾᵈ",
    "DᎠꓓⅮⅅ",
    "eеёєεɛᴇ℮ℯҽᵉₑ€",
    "EЕЁΕᎬꓰℰ",
    "fꜰᶠϝք",
    "FϜꓝℱ",
    "gɡɢցᵍℊ",
    "GԌᏀꓖ",
    "hнһհʜηիᏂℎℏʰₕ",
    "HНΗᎻꓧℋℌℍ",
    "iіїιɩɪⅰᵢⁱ",
    "IІЇΙӀꓲⅠℐℑ",
    "jјϳյᴊʲⱼ",
    "JЈᎫꓙͿ",
    "kкκᴋᵏₖқ",
    "KКΚᏦꓗ\u{212a}Қ",
    "lӏʟⅼℓˡₗ",
    "LᏞꓡⅬℒ",
    "mмᴍⅿᵐₘ",
    "MМΜᎷꓟⅯℳϺ",
    "nпոռɴⁿₙ",
    "NΝꓠℕ",
    "oоοσօᴏℴᵒₒө",
    "OОΟՕꓳ",
    "pрρᴘᵖₚϱ",
    "PРΡᏢꓑℙ",
    "qԛզգ",
    "Qℚⵕ",
    "rгʀᴦɾʳᵣ",
    "RᎡꓣℛℜℝ",
    "sѕꜱʂˢₛ",
    "SЅՏᏚꓢ",
    "tтτᴛᵗₜ",
    "TТΤᎢꓔ",
    "uиυսᴜʋᵘᵤ",
    "UՍꓴ",
    "vѵνᴠⅴᵛᵥ",
    "VѴᏙꓦⅤ",
    "wшωԝաѡᴡʷ",
    "WШԜᎳꓪ",
    "xхχⅹˣₓ",
    "XХΧꓫⅩ",
    "yуγүʏყʸ",
    "YУΥҮᎩꓬ",
    "zᴢᶻ",
    "ZΖᏃꓜℤℨ",
    // Greek letters with accents, so that words are found with and without them.
    "aάἀἁ",
    "eέ",
    "hή",
    "iίϊΐ",
    "oό",
    "uύϋΰ",
    "wώ",
    // The katakana of the words above: half as wide, and with their sound marks in one.
    "ハパバﾊ",
    "スズｽ",
    "ワﾜ",
    "ーｰ",
    "トドﾄ",
    "コゴｺ",
    "クグｸ",
    "ンﾝ",
];

/// One character that looks like two.
const DOUBLE: &[(char, &str)] = &[
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ĳ', "ij"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬅ', "st"),
    ('ﬆ', "st"),
];

/// What is left of the Latin letters from U+00C0 on without their marks; a dot for what is no such letter.
const LATIN: &[u8] = b"\
AAAAAA.CEEEEIIIIDNOOOOO.OUUUUY.Saaaaaa.ceeeeiiiidnooooo.ouuuuy.yAaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGg\
HhHhIiIiIiIiIi..JjKkkLlLlLl..LlNnNnNn.NnOoOoOo..RrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzsbBBb.b.C\
cDDDd....FfG...IKkl..NnOOo..Pp.....tTtTUuUVYyZz......................AaIiOoUuUuUuUuUu.AaAa..GgGgKkOo\
Oo..j...Gg..NnAa....AaAaEeEeIiIiOoOoRrRrUuUuSsTt..Hh.d..ZzAaEeOoOoOoOoYylntj..ACcLTsz..BU.EeJjQqRrYy";
/// The same from U+1E00 on.
const LATIN_ADDITIONAL: &[u8] = b"\
AaBbBbBbCcDdDdDdDdDdEeEeEeEeEeFfGgHhHhHhHhHhIiIiKkKkKkLlLlLlLlMmMmMmNnNnNnNnOoOoOoOoPpPpRrRrRrRrSsSs\
SsSsSsTtTtTtTtUuUuUuUuUuVvVvWwWwWwWwWwXxXxYyZzZzZzhtwyasssS.AaAaAaAaAaAaAaAaAaAaAaAaEeEeEeEeEeEeEeEe\
IiIiOoOoOoOoOoOoOoOoOoOoOoOoUuUuUuUuUuUuUuYyYyYyYy......";

/// Alphabets that stand in Unicode a second time, each from A or a to z in order: full-width, mathematical (thirteen of
/// them), circled, in parentheses, squared, and the letters of flags.
const ALPHABETS: &[(u32, u32, u8)] = &[
    (0xff21, 0xff3a, b'A'),
    (0xff41, 0xff5a, b'a'),
    (0x249c, 0x24b5, b'a'),
    (0x24b6, 0x24cf, b'A'),
    (0x24d0, 0x24e9, b'a'),
    (0x1f110, 0x1f129, b'A'),
    (0x1f130, 0x1f149, b'A'),
    (0x1f150, 0x1f169, b'A'),
    (0x1f170, 0x1f189, b'A'),
    (0x1f1e6, 0x1f1ff, b'A'),
];

/// What cannot be seen, and what is set upon the letter before it.
const UNSEEN: &[(u32, u32)] = &[
    (0x80, 0x9f),
    (0xad, 0xad),
    (0x300, 0x36f),
    (0x483, 0x489),
    (0x591, 0x5c7),
    (0x610, 0x61c),
    (0x640, 0x640),
    (0x64b, 0x65f),
    (0x670, 0x670),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x206f),
    (0x20d0, 0x20ff),
    (0x3099, 0x309a),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xff9e, 0xffa0),
    (0xfff9, 0xfffd),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
];

/// Pairs of what is seen and what it looks like, by the first.
static TABLE: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let mut table: Vec<(char, char)> = LOOK_ALIKES
        .iter()
        .flat_map(|line| {
            let mut chars = line.chars();
            let letter = chars.next().unwrap_or_default();
            chars.map(move |char| (char, letter))
        })
        .collect();
    table.sort_unstable();
    table
});

/// The words above, as they are compared.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let all = |words: &[&str]| words.iter().map(|word| letters(&fold(word))).collect();
    Words { contained: all(FOREIGN), whole: all(FOREIGN_WORDS), innocent: all(FOREIGN_INNOCENT) }
});

struct Words {
    contained: Vec<String>,
    whole: Vec<String>,
    innocent: Vec<String>,
}

/// A key as it looks: letters that look like one of a to z are it, what cannot be seen is gone.
pub(super) fn fold(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for char in key.chars() {
        if char.is_ascii() {
            out.push(char);
        } else if let Some(letter) = in_alphabet(char) {
            out.push(letter);
        } else if let Some((_, two)) = DOUBLE.iter().find(|(double, _)| *double == char) {
            out.push_str(two);
        } else if !in_ranges(UNSEEN, char) {
            out.push(looks_like(char));
        }
    }
    out
}

/// Whether a folded key contains a listed word of another language, or one of the application's.
pub(super) fn names_a_secret(folded: &str, added: &[Box<str>]) -> bool {
    let is_whole = |word: &str| WORDS.whole.iter().any(|whole| *whole == letters(word));
    if folded.split(|char: char| !char.is_alphabetic()).any(is_whole) {
        return true;
    }
    let mut all = letters(folded);
    if added.iter().any(|word| all.contains(&**word)) {
        return true;
    }
    for innocent in &WORDS.innocent {
        all = all.replace(innocent.as_str(), " ");
    }
    WORDS.contained.iter().any(|word| all.contains(word.as_str()))
}

/// The letters of a folded text, in lower case, without what stands between them.
pub(super) fn letters(folded: &str) -> String {
    // Capitals that look like Latin ones have become those: folded again, they are what their small letters became.
    let small: String = folded.chars().filter(|char| char.is_alphabetic()).flat_map(char::to_lowercase).collect();
    fold(&small)
}

fn looks_like(char: char) -> char {
    match TABLE.binary_search_by_key(&char, |(seen, _)| *seen) {
        Ok(place) => TABLE.get(place).map_or(char, |(_, letter)| *letter),
        Err(_) => without_marks(char).unwrap_or(char),
    }
}

fn without_marks(char: char) -> Option<char> {
    let at = |first: u32, letters: &[u8]| {
        let place = usize::try_from(u32::from(char).checked_sub(first)?).ok()?;
        letters.get(place).copied().filter(u8::is_ascii_alphabetic)
    };
    at(0xc0, LATIN).or_else(|| at(0x1e00, LATIN_ADDITIONAL)).map(char::from)
}

fn in_alphabet(char: char) -> Option<char> {
    let point = u32::from(char);
    let letter = |first: u8, place: u32| u8::try_from(place).ok().map(|place| char::from(first + place));
    for (from, to, first) in ALPHABETS {
        if (*from..=*to).contains(&point) {
            return letter(*first, point - from);
        }
    }
    match point {
        0x1d400..=0x1d6a3 => match (point - 0x1d400) % 52 {
            place @ 0..=25 => letter(b'A', place),
            place => letter(b'a', place - 26),
        },
        0x1d6a4 => Some('i'),
        0x1d6a5 => Some('j'),
        // The mathematical Greek: capitals, nabla, small letters, variants.
        0x1d6a8..=0x1d7cb => match (point - 0x1d6a8) % 58 {
            place @ 0..=24 => char::from_u32(0x391 + place).map(looks_like),
            place @ 26..=50 => char::from_u32(0x3b1 + place - 26).map(looks_like),
            _ => None,
        },
        _ => None,
    }
}

fn in_ranges(ranges: &[(u32, u32)], char: char) -> bool {
    let point = u32::from(char);
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_word_becomes_it() {
        for seen in [
            "ｐａｓｓｗｏｒｄ",
            "ＰＡＳＳＷＯＲＤ",
            "раѕѕԝоrԁ",
            "ραѕѕωοгԁ",
            "p\u{200b}a\u{ad}s\u{301}s\u{feff}word",
            "pássẁörð",
            "pa\u{e0073}ßword",
            "ᴘᴀꜱꜱᴡᴏʀᴅ",
            "ⓟⓐⓢⓢⓦⓞⓡⓓ",
            "🅿🄰🅂🅂🅆🄾🅁🄳",
            "ꓑꓮꓢꓢꓪꓳꓣꓓ",
            "ᴾᵃˢˢʷᵒʳᵈ",
        ] {
            let seen = seen.replace('ᴾ', "p");
            assert_eq!(letters(&fold(&seen)), "password", "{seen}");
        }
        for alphabet in 0..13 {
            let of = |letter: u8, first: u8, place: u32| {
                char::from_u32(0x1d400 + alphabet * 52 + place + u32::from(letter - first)).unwrap()
            };
            let small: String = (b'a'..=b'z').map(|letter| of(letter, b'a', 26)).collect();
            let large: String = (b'A'..=b'Z').map(|letter| of(letter, b'A', 0)).collect();
            assert_eq!(fold(&small), "abcdefghijklmnopqrstuvwxyz");
            assert_eq!(fold(&large), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        }
        assert_eq!(fold("\u{1d6b8}\u{1d70c}\u{1d6c2}\u{1d6d0}"), "\u{3a1}pao".replace('\u{3a1}', "P"));
    }

    #[test]
    fn every_character_of_the_tables_stands_there_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0), "twice");
        assert!(TABLE.iter().all(|(seen, letter)| !seen.is_ascii() && *letter != '\0'));
        assert_eq!((LATIN.len(), LATIN_ADDITIONAL.len()), (0x250 - 0xc0, 256));
        assert_eq!(fold("ñÑıİşłçüéÉđạỹ"), "nNiIslcueEday");
    }

    #[test]
    fn words_of_other_languages_are_found() {
        for word in FOREIGN.iter().chain(FOREIGN_WORDS) {
            for key in [(*word).to_owned(), format!("x-{word}"), word.to_uppercase(), format!("x.{word}.2")] {
                assert!(names_a_secret(&fold(&key), &[]), "{key}");
            }
        }
        // Decomposed, half as wide, with a letter of the neighbour, or cut in two.
        for key in ["ハ\u{309a}スワート\u{3099}", "ﾊﾟｽﾜｰﾄﾞ", "пapоль", "密_码", "пар-оля", "МойПароль"]
        {
            assert!(names_a_secret(&fold(key), &[]), "{key}");
        }
        for key in ["секретарь", "исключение", "включено", "имя", "名前", "이름", "пароход", "контроль", "token", ""]
        {
            assert!(!names_a_secret(&fold(key), &[]), "{key}");
        }
        assert!(names_a_secret(&fold("секретарь_пароль"), &[]));
    }
}
