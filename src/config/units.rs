//! Reads single values: switches, names, counts, sizes, durations, lists; each refusal says what is allowed.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::SinkChoice;
use crate::format::Columns;
use crate::redact::is_phrase;

/// A value as it was given: one text, or the items of an array in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Text(&'a str),
    List(&'a [String]),
}

impl<'a> Given<'a> {
    /// The items of a list. Empty ones of a text are skipped.
    fn items(&self) -> Vec<&'a str> {
        match self {
            Self::Text(text) => {
                let items = bracketed(text.trim()).unwrap_or(text).split(',').map(|text| unquoted(text.trim()));
                items.filter(|text| !text.is_empty()).collect()
            }
            Self::List(items) => items.iter().map(|item| item.trim()).collect(),
        }
    }

    /// The text without space around it, which files and shells add easily.
    pub(super) fn text(&self, allowed: impl FnOnce() -> Cow<'static, str>) -> Result<&str, Refusal> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::List(_) => Err(Refusal { given: Cow::Borrowed("an array"), allowed: allowed() }),
        }
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.trim()),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// Why a value is refused, in words for an operator.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) given: Cow<'static, str>,
    pub(crate) allowed: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(given: &'static str, allowed: impl Into<Cow<'static, str>>) -> Self {
        Self { given: Cow::Borrowed(given), allowed: allowed.into() }
    }

    pub(super) fn of(text: &str, allowed: impl Into<Cow<'static, str>>) -> Self {
        Self { given: given(text), allowed: allowed.into() }
    }
}

#[cold]
fn given(text: &str) -> Cow<'static, str> {
    if text.is_empty() { "nothing".into() } else { shown(text).into() }
}

/// What was given, in quotes and escaped, so that each complaint stays one line, and a long one its beginning.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let beginning: String = text.chars().take(LONGEST).collect();
    let more = if beginning.len() < text.len() { "…" } else { "" };
    format!("{beginning:?}{more}")
}

/// `true`, `yes`, `on` and `1` are one; `false`, `no`, `off` and `0` the other.
pub(super) fn switch(given: &Given<'_>) -> Result<bool, Refusal> {
    const ALLOWED: &str = "true, false (or yes, no, on, off, 1, 0)";
    let text = given.text(|| ALLOWED.into())?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(Refusal::of(text, ALLOWED)),
    }
}

/// One of a closed set, by its wire name.
pub(super) fn one_of<T: Copy>(given: &Given<'_>, all: &[T], name: fn(T) -> &'static str) -> Result<T, Refusal> {
    let allowed = || Cow::Owned(all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", "));
    let text = given.text(allowed)?;
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| Refusal::of(text, allowed()))
}

/// Text of at most so many bytes, without control characters.
pub(super) fn text(given: &Given<'_>, longest: usize) -> Result<String, Refusal> {
    let allowed = || Cow::Owned(format!("1 to {longest} bytes of text without control characters"));
    let text = given.text(allowed)?;
    let fits = (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(Refusal::of(text, allowed())) }
}

/// A whole number without a unit.
pub(super) fn count(given: &Given<'_>, range: RangeInclusive<usize>) -> Result<usize, Refusal> {
    let allowed = || Cow::Owned(format!("a whole number from {} to {}", range.start(), range.end()));
    let text = given.text(allowed)?;
    whole(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| Refusal::of(text, allowed()))
}

