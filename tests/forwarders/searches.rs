//! The searches of `examples/forwarders`, on what the application wrote and on what is left of it.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::arrived::{lines, mix, positions};
use crate::hub::Hub;
use crate::programs::Place;
use crate::{example, imitations};

/// The audit lines of a short run.
fn audit() -> Vec<u8> {
    let place = Place::new();
    let mut hub = Hub::start(Stdio::piped(), &[]);
    let mixed = mix(hub.stdout(), place.stdout());
    hub.load(20, || ());
    hub.stop();
    mixed.join().unwrap().audit
}

/// Without records 3, 5, 6 and the last one.
fn without_some(audit: &[u8]) -> Vec<u8> {
    let all = lines(audit);
    let kept = |(at, line): (usize, &[u8])| (![2, 4, 5, all.len() - 1].contains(&at)).then(|| line.to_vec());
    all.iter().copied().enumerate().filter_map(kept).flatten().collect()
}

#[test]
fn gaps_names_what_is_missing_what_is_there_twice_and_what_is_no_audit_line() {
    let place = Place::new();
    let audit = audit();
    let (instance, last) = positions(&audit).pop().unwrap();
    let ask = |lines: &[u8]| {
        fs::write(place.path("audit.log"), lines).unwrap();
        let output = Command::new(example("gaps")).arg(place.path("audit.log")).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let whole = format!("{instance}: {last} lines, seq 1 to {last}, 0 missing, 0 twice, ended\n");
    assert_eq!(ask(&audit), (0, whole));
    let some = format!(
        "{instance}: {} lines, seq 1 to {}, 3 missing (3,5-6), 2 twice, no AuditStopped\n1 lines are no audit lines\n",
        last - 4,
        last - 1
    );
    let (first_two, kept) = (lines(&audit)[..2].concat(), without_some(&audit));
    let imitation = [imitations::lines()[16].clone(), b"\n".to_vec()].concat();
    assert_eq!(ask(&[first_two, kept, imitation].concat()), (1, some));
}

/// `DUCKDB` names the program `duckdb`; without it this is skipped.
#[test]
fn duckdb_finds_what_is_missing_what_was_repeated_and_what_has_no_end() {
    let Some(duckdb) = std::env::var_os("DUCKDB") else {
        println!("SKIPPED: DUCKDB does not name duckdb");
        return;
    };
    let place = Place::new();
    let audit = audit();
    let (instance, last) = positions(&audit).pop().unwrap();
    let first_two = lines(&audit)[..2].concat();
    fs::write(place.path("audit.log"), [without_some(&audit), first_two].concat()).unwrap();
    let mut command = Command::new(duckdb);
    command.args(["-json", "-f"]).arg(example("duckdb.sql")).current_dir(place.path("."));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect();
    let with = |column: &str| {
        results
            .iter()
            .flat_map(|rows| rows.as_array().unwrap())
            .filter(|row| row.get(column).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(with("repeated"), [&json!({"repeated": 2})]);
    let ranges = with("missing_from").into_iter().map(|row| (row["missing_from"].clone(), row["missing_to"].clone()));
    assert_eq!(ranges.collect::<Vec<_>>(), [(3.into(), 3.into()), (5.into(), 6.into())]);
    let unended = with("last_seq");
    assert_eq!((&unended[0]["instance"], &unended[0]["last_seq"]), (&instance.into(), &(last - 1).into()));
    assert!(with("ip").iter().any(|row| row["actor"] == "user:development/guest"));
}
