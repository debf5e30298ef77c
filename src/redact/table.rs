//! Tables in text bodies, CSV (RFC 4180) and values between tabs: what stands in a column with a secret name is masked.
//!
//! A row with more or fewer cells than the first is masked whole, for nobody knows its columns; quotes that do not
//! close, or do so within a cell, leave out the body.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Edit, apply};
use super::pair::{self, Part};
use super::pass::Pass;
use super::rules::Verdict;
use crate::record::Reason;

/// What may part cells, the likeliest first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// Whether a body of this type is a table.
pub(super) fn is_table(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    ["text/csv", "text/tab-separated-values"].iter().any(|table| table.eq_ignore_ascii_case(essence))
}

/// Redacts a table; with `cut`, without the row that the cut went through.
pub(super) fn redact(pass: &mut Pass<'_>, text: &str, cut: bool) -> Result<String, Reason> {
    let mut reader = Reader { text, separator: separator_of(text), at: 0 };
    let mut columns: Option<Columns> = None;
    let mut edits = Vec::new();
    let mut kept = text.len();
    loop {
        let start = reader.at;
        let Some(row) = reader.row(cut)? else { break };
        if row.is_blank() {
            continue;
        }
        let known = columns.get_or_insert_with(|| Columns::of(row.cells.len()));
        if cut && !row.is_whole {
            known.remember(pass, text, &row);
            kept = start;
            break;
        }
        known.redact(pass, text, &row, reader.separator, &mut edits);
        known.read_header(pass, text, &row);
    }
    let text = &text[..kept];
    Ok(apply(pass, text, edits).unwrap_or_else(|| text.to_owned()))
}

/// The separator that stands most often in the first line.
fn separator_of(text: &str) -> char {
    let line = text.trim_start().lines().next().unwrap_or_default();
    let unquoted = line.split('"').step_by(2);
    let count = |separator: char| unquoted.clone().map(|part| part.matches(separator).count()).sum::<usize>();
    let most = SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator));
    most.unwrap_or(SEPARATORS[0])
}

struct Reader<'t> {
    text: &'t str,
    separator: char,
    at: usize,
}

struct Row {
    /// Where their texts stand, without quotes.
    cells: Vec<Cell>,
    /// A line break ends it.
    is_whole: bool,
}

struct Cell {
    place: Range<usize>,
    is_quoted: bool,
}

impl Row {
    fn is_blank(&self) -> bool {
        matches!(self.cells.as_slice(), [one] if one.place.is_empty())
    }
}

impl Cell {
    fn said<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let raw = &text[self.place.clone()];
        if self.is_quoted && raw.contains("\"\"") { Cow::Owned(raw.replace("\"\"", "\"")) } else { Cow::Borrowed(raw) }
    }
}

impl Reader<'_> {
    fn row(&mut self, cut: bool) -> Result<Option<Row>, Reason> {
        if self.at == self.text.len() {
            return Ok(None);
        }
        let mut row = Row { cells: Vec::new(), is_whole: false };
        loop {
            let cell = self.cell(cut)?;
            row.cells.push(cell);
            let rest = &self.text[self.at..];
            if rest.starts_with(self.separator) {
                self.at += 1;
                continue;
            }
            row.is_whole = !rest.is_empty();
            self.at += if rest.starts_with("\r\n") { 2 } else { usize::from(row.is_whole) };
            return Ok(Some(row));
        }
    }

    fn cell(&mut self, cut: bool) -> Result<Cell, Reason> {
        let rest = &self.text[self.at..];
        let Some(quoted) = rest.strip_prefix('"') else {
            let separator = self.separator;
            let len = rest.find([separator, '\n', '\r']).unwrap_or(rest.len());
            let place = self.at..self.at + len;
            self.at = place.end;
            return Ok(Cell { place, is_quoted: false });
        };
        let start = self.at + 1;
        let mut at = 0;
        while let Some(quote) = memchr::memchr(b'"', &quoted.as_bytes()[at..]).map(|len| at + len) {
            let after = &quoted[quote + 1..];
            if after.starts_with('"') {
                at = quote + 2;
                continue;
            }
            self.at = start + quote + 1;
            let ends = after.is_empty() || after.starts_with([self.separator, '\n', '\r']);
            return if ends { Ok(Cell { place: start..start + quote, is_quoted: true }) } else { Err(Reason::Invalid) };
        }
        self.at = self.text.len();
        if cut { Ok(Cell { place: start..self.at, is_quoted: true }) } else { Err(Reason::Invalid) }
    }
}

