//! Exports of a real process to a real S3 server, killed at random during its puts: nothing is lost, nothing is delivered twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "figures, for who asks for them with `--nocapture`")]

mod s3;
mod spool;

use std::thread;
use std::time::Duration;

use s3::Server;
use s3::process::{self, Process};

/// Nothing unless the test below starts it.
#[test]
fn the_process_that_exports() {
    process::serve();
}

/// `TOWER_AUDIT_TEST_KILLS=200 cargo test --all-features --test export_s3_kills` for more of it.
#[test]
fn a_process_killed_at_random_during_its_puts_delivers_each_record_once() {
    let rounds = std::env::var("TOWER_AUDIT_TEST_KILLS").map_or(6, |rounds| rounds.parse().expect("a number"));
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut settings = process::settings(folder.path(), &server, "s3://acme-logs/app");
    for (name, value) in [("EXPORT_OBJECT_BYTES", "64KiB"), ("ROTATE_BYTES", "256KiB")] {
        settings.insert(format!("TOWER_AUDIT_{name}"), value.to_owned());
    }
    let start = || Process::start("the_process_that_exports", &settings).unwrap();
    // Puts whose answer or whose note was cut off are sent again.
    let mut repeated = 0;
    for _ in 0..rounds {
        let mut process = start();
        // More than it gets done.
        for _ in 0..50 {
            process.send("record 300");
            process.send("export");
        }
        let random = uuid::Uuid::new_v4().as_u128();
        let puts = server.state(|state| state.requests.len()) + 1 + usize::try_from(random % 8).unwrap();
        server.wait_until(|state| state.requests.len() >= puts);
        // A put takes some milliseconds, from its note before to its note after.
        let longest: u128 = if random & 1 << 70 == 0 { 4_000 } else { 40_000 };
        thread::sleep(Duration::from_micros(u64::try_from((random >> 32) % longest).unwrap()));
        process.kill();
        let names: Vec<_> = server.puts().into_iter().map(|put| put.path).collect();
        let unique: std::collections::HashSet<_> = names.iter().collect();
        repeated = names.len() - unique.len();
    }
    let mut process = start();
    // What many kills left may take longer than one run's limit.
    let mut before = u64::MAX;
    loop {
        let answer = process.ask("export");
        let (_, rest) = answer.split_once(" waiting ").unwrap();
        let waiting: u64 = rest.strip_suffix(" error none").expect(&answer).parse().unwrap();
        if waiting == 0 {
            break;
        }
        assert!(waiting < before, "{answer}");
        before = waiting;
    }
    assert_eq!(process.shutdown("60000"), "unexported 0 lost 0");

    server.assert_only_puts();
    let objects = server.objects().into_iter().filter(|name| name.starts_with("app/audit-logs/"));
    let texts = objects.map(|name| std::fs::read_to_string(server.bucket().join(name)).unwrap());
    let exported: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let verification = server.verify("app");
    spool::assert_delivered_once(folder.path(), &exported, &verification);
    assert!(exported.len() > 300);
    println!(
        "{rounds} kills, {} records delivered once each in {} objects, {repeated} puts sent again",
        exported.len(),
        verification.objects
    );
}
