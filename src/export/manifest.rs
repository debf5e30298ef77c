//! What a segment's export was: its objects, its numbers, and what is missing; chained to the manifest before it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::object::Facts;
use super::recipe::ExportFormat;
use super::state::{Current, State};
use crate::segment::{Notes, Seen, Segment, SegmentLine, SeqCheck, segment_id};

/// Version of the manifests' own schema.
pub(crate) const SCHEMA: &str = "1.0";
/// Ranges of numbers that one manifest lists. A segment that has more is damaged throughout.
const MAX_RANGES: usize = 4_096;
/// Reasons and runs that are kept apart; there are five reasons, and a segment is of few runs.
const MAX_LOSSES: usize = 256;

/// What a segment's lines say together, gathered while they are read.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Audit records that were read.
    read: u64,
    /// Of them, those that were exported.
    chosen: u64,
    /// Of them, those that were met before.
    repeated: u64,
    /// Lines that look like records and are none, found where the format reads all of a record.
    unreadable: u64,
    first: String,
    last: String,
    /// Consecutive numbers of one run, in the order of the file.
    ranges: Vec<Range>,
    are_ranges_cut: bool,
    /// What `AuditRecordsLost` reports: records by run and reason.
    lost: BTreeMap<(String, String), u64>,
    schemas: Vec<String>,
}

#[derive(Debug)]
struct Range {
    instance: String,
    first: u64,
    last: u64,
}

impl Tally {
    pub(crate) fn note_unreadable(&mut self) {
        self.unreadable += 1;
    }

    pub(crate) fn take(&mut self, line: &SegmentLine<'_>, verdict: SeqCheck, is_chosen: bool) {
        self.read += 1;
        if verdict == SeqCheck::Repeated {
            self.repeated += 1;
            return;
        }
        self.chosen += u64::from(is_chosen);
        let time = line.timestamp();
        if self.first.is_empty() || time < self.first.as_str() {
            time.clone_into(&mut self.first);
        }
        if time > self.last.as_str() {
            time.clone_into(&mut self.last);
        }
        self.note_number(line.instance(), line.seq());
        if !self.schemas.iter().any(|schema| schema == line.schema()) && self.schemas.len() < 16 {
            self.schemas.push(line.schema().to_owned());
        }
        if line.is_internal() && line.event_name() == "AuditRecordsLost" {
            self.note_lost(line);
        }
    }

    fn note_number(&mut self, instance: &str, seq: u64) {
        if let Some(range) = self.ranges.last_mut().filter(|range| range.instance == instance) {
            if range.last.checked_add(1) == Some(seq) {
                range.last = seq;
                return;
            }
            if self.ranges.len() >= MAX_RANGES {
                self.are_ranges_cut = true;
                return;
            }
        }
        if self.ranges.len() < MAX_RANGES {
            self.ranges.push(Range { instance: instance.to_owned(), first: seq, last: seq });
        } else {
            self.are_ranges_cut = true;
        }
    }

    fn note_lost(&mut self, line: &SegmentLine<'_>) {
        let meta = line.meta().unwrap_or_default();
        let count = meta["count"].as_u64().unwrap_or(1);
        let key = (line.instance().to_owned(), meta["reason"].as_str().unwrap_or("unknown").to_owned());
        if self.lost.len() < MAX_LOSSES || self.lost.contains_key(&key) {
            let lost = self.lost.entry(key).or_default();
            *lost = lost.saturating_add(count);
        }
    }

    /// Numbers that a reader first misses after this segment.
    fn new_gaps<'a>(before: &'a Seen, after: &'a Seen) -> impl Iterator<Item = crate::segment::Gap> + 'a {
        let known: Vec<_> = before.gaps().collect();
        after.gaps().filter(move |gap| !known.contains(gap))
    }
}