/// Bytes: plain, or with B, KiB, MiB or GiB. `KB` and `MB` are refused, since people disagree on what they are.
pub(super) fn size(given: &Given<'_>, range: RangeInclusive<u64>) -> Result<usize, Refusal> {
    const UNITS: &[(&str, u64)] = &[("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("b", 1), ("", 1)];
    let allowed = || {
        let (least, most) = (in_bytes(*range.start()), in_bytes(*range.end()));
        Cow::Owned(format!("{least} to {most}, as bytes or with a unit such as 64KiB (B, KiB, MiB, GiB)"))
    };
    let text = given.text(allowed)?;
    with_unit(text, UNITS)
        .filter(|bytes| range.contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| Refusal::of(text, allowed()))
}

/// A duration in ms, s, m or h. Without a unit it is refused, since 5 could be either.
pub(super) fn duration(given: &Given<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let allowed = || {
        let (least, most) = (range.start().as_secs(), range.end().as_secs());
        Cow::Owned(format!("{least}s to {most}s, with a unit such as 5s (ms, s, m, h, d)"))
    };
    let text = given.text(allowed)?;
    with_unit(text, UNITS)
        .map(Duration::from_millis)
        .filter(|duration| range.contains(duration))
        .ok_or_else(|| Refusal::of(text, allowed()))
}

/// Items separated by commas, or an array in the file; space around items and empty items do not matter.
pub(super) fn list<T>(
    given: &Given<'_>,
    longest: usize,
    allowed: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let items = given.items();
    if items.len() > longest {
        let given = Cow::Owned(format!("{} items", items.len()));
        return Err(Refusal { given, allowed: Cow::Owned(format!("at most {longest} items")) });
    }
    items.into_iter().map(|item| parse(item).ok_or_else(|| Refusal::of(item, allowed))).collect()
}

/// The inside of a list as other products write it: `['A', 'B']`.
fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

fn unquoted(item: &str) -> &str {
    let inside = |quote| item.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).unwrap_or(item)
}

/// What [`name`] takes.
pub(super) const NAME_ALLOWED: &str = "names of 1 to 128 bytes without control characters, separated by commas";

/// The name of a key.
pub(super) fn name(item: &str) -> Option<String> {
    let fits = (1..=128).contains(&item.len()) && !item.chars().any(char::is_control);
    fits.then(|| item.to_owned())
}

pub(super) const EVENT_ALLOWED: &str =
    "names of events, patterns with `*`, and `kind:` with a kind, separated by commas";

/// An entry of an allow or deny list.
pub(super) fn event(item: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'*');
    let name = item.strip_prefix("kind:").unwrap_or(item);
    let fits = (1..=160).contains(&name.len());
    // A kind is any text.
    let is_kind = name.len() < item.len() && !item.chars().any(char::is_control);
    (fits && (is_kind || name.bytes().all(is_allowed))).then(|| item.to_owned())
}

/// Columns of CSV, refused with the field that is meant.
pub(super) fn columns(given: &Given<'_>) -> Result<Columns, Refusal> {
    let text = given.to_string();
    text.parse().map_err(|error: crate::Error| {
        let allowed = format!("flat, client_log, audit_log, or fields separated by commas ({error})");
        Refusal::of(&text, allowed)
    })
}

/// What [`phrase`] takes.
pub(super) const PHRASE_ALLOWED: &str =
    "phrases of 1 to 64 bytes with a letter and without control characters, separated by commas";

/// A phrase that makes keys secret.
pub(super) fn phrase(item: &str) -> Option<String> {
    name(item).filter(|phrase| is_phrase(phrase))
}

/// The name of a header.
pub(super) fn header_name(given: &Given<'_>) -> Result<HeaderName, Refusal> {
    const ALLOWED: &str = "the name of a header, such as X-Forwarded-For, Forwarded or X-Real-IP";
    let text = given.text(|| ALLOWED.into())?;
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| Refusal::of(text, ALLOWED))
}

/// `stdout`, `stderr`, or the URL of a file (RFC 8089) that is on this host: percent-encoded, and absolute, since a
/// relative one would mean another file after each change of folder.
pub(super) fn sink(given: &Given<'_>) -> Result<SinkChoice, Refusal> {
    const ALLOWED: &str = "stdout, stderr, or the URL of a file such as file:///var/log/app/audit.log";
    let text = given.text(|| ALLOWED.into())?;
    match text {
        "stdout" => Ok(SinkChoice::Stdout),
        "stderr" => Ok(SinkChoice::Stderr),
        url => url
            .strip_prefix("file://")
            .and_then(file_path)
            .map(SinkChoice::File)
            .ok_or_else(|| Refusal::of(text, ALLOWED)),
    }
}

/// The URL of a file, as for [`sink`].
pub(super) fn file_url(given: &Given<'_>) -> Result<PathBuf, Refusal> {
    const ALLOWED: &str = "the URL of a file such as file:///var/log/app/audit.log";
    let text = given.text(|| ALLOWED.into())?;
    text.strip_prefix("file://").and_then(file_path).ok_or_else(|| Refusal::of(text, ALLOWED))
}

/// A text that may be written as an array in the file: its items, separated by commas.
pub(super) fn joined(given: &Given<'_>, longest: usize) -> Result<String, Refusal> {
    match given {
        Given::Text(_) => text(given, longest),
        Given::List(items) => text(&Given::Text(&items.join(",")), longest),
    }
}

/// One of these names.
pub(super) fn one_of_names(given: &Given<'_>, names: &[&str]) -> Result<String, Refusal> {
    let allowed = || Cow::Owned(names.join(", "));
    let text = given.text(allowed)?;
    names.contains(&text).then(|| text.to_owned()).ok_or_else(|| Refusal::of(text, allowed()))
}

const FOLDER_ALLOWED: &str =
    "the absolute path of a folder such as /mnt/archive, its URL file:///mnt/archive, or s3://bucket/prefix";