/// What is known of the columns.
struct Columns {
    /// The secret name of each, if it has one.
    secret: Vec<Option<String>>,
    /// Where each row names the value in another column.
    names: Vec<usize>,
    values: Vec<usize>,
    /// Names may still come: a title may stand above them.
    in_header: bool,
}

impl Columns {
    fn of(count: usize) -> Self {
        Self { secret: vec![None; count], names: Vec::new(), values: Vec::new(), in_header: true }
    }

    /// Up to the first row without empty cells, each may be the one with the names.
    fn read_header(&mut self, pass: &mut Pass<'_>, text: &str, row: &Row) {
        if !self.in_header {
            return;
        }
        for (column, cell) in row.cells.iter().enumerate().take(self.secret.len()) {
            let said = cell.said(text);
            let name = said.trim();
            // Where another character parts the cells, several names stand in one.
            if name.split(SEPARATORS).any(|name| pass.verdict(name.trim_matches(['"', ' '])) != Verdict::Plain) {
                self.secret[column] = Some(name.to_owned());
                // And then nobody knows where the rows' cells end.
                if name.contains(SEPARATORS) && !cell.is_quoted {
                    self.secret.iter_mut().for_each(|secret| *secret = Some(name.to_owned()));
                    return;
                }
            }
            match pair::part(name) {
                Some(Part::Name) => self.names.push(column),
                Some(Part::Value) => self.values.push(column),
                None => {}
            }
        }
        self.in_header = row.cells.iter().any(|cell| cell.place.is_empty());
    }