/// Writes the manifest. Everything in it follows from the segment and the state, so that a repeated one has the same bytes.
pub(crate) fn write(
    state: &State,
    current: &Current,
    segment: &Segment,
    (tally, notes): (&Tally, &Notes),
    seen: &Seen,
    spool: &str,
) -> Vec<u8> {
    let mut told = told_with(state, tally);
    let gaps: Vec<Value> = Tally::new_gaps(&state.seen, seen)
        .map(|gap| {
            let is_reported = use_up(&mut told, &gap.instance, gap.last - gap.first + 1);
            json!({"instance": gap.instance, "first": gap.first, "last": gap.last, "isReported": is_reported})
        })
        .collect();
    let lost: Vec<Value> = tally
        .lost
        .iter()
        .map(|((instance, reason), count)| json!({"instance": instance, "reason": reason, "count": count}))
        .collect();
    let ranges: Vec<Value> = tally
        .ranges
        .iter()
        .map(|range| json!({"instance": range.instance, "first": range.first, "last": range.last}))
        .collect();
    let mut manifest = Map::new();
    let mut add = |key: &str, value: Value| {
        manifest.insert(key.to_owned(), value);
    };
    add("manifest", json!(SCHEMA));
    add("exporter", json!(state.exporter));
    add("number", json!(state.number + 1));
    add("previous", json!(state.previous));
    add("spool", json!(spool));
    add("segment", json!(segment_id(current.segment)));
    add("suspect", json!(segment.suspect()));
    add("objects", json!(current.objects.iter().map(Facts::to_json).collect::<Vec<_>>()));
    add(
        "records",
        json!({
            "read": tally.read,
            "exported": tally.chosen,
            "repeated": tally.repeated,
            "skippedLines": notes.skipped + tally.unreadable,
            "tornLines": notes.torn,
        }),
    );
    add("damaged", json!(notes.damaged));
    add("first", json!(some(&tally.first)));
    add("last", json!(some(&tally.last)));
    add("ranges", json!(ranges));
    add("areRangesCut", json!(tally.are_ranges_cut));
    add("lost", json!(lost));
    add("gaps", json!(gaps));
    add("filter", current.recipe.filter_json());
    add("format", json!(current.recipe.format.as_str()));
    if current.recipe.format == ExportFormat::Csv {
        add("columns", json!(current.recipe.columns));
    }
    if !current.recipe.omit.is_empty() {
        add("omit", json!(current.recipe.omitted_names()));
    }
    add("gzip", json!(current.recipe.gzip));
    add("schemas", json!(tally.schemas));
    add("version", json!(current.version));
    // What is unknown is left out, as in records.
    manifest.retain(|key, value| !value.is_null() || key == "previous");
    let mut text = Value::Object(manifest).to_string().into_bytes();
    text.push(b'\n');
    text
}

/// The losses reported before and in this segment, by run.
fn told_with(state: &State, tally: &Tally) -> Vec<(String, u64)> {
    let mut told = state.told.clone();
    for ((instance, _), count) in tally.lost.iter().filter(|((_, reason), _)| leaves_gaps(reason)) {
        match told.iter_mut().find(|(of, _)| of == instance) {
            Some((_, before)) => *before = before.saturating_add(*count),
            None => told.push((instance.clone(), *count)),
        }
    }
    told
}

/// The reported losses that explain no gap yet, for the next segment.
pub(crate) fn told_after(state: &State, tally: &Tally, seen: &Seen) -> Vec<(String, u64)> {
    let mut told = told_with(state, tally);
    for gap in Tally::new_gaps(&state.seen, seen) {
        use_up(&mut told, &gap.instance, gap.last - gap.first + 1);
    }
    told.retain(|(instance, count)| *count > 0 && seen.runs().any(|run| run.instance == *instance));
    told
}

/// Where a manifest is put: apart from the data, so that a reader of `**/*.json` there does not meet it.
pub(crate) fn name(segment: &str) -> String {
    let date = [segment.get(..4), segment.get(4..6), segment.get(6..8)].map(Option::unwrap_or_default).join("-");
    format!("manifests/date={date}/{segment}.json")
}

/// Whether records that were lost for this reason had their numbers already. Those of the others never got one.
pub(crate) fn leaves_gaps(reason: &str) -> bool {
    reason == "sink_failed"
}

/// Whether this number of losses was reported for this run; they explain no other gap then.
pub(crate) fn use_up(told: &mut [(String, u64)], instance: &str, missing: u64) -> bool {
    let total: u64 = told.iter().filter(|(of, _)| of == instance).map(|(_, count)| *count).fold(0, u64::saturating_add);
    if total < missing {
        return false;
    }
    let mut left = missing;
    for (_, count) in told.iter_mut().filter(|(of, _)| of == instance) {
        let used = left.min(*count);
        *count -= used;
        left -= used;
    }
    true
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_there_is_begins_no_range_that_goes_on() {
        let mut tally = Tally::default();
        for seq in [u64::MAX - 1, u64::MAX, 0, 1] {
            tally.note_number("a", seq);
        }
        let ranges: Vec<_> = tally.ranges.iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(ranges, [(u64::MAX - 1, u64::MAX), (0, 1)]);
    }
}
