//! What a spool holds, to compare a destination with.

use std::collections::HashSet;
use std::path::Path;

use tower_audit::export::{Finding, Verdict, Verification};
use tower_audit::segment::{self, Seen, SeqCheck};

/// The records of all segments, once each.
pub(crate) fn spooled(folder: &Path) -> Vec<String> {
    let (mut seen, mut lines) = (Seen::default(), Vec::new());
    for segment in segment::list(folder.join("audit.log")).unwrap() {
        let mut reader = segment.open().unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            if seen.take(line.instance(), line.seq()) != SeqCheck::Repeated {
                lines.push(line.json().to_owned());
            }
        }
    }
    lines
}

/// Segments of the spool with a line that was cut off.
fn torn(folder: &Path) -> usize {
    let is_torn = |segment: &segment::Segment| {
        let mut reader = segment.open().unwrap();
        while reader.next_line().unwrap().is_some() {}
        reader.notes().torn > 0
    };
    segment::list(folder.join("audit.log")).unwrap().iter().filter(|segment| is_torn(segment)).count()
}

/// Checks that what the spool held was delivered, once each, and that the destination is complete.
pub(crate) fn assert_delivered_once(folder: &Path, exported: &[String], verification: &Verification) {
    let spooled = spooled(folder);
    let unique: HashSet<&String> = exported.iter().collect();
    assert_eq!(unique.len(), exported.len(), "delivered twice");
    assert_eq!(unique, spooled.iter().collect(), "the destination is what the spool held");
    // A kill in the middle of a write leaves a beginning that nobody was answered for, and of which nobody can say more.
    let is_cut = |found: &Finding| matches!(found, Finding::LinesUnreadable { skipped: 0, .. });
    let cut = verification.findings.iter().filter(|found| is_cut(found)).count();
    assert!(cut <= torn(folder), "{verification}");
    let is_fine = |found: &Finding| found.verdict() == Verdict::Complete || is_cut(found);
    assert!(verification.findings.iter().all(is_fine), "{verification}");
}
