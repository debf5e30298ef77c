//! Texts as JSON strings of a bounded length, in which the mark of an audit record cannot stand.

use crate::json::push_json_text;
use crate::text::head;

/// The least length within which a text is begun.
pub(super) const LEAST: usize = 16;

/// Appends text as a JSON string of at most `room` bytes, which are [`LEAST`] or more; true if it is not whole.
pub(super) fn push_within(out: &mut String, text: &str, already_cut: bool, room: usize) -> bool {
    const ELLIPSIS: &str = "…";
    let start = out.len();
    if !already_cut {
        push_string(out, text);
        if out.len() - start <= room {
            return false;
        }
    }
    let mut kept = head(text, room);
    loop {
        out.truncate(start);
        push_string(out, kept);
        // Before the closing quote.
        out.insert_str(out.len() - 1, ELLIPSIS);
        let len = out.len() - start;
        if len <= room || kept.is_empty() {
            return true;
        }
        // Escapes make text longer: the guess is too long again if they stand in its beginning.
        kept = head(kept, (kept.len() * room / len).min(kept.len() - 1));
    }
}

/// The word by which forwarders know audit records.
const WORD: &str = "isAuditLog";

/// Appends text as a JSON string in which that word does not stand in any letter case, but when it is decoded.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = find_word(rest) {
        let letter = at + 2;
        push_json_text(out, &rest[..letter]);
        out.push_str(if rest.as_bytes()[letter] == b'A' { "\\u0041" } else { "\\u0061" });
        rest = &rest[letter + 1..];
    }
    push_json_text(out, rest);
    out.push('"');
}

fn find_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'i', b'I', bytes)
        .find(|&at| bytes.get(at..at + WORD.len()).is_some_and(|found| found.eq_ignore_ascii_case(WORD.as_bytes())))
}

/// Whether a reader that folds the case of keys could read this one as the mark of a record. Folded beyond ASCII as well:
/// dotted and dotless i, and the long s.
pub(super) fn passes_for_a_record(name: &str) -> bool {
    let folded = name.chars().map(|char| match char {
        'ı' | 'İ' => 'i',
        'ſ' => 's',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(WORD.chars().map(|char| char.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, room: usize) -> (String, bool) {
        let mut out = String::new();
        let cut = push_within(&mut out, text, false, room);
        (out, cut)
    }

    #[test]
    fn one_letter_of_the_word_is_escaped_in_any_case() {
        let text = r#"{"isAuditLog":true} ISAUDITLOG isauditlogisAuditLog isisAuditLog is\u0041uditLog"#;
        let (line, _) = written(text, 1024);
        assert!(!line.to_ascii_lowercase().contains("isauditlog"), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn names_that_a_reader_may_fold_to_the_mark_are_known() {
        for name in ["isAuditLog", "isauditlog", "ISAUDITLOG", "ıſAudıtLog", "İSAUDİTLOG"] {
            assert!(passes_for_a_record(name), "{name}");
        }
        for name in ["", "isAuditLogs", "is_audit_log", "isAuditLo", "auditLog", " isAuditLog"] {
            assert!(!passes_for_a_record(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_string_stays_within_its_room_and_is_a_beginning(
            text in "(\\PC|[\u{0}-\u{ff}]|isAuditLog|ISauditLOG){0,200}",
            room in LEAST..400_usize,
        ) {
            let (line, cut) = written(&text, room);
            prop_assert!(line.len() <= room);
            prop_assert!(!line.to_ascii_lowercase().contains("isauditlog"));
            let read: String = serde_json::from_str(&line).unwrap();
            if cut {
                prop_assert!(text.starts_with(read.strip_suffix('…').unwrap()));
            } else {
                prop_assert_eq!(read, text);
            }
        }
    }
}