/// The folder of an absolute path or of a URL (RFC 8089).
pub(super) fn folder_location(text: &str) -> Result<PathBuf, Refusal> {
    let is_url = text.contains("://");
    if is_url && text.contains(['@', '?', '#']) {
        return Err(Refusal::new(
            "a URL with user info, a query or a fragment, which is not repeated here",
            FOLDER_ALLOWED,
        ));
    }
    if text.contains(['{', '}']) {
        let allowed = format!("{FOLDER_ALLOWED}; nothing is put in the place of braces: write the path itself");
        return Err(Refusal::of(text, allowed));
    }
    let path = if is_url {
        let path = text.strip_prefix("file://").filter(|path| path.starts_with('/') && is_percent_encoded(path));
        let decoded = path.and_then(|path| percent_encoding::percent_decode_str(path).decode_utf8().ok());
        // A URL says `/C:/archive`.
        decoded.map(|path| if cfg!(windows) { PathBuf::from(&path[1..]) } else { PathBuf::from(&*path) })
    } else {
        Some(PathBuf::from(text))
    };
    let is_folder = |path: &PathBuf| {
        let dots = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        path.is_absolute() && path.file_name().is_some() && !dots && !path.to_string_lossy().contains(char::is_control)
    };
    // The same folder is the same text, whatever its spelling.
    path.filter(is_folder).map(|path| path.components().collect()).ok_or_else(|| Refusal::of(text, FOLDER_ALLOWED))
}

/// A path, or the URL of a file.
pub(super) fn path(given: &Given<'_>) -> Result<PathBuf, Refusal> {
    const ALLOWED: &str = "the path of a file such as /var/lib/geoip/city.mmdb, or its URL";
    let text = given.text(|| ALLOWED.into())?;
    let path = match text.strip_prefix("file://") {
        Some(url) => file_path(url),
        None => (!text.is_empty() && !text.contains(char::is_control)).then(|| text.into()),
    };
    path.ok_or_else(|| Refusal::of(text, ALLOWED))
}

/// The path of a URL, if it names a file. `?` and `#` would begin a query and a fragment; in a name they are encoded.
fn file_path(path: &str) -> Option<PathBuf> {
    if !path.starts_with('/') || path.contains(['?', '#']) || !is_percent_encoded(path) {
        return None;
    }
    let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    // A URL says `/C:/logs/audit.log`.
    let path = if cfg!(windows) { &path[1..] } else { &path };
    let names_a_file =
        !path.ends_with('/') && !path.contains(char::is_control) && Path::new(path).file_name().is_some();
    (names_a_file && Path::new(path).is_absolute()).then(|| path.into())
}

/// Whether each `%` has its two digits; a decoder would let others pass as they are.
fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| unit.trim_start().eq_ignore_ascii_case(name))?;
    whole(number)?.checked_mul(*factor)
}

