//! A line that is read back: whatever it is, each format makes one line of it, which forges nothing.

use super::split;
use crate::format::{self, Columns, Format, csv};
use crate::record::{FieldGroup, FieldGroups, Record, RecordLine};

/// The first byte decides what is left out and how long a line may be; the rest is the line.
pub fn record_line(data: &[u8]) {
    let (kind, data) = split(data);
    let Ok(line) = std::str::from_utf8(data) else { return };
    let Ok(read) = RecordLine::parse(line) else { return };
    let record = read.record();
    let whole = written(&mut format::json(), record, usize::MAX);
    assert_eq!(whole, read.as_str(), "as it was read");

    // Written from its values, it is read back as the same record.
    let remade = written(&mut format::json(), Record { line: None, ..record }, usize::MAX);
    let again = RecordLine::parse(&remade).unwrap_or_else(|error| panic!("{error}: {remade:?} of {line:?}"));
    let remade_again = written(&mut format::json(), Record { line: None, ..again.record() }, usize::MAX);
    assert_eq!(remade_again, remade, "of {line:?}");

    let mut omitted = FieldGroups::default();
    const GROUPS: [FieldGroup; 4] =
        [FieldGroup::Repository, FieldGroup::Namespace, FieldGroup::Location, FieldGroup::Bodies];
    omitted.extend(GROUPS.iter().enumerate().filter(|(at, _)| kind & (1 << at) > 0).map(|(_, group)| group));
    let budget = if kind & 16 > 0 { 512 } else { usize::MAX };
    let record = record.without(omitted);
    let mut formats: [Box<dyn Format>; 6] = [
        Box::new(format::json()),
        Box::new(format::json_timestamp()),
        Box::new(format::key_value()),
        Box::new(format::combined()),
        Box::new(format::common()),
        Box::new(format::backstage_auditor(&[])),
    ];
    formats.iter_mut().for_each(|format| drop(written(format, record, budget)));
    for columns in [Columns::flat(), Columns::client_log(), Columns::audit_log()] {
        let mut format = csv(columns);
        let header = format.header().unwrap_or_default();
        let row = written(&mut format, record, budget);
        assert_eq!(cells(&row), cells(&header), "{row:?} of {line:?}");
    }
}

/// The line without its newline.
fn written(format: &mut impl Format, record: Record<'_>, budget: usize) -> String {
    let mut out = Vec::new();
    format::write_line(format, record, budget, &mut out);
    let line = String::from_utf8(out).expect("what is made of texts is text");
    let line = line.strip_suffix('\n').expect("it ends with a newline");
    let is_odd = |char: char| char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!line.contains(is_odd), "not one line: {line:?}");
    line.to_owned()
}

/// The number of cells of a row by RFC 4180.
fn cells(row: &str) -> usize {
    let (mut commas, mut is_quoted) = (0, false);
    for byte in row.bytes() {
        match byte {
            // A doubled quote closes the quotes and opens them again.
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => commas += 1,
            _ => {}
        }
    }
    assert!(!is_quoted, "open quotes: {row:?}");
    commas + 1
}
