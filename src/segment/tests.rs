use std::fs;

use super::*;

const FIRST: &str = "audit-20261120T101530.000001Z-0000000000000001.log";

fn line(seq: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-20T07:55:37.720973Z","level":"info","isAuditLog":true,"schema":"1.0","eventName":"E","auditId":"x","instance":"run","seq":{seq}}}"#
    )
}

fn lines(seqs: impl IntoIterator<Item = u64>) -> String {
    seqs.into_iter().map(|seq| line(seq) + "\n").collect()
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The numbers of all records, in order, and what was left out.
fn read(folder: &tempfile::TempDir) -> (Vec<u64>, Vec<Notes>) {
    let (mut seqs, mut notes) = (Vec::new(), Vec::new());
    for segment in list(folder.path().join("audit.log")).unwrap() {
        let mut reader = segment.open().unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            seqs.push(line.seq());
        }
        notes.push(reader.notes().clone());
    }
    (seqs, notes)
}

#[test]
fn segments_come_in_the_order_of_their_names_and_nothing_else_is_one() {
    let folder = folder(&[
        ("audit-20261120T101531.000000Z-0000000000000000.log", lines(3..=4).as_bytes()),
        (FIRST, lines(1..=2).as_bytes()),
        ("audit.log", lines(5..=5).as_bytes()),
        ("audit.log.lock", b""),
        ("audit-20261120T101532.000000Z-0000000000000000.log.gz.tmp", b"half"),
        ("other-20261120T101530.000001Z-0000000000000001.log", lines(9..=9).as_bytes()),
    ]);
    let (seqs, notes) = read(&folder);
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert!(notes.iter().all(|notes| (notes.skipped, notes.torn) == (0, 0) && notes.damaged.is_none()));
    let first = &list(folder.path().join("audit.log")).unwrap()[0];
    assert_eq!(first.id(), "20261120T101530.000001Z-0000000000000001");
    assert_eq!(first.path(), folder.path().join(FIRST));
    assert_eq!(first.sealed_at().duration_since(UNIX_EPOCH).unwrap().as_micros(), 1_795_169_730_000_001);
}

#[test]
fn torn_lines_and_lines_that_are_none_are_left_out_and_counted() {
    let torn = &line(2)[..60];
    let text = format!("\n{}\n{torn}\nhello\n{{}}\n{}\n{}", line(1), line(3), &line(4)[..99]);
    let (seqs, notes) = read(&folder(&[(FIRST, text.as_bytes())]));
    assert_eq!(seqs, [1, 3]);
    assert_eq!((notes[0].skipped, notes[0].torn, notes[0].bytes), (3, 2, text.len() as u64));
}

#[test]
fn of_a_suspect_segment_only_the_durable_bytes_count() {
    let durable = lines(1..=2);
    let name = format!("audit-20261120T101530.000001Z-0000000000000001.suspect-{}.log", durable.len());
    let folder = folder(&[
        (&name, (durable + &lines(3..=4)).as_bytes()),
        ("audit-20261120T101531.000000Z-0000000000000000.log", lines(3..=5).as_bytes()),
    ]);
    assert_eq!(read(&folder).0, [1, 2, 3, 4, 5]);
}

#[test]
fn long_lines_are_read_and_those_that_no_record_can_be_are_passed_over() {
    let long = line(2).replace("\"E\"", &format!("\"{}\"", "e".repeat(17 << 20)));
    let text = format!("{}\n{long}\n{}\n{}\n", line(1), "\0".repeat(70 << 20), line(3));
    let (seqs, notes) = read(&folder(&[(FIRST, text.as_bytes())]));
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!((notes[0].skipped, notes[0].bytes), (1, text.len() as u64));
}

#[test]
fn an_empty_segment_and_one_of_zeros_have_no_records() {
    let other = "audit-20261120T101531.000000Z-0000000000000000.log";
    let (seqs, notes) = read(&folder(&[(FIRST, b""), (other, &[0; 5_000])]));
    assert!(seqs.is_empty());
    assert_eq!((notes[0].skipped, notes[1].skipped), (0, 1));
}

#[test]
fn a_path_without_a_name_and_a_folder_that_is_none_are_errors() {
    let cause = |error: Error| {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(error.kind(), crate::ErrorKind::Read);
        (error.to_string(), source.unwrap().kind())
    };
    let no_name = "cannot read the segments of /: the path does not end in the name of a file".to_owned();
    assert_eq!(cause(list("/").unwrap_err()), (no_name, io::ErrorKind::InvalidInput));
    let (text, kind) = cause(list("/does/not/exist/audit.log").unwrap_err());
    assert!(text.starts_with("cannot read the segments of /does/not/exist/audit.log: "), "{text}");
    assert_eq!(kind, io::ErrorKind::NotFound);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(FIRST)).unwrap();
    let error = list(folder.path().join("audit.log")).unwrap()[0].open().unwrap_err();
    assert_eq!(cause(error).1, io::ErrorKind::InvalidInput);
}

#[cfg(feature = "gzip")]
mod gzip {
    use std::io::Write as _;

    use super::*;

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_segment_is_read_once_also_beside_its_plain_form() {
        let gzip = format!("{FIRST}.gz");
        let text = lines(1..=3);
        assert_eq!(read(&folder(&[(&gzip, &compressed(&text))])).0, [1, 2, 3]);
        let both = folder(&[(&gzip, &compressed(&text)), (FIRST, text.as_bytes())]);
        assert_eq!(read(&both).0, [1, 2, 3]);
        let segments = list(both.path().join("audit.log")).unwrap();
        fs::remove_file(both.path().join(FIRST)).unwrap();
        let mut reader = segments[0].open().expect("the other form is found");
        assert_eq!(reader.next_line().unwrap().unwrap().seq(), 1);
    }

    #[test]
    fn of_half_a_compressed_segment_everything_is_read_that_can_be_and_the_damage_is_noted() {
        let text = lines(1..=2_000);
        let whole = compressed(&text);
        let gzip = format!("{FIRST}.gz");
        for damaged in [&whole[..whole.len() / 2], &whole[..whole.len() - 3], b"no gzip at all, but long enough"] {
            let (seqs, notes) = read(&folder(&[(&gzip, damaged)]));
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
            assert!(notes[0].damaged.as_ref().is_some_and(|why| why.contains("compressed form")), "{notes:?}");
        }
    }
}