/// Digits only: `u64::from_str` takes a sign.
fn whole(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn in_bytes(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn switches_have_several_spellings() {
        for text in ["true", "True", "yes", "ON", "1", " true\n"] {
            assert!(switch(&Given::Text(text)).unwrap(), "{text}");
        }
        for text in ["false", "FALSE", "no", "off", "0"] {
            assert!(!switch(&Given::Text(text)).unwrap(), "{text}");
        }
        for text in ["", "2", "tru", "enabled", "y"] {
            assert!(switch(&Given::Text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        let size = |text| size(&Given::Text(text), 0..=1 << 34).ok();
        for (text, expected) in [
            ("0", Some(0)),
            ("15360", Some(15_360)),
            ("15360B", Some(15_360)),
            ("15KiB", Some(15_360)),
            ("15 kib", Some(15_360)),
            ("64MiB", Some(67_108_864)),
            ("2GiB", Some(2_147_483_648)),
            ("16GiB", Some(17_179_869_184)),
            ("17GiB", None),
            ("18446744073709551615GiB", None),
            ("99999999999999999999", None),
            ("", None),
            ("KiB", None),
            ("15KB", None),
            ("15K", None),
            ("1.5KiB", None),
            ("-1", None),
            ("+1", None),
            ("1_000", None),
            ("1KiBB", None),
            ("0x10", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let duration = |text| duration(&Given::Text(text), Duration::ZERO..=Duration::from_secs(600)).ok();
        for (text, expected) in [
            ("5s", Some(5_000)),
            ("250ms", Some(250)),
            ("1m", Some(60_000)),
            ("10m", Some(600_000)),
            ("0s", Some(0)),
            ("600001ms", None),
            ("1h", None),
            ("1d", None),
            ("5", None),
            ("1.5s", None),
            ("1m30s", None),
            ("-5s", None),
            ("s", None),
            ("", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_an_absolute_path_or_its_url_and_what_may_be_secret_is_not_repeated() {
        let folder = |text| folder_location(text).ok();
        for (text, expected) in [
            ("/mnt/archive", Some("/mnt/archive")),
            ("/mnt//archive/./", Some("/mnt/archive")),
            ("file:///mnt/archive/", Some("/mnt/archive")),
            ("file:///a%20b", Some("/a b")),
            ("/a?b#c@d", Some("/a?b#c@d")),
            ("", None),
            ("/", None),
            ("mnt/archive", None),
            ("/mnt/../etc", None),
            ("file://mnt/archive", None),
            ("file:///a%2", None),
            ("s4://bucket/prefix", None),
            ("file://{BASE_PATH}/audit-logs", None),
        ] {
            assert_eq!(folder(text), expected.map(PathBuf::from), "{text}");
        }
        assert!(folder_location("/x/{BASE_PATH}").unwrap_err().allowed.contains("write the path itself"));
        for secret in ["s4://key:hunter22@bucket/x", "file:///x?token=hunter22", "https://x/#hunter22"] {
            let Refusal { given, allowed } = folder_location(secret).unwrap_err();
            assert!(!given.contains("hunter22") && !allowed.contains("hunter22"), "{given}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_sink_is_a_stream_or_an_absolute_file_url() {
        let sink = |text| sink(&Given::Text(text)).ok();
        let file = |path: &str| Some(SinkChoice::File(path.into()));
        for (text, expected) in [
            ("stdout", Some(SinkChoice::Stdout)),
            (" stderr\n", Some(SinkChoice::Stderr)),
            ("file:///var/log/app/audit.log", file("/var/log/app/audit.log")),
            ("file:///audit", file("/audit")),
            ("file:///a%20b/%C3%BC%3F%25.log", file("/a b/ü?%.log")),
            ("file:///a b.log", file("/a b.log")),
            ("", None),
            ("STDOUT", None),
            ("/var/log/audit.log", None),
            ("audit.log", None),
            ("file:/audit.log", None),
            ("file://audit.log", None),
            ("file://host/audit.log", None),
            ("file://./audit.log", None),
            ("file:///", None),
            ("file:///folder/", None),
            ("file:///folder/..", None),
            ("file:///folder%2F", None),
            ("file:///a.log?mode=600", None),
            ("file:///a.log#1", None),
            ("file:///a%2.log", None),
            ("file:///a%zz.log", None),
            ("file:///a%", None),
            ("file:///a%00.log", None),
            ("file:///a%ff.log", None),
            ("http:///audit.log", None),
        ] {
            assert_eq!(sink(text), expected, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_a_path_or_its_url() {
        for (text, expected) in [
            ("/var/lib/geoip/city.mmdb", Some("/var/lib/geoip/city.mmdb")),
            (" geoip/city.mmdb ", Some("geoip/city.mmdb")),
            ("file:///a%20b/city.mmdb", Some("/a b/city.mmdb")),
            ("", None),
            ("a\nb", None),
            ("file://city.mmdb", None),
            ("file:///a%zz", None),
        ] {
            assert_eq!(path(&Given::Text(text)).ok(), expected.map(PathBuf::from), "{text:?}");
        }
    }

    #[test]
    fn lists_forgive_commas_at_the_end_and_name_the_wrong_item() {
        let numbers = |given: Given<'_>| list(&given, 3, "numbers", |item| item.parse::<u8>().ok());
        assert_eq!(numbers(Given::Text(" 1, 2 ,")).unwrap(), [1, 2]);
        assert_eq!(numbers(Given::Text("")).unwrap(), [0_u8; 0]);
        assert_eq!(numbers(Given::Text("['1', \"2\",3]")).unwrap(), [1, 2, 3]);
        assert_eq!(numbers(Given::Text("[]")).unwrap(), [0_u8; 0]);
        assert_eq!(numbers(Given::Text("['1',2'")).unwrap_err().given, "\"['1'\"");
        assert_eq!(numbers(Given::List(&["1".into(), " 2".into()])).unwrap(), [1, 2]);
        assert_eq!(numbers(Given::Text("1,x,2")).unwrap_err().given, "\"x\"");
        assert_eq!(numbers(Given::List(&["1,2".into()])).unwrap_err().given, "\"1,2\"");
        assert_eq!(numbers(Given::Text("1,2,3,4")).unwrap_err().allowed, "at most 3 items");
    }

    #[test]
    fn what_was_given_is_shown_on_one_short_line() {
        assert_eq!(shown("a\nb\"\u{202e}"), "\"a\\nb\\\"\\u{202e}\"");
        assert_eq!(shown(&"ü".repeat(81)), format!("{:?}…", "ü".repeat(80)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let given = Given::Text(&text);
            let _ = (switch(&given), self::text(&given, 8), count(&given, 0..=9), header_name(&given));
            let _ = (size(&given, 0..=9), duration(&given, Duration::ZERO..=Duration::MAX));
            let _ = list(&given, 9, NAME_ALLOWED, name);
            let _ = (sink(&given), sink(&Given::Text(&format!("file:///{text}"))), path(&given));
        }
    }
}
