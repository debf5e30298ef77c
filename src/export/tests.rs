//! A real process, killed at each step: this test's own program, started again with a crash point.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Destination, Export, ExportFormat, Verdict, crash, verify};
use crate::segment::{self, Seen, SeqCheck};
use crate::{Auditor, sink};

const FOLDER: &str = "TOWER_AUDIT_TEST_CRASH_FOLDER";
const LIMIT: Duration = Duration::from_secs(60);

fn export(folder: &Path) -> Export {
    let destination = Destination::new(folder.join("archive").to_str().unwrap());
    // Several objects of each segment, whatever the least that a setting allows.
    let mut destination = destination.format(ExportFormat::JsonTimestamp);
    destination.recipe.object_bytes = 64 * 1024;
    Export::to(destination)
}

/// Nothing unless it is started by the tests below.
#[test]
fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let spool = sink::file(folder.join("audit.log"));
    let auditor = Auditor::builder().export(spool, export(folder)).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..2 {
            for number in 0..150 {
                let activity = auditor.begin_unlisted("Work").await.unwrap();
                activity.audit().meta("number", round * 1_000 + number).meta("padding", "x".repeat(600));
                activity.succeed();
            }
            let report = auditor.export_now(LIMIT).await.unwrap();
            assert!(report.is_complete() && report.objects >= 2, "{report:?}");
        }
        let report = auditor.shutdown(LIMIT).await;
        assert_eq!((report.lost, report.unexported), (0, 0));
    });
}

/// Whether it came to its end.
fn run(folder: &Path, crash_at: u32) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "export::tests::the_process_that_is_killed", "--test-threads=1"]);
    command.env(FOLDER, folder).env(crash::VARIABLE, crash_at.to_string());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() || !said.contains("panicked"), "{said}");
    output.status.success()
}

/// All records of the spool, each once, in order.
fn spooled(folder: &Path) -> Vec<String> {
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

/// All records of the destination, in the order of names.
fn exported(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for date in std::fs::read_dir(folder.join("archive/audit-logs")).unwrap() {
        names.extend(std::fs::read_dir(date.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    // `…-2.log` comes after `….log`, and `…-10.log` after `…-9.log`.
    names.sort_by_key(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (segment, number) = name.split_at(40);
        (segment.to_owned(), number.strip_prefix('-').map_or(1, |number| number.parse::<u32>().unwrap()))
    });
    let texts = names.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(|line| line[28..].to_owned()).collect::<Vec<_>>()).collect()
}

fn assert_exported_once(folder: &Path, what: &str) {
    let (spooled, exported) = (spooled(folder), exported(folder));
    assert!(spooled.len() > 300, "{what}");
    assert_eq!(spooled, exported, "{what}");
    let verification = verify(folder.join("archive").to_str().unwrap()).unwrap();
    assert_eq!(verification.verdict, Verdict::Complete, "{what}: {verification}");
    assert_eq!(verification.records, exported.len() as u64, "{what}");
    let archive = Command::new("find").arg(folder.join("archive")).output().unwrap();
    assert!(
        !String::from_utf8_lossy(&archive.stdout).lines().any(|name| name.ends_with(".tmp")),
        "{what}: a temporary file is left"
    );
}

#[test]
fn a_process_that_is_killed_at_any_step_exports_each_record_once_after_its_restart() {
    let mut crash_at = 0;
    loop {
        crash_at += 1;
        let folder = tempfile::tempdir().unwrap();
        let ended = run(folder.path(), crash_at);
        if !ended {
            assert!(run(folder.path(), 0), "restart after a crash at {crash_at}");
        }
        assert_exported_once(folder.path(), &format!("crash at {crash_at}"));
        if ended {
            break;
        }
    }
    assert!(crash_at > 40, "only {crash_at} crash points were passed");
}

#[test]
fn a_process_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for crash_at in [7, 3, 11, 2, 5, 23, 1, 13, 4, 17, 6, 9] {
        run(folder.path(), crash_at);
    }
    assert!(run(folder.path(), 0));
    assert_exported_once(folder.path(), "after many crashes");
}