    fn is_secret(&self, pass: &mut Pass<'_>, text: &str, row: &Row, column: usize) -> bool {
        let is_named = |pass: &mut Pass<'_>| {
            let names = self.names.iter().filter_map(|name| row.cells.get(*name));
            names.into_iter().any(|name| pass.verdict(name.said(text).trim()) != Verdict::Plain)
        };
        row.cells.len() != self.secret.len()
            || self.secret[column].is_some()
            || self.values.contains(&column) && is_named(pass)
    }

    fn redact(&self, pass: &mut Pass<'_>, text: &str, row: &Row, separator: char, edits: &mut Vec<Edit>) {
        for (column, cell) in row.cells.iter().enumerate() {
            let said = cell.said(text);
            if self.is_secret(pass, text, row, column) {
                if !said.is_empty() && !pass.is_mask(&said) {
                    let name = self.secret.get(column).and_then(Option::as_deref);
                    pass.note_name(name.unwrap_or("value"));
                    pass.remember_encoded(&said);
                    edits.push(Edit::mask(cell.place.clone()));
                }
            } else if let Some(mut redacted) = pass.inspect(&said, 0) {
                pass.note_values(1);
                if cell.is_quoted {
                    redacted = redacted.replace('"', "\"\"");
                } else if redacted.contains([separator, '"', '\n', '\r']) {
                    redacted = format!("\"{}\"", redacted.replace('"', "\"\""));
                }
                edits.push(Edit { place: cell.place.clone(), redacted: Some(redacted) });
            }
        }
    }

    /// Remembers the secrets of a row that the cut went through, in its last cell. The cells before that may have been read
    /// with too few.
    fn remember(&self, pass: &mut Pass<'_>, text: &str, row: &Row) {
        let Some((last, whole)) = row.cells.split_last() else { return };
        for (column, cell) in whole.iter().enumerate() {
            if self.secret.get(column).is_none_or(Option::is_some) {
                pass.remember_encoded(&cell.said(text));
            }
        }
        if self.secret.get(whole.len()).is_none_or(Option::is_some) {
            pass.remember_beginning(last.said(text).trim_end_matches('"'));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Redactor;
    use super::*;

    fn redacted(text: &str, cut: bool) -> Result<String, Reason> {
        redact(&mut Pass::new(&Redactor::default(), None), text, cut)
    }

    #[test]
    fn secret_columns_are_masked() {
        for (given, expected) in [
            ("user,password\nbob,x\n", "user,password\nbob,***\n"),
            ("user;pin;a\r\nbob;\"1;2\"\"\n3\";4\r\n", "user;pin;a\r\nbob;\"***\";4\r\n"),
            ("user\tAPI Key\nbob\tx", "user\tAPI Key\nbob\t***"),
            ("\"user\",\"pass\"\"word\"\n1,2", "\"user\",\"pass\"\"word\"\n1,***"),
            ("password;name, first\nx;bob, y\n", "password;name, first\n***,***\n"),
            ("user,password\nbob,x,y\nbob\n\nbob,\n", "user,password\n***,***,***\n***\n\nbob,\n"),
            ("Users,,\nuser,password,a\nbob,x,y\n", "Users,,\nuser,password,a\nbob,***,y\n"),
            (",password\n0,x\n1,y", ",password\n0,***\n1,***"),
            ("name,value\nA,1\nDB_PASSWORD,2\n", "name,value\nA,1\nDB_PASSWORD,***\n"),
            ("a,b\n\"{\"\"pin\"\":1}\",pw=x;y\n", "a,b\n\"{\"\"pin\"\":\"\"***\"\"}\",pw=***;y\n"),
            ("password\nx y\n", "password\n***\n"),
            ("a,b\n1,2", "a,b\n1,2"),
            ("", ""),
        ] {
            assert_eq!(redacted(given, false).as_deref(), Ok(expected), "{given}");
        }
        for text in ["a,b\n\"x", "a,b\n\"x\"y,1\n"] {
            assert_eq!(redacted(text, false), Err(Reason::Invalid), "{text}");
        }
    }

    #[test]
    fn the_row_at_a_cut_is_dropped_and_remembered() {
        for text in
            ["a,password\n1,2\n3,correct hor", "a,password\n1,2\n3,\"correct hor", "a,pin,b\n1,2,3\n4,correct horse,5"]
        {
            let redactor = Redactor::default();
            let mut pass = Pass::new(&redactor, None);
            assert!(
                redact(&mut pass, text, true).is_ok_and(|shown| !shown.contains("corr") && shown.contains("1,***"))
            );
            let mut error = "no correct horse".to_owned();
            pass.scrub_text(&mut error);
            assert_eq!(error, "no ***");
        }
    }

    #[test]
    fn tables_are_told_by_their_type() {
        assert!(is_table("text/csv; charset=utf-8") && is_table("TEXT/Tab-Separated-Values"));
        assert!(!is_table("text/plain") && !is_table(""));
    }

    proptest! {
        #[test]
        fn no_canary_in_a_secret_column_appears(
            names in Just(["user", "password", "note", "\"API Key\""]).prop_shuffle(),
            rows in prop::collection::vec(("[a-z ]{0,4}", prop::sample::select(vec!["cAnArY", "\"a\"\"\n, cAnArY\"", "x cAnArY", "cAnArY\"x"]), "[a-z]{1,4}"), 1..4),
            separator in prop::sample::select(SEPARATORS.to_vec()),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let separator = separator.to_string();
            let row = |(user, secret, note): &(String, &str, String)| {
                names.map(|name| match name { "user" => user.as_str(), "note" => note, _ => secret }).join(&separator)
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            let text = format!("{}\r\n{}\r\n", names.join(&separator), rows.join("\r\n"));
            let text = cut.map_or(&*text, |cut| &text[..cut.index(text.len())]);
            if let Ok(shown) = redacted(text, cut.is_some()) {
                prop_assert!(!shown.contains("cAnAr"), "{} became {}", text, shown);
            }
        }

        #[test]
        fn nothing_panics(text in "(password|\"|,|;|\t|\n|\r|a|é| ){0,20}", cut in any::<bool>()) {
            let _ = redacted(&text, cut);
        }
    }
}
